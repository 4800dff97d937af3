//! The sandbox's own protocol as notices need it: JSON with a detached Ed25519 signature, taken with any 2xx.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use reqwest::Url;
use wallet::channel::sandbox::sign::{NONCE, Signer};
use wallet::channel::sandbox::wire::{Notice, NoticeKind, NoticeStatus, PaymentStatus, TransferStatus};

use super::front::{About, Asked, Front};

/// The acquirer's or the bank's hand.
#[derive(Debug)]
pub struct Sandbox(pub Arc<Signer>);

impl Front for Sandbox {
    fn notice(&self, notice_id: &str, about: About<'_>, _now: DateTime<Utc>) -> String {
        let notice_id = notice_id.to_owned();
        let notice = match about {
            About::Payment(p) => Notice {
                notice_id,
                kind: NoticeKind::Payment,
                merchant_no: p.request.merchant_no.clone(),
                request_no: p.request.request_no.clone(),
                transaction_id: p.transaction_id.clone(),
                status: if p.status == PaymentStatus::Succeeded { NoticeStatus::Succeeded } else { NoticeStatus::Failed },
                amount_minor: p.request.amount_minor,
                currency: p.request.currency.clone(),
                success_time: p.success_time,
                error_code: p.error_code.clone(),
            },
            About::Refund(r, payment) => Notice {
                notice_id,
                kind: NoticeKind::Refund,
                merchant_no: payment.request.merchant_no.clone(),
                request_no: r.request.request_no.clone(),
                transaction_id: r.transaction_id.clone(),
                status: status(r.status),
                amount_minor: r.request.amount_minor,
                currency: r.request.currency.clone(),
                success_time: r.success_time,
                error_code: r.error_code.clone(),
            },
            About::Payout(p) => Notice {
                notice_id,
                kind: NoticeKind::Payout,
                merchant_no: p.merchant_no.clone(),
                request_no: p.request_no.clone(),
                transaction_id: p.bank_reference.clone(),
                status: status(p.status),
                amount_minor: p.amount_minor,
                currency: p.currency.clone(),
                success_time: p.success_time,
                error_code: p.error_code.clone(),
            },
        };
        serde_json::to_string(&notice).expect("wire types are plain data and serialise")
    }

    fn headers(&self, url: &Url, body: &str, at: DateTime<Utc>) -> HeaderMap {
        let mut headers = self.0.headers("POST", url.path(), &self.0.nonce(), body.as_bytes(), at);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    fn answer_headers(&self, asked: &Asked<'_>, status: StatusCode, body: &[u8], at: DateTime<Utc>) -> Option<HeaderMap> {
        let nonce = asked.headers.get(NONCE)?.to_str().ok()?;
        Some(self.0.headers(status.as_str(), asked.path, nonce, body, at))
    }

    fn taken(&self, status: StatusCode, _answer: &[u8]) -> bool {
        status.is_success()
    }
}

/// Only results are told.
fn status(status: TransferStatus) -> NoticeStatus {
    match status {
        TransferStatus::Succeeded => NoticeStatus::Succeeded,
        TransferStatus::Returned => NoticeStatus::Returned,
        TransferStatus::Accepted | TransferStatus::Failed => NoticeStatus::Failed,
    }
}
