//! From a result to an answer: the status by class of outcome, a code and the request id on every error.

use async_graphql::{Pos, Response as GraphQlResponse, ServerError, Value};
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::request::Format;

/// A refusal before anything ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub status: StatusCode,
    pub code: &'static str,
    message: Cow<'static, str>,
    locations: Vec<Pos>,
    retry_after_ms: Option<u64>,
}

impl Fault {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), locations: Vec::new(), retry_after_ms: None }
    }

    /// Where in the document.
    pub fn at(mut self, locations: Vec<Pos>) -> Self {
        self.locations = locations;
        self
    }

    fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "LIMIT_BUSY", "当前请求较多，请稍后重试").retry_after(1_000)
    }

    pub fn timed_out() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "LIMIT_TIME", "操作超时已取消，请稍后以同一 idempotencyKey 重试").retry_after(1_000)
    }

    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "AUTH_TOKEN_INVALID", "登录已失效，请重新登录后再试")
    }

    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", INTERNAL_MESSAGE)
    }

    /// The refusal as GraphQL errors: one.
    pub fn errors(&self, request_id: &str) -> [ServerError; 1] {
        let mut error = ServerError::new(self.message.as_ref(), None);
        error.locations.clone_from(&self.locations);
        let extensions = error.extensions.get_or_insert_default();
        extensions.set("code", self.code);
        extensions.set("requestId", request_id);
        if let Some(ms) = self.retry_after_ms {
            extensions.set("retryAfterMs", ms);
        }
        [error]
    }

    /// The refusal as an answer.
    pub fn render(self, format: Format, request_id: &str) -> Response {
        let retry_after_s = self.retry_after_ms.map(|ms| ms.div_ceil(1_000));
        let body = Document { errors: &self.errors(request_id), data: None, extensions: &BTreeMap::new() };
        let mut response = write(self.status, format, &body);
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match self.status {
            StatusCode::UNAUTHORIZED => drop(headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(header::ALLOW, HeaderValue::from_static("POST"))),
            _ => {}
        }
        response
    }
}

const INTERNAL_MESSAGE: &str = "系统繁忙，请稍后重试；若仍失败，请把 requestId 告诉客服";

/// How an execution ended, for status and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is data, perhaps beside errors.
    Data,
    /// The document does not fit the schema or its limits; nothing ran.
    Refused,
    /// It ran, and a rule left no data.
    Rejected,
    /// Our fault left no data.
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Data | Self::Rejected => StatusCode::OK,
            Self::Refused => StatusCode::BAD_REQUEST,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Gives every error its code and the request id, and tells what kind of end it was.
///
/// An error without a code that is not one of the library's own remarks on a document or an argument is a resolver that forgot its
/// code: its text might say too much, so it goes to the log and not to the caller.
pub fn finish(response: &mut GraphQlResponse, request_id: &str) -> Outcome {
    let mut outcome = match response.data {
        Value::Null if !response.errors.is_empty() && response.errors.iter().all(|e| e.path.is_empty()) => Outcome::Refused,
        Value::Null if !response.errors.is_empty() => Outcome::Rejected,
        _ => Outcome::Data,
    };
    for error in &mut response.errors {
        let given = error.extensions.as_ref().and_then(|e| e.get("code"));
        let given = given.and_then(|code| if let Value::String(code) = code { Some(code.clone()) } else { None });
        let code = given.map_or_else(|| library_code(error, outcome).map_or(Cow::Borrowed("INTERNAL"), Cow::Borrowed), Cow::Owned);
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            if code == "INTERNAL" {
                tracing::error!(error = %error.message, "a resolver gave an error without a code");
            }
            if let Some(message) = own_words(&code) {
                error.message = message.to_owned();
            }
        }
        extensions.set("code", code.as_ref());
        extensions.set("requestId", request_id);
        if code == "INTERNAL" && outcome != Outcome::Data {
            outcome = Outcome::Failed;
        }
    }
    outcome
}

/// The code of a remark the library makes itself.
fn library_code(error: &ServerError, outcome: Outcome) -> Option<&'static str> {
    let message = error.message.as_str();
    if message.starts_with("Query is nested too deep") || message.contains("recursion depth") {
        return Some("LIMIT_DEPTH");
    }
    if message.starts_with("Query is too complex") {
        return Some("LIMIT_COMPLEXITY");
    }
    if message.contains("number of directives") {
        return Some("LIMIT_DIRECTIVES");
    }
    if outcome == Outcome::Refused {
        return Some("INPUT_DOCUMENT");
    }
    // an argument or a variable that does not parse as its type
    let unfit = message.starts_with("Failed to parse \"") || message.starts_with("Expected input type \"");
    unfit.then_some("INPUT_VALUE")
}

/// What is said in place of the library's words, where they say too much or too little.
fn own_words(code: &str) -> Option<&'static str> {
    Some(match code {
        "INTERNAL" => INTERNAL_MESSAGE,
        "LIMIT_DEPTH" => "查询嵌套过深，请减少层级或分次查询",
        "LIMIT_COMPLEXITY" => "查询的字段过多，请减少字段、减小 first 或分次查询",
        "LIMIT_DIRECTIVES" => "一个字段上的指令过多，请减少指令",
        _ => return None,
    })
}

/// The executed response as an answer.
pub fn render(response: &GraphQlResponse, outcome: Outcome, format: Format) -> Response {
    write(outcome.status(), format, &document(response, outcome))
}

/// The executed response as JSON text.
pub fn text(response: &GraphQlResponse, outcome: Outcome) -> String {
    serde_json::to_string(&document(response, outcome)).expect("GraphQL values serialise")
}

fn document(response: &GraphQlResponse, outcome: Outcome) -> Document<'_> {
    let data = (outcome != Outcome::Refused).then_some(&response.data);
    Document { errors: &response.errors, data, extensions: &response.extensions }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    /// Absent where nothing ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn write(status: StatusCode, format: Format, document: &Document<'_>) -> Response {
    let body = serde_json::to_vec(document).expect("GraphQL values serialise");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
