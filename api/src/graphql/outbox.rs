//! The outbox, for operators: how far behind each consumer is, what they gave up on, and the wish to have it read again.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;
use wallet::base::actor::Role;
use wallet::base::id::BookId;
use wallet::base::outbox::{DeadLetter, DeadLetterCursor, DeadLetterKey, Form, Lag, Lags, OutboxError, WAITING_MAX};

use super::error::{Rejection, UserError, not_found, required, settle};
use super::page::{Nodes, Window, connection};
use super::{MUTATION_COST, actor_as, app};

impl Rejection for OutboxError {
    fn user_error(&self) -> Option<UserError> {
        Some(match self {
            Self::Forbidden(_) => UserError::new("PERM_DENIED", "只有运营人员可以处理事件"),
            Self::NotFound => not_found("deadLetterId", "死信，它可能已被重新处理"),
            Self::NoMarks | Self::Database(_) => return None,
        })
    }
}

/// How events are handed to their consumers.
#[derive(Enum, Clone, Copy, PartialEq, Eq, Debug)]
#[graphql(name = "OutboxForm", remote = "Form")]
pub enum OutboxFormName {
    /// By transaction marks.
    Mark,
    /// By a row for each consumer and event.
    Queue,
}

/// How far behind a consumer is.
#[derive(Debug)]
pub struct OutboxConsumer(Lag);

#[Object]
impl OutboxConsumer {
    async fn name(&self) -> &str {
        &self.0.consumer
    }

    /// Events it has not read; 10,000 stands for as many or more.
    async fn waiting(&self) -> i64 {
        self.0.waiting.min(WAITING_MAX)
    }

    /// How long the first of them has waited, in seconds of real time; `null` when none waits.
    async fn oldest_seconds(&self) -> Option<f64> {
        self.0.oldest.map(|time| time.as_seconds_f64())
    }

    /// Events it gave up on.
    async fn dead_letters(&self) -> i64 {
        self.0.dead_letters
    }
}

/// How far behind the consumers of the outbox are.
#[derive(Debug)]
pub struct OutboxLag(Lags);

#[Object]
impl OutboxLag {
    /// When the figures were read, in real time.
    async fn as_of(&self) -> DateTime<Utc> {
        self.0.as_of
    }

    /// How events are handed over from now on.
    async fn form(&self) -> OutboxFormName {
        self.0.form.into()
    }

    async fn consumers(&self) -> Vec<OutboxConsumer> {
        self.0.consumers.iter().cloned().map(OutboxConsumer).collect()
    }
}

/// An event that a consumer gave up on (死信).
#[derive(Debug)]
pub struct OutboxDeadLetter(DeadLetter);

#[Object]
impl OutboxDeadLetter {
    /// Opaque. Not an id for `node`: it ends when the event was taken after all.
    async fn id(&self) -> ID {
        encode(&self.0.key)
    }

    /// The event's own id.
    async fn event_id(&self) -> String {
        self.0.key.event.to_string()
    }

    /// Of the event, such as `order.paid`.
    async fn kind(&self) -> &str {
        &self.0.kind
    }

    async fn consumer(&self) -> &str {
        &self.0.key.consumer
    }

    async fn attempts(&self) -> i32 {
        self.0.attempts
    }

    /// Why the last attempt failed; without personal data.
    async fn error(&self) -> &str {
        &self.0.error
    }

    /// When the consumer gave up, in real time.
    async fn died_at(&self) -> DateTime<Utc> {
        self.0.died_at
    }

    /// When somebody asked for it again; `null` once that was tried, and before.
    async fn replay_at(&self) -> Option<DateTime<Utc>> {
        self.0.replay_at
    }
}

#[derive(Default, Debug)]
pub struct OutboxQuery;

#[Object]
impl OutboxQuery {
    /// How far behind each consumer of the outbox is. Operators.
    #[graphql(complexity = "20 + child_complexity")]
    async fn outbox_lag(&self, ctx: &Context<'_>) -> async_graphql::Result<OutboxLag> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        Ok(OutboxLag(required(app(ctx).outbox.lags(actor).await)?))
    }

