//! Splitting a paid trade among payees (分账): asked for once per number, carried out later, the results asked for part by part.
//!
//! How much may be split and until when are rules of the planner. Here a split is only carried to Alipay and back.

use std::fmt;

use crate::channel::ChannelError;
use crate::channel::acquirer::TransferWord;

use super::Alipay;
use super::gateway::Unanswered;
use super::wire::{
    RoyaltyDetail, RoyaltyPart, SettleAnswer, SettleContent, SettleExtend, SettleQueryAnswer, SettleQueryContent, code, method, read_time,
    read_yuan, yuan_text,
};

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
