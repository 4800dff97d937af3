//! Refunds: money given back by the way it came, or to an account that two people confirm.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use merchant::vault::{Place, Vault};
use uuid::Uuid;
use wallet::advance::Advance;
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{MerchantId, RefundId};
use wallet::base::money::Money;
use wallet::refund::{
    ApprovePayee, CancelRefund, DecideManual, FundRefund, Gathering, Keeper, Manual, ManualStatus, Payee, ProposeManual, ProposePayee,
    Refund, RefundError, RefundStatus, RequestRefund, Rerouting, ResolveConflict, Route, RouteKind, RouteStatus,
};

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, settle};
use super::id::{self, GlobalId};
use super::loader::{RefundDetail, loaders};
use super::money::{CurrencyCode, Decimal, MoneyNode, amount};
use super::{MUTATION_COST, actor, app, own};

impl Rejection for RefundError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => permission(),
            Self::NotFound => not_found("orderId", "订单"),
            Self::OrderNotPaid => UserError::new("STATE_NOT_PAID", "订单尚未支付成功，不能退款").at("orderId"),
            Self::AmountInvalid => invalid("amount", "金额须大于 0"),
            Self::CurrencyDiffers => invalid("currency", "币种须与订单一致"),
            Self::ReasonInvalid => invalid("reason", "退款原因须为 1 到 128 个字，且不含控制字符"),
            Self::AmountExceedsPaid { refundable } => {
                UserError::new("AMOUNT_EXCEEDS_PAID", format!("该订单最多还可退 {} 元", refundable.decimal())).at("amount")
            }
            Self::ExceedsHeld { held } => {
                let message = format!("该订单存管中还有 {} 元：请先退不超过这个金额的款，已放款的部分另行退款", held.decimal());
                UserError::new("AMOUNT_EXCEEDS_HELD", message).at("amount")
            }
            Self::InsufficientBalance { available } => {
                let message = format!("钱包余额只有 {} 元，不足以退款，请等待新的收款或减少金额", available.decimal());
                UserError::new("INSUFFICIENT_BALANCE", message).at("amount").passing()
            }
            Self::RefundNotFound => not_found("refundId", "退款"),
            Self::Gathering => {
                UserError::new("STATE_GATHERING", "该订单的另一笔退款正在等待分账回退，请待其继续后再试").at("orderId").passing()
            }
            Self::Splitting => UserError::new("STATE_SPLITTING", "该订单的分账正在执行，请待其到账后再退款").at("orderId").passing(),
            Self::NotCancellable(_) => {
                UserError::new("STATE_SENT", "该退款已发出或已结束，不能撤销；只有从未发出的退款可以撤销").at("refundId")
            }
            Self::NotGathering => UserError::new("STATE_NOT_GATHERING", "该退款没有在等待分账回退，无需垫付").at("refundId"),
            Self::NoPayeeWanted => {
                UserError::new("STATE_NO_PAYEE_WANTED", "该退款不需要收款账户：只有改道或被退票的退款才需要").at("refundId")
            }
            Self::PayeeNotFound => {
                UserError::new("STATE_PAYEE_SUPERSEDED", "该收款账户不是最新提交的，或已确认过，请刷新后确认最新的一个").at("payeeId")
            }
            Self::OwnProposal => UserError::new("PERM_OWN_PROPOSAL", "收款账户须由提交人以外的人确认，请让另一位同事确认").at("payeeId"),
            Self::HolderInvalid => invalid("holder", "户名须为 1 到 64 个字，且不含控制字符"),
            Self::AccountInvalid => invalid("account", "账号须为 8 到 32 位数字，不含空格"),
            Self::NotBounced => UserError::new("STATE_NOT_BOUNCED", "只有被银行退票的退款才能人工结清").at("refundId"),
            Self::ReferenceInvalid => invalid("reference", "凭证号须为 1 到 64 位字母、数字或短横线"),
            Self::EvidenceInvalid => invalid("evidence", "凭证说明须为 1 到 256 个字，且不含控制字符"),
            Self::ManualTaken => {
                UserError::new("STATE_REFERENCE_TAKEN", "该退款已有待确认的人工退款，或该凭证号已用于另一笔退款，请核对").at("reference")
            }
            Self::OwnManual => UserError::new("PERM_OWN_PROPOSAL", "人工退款须由登记人以外的人确认，请让另一位同事确认").at("manualId"),
            Self::ManualNotFound => not_found("manualId", "人工退款"),
            Self::ManualDecided => UserError::new("STATE_DECIDED", "该笔人工退款已处理过，请刷新后查看").at("manualId"),
            Self::NotConflicted => UserError::new("STATE_NOT_CONFLICTED", "该退款与渠道没有金额争议，无需处理").at("refundId"),
            Self::NoPayouts => UserError::new("STATE_NO_BANK", "尚未接入付款银行，不能退到银行账户，请联系平台").at("refundId"),
            Self::Idempotency(error) => return idempotency(error),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::NoChannel
            | Self::StillOwed { .. }
            | Self::Payee
            | Self::Split(_)
            | Self::Posting(_)
            | Self::Ledger(_)
            | Self::Database(_) => return None,
        })
    }
}

