//! The platform's adapter and Alipay over real sockets: what is paid, closed, refunded, split and told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;
use wallet::base::money::Money;
use wallet::channel::ChannelError;
use wallet::channel::acquirer::{
    Acquirer, Asked, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Spoken, TransferWord,
};
use wallet::channel::alipay::{Alipay, Setup, SplitOrder, SplitPart};
use wallet::channel::divider::{Divider, RefundAsked, Share, ShareOutcome, ShareWord};
use wallet::channel::sandbox::sign as sandbox;
use wallet::channel::sandbox::{ACQUIRER_KEY, BANK_KEY, PLATFORM_KEY};

use super::super::{Keys, Others};
use super::*;

mod answers;

/// Longest a test waits for something that should come.
const LIMIT: Duration = Duration::from_secs(10);

fn rsa() -> String {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    BASE64.encode(der.as_ref())
}

/// The keys of the platform and of Alipay.
struct World {
    ours: String,
    gateway: String,
}

impl World {
    fn new() -> Self {
        Self { ours: rsa(), gateway: rsa() }
    }

    fn signer(&self) -> Signer {
        Signer::try_new(&self.gateway).unwrap()
    }

    fn adapter(&self, gateway_url: &str, notify_url: &str, clock: Clock, timeout: Duration) -> Alipay {
        let setup = Setup {
            gateway_url,
            app_id: APP_ID,
            seller_id: SELLER_ID,
            signer: Signer::try_new(&self.ours).unwrap(),
            verifier: Verifier::try_new(&self.signer().public_key()).unwrap(),
            notify_url,
            share_max_bps: 3_000,
            timeout,
            open_for: TimeDelta::minutes(30),
            clock,
        };
        Alipay::try_new(setup).unwrap()
    }
}

