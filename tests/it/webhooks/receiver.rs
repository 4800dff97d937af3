//! A merchant's server: verifies by the published rule, dedupes by id, and answers as badly as the test wants.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use wallet::base::clock::Clock;
use wallet::webhook::Endpoint;

/// How the server answers.
#[derive(Clone, Debug)]
pub enum Mood {
    Status(u16),
    /// With a body of its own.
    Says(u16, String),
    /// It took the message and the line breaks before it says so.
    Silent,
    /// It never answers and keeps the line.
    Hangs,
    /// It answers once [`Receiver::go_on`] is called.
    Waits,
    /// A status at once, and a body that dribbles for ever.
    Dribbles,
    /// A status and a body without end.
    Endless,
    /// A redirect.
    Elsewhere(String),
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("messages are UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("messages are JSON")
    }

    pub fn id(&self) -> &str {
        self.header("haodian-webhook-id")
    }
}

#[derive(Debug, Default)]
struct State {
    moods: VecDeque<Mood>,
    for_ever: Option<Mood>,
    /// Public keys by id.
    keys: BTreeMap<String, Vec<u8>>,
    heard: Vec<Heard>,
    under_way: usize,
    under_way_max: usize,
}

/// Listens until the test ends.
#[derive(Clone)]
pub struct Receiver {
    port: u16,
    state: Arc<Mutex<State>>,
    go_on: Arc<Notify>,
}

impl Receiver {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("the port is known").port();
        let receiver = Self { port, state: Arc::default(), go_on: Arc::default() };
        let listening = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let receiver = listening.clone();
                tokio::spawn(async move { receiver.serve(stream).await });
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/haodian?shop=1", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Takes up the keys of an endpoint, and forgets others.
    pub fn knows(&self, endpoint: &Endpoint) {
        self.state().keys = endpoint.keys.iter().map(|key| (key.id.to_string(), key.public_key.to_vec())).collect();
    }

    /// Takes up keys as the API lists them.
    pub fn knows_listed(&self, keys: &Value) {
        let pair = |key: &Value| (key["id"].as_str().unwrap().to_owned(), BASE64.decode(key["publicKey"].as_str().unwrap()).unwrap());
        self.state().keys = keys.as_array().unwrap().iter().map(pair).collect();
    }

    /// How it answers next, one mood for each message; then with 200.
    pub fn answers(&self, moods: &[Mood]) {
        self.state().moods = moods.iter().cloned().collect();
    }

    pub fn answers_for_ever(&self, mood: Mood) {
        self.state().for_ever = Some(mood);
    }

    /// It is well again.
    pub fn recovers(&self) {
        let mut state = self.state();
        (state.for_ever, state.moods) = (None, VecDeque::new());
    }

    /// Lets one message go that waits for it.
    pub fn go_on(&self) {
        self.go_on.notify_one();
    }

    /// Everything that came and was believed, again and again where it came so.
    pub fn heard(&self) -> Vec<Heard> {
        self.state().heard.clone()
    }

    pub fn kinds(&self) -> Vec<String> {
        self.heard().iter().map(|heard| heard.json()["kind"].as_str().unwrap().to_owned()).collect()
    }

    /// Most messages that were under way at once.
    pub fn under_way_max(&self) -> usize {
        self.state().under_way_max
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(heard) = read(&mut stream).await else { return };
        match self.take_in(heard) {
            Ok(mood) => self.answer(&mut stream, mood).await,
            Err(why) => {
                let text = format!("HTTP/1.1 401 X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{why}", why.len());
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
        }
        self.state().under_way -= 1;
    }

    /// Believes a message or says why not.
    fn take_in(&self, heard: Heard) -> Result<Mood, &'static str> {
        let mut state = self.state();
        verify(&heard, &state.keys)?;
        state.heard.push(heard);
        state.under_way += 1;
        state.under_way_max = state.under_way_max.max(state.under_way);
        let for_ever = state.for_ever.clone();
        Ok(state.moods.pop_front().or(for_ever).unwrap_or(Mood::Status(200)))
    }

    async fn answer(&self, stream: &mut TcpStream, mood: Mood) {
        let mut say = async |head: String, body: &str| {
            let text = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(text.as_bytes()).await;
        };
        match mood {
            Mood::Status(status) => say(format!("{status} X"), "").await,
            Mood::Says(status, body) => say(format!("{status} X"), &body).await,
            Mood::Elsewhere(url) => say(format!("302 Found\r\nlocation: {url}"), "").await,
            Mood::Silent => {}
            Mood::Hangs => gone(stream).await,
            Mood::Waits => {
                self.go_on.notified().await;
                say("200 OK".to_owned(), "").await;
            }
            Mood::Dribbles => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\nslow").await;
                gone(stream).await;
            }
            Mood::Endless => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
            }
        }
    }
}

/// Keeps the line until the other side ends it.
async fn gone(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    while matches!(tokio::time::timeout(Duration::from_secs(60), stream.read(&mut rest)).await, Ok(Ok(1..))) {}
}

/// The rule as RECEIVING.md has it, and nothing else.
fn verify(heard: &Heard, keys: &BTreeMap<String, Vec<u8>>) -> Result<(), &'static str> {
    let key = keys.get(heard.header("haodian-webhook-key-id")).ok_or("the key is not known")?;
    let timestamp = heard.header("haodian-webhook-timestamp");
    let signature = BASE64.decode(heard.header("haodian-webhook-signature")).map_err(|_| "the signature is not base64")?;
    let mut signed = format!("{}\n{timestamp}\n", heard.id()).into_bytes();
    signed.extend_from_slice(&heard.body);
    UnparsedPublicKey::new(&ED25519, key).verify(&signed, &signature).map_err(|_| "the signature does not match")?;
    let seconds: i64 = timestamp.parse().map_err(|_| "the timestamp is no number")?;
    if (Clock::wall().timestamp() - seconds).abs() > 300 { Err("the timestamp is outside the window") } else { Ok(()) }
}

async fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("POST /haodian?shop=1 HTTP/1.1"));
    let headers: HashMap<String, String> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Heard { headers, body: bytes[head_end + 4..].to_vec() })
}
