//! Fan-out: Redis and its in-process twin keep the same promises, and a Redis that is away costs time, never a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::fanout::{Fanout, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const LIMIT: Duration = Duration::from_secs(10);

/// Long enough that a signal on its way would have come.
const QUIET: Duration = Duration::from_millis(300);

fn redis_url() -> String {
    std::env::var("HAODIAN_TEST_REDIS_URL").expect("HAODIAN_TEST_REDIS_URL is not set; run `make test`, which starts a Redis")
}

/// A name nobody else on the same Redis uses.
fn topic(name: &str) -> String {
    format!("{name}:{}", uuid::Uuid::now_v7())
}

async fn heard(watcher: &mut Watcher) -> bool {
    tokio::time::timeout(LIMIT, watcher.changed()).await.is_ok()
}

async fn quiet(watcher: &mut Watcher) -> bool {
    tokio::time::timeout(QUIET, watcher.changed()).await.is_err()
}

/// Waits until what `from` publishes reaches `to`. A subscription takes a moment to stand, and wakes every watcher once when it does;
/// so three answers in a row are asked for.
async fn connected(from: &Fanout, to: &Fanout) {
    let topic = topic("connected");
    let mut watcher = to.watch(&topic);
    let (start, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 3 {
        assert!(start.elapsed() < LIMIT, "signals do not get through");
        from.publish(std::slice::from_ref(&topic)).await;
        in_a_row = if quiet(&mut watcher).await { 0 } else { in_a_row + 1 };
    }
}

/// What both keep: `one` and `two` are the ends of the same fan-out.
async fn keeps_its_promises(one: &Fanout, two: &Fanout) {
    connected(one, two).await;
    connected(two, one).await;
    assert!(one.healthy().await && two.healthy().await);

    let (mine, other) = (topic("order"), topic("order"));
    let mut watchers = [one.watch(&mine), two.watch(&mine)];
    let mut bystander = two.watch(&other);
    one.publish(std::slice::from_ref(&mine)).await;
    for watcher in &mut watchers {
        assert!(heard(watcher).await, "each watcher of a topic hears of it");
    }
    assert!(quiet(&mut bystander).await, "a watcher of another topic hears nothing");
    assert!(quiet(&mut two.watch(&mine)).await, "what was said before is not heard");

    one.tell(mine.clone());
    for watcher in &mut watchers {
        assert!(heard(watcher).await, "what is told without waiting is heard all the same");
        assert!(quiet(watcher).await, "and once, also by those of the process that told it");
    }

    let many = vec![mine.clone(); 50];
    one.publish(&many).await;
    for watcher in &mut watchers {
        assert!(heard(watcher).await, "many signals are at least one");
    }
    one.publish(&[]).await;
    two.publish(&[other.clone(), mine.clone()]).await;
    assert!(heard(&mut bystander).await && heard(&mut watchers[0]).await, "one call may name several topics");
}

#[tokio::test]
async fn the_twin_keeps_its_promises() {
    let fanout = Fanout::open("").unwrap();
    keeps_its_promises(&fanout, &fanout.clone()).await;
}

#[tokio::test]
async fn redis_keeps_the_same_promises_between_processes() {
    let (one, two) = (Fanout::open(&redis_url()).unwrap(), Fanout::open(&redis_url()).unwrap());
    keeps_its_promises(&one, &two).await;
}

#[test]
fn an_address_that_is_none_is_told_at_the_start() {
    assert!(Fanout::open("not an address").is_err());
}

#[tokio::test]
async fn a_redis_that_is_away_costs_neither_a_request_nor_the_watchers_of_this_process() {
    // a port that was free a moment ago
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fanout = Fanout::open(&format!("redis://{address}/0")).unwrap();
    let topic = topic("order");
    let mut watcher = fanout.watch(&topic);
    let started = Instant::now();
    fanout.publish(std::slice::from_ref(&topic)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(heard(&mut watcher).await);
    assert!(!fanout.healthy().await);
}

#[tokio::test]
async fn after_redis_comes_back_watchers_look_again_and_hear_again() {
    let redis = Cuttable::before(&redis_url()).await;
    let (near, far) = (Fanout::open(&redis.url).unwrap(), Fanout::open(&redis_url()).unwrap());
    connected(&far, &near).await;
    let topic = topic("order");
    let mut watcher = near.watch(&topic);

    redis.cut().await;
    assert!(heard(&mut watcher).await, "a new subscription wakes every watcher, since what was said meanwhile is gone");
    connected(&far, &near).await;
    connected(&near, &far).await;
}

/// A way to Redis that can be cut.
struct Cuttable {
    url: String,
    lines: Arc<Mutex<JoinSet<()>>>,
    _accepting: JoinSet<()>,
}

impl Cuttable {
    async fn before(url: &str) -> Self {
        let rest = url.strip_prefix("redis://").expect("a redis URL");
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "0"));
        let (login, target) = authority.rsplit_once('@').map_or(("", authority), |(login, target)| (login, target));
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("redis://{login}{}/{path}", listener.local_addr().expect("it is bound"));
        let lines = Arc::new(Mutex::new(JoinSet::new()));
        let mut accepting = JoinSet::new();
        let (target, kept) = (target.to_owned(), lines.clone());
        accepting.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                kept.lock().await.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(&target).await {
                        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { url, lines, _accepting: accepting }
    }

    /// Breaks every connection; new ones are let through.
    async fn cut(&self) {
        self.lines.lock().await.shutdown().await;
    }
}
