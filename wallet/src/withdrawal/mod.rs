//! Withdrawals (提现): available money is held, the bank is asked to pay it out, and its last word decides.
//!
//! HELD → SUBMITTED ↔ UNKNOWN → SUCCEEDED or FAILED; SUCCEEDED → RETURNED → CREDITED_BACK (退票). The hold comes first (W1); "submitted" is stored before the bank is called,
//! and no transaction is open during the call; there is one number per withdrawal, however often the bank is asked (W2); without
//! a definitive answer the money stays held (W3). The answer to the call, to a query and a notice all end in
//! [`outcome::apply_in_tx`], so whichever comes first counts and the others find it done.
//!
//! What was paid may come back, days later. The bank tells it, and is asked once a day for [`RETURN_WINDOW`]. Its word books the money back
//! to us; a job gives it to the merchant, in a transaction of its own, so that neither waits for the other.

mod error;
mod notice;
mod outcome;
mod repo;
pub mod rules;

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use error::WithdrawalError;
pub use rules::WithdrawalStatus;

use crate::advance;
use crate::base::actor::Actor;
use crate::base::clock::Clock;
use crate::base::id::{BookId, MerchantId, WithdrawalId};
use crate::base::idempotency::{self, Claim, Scope};
use crate::base::job::{self, NewJob};
use crate::base::money::{AMOUNT_MINOR_MAX, Money};
use crate::base::page::{FIRST_MAX, Page};
use crate::base::{audit, db};
use crate::book::collect::{self, Reach};
use crate::book::transfer::{self, SendTransfer};
use crate::channel::payout::{PayoutOrder, PayoutRail, PayoutState, PayoutStatus, Rails};
use crate::channel::repo::{Numbered, number_in_tx};
use crate::channel::{ChannelError, Progress, SANDBOX_BANK, ask_again};
use crate::ledger::{self, AccountKind, Rejection, recipe};

/// The job that asks the bank to pay a withdrawal out: calls [`Withdrawals::submit`].
pub const SUBMIT_JOB: &str = "withdrawal_submit";
/// The job that asks the bank what became of it: calls [`Withdrawals::query`].
pub const QUERY_JOB: &str = "withdrawal_query";

/// How long after the call the first query goes out. A notice is usually faster.
const FIRST_QUERY: TimeDelta = TimeDelta::seconds(5);

/// How long after a payout succeeded the bank is still asked whether it came back.
pub const RETURN_WINDOW: TimeDelta = TimeDelta::days(7);
/// Between two such questions.
const RETURN_LOOK: Duration = Duration::from_secs(86_400);

/// A withdrawal as its merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    pub id: WithdrawalId,
    pub merchant: MerchantId,
    pub amount: Money,
    pub status: WithdrawalStatus,
    /// The last digits of the account it goes to.
    pub account_tail: String,
    /// The bank that pays it, by the name of its [`PayoutRail`].
    #[serde(default = "sandbox_bank")]
    pub bank: String,
    pub bank_reference: Option<String>,
    /// The bank's reason, where it failed or came back.
    pub error_code: Option<String>,
    pub created_at: DateTime<Utc>,
    pub submitted_at: Option<DateTime<Utc>>,
    /// When the bank's word whether it pays was stored.
    pub resolved_at: Option<DateTime<Utc>>,
    /// When its word that the money came back was stored.
    #[serde(default)]
    pub returned_at: Option<DateTime<Utc>>,
    /// When the merchant had that money again.
    #[serde(default)]
    pub credited_back_at: Option<DateTime<Utc>>,
}

/// The bank of the withdrawals that were answered before there were several.
fn sandbox_bank() -> String {
    SANDBOX_BANK.to_owned()
}

/// Asks for available money to be paid out. The key's replay compares the merchant and the amount.
#[derive(Clone, Debug, Serialize)]
pub struct RequestWithdrawal {
    pub merchant: MerchantId,
    pub amount: Money,
    /// The last digits of the merchant's settlement account, as known when it was asked for.
    #[serde(skip)]
    pub account_tail: String,
    #[serde(skip)]
    pub idempotency_key: Uuid,
}

/// Who the bank pays. Personal: never shown in `Debug`.
#[derive(Clone)]
pub struct Payee {
    pub name: String,
    pub account: String,
}

impl std::fmt::Debug for Payee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payee").finish_non_exhaustive()
    }
}

/// Where a page of withdrawals begins: after the one made at this time with this id, newest first.
pub type WithdrawalCursor = (DateTime<Utc>, WithdrawalId);

/// The service for withdrawals.
#[derive(Clone, Debug)]
pub struct Withdrawals {
    db: PgPool,
    clock: Clock,
    rails: Rails,
}

