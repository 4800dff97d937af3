//! The adapter: our words out as signed messages to the bank, its signed answers and notices back as words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, StatusCode, Url};

use super::sign::{KeyError, OpenError, Seal, Terms, serial};
use super::wire::{BODY_MAX, GATEWAY, Message, PATH, QR, TAKEN, WireError, code, field, read_payment_status, read_transfer_status, trx};
use crate::base::clock::Clock;
use crate::base::money::{Currency, Money};
use crate::channel::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply, Spoken,
    TransferWord,
};
use crate::channel::alipay::wire::{read_yuan, yuan_text};
use crate::channel::sandbox::error_code;
use crate::channel::sandbox::wire::{PaymentStatus, TransferStatus};
use crate::channel::unionpay::wire::{read_stamp, stamp};
use crate::channel::unionpay::{bounded, http_client, no_answer, unsent, web_address};
use crate::channel::{ChannelError, same_amount};

/// The name of this acquirer.
pub const NAME: &str = "BANK";

/// Longest subject of a payment, in characters.
const SUBJECT_MAX: usize = 60;

/// What is agreed with the bank. Holds a private key, so it has no `Debug`.
pub struct Agreement<'a> {
    pub base_url: &'a str,
    /// Our customer number at the bank.
    pub merchant_no: &'a str,
    pub terms: Terms,
    /// Ours, PKCS#8, PEM.
    pub private_key_pem: &'a str,
    /// The bank's, PEM.
    pub bank_key_pem: &'a str,
    pub notify_url: &'a str,
    /// Covers a whole call.
    pub timeout: Duration,
}

/// An agreement that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AgreementError {
    #[error("the channel's address must be a URL that begins with http:// or https://")]
    Url,
    #[error("a configured key cannot be used")]
    Key(#[from] KeyError),
    #[error("could not set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// How the bank is reached and how its word is checked.
#[derive(Clone)]
pub struct Link {
    url: Url,
    http: Client,
    pub(super) seal: Arc<Seal>,
    pub(super) merchant_no: String,
    pub(super) notify_url: String,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("url", &self.url.as_str()).field("merchant_no", &self.merchant_no).finish_non_exhaustive()
    }
}

impl Link {
    /// Reads the keys; opens no connection.
    pub fn try_new(agreement: &Agreement) -> Result<Self, AgreementError> {
        web_address(agreement.notify_url).ok_or(AgreementError::Url)?;
        let base = web_address(agreement.base_url).ok_or(AgreementError::Url)?;
        let seal = Seal::try_new(agreement.private_key_pem, agreement.bank_key_pem, agreement.terms.clone())?;
        Ok(Self {
            url: base.join(PATH).map_err(|_| AgreementError::Url)?,
            http: http_client(agreement.timeout)?,
            seal: Arc::new(seal),
            merchant_no: agreement.merchant_no.to_owned(),
            notify_url: agreement.notify_url.to_owned(),
        })
    }

