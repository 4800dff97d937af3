//! Fan-out: "this changed, look again", from whoever committed to whoever watches. Through Redis between processes, or within this one.
//!
//! A signal carries no data and may be lost: the watcher reloads through a service, with its permission check, and looks again by itself
//! now and then. So several signals for one topic may melt into one, a broken Redis costs delay and never a request, and after a
//! reconnection every watcher is woken once, since what was said meanwhile is gone.
//!
//! One Redis channel carries the topics of all processes, as many in a message as are told together; each process keeps one subscription
//! whatever its watchers, and leaves out what it said itself: its own watchers have heard it already.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;
use wallet::base::outbox;

/// The Redis channel all processes of a system share.
const CHANNEL: &str = "haodian:changed";

/// Longest a publish may take before its signals are given up.
const PUBLISH_MAX: Duration = Duration::from_millis(500);

/// Signals that nobody waits for: how many may wait for the next message, and how long they gather for it.
const TOLD_MAX: usize = 8_192;
const GATHER: Duration = Duration::from_millis(20);

/// Topics of one message.
const MESSAGE_MAX: usize = 1_024;

/// Pause between two tries to subscribe again, growing from the first to the second.
const RECONNECT_MIN: Duration = Duration::from_millis(100);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// Where signals go.
#[derive(Clone, Debug)]
pub enum Fanout {
    /// Between all processes that name the same Redis.
    Redis(RedisFanout),
    /// Within this process: the twin for a system without Redis.
    Local(LocalFanout),
}

#[derive(Debug, thiserror::Error)]
#[error("redis.url cannot be read; it should look like redis://127.0.0.1:6379/0")]
pub struct BadRedisUrl(#[from] redis::RedisError);

impl Fanout {
    /// Redis where `url` names one, else the twin. Does not wait for Redis: one that is down is tried again in the background.
    pub fn open(url: &str) -> Result<Self, BadRedisUrl> {
        if url.is_empty() { Ok(Self::Local(LocalFanout::default())) } else { Ok(Self::Redis(RedisFanout::open(url)?)) }
    }

    /// Tells every watcher of the topics. Never fails: a lost signal is repaired by the watcher's own next look.
    pub async fn publish(&self, topics: &[String]) {
        match self {
            Self::Redis(fanout) => fanout.publish(topics).await,
            Self::Local(fanout) => topics.iter().for_each(|topic| fanout.signal(topic)),
        }
    }

    /// The same of one topic, without waiting: watchers of this process hear it at once, those of others with what else is told in these
    /// milliseconds.
    pub fn tell(&self, topic: String) {
        match self {
            Self::Redis(fanout) => fanout.tell(topic),
            Self::Local(fanout) => fanout.signal(&topic),
        }
    }

    /// Tells this process's own watchers of events that were just committed, ahead of the relay, which tells everybody.
    pub fn wake(&self, events: &[outbox::Event]) {
        let local = match self {
            Self::Redis(fanout) => &fanout.local,
            Self::Local(fanout) => fanout,
        };
        events.iter().flat_map(|event| topics_of(event.kind, event.subject, &event.payload)).for_each(|topic| local.signal(&topic));
    }

    /// Watches one topic. What is published after this call wakes the watcher.
    pub fn watch(&self, topic: &str) -> Watcher {
        match self {
            Self::Redis(fanout) => fanout.local.watch(topic),
            Self::Local(fanout) => fanout.watch(topic),
        }
    }

    /// Whether signals get through now. The twin always says yes.
    pub async fn healthy(&self) -> bool {
        match self {
            Self::Redis(fanout) => fanout.ping().await,
            Self::Local(_) => true,
        }
    }
}

/// Who watches what within this process.
#[derive(Clone, Debug, Default)]
pub struct LocalFanout {
    topics: Arc<Mutex<HashMap<String, watch::Sender<()>>>>,
}

impl LocalFanout {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        // nothing under this lock can panic half-way through a change
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, topic: &str) -> Watcher {
        let changed = self.topics().entry(topic.to_owned()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Watcher { topic: topic.to_owned(), changed: Some(changed), home: self.clone() }
    }

    fn signal(&self, topic: &str) {
        if let Some(sender) = self.topics().get(topic) {
            sender.send_replace(());
        }
    }

    fn signal_all(&self) {
        for sender in self.topics().values() {
            sender.send_replace(());
        }
    }
}

/// One watcher of one topic; dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher {
    topic: String,
    changed: Option<watch::Receiver<()>>,
    home: LocalFanout,
}

