//! `haodian up`: everything in one go. Services, schema, then the processes `sim`, `serve` and `work` of this same binary; the demo the
//! first time; then watches: what dies is started again, with a growing pause, and said.
//!
//! Order of ending: `serve` finishes what it accepted, then `work`, then `sim`, then Redis and PostgreSQL.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::port::{self, Choice};
use super::services::Line;
use super::{LauncherError, Lifetime, Services, database, keys, process, sample, state};
use crate::config::{Config, Environment};

/// The variable that tells a process its supervisor's process id: it ends when that one has gone.
pub const SUPERVISED: &str = "HAODIAN_SUPERVISED";

const READY_LIMIT: Duration = Duration::from_secs(60);
const READY_LOOK: Duration = Duration::from_millis(50);
/// How often the processes and servers are looked at.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// Pause before a process is started again: doubled each time, forgotten once it ran for a while.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
const STEADY_AFTER: Duration = Duration::from_secs(60);
/// On top of the grace that `serve` gives accepted work.
const END_MARGIN: Duration = Duration::from_secs(5);

/// What `up` was asked to leave out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Ends again once everything answers: for measuring and rehearsing.
    pub until_ready: bool,
    /// Starts with an empty database instead of the demo.
    pub no_seed: bool,
}

/// What runs now, for `haodian doctor`, tests and people. Holds no secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    pub pid: u32,
    pub http: String,
    pub sim: String,
    /// Process ids by name: postgres, redis, sim, serve, work.
    pub processes: std::collections::BTreeMap<String, u32>,
}

impl Running {
    /// Where it is kept in a data folder.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("run.json")
    }

    /// What a data folder says runs.
    pub fn read(data_dir: &Path) -> Option<Self> {
        state::read(&Self::path(data_dir))
    }
}

/// Runs everything until Ctrl-C or SIGTERM.
pub async fn up(mut config: Config, options: Options) -> Result<(), LauncherError> {
    if config.environment == Environment::Production {
        return Err(LauncherError::NotInProduction);
    }
    let begun = Instant::now();
    std::fs::create_dir_all(&config.data_dir).map_err(|e| LauncherError::file("create", &config.data_dir, e))?;
    let _alone = alone(&config.data_dir)?;
    let created = keys::ensure(&config.keys_dir())?;
    if created > 0 {
        line(&format!("{created} key files created in {}", config.keys_dir().display()), begun.elapsed());
    }
    let places = place(&mut config)?;
    let mut services = Services::start(&config, Lifetime::Kept, |Line { text, took }| line(&text, took)).await?;
    config.database.url.clone_from(&services.database_url);
    config.redis.url = services.redis_url.clone().unwrap_or_default();
    let mut family = Family::new(&config, places);
    let outcome = tokio::select! {
        outcome = run(&config, options, &mut services, &mut family, begun) => outcome,
        () = stop_signal() => Ok(()),
    };
    let ending = Instant::now();
    family.end(Duration::from_secs(config.http.shutdown_grace_s) + END_MARGIN).await;
    services.stop().await;
    let _ = std::fs::remove_file(Running::path(&config.data_dir));
    line("everything stopped", ending.elapsed());
    outcome
}

async fn run(config: &Config, options: Options, services: &mut Services, family: &mut Family, begun: Instant) -> Result<(), LauncherError> {
    let migrated = database::migrate(&services.database_url).await?;
    line(&format!("schema: {} of {} migrations applied now", migrated.applied, migrated.total), migrated.took);
    for index in 0..family.members.len() {
        let started = Instant::now();
        family.start(index).await?;
        let member = &family.members[index];
        line(&format!("{} {}", member.name, member.ready.says()), started.elapsed());
    }
    family.write(config, services)?;
    if !options.no_seed {
        seed(config, services, family).await?;
    }
    welcome(config, begun.elapsed()).await;
    if options.until_ready {
        return Ok(());
    }
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let mut changed = family.watch().await?;
        for name in services.revive().await? {
            println!("{name} had died and was started again");
            changed = true;
        }
        if changed {
            family.write(config, services)?;
        }
    }
}

/// Runs the demo through the public API, once per database.
async fn seed(config: &Config, services: &Services, family: &Family) -> Result<(), LauncherError> {
    let marker = if services.private_database() {
        services.cluster_home().join("seeded")
    } else {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, database::masked(&config.database.url).as_bytes());
        config.data_dir.join(format!("seeded-{}", hex::encode(&digest.as_ref()[..8])))
    };
    if marker.exists() {
        return Ok(());
    }
    println!("first start: running the demo through the public API");
    let started = Instant::now();
    let mut command = family.command("seed")?;
    let status =
        command.kill_on_drop(true).status().await.map_err(|source| LauncherError::Run { program: "haodian seed".to_owned(), source })?;
    if !status.success() {
        return Err(LauncherError::SeedFailed { logs: config.data_dir.join("logs") });
    }
    state::write_new(&marker, b"").map_err(|e| LauncherError::file("write", &marker, e))?;
    line("demo ran", started.elapsed());
    Ok(())
}

