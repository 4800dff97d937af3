//! Splitting a paid trade among payees (分账): asked for once per number, carried out later, the results asked for part by part.
//!
//! How much may be split and until when are rules of the planner. Here a split is only carried to Alipay and back.
//!
//! A split without parts that is the last frees the rest ("也可不传入分账条款，只传入分账完结标识"). Shares come back with a refund alone, which
//! says from whom and how much ("须在退款请求中明确是否退分账，从哪个分账收入方退，退多少分账金额"). A payee that cannot give its share back does not stop
//! the refund: the seller gives it, and the refund's query says so payee by payee.

use std::fmt;

use async_trait::async_trait;

use crate::channel::ChannelError;
use crate::channel::acquirer::{Method, TransferWord};
use crate::channel::divider::{
    Asked, Caps, Divider, Division, DivisionWord, GiveBack, Receiver, RefundAsked, Share, ShareOutcome, ShareWord,
};

use super::gateway::Unanswered;
use super::wire::{
    BindAnswer, BindContent, BoundPayee, RefundRoyalty, RefundRoyaltyResult, RoyaltyDetail, RoyaltyPart, SettleAnswer, SettleContent,
    SettleExtend, SettleQueryAnswer, SettleQueryContent, code, method, read_time, read_yuan, status, yuan_text,
};
use super::{Alipay, fault};

/// One payee's share. Who it is never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SplitPart {
    /// The payee's Alipay user id (2088…), bound to us before.
    pub payee: String,
    pub amount_minor: i64,
    pub description: String,
}

impl fmt::Debug for SplitPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitPart").field("amount_minor", &self.amount_minor).finish_non_exhaustive()
    }
}

/// A split to be asked for. The same number with the same content is carried out once.
#[derive(Clone, Debug)]
pub struct SplitOrder {
    pub request_no: String,
    /// Alipay's own id of the payment.
    pub transaction_id: String,
    pub parts: Vec<SplitPart>,
    /// Whether this is the last split, so that what is left is freed.
    pub finish: bool,
}

/// Where one part of a split stands. Who is paid never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SplitPartState {
    pub payee: String,
    pub amount_minor: i64,
    pub word: TransferWord,
}

impl fmt::Debug for SplitPartState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitPartState").field("amount_minor", &self.amount_minor).field("word", &self.word).finish_non_exhaustive()
    }
}

impl Alipay {
    /// Asks for a split. Safe to repeat. Gives Alipay's number of it: it was taken in, not carried out.
    pub async fn settle(&self, order: &SplitOrder) -> Result<String, ChannelError> {
        let royalty_parameters = order
            .parts
            .iter()
            .map(|part| RoyaltyPart {
                royalty_type: "transfer".to_owned(),
                trans_in_type: "userId".to_owned(),
                trans_in: part.payee.clone(),
                amount: yuan_text(part.amount_minor),
                desc: part.description.clone(),
            })
            .collect();
        let content = SettleContent {
            out_request_no: order.request_no.clone(),
            trade_no: order.transaction_id.clone(),
            royalty_parameters,
            extend_params: SettleExtend { royalty_finish: order.finish.to_string() },
            royalty_mode: "async".to_owned(),
        };
        let answer: SettleAnswer = self.gateway.call(method::SETTLE, &content).await.map_err(Unanswered::refusal)?;
        if answer.trade_no != order.transaction_id {
            return Err(ChannelError::BadAnswer("it is about another trade"));
        }
        Ok(answer.settle_no)
    }

    /// Asks where a split stands, part by part. None: Alipay does not know the number.
    pub async fn query_settle(&self, request_no: &str, transaction_id: &str) -> Result<Option<Vec<SplitPartState>>, ChannelError> {
        let content = SettleQueryContent { out_request_no: request_no.to_owned(), trade_no: transaction_id.to_owned() };
        let answer: SettleQueryAnswer = match self.gateway.call(method::SETTLE_QUERY, &content).await {
            Ok(answer) => answer,
            Err(Unanswered::Said(said)) if said == code::TRADE_NOT_EXIST => return Ok(None),
            Err(other) => return Err(other.question()),
        };
        if answer.out_request_no != request_no {
            return Err(ChannelError::BadAnswer("it is about another split"));
        }
        let parts = answer.royalty_detail_list.iter().filter(|part| part.operation_type == "transfer");
        parts.map(|part| state(part, &answer.operation_dt)).collect::<Result<_, _>>().map(Some)
    }
}

impl Alipay {
    /// What a payee gives back with a refund.
    pub(super) fn royalty_back(&self, share: &Share) -> RefundRoyalty {
        RefundRoyalty {
            royalty_type: "transfer".to_owned(),
            trans_out: share.account.clone(),
            trans_out_type: "userId".to_owned(),
            trans_in: self.seller_id.clone(),
            trans_in_type: "userId".to_owned(),
            amount: yuan_text(share.amount_minor),
            desc: BACK.to_owned(),
        }
    }
}

/// What stands on the payee's bill.
const DESCRIPTION: &str = "分账";
const BACK: &str = "退分账";
/// Most payees of one split that is carried out later ("异步分账").
const RECEIVERS_MAX: usize = 50;
/// Requests in a second for one seller ("单个卖家请求频率最高 30 TPS").
const CALLS_PER_S: u32 = 30;
/// Of a payment face to face (当面付) a refund takes back from receivers what Alipay works out, whatever it names ("不支持指定退款金额与退款方").
pub(super) const DIVIDED: &[Method] = &[Method::Page, Method::Wap];
/// Days that the money stays frozen; then Alipay frees it by itself.
const FROZEN_DAYS: u16 = 30;

