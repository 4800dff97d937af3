//! Whole payments per second through the public API: every caller makes an order, starts to pay, confirms at the simulator's payer page
//! and waits until the cashier shows it paid. Everything, load generator included, runs on this machine, on a private cluster with
//! durability on. Ends with `haodian check`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::Record;
use crate::config::Config;
use crate::launcher::supervisor::Running;
use crate::seed::client::Client;
use crate::seed::report::Steps;
use crate::seed::{application, papers, trade};

/// How long the system may take to come up.
const UP_LIMIT: Duration = Duration::from_secs(120);

/// Runs the benchmark on a system of its own in a folder of its own.
pub async fn run(config: &Config, seconds: u64, callers: usize, json: bool) -> Result<()> {
    ensure!((1..=1024).contains(&callers) && (1..=3600).contains(&seconds), "--callers takes 1 to 1024 and --seconds 1 to 3600");
    let folder = config.data_dir.join(format!("bench-{}", std::process::id()));
    let mut system = System::start(&folder).await?;
    let measured = measure(config, &system.http, Duration::from_secs(seconds), callers).await;
    let checked = system.check().await;
    system.stop().await;
    let _ = std::fs::remove_dir_all(&folder);
    let mut record = measured?;
    record.more.insert("check".to_owned(), json!(if checked? { "all rules hold" } else { "VIOLATED" }));
    record.print(json);
    ensure!(record.more["check"] == "all rules hold", "haodian check found a violation");
    Ok(())
}

async fn measure(config: &Config, base_url: &str, length: Duration, callers: usize) -> Result<Record> {
    let anonymous = Client::anonymous(base_url)?;
    let owner = anonymous.login("dev:owner:bench-owner").await?;
    let reviewer = anonymous.login("dev:reviewer:bench-reviewer").await?;
    let papers = papers::make(config).await?;
    let merchant = application::sign(&owner, &reviewer, &papers, "bench", &mut Steps::silent()).await?;
    let stores = trade::open_stores(&owner, &merchant).await?;
    // the session reads which merchants are its own when a request comes in: no new login is needed

    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (anonymous, owner, stores) = (anonymous.clone(), owner.clone(), stores.clone());
        tasks.spawn(async move {
            let (mut took, mut errors, mut number) = (Vec::new(), Vec::new(), caller);
            while started.elapsed() < length {
                let begun = Instant::now();
                match trade::pay_through(&anonymous, &owner, &stores, number).await {
                    Ok(()) => took.push(begun.elapsed()),
                    Err(error) => errors.push(format!("{error:#}")),
                }
                number += callers;
            }
            (took, errors)
        });
    }
    let (mut took, mut errors) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (times, failed) = done.context("a caller's task")?;
        took.extend(times);
        errors.extend(failed);
    }
    let elapsed = started.elapsed();
    let payments = took.len();
    let mut record = Record::new("pay", callers, took, elapsed, errors.len());
    record.more.insert("payments".to_owned(), json!(payments));
    if let Some(first) = errors.first() {
        record.more.insert("first_error".to_owned(), json!(first));
    }
    Ok(record)
}

/// A whole system in processes of its own.
struct System {
    up: Child,
    folder: PathBuf,
    http: String,
}

impl System {
    async fn start(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut up = command(folder)?.args(["up", "--no-seed"]).spawn().context("haodian up could not be started")?;
        let deadline = Instant::now() + UP_LIMIT;
        loop {
            if let Some(running) = Running::read(folder) {
                return Ok(Self { up, folder: folder.to_owned(), http: running.http });
            }
            if let Some(status) = up.try_wait()? {
                anyhow::bail!("haodian up ended with {status}; its words are in {}", folder.join("up.log").display());
            }
            ensure!(Instant::now() < deadline, "the system did not come up in {} s", UP_LIMIT.as_secs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether every rule of the books holds.
    async fn check(&self) -> Result<bool> {
        let status = command(&self.folder)?.arg("check").status().await.context("haodian check could not be started")?;
        Ok(status.success())
    }

    async fn stop(&mut self) {
        if let Some(pid) = self.up.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.up.wait().await;
    }
}

/// This binary, on the folder's data, its words in the folder's log.
fn command(folder: &Path) -> Result<Command> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("up.log")).context("the log cannot be written")?;
    let mut command = Command::new(std::env::current_exe().context("this program's own path")?);
    command
        .env("HAODIAN_DATA_DIR", folder)
        .env("HAODIAN_LOG__FILTER", "warn")
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}
