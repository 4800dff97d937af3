//! UnionPay's side of the full-channel gateway (模拟银联全渠道): the same messages from the other end. Shared with the adapter are wire,
//! signatures and certificates, nothing that decides.
//!
//! It behaves as the real one where that is known to hurt: a number that nobody has paid is not found (34), a repeated request that was
//! carried out is a duplicate (12), taking in is no success, and nothing is closed on request. At the counter the scanned code (19 digits)
//! says what becomes of it: one that ends in 64 is declined with that code, one in 05 waits for the payer's password, others are paid.

mod notice;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::rsa::KeyPair;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wallet::channel::sandbox::wire::{PaymentRequest, PaymentStatus, RefundRequest, TransferStatus};
use wallet::channel::unionpay::certificate::Certificate;
use wallet::channel::unionpay::sign;
use wallet::channel::unionpay::wire::{
    APP, AT_COUNTER, BARCODE, CERTIFICATE, CODE, Fields, Kind, QUERY, REFUND, RENMINBI, REVERSAL, SIGN_METHOD, VERSION, code, plain,
    read_amount, read_form, read_stamp, stamp,
};

pub use notice::Notices;

use super::book::Refused;
use super::record::{Payment, Refund};
use super::{Party, Sim, notify};

/// The one merchant that the simulator knows (商户代码).
pub const MERCHANT_NO: &str = "777290058110048";

/// Code of a customer's code that does not exist (无此二维码).
const NO_SUCH_CODE: &str = "87";
/// Code of an original that does not fit (与原交易信息不符).
const UNLIKE_ORIGINAL: &str = "36";
/// Code of a declined payment where the payer's page named none of UnionPay's (交易未通过).
const DECLINED: &str = "30";
/// Code of a payment that was reversed (交易失败).
const REVERSED: &str = "01";

/// UnionPay's key and certificate, and the merchant's certificate that it knows.
pub struct Hand {
    key: KeyPair,
    certificate_pem: String,
    merchant: Certificate,
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hand")
    }
}

impl Hand {
    /// From PEM texts: UnionPay's key (PKCS#8) and certificate, and the merchant's signing certificate.
    pub fn try_new(key_pem: &str, certificate_pem: &str, merchant_pem: &str) -> anyhow::Result<Self> {
        Ok(Self {
            key: sign::private_key(key_pem)?,
            certificate_pem: certificate_pem.trim().to_owned(),
            merchant: Certificate::try_from_pem(merchant_pem)?,
        })
    }

    /// Reads our own `sim/unionpay.pem` and `sim/unionpay.cert.pem`, and the merchant's `unionpay.cert.pem`. None where there are none.
    pub fn load(dir: &Path) -> anyhow::Result<Option<Self>> {
        if !dir.join("sim/unionpay.pem").exists() {
            return Ok(None);
        }
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).with_context(|| format!("could not read {name}"));
        Self::try_new(&read("sim/unionpay.pem")?, &read("sim/unionpay.cert.pem")?, &read("unionpay.cert.pem")?).map(Some)
    }

    /// A message of UnionPay's: with its certificate, signed.
    fn seal(&self, fields: &mut Fields) {
        let head = [("version", VERSION), ("encoding", "UTF-8"), ("signMethod", SIGN_METHOD), (CERTIFICATE, self.certificate_pem.as_str())];
        fields.extend(head.map(|(k, v)| (k.to_owned(), v.to_owned())));
        sign::sign(fields, &self.key);
    }
}

/// What is needed again of a request.
#[derive(Debug, Serialize, Deserialize)]
struct Extra {
    txn_time: String,
    txn_sub_type: String,
    reserved: Option<String>,
}

impl Extra {
    fn of(value: &serde_json::Value) -> Self {
        Self::deserialize(value).unwrap_or(Self { txn_time: String::new(), txn_sub_type: String::new(), reserved: None })
    }

    fn at_counter(&self) -> bool {
        self.txn_sub_type == BARCODE.txn_sub_type
    }
}

