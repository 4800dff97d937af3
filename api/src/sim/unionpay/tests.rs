//! UnionPay's adapter and counterparty over real sockets, and counterparties that say what UnionPay would not.

use std::sync::LazyLock;

use axum::Router;
use axum::http::StatusCode;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::{NoContext, Timestamp, Uuid};
use wallet::base::clock::Clock;
use wallet::base::money::{Currency, Money};
use wallet::channel::ChannelError;
use wallet::channel::acquirer::{
    Acquirer, Asked, HearError, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Spoken, TransferWord,
};
use wallet::channel::unionpay::issue::{Statement, issue};
use wallet::channel::unionpay::sign::{generate, private_pem};
use wallet::channel::unionpay::{Agreement, UnionPay};

use super::super::Others;
use super::super::harness::{LIMIT, Playing, asked, served};
use super::*;

const COMPANY: &str = "中国银联股份有限公司";
const MERCHANT: &str = MERCHANT_NO;
const ROOT: &str = "CFCA TEST OCA1";

static ROOT_KEY: LazyLock<KeyPair> = LazyLock::new(generate);
static UNIONPAY_KEY: LazyLock<KeyPair> = LazyLock::new(generate);
static MERCHANT_KEY: LazyLock<KeyPair> = LazyLock::new(generate);
static OTHER_KEY: LazyLock<KeyPair> = LazyLock::new(generate);

fn issued(issuer: &str, subject: &str, serial: u8, key: &KeyPair, issuer_key: &KeyPair) -> String {
    let now = Clock::wall();
    let (not_before, not_after) = (now - TimeDelta::days(1), now + TimeDelta::days(1));
    issue(&Statement { issuer, subject, serial: &[serial], not_before, not_after }, key, issuer_key)
}

fn root() -> String {
    issued(ROOT, ROOT, 1, &ROOT_KEY, &ROOT_KEY)
}

fn unionpay_certificate() -> String {
    issued(ROOT, &format!("041@83@{COMPANY}@00016494"), 2, &UNIONPAY_KEY, &ROOT_KEY)
}

fn merchant_certificate() -> String {
    issued(ROOT, "041@84@好店@1", 3, &MERCHANT_KEY, &ROOT_KEY)
}

fn adapter(url: &str, notify_url: &str) -> UnionPay {
    UnionPay::try_new(&Agreement {
        base_url: url,
        merchant_no: MERCHANT,
        terminal_no: "49000002",
        certificate_pem: &merchant_certificate(),
        private_key_pem: &private_pem(&MERCHANT_KEY),
        issuers_pem: &[root()],
        company: COMPANY,
        notify_url,
        timeout: LIMIT,
    })
    .unwrap()
}

/// A running simulator and the adapter that speaks to it.
struct World {
    playing: Playing,
    unionpay: UnionPay,
}

async fn world() -> World {
    let hand = Hand::try_new(&private_pem(&UNIONPAY_KEY), &unionpay_certificate(), &merchant_certificate()).unwrap();
    let playing = Playing::begin(Others { unionpay: Some(Arc::new(hand)), ..Others::default() }, MERCHANT, (StatusCode::OK, "ok")).await;
    World { unionpay: adapter(&playing.url, &playing.notify_url), playing }
}

impl World {
    async fn heard(&mut self) -> Spoken {
        let (headers, body) = self.playing.next().await;
        self.unionpay.hear(&headers, &body, Clock::wall()).unwrap().spoken
    }

    /// Asks until the refund has its result.
    async fn refunded(&self, refund: &Asked, payment: &Asked) -> TransferWord {
        let asking = async {
            loop {
                match self.unionpay.query_refund(refund, payment, Money::cny(250)).await.unwrap() {
                    Some(TransferWord::Accepted) | None => tokio::task::yield_now().await,
                    Some(word) => return word,
                }
            }
        };
        tokio::time::timeout(LIMIT, asking).await.expect("a result comes")
    }
}

/// A number that was given out so long ago.
fn number_of(age: TimeDelta) -> String {
    let at = Clock::wall() - age;
    Uuid::new_v7(Timestamp::from_unix(NoContext, at.timestamp().unsigned_abs(), 0)).simple().to_string()
}

