//! Refunds: money given back by the way it came, or to an account that two people confirm.

mod node;

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use merchant::vault::{Place, Vault};
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{MerchantId, RefundId};
use wallet::refund::{
    ApprovePayee, CancelRefund, DecideManual, FundRefund, Keeper, ProposeManual, ProposePayee, Refund, RefundError, RequestRefund,
    ResolveConflict,
};

use super::error::{Rejection, UserError, busy, idempotency, invalid, not_found, permission, settle};
use super::id;
use super::money::{CurrencyCode, Decimal, amount};
use super::{MUTATION_COST, actor, app, own};
pub use node::RefundNode;
use node::{RefundManualNode, RefundPayeeNode};

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
