//! Alipay (支付宝), open platform gateway with RSA2: pages on computer and phone, codes, refunds and splits.
//!
//! A page's invitation is an address that we sign and Alipay has never seen: the trade begins to exist when the payer opens it. So a
//! trade that Alipay does not know may still be paid, until the time that stands signed in the address is over.

pub mod fault;
pub mod form;
mod gateway;
mod notice;
pub mod raw;
mod settle;
pub mod sign;
pub mod wire;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use self::gateway::{Gateway, Unanswered};
use self::sign::{Signer, Verifier};
use self::wire::{
    CloseAnswer, PayContent, PayExtend, PrecreateAnswer, RefundAnswer, RefundContent, RefundQueryAnswer, RefundQueryContent, TradeAnswer,
    TradeContent, code, method, read_time, read_yuan, status, time_text, yuan_text,
};
use super::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply, TransferWord,
};
use super::divider::Divider;
use super::{ChannelError, same_amount};
use crate::base::clock::Clock;
use crate::base::money::{Currency, Money};

pub use self::settle::{SplitOrder, SplitPart, SplitPartState};

/// Stable: in attempts, in the inbox, and as subject of the clearing account.
pub const ALIPAY: &str = "ALIPAY";

/// The currency of what is told without one.
const CNY: &str = "CNY";

/// How far the clocks of two machines may be apart: our own two, or ours and Alipay's.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Longest description that is sent, in characters.
const SUBJECT_MAX: usize = 128;

/// What an adapter is made of.
#[derive(Debug)]
pub struct Setup<'s> {
    /// `https://openapi.alipay.com/gateway.do`, or the simulator's.
    pub gateway_url: &'s str,
    /// Our application's id.
    pub app_id: &'s str,
    /// The user id of the account that is paid (2088…).
    pub seller_id: &'s str,
    /// Our application's private key.
    pub signer: Signer,
    /// Alipay's public key for our application.
    pub verifier: Verifier,
    /// Where Alipay sends its notices.
    pub notify_url: &'s str,
    /// Most of a payment that may be split, in basis points (默认 30%).
    pub share_max_bps: u16,
    /// Covers a whole call.
    pub timeout: Duration,
    /// The longest time between asking for a payment and its expiry: the lifetime of an order.
    pub open_for: TimeDelta,
    /// Business time, by which orders expire.
    pub clock: Clock,
}

/// An adapter that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("Alipay's gateway and our notify address must be URLs that begin with http:// or https://")]
    Url,
    #[error("could not set up the HTTP client")]
    Client(#[from] reqwest::Error),
}

/// Alipay as an acquirer.
#[derive(Debug)]
pub struct Alipay {
    gateway: Gateway,
    app_id: String,
    seller_id: String,
    share_max_bps: u16,
    open_for: TimeDelta,
    clock: Clock,
}

impl Alipay {
    /// Prepares the adapter; opens no connection.
    pub fn try_new(setup: Setup<'_>) -> Result<Self, SetupError> {
        let gateway = Gateway::try_new(setup.gateway_url, setup.app_id, setup.notify_url, setup.signer, setup.verifier, setup.timeout)?;
        Ok(Self {
            gateway,
            app_id: setup.app_id.to_owned(),
            seller_id: setup.seller_id.to_owned(),
            share_max_bps: setup.share_max_bps,
            open_for: setup.open_for,
            clock: setup.clock,
        })
    }

    /// What every way to pay is asked with.
    fn content(order: &PaymentOrder, product_code: &str) -> PayContent {
        PayContent {
            out_trade_no: order.request_no.clone(),
            total_amount: yuan_text(order.amount.minor),
            subject: subject(&order.description),
            product_code: product_code.to_owned(),
            time_expire: time_text(order.expires_at),
            extend_params: order.split.then(|| PayExtend { royalty_freeze: "true".to_owned() }),
        }
    }

    async fn precreate(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        let content = Self::content(order, "FACE_TO_FACE_PAYMENT");
        let answer: PrecreateAnswer = match self.gateway.call(method::PRECREATE, &content).await {
            Ok(answer) => answer,
            // asked for before, and paid or closed since
            Err(Unanswered::Said(said)) if matches!(said.as_str(), code::TRADE_HAS_SUCCESS | code::TRADE_HAS_CLOSE) => {
                return self.trade(&order.request_no).await?.ok_or(ChannelError::BadAnswer("a trade that is over is not known"));
            }
            Err(other) => return Err(other.refusal()),
        };
        if answer.out_trade_no != order.request_no {
            return Err(ChannelError::BadAnswer("it is about another payment"));
        }
        Ok(PaymentState { invitation: Some(Invitation::Code(answer.qr_code)), word: PaymentWord::Pending })
    }

