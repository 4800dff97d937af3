//! The adapters: our commands out as signed requests, the sandbox's signed answers back as states. Nothing unsigned decides anything.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sign::{Signer, Verifier};
use super::wire::{
    BODY_MAX, Notice, NoticeKind, NoticeStatus, PaymentAnswer, PaymentRequest, PaymentStatus, PayoutAnswer, PayoutRequest, RefundAnswer,
    RefundRequest, Refusal, TransferStatus, code,
};
use crate::base::clock::Clock;
use crate::base::money::Money;
use crate::channel::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method as PayMethod, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply,
    Spoken, TransferWord,
};
use crate::channel::payout::{PayoutOrder, PayoutRail, PayoutState, PayoutStatus};
use crate::channel::{ChannelError, SANDBOX, SANDBOX_BANK, same_amount};

/// Key id under which the platform signs.
pub const PLATFORM_KEY: &str = "platform";
/// Key id under which the acquirer signs.
pub const ACQUIRER_KEY: &str = "acquirer";
/// Key id under which the bank signs.
pub const BANK_KEY: &str = "bank";

/// How one counterparty is reached and how its word is checked.
#[derive(Clone, Debug)]
pub struct Link {
    base: Url,
    http: Client,
    signer: Arc<Signer>,
    verifier: Verifier,
    /// Our number at the counterparty.
    pub merchant_no: String,
    notify_url: String,
    notify_path: String,
}

/// A link that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("channel.sandbox_url and http.public_url must be URLs that begin with http:// or https://")]
    Url,
    #[error("could not set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// An answer whose signature was right.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Link {
    /// Prepares a link; opens no connection. `notify_url` is where the counterparty sends its notices, `timeout` covers a whole call.
    pub fn try_new(
        base_url: &str,
        signer: Arc<Signer>,
        verifier: Verifier,
        merchant_no: &str,
        notify_url: &str,
        timeout: Duration,
    ) -> Result<Self, LinkError> {
        let base = web_address(base_url)?;
        let notify_path = web_address(notify_url)?.path().to_owned();
        let http = Client::builder()
            .timeout(timeout)
            .connect_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(64)
            .build()?;
        Ok(Self { base, http, signer, verifier, merchant_no: merchant_no.to_owned(), notify_url: notify_url.to_owned(), notify_path })
    }

    /// Checks a notice on its raw bytes and that it is ours. The path is that of the address we gave, however it reached us.
    fn heard(&self, headers: &HeaderMap, body: &[u8]) -> Result<Notice, HearError> {
        self.verifier.verify("POST", &self.notify_path, headers, body, Clock::wall()).map_err(|_| HearError::Signature)?;
        let notice: Notice = serde_json::from_slice(body).map_err(|_| HearError::Malformed)?;
        if notice.merchant_no == self.merchant_no { Ok(notice) } else { Err(HearError::Foreign) }
    }

    async fn post<Q: Serialize, A: DeserializeOwned>(&self, path: &str, request: &Q) -> Result<A, ChannelError> {
        let body = serde_json::to_vec(request).expect("wire types are plain data and serialise");
        let answer = self.call(Method::POST, path, body).await?;
        if answer.status.is_success() { parse(&answer) } else { Err(refusal(&answer)) }
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<Option<A>, ChannelError> {
        let answer = self.call(Method::GET, path, Vec::new()).await?;
        if answer.status.is_success() {
            return parse(&answer).map(Some);
        }
        match refusal(&answer) {
            ChannelError::Refused { code } if code == code::NOT_FOUND => Ok(None),
            // a refused question says nothing about what was asked for
            ChannelError::Refused { .. } => Err(ChannelError::BadAnswer("the question was refused")),
            other => Err(other),
        }
    }

    /// One signed exchange.
    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer, ChannelError> {
        let url = self.base.join(path).map_err(|_| ChannelError::BadAnswer("the address cannot be formed"))?;
        let path = url.path().to_owned();
        let nonce = self.signer.nonce();
        let mut headers = self.signer.headers(method.as_str(), &path, &nonce, &body, Clock::wall());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.http.request(method, url).headers(headers).body(body).send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = bounded(response).await?;
        match self.verifier.verify(status.as_str(), &path, &headers, &body, Clock::wall()) {
            Ok(echoed) if echoed == nonce => {}
            Ok(_) => return Err(ChannelError::BadAnswer("it answers another request")),
            // what stands before the channel may fail without a signature: no word was given
            Err(_) if status.is_server_error() => return Err(ChannelError::NoAnswer(format!("status {status}").into())),
            Err(_) => return Err(ChannelError::BadAnswer("its signature is not right")),
        }
        if status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) {
            return Err(ChannelError::NoAnswer(format!("status {status}").into()));
        }
        Ok(Answer { status, body })
    }
}

