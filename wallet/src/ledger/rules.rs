//! The decision about a batch of postings: pure, over accounts that are locked. What it plans is written as it stands.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::account::AccountName;
use super::error::Rejection;
use super::posting::{Leg, Posted, Posting, PostingKind};
use crate::base::id::{AccountId, BookId, PostingId};
use crate::base::money::{Currency, Money};

/// An account as it stands under its lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub book: BookId,
    pub id: AccountId,
    pub name: AccountName,
    pub balance_minor: i64,
    pub ceiling_minor: Option<i64>,
    /// Number of the last entry.
    pub seq: i64,
}

/// An entry to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlannedEntry {
    pub book: BookId,
    pub account: AccountId,
    pub seq: i64,
    pub posting: PostingId,
    pub line: i16,
    pub amount_minor: i64,
    pub balance_after_minor: i64,
}

/// What to write for a batch, and what to tell each of its members.
#[derive(Debug)]
pub struct Plan {
    /// The accepted postings, as places in the input, with their ids.
    pub accepted: Vec<(usize, PostingId)>,
    pub entries: Vec<PlannedEntry>,
    /// The accounts that took entries, as they stand afterwards.
    pub touched: Vec<Account>,
    /// One outcome per input, in its order.
    pub outcomes: Vec<Result<Posted, Rejection>>,
}

/// What makes a posting the same posting.
pub type Identity = (BookId, PostingKind, Uuid);

pub fn identity(posting: &Posting) -> Identity {
    (posting.book, posting.kind, posting.reference)
}

/// Decides a batch in input order. Each member sees the effect of the members accepted before it; a rejected one leaves no trace.
pub fn decide(
    postings: &[Posting],
    mut accounts: Vec<Account>,
    already_posted: HashSet<Identity>,
    mut next_id: impl FnMut() -> PostingId,
) -> Plan {
    let before: Vec<i64> = accounts.iter().map(|a| a.seq).collect();
    let places = places(postings, &accounts);
    let mut posted = already_posted;
    let (mut accepted, mut entries, mut outcomes) = (Vec::new(), Vec::new(), Vec::with_capacity(postings.len()));
    for (index, (posting, places)) in postings.iter().zip(&places).enumerate() {
        let first_entry = entries.len();
        let id = next_id();
        let outcome = check(posting, &posted).and_then(|()| apply(posting, id, places, &mut accounts, &mut entries));
        match outcome {
            Ok(()) => {
                posted.insert(identity(posting));
                accepted.push((index, id));
                outcomes.push(Ok(Posted { posting: id }));
            }
            Err(rejection) => {
                undo(&mut accounts, places, &entries.split_off(first_entry));
                outcomes.push(Err(rejection));
            }
        }
    }
    let touched = accounts.into_iter().zip(before).filter(|(account, seq)| account.seq != *seq).map(|(account, _)| account).collect();
    Plan { accepted, entries, touched, outcomes }
}

/// Where the account of each leg stands among the locked ones; none where it is missing. One row per posting.
fn places(postings: &[Posting], accounts: &[Account]) -> Vec<Vec<Option<usize>>> {
    let by_name: HashMap<_, usize> =
        accounts.iter().enumerate().map(|(place, a)| ((a.book, a.name.kind, a.name.subject.as_str(), a.name.currency), place)).collect();
    let place = |book, leg: &Leg| by_name.get(&(book, leg.account, leg.subject.as_str(), leg.amount.currency)).copied();
    postings.iter().map(|posting| posting.legs.iter().map(|leg| place(posting.book, leg)).collect()).collect()
}

/// What can be said without looking at a balance: new, at least two legs, none zero, each currency sums to zero.
fn check(posting: &Posting, posted: &HashSet<Identity>) -> Result<(), Rejection> {
    if posted.contains(&identity(posting)) {
        return Err(Rejection::AlreadyPosted);
    }
    let mut sums: Vec<(Currency, i128)> = Vec::with_capacity(1);
    for leg in &posting.legs {
        let minor = i128::from(leg.amount.minor);
        match sums.iter_mut().find(|(currency, _)| *currency == leg.amount.currency) {
            Some((_, sum)) => *sum += minor,
            None => sums.push((leg.amount.currency, minor)),
        }
    }
    let sound = posting.legs.len() >= 2 && posting.legs.iter().all(|leg| leg.amount.minor != 0) && sums.iter().all(|(_, sum)| *sum == 0);
    if sound { Ok(()) } else { Err(Rejection::Unbalanced) }
}

/// Takes the legs to their accounts. On a rejection the legs before it stay applied, for [`undo`] to take back.
fn apply(
    posting: &Posting,
    id: PostingId,
    places: &[Option<usize>],
    accounts: &mut [Account],
    entries: &mut Vec<PlannedEntry>,
) -> Result<(), Rejection> {
    for ((leg, place), line) in posting.legs.iter().zip(places).zip(1_i16..) {
        let account = &mut accounts[place.ok_or(Rejection::AccountMissing)?];
        let balance = account.balance_minor.checked_add(leg.amount.minor).ok_or(Rejection::Overflow)?;
        if let Some(ceiling) = account.ceiling_minor
            && leg.amount.minor > 0
            && balance > ceiling
        {
            let available = Money { minor: ceiling.saturating_sub(account.balance_minor).max(0), currency: leg.amount.currency };
            return Err(Rejection::AmountExceedsBalance { account: leg.account, available });
        }
        account.balance_minor = balance;
        account.seq += 1;
        entries.push(PlannedEntry {
            book: posting.book,
            account: account.id,
            seq: account.seq,
            posting: id,
            line,
            amount_minor: leg.amount.minor,
            balance_after_minor: balance,
        });
    }
    Ok(())
}

/// Takes back the legs that went through before one was rejected.
fn undo(accounts: &mut [Account], places: &[Option<usize>], applied: &[PlannedEntry]) {
    for (place, entry) in places.iter().flatten().zip(applied) {
        accounts[*place].balance_minor -= entry.amount_minor;
        accounts[*place].seq -= 1;
    }
}
