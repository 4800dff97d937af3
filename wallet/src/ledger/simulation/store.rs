//! A database in memory, with transactions as `repo` runs them: read, lock, read again under the lock, decide, write, commit.
//!
//! What matters is *when* something is read. The entries of a posting to be taken back and the account of a hold are read before the
//! locks; which postings were made is a snapshot of the statement that locks, taken before it waits; all else is read after. Keys are
//! compared when the plan is written.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::base::id::{AccountId, BookId, HoldId, PostingId};
use crate::ledger::account::AccountName;
use crate::ledger::command::{Command, Done, Hold};
use crate::ledger::error::Rejection;
use crate::ledger::posting::{Digest, PlannedPosting};
use crate::ledger::rules::{self, Account, FloorChange, Original, OriginalLine, Plan, PlannedEntry, State};

type AccountKey = (BookId, AccountId);

/// What is committed.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) books: BTreeMap<BookId, Option<NaiveDate>>,
    pub(super) accounts: BTreeMap<AccountKey, Account>,
    pub(super) postings: BTreeMap<(BookId, PostingId), PlannedPosting>,
    pub(super) entries: Vec<PlannedEntry>,
    pub(super) holds: BTreeMap<(BookId, HoldId), Hold>,
    pub(super) floor_changes: BTreeMap<(BookId, Uuid), FloorChange>,
    /// Who holds the lock of what.
    locks: BTreeMap<Lock, usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lock {
    Book(BookId),
    Account(AccountKey),
}

/// A transaction that carries out a batch.
#[derive(Debug)]
pub(super) struct Transaction {
    owner: usize,
    pub(super) commands: Vec<Command>,
    pub(super) day: NaiveDate,
    pub(super) now: DateTime<Utc>,
    phase: Phase,
    wanted: BTreeMap<AccountKey, AccountName>,
    originals: BTreeMap<(BookId, PostingId), Original>,
    posted: BTreeMap<(BookId, PostingId), Digest>,
    created: Vec<Account>,
    plan: Option<Plan>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Begun,
    /// Facts that never change were read.
    Informed,
    /// Accounts are missing: to be created under a lock of their books.
    Creating,
    /// The statement that locks has begun, and may wait.
    Waiting,
    Locked,
    Decided,
}

/// What a step of a transaction came to.
#[derive(Debug)]
pub(super) enum Step {
    Went,
    /// Somebody holds a lock that it needs.
    Waits,
    /// A key was taken meanwhile: everything is undone, to be run again.
    Restart,
    Committed(Vec<Result<Done, Rejection>>),
}

impl Transaction {
    pub(super) fn begin(owner: usize, commands: Vec<Command>, day: NaiveDate, now: DateTime<Utc>) -> Self {
        let (wanted, originals, posted) = Default::default();
        Self { owner, commands, day, now, phase: Phase::Begun, wanted, originals, posted, created: Vec::new(), plan: None }
    }
}

impl Store {
    pub(super) fn open(books: &[BookId]) -> Self {
        Self { books: books.iter().map(|book| (*book, None)).collect(), ..Self::default() }
    }

