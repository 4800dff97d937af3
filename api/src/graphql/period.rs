//! Closed days and months (日结、月结), and what a merchant was owed at any time.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::id::MerchantId;
use wallet::ledger::AccountKind;
use wallet::period::history::{ClosedDay, ClosedMonth, MonthLine, Owed};
use wallet::period::{CloseMonth, Month, PeriodError};

use super::date::Date;
use super::error::{Rejection, UserError, idempotency, invalid, not_found, required, settle};
use super::money::MoneyNode;
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor, actor_as, app, id};
use wallet::base::actor::Role;

impl Rejection for PeriodError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "您没有权限进行此操作"),
            Self::NotFound => not_found("merchantId", "商户的账簿"),
            Self::NotOpenYet { opened } => UserError::new("STATE_NOT_OPEN", format!("账簿 {opened} 才开立，没有更早的月份")).at("month"),
            Self::DayNotOver { day } => UserError::new("STATE_NOT_OVER", format!("{day} 尚未结束，不能日结")).at("day"),
            Self::DayClosed { closed_day } => UserError::new("STATE_CLOSED", format!("{closed_day} 及以前已经日结，不能重复")).at("day"),
            Self::MonthNotOver { month } => UserError::new("STATE_NOT_OVER", format!("{month} 尚未结束，不能月结")).at("month"),
            Self::MonthClosed { closed } => UserError::new("STATE_CLOSED", format!("{closed} 及以前已经月结，不能重复")).at("month"),
            Self::EarlierMonthOpen { open } => {
                UserError::new("STATE_EARLIER_OPEN", format!("{open} 还没有月结，须按月份顺序进行")).at("month")
            }
            Self::Idempotency(error) => return idempotency(error),
            Self::DayOpen | Self::Busy => UserError::new("STATE_BUSY", "账簿正忙，请用同一个 idempotencyKey 稍后重试").passing(),
            Self::Unsound(_) | Self::Database(_) => return None,
        })
    }
}

/// An account of a book, as its trial balance names it.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "LedgerAccount", remote = "AccountKind")]
pub enum LedgerAccountName {
    /// What a channel collected and has not yet paid out to the platform (渠道应收).
    ChannelReceivable,
    /// Paid to the merchant, not yet settled (在途).
    MerchantPending,
    /// Settled, free to withdraw (可用).
    MerchantAvailable,
    /// Paid for an order and kept until it is released (存管).
    Escrow,
    /// Taken back from the merchant, on its way to the payer (应付退款).
    RefundPayable,
    /// Held for withdrawals the bank has not yet answered for (出款在途).
    PayoutTransit,
    /// Cash at a bank (银行存款).
    BankCash,
    /// Fees (手续费收入).
    FeeIncome,
    /// On its way to another book of the platform's, or come from one (账簿间在途).
    BooksInTransit,
    /// Paid, and kept until it is divided (分账冻结).
    SplitFrozen,
    /// The budget of a subsidy programme (补贴), in the platform's book.
    Subsidy,
    /// Given to a payer before the channel took it back from receivers, as it does with the refund (应收退分账).
    SharesDue,
    /// What a merchant owes the platform for refunds that it could not cover (垫资).
    MerchantDebt,
}

/// The periods of a merchant's books (会计期间).
#[derive(Debug)]
pub struct PeriodsNode(pub MerchantId);

#[Object(name = "Periods")]
impl PeriodsNode {
    /// The day through which all books of the merchant are closed. What is booked later is booked on a later day.
    async fn closed_through(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Date>> {
        Ok(required(app(ctx).periods.closed_through(actor(ctx)?, self.0).await)?.map(Date))
    }

    /// Closed days, newest first. A day without a posting has none of its own: it is closed with the next one.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn closed_days(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<ClosedDayNode>> {
        let window = Window::read(first, after)?;
        let page = required(app(ctx).periods.closed_days(actor(ctx)?, self.0, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |day| (day.day, day.stripe), ClosedDayNode::from))
    }

    /// Closed months, newest first. A month without a posting has none of its own: it is closed with the next one.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn closed_months(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<ClosedMonthNode>> {
        let window = Window::read(first, after)?;
        let page = required(app(ctx).periods.closed_months(actor(ctx)?, self.0, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |month| (month.month.first_day(), month.stripe), ClosedMonthNode::from))
    }

    /// What was owed at the end of a day, by what was booked through it. Never changes once the day is closed.
    #[graphql(complexity = "20 + child_complexity")]
    async fn balances_on(&self, ctx: &Context<'_>, day: Date) -> async_graphql::Result<OwedNode> {
        Ok(required(app(ctx).periods.owed_on(actor(ctx)?, self.0, day.0).await)?.into())
    }

    /// What was owed at the end of a day, by what is about that day or an earlier one, late facts included, as far as it was known at
    /// `knownAt` (now when left out).
    #[graphql(complexity = "100 + child_complexity")]
    async fn balances_as_of(
        &self,
        ctx: &Context<'_>,
        effective_date: Date,
        known_at: Option<DateTime<Utc>>,
    ) -> async_graphql::Result<OwedNode> {
        let app = app(ctx);
        let known_at = known_at.unwrap_or_else(|| app.clock.now());
        Ok(required(app.periods.owed_as_of(actor(ctx)?, self.0, effective_date.0, known_at).await)?.into())
    }
}

