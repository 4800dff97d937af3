//! What is decided without a connection: notices, states and codes. The exchange itself is tested against the simulator in `api`.

use chrono::TimeDelta;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::sign::tests::signer;
use super::*;
use crate::channel::wechat::sign::{PROBE, SERIAL, SIGNATURE};

const MCHID: &str = "1900000109";
const APPID: &str = "wx8888888888888888";
const PLATFORM: &str = "PUB_KEY_ID_01";
const NUMBER: &str = "0199f3a1b2c37d4e8f90a1b2c3d4e5f6";

fn api_key() -> ApiKey {
    ApiKey::try_new(&[7; 32]).unwrap()
}

fn agreement() -> Agreement {
    Agreement {
        base_url: "http://127.0.0.1:9".to_owned(),
        mchid: MCHID.to_owned(),
        appid: APPID.to_owned(),
        signer: signer("5157F09E"),
        api_key: api_key(),
        public_keys: vec![(PLATFORM.to_owned(), signer(PLATFORM).public_key().unwrap())],
        notify_url: "https://pay.example.com/notify/wechat".to_owned(),
        share_max_bps: 3_000,
        timeout: Duration::from_secs(1),
        open_for: TimeDelta::minutes(30),
        clock: Clock::default(),
    }
}

fn wechat() -> WechatPay {
    WechatPay::try_new(agreement()).unwrap()
}

fn paid() -> Value {
    json!({
        "appid": APPID, "mchid": MCHID, "out_trade_no": NUMBER, "transaction_id": "4200001",
        "trade_type": "JSAPI", "trade_state": "SUCCESS", "success_time": "2026-11-21T20:00:05+08:00",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "amount": {"total": 925, "payer_total": 900, "currency": "CNY", "payer_currency": "CNY"},
    })
}

fn refunded(status: &str) -> Value {
    json!({
        "mchid": MCHID, "out_trade_no": NUMBER, "transaction_id": "4200001", "out_refund_no": "00ff", "refund_id": "5000",
        "refund_status": status, "success_time": "2026-11-21T20:00:05+08:00", "user_received_account": "招商银行信用卡0403",
        "amount": {"total": 925, "refund": 100, "payer_total": 925, "payer_refund": 100},
    })
}

fn notice(event: &str, content: &Value, key: &ApiKey) -> Value {
    let resource = key.seal("61f9c719728a", "transaction", content.to_string().as_bytes()).unwrap();
    json!({
        "id": "EV-2018022511223320873", "create_time": "2026-11-21T20:00:06+08:00", "resource_type": "encrypt-resource",
        "event_type": event, "summary": "支付成功", "resource": resource,
    })
}

fn hear_bytes(body: &[u8]) -> Result<Heard, HearError> {
    let wall = Clock::wall();
    wechat().hear(&signer(PLATFORM).headers(body, wall), body, wall)
}

fn hear(event: &str, content: &Value) -> Result<Spoken, HearError> {
    hear_bytes(notice(event, content, &api_key()).to_string().as_bytes()).map(|heard| heard.spoken)
}

fn at() -> DateTime<Utc> {
    "2026-11-21T12:00:05Z".parse().unwrap()
}

#[test]
fn a_payment_notice_says_what_was_paid() {
    let heard = hear_bytes(notice(event::PAID, &paid(), &api_key()).to_string().as_bytes()).unwrap();
    let word = PaymentWord::Succeeded { transaction_id: "4200001".to_owned(), amount_minor: 925, currency: "CNY".to_owned(), at: at() };
    let expected = Spoken::Payment { request_no: NUMBER.to_owned(), word };
    assert_eq!(heard, Heard { notice_id: "EV-2018022511223320873".to_owned(), spoken: expected });
}

#[test]
fn a_refund_notice_says_where_the_refund_stands() {
    let failed = |code: &str| TransferWord::Failed { code: code.to_owned() };
    let cases = [
        (event::REFUNDED, "SUCCESS", TransferWord::Succeeded { at: at() }),
        (event::REFUND_ABNORMAL, "ABNORMAL", failed("ABNORMAL")),
        (event::REFUND_CLOSED, "CLOSED", failed("CLOSED")),
        (event::REFUND_CLOSED, "PROCESSING", TransferWord::Accepted),
    ];
    for (event, status, word) in cases {
        let spoken = Spoken::Refund { request_no: "00ff".to_owned(), amount_minor: 100, currency: "CNY".to_owned(), word };
        assert_eq!(hear(event, &refunded(status)), Ok(spoken), "{status}");
    }
}

#[test]
fn a_notice_about_something_else_is_other() {
    let kind = "MCHTRANSFER.BILL.FINISHED";
    assert_eq!(hear(kind, &json!({"out_bill_no": "1"})), Ok(Spoken::Other { kind: kind.to_owned() }));
}

