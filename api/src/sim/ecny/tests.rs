//! Digital renminbi's adapter and counterparty over real sockets.

use std::sync::LazyLock;

use axum::Router;
use chrono::TimeDelta;
use uuid::Uuid;
use wallet::base::money::Money;
use wallet::channel::ChannelError;
use wallet::channel::acquirer::{
    Acquirer, HearError, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Spoken, TransferWord,
};
use wallet::channel::ecny::{Agreement, Ecny};
use wallet::channel::unionpay::sign::{generate, private_pem, public_pem};

use super::super::Others;
use super::super::harness::{LIMIT, Playing, asked, number, served};
use super::*;

const MERCHANT: &str = MERCHANT_NO;

static OPERATOR: LazyLock<KeyPair> = LazyLock::new(generate);
static PLATFORM: LazyLock<KeyPair> = LazyLock::new(generate);
static OTHER: LazyLock<KeyPair> = LazyLock::new(generate);

fn adapter(url: &str, key: &KeyPair, notify_url: &str) -> Ecny {
    Ecny::try_new(&Agreement {
        base_url: url,
        merchant_no: MERCHANT,
        private_key_pem: &private_pem(key),
        operator_key_pem: &public_pem(&OPERATOR),
        notify_url,
        timeout: LIMIT,
    })
    .unwrap()
}

/// A running simulator and the adapter that speaks to it.
struct World {
    playing: Playing,
    ecny: Ecny,
}

async fn world() -> World {
    let hand = Hand::try_new(&private_pem(&OPERATOR), &public_pem(&PLATFORM)).unwrap();
    let others = Others { ecny: Some(Arc::new(hand)), ..Others::default() };
    let playing = Playing::begin(others, MERCHANT, (StatusCode::NO_CONTENT, "")).await;
    World { ecny: adapter(&playing.url, &PLATFORM, &playing.notify_url), playing }
}

impl World {
    async fn heard(&mut self) -> Spoken {
        let (headers, body) = self.playing.next().await;
        self.ecny.hear(&headers, &body, Clock::wall()).unwrap().spoken
    }
}

fn order(request_no: &str, method: Method) -> PaymentOrder {
    PaymentOrder {
        request_no: request_no.to_owned(),
        amount: Money::cny(1_250),
        description: "咖啡".to_owned(),
        method,
        payer: (method == Method::InApp).then(|| "0021000000000001".to_owned()),
        return_url: None,
        expires_at: Clock::wall() + TimeDelta::minutes(20),
        split: false,
    }
}