/// A running simulator, the adapter that speaks to it, and what the platform heard. Its tasks end with the runtime of the test.
struct Running {
    world: World,
    sim: Arc<Sim>,
    alipay: Arc<Alipay>,
    gateway_url: String,
    /// The adapter's time.
    clock: Clock,
    heard: mpsc::UnboundedReceiver<(Vec<u8>, Result<Heard, HearError>)>,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Starts all three; the platform refuses the first `refusals` notices.
async fn start(refusals: u32) -> Running {
    let world = World::new();
    let (gateway, platform) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("http://{}", gateway.local_addr().unwrap());
    let notify_url = format!("http://{}/notices", platform.local_addr().unwrap());
    let ed25519 = |key_id: &str| {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        sandbox::Signer::try_from_pkcs8(key_id, pkcs8.as_ref()).unwrap()
    };
    let ours = Signer::try_new(&world.ours).unwrap();
    let keys = Keys {
        acquirer: ed25519(ACQUIRER_KEY),
        bank: ed25519(BANK_KEY),
        platform: sandbox::Verifier::new(PLATFORM_KEY, &ed25519(PLATFORM_KEY).public_key()),
        others: Others {
            alipay: Some(Arc::new(Hand::new(world.signer(), Verifier::try_new(&ours.public_key()).unwrap()))),
            ..Others::default()
        },
    };
    let folder = std::env::temp_dir().join(format!("haodian-sim-alipay-{}", Uuid::now_v7().simple()));
    let sim = Sim::load(keys, "1900000001", &url, &folder.join("journal.jsonl")).unwrap();
    let router = Arc::clone(&sim).router();
    tokio::spawn(async move { axum::serve(gateway, router).await.unwrap() });
    let clock = Clock::default();
    let gateway_url = format!("{url}/alipay/gateway.do");
    let alipay = Arc::new(world.adapter(&gateway_url, &notify_url, clock.clone(), LIMIT));
    let (sender, heard) = mpsc::unbounded_channel();
    let hearing = Arc::clone(&alipay);
    let refusals = Arc::new(AtomicU32::new(refusals));
    let take = async move |headers: HeaderMap, body: Bytes| {
        let heard = hearing.hear(&headers, &body, Clock::wall());
        let refuses = refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        let reply = hearing.reply(heard.is_ok() && !refuses);
        sender.send((body.to_vec(), heard)).unwrap();
        (reply.status, [(header::CONTENT_TYPE, reply.content_type)], reply.body)
    };
    let notices = Router::new().route("/notices", post(take));
    tokio::spawn(async move { axum::serve(platform, notices).await.unwrap() });
    Running { world, sim, alipay, gateway_url, clock, heard, folder }
}

fn number() -> String {
    Uuid::now_v7().simple().to_string()
}

fn order(method: Method, minor: i64) -> PaymentOrder {
    PaymentOrder {
        request_no: number(),
        amount: Money::cny(minor),
        description: "茶/杯".to_owned(),
        method,
        payer: None,
        return_url: Some("http://127.0.0.1:1/done?a=b".to_owned()),
        expires_at: Clock::wall() + TimeDelta::minutes(30),
        split: false,
    }
}

fn asked(order: &PaymentOrder) -> Asked {
    Asked { request_no: order.request_no.clone(), sent_at: Clock::wall() }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

impl Running {
    /// Asks for a payment and gives the address its payer goes to.
    async fn pay(&self, order: &PaymentOrder) -> String {
        let state = self.alipay.pay(order).await.unwrap();
        assert_eq!(state.word, PaymentWord::Pending);
        match (order.method, state.invitation) {
            (Method::Page | Method::Wap, Some(Invitation::Url(url))) | (Method::Native, Some(Invitation::Code(url))) => url,
            other => panic!("{other:?}"),
        }
    }

    /// The payer opens a link. None: there is nothing to pay.
    async fn open(&self, link: &str) -> Option<String> {
        let answer = http().get(link).send().await.unwrap();
        let page = answer.headers().get(header::LOCATION).map(|at| at.to_str().unwrap().to_owned());
        page.map(|page| self.gateway_url.replace("/alipay/gateway.do", &page))
    }

    /// The payer opens a link and pays.
    async fn paid(&self, order: &PaymentOrder) -> String {
        let page = self.open(&self.pay(order).await).await.unwrap();
        confirm(&page).await;
        match self.word(order).await {
            Some(PaymentWord::Succeeded { transaction_id, .. }) => transaction_id,
            other => panic!("{other:?}"),
        }
    }

    async fn word(&self, order: &PaymentOrder) -> Option<PaymentWord> {
        let state = self.alipay.query(&asked(order)).await.unwrap();
        state.map(|state| {
            assert_eq!(state.invitation, None);
            state.word
        })
    }

    async fn next(&mut self) -> (Vec<u8>, Result<Heard, HearError>) {
        tokio::time::timeout(LIMIT, self.heard.recv()).await.expect("a notice comes").unwrap()
    }

    fn refund(&self, order: &PaymentOrder, transaction_id: &str, minor: i64) -> RefundOrder {
        RefundOrder {
            request_no: number(),
            payment: asked(order),
            transaction_id: transaction_id.to_owned(),
            paid: order.amount,
            amount: Money::cny(minor),
            reason: "退货".to_owned(),
            shares: Vec::new(),
        }
    }
}

async fn confirm(page: &str) {
    let answer = http().post(format!("{page}/confirm")).json(&serde_json::json!({"notices": 1})).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

fn bad<T: std::fmt::Debug>(outcome: Result<T, ChannelError>) -> &'static str {
    match outcome {
        Err(ChannelError::BadAnswer(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, ChannelError>) -> String {
    match outcome {
        Err(ChannelError::Refused { code }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_page_on_any_device_and_a_code_lead_to_a_payment() {
    let mut running = start(0).await;
    for method in [Method::Page, Method::Wap, Method::Native] {
        let order = order(method, 8_888);
        let link = running.pay(&order).await;
        assert_eq!(running.word(&order).await, None, "nobody has opened it");
        let page = running.open(&link).await.unwrap();
        assert_eq!(running.word(&order).await, Some(PaymentWord::Pending));
        assert_eq!(running.open(&running.pay(&order).await).await.as_deref(), Some(page.as_str()), "asked again, it is the same payment");
        confirm(&page).await;
        let Some(PaymentWord::Succeeded { transaction_id, amount_minor: 8_888, currency, at }) = running.word(&order).await else {
            panic!("{method:?} is not paid")
        };
        assert_eq!(currency, "CNY");
        assert!((Clock::wall() - at).abs() < TimeDelta::minutes(1));
        let (_, heard) = running.next().await;
        let word = PaymentWord::Succeeded { transaction_id, amount_minor: 8_888, currency, at };
        assert_eq!(heard.unwrap().spoken, Spoken::Payment { request_no: order.request_no.clone(), word: word.clone() });
        if method == Method::Native {
            let again = running.alipay.pay(&order).await.unwrap();
            assert_eq!(again, PaymentState { invitation: None, word }, "a code asked for again tells that it was paid");
        }
    }
}

#[tokio::test]
async fn a_number_stands_for_one_amount() {
    let running = start(0).await;
    let first = order(Method::Native, 100);
    running.open(&running.pay(&first).await).await.unwrap();
    let other = PaymentOrder { amount: Money::cny(200), ..first.clone() };
    assert_eq!(bad(running.alipay.pay(&other).await), "the request number stands for other content");
    let page = running.pay(&PaymentOrder { method: Method::Page, ..other }).await;
    assert_eq!(running.open(&page).await, None);
}

#[tokio::test]
async fn a_payment_is_closed_once_nobody_can_pay_it_any_more() {
    let running = start(0).await;
    let order = order(Method::Page, 100);
    let link = running.pay(&order).await;
    let unopened = asked(&order);
    assert_eq!(bad(running.alipay.close(&unopened).await), "nobody has opened the payment yet, and its link can still be used");
    let page = running.open(&link).await.expect("the link can still be used");
    let closed = running.alipay.close(&asked(&order)).await.unwrap();
    assert_eq!(closed, PaymentState { invitation: None, word: PaymentWord::Closed });
    assert_eq!(running.alipay.close(&asked(&order)).await.unwrap(), closed, "closing again");
    confirm(&page).await;
    assert_eq!(running.word(&order).await, Some(PaymentWord::Closed), "a payer who comes late");
    assert!(running.open(&link).await.is_some(), "the link shows that it is closed");
    assert_eq!(running.word(&order).await, Some(PaymentWord::Closed));
}

#[tokio::test]
async fn a_link_that_nobody_opened_is_closed_by_its_time() {
    let running = start(0).await;
    let order = order(Method::Page, 100);
    let link = running.pay(&order).await;
    let unopened = asked(&order);
    running.clock.set_offset_ms(TimeDelta::minutes(39).num_milliseconds());
    bad(running.alipay.close(&unopened).await);
    running.clock.set_offset_ms(TimeDelta::minutes(41).num_milliseconds());
    assert_eq!(running.alipay.close(&unopened).await.unwrap().word, PaymentWord::Closed);
    running.sim.clock.set_offset_ms(TimeDelta::minutes(31).num_milliseconds());
    assert_eq!(running.open(&link).await, None, "the link is over");
}

#[tokio::test]
async fn a_payer_who_is_faster_than_the_close_has_paid() {
    let running = start(0).await;
    let order = order(Method::Wap, 100);
    let transaction_id = running.paid(&order).await;
    let state = running.alipay.close(&asked(&order)).await.unwrap();
    assert!(matches!(state.word, PaymentWord::Succeeded { transaction_id: id, .. } if id == transaction_id));
}

#[tokio::test]
async fn a_payment_is_refunded_in_parts_each_once() {
    let mut running = start(0).await;
    let order = order(Method::Page, 1_000);
    let transaction_id = running.paid(&order).await;
    running.next().await.1.unwrap();
    let first = running.refund(&order, &transaction_id, 300);
    let asked_for = Asked { request_no: first.request_no.clone(), sent_at: Clock::wall() };
    assert_eq!(running.alipay.query_refund(&asked_for, &asked(&order), Money::cny(300)).await.unwrap(), None);
    let TransferWord::Succeeded { at } = running.alipay.refund(&first).await.unwrap() else { panic!("not refunded") };
    for _ in 0..2 {
        assert_eq!(running.alipay.refund(&first).await.unwrap(), TransferWord::Succeeded { at }, "asked again");
        assert_eq!(
            running.alipay.query_refund(&asked_for, &asked(&order), Money::cny(300)).await.unwrap(),
            Some(TransferWord::Succeeded { at })
        );
    }
    let more = RefundOrder { amount: Money::cny(301), ..first.clone() };
    assert_eq!(bad(running.alipay.refund(&more).await), "the request number stands for other content");
    let second = running.refund(&order, &transaction_id, 700);
    let too_much = running.refund(&order, &transaction_id, 701);
    assert_eq!(refused(running.alipay.refund(&too_much).await), "ACQ.REASON_TRADE_REFUND_FEE_ERR");
    assert!(matches!(running.alipay.refund(&second).await.unwrap(), TransferWord::Succeeded { .. }));
    for (refund, sum) in [(&first, 300), (&second, 1_000)] {
        let told = running.next().await.1.unwrap().spoken;
        let request_no = refund.request_no.clone();
        assert!(
            matches!(told, Spoken::Refund { request_no: no, amount_minor, word: TransferWord::Succeeded { .. }, .. } if no == request_no && amount_minor == sum)
        );
    }
    assert!(matches!(running.word(&order).await, Some(PaymentWord::Succeeded { amount_minor: 1_000, .. })), "refunded in full it was paid");
    assert_eq!(running.alipay.refund(&first).await.unwrap(), TransferWord::Succeeded { at }, "asked again when nothing is left");
    let nothing_left = running.refund(&order, &transaction_id, 1);
    refused(running.alipay.refund(&nothing_left).await);
    let elsewhere = running.refund(&order, "T0", 1);
    assert!(running.alipay.refund(&elsewhere).await.is_err());
}

#[tokio::test]
async fn what_nobody_paid_is_not_refunded() {
    let running = start(0).await;
    let order = order(Method::Page, 1_000);
    let refund = running.refund(&order, "T1", 300);
    assert_eq!(bad(running.alipay.refund(&refund).await), "it says no with a code that proves nothing");
    running.open(&running.pay(&order).await).await.unwrap();
    assert_eq!(refused(running.alipay.refund(&refund).await), "ACQ.REASON_TRADE_STATUS_INVALID");
}

#[tokio::test]
async fn a_notice_is_sent_again_until_it_is_taken_and_only_as_alipay_signed_it() {
    let mut running = start(1).await;
    let order = order(Method::Page, 1_250);
    running.paid(&order).await;
    let (body, first) = running.next().await;
    let (again, second) = running.next().await;
    assert_eq!((&body, first.unwrap()), (&again, second.unwrap()), "a notice that was not taken comes again as it was");
    let hear = |body: &[u8]| running.alipay.hear(&HeaderMap::new(), body, Clock::wall()).map(|_| ());
    let text = String::from_utf8(body).unwrap();
    assert_eq!(hear(text.as_bytes()), Ok(()));
    let amount = text.replace("total_amount=12.50", "total_amount=0.01");
    assert_ne!(amount, text);
    assert_eq!(hear(amount.as_bytes()), Err(HearError::Signature), "a changed amount");
    let twice = format!("{text}&total_amount=12.50");
    assert_eq!(hear(twice.as_bytes()), Err(HearError::Malformed), "a parameter twice");
    let params = form::decode(text.as_bytes()).unwrap();
    let resigned = |signer: &Signer, name: &str, value: &str| {
        let mut params = params.clone();
        params.insert(name.to_owned(), value.to_owned());
        signer.sign_notice(&mut params);
        form::encode(&params).into_bytes()
    };
    let (alipay, forger) = (running.world.signer(), Signer::try_new(&rsa()).unwrap());
    assert_eq!(hear(&resigned(&forger, "version", "1.0")), Err(HearError::Signature), "forged");
    assert_eq!(hear(&resigned(&alipay, "seller_id", "2088999999999999")), Err(HearError::Foreign), "another seller's");
    assert_eq!(hear(&resigned(&alipay, "app_id", "2021999999999999")), Err(HearError::Foreign), "another application's");
    let other = running.alipay.hear(&HeaderMap::new(), &resigned(&alipay, "total_amount", "0.01"), Clock::wall()).unwrap();
    let Spoken::Payment { word: PaymentWord::Succeeded { amount_minor, .. }, .. } = other.spoken else { panic!("no payment") };
    assert_eq!(amount_minor, 1, "what Alipay signed is told as it is, and compared by the payment");
}

#[tokio::test]
async fn a_trade_is_split_once_and_its_parts_are_asked_for() {
    let running = start(0).await;
    let order = PaymentOrder { split: true, ..order(Method::Page, 1_000) };
    let transaction_id = running.paid(&order).await;
    let part = |payee: &str, amount_minor| SplitPart { payee: payee.to_owned(), amount_minor, description: "佣金".to_owned() };
    let split = SplitOrder {
        request_no: number(),
        transaction_id: transaction_id.clone(),
        parts: vec![part("2088000000000002", 100), part("2088000000010001", 50)],
        finish: false,
    };
    assert_eq!(running.alipay.query_settle(&split.request_no, &transaction_id).await.unwrap(), None);
    let settle_no = running.alipay.settle(&split).await.unwrap();
    assert_eq!(running.alipay.settle(&split).await.unwrap(), settle_no, "asked again");
    let other = SplitOrder { parts: vec![part("2088000000000002", 101)], ..split.clone() };
    assert_eq!(bad(running.alipay.settle(&other).await), "the request number stands for other content");
    let words = async || {
        let parts = running.alipay.query_settle(&split.request_no, &transaction_id).await.unwrap().unwrap();
        parts.into_iter().map(|part| (part.payee, part.amount_minor, part.word)).collect::<Vec<_>>()
    };
    let under_way = |payee: &str, minor| (payee.to_owned(), minor, TransferWord::Accepted);
    assert_eq!(words().await, [under_way("2088000000000002", 100), under_way("2088000000010001", 50)]);
    let done = words().await;
    assert!(matches!(&done[0], (_, 100, TransferWord::Succeeded { .. })), "{done:?}");
    let failed = TransferWord::Failed { code: "TXN_RESULT_ACCOUNT_STATUS_NOT_VALID".to_owned() };
    assert_eq!(done[1], ("2088000000010001".to_owned(), 50, failed));
    // what did not reach its payee may be split again: 9.00 of 10.00 are left
    let too_much = SplitOrder { request_no: number(), parts: vec![part("2088000000000002", 901)], ..split.clone() };
    assert_eq!(refused(running.alipay.settle(&too_much).await), "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR");
    let elsewhere = SplitOrder { request_no: number(), transaction_id: "T0".to_owned(), ..split.clone() };
    assert_eq!(bad(running.alipay.settle(&elsewhere).await), "it says no with a code that proves nothing");
}

#[tokio::test]
async fn a_refund_takes_back_what_it_names_from_who_got_it_of_the_trade() {
    let running = start(0).await;
    let order = PaymentOrder { split: true, ..order(Method::Page, 1_000) };
    let transaction_id = running.paid(&order).await;
    let payee = "2088000000000002";
    let parts = vec![SplitPart { payee: payee.to_owned(), amount_minor: 300, description: "佣金".to_owned() }];
    let split = SplitOrder { request_no: number(), transaction_id: transaction_id.clone(), parts, finish: false };
    running.alipay.settle(&split).await.unwrap();
    let back = |account: &str, amount_minor| vec![Share { account: account.to_owned(), amount_minor }];
    let refund = |minor, shares| RefundOrder { shares, ..running.refund(&order, &transaction_id, minor) };
    let too_much = async |order| refused(running.alipay.refund(&order).await);
    assert_eq!(too_much(refund(500, back(payee, 100))).await, "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "it has not arrived yet");
    for _ in 0..2 {
        running.alipay.query_settle(&split.request_no, &transaction_id).await.unwrap().unwrap();
    }
    assert_eq!(too_much(refund(500, back(payee, 301))).await, "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "more than it got");
    assert_eq!(too_much(refund(500, back("2088000000000003", 1))).await, "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "somebody else");
    assert_eq!(too_much(refund(99, back(payee, 100))).await, "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "more than is refunded");
    let first = refund(500, back(payee, 200));
    let asked = |order: &RefundOrder| RefundAsked { request_no: order.request_no.clone(), payment_no: order.payment.request_no.clone() };
    assert_eq!(running.alipay.query_refunded(&asked(&first)).await.unwrap(), None, "there is no such refund");
    for _ in 0..2 {
        assert!(matches!(running.alipay.refund(&first).await.unwrap(), TransferWord::Succeeded { .. }));
    }
    let other = RefundOrder { shares: back(payee, 199), ..first.clone() };
    assert_eq!(bad(running.alipay.refund(&other).await), "the request number stands for other content");
    let told = running.alipay.query_refunded(&asked(&first)).await.unwrap().unwrap();
    assert_eq!(told, [ShareWord { share: Share { account: payee.to_owned(), amount_minor: 200 }, outcome: ShareOutcome::Succeeded }]);
    assert_eq!(too_much(refund(400, back(payee, 101))).await, "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "200 of 300 are back");
    let plain = refund(100, Vec::new());
    running.alipay.refund(&plain).await.unwrap();
    assert_eq!(running.alipay.query_refunded(&asked(&plain)).await.unwrap(), Some(Vec::new()), "it took nothing back");
}

#[tokio::test]
async fn only_the_platform_is_listened_to() {
    let running = start(0).await;
    let order = order(Method::Page, 100);
    let link = running.pay(&order).await;
    assert_eq!(running.open(&link.replace("1.00", "0.01")).await, None, "a changed link");
    assert_eq!(running.open(&format!("{link}&return_url=http%3A%2F%2Felsewhere")).await, None, "a link with more");
    let stranger = World { ours: rsa(), gateway: running.world.gateway.clone() };
    let stranger = stranger.adapter(&running.gateway_url, "http://127.0.0.1:1/", Clock::default(), LIMIT);
    assert_eq!(bad(stranger.query(&asked(&order)).await), "our request was refused; compare keys, clock and contract");
    let misled = World { ours: running.world.ours.clone(), gateway: rsa() };
    let misled = misled.adapter(&running.gateway_url, "http://127.0.0.1:1/", Clock::default(), LIMIT);
    assert_eq!(bad(misled.query(&asked(&order)).await), "its signature is not right");
    let mut stale: Params = [
        ("app_id", APP_ID),
        ("method", method::QUERY),
        ("format", "JSON"),
        ("charset", "utf-8"),
        ("sign_type", "RSA2"),
        ("version", "1.0"),
        ("timestamp", "2026-01-01 00:00:00"),
        ("biz_content", "{}"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    Signer::try_new(&running.world.ours).unwrap().sign_request(&mut stale);
    let answer = http().post(&running.gateway_url).body(form::encode(&stale)).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("isv.invalid-timestamp"), "{answer}");
}

#[tokio::test]
async fn answers_spoilt_on_the_way_count_for_nothing() {
    let running = start(0).await;
    let order = order(Method::Native, 1_250);
    running.alipay.pay(&order).await.unwrap();
    let control = running.gateway_url.replace("/alipay/gateway.do", "/control/profile");
    for fault in ["garbage", "wrong_key", "other_request"] {
        let profile = format!("about = \"a test\"\nseed = 1\n[answer]\n{fault} = 10000\n");
        reqwest::Client::new().post(&control).body(profile).send().await.unwrap().error_for_status().unwrap();
        let answer = running.alipay.pay(&order).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{fault}: {answer:?}");
    }
}

#[tokio::test]
async fn a_refund_that_failed_is_refused_each_time_and_never_told_as_done() {
    for (share, code) in [("refund_fail", "ACQ.SELLER_BALANCE_NOT_ENOUGH"), ("refund_closed", "ACQ.BUYER_ENABLE_STATUS_FORBID")] {
        let running = start(0).await;
        let order = order(Method::Page, 8_888);
        let transaction_id = running.paid(&order).await;
        let control = running.gateway_url.replace("/alipay/gateway.do", "/control/profile");
        let changed =
            http().post(control).body(format!("about = \"a test\"\nseed = 1\n[business]\n{share} = 10000\n")).send().await.unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
        let refund = running.refund(&order, &transaction_id, 300);
        for _ in 0..2 {
            assert_eq!(refused(running.alipay.refund(&refund).await), code);
        }
        let asked_for = Asked { request_no: refund.request_no.clone(), sent_at: Clock::wall() };
        let known = running.alipay.query_refund(&asked_for, &asked(&order), refund.amount).await.unwrap();
        assert_eq!(known, None, "nothing went back");
        let truth = running.gateway_url.replace("/alipay/gateway.do", "/control/truth");
        let truth = http().get(truth).send().await.unwrap().text().await.unwrap();
        assert!(truth.contains(&refund.request_no) && truth.contains("FAILED"), "{truth}");
    }
}
