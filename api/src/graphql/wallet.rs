//! The merchant wallet: balances, bill lines, withdrawals, and the operator's settlement run.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Role;
use wallet::base::id::MerchantId;
use wallet::ledger::{AccountKind, Balances, BillLine, PostingKind, WalletError};
use wallet::settlement::SettlementError;
use wallet::withdrawal::{RequestWithdrawal, Withdrawal, WithdrawalError, WithdrawalStatus};

use super::advance::StandingNode;
use super::date::Date;
use super::error::{Rejection, UserError, idempotency, invalid, not_found, required, settle};
use super::id::{self, GlobalId};
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor, actor_as, app, own};

impl Rejection for WalletError {
    fn user_error(&self) -> Option<UserError> {
        match self {
            Self::Forbidden(_) => Some(UserError::new("PERM_DENIED", "您没有权限查看该商户的钱包")),
            Self::Database(_) => None,
        }
    }
}

impl Rejection for SettlementError {
    fn user_error(&self) -> Option<UserError> {
        match self {
            Self::Forbidden(_) => Some(UserError::new("PERM_DENIED", "只有运营人员可以执行结算")),
            Self::Refused(_) | Self::Ledger(_) | Self::Database(_) => None,
        }
    }
}

impl Rejection for WithdrawalError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "只有店主可以提现"),
            Self::NotFound => not_found("withdrawalId", "提现"),
            Self::AmountExceedsAvailable { available, .. } => {
                UserError::new("AMOUNT_EXCEEDS_AVAILABLE", format!("可提现余额只有 {} 元，请减少金额", available.decimal())).at("amount")
            }
            Self::MerchantNotSigned => UserError::new("STATE_NOT_SIGNED", "商户尚未签约，还没有钱包").at("merchantId"),
            Self::AmountInvalid => invalid("amount", "金额须大于 0 且不超过 100 亿元"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy => UserError::new("STATE_BUSY", "钱包正忙，请用同一个 idempotencyKey 稍后重试").passing(),
            Self::BankNotConnected(_) | Self::Refused(_) | Self::Incomplete | Self::Refund(_) | Self::Ledger(_) | Self::Database(_) => {
                return None;
            }
        })
    }
}

/// An account of the wallet that has a bill.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum WalletAccount {
    /// Paid by customers, not yet settled (在途).
    Pending,
    /// Free to withdraw (可用).
    Available,
}

impl From<WalletAccount> for AccountKind {
    fn from(account: WalletAccount) -> Self {
        match account {
            WalletAccount::Pending => Self::MerchantPending,
            WalletAccount::Available => Self::MerchantAvailable,
        }
    }
}

/// What made a bill line.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "BillLineKind", remote = "PostingKind")]
pub enum BillLineKind {
    Payment,
    Refund,
    RefundSettled,
    RefundReturned,
    /// The bank paid a refund to the payee's account.
    RefundPaidOut,
    /// What the bank had paid for a refund came back (退票).
    RefundBounced,
    /// Held money of an order became the merchant's.
    OrderRelease,
    SettlementRelease,
    WithdrawalHold,
    WithdrawalPaid,
    WithdrawalReturned,
    /// What the bank had paid came back.
    WithdrawalBounced,
    /// Money that came back from the bank is available again.
    WithdrawalCreditedBack,
    /// Money left for another book of the platform's.
    TransferOut,
    /// Money came from another book of the platform's.
    TransferIn,
    /// Paid money is kept until it is divided (分账冻结).
    SplitFreeze,
    /// Kept money became the merchant's own (分账解冻).
    SplitRelease,
    /// Money was put into a programme's budget (补贴拨入).
    SubsidyFunded,
    /// What a programme had left was taken back (补贴退回).
    SubsidyWithdrawn,
    /// A programme paid its part of an order (补贴使用).
    SubsidyUsed,
    /// A refund's part came back to its programme (补贴返还).
    SubsidyReturned,
    /// The merchant gave for a refund what its channel left with receivers.
    SplitBear,
    /// A refund that came back from the bank was paid by hand.
    RefundPaidByHand,
    /// Available money paid what the platform had given for a refund (垫资收回).
    AdvanceRecovered,
    /// Another line was taken back.
    Reversal,
}

