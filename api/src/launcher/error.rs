//! Why something could not be started: one sentence each, with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The line that installs PostgreSQL and Redis on Debian, with a cluster of its own kept from starting.
pub const INSTALL: &str = "scripts/setup --packages as root";

/// A start that failed. The cause is in the chain, never in the text.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    #[error("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or PATH; run {INSTALL}, or set DATABASE_URL")]
    NoPostgres,
    #[error("{} has no initdb and postgres in it; point PG_BIN_DIR at the bin folder of PostgreSQL 15 to 18", dir.display())]
    NoPostgresIn { dir: PathBuf },
    #[error(
        "the data in {} was made by PostgreSQL {made_by}, which is not installed; install postgresql-{made_by}, or move that folder away",
        data.display()
    )]
    OtherMajor { data: PathBuf, made_by: u32 },
    #[error("PostgreSQL {major} is not supported; install one of 15 to 18")]
    UnsupportedMajor { major: u32 },
    #[error("PostgreSQL refuses to run as root, and neither user postgres nor nobody exists; create one")]
    NoAccount,
    #[error("no space is left on the disk of {}; free some and start again", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} may not be read or written by this user; change its owner, or set HAODIAN_DATA_DIR", path.display())]
    Permission { path: PathBuf },
    #[error("port {port} is taken by another program; {remedy}")]
    PortTaken { port: u16, remedy: String },
    #[error("no free port from {first} to {last}; set {key}")]
    NoFreePort { first: u16, last: u16, key: &'static str },
    #[error("{program} did not start: {reason} (log: {})", log.display())]
    DidNotStart { program: &'static str, reason: String, log: PathBuf },
    #[error("{program} did not answer within {seconds} s (log: {})", log.display())]
    NoAnswer { program: &'static str, seconds: u64, log: PathBuf },
    #[error("the password file {} is missing; move {} away and start again", password.display(), home.display())]
    PasswordLost { password: PathBuf, home: PathBuf },
    #[error("haodian up is already running here (process {pid}){at}; stop it first, or set HAODIAN_DATA_DIR for a second one")]
    AlreadyUp { pid: u32, at: String },
    #[error("the demo did not run to its end (its words are above; logs: {}); start again to repeat it, or use --no-seed", logs.display())]
    SeedFailed { logs: PathBuf },
    #[error("haodian up is for development and demonstration; in production start `haodian serve` and `haodian work`")]
    NotInProduction,
    #[error("no database is named: set DATABASE_URL, or start everything with `haodian up`")]
    NoDatabaseUrl,
    #[error("the key file {} is damaged; restore it from a backup, or delete it when this is only a demonstration", path.display())]
    BadKey { path: PathBuf },
    #[error("the system gave no random bytes")]
    Random,
    #[error("could not {doing} {}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not run {program}")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("the private database could not be used")]
    Database(#[from] super::database::DatabaseError),
}

impl LauncherError {
    /// A failed file operation, with the two cases that have a remedy of their own told apart.
    pub fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Permission { path: path.to_owned() },
            _ => Self::File { doing, path: path.to_owned(), source },
        }
    }

    /// What a program's own last words mean.
    pub fn from_log(program: &'static str, log: &Path, words: &str) -> Self {
        if words.contains("No space left on device") || words.contains("Disk quota exceeded") {
            return Self::DiskFull { path: log.to_owned() };
        }
        Self::DidNotStart { program, reason: reason(words), log: log.to_owned() }
    }
}

/// The line of a log that says why: the last one marked as an error, else the last one.
fn reason(words: &str) -> String {
    let marked = ["FATAL:", "PANIC:", "error:", "Error:", "ERROR"];
    let lines = || words.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines().find(|line| marked.iter().any(|mark| line.contains(mark))).or_else(|| lines().next()).unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_line_marked_as_an_error() {
        let cases = [
            ("LOG: starting\nFATAL:  could not map memory\nLOG: shut down\n", "FATAL:  could not map memory"),
            ("initdb: error: directory exists\n\n", "initdb: error: directory exists"),
            ("one\ntwo\n", "two"),
            ("", "it said nothing"),
        ];
        for (words, expected) in cases {
            assert_eq!(reason(words), expected, "{words:?}");
        }
    }

    #[test]
    fn a_full_disk_is_said_as_such() {
        let log = Path::new("/x/postgres.log");
        let error = LauncherError::from_log("PostgreSQL", log, "FATAL:  could not write: No space left on device\n");
        assert!(error.to_string().starts_with("no space is left on the disk of /x/postgres.log"), "{error}");
        let error = LauncherError::file("write", log, io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(error, LauncherError::DiskFull { .. }));
    }
}