fn web_address(text: &str) -> Result<Url, LinkError> {
    text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https")).ok_or(LinkError::Url)
}

fn no_answer(error: reqwest::Error) -> ChannelError {
    ChannelError::NoAnswer(Box::new(error.without_url()))
}

/// Reads a body of at most [`BODY_MAX`] bytes.
async fn bounded(mut response: Response) -> Result<Vec<u8>, ChannelError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(ChannelError::BadAnswer("it is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse<A: DeserializeOwned>(answer: &Answer) -> Result<A, ChannelError> {
    serde_json::from_slice(&answer.body).map_err(|_| ChannelError::BadAnswer("its content is not as agreed"))
}

/// Reads a signed answer that is no success. Two refusals settle nothing: a number that stands for other content may well have been
/// carried out, and a signature refused now says nothing about the same request sent before.
fn refusal(answer: &Answer) -> ChannelError {
    match parse::<Refusal>(answer) {
        Ok(r) if r.code == code::REQUEST_NO_REUSED => ChannelError::BadAnswer("the request number stands for other content"),
        Ok(r) if r.code == code::SIGNATURE_INVALID => ChannelError::BadAnswer("our signature was refused; compare keys and clocks"),
        Ok(r) if answer.status.is_client_error() => ChannelError::Refused { code: r.code },
        Ok(_) => ChannelError::BadAnswer("its status is not as agreed"),
        Err(error) => error,
    }
}

/// The sandbox acquirer (收单机构).
#[derive(Clone, Debug)]
pub struct SandboxAcquirer {
    link: Link,
}

impl SandboxAcquirer {
    pub fn new(link: Link) -> Self {
        Self { link }
    }
}

#[async_trait]
impl Acquirer for SandboxAcquirer {
    fn name(&self) -> &'static str {
        SANDBOX
    }

    fn methods(&self) -> &'static [PayMethod] {
        &[PayMethod::Page, PayMethod::Wap, PayMethod::Native]
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        let answer = self
            .link
            .post(
                "/acquirer/v1/payments",
                &PaymentRequest {
                    merchant_no: self.link.merchant_no.clone(),
                    request_no: order.request_no.clone(),
                    amount_minor: order.amount.minor,
                    currency: order.amount.currency.as_str().to_owned(),
                    description: order.description.clone(),
                    notify_url: self.link.notify_url.clone(),
                    return_url: order.return_url.clone(),
                },
            )
            .await?;
        let state = self.payment(&order.request_no, answer)?;
        Ok(match state.invitation {
            // one code for every wallet (聚合码): it holds the page's address
            Some(Invitation::Url(url)) if order.method == PayMethod::Native => {
                PaymentState { invitation: Some(Invitation::Code(url)), ..state }
            }
            _ => state,
        })
    }

    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        let request_no = &payment.request_no;
        let answer = self.link.get(&format!("/acquirer/v1/payments/{request_no}")).await?;
        answer.map(|a| self.payment(request_no, a)).transpose()
    }

    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError> {
        let request_no = &payment.request_no;
        let answer = self.link.post(&format!("/acquirer/v1/payments/{request_no}/close"), &serde_json::json!({})).await?;
        self.payment(request_no, answer)
    }

    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        let answer = self
            .link
            .post(
                "/acquirer/v1/refunds",
                &RefundRequest {
                    merchant_no: self.link.merchant_no.clone(),
                    request_no: order.request_no.clone(),
                    payment_request_no: order.payment.request_no.clone(),
                    amount_minor: order.amount.minor,
                    currency: order.amount.currency.as_str().to_owned(),
                    notify_url: self.link.notify_url.clone(),
                },
            )
            .await?;
        self.refunded(&order.request_no, answer, order.amount)
    }

    async fn query_refund(&self, refund: &Asked, _payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        let request_no = &refund.request_no;
        let answer = self.link.get(&format!("/acquirer/v1/refunds/{request_no}")).await?;
        answer.map(|a| self.refunded(request_no, a, amount)).transpose()
    }

    fn refund_closed(&self, said: &str) -> bool {
        said == code::PAYER_ACCOUNT_CLOSED
    }

    fn hear(&self, headers: &HeaderMap, body: &[u8], _now: DateTime<Utc>) -> Result<Heard, HearError> {
        let notice = self.link.heard(headers, body)?;
        let spoken = spoken(&notice).ok_or(HearError::Malformed)?;
        Ok(Heard { notice_id: notice.notice_id, spoken })
    }

    fn reply(&self, stored: bool) -> Reply {
        replied(stored)
    }

    /// The sandbox has no table: what its payer decided is the payer's doing.
    fn fault(&self, code: &str) -> Fault {
        match code {
            "PAYER_DECLINED" | "BALANCE_TOO_LOW" | "DECLINED" => Fault::User,
            "SANDBOX_FULL" | "SANDBOX_UNAVAILABLE" => Fault::Channel,
            _ => Fault::Ours,
        }
    }
}

