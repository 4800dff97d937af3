//! How a split begins: its plan with the payment, and the rounds, the finish and the deadline that a person or the clock asks for.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::line::repo::{insert_lines_in_tx, lines_in_tx, update_lines_in_tx};
use super::plan::{self, Parties};
use super::state::{LineStatus, SplitStatus, rest_minor, status, with_those_below};
use super::{
    CreateRound, DEADLINE_JOB, EXECUTE_JOB, FINISH_BEFORE, FinishSplit, Line, ROUNDS_MAX, RetryFinish, Share, Slice, Split, SplitError,
    Splits, event, look, repo,
};
use crate::base::actor::{Actor, Role};
use crate::base::audit;
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, OrderId, SplitLineId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::base::outbox;
use crate::booking::Booking;
use crate::channel::Progress;
use crate::ledger::{self, AccountKind, recipe};
use crate::order::{self, Order};

/// How long to wait where an order holds money that will be divided when it is released.
const HELD_PAUSE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// A paid order that is to be divided.
#[derive(Clone, Debug)]
pub struct NewSplit<'a> {
    /// Locked, and paid in the same transaction.
    pub order: &'a Order,
    /// What may be divided of each payment.
    pub slices: Vec<Slice>,
    pub rule: Vec<Share>,
    pub parties: Parties,
    /// Whether the whole of it is divided at once and finished; otherwise its merchant asks for rounds.
    pub at_once: bool,
    /// Until when the money may stay frozen: [`super::FROZEN_FOR`] after the payment, or what the channel allows.
    pub frozen_until: DateTime<Utc>,
}

