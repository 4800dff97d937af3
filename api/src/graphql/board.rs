//! The daily board (每日看板): exact when it is read, with the same figures recomputed from the books beside it.

use async_graphql::{ComplexObject, Context, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};
use wallet::analytics::{BoardDay, BoardError, StoreDay};
use wallet::base::id::{MerchantId, StoreId};

use super::date::Date;
use super::error::{Rejection, UserError, required};
use super::loader::loaders;
use super::merchant::StoreNode;
use super::money::{Decimal, MoneyNode, percent_of_bps};
use super::{actor, app, id};

impl Rejection for BoardError {
    fn user_error(&self) -> Option<UserError> {
        match self {
            Self::Forbidden(_) => Some(UserError::new("PERM_DENIED", "您没有权限查看该看板")),
            Self::Database(_) => None,
        }
    }
}

/// The figures of a day. Days are Asia/Shanghai, by time of success.
#[derive(SimpleObject, Debug)]
pub struct BoardFigures {
    /// Stores of signed merchants at the end of the day (签约).
    signed_stores: i64,
    /// Stores with a payment of the day that was not refunded in full on it (活跃).
    active_stores: i64,
    /// Active of signed stores, in percent: "66.40" (活跃率).
    activity_rate: Decimal,
    /// What customers paid, before refunds (流水).
    flow: MoneyNode,
    /// Payments (笔数).
    count: i64,
    /// What refunds of the day took back.
    refunded: MoneyNode,
    refund_count: i64,
    /// Fees kept: charged less given back (手续费).
    fee: MoneyNode,
    /// Flow per payment (笔均).
    average_ticket: MoneyNode,
    /// Flow per active store (店均).
    average_per_active_store: MoneyNode,
}

impl From<&BoardDay> for BoardFigures {
    fn from(day: &BoardDay) -> Self {
        Self {
            signed_stores: day.signed_stores,
            active_stores: day.active_stores,
            activity_rate: percent_of_bps(day.activity_rate_bps),
            flow: day.flow.into(),
            count: day.count,
            refunded: day.refunded.into(),
            refund_count: day.refund_count,
            fee: day.fee.into(),
            average_ticket: day.average_ticket.into(),
            average_per_active_store: day.average_per_active_store.into(),
        }
    }
}

/// The figures recomputed from postings and entries.
#[derive(SimpleObject, Debug)]
pub struct BoardRecount {
    #[graphql(flatten)]
    figures: BoardFigures,
}

/// The day of a store.
#[derive(SimpleObject, Debug)]
#[graphql(complex, name = "StoreDay")]
pub struct StoreDayNode {
    flow: MoneyNode,
    count: i64,
    refunded: MoneyNode,
    refund_count: i64,
    fee: MoneyNode,
    /// Whether it had a payment that was not refunded in full on the same day.
    active: bool,
    #[graphql(skip)]
    store: StoreId,
}

#[ComplexObject]
impl StoreDayNode {
    async fn store(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<StoreNode>> {
        Ok(loaders(ctx).store(self.store).await?.map(StoreNode))
    }
}

impl From<StoreDay> for StoreDayNode {
    fn from(day: StoreDay) -> Self {
        Self {
            flow: day.flow.into(),
            count: day.count,
            refunded: day.refunded.into(),
            refund_count: day.refund_count,
            fee: day.fee.into(),
            active: day.active,
            store: day.store,
        }
    }
}

/// The daily board of a merchant or of the platform.
#[derive(SimpleObject, Debug)]
#[graphql(complex)]
pub struct DailyBoard {
    day: Date,
    /// When the figures were read; they hold everything committed by then.
    as_of: DateTime<Utc>,
    #[graphql(flatten)]
    figures: BoardFigures,
    /// The stores with the largest flow, at most 100.
    #[graphql(complexity = "10 + 20 * child_complexity")]
    stores: Vec<StoreDayNode>,
    #[graphql(skip)]
    merchant: Option<MerchantId>,
}

#[ComplexObject]
impl DailyBoard {
    /// The same figures recomputed from the books, read now. Costs a scan of the day.
    #[graphql(complexity = "500 + child_complexity")]
    async fn recount(&self, ctx: &Context<'_>) -> async_graphql::Result<BoardRecount> {
        let day = required(app(ctx).board.recount(actor(ctx)?, self.day.0, self.merchant).await)?;
        Ok(BoardRecount { figures: (&day).into() })
    }
}

#[derive(Default, Debug)]
pub struct BoardQuery;

#[Object]
impl BoardQuery {
    /// The board of a day: of one merchant for its owner, of the whole platform (without `merchantId`) for operators.
    async fn daily_board(&self, ctx: &Context<'_>, day: Date, merchant_id: Option<ID>) -> async_graphql::Result<Option<DailyBoard>> {
        let actor = actor(ctx)?;
        let merchant = match merchant_id.as_ref().map(id::merchant) {
            None => None,
            Some(Some(merchant)) => Some(merchant),
            Some(None) => return Ok(None),
        };
        // somebody else's merchant looks like a missing one
        if merchant.is_some_and(|merchant| actor.require_reader(merchant).is_err()) {
            return Ok(None);
        }
        let board = required(app(ctx).board.day(actor, day.0, merchant).await)?;
        let figures = (&board).into();
        let stores = board.stores.into_iter().map(StoreDayNode::from).collect();
        Ok(Some(DailyBoard { day, as_of: board.as_of, figures, stores, merchant }))
    }
}
