//! cala-ledger under the same load as `haodian bench ledger`: the same server, callers, batches and accounts, one JSON line per workload.
//!
//! Makes a database of its own on the server of `DATABASE_URL`, lets cala-ledger migrate it, and drops it again. A transfer is a
//! transaction of two entries from a template with one parameter for each account and one for the amount. Cala's own outbox and events
//! are written as they always are; nothing polls its jobs. A call's time is that of `post_transaction` or `post_transactions`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use cala_ledger::account::NewAccount;
use cala_ledger::job::{JobSvcConfig, Jobs};
use cala_ledger::journal::NewJournal;
use cala_ledger::posting::PostingInput;
use cala_ledger::tx_template::{NewParamDefinition, NewTxTemplate, NewTxTemplateEntry, NewTxTemplateTransaction, ParamDataType, Params};
use cala_ledger::{AccountId, CalaLedger, CalaLedgerConfig, JournalId, TransactionId};
use clap::Parser;
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::migrate::MigrateDatabase;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Postgres};
use tokio::task::JoinSet;

/// Pairs of accounts: as many as the other bench has books.
const PAIRS: usize = 1_000;
/// A batch of cala-ledger may touch 1,000 balances; with these pairs one of 1,000 transfers stays below that.
const PAIRS_OF_LARGE_BATCHES: usize = 450;
/// Run before what is measured.
const WARM_UP: Duration = Duration::from_secs(2);
const TEMPLATE: &str = "TRANSFER";

#[derive(Parser)]
#[command(about = "cala-ledger on the server of DATABASE_URL, for comparison with `haodian bench ledger`")]
struct Arguments {
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// How long each workload is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only workloads whose name contains this
    #[arg(long, default_value = "")]
    workload: String,
    /// One JSON object per line instead of words
    #[arg(long)]
    json: bool,
}

struct Workload {
    name: &'static str,
    callers: usize,
    batch: usize,
    /// How many of the pairs it uses.
    pairs: usize,
}

const fn workload(name: &'static str, callers: usize, batch: usize, pairs: usize) -> Workload {
    Workload { name, callers, batch, pairs }
}

const WORKLOADS: [Workload; 9] = [
    workload("cala-single-uniform", 1, 1, PAIRS),
    workload("cala-single-uniform", 16, 1, PAIRS),
    workload("cala-single-uniform", 64, 1, PAIRS),
    workload("cala-single-hot", 16, 1, 1),
    workload("cala-batch-uniform", 1, 100, PAIRS),
    workload("cala-batch-uniform", 2, 100, PAIRS),
    workload("cala-batch-uniform", 2, 1_000, PAIRS_OF_LARGE_BATCHES),
    workload("cala-batch-hot", 2, 100, 1),
    workload("cala-batch-hot", 2, 1_000, 1),
];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (server, _) = arguments.database_url.rsplit_once('/').context("DATABASE_URL names no database")?;
    let url = format!("{server}/bench_cala_{}", std::process::id());
    Postgres::create_database(&url).await.context("the bench's own database could not be created")?;
    let outcome = tokio::select! {
        outcome = run(&arguments, &url) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    };
    Postgres::force_drop_database(&url).await.context("the bench's own database could not be dropped")?;
    outcome
}

async fn run(arguments: &Arguments, url: &str) -> Result<()> {
    let pool = PgPoolOptions::new().max_connections(16).connect(url).await?;
    let settings = settings(&pool).await?;
    for workload in WORKLOADS.iter().filter(|workload| workload.name.contains(&arguments.workload)) {
        let bench = Bench::open(pool.clone()).await?;
        bench.phase(workload, WARM_UP).await?;
        let wal_before = wal(&pool).await?;
        let started = Instant::now();
        let (mut took, errors) = bench.phase(workload, Duration::from_secs(arguments.seconds)).await?;
        let elapsed = started.elapsed().as_secs_f64();
        let wal_bytes = wal(&pool).await? - wal_before;
        took.sort_unstable();
        let at = |share: f64| {
            let rank = (share * took.len() as f64).ceil() as usize;
            took.get(rank.saturating_sub(1)).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
        };
        let transfers = took.len() * workload.batch;
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        let Workload { name, callers, batch, pairs } = workload;
        let rate = transfers as f64 / elapsed;
        if arguments.json {
            println!(
                "{}",
                json!({
                    "workload": name, "callers": callers, "batch": batch, "rate_per_s": rate, "p50_ms": p50, "p99_ms": p99, "p999_ms": p999,
                    "errors": errors, "transfers": transfers, "account_pairs": pairs,
                    "wal_bytes_per_transfer": wal_bytes as f64 / transfers.max(1) as f64,
                    "warm_up_s": WARM_UP.as_secs(), "cores": std::thread::available_parallelism()?.get(), "settings": settings,
                })
            );
        } else {
            println!("{name}: {rate:.0}/s with {callers} at a time, batches of {batch}; p50 {p50:.1} ms, p99 {p99:.1} ms; {errors} errors");
        }
    }
    Ok(())
}

/// What the figures depend on. Figures without durability would mean nothing.
async fn settings(pool: &PgPool) -> Result<serde_json::Value> {
    let names = ["fsync", "synchronous_commit", "full_page_writes", "server_version", "shared_buffers", "max_wal_size"];
    let mut settings = serde_json::Map::new();
    for name in names {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(pool).await?;
        settings.insert(name.to_owned(), json!(value));
    }
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        ensure!(settings[name] == "on", "{name} is {} on this server; figures without durability mean nothing", settings[name]);
    }
    Ok(settings.into())
}

