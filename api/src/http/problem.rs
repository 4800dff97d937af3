//! What the REST routes answer when they refuse: `{"error": {code, message, field, requestId}}`, one Chinese sentence with the remedy.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::layer;
use crate::graphql::error::{Rejection, UserError};

/// A refusal. The code is stable; the sentence is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub code: Cow<'static, str>,
    pub message: Cow<'static, str>,
    /// The part of the request at fault, where there is one.
    pub field: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: code.into(), message: message.into(), field: None, retry_after_s: None }
    }

    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// No token, or one that is not good any more.
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "AUTH_TOKEN_INVALID", "登录已失效，请重新登录后再试")
    }

    /// A limit of concurrency is reached.
    pub fn busy() -> Self {
        Self { retry_after_s: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "LIMIT_BUSY", "当前请求较多，请稍后重试") }
    }

    /// Our fault. The cause is logged by whoever met it.
    pub fn internal() -> Self {
        let message = "系统繁忙，请稍后重试；若仍失败，请把 requestId 告诉客服";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }

    /// Our fault, with the cause for the log.
    pub fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %chain(error), "request failed");
        Self::internal()
    }

    /// A service's refusal in the words of the one table of errors, or our fault.
    pub fn of<E: Rejection>(error: &E) -> Self {
        error.user_error().map_or_else(|| Self::failed(error), Self::told)
    }

    /// A rejection, with the status its code's family has.
    pub fn told(told: UserError) -> Self {
        let status = match told.code.split('_').next().unwrap_or_default() {
            "NOT" => StatusCode::NOT_FOUND,
            "PERM" => StatusCode::FORBIDDEN,
            "STATE" | "IDEMPOTENCY" => StatusCode::CONFLICT,
            "LIMIT" => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let problem = Self { field: told.field, ..Self::new(status, told.code, told.message) };
        let retry_after_s = told.retry_after_ms.map_or(1, |ms| u32::try_from(ms).unwrap_or_default().div_ceil(1_000));
        if told.retryable { Self { retry_after_s: Some(retry_after_s), ..problem } } else { problem }
    }

    /// Nothing at this address, or nothing the caller may see.
    pub fn not_found(message: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }
}

/// An error with its causes, outermost first, as one line for the log.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = json!({
            "code": self.code, "message": self.message, "field": self.field, "requestId": layer::current_request_id(),
        });
        let mut response = (self.status, axum::Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
