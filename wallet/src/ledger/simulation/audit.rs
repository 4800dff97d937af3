//! The invariants of the ledger, over everything that is stored, and against the model.

use std::collections::BTreeMap;

use super::model::{Fact, Model};
use super::store::Store;
use crate::base::money::Currency;
use crate::ledger::account::AccountKind;
use crate::ledger::command::HoldState;
use crate::ledger::posting::PostingKind;

/// Fails with the first invariant that does not hold: L1 to L3, L5, L7 to L9, L12, L19.
pub(super) fn sound(store: &Store) -> Result<(), String> {
    let mut sums: BTreeMap<(_, _, Currency), (i128, u32)> = BTreeMap::new();
    let mut folds: BTreeMap<(_, _), (i64, i128)> = BTreeMap::new();
    for entry in &store.entries {
        let Some(account) = store.accounts.get(&(entry.book, entry.account)) else { return Err(format!("L19: no account for {entry:?}")) };
        if !store.postings.contains_key(&(entry.book, entry.posting)) {
            return Err(format!("L19: no posting in its book for {entry:?}"));
        }
        let sum = sums.entry((entry.book, entry.posting, account.name.currency)).or_default();
        *sum = (sum.0 + i128::from(entry.amount_minor), sum.1 + 1);
        if entry.amount_minor == 0 {
            return Err(format!("L1: nothing moves in {entry:?}"));
        }
        let fold = folds.entry((entry.book, entry.account)).or_default();
        *fold = (fold.0 + 1, fold.1 + i128::from(entry.amount_minor));
        if (entry.seq, i128::from(entry.balance_after_minor)) != *fold {
            return Err(format!("L5: after {fold:?} comes {entry:?}"));
        }
    }
    if let Some(((_, posting, currency), sum)) = sums.iter().find(|(_, (sum, entries))| *sum != 0 || *entries == 0) {
        return Err(format!("L1: {posting} has {sum:?} of {currency:?}"));
    }
    for ((book, id), posting) in &store.postings {
        let entries: u32 = sums.range((*book, *id, Currency::Cny)..=(*book, *id, Currency::Usd)).map(|(_, (_, entries))| entries).sum();
        if entries < 2 {
            return Err(format!("L1: {posting:?} has {entries} entries"));
        }
    }
    let mut totals: BTreeMap<Currency, i128> = BTreeMap::new();
    for (key, account) in &store.accounts {
        *totals.entry(account.name.currency).or_default() += i128::from(account.balance_minor);
        let fold = folds.get(key).copied().unwrap_or_default();
        if (account.seq, i128::from(account.balance_minor)) != fold {
            return Err(format!("L3: the entries come to {fold:?}, not to {account:?}"));
        }
        let held: i128 =
            store.holds.values().filter(|hold| (hold.book, hold.account) == *key).map(|hold| i128::from(hold.left_minor())).sum();
        if i128::from(account.held_minor) != held {
            return Err(format!("L8: holds come to {held}, not to {account:?}"));
        }
        let left = i128::from(account.name.kind.side()) * i128::from(account.balance_minor) - held;
        if account.floor_minor.is_some_and(|floor| left < i128::from(floor)) {
            return Err(format!("L8: below its floor: {account:?}"));
        }
        if account.closed_day != store.books.get(&account.book).copied().flatten() {
            return Err(format!("L12: the book closed another day than {account:?}"));
        }
    }
    if let Some((currency, total)) = totals.iter().find(|(_, total)| **total != 0) {
        return Err(format!("L2: all books come to {total} {currency:?}"));
    }
    for hold in store.holds.values() {
        let whole = (0..=hold.amount_minor).contains(&hold.captured_minor);
        if !whole || (hold.state == HoldState::Held) != hold.resolved_at.is_none() {
            return Err(format!("L7: {hold:?}"));
        }
    }
    taken_back_once(store)
}

/// L9: no entry is taken back further than it goes.
fn taken_back_once(store: &Store) -> Result<(), String> {
    let mut lines: BTreeMap<(_, _, i16), i128> = BTreeMap::new();
    for entry in &store.entries {
        if let Some(of) = store.postings.get(&(entry.book, entry.posting)).and_then(|posting| posting.reversal_of) {
            *lines.entry((entry.book, of, entry.line)).or_default() += i128::from(entry.amount_minor);
        }
    }
    let originals = store.entries.iter().map(|entry| ((entry.book, entry.posting, entry.line), i128::from(entry.amount_minor)));
    let originals: BTreeMap<_, _> = originals.collect();
    for (key, taken_back) in lines {
        let whole = originals.get(&key).copied().unwrap_or_default();
        if taken_back.signum() == whole.signum() || taken_back.abs() > whole.abs() {
            return Err(format!("L9: {taken_back} of {whole} was taken back of line {key:?}"));
        }
    }
    Ok(())
}

/// Whether store and model say the same of every account, posting and hold.
pub(super) fn agree(store: &Store, model: &Model) -> Result<(), String> {
    for account in store.accounts.values() {
        let (book, name) = (account.book, &account.name);
        let told = (i128::from(account.balance_minor), i128::from(account.held_minor), account.floor_minor);
        let folded = (model.balance(book, name), model.held(book, name), model.floor_of(book, name));
        if told != folded {
            return Err(format!("(balance, held, floor) is {told:?} and must be {folded:?} in {book} {name:?}"));
        }
    }
    let mut postings = 0;
    for fact in &model.facts {
        if let Fact::Posted { book, id, lines, booked_on, .. } = fact {
            postings += 1;
            let Some(posting) = store.postings.get(&(*book, *id)) else { return Err(format!("lost: {fact:?}")) };
            if posting.accounting_date != *booked_on {
                return Err(format!("L12: booked on {}, not on {booked_on}: {posting:?}", posting.accounting_date));
            }
            let stored = store.entries.iter().filter(|e| (e.book, e.posting) == (*book, *id)).map(|e| (e.line, e.account, e.amount_minor));
            if !stored.eq(lines.iter().map(|(line, name, minor)| (*line, name.id(*book), *minor))) {
                return Err(format!("other entries than {fact:?}"));
            }
        }
    }
    if postings != store.postings.len() {
        return Err(format!("{} postings are stored, {postings} were accepted", store.postings.len()));
    }
    Ok(())
}

/// What left a book and has not arrived, as the in-transit accounts say and as the postings say.
pub(super) fn in_transit(store: &Store) -> Result<i128, String> {
    let accounts = store.accounts.values().filter(|account| account.name.kind == AccountKind::BooksInTransit);
    let told: i128 = accounts.map(|account| -i128::from(account.balance_minor)).sum();
    let arrived = |reference| store.postings.values().any(|p| p.kind == PostingKind::TransferIn && p.reference == reference);
    let mut waiting = 0;
    for out in store.postings.values().filter(|p| p.kind == PostingKind::TransferOut && !arrived(p.reference)) {
        let entries = store.entries.iter().filter(|e| (e.book, e.posting) == (out.book, out.id) && e.amount_minor < 0);
        waiting -= entries.map(|e| i128::from(e.amount_minor)).sum::<i128>();
    }
    if told == waiting { Ok(waiting) } else { Err(format!("in transit between books are {told}, but {waiting} have left and not arrived")) }
}