/// Plans the splits of orders that were just paid. Gives what the caller has to book **after** the postings of the payments, in the same
/// call; for many as for one it is five statements.
///
/// Nobody's money may be refused for a rule that should never have been frozen: such an order is left undivided, and a person is called.
pub async fn plan_in_tx(tx: &mut PgConnection, new: &[NewSplit<'_>], now: DateTime<Utc>) -> Result<Booking, SplitError> {
    let mut booking = Booking::default();
    let (mut splits, mut slices, mut lines, mut jobs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for new in new {
        let order = new.order;
        let mut mistakes = plan::check(&new.rule);
        mistakes.extend(plan::check_parties(&new.rule, order.merchant, &new.parties));
        if !mistakes.is_empty() {
            tracing::error!(order_id = %order.id, ?mistakes, "the rule of a paid order cannot be used: it is not divided");
            continue;
        }
        let usable: Vec<Slice> = new.slices.iter().filter(|slice| slice.base_minor > 0).cloned().collect();
        let base_minor = usable.iter().map(|slice| slice.base_minor).sum();
        if base_minor == 0 {
            continue;
        }
        let money = |minor| Money { minor, ..order.amount };
        let mut split = Split {
            merchant: order.merchant,
            order: order.id,
            money_book: order.money_book(),
            rule: new.rule.clone(),
            parties: new.parties.clone(),
            base: money(base_minor),
            rounds_minor: 0,
            rounds: 0,
            remainder: money(base_minor),
            released: money(0),
            status: SplitStatus::Planned,
            finishing: false,
            finish_at: new.frozen_until - FINISH_BEFORE,
            finish_error: None,
            created_at: now,
            finished_at: None,
        };
        let book = order.merchant.book();
        let job = |kind, run_at| NewJob { kind, book, subject: order.id.0, run_at };
        if new.at_once {
            match round(&mut split, &left_of(&usable, &[]), base_minor, now) {
                Some(planned) => {
                    lines.extend(planned);
                    split.status = SplitStatus::Accepted;
                }
                // the channel took the payment by other rules than it was asked for by: it frees the money, and a person divides otherwise
                None => {
                    let error = too_much(&usable, &[], split.base);
                    tracing::error!(order_id = %order.id, error = &error as &dyn std::error::Error, "a paid order cannot be divided");
                }
            }
            split.finishing = true;
            jobs.push(job(EXECUTE_JOB, Clock::wall()));
        } else {
            jobs.push(job(DEADLINE_JOB, Clock::wall() + (split.finish_at - now)));
        }
        booking.postings.push(recipe::split_freeze(
            split.money_book,
            order.id.0,
            split.base,
            AccountKind::MerchantPending,
            business_day(now),
        ));
        booking.events.push(event(&split, now));
        slices.extend(usable.into_iter().map(|slice| (book, order.id, slice)));
        splits.push(split);
    }
    if !splits.is_empty() {
        repo::insert_in_tx(tx, &splits, &slices).await?;
        insert_lines_in_tx(tx, &lines).await?;
        job::enqueue_in_tx(tx, &jobs).await?;
    }
    Ok(booking)
}

/// Adds a round over `minor` of the split to it, and gives its lines. `slices`: how much of each payment is still there.
pub(super) fn round(split: &mut Split, slices: &[(AttemptId, i64)], minor: i64, now: DateTime<Utc>) -> Option<Vec<Line>> {
    let planned = plan::plan(minor, &split.rule, &split.parties, slices)?;
    split.rounds += 1;
    split.rounds_minor += minor;
    let mut lines: Vec<Line> = Vec::with_capacity(planned.len());
    for line in planned {
        if line.parent.is_none() {
            split.remainder.minor -= line.amount_minor;
        }
        lines.push(Line {
            id: SplitLineId::new(),
            merchant: split.merchant,
            order: split.order,
            round: split.rounds,
            attempt: line.attempt,
            parent: line.parent.map(|place| lines[place].id),
            role: line.role,
            receiver: line.receiver,
            amount: Money { minor: line.amount_minor, ..split.base },
            passes_on: line.passes_on,
            call: None,
            status: LineStatus::Wait,
            error_code: None,
            succeeded_minor: 0,
            returning_minor: 0,
            returned_minor: 0,
            created_at: now,
            sent_at: None,
            resolved_at: None,
            kept_at: None,
        });
    }
    Some(lines)
}

/// What of a payment its lines take.
fn taken(attempt: AttemptId, lines: &[Line]) -> i64 {
    let top = lines.iter().filter(|l| l.attempt == attempt && l.parent.is_none() && l.status != LineStatus::Failed);
    top.map(|l| l.amount.minor).sum()
}

/// What of each payment no line has, and its channel would still give to receivers.
fn left_of(slices: &[Slice], lines: &[Line]) -> Vec<(AttemptId, i64)> {
    let left = |slice: &Slice| {
        let most = slice.upstream.as_ref().map_or(slice.base_minor, |upstream| upstream.divisible_minor.min(slice.base_minor));
        (slice.attempt, (most - taken(slice.attempt, lines)).max(0))
    };
    slices.iter().map(left).collect()
}

/// Why a round does not fit: the channels give receivers no more of the payments (S5), or the slices are wrong.
fn too_much(slices: &[Slice], lines: &[Line], base: Money) -> SplitError {
    let Some(upstream) = slices.iter().find_map(|slice| slice.upstream.as_ref()) else { return SplitError::Changed };
    let most = Money { minor: left_of(slices, lines).iter().map(|(_, minor)| minor).sum(), ..base };
    SplitError::AmountExceedsChannel { channel: upstream.channel.clone(), most }
}

/// Whether the channels give receivers so much of each payment (S5). `lines`: all of the order.
fn within_channels<'s>(slices: impl IntoIterator<Item = &'s Slice>, lines: &[Line], base: Money) -> Result<(), SplitError> {
    for slice in slices {
        if let Some(upstream) = &slice.upstream
            && taken(slice.attempt, lines) > upstream.divisible_minor
        {
            let most = Money { minor: upstream.divisible_minor, ..base };
            return Err(SplitError::AmountExceedsChannel { channel: upstream.channel.clone(), most });
        }
    }
    Ok(())
}

impl Splits {
    /// Divides an order, or a part of it; lines that failed before are tried again. Only the merchant's owner and the platform may.
    pub async fn split(&self, actor: &Actor, cmd: CreateRound) -> Result<Split, SplitError> {
        actor.require_owner(cmd.merchant)?;
        retrying(SplitError::retryable, || self.try_split(actor, &cmd)).await.map_err(SplitError::or_busy)
    }

    async fn try_split(&self, actor: &Actor, cmd: &CreateRound) -> Result<Split, SplitError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "splitCreate", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let order = order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(SplitError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.order.0, now).await? {
            return Ok(told);
        }
        let mut split = repo::lock_in_tx(&mut tx, book, cmd.order).await?.ok_or(SplitError::NotFound)?;
        let from = split.status;
        if split.finishing {
            return Err(SplitError::Finished);
        }
        if !repo::refunds_open_in_tx(&mut tx, &[(book, cmd.order)]).await?.is_empty() {
            return Err(SplitError::RefundOpen);
        }
        if cmd.finish && order.held().minor > 0 {
            return Err(SplitError::StillHeld);
        }
        let mut lines = lines_in_tx(&mut tx, book, cmd.order).await?;
        let slices = repo::slices_in_tx(&mut tx, book, cmd.order).await?;
        if now >= split.finish_at && slices.iter().any(|slice| slice.upstream.is_some()) {
            return Err(SplitError::FrozenTooLong { until: split.finish_at });
        }
        let again = try_again(&mut split, &mut lines);
        let amount = wanted(cmd.amount, &split)?;
        if amount == 0 && again.is_empty() && !cmd.finish {
            return Err(SplitError::NothingLeft);
        }
        if amount > 0 {
            if split.rounds >= ROUNDS_MAX {
                return Err(SplitError::TooManyRounds(ROUNDS_MAX));
            }
            let new = round(&mut split, &left_of(&slices, &lines), amount, now).ok_or_else(|| too_much(&slices, &lines, split.base))?;
            insert_lines_in_tx(&mut tx, &new).await?;
            lines.extend(new);
        }
        within_channels(&slices, &lines, split.base)?;
        split.finishing = cmd.finish;
        split.status = status(&split, &lines);
        let reopened: Vec<_> = lines.iter().filter(|l| again.contains(&l.id)).map(|l| (l, LineStatus::Failed)).collect();
        let unchanged = update_lines_in_tx(&mut tx, &reopened).await? && repo::update_in_tx(&mut tx, &split, from).await?;
        if !unchanged {
            return Err(SplitError::Changed);
        }
        let detail = serde_json::json!({ "amount_minor": amount.to_string(), "round": split.rounds, "finish": cmd.finish });
        audit::record_in_tx(&mut tx, actor, "split.round", cmd.order.0, detail, now).await?;
        outbox::append_in_tx(&mut tx, &[event(&split, now)]).await?;
        job::enqueue_in_tx(&mut tx, &[NewJob { kind: EXECUTE_JOB, book, subject: cmd.order.0, run_at: Clock::wall() }]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &split).await?;
        tx.commit().await?;
        Ok(split)
    }

    /// Releases what is not divided to the merchant, as soon as nothing of the order moves. Only the merchant's owner and the platform may.
    ///
    /// A split that has finished is given as it is.
    pub async fn finish(&self, actor: &Actor, cmd: FinishSplit) -> Result<Split, SplitError> {
        actor.require_owner(cmd.merchant)?;
        retrying(SplitError::retryable, || self.try_finish(actor, &cmd)).await.map_err(SplitError::or_busy)
    }

    async fn try_finish(&self, actor: &Actor, cmd: &FinishSplit) -> Result<Split, SplitError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "splitFinish", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let order = order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(SplitError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.order.0, now).await? {
            return Ok(told);
        }
        let split = repo::lock_in_tx(&mut tx, book, cmd.order).await?.ok_or(SplitError::NotFound)?;
        if order.held().minor > 0 {
            return Err(SplitError::StillHeld);
        }
        let split = finish_in_tx(&mut tx, actor, split, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &split).await?;
        tx.commit().await?;
        Ok(split)
    }

    /// Has a finish tried again that a channel refused for good, under another number. Operators.
    pub async fn retry_finish(&self, actor: &Actor, cmd: RetryFinish) -> Result<Split, SplitError> {
        actor.require_role(Role::Operator)?;
        retrying(SplitError::retryable, || self.try_retry_finish(actor, &cmd)).await.map_err(SplitError::or_busy)
    }

    async fn try_retry_finish(&self, actor: &Actor, cmd: &RetryFinish) -> Result<Split, SplitError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "splitFinishRetry", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(SplitError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.order.0, now).await? {
            return Ok(told);
        }
        let mut split = repo::lock_in_tx(&mut tx, book, cmd.order).await?.ok_or(SplitError::NotFound)?;
        let code = split.finish_error.take().ok_or(SplitError::FinishNotRefused)?;
        if !repo::update_in_tx(&mut tx, &split, split.status).await? {
            return Err(SplitError::Changed);
        }
        audit::record_in_tx(&mut tx, actor, "split.finish_retry", cmd.order.0, serde_json::json!({ "refused_with": code }), now).await?;
        job::enqueue_in_tx(&mut tx, &[NewJob { kind: EXECUTE_JOB, book, subject: cmd.order.0, run_at: Clock::wall() }]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &split).await?;
        tx.commit().await?;
        Ok(split)
    }

    /// Finishes a split whose money must not stay frozen much longer (S6). Job [`DEADLINE_JOB`].
    pub async fn finish_due(&self, book: BookId, order: OrderId) -> Result<Progress, SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let order = order::repo::lock_in_tx(&mut tx, &[(book, order)]).await?.pop().ok_or(SplitError::NotFound)?;
            let split = repo::lock_in_tx(&mut tx, book, order.id).await?.ok_or(SplitError::NotFound)?;
            if order.held().minor > 0 {
                return Ok(Progress::AskAgain(HELD_PAUSE));
            }
            // a sandbox may have turned its day back
            if let Ok(early) = (split.finish_at - now).to_std()
                && !early.is_zero()
            {
                return Ok(Progress::AskAgain(early.min(std::time::Duration::from_secs(3_600))));
            }
            if !split.finishing {
                finish_in_tx(&mut tx, &Actor::System, split, now).await?;
                tx.commit().await?;
            }
            Ok(Progress::Settled)
        })
        .await
    }
}

