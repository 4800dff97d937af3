//! Profit sharing (分账): shares of a payment that was made with `split` go to receivers, and the rest becomes the merchant's.
//!
//! A number repeated with the same content gives the same order or return. A share comes back from a merchant only, before the refund.

use async_trait::async_trait;

use super::wire::{
    AddReceiver, AddReceiverAnswer, Personal, Receiver, ReceiverType, Return, ReturnAnswer, ReturnResult, Share, ShareResult, Split,
    SplitAnswer, SplitState, Unfreeze,
};
use super::{WechatPay, code, segment};
use crate::channel::ChannelError;
use crate::channel::acquirer::{Acquirer, TransferWord};
use crate::channel::divider::{self, Caps, Divider, Division, DivisionWord, GiveBack};

/// What a receiver is to us. WeChat wants one of its own words for it ("与分账方的关系类型").
const RELATION: &str = "PARTNER";
/// What stands on the receiver's bill.
const DESCRIPTION: &str = "分账";
/// Requests in a second under one merchant number ("频率限制: 30 QPS").
const CALLS_PER_S: u32 = 30;
/// Days that the money stays frozen; then WeChat frees it by itself.
const FROZEN_DAYS: u16 = 30;

/// Most receivers of one call ("请求分账": 最多 50 个).
pub const RECEIVERS_MAX: usize = 50;

/// A split to be asked for.
#[derive(Clone, Debug)]
pub struct SplitOrder {
    pub request_no: String,
    /// WeChat's id of the payment.
    pub transaction_id: String,
    pub receivers: Vec<Receiver>,
    /// Whether what is left afterwards is the merchant's, and nothing more can be split.
    pub finish: bool,
}

/// A split as WeChat knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SplitWord {
    pub finished: bool,
    pub shares: Vec<ShareWord>,
}

/// One share of a split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareWord {
    pub kind: ReceiverType,
    pub account: Personal,
    pub amount_minor: i64,
    pub outcome: ShareOutcome,
}

pub use crate::channel::divider::ShareOutcome;

/// A return to be asked for (分账回退).
#[derive(Clone, Debug)]
pub struct ReturnOrder {
    pub request_no: String,
    /// The number of the split.
    pub split_no: String,
    /// The merchant number that had the share.
    pub from_mchid: String,
    pub amount_minor: i64,
    pub reason: String,
}

/// A receiver to be made known (添加分账接收方).
#[derive(Clone, Debug)]
pub struct NewReceiver {
    pub kind: ReceiverType,
    pub account: Personal,
    /// The company's full name for a merchant, where it must stand; for a person it is checked when given.
    pub name: Option<Personal>,
    /// What the receiver is to us, such as `SUPPLIER`.
    pub relation: String,
}

impl WechatPay {
    /// Asks for a split. Safe to repeat. More than [`RECEIVERS_MAX`] receivers are refused before anything is sent.
    pub async fn split(&self, order: &SplitOrder) -> Result<SplitWord, ChannelError> {
        if order.receivers.len() > RECEIVERS_MAX {
            return Err(ChannelError::Refused { code: code::TOO_MANY_RECEIVERS.to_owned() });
        }
        let request = Split {
            appid: self.appid.clone(),
            transaction_id: order.transaction_id.clone(),
            out_order_no: order.request_no.clone(),
            receivers: order.receivers.clone(),
            unfreeze_unsplit: order.finish,
        };
        let answer: SplitAnswer = self.link.post("/v3/profitsharing/orders", &request).await?.settled()?;
        // shares may be left out while they are under way, and what goes back to the merchant stands among them, too
        let asked_for = |r: &Receiver| answer.receivers.iter().any(|s| s.kind == r.kind && s.account == r.account && s.amount == r.amount);
        if !answer.receivers.is_empty() && !order.receivers.iter().all(asked_for) {
            return Err(ChannelError::BadAnswer("it answers another request"));
        }
        split_word(&order.request_no, &order.transaction_id, answer)
    }

