//! Transfers per second through the ledger engine: one at a time through the micro-batcher, many a call, and in batches of one
//! transaction; evenly over a thousand books, by popularity, and all in one. Durability is on, or the bench refuses; clients and server share this machine.
//! Ends with the ledger checker's rules about the books. Beside it: `bench-cala` runs cala-ledger on the same server.

mod load;
mod workload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};
use wallet::base::clock::Clock;
use wallet::ledger::{self, BookKind, Command, Ledger, LedgerLimits};

use super::Record;
use super::server::{Database, Server};
use crate::config::Config;
use crate::launcher::supervisor;
use load::{BOOKS, Books};
use workload::Workload;

/// Run before what is measured, and left out of it.
const WARM_UP: Duration = Duration::from_secs(2);

/// How many entries are stored before a workload is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Stored {
    /// Ten thousand, anew for every workload
    #[value(name = "10k")]
    TenThousand,
    /// Ten million, once for all workloads: takes minutes and some 5 GB of disk
    #[value(name = "10m")]
    TenMillion,
}

impl Stored {
    /// Transfers that make so many entries, beside the two of each book's funding.
    fn transfers(self) -> usize {
        let entries = match self {
            Self::TenThousand => 10_000,
            Self::TenMillion => 10_000_000,
        };
        entries / 2 - BOOKS
    }
}

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How long each workload is measured, after a warm-up
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Run the single transfers with so many callers only, instead of 1, 16, 64 and 256
    #[arg(long)]
    callers: Option<usize>,
    /// Only workloads whose name contains this, such as ledger-batch or uniform
    #[arg(long, default_value = "")]
    workload: String,
    /// Only batches of so many; 1: only single transfers
    #[arg(long)]
    batch: Option<usize>,
    /// How many entries are stored before
    #[arg(long, value_enum, default_value = "10k")]
    stored: Stored,
    /// One JSON object per line instead of words
    #[arg(long)]
    json: bool,
}

/// Runs the workloads that were asked for and leaves nothing behind.
pub async fn run(config: &Config, options: Options) -> Result<()> {
    ensure!((1..=3600).contains(&options.seconds), "--seconds takes 1 to 3600");
    ensure!(options.callers.is_none_or(|callers| (1..=1024).contains(&callers)), "--callers takes 1 to 1024");
    let mut workloads = workload::all(options.callers);
    workloads.retain(|w| w.name.contains(&options.workload) && options.batch.is_none_or(|batch| batch == w.batch));
    ensure!(!workloads.is_empty(), "no workload is called that; names are such as ledger-single-uniform and ledger-batch-hot");
    let mut server = Server::start(config).await?;
    let outcome = tokio::select! {
        outcome = measure(&mut server, &workloads, &options) => outcome,
        () = supervisor::stop_signal() => Err(anyhow::anyhow!("interrupted")),
    };
    server.stop().await;
    outcome
}

async fn measure(server: &mut Server, workloads: &[Workload], options: &Options) -> Result<()> {
    let length = Duration::from_secs(options.seconds);
    if options.stored == Stored::TenThousand {
        for workload in workloads {
            let mut bench = Bench::open(server, options.stored).await?;
            let mut record = bench.measure(workload, length).await?;
            let (verdict, sound) = bench.check().await?;
            record.more.insert("check".to_owned(), verdict);
            record.print(options.json);
            ensure!(sound, "the ledger check found a violation");
            bench.database.drop().await?;
        }
        return Ok(());
    }
    let mut bench = Bench::open(server, options.stored).await?;
    for workload in workloads {
        bench.measure(workload, length).await?.print(options.json);
    }
    let started = Instant::now();
    let (verdict, sound) = bench.check().await?;
    let mut record = Record::new("ledger-check", 1, vec![started.elapsed()], started.elapsed(), usize::from(!sound));
    record.more.insert("check".to_owned(), verdict);
    record.more.insert("entries".to_owned(), json!(bench.database.entries().await?));
    record.print(options.json);
    ensure!(sound, "the ledger check found a violation");
    bench.database.drop().await
}