impl Withdrawals {
    /// Pays through one bank, or through the chosen one of several.
    pub fn new(db: PgPool, clock: Clock, rails: impl Into<Rails>) -> Self {
        Self { db, clock, rails: rails.into() }
    }

    pub fn rails(&self) -> &Rails {
        &self.rails
    }

    /// The bank that was asked for a withdrawal: no other knows of it.
    fn rail(&self, withdrawal: &Withdrawal) -> Result<&dyn PayoutRail, WithdrawalError> {
        self.rails.get(&withdrawal.bank).ok_or_else(|| WithdrawalError::BankNotConnected(withdrawal.bank.clone()))
    }

    /// Holds the amount and has the bank asked to pay it out. Only the merchant's owner and the platform may.
    ///
    /// A replayed key returns what its first caller was told.
    pub async fn request(&self, actor: &Actor, cmd: RequestWithdrawal) -> Result<Withdrawal, WithdrawalError> {
        actor.require_owner(cmd.merchant)?;
        if !(1..=AMOUNT_MINOR_MAX).contains(&cmd.amount.minor) {
            return Err(WithdrawalError::AmountInvalid);
        }
        let cmd = &cmd;
        let request = |reach| db::retrying(WithdrawalError::retryable, move || self.try_request(actor, cmd, reach));
        let held = match request(Reach::OwnStripe).await {
            // nothing was written, the key neither: the other stripes may make up for what is short
            Err(WithdrawalError::AmountExceedsAvailable { .. }) => request(Reach::AllStripes).await,
            other => other,
        };
        held.map_err(WithdrawalError::or_busy)
    }

    /// Withdrawals are held in stripe 0, the merchant's own book, wherever the money came from.
    async fn try_request(&self, actor: &Actor, cmd: &RequestWithdrawal, reach: Reach) -> Result<Withdrawal, WithdrawalError> {
        let (id, now, book) = (WithdrawalId::new(), self.clock.now(), cmd.merchant.book());
        let scope = Scope { tenant: cmd.merchant.0, operation: "withdrawalRequest", key: cmd.idempotency_key };
        let mut tx = self.db.begin().await?;
        if let Claim::Seen { entity_id, response } = idempotency::claim_in_tx(&mut tx, scope, cmd, id.0, now).await? {
            return match response {
                Some(withdrawal) => Ok(withdrawal),
                // a claim commits with its answer, so this row was written by hand; the withdrawal itself is the answer
                None => self.fetch(book, WithdrawalId(entity_id)).await,
            };
        }
        let withdrawal = Withdrawal {
            id,
            merchant: cmd.merchant,
            amount: cmd.amount,
            status: WithdrawalStatus::Held,
            account_tail: cmd.account_tail.clone(),
            bank: self.rails.chosen().to_owned(),
            bank_reference: None,
            error_code: None,
            created_at: now,
            submitted_at: None,
            resolved_at: None,
            returned_at: None,
            credited_back_at: None,
        };
        let collected = collect_in_tx(&mut tx, cmd, reach, self.clock.today(), now).await?;
        let mut postings = transfer::legs(&collected);
        postings.push(recipe::withdrawal_hold(book, id, cmd.amount, self.clock.today()));
        for outcome in ledger::post_in_tx(&mut tx, &postings, self.clock.today(), now).await? {
            outcome.map_err(|rejection| refused(rejection, cmd.amount))?;
        }
        transfer::record_arrived_in_tx(&mut tx, &collected).await?;
        number_in_tx(&mut tx, "WITHDRAWAL", &[Numbered { book, subject: id.0 }]).await?;
        repo::insert_in_tx(&mut tx, &withdrawal, actor.user()).await?;
        job::enqueue_in_tx(&mut tx, &[NewJob { kind: SUBMIT_JOB, book, subject: id.0, run_at: Clock::wall() }]).await?;
        let detail = serde_json::json!({ "amountMinor": cmd.amount.minor.to_string(), "currency": cmd.amount.currency });
        audit::record_in_tx(&mut tx, actor, "withdrawal.requested", id.0, detail, now).await?;
        idempotency::complete_in_tx(&mut tx, scope, &withdrawal).await?;
        tx.commit().await?;
        Ok(withdrawal)
    }