/// Where a refund stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "RefundStatus", remote = "RefundStatus")]
pub enum RefundStatusName {
    /// Waits for what receivers of a divided order give back (等待分账回退).
    Gathering,
    /// The merchant's money is set aside for it.
    Funded,
    Sent,
    Unknown,
    /// The channel states another amount than ours; an operator decides.
    Conflicted,
    /// It cannot go back the way the payment came and waits for a payee that two people confirm (改道).
    Reroute,
    /// The bank had paid it, and it came back (退票); it waits for another payee.
    Bounced,
    /// It came back from the bank and was paid outside, as two operators said (人工退款).
    Manual,
    Succeeded,
    Failed,
    /// Cancelled before it was ever sent.
    Cancelled,
}

/// Which way a refund goes.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "RefundRoute", remote = "RouteKind")]
pub enum RouteName {
    /// Back through the channel of the payment (原路退回).
    Original,
    /// By the bank to an account (付款退款).
    Payout,
}

/// Why a refund goes to an account.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "RefundReroutedFor", remote = "Rerouting")]
pub enum ReroutedForName {
    /// The payment is too old for its channel.
    WindowOver,
    /// The channel said that nothing goes back to this payer.
    Closed,
    /// The bank refused the account before.
    PayoutFailed,
    /// The bank paid, and it came back.
    Bounced,
}

/// Where a try stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "RefundTryStatus", remote = "RouteStatus")]
pub enum TryStatusName {
    /// Under way.
    Live,
    Succeeded,
    Failed,
    Bounced,
}

/// One try to give the money back.
#[derive(Debug)]
pub struct RefundTryNode(Route);

#[Object(name = "RefundTry")]
impl RefundTryNode {
    /// The number that the channel or the bank knows it by.
    async fn request_no(&self) -> String {
        self.0.request_no()
    }

    async fn route(&self) -> RouteName {
        self.0.kind.into()
    }

    /// Null: it is how the payment came.
    async fn rerouted_for(&self) -> Option<ReroutedForName> {
        self.0.reason.map(Into::into)
    }

    async fn status(&self) -> TryStatusName {
        self.0.status.into()
    }

    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    /// What the outside said it gave back, where that is not our amount.
    async fn stated_amount_minor(&self) -> Option<String> {
        self.0.stated.as_ref().map(|(minor, _)| minor.to_string())
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }
}

/// Whom a refund is paid to, in part.
#[derive(Debug)]
pub struct RefundPayeeNode(Payee);

#[Object(name = "RefundPayee")]
impl RefundPayeeNode {
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The first character of the name.
    async fn holder(&self) -> &str {
        &self.0.holder_mask
    }

    /// The last four digits.
    async fn account_tail(&self) -> &str {
        &self.0.account_tail
    }

    async fn proposed_at(&self) -> DateTime<Utc> {
        self.0.proposed_at
    }

    /// Null: another person has still to confirm it.
    async fn approved_at(&self) -> Option<DateTime<Utc>> {
        self.0.approved_at
    }
}

/// Where a payment outside stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "RefundManualStatus", remote = "ManualStatus")]
pub enum ManualStatusName {
    /// Waits for another operator.
    Proposed,
    /// Booked: the refund is over.
    Approved,
    Rejected,
}

/// A refund's payment outside (人工退款).
#[derive(Debug)]
pub struct RefundManualNode(Manual);

#[Object(name = "RefundManual")]
impl RefundManualNode {
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The bank's number of the transfer, or that of the receipt.
    async fn reference(&self) -> &str {
        &self.0.reference
    }

    /// What shows that the payer has the money.
    async fn evidence(&self) -> &str {
        &self.0.evidence
    }

    /// Whose cash it was.
    async fn bank(&self) -> &str {
        &self.0.bank
    }

    async fn status(&self) -> ManualStatusName {
        self.0.status.into()
    }

    async fn proposed_at(&self) -> DateTime<Utc> {
        self.0.proposed_at
    }

    /// Null: another operator has still to decide.
    async fn decided_at(&self) -> Option<DateTime<Utc>> {
        self.0.decided_at
    }
}

