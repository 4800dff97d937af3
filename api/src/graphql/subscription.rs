//! Subscriptions: an order as it stands now, and again each time it differs. One mechanism for its merchant's people and for its payer.
//!
//! A stream carries states, not changes: each is read anew through the services after a signal. A signal that is lost costs at most the
//! time to the next look; a stream that breaks begins with the state as it then is. Who looks is asked for again before each look, so that
//! a session that ended sees nothing more. How answers travel, and how many streams there may be in all, is the edge's affair.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, ID, Subscription};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::time::Instant;
use wallet::base::actor::Actor;
use wallet::base::id::{BookId, OrderId};
use wallet::order::Order;
use wallet::payment::Attempt;
use wallet::refund::Refund;

use super::error::{coded, internal, visible};
use super::id;
use super::order::OrderNode;
use super::payment::{CashierOrder, ticket_error};
use super::{actor, app, caller};
use crate::app::App;
use crate::fanout::{Watcher, order_topic, person_topic};

/// How long a stream goes without looking for itself.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Longest life of a stream; whoever is still there opens the next.
const STREAM_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// Streams of one order in one process: a payer, a cashier, and a few reloads.
const STREAMS_PER_ORDER_MAX: usize = 16;

/// Streams of one person in one process: a counter with a screen for each of its open orders.
const STREAMS_PER_PERSON_MAX: usize = 32;

#[derive(Default, Debug)]
pub struct OrderSubscription;

#[Subscription(name = "Subscription")]
impl OrderSubscription {
    /// An order as it stands, and again whenever it, one of its attempts or one of its refunds has changed. Whoever may read the order.
    /// At most 32 at a time of one person, 16 of one order; ends after half an hour and when the session does.
    #[graphql(complexity = "20 + child_complexity")]
    async fn order_changed(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
    ) -> async_graphql::Result<BoxStream<'static, async_graphql::Result<OrderNode>>> {
        let person = actor(ctx)?.user().ok_or_else(super::error::login_required)?;
        let (book, order) = id::order(&order_id).ok_or_else(no_order)?;
        let app = app(ctx);
        let session = app.fanout.watch(&person_topic(person));
        if session.watchers() > STREAMS_PER_PERSON_MAX {
            return Err(too_many());
        }
        let token = caller(ctx).token.clone().unwrap_or_default();
        let states = follow::<OrderState>(app, book, order, Seer::Person { token, session })?;
        Ok(states.map(|state| state.map(|OrderState { order, .. }| OrderNode(order))).boxed())
    }

    /// The order a ticket opens, as it stands, and again whenever its payer would see a change. Needs no login. At most 16 at a time of one
    /// order; completes once it is paid or closed, which is final, and ends after half an hour and when the ticket expires.
    #[graphql(complexity = "20 + child_complexity")]
    async fn cashier_changed(
        &self,
        ctx: &Context<'_>,
        ticket: String,
    ) -> async_graphql::Result<BoxStream<'static, async_graphql::Result<CashierOrder>>> {
        let app = app(ctx);
        let (book, order) = app.tickets.open_order(&ticket).map_err(ticket_error)?;
        Ok(follow::<CashierOrder>(app, book, order, Seer::Payer { ticket })?.boxed())
    }
}

fn no_order() -> async_graphql::Error {
    coded("NOT_FOUND", "找不到该订单，请核对编号")
}

fn too_many() -> async_graphql::Error {
    coded("LIMIT_STREAMS", "同时打开的页面过多，请关闭其他页面后重试")
}

/// By what right a stream looks.
#[derive(Debug)]
enum Seer {
    /// The holder of an order's ticket.
    Payer { ticket: String },
    /// A person with a session; `session` wakes when one of theirs ends.
    Person { token: String, session: Watcher },
}

impl Seer {
    /// Who that is now. `None`: it could not be found out.
    async fn now(&self, app: &App, book: BookId, order: OrderId) -> async_graphql::Result<Option<Actor>> {
        match self {
            Self::Payer { ticket } => {
                app.tickets.open_order(ticket).map_err(ticket_error)?;
                Ok(Some(Actor::Customer { merchant: book.merchant(), order }))
            }
            Self::Person { token, .. } => match app.identity.authenticate(token).await {
                Ok(Some(actor)) => Ok(Some(actor)),
                Ok(None) => Err(coded("AUTH_TOKEN_INVALID", "登录已失效，请重新登录后再试")),
                Err(error) => {
                    internal(&error);
                    Ok(None)
                }
            },
        }
    }