#[test]
fn a_notice_that_is_not_signed_as_agreed_is_not_read() {
    let wall = Clock::wall();
    let body = notice(event::PAID, &paid(), &api_key()).to_string().into_bytes();
    let good = signer(PLATFORM).headers(&body, wall);
    let mut probe = good.clone();
    probe.insert(SIGNATURE, HeaderValue::from_str(&format!("{PROBE}{}", good[SIGNATURE].to_str().unwrap())).unwrap());
    let mut renamed = good.clone();
    renamed.insert(SERIAL, HeaderValue::from_static("PUB_KEY_ID_02"));
    let mut altered = body.clone();
    let position = altered.len() - 3;
    altered[position] ^= 1;
    let late = wall + TimeDelta::seconds(301);
    let cases = [
        ("no headers", HeaderMap::new(), &body, wall),
        ("a probe", probe, &body, wall),
        ("by another", signer("PUB_KEY_ID_02").headers(&body, wall), &body, wall),
        ("under an unknown name", renamed, &body, wall),
        ("altered", good.clone(), &altered, wall),
        ("late", good, &body, late),
    ];
    for (name, headers, body, wall) in cases {
        assert_eq!(wechat().hear(&headers, body, wall), Err(HearError::Signature), "{name}");
    }
}

#[test]
fn a_notice_for_another_merchant_is_foreign() {
    let with = |field: &str, value: &str| {
        let mut content = paid();
        content[field] = json!(value);
        content
    };
    assert_eq!(hear(event::PAID, &with("mchid", "1900000110")), Err(HearError::Foreign));
    assert_eq!(hear(event::PAID, &with("appid", "wx8888888888888889")), Err(HearError::Foreign));
    let mut refund = refunded("SUCCESS");
    refund["mchid"] = json!("1900000110");
    assert_eq!(hear(event::REFUNDED, &refund), Err(HearError::Foreign));
    let other = ApiKey::try_new(&[8; 32]).unwrap();
    for event in [event::PAID, "MCHTRANSFER.BILL.FINISHED"] {
        let body = notice(event, &paid(), &other).to_string();
        assert_eq!(hear_bytes(body.as_bytes()), Err(HearError::Foreign), "sealed for another");
    }
}

#[test]
fn a_signed_notice_of_another_form_is_malformed() {
    let good = notice(event::PAID, &paid(), &api_key());
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed.to_string().into_bytes()
    };
    let text = good.to_string();
    let bodies = [
        ("nothing", Vec::new()),
        ("no UTF-8", [&b"{\"id\":\"\xff\xfe\","[..], &text.as_bytes()[1..]].concat()),
        ("id twice", format!("{{\"id\":\"EV-1\",{}", &text[1..]).into_bytes()),
        ("more behind", format!("{text}{{}}").into_bytes()),
        ("no id", with("id", json!(""))),
        ("long id", with("id", json!("E".repeat(65)))),
        ("NUL in the id", with("id", json!("EV\u{0}1"))),
        ("no event", with("event_type", json!(""))),
        ("no resource", with("resource", json!(null))),
    ];
    for (name, body) in bodies {
        assert_eq!(hear_bytes(&body), Err(HearError::Malformed), "{name}");
    }
    for field in ["transaction_id", "success_time", "amount", "trade_state"] {
        let mut content = paid();
        content[field] = json!(null);
        assert_eq!(hear(event::PAID, &content), Err(HearError::Malformed), "without {field}");
    }
    let mut refund = refunded("SUCCESS");
    refund["success_time"] = json!(null);
    assert_eq!(hear(event::REFUNDED, &refund), Err(HearError::Malformed));
}

#[test]
fn two_deliveries_of_a_notice_say_the_same() {
    let seal = |nonce: &str| {
        let mut body = notice(event::PAID, &paid(), &api_key());
        body["resource"] = json!(api_key().seal(nonce, "", paid().to_string().as_bytes()).unwrap());
        hear_bytes(body.to_string().as_bytes()).unwrap()
    };
    assert_eq!(seal("000000000001"), seal("000000000002"));
}

#[test]
fn each_trade_state_has_one_word() {
    let word = |state: &str| {
        let mut content = paid();
        content["trade_state"] = json!(state);
        payment_word(serde_json::from_value(content).unwrap()).unwrap()
    };
    for state in ["NOTPAY", "USERPAYING", "ACCEPT"] {
        assert_eq!(word(state), PaymentWord::Pending, "{state}");
    }
    for state in ["SUCCESS", "REFUND"] {
        assert!(matches!(word(state), PaymentWord::Succeeded { amount_minor: 925, .. }), "{state}");
    }
    for state in ["CLOSED", "REVOKED"] {
        assert_eq!(word(state), PaymentWord::Closed, "{state}");
    }
    assert_eq!(word("PAYERROR"), PaymentWord::Failed { code: "PAYERROR".to_owned() });
    let mut unknown = paid();
    unknown["trade_state"] = json!("LATER");
    assert!(serde_json::from_value::<Transaction>(unknown).is_err(), "no state is guessed");
}