    /// One signed exchange about a number of ours. The answer is the bank's, to this request, and about that number.
    pub(super) async fn exchange(
        &self,
        trx: &str,
        order: &str,
        more: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Message, ChannelError> {
        let mut message = Message::new(more);
        let asked = [(field::TRX, trx), (field::MERCHANT, &self.merchant_no), (field::SERIAL, &serial()), (field::ORDER, order)]
            .map(|(name, value)| (name, value.to_owned()));
        for (name, value) in &asked {
            message.set(name, value.clone());
        }
        let body = self.seal.seal(message, Clock::wall()).ok_or_else(|| unsent("CHARACTER_NOT_WRITABLE"))?;
        let content_type = format!("application/xml; charset={}", self.seal.charset().name());
        let response = self.http.post(self.url.clone()).header(CONTENT_TYPE, content_type).body(body).send().await.map_err(no_answer)?;
        let status = response.status();
        if status != StatusCode::OK {
            // signed answers come with 200: whatever else came, came from before the bank
            return Err(ChannelError::NoAnswer(format!("status {status}").into()));
        }
        let answer = self.seal.open(&bounded(response, BODY_MAX).await?, Clock::wall()).map_err(|error| match error {
            OpenError::Malformed => ChannelError::BadAnswer("it is not of the agreed form"),
            OpenError::Unsigned => ChannelError::BadAnswer("its signature is not right"),
        })?;
        // a refusal of something unreadable cannot name its number; whatever else is said, is said about ours
        let ok = answer.get(field::RETCODE) == Some(code::OK);
        let named = asked.iter().filter(|(name, _)| ok || *name != field::ORDER);
        for (name, value) in named {
            if answer.get(name) != Some(value) {
                return Err(ChannelError::BadAnswer("it answers another request"));
            }
        }
        match answer.get(field::RETCODE) {
            Some(code::OK) => Ok(answer),
            Some(code::BUSY) => Err(ChannelError::NoAnswer("the bank is busy".into())),
            Some(code::NUMBER_REUSED) => Err(ChannelError::BadAnswer("the request number stands for other content")),
            Some(code::SIGN_INVALID) => Err(ChannelError::BadAnswer("our signature was refused; compare keys and clocks")),
            Some(other) => Err(ChannelError::Refused { code: error_code(Some(other.to_owned())) }),
            None => Err(ChannelError::BadAnswer("an answer without its code")),
        }
    }

    /// Reads a notice that is signed and ours.
    pub(super) fn hear(&self, body: &[u8], now: DateTime<Utc>) -> Result<(String, Message), HearError> {
        let message = self.seal.open(body, now).map_err(|error| match error {
            OpenError::Malformed => HearError::Malformed,
            OpenError::Unsigned => HearError::Signature,
        })?;
        if message.get(field::MERCHANT) != Some(&self.merchant_no) {
            return Err(HearError::Foreign);
        }
        let notice_id = message.need(field::SERIAL)?.to_owned();
        if notice_id.len() > 64 { Err(HearError::Malformed) } else { Ok((notice_id, message)) }
    }
}

impl From<WireError> for HearError {
    fn from(_: WireError) -> Self {
        Self::Malformed
    }
}

impl From<WireError> for ChannelError {
    fn from(_: WireError) -> Self {
        Self::BadAnswer("its content is not as agreed")
    }
}

/// Of a question: a number that is not known is an answer, and a refused question says nothing about what was asked for.
pub(super) fn known<T>(answer: Result<T, ChannelError>) -> Result<Option<T>, ChannelError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ChannelError::Refused { code }) if code == code::NOT_FOUND => Ok(None),
        Err(ChannelError::Refused { .. }) => Err(ChannelError::BadAnswer("the question was refused")),
        Err(error) => Err(error),
    }
}

