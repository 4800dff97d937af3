//! Child processes of a test: output to a file, killed with the value.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// One running process of the system.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts it, its output appended to `log`.
    pub fn spawn(name: &'static str, command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("the log can be opened");
        let errors = log.try_clone().expect("the log can be opened twice");
        let child =
            command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        Self { name, child }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// `kill -9`, and the body is collected.
    pub fn kill9(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Asks it to stop and waits; its own exit status.
    ///
    /// # Panics
    /// When it has not ended within `limit`.
    pub fn stop(mut self, limit: Duration) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill(1) is there");
        assert!(sent.success() || self.ended().is_some(), "{} could not be signalled", self.name);
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < limit, "{} was asked to stop and had not after {limit:?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test: `HAODIAN_BIN`, or the one beside the test executable.
///
/// # Panics
/// With one sentence when it is missing or older than the sources, since a test of yesterday's binary proves nothing.
pub fn haodian_bin() -> PathBuf {
    if let Ok(given) = std::env::var("HAODIAN_BIN") {
        return PathBuf::from(given);
    }
    let exe = std::env::current_exe().expect("a test knows its own path");
    let bin = exe.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").join("haodian");
    let built = modified(&bin).unwrap_or_else(|| panic!("{} is missing; run `cargo build -p api` first", bin.display()));
    for folder in ["api/src", "api/migrations", "wallet/src", "merchant/src", "ai/src"] {
        if let Some(newer) = newer_than(&crate::repository().join(folder), built) {
            panic!("{} is newer than {}; run `cargo build -p api` first", newer.display(), bin.display());
        }
    }
    bin
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|m| m.modified()).ok()
}

fn newer_than(folder: &Path, built: SystemTime) -> Option<PathBuf> {
    let entries = folder.read_dir().ok()?;
    entries
        .flatten()
        .map(|e| e.path())
        .find_map(|path| if path.is_dir() { newer_than(&path, built) } else { modified(&path).filter(|m| *m > built).map(|_| path) })
}

/// A loopback port that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A folder of its own under the system's temporary one, removed with the value.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("haodian-test-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
