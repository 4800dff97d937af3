//! The running system of one test: `haodian sim`, `serve` and `work` as real processes on a database of their own.
//!
//! [`TestApp::finish`] ends every test: nothing left due, an orderly stop, the ledger checker content, nothing panicked.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use sqlx::PgPool;

use crate::process::{Folder, Process, free_port, haodian_bin};
use crate::{TestDatabase, database, eventually};

/// Longest a process may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Longest the queue may take to empty.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
/// Longest an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Lines of each log shown when a test fails.
const LOG_LINES: usize = 60;

/// The processes of one test.
#[derive(Debug)]
pub struct TestApp {
    http: reqwest::Client,
    url: String,
    sim_url: String,
    processes: Mutex<Processes>,
    settings: Vec<(String, String)>,
    /// What no log may hold: tokens and account numbers that this test used.
    secrets: Mutex<Vec<String>>,
    finished: bool,
    // The folder and the database go after the processes.
    folder: Folder,
    database: TestDatabase,
}

#[derive(Debug, Default)]
struct Processes {
    sim: Option<Process>,
    serve: Option<Process>,
    work: Option<Process>,
}

/// Copies one set of keys, made once for all tests: two dozen RSA keys take seconds.
pub fn lay_keys(to: &Path) {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let folder = crate::repository().join("target/tmp/keys");
        api::launcher::keys::ensure(&folder).expect("keys can be made");
        folder
    });
    for folder in ["", "sim"] {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(to.join(folder)).expect("the folder can be made");
        for entry in std::fs::read_dir(made.join(folder)).expect("the keys can be listed") {
            let from = entry.expect("a key can be listed").path();
            if let Some(name) = from.file_name().filter(|_| from.is_file()) {
                std::fs::copy(&from, to.join(folder).join(name)).expect("a key can be copied");
            }
        }
    }
}

impl TestApp {
    /// Starts everything on a fresh database.
    pub async fn start() -> Self {
        Self::start_on(database().await, &[]).await
    }

