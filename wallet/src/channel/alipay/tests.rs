//! What the adapter makes of links, answers and notices. The exchange over a socket is tested with the simulator.

use reqwest::Url;

use super::sign::Params;
use super::sign::tests::{key, params};
use super::*;
use crate::base::money::Money;
use crate::channel::acquirer::Spoken;

const NOW: &str = "2026-11-21T08:00:00Z";
const NO: &str = "0123456789abcdef0123456789abcdef";

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

/// The adapter, Alipay's key that signs notices for it, and the platform's public key.
struct World {
    alipay: Alipay,
    gateway: Signer,
    platform: Verifier,
}

fn world() -> World {
    let (ours, gateway) = (Signer::try_new(&key()).unwrap(), Signer::try_new(&key()).unwrap());
    let platform = Verifier::try_new(&ours.public_key()).unwrap();
    let alipay = Alipay::try_new(Setup {
        gateway_url: "https://openapi.example/gateway.do",
        app_id: "2021000000000001",
        seller_id: "2088000000000001",
        signer: ours,
        verifier: Verifier::try_new(&gateway.public_key()).unwrap(),
        notify_url: "https://haodian.example/notices/alipay",
        share_max_bps: 3_000,
        timeout: Duration::from_secs(1),
        open_for: TimeDelta::minutes(30),
        clock: Clock::default(),
    })
    .unwrap();
    World { alipay, gateway, platform }
}

fn order(method: Method) -> PaymentOrder {
    PaymentOrder {
        request_no: NO.to_owned(),
        amount: Money::cny(1_250),
        description: "茶/杯 = 1 & 2".to_owned(),
        method,
        payer: None,
        return_url: Some("https://haodian.example/done?a=1&b=2".to_owned()),
        expires_at: Clock::default().now() + TimeDelta::minutes(30),
        split: false,
    }
}