/// How much a round divides, in minor units; zero where all of it is divided and none was named.
fn wanted(amount: Option<Money>, split: &Split) -> Result<i64, SplitError> {
    let rest = rest_minor(split);
    match amount {
        None => Ok(rest),
        Some(amount) if amount.currency != split.base.currency => Err(SplitError::CurrencyDiffers),
        Some(amount) if amount.minor <= 0 => Err(SplitError::AmountInvalid),
        Some(amount) if amount.minor > rest => Err(SplitError::AmountExceedsRest { rest: Money { minor: rest, ..split.base } }),
        Some(amount) => Ok(amount.minor),
    }
}

/// Opens again what the order itself could not pay, as far as there is money for it. The lines that wait again.
fn try_again(split: &mut Split, lines: &mut [Line]) -> Vec<SplitLineId> {
    let mut again = Vec::new();
    let top: Vec<_> =
        lines.iter().filter(|l| l.parent.is_none() && l.status == LineStatus::Failed).map(|l| (l.id, l.amount.minor)).collect();
    for (id, minor) in top {
        if minor <= split.remainder.minor {
            split.remainder.minor -= minor;
            again.extend(with_those_below(id, lines));
        }
    }
    for line in lines.iter_mut().filter(|line| again.contains(&line.id)) {
        (line.status, line.error_code, line.resolved_at, line.call) = (LineStatus::Wait, None, None, None);
    }
    again
}

