//! Releases (放款): what an order holds becomes the merchant's, as the order's product says: when the merchant confirms, when both sides do,
//! or by itself on a day, wholly or by stages.
//!
//! One transaction: lock the order → claim the key → read what was released and confirmed → decide ([`rules`]) → write releases, order, events and
//! audit → plan the split of what is released ([`crate::split`]) → post. A process that dies before the commit leaves nothing; after it, the same key gives the same answer, and a part that
//! is due by itself is found released under its order's lock, however many workers look at once.

mod repo;
pub mod rules;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Order, OrderError, Orders};
use crate::analytics::DayDelta;
use crate::base::actor::Actor;
use crate::base::clock::business_day;
use crate::base::id::{BookId, MerchantId, OrderId, ReleaseId, UserId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::money::Money;
use crate::base::outbox::Event;
use crate::base::{audit, db};
use crate::booking::Booking;
use crate::ledger::recipe;
use crate::split::{self, ReleasedPart};
use rules::{Decision, Payout, Progress, Side};

/// Orders looked up at a time.
const DUE_PAGE: i64 = 200;

/// Money that an order released.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub id: ReleaseId,
    pub merchant: MerchantId,
    pub order: OrderId,
    /// Empty: the hold has no stages.
    pub stage: String,
    /// What left the escrow account.
    pub amount: Money,
    /// The part of it that the platform took.
    pub fee: Money,
    /// None: the platform itself, by date, or the payer.
    pub released_by: Option<UserId>,
    pub released_at: DateTime<Utc>,
}

/// That a side agreed to a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub merchant: MerchantId,
    pub order: OrderId,
    pub stage: String,
    pub side: Side,
    pub confirmed_at: DateTime<Utc>,
}

/// Asks for a release, or agrees to it.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseOrder {
    pub merchant: MerchantId,
    pub order: OrderId,
    /// Of an order that is released by stages.
    pub stage: Option<String>,
    /// None: all that is left of the stage.
    pub amount: Option<Money>,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    pub order: Order,
    /// None: the other side has yet to agree.
    pub release: Option<Release>,
}

/// A command with who gives it: the key of one side is not the key of the other.
#[derive(Serialize)]
struct Signed<'a> {
    side: Side,
    #[serde(flatten)]
    cmd: &'a ReleaseOrder,
}

impl Orders {
    /// Releases held money, or notes that one side agrees where both have to. The merchant's owner, the order's payer and the platform may.
    pub async fn release(&self, actor: &Actor, cmd: ReleaseOrder) -> Result<Released, OrderError> {
        actor.require_payer(cmd.merchant, cmd.order)?;
        let side = if matches!(actor, Actor::Customer { .. }) { Side::Payer } else { Side::Merchant };
        db::retrying(OrderError::retryable, || self.release_once(actor, side, &cmd)).await.map_err(OrderError::or_busy)
    }

    async fn release_once(&self, actor: &Actor, side: Side, cmd: &ReleaseOrder) -> Result<Released, OrderError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "orderRelease", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let mut order = super::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(OrderError::NotFound)?;
        match idempotency::claim_in_tx(&mut tx, scope, &Signed { side, cmd }, cmd.order.0, now).await? {
            Claim::New => {}
            // a claim commits with its answer: one without was written by hand
            Claim::Seen { response, .. } => return response.ok_or(OrderError::NotFound),
        }
        let progress = repo::progress_in_tx(&mut tx, book, cmd.order).await?;
        let (release, booking) = match rules::request(&order, &progress, side, cmd.stage.as_deref(), cmd.amount)? {
            Decision::Confirm { stage } => {
                repo::confirm_in_tx(&mut tx, book, order.id, &stage, side, now).await?;
                let detail = serde_json::json!({ "stage": stage, "side": side });
                audit::record_in_tx(&mut tx, actor, "order.release_confirm", order.id.0, detail, now).await?;
                (None, Booking { events: vec![confirmed(&order, &stage, side, now)], ..Booking::default() })
            }
            Decision::Pay(payout) => {
                if let Some(side) = payout.confirmed_by {
                    repo::confirm_in_tx(&mut tx, book, order.id, &payout.stage, side, now).await?;
                }
                let (mut releases, booking) = pay_in_tx(&mut tx, actor, &mut order, &[payout], now).await?;
                (releases.pop(), booking)
            }
        };
        let released = Released { order, release };
        idempotency::complete_in_tx(&mut tx, scope, &released).await?;
        booking.write_in_tx(&mut tx, now).await?.map_err(OrderError::Posting)?;
        tx.commit().await?;
        Ok(released)
    }

    /// Releases what is due by itself. Gives how many releases that were. An order that cannot be released does not keep the others waiting: its
    /// error is returned once all were tried.
    pub async fn release_due(&self) -> Result<usize, OrderError> {
        let (mut released, mut failure, mut after) = (0, None, None);
        loop {
            let orders = repo::due(&self.db, self.clock.now(), after, DUE_PAGE).await?;
            let Some(&(_, last, at)) = orders.last() else { break };
            for (book, order, _) in orders {
                match db::retrying(OrderError::retryable, || self.release_due_of(book, order)).await {
                    Ok(releases) => released += releases,
                    Err(error) => {
                        tracing::error!(%order, error = &error as &dyn std::error::Error, "an order could not be released on its day");
                        failure.get_or_insert(error);
                    }
                }
            }
            after = Some((at, last));
        }
        failure.map_or(Ok(released), Err)
    }

    async fn release_due_of(&self, book: BookId, order: OrderId) -> Result<usize, OrderError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let mut order = super::repo::lock_in_tx(&mut tx, &[(book, order)]).await?.pop().ok_or(OrderError::NotFound)?;
        // another worker was faster
        if order.escrow.release_at.is_none_or(|at| at > now) {
            return Ok(0);
        }
        let progress: Progress = repo::progress_in_tx(&mut tx, book, order.id).await?;
        let payouts = rules::due(&order, &progress, now);
        order.escrow.release_at = order.paid_at.and_then(|paid_at| order.product.terms.next_due(paid_at, Some(now)));
        let (releases, booking) = pay_in_tx(&mut tx, &Actor::System, &mut order, &payouts, now).await?;
        booking.write_in_tx(&mut tx, now).await?.map_err(OrderError::Posting)?;
        tx.commit().await?;
        Ok(releases.len())
    }

    /// Releases of orders, for loaders that have checked who asks; oldest first.
    pub async fn releases_of(&self, orders: &[(MerchantId, OrderId)]) -> Result<Vec<Release>, OrderError> {
        Ok(repo::of_orders(&self.db, orders).await?)
    }

    /// Confirmations of orders, for loaders that have checked who asks; oldest first.
    pub async fn confirmations_of(&self, orders: &[(MerchantId, OrderId)]) -> Result<Vec<Confirmation>, OrderError> {
        Ok(repo::confirmations_of(&self.db, orders).await?)
    }
}

