//! The platform's view of all books, and the number of books a merchant's money is spread over. Operators only.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use wallet::base::actor::Role;
use wallet::book::{BookError, STRIPES_MAX, Total};

use super::error::{Rejection, UserError, invalid, not_found, required, settle};
use super::money::MoneyNode;
use super::period::LedgerAccountName;
use super::{MUTATION_COST, actor_as, app, id};

impl Rejection for BookError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "只有运营人员可以管理账簿"),
            Self::NotFound => not_found("merchantId", "已签约的商户"),
            Self::StripesOutOfRange => invalid("stripes", format!("分条数须在 1 到 {STRIPES_MAX} 之间")),
            Self::StripesOnlyGrow { stripes } => {
                UserError::new("STATE_STRIPES_ONLY_GROW", format!("分条数只能增加，目前为 {stripes}")).at("stripes")
            }
            Self::Ledger(_) | Self::Database(_) => return None,
        })
    }
}

/// What all accounts of a kind hold together, over all books.
#[derive(Debug)]
pub struct BookTotal(Total);

#[Object]
impl BookTotal {
    async fn kind(&self) -> LedgerAccountName {
        self.0.kind.into()
    }

    /// On the kind's own side: cash held, money owed, fees earned.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// How many accounts make it up.
    async fn accounts(&self) -> i64 {
        self.0.accounts
    }
}

#[derive(Default, Debug)]
pub struct BookQuery;

#[Object]
impl BookQuery {
    /// Sums over the accounts of all books, by kind and currency, read at one moment. Operators.
    #[graphql(complexity = "100 + child_complexity")]
    async fn book_totals(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<BookTotal>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        Ok(required(app(ctx).books.totals(actor).await)?.into_iter().map(BookTotal).collect())
    }
}

#[derive(InputObject, Debug)]
pub struct MerchantStripesSetInput {
    merchant_id: ID,
    /// How many books the merchant's money is spread over, 1 to 16. Only grows; asking for what there is does nothing.
    stripes: i32,
}

#[derive(SimpleObject, Debug)]
pub struct MerchantStripesSetPayload {
    /// How many there are now.
    stripes: Option<i32>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct BookMutation;

#[Object]
impl BookMutation {
    /// Spreads a very large merchant's new payments over several books, so that they do not wait for one another. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn merchant_stripes_set(
        &self,
        ctx: &Context<'_>,
        input: MerchantStripesSetInput,
    ) -> async_graphql::Result<MerchantStripesSetPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let refuse = |error| Ok(MerchantStripesSetPayload { stripes: None, user_errors: vec![error] });
        let Some(merchant) = id::merchant(&input.merchant_id) else { return refuse(not_found("merchantId", "商户")) };
        // what does not fit is out of range, and the service says so
        let stripes = i16::try_from(input.stripes).unwrap_or(0);
        Ok(match settle(app(ctx).books.set_stripes(actor, merchant, stripes).await)? {
            Ok(stripes) => MerchantStripesSetPayload { stripes: Some(stripes.into()), user_errors: Vec::new() },
            Err(user_errors) => MerchantStripesSetPayload { stripes: None, user_errors },
        })
    }
}