/// A closed day of a book (日结). It never opens again.
#[derive(SimpleObject, Debug)]
#[graphql(name = "ClosedDay")]
pub struct ClosedDayNode {
    day: Date,
    /// The first of the days without a posting that were closed with it; the day itself when there were none.
    from_day: Date,
    /// Which of the merchant's books, for merchants whose money is spread over several.
    stripe: i32,
    postings: i64,
    /// What was debited, which equals what was credited, in each currency.
    debits: Vec<MoneyNode>,
    closed_at: DateTime<Utc>,
}

impl From<ClosedDay> for ClosedDayNode {
    fn from(day: ClosedDay) -> Self {
        Self {
            day: Date(day.day),
            from_day: Date(day.from_day),
            stripe: day.stripe.into(),
            postings: day.postings,
            debits: day.debits.into_iter().map(MoneyNode::from).collect(),
            closed_at: day.closed_at,
        }
    }
}

/// A closed month of a book (月结) with its trial balance. It never opens again.
#[derive(SimpleObject, Debug)]
#[graphql(name = "ClosedMonth")]
pub struct ClosedMonthNode {
    /// Such as "2026-11".
    month: String,
    /// The first of the months without a posting that were closed with it; the month itself when there were none.
    from_month: String,
    /// Which of the merchant's books, for merchants whose money is spread over several.
    stripe: i32,
    closed_at: DateTime<Utc>,
    /// The trial balance (试算平衡), by account: the debits sum to the credits in each currency. Accounts that never moved are left out.
    #[graphql(complexity = "10 + 10 * child_complexity")]
    trial_balance: Vec<TrialBalanceLine>,
}

impl From<ClosedMonth> for ClosedMonthNode {
    fn from(month: ClosedMonth) -> Self {
        Self {
            month: month.month.to_string(),
            from_month: month.from_month.to_string(),
            stripe: month.stripe.into(),
            closed_at: month.closed_at,
            trial_balance: month.lines.into_iter().map(TrialBalanceLine::from).collect(),
        }
    }
}

/// What an account brought forward, moved and carried forward. A debit is positive, a credit negative.
#[derive(SimpleObject, Debug)]
pub struct TrialBalanceLine {
    account: LedgerAccountName,
    /// The channel or bank; empty where the account has none.
    subject: String,
    opening: MoneyNode,
    debits: MoneyNode,
    credits: MoneyNode,
    closing: MoneyNode,
}

impl From<MonthLine> for TrialBalanceLine {
    fn from(line: MonthLine) -> Self {
        Self {
            account: line.account.into(),
            subject: line.subject,
            opening: line.opening.into(),
            debits: line.debits.into(),
            credits: line.credits.into(),
            closing: line.closing.into(),
        }
    }
}

/// What a merchant was owed, in renminbi.
#[derive(SimpleObject, Debug)]
#[graphql(name = "OwedBalances")]
pub struct OwedNode {
    /// Paid by customers, not yet settled.
    pending: MoneyNode,
    /// Free to withdraw.
    available: MoneyNode,
    /// Held for withdrawals under way.
    in_payout: MoneyNode,
    /// Taken back for refunds that the channel had not paid out yet.
    refunding: MoneyNode,
}

impl From<Owed> for OwedNode {
    fn from(owed: Owed) -> Self {
        Self {
            pending: owed.pending.into(),
            available: owed.available.into(),
            in_payout: owed.in_payout.into(),
            refunding: owed.refunding.into(),
        }
    }
}

#[derive(InputObject, Debug)]
pub struct MonthCloseInput {
    merchant_id: ID,
    /// A month that is over, such as "2026-10". Earlier months with a posting come first.
    month: String,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct MonthClosePayload {
    /// The month of each of the merchant's books.
    months: Vec<ClosedMonthNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct PeriodMutation;

#[Object]
impl PeriodMutation {
    /// Closes a month of a merchant's books for good, the days of it first. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn month_close(&self, ctx: &Context<'_>, input: MonthCloseInput) -> async_graphql::Result<MonthClosePayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let refuse = |error| Ok(MonthClosePayload { months: Vec::new(), user_errors: vec![error] });
        let Some(merchant) = id::merchant(&input.merchant_id) else { return refuse(not_found("merchantId", "商户")) };
        let Ok(month) = input.month.parse::<Month>() else { return refuse(invalid("month", "month 须为年月，例如 2026-10")) };
        let command = CloseMonth { merchant, month, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).periods.close_month(actor, command).await)? {
            Ok(months) => MonthClosePayload { months: months.into_iter().map(ClosedMonthNode::from).collect(), user_errors: Vec::new() },
            Err(user_errors) => MonthClosePayload { months: Vec::new(), user_errors },
        })
    }
}
