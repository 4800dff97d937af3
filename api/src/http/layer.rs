//! What every request passes: an id, a log line, a measurement, the refusal of foreign pages, security headers, and the net under panics.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use uuid::Uuid;

use super::problem::Problem;

/// The header that carries a request's id in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a caller.
const REQUEST_ID_LEN_MAX: usize = 64;

/// What pages may do: nothing from elsewhere, no frames, no inline scripts.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The id of a request: in the log, in the answer, in every error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The caller's own id where it is a plain one, else a fresh one.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&REQUEST_ID).and_then(|v| v.to_str().ok());
        let plain = |id: &&str| (1..=REQUEST_ID_LEN_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        Self(given.filter(plain).map_or_else(|| Uuid::now_v7().to_string().into(), Into::into))
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of the request this task answers; empty outside of one.
pub fn current_request_id() -> String {
    CURRENT.try_with(|id| id.0.to_string()).unwrap_or_default()
}

/// Gives the request its id, logs one line about it and measures it. The raw path is never logged: tickets are in it.
pub async fn observe(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    };
    let span = tracing::info_span!("http", request_id = %id.0, method, route);
    request.extensions_mut().insert(id.clone());
    let started = Instant::now();
    let mut response = CURRENT.scope(id.clone(), next.run(request)).instrument(span.clone()).await;
    let took = started.elapsed();
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status();
    let class = match status.as_u16() {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("haodian_http_requests_total", "route" => route.clone(), "method" => method, "status" => class).increment(1);
    metrics::histogram!("haodian_http_request_seconds", "route" => route.clone()).record(took);
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| match route.as_str() {
        "/livez" | "/readyz" | "/metrics" => tracing::debug!(status = status.as_u16(), ms, "answered"),
        _ => tracing::info!(status = status.as_u16(), ms, "answered"),
    });
    response
}

/// Adds the headers that protect a page, unless the handler chose its own.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let defaults = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Refuses what a page of another site sends: its `Origin` must be ours, and the browser must not call the request cross-site.
///
/// Servers and command lines send neither header.
pub async fn refuse_foreign_pages(State(public_url): State<Arc<str>>, request: Request, next: Next) -> Response {
    // a socket is opened by GET and then said anything through
    let reads = matches!(*request.method(), Method::GET | Method::HEAD) && !request.headers().contains_key(header::UPGRADE);
    if reads || from_here(request.headers(), &public_url) {
        return next.run(request).await;
    }
    Problem::new(StatusCode::FORBIDDEN, "PERM_ORIGIN", "不接受来自其他网站页面的请求，请在本站页面操作").into_response()
}

/// Whether a request comes from our own pages or from no page at all.
fn from_here(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    if text(&HeaderName::from_static("sec-fetch-site")) == Some("cross-site") {
        return false;
    }
    let Some(origin) = text(&header::ORIGIN) else { return true };
    let host = text(&header::HOST).unwrap_or("");
    let own = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).is_some_and(|rest| rest == host);
    own || origin == public_url.trim_end_matches('/')
}

/// At most so many of one kind of work at a time; the rest are told to come again.
#[derive(Clone, Debug)]
pub struct Gate {
    name: &'static str,
    places: Arc<Semaphore>,
}

impl Gate {
    pub fn new(name: &'static str, places: usize) -> Self {
        Self { name, places: Arc::new(Semaphore::new(places)) }
    }

    /// A place until it is dropped; none when all are taken. Never waits.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            metrics::counter!("haodian_refused_total", "gate" => self.name).increment(1);
        }
        place
    }
}

/// Answers for a handler that panicked. The panic's own text stays in the log.
pub fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("without text"), "a handler panicked");
    Problem::internal().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        let long = "a".repeat(65);
        for (given, kept) in [("abc-123", true), ("", false), (long.as_str(), false), ("a b", false), ("a\"b", false), ("用户", false)] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(given.as_bytes()).unwrap())]);
            let id = RequestId::of(&headers);
            assert_eq!(&*id.0 == given, kept, "{given}");
            assert!(!id.0.is_empty());
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }

    #[test]
    fn only_our_own_pages_and_no_page_may_post() {
        let here = "https://pay.example.cn/";
        let cases: [(&[(&'static str, &str)], bool); 8] = [
            (&[], true),
            (&[("origin", "https://pay.example.cn"), ("sec-fetch-site", "same-origin")], true),
            (&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8080")], true),
            (&[("origin", "http://127.0.0.1:9999"), ("host", "127.0.0.1:8080")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://pay.example.cn.evil.example")], false),
            (&[("sec-fetch-site", "cross-site")], false),
        ];
        for (list, expected) in cases {
            assert_eq!(from_here(&headers(list), here), expected, "{list:?}");
        }
    }

    #[test]
    fn a_gate_lets_in_as_many_as_it_has_places() {
        let gate = Gate::new("test", 1);
        let place = gate.enter();
        assert!(place.is_some());
        assert!(gate.enter().is_none());
        drop(place);
        assert!(gate.enter().is_some());
    }
}
