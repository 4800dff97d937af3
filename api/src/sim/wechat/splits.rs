//! Profit sharing: who may have a share, what was shared of each payment, and what came back.
//!
//! A split is in progress when it is first answered and finished whenever it is asked about. A share for an account that ends in 0001
//! does not reach it, nor one that a profile lets go astray.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wallet::channel::sandbox::wire::PaymentStatus;
use wallet::channel::wechat::split::RECEIVERS_MAX;
use wallet::channel::wechat::wire::{
    AddReceiver, AddReceiverAnswer, ReceiverType, Return, ReturnAnswer, ReturnResult, Share, ShareResult, Split, SplitAnswer, SplitState,
    Unfreeze,
};

use super::exchange::{Answer, Asked, INVALID, No, PARAM, UNKNOWN, ok};
use crate::sim::Party;
use crate::sim::book::PAYMENTS_MAX;
use crate::sim::record::Line;
use crate::sim::truth::{self, Truth};

const NOT_ENOUGH: No = No(403, "NOT_ENOUGH");

/// Who may have a share: a merchant or a person, and its account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Receiver {
    merchant: bool,
    account: String,
}

/// A split that was taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shared {
    split: Split,
    /// Receivers that a profile lets go without their share.
    missed: Vec<String>,
}

/// A share that came back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GivenBack {
    back: Return,
    at: DateTime<Utc>,
}

/// What the platform remembers of splits.
#[derive(Debug, Default)]
pub struct Splits {
    receivers: HashSet<Receiver>,
    /// By the merchant's number.
    orders: HashMap<String, Split>,
    returns: HashMap<String, (Return, DateTime<Utc>)>,
    /// Shares that a profile lets go astray: the split's number, and the receiver's account.
    missed: HashSet<(String, String)>,
    /// By payment: what went to receivers, and whether the rest is the merchant's.
    shared: HashMap<String, (i64, bool)>,
}

fn lost(account: &str) -> bool {
    account.ends_with("0001")
}

fn receiver(kind: ReceiverType, account: &str) -> Receiver {
    Receiver { merchant: kind == ReceiverType::MerchantId, account: account.to_owned() }
}

impl Splits {
    fn misses(&self, number: &str, account: &str) -> bool {
        lost(account) || self.missed.contains(&(number.to_owned(), account.to_owned()))
    }

    /// What is new of a split of a payment of this amount; none: it is known.
    fn take(&self, split: Split, missed: Vec<String>, paid_minor: i64) -> Result<Option<Shared>, No> {
        if let Some(known) = self.orders.get(&split.out_order_no) {
            return if *known == split { Ok(None) } else { Err(INVALID) };
        }
        if split.receivers.len() > RECEIVERS_MAX || split.receivers.iter().any(|r| r.amount <= 0) || self.orders.len() >= PAYMENTS_MAX {
            return Err(PARAM);
        }
        if !split.receivers.iter().all(|r| self.receivers.contains(&receiver(r.kind, &r.account.0))) {
            return Err(INVALID);
        }
        let (shared, finished) = self.shared.get(&split.transaction_id).copied().unwrap_or_default();
        let asked = split.receivers.iter().try_fold(shared, |sum, r| sum.checked_add(r.amount)).ok_or(PARAM)?;
        if finished || asked > paid_minor {
            return Err(NOT_ENOUGH);
        }
        Ok(Some(Shared { split, missed }))
    }

    pub fn keep(&mut self, Shared { split, missed }: Shared) {
        self.missed.extend(missed.into_iter().map(|account| (split.out_order_no.clone(), account)));
        let arrived = split.receivers.iter().filter(|r| !self.misses(&split.out_order_no, &r.account.0)).map(|r| r.amount).sum::<i64>();
        let (shared, finished) = self.shared.entry(split.transaction_id.clone()).or_default();
        (*shared, *finished) = (*shared + arrived, split.unfreeze_unsplit);
        self.orders.insert(split.out_order_no.clone(), split);
    }

