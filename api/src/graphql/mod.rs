//! The GraphQL schema by subject. A resolver parses, calls one service method and wraps; rules and permissions live in the services.

mod advance;
mod bad_case;
pub mod board;
pub mod book;
mod channel;
pub mod date;
pub mod error;
pub mod id;
pub mod identity;
pub mod loader;
pub mod merchant;
mod model;
pub mod money;
pub mod node;
pub mod onboarding;
pub mod order;
pub mod outbox;
pub mod page;
pub mod payment;
pub mod period;
pub mod product;
pub mod proof;
mod qr;
pub mod refund;
pub mod review;
mod review_quality;
pub mod sandbox;
pub mod split;
pub mod split_channel;
mod subscription;
mod subsidy;
pub mod wallet;
pub mod webhook;

use std::any::TypeId;
use std::sync::Arc;

use ::wallet::base::actor::{Actor, Role};
use ::wallet::base::id::MerchantId;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextPrepareRequest};
use async_graphql::{Context, MergedObject, Request, ServerResult};

use crate::app::App;

/// Nesting a query may have: that of the deepest introspection query in use, which GraphiQL sends.
const DEPTH_MAX: usize = 15;
/// Fields a query may touch, connections counted by their `first`.
const COMPLEXITY_MAX: usize = 5_000;
/// Directives a query may carry on one field.
const DIRECTIVES_MAX: usize = 4;
/// What a mutation costs: a document may hold a few of them, not a thousand aliases.
pub(crate) const MUTATION_COST: usize = 500;

/// Who calls, put into every request by the HTTP edge.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Nobody, when no token came with the request.
    pub actor: Option<Actor>,
    /// The access token itself, for `logout`.
    pub token: Option<String>,
    pub request_id: String,
}

#[derive(MergedObject, Default, Debug)]
pub struct Query(
    identity::IdentityQuery,
    node::NodeQuery,
    onboarding::OnboardingQuery,
    review::ReviewQuery,
    review_quality::ReviewQualityQuery,
    bad_case::BadCaseQuery,
    model::ModelQuery,
    board::BoardQuery,
    book::BookQuery,
    channel::ChannelQuery,
    payment::PaymentQuery,
    product::ProductQuery,
    split::SplitQuery,
    split_channel::SplitChannelQuery,
    subsidy::SubsidyQuery,
    advance::AdvanceQuery,
    proof::ProofQuery,
    outbox::OutboxQuery,
    webhook::WebhookQuery,
    sandbox::SandboxQuery,
);

// A field is looked for from the last of these to the first, and each that does not have it is one more future round what the field does:
// what every payment asks for stands last. Not a doc comment, which would stand in the schema.
#[derive(MergedObject, Default, Debug)]
pub struct Mutation(
    identity::IdentityMutation,
    onboarding::OnboardingMutation,
    merchant::MerchantMutation,
    review::ReviewMutation,
    review_quality::ReviewQualityMutation,
    bad_case::BadCaseMutation,
    model::ModelMutation,
    refund::RefundMutation,
    split::SplitMutation,
    split_channel::SplitChannelMutation,
    subsidy::SubsidyMutation,
    advance::AdvanceMutation,
    wallet::WalletMutation,
    period::PeriodMutation,
    book::BookMutation,
    channel::ChannelMutation,
    outbox::OutboxMutation,
    webhook::WebhookMutation,
    sandbox::SandboxMutation,
    order::OrderMutation,
    payment::PaymentMutation,
);

pub type Schema = async_graphql::Schema<Query, Mutation, subscription::OrderSubscription>;

/// The schema over the services of `app`, with the limits every document has to keep.
pub fn schema(app: Arc<App>) -> Schema {
    let mut builder = Schema::build(Query::default(), Mutation::default(), subscription::OrderSubscription)
        .limit_depth(DEPTH_MAX)
        .limit_complexity(COMPLEXITY_MAX)
        .limit_directives(DIRECTIVES_MAX)
        .extension(PerRequest(app.clone()));
    if !app.config.development() {
        builder = builder.disable_introspection().disable_suggestions();
    }
    builder.data(app).finish()
}

/// The schema as text, kept in `api/schema.graphql`.
pub fn sdl() -> String {
    let schema = Schema::build(Query::default(), Mutation::default(), subscription::OrderSubscription).finish();
    schema.sdl_with_options(async_graphql::SDLExportOptions::new().sorted_fields().sorted_arguments().sorted_enum_items())
}

/// Gives every request loaders of its own: one shared by requests would mix tenants.
struct PerRequest(Arc<App>);

impl ExtensionFactory for PerRequest {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(self.0.clone()))
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for PerRequest {
    async fn prepare_request(&self, ctx: &ExtensionContext<'_>, request: Request, next: NextPrepareRequest<'_>) -> ServerResult<Request> {
        let actor = request.data.get(&TypeId::of::<Caller>()).and_then(|c| c.downcast_ref::<Caller>()).and_then(|c| c.actor.clone());
        let request = request.data(loader::Loaders::new(&self.0, actor));
        next.run(ctx, request).await
    }
}

/// The services.
pub(crate) fn app<'a>(ctx: &Context<'a>) -> &'a Arc<App> {
    ctx.data_unchecked::<Arc<App>>()
}

/// The caller, who may be nobody.
pub(crate) fn caller<'a>(ctx: &Context<'a>) -> &'a Caller {
    ctx.data_unchecked::<Caller>()
}

/// The caller as a person with a session.
pub(crate) fn actor<'a>(ctx: &Context<'a>) -> async_graphql::Result<&'a Actor> {
    caller(ctx).actor.as_ref().ok_or_else(error::login_required)
}

/// The caller, in one of the given roles. Owners are checked by the services, per merchant.
pub(crate) fn actor_as<'a>(ctx: &Context<'a>, roles: &[Role]) -> async_graphql::Result<&'a Actor> {
    let actor = actor(ctx)?;
    match actor {
        Actor::Person { role, .. } if roles.contains(role) => Ok(actor),
        _ => Err(error::forbidden()),
    }
}

/// Whether a command about a merchant may come from this person: another owner's merchant looks like a missing one, another role is told.
pub(crate) fn own(actor: &Actor, merchant: MerchantId, field: &str, what: &str) -> Option<error::UserError> {
    match actor {
        Actor::Person { role: Role::Owner, merchants, .. } if merchants.contains(&merchant) => None,
        Actor::Person { role: Role::Owner, .. } => Some(error::not_found(field, what)),
        Actor::Person { .. } => Some(error::UserError::new("PERM_DENIED", "您没有权限进行此操作")),
        Actor::Customer { .. } | Actor::System => None,
    }
}
