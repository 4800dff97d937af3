//! Alipay's notices (异步通知): a signed form about a trade, taken with the seven letters `success`.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use reqwest::Url;
use wallet::base::clock::Clock;
use wallet::channel::alipay::form;
use wallet::channel::alipay::sign::Params;
use wallet::channel::alipay::wire::{status, time_text, yuan_text};
use wallet::channel::sandbox::wire::PaymentStatus;

use super::super::front::{About, Front};
use super::super::record::{Payment, Refund};
use super::trade::REFUNDED_MINOR;
use super::{APP_ID, Hand, SELLER_ID};

/// Alipay's hand as notices need it.
#[derive(Debug)]
pub struct Notices(pub Arc<Hand>);

impl Front for Notices {
    fn notice(&self, notice_id: &str, about: About<'_>, now: DateTime<Utc>) -> String {
        let (mut params, merchant) = match about {
            About::Payment(payment) => (trade(payment, None), &payment.request.merchant_no),
            About::Refund(refund, payment) => (trade(payment, Some(refund)), &payment.request.merchant_no),
            // Alipay is asked for no payouts, so it tells of none
            About::Payout(payout) => (Params::new(), &payout.merchant_no),
        };
        // a trade of the one application is paid to its account; a lie names another's, under the same key
        let seller = if merchant == APP_ID { SELLER_ID.to_owned() } else { format!("208800{merchant}") };
        let common = [
            ("notify_id", notice_id),
            ("notify_type", "trade_status_sync"),
            // real time, as in every signature; the rest is the time of the day that is played
            ("notify_time", &time_text(Clock::wall())),
            ("app_id", APP_ID),
            ("auth_app_id", APP_ID),
            ("seller_id", &seller),
            ("charset", "utf-8"),
            ("version", "1.0"),
            ("sign_type", "RSA2"),
            ("gmt_create", &time_text(now)),
        ];
        params.extend(common.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self.0.signer.sign_notice(&mut params);
        form::encode(&params)
    }

    fn headers(&self, _url: &Url, _body: &str, _at: DateTime<Utc>) -> HeaderMap {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
        HeaderMap::from_iter([(header::CONTENT_TYPE, form)])
    }

    /// An answer has no time of its own.
    fn answer_again(&self, body: &[u8], _at: DateTime<Utc>, instead: Option<(&str, &str)>) -> Option<Vec<u8>> {
        let ((number, other), text) = (instead?, std::str::from_utf8(body).ok()?);
        let (name, rest) = text.strip_prefix("{\"")?.split_once("_response\":")?;
        let (member, _) = rest.rsplit_once(",\"sign\":\"")?;
        let told = self.0.signer.sign_answer(&name.replace('_', "."), &member.replace(number, other));
        member.contains(number).then(|| told.into_bytes())
    }

    fn taken(&self, status: StatusCode, answer: &[u8]) -> bool {
        status.is_success() && answer.trim_ascii() == b"success"
    }
}

fn trade(payment: &Payment, refund: Option<&Refund>) -> Params {
    let refunded = refund.and_then(|refund| refund.extra[REFUNDED_MINOR].as_i64()).unwrap_or(0);
    let whole = refunded == payment.request.amount_minor;
    let status = match payment.status {
        PaymentStatus::Succeeded if !whole => status::TRADE_SUCCESS,
        PaymentStatus::UserPending => status::WAIT_BUYER_PAY,
        _ => status::TRADE_CLOSED,
    };
    let mut params: Params = [
        ("trade_no", payment.transaction_id.as_str()),
        ("out_trade_no", &payment.request.request_no),
        ("subject", &payment.request.description),
        ("trade_status", status),
        ("total_amount", &yuan_text(payment.request.amount_minor)),
        ("refund_fee", &if refunded > 0 { yuan_text(refunded) } else { "0.00".to_owned() }),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let mut time = |name: &str, at: Option<DateTime<Utc>>| {
        if let Some(at) = at {
            params.insert(name.to_owned(), time_text(at));
        }
    };
    time("gmt_payment", payment.success_time);
    time("gmt_refund", refund.and_then(|refund| refund.success_time));
    if let Some(refund) = refund {
        params.insert("out_biz_no".to_owned(), refund.request.request_no.clone());
    }
    params
}
