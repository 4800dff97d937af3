//! The launcher as a person meets it: private servers started, taken up and stopped; each failure one sentence and exit code 1.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use api::launcher::process::{Signal, runs, signal};
use api::launcher::supervisor::Running;
use tests::{Folder, Process, URL_VARIABLE, database, eventually, free_port, haodian_bin};

/// A start of servers and processes, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(90);

/// The binary with a data folder of its own, and nothing of the test run's environment.
fn haodian(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(haodian_bin());
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("HAODIAN_")) {
        command.env_remove(key);
    }
    for key in ["DATABASE_URL", "REDIS_URL"] {
        command.env_remove(key);
    }
    command.args(arguments).current_dir(data).env("HAODIAN_DATA_DIR", data).stdin(Stdio::null());
    command
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 1 and one sentence of ours; returns it.
fn refusal(output: &Output) -> String {
    let said = words(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.starts_with("haodian: ")).collect();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(ours.len(), 1, "one sentence: {said}");
    for never in ["panicked", "backtrace", "stack", "Error {"] {
        assert!(!said.contains(never), "{said}");
    }
    ours[0].to_owned()
}

fn postmaster(data: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data.join("postgres/data/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

#[test]
fn services_start_are_taken_up_by_a_second_start_and_stop_with_the_last_user() {
    let folder = Folder::new();
    // the inner start sees no DATABASE_URL, so it finds the running cluster by its folder
    let script = "outer=$DATABASE_URL; unset DATABASE_URL REDIS_URL
        \"$0\" services -- sh -c 'echo inner $DATABASE_URL'; echo outer $outer; exit 7";
    let output = haodian(folder.path(), &["services", "--", "sh", "-c", script]).arg(haodian_bin()).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "the command's own exit code: {}", words(&output.stderr));
    let said = words(&output.stderr);
    assert!(said.contains("started on 127.0.0.1:") && said.contains("already runs on 127.0.0.1:"), "{said}");
    let urls: Vec<String> = words(&output.stdout).lines().filter_map(|line| line.split(' ').nth(1).map(str::to_owned)).collect();
    assert!(urls.len() == 2 && urls[0] == urls[1], "both saw the same server");
    assert_eq!(postmaster(folder.path()), None, "it stopped with its last user");

    let again = haodian(folder.path(), &["services", "--", "sh", "-c", "echo outer $DATABASE_URL"]).output().unwrap();
    assert_eq!(words(&again.stdout).split_whitespace().nth(1), Some(urls[0].as_str()), "data, port and password are kept");
}

#[test]
fn servers_of_a_killed_process_are_taken_up_and_stopped_by_the_next() {
    let folder = Folder::new();
    let killed = haodian(folder.path(), &["services", "--", "sh", "-c", "kill -9 $PPID"]).output().unwrap();
    assert_eq!(killed.status.code(), None, "killed by a signal");
    let left = postmaster(folder.path()).expect("the cluster was left running");
    assert!(runs(left, "postgres"));
    let next = haodian(folder.path(), &["services", "--", "true"]).output().unwrap();
    assert!(next.status.success() && words(&next.stderr).contains("PostgreSQL 1"), "{}", words(&next.stderr));
    assert!(words(&next.stderr).contains("already runs"), "{}", words(&next.stderr));
    assert!(!runs(left, "postgres"), "the last user stopped it");
}

#[test]
fn a_cluster_that_was_killed_recovers_at_the_next_start() {
    let folder = Folder::new();
    let kill = "kill -9 $(head -n 1 postgres/data/postmaster.pid) $PPID";
    haodian(folder.path(), &["services", "--", "sh", "-c", kill]).output().unwrap();
    let next = haodian(folder.path(), &["services", "--", "true"]).output().unwrap();
    assert!(next.status.success(), "{}", words(&next.stderr));
}

#[test]
fn throw_away_services_leave_nothing_behind() {
    let folder = Folder::new();
    let output = haodian(folder.path(), &["services", "--fast", "--", "sh", "-c", "ls -d services-*"]).output().unwrap();
    assert!(output.status.success() && words(&output.stdout).starts_with("services-"), "{}", words(&output.stderr));
    let left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["keys"], "only the keys stay");
}

#[tokio::test]
async fn a_wrong_database_url_is_one_sentence_without_the_password() {
    let folder = Folder::new();
    let database = database().await;
    let (user_and_password, server) = database.url().trim_start_matches("postgres://").split_once('@').unwrap();
    let user = user_and_password.split(':').next().unwrap();
    let (server, _) = server.split_once('/').unwrap();
    let cases = [
        ("nonsense".to_owned(), "DATABASE_URL is not a PostgreSQL address"),
        (format!("postgres://{user}:s3cret@127.0.0.1:{}/x", free_port()), "refused the connection"),
        (format!("postgres://{user}:s3cret@{server}/postgres"), "wrong password or no right to log in"),
        (format!("postgres://{user_and_password}@{server}/no_such_database"), "has no database no_such_database"),
        (format!("postgres://{user}:s3cret@nowhere.invalid/x"), "the host nowhere.invalid in DATABASE_URL was not found"),
    ];
    for (url, expected) in &cases {
        for command in ["migrate", "serve", "work", "check"] {
            let output = haodian(folder.path(), &[command]).env("DATABASE_URL", url).output().unwrap();
            let sentence = refusal(&output);
            assert!(sentence.contains(expected), "{command}: {sentence}");
            assert!(!sentence.contains("s3cret"), "{command}: {sentence}");
        }
    }
    assert!(std::env::var(URL_VARIABLE).is_ok_and(|url| url.contains(server)), "the right address works: the test above used it");
}

