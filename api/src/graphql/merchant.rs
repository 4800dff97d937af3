//! Merchants and their stores.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use merchant::merchants::{CreateStore, Merchant, MerchantError, MerchantStatus, Store};

use super::error::{Rejection, UserError, invalid, not_found, settle};
use super::id::{self, GlobalId};
use super::loader::loaders;
use super::money::{Decimal, percent_of_bps};
use super::onboarding::ApplicationNode;
use super::order::OrderNode;
use super::page::{Nodes, Window, connection};
use super::period::PeriodsNode;
use super::wallet::{WalletNode, WithdrawalNode};
use super::{MUTATION_COST, actor, app, own};

impl Rejection for MerchantError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "您没有权限进行此操作"),
            Self::NotFound => not_found("merchantId", "商户"),
            Self::Line(line) => bad_line(line),
            Self::NotSigned => UserError::new("STATE_NOT_SIGNED", "商户尚未签约，资料全部通过审核后才能开店").at("merchantId"),
            Self::StoreNameTaken => UserError::new("STATE_NAME_TAKEN", "已有同名门店，请换一个门店名").at("name"),
            Self::TooManyStores { max } => UserError::new("LIMIT_STORES", format!("每个商户最多 {max} 家门店")),
            Self::Vault(_) | Self::Database(_) => return None,
        })
    }
}

/// A line of text that does not fit, in words.
pub(super) fn bad_line(line: &merchant::line::BadLine) -> UserError {
    use merchant::line::LineProblem;
    let message = match line.problem {
        LineProblem::Length { min, max } => format!("{} 须为 {min} 到 {max} 个字", camel(line.field)),
        LineProblem::ControlCharacter => format!("{} 含有不可见的控制字符，请重新输入", camel(line.field)),
    };
    invalid(&camel(line.field), message)
}

/// `settlement_account_name` as the schema spells it.
pub(super) fn camel(field: &str) -> String {
    let mut upper = false;
    field
        .chars()
        .filter_map(|c| match c {
            '_' => {
                upper = true;
                None
            }
            c if std::mem::take(&mut upper) => Some(c.to_ascii_uppercase()),
            c => Some(c),
        })
        .collect()
}

/// Where a merchant stands.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "MerchantStatus", remote = "MerchantStatus")]
pub enum MerchantStatusName {
    /// Papers not all approved yet.
    Applying,
    /// May open stores and take payments.
    Signed,
    /// Turned down.
    Refused,
}

/// A merchant (商户).
#[derive(Debug)]
pub struct MerchantNode(pub Merchant);

#[Object(name = "Merchant")]
impl MerchantNode {
    pub async fn id(&self) -> ID {
        GlobalId::Merchant(self.0.id).encode()
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn status(&self) -> MerchantStatusName {
        self.0.status.into()
    }

    /// What a payment costs, in percent: "0.38".
    async fn fee_rate(&self) -> Decimal {
        percent_of_bps(self.0.fee_bps.into())
    }

    /// Last four digits of the account money is paid out to.
    async fn settlement_account_tail(&self) -> &str {
        &self.0.settlement_account_tail
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn signed_at(&self) -> Option<DateTime<Utc>> {
        self.0.signed_at
    }

    /// All stores, oldest first; a merchant has at most 500.
    #[graphql(complexity = "10 + 10 * child_complexity")]
    async fn stores(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<StoreNode>> {
        let stores = loaders(ctx).stores_of_merchant(self.0.id).await?;
        Ok(stores.into_iter().map(StoreNode).collect())
    }

    /// The application that signs it.
    async fn application(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<ApplicationNode>> {
        Ok(loaders(ctx).application_of_merchant(self.0.id).await?.map(ApplicationNode))
    }

    /// Balances and bill. For the owner and operators.
    async fn wallet(&self, ctx: &Context<'_>) -> async_graphql::Result<WalletNode> {
        WalletNode::load(ctx, self.0.id).await
    }

    /// Closed days and months, and balances of the past. For the owner and operators.
    async fn periods(&self) -> PeriodsNode {
        PeriodsNode(self.0.id)
    }

    /// Orders, newest first.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn orders(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<OrderNode>> {
        let window = Window::read(first, after)?;
        let page = super::error::required(app(ctx).orders.list(actor(ctx)?, self.0.id, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |order| (order.created_at, order.id), OrderNode))
    }

    /// Withdrawals, newest first.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn withdrawals(&self, ctx: &Context<'_>, first: i32, after: Option<String>) -> async_graphql::Result<Nodes<WithdrawalNode>> {
        let window = Window::read(first, after)?;
        let page = super::error::required(app(ctx).withdrawals.list(actor(ctx)?, self.0.id, window.after, window.first).await)?;
        Ok(connection(page, window.after.is_some(), |w| (w.created_at, w.id), WithdrawalNode))
    }
}

/// A store (门店).
#[derive(Debug)]
pub struct StoreNode(pub Store);

#[Object(name = "Store")]
impl StoreNode {
    pub async fn id(&self) -> ID {
        GlobalId::Store(self.0.merchant, self.0.id).encode()
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn address(&self) -> &str {
        &self.0.address
    }

    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    async fn merchant(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<MerchantNode>> {
        Ok(loaders(ctx).merchant(self.0.merchant).await?.map(MerchantNode))
    }
}

#[derive(InputObject, Debug)]
pub struct StoreCreateInput {
    merchant_id: ID,
    /// 2 to 64 characters, unique within the merchant.
    name: String,
    /// 4 to 128 characters.
    address: String,
}

#[derive(SimpleObject, Debug)]
pub struct StoreCreatePayload {
    store: Option<StoreNode>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct MerchantMutation;

#[Object]
impl MerchantMutation {
    /// Opens a store of a signed merchant. Owners.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn store_create(&self, ctx: &Context<'_>, input: StoreCreateInput) -> async_graphql::Result<StoreCreatePayload> {
        let actor = actor(ctx)?;
        let Some(merchant) = id::merchant(&input.merchant_id) else {
            return Ok(StoreCreatePayload { store: None, user_errors: vec![not_found("merchantId", "商户")] });
        };
        if let Some(error) = own(actor, merchant, "merchantId", "商户") {
            return Ok(StoreCreatePayload { store: None, user_errors: vec![error] });
        }
        let command = CreateStore { merchant, name: input.name, address: input.address };
        Ok(match settle(app(ctx).merchants.create_store(actor, command).await)? {
            Ok(store) => StoreCreatePayload { store: Some(StoreNode(store)), user_errors: Vec::new() },
            Err(user_errors) => StoreCreatePayload { store: None, user_errors },
        })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn field_names_are_spelt_as_in_the_schema() {
        assert_eq!(super::camel("settlement_account_name"), "settlementAccountName");
        assert_eq!(super::camel("name"), "name");
    }
}
