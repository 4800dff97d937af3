//! `node(id)`: any object by its opaque id, if the caller may see it. Somebody else's and a missing one are both `null`.

use async_graphql::{Context, ID, Interface, Object};
use wallet::base::actor::Role;

use super::error::visible;
use super::id::GlobalId;
use super::merchant::{MerchantNode, StoreNode};
use super::onboarding::{ApplicationNode, DocumentNode};
use super::order::OrderNode;
use super::payment::AttemptNode;
use super::refund::RefundNode;
use super::review::ReviewTaskNode;
use super::wallet::WithdrawalNode;
use super::{actor, app};

/// An object with an id.
#[derive(Interface, Debug)]
#[graphql(field(name = "id", ty = "ID", desc = "Opaque; the same for ever."))]
pub enum Node {
    Merchant(MerchantNode),
    Store(StoreNode),
    Application(ApplicationNode),
    Document(DocumentNode),
    ReviewTask(ReviewTaskNode),
    Order(OrderNode),
    PaymentAttempt(AttemptNode),
    Refund(RefundNode),
    Withdrawal(WithdrawalNode),
}

#[derive(Default, Debug)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Any object by its id.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> async_graphql::Result<Option<Node>> {
        let actor = actor(ctx)?;
        let app = app(ctx);
        // what hangs on an order or a book is shown to whoever may read the merchant
        let readable = |book: wallet::base::id::BookId| actor.require_reader(book.merchant()).is_ok();
        Ok(match GlobalId::decode(&id) {
            None | Some(GlobalId::User(_)) => None,
            Some(GlobalId::Merchant(id)) => visible(app.merchants.get(actor, id).await)?.map(|m| Node::Merchant(MerchantNode(m))),
            Some(GlobalId::Store(merchant, id)) => {
                let store = visible(app.merchants.store(actor, id).await)?;
                store.filter(|store| store.merchant == merchant).map(|s| Node::Store(StoreNode(s)))
            }
            Some(GlobalId::Application(id)) => {
                visible(app.applications.get(actor, id).await)?.map(|a| Node::Application(ApplicationNode(a)))
            }
            Some(GlobalId::Document(id)) => visible(app.applications.document(actor, id).await)?.map(|d| Node::Document(DocumentNode(d))),
            Some(GlobalId::Task(id)) => match actor.require_role(Role::Reviewer) {
                Ok(()) => visible(app.reviews.task(actor, id).await)?.map(|view| Node::ReviewTask(view.task.into())),
                Err(_) => None,
            },
            Some(GlobalId::Order(book, id)) => {
                visible(app.orders.get(actor, book.merchant(), id).await)?.map(|o| Node::Order(OrderNode(o)))
            }
            Some(GlobalId::Attempt(book, id)) if readable(book) => {
                let attempt = visible(app.payments.by_ids(&[(book.merchant(), id)]).await)?;
                attempt.and_then(|mut found| found.pop()).map(|a| Node::PaymentAttempt(AttemptNode(a)))
            }
            Some(GlobalId::Refund(book, id)) if readable(book) => {
                let refund = visible(app.refunds.by_ids(&[(book.merchant(), id)]).await)?;
                refund.and_then(|mut found| found.pop()).map(|r| Node::Refund(RefundNode(r)))
            }
            Some(GlobalId::Withdrawal(book, id)) if readable(book) => {
                visible(app.withdrawals.get(actor, book.merchant(), id).await)?.map(|w| Node::Withdrawal(WithdrawalNode(w)))
            }
            Some(GlobalId::Attempt(..) | GlobalId::Refund(..) | GlobalId::Withdrawal(..)) => None,
        })
    }
}
