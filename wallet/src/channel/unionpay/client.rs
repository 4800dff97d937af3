//! The adapter: our words out as signed forms, UnionPay's signed answers and notices back as words. Nothing unsigned decides anything.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rsa::KeyPair;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, StatusCode, Url};

use super::certificate::{Certificate, CertificateError, Trust};
use super::judge::{self, Answered, required};
use super::sign::{KeyError, private_key, sign, verify_by_certificate};
use super::wire::{
    APP, AT_COUNTER, BARCODE, BODY_MAX, CODE, Fields, Kind, QUERY, REFUND, RENMINBI, REVERSAL, SIGN_METHOD, VERSION, code, form,
    read_amount, read_form, read_plain, stamp, time_of,
};
use crate::base::clock::Clock;
use crate::base::money::{Currency, Money};
use crate::channel::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply, Spoken,
    TransferWord,
};
use crate::channel::{ChannelError, same_amount};

/// The name of this acquirer.
pub const NAME: &str = "UNIONPAY";

/// Longest `orderDesc`, in characters.
const DESCRIPTION_MAX: usize = 32;

/// What the operator has agreed with UnionPay. Holds a private key, so it has no `Debug`.
pub struct Agreement<'a> {
    /// `https://gateway.95516.com`, or the simulator.
    pub base_url: &'a str,
    /// `merId`, 15 digits.
    pub merchant_no: &'a str,
    /// `termId`, 8 characters: the counter's terminal.
    pub terminal_no: &'a str,
    /// Our signing certificate and its key (PKCS#8), PEM.
    pub certificate_pem: &'a str,
    pub private_key_pem: &'a str,
    /// The authorities that issue UnionPay's message certificates, PEM.
    pub issuers_pem: &'a [String],
    /// Whom those certificates name: `中国银联股份有限公司`.
    pub company: &'a str,
    /// Where notices are to come.
    pub notify_url: &'a str,
    /// Covers a whole call.
    pub timeout: Duration,
}

/// An agreement that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AgreementError {
    #[error("the channel's address must be a URL that begins with http:// or https://")]
    Url,
    #[error("a configured certificate cannot be used")]
    Certificate(#[from] CertificateError),
    #[error("the configured key cannot be used")]
    Key(#[from] KeyError),
    #[error("could not set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// UnionPay (银联全渠道): 云闪付 in the app, by code and at the counter.
///
/// A page ([`Method::Page`]) is not offered, and a phone's page ([`Method::Wap`]) goes through the app: UnionPay's own page takes a signed
/// form by POST, which no address that we could hand out can carry, and a page of ours that posts it would carry our signature through the
/// customer's browser.
pub struct UnionPay {
    base: Url,
    http: Client,
    merchant_no: String,
    terminal_no: String,
    certificate_id: String,
    key: Arc<KeyPair>,
    trust: Trust,
    notify_url: String,
}

impl fmt::Debug for UnionPay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnionPay").field("base", &self.base.as_str()).field("merchant_no", &self.merchant_no).finish_non_exhaustive()
    }
}

impl UnionPay {
    /// Reads the keys and certificates; opens no connection.
    pub fn try_new(agreement: &Agreement) -> Result<Self, AgreementError> {
        web_address(agreement.notify_url).ok_or(AgreementError::Url)?;
        Ok(Self {
            base: web_address(agreement.base_url).ok_or(AgreementError::Url)?,
            http: http_client(agreement.timeout)?,
            merchant_no: agreement.merchant_no.to_owned(),
            terminal_no: agreement.terminal_no.to_owned(),
            certificate_id: Certificate::try_from_pem(agreement.certificate_pem)?.serial_decimal(),
            key: Arc::new(private_key(agreement.private_key_pem)?),
            trust: Trust::try_new(agreement.issuers_pem, agreement.company)?,
            notify_url: agreement.notify_url.to_owned(),
        })
    }