/// Allows no further round, and releases what is left at once where nothing moves.
async fn finish_in_tx(tx: &mut PgConnection, actor: &Actor, mut split: Split, now: DateTime<Utc>) -> Result<Split, SplitError> {
    if split.finishing {
        return Ok(split);
    }
    let from = split.status;
    let lines = lines_in_tx(tx, split.merchant.book(), split.order).await?;
    split.finishing = true;
    audit::record_in_tx(tx, actor, "split.finish", split.order.0, serde_json::json!({ "rounds": split.rounds }), now).await?;
    let asks_channels = repo::slices_in_tx(tx, split.merchant.book(), split.order).await?.iter().any(|slice| slice.upstream.is_some());
    if asks_channels {
        // they finish first: the job sees to it
        let job = NewJob { kind: EXECUTE_JOB, book: split.merchant.book(), subject: split.order.0, run_at: Clock::wall() };
        job::enqueue_in_tx(tx, &[job]).await?;
    }
    let finished = if asks_channels { None } else { look::finish(&mut split, &lines, now) };
    if !repo::update_in_tx(tx, &split, from).await? {
        return Err(SplitError::Changed);
    }
    if let Some((event, release)) = finished {
        outbox::append_in_tx(tx, &[event]).await?;
        for outcome in ledger::post_in_tx(tx, release.as_slice(), business_day(now), now).await? {
            outcome.map_err(SplitError::Posting)?;
        }
    }
    Ok(split)
}