fn code_of(state: &PaymentState) -> &str {
    let Some(Invitation::Code(url)) = &state.invitation else { panic!("{state:?}") };
    url.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn a_payment_by_code_is_made_once_paid_notified_and_found() {
    let mut world = world().await;
    let number = number();
    assert_eq!(world.ecny.query(&asked(&number)).await.unwrap(), None);
    let first = world.ecny.pay(&order(&number, Method::Native)).await.unwrap();
    assert_eq!(first.word, PaymentWord::Pending);
    assert_eq!(world.ecny.pay(&order(&number, Method::Native)).await.unwrap(), first, "the same request gives the same payment");
    let dearer = PaymentOrder { amount: Money::cny(1_251), ..order(&number, Method::Native) };
    assert!(matches!(world.ecny.pay(&dearer).await, Err(ChannelError::BadAnswer(_))), "a number is never used for something else");
    let transaction = code_of(&first).to_owned();
    world.playing.confirm(&transaction).await;
    let known = world.ecny.query(&asked(&number)).await.unwrap().unwrap();
    assert!(
        matches!(&known.word, PaymentWord::Succeeded { transaction_id, amount_minor: 1_250, currency, .. } if *transaction_id == transaction && currency == "CNY")
    );
    assert_eq!(world.heard().await, Spoken::Payment { request_no: number.clone(), word: known.word.clone() });
    assert_eq!(world.ecny.close(&asked(&number)).await.unwrap(), known, "the payer was faster");
}

#[tokio::test]
async fn a_push_names_a_wallet_and_has_nothing_to_show() {
    let world = world().await;
    let pushed = world.ecny.pay(&order(&number(), Method::InApp)).await.unwrap();
    assert_eq!(pushed, PaymentState { invitation: Some(Invitation::Wait), word: PaymentWord::Pending });
}

#[tokio::test]
async fn a_closed_payment_stays_closed_and_an_unknown_number_is_barred() {
    let world = world().await;
    let (first, unknown) = (number(), number());
    world.ecny.pay(&order(&first, Method::Native)).await.unwrap();
    for number in [&first, &unknown] {
        assert_eq!(world.ecny.close(&asked(number)).await.unwrap().word, PaymentWord::Closed);
    }
    assert_eq!(world.ecny.query(&asked(&first)).await.unwrap().unwrap().word, PaymentWord::Closed);
    let late = world.ecny.pay(&order(&unknown, Method::Native)).await.unwrap();
    assert_eq!(late, PaymentState { invitation: None, word: PaymentWord::Closed }, "it cannot be paid any more");
}

#[tokio::test]
async fn money_goes_back_at_once_and_never_more_than_came() {
    let mut world = world().await;
    let payment = number();
    let transaction = code_of(&world.ecny.pay(&order(&payment, Method::Native)).await.unwrap()).to_owned();
    let refund_of = |request_no: &str, minor| RefundOrder {
        request_no: request_no.to_owned(),
        payment: asked(&payment),
        transaction_id: transaction.clone(),
        paid: Money::cny(1_250),
        amount: Money::cny(minor),
        reason: "退货".to_owned(),
        shares: Vec::new(),
    };
    let early = world.ecny.refund(&refund_of(&number(), 250)).await;
    assert!(matches!(&early, Err(ChannelError::Refused { code }) if code == "PAYMENT_NOT_PAID"), "{early:?}");
    world.playing.confirm(&transaction).await;
    assert!(matches!(world.heard().await, Spoken::Payment { .. }));
    let refund = number();
    assert_eq!(world.ecny.query_refund(&asked(&refund), &asked(&payment), Money::cny(250)).await.unwrap(), None);
    let word = world.ecny.refund(&refund_of(&refund, 250)).await.unwrap();
    assert!(matches!(word, TransferWord::Succeeded { .. }), "{word:?}");
    assert_eq!(world.ecny.refund(&refund_of(&refund, 250)).await.unwrap(), word, "the same request gives the same refund");
    assert_eq!(world.ecny.query_refund(&asked(&refund), &asked(&payment), Money::cny(250)).await.unwrap(), Some(word.clone()));
    assert_eq!(world.heard().await, Spoken::Refund { request_no: refund, amount_minor: 250, currency: "CNY".to_owned(), word });
    let more = world.ecny.refund(&refund_of(&number(), 1_001)).await;
    assert!(matches!(&more, Err(ChannelError::Refused { code }) if code == "AMOUNT_EXCEEDS_PAYMENT"), "{more:?}");
}

#[tokio::test]
async fn what_is_not_offered_is_refused_before_anything_is_sent() {
    // nobody listens there: an order that were sent would get no answer
    let ecny = adapter("http://127.0.0.1:1", &PLATFORM, "http://127.0.0.1:1/notices");
    let cases = [
        ("SPLIT_NOT_OFFERED", PaymentOrder { split: true, ..order(&number(), Method::Native) }),
        ("METHOD_NOT_OFFERED", order(&number(), Method::Barcode)),
        ("PAYER_MISSING", PaymentOrder { payer: None, ..order(&number(), Method::InApp) }),
    ];
    for (expected, order) in cases {
        let refused = ecny.pay(&order).await;
        assert!(matches!(&refused, Err(ChannelError::Refused { code }) if code == expected), "{expected}: {refused:?}");
    }
    assert!(matches!(ecny.pay(&order(&number(), Method::Native)).await, Err(ChannelError::NoAnswer(_))));
}

/// A counterparty that gives one answer, under the nonce of the request or another, by a key, with a status.
async fn counterparty(answer: Answer, echo: bool, key: &'static KeyPair, status: StatusCode) -> Ecny {
    let handler = move |headers: HeaderMap| {
        let bytes = serde_json::to_vec(&answer).unwrap();
        let asked = headers["x-ecny-nonce"].to_str().unwrap().to_owned();
        let sealed = seal(key, &if echo { asked } else { nonce() }, &bytes, Clock::wall());
        async move { (status, sealed, bytes) }
    };
    adapter(&served(Router::new().fallback(handler)).await, &PLATFORM, "http://127.0.0.1:1/notices")
}

#[tokio::test]
async fn an_answer_counts_only_from_the_operator_and_about_what_was_asked() {
    let number = number();
    let payment = wire::Payment {
        merchant_no: MERCHANT.to_owned(),
        request_no: number.clone(),
        transaction_id: "T1".to_owned(),
        status: wallet::channel::sandbox::wire::PaymentStatus::UserPending,
        amount_minor: 1_250,
        currency: "CNY".to_owned(),
        code: Some("code".to_owned()),
        paid_at: None,
        error_code: None,
    };
    let said = |p: wire::Payment| Answer::Payment(p);
    let good = counterparty(said(payment.clone()), true, &OPERATOR, StatusCode::OK).await;
    assert!(good.pay(&order(&number, Method::Native)).await.is_ok(), "unchanged it counts");
    let refused = |code: &str| Answer::Refused { code: code.to_owned() };
    let bad = [
        (
            "another merchant",
            counterparty(said(wire::Payment { merchant_no: "E2".into(), ..payment.clone() }), true, &OPERATOR, StatusCode::OK).await,
        ),
        (
            "another number",
            counterparty(said(wire::Payment { request_no: "r2".into(), ..payment.clone() }), true, &OPERATOR, StatusCode::OK).await,
        ),
        ("another amount", counterparty(said(wire::Payment { amount_minor: 1, ..payment.clone() }), true, &OPERATOR, StatusCode::OK).await),
        ("no code", counterparty(said(wire::Payment { code: None, ..payment.clone() }), true, &OPERATOR, StatusCode::OK).await),
        ("another request's nonce", counterparty(said(payment.clone()), false, &OPERATOR, StatusCode::OK).await),
        ("another key", counterparty(said(payment.clone()), true, &OTHER, StatusCode::OK).await),
        ("a number that was used", counterparty(refused(code::NUMBER_REUSED), true, &OPERATOR, StatusCode::OK).await),
        ("our signature", counterparty(refused(code::SIGNATURE_INVALID), true, &OPERATOR, StatusCode::OK).await),
    ];
    for (name, ecny) in bad {
        let answer = ecny.pay(&order(&number, Method::Native)).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{name}: {answer:?}");
    }
    for ecny in [
        counterparty(refused(code::BUSY), true, &OPERATOR, StatusCode::OK).await,
        counterparty(said(payment), true, &OPERATOR, StatusCode::BAD_GATEWAY).await,
    ] {
        assert!(matches!(ecny.pay(&order(&number, Method::Native)).await, Err(ChannelError::NoAnswer(_))));
    }
    let asked_back = counterparty(refused(code::REQUEST_INVALID), true, &OPERATOR, StatusCode::OK).await;
    assert!(matches!(asked_back.query(&asked(&number)).await, Err(ChannelError::BadAnswer(_))), "a refused question proves nothing");
}

#[tokio::test]
async fn notices_forged_or_stale_are_refused_and_strangers_are_not_served() {
    let mut world = world().await;
    let number = number();
    let transaction = code_of(&world.ecny.pay(&order(&number, Method::Native)).await.unwrap()).to_owned();
    world.playing.confirm(&transaction).await;
    let (headers, body) = world.playing.next().await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let now = Clock::wall();
    assert!(world.ecny.hear(&headers, &body, now).is_ok());
    let forged = text.replace("1250", "9250");
    assert_eq!(world.ecny.hear(&headers, forged.as_bytes(), now), Err(HearError::Signature));
    assert_eq!(world.ecny.hear(&headers, &body, now + TimeDelta::minutes(6)), Err(HearError::Signature));
    let foreign = text.replace(MERCHANT, "ECNY0002");
    let sealed = seal(&OPERATOR, &nonce(), foreign.as_bytes(), now);
    assert_eq!(world.ecny.hear(&sealed, foreign.as_bytes(), now), Err(HearError::Foreign));

    let stranger = adapter(&world.playing.url, &OTHER, "http://127.0.0.1:1/notices");
    let answer = stranger.pay(&order(&Uuid::now_v7().simple().to_string(), Method::Native)).await;
    assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{answer:?}");
}