    /// One signed exchange about a number. The answer is UnionPay's, and about what was sent.
    async fn exchange(&self, kind: Kind, number: &Number<'_>, more: &[(&str, &str)]) -> Result<Fields, ChannelError> {
        let certificate_id = self.certificate_id.as_str();
        let txn_time = stamp(number.time);
        let common = [
            ("version", VERSION),
            ("encoding", "UTF-8"),
            ("signMethod", SIGN_METHOD),
            ("certId", certificate_id),
            ("accessType", "0"),
            ("merId", &self.merchant_no),
            ("txnType", kind.txn_type),
            ("txnSubType", kind.txn_sub_type),
            ("bizType", kind.biz_type),
            ("orderId", number.text),
            ("txnTime", &txn_time),
        ];
        let mut asked: Fields = common.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        sign(&mut asked, &self.key);
        let url = self.base.join(kind.path).map_err(|_| ChannelError::BadAnswer("the address cannot be formed"))?;
        let request = self.http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8").body(form(&asked));
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        if status != StatusCode::OK {
            // UnionPay signs answers of 200 only: whatever else came, came from before it
            return Err(ChannelError::NoAnswer(format!("status {status}").into()));
        }
        let answer =
            read_plain(&bounded(response, BODY_MAX).await?).map_err(|_| ChannelError::BadAnswer("it is not of the agreed form"))?;
        verify_by_certificate(&answer, &self.trust, Clock::wall()).map_err(|_| ChannelError::BadAnswer("its signature is not right"))?;
        belongs(&asked, &answer)?;
        Ok(answer)
    }

    /// Asks where a number stands. None: UnionPay does not know it.
    async fn ask(&self, number: &Number<'_>) -> Result<Option<Fields>, ChannelError> {
        let answer = self.exchange(QUERY, number, &[]).await?;
        match judge::answered(&answer)? {
            Answered::Taken => Ok(Some(answer)),
            Answered::NotFound => Ok(None),
            // a refused question says nothing about what was asked for
            Answered::Refused(_) => Err(ChannelError::BadAnswer("the question was refused")),
        }
    }

    async fn payment(&self, number: &Number<'_>) -> Result<Option<PaymentState>, ChannelError> {
        let Some(answer) = self.ask(number).await? else { return Ok(None) };
        let word = judge::payment(&answer, required(&answer, "origRespCode")?, number.time, Clock::wall())?;
        Ok(Some(PaymentState { invitation: None, word }))
    }

    async fn refunded(&self, number: &Number<'_>, ours: Money) -> Result<Option<TransferWord>, ChannelError> {
        let Some(answer) = self.ask(number).await? else { return Ok(None) };
        let word = judge::refund(&answer, required(&answer, "origRespCode")?, number.time)?;
        if matches!(word, TransferWord::Succeeded { .. }) {
            let stated = read_amount(required(&answer, "txnAmt")?).ok_or(ChannelError::BadAnswer("its amount cannot be read"))?;
            same_amount(ours, stated, &judge::currency(required(&answer, "currencyCode")?)?)?;
        }
        Ok(Some(word))
    }

    /// A refusal stands only where UnionPay does not know the number: the same request may have been taken before.
    fn stands(refused: String) -> ChannelError {
        match refused.as_str() {
            code::DUPLICATE => ChannelError::NoAnswer("the number is taken, and not found yet".into()),
            _ => ChannelError::Refused { code: refused },
        }
    }
}