    async fn trade(&self, request_no: &str) -> Result<Option<PaymentState>, ChannelError> {
        let content = TradeContent { out_trade_no: request_no.to_owned() };
        match self.gateway.call::<_, TradeAnswer>(method::QUERY, &content).await {
            Ok(answer) => Ok(Some(PaymentState { invitation: None, word: word(request_no, answer)? })),
            Err(Unanswered::Said(said)) if said == code::TRADE_NOT_EXIST => Ok(None),
            Err(other) => Err(other.question()),
        }
    }

    /// What Alipay knows of a refund. None: no such trade.
    async fn refund_of(&self, request_no: &str, payment_no: &str) -> Result<Option<RefundQueryAnswer>, ChannelError> {
        let content = RefundQueryContent {
            out_trade_no: payment_no.to_owned(),
            out_request_no: request_no.to_owned(),
            query_options: vec!["gmt_refund_pay".to_owned(), "refund_detail_item_list".to_owned()],
        };
        let answer: RefundQueryAnswer = match self.gateway.call(method::REFUND_QUERY, &content).await {
            Ok(answer) => answer,
            Err(Unanswered::Said(said)) if said.trim_start_matches("ACQ.") == "TRADE_NOT_EXIST" => return Ok(None),
            Err(other) => return Err(other.question()),
        };
        let other = |said: &Option<String>, ours: &str| said.as_deref().is_some_and(|said| said != ours);
        if other(&answer.out_trade_no, payment_no) || other(&answer.out_request_no, request_no) {
            return Err(ChannelError::BadAnswer("it is about another refund"));
        }
        Ok(Some(answer))
    }

    /// Asks for a refund of `amount` by its number.
    async fn refunded(&self, request_no: &str, payment_no: &str, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        let Some(answer) = self.refund_of(request_no, payment_no).await? else { return Ok(None) };
        match answer.refund_status.as_deref() {
            None => Ok(None),
            Some(status::REFUND_SUCCESS) => {
                if answer.out_request_no.is_none() {
                    return Err(ChannelError::BadAnswer("a refund without its number"));
                }
                let said = answer.refund_amount.as_deref().and_then(read_yuan);
                same_amount(amount, said.ok_or(ChannelError::BadAnswer("a refund without its amount"))?, CNY)?;
                let at = answer.gmt_refund_pay.as_deref().and_then(read_time);
                Ok(Some(TransferWord::Succeeded { at: at.ok_or(ChannelError::BadAnswer("a success without its time"))? }))
            }
            Some(_) => Ok(Some(TransferWord::Accepted)),
        }
    }

    /// Whether a payment asked for at `sent_at` has expired on every clock that counts.
    fn surely_expired(&self, sent_at: DateTime<Utc>) -> bool {
        self.clock.now() > sent_at + self.open_for + SKEW + SKEW
    }
}

