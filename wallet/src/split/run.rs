//! Moving the money of a split: level by level, each line by a transfer of its own id. What a channel divides it divides first ([`super::call`]);
//! a line follows when the channel said that its share succeeded.
//!
//! | a process dies | what is left | who goes on |
//! |---|---|---|
//! | before lines are SENT | they wait | the job runs again |
//! | after lines are SENT | perhaps a transfer half-way | the job runs the same transfers again: what arrived has arrived |
//! | after they arrived | lines SENT whose receivers have the money | the job marks them |
//! | after a receiver's part was released | the line is not kept yet | the job posts the same release, which was posted, and marks it |

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::account::{self, DISCONNECTED_PAUSE};
use super::begin::release_in_tx;
use super::call::{self, ToAsk};
use super::state::{LineStatus, due, status, to_keep, under_way, with_those_below};
use super::{
    AccountStatus, Call, CallKind, CallShare, CallStatus, ChannelAccount, Line, ShareResult, Slice, Split, SplitError, Splits, Upstream,
    event, line, line_event, repo,
};
use crate::base::clock::business_day;
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, OrderId, SplitLineId, TransferId};
use crate::base::money::Money;
use crate::base::outbox;
use crate::book::transfer::{Purpose, SendTransfer};
use crate::channel::Progress;
use crate::ledger::{AccountKind, recipe};
use crate::order;

/// Kept with a line whose receiver is not signed, or has no book.
pub const RECEIVER_UNABLE: &str = "RECEIVER_UNABLE";
/// Kept with a line whose receiver has no account at the channel.
pub const RECEIVER_WITHOUT_ACCOUNT: &str = "RECEIVER_WITHOUT_ACCOUNT";
/// Kept with a line whose receiver's account the channel does not take.
pub const RECEIVER_REFUSED: &str = "RECEIVER_REFUSED";
/// Kept with a line that hangs on a failed one.
pub const ABOVE_FAILED: &str = "ABOVE_FAILED";

/// How long to wait while a refund of the order is under way.
const REFUND_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

/// What a look at a split found to be done outside of its own rows.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Transfers of lines that are SENT.
    Move(Vec<SendTransfer>),
    /// Receivers' own parts that are to be released: line, book, amount, and the day it is for.
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
    pub day: chrono::NaiveDate,
}

impl Splits {
    /// Moves what is due of an order's split until nothing is. Job [`super::EXECUTE_JOB`].
    pub async fn execute(&self, book: BookId, order: OrderId) -> Result<Progress, SplitError> {
        loop {
            if let Some(progress) = self.step(book, order).await? {
                return Ok(progress);
            }
        }
    }

    /// Decides what is next and does it. None: there may be more.
    pub async fn step(&self, book: BookId, order: OrderId) -> Result<Option<Progress>, SplitError> {
        let pause = match self.advance(book, order).await? {
            Next::Move(transfers) => {
                self.move_all(book, order, &transfers).await?;
                None
            }
            Next::Keep(keeps) => {
                self.release_kept(&keeps).await?;
                self.mark_kept(book, order, &keeps).await?;
                None
            }
            Next::Introduce(accounts) => self.introduce(&accounts).await?,
            Next::Ask(asks) => self.ask_all(&asks).await?,
            Next::Again => None,
            Next::Disconnected => Some(DISCONNECTED_PAUSE),
            Next::Refunding => Some(REFUND_PAUSE),
            Next::Settled => return Ok(Some(Progress::Settled)),
        };
        Ok(pause.map(Progress::AskAgain))
    }

