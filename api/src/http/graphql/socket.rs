//! Subscriptions over a WebSocket, in the protocol `graphql-transport-ws`: for clients that hold several at once.
//!
//! One task serves one connection: it reads, asks its subscriptions for their next answers, and writes, so that a client that does not
//! read stops its own subscriptions and nothing else. The token comes with `connection_init`; a page's cookies mean nothing here. Everything
//! is bounded: the time to begin, the size and number of messages, the subscriptions, the silence.

use std::time::Duration;

use async_graphql::parser::types::OperationType;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::Response;
use futures::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_stream::StreamMap;
use wallet::base::actor::Actor;

use super::answer::{self, Fault};
use super::request::{self, Format};
use super::subscribe::{self, Answer};
use super::{BODY, Edge, identify, method_not_allowed};
use crate::graphql::Caller;
use crate::http::layer::RequestId;

const PROTOCOL: &str = "graphql-transport-ws";

/// Connections open at the same time; further ones are told to come again.
pub const SOCKETS_MAX: usize = 1_024;

/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 16;

/// Longest name a client gives to a subscription.
const ID_LEN_MAX: usize = 64;

/// Longest until a client has said who it is.
const INIT_TIME_MAX: Duration = Duration::from_secs(5);

/// How often a client is asked for a sign of life. One that gave none since the last time is gone.
const PING: Duration = Duration::from_secs(15);

/// Messages of a client from one ping to the next.
const MESSAGES_PER_PING_MAX: u32 = 120;

/// Pings that a connection without a subscription lasts.
const IDLE_PINGS_MAX: u32 = 4;

/// Longest a client may take over what is sent to it, the farewell included.
const SEND_TIME_MAX: Duration = Duration::from_secs(10);
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// `GET /graphql` with an upgrade; any other `GET` is no method of this address.
pub async fn open(
    State(edge): State<Edge>,
    Extension(id): Extension<RequestId>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return method_not_allowed(Extension(id)).await };
    let upgrade = upgrade.protocols([PROTOCOL]).max_message_size(BODY.bytes_max).max_frame_size(BODY.bytes_max);
    if upgrade.selected_protocol().is_none() {
        let message = "请以 WebSocket 子协议 graphql-transport-ws 连接";
        return Fault::new(StatusCode::BAD_REQUEST, "INPUT_PROTOCOL", message).render(Format::GraphQl, &id.0);
    }
    let Some(place) = edge.sockets.enter() else {
        return Fault::busy().render(Format::GraphQl, &id.0);
    };
    // counted among what a stop waits for: the connection itself leaves the server's hands
    let running = edge.runner.tasks.token();
    upgrade.on_upgrade(async move |socket| {
        metrics::gauge!("haodian_sockets").increment(1.0);
        Connection { edge, id, socket, caller: None, subscriptions: StreamMap::new() }.serve().await;
        metrics::gauge!("haodian_sockets").decrement(1.0);
        drop((place, running));
    })
}

/// What a client says.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Said {
    ConnectionInit { payload: Option<Init> },
    Ping,
    Pong,
    Subscribe { id: String, payload: Map<String, Value> },
    Complete { id: String },
}

#[derive(Deserialize)]
struct Init {
    /// `Bearer …`, as in a request's header.
    authorization: Option<String>,
}

/// Why a connection ends.
enum End {
    /// By us, with a code of the protocol.
    Closed(u16, &'static str),
    /// The client is gone.
    Gone,
}

/// One connection with all it holds.
struct Connection {
    edge: Edge,
    id: RequestId,
    socket: WebSocket,
    /// Who asks, once that was said.
    caller: Option<(Option<Actor>, Option<String>)>,
    /// What is subscribed to, by the client's names; `None` ends a stream.
    subscriptions: StreamMap<String, BoxStream<'static, Option<Answer>>>,
}

impl Connection {
    async fn serve(mut self) {
        let end = match self.talk().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // what is subscribed to is let go before the farewell, which may take its time
        self.subscriptions.clear();
        if let End::Closed(code, reason) = end {
            tracing::debug!(code, reason, "a socket is closed");
            let farewell = async {
                let frame = CloseFrame { code, reason: reason.into() };
                if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                    // until the client has taken note; what it still says is not heard
                    while let Some(Ok(_)) = self.socket.recv().await {}
                }
            };
            let _ = tokio::time::timeout(CLOSE_TIME_MAX, farewell).await;
        }
    }