/// What the platform gave for a refund (平台垫资).
#[derive(Debug)]
pub struct RefundAdvanceNode(Advance);

#[Object(name = "RefundAdvance")]
impl RefundAdvanceNode {
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// Taken of the merchant's available money since.
    async fn recovered(&self) -> MoneyNode {
        Money { minor: self.0.recovered_minor, ..self.0.amount }.into()
    }

    /// Came back with the refund, which came to nothing.
    async fn returned(&self) -> MoneyNode {
        Money { minor: self.0.returned_minor, ..self.0.amount }.into()
    }

    /// What the merchant still owes of it.
    async fn owed(&self) -> MoneyNode {
        self.0.owed().into()
    }
}

/// What receivers of a divided order give back for a refund.
#[derive(Debug)]
pub struct RefundGatheringNode(Gathering);

#[Object(name = "RefundGathering")]
impl RefundGatheringNode {
    /// What the refund takes from the merchant and the receivers together.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// Of it, what is with the merchant.
    async fn arrived(&self) -> MoneyNode {
        self.0.arrived.into()
    }

    async fn done(&self) -> bool {
        self.0.done
    }
}

/// A refund (退款).
#[derive(Debug)]
pub struct RefundNode(pub Refund);

impl RefundNode {
    /// What lies beside it, for those who may read its merchant's figures: a customer sees none of it.
    async fn detail(&self, ctx: &Context<'_>) -> async_graphql::Result<RefundDetail> {
        let seen = actor(ctx).is_ok_and(|actor| actor.require_reader(self.0.merchant).is_ok());
        if seen { loaders(ctx).refund_detail(self.0.merchant, self.0.id).await } else { Ok(RefundDetail::default()) }
    }
}

#[Object(name = "Refund")]
impl RefundNode {
    pub async fn id(&self) -> ID {
        GlobalId::Refund(self.0.merchant.book(), self.0.id).encode()
    }

    /// What is taken back of the order: `cash` and `subsidy` together.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// What the payer gets.
    async fn cash(&self) -> MoneyNode {
        self.0.cash().into()
    }

    /// What goes back to the programme that paid a part of the order (补贴返还); zero where none did.
    async fn subsidy(&self) -> MoneyNode {
        self.0.subsidy().into()
    }

    /// Whether the programme has its part back: from the refund's first success on.
    async fn subsidy_returned(&self) -> bool {
        self.0.subsidy_returned
    }

    async fn reason(&self) -> &str {
        &self.0.reason
    }

    async fn status(&self) -> RefundStatusName {
        self.0.status.into()
    }

    /// The way of its latest try.
    async fn route(&self) -> RouteName {
        self.0.route.into()
    }

    /// Why it goes to an account. Null: it goes back the way the payment came.
    async fn rerouted_for(&self) -> Option<ReroutedForName> {
        self.0.rerouted_for.map(Into::into)
    }