    pub fn keep_return(&mut self, GivenBack { back, at }: GivenBack) {
        self.returns.insert(back.out_return_no.clone(), (back, at));
    }

    pub fn keep_receiver(&mut self, receiver: Receiver) {
        self.receivers.insert(receiver);
    }

    fn answer(&self, number: &str, asked: bool) -> Option<SplitAnswer> {
        let split = self.orders.get(number)?;
        let receivers = split.receivers.iter().map(|r| Share {
            kind: r.kind,
            account: r.account.clone(),
            amount: r.amount,
            result: match (asked, self.misses(number, &r.account.0)) {
                (false, _) => ShareResult::Pending,
                (true, false) => ShareResult::Success,
                (true, true) => ShareResult::Closed,
            },
            fail_reason: (asked && self.misses(number, &r.account.0)).then(|| "ACCOUNT_ABNORMAL".to_owned()),
        });
        Some(SplitAnswer {
            transaction_id: split.transaction_id.clone(),
            out_order_no: number.to_owned(),
            order_id: format!("S{number}"),
            state: if asked { SplitState::Finished } else { SplitState::Processing },
            receivers: receivers.collect(),
        })
    }

    /// What became of every share, what was freed, and what came back.
    pub fn truth(&self) -> Vec<Truth> {
        let mut truth = Vec::new();
        let party = Party::Wechat;
        for (number, split) in &self.orders {
            let shared = truth::Shared {
                party,
                what: "SHARE",
                request_no: number,
                transaction_id: &split.transaction_id,
                account: None,
                amount_minor: 0,
                moved: true,
            };
            for r in &split.receivers {
                let (account, moved) = (Some(r.account.0.as_str()), !self.misses(number, &r.account.0));
                truth.push(truth::Shared { account, amount_minor: r.amount, moved, ..shared.clone() }.truth());
            }
            if split.unfreeze_unsplit {
                truth.push(truth::Shared { what: "FREED", ..shared.clone() }.truth());
            }
        }
        for (number, (back, _)) in &self.returns {
            let transaction_id = self.orders.get(&back.out_order_no).map_or("", |split| split.transaction_id.as_str());
            let account = Some(back.return_mchid.as_str());
            let (what, request_no, amount_minor) = ("SHARE_BACK", number.as_str(), back.amount);
            truth.push(truth::Shared { party, what, request_no, transaction_id, account, amount_minor, moved: true }.truth());
        }
        truth.sort_by(|a, b| (&a.request_no, &a.account).cmp(&(&b.request_no, &b.account)));
        truth
    }

    /// What is new of a return; none: it is known.
    fn give_back(&self, back: Return, at: DateTime<Utc>) -> Result<Option<GivenBack>, No> {
        if let Some((known, _)) = self.returns.get(&back.out_return_no) {
            return if *known == back { Ok(None) } else { Err(INVALID) };
        }
        let split = self.orders.get(&back.out_order_no).ok_or(UNKNOWN)?;
        let mine = |r: &&wallet::channel::wechat::wire::Receiver| {
            r.kind == ReceiverType::MerchantId && r.account.0 == back.return_mchid && !self.misses(&back.out_order_no, &r.account.0)
        };
        let had: i64 = split.receivers.iter().filter(mine).map(|r| r.amount).sum();
        let same =
            |known: &&(Return, DateTime<Utc>)| known.0.out_order_no == back.out_order_no && known.0.return_mchid == back.return_mchid;
        let gone: i64 = self.returns.values().filter(same).map(|(known, _)| known.amount).sum();
        if back.amount <= 0 || back.amount > had - gone {
            return Err(NOT_ENOUGH);
        }
        Ok(Some(GivenBack { back, at }))
    }

    fn returned(&self, number: &str, asked: bool) -> Option<ReturnAnswer> {
        let (back, at) = self.returns.get(number)?;
        Some(ReturnAnswer {
            out_order_no: back.out_order_no.clone(),
            out_return_no: number.to_owned(),
            return_mchid: back.return_mchid.clone(),
            amount: back.amount,
            result: if asked { ReturnResult::Success } else { ReturnResult::Processing },
            fail_reason: None,
            finish_time: asked.then_some(*at),
        })
    }
}

