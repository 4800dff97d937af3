//! UnionPay's notices (后台通知): forms with the certificate inside, taken with 200.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use chrono::{DateTime, Utc};
use reqwest::Url;
use wallet::channel::unionpay::wire::{APP, Fields, REFUND, form, plain, read_plain};

use super::super::front::{About, Front};
use super::{Extra, Hand, payment_fields, refund_fields};

/// How UnionPay tells.
#[derive(Debug)]
pub struct Notices(pub Arc<Hand>);

impl Front for Notices {
    fn notice(&self, _notice_id: &str, about: About<'_>, _now: DateTime<Utc>) -> String {
        let (request_no, merchant_no, extra, txn_type, more) = match about {
            About::Payment(p) => (&p.request.request_no, &p.request.merchant_no, &p.extra, APP.txn_type, payment_fields(p, "respCode")),
            About::Refund(r, _) => (&r.request.request_no, &r.request.merchant_no, &r.extra, REFUND.txn_type, refund_fields(r, "respCode")),
            // UnionPay pays nobody out here
            About::Payout(_) => return String::new(),
        };
        let extra = Extra::of(extra);
        let mut fields: Fields = more.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let named = [
            ("merId", merchant_no.as_str()),
            ("orderId", request_no),
            ("txnTime", &extra.txn_time),
            ("txnType", txn_type),
            ("txnSubType", &extra.txn_sub_type),
            ("respMsg", "成功[0000000]"),
        ];
        fields.extend(named.map(|(k, v)| (k.to_owned(), v.to_owned())));
        self.0.seal(&mut fields);
        form(&fields)
    }

    fn headers(&self, _url: &Url, _body: &str, _at: DateTime<Utc>) -> HeaderMap {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded;charset=UTF-8");
        HeaderMap::from_iter([(header::CONTENT_TYPE, form)])
    }

    fn answer_again(&self, body: &[u8], _at: DateTime<Utc>, instead: Option<(&str, &str)>) -> Option<Vec<u8>> {
        let mut answer = read_plain(body).ok()?;
        let (_, other) = instead.filter(|(number, _)| answer.get("orderId").is_some_and(|n| n == number))?;
        answer.insert("orderId".to_owned(), other.to_owned());
        self.0.seal(&mut answer);
        Some(plain(&answer).into_bytes())
    }

    fn taken(&self, status: StatusCode, _answer: &[u8]) -> bool {
        status == StatusCode::OK
    }
}
