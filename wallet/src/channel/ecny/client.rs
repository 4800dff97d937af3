//! The adapter: our words out as signed requests to the operator, its signed answers and notices back as words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rsa::KeyPair;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode, Url};

use super::sign::{nonce, open, seal};
use super::wire::{Answer, BODY_MAX, Notice, PATH, Payment, PaymentRequest, Refund, RefundRequest, Request, Which, code};
use crate::base::clock::Clock;
use crate::base::money::Money;
use crate::channel::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply, Spoken,
    TransferWord,
};
use crate::channel::sandbox::error_code;
use crate::channel::sandbox::wire::{PaymentStatus, TransferStatus};
use crate::channel::unionpay::sign::{KeyError, private_key, public_key};
use crate::channel::unionpay::{bounded, http_client, no_answer, unsent, web_address};
use crate::channel::{ChannelError, same_amount};

/// The name of this acquirer.
pub const NAME: &str = "ECNY";

/// What is agreed with the operator. Holds a private key, so it has no `Debug`.
pub struct Agreement<'a> {
    pub base_url: &'a str,
    pub merchant_no: &'a str,
    /// Ours, PKCS#8, PEM.
    pub private_key_pem: &'a str,
    /// The operator's, PEM.
    pub operator_key_pem: &'a str,
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

/// Digital renminbi (数字人民币), sandbox form.
pub struct Ecny {
    url: Url,
    http: Client,
    key: Arc<KeyPair>,
    operator: Vec<u8>,
    merchant_no: String,
    notify_url: String,
}

impl fmt::Debug for Ecny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecny").field("url", &self.url.as_str()).field("merchant_no", &self.merchant_no).finish_non_exhaustive()
    }
}

impl Ecny {
    /// Reads the keys; opens no connection.
    pub fn try_new(agreement: &Agreement) -> Result<Self, AgreementError> {
        web_address(agreement.notify_url).ok_or(AgreementError::Url)?;
        let base = web_address(agreement.base_url).ok_or(AgreementError::Url)?;
        Ok(Self {
            url: base.join(PATH).map_err(|_| AgreementError::Url)?,
            http: http_client(agreement.timeout)?,
            key: Arc::new(private_key(agreement.private_key_pem)?),
            operator: public_key(agreement.operator_key_pem)?,
            merchant_no: agreement.merchant_no.to_owned(),
            notify_url: agreement.notify_url.to_owned(),
        })
    }

    /// One signed exchange.
    async fn exchange(&self, request: &Request) -> Result<Answer, ChannelError> {
        let body = serde_json::to_vec(request).expect("wire types are plain data and serialise");
        let asked = nonce();
        let mut headers = seal(&self.key, &asked, &body, Clock::wall());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.http.post(self.url.clone()).headers(headers).body(body).send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status != StatusCode::OK {
            // signed answers come with 200: whatever else came, came from before the operator
            return Err(ChannelError::NoAnswer(format!("status {status}").into()));
        }
        let body = bounded(response, BODY_MAX).await?;
        match open(&self.operator, &headers, &body, Clock::wall()) {
            Ok(echoed) if echoed == asked => {}
            Ok(_) => return Err(ChannelError::BadAnswer("it answers another request")),
            Err(_) => return Err(ChannelError::BadAnswer("its signature is not right")),
        }
        serde_json::from_slice(&body).map_err(|_| ChannelError::BadAnswer("its content is not as agreed"))
    }

    async fn payment(&self, request: &Request, request_no: &str) -> Result<Payment, ChannelError> {
        match self.exchange(request).await? {
            Answer::Payment(payment) if payment.merchant_no == self.merchant_no && payment.request_no == request_no => Ok(payment),
            other => Err(unexpected(other)),
        }
    }

    async fn refunded(&self, request: &Request, request_no: &str) -> Result<Refund, ChannelError> {
        match self.exchange(request).await? {
            Answer::Refund(refund) if refund.merchant_no == self.merchant_no && refund.request_no == request_no => Ok(refund),
            other => Err(unexpected(other)),
        }
    }

    fn which(&self, asked: &Asked) -> Which {
        Which { merchant_no: self.merchant_no.clone(), request_no: asked.request_no.clone() }
    }
}

/// An answer that is not what was asked for.
fn unexpected(answer: Answer) -> ChannelError {
    match answer {
        Answer::Refused { code } => match code.as_str() {
            code::BUSY => ChannelError::NoAnswer("the operator is busy".into()),
            code::NUMBER_REUSED => ChannelError::BadAnswer("the request number stands for other content"),
            code::SIGNATURE_INVALID => ChannelError::BadAnswer("our signature was refused; compare keys and clocks"),
            _ => ChannelError::Refused { code: error_code(Some(code)) },
        },
        _ => ChannelError::BadAnswer("it is about another request"),
    }
}

/// Of a question: a number that is not known is an answer, and a refused question says nothing about what was asked for.
fn known<T>(answer: Result<T, ChannelError>) -> Result<Option<T>, ChannelError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ChannelError::Refused { code }) if code == code::NOT_FOUND => Ok(None),
        Err(ChannelError::Refused { .. }) => Err(ChannelError::BadAnswer("the question was refused")),
        Err(error) => Err(error),
    }
}

fn payment_word(payment: Payment) -> Result<PaymentWord, ChannelError> {
    Ok(match payment.status {
        PaymentStatus::UserPending => PaymentWord::Pending,
        PaymentStatus::Succeeded => PaymentWord::Succeeded {
            transaction_id: payment.transaction_id,
            amount_minor: payment.amount_minor,
            currency: payment.currency,
            at: payment.paid_at.ok_or(ChannelError::BadAnswer("a success without its time"))?,
        },
        PaymentStatus::Failed => PaymentWord::Failed { code: error_code(payment.error_code) },
        PaymentStatus::Closed => PaymentWord::Closed,
    })
}

