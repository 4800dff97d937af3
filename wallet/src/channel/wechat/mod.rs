//! WeChat Pay (微信支付) by APIv3, as a direct merchant (直连商户): payments in WeChat's own app and by code, refunds, splits, transfers.
//!
//! `sign` and `seal` are the cryptography, `keys` and `certificate` what WeChat's word is judged by, `link` one exchange, `wire` the
//! messages; `split` and `transfer` are what WeChat offers beyond an acquirer. Nothing unsigned decides anything.

mod certificate;
pub mod code;
mod keys;
mod link;
pub mod seal;
pub mod sign;
pub mod split;
pub mod transfer;
pub mod wire;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use self::keys::Keys;
use self::link::{Link, Said, web_address};
use self::seal::ApiKey;
use self::sign::{PublicKey, Signer};
use self::wire::{
    Amount, Call, Close, CodeUrl, Notice, Payer, Personal, Prepay, PrepayId, Refund, RefundAmount, RefundAnswer, RefundNotice,
    RefundStatus, SettleInfo, TradeState, Transaction, event,
};
use super::acquirer::{
    Acquirer, Asked, Fault, HearError, Heard, Invitation, Method, PaymentOrder, PaymentState, PaymentWord, RefundOrder, Reply, Spoken,
    TransferWord,
};
use super::divider::Divider;
use super::{ChannelError, same_amount};
use crate::base::clock::Clock;
use crate::base::money::Money;

pub use self::link::LinkError;

/// The name of WeChat Pay: in attempts, in the inbox, and as subject of its clearing account.
pub const WECHAT_PAY: &str = "WECHAT_PAY";

/// Longest description of a payment, in characters ("商品描述").
const DESCRIPTION_MAX: usize = 127;
/// Longest reason of a refund, in characters; a Chinese one counts as three bytes of the 80 ("退款原因").
const REASON_MAX_BYTES: usize = 80;
/// How far the clocks of two machines may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// The currency of a direct merchant's payments; refund notices name none.
const CNY: &str = "CNY";

/// What a merchant agreed with WeChat.
#[derive(Debug)]
pub struct Agreement {
    /// Where the API is, such as `https://api.mch.weixin.qq.com`.
    pub base_url: String,
    /// Our merchant number (商户号).
    pub mchid: String,
    /// The app that payments are made for (公众号或小程序).
    pub appid: String,
    /// The merchant's API certificate (商户 API 证书).
    pub signer: Signer,
    pub api_key: ApiKey,
    /// WeChat's public keys (微信支付公钥) by id. Without any, platform certificates are downloaded.
    pub public_keys: Vec<(String, PublicKey)>,
    /// Where notices are sent.
    pub notify_url: String,
    /// Most of a payment that may be split, in basis points ("最大分账比例").
    pub share_max_bps: u16,
    /// Covers one exchange.
    pub timeout: Duration,
    /// The longest time between asking for a payment and its expiry: the lifetime of an order.
    pub open_for: TimeDelta,
    /// Business time, by which orders expire.
    pub clock: Clock,
}

/// WeChat Pay as an acquirer (收单渠道), and beyond.
#[derive(Debug)]
pub struct WechatPay {
    link: Link,
    mchid: String,
    appid: String,
    notify_url: String,
    share_max_bps: u16,
    open_for: TimeDelta,
    clock: Clock,
}

impl WechatPay {
    /// Prepares; opens no connection.
    pub fn try_new(agreed: Agreement) -> Result<Self, LinkError> {
        web_address(&agreed.notify_url)?;
        let keys = Keys::pinned(agreed.public_keys);
        let link = Link::try_new(&agreed.base_url, &agreed.mchid, agreed.signer, agreed.api_key, keys, agreed.timeout)?;
        let (mchid, appid, notify_url) = (agreed.mchid, agreed.appid, agreed.notify_url);
        let share_max_bps = agreed.share_max_bps;
        Ok(Self { link, mchid, appid, notify_url, share_max_bps, open_for: agreed.open_for, clock: agreed.clock })
    }

    fn prepay(&self, order: &PaymentOrder, payer: Option<Payer>) -> Prepay {
        Prepay {
            appid: self.appid.clone(),
            mchid: self.mchid.clone(),
            description: order.description.chars().take(DESCRIPTION_MAX).collect(),
            out_trade_no: order.request_no.clone(),
            time_expire: wire::time(order.expires_at),
            notify_url: self.notify_url.clone(),
            settle_info: SettleInfo { profit_sharing: order.split },
            amount: Amount { total: order.amount.minor, currency: order.amount.currency.as_str().to_owned() },
            payer,
        }
    }