fn refused(outcome: Result<PaymentState, ChannelError>) -> String {
    match outcome {
        Err(ChannelError::Refused { code }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_page_is_a_signed_link_that_nobody_was_called_for() {
    let world = world();
    for (method, name, product) in
        [(Method::Page, "alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"), (Method::Wap, "alipay.trade.wap.pay", "QUICK_WAP_WAY")]
    {
        let mut order = order(method);
        order.split = method == Method::Wap;
        let state = world.alipay.pay(&order).await.unwrap();
        assert_eq!(state.word, PaymentWord::Pending);
        let Some(Invitation::Url(link)) = state.invitation else { panic!("no link") };
        let url: Url = link.parse().unwrap();
        assert_eq!((url.host_str(), url.path()), (Some("openapi.example"), "/gateway.do"));
        let given = form::decode(url.query().unwrap().as_bytes()).unwrap();
        assert_eq!(world.platform.verify_request(&given), Ok(()));
        let expected = [
            ("app_id", "2021000000000001"),
            ("method", name),
            ("format", "JSON"),
            ("charset", "utf-8"),
            ("sign_type", "RSA2"),
            ("version", "1.0"),
            ("notify_url", "https://haodian.example/notices/alipay"),
            ("return_url", "https://haodian.example/done?a=1&b=2"),
        ];
        for (name, value) in expected {
            assert_eq!(given.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(read_time(&given["timestamp"]).is_some());
        let content: PayContent = serde_json::from_str(&given["biz_content"]).unwrap();
        let extend_params = order.split.then(|| PayExtend { royalty_freeze: "true".to_owned() });
        let expected = PayContent {
            out_trade_no: NO.to_owned(),
            total_amount: "12.50".to_owned(),
            subject: "茶 杯   1   2".to_owned(),
            product_code: product.to_owned(),
            time_expire: time_text(order.expires_at),
            extend_params,
        };
        assert_eq!(content, expected);
    }
}

#[tokio::test]
async fn what_alipay_cannot_take_is_refused_before_it_is_sent() {
    let world = world();
    assert_eq!(refused(world.alipay.pay(&order(Method::Barcode)).await), fault::METHOD_NOT_OFFERED);
    assert_eq!(refused(world.alipay.pay(&order(Method::InApp)).await), fault::METHOD_NOT_OFFERED);
    let dollars = PaymentOrder { amount: Money { minor: 1, currency: Currency::Usd }, ..order(Method::Page) };
    assert_eq!(refused(world.alipay.pay(&dollars).await), fault::CURRENCY_NOT_OFFERED);
    let long = PaymentOrder { expires_at: Clock::default().now() + TimeDelta::minutes(36), ..order(Method::Page) };
    assert_eq!(refused(world.alipay.pay(&long).await), fault::OPEN_TOO_LONG);
    let divided = PaymentOrder { split: true, ..order(Method::Native) };
    assert_eq!(refused(world.alipay.pay(&divided).await), fault::SPLIT_NOT_OFFERED, "a refund would take back what Alipay works out");
}

#[test]
fn a_trade_is_read_as_what_it_proves() {
    let paid = Some("2026-11-21 16:00:00".to_owned());
    let success = || {
        Ok(PaymentWord::Succeeded {
            transaction_id: "2026112122001400000000000001".to_owned(),
            amount_minor: 1_250,
            currency: CNY.to_owned(),
            at: now(),
        })
    };
    let answer = |status: &str, send_pay_date: &Option<String>| TradeAnswer {
        out_trade_no: NO.to_owned(),
        trade_no: "2026112122001400000000000001".to_owned(),
        trade_status: status.to_owned(),
        total_amount: "12.50".to_owned(),
        send_pay_date: send_pay_date.clone(),
        trans_currency: None,
    };
    let cases = [
        ("WAIT_BUYER_PAY", &None, Ok(PaymentWord::Pending)),
        ("TRADE_SUCCESS", &paid, success()),
        ("TRADE_FINISHED", &paid, success()),
        ("TRADE_CLOSED", &paid, success()),
        ("TRADE_CLOSED", &None, Ok(PaymentWord::Closed)),
        ("TRADE_SUCCESS", &None, Err("a success without its time")),
        ("TRADE_CLOSED", &Some("soon".to_owned()), Err("a success without its time")),
        ("TRADE_PENDING", &paid, Err("the trade's state is not as agreed")),
    ];
    let text = |outcome: Result<PaymentWord, ChannelError>| {
        outcome.map_err(|error| match error {
            ChannelError::BadAnswer(why) => why,
            other => panic!("{other:?}"),
        })
    };
    for (status, send_pay_date, expected) in cases {
        assert_eq!(text(word(NO, answer(status, send_pay_date))), expected, "{status} {send_pay_date:?}");
    }
    let other = TradeAnswer { out_trade_no: "f".repeat(32), ..answer("TRADE_SUCCESS", &paid) };
    assert_eq!(text(word(NO, other)), Err("it is about another payment"));
    for total_amount in ["-12.50", "12.505", "1.25e1", ""] {
        let odd = TradeAnswer { total_amount: total_amount.to_owned(), ..answer("TRADE_SUCCESS", &paid) };
        assert_eq!(text(word(NO, odd)), Err("a success without its amount"), "{total_amount}");
    }
    let dollars = TradeAnswer { trans_currency: Some("USD".to_owned()), ..answer("TRADE_SUCCESS", &paid) };
    assert!(matches!(word(NO, dollars), Ok(PaymentWord::Succeeded { currency, .. }) if currency == "USD"));
}

/// A notice of a paid trade.
fn notice() -> Params {
    params(&[
        ("notify_time", "2026-11-21 16:00:01"),
        ("notify_type", "trade_status_sync"),
        ("notify_id", "2026112100222160000001400000000001"),
        ("charset", "utf-8"),
        ("version", "1.0"),
        ("sign_type", "RSA2"),
        ("app_id", "2021000000000001"),
        ("auth_app_id", "2021000000000001"),
        ("seller_id", "2088000000000001"),
        ("trade_no", "2026112122001400000000000001"),
        ("out_trade_no", NO),
        ("subject", "茶 & 杯+%"),
        ("trade_status", "TRADE_SUCCESS"),
        ("total_amount", "12.50"),
        ("gmt_create", "2026-11-21 15:59:00"),
        ("gmt_payment", "2026-11-21 16:00:00"),
    ])
}

/// The notice with some parameters changed (or, where empty, removed), signed by Alipay.
fn signed(world: &World, changes: &[(&str, &str)]) -> Vec<u8> {
    let mut notice = notice();
    for (name, value) in changes {
        notice.insert((*name).to_owned(), (*value).to_owned());
    }
    notice.retain(|_, value| !value.is_empty());
    world.gateway.sign_notice(&mut notice);
    form::encode(&notice).into_bytes()
}

fn hear(world: &World, body: &[u8]) -> Result<Heard, HearError> {
    world.alipay.hear(&HeaderMap::new(), body, now())
}

fn paid() -> Spoken {
    Spoken::Payment {
        request_no: NO.to_owned(),
        word: PaymentWord::Succeeded {
            transaction_id: "2026112122001400000000000001".to_owned(),
            amount_minor: 1_250,
            currency: CNY.to_owned(),
            at: now(),
        },
    }
}

#[test]
fn a_notice_says_what_became_of_a_payment() {
    let world = world();
    let heard = hear(&world, &signed(&world, &[])).unwrap();
    assert_eq!(heard, Heard { notice_id: "2026112100222160000001400000000001".to_owned(), spoken: paid() });
    let again = hear(&world, &signed(&world, &[("notify_time", "2026-11-21 15:58:00")])).unwrap();
    assert_eq!(again, heard, "each delivery is equal");
    let payment = |word| Ok(Spoken::Payment { request_no: NO.to_owned(), word });
    let refund = |at: &str, amount_minor| {
        Ok(Spoken::Refund {
            request_no: "r1".to_owned(),
            amount_minor,
            currency: CNY.to_owned(),
            word: TransferWord::Succeeded { at: at.parse().unwrap() },
        })
    };
    type Case<'c> = (&'c [(&'c str, &'c str)], Result<Spoken, HearError>);
    let cases: [Case; 14] = [
        (&[("trade_status", "TRADE_FINISHED")], Ok(paid())),
        (&[("trade_status", "WAIT_BUYER_PAY"), ("gmt_payment", "")], payment(PaymentWord::Pending)),
        (&[("trade_status", "TRADE_CLOSED"), ("gmt_payment", ""), ("refund_fee", "0.00")], payment(PaymentWord::Closed)),
        (&[("trade_status", "TRADE_CLOSED")], Ok(paid())),
        (&[("refund_fee", "0.00")], Ok(paid())),
        (
            &[("refund_fee", "2.50"), ("out_biz_no", "r1"), ("gmt_refund", "2026-11-21 15:59:30.320")],
            refund("2026-11-21T07:59:30.320Z", 250),
        ),
        (
            &[("trade_status", "TRADE_CLOSED"), ("refund_fee", "12.50"), ("out_biz_no", "r1"), ("gmt_close", "2026-11-21 15:59:30")],
            refund("2026-11-21T07:59:30Z", 1_250),
        ),
        (&[("refund_fee", "2.50")], Ok(Spoken::Other { kind: "REFUND".to_owned() })),
        (&[("refund_fee", "2.505"), ("out_biz_no", "r1"), ("gmt_refund", "2026-11-21 15:59:30")], Err(HearError::Malformed)),
        (&[("refund_fee", "2.50"), ("out_biz_no", "r1")], Err(HearError::Malformed)),
        (&[("trade_status", "TRADE_HAPPY")], Err(HearError::Malformed)),
        (&[("gmt_payment", "")], Err(HearError::Malformed)),
        (&[("total_amount", "12.5x")], Err(HearError::Malformed)),
        (&[("notify_type", "servicemarket_order_notify")], Ok(Spoken::Other { kind: "servicemarket_order_notify".to_owned() })),
    ];
    for (changes, expected) in cases {
        assert_eq!(hear(&world, &signed(&world, changes)).map(|heard| heard.spoken), expected, "{changes:?}");
    }
}

#[test]
fn a_notice_about_somebody_else_is_not_taken_however_well_it_is_signed() {
    let world = world();
    for name in ["app_id", "seller_id"] {
        assert_eq!(hear(&world, &signed(&world, &[(name, "2088999999999999")])), Err(HearError::Foreign), "{name}");
    }
    for name in
        ["app_id", "seller_id", "out_trade_no", "total_amount", "trade_no", "trade_status", "notify_id", "notify_type", "notify_time"]
    {
        assert_eq!(hear(&world, &signed(&world, &[(name, "")])), Err(HearError::Malformed), "{name} missing");
    }
}

#[test]
fn a_notice_is_believed_only_as_it_was_signed() {
    let world = world();
    let body = String::from_utf8(signed(&world, &[])).unwrap();
    for (name, _) in notice() {
        if name == "charset" {
            continue;
        }
        let at = body.find(&format!("{name}=")).unwrap() + name.len() + 1;
        let tampered = format!("{}9{}", &body[..at], &body[at..]);
        assert_eq!(hear(&world, tampered.as_bytes()), Err(HearError::Signature), "{name} changed");
    }
    let cases = [
        ("changed amount", body.replace("total_amount=12.50", "total_amount=0.01")),
        ("a parameter more", format!("{body}&refund_fee=12.50")),
        ("an empty parameter more", format!("{body}&refund_fee=")),
        ("no signature", body.replace("&sign=", "&sing=")),
        ("not base64", body.replace("&sign=", "&sign=!")),
        ("another kind of signature", body.replace("sign_type=RSA2", "sign_type=RSA")),
    ];
    for (name, body) in cases {
        assert_eq!(hear(&world, body.as_bytes()), Err(HearError::Signature), "{name}");
    }
    let forged = {
        let mut notice = notice();
        Signer::try_new(&key()).unwrap().sign_notice(&mut notice);
        form::encode(&notice)
    };
    assert_eq!(hear(&world, forged.as_bytes()), Err(HearError::Signature), "another's key");
}

#[test]
fn a_notice_that_can_be_read_in_two_ways_is_not_read() {
    let world = world();
    let body = String::from_utf8(signed(&world, &[])).unwrap();
    let cases: [(&str, Vec<u8>); 6] = [
        ("a parameter twice", format!("{body}&total_amount=12.50").into_bytes()),
        ("a parameter twice under another spelling", format!("{body}&total%5famount=0.01").into_bytes()),
        ("another charset", signed(&world, &[("charset", "gbk")])),
        ("no charset", signed(&world, &[("charset", "")])),
        ("bytes that are no UTF-8", [body.as_bytes(), b"&body=%C3%28".as_slice()].concat()),
        ("too long", format!("{body}&body={}", "a".repeat(wire::BODY_MAX)).into_bytes()),
    ];
    for (name, body) in cases {
        assert_eq!(hear(&world, &body), Err(HearError::Malformed), "{name}");
    }
    assert!(hear(&world, &signed(&world, &[("charset", "UTF-8")])).is_ok());
}

#[test]
fn a_notice_is_taken_for_as_long_as_it_is_sent_again() {
    let world = world();
    let cases = [
        ("2026-11-21 16:05:00", Ok(())),
        ("2026-11-21 16:05:01", Err(HearError::Signature)),
        ("2026-11-20 14:00:00", Ok(())),
        ("2026-11-20 13:59:59", Err(HearError::Signature)),
    ];
    for (sent, expected) in cases {
        assert_eq!(hear(&world, &signed(&world, &[("notify_time", sent)])).map(|_| ()), expected, "{sent}");
    }
}

#[test]
fn a_long_notice_id_is_kept_as_its_digest() {
    let world = world();
    let heard = |id: &str| hear(&world, &signed(&world, &[("notify_id", id)])).map(|heard| heard.notice_id);
    assert_eq!(heard(&"n".repeat(64)), Ok("n".repeat(64)));
    let (one, other) = (heard(&"n".repeat(65)).unwrap(), heard(&"n".repeat(66)).unwrap());
    assert_eq!((one.len(), other.len()), (64, 64));
    assert_ne!(one, other);
    assert_eq!(heard("a\0b"), Err(HearError::Malformed));
}

#[test]
fn alipay_hears_success_or_is_to_send_again() {
    let world = world();
    for (stored, body) in [(true, "success"), (false, "fail")] {
        let reply = world.alipay.reply(stored);
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, body));
    }
    assert_eq!((world.alipay.name(), world.alipay.methods()), ("ALIPAY", [Method::Page, Method::Wap, Method::Native].as_slice()));
    assert_eq!(world.alipay.fault("ACQ.BUYER_ERROR"), Fault::User);
}

#[test]
fn keys_and_payees_never_show() {
    let shown = format!("{:?}", world().alipay);
    assert!(shown.contains("Signer { .. }") && shown.contains("Verifier { .. }"), "{shown}");
    let part = SplitPart { payee: "2088000000000002".to_owned(), amount_minor: 100, description: "张三".to_owned() };
    assert_eq!(format!("{part:?}"), "SplitPart { amount_minor: 100, .. }");
}

#[test]
fn an_adapter_needs_web_addresses() {
    for (gateway_url, notify_url) in [
        ("openapi.example", "https://a.example"),
        ("ftp://a.example", "https://a.example"),
        ("https://a/?x=1", "https://a.example"),
        ("https://a.example", "a"),
    ] {
        let signer = Signer::try_new(&key()).unwrap();
        let verifier = Verifier::try_new(&signer.public_key()).unwrap();
        let made = Gateway::try_new(gateway_url, "1", notify_url, signer, verifier, Duration::from_secs(1));
        assert!(matches!(made, Err(SetupError::Url)), "{gateway_url} {notify_url}");
    }
}
