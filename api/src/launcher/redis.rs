//! A private Redis: cache, limits and fan-out for the processes of one machine. It keeps nothing: flushing it loses nothing.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::account::Account;
use super::process::{self, LOOK_EVERY};
use super::{LauncherError, port, state};

const NAME: &str = "redis-server";
const START_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(10);
const PORTS_TRIED: usize = 3;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    pub port: u16,
    /// Whether it ran before this process came.
    pub found_running: bool,
    password: String,
    pid: u32,
    child: Option<Child>,
}

#[derive(Serialize, Deserialize)]
struct State {
    port: u16,
    pid: u32,
}

/// The program, when it is installed.
pub fn installed() -> Option<PathBuf> {
    process::in_path(NAME)
}

impl Redis {
    /// Takes up the Redis of `home` when it runs, else starts one.
    pub async fn start(home: &Path, program: &Path, account: Option<Account>) -> Result<Self, LauncherError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home).map_err(|e| LauncherError::file("create", home, e))?;
        let password = state::password(&home.join("password"))?;
        let kept = home.join("state.json");
        let before = state::read::<State>(&kept);
        if let Some(State { port, pid }) = before
            && process::runs(pid, NAME)
            && answers(port, &password).await
        {
            return Ok(Self { port, found_running: true, password, pid, child: None });
        }
        let log = home.join("redis.log");
        let mut remembered = before.map(|state| state.port);
        let mut tried = 0;
        loop {
            let port = port::private(remembered)?;
            let mark = process::log_length(&log);
            let child = spawn(program, account, &log, port, &password).await?;
            let pid = child.id().unwrap_or(0);
            let mut redis = Self { port, found_running: false, password: password.clone(), pid, child: Some(child) };
            let Err(error) = redis.wait_until_ready(&log, mark).await else {
                state::write(&kept, &State { port, pid })?;
                return Ok(redis);
            };
            redis.halt().await;
            tried += 1;
            if tried == PORTS_TRIED || !process::log_since(&log, mark).contains("Address already in use") {
                return Err(error);
            }
            remembered = None;
        }
    }

    /// Its address. Secret: it holds the password.
    pub fn url(&self) -> String {
        format!("redis://default:{}@127.0.0.1:{}/", self.password, self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            return false;
        }
        process::runs(self.pid, NAME)
    }

    /// Stops it.
    pub async fn stop(mut self) {
        self.halt().await;
    }

    async fn halt(&mut self) {
        process::signal(self.pid, Signal::TERM);
        let ended = match &mut self.child {
            Some(child) => tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_ok(),
            None => process::gone(self.pid, NAME, STOP_LIMIT).await,
        };
        if !ended {
            process::signal(self.pid, Signal::KILL);
        }
    }

    async fn wait_until_ready(&mut self, log: &Path, mark: u64) -> Result<(), LauncherError> {
        let started = Instant::now();
        while !answers(self.port, &self.password).await {
            if !self.alive() {
                return Err(LauncherError::from_log("Redis", log, &process::log_since(log, mark)));
            }
            if started.elapsed() > START_LIMIT {
                return Err(LauncherError::NoAnswer { program: "Redis", seconds: START_LIMIT.as_secs(), log: log.to_owned() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Process id of the Redis of `home`, if it runs.
pub fn running(home: &Path) -> Option<u32> {
    state::read::<State>(&home.join("state.json")).map(|state| state.pid).filter(|pid| process::runs(*pid, NAME))
}

/// Starts the server. Its settings go in over standard input, since anyone may read a command line.
async fn spawn(program: &Path, account: Option<Account>, log: &Path, port: u16, password: &str) -> Result<Child, LauncherError> {
    let cannot = |source| LauncherError::Run { program: program.display().to_string(), source };
    let mut command = process::apart(program, account, log)?;
    command.arg("-").current_dir("/").stdin(Stdio::piped());
    let mut child = command.spawn().map_err(cannot)?;
    let settings = format!(
        "bind 127.0.0.1\nport {port}\nprotected-mode yes\nrequirepass {password}\nsave \"\"\nappendonly no\n\
         maxmemory 256mb\nmaxmemory-policy allkeys-lru\ndaemonize no\n"
    );
    if let Some(mut input) = child.stdin.take() {
        input.write_all(settings.as_bytes()).await.map_err(cannot)?;
    }
    Ok(child)
}

/// Whether the Redis on `port` is the one with our password.
async fn answers(port: u16, password: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("AUTH {password}\r\nPING\r\n").as_bytes()).await?;
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n") || said.iter().filter(|byte| **byte == b'\n').count() < 2 {
            if stream.read_buf(&mut said).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(said == b"+OK\r\n+PONG\r\n")
    };
    matches!(tokio::time::timeout(ANSWER_LIMIT, ask).await, Ok(Ok(true)))
}
