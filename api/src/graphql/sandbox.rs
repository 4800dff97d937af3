//! The sandbox's day: development only. Lets a demo or a test live through a settlement without waiting a night.

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use wallet::base::actor::Role;

use super::date::Date;
use super::error::{UserError, coded, internal, invalid};
use super::{MUTATION_COST, actor_as, app};

/// The clock of a development system.
#[derive(SimpleObject, Clone, Debug)]
pub struct Sandbox {
    now: DateTime<Utc>,
    /// The day in Asia/Shanghai.
    today: Date,
    /// Milliseconds that business time is ahead of real time.
    offset_ms: String,
}

/// How far the clock may be moved: a year either way.
const OFFSET_MS_MAX: i64 = 366 * 24 * 3600 * 1000;

fn sandbox(ctx: &Context<'_>) -> async_graphql::Result<Sandbox> {
    let app = app(ctx);
    if !app.config.development() {
        return Err(coded("STATE_NOT_DEVELOPMENT", "沙箱时钟只在开发环境可用"));
    }
    Ok(Sandbox { now: app.clock.now(), today: Date(app.clock.today()), offset_ms: app.clock.offset_ms().to_string() })
}

#[derive(Default, Debug)]
pub struct SandboxQuery;

#[Object]
impl SandboxQuery {
    /// The clock of a development system; an error in production.
    async fn sandbox(&self, ctx: &Context<'_>) -> async_graphql::Result<Sandbox> {
        sandbox(ctx)
    }
}

#[derive(InputObject, Debug)]
pub struct SandboxClockSetInput {
    /// Milliseconds ahead of real time; negative for the past. At most a year either way.
    offset_ms: String,
}

#[derive(SimpleObject, Debug)]
pub struct SandboxClockSetPayload {
    sandbox: Option<Sandbox>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct SandboxMutation;

#[Object]
impl SandboxMutation {
    /// Moves business time. Operators, development only.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn sandbox_clock_set(&self, ctx: &Context<'_>, input: SandboxClockSetInput) -> async_graphql::Result<SandboxClockSetPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        sandbox(ctx)?;
        let offset_ms = match input.offset_ms.parse::<i64>() {
            Ok(ms) if ms.unsigned_abs() <= OFFSET_MS_MAX.unsigned_abs() => ms,
            _ => {
                let error = invalid("offsetMs", "offsetMs 须为整数毫秒，且不超过前后一年");
                return Ok(SandboxClockSetPayload { sandbox: None, user_errors: vec![error] });
            }
        };
        app(ctx).set_sandbox_clock(actor, offset_ms).await.map_err(|e| internal(&e))?;
        Ok(SandboxClockSetPayload { sandbox: Some(sandbox(ctx)?), user_errors: Vec::new() })
    }
}