/// What is answered beside the echo: a code, and what else there is to say.
type Outcome = Result<Vec<(&'static str, String)>, &'static str>;

/// `POST /gateway/api/…`: everything that a merchant asks.
pub async fn ask(State(sim): State<Arc<Sim>>, uri: Uri, body: Bytes) -> Response {
    let Some(hand) = sim.others.unionpay.as_deref() else { return axum::http::StatusCode::NOT_FOUND.into_response() };
    let (asked, outcome) = match read_form(&body) {
        Ok(asked) => {
            let outcome = act(&sim, hand, uri.path(), &asked);
            (asked, outcome)
        }
        Err(_) => (Fields::new(), Err(code::FORMAT)),
    };
    // the echo: what names the transaction comes back as it was sent
    let echoed = ["merId", "orderId", "txnTime", "txnType", "txnSubType", "bizType", "accessType"];
    let mut answer: Fields = echoed.iter().filter_map(|k| asked.get(*k).map(|v| ((*k).to_owned(), v.clone()))).collect();
    let (resp_code, more) = match outcome {
        Ok(more) => (code::OK, more),
        Err(code) => (code, Vec::new()),
    };
    answer.insert("respCode".to_owned(), resp_code.to_owned());
    answer.insert("respMsg".to_owned(), format!("[{resp_code}00000]"));
    answer.extend(more.into_iter().map(|(k, v)| (k.to_owned(), v)));
    hand.seal(&mut answer);
    let text = HeaderValue::from_static("text/html;charset=UTF-8");
    ([(header::CONTENT_TYPE, text)], plain(&answer)).into_response()
}

fn act(sim: &Arc<Sim>, hand: &Hand, path: &str, asked: &Fields) -> Outcome {
    if field(asked, "certId")? != hand.merchant.serial_decimal() || sign::verify(asked, hand.merchant.public_key()).is_err() {
        return Err(code::SIGNATURE_INVALID);
    }
    if field(asked, "merId")? != MERCHANT_NO || read_stamp(field(asked, "txnTime")?).is_none() {
        return Err(code::FORMAT);
    }
    let is = |kind: Kind| {
        path == kind.path
            && [("txnType", kind.txn_type), ("txnSubType", kind.txn_sub_type)].iter().all(|(k, v)| asked.get(*k).is_some_and(|a| a == v))
    };
    if is(APP) || is(CODE) || is(BARCODE) {
        pay(sim, asked)
    } else if is(QUERY) {
        query(sim, asked)
    } else if is(REFUND) {
        refund(sim, asked)
    } else if is(REVERSAL) {
        reverse(sim, asked)
    } else {
        Err(code::FORMAT)
    }
}

/// A field that must be there.
fn field<'f>(asked: &'f Fields, name: &str) -> Result<&'f str, &'static str> {
    asked.get(name).map(String::as_str).filter(|v| !v.is_empty()).ok_or(code::FORMAT)
}

fn amount(asked: &Fields) -> Result<i64, &'static str> {
    if field(asked, "currencyCode")? != RENMINBI {
        return Err(code::FORMAT);
    }
    read_amount(field(asked, "txnAmt")?).ok_or(code::FORMAT)
}

fn refused(refused: Refused) -> &'static str {
    match refused {
        Refused::NotFound | Refused::NotPaid => code::ORIGINAL_UNFIT,
        Refused::ExceedsPayment => UNLIKE_ORIGINAL,
        Refused::Reused => code::DUPLICATE,
        Refused::Invalid(_) => code::FORMAT,
        Refused::Full | Refused::Unavailable => "06",
    }
}

fn extra(asked: &Fields) -> Result<serde_json::Value, &'static str> {
    let extra = Extra {
        txn_time: field(asked, "txnTime")?.to_owned(),
        txn_sub_type: field(asked, "txnSubType")?.to_owned(),
        reserved: asked.get("reqReserved").cloned(),
    };
    Ok(serde_json::to_value(extra).expect("three texts serialise"))
}

fn pay(sim: &Arc<Sim>, asked: &Fields) -> Outcome {
    let number = field(asked, "orderId")?;
    let scanned = if asked.get("txnSubType").is_some_and(|t| t == BARCODE.txn_sub_type) { Some(field(asked, "qrNo")?) } else { None };
    if scanned.is_some_and(|code| code.len() != 19 || !code.bytes().all(|b| b.is_ascii_digit())) {
        return Err(NO_SUCH_CODE);
    }
    let request = PaymentRequest {
        merchant_no: MERCHANT_NO.to_owned(),
        request_no: number.to_owned(),
        amount_minor: amount(asked)?,
        currency: "CNY".to_owned(),
        description: asked.get("orderDesc").filter(|d| !d.is_empty()).map_or("-", String::as_str).to_owned(),
        notify_url: field(asked, "backUrl")?.to_owned(),
        return_url: asked.get("frontUrl").cloned(),
    };
    let (now, extra) = (sim.clock.now(), extra(asked)?);
    let mut book = sim.book();
    if let Some(known) = book.payment(Party::UnionPay, number) {
        // what nobody has paid may be asked for again, with all that it was asked with; a scanned code is used up
        if scanned.is_some() || known.status != PaymentStatus::UserPending || known.extra != extra {
            return Err(code::DUPLICATE);
        }
    }
    let expires_at = asked.get("payTimeout").and_then(|t| read_stamp(t));
    let payment = book.pay(Party::UnionPay, request, expires_at, extra).map_err(refused)?;
    let told = match scanned {
        Some(code) if code.ends_with("05") => None,
        Some(code) if code.ends_with(code::BALANCE) => book.decline(&payment.transaction_id, code::BALANCE, now).map_err(refused)?,
        Some(_) => book.confirm(&payment.transaction_id, 1, now).map_err(refused)?,
        None => None,
    };
    drop(book);
    if let Some(notice) = told {
        notify::deliver(sim, notice, Duration::ZERO);
    }
    Ok(match asked.get("txnSubType").map(String::as_str) {
        _ if scanned.is_some() => vec![("queryId", payment.transaction_id)],
        Some(t) if t == CODE.txn_sub_type => vec![("qrCode", format!("{}/pay/{}", sim.public_url, payment.transaction_id))],
        _ => vec![("tn", payment.transaction_id)],
    })
}

