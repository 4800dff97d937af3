//! Configuration: built-in values, then `haodian.toml`, then environment variables `HAODIAN_SECTION__KEY`; `DATABASE_URL` and
//! `REDIS_URL` as the world spells them. Every key is described in `haodian.example.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

/// Everything a process of 好店 can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `development` opens the code login, GraphiQL and the sandbox clock; `production` refuses to start with any of them.
    pub environment: Environment,
    /// Where private data lies: cluster, keys, files, journals.
    pub data_dir: PathBuf,
    pub http: Http,
    pub database: Database,
    pub redis: Redis,
    pub channel: Channel,
    pub sim: Sim,
    pub documents: Documents,
    pub log: Log,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    Development,
    Production,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// How the outside reaches this server; cashier links and notice addresses begin with it.
    pub public_url: String,
    /// Seconds an operation may run before it is cancelled.
    pub operation_timeout_s: u64,
    /// Seconds accepted work may take to finish after a stop signal.
    pub shutdown_grace_s: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// PostgreSQL 15 to 18. Empty: the launcher starts a private cluster.
    pub url: String,
    pub connections_max: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Empty: the in-process twin serves cache, limits and fan-out of this one process.
    pub url: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// The sandbox acquirer's and bank's base URL.
    pub sandbox_url: String,
    /// Our merchant number at the sandbox.
    pub merchant_no: String,
    /// Milliseconds to wait for a channel's answer; after that the attempt is UNKNOWN and is asked for.
    pub timeout_ms: u64,
    /// Milliseconds after which a payment without a notice is asked for.
    pub query_after_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sim {
    /// Address the simulator listens on.
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// Folder with the ONNX models and ONNX Runtime, filled by `models/fetch.sh`.
    pub models_dir: PathBuf,
    /// Pages read at the same time.
    pub workers: usize,
    /// Whether a specimen mark (样本) is overlooked. Never in production.
    pub allow_specimen: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A filter such as `info,sqlx=warn`.
    pub filter: String,
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        Self {
            environment: Environment::Development,
            data_dir: here.join(".data"),
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                public_url: "http://127.0.0.1:8080".to_owned(),
                operation_timeout_s: 10,
                shutdown_grace_s: 20,
            },
            database: Database { url: String::new(), connections_max: 16 },
            redis: Redis { url: String::new() },
            channel: Channel {
                sandbox_url: "http://127.0.0.1:8090".to_owned(),
                merchant_no: "1900000001".to_owned(),
                timeout_ms: 3_000,
                query_after_ms: 5_000,
            },
            sim: Sim { listen: SocketAddr::from(([127, 0, 0, 1], 8090)) },
            documents: Documents { models_dir: here.join("models/cache"), workers: 2, allow_specimen: true },
            log: Log { filter: "info".to_owned(), format: LogFormat::Text },
        }
    }
}

/// A configuration that cannot be used, in one sentence with the key and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("configuration: {0}")]
    Invalid(String),
    #[error("{key} is not allowed when environment is production; remove it")]
    DevelopmentOnly { key: &'static str },
}

impl Config {
    /// Reads `haodian.toml` in the working folder (or `HAODIAN_CONFIG`) and the environment over the built-in values.
    pub fn load() -> Result<Self, ConfigError> {
        let file = std::env::var("HAODIAN_CONFIG").unwrap_or_else(|_| "haodian.toml".to_owned());
        let mut config: Self = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file(file))
            .merge(Env::prefixed("HAODIAN_").ignore(&["config"]).split("__"))
            .extract()
            .map_err(|e| ConfigError::Invalid(e.to_string()))?;
        if let Ok(url) = std::env::var("DATABASE_URL") {
            config.database.url = url;
        }
        if let Ok(url) = std::env::var("REDIS_URL") {
            config.redis.url = url;
        }
        config.validate()?;
        Ok(config)
    }

    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.environment == Environment::Production && self.documents.allow_specimen {
            return Err(ConfigError::DevelopmentOnly { key: "documents.allow_specimen = true" });
        }
        if !(1..=500).contains(&self.database.connections_max) {
            return Err(ConfigError::Invalid("database.connections_max must be between 1 and 500".to_owned()));
        }
        if !self.http.public_url.starts_with("http://") && !self.http.public_url.starts_with("https://") {
            return Err(ConfigError::Invalid("http.public_url must begin with http:// or https://".to_owned()));
        }
        Ok(())
    }

    /// Whether this is a development system.
    pub fn development(&self) -> bool {
        self.environment == Environment::Development
    }

    /// The folder of key files.
    pub fn keys_dir(&self) -> PathBuf {
        self.data_dir.join("keys")
    }

    /// The folder of sealed images.
    pub fn files_dir(&self) -> PathBuf {
        self.data_dir.join("files")
    }
}
