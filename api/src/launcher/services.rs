//! PostgreSQL and Redis for as long as somebody uses them: the last process that lets go stops them.
//!
//! Every user holds a shared lock on `services.users`; starting and stopping happen under an exclusive one on `services.lock`. The
//! kernel drops both when a process is killed, so a server left behind is taken up by the next start and stopped at its end.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::account::{self, Account};
use super::cluster::{self, Cluster, Durability};
use super::redis::{self, Redis};
use super::{LauncherError, process};
use crate::config::Config;

/// Folders of throw-away services begin with this, then have the process id of who made them.
const THROWAWAY: &str = "services-";

/// How long the data of private services lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Kept in the data folder; a server that is configured is used instead of a private one.
    Kept,
    /// This process's own, not forced to the disk and removed at the end: for tests.
    Throwaway,
}

/// The servers in use, and their addresses.
#[derive(Debug)]
pub struct Services {
    root: PathBuf,
    bin_dir: PathBuf,
    account: Option<Account>,
    lifetime: Lifetime,
    cluster: Option<Cluster>,
    redis: Option<Redis>,
    users: File,
    /// The owner's address. Secret.
    pub database_url: String,
    /// None where Redis is not installed: each process then uses its in-process twin. Secret.
    pub redis_url: Option<String>,
}

/// One line about a server, and how long it took.
#[derive(Clone, Debug)]
pub struct Line {
    pub text: String,
    pub took: Duration,
}

impl Services {
    /// Starts what is not configured, or takes up what already runs. `say` gets a line for each server.
    pub async fn start(config: &Config, lifetime: Lifetime, mut say: impl FnMut(Line)) -> Result<Self, LauncherError> {
        folder(&config.data_dir)?;
        let root = match lifetime {
            Lifetime::Kept => config.data_dir.clone(),
            Lifetime::Throwaway => throwaway(&config.data_dir)?,
        };
        let account = account::for_servers()?;
        let starting = lock(&root.join("services.lock")).await?;
        let users = open(&root.join("services.users"))?;
        users.lock_shared().map_err(|e| LauncherError::file("lock", &root, e))?;
        let mut services = Self {
            root,
            bin_dir: config.database.bin_dir.clone(),
            account,
            lifetime,
            cluster: None,
            redis: None,
            users,
            database_url: String::new(),
            redis_url: None,
        };
        let given = |url: &str| (lifetime == Lifetime::Kept && !url.is_empty()).then(|| url.to_owned());
        let started = services.start_both(given(&config.database.url), given(&config.redis.url), &mut say).await;
        drop(starting);
        match started {
            Ok(()) => Ok(services),
            Err(error) => {
                services.stop().await;
                Err(error)
            }
        }
    }

    async fn start_both(
        &mut self,
        database: Option<String>,
        redis: Option<String>,
        say: &mut impl FnMut(Line),
    ) -> Result<(), LauncherError> {
        let mut step = Instant::now();
        self.database_url = match database {
            Some(url) => {
                say(Line { text: format!("PostgreSQL given by DATABASE_URL: {}", super::database::masked(&url)), took: step.elapsed() });
                url
            }
            None => {
                let cluster = self.start_cluster().await?;
                let url = cluster.ensure_database().await?;
                let verb = if cluster.found_running { "already runs" } else { "started" };
                let text =
                    format!("PostgreSQL {} {verb} on 127.0.0.1:{} (private, {})", cluster.major, cluster.port, cluster.home().display());
                say(Line { text, took: step.elapsed() });
                self.cluster = Some(cluster);
                url
            }
        };
        step = Instant::now();
        self.redis_url = match (redis, redis::installed()) {
            (Some(url), _) => {
                say(Line { text: "Redis given by REDIS_URL".to_owned(), took: step.elapsed() });
                Some(url)
            }
            (None, Some(program)) => {
                let redis = Redis::start(&self.root.join("redis"), &program, self.account).await?;
                let verb = if redis.found_running { "already runs" } else { "started" };
                say(Line { text: format!("Redis {verb} on 127.0.0.1:{} (private)", redis.port), took: step.elapsed() });
                let url = redis.url();
                self.redis = Some(redis);
                Some(url)
            }
            (None, None) => {
                let text = "Redis is not installed: each process uses its in-process twin (scripts/setup installs it)".to_owned();
                say(Line { text, took: step.elapsed() });
                None
            }
        };
        Ok(())
    }

    async fn start_cluster(&self) -> Result<Cluster, LauncherError> {
        let durability = if self.lifetime == Lifetime::Throwaway { Durability::None } else { Durability::Full };
        Cluster::start(&self.cluster_home(), &self.bin_dir, self.account, durability).await
    }

    /// Where the cluster lies, or would.
    pub fn cluster_home(&self) -> PathBuf {
        cluster::home(&self.root, self.account)
    }

