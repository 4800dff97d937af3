//! Digital renminbi's signatures and notices.

use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use chrono::TimeDelta;
use reqwest::header::{HeaderMap, HeaderValue};

use super::sign::{NONCE, SIGNATURE, TIMESTAMP, Unsigned, WINDOW_S, nonce, open, seal};
use super::{Agreement, AgreementError, Ecny};
use crate::base::clock::Clock;
use crate::channel::acquirer::{Acquirer, Fault, HearError, PaymentWord, Spoken, TransferWord};
use crate::channel::unionpay::sign::{generate, private_pem, public_pem};

static OPERATOR: LazyLock<KeyPair> = LazyLock::new(generate);
static OURS: LazyLock<KeyPair> = LazyLock::new(generate);

fn ecny() -> Ecny {
    Ecny::try_new(&Agreement {
        base_url: "http://127.0.0.1:1",
        merchant_no: "ECNY0001",
        private_key_pem: &private_pem(&OURS),
        operator_key_pem: &public_pem(&OPERATOR),
        notify_url: "http://127.0.0.1:1/notices/ecny",
        timeout: Duration::from_secs(1),
    })
    .unwrap()
}

#[test]
fn a_message_is_believed_only_as_it_was_signed() {
    let (now, nonce, body) = (Clock::wall(), nonce(), b"{\"a\":1}".as_slice());
    let key = OPERATOR.public_key().as_ref();
    let good = seal(&OPERATOR, &nonce, body, now);
    let with = |name, value: &str| {
        let mut headers = good.clone();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    };
    assert_eq!(open(key, &good, body, now), Ok(nonce.as_str()));
    assert_eq!(open(key, &good, body, now + TimeDelta::seconds(WINDOW_S)), Ok(nonce.as_str()), "at the edge of the window");
    let tried = |key, headers: &HeaderMap, body: &[u8], now| open(key, headers, body, now).map(str::to_owned);
    let later = (now.timestamp() + 1).to_string();
    let cases = [
        ("another body", tried(key, &good, b"{\"a\":2}", now)),
        ("another's key", tried(OURS.public_key().as_ref(), &good, body, now)),
        ("another nonce", tried(key, &with(NONCE, &"0".repeat(32)), body, now)),
        ("a nonce with a border in it", tried(key, &with(NONCE, &format!("{}.", &nonce[1..])), body, now)),
        ("another time", tried(key, &with(TIMESTAMP, &later), body, now)),
        ("no time", tried(key, &with(TIMESTAMP, "now"), body, now)),
        ("another signature", tried(key, &with(SIGNATURE, "AAAA"), body, now)),
        ("no base64", tried(key, &with(SIGNATURE, "!"), body, now)),
        ("nothing", tried(key, &HeaderMap::new(), body, now)),
        ("too late", tried(key, &good, body, now + TimeDelta::seconds(WINDOW_S + 1))),
        ("too early", tried(key, &good, body, now - TimeDelta::seconds(WINDOW_S + 1))),
    ];
    for (name, outcome) in cases {
        assert_eq!(outcome, Err(Unsigned), "{name}");
    }
}

#[test]
fn a_notice_is_heard_as_what_it_says_and_only_about_us() {
    let now = Clock::wall();
    let at = "2026-11-21T08:00:00Z".parse().unwrap();
    let hear = |body: &str, key| ecny().hear(&seal(key, &nonce(), body.as_bytes(), now), body.as_bytes(), now).map(|h| h.spoken);
    let payment = r#"{"notice_id":"N1","about":"PAYMENT","merchant_no":"ECNY0001","request_no":"r1","transaction_id":"T1","status":"SUCCEEDED",
        "amount_minor":1250,"currency":"CNY","paid_at":"2026-11-21T08:00:00Z"}"#;
    let word = PaymentWord::Succeeded { transaction_id: "T1".to_owned(), amount_minor: 1250, currency: "CNY".to_owned(), at };
    assert_eq!(hear(payment, &*OPERATOR), Ok(Spoken::Payment { request_no: "r1".to_owned(), word }));
    let refund = r#"{"notice_id":"N2","about":"REFUND","merchant_no":"ECNY0001","request_no":"r2","status":"SUCCEEDED","amount_minor":250,
        "currency":"CNY","refunded_at":"2026-11-21T08:00:00Z"}"#;
    let refunded =
        Spoken::Refund { request_no: "r2".to_owned(), amount_minor: 250, currency: "CNY".to_owned(), word: TransferWord::Succeeded { at } };
    assert_eq!(hear(refund, &*OPERATOR), Ok(refunded));

    assert_eq!(hear(payment, &*OURS), Err(HearError::Signature), "another's key");
    assert_eq!(hear(&payment.replace("ECNY0001", "ECNY0002"), &*OPERATOR), Err(HearError::Foreign));
    assert_eq!(hear(&payment.replace("\"paid_at\"", "\"at\""), &*OPERATOR), Err(HearError::Malformed), "no time");
    assert_eq!(hear(&payment.replace("N1", ""), &*OPERATOR), Err(HearError::Malformed), "no id");
    assert_eq!(hear(r#"{"notice_id":"N1","about":"REFUSED","code":"BUSY"}"#, &*OPERATOR), Err(HearError::Malformed), "no result");
    assert_eq!(hear("{", &*OPERATOR), Err(HearError::Malformed), "no JSON");
    assert_eq!(hear(&" ".repeat(super::wire::BODY_MAX + 1), &*OPERATOR), Err(HearError::Malformed), "too long");
    let late = now + TimeDelta::seconds(WINDOW_S + 1);
    let stale = ecny().hear(&seal(&OPERATOR, &nonce(), payment.as_bytes(), now), payment.as_bytes(), late);
    assert_eq!(stale, Err(HearError::Signature));
}

#[test]
fn faults_are_named_and_what_nobody_named_is_ours() {
    for (code, fault) in
        [("BALANCE_INSUFFICIENT", Fault::User), ("BUSY", Fault::Channel), ("REQUEST_INVALID", Fault::Ours), ("", Fault::Ours)]
    {
        assert_eq!(ecny().fault(code), fault, "{code}");
    }
}

#[test]
fn keys_are_checked_when_the_agreement_is_read_and_never_shown() {
    assert!(!format!("{:?}", ecny()).contains("key"));
    let private = private_pem(&OURS);
    let swapped = Ecny::try_new(&Agreement {
        base_url: "http://127.0.0.1:1",
        merchant_no: "ECNY0001",
        private_key_pem: &private,
        operator_key_pem: &private,
        notify_url: "http://127.0.0.1:1/notices/ecny",
        timeout: Duration::from_secs(1),
    });
    assert!(matches!(swapped, Err(AgreementError::Key(_))));
}
