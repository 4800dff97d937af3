//! One protocol's side of the simulator: what differs between counterparties is how a notice is written, signed and taken.

use std::collections::HashMap;
use std::fmt;

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use reqwest::Url;

use super::Party;
use super::record::{Payment, Payout, Refund};

/// What a notice tells. Only final states are told.
#[derive(Clone, Copy, Debug)]
pub enum About<'a> {
    Payment(&'a Payment),
    /// With the payment it is of.
    Refund(&'a Refund, &'a Payment),
    Payout(&'a Payout),
}

/// What of a request its answer's signature may cover.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub path: &'a str,
    pub headers: &'a HeaderMap,
}

/// A protocol as the delivery of notices sees it.
pub trait Front: fmt::Debug + Send + Sync {
    /// The body of a notice. Written once: each delivery of one notice has the same.
    fn notice(&self, notice_id: &str, about: About<'_>, now: DateTime<Utc>) -> String;

    /// The body of one delivery, where it is signed anew inside, or is no UTF-8.
    fn delivered(&self, body: &str, _at: DateTime<Utc>) -> Vec<u8> {
        body.as_bytes().to_vec()
    }

    /// The headers of one delivery, content type included, signed anew, as of `at`, where the protocol signs headers.
    fn headers(&self, url: &Url, body: &str, at: DateTime<Utc>) -> HeaderMap;

    /// The headers of an answer with another body or another time, rightly signed. None: this protocol signs inside
    /// ([`Front::answer_again`]).
    fn answer_headers(&self, _asked: &Asked<'_>, _status: StatusCode, _body: &[u8], _at: DateTime<Utc>) -> Option<HeaderMap> {
        None
    }

    /// An answer of a protocol that signs inside, rightly signed as of `at`, and about another number where one is given. None: it signs
    /// headers, or this is no answer of its own.
    fn answer_again(&self, _body: &[u8], _at: DateTime<Utc>, _instead: Option<(&str, &str)>) -> Option<Vec<u8>> {
        None
    }

    /// Whether the platform's answer means that it has the notice.
    fn taken(&self, status: StatusCode, answer: &[u8]) -> bool;
}

/// All of them by who speaks.
pub type Fronts = HashMap<Party, Box<dyn Front>>;
