//! The edge over a toy schema: no database, no services.

use async_graphql::{EmptySubscription, ErrorExtensions, Object, Schema};
use axum::Router;
use axum::body::Body;
use axum::routing;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::http::layer;

struct Query;

#[Object]
impl Query {
    async fn answer(&self) -> i32 {
        42
    }

    async fn echo(&self, value: i32) -> i32 {
        value
    }

    async fn maybe(&self) -> async_graphql::Result<Option<i32>> {
        Err(async_graphql::Error::new("select secret from vault"))
    }

    async fn refused(&self) -> async_graphql::Result<i32> {
        Err(async_graphql::Error::new("请先登录").extend_with(|_, e| e.set("code", "AUTH_REQUIRED")))
    }

    async fn broken(&self) -> async_graphql::Result<i32> {
        Err(async_graphql::Error::new("connection to 10.0.0.7 lost"))
    }

    async fn panics(&self) -> i32 {
        assert!(std::hint::black_box(false), "a bug");
        0
    }

    async fn never(&self) -> i32 {
        std::future::pending().await
    }

    async fn deep(&self) -> Query {
        Query
    }
}

struct Mutation;

#[Object]
impl Mutation {
    async fn change(&self) -> i32 {
        1
    }
}

fn edge(places: usize) -> Router {
    let schema = Schema::build(Query, Mutation, EmptySubscription).limit_depth(5).limit_complexity(60).limit_directives(2).finish();
    let runner = Runner { gate: Gate::new("test", places), tasks: TaskTracker::new(), time_max: Duration::from_millis(200) };
    let post = async move |Extension(id): Extension<RequestId>, request: Request| -> Response {
        let format = match request::negotiate(request.headers()) {
            Ok(format) => format,
            Err(fault) => return fault.render(Format::GraphQl, &id.0),
        };
        let (parts, body) = request.into_parts();
        match read(&parts.headers, body).await {
            Ok(operation) => {
                let caller = Caller { actor: None, token: None, request_id: id.0.to_string() };
                run(&runner, &schema, operation, caller, format).await
            }
            Err(fault) => fault.render(format, &id.0),
        }
    };
    Router::new().route("/graphql", routing::post(post).fallback(method_not_allowed)).layer(axum::middleware::from_fn(layer::observe))
}

/// Sends and reads: status, content type, body.
async fn send(edge: &Router, request: axum::http::request::Builder, body: impl Into<Body>) -> (StatusCode, Value, HeaderMap) {
    let response = edge.clone().oneshot(request.uri("/graphql").body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, serde_json::from_slice(&bytes).unwrap_or(Value::Null), parts.headers)
}

fn json_post() -> axum::http::request::Builder {
    Request::builder().method("POST").header("content-type", "application/json").header("x-request-id", "test-1")
}

async fn query(text: &str) -> (StatusCode, Value) {
    let (status, body, _) = send(&edge(8), json_post(), json!({ "query": text }).to_string()).await;
    (status, body)
}

#[tokio::test]
async fn only_post_is_served() {
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"] {
        let request = Request::builder().method(method).header("content-type", "application/json");
        let (status, _, headers) = send(&edge(8), request, Body::empty()).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(headers[header::ALLOW], "POST", "{method}");
    }
}

#[tokio::test]
async fn the_status_follows_the_outcome() {
    let deep = "{ deep { deep { deep { deep { deep { answer } } } } } }";
    let wide: String = (0..61).map(|i| format!("a{i}: answer ")).collect();
    let wide = format!("{{ {wide} }}");
    let cases = [
        ("{ answer }", 200, None),
        ("mutation { change }", 200, None),
        ("{ answer maybe }", 200, Some("INTERNAL")),
        ("{ refused }", 200, Some("AUTH_REQUIRED")),
        ("{ broken }", 500, Some("INTERNAL")),
        ("{ panics }", 500, Some("INTERNAL")),
        ("{ never }", 504, Some("LIMIT_TIME")),
        ("{ nothing }", 400, Some("INPUT_DOCUMENT")),
        ("{ echo(value: \"x\") }", 400, Some("INPUT_DOCUMENT")),
        ("{ answer", 400, Some("INPUT_SYNTAX")),
        (deep, 400, Some("LIMIT_DEPTH")),
        (&wide, 400, Some("LIMIT_COMPLEXITY")),
        ("{ answer @skip(if: false) @include(if: true) @a @b }", 400, Some("LIMIT_DIRECTIVES")),
    ];
    for (text, status, code) in cases {
        let (got, body) = query(text).await;
        assert_eq!(got.as_u16(), status, "{text}: {body}");
        assert_eq!(body["errors"][0]["extensions"]["code"].as_str(), code, "{text}: {body}");
        if code.is_some() {
            assert_eq!(body["errors"][0]["extensions"]["requestId"], "test-1", "{text}");
        }
        assert_eq!(body.get("data").is_some(), status == 200 || (status == 500 && text != "{ panics }"), "{text}: {body}");
    }
}

