//! The decision about a batch of commands: pure, over accounts that are locked. What it plans is written as it stands.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::account::AccountName;
use super::command::{Command, Done, Hold, HoldState, Part, PlaceHold, ResolveHold, Reverse, SetFloor};
use super::error::Rejection;
use super::posting::{Digest, LEGS_MAX, PlannedPosting, Posted, Posting, PostingKind, digest};
use crate::base::id::{AccountId, BookId, HoldId, PostingId, StoreId};
use crate::base::money::{Currency, Money};

/// Furthest from zero that a floor may be, so that what is left above it always fits.
const FLOOR_MINOR_MAX: u64 = i64::MAX as u64 / 4;

/// An account as it stands under its lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    pub book: BookId,
    pub id: AccountId,
    pub name: AccountName,
    pub balance_minor: i64,
    /// Promised by holds.
    pub held_minor: i64,
    /// What must stay, holds taken off; none: no limit.
    pub floor_minor: Option<i64>,
    /// Number of the last entry.
    pub seq: i64,
    /// The last closed day of the book.
    pub closed_day: Option<NaiveDate>,
}

impl Account {
    /// What may still be taken: posted on the account's own side, less holds, less the floor (L8). None: no limit.
    fn available_minor(&self) -> Option<i128> {
        let floor = i128::from(self.floor_minor?);
        Some(i128::from(self.name.kind.side()) * i128::from(self.balance_minor) - i128::from(self.held_minor) - floor)
    }

    /// The same as money to be shown; what does not fit is cut.
    pub fn available(&self) -> Money {
        let minor = self.available_minor().unwrap_or(i128::from(i64::MAX)).clamp(0, i128::from(i64::MAX));
        Money { minor: i64::try_from(minor).unwrap_or(i64::MAX), currency: self.name.currency }
    }
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

/// A posting that is to be taken back: its entries, and what of each was taken back before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Original {
    pub kind: PostingKind,
    pub store: Option<StoreId>,
    pub lines: Vec<OriginalLine>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginalLine {
    pub line: i16,
    pub account: AccountId,
    pub amount_minor: i64,
    /// Signed like the reversals' own entries: against `amount_minor`.
    pub reversed_minor: i64,
}

/// A change of a floor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FloorChange {
    pub book: BookId,
    pub id: Uuid,
    pub account: AccountId,
    /// The account's last entry when it was made.
    pub after_seq: i64,
    pub floor_minor: Option<i64>,
}

/// What was read under the locks: everything that the commands of a batch name, as far as it exists.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub accounts: Vec<Account>,
    /// Postings made before, with what was asked for.
    pub posted: HashMap<(BookId, PostingId), Digest>,
    pub originals: HashMap<(BookId, PostingId), Original>,
    pub holds: HashMap<(BookId, HoldId), Hold>,
    /// Changes of floors made before, by their reference.
    pub floor_changes: HashMap<(BookId, Uuid), FloorChange>,
}

/// What to write for a batch, and what to tell each of its members.
#[derive(Debug, Default)]
pub struct Plan {
    /// One outcome per input, in its order.
    pub outcomes: Vec<Result<Done, Rejection>>,
    pub postings: Vec<PlannedPosting>,
    pub entries: Vec<PlannedEntry>,
    /// The accounts that changed, as they stand afterwards.
    pub accounts: Vec<Account>,
    /// The holds that are new or changed, as they stand afterwards.
    pub holds: Vec<Hold>,
    pub floor_changes: Vec<FloorChange>,
}