    /// Takes a transaction one statement further.
    pub(super) fn step(&mut self, tx: &mut Transaction) -> Step {
        match tx.phase {
            Phase::Begun => {
                self.inform(tx);
                tx.phase = Phase::Informed;
            }
            Phase::Informed => {
                // the statement locks all accounts or none
                tx.phase = if tx.wanted.keys().all(|key| self.accounts.contains_key(key)) { Phase::Waiting } else { Phase::Creating };
                self.snapshot(tx);
            }
            Phase::Creating => {
                let books: BTreeSet<BookId> = tx.wanted.keys().map(|key| key.0).filter(|book| self.books.contains_key(book)).collect();
                tx.wanted.retain(|key, _| books.contains(&key.0));
                let missing = tx.wanted.keys().filter(|key| !self.accounts.contains_key(key)).map(|key| Lock::Account(*key));
                let locks: Vec<Lock> = books.iter().map(|book| Lock::Book(*book)).chain(missing).collect();
                if !self.lock(tx.owner, &locks) {
                    return Step::Waits;
                }
                for (key, name) in tx.wanted.iter().filter(|(key, _)| !self.accounts.contains_key(key)) {
                    let (floor_minor, closed_day) = (name.kind.floor(), self.books[&key.0]);
                    let account = Account {
                        book: key.0,
                        id: key.1,
                        name: name.clone(),
                        balance_minor: 0,
                        held_minor: 0,
                        floor_minor,
                        seq: 0,
                        closed_day,
                    };
                    tx.created.push(account);
                }
                self.snapshot(tx);
                tx.phase = Phase::Waiting;
            }
            Phase::Waiting => {
                let locks: Vec<Lock> = tx.wanted.keys().map(|key| Lock::Account(*key)).collect();
                if !self.lock(tx.owner, &locks) {
                    return Step::Waits;
                }
                tx.phase = Phase::Locked;
            }
            Phase::Locked => {
                let state = self.read_locked(tx);
                // made while this one waited: its account is not locked
                if state.holds.values().any(|hold| !tx.wanted.contains_key(&(hold.book, hold.account))) {
                    self.roll_back(tx.owner);
                    return Step::Restart;
                }
                tx.plan = Some(rules::decide(&tx.commands, state, tx.day, tx.now));
                tx.phase = Phase::Decided;
            }
            Phase::Decided => {
                let Some(plan) = tx.plan.take() else { return Step::Restart };
                self.roll_back(tx.owner);
                let stale = self.key_taken(&plan) || self.refused_what_was_made(tx, &plan);
                return if stale { Step::Restart } else { Step::Committed(self.commit(&tx.created, plan)) };
            }
        }
        Step::Went
    }

    /// Undoes a transaction: nothing was written, so its locks are all there is.
    pub(super) fn roll_back(&mut self, owner: usize) {
        self.locks.retain(|_, holder| *holder != owner);
    }

    /// Closes a day of a book under the locks of the book and all its accounts. False: somebody is at work there.
    pub(super) fn close_day(&mut self, book: BookId, day: NaiveDate) -> bool {
        if self.locks.keys().any(|lock| matches!(lock, Lock::Book(b) | Lock::Account((b, _)) if *b == book)) {
            return false;
        }
        self.books.insert(book, Some(day));
        for account in self.accounts.values_mut().filter(|account| account.book == book) {
            account.closed_day = Some(day);
        }
        true
    }

    /// All or nothing, as if waiting for one after the other in their one order.
    fn lock(&mut self, owner: usize, locks: &[Lock]) -> bool {
        if locks.iter().any(|lock| self.locks.get(lock).is_some_and(|holder| *holder != owner)) {
            return false;
        }
        self.locks.extend(locks.iter().map(|lock| (*lock, owner)));
        true
    }

    fn inform(&self, tx: &mut Transaction) {
        for command in &tx.commands {
            let book = command.book();
            let mut holds = Vec::new();
            match command {
                Command::Post(posting) => {
                    tx.wanted.extend(posting.legs.iter().map(|leg| ((book, leg.name().id(book)), leg.name())));
                    holds.extend(posting.hold.map(|capture| capture.hold));
                }
                Command::Reverse(reverse) => {
                    if let Some(posting) = self.postings.get(&(book, reverse.of)) {
                        let lines = self.entries.iter().filter(|e| (e.book, e.posting) == (book, reverse.of));
                        let mut lines: Vec<OriginalLine> = lines
                            .map(|e| OriginalLine { line: e.line, account: e.account, amount_minor: e.amount_minor, reversed_minor: 0 })
                            .collect();
                        lines.sort_by_key(|line| line.line);
                        tx.wanted
                            .extend(lines.iter().map(|line| ((book, line.account), self.accounts[&(book, line.account)].name.clone())));
                        tx.originals.insert((book, reverse.of), Original { kind: posting.kind, store: posting.store, lines });
                    }
                }
                Command::Hold(place) => {
                    tx.wanted.insert((book, place.account.id(book)), place.account.clone());
                    holds.push(place.hold);
                }
                Command::Void(resolve) | Command::Expire(resolve) => holds.push(resolve.hold),
                Command::SetFloor(set) => {
                    tx.wanted.insert((book, set.account.id(book)), set.account.clone());
                }
            }
            for hold in holds.iter().filter_map(|hold| self.holds.get(&(book, *hold))) {
                let key = (book, hold.account);
                tx.wanted.insert(key, self.accounts[&key].name.clone());
            }
        }
    }

