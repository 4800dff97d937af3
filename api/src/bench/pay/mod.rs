//! Whole payments through the public API: the shop makes an order, the customer starts to pay, confirms at the simulator's payer page, and
//! the cashier's stream shows it paid. Between lie the channel's signed answers and notices, the ledger, the day's figures, and for a share
//! of the orders their division among three merchants. Load generator, simulator and PostgreSQL run on this machine, with durability on.
//!
//! Ends with a comparison of every answer with the books, and with `haodian check`: figures of a system that loses money mean nothing.

mod books;
mod customer;
pub mod failover;
mod http;
mod load;
mod stored;
mod system;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use wallet::base::clock::Clock;
use wallet::base::db;
use wallet::check;

use super::server::{Database, Server};
use super::{Record, percentile};
use crate::config::Config;
use crate::graphql::id;
use crate::launcher::supervisor;
use crate::seed::client::Client;
use crate::seed::report::Steps;
use crate::seed::{application, papers, trade};
use books::{Comparison, compare};
use customer::{STEPS, Shop, Way};
use load::{Pace, Phase};
use system::System;

/// Played before what is measured, and left out of it.
const WARM_UP: Duration = Duration::from_secs(3);
/// Played right before what is measured, without a pause, and left out of its times: the load begins with new connections and new plans,
/// and near what a machine can do it takes seconds to catch up with what that cost.
const LEAD: Duration = Duration::from_secs(10);

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How long to pay, after a warm-up
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Payments begun per second, whatever becomes of the earlier ones; times count from when each was due
    #[arg(long, conflicts_with = "callers")]
    rate: Option<u32>,
    /// Without a rate: customers who each begin the next payment after the last
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Paid orders stored before anything is measured
    #[arg(long, default_value_t = 0)]
    stored: usize,
    /// How many orders of a hundred are divided among three merchants
    #[arg(long, default_value_t = 10)]
    divided: u8,
    /// One JSON object per line instead of words
    #[arg(long)]
    json: bool,
}

/// Runs the benchmark on a system of its own in a folder of its own, on its own PostgreSQL or a database of its own on the one given.
pub async fn run(config: &Config, options: Options) -> Result<()> {
    ensure!((1..=3600).contains(&options.seconds), "--seconds takes 1 to 3600");
    ensure!((1..=1024).contains(&options.callers), "--callers takes 1 to 1024");
    ensure!(options.rate.is_none_or(|rate| (1..=20_000).contains(&rate)), "--rate takes 1 to 20000");
    ensure!(options.stored <= 20_000_000 && options.divided <= 100, "--stored takes up to 20000000 and --divided up to 100");
    run_on_its_own(config, options.json, async |bench: &mut Bench| measure(bench, config, &options).await).await
}

/// A system with its database, for one run.
struct Bench {
    system: System,
    database: Database,
    /// The process of its PostgreSQL, where that is its own.
    postmaster: Option<u32>,
}