/// What a notice is heard to say; the bank does not sign that it replies.
pub(super) fn replied(stored: bool) -> Reply {
    let (status, body) = if stored { (StatusCode::OK, TAKEN) } else { (StatusCode::INTERNAL_SERVER_ERROR, "") };
    Reply { status, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
}

/// An amount as it travels.
pub(super) fn renminbi(amount: Money) -> Result<String, ChannelError> {
    if amount.currency == Currency::Cny { Ok(yuan_text(amount.minor)) } else { Err(unsent("CURRENCY_NOT_OFFERED")) }
}

/// Fen and currency of a message.
pub(super) fn amount(message: &Message) -> Result<(i64, String), WireError> {
    Ok((read_yuan(message.need(field::AMOUNT)?).ok_or(WireError)?, message.need(field::CURRENCY)?.to_owned()))
}

pub(super) fn failure(message: &Message) -> String {
    error_code(message.get(field::ERRCODE).map(str::to_owned))
}

/// When the money moved.
fn done_at(message: &Message) -> Result<DateTime<Utc>, WireError> {
    read_stamp(message.need(field::DONE_TIME)?).ok_or(WireError)
}

/// The bank (网银): a page of its own, or a code that its app scans.
#[derive(Clone, Debug)]
pub struct Bank {
    link: Link,
}

impl Bank {
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    async fn payment(&self, trx: &str, payment: &Asked) -> Result<PaymentState, ChannelError> {
        let answer = self.link.exchange(trx, &payment.request_no, []).await?;
        Ok(PaymentState { invitation: None, word: payment_word(&answer)? })
    }
}

fn payment_word(message: &Message) -> Result<PaymentWord, WireError> {
    Ok(match read_payment_status(message.need(field::STATUS)?).ok_or(WireError)? {
        PaymentStatus::UserPending => PaymentWord::Pending,
        PaymentStatus::Succeeded => {
            let (amount_minor, currency) = amount(message)?;
            let transaction_id = message.need(field::TRADE_NO)?.to_owned();
            PaymentWord::Succeeded { transaction_id, amount_minor, currency, at: done_at(message)? }
        }
        PaymentStatus::Failed => PaymentWord::Failed { code: failure(message) },
        PaymentStatus::Closed => PaymentWord::Closed,
    })
}

fn refund_word(message: &Message) -> Result<TransferWord, WireError> {
    Ok(match read_transfer_status(message.need(field::STATUS)?).ok_or(WireError)? {
        TransferStatus::Accepted => TransferWord::Accepted,
        TransferStatus::Succeeded => TransferWord::Succeeded { at: done_at(message)? },
        TransferStatus::Failed => TransferWord::Failed { code: failure(message) },
        // what went back to the payer does not come back here
        TransferStatus::Returned => return Err(WireError),
    })
}

/// What became of a refund of `ours`.
fn refunded(answer: &Message, ours: Money) -> Result<TransferWord, ChannelError> {
    let (amount_minor, currency) = amount(answer)?;
    same_amount(ours, amount_minor, &currency)?;
    Ok(refund_word(answer)?)
}

#[async_trait]
impl Acquirer for Bank {
    fn name(&self) -> &'static str {
        NAME
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Page, Method::Native]
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        let pay_type = match order.method {
            Method::Page => GATEWAY,
            Method::Native => QR,
            _ => return Err(unsent("METHOD_NOT_OFFERED")),
        };
        if order.split {
            return Err(unsent("SPLIT_NOT_OFFERED"));
        }
        let subject: String = order.description.chars().filter(|c| !c.is_control()).take(SUBJECT_MAX).collect();
        let mut more = vec![
            (field::PAY_TYPE, pay_type.to_owned()),
            (field::AMOUNT, renminbi(order.amount)?),
            (field::CURRENCY, order.amount.currency.as_str().to_owned()),
            (field::SUBJECT, self.link.seal.charset().fitted(&subject)),
            (field::EXPIRE, stamp(order.expires_at)),
            (field::NOTIFY_URL, self.link.notify_url.clone()),
        ];
        more.extend(order.return_url.clone().map(|url| (field::RETURN_URL, url)));
        let answer = self.link.exchange(trx::PAY, &order.request_no, more).await?;
        let word = payment_word(&answer)?;
        if word != PaymentWord::Pending {
            return Ok(PaymentState { invitation: None, word });
        }
        if amount(&answer)? != (order.amount.minor, order.amount.currency.as_str().to_owned()) {
            return Err(ChannelError::BadAnswer("it is about another amount"));
        }
        let invitation = match order.method {
            Method::Native => Invitation::Code(answer.need(field::QR_CODE)?.to_owned()),
            _ => Invitation::Url(answer.need(field::PAY_URL)?.to_owned()),
        };
        Ok(PaymentState { invitation: Some(invitation), word })
    }

    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        known(self.payment(trx::QUERY, payment).await)
    }

    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError> {
        self.payment(trx::CLOSE, payment).await
    }

    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        let more = [
            (field::ORIG_ORDER, order.payment.request_no.clone()),
            (field::AMOUNT, renminbi(order.amount)?),
            (field::CURRENCY, order.amount.currency.as_str().to_owned()),
            (field::NOTIFY_URL, self.link.notify_url.clone()),
        ];
        let answer = self.link.exchange(trx::REFUND, &order.request_no, more).await?;
        refunded(&answer, order.amount)
    }

    async fn query_refund(&self, refund: &Asked, _payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        let found = known(self.link.exchange(trx::QUERY_REFUND, &refund.request_no, []).await)?;
        found.map(|answer| refunded(&answer, amount)).transpose()
    }

    fn refund_closed(&self, said: &str) -> bool {
        said == code::PAYER_ACCOUNT_CLOSED
    }

    fn hear(&self, _headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
        let (notice_id, message) = self.link.hear(body, now)?;
        let request_no = message.need(field::ORDER)?.to_owned();
        let spoken = match message.need(field::TRX)? {
            trx::PAYMENT_NOTICE => Spoken::Payment { request_no, word: payment_word(&message)? },
            trx::REFUND_NOTICE => {
                let (amount_minor, currency) = amount(&message)?;
                Spoken::Refund { request_no, amount_minor, currency, word: refund_word(&message)? }
            }
            trx::PAYOUT_NOTICE => Spoken::Other { kind: trx::PAYOUT_NOTICE.to_owned() },
            // an answer, or a message of ours, is no notice
            _ => return Err(HearError::Malformed),
        };
        Ok(Heard { notice_id, spoken })
    }

    fn reply(&self, stored: bool) -> Reply {
        replied(stored)
    }

    fn fault(&self, code: &str) -> Fault {
        match code {
            code::BALANCE_INSUFFICIENT | code::PAYER_DECLINED => Fault::User,
            code::BUSY => Fault::Channel,
            _ => Fault::Ours,
        }
    }
}
