//! Payment products: what may be sold, in which version, and how far the release of an order has come.

use async_graphql::{Context, Enum, Object, SimpleObject};
use chrono::{DateTime, Utc};
use wallet::base::money::Money;
use wallet::order::Order;
use wallet::order::release::rules::{Progress, Side, left};
use wallet::order::release::{Confirmation, Release};
use wallet::product::ability::Until;
use wallet::product::terms::due_at;
use wallet::product::{Frozen, ProductError, Published, sentences};

use super::error::internal;
use super::money::{Decimal, MoneyNode, percent_of_bps};
use super::{actor, app};

/// A payment product (支付产品) that orders may name.
#[derive(SimpleObject, Debug)]
#[graphql(name = "Product")]
pub struct ProductNode {
    code: String,
    name: String,
    /// The version that new orders are made with.
    version: i32,
    /// What it does, in sentences.
    sentences: Vec<String>,
    /// The roles that an order binds to merchants.
    roles: Vec<String>,
    /// All versions there were, newest first.
    versions: Vec<ProductVersion>,
}

/// A product as it stood once.
#[derive(SimpleObject, Debug)]
pub struct ProductVersion {
    version: i32,
    name: String,
    published_at: DateTime<Utc>,
    sentences: Vec<String>,
}

impl From<&Published> for ProductVersion {
    fn from(published: &Published) -> Self {
        Self {
            version: published.version,
            name: published.product.name.clone(),
            published_at: published.published_at,
            sentences: sentences(&published.product),
        }
    }
}

/// The product of an order, as it stood when the order was made.
#[derive(SimpleObject, Debug)]
pub struct OrderProduct {
    code: String,
    /// 0: made before there were products.
    version: i32,
    name: String,
}

impl From<&Frozen> for OrderProduct {
    fn from(frozen: &Frozen) -> Self {
        Self { code: frozen.code.clone(), version: frozen.version, name: frozen.terms.name.clone() }
    }
}

/// What releases a stage.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ReleaseBy", remote = "Until")]
pub enum ReleaseBy {
    /// The merchant confirms.
    Merchant,
    /// Merchant and payer confirm.
    Both,
    /// Its day comes.
    Date,
}

/// A side of an order.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "OrderSide", remote = "Side")]
pub enum OrderSide {
    Merchant,
    Payer,
}

/// A part of what an order holds (阶段).
#[derive(SimpleObject, Debug)]
#[graphql(name = "OrderStage")]
pub struct StageNode {
    /// None: the order has no stages, this is the whole.
    name: Option<String>,
    /// Its share of what is held, in percent: "30.00".
    percent: Decimal,
    /// Its share of what was held at first; zero until the order is paid.
    amount: MoneyNode,
    released: MoneyNode,
    /// What may still be released of it.
    left: MoneyNode,
    by: ReleaseBy,
    confirmed_by: Vec<OrderSide>,
    /// When it is released by itself.
    due_at: Option<DateTime<Utc>>,
}

impl StageNode {
    /// The stages of an order that holds money.
    pub fn of(order: &Order, releases: &[Release], confirmations: &[Confirmation]) -> Vec<Self> {
        let Some(hold) = &order.product.terms.hold else { return Vec::new() };
        let progress = Progress {
            released: releases.iter().map(|r| (r.stage.clone(), r.amount.minor)).collect(),
            confirmed: confirmations.iter().map(|c| (c.stage.clone(), c.side)).collect(),
        };
        let minor = |minor| MoneyNode::from(Money { minor, ..order.amount });
        let steps = hold.steps();
        let stage = steps.iter().map(|step| Self {
            name: (!step.name.is_empty()).then(|| step.name.to_owned()),
            percent: percent_of_bps(step.share_bps().into()),
            amount: step.amount(Money { minor: order.escrow.funded_minor, ..order.amount }).into(),
            released: minor(progress.released_minor(step.name)),
            left: left(order, &progress, step).into(),
            by: step.until.into(),
            confirmed_by: [Side::Merchant, Side::Payer]
                .into_iter()
                .filter(|side| progress.has_confirmed(step.name, *side))
                .map(OrderSide::from)
                .collect(),
            due_at: order.paid_at.filter(|_| step.until == Until::Date).map(|paid_at| due_at(paid_at, step.days)),
        });
        stage.collect()
    }
}

/// A release of held money (放款).
#[derive(Debug)]
pub struct ReleaseNode(pub Release);

#[Object(name = "OrderRelease")]
impl ReleaseNode {
    /// None: the order has no stages.
    async fn stage(&self) -> Option<&str> {
        Some(self.0.stage.as_str()).filter(|stage| !stage.is_empty())
    }

    /// What left the order's account.
    async fn amount(&self) -> MoneyNode {
        self.0.amount.into()
    }

    /// The part of it that is the platform's.
    async fn fee(&self) -> MoneyNode {
        self.0.fee.into()
    }

    async fn released_at(&self) -> DateTime<Utc> {
        self.0.released_at
    }
}

#[derive(Default, Debug)]
pub struct ProductQuery;

#[Object]
impl ProductQuery {
    /// The payment products that orders may name. Everybody with a session.
    #[graphql(complexity = "10 + 10 * child_complexity")]
    async fn products(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ProductNode>> {
        actor(ctx)?;
        let products = &app(ctx).products;
        let versions = products.versions().await.map_err(|error: ProductError| internal(&error))?;
        let node = |published: &Published| ProductNode {
            code: published.product.code.clone(),
            name: published.product.name.clone(),
            version: published.version,
            sentences: sentences(&published.product),
            roles: published.product.roles().into_iter().map(str::to_owned).collect(),
            versions: versions.iter().filter(|v| v.product.code == published.product.code).map(ProductVersion::from).collect(),
        };
        Ok(products.sold().map(node).collect())
    }
}