/// A database with books that have their means and some history.
struct Bench {
    database: Database,
    ledger: Ledger,
    books: Arc<Books>,
    settings: Value,
    /// Transfers of one phase are others than those of another.
    phases: u64,
}

impl Bench {
    /// Everything in it is made by the engine itself, so that the books are sound however many entries there are.
    async fn open(server: &mut Server, stored: Stored) -> Result<Self> {
        let mut database = server.database().await?;
        let settings = database.settings().await?;
        let clock = Clock::default();
        let ledger = Ledger::new(database.pool.clone(), clock.clone(), LedgerLimits::default());
        let books = Arc::new(Books::new(clock.today()));
        let mut tx = database.pool.begin().await?;
        for book in &books.ids {
            ledger::open_book_in_tx(&mut tx, *book, BookKind::Merchant, clock.now()).await.context("a book could not be opened")?;
        }
        tx.commit().await?;
        let funding: Vec<_> = books.funding().into_iter().map(Command::Post).collect();
        for outcome in ledger.execute_batch(&funding).await? {
            outcome?;
        }
        workload::store(&ledger, &books, stored.transfers()).await.context("the entries to be stored before could not be made")?;
        database.settle().await?;
        Ok(Self { database, ledger, books, settings, phases: 0 })
    }

    async fn measure(&mut self, workload: &Workload, length: Duration) -> Result<Record> {
        self.phase(workload, WARM_UP).await?;
        let entries = self.database.entries().await?;
        let before = self.database.counters().await?;
        let done = self.phase(workload, length).await?;
        let after = self.database.counters().await?;
        let transfers = done.took.len() * workload.batch;
        let each = |count: i64| count as f64 / transfers.max(1) as f64;
        let rounded = |value: f64, places: f64| (value * places).round() / places;
        let statements = before.statements.zip(after.statements).map(|(before, after)| rounded(each(after - before), 10_000.0));
        let mut record = Record::new(workload.name, workload.callers, done.took, done.elapsed, done.errors);
        record.batch = workload.batch;
        record.rate_per_s = transfers as f64 / done.elapsed.as_secs_f64();
        let mut more = Map::new();
        more.insert("accounts".to_owned(), json!(workload.choice.as_str()));
        more.insert("entries_before".to_owned(), json!(entries));
        more.insert("transfers".to_owned(), json!(transfers));
        // BEGIN and COMMIT included; none where the server does not count
        more.insert("statements_per_transfer".to_owned(), json!(statements));
        more.insert("wal_bytes_per_transfer".to_owned(), json!(rounded(each(after.wal_bytes - before.wal_bytes), 1.0)));
        more.insert("warm_up_s".to_owned(), json!(WARM_UP.as_secs()));
        more.insert("cores".to_owned(), json!(std::thread::available_parallelism()?.get()));
        more.insert("client".to_owned(), json!("on the server's machine"));
        more.insert("settings".to_owned(), self.settings.clone());
        if let Some(error) = done.first_error {
            more.insert("first_error".to_owned(), json!(error));
        }
        record.more = more;
        Ok(record)
    }

    async fn phase(&mut self, workload: &Workload, length: Duration) -> Result<workload::Done> {
        self.phases += 1;
        workload.run(&self.ledger, &self.books, length, self.phases).await
    }

    /// The checker's rules about the books: how many things each looked at, or what violates it. The rules about what was asked for
    /// do not fit here, since nobody asked.
    async fn check(&self) -> Result<(Value, bool)> {
        let report = wallet::check::run(&self.database.pool).await?;
        let rules: Vec<_> = report.rules.iter().filter(|rule| rule.id.starts_with('L')).collect();
        let sound = rules.iter().all(|rule| rule.violations.is_empty());
        let told = rules.iter().map(|rule| {
            let found = if rule.violations.is_empty() { json!(rule.checked) } else { json!(rule.violations) };
            (rule.id.to_owned(), found)
        });
        Ok((Value::Object(told.collect()), sound && !rules.is_empty()))
    }
}