impl Watcher {
    /// Waits for a signal since the last one seen. Cancel-safe.
    pub async fn changed(&mut self) {
        let told = match &mut self.changed {
            Some(receiver) => receiver.changed().await.is_ok(),
            None => false,
        };
        // the sender lives in the map as long as it has watchers, so this is not reached
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

impl Watcher {
    /// How many watch the same topic in this process, this one included.
    pub fn watchers(&self) -> usize {
        self.home.topics().get(&self.topic).map_or(0, watch::Sender::receiver_count)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut topics = self.home.topics();
        self.changed = None;
        if topics.get(&self.topic).is_some_and(|sender| sender.receiver_count() == 0) {
            topics.remove(&self.topic);
        }
    }
}

/// Signals through Redis publish/subscribe.
#[derive(Clone)]
pub struct RedisFanout {
    speaker: Speaker,
    told: mpsc::Sender<String>,
    local: LocalFanout,
    _tasks: Arc<[AbortOnDrop; 2]>,
}

/// What this process says, under a name that tells it from what others say.
#[derive(Clone)]
struct Speaker {
    publisher: ConnectionManager,
    name: Uuid,
}

impl std::fmt::Debug for RedisFanout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisFanout(..)")
    }
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RedisFanout {
    fn open(url: &str) -> Result<Self, BadRedisUrl> {
        let client = redis::Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(PUBLISH_MAX))
            .set_response_timeout(Some(PUBLISH_MAX));
        let speaker = Speaker { publisher: client.get_connection_manager_lazy(config)?, name: Uuid::now_v7() };
        let local = LocalFanout::default();
        let (told, telling) = mpsc::channel(TOLD_MAX);
        let tasks = [tokio::spawn(subscribe(client, speaker.name, local.clone())), tokio::spawn(gather(speaker.clone(), telling))];
        Ok(Self { speaker, told, local, _tasks: Arc::new(tasks.map(|task| AbortOnDrop(task.abort_handle()))) })
    }

    /// One round trip, whatever the number of topics.
    async fn publish(&self, topics: &[String]) {
        // watchers of this process need no Redis to hear of it
        topics.iter().for_each(|topic| self.local.signal(topic));
        self.speaker.say(topics).await;
    }

    fn tell(&self, topic: String) {
        self.local.signal(&topic);
        if self.told.try_send(topic).is_err() {
            metrics::counter!("haodian_fanout_lost_total").increment(1);
        }
    }

    async fn ping(&self) -> bool {
        let mut publisher = self.speaker.publisher.clone();
        let command = redis::cmd("PING");
        let answer = command.query_async::<String>(&mut publisher);
        matches!(tokio::time::timeout(PUBLISH_MAX, answer).await, Ok(Ok(_)))
    }
}

impl Speaker {
    /// Says to the other processes that topics changed. Never fails: what Redis does not take is counted as lost.
    async fn say(&self, topics: &[String]) {
        if topics.is_empty() {
            return;
        }
        let mut pipeline = redis::pipe();
        for topics in topics.chunks(MESSAGE_MAX) {
            pipeline.cmd("PUBLISH").arg(CHANNEL).arg(message(self.name, topics)).ignore();
        }
        let mut publisher = self.publisher.clone();
        let sent: Result<redis::RedisResult<()>, _> = tokio::time::timeout(PUBLISH_MAX, pipeline.query_async(&mut publisher)).await;
        if !matches!(sent, Ok(Ok(()))) {
            metrics::counter!("haodian_fanout_lost_total").increment(topics.len() as u64);
            tracing::warn!(topics = topics.len(), "redis took no signals; watchers elsewhere will notice at their next look");
        }
    }
}

/// Who says it, and of which topics, a line each: no topic holds the end of a line, for they are made of ids and names of ours.
fn message(speaker: Uuid, topics: &[String]) -> String {
    let mut message = speaker.simple().to_string();
    for topic in topics {
        message.push('\n');
        message.push_str(topic);
    }
    message
}

/// Says what is told with what else is told in the same milliseconds, until the fan-out is gone.
async fn gather(speaker: Speaker, mut told: mpsc::Receiver<String>) {
    let mut topics = Vec::new();
    while told.recv_many(&mut topics, MESSAGE_MAX).await > 0 {
        speaker.say(&topics).await;
        topics.clear();
        tokio::time::sleep(GATHER).await;
    }
}

