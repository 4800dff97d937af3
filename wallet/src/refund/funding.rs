//! Where a refund's money comes from: taken at once, or gathered from receivers of a divided order first; and given back when it is cancelled.
//!
//! The last source is the platform ([`crate::advance`]): what all stripes lack it gives, up to the merchant's cap. A merchant without one is
//! refused as ever, and nothing more is locked.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::route::repo as routes;
use super::rules::{RefundStatus, refunded_on};
use super::{Refund, RefundError, Refunds, SEND_JOB, apply, repo};
use crate::advance::{self, Advance};
use crate::analytics::{self, DayDelta, voided_change};
use crate::base::actor::Actor;
use crate::base::audit;
use crate::base::clock::{Clock, business_day};
use crate::base::db::retrying;
use crate::base::id::{BookId, MerchantId, RefundId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::Money;
use crate::base::outbox;
use crate::book::collect::{self, Reach};
use crate::book::transfer;
use crate::channel::Progress;
use crate::ledger::recipe::{self, RefundSource};
use crate::ledger::{self, AccountKind, Rejection};
use crate::order::{self, Order};
use crate::split;

/// Pause between two looks at what receivers give back, and where the merchant has too little itself.
const LOOK_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
const SHORT_PAUSE: std::time::Duration = std::time::Duration::from_secs(30);

/// Cancels a refund that was never sent.
#[derive(Clone, Debug, Serialize)]
pub struct CancelRefund {
    pub merchant: MerchantId,
    pub refund: RefundId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Has the merchant give what receivers have not given back yet.
#[derive(Clone, Debug, Serialize)]
pub struct FundRefund {
    pub merchant: MerchantId,
    pub refund: RefundId,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

impl Refunds {
    /// Plans what receivers of a divided order give back, before anything is sent. False: it is not divided, or still holds its money.
    pub(super) async fn plan_gathering_in_tx(
        &self,
        tx: &mut PgConnection,
        order: &Order,
        refund: &Refund,
        now: DateTime<Utc>,
    ) -> Result<bool, RefundError> {
        let amount = less_fee(refund);
        if order.held().minor > 0 || amount.minor == 0 {
            return Ok(false);
        }
        let Some(plan) = split::plan_return_in_tx(tx, order, refund.id.0, amount, now).await? else { return Ok(false) };
        for outcome in ledger::post_in_tx(tx, &plan.postings, business_day(now), now).await? {
            outcome.map_err(RefundError::Posting)?;
        }
        Ok(true)
    }

    /// Funds a refund when what receivers owe it has come back, and has it sent. Job [`super::GATHER_JOB`].
    ///
    /// What arrived lies with the merchant until then. Has the merchant spent it meanwhile, the refund waits on, and says so.
    pub async fn gather(&self, book: BookId, refund: RefundId) -> Result<Progress, RefundError> {
        let of = (book.merchant(), refund);
        let found = self.by_ids(&[of]).await?.pop().ok_or(RefundError::RefundNotFound)?;
        if found.status != RefundStatus::Gathering {
            return Ok(Progress::Settled);
        }
        if !routes::gatherings(&self.db, &[of]).await?.iter().any(|(_, gathering)| gathering.done) {
            let age = self.clock.now() - found.created_at;
            return Ok(Progress::AskAgain(if age.num_seconds() < 60 { LOOK_PAUSE } else { SHORT_PAUSE }));
        }
        let fund = |reach| retrying(RefundError::retryable, move || self.fund_gathering(&Actor::System, of, None, reach));
        let funded = match fund(Reach::OwnStripe).await {
            Err(RefundError::InsufficientBalance { .. }) => fund(Reach::AllStripes).await,
            other => other,
        };
        match funded {
            Ok(_) | Err(RefundError::NotGathering) => Ok(Progress::Settled),
            Err(RefundError::InsufficientBalance { .. }) => {
                tracing::warn!(refund_id = %refund, "what came back for a refund was spent; it is tried again");
                Ok(Progress::AskAgain(SHORT_PAUSE))
            }
            Err(other) => Err(other),
        }
    }

    /// Takes a waiting refund from what the merchant has, whatever receivers still owe: that stays owed to the merchant. The merchant's owner, or
    /// an operator.
    pub async fn fund_now(&self, actor: &Actor, cmd: FundRefund) -> Result<Refund, RefundError> {
        actor.require_reader(cmd.merchant)?;
        let cmd = &cmd;
        let fund =
            |reach| retrying(RefundError::retryable, move || self.fund_gathering(actor, (cmd.merchant, cmd.refund), Some(cmd), reach));
        let funded = match fund(Reach::OwnStripe).await {
            Err(RefundError::InsufficientBalance { .. }) => fund(Reach::AllStripes).await,
            other => other,
        };
        funded.map_err(RefundError::or_busy)
    }

    async fn fund_gathering(
        &self,
        actor: &Actor,
        (merchant, refund): (MerchantId, RefundId),
        cmd: Option<&FundRefund>,
        reach: Reach,
    ) -> Result<Refund, RefundError> {
        let (now, book) = (self.clock.now(), merchant.book());
        let mut tx = self.db.begin().await?;
        let (order, mut siblings) = lock_in_tx(&mut tx, book, refund).await?;
        let scope = cmd.map(|cmd| Scope { tenant: merchant.0, operation: "refundFund", key: cmd.idempotency_key });
        if let (Some(scope), Some(cmd)) = (&scope, cmd)
            && let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, *scope, cmd, refund.0, now).await?
        {
            return Ok(told);
        }
        let paid_on = order.paid_at.map(business_day);
        let taken = |siblings: &[repo::Open], attempt| {
            let same: Vec<Refund> = siblings.iter().filter(|o| o.refund.attempt == attempt).map(|o| o.refund.clone()).collect();
            paid_on.map_or(0, |day| refunded_on(&same, day))
        };
        let place = siblings.iter().position(|open| open.refund.id == refund).ok_or(RefundError::RefundNotFound)?;
        let attempt = siblings[place].refund.attempt;
        if siblings[place].refund.status != RefundStatus::Gathering {
            return Err(RefundError::NotGathering);
        }
        let before = taken(&siblings, attempt);
        let funded = &mut siblings[place].refund;
        (funded.status, funded.funded, funded.funded_at) = (RefundStatus::Funded, true, Some(now));
        let funded = funded.clone();
        let Funded { mut delta, advance } = fund_gathered_in_tx(&mut tx, &order, &funded, reach, now).await?;
        delta.voided_count = voided_change(order.amount.minor, before, taken(&siblings, attempt));
        repo::update_in_tx(&mut tx, std::slice::from_ref(&funded)).await?;
        if let Some(advance) = &advance {
            advance::insert_in_tx(&mut tx, advance).await?;
        }
        analytics::add_in_tx(&mut tx, &[delta]).await?;
        job::enqueue_in_tx(&mut tx, &[NewJob { kind: SEND_JOB, book, subject: refund.0, run_at: Clock::wall() }]).await?;
        let advanced = advance.map_or(0, |advance| advance.amount.minor).to_string();
        let detail =
            serde_json::json!({ "amountMinor": funded.amount.minor.to_string(), "early": cmd.is_some(), "advancedMinor": advanced });
        audit::record_in_tx(&mut tx, actor, "refund.funded", refund.0, detail, now).await?;
        if let Some(scope) = scope {
            idempotency::complete_in_tx(&mut tx, scope, &funded).await?;
        }
        tx.commit().await?;
        Ok(funded)
    }

    /// Cancels a refund that was never sent; its money is the merchant's again. The merchant's owner, or an operator.
    ///
    /// What receivers of a divided order gave back, or are giving back, stays with the merchant: no new split undoes it.
    pub async fn cancel(&self, actor: &Actor, cmd: CancelRefund) -> Result<Refund, RefundError> {
        actor.require_reader(cmd.merchant)?;
        retrying(RefundError::retryable, || self.cancel_once(actor, &cmd)).await.map_err(RefundError::or_busy)
    }

    async fn cancel_once(&self, actor: &Actor, cmd: &CancelRefund) -> Result<Refund, RefundError> {
        let (now, book) = (self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "refundCancel", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        let (order, siblings) = lock_in_tx(&mut tx, book, cmd.refund).await?;
        if let Claim::Seen { response: Some(told), .. } = idempotency::claim_in_tx(&mut tx, scope, cmd, cmd.refund.0, now).await? {
            return Ok(told);
        }
        let open = siblings.iter().find(|open| open.refund.id == cmd.refund).ok_or(RefundError::RefundNotFound)?;
        let status = open.refund.status;
        let unsent = matches!(status, RefundStatus::Gathering | RefundStatus::Funded | RefundStatus::Reroute);
        // money that should never have been paid goes back whatever anybody wants
        if !unsent || open.refund.sent_at.is_some() || open.surplus {
            return Err(RefundError::NotCancellable(status));
        }
        let (cancelled, booking) = apply::undo_in_tx(&mut tx, order, siblings, cmd.refund, now).await?;
        outbox::append_in_tx(&mut tx, &[apply::event("refund.cancelled", &cancelled, now)]).await?;
        booking.write_in_tx(&mut tx, now).await?.map_err(RefundError::Posting)?;
        let detail = serde_json::json!({ "was": status.as_str() });
        audit::record_in_tx(&mut tx, actor, "refund.cancelled", cmd.refund.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &cancelled).await?;
        tx.commit().await?;
        Ok(cancelled)
    }
}

/// Locks the order of a refund, and then all its refunds.
pub(super) async fn lock_in_tx(tx: &mut PgConnection, book: BookId, refund: RefundId) -> Result<(Order, Vec<repo::Open>), RefundError> {
    let order = repo::orders_of_in_tx(tx, &[(book, refund)]).await?;
    let locked = order::repo::lock_in_tx(tx, &order).await?.pop().ok_or(RefundError::RefundNotFound)?;
    Ok((locked, repo::lock_in_tx(tx, &order).await?))
}

/// What a refund takes from the merchant: the fee gives the rest.
fn less_fee(refund: &Refund) -> Money {
    Money { minor: refund.amount.minor - refund.fee_back.minor, ..refund.amount }
}

/// Takes a refund that gathered from what receivers have set aside for it, from pending and, for the rest, from available: what they gave
/// back may have been settled meanwhile.
async fn fund_gathered_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    refund: &Refund,
    reach: Reach,
    now: DateTime<Utc>,
) -> Result<Funded, RefundError> {
    let (own, today) = (order.money_book(), business_day(now));
    // what the channel takes back from receivers with the refund, and what the merchant gives
    let shares_due = split::open_royalties_in_tx(tx, order, (refund.id, refund.attempt), now).await?;
    let wanted = Money { minor: less_fee(refund).minor - shares_due.minor, ..shares_due };
    let kinds = [AccountKind::MerchantPending, AccountKind::MerchantAvailable];
    let mut more = vec![AccountKind::FeeIncome, AccountKind::RefundPayable];
    more.extend((shares_due.minor > 0).then_some(AccountKind::SharesDue));
    let advances = may_advance_in_tx(tx, order, reach).await?;
    more.extend(advances.then_some(AccountKind::MerchantDebt));
    let (books, locked) = collect::lock_in_tx(tx, (order.merchant, own), reach, (&kinds, &more), wanted.currency, now).await?;
    let shares = kinds.map(|kind| collect::shares(&locked, &books, kind));
    let has = [collect::sum_minor(&shares[0]), collect::sum_minor(&shares[1])];
    let pending = Money { minor: wanted.minor.min(has[0]), ..wanted };
    let available = Money { minor: (wanted.minor - pending.minor).min(has[1]), ..wanted };
    let short = Money { minor: wanted.minor - pending.minor - available.minor, ..wanted };
    let advance = advance_in_tx(tx, order, refund, advances, (short, has[0] + has[1]), now).await?;
    let mut collected = collect::plan(&shares[0], own, kinds[0], pending, today).unwrap_or_default();
    collected.extend(collect::plan(&shares[1], own, kinds[1], available, today).unwrap_or_default());
    let from = [
        (RefundSource::Pending, pending),
        (RefundSource::Available, available),
        (RefundSource::Shares, shares_due),
        (RefundSource::Advance, short),
    ];
    let posting = recipe::refund_of(own, order.store, refund.id, (refund.amount, refund.fee_back), &from, today);
    let delta = DayDelta::of(&posting, order.merchant).ok_or(RefundError::Posting(Rejection::Unbalanced))?;
    let mut postings = transfer::legs(&collected);
    postings.push(posting);
    for outcome in ledger::post_in_tx(tx, &postings, today, now).await? {
        outcome.map_err(RefundError::Posting)?;
    }
    transfer::record_arrived_in_tx(tx, &collected).await?;
    Ok(Funded { delta, advance })
}

/// What taking a refund's money came to.
pub(super) struct Funded {
    /// What it changes of its day.
    pub delta: DayDelta,
    /// What the platform gave, to be written when the refund is.
    pub advance: Option<Advance>,
}

/// Whether the platform may give what is short: only once all stripes are asked.
async fn may_advance_in_tx(tx: &mut PgConnection, order: &Order, reach: Reach) -> Result<bool, RefundError> {
    Ok(reach == Reach::AllStripes && advance::allowed_in_tx(tx, order.merchant, order.amount.currency).await?)
}

/// Has the platform give what is short, if it is within the merchant's cap, under the locks of all its accounts. None: nothing is short.
///
/// # Errors
/// [`RefundError::InsufficientBalance`] with what the merchant has and what may be advanced, together.
async fn advance_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    refund: &Refund,
    advances: bool,
    (short, has_minor): (Money, i64),
    now: DateTime<Utc>,
) -> Result<Option<Advance>, RefundError> {
    if short.minor <= 0 {
        return Ok(None);
    }
    let room = if advances { advance::room_in_tx(tx, order.merchant, short.currency).await? } else { None };
    match room {
        Some(room) if room.minor >= short.minor => Ok(Some(room.take(order.merchant, refund.id, order.money_book(), short, now))),
        room => {
            let minor = has_minor + room.map_or(0, |room| room.minor);
            Err(RefundError::InsufficientBalance { available: Money { minor, ..short } })
        }
    }
}

/// Takes a refund from pending if that covers it, or else from available, and posts once.
///
/// The order's own stripe gives it when it has enough; with [`Reach::AllStripes`] the others bring what is short, and the platform what they all
/// lack: of a merchant that it advances to, pending and available money go together first.
pub(super) async fn fund_in_tx(
    tx: &mut PgConnection,
    order: &Order,
    refund: &Refund,
    reach: Reach,
    now: DateTime<Utc>,
) -> Result<Funded, RefundError> {
    let (own, today) = (order.money_book(), business_day(now));
    // the fee gives the rest
    let wanted = Money { minor: refund.amount.minor - refund.fee_back.minor, ..refund.amount };
    if order.held().minor > 0 {
        if wanted.minor > order.held().minor {
            return Err(RefundError::ExceedsHeld { held: order.held() });
        }
        let source = RefundSource::Escrow(order.id);
        let posting = recipe::refund(own, order.store, refund.id, refund.amount, refund.fee_back, source, today);
        let delta = DayDelta::of(&posting, order.merchant).ok_or(RefundError::Posting(Rejection::Unbalanced))?;
        for outcome in ledger::post_in_tx(tx, &[posting], today, now).await? {
            outcome.map_err(RefundError::Posting)?;
        }
        return Ok(Funded { delta, advance: None });
    }
    let sources = [RefundSource::Pending, RefundSource::Available];
    let advances = may_advance_in_tx(tx, order, reach).await?;
    let mut more = vec![AccountKind::FeeIncome, AccountKind::RefundPayable];
    more.extend(advances.then_some(AccountKind::MerchantDebt));
    let accounts = (&sources.map(RefundSource::account)[..], &more[..]);
    let (books, locked) = collect::lock_in_tx(tx, (order.merchant, own), reach, accounts, wanted.currency, now).await?;
    let shares = sources.map(|source| collect::shares(&locked, &books, source.account()));
    let has = [collect::sum_minor(&shares[0]), collect::sum_minor(&shares[1])];
    let none = Money { minor: 0, ..wanted };
    let (pending, available, short) = if has[0] >= wanted.minor {
        (wanted, none, none)
    } else if has[1] >= wanted.minor {
        (none, wanted, none)
    } else if advances {
        let pending = Money { minor: has[0], ..wanted };
        let available = Money { minor: (wanted.minor - has[0]).min(has[1]), ..wanted };
        (pending, available, Money { minor: wanted.minor - pending.minor - available.minor, ..wanted })
    } else {
        return Err(RefundError::InsufficientBalance { available: Money { minor: has[0].max(has[1]), ..refund.amount } });
    };
    let advance = advance_in_tx(tx, order, refund, advances, (short, has[0] + has[1]), now).await?;
    let mut collected = collect::plan(&shares[0], own, sources[0].account(), pending, today).unwrap_or_default();
    collected.extend(collect::plan(&shares[1], own, sources[1].account(), available, today).unwrap_or_default());
    let from = [(RefundSource::Pending, pending), (RefundSource::Available, available), (RefundSource::Advance, short)];
    let posting = recipe::refund_of(own, order.store, refund.id, (refund.amount, refund.fee_back), &from, today);
    let delta = DayDelta::of(&posting, order.merchant).ok_or(RefundError::Posting(Rejection::Unbalanced))?;
    let mut postings = transfer::legs(&collected);
    postings.push(posting);
    for outcome in ledger::post_in_tx(tx, &postings, today, now).await? {
        outcome.map_err(RefundError::Posting)?;
    }
    transfer::record_arrived_in_tx(tx, &collected).await?;
    Ok(Funded { delta, advance })
}