    /// The parameters for `WeixinJSBridge` or `wx.requestPayment`.
    fn call(&self, prepay_id: &str, wall: DateTime<Utc>) -> String {
        let (time_stamp, nonce_str) = (wall.timestamp().to_string(), self.link.signer().nonce());
        let package = format!("prepay_id={prepay_id}");
        let pay_sign = self.link.signer().sign(&sign::call_message(&self.appid, &time_stamp, &nonce_str, &package));
        let call = Call { app_id: self.appid.clone(), time_stamp, nonce_str, package, sign_type: "RSA".to_owned(), pay_sign };
        serde_json::to_string(&call).expect("wire types are plain data and serialise")
    }

    fn belongs(&self, transaction: &Transaction) -> bool {
        transaction.mchid == self.mchid && transaction.appid == self.appid
    }
}

#[async_trait]
impl Acquirer for WechatPay {
    fn name(&self) -> &'static str {
        WECHAT_PAY
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::InApp, Method::Native]
    }

    async fn pay(&self, order: &PaymentOrder) -> Result<PaymentState, ChannelError> {
        let invitation = match (order.method, &order.payer) {
            (Method::InApp, Some(openid)) => {
                let prepay = self.prepay(order, Some(Payer { openid: Personal(openid.clone()) }));
                let answer: PrepayId = self.link.post("/v3/pay/transactions/jsapi", &prepay).await?.settled()?;
                Invitation::Call(self.call(&answer.prepay_id, Clock::wall()))
            }
            (Method::Native, _) => {
                let answer: CodeUrl = self.link.post("/v3/pay/transactions/native", &self.prepay(order, None)).await?.settled()?;
                Invitation::Code(answer.code_url)
            }
            // nothing was sent
            _ => return Err(ChannelError::Refused { code: code::METHOD_NOT_OFFERED.to_owned() }),
        };
        Ok(PaymentState { invitation: Some(invitation), word: PaymentWord::Pending })
    }

    async fn query(&self, payment: &Asked) -> Result<Option<PaymentState>, ChannelError> {
        let target = format!("/v3/pay/transactions/out-trade-no/{}?mchid={}", segment(&payment.request_no)?, self.mchid);
        let Some(transaction) = self.link.get::<Transaction>(&target).await?.found()? else { return Ok(None) };
        if !self.belongs(&transaction) || transaction.out_trade_no != payment.request_no {
            return Err(ChannelError::BadAnswer("it answers another request"));
        }
        let word = payment_word(transaction).map_err(ChannelError::BadAnswer)?;
        Ok(Some(PaymentState { invitation: None, word }))
    }

    async fn close(&self, payment: &Asked) -> Result<PaymentState, ChannelError> {
        let target = format!("/v3/pay/transactions/out-trade-no/{}/close", segment(&payment.request_no)?);
        let closed = PaymentState { invitation: None, word: PaymentWord::Closed };
        match self.link.post_silent(&target, &Close { mchid: self.mchid.clone() }).await? {
            Said::Yes(()) => Ok(closed),
            Said::No(code) if code::ORDER_CLOSED.contains(&code.as_str()) => Ok(closed),
            // paid meanwhile, being paid, or unknown: only a final state is an answer
            Said::No(_) => match self.query(payment).await? {
                Some(state) if state.word != PaymentWord::Pending => Ok(state),
                // a request that comes so late is refused by its own time_expire
                None if self.clock.now() - payment.sent_at > self.open_for + SKEW + SKEW => Ok(closed),
                _ => Err(ChannelError::BadAnswer("it was not closed, and it has not ended otherwise")),
            },
        }
    }

    async fn refund(&self, order: &RefundOrder) -> Result<TransferWord, ChannelError> {
        let currency = order.amount.currency.as_str().to_owned();
        let request = Refund {
            transaction_id: order.transaction_id.clone(),
            out_refund_no: order.request_no.clone(),
            reason: first_bytes(&order.reason, REASON_MAX_BYTES).to_owned(),
            notify_url: self.notify_url.clone(),
            amount: RefundAmount { refund: order.amount.minor, total: order.paid.minor, currency },
        };
        let answer: RefundAnswer = self.link.post("/v3/refund/domestic/refunds", &request).await?.settled()?;
        if answer.transaction_id != request.transaction_id || answer.amount.total != request.amount.total {
            return Err(ChannelError::BadAnswer("it answers another request"));
        }
        refund_answer(&order.request_no, &order.payment.request_no, order.amount, answer)
    }

    async fn query_refund(&self, refund: &Asked, payment: &Asked, amount: Money) -> Result<Option<TransferWord>, ChannelError> {
        let target = format!("/v3/refund/domestic/refunds/{}", segment(&refund.request_no)?);
        let answer = self.link.get(&target).await?.found()?;
        answer.map(|answer| refund_answer(&refund.request_no, &payment.request_no, amount, answer)).transpose()
    }

    fn refund_closed(&self, said: &str) -> bool {
        code::refund_closed(said)
    }

    fn hear(&self, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Heard, HearError> {
        self.link.verify_notice(headers, body, now).map_err(|_| HearError::Signature)?;
        let notice: Notice = read(body)?;
        let named = |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if !named(&notice.id) || !named(&notice.event_type) {
            return Err(HearError::Malformed);
        }
        // WeChat signs for every merchant with the same keys: only what was sealed with our API v3 key is ours
        let content = self.link.api_key().open(&notice.resource).ok_or(HearError::Foreign)?;
        let spoken = match notice.event_type.as_str() {
            event::PAID => {
                let transaction: Transaction = read(&content)?;
                if !self.belongs(&transaction) {
                    return Err(HearError::Foreign);
                }
                let request_no = transaction.out_trade_no.clone();
                Spoken::Payment { request_no, word: payment_word(transaction).map_err(|_| HearError::Malformed)? }
            }
            event::REFUNDED | event::REFUND_ABNORMAL | event::REFUND_CLOSED => {
                let refund: RefundNotice = read(&content)?;
                if refund.mchid != self.mchid {
                    return Err(HearError::Foreign);
                }
                let word = refund_word(refund.refund_status, refund.success_time).map_err(|_| HearError::Malformed)?;
                Spoken::Refund { request_no: refund.out_refund_no, amount_minor: refund.amount.refund, currency: CNY.to_owned(), word }
            }
            _ => Spoken::Other { kind: notice.event_type },
        };
        Ok(Heard { notice_id: notice.id, spoken })
    }

    fn reply(&self, stored: bool) -> Reply {
        if stored {
            return Reply { status: StatusCode::NO_CONTENT, content_type: "application/json", body: String::new() };
        }
        let body = r#"{"code":"FAIL","message":"not stored, send it again"}"#.to_owned();
        Reply { status: StatusCode::INTERNAL_SERVER_ERROR, content_type: "application/json", body }
    }

    fn fault(&self, code: &str) -> Fault {
        code::fault(code)
    }

    fn divider(&self) -> Option<&dyn Divider> {
        Some(self)
    }
}