    /// Asks the bank to pay a withdrawal out (the job [`SUBMIT_JOB`]). Safe to run again: "submitted" is stored before the call, and
    /// the bank knows a withdrawal by one number only.
    ///
    /// No answer is no error: the withdrawal is UNKNOWN until a query or a notice says more.
    pub async fn submit(&self, book: BookId, id: WithdrawalId, payee: Payee) -> Result<Withdrawal, WithdrawalError> {
        let bank = self.rail(&self.fetch(book, id).await?)?;
        let first = self.begin_submission(book, id).await?;
        let withdrawal = self.fetch(book, id).await?;
        if withdrawal.status.decided() {
            return Ok(withdrawal);
        }
        let order =
            PayoutOrder { request_no: id.simple(), payee_name: payee.name, payee_account: payee.account, amount: withdrawal.amount };
        let mut answer = bank.payout(&order).await;
        if !first && matches!(answer, Err(ChannelError::Refused { .. })) {
            // A refusal speaks of this call, not of one before it, which may have gone through: only the bank's record settles that.
            match bank.query(&order.request_no).await {
                Ok(Some(state)) => answer = Ok(state),
                Ok(None) => {}
                Err(error) => answer = Err(unproven(error)),
            }
        }
        let state = match answer {
            Ok(state) => state,
            Err(ChannelError::Refused { code }) => PayoutState { status: PayoutStatus::Failed { code }, bank_reference: None },
            Err(error) => {
                tracing::warn!(withdrawal = %id, error = &error as &dyn std::error::Error, "the bank gave no usable answer to a payout");
                repo::mark_unknown(&self.db, book, id).await?;
                return self.fetch(book, id).await;
            }
        };
        self.apply_result(book, id, state).await
    }

    /// Stores that the bank is about to be called, with the query that follows up. Returns whether it never was before.
    async fn begin_submission(&self, book: BookId, id: WithdrawalId) -> Result<bool, WithdrawalError> {
        let mut tx = self.db.begin().await?;
        let first = repo::submit_in_tx(&mut tx, book, id, self.clock.now()).await?;
        if first {
            let query = NewJob { kind: QUERY_JOB, book, subject: id.0, run_at: Clock::wall() + FIRST_QUERY };
            job::enqueue_in_tx(&mut tx, &[query]).await?;
        }
        tx.commit().await?;
        Ok(first)
    }

    /// Asks the bank what became of a withdrawal (the job [`QUERY_JOB`]) and says whether to ask again. Credits what came back.
    ///
    /// A bank that does not know the number never got the request: it is sent again under the same number.
    pub async fn query(&self, book: BookId, id: WithdrawalId) -> Result<Progress, WithdrawalError> {
        let withdrawal = self.fetch(book, id).await?;
        let age = self.clock.now() - withdrawal.submitted_at.unwrap_or(withdrawal.created_at);
        match withdrawal.status {
            WithdrawalStatus::Held => return Ok(ask_again(age)),
            WithdrawalStatus::Failed | WithdrawalStatus::CreditedBack => return Ok(Progress::Settled),
            WithdrawalStatus::Returned => return self.credit_back(book, id).await,
            WithdrawalStatus::Succeeded if self.clock.now() - withdrawal.resolved_at.unwrap_or(withdrawal.created_at) > RETURN_WINDOW => {
                return Ok(Progress::Settled);
            }
            WithdrawalStatus::Submitted | WithdrawalStatus::Unknown | WithdrawalStatus::Succeeded => {}
        }
        let again = || if withdrawal.status == WithdrawalStatus::Succeeded { Progress::AskAgain(RETURN_LOOK) } else { ask_again(age) };
        match self.rail(&withdrawal)?.query(&id.simple()).await {
            Ok(Some(state)) => {
                let now = self.apply_result(book, id, state).await?;
                match now.status {
                    WithdrawalStatus::Failed | WithdrawalStatus::CreditedBack => Ok(Progress::Settled),
                    WithdrawalStatus::Returned => self.credit_back(book, id).await,
                    WithdrawalStatus::Succeeded => Ok(Progress::AskAgain(RETURN_LOOK)),
                    WithdrawalStatus::Held | WithdrawalStatus::Submitted | WithdrawalStatus::Unknown => Ok(ask_again(age)),
                }
            }
            // what was paid is not sent again, whatever the bank has forgotten
            Ok(None) if withdrawal.status == WithdrawalStatus::Succeeded => Ok(again()),
            Ok(None) => {
                repo::enqueue_resubmission(&self.db, book, id, SUBMIT_JOB).await?;
                Ok(ask_again(age))
            }
            Err(error) => {
                tracing::warn!(withdrawal = %id, error = &error as &dyn std::error::Error, "the bank gave no usable answer to a query");
                Ok(again())
            }
        }
    }

    /// Gives the merchant what came back. Done twice, it is done once.
    async fn credit_back(&self, book: BookId, id: WithdrawalId) -> Result<Progress, WithdrawalError> {
        let credit = || async {
            let mut tx = self.db.begin().await?;
            outcome::credit_back_in_tx(&mut tx, (book, id), self.clock.today(), self.clock.now()).await?;
            Ok(tx.commit().await?)
        };
        db::retrying(WithdrawalError::retryable, credit).await.map_err(WithdrawalError::or_busy)?;
        Ok(Progress::Settled)
    }

