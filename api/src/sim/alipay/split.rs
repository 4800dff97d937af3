//! Splits (分账): taken in, under way until they are asked about for the first time, then carried out. What payees give back they give back
//! with a refund, out of what they got of the same trade.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wallet::channel::alipay::wire::{
    BindAnswer, BindContent, BoundPayee, RefundContent, RefundRoyalty, RefundRoyaltyResult, RoyaltyDetail, SettleAnswer, SettleContent,
    SettleQueryAnswer, SettleQueryContent, code, read_yuan, time_text, yuan_text,
};
use wallet::channel::sandbox::wire::{PaymentStatus, TransferStatus};

use super::super::book::Book;
use super::super::record::{Line, Payment, Refund};
use super::super::truth::{Shared, Truth};
use super::super::{Party, Sim};
use super::trade::refusal;
use super::{Refusal, SELLER_ID, Said, said};

const ME: Party = Party::Alipay;

/// Splits that are remembered.
const SPLITS_MAX: usize = 10_000;

/// Where a refund's record keeps what payees gave back with it.
pub const BACKS: &str = "backs";

/// Said of a payee that cannot give its share back.
const SHORT: &str = "TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH";

const INVALID: Refusal = Refusal::Business("ACQ.INVALID_PARAMETER");

/// All splits by their numbers.
#[derive(Debug, Default)]
pub struct Splits(HashMap<String, Split>);

impl Splits {
    pub fn keep(&mut self, split: Split) {
        self.0.insert(split.asked.out_request_no.clone(), split);
    }

    fn of_trade(&self, trade_no: &str) -> impl Iterator<Item = &Split> {
        self.0.values().filter(move |split| split.asked.trade_no == trade_no)
    }
}

/// A split as it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Split {
    asked: SettleContent,
    settle_no: String,
    taken_at: DateTime<Utc>,
    /// Whether it was carried out.
    done: bool,
    /// Payees that a profile lets go without their share.
    missed: BTreeSet<String>,
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

    /// What a payee got by it.
    fn got_minor(&self, payee: &str) -> i64 {
        let parts = self.asked.royalty_parameters.iter().filter(|part| part.trans_in == payee);
        if self.done && !self.fails(payee) { parts.filter_map(|part| read_yuan(&part.amount)).sum() } else { 0 }
    }

    fn finishes(&self) -> bool {
        self.asked.extend_params.royalty_finish == "true"
    }
}

/// What a payee gave back with a refund, or was to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Back {
    payee: String,
    amount_minor: i64,
    /// Why it did not.
    error_code: Option<String>,
}

impl Back {
    /// As the refund's query tells it.
    pub fn result(&self) -> RefundRoyaltyResult {
        RefundRoyaltyResult {
            refund_amount: yuan_text(self.amount_minor),
            royalty_type: "transfer".to_owned(),
            result_code: self.error_code.clone().unwrap_or_else(|| "SUCCESS".to_owned()),
            trans_out: self.payee.clone(),
        }
    }
}

/// What payees gave back with a refund.
pub fn backs_of(refund: &Refund) -> Vec<Back> {
    serde_json::from_value(refund.extra[BACKS].clone()).unwrap_or_default()
}

/// Whether a refund asks for just this back.
pub fn same(backs: &[Back], asked: &RefundContent) -> bool {
    let given = backs.iter().map(|back| (back.payee.as_str(), Some(back.amount_minor)));
    given.eq(asked.refund_royalty_parameters.iter().map(|part| (part.trans_out.as_str(), read_yuan(&part.amount))))
}

/// What a new refund takes back from payees: at most what they got of its trade and have not given back, and at most what it refunds.
pub fn take_back(sim: &Sim, book: &Book, payment: &Payment, asked: &RefundContent) -> Result<Vec<Back>, Refusal> {
    if asked.refund_royalty_parameters.is_empty() {
        return Ok(Vec::new());
    }
    let earlier: Vec<Back> = book.refunds_of(ME, &payment.request.request_no).flat_map(backs_of).collect();
    let mut backs: Vec<Back> = Vec::new();
    for part in &asked.refund_royalty_parameters {
        let RefundRoyalty { royalty_type, trans_out, trans_out_type, trans_in, trans_in_type, amount, .. } = part;
        let sound = royalty_type == "transfer" && trans_out_type == "userId" && trans_in_type == "userId" && trans_in == SELLER_ID;
        let amount_minor = read_yuan(amount).filter(|_| sound && backs.iter().all(|back| back.payee != *trans_out)).ok_or(INVALID)?;
        let got: i64 = book.alipay_splits().of_trade(&payment.transaction_id).map(|split| split.got_minor(trans_out)).sum();
        let gone: i64 = earlier.iter().filter(|b| b.payee == *trans_out && b.error_code.is_none()).map(|b| b.amount_minor).sum();
        if amount_minor > got - gone {
            return Err(Refusal::Business(code::ALLOC_AMOUNT_VALIDATE_ERROR));
        }
        let short = !sim.chaos.share_comes_back(ME, &asked.out_request_no, trans_out);
        backs.push(Back { payee: trans_out.clone(), amount_minor, error_code: short.then(|| SHORT.to_owned()) });
    }
    if backs.iter().map(|back| back.amount_minor).sum::<i64>() > read_yuan(&asked.refund_amount).ok_or(INVALID)? {
        return Err(Refusal::Business(code::ALLOC_AMOUNT_VALIDATE_ERROR));
    }
    Ok(backs)
}