#[async_trait]
impl Acquirer for UnionPay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Wap, Method::InApp, Method::Native, Method::Barcode]
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        let number = Number::try_new(&order.request_no).ok_or_else(|| unsent("NUMBER_WITHOUT_TIME"))?;
        let amount = renminbi(order.amount)?;
        if order.split {
            return Err(unsent("SPLIT_NOT_OFFERED"));
        }
        let description: String = order.description.chars().filter(|c| !c.is_control()).take(DESCRIPTION_MAX).collect();
        let pay_until = stamp(order.expires_at.min(number.time + judge::PAY_TIME));
        let mut more = vec![
            ("channelType", "08"),
            ("txnAmt", amount.as_str()),
            ("currencyCode", RENMINBI),
            ("payTimeout", &pay_until),
            ("backUrl", &self.notify_url),
        ];
        if !description.is_empty() {
            more.push(("orderDesc", &description));
        }
        let kind = match order.method {
            Method::Wap | Method::InApp => {
                more.extend(order.return_url.as_deref().map(|url| ("frontUrl", url)));
                APP
            }
            Method::Native => CODE,
            Method::Barcode => {
                let scanned = order.payer.as_deref().filter(|p| !p.is_empty()).ok_or_else(|| unsent("PAYER_MISSING"))?;
                more.extend([("qrNo", scanned), ("termId", self.terminal_no.as_str()), ("reqReserved", AT_COUNTER)]);
                BARCODE
            }
            Method::Page => return Err(unsent("METHOD_NOT_OFFERED")),
        };
        let answer = self.exchange(kind, &number, &more).await?;
        let invitation = match (judge::answered(&answer)?, order.method) {
            (Answered::Taken, Method::Native) => Invitation::Code(required(&answer, "qrCode")?.to_owned()),
            (Answered::Taken, Method::Barcode) => Invitation::Wait,
            (Answered::Taken, _) => Invitation::Call(serde_json::json!({ "tn": required(&answer, "tn")? }).to_string()),
            (Answered::NotFound, _) => return Err(ChannelError::BadAnswer("a payment that was asked for cannot be unknown")),
            (Answered::Refused(code), _) => return self.payment(&number).await?.ok_or_else(|| Self::stands(code)),
        };
        Ok(PaymentState { invitation: Some(invitation), word: PaymentWord::Pending })
    }

    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        self.payment(&Number::of(payment)?).await
    }

    /// UnionPay closes nothing on request. A counter payment whose result is open is reversed (冲正), and what that came to is judged by
    /// asking for the payment. Any other is closed by its time: until then nobody can say that it will not be paid.
    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError> {
        let number = Number::of(payment)?;
        let over = judge::over(number.time, Clock::wall());
        let mut found = self.ask(&number).await?;
        if let Some(answer) = &found
            && !over
            && answer.get("reqReserved").map(String::as_str) == Some(AT_COUNTER)
            && judge::payment(answer, required(answer, "origRespCode")?, number.time, Clock::wall())? == PaymentWord::Pending
        {
            self.exchange(REVERSAL, &number, &[("channelType", "08"), ("backUrl", &self.notify_url)]).await?;
            found = self.ask(&number).await?;
        }
        let word = match &found {
            Some(answer) => judge::payment(answer, required(answer, "origRespCode")?, number.time, Clock::wall())?,
            None => PaymentWord::Pending,
        };
        match word {
            PaymentWord::Pending if over => Ok(PaymentState { invitation: None, word: PaymentWord::Closed }),
            PaymentWord::Pending => {
                Err(ChannelError::BadAnswer("UnionPay closes a payment only when its time to pay is over; ask again then"))
            }
            word => Ok(PaymentState { invitation: None, word }),
        }
    }

    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        let number = Number::try_new(&order.request_no).ok_or_else(|| unsent("NUMBER_WITHOUT_TIME"))?;
        let amount = renminbi(order.amount)?;
        let more = [
            ("channelType", "08"),
            ("txnAmt", amount.as_str()),
            ("currencyCode", RENMINBI),
            ("origQryId", &order.transaction_id),
            ("backUrl", &self.notify_url),
        ];
        let answer = self.exchange(REFUND, &number, &more).await?;
        match judge::answered(&answer)? {
            Answered::Taken => Ok(TransferWord::Accepted),
            // 34 says here that the payment is unknown: a refusal like any other
            Answered::NotFound => self.refunded(&number, order.amount).await?.ok_or_else(|| Self::stands(code::NOT_FOUND.to_owned())),
            Answered::Refused(code) => self.refunded(&number, order.amount).await?.ok_or_else(|| Self::stands(code)),
        }
    }

    async fn query_refund(&self, refund: &Asked, _payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        self.refunded(&Number::of(refund)?, amount).await
    }

    fn refund_closed(&self, code: &str) -> bool {
        judge::refund_closed(code)
    }

    fn hear(&self, _headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
        let fields = read_form(body).map_err(|_| HearError::Malformed)?;
        verify_by_certificate(&fields, &self.trust, now).map_err(|_| HearError::Signature)?;
        if fields.get("merId") != Some(&self.merchant_no) {
            return Err(HearError::Foreign);
        }
        self.spoken(&fields, now).map_err(|_| HearError::Malformed)
    }

    fn reply(&self, stored: bool) -> Reply {
        let (status, body) = if stored { (StatusCode::OK, "ok") } else { (StatusCode::INTERNAL_SERVER_ERROR, "") };
        Reply { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    fn fault(&self, code: &str) -> Fault {
        judge::fault(code)
    }
}

impl UnionPay {
    /// What a notice says that is signed and ours.
    fn spoken(&self, fields: &Fields, now: DateTime<Utc>) -> Result<Heard, ChannelError> {
        let notice_id = judge::transaction_id(fields)?;
        let number = Number::try_new(required(fields, "orderId")?).ok_or(ChannelError::BadAnswer("the number is not ours"))?;
        if required(fields, "txnTime")? != stamp(number.time) {
            return Err(ChannelError::BadAnswer("the number was given out at another time"));
        }
        if required(fields, "currencyCode")? != RENMINBI {
            return Err(ChannelError::BadAnswer("the currency is another"));
        }
        let amount_minor = read_amount(required(fields, "txnAmt")?).ok_or(ChannelError::BadAnswer("its amount cannot be read"))?;
        let state = required(fields, "respCode")?;
        let request_no = number.text.to_owned();
        let spoken = match required(fields, "txnType")? {
            "01" => Spoken::Payment { request_no, word: judge::payment(fields, state, number.time, now)? },
            "04" => {
                let word = judge::refund(fields, state, number.time)?;
                Spoken::Refund { request_no, amount_minor, currency: Currency::Cny.as_str().to_owned(), word }
            }
            other => Spoken::Other {
                kind: format!("TXN_TYPE_{}", other.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>()),
            },
        };
        Ok(Heard { notice_id, spoken })
    }
}

/// A number of ours and its time, which name a transaction together.
struct Number<'n> {
    text: &'n str,
    time: DateTime<Utc>,
}