async fn welcome(config: &Config, took: Duration) {
    let base = &config.http.public_url;
    println!("\n好店 is up after {:.1} s.", took.as_secs_f64());
    let demo = sample::Demo::read(&config.data_dir);
    if let Some(demo) = &demo
        && let Some(url) = sample::cashier_url(base, &demo.owner).await
    {
        println!("  cashier (a fresh order)  {url}");
    }
    println!("  review workbench         {base}/review");
    println!("  GraphiQL                 {base}/graphiql");
    println!("  logs                     {}", config.data_dir.join("logs").display());
    let owner = demo.map(|demo| format!("{} 演示商户", demo.owner));
    let logins: Vec<String> = owner.into_iter().chain(sample::LOGINS.map(|(code, who)| format!("{code} {who}"))).collect();
    println!("  login codes              {}", logins.join(" · "));
    println!("  stop with Ctrl-C\n");
}

/// Chooses the ports and tells the configuration what else follows from them.
fn place(config: &mut Config) -> Result<Places, LauncherError> {
    let http = port::choose(config.http.listen, Config::given("http.listen"), "http.listen")?;
    let sim = port::choose(config.sim.listen, Config::given("sim.listen"), "sim.listen")?;
    for (name, before, Choice { address, moved }) in [("pages and API", config.http.listen, http), ("sandbox", config.sim.listen, sim)] {
        if moved {
            println!("port {} is taken by another program: {name} on {} instead", before.port(), address.port());
        }
    }
    config.http.listen = http.address;
    config.sim.listen = sim.address;
    if !Config::given("http.public_url") {
        config.http.public_url = port::loopback_url(http.address);
    }
    if !Config::given("channel.sandbox_url") {
        config.channel.sandbox_url = port::loopback_url(sim.address);
    }
    let work = match config.work.listen() {
        Some(asked) => port::choose(asked, true, "work.listen")?.address,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, port::private(None)?)),
    };
    config.work.listen = work.to_string();
    Ok(Places { http: http.address, sim: sim.address, work })
}

#[derive(Clone, Copy, Debug)]
struct Places {
    http: SocketAddr,
    sim: SocketAddr,
    work: SocketAddr,
}

/// When a process counts as started.
#[derive(Clone, Debug)]
enum Ready {
    Listens(SocketAddr),
    Answers(String),
}

impl Ready {
    fn says(&self) -> String {
        match self {
            Self::Listens(address) => format!("listens on {address}"),
            Self::Answers(url) => format!("ready at {}", url.trim_end_matches("/readyz")),
        }
    }
}

#[derive(Debug)]
struct Member {
    name: &'static str,
    ready: Ready,
    log: PathBuf,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    again_at: Option<Instant>,
}

/// The processes of this binary, in the order they start.
#[derive(Debug)]
struct Family {
    members: Vec<Member>,
    environment: Vec<(&'static str, String)>,
    places: Places,
}

impl Family {
    fn new(config: &Config, places: Places) -> Self {
        let logs = config.data_dir.join("logs");
        let readyz = |at| Ready::Answers(format!("{}/readyz", port::loopback_url(at)));
        let member = |name, ready| Member {
            name,
            ready,
            log: logs.join(format!("{name}.log")),
            child: None,
            started: Instant::now(),
            pause: PAUSE_FIRST,
            again_at: None,
        };
        let environment = vec![
            ("DATABASE_URL", config.database.url.clone()),
            ("REDIS_URL", config.redis.url.clone()),
            ("HAODIAN_DATA_DIR", config.data_dir.display().to_string()),
            ("HAODIAN_HTTP__LISTEN", config.http.listen.to_string()),
            ("HAODIAN_HTTP__PUBLIC_URL", config.http.public_url.clone()),
            ("HAODIAN_SIM__LISTEN", config.sim.listen.to_string()),
            ("HAODIAN_CHANNEL__SANDBOX_URL", config.channel.sandbox_url.clone()),
            ("HAODIAN_WORK__LISTEN", config.work.listen.clone()),
            (SUPERVISED, std::process::id().to_string()),
        ];
        let members =
            vec![member("sim", Ready::Listens(places.sim)), member("serve", readyz(places.http)), member("work", readyz(places.work))];
        Self { members, environment, places }
    }

    /// This binary with a sub-command and our decisions in its environment.
    fn command(&self, name: &str) -> Result<Command, LauncherError> {
        let program = this_program()?;
        let mut command = Command::new(program);
        command.arg(name).envs(self.environment.iter().cloned());
        Ok(command)
    }