/// Decides a batch in input order. Each member sees the effect of the members accepted before it; a rejected one leaves no trace.
///
/// `day` is the day to book on; a book that closed it books on the first day that is open (L12).
pub fn decide(commands: &[Command], state: State, day: NaiveDate, now: DateTime<Utc>) -> Plan {
    let before: Vec<_> = state.accounts.iter().map(changing).collect();
    let places = state.accounts.iter().enumerate().map(|(place, account)| ((account.book, account.id), place)).collect();
    let reversed = commands.iter().filter_map(|c| if let Command::Reverse(r) = c { Some((r.book, r.of)) } else { None }).collect();
    let mut batch = Batch { state, places, reversed, changed_holds: Vec::new(), plan: Plan::default(), undo: Vec::new(), day, now };
    for command in commands {
        let entries = batch.plan.entries.len();
        let outcome = batch.take(command);
        if outcome.is_err() {
            batch.plan.entries.truncate(entries);
            for (place, account) in batch.undo.drain(..).rev() {
                restore(&mut batch.state.accounts[place], account);
            }
        }
        batch.undo.clear();
        batch.plan.outcomes.push(outcome);
    }
    let Batch { state, changed_holds, mut plan, .. } = batch;
    plan.accounts = state.accounts.into_iter().zip(before).filter(|(a, b)| changing(a) != *b).map(|(a, _)| a).collect();
    let mut holds = state.holds;
    plan.holds = changed_holds.into_iter().filter_map(|key| holds.remove(&key)).collect();
    plan
}

/// What a command may change of an account.
type Changing = (i64, i64, Option<i64>, i64);

fn changing(account: &Account) -> Changing {
    (account.balance_minor, account.held_minor, account.floor_minor, account.seq)
}

fn restore(account: &mut Account, before: Changing) {
    (account.balance_minor, account.held_minor, account.floor_minor, account.seq) = before;
}

struct Batch {
    state: State,
    places: HashMap<(BookId, AccountId), usize>,
    /// What later members may take back: only these postings are kept as originals.
    reversed: HashSet<(BookId, PostingId)>,
    changed_holds: Vec<(BookId, HoldId)>,
    plan: Plan,
    /// How the accounts that the current member touched stood before it.
    undo: Vec<(usize, Changing)>,
    day: NaiveDate,
    now: DateTime<Utc>,
}

impl Batch {
    fn take(&mut self, command: &Command) -> Result<Done, Rejection> {
        match command {
            Command::Post(posting) => self.post(posting),
            Command::Reverse(reverse) => self.reverse(reverse),
            Command::Hold(place) => self.hold(place),
            Command::Void(resolve) => self.resolve(resolve, HoldState::Voided),
            Command::Expire(resolve) => self.resolve(resolve, HoldState::Expired),
            Command::SetFloor(set) => self.set_floor(set),
        }
    }

    fn post(&mut self, posting: &Posting) -> Result<Done, Rejection> {
        let legs: Vec<(i16, AccountId, i64)> =
            (1_i16..).zip(&posting.legs).map(|(line, leg)| (line, leg.account_id(posting.book), leg.amount.minor)).collect();
        let mut planned = PlannedPosting {
            book: posting.book,
            id: posting.id(),
            kind: posting.kind,
            reference: posting.reference,
            store: posting.store,
            business_date: posting.business_date,
            accounting_date: self.day,
            reversal_of: None,
            hold: posting.hold,
            metadata: posting.metadata.clone(),
            digest: [0; 32],
        };
        planned.digest = digest(&planned, legs.iter().copied());
        self.new_posting(&planned)?;
        balanced(posting)?;
        if let Some(capture) = posting.hold {
            self.capture((posting.book, capture.hold), capture.last, &legs)?;
        }
        let id = planned.id;
        self.write(planned, &legs)?;
        if let Some(capture) = posting.hold {
            self.keep_captured((posting.book, capture.hold), capture.last, &legs);
        }
        Ok(Done::Posted(Posted { posting: id, replayed: false }))
    }