async fn wal(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(pool).await?)
}

/// A ledger with a journal and accounts of its own.
#[derive(Clone)]
struct Bench {
    cala: CalaLedger,
    /// Kept: dropping it would end its pollers.
    _jobs: Arc<Jobs>,
    journal: JournalId,
    pairs: Arc<Vec<(AccountId, AccountId)>>,
    template: String,
}

impl Bench {
    async fn open(pool: PgPool) -> Result<Self> {
        let config = JobSvcConfig::builder().pool(pool.clone()).build().map_err(|e| anyhow!("{e:?}"))?;
        let mut jobs = Jobs::init(config).await.map_err(|e| anyhow!("{e:?}"))?;
        let config = CalaLedgerConfig::builder().pool(pool).exec_migrations(true).build().map_err(|e| anyhow!("{e:?}"))?;
        let cala = CalaLedger::init(config, &mut jobs).await.map_err(|e| anyhow!("{e:?}"))?;
        let journal = JournalId::new();
        let new = NewJournal::builder().id(journal).name(journal.to_string()).build();
        cala.journals().create(new).await.map_err(|e| anyhow!("{e:?}"))?;
        let pairs: Vec<_> = (0..PAIRS).map(|_| (AccountId::new(), AccountId::new())).collect();
        let accounts = pairs
            .iter()
            .flat_map(|(a, b)| [a, b])
            .map(|id| NewAccount::builder().id(*id).name(format!("account {id}")).code(id.to_string()).build());
        cala.accounts().create_all(accounts.collect()).await.map_err(|e| anyhow!("{e:?}"))?;
        let template = format!("{TEMPLATE}-{journal}");
        cala.tx_templates().create(transfer(&template)?).await.map_err(|e| anyhow!("{e:?}"))?;
        Ok(Self { cala, _jobs: Arc::new(jobs), journal, pairs: Arc::new(pairs), template })
    }

    /// Runs every caller for so long; the time of each call that succeeded, and how many failed.
    async fn phase(&self, workload: &Workload, length: Duration) -> Result<(Vec<Duration>, usize)> {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for caller in 0..workload.callers {
            let (bench, batch, pairs) = (self.clone(), workload.batch, workload.pairs);
            tasks.spawn(async move {
                let (mut took, mut errors, mut random) = (Vec::new(), 0, 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(caller as u64 + 1));
                while started.elapsed() < length {
                    let mut postings: Vec<_> = (0..batch).map(|_| bench.posting(pairs, &mut random)).collect();
                    let begun = Instant::now();
                    let succeeded = match postings.pop() {
                        Some(one) if batch == 1 => bench.cala.post_transaction(one.tx_id, &bench.template, one.params).await.is_ok(),
                        Some(last) => {
                            postings.push(last);
                            bench.cala.post_transactions(postings).await.is_ok()
                        }
                        None => false,
                    };
                    if succeeded { took.push(begun.elapsed()) } else { errors += 1 }
                }
                (took, errors)
            });
        }
        let (mut took, mut errors) = (Vec::new(), 0);
        while let Some(done) = tasks.join_next().await {
            let (times, failed) = done?;
            took.extend(times);
            errors += failed;
        }
        Ok((took, errors))
    }

    fn posting(&self, pairs: usize, random: &mut u64) -> PostingInput {
        // SplitMix64
        *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = *random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let (from, to) = self.pairs[(x >> 32) as usize % pairs];
        let mut params = Params::new();
        params.insert("journal_id", self.journal);
        params.insert("sender", from);
        params.insert("recipient", to);
        params.insert("amount", Decimal::new(1 + (x & 0x3fff) as i64, 2));
        PostingInput::new(TransactionId::new(), self.template.clone(), params)
    }
}

fn transfer(code: &str) -> Result<NewTxTemplate> {
    let kinds = [
        ("recipient", ParamDataType::Uuid),
        ("sender", ParamDataType::Uuid),
        ("journal_id", ParamDataType::Uuid),
        ("amount", ParamDataType::Decimal),
    ];
    let mut params = Vec::new();
    for (name, kind) in kinds {
        params.push(NewParamDefinition::builder().name(name).r#type(kind).build().map_err(|e| anyhow!("{e:?}"))?);
    }
    let mut entries = Vec::new();
    for (kind, account, direction) in [("'TRANSFER_DR'", "params.sender", "DEBIT"), ("'TRANSFER_CR'", "params.recipient", "CREDIT")] {
        let entry = NewTxTemplateEntry::builder().entry_type(kind).account_id(account).layer("SETTLED");
        let entry = entry.direction(direction).units("params.amount").currency("'CNY'").build().map_err(|e| anyhow!("{e:?}"))?;
        entries.push(entry);
    }
    let transaction = NewTxTemplateTransaction::builder().effective("date()").journal_id("params.journal_id").build();
    let transaction = transaction.map_err(|e| anyhow!("{e:?}"))?;
    Ok(NewTxTemplate::builder().id(uuid::Uuid::now_v7()).code(code).params(params).transaction(transaction).entries(entries).build())
}