    /// Asks where a split stands. None: WeChat does not know the number.
    pub async fn query_split(&self, split_no: &str, transaction_id: &str) -> Result<Option<SplitWord>, ChannelError> {
        let target = format!("/v3/profitsharing/orders/{}?transaction_id={}", segment(split_no)?, segment(transaction_id)?);
        let answer = self.link.get(&target).await?.found()?;
        answer.map(|answer| split_word(split_no, transaction_id, answer)).transpose()
    }

    /// Makes the rest of a payment the merchant's without a further share (解冻剩余资金). Safe to repeat.
    pub async fn unfreeze(&self, request_no: &str, transaction_id: &str, reason: &str) -> Result<SplitWord, ChannelError> {
        let request =
            Unfreeze { transaction_id: transaction_id.to_owned(), out_order_no: request_no.to_owned(), description: reason.to_owned() };
        let answer = self.link.post("/v3/profitsharing/orders/unfreeze", &request).await?.settled()?;
        split_word(request_no, transaction_id, answer)
    }

    /// Asks for a share to come back. Safe to repeat.
    pub async fn return_share(&self, order: &ReturnOrder) -> Result<TransferWord, ChannelError> {
        let request = Return {
            out_order_no: order.split_no.clone(),
            out_return_no: order.request_no.clone(),
            return_mchid: order.from_mchid.clone(),
            amount: order.amount_minor,
            description: order.reason.clone(),
        };
        let answer: ReturnAnswer = self.link.post("/v3/profitsharing/return-orders", &request).await?.settled()?;
        if answer.amount != order.amount_minor || answer.return_mchid != order.from_mchid {
            return Err(ChannelError::BadAnswer("it answers another request"));
        }
        return_word(&order.request_no, &order.split_no, answer)
    }

    /// Asks where a return stands. None: WeChat does not know the number.
    pub async fn query_return(&self, return_no: &str, split_no: &str) -> Result<Option<TransferWord>, ChannelError> {
        let target = format!("/v3/profitsharing/return-orders/{}?out_order_no={}", segment(return_no)?, segment(split_no)?);
        let answer = self.link.get(&target).await?.found()?;
        answer.map(|answer| return_word(return_no, split_no, answer)).transpose()
    }

    /// Makes a receiver known, as must be done once before it can have a share. Safe to repeat.
    pub async fn add_receiver(&self, receiver: &NewReceiver) -> Result<(), ChannelError> {
        let mut request = AddReceiver {
            appid: self.appid.clone(),
            kind: receiver.kind,
            account: receiver.account.clone(),
            name: None,
            relation_type: receiver.relation.clone(),
        };
        let target = "/v3/profitsharing/receivers/add";
        let said = match &receiver.name {
            Some(name) => {
                let (serial, sealed) = self.link.seal(&name.0).await?;
                request.name = Some(sealed);
                self.link.post_sealed(target, &request, &serial).await?
            }
            None => self.link.post(target, &request).await?,
        };
        let answer: AddReceiverAnswer = said.settled()?;
        let belongs = answer.kind == receiver.kind && answer.account == receiver.account;
        if belongs { Ok(()) } else { Err(ChannelError::BadAnswer("it answers another request")) }
    }
}

#[async_trait]
impl Divider for WechatPay {
    fn caps(&self) -> Caps {
        Caps {
            methods: self.methods(),
            receivers_max: RECEIVERS_MAX,
            calls_per_s: CALLS_PER_S,
            share_max_bps: self.share_max_bps,
            frozen_days: FROZEN_DAYS,
            returns: true,
        }
    }

    fn payee_no(&self) -> &str {
        &self.mchid
    }

    fn is_account(&self, account: &str) -> bool {
        (8..=10).contains(&account.len()) && account.bytes().all(|b| b.is_ascii_digit()) && account != self.mchid
    }

    async fn introduce(&self, receiver: &divider::Receiver) -> Result<(), ChannelError> {
        let new = NewReceiver {
            kind: ReceiverType::MerchantId,
            account: Personal(receiver.account.clone()),
            name: Some(Personal(receiver.name.clone())),
            relation: RELATION.to_owned(),
        };
        self.add_receiver(&new).await
    }

