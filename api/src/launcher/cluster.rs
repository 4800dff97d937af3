//! A private PostgreSQL cluster: found or initialised, started on a free loopback port, taken up again when it already runs.
//!
//! Shape of its folder: `data/` (the cluster), `state.json` (the port), `password` (mode 600), `postgres.log`, `seeded` once the demo ran.
//! Durable like any other (fsync on), except a throw-away one for tests.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sqlx::migrate::MigrateDatabase;
use tokio::process::{Child, Command};

use super::account::{self, Account};
use super::database::{self, DatabaseError};
use super::process::{self, LOOK_EVERY};
use super::{LauncherError, port, state};

/// The role that owns the cluster, and the name of the database.
pub const OWNER: &str = "haodian";
/// Where clusters go whose data folder the unprivileged account cannot reach.
const ELSEWHERE: &str = "/var/lib/haodian";
/// Recovery after a crash may take a while; a start that needs longer is broken.
const START_LIMIT: Duration = Duration::from_secs(180);
/// After a kill -9 the old backends hold the shared memory for a moment.
const LEFTOVERS_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Ports tried when another program takes the chosen one first.
const PORTS_TRIED: usize = 3;

/// How long its data is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Survives a crash of the machine.
    Full,
    /// For tests: nothing is forced to the disk.
    None,
}

/// The programs of one PostgreSQL version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    home: PathBuf,
    pub port: u16,
    pub major: u32,
    /// Whether it ran before this process came.
    pub found_running: bool,
    password: String,
    pid: u32,
    /// Kept to reap it when this process started it.
    child: Option<Child>,
}

#[derive(Serialize, Deserialize)]
struct State {
    port: u16,
}

/// Where the cluster of `root` lies: inside it when the server's account can get there, else under `/var/lib`.
pub fn home(root: &Path, account: Option<Account>) -> PathBuf {
    match account {
        Some(account) if !account::reaches(account, root) => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, root.as_os_str().as_encoded_bytes());
            Path::new(ELSEWHERE).join(hex::encode(&digest.as_ref()[..8]))
        }
        _ => root.join("postgres"),
    }
}

impl Cluster {
    /// Takes up the cluster in `home` when it runs, else initialises it when it is new, and starts it.
    pub async fn start(home: &Path, bin_dir: &Path, account: Option<Account>, durability: Durability) -> Result<Self, LauncherError> {
        let data = home.join("data");
        let choices = installed(bin_dir)?;
        prepare(home, account)?;
        let secret = home.join("password");
        if data.exists() && !secret.exists() {
            return Err(LauncherError::PasswordLost { password: secret, home: home.to_owned() });
        }
        let password = state::password(&secret)?;
        give(&secret, account)?;
        let binaries = choose(&choices, &data)?;
        if let Some((pid, port)) = running(&data) {
            let password = password.clone();
            let mut cluster = Self { home: home.to_owned(), port, major: binaries.major, found_running: true, password, pid, child: None };
            match cluster.wait_until_ready(0).await {
                Ok(()) => return Ok(cluster),
                Err(error) if running(&data).is_some() => return Err(error),
                // it was seen in the moment it died: started again below
                Err(_) => {}
            }
        }
        if !data.exists() {
            initialise(&binaries, home, account, durability).await?;
        }
        clear_stale_lock(&data);
        let started = Instant::now();
        let mut tried = 0;
        let mut remembered = state::read::<State>(&home.join("state.json")).map(|state| state.port);
        loop {
            let port = port::private(remembered)?;
            let log = home.join("postgres.log");
            let mark = process::log_length(&log);
            let child = spawn(&binaries, home, account, port, durability)?;
            let pid = child.id().unwrap_or(0);
            let mut cluster = Self {
                home: home.to_owned(),
                port,
                major: binaries.major,
                found_running: false,
                password: password.clone(),
                pid,
                child: Some(child),
            };
            let Err(error) = cluster.wait_until_ready(mark).await else {
                state::write(&home.join("state.json"), &State { port })?;
                return Ok(cluster);
            };
            cluster.halt().await;
            let words = process::log_since(&log, mark);
            if words.contains("Address already in use") && tried + 1 < PORTS_TRIED {
                tried += 1;
                remembered = None;
            } else if words.contains("shared memory block") && started.elapsed() < LEFTOVERS_LIMIT {
                tokio::time::sleep(LOOK_EVERY * 10).await;
            } else {
                return Err(error);
            }
        }
    }

    /// The owner's address of a database in it. Secret: it holds the password.
    pub fn url(&self, database: &str) -> String {
        address(&self.password, self.port, database)
    }

