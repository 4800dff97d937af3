//! The system under load: a whole one in processes of its own, on a database of the bench.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};

use crate::launcher::supervisor::Running;

/// How long the system may take to come up.
const UP_LIMIT: Duration = Duration::from_secs(120);

/// `haodian up` with its children.
pub(super) struct System {
    up: Child,
    folder: PathBuf,
    database_url: String,
    pub running: Running,
}

impl System {
    pub(super) async fn start(folder: &Path, database_url: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let mut up = command(folder, database_url)?.args(["up", "--no-seed"]).spawn().context("haodian up could not be started")?;
        let deadline = Instant::now() + UP_LIMIT;
        loop {
            if let Some(running) = Running::read(folder) {
                return Ok(Self { up, folder: folder.to_owned(), database_url: database_url.to_owned(), running });
            }
            if let Some(status) = up.try_wait()? {
                let log = std::fs::read_to_string(folder.join("up.log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                anyhow::bail!("haodian up ended with {status}: {}", last.into_iter().rev().collect::<Vec<_>>().join("; "));
            }
            ensure!(Instant::now() < deadline, "the system did not come up in {} s", UP_LIMIT.as_secs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether every rule of the books holds; what is violated goes to this program's own standard error.
    pub(super) async fn check(&self) -> Result<bool> {
        let output = command(&self.folder, &self.database_url)?
            .arg("check")
            .stdout(Stdio::piped())
            .output()
            .await
            .context("haodian check could not be started")?;
        if !output.status.success() {
            eprint!("{}", String::from_utf8_lossy(&output.stdout));
        }
        Ok(output.status.success())
    }

    /// Processor time that each process of the system, PostgreSQL and this program have taken so far.
    pub(super) fn processor_times(&self, postgres: Option<u32>) -> BTreeMap<String, Duration> {
        let mut times: BTreeMap<String, Duration> = self
            .running
            .processes
            .iter()
            .filter(|(name, _)| *name != "postgres")
            .map(|(name, pid)| (name.clone(), Ticks::of(*pid).map_or(Duration::ZERO, |t| t.own)))
            .collect();
        times.insert("client".to_owned(), Ticks::of(std::process::id()).map_or(Duration::ZERO, |t| t.own));
        if let Some(postmaster) = postgres {
            times.insert("postgres".to_owned(), family(postmaster));
        }
        times
    }

    pub(super) async fn stop(&mut self) {
        if let Some(pid) = self.up.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.up.wait().await;
    }
}

/// This binary, on the folder's data and the bench's database, its words in the folder's log.
fn command(folder: &Path, database_url: &str) -> Result<Command> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("up.log")).context("the log cannot be written")?;
    let mut command = Command::new(std::env::current_exe().context("this program's own path")?);
    command
        .env("HAODIAN_DATA_DIR", folder)
        .env("HAODIAN_LOG__FILTER", "warn")
        .env("DATABASE_URL", database_url)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// What `/proc` says of a process.
struct Ticks {
    parent: u32,
    /// Of the process itself.
    own: Duration,
    /// Of children that have ended.
    children: Duration,
}

impl Ticks {
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name in brackets may hold anything
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // the kernel counts in hundredths of a second, whatever its own clock
        let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok().map(|ticks| Duration::from_millis(ticks * 10));
        Some(Self { parent: fields.get(1)?.parse().ok()?, own: ticks(11)? + ticks(12)?, children: ticks(13)? + ticks(14)? })
    }
}

/// The processor time of a postmaster, of its servers, and of those that have ended.
fn family(postmaster: u32) -> Duration {
    let Some(head) = Ticks::of(postmaster) else { return Duration::ZERO };
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let living: Duration = pids.filter_map(Ticks::of).filter(|t| t.parent == postmaster).map(|t| t.own).sum();
    head.own + head.children + living
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_takes_processor_time() {
        let before = Ticks::of(std::process::id()).unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(started.elapsed());
        }
        assert!(Ticks::of(std::process::id()).unwrap().own > before.own);
        assert!(before.parent > 0 && Ticks::of(u32::MAX).is_none());
    }
}