    async fn divide(&self, division: &Division) -> Result<DivisionWord, ChannelError> {
        let receiver = |share: &divider::Share| Receiver {
            kind: ReceiverType::MerchantId,
            account: Personal(share.account.clone()),
            amount: share.amount_minor,
            description: DESCRIPTION.to_owned(),
        };
        let order = SplitOrder {
            request_no: division.asked.request_no.clone(),
            transaction_id: division.asked.transaction_id.clone(),
            receivers: division.shares.iter().map(receiver).collect(),
            finish: false,
        };
        self.split(&order).await.map(DivisionWord::from)
    }

    async fn finish(&self, asked: &divider::Asked) -> Result<DivisionWord, ChannelError> {
        self.unfreeze(&asked.request_no, &asked.transaction_id, DESCRIPTION).await.map(DivisionWord::from)
    }

    async fn query_division(&self, asked: &divider::Asked) -> Result<Option<DivisionWord>, ChannelError> {
        Ok(self.query_split(&asked.request_no, &asked.transaction_id).await?.map(DivisionWord::from))
    }

    async fn give_back(&self, back: &GiveBack) -> Result<TransferWord, ChannelError> {
        let order = ReturnOrder {
            request_no: back.asked.request_no.clone(),
            split_no: back.division_no.clone(),
            from_mchid: back.share.account.clone(),
            amount_minor: back.share.amount_minor,
            reason: DESCRIPTION.to_owned(),
        };
        self.return_share(&order).await
    }

    async fn query_back(&self, back: &GiveBack) -> Result<Option<TransferWord>, ChannelError> {
        self.query_return(&back.asked.request_no, &back.division_no).await
    }

    async fn query_refunded(&self, _: &divider::RefundAsked) -> Result<Option<Vec<divider::ShareWord>>, ChannelError> {
        // shares come back by themselves, before the refund
        Ok(None)
    }
}

impl From<SplitWord> for DivisionWord {
    fn from(word: SplitWord) -> Self {
        let share = |s: ShareWord| divider::ShareWord {
            share: divider::Share { account: s.account.0, amount_minor: s.amount_minor },
            outcome: s.outcome,
        };
        Self { finished: word.finished, shares: word.shares.into_iter().map(share).collect() }
    }
}

/// An answer about this split of this payment.
fn split_word(split_no: &str, transaction_id: &str, answer: SplitAnswer) -> Result<SplitWord, ChannelError> {
    if answer.out_order_no != split_no || answer.transaction_id != transaction_id {
        return Err(ChannelError::BadAnswer("it answers another request"));
    }
    let shares = answer.receivers.into_iter().map(share_word).collect();
    Ok(SplitWord { finished: answer.state == SplitState::Finished, shares })
}

fn share_word(share: Share) -> ShareWord {
    let outcome = match share.result {
        ShareResult::Pending => ShareOutcome::Pending,
        ShareResult::Success => ShareOutcome::Succeeded,
        ShareResult::Closed => ShareOutcome::Failed { code: share.fail_reason.unwrap_or_else(|| "CLOSED".to_owned()) },
    };
    ShareWord { kind: share.kind, account: share.account, amount_minor: share.amount, outcome }
}

/// An answer about this return of a share of this split.
fn return_word(return_no: &str, split_no: &str, answer: ReturnAnswer) -> Result<TransferWord, ChannelError> {
    if answer.out_return_no != return_no || answer.out_order_no != split_no {
        return Err(ChannelError::BadAnswer("it answers another request"));
    }
    Ok(match answer.result {
        ReturnResult::Processing => TransferWord::Accepted,
        ReturnResult::Success => {
            TransferWord::Succeeded { at: answer.finish_time.ok_or(ChannelError::BadAnswer("a success without its time"))? }
        }
        ReturnResult::Failed => TransferWord::Failed { code: answer.fail_reason.unwrap_or_else(|| "FAILED".to_owned()) },
    })
}
