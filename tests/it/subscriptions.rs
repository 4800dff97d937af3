//! Subscriptions through real sockets: an order is followed by its merchant and its payer, from any process, and by nobody else.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Caller, Confirm, Ended, OrderHandle, Socket, TestApp, database, eventually, key};
use tokio_tungstenite::tungstenite::Message;

const ORDER: &str = "subscription($id: ID!) { orderChanged(orderId: $id) { status attempts { status } refunds { status } } }";
const CASHIER: &str = "subscription($ticket: String!) { cashierChanged(ticket: $ticket) { status attempt { status } } }";
const LIMIT: Duration = Duration::from_secs(60);

fn of(order: &OrderHandle) -> Value {
    json!({ "id": order.id })
}

fn by(order: &OrderHandle) -> Value {
    json!({ "ticket": order.ticket })
}

fn paid(data: &Value) -> bool {
    data["orderChanged"]["status"] == "PAID" || data["cashierChanged"]["status"] == "PAID"
}

#[tokio::test]
async fn a_change_is_told_to_the_merchant_and_the_payer_by_every_process_as_the_states_it_leads_to() {
    let app = TestApp::start().await;
    let (other, url) = app.another_server().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;

    let mut counter = app.try_socket(&url, &[("sec-websocket-protocol", "graphql-transport-ws")]).await.unwrap();
    counter.begin(&shop.owner).await;
    counter.subscribe("order", ORDER, of(&order)).await;
    let first = counter.until("order", |_| true).await;
    assert_eq!(first, [json!({ "orderChanged": { "status": "CREATED", "attempts": [], "refunds": [] } })], "the present comes first");
    let mut page = app.line_at(&url, &Caller::nobody(), CASHIER, by(&order)).await;
    assert_eq!(page.next().await.unwrap().1["data"]["cashierChanged"], json!({ "status": "CREATED", "attempt": null }));

    // what is done through one process is heard at the other
    let started = app.start_payment(&order).await;
    let begun = counter.until("order", |data| data["orderChanged"]["attempts"][0]["status"] == "USER_PENDING").await;
    assert!(begun.iter().all(|data| data["orderChanged"]["status"] == "PAYING"), "{begun:?}");
    app.confirm(&started, Confirm::default()).await;
    let told = counter.until("order", paid).await;
    assert_eq!(told.last().unwrap()["orderChanged"]["attempts"], json!([{ "status": "SUCCEEDED" }]));
    let mut seen = Vec::new();
    while !seen.last().is_some_and(paid) {
        let (event, data) = page.next().await.expect("the line goes on");
        assert_eq!(event, "next");
        seen.push(data["data"].clone());
    }
    let distinct: BTreeSet<String> = seen.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len(), seen.len(), "a state is told once: {seen:?}");
    assert_eq!(page.next().await.unwrap().0, "complete", "a payer waits for nothing more");
    assert!(page.next().await.is_none());

    let input = json!({ "orderId": order.id, "amount": "2.50", "reason": "少拿一份", "idempotencyKey": key() });
    app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
    counter.until("order", |data| data["orderChanged"]["refunds"] == json!([{ "status": "SUCCEEDED" }])).await;

    drop((counter, page));
    let stopped = tokio::task::spawn_blocking(move || other.stop(LIMIT)).await.unwrap();
    assert!(stopped.success(), "{stopped}");
    app.finish().await;
}

#[tokio::test]
async fn a_payment_that_came_to_nothing_is_heard_of_like_one_that_did_not() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let mut line = app.line(&Caller::nobody(), CASHIER, by(&order)).await;
    let started = app.start_payment(&order).await;
    app.decline(&started, "PAYER_DECLINED").await;
    while line.next().await.expect("the line goes on").1["data"]["cashierChanged"]["attempt"]["status"] != "FAILED" {}
    drop(line);
    app.finish().await;
}

