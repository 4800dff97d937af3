//! How many statements a batch takes, counted on the wire between pool and server, where nothing is left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wallet::base::batcher::Batched;
use wallet::channel::SANDBOX;
use wallet::channel::acquirer::Invitation;
use wallet::channel::inbox::{Arrived, NoticeKey};
use wallet::payment::{Prepared, Said};

use super::world::{World, record};

/// A line to the server that counts what is run: simple queries, and executions of prepared ones.
pub struct CountedLine {
    pub pool: PgPool,
    count: Arc<AtomicU64>,
}

impl CountedLine {
    pub async fn to(db: &tests::TestDatabase, connections_max: u32) -> Self {
        let options: PgConnectOptions = db.url().parse().unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((server.0.as_str(), server.1)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let counted = Arc::clone(&counted);
                tokio::spawn(async move {
                    // the first message has no type
                    let mut typed = false;
                    while let Some((kind, message)) = message(&mut from_client, typed).await {
                        if typed && matches!(kind, b'Q' | b'E') {
                            counted.fetch_add(1, Ordering::SeqCst);
                        }
                        typed = true;
                        if to_server.write_all(&message).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        let url = options.host("127.0.0.1").port(port).to_url_lossy().to_string();
        Self { pool: wallet::base::db::connect(&url, connections_max).await.unwrap(), count }
    }

    /// How many statements were sent since the last time.
    pub fn taken(&self) -> u64 {
        self.count.swap(0, Ordering::SeqCst)
    }
}

/// One message of the protocol, with its type. None: the line is closed.
async fn message(from: &mut (impl AsyncReadExt + Unpin), typed: bool) -> Option<(u8, Vec<u8>)> {
    let kind = if typed { Some(from.read_u8().await.ok()?) } else { None };
    let length = from.read_u32().await.ok()?;
    let mut message: Vec<u8> = kind.into_iter().chain(length.to_be_bytes()).collect();
    let start = message.len();
    message.resize(start + length as usize - 4, 0);
    from.read_exact(&mut message[start..]).await.ok()?;
    Some((kind.unwrap_or_default(), message))
}

/// Statements of a batch, with its BEGIN and COMMIT. All its members must be accepted.
async fn statements<B: Batched>(line: &CountedLine, work: &B, commands: &[B::Command]) -> (u64, Vec<B::Answer>)
where
    B::Error: std::fmt::Debug,
{
    line.taken();
    let answers: Vec<_> = work.run(commands).await.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.len(), commands.len());
    (line.taken(), answers)
}

#[tokio::test]
async fn a_batch_takes_as_many_statements_as_a_single_command() {
    let db = tests::database().await;
    let line = CountedLine::to(&db, 1).await;
    let world = World::new(&line.pool).await;
    let mut key = 0_u128;
    let mut seen = Vec::new();
    // the first round also prepares statements, which is not running them
    for members in [1_usize, 1, 10, 100] {
        let mut fresh = || {
            key += 1;
            key
        };
        let creates: Vec<_> = (0..members).map(|_| world.create(fresh())).collect();
        let (created, orders) = statements(&line, &world.creation, &creates).await;
        let starts: Vec<_> = orders.iter().map(|o| world.start(o.id, fresh())).collect();
        let (prepared, to_call) = statements(&line, &world.preparation, &starts).await;
        let records: Vec<_> = starts
            .into_iter()
            .zip(to_call)
            .map(|(cmd, prepared)| {
                let Prepared::ToCall { attempt, .. } = prepared else { panic!("a new order has no answer yet") };
                record(cmd, attempt.id, Said::Pending { invitation: Invitation::Url("https://pay.example".to_owned()) })
            })
            .collect();
        let (recorded, _) = statements(&line, &world.recording, &records).await;
        let notices: Vec<_> = (0..members)
            .map(|n| Arrived {
                key: NoticeKey { channel: SANDBOX.to_owned(), notice_id: format!("{members} {key} {n}") },
                content: vec![2].into(),
                body: vec![1].into(),
                at: world.clock.now(),
            })
            .collect();
        let (stored, _) = statements(&line, &world.inbox, &notices).await;
        seen.push([created, prepared, recorded, stored]);
    }
    assert_eq!(seen, [[7, 8, 6, 1]; 4], "of creating, preparing, recording and storing a notice, with BEGIN and COMMIT");
}
