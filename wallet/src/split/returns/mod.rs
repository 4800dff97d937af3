//! Money that comes back from receivers (分账回退): planned in proportion, then bottom-up, each part by a transfer of its own id.
//!
//! A part is SENT before its money moves: first the receiver's own share of it is set aside, from pending and then from available, beside
//! what came from below; then all of it goes up. Both steps are named after the part, so a process that dies leaves SENT parts that any
//! other ends. A receiver that has too little keeps its part, and the return, open.
//!
//! What a channel gave comes back there first, when all that was passed on of it is back in our books and its receiver's own share is set
//! aside: then the part moves in the ledger. A channel that refuses is asked again later, under another number. A channel that takes shares
//! back with the refund alone is another story: [`royalty`].

pub(super) mod repo;
pub(crate) mod royalty;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::account::DISCONNECTED_PAUSE;
use super::back::{Standing, plan_return, returnable_minor};
use super::line::repo::update_lines_in_tx;
use super::run::lock_in_tx;
use super::state::{LineStatus, PartStatus, of_returns, standing, under_way};
use super::{Call, CallStatus, Line, Part, RETURN_JOB, Return, ReturnSplit, Split, SplitError, Splits, Upstream, line_event};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{AttemptId, BookId, OrderId, SplitLineId, SplitReturnId, TransferId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::base::outbox::{self, Event};
use crate::book::transfer::{Purpose, SendTransfer};
use crate::channel::Progress;
use crate::ledger::{self, AccountKind, AccountName, Posting, Rejection, recipe};
use crate::order::{self, Order};
use royalty::Fate;

/// How long to wait for a receiver that has too little.
const SHORT_PAUSE: Duration = Duration::from_secs(60);

/// A return that was planned.
#[derive(Clone, Debug)]
pub struct ReturnPlan {
    pub back: Return,
    /// What the caller has to post, before what takes the merchant's own part: it makes that part pending money.
    pub postings: Vec<Posting>,
}

/// Plans what everybody gives back of a refund, in proportion to what each has of the order: the merchant's own part, and the receivers',
/// which a job brings to the merchant's pending money. None: the order is not divided.
///
/// The order must be locked. `reference` is the refund: asked again, the same plan is given, without postings. `amount` is what the
/// merchant and the receivers lose together, so without the part of the fee that comes back.
///
/// # Errors
/// [`SplitError::UnderWay`] while money of the order moves to receivers; [`SplitError::AmountExceedsReturnable`].
pub async fn plan_return_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    reference: Uuid,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<Option<ReturnPlan>, SplitError> {
    let book = order.merchant.book();
    let Some(mut split) = super::repo::lock_in_tx(tx, book, order.id).await? else { return Ok(None) };
    let lines = super::line::repo::lines_in_tx(tx, book, order.id).await?;
    let earlier = repo::returns_of(&mut *tx, book, order.id).await?;
    if let Some(same) = earlier.iter().find(|back| back.reference == reference) {
        return Ok(Some(ReturnPlan { back: same.clone(), postings: Vec::new() }));
    }
    // what the merchant has of the order: what no line has and what receivers gave back, less what went into refunds before
    let given: i64 = earlier.iter().map(|back| back.own.minor).sum();
    let regained: i64 = earlier.iter().filter(|back| back.reference == back.id.0).map(|back| back.amount.minor).sum();
    let own = Standing {
        line: SplitLineId(Uuid::nil()),
        parent: None,
        // below zero where it gave what a channel left with receivers
        standing_minor: (split.remainder.minor + split.released.minor + regained - given).max(0),
    };
    let back = plan_in_tx(tx, &split, lines, Some(own), Some(reference), amount, now).await?;
    let mut postings = Vec::new();
    let released = Money { minor: back.own.minor.min(split.remainder.minor), ..back.own };
    if released.minor > 0 {
        split.remainder.minor -= released.minor;
        split.released.minor += released.minor;
        if !super::repo::update_in_tx(tx, &split, split.status).await? {
            return Err(SplitError::Changed);
        }
        postings.push(recipe::split_release(split.money_book, back.id.0, released, AccountKind::MerchantPending, business_day(now)));
    }
    Ok(Some(ReturnPlan { back, postings }))
}

/// Decides and writes a return with its parts, the lines that it concerns, and its job.
async fn plan_in_tx(
    tx: &mut PgConnection,
    split: &Split,
    mut lines: Vec<Line>,
    own: Option<Standing>,
    reference: Option<Uuid>,
    amount: Money,
    now: DateTime<Utc>,
) -> Result<Return, SplitError> {
    if amount.currency != split.base.currency {
        return Err(SplitError::CurrencyDiffers);
    }
    if amount.minor <= 0 {
        return Err(SplitError::AmountInvalid);
    }
    if under_way(&lines) {
        return Err(SplitError::UnderWay);
    }
    let mut stand = standing(&lines);
    stand.extend(own);
    let Some(backs) = plan_return(amount.minor, &stand) else {
        let returnable = Money { minor: returnable_minor(&stand), ..split.base };
        return Err(SplitError::AmountExceedsReturnable { returnable });
    };
    let own_minor = backs.iter().filter(|back| back.line.0.is_nil()).map(|back| back.amount_minor).sum();
    let parts: Vec<Part> = backs
        .iter()
        .filter(|back| !back.line.0.is_nil())
        .map(|back| Part {
            id: TransferId::new().0,
            line: back.line,
            amount_minor: back.amount_minor,
            status: PartStatus::Wait,
            sent_at: None,
            error_code: None,
        })
        .collect();
    let id = SplitReturnId::new();
    let back = Return {
        id,
        merchant: split.merchant,
        order: split.order,
        reference: reference.unwrap_or(id.0),
        amount,
        own: Money { minor: own_minor, ..amount },
        created_at: now,
        done_at: parts.is_empty().then_some(now),
    };
    let mut changed = Vec::new();
    for line in &mut lines {
        if let Some(part) = parts.iter().find(|part| part.line == line.id) {
            changed.push((line.id, line.status));
            line.returning_minor += part.amount_minor;
            line.status = LineStatus::Returning;
        }
    }
    repo::insert_return_in_tx(tx, &back, &parts).await?;
    let from = |line: &Line| changed.iter().find(|(id, _)| *id == line.id).map(|(_, from)| *from);
    let changed: Vec<_> = lines.iter().filter_map(|line| Some((line, from(line)?))).collect();
    if !update_lines_in_tx(tx, &changed).await? {
        return Err(SplitError::Changed);
    }
    if !parts.is_empty() {
        let job = NewJob { kind: RETURN_JOB, book: split.merchant.book(), subject: back.id.0, run_at: Clock::wall() };
        job::enqueue_in_tx(tx, &[job]).await?;
    }
    Ok(back)
}

/// What a look at a return found to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum NextBack {
    /// Parts that are SENT, and those that are to be set aside until the refund takes them back.
    Move(Vec<Giver>),
    /// The refund took shares back, or not: the channel has not been asked which.
    Learn(Call),
    /// Nothing comes back any more; these receivers keep what they had set aside.
    Close(Vec<Giver>),
    /// The refund has not ended.
    Wait,
    /// A channel is not connected any more.
    Disconnected,
    Settled,
}