impl Asked<'_> {
    /// What was paid, where the payment may be split.
    fn splittable(&self, transaction_id: &str) -> Result<i64, No> {
        let book = self.speaker.sim.book();
        let payment = book.payment_of(transaction_id).filter(|p| p.party == Party::Wechat).ok_or(UNKNOWN)?;
        let marked = payment.extra["split"] == true && payment.status == PaymentStatus::Succeeded;
        if marked { Ok(payment.request.amount_minor) } else { Err(INVALID) }
    }

    pub fn split(&self) -> Answer {
        let split: Split = self.read()?;
        let (paid, number) = (self.splittable(&split.transaction_id)?, split.out_order_no.clone());
        let chaos = &self.speaker.sim.chaos;
        let missed: Vec<String> = split
            .receivers
            .iter()
            .map(|r| r.account.0.clone())
            .filter(|account| !chaos.share_arrives(Party::Wechat, &number, account))
            .collect();
        self.taken(split, missed, paid, &number)
    }

    /// What was taken in before stays as it was, whatever goes wrong now.
    fn taken(&self, split: Split, missed: Vec<String>, paid: i64, number: &str) -> Answer {
        let mut book = self.speaker.sim.book();
        if let Some(new) = book.wechat_splits().take(split, missed, paid)? {
            book.keep_split(Line::WechatSplit(new))?;
        }
        ok(&book.wechat_splits().answer(number, false).ok_or(UNKNOWN)?)
    }

    pub fn unfreeze(&self) -> Answer {
        let rest: Unfreeze = self.read()?;
        let (paid, number) = (self.splittable(&rest.transaction_id)?, rest.out_order_no.clone());
        if self.speaker.sim.chaos.finish_refused(Party::Wechat, &number) {
            return Err(NOT_ENOUGH);
        }
        let split = Split {
            appid: self.speaker.wechat.merchant.appid.clone(),
            transaction_id: rest.transaction_id,
            out_order_no: rest.out_order_no,
            receivers: Vec::new(),
            unfreeze_unsplit: true,
        };
        self.taken(split, Vec::new(), paid, &number)
    }

    pub fn query_split(&self, number: &str) -> Answer {
        let transaction_id = self.parameter("transaction_id")?;
        let answer = self.speaker.sim.book().wechat_splits().answer(number, true).filter(|a| a.transaction_id == transaction_id);
        ok(&answer.ok_or(UNKNOWN)?)
    }

    pub fn return_share(&self) -> Answer {
        let (back, now): (Return, _) = (self.read()?, self.speaker.sim.clock.now());
        let number = back.out_return_no.clone();
        let mut book = self.speaker.sim.book();
        if let Some(new) = book.wechat_splits().give_back(back, now)? {
            book.keep_split(Line::WechatReturn(new))?;
        }
        ok(&book.wechat_splits().returned(&number, false).ok_or(UNKNOWN)?)
    }

    pub fn query_return(&self, number: &str) -> Answer {
        let split_no = self.parameter("out_order_no")?;
        let answer = self.speaker.sim.book().wechat_splits().returned(number, true).filter(|a| a.out_order_no == split_no);
        ok(&answer.ok_or(UNKNOWN)?)
    }

    /// A merchant has to be named.
    pub fn add_receiver(&self) -> Answer {
        let add: AddReceiver = self.read()?;
        let name = add.name.as_deref().map(|sealed| self.open(sealed)).transpose()?;
        if add.appid != self.speaker.wechat.merchant.appid || (add.kind == ReceiverType::MerchantId && name.is_none()) {
            return Err(PARAM);
        }
        let mut book = self.speaker.sim.book();
        let new = receiver(add.kind, &add.account.0);
        if !book.wechat_splits().receivers.contains(&new) {
            book.keep_split(Line::WechatReceiver(new))?;
        }
        ok(&AddReceiverAnswer { kind: add.kind, account: add.account })
    }
}