fn order(request_no: &str, method: Method) -> PaymentOrder {
    PaymentOrder {
        request_no: request_no.to_owned(),
        amount: Money::cny(1_250),
        description: "咖啡 & 蛋糕=好".to_owned(),
        method,
        payer: (method == Method::Barcode).then(|| "6220835931895481430".to_owned()),
        return_url: Some("https://pay.example/done?a=1&b=2".to_owned()),
        expires_at: Clock::wall() + TimeDelta::minutes(20),
        split: false,
    }
}

fn scanned(request_no: &str, code: &str) -> PaymentOrder {
    PaymentOrder { payer: Some(code.to_owned()), ..order(request_no, Method::Barcode) }
}

/// The id of a payment out of what the customer is given.
fn transaction_of(state: PaymentState) -> String {
    match state.invitation.unwrap() {
        Invitation::Call(json) => serde_json::from_str::<serde_json::Value>(&json).unwrap()["tn"].as_str().unwrap().to_owned(),
        Invitation::Code(url) => url.rsplit('/').next().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn paid(word: &PaymentWord) -> Option<(&str, i64, &str)> {
    match word {
        PaymentWord::Succeeded { transaction_id, amount_minor, currency, at } => {
            assert!((Clock::wall() - at).abs() < TimeDelta::minutes(1), "paid just now: {at}");
            Some((transaction_id, *amount_minor, currency))
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_payment_in_the_app_or_by_code_is_found_only_when_somebody_has_paid_it() {
    let mut world = world().await;
    for method in [Method::Wap, Method::InApp, Method::Native] {
        let number = number_of(TimeDelta::zero());
        let first = world.unionpay.pay(&order(&number, method)).await.unwrap();
        assert_eq!(first.word, PaymentWord::Pending);
        assert_eq!(world.unionpay.pay(&order(&number, method)).await.unwrap(), first, "the same request gives the same payment");
        assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap(), None, "nobody has opened it");

        let transaction = transaction_of(first);
        world.playing.confirm(&transaction).await;
        let known = world.unionpay.query(&asked(&number)).await.unwrap().unwrap();
        assert_eq!(paid(&known.word), Some((transaction.as_str(), 1_250, "CNY")), "{known:?}");
        let Spoken::Payment { request_no, word } = world.heard().await else { panic!("a notice of a payment") };
        assert_eq!((request_no, &word), (number.clone(), &known.word), "the notice says the same");

        let again = world.unionpay.pay(&order(&number, method)).await.unwrap();
        assert_eq!(again, known, "a repeated request that was carried out gives what it came to");
        assert_eq!(world.unionpay.close(&asked(&number)).await.unwrap(), known, "the payer was faster");
    }
}

#[tokio::test]
async fn a_number_with_another_time_is_not_found() {
    let world = world().await;
    let number = number_of(TimeDelta::minutes(3));
    let transaction = transaction_of(world.unionpay.pay(&order(&number, Method::Native)).await.unwrap());
    world.playing.confirm(&transaction).await;
    let mut fields: Fields = [("merId", MERCHANT), ("orderId", &number), ("txnType", "00"), ("txnSubType", "00")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    let head = [("version", VERSION), ("signMethod", SIGN_METHOD), ("certId", "3"), ("txnTime", "20260101000000")];
    fields.extend(head.map(|(k, v)| (k.to_owned(), v.to_owned())));
    sign::sign(&mut fields, &MERCHANT_KEY);
    let body = wallet::channel::unionpay::wire::form(&fields);
    let answer = reqwest::Client::new().post(format!("{}{}", world.playing.url, QUERY.path)).body(body).send().await.unwrap();
    assert!(answer.text().await.unwrap().contains("respCode=34"));
}

#[tokio::test]
async fn a_scanned_code_is_paid_declined_or_waits_for_the_payer() {
    let mut world = world().await;
    let number = number_of(TimeDelta::zero());
    let taken = world.unionpay.pay(&scanned(&number, "6220835931895481430")).await.unwrap();
    assert_eq!(taken, PaymentState { invitation: Some(Invitation::Wait), word: PaymentWord::Pending }, "taken in is no success");
    let known = world.unionpay.query(&asked(&number)).await.unwrap().unwrap();
    assert!(paid(&known.word).is_some(), "{known:?}");
    assert_eq!(world.heard().await, Spoken::Payment { request_no: number.clone(), word: known.word.clone() });
    let again = world.unionpay.pay(&scanned(&number, "6220835931895481430")).await.unwrap();
    assert_eq!(again, known, "the code is used up, and what it came to is told");

    let number = number_of(TimeDelta::zero());
    let failed = PaymentWord::Failed { code: "64".to_owned() };
    world.unionpay.pay(&scanned(&number, "6220835931895481464")).await.unwrap();
    assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap().unwrap().word, failed);
    assert_eq!(world.heard().await, Spoken::Payment { request_no: number, word: failed });

    let number = number_of(TimeDelta::zero());
    let refused = world.unionpay.pay(&scanned(&number, "1")).await;
    assert!(matches!(&refused, Err(ChannelError::Refused { code }) if code == NO_SUCH_CODE), "{refused:?}");
    assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap(), None);
}

#[tokio::test]
async fn an_open_counter_payment_is_closed_by_reversal() {
    let mut world = world().await;
    let number = number_of(TimeDelta::zero());
    world.unionpay.pay(&scanned(&number, "6220835931895481405")).await.unwrap();
    assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap().unwrap().word, PaymentWord::Pending);
    let failed = PaymentWord::Failed { code: REVERSED.to_owned() };
    assert_eq!(world.unionpay.close(&asked(&number)).await.unwrap().word, failed);
    assert_eq!(world.heard().await, Spoken::Payment { request_no: number.clone(), word: failed.clone() });
    assert_eq!(world.unionpay.close(&asked(&number)).await.unwrap().word, failed, "closing again changes nothing");
}

#[tokio::test]
async fn what_nobody_paid_is_closed_by_its_time_and_not_before() {
    let world = world().await;
    for method in [Method::Wap, Method::Native] {
        let number = number_of(TimeDelta::minutes(34));
        let transaction = transaction_of(world.unionpay.pay(&order(&number, method)).await.unwrap());
        let early = world.unionpay.close(&asked(&number)).await;
        assert!(matches!(&early, Err(ChannelError::BadAnswer(why)) if why.contains("time to pay")), "{early:?}");
        // too late by the time that was sent along, not yet by the time that is allowed for what is on its way
        world.playing.confirm(&transaction).await;
        assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap(), None, "nobody can pay it any more");

        let number = number_of(TimeDelta::minutes(36));
        world.unionpay.pay(&order(&number, method)).await.unwrap();
        assert_eq!(world.unionpay.close(&asked(&number)).await.unwrap(), PaymentState { invitation: None, word: PaymentWord::Closed });
    }
}

#[tokio::test]
async fn a_payment_that_came_after_an_early_close_is_found_late() {
    let mut world = world().await;
    let number = number_of(TimeDelta::zero());
    let transaction = transaction_of(world.unionpay.pay(&order(&number, Method::Native)).await.unwrap());
    assert!(world.unionpay.close(&asked(&number)).await.is_err());
    assert_eq!(world.playing.decide(&transaction, "confirm", serde_json::json!({"notices": 0})).await, StatusCode::OK);
    assert!(world.playing.notices.try_recv().is_err(), "the notice is held back");
    let known = world.unionpay.query(&asked(&number)).await.unwrap().unwrap();
    assert!(paid(&known.word).is_some(), "{known:?}");
    assert_eq!(world.heard().await, Spoken::Payment { request_no: number, word: known.word }, "asked for, it comes late");
}

#[tokio::test]
async fn a_declined_payment_fails_for_good_only_when_its_time_is_over() {
    let mut world = world().await;
    let number = number_of(TimeDelta::zero());
    let transaction = transaction_of(world.unionpay.pay(&order(&number, Method::InApp)).await.unwrap());
    world.playing.decide(&transaction, "decline", serde_json::json!({"code": "64"})).await;
    assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap().unwrap().word, PaymentWord::Pending, "another card may pay");
    assert_eq!(world.heard().await, Spoken::Payment { request_no: number, word: PaymentWord::Pending });
}