/// Who gives how much to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giver {
    pub part: Uuid,
    pub line: SplitLineId,
    pub from: BookId,
    pub to: BookId,
    /// Whether it goes to somebody who hands it on.
    pub handed_on: bool,
    /// The channel that gave it, and brings it back first.
    pub channel: Option<String>,
    /// Whether a refund takes it back; whether that waits for its receiver to set it aside.
    pub with_refund: bool,
    pub holds: bool,
    /// All of it, and what of it does not come from below.
    pub amount: Money,
    pub own: Money,
    pub day: chrono::NaiveDate,
}

impl Giver {
    /// The transfer of the part; the same however often it is asked for.
    pub fn transfer(&self) -> SendTransfer {
        SendTransfer {
            id: TransferId(self.part),
            purpose: Purpose::SplitReturn,
            from: self.from,
            from_account: AccountKind::SplitFrozen,
            to: self.to,
            to_account: match (self.handed_on, self.with_refund) {
                (true, _) => AccountKind::SplitFrozen,
                // the refund gave it to the payer already
                (false, true) => AccountKind::SharesDue,
                (false, false) => AccountKind::MerchantPending,
            },
            amount: self.amount,
            day: self.day,
        }
    }
}

impl Splits {
    /// Asks the receivers to give back so much of an order, each in proportion to what it has. Only the merchant's owner and the platform.
    pub async fn give_back(&self, actor: &Actor, cmd: ReturnSplit) -> Result<Return, SplitError> {
        actor.require_owner(cmd.merchant)?;
        retrying(SplitError::retryable, || self.try_give_back(actor, &cmd)).await.map_err(SplitError::or_busy)
    }