fn refund_word(refund: Refund, amount: Money) -> Result<TransferWord, ChannelError> {
    same_amount(amount, refund.amount_minor, &refund.currency)?;
    told(refund)
}

fn told(refund: Refund) -> Result<TransferWord, ChannelError> {
    Ok(match refund.status {
        TransferStatus::Accepted => TransferWord::Accepted,
        TransferStatus::Succeeded => {
            TransferWord::Succeeded { at: refund.refunded_at.ok_or(ChannelError::BadAnswer("a success without its time"))? }
        }
        TransferStatus::Failed | TransferStatus::Returned => TransferWord::Failed { code: error_code(refund.error_code) },
    })
}

#[async_trait]
impl Acquirer for Ecny {
    fn name(&self) -> &'static str {
        NAME
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Native, Method::InApp]
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        if order.split {
            return Err(unsent("SPLIT_NOT_OFFERED"));
        }
        let wallet_id = match order.method {
            Method::Native => None,
            Method::InApp => Some(order.payer.clone().filter(|p| !p.is_empty()).ok_or_else(|| unsent("PAYER_MISSING"))?),
            _ => return Err(unsent("METHOD_NOT_OFFERED")),
        };
        let request = Request::Pay(PaymentRequest {
            merchant_no: self.merchant_no.clone(),
            request_no: order.request_no.clone(),
            amount_minor: order.amount.minor,
            currency: order.amount.currency.as_str().to_owned(),
            description: order.description.clone(),
            wallet_id,
            expires_at: order.expires_at,
            notify_url: self.notify_url.clone(),
        });
        let payment = self.payment(&request, &order.request_no).await?;
        if payment.status != PaymentStatus::UserPending {
            return Ok(PaymentState { invitation: None, word: payment_word(payment)? });
        }
        if payment.amount_minor != order.amount.minor || payment.currency != order.amount.currency.as_str() {
            return Err(ChannelError::BadAnswer("it is about another amount"));
        }
        let invitation = match (order.method, payment.code) {
            (Method::Native, Some(code)) => Invitation::Code(code),
            (Method::Native, None) => return Err(ChannelError::BadAnswer("a payment without its code")),
            _ => Invitation::Wait,
        };
        Ok(PaymentState { invitation: Some(invitation), word: PaymentWord::Pending })
    }

    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        let found = known(self.payment(&Request::Query(self.which(payment)), &payment.request_no).await)?;
        found.map(|p| Ok(PaymentState { invitation: None, word: payment_word(p)? })).transpose()
    }

    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError> {
        let closed = self.payment(&Request::Close(self.which(payment)), &payment.request_no).await?;
        Ok(PaymentState { invitation: None, word: payment_word(closed)? })
    }

    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        let request = Request::Refund(RefundRequest {
            merchant_no: self.merchant_no.clone(),
            request_no: order.request_no.clone(),
            payment_request_no: order.payment.request_no.clone(),
            amount_minor: order.amount.minor,
            currency: order.amount.currency.as_str().to_owned(),
            notify_url: self.notify_url.clone(),
        });
        refund_word(self.refunded(&request, &order.request_no).await?, order.amount)
    }

    async fn query_refund(&self, refund: &Asked, _payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        let refund = known(self.refunded(&Request::QueryRefund(self.which(refund)), &refund.request_no).await)?;
        refund.map(|refund| refund_word(refund, amount)).transpose()
    }

    fn refund_closed(&self, said: &str) -> bool {
        said == code::WALLET_CLOSED
    }

    fn hear(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
        if body.len() > BODY_MAX {
            return Err(HearError::Malformed);
        }
        open(&self.operator, headers, body, now).map_err(|_| HearError::Signature)?;
        let Notice { notice_id, answer } = serde_json::from_slice(body).map_err(|_| HearError::Malformed)?;
        let merchant_no = match &answer {
            Answer::Payment(p) => &p.merchant_no,
            Answer::Refund(r) => &r.merchant_no,
            Answer::Refused { .. } => return Err(HearError::Malformed),
        };
        if *merchant_no != self.merchant_no {
            return Err(HearError::Foreign);
        }
        if !(1..=64).contains(&notice_id.len()) || notice_id.contains('\0') {
            return Err(HearError::Malformed);
        }
        let spoken = spoken(answer).map_err(|_| HearError::Malformed)?;
        Ok(Heard { notice_id, spoken })
    }

    fn reply(&self, stored: bool) -> Reply {
        let status = if stored { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR };
        Reply { status, content_type: "text/plain; charset=utf-8", body: String::new() }
    }

    fn fault(&self, code: &str) -> Fault {
        match code {
            code::BALANCE_INSUFFICIENT | code::PAYER_DECLINED => Fault::User,
            code::BUSY => Fault::Channel,
            _ => Fault::Ours,
        }
    }
}

/// What a notice tells.
fn spoken(answer: Answer) -> Result<Spoken, ChannelError> {
    Ok(match answer {
        Answer::Payment(payment) => Spoken::Payment { request_no: payment.request_no.clone(), word: payment_word(payment)? },
        Answer::Refund(refund) => Spoken::Refund {
            request_no: refund.request_no.clone(),
            amount_minor: refund.amount_minor,
            currency: refund.currency.clone(),
            word: told(refund)?,
        },
        refused @ Answer::Refused { .. } => return Err(unexpected(refused)),
    })
}