    fn reverse(&mut self, reverse: &Reverse) -> Result<Done, Rejection> {
        let original = self.state.originals.get(&(reverse.book, reverse.of)).ok_or(Rejection::PostingMissing)?;
        let legs = reversal_legs(original, &reverse.part);
        let mut planned = PlannedPosting {
            book: reverse.book,
            id: reverse.id(),
            kind: PostingKind::Reversal,
            reference: reverse.reference,
            store: original.store,
            business_date: reverse.business_date,
            accounting_date: self.day,
            reversal_of: Some(reverse.of),
            hold: None,
            metadata: reverse.metadata.clone(),
            digest: [0; 32],
        };
        planned.digest = digest(&planned, legs.iter().flatten().copied());
        // asked before anything else, so that the same reversal again is told so although nothing is left to take back
        self.new_posting(&planned)?;
        if original.kind == PostingKind::Reversal {
            return Err(Rejection::ReversalOfReversal);
        }
        let legs = legs?;
        self.within_original(reverse, &legs)?;
        let id = planned.id;
        self.write(planned, &legs)?;
        let original = self.state.originals.get_mut(&(reverse.book, reverse.of)).ok_or(Rejection::PostingMissing)?;
        for (line, _, minor) in legs {
            original.lines.iter_mut().filter(|l| l.line == line).for_each(|l| l.reversed_minor += minor);
        }
        Ok(Done::Posted(Posted { posting: id, replayed: false }))
    }

    /// No line is taken back further than it goes, and each currency still balances (L9).
    fn within_original(&self, reverse: &Reverse, legs: &[(i16, AccountId, i64)]) -> Result<(), Rejection> {
        let original = &self.state.originals[&(reverse.book, reverse.of)];
        let mut sums: Vec<(Currency, i128)> = Vec::with_capacity(1);
        for (line, account, minor) in legs {
            let of = original.lines.iter().find(|l| l.line == *line).ok_or(Rejection::ReversalExceedsEntry)?;
            let left = i128::from(of.amount_minor) + i128::from(of.reversed_minor);
            let whole = matches!(reverse.part, Part::Lines(_)) || of.reversed_minor == 0;
            if !whole || i128::from(*minor).abs() > left.abs() {
                return Err(Rejection::ReversalExceedsEntry);
            }
            add(&mut sums, self.account(reverse.book, *account)?.name.currency, i128::from(*minor));
        }
        if sums.iter().all(|(_, sum)| *sum == 0) { Ok(()) } else { Err(Rejection::Unbalanced) }
    }

    fn hold(&mut self, place: &PlaceHold) -> Result<Done, Rejection> {
        let (key, account) = ((place.book, place.hold), place.account.id(place.book));
        if let Some(hold) = self.state.holds.get(&key) {
            let same = hold.account == account
                && hold.amount_minor == place.amount_minor
                && hold.reference == place.reference
                && hold.expires_at == place.expires_at;
            return if same { Ok(Done::Hold(hold.state)) } else { Err(Rejection::ReferenceReused) };
        }
        if place.amount_minor <= 0 {
            return Err(Rejection::NotPositive);
        }
        let held = self.account(place.book, account)?;
        if held.available_minor().is_some_and(|available| available < i128::from(place.amount_minor)) {
            return Err(Rejection::AmountExceedsBalance { account: held.name.kind, available: held.available() });
        }
        let promised = held.held_minor.checked_add(place.amount_minor).ok_or(Rejection::Overflow)?;
        self.touch(place.book, account)?.held_minor = promised;
        let hold = Hold {
            book: place.book,
            id: place.hold,
            account,
            amount_minor: place.amount_minor,
            captured_minor: 0,
            state: HoldState::Held,
            reference: place.reference,
            expires_at: place.expires_at,
            resolved_at: None,
        };
        self.keep(key, hold);
        Ok(Done::Hold(HoldState::Held))
    }

    /// Frees what the legs take from the held account, so that they may take it (L7).
    fn capture(&mut self, key: (BookId, HoldId), last: bool, legs: &[(i16, AccountId, i64)]) -> Result<(), Rejection> {
        let hold = self.state.holds.get(&key).ok_or(Rejection::HoldMissing)?;
        if hold.state != HoldState::Held {
            return Err(Rejection::HoldResolved);
        }
        let (account, left) = (hold.account, hold.left_minor());
        let taken = self.taken(key.0, account, legs)?;
        if taken <= 0 || taken > i128::from(left) {
            return Err(Rejection::CaptureExceedsHold { left_minor: left });
        }
        let freed = if last { left } else { i64::try_from(taken).unwrap_or(left) };
        self.touch(key.0, account)?.held_minor -= freed;
        Ok(())
    }