/// A number of ours as a piece of a path.
fn segment(number: &str) -> Result<&str, ChannelError> {
    let fits = (1..=64).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits { Ok(number) } else { Err(ChannelError::BadAnswer("the number cannot stand in a path")) }
}

/// As many whole characters as fit into this many bytes.
fn first_bytes(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, HearError> {
    serde_json::from_slice(body).map_err(|_| HearError::Malformed)
}

/// "交易状态": a payment that was refunded since is still a payment that succeeded.
fn payment_word(transaction: Transaction) -> Result<PaymentWord, &'static str> {
    Ok(match transaction.trade_state {
        TradeState::NotPay | TradeState::UserPaying | TradeState::Accept => PaymentWord::Pending,
        TradeState::Success | TradeState::Refund => {
            let amount = transaction.amount.ok_or("a success without its amount")?;
            PaymentWord::Succeeded {
                transaction_id: transaction.transaction_id.ok_or("a success without its transaction")?,
                amount_minor: amount.total,
                currency: amount.currency,
                at: transaction.success_time.ok_or("a success without its time")?,
            }
        }
        TradeState::Closed | TradeState::Revoked => PaymentWord::Closed,
        TradeState::PayError => PaymentWord::Failed { code: code::PAY_ERROR.to_owned() },
    })
}

/// "退款状态". What is abnormal has not reached the payer and, by this way, will not.
fn refund_word(status: RefundStatus, success_time: Option<DateTime<Utc>>) -> Result<TransferWord, &'static str> {
    Ok(match status {
        RefundStatus::Processing => TransferWord::Accepted,
        RefundStatus::Success => TransferWord::Succeeded { at: success_time.ok_or("a success without its time")? },
        RefundStatus::Closed => TransferWord::Failed { code: code::REFUND_CLOSED.to_owned() },
        RefundStatus::Abnormal => TransferWord::Failed { code: code::ABNORMAL.to_owned() },
    })
}

/// An answer about this refund of this payment.
fn refund_answer(refund_no: &str, payment_no: &str, amount: Money, answer: RefundAnswer) -> Result<TransferWord, ChannelError> {
    if answer.out_refund_no != refund_no || answer.out_trade_no != payment_no {
        return Err(ChannelError::BadAnswer("it answers another request"));
    }
    same_amount(amount, answer.amount.refund, &answer.amount.currency)?;
    refund_word(answer.status, answer.success_time).map_err(ChannelError::BadAnswer)
}

#[cfg(test)]
mod tests;