    async fn try_give_back(&self, actor: &Actor, cmd: &ReturnSplit) -> Result<Return, SplitError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "splitReturn", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        order::repo::lock_in_tx(&mut tx, &[(book, cmd.order)]).await?.pop().ok_or(SplitError::NotFound)?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.order.0, now).await? {
            return Ok(told);
        }
        let split = super::repo::lock_in_tx(&mut tx, book, cmd.order).await?.ok_or(SplitError::NotFound)?;
        let slices = super::repo::slices_in_tx(&mut tx, book, cmd.order).await?;
        let with_refund = |upstream: &Upstream| self.channels.divider(&upstream.channel).is_some_and(|divider| !divider.caps().returns);
        if slices.iter().filter_map(|slice| slice.upstream.as_ref()).any(with_refund) {
            return Err(SplitError::ReturnsWithRefund);
        }
        let lines = super::line::repo::lines_in_tx(&mut tx, book, cmd.order).await?;
        let back = plan_in_tx(&mut tx, &split, lines, None, None, cmd.amount, now).await?;
        let detail = serde_json::json!({ "amount_minor": cmd.amount.minor.to_string(), "return_id": back.id });
        audit::record_in_tx(&mut tx, actor, "split.return", cmd.order.0, detail, now).await?;
        outbox::append_in_tx(&mut tx, &[return_event("split.return_accepted", &back, now)]).await?;
        idempotency::complete_in_tx(&mut tx, scope, &back).await?;
        tx.commit().await?;
        Ok(back)
    }

    /// Brings back what is due of a return until nothing is. Job [`super::RETURN_JOB`].
    pub async fn execute_return(&self, book: BookId, back: SplitReturnId) -> Result<Progress, SplitError> {
        let order = repo::order_of_return(&self.db, book, back).await?.ok_or(SplitError::NotFound)?;
        loop {
            let pause = match self.advance_return(book, order, back).await? {
                NextBack::Move(givers) => self.take_all_back(book, order, back, &givers).await?,
                NextBack::Learn(call) => self.learn(&call).await?,
                NextBack::Close(kept) => match self.close(book, order, back, &kept).await? {
                    None => return Ok(Progress::Settled),
                    pause => pause,
                },
                NextBack::Wait => Some(royalty::REFUND_PAUSE),
                NextBack::Disconnected => Some(DISCONNECTED_PAUSE),
                NextBack::Settled => return Ok(Progress::Settled),
            };
            if let Some(pause) = pause {
                return Ok(Progress::AskAgain(pause));
            }
        }
    }

    /// Takes parts from their receivers, or has them set aside. None: all that was to be done is done. Else how long to wait.
    async fn take_all_back(
        &self,
        book: BookId,
        order: OrderId,
        back: SplitReturnId,
        givers: &[Giver],
    ) -> Result<Option<Duration>, SplitError> {
        let (mut arrived, mut held, mut pause) = (Vec::with_capacity(givers.len()), Vec::new(), None);
        for giver in givers {
            match self.take_back(book, order, giver).await? {
                None if giver.holds => held.push(giver),
                None => arrived.push(giver.part),
                Some(wait) => pause = Some(pause.map_or(wait, |pause: Duration| pause.min(wait))),
            }
        }
        self.mark_held(book, order, back, &held).await?;
        self.mark_returned(book, order, back, &arrived).await?;
        Ok(pause)
    }

    /// Decides and stores which parts come next, in one transaction: those that wait for none below them. They are SENT when it returns them.
    pub async fn advance_return(&self, book: BookId, order: OrderId, back: SplitReturnId) -> Result<NextBack, SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let (split, mut lines) = lock_in_tx(&mut tx, book, order).await?;
            let mut parts = repo::parts_in_tx(&mut tx, book, back).await?;
            let slices = super::repo::slices_in_tx(&mut tx, book, order).await?;
            let Some(royalties) = self.royalties_in_tx(&mut tx, (book, order, back), &slices, &lines, &parts).await? else {
                return Ok(NextBack::Disconnected);
            };
            royalties.give_up_in_tx(&mut tx, (book, back), &mut lines, &mut parts, now).await?;
            if parts.iter().all(|part| part.status == PartStatus::Returned) {
                if repo::finish_return_in_tx(&mut tx, book, back, now).await? {
                    let returns = repo::returns_of(&mut *tx, book, order).await?;
                    let done = returns.iter().filter(|r| r.id == back).map(|r| return_event("split.returned", r, now));
                    outbox::append_in_tx(&mut tx, &done.collect::<Vec<_>>()).await?;
                    tx.commit().await?;
                }
                return Ok(NextBack::Settled);
            }
            let parent = |line: SplitLineId| lines.iter().find(|l| l.id == line).and_then(|l| l.parent);
            for from in [PartStatus::Wait, PartStatus::Held] {
                let waits = |part: &Part| parts.iter().any(|p| !p.status.ended() && parent(p.line) == Some(part.line));
                let comes = |p: &Part| royalties.of(p).map_or(p.status == PartStatus::Wait, |fate| *fate == Fate::Come);
                let due: Vec<Uuid> = parts.iter().filter(|p| p.status == from && comes(p) && !waits(p)).map(|p| p.id).collect();
                if !repo::move_parts_in_tx(&mut tx, book, &due, (from, PartStatus::Sent), now).await? {
                    return Err(SplitError::Changed);
                }
                for part in parts.iter_mut().filter(|part| due.contains(&part.id)) {
                    (part.status, part.sent_at) = (PartStatus::Sent, Some(now));
                }
            }
            let upstream = |attempt: AttemptId| {
                let slice = slices.iter().find(|slice| slice.attempt == attempt)?;
                slice.upstream.as_ref().map(|upstream| upstream.channel.clone())
            };
            let giver = |part: &Part| {
                let line = lines.iter().find(|l| l.id == part.line)?;
                let to = match line.parent {
                    None => split.money_book,
                    Some(parent) => lines.iter().find(|l| l.id == parent)?.receiver.book(),
                };
                let below: i64 = parts.iter().filter(|p| parent(p.line) == Some(line.id)).map(|p| p.amount_minor).sum();
                Some(Giver {
                    part: part.id,
                    line: line.id,
                    from: line.receiver.book(),
                    to,
                    handed_on: line.parent.is_some(),
                    channel: line.call.and_then(|_| upstream(line.attempt)),
                    with_refund: royalties.of(part).is_some(),
                    holds: part.status == PartStatus::Wait,
                    amount: Money { minor: part.amount_minor, ..line.amount },
                    own: Money { minor: part.amount_minor - below, ..line.amount },
                    day: business_day(part.sent_at.unwrap_or(now)),
                })
            };
            let moves = |part: &&Part| {
                part.status == PartStatus::Sent || (part.status == PartStatus::Wait && royalties.of(part) == Some(&Fate::Hold))
            };
            let givers: Vec<Giver> = parts.iter().filter(moves).filter_map(giver).collect();
            let next = match royalties.unlearnt() {
                _ if !givers.is_empty() => NextBack::Move(givers),
                _ if parts.iter().all(|part| part.status.ended()) => {
                    NextBack::Close(parts.iter().filter(|part| part.status == PartStatus::Failed).filter_map(giver).collect())
                }
                Some(call) => NextBack::Learn(call.clone()),
                None => NextBack::Wait,
            };
            tx.commit().await?;
            Ok(next)
        })
        .await
    }

    /// Takes a part from its receiver. None: it arrived. Else how long to wait: the receiver has too little, or its channel no answer.
    async fn take_back(&self, book: BookId, order: OrderId, giver: &Giver) -> Result<Option<Duration>, SplitError> {
        if giver.own.minor > 0 && !retrying(SplitError::retryable, || self.gather(giver)).await? {
            tracing::warn!(line_id = %giver.line, "a receiver of a split has too little to give its part back; it is tried again");
            return Ok(Some(SHORT_PAUSE));
        }
        if giver.holds {
            return Ok(None);
        }
        if let Some(channel) = &giver.channel {
            let Some(divider) = self.channels.divider(channel) else { return Ok(Some(DISCONNECTED_PAUSE)) };
            if divider.caps().returns
                && let Some(wait) = self.bring_back(book, order, giver).await?
            {
                return Ok(Some(wait));
            }
        }
        self.transfers.run(giver.transfer()).await?;
        Ok(None)
    }

    /// Brings a part back at its channel. None: it is back.
    async fn bring_back(&self, book: BookId, order: OrderId, giver: &Giver) -> Result<Option<Duration>, SplitError> {
        let mut ask = self.recall(book, order, giver.part, giver.line).await?;
        loop {
            match ask.call.status {
                CallStatus::Done => return Ok(None),
                CallStatus::Failed => {
                    tracing::warn!(line_id = %giver.line, code = ask.call.error_code, "a channel did not bring a share back; it is tried again");
                    return Ok(Some(SHORT_PAUSE));
                }
                CallStatus::Sent | CallStatus::Accepted => {}
            }
            if let Some(wait) = self.ask(&ask).await? {
                return Ok(Some(wait));
            }
            ask = self.recalled(book, order, ask).await?;
        }
    }

    /// Sets a receiver's own share of a part aside, once. False: it has too little.
    async fn gather(&self, giver: &Giver) -> Result<bool, SplitError> {
        let now = self.clock.now();
        let kinds = [AccountKind::MerchantPending, AccountKind::MerchantAvailable, AccountKind::SplitFrozen];
        let names = kinds.map(|kind| (giver.from, AccountName::fixed(kind, giver.own.currency))).to_vec();
        let mut tx = self.db.begin().await?;
        let locked = ledger::lock_in_tx(&mut tx, names, now).await?;
        let has = |kind| locked.iter().find(|a| a.name.kind == kind).map_or(0, |a| a.available().minor.max(0));
        let available_minor = (giver.own.minor - has(AccountKind::MerchantPending)).clamp(0, giver.own.minor);
        let of = |minor| Money { minor, ..giver.own };
        let posting = recipe::split_gather(giver.from, giver.part, of(giver.own.minor - available_minor), of(available_minor), giver.day);
        for outcome in ledger::post_in_tx(&mut tx, &[posting], business_day(now), now).await? {
            match outcome {
                // gathered before, perhaps in another mixture: the ledger tells that first, whatever there is now
                Ok(_) | Err(Rejection::AlreadyPosted | Rejection::ReferenceReused) => {}
                Err(Rejection::AmountExceedsBalance { .. }) => return Ok(false),
                Err(rejection) => return Err(SplitError::Posting(rejection)),
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn mark_returned(&self, book: BookId, order: OrderId, back: SplitReturnId, arrived: &[Uuid]) -> Result<(), SplitError> {
        retrying(SplitError::retryable, || async {
            let now = self.clock.now();
            let mut tx = self.db.begin().await?;
            let (_, mut lines) = lock_in_tx(&mut tx, book, order).await?;
            let parts = repo::parts_in_tx(&mut tx, book, back).await?;
            let new: Vec<&Part> = parts.iter().filter(|p| p.status == PartStatus::Sent && arrived.contains(&p.id)).collect();
            let mut changed = Vec::new();
            for line in &mut lines {
                if let Some(part) = new.iter().find(|part| part.line == line.id) {
                    changed.push((line.id, line.status));
                    line.returning_minor -= part.amount_minor;
                    line.returned_minor += part.amount_minor;
                    line.status = of_returns(line);
                }
            }
            let from = |line: &Line| changed.iter().find(|(id, _)| *id == line.id).map(|(_, from)| *from);
            let changed: Vec<_> = lines.iter().filter_map(|line| Some((line, from(line)?))).collect();
            let ids: Vec<Uuid> = new.iter().map(|part| part.id).collect();
            let unchanged = update_lines_in_tx(&mut tx, &changed).await?
                && repo::move_parts_in_tx(&mut tx, book, &ids, (PartStatus::Sent, PartStatus::Returned), now).await?;
            if !unchanged {
                return Err(SplitError::Changed);
            }
            let events: Vec<Event> = changed.iter().map(|(line, _)| line_event("split.line_returned", line, now)).collect();
            outbox::append_in_tx(&mut tx, &events).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }
}

/// An event about a return; its subject is the order.
fn return_event(kind: &'static str, back: &Return, at: DateTime<Utc>) -> Event {
    Event {
        book: back.merchant.book(),
        kind,
        subject: back.order.0,
        payload: serde_json::json!({
            "version": 1,
            "returnId": back.id,
            "referenceId": back.reference,
            "amountMinor": back.amount.minor.to_string(),
            "ownMinor": back.own.minor.to_string(),
            "currency": back.amount.currency,
        }),
        at,
    }
}
