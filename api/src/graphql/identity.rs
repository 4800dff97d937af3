//! Login, logout and the caller's own account.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use merchant::identity::{IdentityError, User};
use wallet::base::actor::Role;

use super::error::{Rejection, UserError, busy, internal, invalid, required, settle};
use super::id::GlobalId;
use super::merchant::MerchantNode;
use super::{actor, app, caller};
use crate::fanout::person_topic;

impl Rejection for IdentityError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::LoginOff => UserError::new("AUTH_LOGIN_OFF", "此环境未开放开发登录，请使用正式登录方式"),
            Self::MalformedCode => {
                invalid("code", "登录码格式应为 dev:角色:名字，例如 dev:owner:alice（角色为 owner、agent、reviewer、operator）")
            }
            Self::RoleFixed { role } => {
                UserError::new("AUTH_ROLE_FIXED", format!("该名字已以 {} 身份登录过，请换一个名字", role.as_str())).at("code")
            }
            Self::NoSession => UserError::new("AUTH_NO_SESSION", "登录已失效，请重新登录"),
            Self::Busy { retry_after } => busy(*retry_after),
            Self::CutShort | Self::Random | Self::Database(_) => return None,
        })
    }
}

/// What a person may be.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "Role", remote = "Role")]
pub enum RoleName {
    /// Store owner (店主).
    Owner,
    /// Agent (代理).
    Agent,
    /// Reviewer (审核员).
    Reviewer,
    /// Operator (运营).
    Operator,
}

/// The caller.
#[derive(Debug)]
pub struct Viewer(User);

#[Object]
impl Viewer {
    async fn id(&self) -> ID {
        GlobalId::User(self.0.id).encode()
    }

    async fn role(&self) -> RoleName {
        self.0.role.into()
    }

    async fn display_name(&self) -> &str {
        &self.0.display_name
    }

    /// The merchants the caller owns, oldest first.
    #[graphql(complexity = "10 + 10 * child_complexity")]
    async fn merchants(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<MerchantNode>> {
        // after login the token of this very request is not in the caller yet
        let Some(actor) = &caller(ctx).actor else { return Ok(Vec::new()) };
        let merchants = required(app(ctx).merchants.of_owner(actor).await)?;
        Ok(merchants.into_iter().map(MerchantNode).collect())
    }
}

#[derive(Default, Debug)]
pub struct IdentityQuery;

#[Object]
impl IdentityQuery {
    /// The caller's own account.
    async fn viewer(&self, ctx: &Context<'_>) -> async_graphql::Result<Viewer> {
        let actor = actor(ctx)?;
        let user = required(app(ctx).identity.viewer(actor).await)?;
        user.map(Viewer).ok_or_else(super::error::login_required)
    }
}

#[derive(InputObject)]
pub struct LoginInput {
    /// Development: `dev:<role>:<handle>`, e.g. `dev:owner:alice`.
    #[graphql(secret)]
    code: String,
}

#[derive(SimpleObject)]
pub struct LoginPayload {
    /// To be sent as `Authorization: Bearer …`. Shown once.
    access_token: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    viewer: Option<Viewer>,
    user_errors: Vec<UserError>,
}

#[derive(SimpleObject)]
pub struct LogoutPayload {
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct IdentityMutation;

#[Object]
impl IdentityMutation {
    /// Opens a session.
    #[graphql(complexity = "super::MUTATION_COST + child_complexity")]
    async fn login(&self, ctx: &Context<'_>, input: LoginInput) -> async_graphql::Result<LoginPayload> {
        Ok(match settle(app(ctx).identity.login_development(&input.code).await)? {
            Ok(login) => LoginPayload {
                access_token: Some(login.token.expose().to_owned()),
                expires_at: Some(login.expires_at),
                viewer: Some(Viewer(login.user)),
                user_errors: Vec::new(),
            },
            Err(user_errors) => LoginPayload { access_token: None, expires_at: None, viewer: None, user_errors },
        })
    }

    /// Ends the session of the token this request came with.
    #[graphql(complexity = "super::MUTATION_COST + child_complexity")]
    async fn logout(&self, ctx: &Context<'_>) -> async_graphql::Result<LogoutPayload> {
        let person = actor(ctx)?.user();
        let token = caller(ctx).token.as_deref().unwrap_or_default();
        let user_errors = match app(ctx).identity.logout(token).await {
            Ok(()) => {
                // what still watches with this token ends now and not at its next look
                app(ctx).fanout.publish(&person.map(person_topic).into_iter().collect::<Vec<_>>()).await;
                Vec::new()
            }
            Err(error) => vec![error.user_error().ok_or_else(|| internal(&error))?],
        };
        Ok(LogoutPayload { user_errors })
    }
}
