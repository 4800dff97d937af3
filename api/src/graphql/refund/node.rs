//! What is shown of a refund: where it stands, its tries, and what each way of giving back needs.

use async_graphql::{Context, Enum, ID, Object};
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::advance::Advance;
use wallet::base::money::Money;
use wallet::refund::{Gathering, Manual, ManualStatus, Payee, Refund, RefundStatus, Rerouting, Route, RouteKind, RouteStatus};

use super::super::actor;
use super::super::id::GlobalId;
use super::super::loader::{RefundDetail, loaders};
use super::super::money::MoneyNode;

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
pub struct RefundPayeeNode(pub(super) Payee);

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
pub struct RefundManualNode(pub(super) Manual);

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
