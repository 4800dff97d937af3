//! The server a bench runs on: a private cluster of its own with durability on, or databases of its own on the server that was given.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sqlx::PgConnection;
use sqlx::migrate::MigrateDatabase;
use wallet::base::db;

use super::repo::{self, Counters};
use crate::config::Config;
use crate::launcher::account;
use crate::launcher::cluster::{self, Cluster, Durability};
use crate::launcher::database;

/// Figures without these would mean nothing.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];
/// What else figures depend on.
const TOLD: [&str; 5] = ["server_version", "shared_buffers", "max_wal_size", "checkpoint_timeout", "wal_compression"];

/// Where the databases of a bench lie.
pub(crate) struct Server {
    /// None: the server was given.
    own: Option<(Cluster, PathBuf)>,
    /// An address on it. Secret.
    url: String,
    databases: usize,
}

impl Server {
    /// Starts a private cluster in a folder of its own, unless a server is configured.
    pub(crate) async fn start(config: &Config) -> Result<Self> {
        if !config.database.url.is_empty() {
            return Ok(Self { own: None, url: config.database.url.clone(), databases: 0 });
        }
        let folder = config.data_dir.join(format!("bench-{}", std::process::id()));
        let account = account::for_servers()?;
        // the server's account passes through it; what is secret inside has a mode of its own
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&folder).context("the bench's folder could not be made")?;
        let home = cluster::home(&folder, account);
        let started = async || Cluster::start(&home, &config.database.bin_dir, account, Durability::Full).await;
        let prepared = async {
            let cluster = started().await?;
            let mut connection = database::open(&cluster.url("postgres")).await?;
            let counts = repo::preload_statements(&mut connection).await?;
            drop(connection);
            if !counts {
                return anyhow::Ok(cluster);
            }
            // the counters are loaded when a server starts
            cluster.stop().await;
            Ok(started().await?)
        };
        match prepared.await {
            Ok(cluster) => Ok(Self { url: cluster.url("postgres"), own: Some((cluster, folder)), databases: 0 }),
            Err(error) => {
                remove(&folder);
                Err(error).context("the bench's own PostgreSQL could not be started")
            }
        }
    }

    /// The process of its own PostgreSQL.
    pub(crate) fn postmaster(&self) -> Option<u32> {
        self.own.as_ref().map(|(cluster, _)| cluster.pid())
    }

    /// A new, migrated database.
    pub(crate) async fn database(&mut self) -> Result<Database> {
        self.databases += 1;
        let url = with_database(&self.url, &format!("haodian_bench_{}_{}", std::process::id(), self.databases))?;
        sqlx::Postgres::create_database(&url).await.context("the bench's own database could not be created")?;
        match Database::open(url.clone()).await {
            Ok(database) => Ok(database),
            Err(error) => {
                let _ = sqlx::Postgres::force_drop_database(&url).await;
                Err(error)
            }
        }
    }

    /// Leaves nothing behind: what is left of its databases goes, and its own cluster with them.
    pub(crate) async fn stop(self) {
        if let Some((cluster, folder)) = self.own {
            cluster.stop().await;
            remove(&folder);
            return;
        }
        for number in 1..=self.databases {
            if let Ok(url) = with_database(&self.url, &format!("haodian_bench_{}_{number}", std::process::id())) {
                let _ = sqlx::Postgres::force_drop_database(&url).await;
            }
        }
    }
}

fn remove(folder: &Path) {
    if let Ok(account) = account::for_servers() {
        let _ = std::fs::remove_dir_all(cluster::home(folder, account));
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// A database of a bench.
pub(crate) struct Database {
    /// Its owner's address. Secret.
    pub url: String,
    /// As the services see it.
    pub pool: sqlx::PgPool,
    /// As its owner.
    owner: PgConnection,
    counts_statements: bool,
}

impl Database {
    async fn open(url: String) -> Result<Self> {
        database::migrate(&url).await?;
        let mut owner = database::open(&url).await?;
        let counts_statements = repo::count_statements(&mut owner).await?;
        let pool = db::connect(&url, CONNECTIONS).await?;
        Ok(Self { url, pool, owner, counts_statements })
    }

    pub(crate) async fn counters(&mut self) -> Result<Counters> {
        Ok(repo::counters(&mut self.owner, self.counts_statements).await?)
    }

    pub(crate) async fn entries(&mut self) -> Result<i64> {
        Ok(repo::entries(&mut self.owner).await?)
    }

    /// After loading, before measuring.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        Ok(repo::settle(&mut self.owner).await?)
    }

    /// What figures depend on; an error when the server is not durable.
    pub(crate) async fn settings(&mut self) -> Result<serde_json::Value> {
        let found = repo::settings(&mut self.owner, &[&DURABLE[..], &TOLD[..]].concat()).await?;
        for (name, value) in &found {
            ensure!(!DURABLE.contains(&name.as_str()) || value == "on", "{name} is {value}: figures without durability mean nothing");
        }
        Ok(found.into_iter().collect())
    }

    pub(crate) async fn drop(self) -> Result<()> {
        self.pool.close().await;
        drop(self.owner);
        sqlx::Postgres::force_drop_database(&self.url).await.context("the bench's own database could not be dropped")
    }
}

/// Connections of a pool: as many as a server process of 好店 takes unless told otherwise.
const CONNECTIONS: u32 = 16;

/// The address of another database on the same server.
fn with_database(url: &str, name: &str) -> Result<String> {
    let (address, options) = url.split_once('?').map_or((url, None), |(address, options)| (address, Some(options)));
    let (scheme, rest) = address.split_once("://").context("DATABASE_URL is not a PostgreSQL address")?;
    let server = rest.split_once('/').map_or(rest, |(server, _)| server);
    Ok(match options {
        Some(options) => format!("{scheme}://{server}/{name}?{options}"),
        None => format!("{scheme}://{server}/{name}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_our_own_lies_on_the_given_server() {
        let cases = [
            ("postgres://u:p@h:1/d", "postgres://u:p@h:1/ours"),
            ("postgres://u:p@h", "postgres://u:p@h/ours"),
            ("postgresql://u@h/d?sslmode=disable", "postgresql://u@h/ours?sslmode=disable"),
        ];
        for (url, expected) in cases {
            assert_eq!(with_database(url, "ours").unwrap(), expected);
        }
        assert!(with_database("nonsense", "ours").is_err());
    }
}