/// Measures on a system of its own in a folder of its own, and judges the books at the end.
async fn run_on_its_own(config: &Config, json: bool, measure: impl AsyncFnOnce(&mut Bench) -> Result<(Record, Comparison)>) -> Result<()> {
    let mut server = Server::start(config).await?;
    let folder = config.data_dir.join(format!("bench-pay-{}", std::process::id()));
    let outcome = tokio::select! {
        outcome = on(&mut server, &folder, json, measure) => outcome,
        () = supervisor::stop_signal() => Err(anyhow::anyhow!("interrupted")),
    };
    server.stop().await;
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

async fn on(
    server: &mut Server,
    folder: &Path,
    json: bool,
    measure: impl AsyncFnOnce(&mut Bench) -> Result<(Record, Comparison)>,
) -> Result<()> {
    let mut database = server.database().await?;
    let settings = database.settings().await?;
    let system = System::start(folder, &database.url).await?;
    let mut bench = Bench { system, database, postmaster: server.postmaster() };
    let measured = measure(&mut bench).await;
    let Bench { mut system, database, .. } = bench;
    let sound = system.check().await;
    system.stop().await;
    let (mut record, compared) = measured?;
    let sound = sound?;
    record.more.insert("settings".to_owned(), settings);
    record.more.insert("check".to_owned(), json!(if sound { "all rules hold" } else { "VIOLATED" }));
    record.print(json);
    database.drop().await?;
    ensure!(sound, "haodian check found a violation");
    ensure!(compared.agrees(), "what callers were told differs from the books: {compared:?}");
    Ok(())
}

async fn measure(bench: &mut Bench, config: &Config, options: &Options) -> Result<(Record, Comparison)> {
    let Bench { system, database, postmaster } = bench;
    let postmaster = *postmaster;
    let (owner, merchant, shop) = open_shop(system, config, options.divided, Way::AnyPage).await?;
    if options.stored > 0 {
        let (id, store) = id::store(&shop.stores[0].clone().into()).context("the id of a store")?;
        stored::store(config, &database.pool, id, store, options.stored).await?;
        // or autovacuum and the checker would begin with them while something is measured
        database.settle().await?;
        let reports = db::connect_for_reports(&database.url, 1).await.context("no connection for the checker")?;
        // twice: a look of the worker's that began while payments were stored moves the mark under the first
        for _ in 0..2 {
            let report = check::marks::run(&reports).await.context("the checker's look at what was stored")?;
            ensure!(report.violations().next().is_none(), "the books do not hold before anything is measured");
        }
        reports.close().await;
    }
    let (shop, pace) = (Arc::new(shop), options.rate.map_or(Pace::Closed(options.callers), Pace::Open));
    let since = Clock::wall();
    let warm = load::play(&shop, pace, WARM_UP, 0).await?;
    // as autovacuum does within a minute: plans that were made while tables were empty are made anew
    database.settle().await?;
    let before = (database.counters().await?, system.processor_times(postmaster));
    let mut phase = load::play(&shop, pace, LEAD + Duration::from_secs(options.seconds), warm.payments.len()).await?;
    let (after, ended) = ((database.counters().await?, system.processor_times(postmaster)), Clock::wall());

    let callers = if options.rate.is_some() { 0 } else { options.callers };
    let paid = phase.payments.iter().filter(|p| p.trace.paid).count().max(1);
    let mut played = warm.payments;
    played.extend(phase.split_off(LEAD));
    let mut record = recorded("pay", &phase, options.rate, callers);
    record.more.insert("divided_percent".to_owned(), json!(options.divided));
    record.more.insert("stored_before".to_owned(), json!(options.stored));
    // with the lead, as the counters are
    let each = |count: i64| (count as f64 / paid as f64 * 10.0).round() / 10.0;
    let statements = before.0.statements.zip(after.0.statements).map(|(before, after)| each(after - before));
    record.more.insert("statements_per_payment".to_owned(), json!(statements));
    record.more.insert("wal_bytes_per_payment".to_owned(), json!(each(after.0.wal_bytes - before.0.wal_bytes)));
    let spent: BTreeMap<&String, f64> = after
        .1
        .iter()
        .map(|(name, time)| {
            let spent = time.saturating_sub(before.1.get(name).copied().unwrap_or_default());
            (name, (spent.as_secs_f64() * 1e5 / paid as f64).round() / 100.0)
        })
        .collect();
    record.more.insert("processor_ms_per_payment".to_owned(), json!(spent));

    played.extend(phase.payments);
    let compared = compare(&owner, &merchant, since, &played).await?;
    record.more.insert("compared".to_owned(), json!(compared));
    if !compared.splits.is_empty() {
        record.more.insert("splits".to_owned(), splits(&compared.splits, ended));
    }
    Ok((record, compared))
}

/// How long orders took from paid to divided, and how many were not divided yet when the load ended: a system that puts splits off is
/// measured without their work.
fn splits(splits: &[(DateTime<Utc>, DateTime<Utc>)], load_ended: DateTime<Utc>) -> Value {
    let mut took: Vec<Duration> = splits.iter().map(|(paid, finished)| (*finished - *paid).to_std().unwrap_or_default()).collect();
    took.sort_unstable();
    let at = |share| percentile(&took, share).as_millis();
    let open = splits.iter().filter(|(paid, finished)| *paid < load_ended && *finished > load_ended).count();
    json!({ "p50_ms": at(0.5), "p99_ms": at(0.99), "last_ms": at(1.0), "open_at_end": open })
}

/// The figures of a phase.
fn recorded(workload: &'static str, phase: &Phase, rate: Option<u32>, callers: usize) -> Record {
    let took: Vec<Duration> = phase.payments.iter().filter_map(|p| p.took()).collect();
    let paid = took.len();
    let errors = phase.payments.len() - paid + phase.refused;
    let mut record = Record::new(workload, callers, took, phase.elapsed, errors);
    let mut more = Map::new();
    more.insert("loop".to_owned(), json!(if rate.is_some() { "open" } else { "closed" }));
    more.insert("rate_asked_per_s".to_owned(), json!(rate));
    more.insert("payments".to_owned(), json!(paid));
    more.insert("not_begun".to_owned(), json!(phase.refused));
    let steps = STEPS.iter().enumerate().map(|(step, name)| {
        let mut took: Vec<Duration> = phase.payments.iter().filter_map(|p| p.step(step)).collect();
        took.sort_unstable();
        let at = |share| (percentile(&took, share).as_secs_f64() * 1e5).round() / 100.0;
        ((*name).to_owned(), json!({ "p50_ms": at(0.5), "p99_ms": at(0.99) }))
    });
    more.insert("steps".to_owned(), Value::Object(steps.collect()));
    more.insert("seconds".to_owned(), seconds(phase));
    more.insert("cores".to_owned(), json!(std::thread::available_parallelism().map_or(0, usize::from)));
    if let Some(error) = phase.payments.iter().find_map(|p| p.trace.error.as_ref()) {
        more.insert("first_error".to_owned(), json!(error));
    }
    record.more = more;
    record
}

/// How long the payments that were due in each second took: a tail of one slow second reads otherwise than one of all of them.
fn seconds(phase: &Phase) -> Value {
    let begun = phase.payments.iter().map(|played| played.due).min();
    let mut seconds: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
    for (played, begun) in phase.payments.iter().zip(begun.into_iter().cycle()) {
        seconds.entry((played.due - begun).as_secs()).or_default().extend(played.took());
    }
    let of = |took: &mut Vec<Duration>| {
        took.sort_unstable();
        json!({ "p50_ms": percentile(took, 0.5).as_millis(), "p99_ms": percentile(took, 0.99).as_millis() })
    };
    seconds.values_mut().map(of).collect()
}

/// Signs the merchant, and those whom it shares its divided orders with, and opens its stores.
async fn open_shop(system: &System, config: &Config, divided_percent: u8, way: Way) -> Result<(Client, String, Shop)> {
    let base_url = &system.running.http;
    let anonymous = Client::anonymous(base_url)?;
    let reviewer = anonymous.login("dev:reviewer:bench-reviewer").await?;
    let papers = papers::make(config).await?;
    let mut signed = Vec::new();
    for name in ["bench", "bench-agent", "bench-broker"] {
        let owner = anonymous.login(&format!("dev:owner:{name}")).await?;
        let merchant =
            application::sign(&owner, &reviewer, &papers, name, &mut Steps::silent()).await.with_context(|| format!("signing {name}"))?;
        signed.push((owner, merchant));
        if divided_percent == 0 {
            break;
        }
    }
    let parties = signed.iter().skip(1).zip(["AGENT", "BROKER"]).map(|((_, id), role)| json!({ "role": role, "merchantId": id })).collect();
    let (owner, merchant) = signed.swap_remove(0);
    let stores = trade::open_stores(&owner, &merchant).await?;
    let token = owner.token().context("the owner is logged in")?.to_owned();
    // a session reads which merchants are its own when a request comes in: no new login is needed
    let (base_url, sim_url) = (base_url.clone(), system.running.sim.clone());
    let shop = Shop { base_url, sim_url, way, token, stores, parties, divided_percent };
    Ok((owner, merchant, shop))
}