    /// Writes down in the hold what [`Self::capture`] freed, once the posting went through.
    fn keep_captured(&mut self, key: (BookId, HoldId), last: bool, legs: &[(i16, AccountId, i64)]) {
        let Some(mut hold) = self.state.holds.get(&key).cloned() else { return };
        let taken = self.taken(key.0, hold.account, legs).ok().and_then(|taken| i64::try_from(taken).ok()).unwrap_or(0);
        hold.captured_minor += taken;
        if last || hold.captured_minor == hold.amount_minor {
            (hold.state, hold.resolved_at) = (HoldState::Captured, Some(self.now));
        }
        self.keep(key, hold);
    }

    /// By how much legs lower an account, on its own side.
    fn taken(&self, book: BookId, account: AccountId, legs: &[(i16, AccountId, i64)]) -> Result<i128, Rejection> {
        let side = i128::from(self.account(book, account)?.name.kind.side());
        Ok(legs.iter().filter(|(_, a, _)| *a == account).map(|(_, _, minor)| -side * i128::from(*minor)).sum())
    }

    fn resolve(&mut self, resolve: &ResolveHold, to: HoldState) -> Result<Done, Rejection> {
        let key = (resolve.book, resolve.hold);
        let mut hold = self.state.holds.get(&key).ok_or(Rejection::HoldMissing)?.clone();
        if hold.state == to {
            return Ok(Done::Hold(to));
        }
        if hold.state != HoldState::Held {
            return Err(Rejection::HoldResolved);
        }
        if to == HoldState::Expired && self.now < hold.expires_at {
            return Err(Rejection::HoldNotDue);
        }
        self.touch(key.0, hold.account)?.held_minor -= hold.left_minor();
        (hold.state, hold.resolved_at) = (to, Some(self.now));
        self.keep(key, hold);
        Ok(Done::Hold(to))
    }

    fn set_floor(&mut self, set: &SetFloor) -> Result<Done, Rejection> {
        let (key, id) = ((set.book, set.reference), set.account.id(set.book));
        if let Some(change) = self.state.floor_changes.get(&key) {
            let same = change.account == id && change.floor_minor == set.floor_minor;
            return if same { Ok(Done::FloorSet) } else { Err(Rejection::ReferenceReused) };
        }
        if set.floor_minor.is_some_and(|floor| floor.unsigned_abs() > FLOOR_MINOR_MAX) {
            return Err(Rejection::Overflow);
        }
        let account = self.account(set.book, id)?;
        let unfloored = Account { floor_minor: Some(0), ..account.clone() };
        if let Some(floor) = set.floor_minor
            && unfloored.available_minor().is_some_and(|available| available < i128::from(floor))
        {
            return Err(Rejection::FloorAboveAvailable { available: unfloored.available() });
        }
        let change = FloorChange { book: set.book, id: set.reference, account: id, after_seq: account.seq, floor_minor: set.floor_minor };
        self.touch(set.book, id)?.floor_minor = set.floor_minor;
        self.state.floor_changes.insert(key, change);
        self.plan.floor_changes.push(change);
        Ok(Done::FloorSet)
    }

    /// Whether the posting is new. The same again and another under its name are told apart by what was asked for (L6).
    fn new_posting(&self, planned: &PlannedPosting) -> Result<(), Rejection> {
        match self.state.posted.get(&(planned.book, planned.id)) {
            None => Ok(()),
            Some(made) if *made == planned.digest => Err(Rejection::AlreadyPosted),
            Some(_) => Err(Rejection::ReferenceReused),
        }
    }