    /// Creates the database of 好店 unless it is there.
    pub async fn ensure_database(&self) -> Result<String, LauncherError> {
        let url = self.url(OWNER);
        let there = sqlx::Postgres::database_exists(&url).await;
        let made = match there {
            Ok(true) => Ok(()),
            Ok(false) => sqlx::Postgres::create_database(&url).await,
            Err(error) => Err(error),
        };
        made.map_err(|source| DatabaseError::Other { server: format!("127.0.0.1:{}", self.port), source })?;
        Ok(url)
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            return false;
        }
        process::runs(self.pid, "postgres")
    }

    /// Stops it: connections are ended, what was committed is on the disk.
    pub async fn stop(mut self) {
        self.halt().await;
    }

    async fn halt(&mut self) {
        process::signal(self.pid, Signal::INT);
        if !self.ended_within(STOP_LIMIT).await {
            // an immediate shutdown loses nothing that was committed: the next start recovers
            process::signal(self.pid, Signal::QUIT);
            self.ended_within(STOP_LIMIT).await;
        }
    }

    async fn ended_within(&mut self, limit: Duration) -> bool {
        match &mut self.child {
            Some(child) => tokio::time::timeout(limit, child.wait()).await.is_ok(),
            None => process::gone(self.pid, "postgres", limit).await,
        }
    }

    async fn wait_until_ready(&mut self, mark: u64) -> Result<(), LauncherError> {
        let started = Instant::now();
        let log = self.home.join("postgres.log");
        loop {
            match database::open(&self.url("postgres")).await {
                Ok(_) => return Ok(()),
                Err(error @ (DatabaseError::LoginRefused { .. } | DatabaseError::Version { .. })) => return Err(error.into()),
                Err(_) => {}
            }
            if !self.alive() {
                return Err(LauncherError::from_log("PostgreSQL", &log, &process::log_since(&log, mark)));
            }
            if started.elapsed() > START_LIMIT {
                return Err(LauncherError::NoAnswer { program: "PostgreSQL", seconds: START_LIMIT.as_secs(), log });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The owner's address of a database in a private cluster. Secret.
pub fn address(password: &str, port: u16, database: &str) -> String {
    format!("postgres://{OWNER}:{password}@127.0.0.1:{port}/{database}")
}

/// The PostgreSQL versions on this machine, newest first.
pub fn installed(bin_dir: &Path) -> Result<Vec<Binaries>, LauncherError> {
    if bin_dir.as_os_str().is_empty() {
        let mut found: Vec<Binaries> = (15..=18)
            .rev()
            .map(|major| Binaries { dir: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")), major })
            .filter(|binaries| complete(&binaries.dir))
            .collect();
        if let Some(dir) =
            process::in_path("initdb").and_then(|file| file.canonicalize().ok()).and_then(|file| Some(file.parent()?.to_owned()))
            && complete(&dir)
            && let Some(major) = version(&dir)
            && (15..=18).contains(&major)
            && !found.iter().any(|binaries| binaries.major == major)
        {
            found.push(Binaries { dir, major });
        }
        return if found.is_empty() { Err(LauncherError::NoPostgres) } else { Ok(found) };
    }
    let missing = || LauncherError::NoPostgresIn { dir: bin_dir.to_owned() };
    if !complete(bin_dir) {
        return Err(missing());
    }
    match version(bin_dir).ok_or_else(missing)? {
        major @ 15..=18 => Ok(vec![Binaries { dir: bin_dir.to_owned(), major }]),
        major => Err(LauncherError::UnsupportedMajor { major }),
    }
}

fn complete(dir: &Path) -> bool {
    dir.join("initdb").is_file() && dir.join("postgres").is_file()
}

fn version(dir: &Path) -> Option<u32> {
    let out = std::process::Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    major_of(&String::from_utf8_lossy(&out.stdout))
}

/// The major version in `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_of(text: &str) -> Option<u32> {
    text.split_once("(PostgreSQL) ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The version that made `data`, or the newest for a new cluster.
fn choose(choices: &[Binaries], data: &Path) -> Result<Binaries, LauncherError> {
    let made_by = fs::read_to_string(data.join("PG_VERSION")).ok().and_then(|text| text.trim().parse().ok());
    let chosen = match made_by {
        Some(major) => choices
            .iter()
            .find(|binaries| binaries.major == major)
            .ok_or_else(|| LauncherError::OtherMajor { data: data.to_owned(), made_by: major })?,
        None => choices.first().ok_or(LauncherError::NoPostgres)?,
    };
    Ok(chosen.clone())
}

/// Makes the folder and gives it to the server's account.
fn prepare(home: &Path, account: Option<Account>) -> Result<(), LauncherError> {
    if let Some(parent) = home.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(parent).map_err(|e| LauncherError::file("create", parent, e))?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(|e| LauncherError::file("create", home, e))?;
    give(home, account)
}

fn give(path: &Path, account: Option<Account>) -> Result<(), LauncherError> {
    match account {
        Some(Account { uid, gid }) => {
            std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(|e| LauncherError::file("give away", path, e))
        }
        None => Ok(()),
    }
}

/// Makes the cluster under another name first: one that was cut off half-way is never taken for whole.
async fn initialise(binaries: &Binaries, home: &Path, account: Option<Account>, durability: Durability) -> Result<(), LauncherError> {
    let partial = home.join("data.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(|e| LauncherError::file("remove", &partial, e))?;
    }
    let log = home.join("postgres.log");
    let mark = process::log_length(&log);
    let program = binaries.dir.join("initdb");
    let mut command = process::apart(&program, account, &log)?;
    command
        .args(["--locale=C.UTF-8", "--encoding=UTF8", "--auth=scram-sha-256", "--no-instructions", "--username", OWNER, "--pwfile"])
        .arg(home.join("password"))
        .arg("--pgdata")
        .arg(&partial)
        .current_dir("/");
    plain(&mut command);
    if durability == Durability::None {
        command.arg("--no-sync");
    }
    let status = command.status().await.map_err(|source| LauncherError::Run { program: program.display().to_string(), source })?;
    if !status.success() {
        return Err(LauncherError::from_log("PostgreSQL's initdb", &log, &process::log_since(&log, mark)));
    }
    let data = home.join("data");
    fs::rename(&partial, &data).map_err(|e| LauncherError::file("rename", &partial, e))
}

fn spawn(binaries: &Binaries, home: &Path, account: Option<Account>, port: u16, durability: Durability) -> Result<Child, LauncherError> {
    let program = binaries.dir.join("postgres");
    let mut command = process::apart(&program, account, &home.join("postgres.log"))?;
    command.arg("-D").arg(home.join("data")).current_dir("/").stdin(Stdio::null());
    // The socket folder that Debian's build names is not writable for us, so TCP on loopback is the only way in.
    let mut settings = vec![
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=2GB".to_owned(),
        // Three workers that vacuum and analyse at once take two cores from payments for seconds; one that rests does not.
        "autovacuum_max_workers=1".to_owned(),
        "autovacuum_vacuum_cost_delay=20ms".to_owned(),
        "autovacuum_analyze_scale_factor=0.5".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        "lc_messages=C".to_owned(),
    ];
    if durability == Durability::None {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    for setting in settings {
        command.args(["-c", &setting]);
    }
    plain(&mut command);
    command.spawn().map_err(|source| LauncherError::Run { program: program.display().to_string(), source })
}

/// Nothing of our environment changes what PostgreSQL does or how it words an error.
fn plain(command: &mut Command) {
    for variable in ["PGDATA", "PGPORT", "PGOPTIONS", "LC_ALL", "LANGUAGE"] {
        command.env_remove(variable);
    }
    command.env("LANG", "C.UTF-8");
}

/// Process id and port of the postmaster that holds `data`, if one runs.
pub fn running(data: &Path) -> Option<(u32, u16)> {
    let (pid, port) = pid_and_port(&fs::read_to_string(data.join("postmaster.pid")).ok()?)?;
    process::runs(pid, "postgres").then_some((pid, port?))
}

/// A lock left by a postmaster that was killed, whose number another program has now, would keep the next one from starting.
fn clear_stale_lock(data: &Path) {
    let path = data.join("postmaster.pid");
    let Some((pid, _)) = fs::read_to_string(&path).ok().and_then(|text| pid_and_port(&text)) else { return };
    if !process::runs(pid, "postgres") {
        let _ = fs::remove_file(path);
    }
}

/// The first line and, once written, the fourth of `postmaster.pid`.
fn pid_and_port(text: &str) -> Option<(u32, Option<u16>)> {
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    Some((pid, lines.nth(2).and_then(|line| line.trim().parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::process::scratch;

    #[test]
    fn versions_are_read_from_what_postgres_says() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(major_of(text), expected, "{text}");
        }
    }

    #[test]
    fn data_of_another_major_version_is_refused_with_the_remedy() {
        let dir = scratch("major");
        let choices = [17, 15].map(|major| Binaries { dir: PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")), major });
        assert_eq!(choose(&choices, &dir).unwrap().major, 17, "a new cluster takes the newest");
        fs::write(dir.join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(choose(&choices, &dir).unwrap().major, 15);
        fs::write(dir.join("PG_VERSION"), "16\n").unwrap();
        let error = choose(&choices, &dir).unwrap_err().to_string();
        assert!(error.contains("made by PostgreSQL 16") && error.contains("install postgresql-16"), "{error}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_postmaster_file_is_read_also_while_it_is_being_written() {
        assert_eq!(pid_and_port("123\n/data\n1700000000\n5433\n\n127.0.0.1\n"), Some((123, Some(5433))));
        assert_eq!(pid_and_port("123\n/data\n"), Some((123, None)));
        assert_eq!(pid_and_port(""), None);
    }

    #[test]
    fn a_lock_of_a_program_that_is_not_postgres_is_cleared() {
        let dir = scratch("lock");
        let path = dir.join("postmaster.pid");
        fs::write(&path, format!("{}\n/data\n0\n5433\n", std::process::id())).unwrap();
        assert_eq!(running(&dir), None);
        clear_stale_lock(&dir);
        assert!(!path.exists());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_folder_out_of_reach_moves_under_var_lib() {
        let dir = scratch("reach");
        assert_eq!(home(&dir, None), dir.join("postgres"));
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let moved = home(&dir, Some(Account { uid: 4_000_000, gid: 4_000_000 }));
        assert!(moved.starts_with(ELSEWHERE), "{}", moved.display());
        assert_eq!(moved, home(&dir, Some(Account { uid: 4_000_001, gid: 4_000_001 })), "the same folder, the same place");
        fs::remove_dir_all(dir).unwrap();
    }
}
