//! Which request it is: who is asked, for what, about which number of the platform's. Read from the outside, before anything is verified.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{Method, Uri};
use serde_json::Value;
use wallet::channel::alipay::form as alipay_form;
use wallet::channel::alipay::wire::method;
use wallet::channel::bank::wire::{Charset, Message, field, trx};
use wallet::channel::unionpay::wire as unionpay;

use super::profile::Kind;
use crate::sim::Party;

/// Who is asked, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub party: Party,
    pub kind: Kind,
    /// The platform's number; of a request that names none, a fingerprint.
    pub number: String,
}

/// None: not a request of the platform's, such as a payer's page.
pub fn asked(method: &Method, uri: &Uri, body: &[u8]) -> Option<Asked> {
    let path: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
    let (party, kind, number) = match path.as_slice() {
        ["acquirer", "v1", rest @ ..] => {
            let (kind, number) = sandbox(rest, body);
            (Party::Acquirer, kind, number)
        }
        ["bank", "v1", rest @ ..] => {
            let (kind, number) = sandbox(rest, body);
            (Party::Bank, kind, number)
        }
        ["alipay", "gateway.do"] if method == Method::POST => {
            let (kind, number) = alipay(uri, body);
            (Party::Alipay, kind, number)
        }
        ["gateway", "api", ..] => {
            let (kind, number) = union_pay(uri.path(), body);
            (Party::UnionPay, kind, number)
        }
        ["ecny", "v1"] => {
            let (kind, number) = ecny(body);
            (Party::Ecny, kind, number)
        }
        ["bankgw", "v1"] => {
            let (kind, number) = direct_bank(body);
            (Party::DirectBank, kind, number)
        }
        ["v3", rest @ ..] => {
            let (kind, number) = wechat(method, rest, body);
            (Party::Wechat, kind, number)
        }
        _ => return None,
    };
    let number = number.filter(|n| !n.is_empty()).unwrap_or_else(|| hex::encode(&digest(&SHA256, body).as_ref()[..16]));
    Some(Asked { party, kind, number })
}

fn sandbox(path: &[&str], body: &[u8]) -> (Kind, Option<String>) {
    let number = |n: &str| Some(n.to_owned());
    match path {
        ["payments"] => (Kind::Pay, member(body, &["request_no"])),
        ["payments", n] => (Kind::Query, number(n)),
        ["payments", n, "close"] => (Kind::Close, number(n)),
        ["refunds"] => (Kind::Refund, member(body, &["request_no"])),
        ["refunds", n] => (Kind::QueryRefund, number(n)),
        ["payouts"] => (Kind::Payout, member(body, &["request_no"])),
        ["payouts", n] => (Kind::QueryPayout, number(n)),
        _ => (Kind::Other, None),
    }
}

fn wechat(method: &Method, path: &[&str], body: &[u8]) -> (Kind, Option<String>) {
    let number = |n: &str| Some(n.to_owned());
    match path {
        ["pay", "transactions", "out-trade-no", n] if method == Method::GET => (Kind::Query, number(n)),
        ["pay", "transactions", "out-trade-no", n, "close"] => (Kind::Close, number(n)),
        ["pay", "transactions", ..] => (Kind::Pay, member(body, &["out_trade_no"])),
        ["refund", "domestic", "refunds"] => (Kind::Refund, member(body, &["out_refund_no"])),
        ["refund", "domestic", "refunds", n] => (Kind::QueryRefund, number(n)),
        ["fund-app", "mch-transfer", "transfer-bills"] => (Kind::Payout, member(body, &["out_bill_no"])),
        ["fund-app", "mch-transfer", "transfer-bills", "out-bill-no", n] => (Kind::QueryPayout, number(n)),
        _ => (Kind::Other, member(body, &["out_order_no", "out_return_no"])),
    }
}

fn alipay(uri: &Uri, body: &[u8]) -> (Kind, Option<String>) {
    let text = [uri.query().unwrap_or_default().as_bytes(), b"&", body].concat();
    let Ok(params) = alipay_form::decode(&text) else { return (Kind::Other, None) };
    let content = params.get("biz_content").map_or(&[][..], |content| content.as_bytes());
    let payment = || member(content, &["out_trade_no"]);
    match params.get("method").map_or("", String::as_str) {
        method::PRECREATE | method::PAGE_PAY | method::WAP_PAY => (Kind::Pay, payment()),
        method::QUERY => (Kind::Query, payment()),
        method::CLOSE => (Kind::Close, payment()),
        method::REFUND => (Kind::Refund, member(content, &["out_request_no"])),
        method::REFUND_QUERY => (Kind::QueryRefund, member(content, &["out_request_no"])),
        _ => (Kind::Other, member(content, &["out_request_no"])),
    }
}

fn union_pay(path: &str, body: &[u8]) -> (Kind, Option<String>) {
    let Ok(fields) = unionpay::read_form(body) else { return (Kind::Other, None) };
    let number = fields.get("orderId").cloned();
    let of = |known: &[unionpay::Kind]| {
        let is = |k: &unionpay::Kind| path == k.path && fields.get("txnType").is_some_and(|t| t == k.txn_type);
        known.iter().any(is)
    };
    let kind = if of(&[unionpay::APP, unionpay::CODE, unionpay::BARCODE]) {
        Kind::Pay
    } else if of(&[unionpay::QUERY]) {
        Kind::Query
    } else if of(&[unionpay::REFUND]) {
        Kind::Refund
    } else if of(&[unionpay::REVERSAL]) {
        Kind::Close
    } else {
        Kind::Other
    };
    (kind, number)
}

fn ecny(body: &[u8]) -> (Kind, Option<String>) {
    let kind = match member(body, &["action"]).as_deref() {
        Some("PAY") => Kind::Pay,
        Some("QUERY") => Kind::Query,
        Some("CLOSE") => Kind::Close,
        Some("REFUND") => Kind::Refund,
        Some("QUERY_REFUND") => Kind::QueryRefund,
        _ => Kind::Other,
    };
    (kind, member(body, &["request_no"]))
}

/// In whichever charset: names and numbers are ASCII in both.
fn direct_bank(body: &[u8]) -> (Kind, Option<String>) {
    let read = [Charset::Gbk, Charset::Utf8].into_iter().find_map(|charset| Message::read(body, charset).ok());
    let Some(message) = read else { return (Kind::Other, None) };
    let kind = match message.get(field::TRX) {
        Some(trx::PAY) => Kind::Pay,
        Some(trx::QUERY) => Kind::Query,
        Some(trx::CLOSE) => Kind::Close,
        Some(trx::REFUND) => Kind::Refund,
        Some(trx::QUERY_REFUND) => Kind::QueryRefund,
        Some(trx::PAYOUT) => Kind::Payout,
        Some(trx::QUERY_PAYOUT) => Kind::QueryPayout,
        _ => Kind::Other,
    };
    (kind, message.get(field::ORDER).map(str::to_owned))
}

/// The first of these members of a JSON object that is a text.
fn member(body: &[u8], names: &[&str]) -> Option<String> {
    let object: Value = serde_json::from_slice(body).ok()?;
    names.iter().find_map(|name| Some(object.get(name)?.as_str()?.to_owned()))
}