/// Any 2xx says that a notice was stored.
fn replied(stored: bool) -> Reply {
    let status = if stored { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR };
    Reply { status, content_type: "text/plain", body: String::new() }
}

/// What a notice says. None: a success without its time, a state that its kind cannot have, or a payout, which is the bank's to tell.
fn spoken(notice: &Notice) -> Option<Spoken> {
    let failed = || error_code(notice.error_code.clone());
    Some(match notice.kind {
        NoticeKind::Payment => Spoken::Payment {
            request_no: notice.request_no.clone(),
            word: match notice.status {
                NoticeStatus::Succeeded => PaymentWord::Succeeded {
                    transaction_id: notice.transaction_id.clone(),
                    amount_minor: notice.amount_minor,
                    currency: notice.currency.clone(),
                    at: notice.success_time?,
                },
                NoticeStatus::Failed => PaymentWord::Failed { code: failed() },
                NoticeStatus::Closed => PaymentWord::Closed,
                NoticeStatus::Returned => return None,
            },
        },
        NoticeKind::Refund => Spoken::Refund {
            request_no: notice.request_no.clone(),
            amount_minor: notice.amount_minor,
            currency: notice.currency.clone(),
            word: match notice.status {
                NoticeStatus::Succeeded => TransferWord::Succeeded { at: notice.success_time? },
                NoticeStatus::Failed => TransferWord::Failed { code: failed() },
                NoticeStatus::Closed | NoticeStatus::Returned => return None,
            },
        },
        NoticeKind::Payout => return None,
    })
}

impl SandboxAcquirer {
    fn payment(&self, request_no: &str, answer: PaymentAnswer) -> Result<PaymentState, ChannelError> {
        belongs(&self.link, request_no, &answer.merchant_no, &answer.request_no)?;
        let word = match answer.status {
            PaymentStatus::UserPending => PaymentWord::Pending,
            PaymentStatus::Succeeded => PaymentWord::Succeeded {
                transaction_id: answer.transaction_id,
                amount_minor: answer.amount_minor,
                currency: answer.currency,
                at: answer.success_time.ok_or(ChannelError::BadAnswer("a success without its time"))?,
            },
            PaymentStatus::Failed => PaymentWord::Failed { code: error_code(answer.error_code) },
            PaymentStatus::Closed => PaymentWord::Closed,
        };
        Ok(PaymentState { invitation: Some(Invitation::Url(answer.pay_url)), word })
    }

    fn refunded(&self, request_no: &str, answer: RefundAnswer, amount: Money) -> Result<TransferWord, ChannelError> {
        belongs(&self.link, request_no, &answer.merchant_no, &answer.request_no)?;
        same_amount(amount, answer.amount_minor, &answer.currency)?;
        Ok(match answer.status {
            TransferStatus::Accepted => TransferWord::Accepted,
            TransferStatus::Succeeded => {
                TransferWord::Succeeded { at: answer.success_time.ok_or(ChannelError::BadAnswer("a success without its time"))? }
            }
            TransferStatus::Failed => TransferWord::Failed { code: error_code(answer.error_code) },
            TransferStatus::Returned => return Err(ChannelError::BadAnswer("a refund does not come back")),
        })
    }
}