    /// Events that a consumer gave up on, the newest first. Operators.
    #[graphql(complexity = "10 + first as usize * child_complexity")]
    async fn outbox_dead_letters(
        &self,
        ctx: &Context<'_>,
        first: i32,
        after: Option<String>,
    ) -> async_graphql::Result<Nodes<OutboxDeadLetter>> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let window: Window<(DateTime<Utc>, Uuid, String)> = Window::read(first, after)?;
        let has_previous = window.after.is_some();
        let after = window.after.map(|(died_at, event, consumer)| DeadLetterCursor { died_at, event, consumer });
        let page = required(app(ctx).outbox.dead_letters(actor, after, window.first).await)?;
        let place = |letter: &DeadLetter| (letter.died_at, letter.key.event, letter.key.consumer.clone());
        Ok(connection(page, has_previous, place, OutboxDeadLetter))
    }
}

#[derive(InputObject, Debug)]
pub struct OutboxDeadLetterReplayInput {
    dead_letter_id: ID,
}

#[derive(SimpleObject, Debug)]
pub struct OutboxDeadLetterReplayPayload {
    /// As it stands now: asked for, not yet tried. It is gone from `outboxDeadLetters` once its consumer has taken it.
    dead_letter: Option<OutboxDeadLetter>,
    user_errors: Vec<UserError>,
}

#[derive(Default, Debug)]
pub struct OutboxMutation;

#[Object]
impl OutboxMutation {
    /// Has a dead letter read again by its consumer, once, however often it is asked for. Operators.
    #[graphql(complexity = "MUTATION_COST + child_complexity")]
    async fn outbox_dead_letter_replay(
        &self,
        ctx: &Context<'_>,
        input: OutboxDeadLetterReplayInput,
    ) -> async_graphql::Result<OutboxDeadLetterReplayPayload> {
        let actor = actor_as(ctx, &[Role::Operator])?;
        let result = match decode(&input.dead_letter_id) {
            Some(key) => app(ctx).outbox.replay(actor, &key).await,
            None => Err(OutboxError::NotFound),
        };
        Ok(match settle(result)? {
            Ok(letter) => OutboxDeadLetterReplayPayload { dead_letter: Some(OutboxDeadLetter(letter)), user_errors: Vec::new() },
            Err(user_errors) => OutboxDeadLetterReplayPayload { dead_letter: None, user_errors },
        })
    }
}

/// Before the ids and the name, so that no other id is taken for one of these.
const TAG: u8 = b'l';

fn encode(key: &DeadLetterKey) -> ID {
    let mut bytes = vec![TAG];
    bytes.extend_from_slice(key.book.0.as_bytes());
    bytes.extend_from_slice(key.event.as_bytes());
    bytes.extend_from_slice(key.consumer.as_bytes());
    ID(URL_SAFE_NO_PAD.encode(bytes))
}

fn decode(id: &ID) -> Option<DeadLetterKey> {
    if id.len() > 256 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(id.as_str()).ok()?;
    let (&tag, rest) = bytes.split_first()?;
    let (book, rest) = rest.split_at_checked(16)?;
    let (event, consumer) = rest.split_at_checked(16)?;
    let consumer = std::str::from_utf8(consumer).ok()?.to_owned();
    let key = DeadLetterKey { book: BookId(Uuid::from_slice(book).ok()?), event: Uuid::from_slice(event).ok()?, consumer };
    (tag == TAG).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_letter_comes_back_and_anything_else_is_none() {
        let key = DeadLetterKey { book: BookId::new(), event: Uuid::now_v7(), consumer: "fanout".to_owned() };
        assert_eq!(decode(&encode(&key)), Some(key));
        for text in ["", "bA", "b64?", &"A".repeat(80), &"A".repeat(400)] {
            assert_eq!(decode(&ID(text.to_owned())), None, "{text}");
        }
    }
}