    /// Starts a member and waits until it is ready.
    async fn start(&mut self, index: usize) -> Result<(), LauncherError> {
        let log = self.members[index].log.clone();
        let mark = process::log_length(&log);
        self.spawn(index)?;
        let member = &mut self.members[index];
        let ready = member.ready.clone();
        let started = Instant::now();
        while !is_ready(&ready).await {
            if member.exited() {
                return Err(LauncherError::from_log(member.name, &log, &process::log_since(&log, mark)));
            }
            if started.elapsed() > READY_LIMIT {
                return Err(LauncherError::NoAnswer { program: member.name, seconds: READY_LIMIT.as_secs(), log });
            }
            tokio::time::sleep(READY_LOOK).await;
        }
        Ok(())
    }

    fn spawn(&mut self, index: usize) -> Result<(), LauncherError> {
        let log = self.members[index].log.clone();
        if let Some(logs) = log.parent() {
            std::fs::create_dir_all(logs).map_err(|e| LauncherError::file("create", logs, e))?;
        }
        let mut command = process::apart(&this_program()?, None, &log)?;
        command.arg(self.members[index].name).envs(self.environment.iter().cloned());
        let name = self.members[index].name;
        let child = command.spawn().map_err(|source| LauncherError::Run { program: format!("haodian {name}"), source })?;
        let member = &mut self.members[index];
        member.child = Some(child);
        member.started = Instant::now();
        member.again_at = None;
        Ok(())
    }

    /// Looks at every member; starts again what has died and paused long enough. True when something changed.
    async fn watch(&mut self) -> Result<bool, LauncherError> {
        let mut changed = false;
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            if let Some(at) = member.again_at {
                if Instant::now() >= at {
                    self.spawn(index)?;
                    changed = true;
                }
            } else if let Some(status) = member.exit() {
                if member.started.elapsed() > STEADY_AFTER {
                    member.pause = PAUSE_FIRST;
                }
                println!(
                    "{} ended ({status}); it starts again in {:.1} s (log: {})",
                    member.name,
                    member.pause.as_secs_f64(),
                    member.log.display()
                );
                member.again_at = Some(Instant::now() + member.pause);
                member.pause = (member.pause * 2).min(PAUSE_MAX);
            }
        }
        Ok(changed)
    }

    /// Asks each to end, the edge first, and waits; one that does not end in time is killed, and that is said.
    async fn end(&mut self, limit: Duration) {
        for name in ["serve", "work", "sim"] {
            let Some(member) = self.members.iter_mut().find(|member| member.name == name) else { continue };
            let Some(child) = &mut member.child else { continue };
            let Some(pid) = child.id() else { continue };
            process::signal(pid, Signal::TERM);
            if tokio::time::timeout(limit, child.wait()).await.is_err() {
                println!("{name} did not end within {} s and was killed (log: {})", limit.as_secs(), member.log.display());
                let _ = child.kill().await;
            }
        }
    }

    fn write(&self, config: &Config, services: &Services) -> Result<(), LauncherError> {
        let members = self.members.iter().filter_map(|member| Some((member.name, member.child.as_ref()?.id()?)));
        let running = Running {
            pid: std::process::id(),
            http: config.http.public_url.clone(),
            sim: port::loopback_url(self.places.sim),
            processes: services.pids().into_iter().chain(members).map(|(name, pid)| (name.to_owned(), pid)).collect(),
        };
        state::write(&Running::path(&config.data_dir), &running)
    }
}

impl Member {
    fn exit(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    fn exited(&mut self) -> bool {
        self.exit().is_some()
    }
}

async fn is_ready(ready: &Ready) -> bool {
    match ready {
        Ready::Listens(address) => TcpStream::connect(address).await.is_ok(),
        Ready::Answers(url) => reqwest::get(url).await.is_ok_and(|answer| answer.status().is_success()),
    }
}

/// Keeps a second `up` out of the same data folder while the file lives.
fn alone(data_dir: &Path) -> Result<File, LauncherError> {
    let path = data_dir.join("up.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| LauncherError::file("open", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let (pid, at) = Running::read(data_dir).map_or((0, String::new()), |running| (running.pid, format!(" at {}", running.http)));
            Err(LauncherError::AlreadyUp { pid, at })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(LauncherError::file("lock", &path, error)),
    }
}

fn this_program() -> Result<PathBuf, LauncherError> {
    std::env::current_exe().map_err(|source| LauncherError::Run { program: "haodian".to_owned(), source })
}

/// Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

fn line(text: &str, took: Duration) {
    println!("  {text}  [{:.1} s]", took.as_secs_f64());
}
