//! Processes: start one in its own group, signal it, wait for it, and find what it said last.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Pid;
pub use rustix::process::Signal;
use tokio::process::Command;

use super::LauncherError;
use super::account::Account;

/// How much of a log is read for the reason of a failure.
const TAIL_BYTES: u64 = 8 * 1024;
/// A log that has grown past this is set aside when its program starts.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often a condition is looked at while waiting for it.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A command that runs apart from our terminal's signals, as `account` when given (its supplementary groups are dropped then).
pub fn apart(program: &Path, account: Option<Account>, log: &Path) -> Result<Command, LauncherError> {
    let out = open_log(log)?;
    let err = out.try_clone().map_err(|e| LauncherError::file("open", log, e))?;
    let mut command = Command::new(program);
    command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err);
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

/// Opens a log to append to, after setting a large one aside as `NAME.old`.
pub fn open_log(log: &Path) -> Result<File, LauncherError> {
    if log.metadata().is_ok_and(|of| of.len() > LOG_BYTES_MAX) {
        std::fs::rename(log, log.with_extension("log.old")).map_err(|e| LauncherError::file("set aside", log, e))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o640).open(log).map_err(|e| LauncherError::file("open", log, e))
}

/// How long a log is now: what comes after belongs to the program about to start.
pub fn log_length(log: &Path) -> u64 {
    log.metadata().map_or(0, |of| of.len())
}

/// What a log says after `from`, at most its last few lines.
pub fn log_since(log: &Path, from: u64) -> String {
    let Ok(mut file) = File::open(log) else { return String::new() };
    let length = log_length(log);
    let start = from.min(length).max(length.saturating_sub(TAIL_BYTES));
    let mut bytes = Vec::new();
    match file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Sends a signal. A process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Whether process `pid` runs (and is not a zombie) under a name that begins with `name`.
pub fn runs(pid: u32, name: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    matches!(name_and_state(&stat), Some((found, state)) if found.starts_with(name) && state != 'Z' && state != 'X')
}

/// The name and the state letter in a line of `/proc/PID/stat`; the name may hold spaces and brackets.
fn name_and_state(stat: &str) -> Option<(&str, char)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    Some((name, after.trim_start().chars().next()?))
}

/// Waits until `pid` has gone; false when it still runs after `limit`.
pub async fn gone(pid: u32, name: &str, limit: Duration) -> bool {
    let started = Instant::now();
    while runs(pid, name) {
        if started.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}

/// The first file called `name` in the folders of PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A folder for one test.
#[cfg(test)]
pub fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("haodian-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_and_zombies_are_told_apart() {
        let cases =
            [("7 (postgres) S 1 7 7", Some(("postgres", 'S'))), ("7 (a (b) c) Z 1 7", Some(("a (b) c", 'Z'))), ("7", None), ("", None)];
        for (line, expected) in cases {
            assert_eq!(name_and_state(line), expected, "{line}");
        }
    }

    #[test]
    fn only_what_a_log_says_after_the_mark_is_read() {
        let dir = scratch("log");
        let log = dir.join("x.log");
        assert_eq!(log_since(&log, 0), "");
        std::fs::write(&log, "before\n").unwrap();
        let mark = log_length(&log);
        std::fs::write(&log, "before\nafter\n").unwrap();
        assert_eq!(log_since(&log, mark), "after\n");
        assert_eq!(log_since(&log, 1_000), "");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn this_process_runs_and_no_process_is_number_zero() {
        assert!(runs(std::process::id(), ""));
        assert!(!runs(0, ""));
        assert!(!runs(std::process::id(), "another-name"));
    }
}