/// Payees are bound by being named.
pub fn bind(asked: &BindContent) -> Said {
    let sound = |payee: &BoundPayee| payee.kind == "userId" && payee.account.starts_with("2088") && !payee.name.is_empty();
    let bound = !asked.receiver_list.is_empty() && asked.receiver_list.iter().all(sound);
    if bound { said(BindAnswer { result_code: "SUCCESS".to_owned() }) } else { Err(INVALID) }
}

/// What became of every share, what was freed, and what came back with refunds.
pub fn truth<'r>(splits: &Splits, refunds: impl Iterator<Item = &'r Refund>) -> Vec<Truth> {
    let mut truth = Vec::new();
    for (number, split) in &splits.0 {
        let shared = Shared {
            party: ME,
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
    for refund in refunds.filter(|refund| refund.party == ME && refund.status == TransferStatus::Succeeded) {
        for back in backs_of(refund) {
            let (request_no, transaction_id) = (refund.request.request_no.as_str(), refund.transaction_id.as_str());
            let (account, moved) = (Some(back.payee.as_str()), back.error_code.is_none());
            let shared =
                Shared { party: ME, what: "SHARE_BACK", request_no, transaction_id, account, amount_minor: back.amount_minor, moved };
            truth.push(shared.truth());
        }
    }
    truth.sort_by(|a, b| (&a.request_no, &a.account).cmp(&(&b.request_no, &b.account)));
    truth
}

pub fn settle(sim: &Arc<Sim>, asked: SettleContent) -> Said {
    let answer = |trade_no: &str, settle_no: &str| SettleAnswer { trade_no: trade_no.to_owned(), settle_no: settle_no.to_owned() };
    let mut book = sim.book();
    let splits = book.alipay_splits();
    if let Some(known) = splits.0.get(&asked.out_request_no) {
        return if known.asked == asked {
            said(answer(&asked.trade_no, &known.settle_no))
        } else {
            Err(Refusal::Business(code::DISCORDANT_REPEAT_REQUEST))
        };
    }
    let parts = amount(&asked).ok_or(INVALID)?;
    let payment = book.payment_of(&asked.trade_no).filter(|payment| payment.party == ME);
    let payment = payment.ok_or(Refusal::Business(code::TRADE_NOT_EXIST))?;
    let refused = asked.extend_params.royalty_finish == "true" && sim.chaos.finish_refused(ME, &asked.out_request_no);
    if refused || payment.status != PaymentStatus::Succeeded || splits.of_trade(&asked.trade_no).any(Split::finishes) {
        return Err(Refusal::Business("ACQ.ILLEGAL_SETTLE_STATE"));
    }
    let backs = book.refunds_of(ME, &payment.request.request_no).flat_map(backs_of);
    let back: i64 = backs.filter(|back| back.error_code.is_none()).map(|back| back.amount_minor).sum();
    let left = payment.request.amount_minor - book.refunded_minor(ME, &payment.request.request_no);
    let earlier: i64 = splits.of_trade(&asked.trade_no).map(Split::given_minor).sum();
    if parts > left - (earlier - back) {
        return Err(Refusal::Business(code::ALLOC_AMOUNT_VALIDATE_ERROR));
    }
    if splits.0.len() >= SPLITS_MAX {
        return Err(Refusal::Unavailable);
    }
    let settle_no = format!("S{}", uuid::Uuid::now_v7().simple());
    let said = said(answer(&asked.trade_no, &settle_no));
    let payees = asked.royalty_parameters.iter().map(|part| part.trans_in.clone());
    let missed = payees.filter(|payee| !sim.chaos.share_arrives(ME, &asked.out_request_no, payee)).collect();
    // what only frees the rest is done at once
    let done = asked.royalty_parameters.is_empty();
    let split = Split { asked, settle_no, taken_at: sim.clock.now(), done, missed };
    book.keep_split(Line::AlipaySplit(split)).map_err(refusal)?;
    said
}

/// The sum of all parts, in fen. Only what frees the rest may have none.
fn amount(asked: &SettleContent) -> Option<i64> {
    let finishes = asked.extend_params.royalty_finish == "true";
    let sum = asked.royalty_parameters.iter().map(|part| read_yuan(&part.amount)).sum::<Option<i64>>();
    sum.filter(|sum| *sum > 0 || (finishes && asked.royalty_parameters.is_empty()))
}

pub fn settled(sim: &Arc<Sim>, asked: &SettleQueryContent) -> Said {
    let mut book = sim.book();
    let split = book.alipay_splits().0.get(&asked.out_request_no).filter(|split| split.asked.trade_no == asked.trade_no);
    let split = split.ok_or(Refusal::Business(code::TRADE_NOT_EXIST))?.clone();
    let done = split.done;
    if !done {
        book.keep_split(Line::AlipaySplit(Split { done: true, ..split.clone() })).map_err(refusal)?;
    }
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
