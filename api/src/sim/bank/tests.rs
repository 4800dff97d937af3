//! The bank's adapter and counterparty over real sockets, in both dialects.

use std::sync::LazyLock;

use axum::Router;
use chrono::TimeDelta;
use wallet::base::money::Money;
use wallet::channel::ChannelError;
use wallet::channel::acquirer::{
    Acquirer, HearError, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Spoken, TransferWord,
};
use wallet::channel::bank::sign::{Dialect, generate, public_pem};
use wallet::channel::bank::wire::Charset;
use wallet::channel::bank::{Agreement, Bank, DirectBank, Link};
use wallet::channel::payout::{PayoutOrder, PayoutRail, PayoutState, PayoutStatus};

use super::super::Others;
use super::super::harness::{LIMIT, Playing, asked, number, served};
use super::*;

static BANK: LazyLock<String> = LazyLock::new(generate);
static PLATFORM: LazyLock<String> = LazyLock::new(generate);
static OTHER: LazyLock<String> = LazyLock::new(generate);

fn corporate() -> Terms {
    Terms { dialect: Dialect::Corporate, user_id: USER_ID.to_owned(), charset: Charset::Gbk }
}

fn acquiring() -> Terms {
    Terms { dialect: Dialect::Acquiring, user_id: String::new(), charset: Charset::Utf8 }
}

fn link(url: &str, key: &str, notify_url: &str, terms: Terms) -> Link {
    Link::try_new(&Agreement {
        base_url: url,
        merchant_no: MERCHANT_NO,
        terms,
        private_key_pem: key,
        bank_key_pem: &public_pem(&BANK).unwrap(),
        notify_url,
        timeout: LIMIT,
    })
    .unwrap()
}

/// A running simulator and the adapters that speak to it.
struct World {
    playing: Playing,
    bank: Bank,
    payouts: DirectBank,
}

async fn world(terms: Terms) -> World {
    let hand = Hand::try_new(&BANK, &public_pem(&PLATFORM).unwrap(), terms.clone()).unwrap();
    let others = Others { bank: Some(Arc::new(hand)), ..Others::default() };
    let playing = Playing::begin(others, MERCHANT_NO, (StatusCode::OK, TAKEN)).await;
    let link = link(&playing.url, &PLATFORM, &playing.notify_url, terms);
    World { bank: Bank::new(link.clone()), payouts: DirectBank::new(link), playing }
}

impl World {
    async fn next(&mut self) -> Bytes {
        self.playing.next().await.1
    }

    async fn heard(&mut self) -> Spoken {
        let body = self.next().await;
        self.bank.hear(&HeaderMap::new(), &body, Clock::wall()).unwrap().spoken
    }
}

fn order(request_no: &str, method: Method) -> PaymentOrder {
    PaymentOrder {
        request_no: request_no.to_owned(),
        amount: Money::cny(1_250),
        description: "咖啡 & 茶😀".to_owned(),
        method,
        payer: None,
        return_url: Some("https://haodian.example/cashier/x?a=1&b=2".to_owned()),
        expires_at: Clock::wall() + TimeDelta::minutes(20),
        split: false,
    }
}

fn transaction(state: &PaymentState) -> String {
    let (Some(Invitation::Url(url) | Invitation::Code(url)), PaymentWord::Pending) = (&state.invitation, &state.word) else {
        panic!("{state:?}")
    };
    url.rsplit('/').next().unwrap().to_owned()
}

fn refund_of(payment: &str, request_no: &str, minor: i64) -> RefundOrder {
    RefundOrder {
        request_no: request_no.to_owned(),
        payment: asked(payment),
        transaction_id: "T".to_owned(),
        paid: Money::cny(1_250),
        amount: Money::cny(minor),
        reason: "退货".to_owned(),
        shares: Vec::new(),
    }
}

fn payout(request_no: &str, account: &str) -> PayoutOrder {
    PayoutOrder {
        request_no: request_no.to_owned(),
        payee_name: "上海好店商贸有限公司".to_owned(),
        payee_account: account.to_owned(),
        amount: Money::cny(70_000),
    }
}

