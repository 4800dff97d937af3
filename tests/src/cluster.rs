//! A PostgreSQL cluster of one test's own, durable, that the test may kill.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use api::launcher::account;
use api::launcher::cluster::{Cluster, Durability, home};

use crate::Folder;

/// The cluster; killed and removed with the value.
#[derive(Debug)]
pub struct PrivateCluster {
    cluster: Option<Cluster>,
    home: PathBuf,
    folder: Folder,
}

impl PrivateCluster {
    /// Initialises and starts it, with fsync on.
    pub async fn start() -> Self {
        let folder = Folder::new();
        let account = account::for_servers().expect("there is an account for servers");
        let home = home(folder.path(), account);
        let mut cluster = Self { cluster: None, home, folder };
        cluster.start_again().await;
        cluster
    }

    /// The owner's URL of the database in which new ones are created.
    pub fn admin_url(&self) -> String {
        self.cluster.as_ref().expect("the cluster runs").url("postgres")
    }

    /// `kill -9` of the postmaster and of every process of its own: nothing is written after this.
    pub fn kill9(&mut self) {
        let Some(cluster) = self.cluster.take() else { return };
        let mut pids = vec![cluster.pid()];
        pids.extend(children(cluster.pid()));
        for pid in pids {
            // a backend may have ended by itself meanwhile
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// Starts it on the same port; what was committed is recovered.
    pub async fn start_again(&mut self) {
        let account = account::for_servers().expect("there is an account for servers");
        // the version that the run is on, or the newest that is installed
        let bin_dir = std::env::var_os("PG_BIN_DIR").map(PathBuf::from).unwrap_or_default();
        let started = Cluster::start(&self.home, &bin_dir, account, Durability::Full).await;
        self.cluster = Some(started.unwrap_or_else(|e| panic!("PostgreSQL cannot be started in {}: {e}", self.folder.path().display())));
    }
}

impl Drop for PrivateCluster {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.home.join("postgres.log")).unwrap_or_default();
            eprintln!("--- PostgreSQL\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Processes whose parent is `parent`.
fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").expect("/proc is mounted").flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // pid (name) state ppid …; the name may hold anything
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
