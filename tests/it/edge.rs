//! The HTTP edge as a client meets it: forms, limits, statuses, headers, health, and an orderly stop.

use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tests::{Caller, TestApp, text};

/// Posts bytes to `/graphql` with the given headers.
async fn post(app: &TestApp, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Response {
    let mut request = app.http().post(format!("{}/graphql", app.url())).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("the edge answers")
}

async fn get(app: &TestApp, path: &str) -> Response {
    app.http().get(format!("{}{path}", app.url())).send().await.expect("the edge answers")
}

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"].as_str().unwrap_or("(no code)")
}

#[tokio::test]
async fn the_graphql_route_takes_one_json_operation_by_post_and_nothing_else() {
    let app = TestApp::start().await;
    let query = json!({ "query": "{ sandbox { today } }" }).to_string();
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let url = format!("{}/graphql?query=mutation%20%7B%20logout%20%7D", app.url());
        let answer = app.http().request(method.clone(), url).send().await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()[header::ALLOW]),
            (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap()),
            "{method}"
        );
    }

    let json = ("content-type", "application/json");
    let large = json!({ "query": "{ sandbox { today } }", "variables": { "x": "x".repeat(64 * 1024) } }).to_string();
    let long = json!({ "query": format!("{{ sandbox {{ {} }} }}", "today ".repeat(3_000)) }).to_string();
    let aliases: String = (0..550).map(|i| format!("a{i}: sandbox {{ today }} ")).collect();
    let aliases = json!({ "query": format!("{{ {aliases} }}") }).to_string();
    let fragments: String = (0..60).map(|i| format!("fragment f{i} on Query {{ ...f{n} ...f{n} }} ", n = i + 1)).collect();
    let doubling = json!({ "query": format!("{{ ...f0 }} {fragments} fragment f60 on Query {{ sandbox {{ today }} }}") }).to_string();
    let directives = json!({ "query": format!("{{ sandbox {} {{ today }} }}", "@include(if: true) ".repeat(20)) }).to_string();
    let deep =
        json!({ "query": format!("{{ __type(name: \"Query\") {{ {} name {} }} }}", "ofType { ".repeat(14), "} ".repeat(14)) }).to_string();
    type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, String, u16, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("no content type", vec![], query.clone(), 415, "INPUT_CONTENT_TYPE"),
        (
            "a form",
            vec![("content-type", "application/x-www-form-urlencoded")],
            "query={sandbox{today}}".to_owned(),
            415,
            "INPUT_CONTENT_TYPE",
        ),
        ("multipart", vec![("content-type", "multipart/form-data; boundary=x")], query.clone(), 415, "INPUT_CONTENT_TYPE"),
        ("plain text", vec![("content-type", "text/plain")], query.clone(), 415, "INPUT_CONTENT_TYPE"),
        ("an answer nobody gives", vec![json, ("accept", "text/html")], query.clone(), 406, "INPUT_ACCEPT"),
        ("a batch", vec![json], format!("[{query},{query}]"), 400, "INPUT_REQUEST"),
        ("no JSON", vec![json], "{".to_owned(), 400, "INPUT_REQUEST"),
        ("nothing", vec![json], String::new(), 400, "INPUT_REQUEST"),
        ("no GraphQL", vec![json], json!({ "query": "{ sandbox {" }).to_string(), 400, "INPUT_SYNTAX"),
        ("no such field", vec![json], json!({ "query": "{ nothing }" }).to_string(), 400, "INPUT_DOCUMENT"),
        ("a large body", vec![json], large, 413, "LIMIT_BODY"),
        ("a long document", vec![json], long, 400, "LIMIT_DOCUMENT"),
        ("550 aliases", vec![json], aliases, 400, "LIMIT_COMPLEXITY"),
        ("fragments that double", vec![json], doubling, 400, "LIMIT_COMPLEXITY"),
        ("20 directives", vec![json], directives, 400, "LIMIT_DIRECTIVES"),
        ("a deep document", vec![json], deep, 400, "LIMIT_DEPTH"),
    ];
    for (what, headers, body, status, expected) in cases {
        let answer = post(&app, &headers, body).await;
        assert_eq!(answer.status().as_u16(), status, "{what}");
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(code(&body), expected, "{what}: {body}");
        assert_eq!(body["errors"][0]["extensions"]["requestId"], id.as_str(), "{what}");
        assert!(body.get("data").is_none(), "{what}: nothing ran, so there is no data: {body}");
    }

    let answer = post(&app, &[json, ("accept", "application/json")], query).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &"application/json; charset=utf-8".parse().unwrap()));
    app.finish().await;
}

