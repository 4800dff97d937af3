//! Subscribers: a line of server-sent events, and a WebSocket that speaks `graphql-transport-ws`.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::{Caller, TestApp};

/// Longest until something that was said is heard. A stream looks for itself every 15 seconds: what comes sooner came by a signal.
pub const HEARD_LIMIT: Duration = Duration::from_secs(12);

/// A line of events.
#[derive(Debug)]
pub struct Line {
    response: reqwest::Response,
    text: String,
}

impl Line {
    /// The next event with its data; none at the end.
    ///
    /// # Panics
    /// When nothing comes, or the line breaks.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        tokio::time::timeout(HEARD_LIMIT, self.event()).await.expect("the line says something")
    }

    async fn event(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let part = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(|text| text.trim().to_owned()));
                // a block without a name is a sign of life
                let Some(event) = part("event:") else { continue };
                let data = part("data:").unwrap_or_default();
                return Some((event, serde_json::from_str(&data).unwrap_or(Value::Null)));
            }
            let chunk = self.response.chunk().await.expect("the line ends, it does not break")?;
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

/// How a socket ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With the code of a farewell.
    Code(u16),
    /// Without one.
    Cut,
}

/// A WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends whatever; that the other side is gone is seen when it is listened to.
    pub async fn send(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// Begins, as a caller.
    pub async fn begin(&mut self, caller: &Caller) {
        let payload = caller.token.as_ref().map_or_else(|| json!({}), |token| json!({ "authorization": format!("Bearer {token}") }));
        self.say(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(self.hear().await, Ok(json!({ "type": "connection_ack" })));
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        self.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query, "variables": variables } })).await;
    }

    /// The next message, or how the socket ended.
    ///
    /// # Panics
    /// When nothing comes.
    pub async fn hear(&mut self) -> Result<Value, Ended> {
        self.hear_within(HEARD_LIMIT).await.expect("the socket says something")
    }

    /// The same; none when nothing comes in that time.
    pub async fn hear_within(&mut self, limit: Duration) -> Option<Result<Value, Ended>> {
        let heard = async {
            loop {
                return match self.0.next().await {
                    Some(Ok(Message::Text(text))) => Ok(serde_json::from_str(text.as_str()).expect("the socket says JSON")),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(Some(frame)))) => Err(Ended::Code(frame.code.into())),
                    Some(Ok(_)) | Some(Err(_)) | None => Err(Ended::Cut),
                };
            }
        };
        tokio::time::timeout(limit, heard).await.ok()
    }

    /// What is told under a name, until `enough` of it.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn until(&mut self, id: &str, enough: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut told = Vec::new();
        loop {
            let message = self.hear().await.expect("the socket goes on");
            assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
            let data = message["payload"]["data"].clone();
            let last = enough(&data);
            told.push(data);
            if last {
                return told;
            }
        }
    }
}

impl TestApp {
    /// Sends a subscription by POST and gives the answer, whatever it is.
    pub async fn try_line(&self, base: &str, caller: &Caller, query: &str, variables: Value) -> reqwest::Response {
        // no limit on the whole: a line lasts
        let client = reqwest::Client::new();
        let request = client.post(format!("{base}/graphql")).header("accept", "text/event-stream");
        let request = match &caller.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.json(&json!({ "query": query, "variables": variables })).send().await.expect("the edge answers")
    }

    /// Opens a line of events.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn line(&self, caller: &Caller, query: &str, variables: Value) -> Line {
        self.line_at(self.url(), caller, query, variables).await
    }

    /// The same at another process.
    pub async fn line_at(&self, base: &str, caller: &Caller, query: &str, variables: Value) -> Line {
        let response = self.try_line(base, caller, query, variables).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Line { response, text: String::new() }
    }

    /// Opens a WebSocket with more headers; the status where that is refused.
    pub async fn try_socket(&self, base: &str, headers: &[(&'static str, &'static str)]) -> Result<Socket, u16> {
        let address = base.strip_prefix("http://").expect("the address is plain");
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("the address is one");
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let stream = TcpStream::connect(address).await.expect("the edge listens");
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    /// Opens a WebSocket for GraphQL.
    pub async fn socket(&self) -> Socket {
        self.try_socket(self.url(), &[("sec-websocket-protocol", "graphql-transport-ws")]).await.expect("the socket opens")
    }
}
