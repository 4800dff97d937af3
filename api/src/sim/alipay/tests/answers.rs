//! The adapter against a gateway that answers as it is told: what is a word, a refusal, silence, or nothing to be trusted.

use super::*;

/// A gateway that answers each method with the same.
async fn gateway(world: &World, answer: impl Fn(&str) -> (StatusCode, String) + Clone + Send + Sync + 'static) -> Alipay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/gateway.do", listener.local_addr().unwrap());
    let answer = async move |uri: Uri| {
        let params = form::decode(uri.query().unwrap().as_bytes()).unwrap();
        let (status, body) = answer(&params["method"]);
        (status, [(header::LOCATION, "/elsewhere")], body)
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
    world.adapter(&url, "http://127.0.0.1:1/", Clock::default(), LIMIT)
}

/// A gateway that answers everything with the same.
async fn canned(world: &World, status: StatusCode, body: String) -> Alipay {
    gateway(world, move |_| (status, body.clone())).await
}

/// What came of a call, in a word.
fn outcome<T>(outcome: &Result<T, ChannelError>) -> &'static str {
    match outcome {
        Ok(_) => "answer",
        Err(ChannelError::Refused { .. }) => "refused",
        Err(ChannelError::NoAnswer(_)) => "silence",
        Err(ChannelError::Conflicted { .. }) => "conflicted",
        Err(ChannelError::BadAnswer(_)) => "bad",
    }
}