#[tokio::test]
async fn a_body_far_too_large_gets_its_answer_and_not_a_broken_line() {
    let app = TestApp::start().await;
    let answer = post(&app, &[("content-type", "application/json")], vec![b'x'; 20 * 1024 * 1024]).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(code(&answer.json().await.unwrap()), "LIMIT_BODY");
    app.finish().await;
}

#[tokio::test]
async fn a_token_that_is_not_good_is_told_so_and_no_token_is_nobody() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let good = format!("Bearer {}", owner.token.as_deref().unwrap());
    let query = json!({ "query": "{ viewer { role } }" }).to_string();
    let json = ("content-type", "application/json");
    for bad in ["Bearer x", "Bearer", "Basic YTpi", &format!("{good}x"), "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = post(&app, &[json, ("authorization", bad)], query.clone()).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["www-authenticate"]), (401, &"Bearer".parse().unwrap()), "{bad}");
        assert_eq!(code(&answer.json().await.unwrap()), "AUTH_TOKEN_INVALID");
    }
    let answer = post(&app, &[json], query.clone()).await;
    assert_eq!(answer.status(), 200, "a rule refused, the request was fine");
    assert_eq!(code(&answer.json().await.unwrap()), "AUTH_REQUIRED");
    let answer: Value = post(&app, &[json, ("authorization", &good)], query.clone()).await.json().await.unwrap();
    assert_eq!(answer["data"]["viewer"]["role"], "OWNER", "{answer}");

    app.gql(&owner, "mutation { logout { userErrors { code } } }", json!({})).await;
    assert_eq!(post(&app, &[json, ("authorization", &good)], query).await.status(), 401, "a token ends with its session");
    app.finish().await;
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_and_ours_are_guarded() {
    let app = TestApp::start().await;
    let query = json!({ "query": "{ sandbox { today } }" }).to_string();
    let json = ("content-type", "application/json");
    let here = app.url().to_owned();
    let cases: [(&[(&str, &str)], u16); 5] = [
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("origin", here.as_str()), ("sec-fetch-site", "same-origin")], 200),
        (&[], 200),
    ];
    for (headers, status) in cases {
        let headers: Vec<_> = headers.iter().copied().chain([json]).collect();
        assert_eq!(post(&app, &headers, query.clone()).await.status().as_u16(), status, "{headers:?}");
    }
    for path in ["/review", "/livez", "/nothing"] {
        let answer = get(&app, path).await;
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(
            (&headers["x-content-type-options"], &headers["referrer-policy"]),
            (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
        );
    }
    let graphiql = get(&app, "/graphiql").await;
    assert_eq!(graphiql.status(), 200);
    assert!(graphiql.text().await.unwrap().contains("/assets/graphiql/graphiql.min.js"));
    app.finish().await;
}

#[tokio::test]
async fn a_request_keeps_the_id_it_came_with_when_it_is_a_plain_one() {
    let app = TestApp::start().await;
    for (given, kept) in [("trace-42", true), ("a b", false), (&"x".repeat(65), false)] {
        let answer = app.http().get(format!("{}/nothing", app.url())).header("x-request-id", given).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(id == given, kept, "{given}: {id}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!((&body["error"]["code"], &body["error"]["requestId"]), (&json!("NOT_FOUND"), &json!(id)));
    }
    app.finish().await;
}

#[tokio::test]
async fn health_is_told_and_what_happened_is_counted() {
    let app = TestApp::start().await;
    assert_eq!(get(&app, "/livez").await.status(), 200);
    let ready: Value = get(&app, "/readyz").await.json().await.unwrap();
    assert_eq!(ready, json!({ "ready": true, "checks": { "database": true, "schema": true, "fanout": true, "running": true } }));
    let shop = app.signed_merchant().await;
    app.pay(&app.order(&shop, "10.00").await).await;
    app.gql(&Caller::nobody(), "{ madeUpByACaller }", json!({})).await;
    let metrics = get(&app, "/metrics").await.text().await.unwrap();
    for expected in [
        r#"haodian_http_requests_total{route="/graphql",method="POST",status="2xx"}"#,
        r#"haodian_http_request_seconds_bucket{route="/notices/{channel}",le="#,
        r#"haodian_graphql_operations_total{operation="orderCreate",outcome="data"}"#,
        r#"haodian_graphql_operations_total{operation="refused",outcome="refused"}"#,
        r#"haodian_notices_total{sender="SANDBOX",outcome="first"}"#,
        "haodian_notices_waiting",
        "haodian_outbox_lag_events",
        r#"haodian_jobs_waiting{kind="payment_query"}"#,
        r#"haodian_db_connections{state="idle"}"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is not in:\n{metrics}");
    }
    assert!(!metrics.contains("madeUpByACaller"), "a caller's invention names no series");
    app.finish().await;
}

#[tokio::test]
async fn a_notice_nobody_signed_is_refused_and_leaves_nothing() {
    let app = TestApp::start().await;
    let forged = json!({ "notice_id": "1", "kind": "PAYMENT", "status": "SUCCEEDED" }).to_string();
    let signed: &[(&str, &str)] =
        &[("x-sandbox-key", "acquirer"), ("x-sandbox-timestamp", "1"), ("x-sandbox-nonce", "n"), ("x-sandbox-signature", "AAAA")];
    for path in ["/notices/sandbox", "/notices/sandbox_bank"] {
        for headers in [&[][..], signed] {
            let mut request = app.http().post(format!("{}{path}", app.url())).body(forged.clone());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path}");
            assert_eq!(answer.text().await.unwrap(), "", "a forger learns nothing more");
        }
        let answer = app.http().post(format!("{}{path}", app.url())).body(vec![b'x'; 70_000]).send().await.unwrap();
        assert_eq!(answer.status(), 413, "{path}");
        assert_eq!(get(&app, path).await.status(), 405);
    }
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM notices").fetch_one(app.db()).await.unwrap();
    assert_eq!(stored, 0);
    app.finish().await;
}