    /// Takes the legs to their accounts in line order and plans the posting. On a rejection the caller undoes the accounts.
    fn write(&mut self, mut planned: PlannedPosting, legs: &[(i16, AccountId, i64)]) -> Result<(), Rejection> {
        for &(line, id, minor) in legs {
            let account = self.touch(planned.book, id)?;
            // the least i64 has no opposite, which a floor would need
            let balance = account.balance_minor.checked_add(minor).filter(|b| *b != i64::MIN).ok_or(Rejection::Overflow)?;
            let taken = -i128::from(minor) * i128::from(account.name.kind.side());
            if taken > 0 && account.available_minor().is_some_and(|available| taken > available) {
                return Err(Rejection::AmountExceedsBalance { account: account.name.kind, available: account.available() });
            }
            (account.balance_minor, account.seq) = (balance, account.seq + 1);
            if let Some(closed) = account.closed_day {
                planned.accounting_date = planned.accounting_date.max(closed + chrono::Days::new(1));
            }
            let entry = PlannedEntry {
                book: planned.book,
                account: id,
                seq: account.seq,
                posting: planned.id,
                line,
                amount_minor: minor,
                balance_after_minor: balance,
            };
            self.plan.entries.push(entry);
        }
        let key = (planned.book, planned.id);
        self.state.posted.insert(key, planned.digest);
        if self.reversed.contains(&key) {
            let line = |&(line, account, amount_minor)| OriginalLine { line, account, amount_minor, reversed_minor: 0 };
            let original = Original { kind: planned.kind, store: planned.store, lines: legs.iter().map(line).collect() };
            self.state.originals.insert(key, original);
        }
        self.plan.postings.push(planned);
        Ok(())
    }

    fn account(&self, book: BookId, id: AccountId) -> Result<&Account, Rejection> {
        let place = self.places.get(&(book, id)).ok_or(Rejection::AccountMissing)?;
        Ok(&self.state.accounts[*place])
    }

    /// An account to be changed by the current member, which may yet be rejected.
    fn touch(&mut self, book: BookId, id: AccountId) -> Result<&mut Account, Rejection> {
        let place = *self.places.get(&(book, id)).ok_or(Rejection::AccountMissing)?;
        self.undo.push((place, changing(&self.state.accounts[place])));
        Ok(&mut self.state.accounts[place])
    }

    fn keep(&mut self, key: (BookId, HoldId), hold: Hold) {
        self.state.holds.insert(key, hold);
        if !self.changed_holds.contains(&key) {
            self.changed_holds.push(key);
        }
    }
}

/// What can be said without looking at an account: two legs or more, none zero, each currency sums to zero (L1).
fn balanced(posting: &Posting) -> Result<(), Rejection> {
    let mut sums: Vec<(Currency, i128)> = Vec::with_capacity(1);
    for leg in &posting.legs {
        add(&mut sums, leg.amount.currency, i128::from(leg.amount.minor));
    }
    let sound = (2..=LEGS_MAX).contains(&posting.legs.len())
        && posting.legs.iter().all(|leg| leg.amount.minor != 0)
        && sums.iter().all(|(_, sum)| *sum == 0);
    if sound { Ok(()) } else { Err(Rejection::Unbalanced) }
}

fn add(sums: &mut Vec<(Currency, i128)>, currency: Currency, minor: i128) {
    match sums.iter_mut().find(|(c, _)| *c == currency) {
        Some((_, sum)) => *sum += minor,
        None => sums.push((currency, minor)),
    }
}

/// The legs that take a part of a posting back, with the line numbers of the entries they take back.
fn reversal_legs(original: &Original, part: &Part) -> Result<Vec<(i16, AccountId, i64)>, Rejection> {
    match part {
        Part::Full => {
            original.lines.iter().map(|l| Ok((l.line, l.account, l.amount_minor.checked_neg().ok_or(Rejection::Overflow)?))).collect()
        }
        Part::Lines(lines) => {
            if !lines.is_sorted_by(|(a, _), (b, _)| a < b) || lines.len() < 2 {
                return Err(Rejection::Unbalanced);
            }
            lines.iter().map(|(line, minor)| part_of_line(original, *line, *minor)).collect()
        }
    }
}

fn part_of_line(original: &Original, line: i16, minor: i64) -> Result<(i16, AccountId, i64), Rejection> {
    let of = original.lines.iter().find(|l| l.line == line).ok_or(Rejection::ReversalExceedsEntry)?;
    if minor <= 0 {
        return Err(Rejection::NotPositive);
    }
    Ok((line, of.account, -minor * of.amount_minor.signum()))
}