#[tokio::test]
async fn a_payment_is_made_once_paid_notified_found_and_given_back_in_either_dialect() {
    for terms in [corporate(), acquiring()] {
        let mut world = world(terms).await;
        let request_no = number();
        assert_eq!(world.bank.query(&asked(&request_no)).await.unwrap(), None);
        let first = world.bank.pay(&order(&request_no, Method::Page)).await.unwrap();
        assert_eq!(world.bank.pay(&order(&request_no, Method::Page)).await.unwrap(), first, "the same request gives the same payment");
        let dearer = PaymentOrder { amount: Money::cny(1_251), ..order(&request_no, Method::Page) };
        assert!(matches!(world.bank.pay(&dearer).await, Err(ChannelError::BadAnswer(_))), "a number is never used for something else");
        let early = world.bank.refund(&refund_of(&request_no, &number(), 250)).await;
        assert!(matches!(&early, Err(ChannelError::Refused { code }) if code == "PAYMENT_NOT_PAID"), "{early:?}");
        world.playing.confirm(&transaction(&first)).await;
        let known = world.bank.query(&asked(&request_no)).await.unwrap().unwrap();
        assert!(matches!(&known.word, PaymentWord::Succeeded { amount_minor: 1_250, currency, .. } if currency == "CNY"), "{known:?}");
        assert_eq!(world.heard().await, Spoken::Payment { request_no: request_no.clone(), word: known.word.clone() });
        assert_eq!(world.bank.close(&asked(&request_no)).await.unwrap(), known, "the payer was faster");

        let refund = number();
        assert_eq!(world.bank.query_refund(&asked(&refund), &asked(&request_no), Money::cny(250)).await.unwrap(), None);
        assert_eq!(world.bank.refund(&refund_of(&request_no, &refund, 250)).await.unwrap(), TransferWord::Accepted);
        let told = world.heard().await;
        let word = world.bank.query_refund(&asked(&refund), &asked(&request_no), Money::cny(250)).await.unwrap().unwrap();
        assert!(matches!(word, TransferWord::Succeeded { .. }), "{word:?}");
        assert_eq!(told, Spoken::Refund { request_no: refund.clone(), amount_minor: 250, currency: "CNY".to_owned(), word: word.clone() });
        assert_eq!(world.bank.refund(&refund_of(&request_no, &refund, 250)).await.unwrap(), word, "the same request gives the same refund");
        let more = world.bank.refund(&refund_of(&request_no, &number(), 1_001)).await;
        assert!(matches!(&more, Err(ChannelError::Refused { code }) if code == "AMOUNT_EXCEEDS_PAYMENT"), "{more:?}");

        let code = world.bank.pay(&order(&number(), Method::Native)).await.unwrap();
        assert!(matches!(code.invitation, Some(Invitation::Code(_))), "{code:?}");
    }
}

#[tokio::test]
async fn a_closed_payment_stays_closed_and_an_unknown_number_is_barred() {
    let world = world(corporate()).await;
    let (first, unknown) = (number(), number());
    world.bank.pay(&order(&first, Method::Native)).await.unwrap();
    for number in [&first, &unknown] {
        assert_eq!(world.bank.close(&asked(number)).await.unwrap().word, PaymentWord::Closed);
    }
    assert_eq!(world.bank.query(&asked(&first)).await.unwrap().unwrap().word, PaymentWord::Closed);
    let late = world.bank.pay(&order(&unknown, Method::Native)).await.unwrap();
    assert_eq!(late, PaymentState { invitation: None, word: PaymentWord::Closed }, "it cannot be paid any more");
}

#[tokio::test]
async fn what_is_paid_out_is_taken_in_first_succeeds_later_and_may_come_back() {
    for terms in [corporate(), acquiring()] {
        let mut world = world(terms).await;
        let (good, closed, unknown) = (number(), number(), number());
        assert_eq!(world.payouts.query(&unknown).await.unwrap(), None);
        let taken = world.payouts.payout(&payout(&good, "6222020200001123456")).await.unwrap();
        assert_eq!(taken.status, PayoutStatus::Accepted, "taking in is no success");
        let body = world.next().await;
        let told = world.payouts.hear(&HeaderMap::new(), &body, Clock::wall()).unwrap().spoken;
        let reference = taken.bank_reference.clone().unwrap();
        let paid = Spoken::Payout {
            request_no: good.clone(),
            amount_minor: 70_000,
            currency: "CNY".to_owned(),
            bank_reference: reference.clone(),
            word: PayoutStatus::Succeeded,
        };
        assert_eq!(told, paid);
        let state = PayoutState { status: PayoutStatus::Succeeded, bank_reference: Some(reference) };
        assert_eq!(world.payouts.payout(&payout(&good, "6222020200001123456")).await.unwrap(), state, "the same number pays once");
        let other = world.payouts.payout(&payout(&good, "6222020200009999999")).await;
        assert!(matches!(other, Err(ChannelError::BadAnswer(_))), "another payee is another payout: {other:?}");

        world.payouts.payout(&payout(&closed, "6222020200000001")).await.unwrap();
        world.next().await;
        let failed = world.payouts.query(&closed).await.unwrap().unwrap().status;
        assert_eq!(failed, PayoutStatus::Failed { code: "ACCOUNT_CLOSED".to_owned() });

        world.playing.profile("[business]\npayout_return = 10000\nafter_ms = [50, 50]\n").await;
        let back = number();
        world.payouts.payout(&payout(&back, "6222020200001123456")).await.unwrap();
        for expected in [PayoutStatus::Succeeded, PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() }] {
            let body = world.next().await;
            let told = world.payouts.hear(&HeaderMap::new(), &body, Clock::wall()).unwrap().spoken;
            assert!(matches!(&told, Spoken::Payout { word, .. } if *word == expected), "{told:?}");
        }
        let state = world.payouts.query(&back).await.unwrap().unwrap().status;
        assert_eq!(state, PayoutStatus::Returned { code: "ACCOUNT_CLOSED".to_owned() }, "it is found, too");
        let journal = std::fs::read_to_string(world.playing.folder.join("journal.jsonl")).unwrap();
        assert!(!journal.contains("上海好店") && !journal.contains("622202"), "no payee lies on the disk");
    }
}