    /// Decides and stores what is to be done next, in one transaction. Lines are SENT when this returns their transfers.
    pub async fn advance(&self, book: BookId, order: OrderId) -> Result<Next, SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let (mut split, mut lines) = lock_in_tx(&mut tx, book, order).await?;
            let next = self.advance_in_tx(&mut tx, &mut split, &mut lines, now).await?;
            if matches!(next, Next::Refunding | Next::Disconnected | Next::Introduce(_)) {
                return Ok(next);
            }
            tx.commit().await?;
            Ok(next)
        })
        .await
    }

    /// Runs transfers, and marks those that arrived. One that cannot move does not keep the others waiting: its error comes last.
    async fn move_all(&self, book: BookId, order: OrderId, transfers: &[SendTransfer]) -> Result<(), SplitError> {
        let (mut arrived, mut failure) = (Vec::with_capacity(transfers.len()), None);
        for transfer in transfers {
            match self.transfers.run(*transfer).await {
                Ok(_) => arrived.push(SplitLineId(transfer.id.0)),
                Err(error) => {
                    tracing::error!(line_id = %transfer.id, error = &error as &dyn std::error::Error, "a part of a split could not be moved");
                    failure.get_or_insert(error);
                }
            }
        }
        self.mark_arrived(book, order, &arrived).await?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Stores that lines arrived. Those that are marked already stay as they are.
    async fn mark_arrived(&self, book: BookId, order: OrderId, arrived: &[SplitLineId]) -> Result<(), SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let (mut split, mut lines) = lock_in_tx(&mut tx, book, order).await?;
            let is_new = |line: &Line| line.status.on_its_way() && arrived.contains(&line.id);
            let from: HashMap<_, _> = lines.iter().filter(|line| is_new(line)).map(|line| (line.id, line.status)).collect();
            let new: Vec<SplitLineId> = from.keys().copied().collect();
            for line in lines.iter_mut().filter(|line| new.contains(&line.id)) {
                (line.status, line.succeeded_minor, line.resolved_at) = (LineStatus::Succeeded, line.amount.minor, Some(now));
            }
            let changed: Vec<_> = lines.iter().filter_map(|l| Some((l, *from.get(&l.id)?))).collect();
            let mut events: Vec<_> = changed.iter().map(|(line, _)| line_event("split.line_succeeded", line, now)).collect();
            let unchanged = line::repo::update_lines_in_tx(&mut tx, &changed).await?;
            events.extend(restate_in_tx(&mut tx, &mut split, &lines, now).await?);
            if !unchanged {
                return Err(SplitError::Changed);
            }
            outbox::append_in_tx(&mut tx, &events).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Makes receivers' own parts their pending money, with those of other splits that come at the same time. What was released before is
    /// left as it is.
    async fn release_kept(&self, keeps: &[Keep]) -> Result<(), SplitError> {
        for keep in keeps.iter().filter(|keep| keep.own.minor > 0) {
            self.ledger.post(recipe::split_release(keep.book, keep.line.0, keep.own, AccountKind::MerchantPending, keep.day)).await?;
        }
        Ok(())
    }

    async fn mark_kept(&self, book: BookId, order: OrderId, keeps: &[Keep]) -> Result<(), SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let (mut split, mut lines) = lock_in_tx(&mut tx, book, order).await?;
            let is_new = |line: &Line| line.kept_at.is_none() && keeps.iter().any(|keep| keep.line == line.id);
            let new: Vec<SplitLineId> = lines.iter().filter(|line| is_new(line)).map(|line| line.id).collect();
            lines.iter_mut().filter(|line| new.contains(&line.id)).for_each(|line| line.kept_at = Some(now));
            let changed: Vec<_> = lines.iter().filter(|l| new.contains(&l.id)).map(|l| (l, l.status)).collect();
            let unchanged = line::repo::update_lines_in_tx(&mut tx, &changed).await?;
            let events: Vec<_> = restate_in_tx(&mut tx, &mut split, &lines, now).await?.into_iter().collect();
            if !unchanged {
                return Err(SplitError::Changed);
            }
            outbox::append_in_tx(&mut tx, &events).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}

/// Locks an order and its split (S7), and reads the lines.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, book: BookId, order: OrderId) -> Result<(Split, Vec<Line>), SplitError> {
    order::repo::lock_in_tx(tx, &[(book, order)]).await?.pop().ok_or(SplitError::NotFound)?;
    let split = repo::lock_in_tx(tx, book, order).await?.ok_or(SplitError::NotFound)?;
    let lines = line::repo::lines_in_tx(tx, book, order).await?;
    Ok((split, lines))
}

