//! What a look at a split makes of it: what arrived is marked, what is next is decided. Pure; [`super::run`] reads and writes.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::call::{self, ToAsk};
use super::state::{LineStatus, due, status, to_keep, under_way, with_those_below};
use super::{
    AccountStatus, Call, CallKind, CallShare, CallStatus, ChannelAccount, Line, ShareResult, Slice, Split, SplitStatus, Upstream, event,
    line_event,
};
use crate::base::clock::business_day;
use crate::base::id::{AttemptId, BookId, MerchantId, SplitLineId, TransferId};
use crate::base::money::Money;
use crate::base::outbox::Event;
use crate::book::transfer::{Purpose, SendTransfer, legs};
use crate::ledger::{AccountKind, Posting, recipe};

/// Kept with a line whose receiver is not signed, or has no book.
pub const RECEIVER_UNABLE: &str = "RECEIVER_UNABLE";
/// Kept with a line whose receiver has no account at the channel.
pub const RECEIVER_WITHOUT_ACCOUNT: &str = "RECEIVER_WITHOUT_ACCOUNT";
/// Kept with a line whose receiver's account the channel does not take.
pub const RECEIVER_REFUSED: &str = "RECEIVER_REFUSED";
/// Kept with a line that hangs on a failed one.
pub const ABOVE_FAILED: &str = "ABOVE_FAILED";

/// What a look at a split found to be done outside of its own rows.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Transfers of lines that are SENT.
    Move(Vec<SendTransfer>),
    /// Receivers' own parts that are to be released.
    Keep(Vec<Keep>),
    /// Receivers' accounts that their channel does not know.
    Introduce(Vec<ChannelAccount>),
    /// Requests to channels.
    Ask(Vec<ToAsk>),
    /// Something of its rows was changed: look again.
    Again,
    /// A channel is not connected any more.
    Disconnected,
    /// A refund of the order is under way.
    Refunding,
    Settled,
}

/// What a receiver did not pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    pub line: SplitLineId,
    pub book: BookId,
    pub own: Money,
    /// The day it is for.
    pub day: NaiveDate,
}

impl Keep {
    /// Makes it the receiver's pending money. None: all was passed on.
    pub(super) fn release(&self) -> Option<Posting> {
        let release = || recipe::split_release(self.book, self.line.0, self.own, AccountKind::MerchantPending, self.day);
        (self.own.minor > 0).then(release)
    }
}

/// What was done since the last look, and is not marked yet. Lost with its process, it is found out again by doing it again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Lines whose transfers arrived.
    pub arrived: Vec<SplitLineId>,
    /// Lines whose receivers' own parts were released.
    pub kept: Vec<SplitLineId>,
}

/// A split under its lock, as a look finds and leaves it, with what is to be written beside its rows.
pub(super) struct Look {
    pub split: Split,
    pub lines: Vec<Line>,
    pub slices: Vec<Slice>,
    /// Requests to channels; none were read where no channel divides.
    pub calls: Vec<Call>,
    pub new_calls: Vec<Call>,
    pub events: Vec<Event>,
    /// Transfers that are made with the look.
    pub moved: Vec<SendTransfer>,
    /// In the order in which the money goes.
    pub postings: Vec<Posting>,
}

/// What is next, as far as the split's own rows tell.
pub(super) enum Turn {
    Is(Next),
    /// Lines whose turn it is. Whether their receivers may be paid lies elsewhere.
    Send(Vec<SplitLineId>),
}

/// What lies outside of a split's rows and decides about the lines that are to be sent.
pub(super) struct Outside<'a> {
    /// Receivers that may be paid (S8).
    pub able: &'a HashSet<MerchantId>,
    pub accounts: &'a [ChannelAccount],
    /// Whether a refund of the order is under way (S7).
    pub refunding: bool,
    /// Most receivers of one request to a channel. None: it is not connected.
    pub receivers_max: &'a dyn Fn(&str) -> Option<usize>,
}

impl Look {
    pub(super) fn new(split: Split, lines: Vec<Line>, slices: Vec<Slice>, calls: Vec<Call>) -> Self {
        Self { split, lines, slices, calls, new_calls: Vec::new(), events: Vec::new(), moved: Vec::new(), postings: Vec::new() }
    }

    /// Marks what arrived and what was kept. What is marked already stays as it is.
    pub(super) fn mark(&mut self, learnt: &Learnt, now: DateTime<Utc>) {
        for line in &mut self.lines {
            if line.status.on_its_way() && learnt.arrived.contains(&line.id) {
                (line.status, line.succeeded_minor, line.resolved_at) = (LineStatus::Succeeded, line.amount.minor, Some(now));
                self.events.push(line_event("split.line_succeeded", line, now));
            }
            if line.kept_at.is_none() && learnt.kept.contains(&line.id) {
                line.kept_at = Some(now);
            }
        }
        self.restate(now);
    }