#[tokio::test]
async fn what_is_not_offered_or_cannot_be_written_is_refused_before_anything_is_sent() {
    // nobody listens there: an order that were sent would get no answer
    let link = link("http://127.0.0.1:1", &PLATFORM, "http://127.0.0.1:1/notices", corporate());
    let (bank, payouts) = (Bank::new(link.clone()), DirectBank::new(link));
    let cases = [
        ("SPLIT_NOT_OFFERED", PaymentOrder { split: true, ..order(&number(), Method::Page) }),
        ("METHOD_NOT_OFFERED", order(&number(), Method::InApp)),
    ];
    for (expected, order) in cases {
        let refused = bank.pay(&order).await;
        assert!(matches!(&refused, Err(ChannelError::Refused { code }) if code == expected), "{expected}: {refused:?}");
    }
    let unwritable = PayoutOrder { payee_name: "张\u{20bb7}".to_owned(), ..payout(&number(), "6222020200001123456") };
    let refused = payouts.payout(&unwritable).await;
    assert!(matches!(&refused, Err(ChannelError::Refused { code }) if code == "PAYEE_NAME_NOT_WRITABLE"), "{refused:?}");
    assert!(matches!(bank.pay(&order(&number(), Method::Page)).await, Err(ChannelError::NoAnswer(_))));
}

/// What is done to an answer before it is signed.
type Spoil = fn(&mut Message);

/// A counterparty that answers with these fields, after an echo that `change` may spoil, by a key, with a status.
async fn counterparty(more: Fields, change: Spoil, key: &'static str, status: StatusCode) -> Bank {
    let (ear, hand) = (
        Seal::try_new(&BANK, &public_pem(&PLATFORM).unwrap(), corporate()).unwrap(),
        Seal::try_new(key, &public_pem(&PLATFORM).unwrap(), corporate()).unwrap(),
    );
    let pair = Arc::new((ear, hand));
    let handler = move |body: Bytes| {
        let (ear, hand) = &*pair;
        let asked = ear.open(&body, Clock::wall()).unwrap();
        let mut answer = Message::default();
        for name in [field::TRX, field::MERCHANT, field::SERIAL, field::ORDER] {
            answer.set(name, asked.get(name).unwrap().to_owned());
        }
        more.iter().for_each(|(name, value)| answer.set(name, value.clone()));
        change(&mut answer);
        let bytes = hand.seal(answer, Clock::wall()).unwrap();
        async move { (status, bytes) }
    };
    let url = served(Router::new().fallback(handler)).await;
    Bank::new(link(&url, &PLATFORM, "http://127.0.0.1:1/notices", corporate()))
}