#[tokio::test]
async fn an_answer_is_a_word_only_where_it_is_signed_and_fits() {
    let (world, order) = (World::new(), order(Method::Native, 1_250));
    let trade = format!(
        r#"{{"code":"10000","msg":"Success","out_trade_no":"{}","trade_no":"T1","trade_status":"TRADE_SUCCESS","total_amount":12.50,"send_pay_date":"2026-11-21 16:00:00"}}"#,
        order.request_no
    );
    let error = |code: &str, sub_code: &str| format!(r#"{{"code":"{code}","msg":"no","sub_code":"{sub_code}"}}"#);
    let signed = |member: &str| world.signer().sign_answer(method::QUERY, member);
    let (ok, down) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
    let cases = [
        ("as it should be, with a number for text", ok, signed(&trade), "answer"),
        ("of another payment", ok, signed(&trade.replace(&order.request_no, &number())), "bad"),
        ("with an amount that is none", ok, signed(&trade.replace("12.50", "12.505")), "bad"),
        ("with a float's amount", ok, signed(&trade.replace("12.50", "1.25e1")), "bad"),
        ("changed", ok, signed(&trade).replace("12.50", "99.50"), "bad"),
        ("signed for another method", ok, world.signer().sign_answer(method::REFUND, &trade), "bad"),
        ("not signed", ok, format!(r#"{{"alipay_trade_query_response":{trade}}}"#), "bad"),
        ("not signed, from what stands before it", down, "<html>down</html>".to_owned(), "silence"),
        ("not signed, too many", StatusCode::TOO_MANY_REQUESTS, String::new(), "silence"),
        ("leading elsewhere", StatusCode::FOUND, String::new(), "bad"),
        ("too long", ok, signed(&trade.replace("Success", &"a".repeat(70_000))), "bad"),
        ("not what was agreed", ok, signed(r#"{"code":"10000"}"#), "bad"),
        ("unknown for now", ok, signed(&error("20000", "isp.unknow-error")), "silence"),
        ("too many calls", ok, signed(&error("40005", "")), "silence"),
        ("system error", ok, signed(&error("40004", "ACQ.SYSTEM_ERROR")), "silence"),
        ("gateway's system error", ok, signed(&error("40004", "aop.ACQ.SYSTEM_ERROR")), "silence"),
        ("isp", ok, signed(&error("40004", "isp.http-connection-timeout")), "silence"),
        ("not known", ok, signed(&error("40004", "ACQ.TRADE_NOT_EXIST")), "answer"),
        ("a refused question", ok, signed(&error("40004", "ACQ.INVALID_PARAMETER")), "bad"),
        ("our parameters", ok, signed(&error("40001", "isv.missing-method")), "bad"),
        ("our signature", ok, signed(&error("40002", "isv.invalid-signature")), "bad"),
        ("our rights", ok, signed(&error("40006", "isv.insufficient-isv-permissions")), "bad"),
    ];
    for (name, status, body, expected) in cases {
        let alipay = canned(&world, status, body).await;
        assert_eq!(outcome(&alipay.query(&asked(&order)).await), expected, "an answer {name}");
    }
}

#[tokio::test]
async fn a_request_is_refused_only_with_a_code_that_proves_it() {
    let (world, order) = (World::new(), order(Method::Native, 1_250));
    let cases = [
        ("ACQ.EXIST_FORBIDDEN_WORD", "refused"),
        ("ACQ.TOTAL_FEE_EXCEED", "refused"),
        ("ACQ.CONTEXT_INCONSISTENT", "bad"),
        ("ACQ.SOMETHING_NEW", "bad"),
        ("ACQ.SYSTEM_ERROR", "silence"),
        ("isv.invalid-signature", "bad"),
        ("", "bad"),
    ];
    for (sub_code, expected) in cases {
        let member = format!(r#"{{"code":"40004","msg":"Business Failed","sub_code":"{sub_code}"}}"#);
        let alipay = canned(&world, StatusCode::OK, world.signer().sign_answer(method::PRECREATE, &member)).await;
        assert_eq!(outcome(&alipay.pay(&order).await), expected, "{sub_code}");
    }
    let other = format!(r#"{{"code":"10000","msg":"Success","out_trade_no":"{}","qr_code":"x"}}"#, number());
    let alipay = canned(&world, StatusCode::OK, world.signer().sign_answer(method::PRECREATE, &other)).await;
    assert_eq!(bad(alipay.pay(&order).await), "it is about another payment");
}

#[tokio::test]
async fn a_refunds_answer_is_compared_with_what_was_asked() {
    let (world, paid) = (World::new(), order(Method::Page, 1_000));
    let refund = RefundOrder {
        request_no: number(),
        payment: asked(&paid),
        transaction_id: "T1".to_owned(),
        paid: paid.amount,
        amount: Money::cny(300),
        reason: String::new(),
        shares: Vec::new(),
    };
    let good = format!(
        r#"{{"code":"10000","msg":"Success","out_trade_no":"{}","trade_no":"T1","refund_fee":"3.00","fund_change":"Y"}}"#,
        paid.request_no
    );
    let cases = [
        ("as asked", good.clone(), "answer"),
        ("after others", good.replace("3.00", "10.00"), "answer"),
        ("less than asked", good.replace("3.00", "2.99"), "bad"),
        ("more than was paid", good.replace("3.00", "10.01"), "bad"),
        ("of another payment", good.replace(&paid.request_no, &number()), "bad"),
        ("of another trade", good.replace("T1", "T2"), "bad"),
        // the question that follows is answered by the same gateway, for the wrong method
        ("that moved nothing", good.replace("\"Y\"", "\"N\""), "bad"),
        ("refused, and the question fails", r#"{"code":"40004","sub_code":"ACQ.SELLER_BALANCE_NOT_ENOUGH"}"#.to_owned(), "bad"),
    ];
    for (name, member, expected) in cases {
        let alipay = canned(&world, StatusCode::OK, world.signer().sign_answer(method::REFUND, &member)).await;
        assert_eq!(outcome(&alipay.refund(&refund).await), expected, "a refund {name}");
    }
    let known = format!(
        r#"{{"code":"10000","msg":"Success","out_trade_no":"{}","out_request_no":"{}","refund_status":"REFUND_SUCCESS","refund_amount":"3.00","gmt_refund_pay":"2026-11-21 16:00:00"}}"#,
        paid.request_no, refund.request_no
    );
    let cases = [
        ("done", known.clone(), "answer"),
        ("of another number", known.replace(&refund.request_no, &number()), "bad"),
        ("of another payment", known.replace(&paid.request_no, &number()), "bad"),
        ("without its time", known.replace("2026-11-21 16:00:00", ""), "bad"),
        ("without its number", known.replace("out_request_no", "other"), "bad"),
    ];
    let asked_for = Asked { request_no: refund.request_no.clone(), sent_at: Clock::wall() };
    for (name, member, expected) in cases {
        let alipay = canned(&world, StatusCode::OK, world.signer().sign_answer(method::REFUND_QUERY, &member)).await;
        assert_eq!(outcome(&alipay.query_refund(&asked_for, &refund.payment, refund.amount).await), expected, "a refund {name}");
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_in_time_has_said_nothing() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/gateway.do", listener.local_addr().unwrap());
    let silent = Router::new().fallback(std::future::pending::<StatusCode>);
    tokio::spawn(async move { axum::serve(listener, silent).await.unwrap() });
    let alipay = world.adapter(&url, "http://127.0.0.1:1/", Clock::default(), Duration::from_millis(200));
    assert_eq!(outcome(&alipay.query(&asked(&order(Method::Page, 1))).await), "silence");
}

#[tokio::test]
async fn a_refund_that_is_refused_may_be_the_one_that_went_through_before() {
    let (world, paid) = (World::new(), order(Method::Page, 300));
    let refund = RefundOrder {
        request_no: number(),
        payment: asked(&paid),
        transaction_id: "T1".to_owned(),
        paid: paid.amount,
        amount: paid.amount,
        reason: String::new(),
        shares: Vec::new(),
    };
    let none = r#"{"code":"10000","msg":"Success"}"#.to_owned();
    let known = format!(
        r#"{{"code":"10000","msg":"Success","out_request_no":"{}","refund_status":"REFUND_SUCCESS","refund_amount":3.00,"gmt_refund_pay":"2026-11-21 16:00:00"}}"#,
        refund.request_no
    );
    let refusal = r#"{"code":"40004","sub_code":"ACQ.TRADE_HAS_FINISHED"}"#;
    let unmoved =
        format!(r#"{{"code":"10000","out_trade_no":"{}","trade_no":"T1","refund_fee":"3.00","fund_change":"N"}}"#, paid.request_no);
    let cases = [
        ("refused and not known", refusal, &none, "refused"),
        ("refused and known", refusal, &known, "answer"),
        ("refused and known with another amount", refusal, &known.replace("3.00", "2.00"), "conflicted"),
        ("unmoved and not known", &unmoved, &none, "accepted"),
        ("unmoved and known", &unmoved, &known, "answer"),
        ("unmoved and known with another amount", &unmoved, &known.replace("3.00", "2.00"), "conflicted"),
        ("unmoved and under way", &unmoved, &known.replace("REFUND_SUCCESS", "REFUND_PROCESSING"), "accepted"),
    ];
    for (name, first, then, expected) in cases {
        let signer = world.signer();
        let answers = [(method::REFUND, first.to_owned()), (method::REFUND_QUERY, then.clone())]
            .map(|(method, member)| (method, signer.sign_answer(method, &member)));
        let answer = move |asked: &str| (StatusCode::OK, answers.iter().find(|(method, _)| *method == asked).unwrap().1.clone());
        let said = gateway(&world, answer).await.refund(&refund).await;
        let word = if matches!(said, Ok(TransferWord::Accepted)) { "accepted" } else { outcome(&said) };
        assert_eq!(word, expected, "{name}");
    }
    let dollars = RefundOrder { amount: Money { minor: 1, currency: wallet::base::money::Currency::Usd }, ..refund };
    assert_eq!(refused(canned(&world, StatusCode::OK, String::new()).await.refund(&dollars).await), "LOCAL.CURRENCY_NOT_OFFERED");
}

#[tokio::test]
async fn a_split_is_told_part_by_part_and_only_its_own() {
    let world = World::new();
    let parts = r#"{"code":"10000","msg":"Success","out_request_no":"S1","operation_dt":"2026-11-21 12:00:00","royalty_detail_list":[
        {"operation_type":"transfer","execute_dt":"2026-11-21 12:00:01","trans_in":"2088000000000002","amount":10.00,"state":"SUCCESS"},
        {"operation_type":"transfer","trans_in":"2088000000000003","amount":"0.10","state":"FAIL","error_code":"E"},
        {"operation_type":"replenish","trans_in":"2088000000000004","amount":1,"state":"SUCCESS"}]}"#;
    let query = async |member: &str| {
        let alipay = canned(&world, StatusCode::OK, world.signer().sign_answer(method::SETTLE_QUERY, member)).await;
        alipay.query_settle("S1", "T1").await
    };
    let told: Vec<_> = query(parts).await.unwrap().unwrap().into_iter().map(|part| (part.amount_minor, part.word)).collect();
    let at = read_time("2026-11-21 12:00:01").unwrap();
    assert_eq!(told, [(1_000, TransferWord::Succeeded { at }), (10, TransferWord::Failed { code: "E".to_owned() })]);
    for (what, member) in [
        ("another split", parts.replace("S1", "S2")),
        ("another state", parts.replace("FAIL", "MAYBE")),
        ("no amount", parts.replace("10.00", "-10.00")),
        ("no time", parts.replace("12:00:01", "soon")),
    ] {
        assert_eq!(outcome(&query(&member).await), "bad", "{what}");
    }
    let order = SplitOrder { request_no: "S1".to_owned(), transaction_id: "T1".to_owned(), parts: Vec::new(), finish: true };
    let cases = [
        (r#"{"code":"10000","trade_no":"T1","settle_no":"N1"}"#, "answer"),
        (r#"{"code":"10000","trade_no":"T2","settle_no":"N1"}"#, "bad"),
        (r#"{"code":"40004","sub_code":"ACQ.TRADE_SETTLE_ERROR"}"#, "silence"),
        (r#"{"code":"40004","sub_code":"FREQUENCY_LIMIT"}"#, "silence"),
        (r#"{"code":"40004","sub_code":"ACQ.ROYALTY_RECEIVER_INVALID"}"#, "refused"),
    ];
    for (member, expected) in cases {
        let alipay = canned(&world, StatusCode::OK, world.signer().sign_answer(method::SETTLE, member)).await;
        assert_eq!(outcome(&alipay.settle(&order).await), expected, "{member}");
    }
}