#[test]
fn the_call_of_the_app_is_signed_over_what_it_says() {
    let wall = Clock::wall();
    let call: Call = serde_json::from_str(&wechat().call("wx2016", wall)).unwrap();
    assert_eq!((call.app_id.as_str(), call.package.as_str(), call.sign_type.as_str()), (APPID, "prepay_id=wx2016", "RSA"));
    assert_eq!(call.time_stamp, wall.timestamp().to_string());
    let message = sign::call_message(APPID, &call.time_stamp, &call.nonce_str, "prepay_id=wx2016");
    assert_eq!(call.pay_sign, signer("5157F09E").sign(&message));
    let text = wechat().call("wx2016", wall);
    for name in ["appId", "timeStamp", "nonceStr", "package", "signType", "paySign"] {
        assert!(text.contains(&format!("\"{name}\":")), "{name}");
    }
}

#[test]
fn a_notice_that_was_stored_is_answered_with_nothing() {
    assert_eq!((wechat().reply(true).status.as_u16(), wechat().reply(true).body.as_str()), (204, ""));
    let again = wechat().reply(false);
    assert_eq!(again.status.as_u16(), 500);
    assert_eq!(serde_json::from_str::<Value>(&again.body).unwrap()["code"], "FAIL");
}

#[test]
fn nothing_secret_or_personal_is_shown() {
    let shown = format!("{:?}", wechat());
    assert!(!shown.contains("7, 7") && !shown.to_lowercase().contains("private"), "{shown}");
    let prepay = Payer { openid: Personal("oUpF8uMuAJO".to_owned()) };
    assert_eq!(format!("{prepay:?}"), "Payer { openid: Personal }");
}

#[test]
fn an_agreement_that_cannot_work_is_refused() {
    assert!(matches!(WechatPay::try_new(Agreement { base_url: "pay".to_owned(), ..agreement() }), Err(LinkError::Url)));
    assert!(matches!(WechatPay::try_new(Agreement { notify_url: "ftp://x/".to_owned(), ..agreement() }), Err(LinkError::Url)));
    assert!(matches!(WechatPay::try_new(Agreement { mchid: "19\"0".to_owned(), ..agreement() }), Err(LinkError::MerchantNumber)));
}

#[test]
fn texts_fit_their_fields() {
    let order = PaymentOrder {
        request_no: NUMBER.to_owned(),
        amount: crate::base::money::Money::cny(925),
        description: "苹".repeat(200),
        method: Method::Native,
        payer: None,
        return_url: None,
        expires_at: at(),
        split: true,
    };
    let prepay = wechat().prepay(&order, None);
    assert_eq!(prepay.description.chars().count(), DESCRIPTION_MAX);
    assert_eq!(prepay.time_expire, "2026-11-21T20:00:05+08:00");
    assert!(prepay.settle_info.profit_sharing);
    assert_eq!(first_bytes(&"苹".repeat(40), REASON_MAX_BYTES).len(), 78, "a character is not cut");
    assert_eq!(first_bytes("退款", REASON_MAX_BYTES), "退款");
    for number in ["", "a/b", "a?b", "..", "a b", &"0".repeat(65)] {
        assert!(segment(number).is_err(), "{number}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_it_is_sent() {
    let refused = |error| matches!(error, ChannelError::Refused { code } if code::fault(&code) == Fault::Ours && code::definitive(&code));
    let order = PaymentOrder {
        request_no: NUMBER.to_owned(),
        amount: crate::base::money::Money::cny(925),
        description: "苹果".to_owned(),
        method: Method::InApp,
        payer: None,
        return_url: None,
        expires_at: at(),
        split: false,
    };
    assert!(refused(wechat().pay(&order).await.unwrap_err()), "no payer");
    assert!(refused(wechat().pay(&PaymentOrder { method: Method::Barcode, ..order }).await.unwrap_err()), "not offered");
    let receiver = wire::Receiver {
        kind: wire::ReceiverType::MerchantId,
        account: Personal("1900000110".to_owned()),
        amount: 1,
        description: "share".to_owned(),
    };
    let split = split::SplitOrder {
        request_no: "01".to_owned(),
        transaction_id: "4200001".to_owned(),
        receivers: vec![receiver; split::RECEIVERS_MAX + 1],
        finish: true,
    };
    assert!(refused(wechat().split(&split).await.unwrap_err()), "51 receivers");
    let allowed = split::SplitOrder { receivers: split.receivers[..split::RECEIVERS_MAX].to_vec(), ..split };
    assert!(matches!(wechat().split(&allowed).await, Err(ChannelError::NoAnswer(_))), "50 are sent");
}