impl Splits {
    async fn advance_in_tx(
        &self,
        tx: &mut PgConnection,
        split: &mut Split,
        lines: &mut [Line],
        now: DateTime<Utc>,
    ) -> Result<Next, SplitError> {
        let (book, order) = (split.merchant.book(), split.order);
        let slices = repo::slices_in_tx(tx, book, order).await?;
        let divided = slices.iter().any(|slice| slice.upstream.is_some());
        let calls = if divided { call::repo::of_order(tx, book, order).await? } else { Vec::new() };
        // what a channel divides is moved when its share succeeded there
        let moves = |line: &Line| match line.call {
            None => line.status == LineStatus::Sent,
            Some(id) => {
                let succeeded = |call: &Call| call.id == id && call.outcome(line.id) == Some(ShareResult::Succeeded);
                line.status.on_its_way() && calls.iter().any(succeeded)
            }
        };
        let sent: Vec<SendTransfer> = lines.iter().filter(|line| moves(line)).filter_map(|l| transfer(split, l, lines)).collect();
        if !sent.is_empty() {
            return Ok(Next::Move(sent));
        }
        let due = due(lines);
        if !due.is_empty() {
            let begins = lines.iter().any(|line| line.parent.is_none() && due.contains(&line.id));
            if begins && repo::refund_open_in_tx(tx, book, order).await? {
                return Ok(Next::Refunding);
            }
            return self.send_in_tx(tx, split, lines, &due, &slices, now).await;
        }
        let keeps = to_keep(lines);
        if !keeps.is_empty() {
            let of = |(id, own_minor): (SplitLineId, i64)| {
                let line = lines.iter().find(|line| line.id == id)?;
                let own = Money { minor: own_minor, ..line.amount };
                // the day it arrived, so that a release made tomorrow is the same release
                Some(Keep { line: id, book: line.receiver.book(), own, day: business_day(line.resolved_at?) })
            };
            return Ok(Next::Keep(keeps.into_iter().filter_map(of).collect()));
        }
        let open = call::open_ones(&calls);
        if !open.is_empty() {
            return Ok(Next::Ask(open));
        }
        if !under_way(lines) && split.finishing && split.finished_at.is_none() && split.finish_error.is_none() {
            let unfinished = unfinished(split, &slices, &calls, now);
            if !unfinished.is_empty() {
                return Ok(Next::Ask(call::open_in_tx(tx, unfinished).await?));
            }
            let from = split.status;
            release_in_tx(tx, split, lines, from, now).await?;
        }
        Ok(Next::Settled)
    }