    /// Which postings are made, as the statement that locks sees it when it begins.
    fn snapshot(&self, tx: &mut Transaction) {
        tx.posted = tx.commands.iter().filter_map(named).filter_map(|key| Some((key, self.postings.get(&key)?.digest))).collect();
    }

    fn read_locked(&self, tx: &Transaction) -> State {
        let mut state = State {
            originals: tx.originals.clone().into_iter().collect(),
            posted: tx.posted.clone().into_iter().collect(),
            ..State::default()
        };
        for ((book, of), original) in &mut state.originals {
            for taken_back in self.postings.values().filter(|p| p.book == *book && p.reversal_of == Some(*of)) {
                for entry in self.entries.iter().filter(|e| (e.book, e.posting) == (*book, taken_back.id)) {
                    original.lines.iter_mut().filter(|l| l.line == entry.line).for_each(|l| l.reversed_minor += entry.amount_minor);
                }
            }
        }
        for command in &tx.commands {
            let book = command.book();
            let hold = match command {
                Command::Post(posting) => posting.hold.map(|capture| capture.hold),
                Command::Hold(place) => Some(place.hold),
                Command::Void(resolve) | Command::Expire(resolve) => Some(resolve.hold),
                Command::SetFloor(set) => {
                    state
                        .floor_changes
                        .extend(self.floor_changes.get_key_value(&(book, set.reference)).map(|(key, change)| (*key, *change)));
                    None
                }
                Command::Reverse(_) => None,
            };
            if let Some(hold) = hold.and_then(|hold| self.holds.get(&(book, hold))) {
                state.holds.insert((book, hold.id), hold.clone());
            }
        }
        let made = |key: &AccountKey| self.accounts.get(key).or_else(|| tx.created.iter().find(|a| (a.book, a.id) == *key)).cloned();
        state.accounts = tx.wanted.keys().filter_map(made).collect();
        state
    }

    /// Whether another transaction took a key of the plan.
    fn key_taken(&self, plan: &Plan) -> bool {
        plan.postings.iter().any(|p| self.postings.contains_key(&(p.book, p.id)))
            || plan.floor_changes.iter().any(|c| self.floor_changes.contains_key(&(c.book, c.id)))
            || plan.holds.iter().any(|hold| self.holds.get(&(hold.book, hold.id)).is_some_and(|there| there.account != hold.account))
    }

    /// Whether a posting is refused that was made while this transaction waited: its caller must be told that it was made.
    fn refused_what_was_made(&self, tx: &Transaction, plan: &Plan) -> bool {
        tx.commands
            .iter()
            .zip(&plan.outcomes)
            .filter(|(_, outcome)| outcome.is_err())
            .any(|(command, _)| named(command).is_some_and(|key| !tx.posted.contains_key(&key) && self.postings.contains_key(&key)))
    }

    fn commit(&mut self, created: &[Account], plan: Plan) -> Vec<Result<Done, Rejection>> {
        self.accounts.extend(created.iter().cloned().map(|a| ((a.book, a.id), a)));
        self.accounts.extend(plan.accounts.into_iter().map(|a| ((a.book, a.id), a)));
        self.entries.extend(plan.entries);
        self.postings.extend(plan.postings.into_iter().map(|p| ((p.book, p.id), p)));
        self.floor_changes.extend(plan.floor_changes.into_iter().map(|c| ((c.book, c.id), c)));
        for hold in plan.holds {
            // a hold that is there keeps what it was asked to be
            match self.holds.entry((hold.book, hold.id)) {
                std::collections::btree_map::Entry::Vacant(new) => drop(new.insert(hold)),
                std::collections::btree_map::Entry::Occupied(mut there) => {
                    let there = there.get_mut();
                    (there.captured_minor, there.state, there.resolved_at) = (hold.captured_minor, hold.state, hold.resolved_at);
                }
            }
        }
        plan.outcomes
    }
}

/// The posting that a command becomes.
fn named(command: &Command) -> Option<(BookId, PostingId)> {
    match command {
        Command::Post(posting) => Some((posting.book, posting.id())),
        Command::Reverse(reverse) => Some((reverse.book, reverse.id())),
        Command::Hold(_) | Command::Void(_) | Command::Expire(_) | Command::SetFloor(_) => None,
    }
}