    /// Applies the bank's word about a withdrawal. One that is known already changes nothing.
    pub async fn apply_result(&self, book: BookId, id: WithdrawalId, state: PayoutState) -> Result<Withdrawal, WithdrawalError> {
        let results = [outcome::BankResult { book, id, state }];
        db::retrying(WithdrawalError::retryable, || self.try_apply(&results)).await.map_err(WithdrawalError::or_busy)?;
        self.fetch(book, id).await
    }

    async fn try_apply(&self, results: &[outcome::BankResult]) -> Result<(), WithdrawalError> {
        let mut tx = self.db.begin().await?;
        let applied = outcome::apply_in_tx(&mut tx, results, self.clock.today(), self.clock.now()).await?;
        if applied.contains(&outcome::Applied::Missing) {
            return Err(WithdrawalError::NotFound);
        }
        tx.commit().await?;
        Ok(())
    }

    /// One withdrawal of a merchant. Another merchant's and a missing one look the same.
    pub async fn get(&self, actor: &Actor, merchant: MerchantId, id: WithdrawalId) -> Result<Withdrawal, WithdrawalError> {
        if actor.require_reader(merchant).is_err() {
            return Err(WithdrawalError::NotFound);
        }
        self.fetch(merchant.book(), id).await
    }

    /// The newest `first` withdrawals of a merchant, or those after `before`. At most [`FIRST_MAX`].
    pub async fn list(
        &self,
        actor: &Actor,
        merchant: MerchantId,
        before: Option<WithdrawalCursor>,
        first: i64,
    ) -> Result<Page<Withdrawal>, WithdrawalError> {
        actor.require_reader(merchant)?;
        let first = first.clamp(1, FIRST_MAX);
        let rows = repo::page(&self.db, merchant.book(), before, first + 1).await?;
        Ok(Page::from_rows(rows, first))
    }

    /// Withdrawals by id, for loaders that have checked who asks. Missing ones are left out; no order is promised.
    pub async fn by_ids(&self, ids: &[(MerchantId, WithdrawalId)]) -> Result<Vec<Withdrawal>, WithdrawalError> {
        let ids: Vec<_> = ids.iter().map(|&(merchant, id)| (merchant.book(), id)).collect();
        Ok(repo::by_ids(&self.db, &ids).await?)
    }

    async fn fetch(&self, book: BookId, id: WithdrawalId) -> Result<Withdrawal, WithdrawalError> {
        repo::by_ids(&self.db, &[(book, id)]).await?.pop().ok_or(WithdrawalError::NotFound)
    }
}

/// Locks what the merchant has within reach and decides what to bring to stripe 0. What it owes the platform, and what refunds that wait will take,
/// stays ([`advance::Claims::withdrawable_minor`]): read under the lock, since no such money comes or goes without it.
async fn collect_in_tx(
    tx: &mut PgConnection,
    cmd: &RequestWithdrawal,
    reach: Reach,
    today: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Vec<SendTransfer>, WithdrawalError> {
    let (own, kind) = (cmd.merchant.book(), AccountKind::MerchantAvailable);
    let accounts = (&[kind][..], &[AccountKind::PayoutTransit][..]);
    let (books, locked) = collect::lock_in_tx(tx, (cmd.merchant, own), reach, accounts, cmd.amount.currency, now).await?;
    let shares = collect::shares(&locked, &books, kind);
    let claims = advance::claims_in_tx(tx, cmd.merchant, cmd.amount.currency).await?;
    let free = Money { minor: claims.withdrawable_minor(collect::sum_minor(&shares)), ..cmd.amount };
    if cmd.amount.minor > free.minor {
        return Err(if locked.is_empty() {
            WithdrawalError::MerchantNotSigned
        } else {
            WithdrawalError::AmountExceedsAvailable { requested: cmd.amount, available: free }
        });
    }
    Ok(collect::plan(&shares, own, kind, cmd.amount, today).unwrap_or_default())
}

/// What the ledger's refusal of a hold means to the merchant.
fn refused(rejection: Rejection, requested: Money) -> WithdrawalError {
    match rejection {
        Rejection::AmountExceedsBalance { account: AccountKind::MerchantAvailable, available } => {
            WithdrawalError::AmountExceedsAvailable { requested, available }
        }
        Rejection::AccountMissing => WithdrawalError::MerchantNotSigned,
        other => WithdrawalError::Refused(other),
    }
}

/// A refused query proves nothing about the payout it asked for.
fn unproven(error: ChannelError) -> ChannelError {
    match error {
        ChannelError::Refused { .. } => ChannelError::BadAnswer("it refuses to say what became of the payout"),
        other => other,
    }
}