    /// Marks lines whose turn it is as SENT; those whose receivers cannot be paid have failed, with all below them (S8).
    async fn send_in_tx(
        &self,
        tx: &mut PgConnection,
        split: &mut Split,
        lines: &mut [Line],
        due: &[SplitLineId],
        slices: &[Slice],
        now: DateTime<Utc>,
    ) -> Result<Next, SplitError> {
        let receivers: Vec<_> = lines.iter().filter(|line| due.contains(&line.id)).map(|line| line.receiver).collect();
        let able = repo::able_in_tx(tx, &receivers).await?;
        let slice = |line: &Line| slices.iter().find(|slice| slice.attempt == line.attempt);
        let upstream = |line: &Line| slice(line).filter(|_| line.parent.is_none()).and_then(|slice| slice.upstream.as_ref());
        let divided = lines.iter().any(|line| due.contains(&line.id) && upstream(line).is_some());
        let accounts = if divided { account::repo::of_merchants_in_tx(tx, &receivers).await? } else { Vec::new() };
        let account = |line: &Line, at: &Upstream| accounts.iter().find(|a| a.merchant == line.receiver && a.channel == at.channel);

        let (mut failed, mut unknown) = (HashMap::<SplitLineId, &str>::new(), Vec::<ChannelAccount>::new());
        let mut shares: BTreeMap<AttemptId, Vec<CallShare>> = BTreeMap::new();
        for line in lines.iter().filter(|line| due.contains(&line.id)) {
            let at = upstream(line);
            let account = at.map(|at| account(line, at));
            let mistake = match (able.contains(&line.receiver), &account) {
                (false, _) => Some(RECEIVER_UNABLE),
                (true, Some(None)) => Some(RECEIVER_WITHOUT_ACCOUNT),
                (true, Some(Some(account))) if account.status == AccountStatus::Refused => Some(RECEIVER_REFUSED),
                _ => None,
            };
            if let Some(code) = mistake {
                failed.extend(with_those_below(line.id, lines).into_iter().map(|below| (below, ABOVE_FAILED)));
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
            return Ok(Next::Introduce(unknown));
        }
        let mut calls = Vec::new();
        for (attempt, shares) in shares {
            let Some(at) = slices.iter().find(|slice| slice.attempt == attempt).and_then(|slice| slice.upstream.as_ref()) else { continue };
            let Some(divider) = self.channels.divider(&at.channel) else { return Ok(Next::Disconnected) };
            let requests = call::rules::cut(shares, divider.caps().receivers_max).into_iter();
            calls.extend(requests.map(|shares| Call { shares, ..Call::new(split, attempt, at, CallKind::Divide, now) }));
        }
        for line in lines.iter_mut() {
            if let Some(code) = failed.get(&line.id) {
                (line.status, line.error_code, line.resolved_at) = (LineStatus::Failed, Some((*code).to_owned()), Some(now));
                if line.parent.is_none() {
                    split.remainder.minor += line.amount.minor;
                }
            } else if due.contains(&line.id) {
                (line.status, line.sent_at) = (LineStatus::Sent, Some(now));
                line.call = calls.iter().find(|call| call.shares.iter().any(|share| share.line == line.id)).map(|call| call.id);
            }
        }
        let touched = |line: &Line| failed.contains_key(&line.id) || due.contains(&line.id);
        let changed: Vec<_> = lines.iter().filter(|l| touched(l)).map(|l| (l, LineStatus::Wait)).collect();
        let failures = changed.iter().filter(|(line, _)| line.status == LineStatus::Failed);
        let mut events: Vec<_> = failures.map(|(line, _)| line_event("split.line_failed", line, now)).collect();
        if !line::repo::update_lines_in_tx(tx, &changed).await? {
            return Err(SplitError::Changed);
        }
        let asks = if calls.is_empty() { Vec::new() } else { call::open_in_tx(tx, calls).await? };
        let sends = |line: &&Line| line.status == LineStatus::Sent && line.call.is_none();
        let sent: Vec<SendTransfer> = lines.iter().filter(sends).filter_map(|l| transfer(split, l, lines)).collect();
        events.extend(restate_in_tx(tx, split, lines, now).await?);
        outbox::append_in_tx(tx, &events).await?;
        Ok(match (sent.is_empty(), asks.is_empty()) {
            // transfers are found again by the next look, and requests are then asked about first
            (true, false) => Next::Ask(asks),
            (false, _) => Next::Move(sent),
            (true, true) => Next::Again,
        })
    }
}

/// Requests that make the rest of each payment the merchant's, where none was made yet.
fn unfinished(split: &Split, slices: &[Slice], calls: &[Call], now: DateTime<Utc>) -> Vec<Call> {
    let finishes = |call: &Call| call.kind == CallKind::Finish && call.status != CallStatus::Failed;
    let finished = |slice: &Slice| calls.iter().any(|call| call.attempt == slice.attempt && finishes(call));
    let open = slices.iter().filter(|slice| !finished(slice));
    open.filter_map(|slice| Some(Call::new(split, slice.attempt, slice.upstream.as_ref()?, CallKind::Finish, now))).collect()
}

/// Writes the split with the state that its lines give it. The event of a new state.
pub(super) async fn restate_in_tx(
    tx: &mut PgConnection,
    split: &mut Split,
    lines: &[Line],
    now: DateTime<Utc>,
) -> Result<Option<outbox::Event>, SplitError> {
    let from = split.status;
    split.status = status(split, lines);
    if !repo::update_in_tx(tx, split, from).await? {
        return Err(SplitError::Changed);
    }
    Ok((split.status != from).then(|| event(split, now)))
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