    async fn changed(&mut self) {
        match self {
            Self::Payer { .. } => std::future::pending().await,
            Self::Person { session, .. } => session.changed().await,
        }
    }
}

/// What a stream shows of an order. Two that are equal are one to whoever watches.
trait Sight: Clone + PartialEq + Send + Sync + 'static {
    /// The order as it stands. `None`: the actor may not see it.
    fn look(app: &App, actor: &Actor, book: BookId, order: OrderId) -> impl Future<Output = async_graphql::Result<Option<Self>>> + Send;

    /// Whether nothing can follow that its watcher waits for. A stream ends there: its connection serves the next request.
    fn is_last(&self) -> bool;
}

/// What the merchant's people see: the fields of an order that are read later are as new as this.
#[derive(Clone, PartialEq, Eq, Debug)]
struct OrderState {
    order: Order,
    attempts: Vec<Attempt>,
    refunds: Vec<Refund>,
}

impl Sight for OrderState {
    async fn look(app: &App, actor: &Actor, book: BookId, order: OrderId) -> async_graphql::Result<Option<Self>> {
        let Some(order) = visible(app.orders.get(actor, book.merchant(), order).await)? else { return Ok(None) };
        let key = [(order.merchant, order.id)];
        let attempts = app.payments.of_orders(&key).await.map_err(|error| internal(&error))?;
        let refunds = app.refunds.of_orders(&key).await.map_err(|error| internal(&error))?;
        Ok(Some(Self { order, attempts, refunds }))
    }

    // refunds come after everything
    fn is_last(&self) -> bool {
        false
    }
}

impl Sight for CashierOrder {
    async fn look(app: &App, actor: &Actor, book: BookId, order: OrderId) -> async_graphql::Result<Option<Self>> {
        Self::load(app, actor, book, order).await
    }

    fn is_last(&self) -> bool {
        self.is_over()
    }
}

/// A stream with all it holds.
struct Live<S> {
    app: Arc<App>,
    seer: Seer,
    book: BookId,
    order: OrderId,
    changes: Watcher,
    /// What was told last. `None`: nothing yet.
    told: Option<S>,
    ends: Instant,
    over: bool,
}

/// States as they differ from the last one told, until the right to see them or the stream's time runs out.
fn follow<S: Sight>(
    app: &Arc<App>,
    book: BookId,
    order: OrderId,
    seer: Seer,
) -> async_graphql::Result<impl futures::Stream<Item = async_graphql::Result<S>> + Send + use<S>> {
    // watched before it is read, so that no change falls between
    let changes = app.fanout.watch(&order_topic(order));
    if changes.watchers() > STREAMS_PER_ORDER_MAX {
        return Err(too_many());
    }
    let ends = Instant::now() + STREAM_TIME_MAX;
    let live = Live { app: app.clone(), seer, book, order, changes, told: None, ends, over: false };
    Ok(stream::unfold(live, |mut live| async move {
        let state = live.next().await?;
        live.over = state.as_ref().map_or(true, Sight::is_last);
        Some((state, live))
    }))
}

impl<S: Sight> Live<S> {
    /// The next state, or why there will be none.
    async fn next(&mut self) -> Option<async_graphql::Result<S>> {
        let mut first = self.told.is_none();
        while !self.over {
            if !first {
                tokio::select! {
                    () = tokio::time::sleep_until(self.ends) => return None,
                    () = self.changes.changed() => {}
                    () = self.seer.changed() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
            match self.look().await {
                Ok(state) if self.told.as_ref() == Some(&state) => {}
                Ok(state) => {
                    self.told = Some(state.clone());
                    return Some(Ok(state));
                }
                // a later look that fails by our fault is logged there, and made good by the next one
                Err(Blind::Failed(_)) if !first => {}
                Err(Blind::Failed(error) | Blind::Refused(error)) => return Some(Err(error)),
            }
            first = false;
        }
        None
    }

    async fn look(&self) -> Result<S, Blind> {
        let failed = || Blind::Failed(coded("INTERNAL", "系统繁忙，请稍后重试；若仍失败，请把 requestId 告诉客服"));
        let actor = self.seer.now(&self.app, self.book, self.order).await.map_err(Blind::Refused)?.ok_or_else(failed)?;
        let seen = S::look(&self.app, &actor, self.book, self.order).await.map_err(Blind::Failed)?;
        seen.ok_or_else(|| Blind::Refused(no_order()))
    }
}

/// Why a look showed nothing.
enum Blind {
    /// Whoever looks may not.
    Refused(async_graphql::Error),
    /// Our fault.
    Failed(async_graphql::Error),
}