    /// What is next. Finishes the split where nothing is.
    pub(super) fn turn(&mut self, now: DateTime<Utc>) -> Turn {
        // what a channel divides is moved when its share succeeded there
        let moves = |line: &Line| match line.call {
            None => line.status == LineStatus::Sent,
            Some(id) => {
                let succeeded = |call: &Call| call.id == id && call.outcome(line.id) == Some(ShareResult::Succeeded);
                line.status.on_its_way() && self.calls.iter().any(succeeded)
            }
        };
        let sent = self.transfers(moves);
        if !sent.is_empty() {
            return Turn::Is(Next::Move(sent));
        }
        let due = due(&self.lines);
        if !due.is_empty() {
            return Turn::Send(due);
        }
        let keeps = to_keep(&self.lines);
        if !keeps.is_empty() {
            let of = |(id, own_minor): (SplitLineId, i64)| {
                let line = self.lines.iter().find(|line| line.id == id)?;
                let own = Money { minor: own_minor, ..line.amount };
                // the day it arrived, so that a release made tomorrow is the same release
                Some(Keep { line: id, book: line.receiver.book(), own, day: business_day(line.resolved_at?) })
            };
            return Turn::Is(Next::Keep(keeps.into_iter().filter_map(of).collect()));
        }
        let open = call::open_ones(&self.calls);
        if !open.is_empty() {
            return Turn::Is(Next::Ask(open));
        }
        let split = &self.split;
        if !under_way(&self.lines) && split.finishing && split.finished_at.is_none() && split.finish_error.is_none() {
            let unfinished = unfinished(split, &self.slices, &self.calls, now);
            if !unfinished.is_empty() {
                self.new_calls = unfinished;
                return Turn::Is(Next::Ask(call::fresh(&self.new_calls)));
            }
            if let Some((finished, posting)) = finish(&mut self.split, &self.lines, now) {
                self.events.push(finished);
                self.postings.extend(posting);
            }
        }
        Turn::Is(Next::Settled)
    }

    /// Marks lines whose turn it is as SENT; those whose receivers cannot be paid have failed, with all below them (S8).
    pub(super) fn send(&mut self, due: &[SplitLineId], outside: &Outside<'_>, now: DateTime<Utc>) -> Next {
        let is_due = |line: &&Line| due.contains(&line.id);
        if outside.refunding && self.lines.iter().filter(is_due).any(|line| line.parent.is_none()) {
            return Next::Refunding;
        }
        let (mut failed, mut unknown) = (HashMap::<SplitLineId, &str>::new(), Vec::<ChannelAccount>::new());
        let mut shares: BTreeMap<AttemptId, Vec<CallShare>> = BTreeMap::new();
        for line in self.lines.iter().filter(is_due) {
            let at = self.upstream(line);
            let account = at.map(|at| outside.accounts.iter().find(|a| a.merchant == line.receiver && a.channel == at.channel));
            let mistake = match (outside.able.contains(&line.receiver), &account) {
                (false, _) => Some(RECEIVER_UNABLE),
                (true, Some(None)) => Some(RECEIVER_WITHOUT_ACCOUNT),
                (true, Some(Some(account))) if account.status == AccountStatus::Refused => Some(RECEIVER_REFUSED),
                _ => None,
            };
            if let Some(code) = mistake {
                failed.extend(with_those_below(line.id, &self.lines).into_iter().map(|below| (below, ABOVE_FAILED)));
                failed.insert(line.id, code);
            } else if let Some(Some(account)) = account {
                if account.status == AccountStatus::Wait && !unknown.contains(account) {
                    unknown.push(account.clone());
                }
                let (account, amount_minor) = (account.account.clone(), line.amount.minor);
                let share = CallShare { line: line.id, account, amount_minor, outcome: None, error_code: None };
                shares.entry(line.attempt).or_default().push(share);
            }
        }
        if !unknown.is_empty() {
            return Next::Introduce(unknown);
        }
        let mut calls = Vec::new();
        for (attempt, shares) in shares {
            let Some(at) = self.slices.iter().find(|slice| slice.attempt == attempt).and_then(|slice| slice.upstream.as_ref()) else {
                continue;
            };
            let Some(receivers_max) = (outside.receivers_max)(&at.channel) else { return Next::Disconnected };
            let requests = call::rules::cut(shares, receivers_max).into_iter();
            calls.extend(requests.map(|shares| Call { shares, ..Call::new(&self.split, attempt, at, CallKind::Divide, now) }));
        }
        for line in &mut self.lines {
            if let Some(code) = failed.get(&line.id) {
                (line.status, line.error_code, line.resolved_at) = (LineStatus::Failed, Some((*code).to_owned()), Some(now));
                if line.parent.is_none() {
                    self.split.remainder.minor += line.amount.minor;
                }
                self.events.push(line_event("split.line_failed", line, now));
            } else if due.contains(&line.id) {
                (line.status, line.sent_at) = (LineStatus::Sent, Some(now));
                line.call = calls.iter().find(|call| call.shares.iter().any(|share| share.line == line.id)).map(|call| call.id);
            }
        }
        self.restate(now);
        let sent = self.transfers(|line| line.status == LineStatus::Sent && line.call.is_none());
        self.new_calls = calls;
        match (sent.is_empty(), self.new_calls.is_empty()) {
            // transfers are found again by the next look, and requests are then asked about first
            (true, false) => Next::Ask(call::fresh(&self.new_calls)),
            (false, _) => Next::Move(sent),
            (true, true) => Next::Again,
        }
    }