#[async_trait]
impl Divider for Alipay {
    fn caps(&self) -> Caps {
        Caps {
            methods: DIVIDED,
            receivers_max: RECEIVERS_MAX,
            calls_per_s: CALLS_PER_S,
            share_max_bps: self.share_max_bps,
            frozen_days: FROZEN_DAYS,
            returns: false,
        }
    }

    fn payee_no(&self) -> &str {
        &self.seller_id
    }

    fn is_account(&self, account: &str) -> bool {
        account.len() == 16 && account.starts_with("2088") && account.bytes().all(|b| b.is_ascii_digit()) && account != self.seller_id
    }

    async fn introduce(&self, receiver: &Receiver) -> Result<(), ChannelError> {
        let payee = BoundPayee { kind: "userId".to_owned(), account: receiver.account.clone(), name: receiver.name.clone() };
        // the same payee is bound once, whatever the number
        let content = BindContent { out_request_no: uuid::Uuid::now_v7().simple().to_string(), receiver_list: vec![payee] };
        let answer: BindAnswer = self.gateway.call(method::RELATION_BIND, &content).await.map_err(Unanswered::refusal)?;
        match answer.result_code.as_str() {
            "SUCCESS" => Ok(()),
            _ => Err(ChannelError::BadAnswer("the payee was not bound")),
        }
    }

    async fn divide(&self, division: &Division) -> Result<DivisionWord, ChannelError> {
        let part = |share: &Share| SplitPart {
            payee: share.account.clone(),
            amount_minor: share.amount_minor,
            description: DESCRIPTION.to_owned(),
        };
        let Asked { request_no, transaction_id } = division.asked.clone();
        let parts = division.shares.iter().map(part).collect();
        self.settle(&SplitOrder { request_no, transaction_id, parts, finish: false }).await?;
        Ok(DivisionWord { finished: false, shares: Vec::new() })
    }

    async fn finish(&self, asked: &Asked) -> Result<DivisionWord, ChannelError> {
        let Asked { request_no, transaction_id } = asked.clone();
        self.settle(&SplitOrder { request_no, transaction_id, parts: Vec::new(), finish: true }).await?;
        // nothing is carried out later: what was taken in has freed the rest
        Ok(DivisionWord { finished: true, shares: Vec::new() })
    }

    async fn query_division(&self, asked: &Asked) -> Result<Option<DivisionWord>, ChannelError> {
        let Some(parts) = self.query_settle(&asked.request_no, &asked.transaction_id).await? else { return Ok(None) };
        let share = |part: SplitPartState| ShareWord {
            share: Share { account: part.payee, amount_minor: part.amount_minor },
            outcome: match part.word {
                TransferWord::Accepted => ShareOutcome::Pending,
                TransferWord::Succeeded { .. } => ShareOutcome::Succeeded,
                TransferWord::Failed { code } => ShareOutcome::Failed { code },
            },
        };
        let shares: Vec<ShareWord> = parts.into_iter().map(share).collect();
        Ok(Some(DivisionWord { finished: shares.iter().all(|share| share.outcome != ShareOutcome::Pending), shares }))
    }

    async fn give_back(&self, _: &GiveBack) -> Result<TransferWord, ChannelError> {
        Err(ChannelError::Refused { code: fault::METHOD_NOT_OFFERED.to_owned() })
    }

    async fn query_back(&self, _: &GiveBack) -> Result<Option<TransferWord>, ChannelError> {
        Ok(None)
    }

    async fn query_refunded(&self, refund: &RefundAsked) -> Result<Option<Vec<ShareWord>>, ChannelError> {
        let Some(answer) = self.refund_of(&refund.request_no, &refund.payment_no).await? else { return Ok(None) };
        if answer.refund_status.as_deref() != Some(status::REFUND_SUCCESS) {
            return Ok(None);
        }
        answer.refund_royaltys.iter().map(given_back).collect::<Result<_, _>>().map(Some)
    }
}

/// The word on what one payee was to give back. What is not a success is told by its code, whatever it is: the refund is over.
fn given_back(result: &RefundRoyaltyResult) -> Result<ShareWord, ChannelError> {
    let amount_minor = read_yuan(&result.refund_amount).ok_or(ChannelError::BadAnswer("a share given back without its amount"))?;
    let outcome = match result.result_code.as_str() {
        "SUCCESS" => ShareOutcome::Succeeded,
        "PROCESSING" => ShareOutcome::Pending,
        "" => return Err(ChannelError::BadAnswer("a share given back without its result")),
        code => ShareOutcome::Failed { code: code.to_owned() },
    };
    Ok(ShareWord { share: Share { account: result.trans_out.clone(), amount_minor }, outcome })
}

fn state(part: &RoyaltyDetail, asked_at: &str) -> Result<SplitPartState, ChannelError> {
    let amount_minor = read_yuan(&part.amount).ok_or(ChannelError::BadAnswer("a part without its amount"))?;
    let word = match part.state.as_str() {
        "PROCESSING" => TransferWord::Accepted,
        "SUCCESS" => {
            let at = read_time(part.execute_dt.as_deref().unwrap_or(asked_at));
            TransferWord::Succeeded { at: at.ok_or(ChannelError::BadAnswer("a success without its time"))? }
        }
        "FAIL" => TransferWord::Failed { code: part.error_code.clone().unwrap_or_else(|| "UNKNOWN".to_owned()) },
        _ => return Err(ChannelError::BadAnswer("a part's state is not as agreed")),
    };
    Ok(SplitPartState { payee: part.trans_in.clone(), amount_minor, word })
}