/// Keeps the subscription: hands what others say to this process's watchers, and subscribes again whenever it breaks.
async fn subscribe(client: redis::Client, own: Uuid, local: LocalFanout) {
    let own = own.simple().to_string();
    let mut pause = RECONNECT_MIN;
    loop {
        match tokio::time::timeout(RECONNECT_MAX, subscription(&client)).await {
            Ok(Ok(pubsub)) => {
                pause = RECONNECT_MIN;
                // what was said while nobody listened is gone
                local.signal_all();
                let mut messages = pubsub.into_on_message();
                while let Some(message) = messages.next().await {
                    if let Ok(text) = message.get_payload::<String>() {
                        let mut lines = text.lines();
                        if lines.next().is_some_and(|speaker| speaker != own) {
                            lines.for_each(|topic| local.signal(topic));
                        }
                    }
                }
                tracing::warn!("the redis subscription ended; subscribing again");
            }
            Ok(Err(error)) => tracing::warn!(error = %error, "redis cannot be subscribed to; trying again"),
            Err(_) => tracing::warn!("redis does not answer; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

async fn subscription(client: &redis::Client) -> redis::RedisResult<redis::aio::PubSub> {
    let mut pubsub = client.get_async_pubsub().await?;
    pubsub.subscribe(CHANNEL).await?;
    Ok(pubsub)
}

/// The topic of an order, as watchers and the relay spell it.
pub fn order_topic(order: wallet::base::id::OrderId) -> String {
    format!("order:{order}")
}

/// The topic of a person's sessions: something ended one of them.
pub fn person_topic(person: wallet::base::id::UserId) -> String {
    format!("person:{person}")
}

/// Events that are about the order of their subject, by the first word of their kind.
const ABOUT_ORDERS: [&str; 3] = ["marketing", "payment", "split"];

/// Which topics an event wakes: `order.paid` and `payment.failed` wake `order:<id>` of their subject, others what their payload says they
/// belong to, too: a refund's order, a document's application. `order.created` wakes nobody: whoever watches that order found it there.
pub fn topics_of(kind: &str, subject: Uuid, payload: &serde_json::Value) -> Vec<String> {
    if kind == "order.created" {
        return Vec::new();
    }
    let noun = kind.split('.').next().unwrap_or_default();
    let noun = if ABOUT_ORDERS.contains(&noun) { "order" } else { noun };
    let mut topics = vec![format!("{noun}:{subject}")];
    for (field, owner) in [("orderId", "order"), ("application_id", "application")] {
        if let Some(id) = payload.get(field).and_then(|id| id.as_str()).filter(|_| noun != owner) {
            topics.push(format!("{owner}:{id}"));
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use wallet::base::id::{BookId, OrderId};

    use super::*;

    #[test]
    fn an_event_wakes_its_subject_and_its_order() {
        let (subject, order) = (Uuid::now_v7(), Uuid::now_v7());
        let cases = [
            ("order.created", serde_json::json!({}), vec![]),
            ("order.paid", serde_json::json!({}), vec![format!("order:{subject}")]),
            ("order.paid", serde_json::json!({ "orderId": subject }), vec![format!("order:{subject}")]),
            ("payment.failed", serde_json::json!({}), vec![format!("order:{subject}")]),
            ("split.line_succeeded", serde_json::json!({}), vec![format!("order:{subject}")]),
            ("refund.succeeded", serde_json::json!({ "orderId": order }), vec![format!("refund:{subject}"), format!("order:{order}")]),
        ];
        for (kind, payload, topics) in cases {
            assert_eq!(topics_of(kind, subject, &payload), topics, "{kind}");
        }
    }

    #[tokio::test]
    async fn what_was_just_committed_wakes_the_watchers_of_this_process_and_no_others() {
        let fanout = Fanout::Local(LocalFanout::default());
        let (paid, other) = (OrderId::new(), OrderId::new());
        let (mut watcher, mut neighbour) = (fanout.watch(&order_topic(paid)), fanout.watch(&order_topic(other)));
        let event = outbox::Event {
            book: BookId::new(),
            kind: "order.paid",
            subject: paid.0,
            payload: serde_json::json!({}),
            at: chrono::DateTime::UNIX_EPOCH,
        };
        fanout.wake(&[event]);
        assert!(watcher.changed().now_or_never().is_some());
        assert!(neighbour.changed().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_topic_without_watchers_is_forgotten() {
        let local = LocalFanout::default();
        let first = local.watch("order:a");
        let second = local.watch("order:a");
        drop(first);
        assert_eq!(local.topics().len(), 1);
        drop(second);
        assert!(local.topics().is_empty());
    }
}
