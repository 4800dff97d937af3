//! Splits (分账): taken in, under way until they are asked about for the first time, then carried out.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use wallet::channel::alipay::wire::{
    RoyaltyDetail, SettleAnswer, SettleContent, SettleQueryAnswer, SettleQueryContent, code, read_yuan, time_text,
};
use wallet::channel::sandbox::wire::PaymentStatus;

use super::super::{Party, Sim};
use super::{Refusal, Said, said};

/// Splits that are remembered.
const SPLITS_MAX: usize = 10_000;

/// All splits by their numbers.
pub type Splits = HashMap<String, Split>;

/// A split as it was asked for.
#[derive(Debug)]
pub struct Split {
    asked: SettleContent,
    settle_no: String,
    taken_at: DateTime<Utc>,
    /// Whether it was carried out.
    done: bool,
}

pub fn settle(sim: &Arc<Sim>, splits: &mut Splits, asked: SettleContent) -> Said {
    let answer = |trade_no: &str, settle_no: &str| SettleAnswer { trade_no: trade_no.to_owned(), settle_no: settle_no.to_owned() };
    if let Some(known) = splits.get(&asked.out_request_no) {
        return if known.asked == asked {
            said(answer(&asked.trade_no, &known.settle_no))
        } else {
            Err(Refusal::Business(code::DISCORDANT_REPEAT_REQUEST))
        };
    }
    let parts = amount(&asked).ok_or(Refusal::Business("ACQ.INVALID_PARAMETER"))?;
    let left = {
        let book = sim.book();
        let payment = book.payment_of(&asked.trade_no).filter(|payment| payment.party == Party::Alipay);
        let payment = payment.ok_or(Refusal::Business(code::TRADE_NOT_EXIST))?;
        if payment.status != PaymentStatus::Succeeded {
            return Err(Refusal::Business("ACQ.ILLEGAL_SETTLE_STATE"));
        }
        payment.request.amount_minor - book.refunded_minor(Party::Alipay, &payment.request.request_no)
    };
    let earlier: i64 =
        splits.values().filter(|split| split.asked.trade_no == asked.trade_no).filter_map(|split| amount(&split.asked)).sum();
    if parts > left - earlier {
        return Err(Refusal::Business(code::ALLOC_AMOUNT_VALIDATE_ERROR));
    }
    if splits.len() >= SPLITS_MAX {
        return Err(Refusal::Unavailable);
    }
    let settle_no = format!("S{}", uuid::Uuid::now_v7().simple());
    let said = said(answer(&asked.trade_no, &settle_no));
    splits.insert(asked.out_request_no.clone(), Split { asked, settle_no, taken_at: sim.clock.now(), done: false });
    said
}

/// The sum of all parts, in fen.
fn amount(asked: &SettleContent) -> Option<i64> {
    asked.royalty_parameters.iter().map(|part| read_yuan(&part.amount)).sum::<Option<i64>>().filter(|sum| *sum > 0)
}

/// A payee whose number ends with `0001` cannot be paid.
pub fn settled(sim: &Arc<Sim>, splits: &mut Splits, asked: &SettleQueryContent) -> Said {
    let split = splits.get_mut(&asked.out_request_no).filter(|split| split.asked.trade_no == asked.trade_no);
    let split = split.ok_or(Refusal::Business(code::TRADE_NOT_EXIST))?;
    let done = std::mem::replace(&mut split.done, true);
    let part = |part: &wallet::channel::alipay::wire::RoyaltyPart| {
        let fails = part.trans_in.ends_with("0001");
        let state = if !done {
            "PROCESSING"
        } else if fails {
            "FAIL"
        } else {
            "SUCCESS"
        };
        RoyaltyDetail {
            operation_type: part.royalty_type.clone(),
            trans_in: part.trans_in.clone(),
            amount: part.amount.clone(),
            state: state.to_owned(),
            execute_dt: done.then(|| time_text(sim.clock.now())),
            error_code: (done && fails).then(|| "TXN_RESULT_ACCOUNT_STATUS_NOT_VALID".to_owned()),
        }
    };
    said(SettleQueryAnswer {
        out_request_no: asked.out_request_no.clone(),
        operation_dt: time_text(split.taken_at),
        royalty_detail_list: split.asked.royalty_parameters.iter().map(part).collect(),
    })
}