/// Writes the rows of payouts of a locked order, and gives what is to be booked when all rows are written.
async fn pay_in_tx(
    tx: &mut PgConnection,
    actor: &Actor,
    order: &mut Order,
    payouts: &[Payout],
    now: DateTime<Utc>,
) -> Result<(Vec<Release>, Booking), OrderError> {
    let mut booking = Booking::default();
    let mut releases = Vec::new();
    for payout in payouts {
        let release = Release {
            id: ReleaseId::new(),
            merchant: order.merchant,
            order: order.id,
            stage: payout.stage.clone(),
            amount: payout.amount,
            fee: payout.fee,
            released_by: actor.user(),
            released_at: now,
        };
        let (book, parts, to) = (order.money_book(), (release.amount, release.fee), rules::goes_to(order));
        let posting = recipe::order_release(book, order.store, release.id, order.id, parts, to, business_day(now));
        booking.deltas.extend(DayDelta::of(&posting, order.merchant));
        booking.postings.push(posting);
        order.escrow.released_minor += release.amount.minor;
        booking.events.push(released(order, &release, now));
        releases.push(release);
    }
    if order.held().minor == 0 {
        order.escrow.release_at = None;
    }
    if let Some(last) = releases.last() {
        repo::insert_in_tx(tx, &releases).await?;
        let detail = serde_json::json!({ "releases": releases.len(), "stage": last.stage, "amountMinor": last.amount.minor.to_string() });
        audit::record_in_tx(tx, actor, "order.release", order.id.0, detail, now).await?;
    }
    super::repo::update_in_tx(tx, std::slice::from_ref(order)).await?;
    let part = |r: &Release| ReleasedPart {
        release: r.id,
        net: Money { minor: r.amount.minor - r.fee.minor, ..r.amount },
        to: rules::goes_to(order),
    };
    let divided = split::plan_release_in_tx(tx, order, &releases.iter().map(part).collect::<Vec<_>>(), now).await?;
    Ok((releases, booking.and(divided)))
}

fn released(order: &Order, release: &Release, at: DateTime<Utc>) -> Event {
    Event {
        book: order.merchant.book(),
        kind: "order.released",
        subject: order.id.0,
        payload: serde_json::json!({
            "version": 1,
            "storeId": order.store,
            "releaseId": release.id,
            "productCode": order.product.code,
            "stage": release.stage,
            "amountMinor": release.amount.minor.to_string(),
            "feeMinor": release.fee.minor.to_string(),
            "heldMinor": order.held().minor.to_string(),
            "currency": release.amount.currency,
        }),
        at,
    }
}

fn confirmed(order: &Order, stage: &str, side: Side, at: DateTime<Utc>) -> Event {
    let payload = serde_json::json!({ "version": 1, "storeId": order.store, "stage": stage, "side": side });
    Event { book: order.merchant.book(), kind: "order.release_confirmed", subject: order.id.0, payload, at }
}
