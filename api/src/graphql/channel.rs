//! Channels as operators see and switch them (渠道管理): how each does, why a payment went where it went, and how many succeed.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use wallet::base::actor::Role;
use wallet::payment::success::DAYS_MAX;
use wallet::payment::{ChannelLine, Switch};
use wallet::routing::health::State;
use wallet::routing::success::Figure;

use super::date::Date;
use super::error::{UserError, input, invalid, not_found, required, settle, visible};
use super::id::GlobalId;
use super::payment::PayMethod;
use super::{MUTATION_COST, actor_as, app};

/// Where a channel stands by one way to pay (渠道健康状态).
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "ChannelState", remote = "State")]
pub enum ChannelStateName {
    Healthy,
    /// Takes payments where no healthy channel can.
    Degraded,
    /// Takes no new payments.
    Open,
    /// Takes a bounded share of new payments on trial.
    Probing,
    /// Away, as announced.
    Maintenance,
    /// Switched off by an operator.
    Disabled,
}

/// A channel by one way to pay, as the process that answers has seen it.
#[derive(SimpleObject, Debug)]
pub struct ChannelHealth {
    channel: String,
    method: PayMethod,
    state: ChannelStateName,
    /// Failures of a million attempts that are surely exceeded; what customers cause is not counted.
    failing_ppm: u32,
}

impl From<ChannelLine> for ChannelHealth {
    fn from(line: ChannelLine) -> Self {
        Self { channel: line.channel, method: line.method.into(), state: line.state.into(), failing_ppm: line.failing_ppm }
    }
}

/// An effective success rate: paid orders of those that were not their customers' to lose, with the exact 95 % interval.
#[derive(SimpleObject, Debug)]
pub struct SuccessFigure {
    /// The channel; none for all orders together.
    channel: Option<String>,
    /// Orders counted: ended, and not lost by the customer.
    orders: u64,
    failures: u64,
    /// None where nothing was counted.
    rate: Option<f64>,
    low: f64,
    high: f64,
    /// The same in one line, never rounded up.
    text: String,
}

impl SuccessFigure {
    fn of(channel: Option<String>, figure: Figure) -> Self {
        let (orders, failures, rate, text) = (figure.n, figure.failures, figure.rate(), figure.to_string());
        Self { channel, orders, failures, rate, low: figure.low, high: figure.high, text }
    }
}

#[derive(Default, Debug)]
pub struct ChannelQuery;

#[Object]
impl ChannelQuery {
    /// Every connected channel by its ways to pay. Operators.
    async fn channels(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ChannelHealth>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        Ok(required(app(ctx).payments.channel_report(actor))?.into_iter().map(ChannelHealth::from).collect())
    }

    /// Why a payment attempt went where it went: a sentence for every candidate of the routing table. Operators.
    async fn payment_route(&self, ctx: &Context<'_>, attempt_id: ID) -> async_graphql::Result<Option<Vec<String>>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let Some(GlobalId::Attempt(book, attempt)) = GlobalId::decode(&attempt_id) else { return Ok(None) };
        visible(app(ctx).payments.explain(actor, book, attempt).await)
    }

    /// How many orders were paid of those that customers did not lose themselves, over all and by channel, for orders whose last attempt was
    /// made from one day to another, both included and at most 366 apart. Orders that are still open are not counted. Operators.
    #[graphql(complexity = "500 + child_complexity")]
    async fn effective_success(&self, ctx: &Context<'_>, from: Date, to: Date) -> async_graphql::Result<Vec<SuccessFigure>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let days = (to.0 - from.0).num_days();
        if !(0..i64::try_from(DAYS_MAX).unwrap_or(0)).contains(&days) {
            return Err(input("to", "to 不得早于 from，且相隔不超过 366 天"));
        }
        let report = required(app(ctx).payments.effective_success(actor, from.0, to.0).await)?;
        let channels = report.channels.into_iter().map(|(name, figure)| SuccessFigure::of(Some(name.to_string()), figure));
        Ok(std::iter::once(SuccessFigure::of(None, report.overall)).chain(channels).collect())
    }
}

/// What an operator decides about a channel.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChannelSwitchState {
    On,
    Off,
    /// Away until a time.
    Maintenance,
}

#[derive(InputObject, Debug)]
pub struct ChannelSwitchInput {
    /// As `channels` names it.
    channel: String,
    state: ChannelSwitchState,
    /// For MAINTENANCE: when it ends.
    until: Option<DateTime<Utc>>,
}

#[derive(SimpleObject, Debug)]
pub struct ChannelSwitchPayload {
    /// The channel by its ways to pay, as it stands now.
    channels: Option<Vec<ChannelHealth>>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct ChannelMutation;

#[Object]
impl ChannelMutation {
    /// Switches a channel for new payments, in every process within a second. What was sent there is still asked about, closed and refunded.
    /// Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn channel_switch(&self, ctx: &Context<'_>, input: ChannelSwitchInput) -> async_graphql::Result<ChannelSwitchPayload> {
        let (app, actor) = (app(ctx), actor_as(ctx, &[Role::Operator])?);
        let refuse = |error| Ok(ChannelSwitchPayload { channels: None, user_errors: vec![error] });
        if app.payments.channels().get(&input.channel).is_none() {
            return refuse(not_found("channel", "已接入的渠道"));
        }
        let switch = match (input.state, input.until) {
            (ChannelSwitchState::On, None) => Switch::On,
            (ChannelSwitchState::Off, None) => Switch::Off,
            (ChannelSwitchState::Maintenance, Some(until)) if until > app.clock.now() => Switch::Maintenance { until },
            (ChannelSwitchState::Maintenance, _) => return refuse(invalid("until", "维护须填写晚于现在的结束时间")),
            (_, Some(_)) => return refuse(invalid("until", "只有维护才填写结束时间")),
        };
        Ok(match settle(app.payments.switch(actor, &input.channel, switch).await)? {
            Ok(()) => {
                let lines = required(app.payments.channel_report(actor))?;
                let lines = lines.into_iter().filter(|line| line.channel == input.channel).map(ChannelHealth::from).collect();
                ChannelSwitchPayload { channels: Some(lines), user_errors: Vec::new() }
            }
            Err(user_errors) => ChannelSwitchPayload { channels: None, user_errors },
        })
    }
}
