//! WeChat Pay as the simulator plays it (模拟微信支付): APIv3 from the other side, for one merchant.
//!
//! Shares `sign`, `seal`, `code` and `wire` with the adapter. Payments, refunds, transfers, splits and receivers are in the book and survive a
//! restart; a renewal of the platform's keys is in memory only. What it does not play: bills, the 30 % limit of splits, and that shared money
//! must come back before it is refunded.

mod certificate;
mod exchange;
mod payments;
mod platform;
pub(super) mod splits;
mod transfers;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::json;
use wallet::channel::sandbox::wire::{PaymentStatus, TransferStatus};
use wallet::channel::wechat::seal::ApiKey;
use wallet::channel::wechat::sign::PublicKey;
use wallet::channel::wechat::wire::{Notice, RefundNotice, RefundNoticeAmount, event};

use super::Sim;
use super::front::{About, Asked as FrontAsked, Front};
pub use platform::Platform;

/// The one merchant that the simulator knows, the app it is paid in, and the serial number of its certificate.
pub const MERCHANT_NO: &str = "1900000109";
pub const APP_ID: &str = "wx8888888888888888";
pub const MERCHANT_SERIAL: &str = "3775B6A45ACD588826D15E583A95F5DD8B55D0A1";

/// The merchant that this platform knows.
#[derive(Debug)]
pub struct Merchant {
    pub mchid: String,
    pub appid: String,
    /// Serial number of the merchant's certificate, and its key.
    pub serial: String,
    pub key: PublicKey,
    pub api_key: ApiKey,
}

/// The platform.
#[derive(Debug)]
pub struct Wechat {
    merchant: Merchant,
    platform: Platform,
}

/// What a request is answered by.
#[derive(Debug)]
pub struct Speaker {
    sim: Arc<Sim>,
    wechat: Arc<Wechat>,
}

impl Wechat {
    pub fn new(merchant: Merchant, platform: Platform) -> Self {
        Self { merchant, platform }
    }

    /// Reads `wechat.pub.pem` and `wechat.api.key` of the merchant, and our own `sim/wechat.pem` and `sim/wechat.next.pem`. None where
    /// there are none.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        if !dir.join("sim/wechat.pem").exists() {
            return Ok(None);
        }
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("could not read {name}"));
        let merchant = Merchant {
            mchid: MERCHANT_NO.to_owned(),
            appid: APP_ID.to_owned(),
            serial: MERCHANT_SERIAL.to_owned(),
            key: PublicKey::try_from_pem(&read("wechat.pub.pem")?)?,
            api_key: ApiKey::try_new(read("wechat.api.key")?.trim().as_bytes())?,
        };
        let platform = Platform::try_new([&read("sim/wechat.pem")?, &read("sim/wechat.next.pem")?])?;
        Ok(Some(Self::new(merchant, platform)))
    }
}

/// `/v3/…`: everything that a merchant asks.
pub async fn ask(State(sim): State<Arc<Sim>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Some(wechat) = sim.others.wechat.clone() else { return StatusCode::NOT_FOUND.into_response() };
    exchange::answer(&Speaker { sim, wechat }, &method, &uri, &headers, &body)
}

/// `POST /control/wechat/rotate`: the next key signs. Not signed, like everything below `/control`.
pub async fn rotate(State(sim): State<Arc<Sim>>) -> StatusCode {
    let Some(wechat) = sim.others.wechat.clone() else { return StatusCode::NOT_FOUND };
    match tokio::task::spawn_blocking(move || wechat.platform.rotate()).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Front for Arc<Wechat> {
    /// A payment that failed is not told by WeChat. The book has a notice of it all the same, which is told as a kind that nobody acts on.
    fn notice(&self, notice_id: &str, about: About<'_>, now: DateTime<Utc>) -> String {
        let merchant = &self.merchant;
        let (event, original, content) = match about {
            About::Payment(p) => {
                let event = if p.status == PaymentStatus::Succeeded { event::PAID } else { "TRANSACTION.PAYERROR" };
                (event, "transaction", json!(payments::transaction(merchant, p)))
            }
            About::Refund(r, payment) => {
                let status = payments::refund_status(r.status);
                let event = if r.status == TransferStatus::Succeeded { event::REFUNDED } else { event::REFUND_ABNORMAL };
                let notice = RefundNotice {
                    mchid: payment.request.merchant_no.clone(),
                    out_trade_no: payment.request.request_no.clone(),
                    transaction_id: payment.transaction_id.clone(),
                    out_refund_no: r.request.request_no.clone(),
                    refund_id: r.transaction_id.clone(),
                    refund_status: status,
                    success_time: r.success_time,
                    amount: RefundNoticeAmount { total: payment.request.amount_minor, refund: r.request.amount_minor },
                };
                (event, "refund", json!(notice))
            }
            About::Payout(p) => ("MCHTRANSFER.BILL.FINISHED", "mch_payment", json!(transfers::bill(merchant, p, now))),
        };
        let nonce = self.platform.signer().nonce();
        let content = serde_json::to_vec(&content).expect("wire types are plain data and serialise");
        let resource = merchant.api_key.seal(&nonce[..12], original, &content).expect("a nonce of 12 digits and a short content seal");
        let notice = Notice {
            id: notice_id.to_owned(),
            create_time: now,
            event_type: event.to_owned(),
            resource_type: "encrypt-resource".to_owned(),
            resource,
        };
        serde_json::to_string(&notice).expect("wire types are plain data and serialise")
    }

    fn headers(&self, _url: &Url, body: &str, at: DateTime<Utc>) -> HeaderMap {
        let mut headers = self.platform.signer().headers(body.as_bytes(), at);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    fn answer_headers(&self, _asked: &FrontAsked<'_>, _status: StatusCode, body: &[u8], at: DateTime<Utc>) -> Option<HeaderMap> {
        Some(self.platform.signer().headers(body, at))
    }

    fn taken(&self, status: StatusCode, _answer: &[u8]) -> bool {
        matches!(status, StatusCode::OK | StatusCode::NO_CONTENT)
    }
}

#[cfg(test)]
mod tests;