#[tokio::test]
async fn tickets_and_tokens_stay_out_of_the_logs() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "10.00").await;
    get(&app, &format!("/cashier/{}", order.ticket)).await;
    get(&app, "/reviews/x/image?ticket=SECRET-TICKET").await;
    app.pay(&order).await;
    let token = shop.owner.token.clone().unwrap();
    for (name, log) in app.logs() {
        assert!(!log.contains(&order.ticket) && !log.contains(&token) && !log.contains("SECRET-TICKET"), "{name} logs a secret");
    }
    let served = app.logs().into_iter().find(|(name, _)| *name == "serve").unwrap().1;
    assert!(served.contains("/cashier/{ticket}"), "the route is logged in place of the path");
    app.finish().await;
}

#[tokio::test]
async fn a_review_image_opens_to_its_reviewer_by_its_link_only() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    app.application_in_review(&owner).await;
    let reviewer = app.reviewer().await;
    let queue = app.read(&reviewer, "reviewQueue", "{ reviewQueue(first: 1) { nodes { id } } }", json!({})).await;
    let task = text(&queue["nodes"][0]["id"]);
    let claimed = app.done(&reviewer, "reviewClaim", json!({ "taskId": task }), "task { imageUrl sealRemovedUrl }").await;
    let link = text(&claimed["task"]["imageUrl"]);
    let path = link.strip_prefix(app.url()).unwrap_or(&link).to_owned();

    let image = get(&app, &path).await;
    assert_eq!((image.status().as_u16(), &image.headers()["content-type"]), (200, &"image/jpeg".parse().unwrap()));
    assert_eq!(image.headers()["cache-control"], "no-store");
    assert!(image.bytes().await.unwrap().starts_with(&[0xFF, 0xD8, 0xFF]));

    let lifted = get(&app, &text(&claimed["task"]["sealRemovedUrl"])).await;
    assert_eq!(lifted.status(), 200);

    let (address, ticket) = path.split_once("?ticket=").expect("the link carries its ticket");
    let ticket = ticket.split('&').next().expect("a split has a first part");
    let query = "{ viewer { merchants { application { documents { id } } } } }";
    let viewer = app.read(&owner, "viewer", query, json!({})).await;
    let document = text(&viewer["merchants"][0]["application"]["documents"][0]["id"]);
    for (wrong, status) in [
        (address.to_owned(), 403),
        (format!("{address}?ticket={}", ticket.chars().rev().collect::<String>()), 403),
        (format!("/reviews/{document}/image?ticket={ticket}"), 404),
        (format!("/reviews/x/image?ticket={ticket}"), 404),
    ] {
        assert_eq!(get(&app, &wrong).await.status().as_u16(), status, "{wrong}");
    }
    app.done(&reviewer, "reviewRelease", json!({ "taskId": task }), "task { status }").await;
    assert!(get(&app, &path).await.status().is_client_error(), "a link is no better than the claim it was made for");
    app.finish().await;
}