#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "WithdrawalStatus", remote = "WithdrawalStatus")]
pub enum WithdrawalStatusName {
    /// Held back from the available balance.
    Held,
    /// With the bank.
    Submitted,
    /// The bank has not answered; it is being asked.
    Unknown,
    Succeeded,
    /// Refused by the bank; the money is available again.
    Failed,
    /// Paid, and sent back by the payee's bank (退票); about to be available again.
    Returned,
    /// Sent back by the payee's bank; the money is available again.
    CreditedBack,
}

/// A merchant's wallet (商户钱包).
#[derive(Debug)]
pub struct WalletNode {
    merchant: MerchantId,
    balances: Balances,
}

impl WalletNode {
    pub(super) async fn load(ctx: &Context<'_>, merchant: MerchantId) -> async_graphql::Result<Self> {
        let balances = required(app(ctx).wallets.balances(actor(ctx)?, merchant).await)?;
        Ok(Self { merchant, balances })
    }
}

#[Object(name = "Wallet")]
impl WalletNode {
    /// Paid by customers, not yet settled.
    async fn pending(&self) -> MoneyNode {
        self.balances.pending.into()
    }

    /// Free to withdraw.
    async fn available(&self) -> MoneyNode {
        self.balances.available.into()
    }

    /// Held for withdrawals under way.
    async fn in_payout(&self) -> MoneyNode {
        self.balances.in_payout.into()
    }

    /// Taken back for refunds that the channel has not paid out yet.
    async fn refunding(&self) -> MoneyNode {
        self.balances.refunding.into()
    }

    /// What the merchant owes, may withdraw and must keep. Kept apart from the balances, which are sums of its accounts.
    #[graphql(complexity = "5 + child_complexity")]
    async fn standing(&self, ctx: &Context<'_>) -> async_graphql::Result<StandingNode> {
        Ok(StandingNode(required(app(ctx).advances.standing(actor(ctx)?, self.merchant).await)?))
    }

    /// The bill of one account, newest line first.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn bill_lines(
        &self,
        ctx: &Context<'_>,
        account: WalletAccount,
        first: i32,
        after: Option<String>,
    ) -> async_graphql::Result<Nodes<BillLineNode>> {
        let window = Window::read(first, after)?;
        let has_previous = window.after.is_some();
        let page = app(ctx).wallets.bill_lines(actor(ctx)?, self.merchant, account.into(), window.after, window.first).await;
        Ok(connection(required(page)?, has_previous, |line| line.cursor.clone(), |line| BillLineNode { merchant: self.merchant, line }))
    }
}

/// A line of a bill (账单明细).
#[derive(Debug)]
pub struct BillLineNode {
    merchant: MerchantId,
    line: BillLine,
}

#[Object(name = "BillLine")]
impl BillLineNode {
    /// Number of the line in its account, without gaps from 1.
    async fn seq(&self) -> String {
        self.line.seq.to_string()
    }

    async fn kind(&self) -> BillLineKind {
        self.line.kind.into()
    }

    /// Positive is in favour of the merchant.
    async fn amount(&self) -> MoneyNode {
        self.line.amount.into()
    }

    async fn balance_after(&self) -> MoneyNode {
        self.line.balance_after.into()
    }

    /// The day the daily board counts it for.
    async fn business_date(&self) -> Date {
        Date(self.line.business_date)
    }

    /// The day it was booked on.
    async fn accounting_date(&self) -> Date {
        Date(self.line.accounting_date)
    }

