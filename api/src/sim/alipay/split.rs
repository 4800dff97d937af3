//! Splits (分账): taken in, under way until they are asked about for the first time, then carried out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use wallet::channel::alipay::wire::{
    BindAnswer, BindContent, BoundPayee, RoyaltyDetail, SettleAnswer, SettleContent, SettleQueryAnswer, SettleQueryContent, code,
    read_yuan, time_text,
};
use wallet::channel::sandbox::wire::PaymentStatus;

use super::super::truth::{Shared, Truth};
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
    /// Payees that a profile lets go without their share.
    missed: HashSet<String>,
}

impl Split {
    /// A payee whose number ends with `0001` cannot be paid.
    fn fails(&self, payee: &str) -> bool {
        payee.ends_with("0001") || self.missed.contains(payee)
    }

    /// What its payees have, or will have.
    fn given_minor(&self) -> i64 {
        let parts = self.asked.royalty_parameters.iter();
        parts.filter(|part| !(self.done && self.fails(&part.trans_in))).filter_map(|part| read_yuan(&part.amount)).sum()
    }

    fn finishes(&self) -> bool {
        self.asked.extend_params.royalty_finish == "true"
    }
}

/// Payees are bound by being named.
pub fn bind(asked: &BindContent) -> Said {
    let sound = |payee: &BoundPayee| payee.kind == "userId" && payee.account.starts_with("2088") && !payee.name.is_empty();
    let bound = !asked.receiver_list.is_empty() && asked.receiver_list.iter().all(sound);
    if bound { said(BindAnswer { result_code: "SUCCESS".to_owned() }) } else { Err(Refusal::Business("ACQ.INVALID_PARAMETER")) }
}

/// What became of every share, and what was freed.
pub fn truth(splits: &Splits) -> Vec<Truth> {
    let mut truth = Vec::new();
    for (number, split) in splits {
        let shared = Shared {
            party: Party::Alipay,
            what: "SHARE",
            request_no: number,
            transaction_id: &split.asked.trade_no,
            account: None,
            amount_minor: 0,
            moved: true,
        };
        for part in &split.asked.royalty_parameters {
            let (account, moved) = (Some(part.trans_in.as_str()), !split.fails(&part.trans_in));
            truth.push(Shared { account, amount_minor: read_yuan(&part.amount).unwrap_or_default(), moved, ..shared.clone() }.truth());
        }
        if split.finishes() {
            truth.push(Shared { what: "FREED", ..shared.clone() }.truth());
        }
    }
    truth.sort_by(|a, b| (&a.request_no, &a.account).cmp(&(&b.request_no, &b.account)));
    truth
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
    let of_trade = || splits.values().filter(|split| split.asked.trade_no == asked.trade_no);
    let earlier: i64 = of_trade().map(Split::given_minor).sum();
    if of_trade().any(Split::finishes) {
        return Err(Refusal::Business("ACQ.ILLEGAL_SETTLE_STATE"));
    }
    if parts > left - earlier {
        return Err(Refusal::Business(code::ALLOC_AMOUNT_VALIDATE_ERROR));
    }
    if splits.len() >= SPLITS_MAX {
        return Err(Refusal::Unavailable);
    }
    let settle_no = format!("S{}", uuid::Uuid::now_v7().simple());
    let said = said(answer(&asked.trade_no, &settle_no));
    let payees = asked.royalty_parameters.iter().map(|part| part.trans_in.clone());
    let missed = payees.filter(|payee| !sim.chaos.share_arrives(Party::Alipay, &asked.out_request_no, payee)).collect();
    // what only frees the rest is done at once
    let done = asked.royalty_parameters.is_empty();
    splits.insert(asked.out_request_no.clone(), Split { asked, settle_no, taken_at: sim.clock.now(), done, missed });
    said
}

/// The sum of all parts, in fen. Only what frees the rest may have none.
fn amount(asked: &SettleContent) -> Option<i64> {
    let finishes = asked.extend_params.royalty_finish == "true";
    let sum = asked.royalty_parameters.iter().map(|part| read_yuan(&part.amount)).sum::<Option<i64>>();
    sum.filter(|sum| *sum > 0 || (finishes && asked.royalty_parameters.is_empty()))
}

pub fn settled(sim: &Arc<Sim>, splits: &mut Splits, asked: &SettleQueryContent) -> Said {
    let split = splits.get_mut(&asked.out_request_no).filter(|split| split.asked.trade_no == asked.trade_no);
    let split = split.ok_or(Refusal::Business(code::TRADE_NOT_EXIST))?;
    let done = std::mem::replace(&mut split.done, true);
    let split = &*split;
    let part = |part: &wallet::channel::alipay::wire::RoyaltyPart| {
        let fails = split.fails(&part.trans_in);
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