#[tokio::test]
async fn what_a_resolver_says_without_a_code_stays_inside() {
    for text in ["{ broken }", "{ answer maybe }", "{ panics }"] {
        let (_, body) = query(text).await;
        let body = body.to_string();
        assert!(!body.contains("10.0.0.7") && !body.contains("secret") && !body.contains("bug"), "{body}");
    }
}

#[tokio::test]
async fn a_variable_of_the_wrong_type_is_a_bad_request() {
    let body = json!({ "query": "query ($v: Int!) { echo(value: $v) }", "variables": { "v": "x" } });
    let (status, body, _) = send(&edge(8), json_post(), body.to_string()).await;
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (StatusCode::BAD_REQUEST, &json!("INPUT_DOCUMENT")), "{body}");
}

#[tokio::test]
async fn the_form_of_a_request_is_checked() {
    let query = || json!({ "query": "{ answer }" }).to_string();
    let post = || Request::builder().method("POST");
    let cases = [
        (post(), query(), 415),
        (post().header("content-type", "text/plain"), query(), 415),
        (post().header("content-type", "multipart/form-data; boundary=x"), query(), 415),
        (json_post().header("accept", "text/html"), query(), 406),
        (json_post(), "x".repeat(64 * 1024 + 1), 413),
        (json_post(), format!("[{}]", query()), 400),
        (json_post(), String::new(), 400),
    ];
    for (request, body, status) in cases {
        let (got, body, _) = send(&edge(8), request, body).await;
        assert_eq!(got.as_u16(), status, "{body}");
        assert!(body["errors"][0]["extensions"]["code"].is_string() && body.get("data").is_none(), "{body}");
    }
}

#[tokio::test]
async fn the_answer_names_its_form_and_is_not_kept() {
    for (accept, expected) in
        [("application/json", "application/json; charset=utf-8"), ("*/*", "application/graphql-response+json; charset=utf-8")]
    {
        let (_, _, headers) = send(&edge(8), json_post().header("accept", accept), r#"{"query":"{ answer }"}"#).await;
        assert_eq!(headers[header::CONTENT_TYPE], expected);
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers["x-request-id"], "test-1");
    }
}

#[tokio::test]
async fn a_saturated_edge_says_when_to_come_again() {
    let edge = edge(1);
    let waiting = tokio::spawn({
        let edge = edge.clone();
        async move { send(&edge, json_post(), r#"{"query":"{ never }"}"#).await }
    });
    tokio::task::yield_now().await;
    while edge_is_free(&edge).await {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap().0, StatusCode::GATEWAY_TIMEOUT);
    // the cancelled operation gives its place back
    while !edge_is_free(&edge).await {
        tokio::task::yield_now().await;
    }
}

/// Whether an operation gets a place; a refusal must say when to come again.
async fn edge_is_free(edge: &Router) -> bool {
    let (status, body, headers) = send(edge, json_post(), r#"{"query":"{ answer }"}"#).await;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        assert_eq!(headers[header::RETRY_AFTER], "1");
        assert_eq!(body["errors"][0]["extensions"]["code"], "LIMIT_BUSY");
        assert_eq!(body["errors"][0]["extensions"]["retryAfterMs"], 1_000);
    }
    status == StatusCode::OK
}
