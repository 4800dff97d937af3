//! The one table from errors to what a caller is told: a stable code, one sentence, the field, whether trying again can help.
//!
//! Rejections (the caller's doing) become `userErrors` of a mutation. Login, permission and paging faults become top-level errors with a
//! code. Everything else is logged once, here, with its whole chain, and becomes `INTERNAL`.

use std::time::Duration;

use async_graphql::{Error, ErrorExtensions, SimpleObject};
use wallet::base::idempotency::IdempotencyError;

use crate::http::problem::chain;

/// Why a mutation was not carried out, and what to do about it.
#[derive(SimpleObject, Clone, Debug, PartialEq, Eq)]
pub struct UserError {
    /// Stable code, such as `INPUT_INVALID` or `IDEMPOTENCY_KEY_REUSED`. The README lists them.
    pub code: String,
    /// One sentence for people, with the remedy.
    pub message: String,
    /// The input field at fault, where there is one.
    pub field: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// After how many milliseconds trying again makes sense, where that is known.
    pub retry_after_ms: Option<i32>,
}

impl UserError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), field: None, retryable: false, retry_after_ms: None }
    }

    /// Names the input field at fault.
    pub fn at(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Marks what may succeed later.
    pub fn passing(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Marks what may succeed after a while.
    pub fn passing_after(self, wait: Duration) -> Self {
        // nobody is told to wait for weeks: what does not fit is as good as the most
        let retry_after_ms = Some(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX));
        Self { retry_after_ms, ..self.passing() }
    }
}

/// An input that cannot be right, at the given field.
pub fn invalid(field: &str, message: impl Into<String>) -> UserError {
    UserError::new("INPUT_INVALID", message).at(field)
}

/// Missing, or somebody else's: the two look the same from outside.
pub fn not_found(field: &str, what: &str) -> UserError {
    UserError::new("NOT_FOUND", format!("找不到{what}，请核对编号")).at(field)
}

/// The reused idempotency key of every money mutation.
pub fn key_reused() -> UserError {
    UserError::new("IDEMPOTENCY_KEY_REUSED", "该 idempotencyKey 已用于另一个请求，新的请求请换一个新的 key").at("idempotencyKey")
}

/// Too much is going on at once: the same request succeeds later, under the same key.
pub fn busy(retry_after: Duration) -> UserError {
    UserError::new("STATE_BUSY", "系统正忙，请用同一个 idempotencyKey 稍后重试").passing_after(retry_after)
}

/// What an idempotency claim can object to.
pub fn idempotency(error: &IdempotencyError) -> Option<UserError> {
    match error {
        IdempotencyError::KeyReused => Some(key_reused()),
        IdempotencyError::ClaimedMeanwhile | IdempotencyError::Database(_) => None,
    }
}

/// Another role may do this, the caller may not.
pub fn permission() -> UserError {
    UserError::new("PERM_DENIED", "您没有权限进行此操作")
}

/// How a service's error looks outside. `None`: not the caller's doing.
pub trait Rejection: std::error::Error + Send + Sync + 'static {
    fn user_error(&self) -> Option<UserError>;
}

/// A service's answer as payload material: the value, or what the caller did wrong. Infrastructure failures become `INTERNAL`.
pub fn settle<T, E: Rejection>(result: Result<T, E>) -> async_graphql::Result<Result<T, Vec<UserError>>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.user_error() {
            Some(rejection) => Ok(Err(vec![rejection])),
            None => Err(internal(&error)),
        },
    }
}

/// For queries: what a caller may not see or that is not there is `null`; failures become `INTERNAL`.
pub fn visible<T, E: Rejection>(result: Result<T, E>) -> async_graphql::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.user_error().is_some() => Ok(None),
        Err(error) => Err(internal(&error)),
    }
}

/// For queries that must answer: a rejection becomes a top-level error with its code.
pub fn required<T, E: Rejection>(result: Result<T, E>) -> async_graphql::Result<T> {
    result.map_err(|error| match error.user_error() {
        Some(rejection) => coded(&rejection.code, rejection.message),
        None => internal(&error),
    })
}

/// A top-level error with a stable code.
pub fn coded(code: &str, message: impl Into<String>) -> Error {
    let code = code.to_owned();
    Error::new(message).extend_with(|_, e| e.set("code", code.as_str()))
}

/// A bad argument of a query.
pub fn input(field: &str, message: &str) -> Error {
    let field = field.to_owned();
    coded("INPUT_INVALID", message).extend_with(|_, e| e.set("field", field.as_str()))
}

/// Nobody is logged in.
pub fn login_required() -> Error {
    coded("AUTH_REQUIRED", "请先登录")
}

/// The caller's role does not allow it.
pub fn forbidden() -> Error {
    coded("PERM_DENIED", "您没有权限进行此操作")
}

/// Our fault. The chain goes to the log, the caller gets a code and the request id.
pub fn internal(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::error!(error = %chain(error), "request failed");
    coded("INTERNAL", "系统繁忙，请稍后重试；若仍失败，请把 requestId 告诉客服")
}