#[tokio::test]
async fn without_redis_the_twin_carries_the_news() {
    let app = TestApp::start_on(database().await, &[("REDIS_URL", "")]).await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let mut line = app.line(&Caller::nobody(), CASHIER, by(&order)).await;
    let started = app.start_payment(&order).await;
    app.confirm(&started, Confirm::default()).await;
    while !paid(&line.next().await.expect("the line goes on").1["data"]) {}
    drop(line);
    app.finish().await;
}

#[tokio::test]
async fn everybody_follows_what_they_may_read_and_nothing_else() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let (stranger, operator, reviewer, agent) = (app.stranger().await, app.operator().await, app.reviewer().await, app.agent().await);
    let end = if order.ticket.ends_with('A') { 'Q' } else { 'A' };
    let forged = format!("{}{end}", &order.ticket[..order.ticket.len() - 1]);
    let rows: [(&Caller, &str, Value, Option<&str>); 9] = [
        (&shop.owner, ORDER, of(&order), None),
        (&operator, ORDER, of(&order), None),
        (&stranger, ORDER, of(&order), Some("NOT_FOUND")),
        (&reviewer, ORDER, of(&order), Some("NOT_FOUND")),
        (&agent, ORDER, of(&order), Some("NOT_FOUND")),
        (&shop.owner, ORDER, json!({ "id": "none" }), Some("NOT_FOUND")),
        (&Caller::nobody(), ORDER, of(&order), Some("AUTH_REQUIRED")),
        (&Caller::nobody(), CASHIER, by(&order), None),
        (&Caller::nobody(), CASHIER, json!({ "ticket": forged }), Some("AUTH_TICKET_INVALID")),
    ];
    for (caller, query, variables, refused) in rows {
        let mut socket = app.socket().await;
        socket.begin(caller).await;
        socket.subscribe("a", query, variables.clone()).await;
        let said = socket.hear().await.unwrap();
        let mut line = app.line(caller, query, variables).await;
        let (event, told) = line.next().await.unwrap();
        assert_eq!(event, "next");
        match refused {
            None => assert!(said["type"] == "next" && told["data"].is_object(), "{}: {said} {told}", caller.name),
            Some(code) => {
                assert_eq!((&said["type"], &said["payload"][0]["extensions"]["code"]), (&json!("error"), &json!(code)), "{}", caller.name);
                assert_eq!(told["errors"][0]["extensions"]["code"], code, "{}", caller.name);
                assert_eq!(line.next().await.unwrap().0, "complete", "a line that was refused is over");
                assert!(line.next().await.is_none());
            }
        }
    }
    let fields = "{ __schema { subscriptionType { fields { name } } } }";
    let schema = app.read(&Caller::nobody(), "__schema", fields, json!({})).await;
    assert_eq!(schema["subscriptionType"]["fields"], json!([{ "name": "orderChanged" }, { "name": "cashierChanged" }]), "add it above");
    app.finish().await;
}

#[tokio::test]
async fn a_logout_ends_what_the_session_opened_and_nothing_else() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let other_session = app.owner().await;
    let mut line = app.line(&shop.owner, ORDER, of(&order)).await;
    line.next().await.unwrap();
    let mut sockets = Vec::new();
    for caller in [&shop.owner, &other_session] {
        let mut socket = app.socket().await;
        socket.begin(caller).await;
        socket.subscribe("a", ORDER, of(&order)).await;
        socket.until("a", |_| true).await;
        sockets.push(socket);
    }
    app.done(&shop.owner, "logout", Value::Null, "").await;
    assert_eq!(line.next().await.unwrap().1["errors"][0]["extensions"]["code"], "AUTH_TOKEN_INVALID");
    assert_eq!(line.next().await.unwrap().0, "complete");
    assert_eq!(sockets[0].hear().await.unwrap()["payload"][0]["extensions"]["code"], "AUTH_TOKEN_INVALID");
    assert_eq!(sockets[0].hear().await, Err(Ended::Code(4403)));
    // the same person's other session goes on
    app.start_payment(&order).await;
    sockets[1].until("a", |data| data["orderChanged"]["status"] == "PAYING").await;
    assert_eq!(app.try_line(app.url(), &shop.owner, ORDER, of(&order)).await.status(), 401);
    app.finish().await;
}