    /// What was tried, oldest first.
    #[graphql(complexity = "5 + 3 * child_complexity")]
    async fn tries(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<RefundTryNode>> {
        Ok(self.detail(ctx).await?.routes.into_iter().map(RefundTryNode).collect())
    }

    /// The account that was named last.
    #[graphql(complexity = "5 + child_complexity")]
    async fn payee(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<RefundPayeeNode>> {
        Ok(self.detail(ctx).await?.payee.map(RefundPayeeNode))
    }

    /// What receivers of a divided order give back for it. Null where nobody has to.
    #[graphql(complexity = "5 + child_complexity")]
    async fn gathering(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<RefundGatheringNode>> {
        Ok(self.detail(ctx).await?.gathering.map(RefundGatheringNode))
    }

    /// What was said last of its payment outside. Null: nothing was.
    #[graphql(complexity = "5 + child_complexity")]
    async fn manual(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<RefundManualNode>> {
        Ok(self.detail(ctx).await?.manual.map(RefundManualNode))
    }

    /// What the platform gave for it. Null: nothing.
    #[graphql(complexity = "5 + child_complexity")]
    async fn advance(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<RefundAdvanceNode>> {
        Ok(self.detail(ctx).await?.advance.map(RefundAdvanceNode))
    }

    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }
}

/// Keeps payees in the vault, each bound to its row.
pub fn keeper(vault: Vault) -> Keeper {
    fn place(payee: Uuid) -> Place<'static, Uuid> {
        Place { table: "refund_payees", column: "sealed", row: payee }
    }
    let opens = vault.clone();
    Keeper {
        seal: Arc::new(move |payee, plain| vault.seal(&place(payee), plain).ok()),
        open: Arc::new(move |payee, sealed| opens.open(&place(payee), sealed).ok()),
    }
}

#[derive(InputObject, Debug)]
pub struct RefundRequestInput {
    order_id: ID,
    /// Greater than zero; all refunds of an order together at most what was paid.
    amount: Decimal,
    #[graphql(default_with = "CurrencyCode::Cny")]
    currency: CurrencyCode,
    /// 1 to 128 characters.
    reason: String,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct RefundRequestPayload {
    refund: Option<RefundNode>,
    user_errors: Vec<UserError>,
}

#[derive(InputObject, Debug)]
pub struct RefundCancelInput {
    refund_id: ID,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct RefundFundInput {
    refund_id: ID,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct RefundPayeeProposeInput {
    refund_id: ID,
    /// 1 to 64 characters.
    holder: String,
    /// 8 to 32 digits.
    account: String,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct RefundPayeeApproveInput {
    refund_id: ID,
    /// The proposal as it was looked at.
    payee_id: Uuid,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct RefundConflictResolveInput {
    refund_id: ID,
    /// Whether the payer has our amount. If not, the refund counts as refused.
    paid: bool,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct RefundManualProposeInput {
    refund_id: ID,
    /// The bank's number of the transfer, or that of the receipt: 1 to 64 letters, digits and dashes. It closes one refund.
    reference: String,
    /// What shows that the payer has the money: 1 to 256 characters.
    evidence: String,
    idempotency_key: Uuid,
}

#[derive(InputObject, Debug)]
pub struct RefundManualDecideInput {
    refund_id: ID,
    /// The proposal as it was looked at.
    manual_id: Uuid,
    /// Whether it is booked. If not, it is rejected.
    approve: bool,
    idempotency_key: Uuid,
}

#[derive(SimpleObject, Debug)]
pub struct RefundManualPayload {
    manual: Option<RefundManualNode>,
    user_errors: Vec<UserError>,
}

/// What a change of a refund came to.
#[derive(SimpleObject, Debug)]
pub struct RefundPayload {
    refund: Option<RefundNode>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject, Debug)]
pub struct RefundPayeeProposePayload {
    payee: Option<RefundPayeeNode>,
    user_errors: Vec<UserError>,
}

impl RefundPayload {
    fn of(result: Result<Refund, RefundError>) -> async_graphql::Result<Self> {
        Ok(match settle(result)? {
            Ok(refund) => Self { refund: Some(RefundNode(refund)), user_errors: Vec::new() },
            Err(user_errors) => Self { refund: None, user_errors },
        })
    }

    fn refused(error: UserError) -> async_graphql::Result<Self> {
        Ok(Self { refund: None, user_errors: vec![error] })
    }
}

/// The refund of an id, for its merchant's owner and operators; others learn nothing of it.
fn readable(actor: &Actor, refund_id: &ID) -> Result<(MerchantId, RefundId), UserError> {
    let (book, refund) = id::refund(refund_id).ok_or_else(|| not_found("refundId", "退款"))?;
    if !matches!(actor, Actor::Person { role: Role::Operator, .. })
        && let Some(error) = own(actor, book.merchant(), "refundId", "退款")
    {
        return Err(error);
    }
    Ok((book.merchant(), refund))
}

#[derive(Default, Debug)]
pub struct RefundMutation;

#[Object]
impl RefundMutation {
    /// Gives money back by the way it came. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_request(&self, ctx: &Context<'_>, input: RefundRequestInput) -> async_graphql::Result<RefundRequestPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(RefundRequestPayload { refund: None, user_errors: vec![error] });
        let Some((book, order)) = id::order(&input.order_id) else { return refuse(not_found("orderId", "订单")) };
        if let Some(error) = own(actor, book.merchant(), "orderId", "订单") {
            return refuse(error);
        }
        let amount = match amount("amount", &input.amount, input.currency) {
            Ok(amount) => amount,
            Err(error) => return refuse(error),
        };
        let command =
            RequestRefund { merchant: book.merchant(), order, amount, reason: input.reason, idempotency_key: input.idempotency_key };
        Ok(match settle(app(ctx).refunds.request(actor, command).await)? {
            Ok(refund) => RefundRequestPayload { refund: Some(RefundNode(refund)), user_errors: Vec::new() },
            Err(user_errors) => RefundRequestPayload { refund: None, user_errors },
        })
    }

    /// Cancels a refund that was never sent. What receivers of a divided order gave back for it stays with the merchant. Owners, operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_cancel(&self, ctx: &Context<'_>, input: RefundCancelInput) -> async_graphql::Result<RefundPayload> {
        let actor = actor(ctx)?;
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return RefundPayload::refused(error),
        };
        let command = CancelRefund { merchant, refund, idempotency_key: input.idempotency_key };
        RefundPayload::of(app(ctx).refunds.cancel(actor, command).await)
    }

    /// Has the merchant give what receivers of a divided order have not given back yet, so that the refund goes on. Owners, operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_fund(&self, ctx: &Context<'_>, input: RefundFundInput) -> async_graphql::Result<RefundPayload> {
        let actor = actor(ctx)?;
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return RefundPayload::refused(error),
        };
        let command = FundRefund { merchant, refund, idempotency_key: input.idempotency_key };
        RefundPayload::of(app(ctx).refunds.fund_now(actor, command).await)
    }

    /// Names the account for a refund that cannot go back the way it came. The latest one counts. Owners, operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_payee_propose(
        &self,
        ctx: &Context<'_>,
        input: RefundPayeeProposeInput,
    ) -> async_graphql::Result<RefundPayeeProposePayload> {
        let actor = actor(ctx)?;
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return Ok(RefundPayeeProposePayload { payee: None, user_errors: vec![error] }),
        };
        let RefundPayeeProposeInput { holder, account, idempotency_key, .. } = input;
        let command = ProposePayee { merchant, refund, holder, account, idempotency_key };
        Ok(match settle(app(ctx).refunds.propose_payee(actor, command).await)? {
            Ok(payee) => RefundPayeeProposePayload { payee: Some(RefundPayeeNode(payee)), user_errors: Vec::new() },
            Err(user_errors) => RefundPayeeProposePayload { payee: None, user_errors },
        })
    }

    /// Confirms the account that another person named, and sends the refund there. Owners, operators; nobody confirms their own.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_payee_approve(&self, ctx: &Context<'_>, input: RefundPayeeApproveInput) -> async_graphql::Result<RefundPayload> {
        let actor = actor(ctx)?;
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return RefundPayload::refused(error),
        };
        let command = ApprovePayee { merchant, refund, payee: input.payee_id, idempotency_key: input.idempotency_key };
        RefundPayload::of(app(ctx).refunds.approve_payee(actor, command).await)
    }

    /// Ends a refund of which the channel or the bank stated another amount, as a person found it there. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_conflict_resolve(&self, ctx: &Context<'_>, input: RefundConflictResolveInput) -> async_graphql::Result<RefundPayload> {
        let actor = actor(ctx)?;
        if actor.require_role(Role::Operator).is_err() {
            return RefundPayload::refused(permission());
        }
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return RefundPayload::refused(error),
        };
        let command = ResolveConflict { merchant, refund, paid: input.paid, idempotency_key: input.idempotency_key };
        RefundPayload::of(app(ctx).refunds.resolve_conflict(actor, command).await)
    }
    /// Writes down that a refund which came back from the bank was paid outside, for another operator to confirm. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_manual_propose(
        &self,
        ctx: &Context<'_>,
        input: RefundManualProposeInput,
    ) -> async_graphql::Result<RefundManualPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(RefundManualPayload { manual: None, user_errors: vec![error] });
        if actor.require_role(Role::Operator).is_err() {
            return refuse(permission());
        }
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return refuse(error),
        };
        let RefundManualProposeInput { reference, evidence, idempotency_key, .. } = input;
        let command = ProposeManual { merchant, refund, reference, evidence, idempotency_key };
        Ok(match settle(app(ctx).refunds.propose_manual(actor, command).await)? {
            Ok(manual) => RefundManualPayload { manual: Some(RefundManualNode(manual)), user_errors: Vec::new() },
            Err(user_errors) => RefundManualPayload { manual: None, user_errors },
        })
    }

    /// Confirms what another operator wrote down, which ends the refund as MANUAL, or rejects it. Operators; nobody confirms their own.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn refund_manual_decide(&self, ctx: &Context<'_>, input: RefundManualDecideInput) -> async_graphql::Result<RefundPayload> {
        let actor = actor(ctx)?;
        if actor.require_role(Role::Operator).is_err() {
            return RefundPayload::refused(permission());
        }
        let (merchant, refund) = match readable(actor, &input.refund_id) {
            Ok(of) => of,
            Err(error) => return RefundPayload::refused(error),
        };
        let RefundManualDecideInput { manual_id, approve, idempotency_key, .. } = input;
        let command = DecideManual { merchant, refund, manual: manual_id, approve, idempotency_key };
        RefundPayload::of(app(ctx).refunds.decide_manual(actor, command).await)
    }
}