impl<'n> Number<'n> {
    fn try_new(text: &'n str) -> Option<Self> {
        time_of(text).map(|time| Self { text, time })
    }

    fn of(asked: &'n Asked) -> Result<Self, ChannelError> {
        Self::try_new(&asked.request_no).ok_or(ChannelError::BadAnswer("the number tells no time, so it was never sent"))
    }
}

/// A refusal of our own, before anything was sent: as definitive as one that is signed.
pub(in crate::channel) fn unsent(code: &str) -> ChannelError {
    ChannelError::Refused { code: code.to_owned() }
}

/// An amount as it travels.
fn renminbi(amount: Money) -> Result<String, ChannelError> {
    if amount.currency == Currency::Cny { Ok(amount.minor.to_string()) } else { Err(unsent("CURRENCY_NOT_OFFERED")) }
}

/// Whether a signed answer is about our request: what names it came back, and nothing that came back differs.
fn belongs(asked: &Fields, answer: &Fields) -> Result<(), ChannelError> {
    let named = ["merId", "orderId", "txnTime", "txnType"].iter().all(|k| answer.get(*k) == asked.get(*k));
    let same = ["txnSubType", "txnAmt", "currencyCode"].iter().all(|k| match (asked.get(*k), answer.get(*k)) {
        (Some(sent), Some(came)) => sent == came,
        _ => true,
    });
    if named && same { Ok(()) } else { Err(ChannelError::BadAnswer("it is about another request")) }
}

/// A client that follows nothing, goes through nothing, and gives up after `timeout`.
pub(in crate::channel) fn http_client(timeout: Duration) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(timeout)
        .connect_timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(64)
        .build()
}

pub(in crate::channel) fn web_address(text: &str) -> Option<Url> {
    text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"))
}

pub(in crate::channel) fn no_answer(error: reqwest::Error) -> ChannelError {
    ChannelError::NoAnswer(Box::new(error.without_url()))
}

/// Reads a body of at most `max` bytes.
pub(in crate::channel) async fn bounded(mut response: Response, max: usize) -> Result<Vec<u8>, ChannelError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > max {
            return Err(ChannelError::BadAnswer("it is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