#[tokio::test]
async fn money_goes_back_once_and_never_more_than_came() {
    let mut world = world().await;
    let payment = number_of(TimeDelta::zero());
    let transaction_id = transaction_of(world.unionpay.pay(&order(&payment, Method::Native)).await.unwrap());
    let refund_of = |request_no: &str, minor| RefundOrder {
        request_no: request_no.to_owned(),
        payment: asked(&payment),
        transaction_id: transaction_id.clone(),
        paid: Money::cny(1_250),
        amount: Money::cny(minor),
        reason: "退货".to_owned(),
        shares: Vec::new(),
    };
    let early = world.unionpay.refund(&refund_of(&number_of(TimeDelta::zero()), 250)).await;
    assert!(matches!(&early, Err(ChannelError::Refused { code }) if code == code::ORIGINAL_UNFIT), "{early:?}");
    world.playing.confirm(&transaction_id).await;
    assert!(matches!(world.heard().await, Spoken::Payment { .. }));

    let refund = number_of(TimeDelta::zero());
    assert_eq!(world.unionpay.query_refund(&asked(&refund), &asked(&payment), Money::cny(250)).await.unwrap(), None);
    assert_eq!(world.unionpay.refund(&refund_of(&refund, 250)).await.unwrap(), TransferWord::Accepted);
    let again = world.unionpay.refund(&refund_of(&refund, 250)).await.unwrap();
    assert!(!matches!(again, TransferWord::Failed { .. }), "a repeated request gives the same refund: {again:?}");
    let word = world.refunded(&asked(&refund), &asked(&payment)).await;
    assert!(matches!(word, TransferWord::Succeeded { .. }), "{word:?}");
    let spoken = Spoken::Refund { request_no: refund, amount_minor: 250, currency: "CNY".to_owned(), word };
    assert_eq!(world.heard().await, spoken);

    let more = world.unionpay.refund(&refund_of(&number_of(TimeDelta::zero()), 1_001)).await;
    assert!(matches!(&more, Err(ChannelError::Refused { code }) if code == UNLIKE_ORIGINAL), "{more:?}");
}