    /// Starts again what has died, on the same port. Returns the names of what came back.
    pub async fn revive(&mut self) -> Result<Vec<&'static str>, LauncherError> {
        let mut back = Vec::new();
        let cluster_died = self.cluster.as_mut().is_some_and(|cluster| !cluster.alive());
        let redis_died = self.redis.as_mut().is_some_and(|redis| !redis.alive());
        if !cluster_died && !redis_died {
            return Ok(back);
        }
        let _starting = lock(&self.root.join("services.lock")).await?;
        if cluster_died {
            let before = self.cluster.as_ref().map(|cluster| cluster.port);
            let cluster = self.start_cluster().await?;
            if let Some(port) = before.filter(|port| *port != cluster.port) {
                cluster.stop().await;
                let remedy = "PostgreSQL died and cannot return to it: stop that program and start again".to_owned();
                return Err(LauncherError::PortTaken { port, remedy });
            }
            self.cluster = Some(cluster);
            back.push("PostgreSQL");
        }
        if redis_died && let Some(program) = redis::installed() {
            self.redis = Some(Redis::start(&self.root.join("redis"), &program, self.account).await?);
            back.push("Redis");
        }
        Ok(back)
    }

    /// The private servers' process ids, by name.
    pub fn pids(&self) -> Vec<(&'static str, u32)> {
        let cluster = self.cluster.as_ref().map(|cluster| ("postgres", cluster.pid()));
        let redis = self.redis.as_ref().map(|redis| ("redis", redis.pid()));
        cluster.into_iter().chain(redis).collect()
    }

    /// Whether PostgreSQL is a private one.
    pub fn private_database(&self) -> bool {
        self.cluster.is_some()
    }

    /// Lets go; stops the private servers when no other process uses them.
    pub async fn stop(mut self) {
        // when the lock cannot be had, the servers stay for the next start to take up
        let Ok(_stopping) = lock(&self.root.join("services.lock")).await else { return };
        let _ = self.users.unlock();
        if self.users.try_lock().is_err() {
            return;
        }
        if let Some(redis) = self.redis.take() {
            redis.stop().await;
        }
        if let Some(cluster) = self.cluster.take() {
            cluster.stop().await;
        }
        if self.lifetime == Lifetime::Throwaway {
            remove(&self.root, self.account);
        }
    }
}

/// Makes the data folder, and lets the server's account pass through it: secrets inside have modes of their own.
fn folder(dir: &Path) -> Result<(), LauncherError> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(dir).map_err(|e| LauncherError::file("create", dir, e))?;
    let of = dir.metadata().map_err(|e| LauncherError::file("read", dir, e))?;
    if account::root() && of.uid() == 0 && of.mode() & 0o001 == 0 {
        let mode = fs::Permissions::from_mode((of.mode() & 0o7777) | 0o011);
        fs::set_permissions(dir, mode).map_err(|e| LauncherError::file("open up", dir, e))?;
    }
    Ok(())
}

/// A new folder for throw-away services; those of processes that were killed are cleared first.
fn throwaway(data_dir: &Path) -> Result<PathBuf, LauncherError> {
    let account = account::for_servers()?;
    for entry in fs::read_dir(data_dir).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(THROWAWAY));
        if ours && unused(&entry.path()) {
            clear(&entry.path(), account);
        }
    }
    let root = data_dir.join(format!("{THROWAWAY}{}", std::process::id()));
    folder(&root)?;
    Ok(root)
}

/// Whether nobody holds the folder. One without the file is being made, or is empty.
fn unused(root: &Path) -> bool {
    File::open(root.join("services.users")).is_ok_and(|users| users.try_lock().is_ok())
}

/// Ends what still runs in a throw-away folder and removes it.
fn clear(root: &Path, account: Option<Account>) {
    if let Some((pid, _)) = cluster::running(&cluster::home(root, account).join("data")) {
        process::signal(pid, rustix::process::Signal::QUIT);
    }
    if let Some(pid) = redis::running(&root.join("redis")) {
        process::signal(pid, rustix::process::Signal::TERM);
    }
    remove(root, account);
}

fn remove(root: &Path, account: Option<Account>) {
    let _ = fs::remove_dir_all(cluster::home(root, account));
    let _ = fs::remove_dir_all(root);
}

fn open(path: &Path) -> Result<File, LauncherError> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(|e| LauncherError::file("open", path, e))
}

/// Takes an exclusive lock, waiting for a start or stop of another process to end.
async fn lock(path: &Path) -> Result<File, LauncherError> {
    let file = open(path)?;
    let path = path.to_owned();
    let taken = tokio::task::spawn_blocking(move || file.lock().map(|()| file).map_err(|e| LauncherError::file("lock", &path, e)));
    taken.await.map_err(|e| LauncherError::Run { program: "the wait for a lock".to_owned(), source: e.into() })?
}