    async fn talk(&mut self) -> Result<std::convert::Infallible, End> {
        let begun_by = Instant::now() + INIT_TIME_MAX;
        let mut pings = tokio::time::interval_at(Instant::now() + PING, PING);
        let (mut messages, mut idle) = (0, 0);
        let stop = self.edge.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Err(End::Closed(close_code::AWAY, "Going away")),
                () = tokio::time::sleep_until(begun_by), if self.caller.is_none() => {
                    return Err(End::Closed(4408, "Connection initialisation timeout"));
                }
                _ = pings.tick() => {
                    idle = if self.subscriptions.is_empty() { idle + 1 } else { 0 };
                    if messages == 0 {
                        return Err(End::Gone);
                    }
                    if idle > IDLE_PINGS_MAX {
                        return Err(End::Closed(close_code::NORMAL, "Nothing subscribed to"));
                    }
                    messages = 0;
                    self.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
                heard = self.socket.recv() => {
                    messages += 1;
                    if messages > MESSAGES_PER_PING_MAX {
                        return Err(End::Closed(4429, "Too many messages"));
                    }
                    match heard {
                        None => return Err(End::Gone),
                        Some(Err(error)) => {
                            tracing::debug!(error = %error, "a socket cannot be read");
                            return Err(End::Closed(close_code::SIZE, "Message cannot be read or is too long"));
                        }
                        Some(Ok(Message::Close(_))) => return Err(End::Gone),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Binary(_))) => return Err(End::Closed(4400, "Binary message")),
                        Some(Ok(Message::Text(text))) => match serde_json::from_str(text.as_str()) {
                            Ok(said) => self.hear(said).await?,
                            Err(_) => return Err(End::Closed(4400, "Invalid message")),
                        },
                    }
                }
                Some((id, answer)) = self.subscriptions.next(), if !self.subscriptions.is_empty() => self.tell(id, answer).await?,
            }
        }
    }

    async fn hear(&mut self, said: Said) -> Result<(), End> {
        match said {
            Said::ConnectionInit { .. } if self.caller.is_some() => Err(End::Closed(4429, "Too many initialisation requests")),
            Said::ConnectionInit { payload } => {
                let authorization = payload.and_then(|init| init.authorization);
                let token = match authorization.as_deref().map(|given| given.strip_prefix("Bearer ").map(str::trim)) {
                    None => None,
                    Some(Some(token)) if !token.is_empty() => Some(token),
                    Some(_) => return Err(End::Closed(4403, "Forbidden")),
                };
                match identify(&self.edge, token).await {
                    Ok(caller) => self.caller = Some(caller),
                    Err(fault) if fault.status == StatusCode::UNAUTHORIZED => return Err(End::Closed(4403, "Forbidden")),
                    Err(_) => return Err(End::Closed(close_code::ERROR, "Internal error")),
                }
                self.say(json!({ "type": "connection_ack" })).await
            }
            Said::Ping => self.say(json!({ "type": "pong" })).await,
            Said::Pong => Ok(()),
            Said::Subscribe { id, payload } => self.subscribe(id, payload).await,
            Said::Complete { id } => {
                self.subscriptions.remove(&id);
                Ok(())
            }
        }
    }

    async fn subscribe(&mut self, id: String, payload: Map<String, Value>) -> Result<(), End> {
        let Some((actor, token)) = self.caller.clone() else { return Err(End::Closed(4401, "Unauthorized")) };
        if id.is_empty() || id.len() > ID_LEN_MAX {
            return Err(End::Closed(4400, "Invalid id"));
        }
        if self.subscriptions.contains_key(&id) {
            return Err(End::Closed(4409, "Subscriber already exists"));
        }
        let caller = Caller { actor, token, request_id: self.id.0.to_string() };
        let begun = if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            let message = "一个连接最多 16 个订阅，请结束一些后重试";
            Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LIMIT_STREAMS", message))
        } else {
            request::operation(payload).and_then(|operation| match operation.kind {
                OperationType::Subscription => subscribe::answers(&self.edge, operation, caller),
                _ => Err(Fault::new(StatusCode::BAD_REQUEST, "INPUT_REQUEST", "此连接只接受订阅，查询与变更请用 POST /graphql 发送")),
            })
        };
        match begun {
            Ok(answers) => {
                let answers = answers.map(Some).chain(stream::once(async { None }));
                self.subscriptions.insert(id, answers.boxed());
                Ok(())
            }
            Err(fault) => {
                let errors = fault.errors(&self.id.0);
                self.say(json!({ "id": id, "type": "error", "payload": errors })).await
            }
        }
    }

    /// Hands on an answer of a subscription, or its end.
    async fn tell(&mut self, id: String, answer: Option<Answer>) -> Result<(), End> {
        let Some(answer) = answer else {
            self.subscriptions.remove(&id);
            return self.say(json!({ "id": id, "type": "complete" })).await;
        };
        if !answer.ends() {
            let id = Value::String(id);
            let payload = answer::text(&answer.response, answer.outcome);
            return self.send(Message::text(format!(r#"{{"id":{id},"type":"next","payload":{payload}}}"#))).await;
        }
        self.subscriptions.remove(&id);
        self.say(json!({ "id": id, "type": "error", "payload": answer.response.errors })).await?;
        // the token this connection began with opens nothing any more
        if answer.code().as_deref() == Some("AUTH_TOKEN_INVALID") {
            return Err(End::Closed(4403, "Forbidden"));
        }
        Ok(())
    }

    async fn say(&mut self, message: Value) -> Result<(), End> {
        self.send(Message::text(message.to_string())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(SEND_TIME_MAX, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }
}