    /// Starts everything on the given database, with more settings for each process, e.g. `("HAODIAN_CHANNEL__QUERY_AFTER_MS", "300")`.
    pub async fn start_on(database: TestDatabase, more: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        lay_keys(&folder.path().join("keys"));
        let (http, sim) = (free_port(), free_port());
        let url = format!("http://127.0.0.1:{http}");
        let sim_url = format!("http://127.0.0.1:{sim}");
        // An empty file, so that none in the working folder counts.
        let config = folder.path().join("haodian.toml");
        std::fs::write(&config, "").expect("the folder can be written");
        let mut settings = vec![
            ("HAODIAN_CONFIG".to_owned(), config.display().to_string()),
            ("HAODIAN_DATA_DIR".to_owned(), folder.path().display().to_string()),
            ("HAODIAN_HTTP__LISTEN".to_owned(), format!("127.0.0.1:{http}")),
            ("HAODIAN_HTTP__PUBLIC_URL".to_owned(), url.clone()),
            ("HAODIAN_DATABASE__CONNECTIONS_MAX".to_owned(), "8".to_owned()),
            ("HAODIAN_CHANNEL__SANDBOX_URL".to_owned(), sim_url.clone()),
            ("HAODIAN_CHANNEL__QUERY_AFTER_MS".to_owned(), "2000".to_owned()),
            ("HAODIAN_SIM__LISTEN".to_owned(), format!("127.0.0.1:{sim}")),
            ("HAODIAN_DOCUMENTS__MODELS_DIR".to_owned(), crate::repository().join("models/cache").display().to_string()),
            ("HAODIAN_DOCUMENTS__WORKERS".to_owned(), "1".to_owned()),
            // which papers are sampled hangs on their ids: tests that want samples ask for all
            ("HAODIAN_DOCUMENTS__AUDIT_BPS".to_owned(), "0".to_owned()),
            ("HAODIAN_LOG__FORMAT".to_owned(), "json".to_owned()),
            ("DATABASE_URL".to_owned(), database.url().to_owned()),
            ("REDIS_URL".to_owned(), redis_url()),
        ];
        settings.extend(more.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())));
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client can be made");
        let app = Self {
            http: client,
            url,
            sim_url,
            processes: Mutex::default(),
            settings,
            secrets: Mutex::default(),
            finished: false,
            folder,
            database,
        };
        app.start_all().await;
        app
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the simulator is.
    pub fn sim_url(&self) -> &str {
        &self.sim_url
    }

    /// The data folder: keys, files, logs.
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The database with the application's rights.
    pub fn db(&self) -> &PgPool {
        self.database.pool()
    }

    /// The database with the owner's rights.
    pub fn owner_db(&self) -> &PgPool {
        self.database.owner_pool()
    }

    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// A command of the binary with this system's settings, e.g. `command("check")`.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(haodian_bin());
        // The environment of the test run must not leak into the system under test.
        for (key, _) in std::env::vars().filter(|(k, _)| k.starts_with("HAODIAN_")) {
            command.env_remove(key);
        }
        command.arg(name).envs(self.settings.iter().map(|(k, v)| (k, v))).current_dir(crate::repository());
        command
    }

    pub async fn start_all(&self) {
        self.start_sim().await;
        self.start_serve().await;
        self.start_work().await;
    }

    pub async fn start_sim(&self) {
        let process = self.spawn("sim");
        self.processes().sim = Some(process);
        self.until_up("sim", &self.sim_url).await;
    }

    pub async fn start_serve(&self) {
        let process = self.spawn("serve");
        self.processes().serve = Some(process);
        self.until_up("serve", &format!("{}/readyz", self.url)).await;
    }

    pub async fn start_work(&self) {
        let lines = self.log_lines("work");
        let process = self.spawn("work");
        self.processes().work = Some(process);
        // It has no address to ask at; before its first line it could not be stopped in good order.
        eventually(START_LIMIT, "work says that it works", async || (self.log_lines("work") > lines).then_some(())).await;
    }

    /// A second server of the same system, with its address. Whoever asks for it stops it.
    pub async fn another_server(&self) -> (Process, String) {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = self.command("serve");
        command.env("HAODIAN_HTTP__LISTEN", &address);
        let process = Process::spawn("serve", &mut command, &self.folder.path().join("another.log"));
        let url = format!("http://{address}");
        eventually(START_LIMIT, "the other server is ready", async || {
            let answer = self.http.get(format!("{url}/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        (process, url)
    }

    /// `kill -9` of the server: no goodbye to clients, database or queue.
    pub fn kill9_serve(&self) {
        let process = self.processes().serve.take();
        process.expect("the server runs").kill9();
    }

    /// `kill -9` of the worker.
    pub fn kill9_work(&self) {
        let process = self.processes().work.take();
        process.expect("the worker runs").kill9();
    }

    /// Stops the worker in good order; what it has begun it finishes.
    pub async fn stop_work(&self) {
        let process = self.processes().work.take();
        stop("work", process).await;
    }

    /// Stops everything in good order, those who send before those who answer.
    ///
    /// # Panics
    /// When a process does not end well.
    pub async fn stop_all(&self) {
        let Processes { sim, serve, work } = std::mem::take(&mut *self.processes());
        stop("work", work).await;
        stop("serve", serve).await;
        stop("sim", sim).await;
    }

    /// Kills the server and starts it again on the same port.
    pub async fn restart_serve(&self) {
        self.kill9_serve();
        self.start_serve().await;
    }

    /// Waits until nothing is under way any more: no job due, no notice waiting, every refund and withdrawal at its end, or with a person.
    pub async fn drained(&self) {
        eventually(DRAIN_LIMIT, "nothing is under way any more", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT (SELECT count(*) FROM jobs WHERE state = 'READY' AND run_at <= now())
                      + (SELECT count(*) FROM notices WHERE processed_at IS NULL)
                      + (SELECT count(*) FROM refunds WHERE status IN ('FUNDED', 'SENT', 'UNKNOWN'))
                      + (SELECT count(*) FROM withdrawals WHERE status IN ('HELD', 'SUBMITTED', 'UNKNOWN', 'RETURNED'))",
            )
            .fetch_one(self.owner_db())
            .await
            .ok()?;
            (waiting == 0).then_some(())
        })
        .await;
    }

    /// Runs `haodian check`: whether it was content, and what it printed.
    pub async fn check(&self) -> (bool, String) {
        let mut command = self.command("check");
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("check runs").expect("check can be started");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Ends the test: queue empty, orderly stop, books in order, nothing panicked, nothing secret in a log.
    ///
    /// # Panics
    /// When one of these does not hold.
    pub async fn finish(mut self) {
        self.drained().await;
        let dead: Vec<(String, Option<String>)> = sqlx::query_as("SELECT kind, last_error FROM jobs WHERE state = 'DEAD'")
            .fetch_all(self.owner_db())
            .await
            .expect("jobs can be read");
        assert!(dead.is_empty(), "jobs died: {dead:?}");
        self.stop_all().await;
        let (content, text) = self.check().await;
        assert!(content, "haodian check found:\n{text}");
        for (name, log) in self.logs() {
            assert!(!log.contains("panicked at"), "{name} panicked");
            for secret in self.secrets.lock().expect("nobody panics while holding this").iter() {
                assert!(!log.contains(secret), "the log of {name} holds {secret}");
            }
        }
        self.finished = true;
    }

    /// Remembers what no log may hold; [`Self::finish`] looks.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.lock().expect("nobody panics while holding this").push(secret.to_owned());
    }

    /// The logs so far, by process.
    pub fn logs(&self) -> Vec<(&'static str, String)> {
        ["sim", "serve", "work"].map(|name| (name, std::fs::read_to_string(self.log(name)).unwrap_or_default())).into()
    }

    fn spawn(&self, name: &'static str) -> Process {
        Process::spawn(name, &mut self.command(name), &self.log(name))
    }

    fn log_lines(&self, name: &str) -> usize {
        std::fs::read_to_string(self.log(name)).map_or(0, |log| log.lines().count())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    fn processes(&self) -> std::sync::MutexGuard<'_, Processes> {
        self.processes.lock().expect("nobody panics while holding this")
    }

    async fn until_up(&self, name: &str, url: &str) {
        eventually(START_LIMIT, &format!("{name} answers at {url}"), async || {
            let ended = {
                let mut processes = self.processes();
                let process = if name == "sim" { &mut processes.sim } else { &mut processes.serve };
                process.as_mut().and_then(Process::ended)
            };
            if let Some(status) = ended {
                panic!("{name} ended with {status} instead of serving");
            }
            let answer = self.http.get(url).send().await.ok()?;
            // the simulator has no page at its root: that it answers is enough
            (name == "sim" || answer.status().is_success()).then_some(())
        })
        .await;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.finished, "a test must end with app.finish().await");
            return;
        }
        for (name, log) in self.logs() {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {name}, last lines");
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                eprintln!("{line}");
            }
        }
    }
}

async fn stop(name: &'static str, process: Option<Process>) {
    let Some(process) = process else { return };
    let status = tokio::task::spawn_blocking(move || process.stop(STOP_LIMIT)).await.expect("a stop ends");
    assert!(status.success(), "{name} ended with {status}");
}

fn redis_url() -> String {
    ["HAODIAN_TEST_REDIS_URL", "REDIS_URL"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()))
        .unwrap_or_else(|| panic!("HAODIAN_TEST_REDIS_URL is not set; run `make test`, or `haodian services -- cargo test -p tests`"))
}