#[tokio::test]
async fn what_is_not_offered_is_refused_before_anything_is_sent() {
    // nobody listens there: an order that were sent would get no answer
    let unionpay = adapter("http://127.0.0.1:1", "http://127.0.0.1:1/notices");
    let good = || order(&number_of(TimeDelta::zero()), Method::Native);
    let cases = [
        ("SPLIT_NOT_OFFERED", PaymentOrder { split: true, ..good() }),
        ("METHOD_NOT_OFFERED", PaymentOrder { method: Method::Page, ..good() }),
        ("PAYER_MISSING", PaymentOrder { method: Method::Barcode, payer: None, ..good() }),
        ("CURRENCY_NOT_OFFERED", PaymentOrder { amount: Money { minor: 1, currency: Currency::Usd }, ..good() }),
        ("NUMBER_WITHOUT_TIME", PaymentOrder { request_no: "0".repeat(32), ..good() }),
    ];
    for (expected, order) in cases {
        let refused = unionpay.pay(&order).await;
        assert!(matches!(&refused, Err(ChannelError::Refused { code }) if code == expected), "{expected}: {refused:?}");
    }
    assert!(matches!(unionpay.pay(&good()).await, Err(ChannelError::NoAnswer(_))));
    assert!(!unionpay.methods().contains(&Method::Page));
}

/// A counterparty that answers each request as `answer` makes it out of what was asked.
async fn counterparty(answer: impl Fn(Fields) -> (StatusCode, String) + Clone + Send + Sync + 'static) -> UnionPay {
    let handler = move |body: Bytes| {
        let answer = answer(read_form(&body).unwrap());
        async move { answer }
    };
    adapter(&served(Router::new().fallback(handler)).await, "http://127.0.0.1:1/notices")
}