#[test]
fn without_a_database_url_a_server_says_what_to_do() {
    let folder = Folder::new();
    for command in ["serve", "work"] {
        let sentence = refusal(&haodian(folder.path(), &[command]).output().unwrap());
        assert_eq!(sentence, "haodian: no database is named: set DATABASE_URL, or start everything with `haodian up`");
    }
}

#[tokio::test]
async fn a_taken_port_is_one_sentence() {
    let folder = Folder::new();
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = held.local_addr().unwrap();
    let up = haodian(folder.path(), &["up"]).env("HAODIAN_HTTP__LISTEN", taken.to_string()).output().unwrap();
    assert_eq!(
        refusal(&up),
        format!("haodian: port {} is taken by another program; stop that program, or give http.listen another port", taken.port())
    );
    assert_eq!(postmaster(folder.path()), None, "nothing was started");

    let database = database().await;
    api::launcher::keys::ensure(&folder.path().join("keys")).unwrap();
    for (command, key) in [("serve", "HAODIAN_HTTP__LISTEN"), ("sim", "HAODIAN_SIM__LISTEN")] {
        let output = haodian(folder.path(), &[command]).env("DATABASE_URL", database.url()).env(key, taken.to_string()).output().unwrap();
        let sentence = refusal(&output);
        assert!(sentence.contains(&taken.to_string()), "{command}: {sentence}");
    }
}

#[test]
fn a_missing_tool_is_one_sentence_with_the_remedy() {
    let folder = Folder::new();
    let services = haodian(folder.path(), &["services", "--", "true"]).env("PG_BIN_DIR", "/nonexistent").output().unwrap();
    assert!(refusal(&services).contains("/nonexistent has no initdb and postgres in it; point PG_BIN_DIR at"));
    let command = haodian(folder.path(), &["services", "--fast", "--", "no-such-program"]).output().unwrap();
    assert!(refusal(&command).starts_with("haodian: could not run no-such-program"));

    let doctor = haodian(folder.path(), &["doctor"]).env("PG_BIN_DIR", "/nonexistent").output().unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    let said = words(&doctor.stdout);
    let line = said.lines().position(|line| line.starts_with("MISSING  PostgreSQL")).unwrap_or_else(|| panic!("{said}"));
    assert!(said.lines().nth(line + 1).unwrap().contains("repair: "), "{said}");
}

#[test]
fn a_key_that_does_not_exist_is_one_sentence() {
    let folder = Folder::new();
    let sentence = refusal(&haodian(folder.path(), &["doctor"]).env("HAODIAN_HTTP__LISTENN", "127.0.0.1:1").output().unwrap());
    assert!(sentence.contains("listenn"), "{sentence}");
    let sentence = refusal(&haodian(folder.path(), &["doctor"]).env("HAODIAN_CONFIG", "/nonexistent.toml").output().unwrap());
    assert!(sentence.contains("/nonexistent.toml"), "{sentence}");
}

#[tokio::test]
async fn up_starts_everything_brings_back_what_dies_and_stops_it_all() {
    let folder = Folder::new();
    let data = folder.path();
    let log = data.join("up.log");
    let mut command = haodian(data, &["up", "--no-seed"]);
    command
        .env("HAODIAN_HTTP__LISTEN", format!("127.0.0.1:{}", free_port()))
        .env("HAODIAN_SIM__LISTEN", format!("127.0.0.1:{}", free_port()))
        .env("HAODIAN_DOCUMENTS__MODELS_DIR", tests::repository().join("models/cache"));
    let mut up = Process::spawn("up", &mut command, &log);
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually(START, "it is up", async || {
        assert!(up.ended().is_none(), "{}", said());
        said().contains("好店 is up").then_some(())
    })
    .await;
    let first = Running::read(data).expect("it says what runs");
    let ready = async || reqwest::get(format!("{}/readyz", first.http)).await.is_ok_and(|answer| answer.status().is_success());
    assert!(ready().await);
    assert!(["postgres", "sim", "serve", "work"].iter().all(|name| first.processes.contains_key(*name)), "{first:?}");

    let second = haodian(data, &["up"]).output().unwrap();
    assert!(refusal(&second).contains(&format!("already running here (process {})", up.id())));

    for name in ["serve", "postgres"] {
        let before = first.processes[name];
        signal(before, Signal::KILL);
        eventually(START, name, async || {
            let now = Running::read(data)?.processes.get(name).copied()?;
            (now != before && ready().await).then_some(())
        })
        .await;
    }
    let last = Running::read(data).unwrap();
    assert!(up.stop(START).success(), "{}", said());
    for (name, pid) in &last.processes {
        assert!(!runs(*pid, ""), "{name} still runs");
    }
    assert!(Running::read(data).is_none());
    assert!(!said().contains("was killed"), "each ended by itself: {}", said());
}
