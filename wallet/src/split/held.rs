//! Dividing what a held order releases (定转佣): by the order's rule, applied to each released part, in the transaction of its release.
//!
//! The part is frozen whole, and what the rule leaves to the merchant is released at once: the same postings as of any split, so that a
//! return and a refund find the merchant's own share where they look for it. One split grows with each release and finishes with the last.
//! The job moves the lines. A process that dies before the commit leaves neither release nor split.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::begin::round;
use super::line::repo::{insert_lines_in_tx, lines_in_tx};
use super::state::{SplitStatus, status};
use super::{DEADLINE_JOB, EXECUTE_JOB, FINISH_BEFORE, FROZEN_FOR, Slice, Split, SplitError, event, plan, repo};
use crate::base::clock::{Clock, business_day};
use crate::base::id::ReleaseId;
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::booking::Booking;
use crate::ledger::{AccountKind, recipe};
use crate::order::Order;

/// Money that an order releases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReleasedPart {
    pub release: ReleaseId,
    /// What the merchant gets of it: less the fee.
    pub net: Money,
    /// Where the release puts it.
    pub to: AccountKind,
}

/// Plans the division of what a locked order releases. Gives what the caller has to book **after** the postings of the releases, in the
/// same call. Nothing for an order that is not divided.
pub async fn plan_release_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    parts: &[ReleasedPart],
    now: DateTime<Utc>,
) -> Result<Booking, SplitError> {
    let mut booking = Booking::default();
    let Some((rule, parties)) = order.split() else { return Ok(booking) };
    let parts: Vec<&ReleasedPart> = parts.iter().filter(|part| part.net.minor > 0).collect();
    if parts.is_empty() {
        return Ok(booking);
    }
    let mut mistakes = plan::check(rule);
    mistakes.extend(plan::check_parties(rule, order.merchant, parties));
    if !mistakes.is_empty() {
        tracing::error!(order_id = %order.id, ?mistakes, "the rule of a held order cannot be used: what it releases is not divided");
        return Ok(booking);
    }
    let (book, money) = (order.merchant.book(), |minor| Money { minor, ..order.amount });
    let known = repo::lock_in_tx(tx, book, order.id).await?;
    if known.as_ref().is_some_and(|split| split.finishing) {
        // a failed refund brought money back after all was released: no line follows a finish (S3)
        tracing::error!(order_id = %order.id, "a release after the split has finished is not divided");
        return Ok(booking);
    }
    let attempt = repo::paid_by_in_tx(tx, book, order.id).await?.ok_or(SplitError::NotFound)?;
    let from = known.as_ref().map(|split| split.status);
    let mut split = known.unwrap_or_else(|| Split {
        merchant: order.merchant,
        order: order.id,
        money_book: order.money_book(),
        rule: rule.to_vec(),
        parties: parties.clone(),
        base: money(0),
        rounds_minor: 0,
        rounds: 0,
        remainder: money(0),
        released: money(0),
        status: SplitStatus::Planned,
        finishing: false,
        finish_at: now + FROZEN_FOR - FINISH_BEFORE,
        finish_error: None,
        created_at: now,
        finished_at: None,
    });
    let mut lines = Vec::new();
    for part in &parts {
        let net = part.net.minor;
        (split.base.minor, split.remainder.minor) = (split.base.minor + net, split.remainder.minor + net);
        let new = round(&mut split, &[(attempt, net)], net, now).ok_or(SplitError::Changed)?;
        let own = money(net - new.iter().filter(|line| line.parent.is_none()).map(|line| line.amount.minor).sum::<i64>());
        (split.remainder.minor, split.released.minor) = (split.remainder.minor - own.minor, split.released.minor + own.minor);
        let day = business_day(now);
        booking.postings.push(recipe::split_freeze(split.money_book, part.release.0, part.net, part.to, day));
        if own.minor > 0 {
            booking.postings.push(recipe::split_release(split.money_book, part.release.0, own, part.to, day));
        }
        lines.extend(new);
    }
    split.finishing = order.held().minor == 0;
    let added: i64 = parts.iter().map(|part| part.net.minor).sum();
    let job = |kind, run_at| NewJob { kind, book, subject: order.id.0, run_at };
    let mut jobs = vec![job(EXECUTE_JOB, Clock::wall())];
    match from {
        None => {
            split.status = status(&split, &lines);
            repo::insert_in_tx(tx, &[split.clone()], &[(book, order.id, Slice::of_ledger(attempt, added))]).await?;
            jobs.push(job(DEADLINE_JOB, Clock::wall() + (split.finish_at - now)));
        }
        Some(from) => {
            let mut all = lines_in_tx(tx, book, order.id).await?;
            all.extend(lines.iter().cloned());
            split.status = status(&split, &all);
            let unchanged =
                repo::update_in_tx(tx, &split, from).await? && repo::add_to_slice_in_tx(tx, book, order.id, attempt, added).await?;
            if !unchanged {
                return Err(SplitError::Changed);
            }
        }
    }
    insert_lines_in_tx(tx, &lines).await?;
    job::enqueue_in_tx(tx, &jobs).await?;
    booking.events.push(event(&split, now));
    Ok(booking)
}