/// The sandbox bank (付款行).
#[derive(Clone, Debug)]
pub struct SandboxBank {
    link: Link,
}

impl SandboxBank {
    pub fn new(link: Link) -> Self {
        Self { link }
    }

    fn paid_out(&self, request_no: &str, answer: PayoutAnswer) -> Result<PayoutState, ChannelError> {
        belongs(&self.link, request_no, &answer.merchant_no, &answer.request_no)?;
        let status = match answer.status {
            TransferStatus::Accepted => PayoutStatus::Accepted,
            TransferStatus::Succeeded => PayoutStatus::Succeeded,
            TransferStatus::Failed => PayoutStatus::Failed { code: error_code(answer.error_code) },
            TransferStatus::Returned => PayoutStatus::Returned { code: error_code(answer.error_code) },
        };
        Ok(PayoutState { status, bank_reference: Some(answer.bank_reference) })
    }
}

#[async_trait]
impl PayoutRail for SandboxBank {
    fn name(&self) -> &'static str {
        SANDBOX_BANK
    }

    /// An answer about another amount is [`ChannelError::Conflicted`].
    async fn payout(&self, order: &PayoutOrder) -> Result<PayoutState, ChannelError> {
        let answer: PayoutAnswer = self
            .link
            .post(
                "/bank/v1/payouts",
                &PayoutRequest {
                    merchant_no: self.link.merchant_no.clone(),
                    request_no: order.request_no.clone(),
                    payee_name: order.payee_name.clone(),
                    payee_account: order.payee_account.clone(),
                    amount_minor: order.amount.minor,
                    currency: order.amount.currency.as_str().to_owned(),
                    notify_url: self.link.notify_url.clone(),
                },
            )
            .await?;
        same_amount(order.amount, answer.amount_minor, &answer.currency)?;
        self.paid_out(&order.request_no, answer)
    }

    async fn query(&self, request_no: &str) -> Result<Option<PayoutState>, ChannelError> {
        let answer = self.link.get(&format!("/bank/v1/payouts/{request_no}")).await?;
        answer.map(|a| self.paid_out(request_no, a)).transpose()
    }

    fn hear(&self, headers: &HeaderMap, body: &[u8], _now: DateTime<Utc>) -> Result<Heard, HearError> {
        let notice = self.link.heard(headers, body)?;
        let spoken = told_of_payout(&notice).unwrap_or_else(|| Spoken::Other { kind: "NO_PAYOUT".to_owned() });
        Ok(Heard { notice_id: notice.notice_id, spoken })
    }

    fn reply(&self, stored: bool) -> Reply {
        replied(stored)
    }
}

/// What a notice says about a payout. None: it is not about one, or says what cannot be.
fn told_of_payout(notice: &Notice) -> Option<Spoken> {
    let code = || error_code(notice.error_code.clone());
    let word = match (notice.kind, notice.status) {
        (NoticeKind::Payout, NoticeStatus::Succeeded) => PayoutStatus::Succeeded,
        (NoticeKind::Payout, NoticeStatus::Failed) => PayoutStatus::Failed { code: code() },
        (NoticeKind::Payout, NoticeStatus::Returned) => PayoutStatus::Returned { code: code() },
        (NoticeKind::Payout, NoticeStatus::Closed) | (NoticeKind::Payment | NoticeKind::Refund, _) => return None,
    };
    Some(Spoken::Payout {
        request_no: notice.request_no.clone(),
        amount_minor: notice.amount_minor,
        currency: notice.currency.clone(),
        bank_reference: notice.transaction_id.clone(),
        word,
    })
}

/// Whether a signed answer is about our request.
fn belongs(link: &Link, request_no: &str, merchant_no: &str, answered: &str) -> Result<(), ChannelError> {
    if answered == request_no && merchant_no == link.merchant_no {
        Ok(())
    } else {
        Err(ChannelError::BadAnswer("it is about another request"))
    }
}

/// A channel's error code as we keep and show it: upper-case letters, digits and underscores, at most 64.
pub(crate) fn error_code(code: Option<String>) -> String {
    code.filter(|c| (1..=64).contains(&c.len()) && c.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'))
        .unwrap_or_else(|| "UNSPECIFIED".to_owned())
}