/// An answer of success to a payment by code, with changes, sealed by a key and its certificate.
fn success(asked: &Fields, changes: &[(&str, &str)], key: &KeyPair, certificate: &str) -> (StatusCode, String) {
    let mut fields: Fields = ["merId", "orderId", "txnTime", "txnType", "txnSubType"].map(|k| (k.to_owned(), asked[k].clone())).into();
    let time = asked["txnTime"][4..].to_owned();
    let said = [
        ("version", VERSION),
        ("signMethod", SIGN_METHOD),
        ("respCode", "00"),
        ("origRespCode", "00"),
        ("qrCode", "https://qr.95516.com/1"),
        ("queryId", "951807261002324791038"),
        ("txnAmt", "1250"),
        ("currencyCode", "156"),
        ("traceTime", &time),
        (CERTIFICATE, certificate),
    ];
    fields.extend(said.iter().chain(changes).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    sign::sign(&mut fields, key);
    (StatusCode::OK, plain(&fields))
}

#[tokio::test]
async fn an_answer_counts_only_from_unionpay_and_about_what_was_asked() {
    let number = number_of(TimeDelta::zero());
    let changes: [&[(&str, &str)]; 7] = [
        &[("merId", "777290058110049")],
        &[("orderId", "017f22e279b07cc398c4dc0c0c07398f")],
        &[("txnTime", "20260101000000")],
        &[("txnType", "04")],
        &[("txnSubType", "06")],
        &[("txnAmt", "1251")],
        &[("currencyCode", "840")],
    ];
    for change in changes {
        let unionpay = counterparty(move |asked| success(&asked, change, &UNIONPAY_KEY, &unionpay_certificate())).await;
        let answer = unionpay.pay(&order(&number, Method::Native)).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{change:?}: {answer:?}");
    }
    let good = counterparty(|asked| success(&asked, &[], &UNIONPAY_KEY, &unionpay_certificate())).await;
    assert!(good.pay(&order(&number, Method::Native)).await.is_ok(), "unchanged it counts");
    assert!(paid(&good.query(&asked(&number)).await.unwrap().unwrap().word).is_some());

    let foreign = || issued("CFCA", &format!("041@83@{COMPANY}@1"), 2, &OTHER_KEY, &OTHER_KEY);
    let forged = counterparty(|asked| success(&asked, &[], &OTHER_KEY, &unionpay_certificate())).await;
    let rooted = counterparty(move |asked| success(&asked, &[], &OTHER_KEY, &foreign())).await;
    let ours = counterparty(|asked| success(&asked, &[], &MERCHANT_KEY, &merchant_certificate())).await;
    let bare = counterparty(|_| (StatusCode::OK, "respCode=00&qrCode=x".to_owned())).await;
    let garbage = counterparty(|_| (StatusCode::OK, "<html>".to_owned())).await;
    let endless = counterparty(|_| (StatusCode::OK, "a=".to_owned() + &"b".repeat(wallet::channel::unionpay::wire::BODY_MAX))).await;
    let unsure = counterparty(|asked| success(&asked, &[("origRespCode", "75")], &UNIONPAY_KEY, &unionpay_certificate())).await;
    assert!(matches!(unsure.query(&asked(&number)).await, Err(ChannelError::BadAnswer(_))), "charged without an end");
    for (name, unionpay) in
        [("forged", forged), ("another root", rooted), ("our own", ours), ("bare", bare), ("garbage", garbage), ("endless", endless)]
    {
        let answer = unionpay.pay(&order(&number, Method::Native)).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{name}: {answer:?}");
        let answer = unionpay.query(&asked(&number)).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn codes_and_states_that_prove_nothing_refuse_nothing() {
    let number = number_of(TimeDelta::zero());
    for code in ["02", "03", "04", "05", "06", "37", "99"] {
        let unionpay = counterparty(move |asked| success(&asked, &[("respCode", code)], &UNIONPAY_KEY, &unionpay_certificate())).await;
        for answer in [unionpay.pay(&order(&number, Method::Native)).await.map(Some), unionpay.query(&asked(&number)).await] {
            assert!(matches!(answer, Err(ChannelError::NoAnswer(_))), "{code}: {answer:?}");
        }
    }
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST, StatusCode::FOUND] {
        let unionpay = counterparty(move |asked| (status, success(&asked, &[], &UNIONPAY_KEY, &unionpay_certificate()).1)).await;
        assert!(matches!(unionpay.pay(&order(&number, Method::Native)).await, Err(ChannelError::NoAnswer(_))), "{status}");
    }
    let unsigned = counterparty(|asked| success(&asked, &[("respCode", "11")], &UNIONPAY_KEY, &unionpay_certificate())).await;
    assert!(matches!(unsigned.pay(&order(&number, Method::Native)).await, Err(ChannelError::BadAnswer(_))));

    // refused or a duplicate, and not known either
    for (said, refused) in [("31", true), ("12", false)] {
        let unionpay = counterparty(move |asked| {
            let code = if asked["txnType"] == "00" { "34" } else { said };
            success(&asked, &[("respCode", code)], &UNIONPAY_KEY, &unionpay_certificate())
        })
        .await;
        let answer = unionpay.pay(&order(&number, Method::Native)).await;
        assert_eq!(matches!(answer, Err(ChannelError::Refused { .. })), refused, "{said}: {answer:?}");
    }
    // refused this time, and carried out the first time
    let unionpay = counterparty(|asked| {
        let code = if asked["txnType"] == "00" { "00" } else { "39" };
        success(&asked, &[("respCode", code)], &UNIONPAY_KEY, &unionpay_certificate())
    })
    .await;
    let answer = unionpay.pay(&order(&number, Method::Native)).await.unwrap();
    assert!(paid(&answer.word).is_some(), "{answer:?}");
}

#[tokio::test]
async fn notices_forged_foreign_or_of_another_root_are_refused() {
    let mut world = world().await;
    let number = number_of(TimeDelta::zero());
    let transaction = transaction_of(world.unionpay.pay(&order(&number, Method::Native)).await.unwrap());
    world.playing.confirm(&transaction).await;
    let (headers, body) = world.playing.next().await;
    let now: DateTime<Utc> = Clock::wall();
    let hear = |body: &[u8]| world.unionpay.hear(&headers, body, now).map(|h| h.notice_id);
    assert_eq!(hear(&body), Ok(transaction), "its id is UnionPay's number of the payment");
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(hear(text.replace("txnAmt=1250", "txnAmt=9250").as_bytes()), Err(HearError::Signature), "another amount");
    let resealed = |changes: &[(&str, &str)], key: &KeyPair| {
        let mut fields = read_form(text.as_bytes()).unwrap();
        fields.extend(changes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        sign::sign(&mut fields, key);
        wallet::channel::unionpay::wire::form(&fields)
    };
    assert_eq!(hear(resealed(&[("merId", "777290058110049")], &UNIONPAY_KEY).as_bytes()), Err(HearError::Foreign), "another merchant");
    let foreign = issued("CFCA", &format!("041@83@{COMPANY}@1"), 2, &OTHER_KEY, &OTHER_KEY);
    assert_eq!(hear(resealed(&[(CERTIFICATE, &foreign)], &OTHER_KEY).as_bytes()), Err(HearError::Signature), "another root");
    assert_eq!(hear(resealed(&[], &OTHER_KEY).as_bytes()), Err(HearError::Signature), "another key");
    assert_eq!(hear(format!("{text}&txnAmt=1").as_bytes()), Err(HearError::Malformed), "a field twice");
}

#[tokio::test]
async fn the_counterparty_believes_nobody_else() {
    let world = world().await;
    let stranger = UnionPay::try_new(&Agreement {
        base_url: &world.playing.url,
        merchant_no: MERCHANT,
        terminal_no: "49000002",
        certificate_pem: &merchant_certificate(),
        private_key_pem: &private_pem(&OTHER_KEY),
        issuers_pem: &[root()],
        company: COMPANY,
        notify_url: "http://127.0.0.1:1/notices",
        timeout: LIMIT,
    })
    .unwrap();
    let number = number_of(TimeDelta::zero());
    let answer = stranger.pay(&order(&number, Method::Native)).await;
    assert!(matches!(&answer, Err(ChannelError::BadAnswer(why)) if why.contains("our signature")), "{answer:?}");
    assert_eq!(world.unionpay.query(&asked(&number)).await.unwrap(), None, "nothing was taken in");
}

#[tokio::test]
async fn answers_spoilt_on_the_way_count_for_nothing() {
    let world = world().await;
    let order = order(&number_of(TimeDelta::zero()), Method::Native);
    world.unionpay.pay(&order).await.unwrap();
    for fault in ["garbage", "wrong_key", "other_request"] {
        world.playing.profile(&format!("[answer]\n{fault} = 10000\n")).await;
        let answer = world.unionpay.pay(&order).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{fault}: {answer:?}");
    }
}