/// Everything has a number; a number with another time is another's.
fn query(sim: &Arc<Sim>, asked: &Fields) -> Outcome {
    let (number, time) = (field(asked, "orderId")?, field(asked, "txnTime")?);
    let mut book = sim.book();
    if let Some(refund) = book.refund(Party::UnionPay, number).filter(|r| Extra::of(&r.extra).txn_time == time) {
        return Ok(refund_fields(refund, "origRespCode"));
    }
    let payment = book.payment(Party::UnionPay, number).filter(|p| Extra::of(&p.extra).txn_time == time).ok_or(code::NOT_FOUND)?.clone();
    if payment.status == PaymentStatus::UserPending && !Extra::of(&payment.extra).at_counter() {
        return Err(code::NOT_FOUND);
    }
    let late = book.asked(Party::UnionPay, number, sim.clock.now()).map_err(refused)?;
    drop(book);
    if let Some(notice) = late {
        notify::deliver(sim, notice, notify::LATE_AFTER);
    }
    Ok(payment_fields(&payment, "origRespCode"))
}

/// What is said of a payment, its code under the name given.
fn payment_fields(payment: &Payment, code_name: &'static str) -> Vec<(&'static str, String)> {
    let extra = Extra::of(&payment.extra);
    let state = match payment.status {
        PaymentStatus::Succeeded => code::OK.to_owned(),
        PaymentStatus::UserPending => code::ACCEPTED.to_owned(),
        PaymentStatus::Failed | PaymentStatus::Closed => payment.error_code.clone().filter(|c| c.len() == 2).unwrap_or(DECLINED.to_owned()),
    };
    let mut fields = vec![
        (code_name, state),
        ("queryId", payment.transaction_id.clone()),
        ("txnAmt", payment.request.amount_minor.to_string()),
        ("currencyCode", currency(&payment.request.currency)),
        // of what has not moved: when it was asked for
        ("traceTime", payment.success_time.map_or(extra.txn_time, stamp).chars().skip(4).collect()),
    ];
    fields.extend(extra.reserved.map(|r| ("reqReserved", r)));
    fields
}

/// A currency by its ISO 4217 number: the dollar's, where a lie names it.
fn currency(code: &str) -> String {
    if code == "CNY" { RENMINBI.to_owned() } else { "840".to_owned() }
}

fn refund_fields(refund: &Refund, code_name: &'static str) -> Vec<(&'static str, String)> {
    let state = match refund.status {
        TransferStatus::Succeeded => code::OK,
        TransferStatus::Accepted => code::ACCEPTED,
        TransferStatus::Failed | TransferStatus::Returned => REVERSED,
    };
    let time = refund.success_time.map_or_else(|| Extra::of(&refund.extra).txn_time, stamp);
    vec![
        (code_name, state.to_owned()),
        ("queryId", refund.transaction_id.clone()),
        ("txnAmt", refund.request.amount_minor.to_string()),
        ("currencyCode", currency(&refund.request.currency)),
        ("traceTime", time.chars().skip(4).collect()),
    ]
}

fn refund(sim: &Arc<Sim>, asked: &Fields) -> Outcome {
    let number = field(asked, "orderId")?;
    let mut book = sim.book();
    if book.refund(Party::UnionPay, number).is_some() {
        return Err(code::DUPLICATE);
    }
    let original = book.payment_of(field(asked, "origQryId")?).filter(|p| p.party == Party::UnionPay).ok_or(code::ORIGINAL_UNFIT)?;
    let request = RefundRequest {
        merchant_no: MERCHANT_NO.to_owned(),
        request_no: number.to_owned(),
        payment_request_no: original.request.request_no.clone(),
        amount_minor: amount(asked)?,
        currency: "CNY".to_owned(),
        notify_url: field(asked, "backUrl")?.to_owned(),
    };
    let refund = book.take_refund(Party::UnionPay, request, extra(asked)?).map_err(refused)?;
    drop(book);
    notify::settle(sim, notify::What::Refund, Party::UnionPay, number.to_owned());
    Ok(vec![("queryId", refund.transaction_id)])
}

/// Ends a counter payment whose result is open. Of one that was paid there is the refund.
fn reverse(sim: &Arc<Sim>, asked: &Fields) -> Outcome {
    let (number, time) = (field(asked, "orderId")?, field(asked, "txnTime")?);
    let mut book = sim.book();
    let payment = book.payment(Party::UnionPay, number).filter(|p| Extra::of(&p.extra).txn_time == time).ok_or(code::NOT_FOUND)?;
    if payment.status != PaymentStatus::UserPending || Extra::of(&payment.extra).reserved.as_deref() != Some(AT_COUNTER) {
        return Err(code::ORIGINAL_UNFIT);
    }
    let transaction_id = payment.transaction_id.clone();
    let told = book.decline(&transaction_id, REVERSED, sim.clock.now()).map_err(refused)?;
    drop(book);
    if let Some(notice) = told {
        notify::deliver(sim, notice, Duration::ZERO);
    }
    Ok(Vec::new())
}