    /// Does with the look what the ledger alone can do: the lines have arrived, the parts are kept. Whether it was that.
    pub(super) fn carry_out(&mut self, next: &Next, now: DateTime<Utc>) -> bool {
        match next {
            Next::Move(transfers) => {
                self.postings.extend(legs(transfers));
                self.moved.extend(transfers);
                self.mark(&Learnt { arrived: transfers.iter().map(|t| SplitLineId(t.id.0)).collect(), kept: Vec::new() }, now);
            }
            Next::Keep(keeps) => {
                self.postings.extend(keeps.iter().filter_map(Keep::release));
                self.mark(&Learnt { arrived: Vec::new(), kept: keeps.iter().map(|keep| keep.line).collect() }, now);
            }
            Next::Again => {}
            Next::Introduce(_) | Next::Ask(_) | Next::Disconnected | Next::Refunding | Next::Settled => return false,
        }
        true
    }

    /// The channel that divides a line's payment: for lines of the first level.
    pub(super) fn upstream(&self, line: &Line) -> Option<&Upstream> {
        let slice = self.slices.iter().find(|slice| slice.attempt == line.attempt).filter(|_| line.parent.is_none());
        slice.and_then(|slice| slice.upstream.as_ref())
    }

    fn transfers(&self, of: impl Fn(&Line) -> bool) -> Vec<SendTransfer> {
        self.lines.iter().filter(|line| of(line)).filter_map(|line| transfer(&self.split, line, &self.lines)).collect()
    }

    fn restate(&mut self, now: DateTime<Utc>) {
        self.events.extend(restated(&mut self.split, &self.lines, now));
    }
}

/// Brings a split to the state that its lines give it. The event of a new state.
pub(super) fn restated(split: &mut Split, lines: &[Line], now: DateTime<Utc>) -> Option<Event> {
    let from = split.status;
    split.status = status(split, lines);
    (split.status != from).then(|| event(split, now))
}

/// Finishes a split that may, once (S3): its event, and the posting that releases what is left. None while money moves.
pub(super) fn finish(split: &mut Split, lines: &[Line], now: DateTime<Utc>) -> Option<(Event, Option<Posting>)> {
    if !split.finishing || split.finished_at.is_some() || under_way(lines) {
        return None;
    }
    let left = split.remainder;
    (split.remainder.minor, split.released.minor) = (0, split.released.minor + left.minor);
    (split.status, split.finished_at) = (SplitStatus::Finished, Some(now));
    let release = || recipe::split_release(split.money_book, split.order.0, left, AccountKind::MerchantPending, business_day(now));
    Some((event(split, now), (left.minor > 0).then(release)))
}

/// Requests that make the rest of each payment the merchant's, where none was made yet.
fn unfinished(split: &Split, slices: &[Slice], calls: &[Call], now: DateTime<Utc>) -> Vec<Call> {
    let finishes = |call: &Call| call.kind == CallKind::Finish && call.status != CallStatus::Failed;
    let finished = |slice: &Slice| calls.iter().any(|call| call.attempt == slice.attempt && finishes(call));
    let open = slices.iter().filter(|slice| !finished(slice));
    open.filter_map(|slice| Some(Call::new(split, slice.attempt, slice.upstream.as_ref()?, CallKind::Finish, now))).collect()
}

/// The transfer that pays a line that is SENT; the same however often it is asked for.
fn transfer(split: &Split, line: &Line, lines: &[Line]) -> Option<SendTransfer> {
    let from = match line.parent {
        None => split.money_book,
        Some(parent) => lines.iter().find(|above| above.id == parent)?.receiver.book(),
    };
    Some(SendTransfer {
        id: TransferId(line.id.0),
        purpose: Purpose::Split,
        from,
        from_account: AccountKind::SplitFrozen,
        to: line.receiver.book(),
        to_account: if line.passes_on { AccountKind::SplitFrozen } else { AccountKind::MerchantPending },
        amount: line.amount,
        day: business_day(line.sent_at?),
    })
}