    /// The day that a late line restates: its business date, where it was booked on another day.
    async fn restates_day(&self) -> Option<Date> {
        (self.line.business_date != self.line.accounting_date).then_some(Date(self.line.business_date))
    }

    async fn recorded_at(&self) -> DateTime<Utc> {
        self.line.recorded_at
    }

    async fn store_id(&self) -> Option<ID> {
        self.line.store.map(|store| GlobalId::Store(self.merchant, store).encode())
    }

    /// The payment attempt, refund, settlement batch or withdrawal behind it.
    async fn reference_id(&self) -> String {
        self.line.reference.to_string()
    }
}

/// A withdrawal (提现).
#[derive(Debug)]
pub struct WithdrawalNode(pub Withdrawal);

#[Object(name = "Withdrawal")]
impl WithdrawalNode {
    pub async fn id(&self) -> ID {
        GlobalId::Withdrawal(self.0.merchant.book(), self.0.id).encode()
    }

    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    async fn status(&self) -> WithdrawalStatusName {
        self.0.status.into()
    }

    /// Last four digits of the account it goes to.
    async fn account_tail(&self) -> &str {
        &self.0.account_tail
    }

    /// The bank's reason why it failed or came back.
    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn submitted_at(&self) -> Option<DateTime<Utc>> {
        self.0.submitted_at
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }

    /// When the bank told that the money had come back.
    async fn returned_at(&self) -> Option<DateTime<Utc>> {
        self.0.returned_at
    }

    /// When money that came back was available again.
    async fn credited_back_at(&self) -> Option<DateTime<Utc>> {
        self.0.credited_back_at
    }
}

#[derive(InputObject, Debug)]
pub struct WithdrawalRequestInput {
    merchant_id: ID,
    /// At most what may be withdrawn: the available balance, less what the merchant owes and what refunds that wait will take.
    amount: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct WithdrawalRequestPayload {
    withdrawal: Option<WithdrawalNode>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject, Debug)]
pub struct SettlementRunPayload {
    /// Days of books whose money became available.
    released: i32,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct WalletMutation;

#[Object]
impl WalletMutation {
    /// Pays available money out to the merchant's settlement account. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn withdrawal_request(
        &self,
        ctx: &Context<'_>,
        input: WithdrawalRequestInput,
    ) -> async_graphql::Result<WithdrawalRequestPayload> {
        let actor = actor(ctx)?;
        let app = app(ctx);
        let refuse = |error| Ok(WithdrawalRequestPayload { withdrawal: None, user_errors: vec![error] });
        let Some(merchant) = id::merchant(&input.merchant_id) else { return refuse(not_found("merchantId", "商户")) };
        if let Some(error) = own(actor, merchant, "merchantId", "商户") {
            return refuse(error);
        }
        let amount = match amount("amount", &input.amount, input.currency) {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let account_tail = match settle(app.merchants.get(actor, merchant).await)? {
            Ok(merchant) => merchant.settlement_account_tail,
            Err(user_errors) => return Ok(WithdrawalRequestPayload { withdrawal: None, user_errors }),
        };
        let command = RequestWithdrawal { merchant, amount, account_tail, idempotency_key: input.idempotency_key };
        Ok(match settle(app.withdrawals.request(actor, command).await)? {
            Ok(withdrawal) => WithdrawalRequestPayload { withdrawal: Some(WithdrawalNode(withdrawal)), user_errors: Vec::new() },
            Err(user_errors) => WithdrawalRequestPayload { withdrawal: None, user_errors },
        })
    }

    /// Releases what is due now instead of at the worker's next tick. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn settlement_run(&self, ctx: &Context<'_>) -> async_graphql::Result<SettlementRunPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        Ok(match settle(app(ctx).settlements.run(actor).await)? {
            Ok(released) => SettlementRunPayload { released: i32::try_from(released).unwrap_or(i32::MAX), user_errors: Vec::new() },
            Err(user_errors) => SettlementRunPayload { released: 0, user_errors },
        })
    }
}
