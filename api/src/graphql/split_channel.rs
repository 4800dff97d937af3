//! Splits at channels that divide by themselves: what was asked of them, and where merchants are paid there.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use wallet::split::{AccountStatus, Call, CallKind, CallShare, CallStatus, ChannelAccount, SetAccount, ShareResult};

use super::error::{UserError, not_found, permission, settle, visible};
use super::id::{self, GlobalId};
use super::money::MoneyNode;
use super::{MUTATION_COST, actor, app};

/// What a channel was asked for.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SplitCallKind", remote = "CallKind")]
pub enum SplitCallKindName {
    /// Shares of a payment.
    Divide,
    /// The rest of a payment for the merchant (完结).
    Finish,
    /// A share back (回退).
    Return,
    /// Shares back with a refund, under its number (退分账).
    Refund,
}

/// How far a request to a channel has come.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SplitCallStatus", remote = "CallStatus")]
pub enum SplitCallStatusName {
    /// The channel has given no word: it is asked again under the same number.
    Sent,
    /// Taken in, which is no success.
    Accepted,
    /// Nothing of it moves any more.
    Done,
    /// Refused for good; what is tried again has another number.
    Failed,
}

/// What became of a share.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SplitShareOutcome", remote = "ShareResult")]
pub enum SplitShareOutcomeName {
    Succeeded,
    Failed,
}

/// Whether a channel knows a receiver's account.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "SplitAccountStatus", remote = "AccountStatus")]
pub enum SplitAccountStatusName {
    /// It is told of it before the first share.
    Wait,
    Added,
    /// It does not take it; `errorCode` says why. Set another.
    Refused,
}

/// A request to a channel that divides (分账请求).
#[derive(Debug)]
pub struct SplitCallNode(pub Call);

#[Object(name = "SplitCall")]
impl SplitCallNode {
    /// The number that the channel knows it by.
    async fn request_no(&self) -> String {
        self.0.request_no()
    }

    async fn channel(&self) -> &str {
        &self.0.channel
    }

    /// The channel's number of the payment.
    async fn transaction_id(&self) -> &str {
        &self.0.transaction_id
    }

    async fn kind(&self) -> SplitCallKindName {
        self.0.kind.into()
    }

    async fn status(&self) -> SplitCallStatusName {
        self.0.status.into()
    }

    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn sent_at(&self) -> DateTime<Utc> {
        self.0.sent_at
    }

    async fn resolved_at(&self) -> Option<DateTime<Utc>> {
        self.0.resolved_at
    }

    /// At most as many as the channel takes in one request; none where it finishes.
    #[graphql(complexity = "5 * child_complexity")]
    async fn shares(&self) -> Vec<SplitCallShareNode> {
        self.0.shares.iter().cloned().map(SplitCallShareNode).collect()
    }
}

/// One receiver's share of a request.
#[derive(Debug)]
pub struct SplitCallShareNode(CallShare);

#[Object(name = "SplitCallShare")]
impl SplitCallShareNode {
    async fn line_id(&self) -> ID {
        ID(self.0.line.simple())
    }

    async fn amount(&self) -> MoneyNode {
        // channels that divide do so in their own currency
        wallet::base::money::Money::cny(self.0.amount_minor).into()
    }

    /// Null: the channel has not said.
    async fn outcome(&self) -> Option<SplitShareOutcomeName> {
        self.0.outcome.map(Into::into)
    }

    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }
}

/// Where a merchant is paid at a channel that divides (分账接收方).
#[derive(Debug)]
pub struct SplitAccountNode(ChannelAccount);

#[Object(name = "SplitAccount")]
impl SplitAccountNode {
    async fn merchant_id(&self) -> ID {
        GlobalId::Merchant(self.0.merchant).encode()
    }

    async fn channel(&self) -> &str {
        &self.0.channel
    }

    /// All but its last four characters are hidden.
    async fn account(&self) -> String {
        let shown: Vec<char> = self.0.account.chars().collect();
        let hidden = shown.len().saturating_sub(4);
        "*".repeat(hidden) + &shown[hidden..].iter().collect::<String>()
    }

    async fn status(&self) -> SplitAccountStatusName {
        self.0.status.into()
    }

    async fn error_code(&self) -> Option<&str> {
        self.0.error_code.as_deref()
    }

    async fn set_at(&self) -> DateTime<Utc> {
        self.0.set_at
    }
}

#[derive(Default, Debug)]
pub struct SplitChannelQuery;

#[Object]
impl SplitChannelQuery {
    /// Where a merchant is paid at channels that divide, by channel. Its owner and operators.
    #[graphql(complexity = "10 + 3 * child_complexity")]
    async fn split_accounts(&self, ctx: &Context<'_>, merchant_id: ID) -> async_graphql::Result<Option<Vec<SplitAccountNode>>> {
        let actor = actor(ctx)?;
        let Some(merchant) = id::merchant(&merchant_id) else { return Ok(None) };
        let accounts = visible(app(ctx).splits.accounts(actor, merchant).await)?;
        Ok(accounts.map(|accounts| accounts.into_iter().map(SplitAccountNode).collect()))
    }
}

#[derive(InputObject, Debug)]
pub struct SplitAccountSetInput {
    merchant_id: ID,
    /// A channel that divides, such as `WECHAT_PAY`.
    channel: String,
    /// The merchant's own number there. 1 to 64 characters.
    account: String,
}

#[derive(SimpleObject, Debug)]
pub struct SplitAccountSetPayload {
    account: Option<SplitAccountNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct SplitChannelMutation;

#[Object]
impl SplitChannelMutation {
    /// Says where a merchant is paid at a channel that divides; shares that are sent from now on go there. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn split_account_set(&self, ctx: &Context<'_>, input: SplitAccountSetInput) -> async_graphql::Result<SplitAccountSetPayload> {
        let actor = actor(ctx)?;
        let refuse = |error| Ok(SplitAccountSetPayload { account: None, user_errors: vec![error] });
        if actor.require_role(wallet::base::actor::Role::Operator).is_err() {
            return refuse(permission());
        }
        let Some(merchant) = id::merchant(&input.merchant_id) else { return refuse(not_found("merchantId", "商户")) };
        let command = SetAccount { merchant, channel: input.channel, account: input.account };
        Ok(match settle(app(ctx).splits.set_account(actor, command).await)? {
            Ok(account) => SplitAccountSetPayload { account: Some(SplitAccountNode(account)), user_errors: Vec::new() },
            Err(user_errors) => SplitAccountSetPayload { account: None, user_errors },
        })
    }
}