#[async_trait]
impl Acquirer for Alipay {
    fn name(&self) -> &'static str {
        ALIPAY
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Page, Method::Wap, Method::Native]
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        // refused before anything is sent, and for a reason that held for any earlier try
        let local = |code: &str| Err(ChannelError::Refused { code: code.to_owned() });
        if order.amount.currency != Currency::Cny {
            return local(fault::CURRENCY_NOT_OFFERED);
        }
        if order.expires_at > self.clock.now() + self.open_for + SKEW {
            return local(fault::OPEN_TOO_LONG);
        }
        if order.split && !settle::DIVIDED.contains(&order.method) {
            return local(fault::SPLIT_NOT_OFFERED);
        }
        let page = |method: &str, product_code: &str| {
            let link = self.gateway.link(method, &Self::content(order, product_code), order.return_url.as_deref());
            Ok(PaymentState { invitation: Some(Invitation::Url(link)), word: PaymentWord::Pending })
        };
        match order.method {
            Method::Page => page(method::PAGE_PAY, "FAST_INSTANT_TRADE_PAY"),
            Method::Wap => page(method::WAP_PAY, "QUICK_WAP_WAY"),
            Method::Native => self.precreate(order).await,
            Method::InApp | Method::Barcode => local(fault::METHOD_NOT_OFFERED),
        }
    }

    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        self.trade(&payment.request_no).await
    }

    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError> {
        let content = TradeContent { out_trade_no: payment.request_no.clone() };
        let said = match self.gateway.call::<_, CloseAnswer>(method::CLOSE, &content).await {
            Ok(answer) if answer.out_trade_no.as_ref().is_some_and(|no| *no != payment.request_no) => {
                return Err(ChannelError::BadAnswer("it is about another payment"));
            }
            Ok(_) => return Ok(PaymentState { invitation: None, word: PaymentWord::Closed }),
            Err(Unanswered::Said(said)) => said,
            Err(Unanswered::Failed(error)) => return Err(error),
        };
        match said.as_str() {
            code::TRADE_NOT_EXIST if self.surely_expired(payment.sent_at) => {
                Ok(PaymentState { invitation: None, word: PaymentWord::Closed })
            }
            code::TRADE_NOT_EXIST => Err(ChannelError::BadAnswer("nobody has opened the payment yet, and its link can still be used")),
            code::TRADE_STATUS_ERROR | code::REASON_TRADE_STATUS_INVALID | code::TRADE_HAS_SUCCESS | code::TRADE_HAS_CLOSE => {
                match self.trade(&payment.request_no).await? {
                    Some(state) if state.word != PaymentWord::Pending => Ok(state),
                    _ => Err(ChannelError::BadAnswer("a trade that cannot be closed is not over")),
                }
            }
            _ => Err(Unanswered::Said(said).question()),
        }
    }

    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        if order.amount.currency != Currency::Cny {
            return Err(ChannelError::Refused { code: fault::CURRENCY_NOT_OFFERED.to_owned() });
        }
        let content = RefundContent {
            out_trade_no: order.payment.request_no.clone(),
            out_request_no: order.request_no.clone(),
            refund_amount: yuan_text(order.amount.minor),
            refund_reason: subject(&order.reason),
            refund_royalty_parameters: order.shares.iter().map(|share| self.royalty_back(share)).collect(),
        };
        let answer: RefundAnswer = match self.gateway.call(method::REFUND, &content).await {
            Ok(answer) => answer,
            Err(said) => {
                let refused = said.refusal();
                if !matches!(refused, ChannelError::Refused { .. }) {
                    return Err(refused);
                }
                // the same request sent before may have been what leaves no room for this one
                let before = self.refunded(&order.request_no, &order.payment.request_no, order.amount).await?;
                return before.ok_or(refused);
            }
        };
        if answer.out_trade_no != order.payment.request_no || answer.trade_no != order.transaction_id {
            return Err(ChannelError::BadAnswer("it is about another payment"));
        }
        if answer.fund_change != "Y" {
            let known = self.refunded(&order.request_no, &order.payment.request_no, order.amount).await?;
            return Ok(known.unwrap_or(TransferWord::Accepted));
        }
        match read_yuan(&answer.refund_fee) {
            Some(sum) if (order.amount.minor..=order.paid.minor).contains(&sum) => {}
            _ => return Err(ChannelError::BadAnswer("the sum of refunds does not fit")),
        }
        let at = match answer.gmt_refund_pay.as_deref() {
            Some(text) => read_time(text).ok_or(ChannelError::BadAnswer("a success without its time"))?,
            // not every answer tells it; the money moved during this call
            None => Clock::wall(),
        };
        Ok(TransferWord::Succeeded { at })
    }

    async fn query_refund(&self, refund: &Asked, payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        self.refunded(&refund.request_no, &payment.request_no, amount).await
    }

    fn refund_closed(&self, code: &str) -> bool {
        fault::refund_closed(code)
    }

    fn tells_sums_of_refunds(&self) -> bool {
        true
    }

    fn hear(&self, _headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
        notice::hear(self.gateway.verifier(), &self.app_id, &self.seller_id, body, now)
    }

    fn reply(&self, stored: bool) -> Reply {
        // seven letters are what counts, whatever the status
        let body = if stored { "success" } else { "fail" };
        Reply { status: StatusCode::OK, content_type: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    fn fault(&self, code: &str) -> Fault {
        fault::fault(code)
    }

    fn divider(&self) -> Option<&dyn Divider> {
        Some(self)
    }
}

/// The word of a trade's answer on the payment that was asked for.
fn word(request_no: &str, answer: TradeAnswer) -> Result<PaymentWord, ChannelError> {
    if answer.out_trade_no != request_no {
        return Err(ChannelError::BadAnswer("it is about another payment"));
    }
    let paid = || {
        let at = answer.send_pay_date.as_deref().and_then(read_time).ok_or(ChannelError::BadAnswer("a success without its time"))?;
        let amount_minor = read_yuan(&answer.total_amount).ok_or(ChannelError::BadAnswer("a success without its amount"))?;
        if !(1..=64).contains(&answer.trade_no.len()) {
            return Err(ChannelError::BadAnswer("a success without its number"));
        }
        let currency = answer.trans_currency.clone().unwrap_or_else(|| CNY.to_owned());
        Ok(PaymentWord::Succeeded { transaction_id: answer.trade_no.clone(), amount_minor, currency, at })
    };
    match answer.trade_status.as_str() {
        status::WAIT_BUYER_PAY => Ok(PaymentWord::Pending),
        status::TRADE_SUCCESS | status::TRADE_FINISHED => paid(),
        // paid and refunded in full: the payment was a success, its refunds are told by themselves
        status::TRADE_CLOSED if answer.send_pay_date.is_some() => paid(),
        status::TRADE_CLOSED => Ok(PaymentWord::Closed),
        _ => Err(ChannelError::BadAnswer("the trade's state is not as agreed")),
    }
}

/// A text as Alipay takes it: short, and without the characters that it refuses in a subject (`/`, `=`, `&`).
fn subject(text: &str) -> String {
    let plain = |c: char| if c.is_control() || matches!(c, '/' | '=' | '&') { ' ' } else { c };
    text.chars().map(plain).take(SUBJECT_MAX).collect()
}

#[cfg(test)]
mod tests;
