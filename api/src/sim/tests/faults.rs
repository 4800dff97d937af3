//! What a profile wants, seen from the platform's side of the wire.

use serde_json::{Value, json};
use wallet::channel::payout::PayoutState;
use wallet::channel::sandbox::sign::TIMESTAMP;

use super::*;

impl Running {
    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (StatusCode, String) {
        let answer = reqwest::Client::new().post(format!("{}{path}", self.url)).header("content-type", "application/json").body(body);
        let answer = answer.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap().json().await.unwrap()
    }

    /// Goes on with a profile of these sections.
    async fn profile(&self, sections: &str) {
        let (status, text) = self.post("/control/profile", format!("about = \"a test\"\nseed = 1\n{sections}")).await;
        assert_eq!(status, StatusCode::OK, "{text}");
    }

    async fn calm(&self) {
        assert_eq!(self.post("/control/profile", "calm").await.0, StatusCode::OK);
    }

    /// A payment that waits for its payer.
    async fn pending(&self, minor: i64) -> (String, String) {
        let request_no = number();
        let payment = self.acquirer.pay(&order(&request_no, minor)).await.unwrap();
        (request_no, page(&payment).to_owned())
    }

    /// Of what is true, what is so of this number.
    async fn truth(&self, request_no: &str) -> Value {
        let all = self.get("/control/truth").await;
        all.as_array().unwrap().iter().find(|t| t["request_no"] == request_no).cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn every_fault_of_an_answer_leaves_the_platform_without_a_word_and_the_truth_as_it_is() {
    let world = World::new();
    let running = world.start("http://127.0.0.1:9/notices").await;
    let cases = [
        ("drop_before", false, "no answer"),
        ("drop_after", true, "no answer"),
        ("fail_before", false, "no answer"),
        ("fail_after", true, "no answer"),
        ("garbage", true, "its signature is not right"),
        ("wrong_key", true, "its signature is not right"),
        ("stale", true, "its signature is not right"),
        ("other_request", true, "it is about another request"),
    ];
    for (fault, done, said) in cases {
        running.profile(&format!("[party.acquirer.answer.pay]\n{fault} = 10000\nskew_ms = [400000, 400000]\n")).await;
        let request_no = number();
        let error = running.acquirer.pay(&order(&request_no, 100)).await.unwrap_err().to_string();
        assert!(error.contains(said), "{fault}: {error}");
        let known = running.acquirer.query(&asked(&request_no)).await.unwrap();
        assert_eq!((known.is_some(), running.truth(&request_no).await.is_object()), (done, done), "{fault}");
    }
    running.profile("[answer]\nslow_body = 10000\nslow_ms = [200, 200]\ndelay_ms = [100, 100]\n").await;
    let begun = std::time::Instant::now();
    running.pending(100).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "an answer in drops is an answer, when it is there");
}

#[tokio::test]
async fn a_party_that_is_down_does_nothing_and_the_others_go_on() {
    let world = World::new();
    let running = world.start("http://127.0.0.1:9/notices").await;
    let (request_no, _) = running.pending(100).await;
    for how in ["reset", "busy"] {
        let (_, off) = running.post("/control/down", json!({ "party": "acquirer", "how": how }).to_string()).await;
        assert_eq!(off, format!("{{\"acquirer\":\"{how}\"}}"));
        let lost = number();
        assert!(matches!(running.acquirer.pay(&order(&lost, 100)).await, Err(ChannelError::NoAnswer(_))), "{how}");
        assert!(matches!(running.acquirer.close(&asked(&request_no)).await, Err(ChannelError::NoAnswer(_))), "{how}");
        assert_eq!(running.bank.query(&lost).await.unwrap(), None, "the bank answers");
        assert_eq!(running.truth(&lost).await, Value::Null);
    }
    running.post("/control/down", json!({ "party": "acquirer", "how": "silence" }).to_string()).await;
    let waited = tokio::time::timeout(Duration::from_millis(300), running.acquirer.query(&asked(&request_no))).await;
    assert!(waited.is_err(), "whoever asks waits");
    assert_eq!(running.post("/control/down", json!({ "party": "acquirer", "how": null }).to_string()).await.1, "{}");
    assert!(running.acquirer.query(&asked(&request_no)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_notice_lies_once_in_the_right_hand_and_the_truth_stays() {
    let world = World::new();
    let (url, mut notices) = platform().await;
    let running = world.start(&url).await;
    let verifier = Verifier::new(ACQUIRER_KEY, &Signer::try_from_pkcs8(ACQUIRER_KEY, &world.acquirer).unwrap().public_key());
    for (lie, expected) in [
        ("wrong_merchant", ("1900009999", 100, "CNY")),
        ("changed_amount", ("1900000001", 101, "CNY")),
        ("changed_currency", ("1900000001", 100, "USD")),
    ] {
        running.profile(&format!("[notice.payment]\n{lie} = 10000\n")).await;
        let (request_no, page) = running.pending(100).await;
        running.confirm(&page, 1).await;
        let (headers, body, notice) = next(&mut notices).await;
        assert_eq!((notice.merchant_no.as_str(), notice.amount_minor, notice.currency.as_str()), expected, "{lie}");
        verifier.verify("POST", "/notices", &headers, &body, Clock::wall()).expect("rightly signed");
        let truth = running.truth(&request_no).await;
        assert_eq!((&truth["amount_minor"], &truth["currency"], &truth["moved"]), (&json!(100), &json!("CNY"), &json!(true)));
    }
    running.profile("[notice]\ndrop = 10000\n").await;
    let (_, page) = running.pending(100).await;
    running.confirm(&page, 1).await;
    running.calm().await;
    let (request_no, page) = running.pending(100).await;
    running.confirm(&page, 1).await;
    assert_eq!(next(&mut notices).await.2.request_no, request_no, "the one before was never told");
}

#[tokio::test]
async fn notices_come_again_come_later_than_others_and_come_with_an_old_time() {
    let world = World::new();
    let (url, mut notices) = platform().await;
    let running = world.start(&url).await;
    running.profile("[notice]\nduplicate = 10000\ntimes = 3\nreplay = 10000\nage_ms = [500000, 500000]\n").await;
    let (_, page) = running.pending(100).await;
    running.confirm(&page, 1).await;
    let mut ages = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for _ in 0..4 {
        let (headers, _, notice) = next(&mut notices).await;
        let signed: i64 = headers[TIMESTAMP].to_str().unwrap().parse().unwrap();
        ages.push((Clock::wall().timestamp() - signed) / 400);
        ids.insert(notice.notice_id);
    }
    assert_eq!((ages, ids.len()), (vec![0, 0, 0, 1], 1));

    running.profile("[notice]\nreorder = 10000\nbehind = 2\n").await;
    let (held, page) = running.pending(100).await;
    running.confirm(&page, 1).await;
    running.calm().await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let (request_no, page) = running.pending(100).await;
        running.confirm(&page, 1).await;
        told.push(request_no);
    }
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(next(&mut notices).await.2.request_no);
    }
    assert_eq!(heard.pop(), Some(held));
    heard.sort_unstable();
    assert_eq!(heard, told);
}

#[tokio::test]
async fn what_was_closed_or_declined_is_paid_after_all_and_told() {
    let world = World::new();
    let (url, mut notices) = platform().await;
    let running = world.start(&url).await;
    running.profile("[business]\ndecline_user = 10000\nlate_success = 10000\nsuccess_after_decline = 10000\nafter_ms = [50, 100]\n").await;
    let (closed, _) = running.pending(100).await;
    assert_eq!(running.acquirer.close(&asked(&closed)).await.unwrap().word, PaymentWord::Closed);
    let (_, _, notice) = next(&mut notices).await;
    assert_eq!((notice.request_no, notice.status), (closed.clone(), NoticeStatus::Succeeded));
    let (declined, page) = running.pending(100).await;
    running.confirm(&page, 1).await;
    let told = [next(&mut notices).await.2, next(&mut notices).await.2];
    assert_eq!(
        told.map(|n| (n.request_no, n.status)),
        [(declined.clone(), NoticeStatus::Failed), (declined.clone(), NoticeStatus::Succeeded)]
    );
    for request_no in [closed, declined] {
        assert!(matches!(running.acquirer.query(&asked(&request_no)).await.unwrap().unwrap().word, PaymentWord::Succeeded { .. }));
        assert_eq!(running.truth(&request_no).await["moved"], json!(true));
    }
    let never_asked = number();
    running.acquirer.close(&asked(&never_asked)).await.unwrap();
    assert_eq!(running.truth(&never_asked).await, Value::Null, "nobody pays what was never asked for");
}

#[tokio::test]
async fn a_refund_fails_and_may_be_asked_for_again_and_a_payout_comes_back_even_after_a_restart() {
    let world = World::new();
    let (url, mut notices) = platform().await;
    let running = world.start(&url).await;
    let (request_no, page) = running.pending(100).await;
    running.confirm(&page, 1).await;
    next(&mut notices).await;
    let refund = || RefundOrder {
        request_no: number(),
        payment: asked(&request_no),
        transaction_id: "T".to_owned(),
        paid: Money::cny(100),
        amount: Money::cny(100),
        reason: "退".to_owned(),
        shares: Vec::new(),
    };
    for (sections, status) in [("[business]\nrefund_fail = 10000\n", NoticeStatus::Failed), ("", NoticeStatus::Succeeded)] {
        running.profile(sections).await;
        let refund = refund();
        assert_eq!(running.acquirer.refund(&refund).await.unwrap(), TransferWord::Accepted);
        assert_eq!(next(&mut notices).await.2.status, status);
        assert_eq!(running.truth(&refund.request_no).await["moved"], json!(status == NoticeStatus::Succeeded));
    }
    assert!(matches!(running.acquirer.refund(&refund()).await, Err(ChannelError::Refused { .. })), "it is all given back");

    running.profile("[business]\npayout_return = 10000\nafter_ms = [1500, 1500]\n").await;
    let payout = PayoutOrder {
        request_no: number(),
        payee_name: "好店".to_owned(),
        payee_account: "6222020200001123456".to_owned(),
        amount: Money::cny(700),
    };
    running.bank.payout(&payout).await.unwrap();
    assert_eq!(next(&mut notices).await.2.status, NoticeStatus::Succeeded);
    assert_eq!(running.truth(&payout.request_no).await["moved"], json!(true));
    running.server.abort();
    _ = running.server.await;
    let running = world.start(&url).await;
    // what the first simulator had begun lives on in this test and is told too; the second one tells it from its journal
    for _ in 0..2 {
        let (_, _, back) = next(&mut notices).await;
        assert_eq!((back.kind, back.status, back.amount_minor), (NoticeKind::Payout, NoticeStatus::Returned, 700));
    }
    let state = running.bank.query(&payout.request_no).await.unwrap();
    assert!(matches!(state, Some(PayoutState { status: PayoutStatus::Returned { .. }, .. })), "{state:?}");
    let truth = running.truth(&payout.request_no).await;
    assert_eq!((&truth["moved"], &truth["came_back"]), (&json!(false), &json!(true)));
}

#[tokio::test]
async fn a_profile_is_shown_changed_and_refused_with_every_mistake() {
    let world = World::new();
    let running = world.start("http://127.0.0.1:9/notices").await;
    assert_eq!(running.get("/control/profile").await["name"], "calm");
    assert_eq!(running.post("/control/profile", "storm").await.0, StatusCode::OK);
    let (status, text) = running.post("/control/profile", "seed = 1\n[answer]\ndrop_before = 1.5\n").await;
    let expected = "answer.drop_before must be a share in basis points, 0 to 10000\nabout is missing";
    assert_eq!((status, text.as_str()), (StatusCode::UNPROCESSABLE_ENTITY, expected));
    assert_eq!(running.post("/control/profile", "stormy").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(running.get("/control/profile").await["name"], "storm", "what cannot be used changes nothing");
    running.profile("[notice]\ndrop = 1\n").await;
    let shown = running.get("/control/profile").await;
    assert_eq!((&shown["name"], &shown["seed"], &shown["about"]), (&json!("custom"), &json!(1), &json!("a test")));
    assert!(shown["text"].as_str().unwrap().contains("drop = 1"));
}