#[tokio::test]
async fn an_answer_counts_only_from_the_bank_and_about_what_was_asked() {
    let fields: Fields = [
        (field::RETCODE, code::OK),
        (field::TRADE_NO, "T1"),
        (field::STATUS, "WAIT"),
        (field::AMOUNT, "12.50"),
        (field::CURRENCY, "CNY"),
        (field::PAY_URL, "http://127.0.0.1:1/pay/T1"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec();
    let ok = StatusCode::OK;
    let asked_of = async |bank: Bank| bank.pay(&order(&number(), Method::Page)).await;
    assert!(asked_of(counterparty(fields.clone(), |_| {}, &BANK, ok).await).await.is_ok(), "unchanged it counts");
    let spoilt: [(&str, Spoil); 9] = [
        ("another merchant", |m| m.set(field::MERCHANT, "7550000202".to_owned())),
        ("another number", |m| m.set(field::ORDER, "r2".to_owned())),
        ("another request's answer", |m| m.set(field::SERIAL, "0".repeat(32))),
        ("another kind of answer", |m| m.set(field::TRX, "REFUND".to_owned())),
        ("another amount", |m| m.set(field::AMOUNT, "12.51".to_owned())),
        ("no address", |m| m.set(field::PAY_URL, String::new())),
        ("no state", |m| m.set(field::STATUS, "GONE".to_owned())),
        ("a number that was used", |m| m.set(field::RETCODE, code::NUMBER_REUSED.to_owned())),
        ("our signature", |m| m.set(field::RETCODE, code::SIGN_INVALID.to_owned())),
    ];
    for (name, change) in spoilt {
        let answer = asked_of(counterparty(fields.clone(), change, &BANK, ok).await).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{name}: {answer:?}");
    }
    let forged = asked_of(counterparty(fields.clone(), |_| {}, &OTHER, ok).await).await;
    assert!(matches!(forged, Err(ChannelError::BadAnswer(_))), "another key: {forged:?}");
    for bank in [
        counterparty(fields.clone(), |m| m.set(field::RETCODE, code::BUSY.to_owned()), &BANK, ok).await,
        counterparty(fields.clone(), |_| {}, &BANK, StatusCode::BAD_GATEWAY).await,
    ] {
        assert!(matches!(asked_of(bank).await, Err(ChannelError::NoAnswer(_))));
    }
    let asked_back = counterparty(fields, |m| m.set(field::RETCODE, code::REQUEST_INVALID.to_owned()), &BANK, ok).await;
    assert!(matches!(asked_back.query(&asked(&number())).await, Err(ChannelError::BadAnswer(_))), "a refused question proves nothing");
}

#[tokio::test]
async fn notices_forged_or_stale_are_refused_and_strangers_are_not_served() {
    let mut world = world(corporate()).await;
    let state = world.bank.pay(&order(&number(), Method::Page)).await.unwrap();
    world.playing.confirm(&transaction(&state)).await;
    let body = world.next().await;
    let (none, now) = (HeaderMap::new(), Clock::wall());
    assert!(world.bank.hear(&none, &body, now).is_ok());
    let forged = String::from_utf8(body.to_vec()).unwrap().replace("12.50", "92.50");
    assert_eq!(world.bank.hear(&none, forged.as_bytes(), now), Err(HearError::Signature));
    assert_eq!(world.bank.hear(&none, &body, now + TimeDelta::minutes(6)), Err(HearError::Signature));

    for (name, terms, key) in [("another's key", corporate(), &*OTHER), ("another dialect", acquiring(), &*PLATFORM)] {
        let stranger = Bank::new(link(&world.playing.url, key, "http://127.0.0.1:1/notices", terms));
        let answer = stranger.pay(&order(&number(), Method::Page)).await;
        assert!(matches!(answer, Err(ChannelError::BadAnswer(_))), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn answers_spoilt_on_the_way_count_for_nothing() {
    let world = world(corporate()).await;
    let request_no = number();
    world.bank.pay(&order(&request_no, Method::Page)).await.unwrap();
    for fault in ["garbage", "wrong_key", "stale", "other_request"] {
        world.playing.profile(&format!("[answer]\n{fault} = 10000\nskew_ms = [310000, 310000]\n")).await;
        let asked = world.bank.query(&asked(&request_no)).await;
        assert!(matches!(asked, Err(ChannelError::BadAnswer(_))), "{fault}: {asked:?}");
        let paid_out = world.payouts.payout(&payout(&number(), "6222020200001123456")).await;
        assert!(matches!(paid_out, Err(ChannelError::BadAnswer(_))), "{fault}: {paid_out:?}");
    }
}

#[tokio::test]
async fn what_is_told_of_others_is_refused_and_what_is_told_wrongly_is_told_as_it_is() {
    let mut world = world(corporate()).await;
    for (lie, expected) in [("wrong_merchant", None), ("changed_amount", Some((1_251, "CNY"))), ("changed_currency", Some((1_250, "USD")))]
    {
        world.playing.profile(&format!("[notice]\n{lie} = 10000\n")).await;
        let state = world.bank.pay(&order(&number(), Method::Page)).await.unwrap();
        world.playing.confirm(&transaction(&state)).await;
        let body = world.next().await;
        let heard = world.bank.hear(&HeaderMap::new(), &body, Clock::wall()).map(|heard| heard.spoken);
        match (&heard, expected) {
            (Err(HearError::Foreign), None) => {}
            (Ok(Spoken::Payment { word: PaymentWord::Succeeded { amount_minor, currency, .. }, .. }), Some(expected)) => {
                assert_eq!((*amount_minor, currency.as_str()), expected, "{lie}");
            }
            _ => panic!("{lie}: {heard:?}"),
        }
    }
}