#[tokio::test]
async fn a_socket_that_does_not_keep_to_the_protocol_is_closed_with_its_code() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let subscribe = json!({ "id": "a", "type": "subscribe", "payload": { "query": CASHIER, "variables": by(&order) } });
    let init = json!({ "type": "connection_init" });
    let text = |value: &Value| Message::text(value.to_string());
    let bad_token = json!({ "type": "connection_init", "payload": { "authorization": "Bearer none" } });
    let no_token = json!({ "type": "connection_init", "payload": { "authorization": "Basic none" } });
    let long = json!({ "id": "a".repeat(65), "type": "subscribe", "payload": {} });
    let cases: Vec<(&str, Vec<Message>, u16)> = vec![
        ("nothing said", vec![], 4408),
        ("a subscription before the beginning", vec![text(&subscribe)], 4401),
        ("the beginning twice", vec![text(&init), text(&init)], 4429),
        ("a token of nobody", vec![text(&bad_token)], 4403),
        ("no token", vec![text(&no_token)], 4403),
        ("no JSON", vec![Message::text("garbage")], 4400),
        ("JSON of no kind", vec![Message::text("[1]")], 4400),
        ("an unknown kind", vec![Message::text(r#"{"type":"start"}"#)], 4400),
        ("bytes", vec![Message::binary(vec![0_u8; 16])], 4400),
        ("a name twice", vec![text(&init), text(&subscribe), text(&subscribe)], 4409),
        ("a name too long", vec![text(&init), text(&long)], 4400),
        ("a giant message", vec![text(&init), Message::text("a".repeat(70_000))], 1009),
        ("a giant message before the beginning", vec![Message::binary(vec![0_u8; 70_000])], 1009),
        ("a flood", [text(&init)].into_iter().chain((0..200).map(|_| Message::text(r#"{"type":"ping"}"#))).collect(), 4429),
    ];
    for (what, messages, code) in cases {
        let mut socket = app.socket().await;
        for message in messages {
            socket.send(message).await;
        }
        let end = loop {
            match socket.hear().await {
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        assert_eq!(end, Ended::Code(code), "{what}");
    }
    for (headers, status) in [
        (&[][..], 400),
        (&[("sec-websocket-protocol", "graphql-ws")], 400),
        (&[("sec-websocket-protocol", "graphql-transport-ws"), ("origin", "https://evil.example")], 403),
    ] {
        assert_eq!(app.try_socket(app.url(), headers).await.err(), Some(status), "{headers:?}");
    }
    let plain = app.http().get(format!("{}/graphql", app.url())).send().await.unwrap();
    assert_eq!(plain.status(), 405, "without an upgrade there is nothing to get");
    app.finish().await;
}

#[tokio::test]
async fn a_subscription_keeps_to_the_limits_of_every_document() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let wide: String = (0..1_001).map(|i| format!("a{i}: status ")).collect();
    let costly = "split { lines(first: 100) { nodes { a: role b: role c: role d: role e: role f: role g: role h: role } } } ";
    let costly: String = (0..9).map(|i| format!("s{i}: {costly}")).collect();
    let cases = [
        (format!("subscription {{ orderChanged(orderId: \"{}\") {{ {wide} }} }}", order.id), "LIMIT_COMPLEXITY"),
        (format!("subscription {{ orderChanged(orderId: \"{}\") {{ {costly} }} }}", order.id), "LIMIT_COMPLEXITY"),
        (format!("subscription {{ orderChanged(orderId: \"{}\") {{ {} }} }}", order.id, "status ".repeat(3_000)), "LIMIT_DOCUMENT"),
        (
            format!("subscription {{ a: orderChanged(orderId: \"{0}\") {{ id }} b: orderChanged(orderId: \"{0}\") {{ id }} }}", order.id),
            "INPUT_REQUEST",
        ),
        ("subscription { nothing }".to_owned(), "INPUT_DOCUMENT"),
        ("subscription { orderChanged".to_owned(), "INPUT_SYNTAX"),
    ];
    let mut socket = app.socket().await;
    socket.begin(&shop.owner).await;
    for (query, code) in &cases {
        socket.subscribe("a", query, json!({})).await;
        let said = socket.hear().await.unwrap();
        assert_eq!((&said["type"], &said["payload"][0]["extensions"]["code"]), (&json!("error"), &json!(code)), "{said}");
        let answer = app.try_line(app.url(), &shop.owner, query, json!({})).await;
        assert_eq!(answer.status(), 400, "{code}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], *code);
    }
    socket.subscribe("a", "{ viewer { id } }", json!({})).await;
    assert_eq!(socket.hear().await.unwrap()["payload"][0]["extensions"]["code"], "INPUT_REQUEST", "a socket takes subscriptions only");
    let without = app.gql(&shop.owner, ORDER, of(&order)).await;
    assert_eq!((without.status, without.codes()), (406, vec!["INPUT_ACCEPT".to_owned()]), "a subscription has no single answer");
    let query = app.try_line(app.url(), &shop.owner, "{ viewer { id } }", json!({})).await;
    assert_eq!(query.headers()["content-type"], "application/graphql-response+json; charset=utf-8", "a query is answered, not streamed");
    app.finish().await;
}

/// Opens subscriptions until one is refused; how many there were.
async fn fill(socket: &mut Socket, query: &str, variables: &Value) -> usize {
    for i in 0..=64 {
        socket.subscribe(&i.to_string(), query, variables.clone()).await;
        let said = socket.hear().await.unwrap();
        if said["type"] == "error" {
            assert_eq!(said["payload"][0]["extensions"]["code"], "LIMIT_STREAMS", "{said}");
            return i;
        }
    }
    panic!("no bound");
}

#[tokio::test]
async fn an_order_a_person_and_a_connection_have_a_bounded_number_of_streams() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let mut first = app.socket().await;
    first.begin(&Caller::nobody()).await;
    assert_eq!(fill(&mut first, CASHIER, &by(&order)).await, 16, "of one connection");
    let mut second = app.socket().await;
    second.begin(&Caller::nobody()).await;
    assert_eq!(fill(&mut second, CASHIER, &by(&order)).await, 0, "of one order");
    first.say(json!({ "id": "3", "type": "complete" })).await;
    eventually(LIMIT, "what is ended gives its place back", async || {
        let mut line = app.line(&Caller::nobody(), CASHIER, by(&order)).await;
        line.next().await?.1["data"].is_object().then_some(())
    })
    .await;
    drop((first, second));

    let mut sockets = Vec::new();
    let mut open = 0;
    loop {
        let mut socket = app.socket().await;
        socket.begin(&shop.owner).await;
        let order = app.order(&shop, "1.00").await;
        let more = fill(&mut socket, ORDER, &of(&order)).await;
        sockets.push(socket);
        open += more;
        if more == 0 {
            break;
        }
    }
    assert_eq!(open, 32, "of one person");
    app.finish().await;
}

#[tokio::test]
async fn a_stop_ends_lines_and_sockets_in_good_order() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let mut line = app.line(&Caller::nobody(), CASHIER, by(&order)).await;
    assert_eq!(line.next().await.unwrap().0, "next", "the present state comes first");
    let mut socket = app.socket().await;
    socket.begin(&shop.owner).await;
    socket.subscribe("a", ORDER, of(&order)).await;
    socket.until("a", |_| true).await;
    let said = tokio::spawn(async move { socket.hear_within(LIMIT).await });
    // finish stops the server by SIGTERM and asserts that it ends with 0 in time
    app.finish().await;
    assert!(line.next().await.is_none(), "the line ends without `complete`, so that its reader comes again");
    assert_eq!(said.await.unwrap(), Some(Err(Ended::Code(1001))));
}
