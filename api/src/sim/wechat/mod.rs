//! WeChat Pay as the simulator plays it (模拟微信支付): APIv3 from the other side, for one merchant.
//!
//! Shares `sign`, `seal`, `code` and `wire` with the adapter. Payments, refunds and transfers are in the book and survive a restart;
//! splits, receivers and the platform's keys are in memory only. What it does not play: bills, the 30 % limit of splits, and that shared
//! money must come back before it is refunded.

mod certificate;
mod exchange;
mod payments;
mod platform;
mod splits;
mod transfers;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::routing::{any, post};
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::json;
use wallet::base::clock::Clock;
use wallet::channel::sandbox::wire::{PaymentStatus, TransferStatus};
use wallet::channel::wechat::seal::ApiKey;
use wallet::channel::wechat::sign::PublicKey;
use wallet::channel::wechat::wire::{BODY_MAX, Notice, RefundNotice, RefundNoticeAmount, event};

use super::front::{About, Front, Fronts};
use super::{Keys, Party, Sim};
use platform::Platform;
use splits::Splits;

/// The one merchant that this platform knows.
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
    splits: Mutex<Splits>,
}

/// What a request is answered by.
#[derive(Debug)]
pub struct Speaker {
    sim: Arc<Sim>,
    wechat: Arc<Wechat>,
}

impl Wechat {
    /// Makes two keys, which takes a moment.
    pub fn try_new(merchant: Merchant) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self { merchant, platform: Platform::try_new()?, splits: Mutex::default() }))
    }

    fn splits(&self) -> MutexGuard<'_, Splits> {
        self.splits.lock().expect("nothing panics while the splits are held")
    }
}

/// The simulator with WeChat Pay beside the sandbox, and everything that it answers to.
pub fn load(keys: Keys, wechat: &Arc<Wechat>, public_url: &str, journal: &Path) -> anyhow::Result<Router> {
    let front: Box<dyn Front> = Box::new(Arc::clone(wechat));
    let fronts = Fronts::from([(Party::Wechat, front)]);
    let sim = Sim::load_with(keys, &wechat.merchant.mchid, public_url, journal, fronts)?;
    let speaker = Arc::new(Speaker { sim: Arc::clone(&sim), wechat: Arc::clone(wechat) });
    let spoken = Router::new()
        .route("/v3/{*path}", any(exchange::answer))
        .route("/control/wechat/rotate", post(rotate))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(speaker);
    Ok(sim.router().merge(spoken))
}

/// `POST /control/wechat/rotate`: the next key signs. Not signed, like everything below `/control`.
async fn rotate(State(speaker): State<Arc<Speaker>>) -> StatusCode {
    match tokio::task::spawn_blocking(move || speaker.wechat.platform.rotate()).await {
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
                    mchid: merchant.mchid.clone(),
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

    fn headers(&self, _url: &Url, body: &str) -> HeaderMap {
        let mut headers = self.platform.signer().headers(body.as_bytes(), Clock::wall());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers
    }

    fn taken(&self, status: StatusCode, _answer: &[u8]) -> bool {
        matches!(status, StatusCode::OK | StatusCode::NO_CONTENT)
    }
}

#[cfg(test)]
mod tests;
