//! Configuration: built-in values, then `haodian.toml`, then environment variables `HAODIAN_SECTION__KEY`; `DATABASE_URL` and
//! `REDIS_URL` as the world spells them. Every key is described in `haodian.example.toml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};
use wallet::base::idempotency::KEPT_DAYS_MIN;
use wallet::base::outbox::Form;
use wallet::channel::bank::sign::{Dialect, Terms};
use wallet::channel::bank::wire::Charset;

use crate::sim::{alipay, bank, ecny, unionpay, wechat};

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
    pub payout: Payout,
    pub products: Products,
    pub sim: Sim,
    pub work: Work,
    pub period: Period,
    pub webhook: Webhook,
    pub refund: Refund,
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
    /// Folder with `initdb` and `postgres` for the private cluster. Empty: `/usr/lib/postgresql/*/bin`, then PATH.
    pub bin_dir: PathBuf,
    /// How events are handed to their readers; `auto` asks the engine.
    pub outbox: OutboxForm,
    /// Days that events are kept after every reader has read them.
    pub outbox_keep_days: u16,
    /// Days that idempotency keys are kept once they have their answer.
    pub idempotency_keep_days: u16,
}

/// The forms of the outbox, and the wish to leave it to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutboxForm {
    Auto,
    Mark,
    Queue,
}

impl OutboxForm {
    /// What is insisted on, if anything.
    pub fn wish(self) -> Option<Form> {
        match self {
            Self::Auto => None,
            Self::Mark => Some(Form::Mark),
            Self::Queue => Some(Form::Queue),
        }
    }
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
    /// The acquirers that payments may go to: SANDBOX, WECHAT_PAY, ALIPAY, UNIONPAY, ECNY, BANK.
    pub connected: Vec<String>,
    /// A routing table in the form of `routes.toml`. Empty: the built-in one.
    pub routes: PathBuf,
    /// The legal entity that receives what customers pay, and the account at the custody bank, as the routing table names them.
    pub payee_entity: String,
    pub custody_account: String,
    pub wechat: Wechat,
    pub alipay: Alipay,
    pub unionpay: UnionPay,
    pub ecny: Ecny,
    pub bank: Bank,
}

/// WeChat Pay as a direct merchant. Keys: `wechat.key.pem`, `wechat.api.key`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wechat {
    /// Such as https://api.mch.weixin.qq.com. Empty: the simulator.
    pub url: String,
    pub merchant_no: String,
    pub app_id: String,
    /// Serial number of our API certificate, whose key is `wechat.key.pem`.
    pub certificate_serial: String,
    /// Most of a payment that may be split there, in basis points (最大分账比例).
    pub split_max_bps: u16,
}

/// Alipay's open platform. Keys: `alipay.key.pem`, `alipay.gateway.pub.pem`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alipay {
    /// Such as https://openapi.alipay.com/gateway.do. Empty: the simulator.
    pub url: String,
    pub app_id: String,
    /// The account that is paid, 2088….
    pub seller_id: String,
    /// Most of a payment that may be split there, in basis points.
    pub split_max_bps: u16,
}

/// UnionPay's full-channel gateway. Keys: `unionpay.key.pem`, `unionpay.cert.pem`, `unionpay.root.pem`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnionPay {
    /// Such as https://gateway.95516.com. Empty: the simulator.
    pub url: String,
    pub merchant_no: String,
    pub terminal_no: String,
    /// Whom UnionPay's certificates name.
    pub company: String,
}

/// Digital renminbi, sandbox form. Keys: `ecny.key.pem`, `ecny.operator.pub.pem`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ecny {
    /// Empty: the simulator.
    pub url: String,
    pub merchant_no: String,
}

/// Direct bank (银企直连). Keys: `bank.key.pem`, `bank.gateway.pub.pem`, SM2.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bank {
    /// Empty: the simulator.
    pub url: String,
    /// Our customer number there.
    pub merchant_no: String,
    /// The user id that both sides sign under; of the corporate dialect.
    pub user_id: String,
    pub dialect: Dialect,
    pub charset: Charset,
}

impl Bank {
    /// What both sides have agreed on.
    pub fn terms(&self) -> Terms {
        Terms { dialect: self.dialect, user_id: self.user_id.clone(), charset: self.charset }
    }
}

/// Whom UnionPay's message certificates name.
pub const UNIONPAY_COMPANY: &str = "中国银联股份有限公司";

/// Who pays withdrawals out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payout {
    /// Takes the withdrawals that are requested from now on. What was asked of the other goes on there.
    pub channel: PayoutChannel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayoutChannel {
    /// The sandbox's bank.
    Sandbox,
    /// Direct bank, as `channel.bank` says.
    Bank,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Products {
    /// Folder of payment products, a TOML file each. Empty: the shipped ones.
    pub dir: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sim {
    /// Address the simulator listens on.
    pub listen: SocketAddr,
    /// What goes wrong there: the name of a profile that comes with the program, or a file.
    pub profile: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// Address at which a worker answers `/livez`, `/readyz` and `/metrics`. Empty: nowhere.
    pub listen: String,
    /// Seconds that money may be on its way between two books before the log calls for a person.
    pub transfer_alarm_s: u32,
}

impl Work {
    /// The address, where there is one. [`Config::validate`] refused any that cannot be read.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    /// Minutes after midnight in Asia/Shanghai from which the day before is closed: what began before midnight is booked by then.
    pub day_close_after_min: u32,
    /// Day of the month from which the month before is closed; 0: only when an operator asks for it.
    pub month_close_day: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Days that deliveries to merchants are kept, with their tries.
    pub keep_days: u16,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// Days after a payment in which its channel gives the money back the way it came. Later it goes to a bank account.
    pub original_days: u32,
    /// The same for single channels, by name such as WECHAT_PAY.
    pub channel_days: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// Folder with the ONNX models and ONNX Runtime, filled by `models/fetch.sh`.
    pub models_dir: PathBuf,
    /// Pages read at the same time by one worker process; as many as there are cores unless told, eight at most. Each takes some 100 MB.
    pub workers: usize,
    /// Whether a specimen mark (样本) is overlooked. Never in production.
    pub allow_specimen: bool,
    /// Share of the papers that the pipeline approves which a person looks at again without knowing it (抽检), in basis points. 200 to 500 in
    /// production.
    pub audit_bps: u16,
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
            database: Database {
                url: String::new(),
                connections_max: 16,
                bin_dir: PathBuf::new(),
                outbox: OutboxForm::Auto,
                outbox_keep_days: 30,
                idempotency_keep_days: 35,
            },
            redis: Redis { url: String::new() },
            channel: Channel {
                sandbox_url: "http://127.0.0.1:8090".to_owned(),
                merchant_no: "1900000001".to_owned(),
                timeout_ms: 3_000,
                query_after_ms: 5_000,
                connected: ["SANDBOX", "WECHAT_PAY", "ALIPAY", "UNIONPAY", "ECNY", "BANK"].map(str::to_owned).to_vec(),
                routes: PathBuf::new(),
                payee_entity: "PLATFORM".to_owned(),
                custody_account: "CUSTODY".to_owned(),
                wechat: Wechat {
                    url: String::new(),
                    merchant_no: wechat::MERCHANT_NO.to_owned(),
                    app_id: wechat::APP_ID.to_owned(),
                    certificate_serial: wechat::MERCHANT_SERIAL.to_owned(),
                    split_max_bps: 3_000,
                },
                alipay: Alipay {
                    url: String::new(),
                    app_id: alipay::APP_ID.to_owned(),
                    seller_id: alipay::SELLER_ID.to_owned(),
                    split_max_bps: 3_000,
                },
                unionpay: UnionPay {
                    url: String::new(),
                    merchant_no: unionpay::MERCHANT_NO.to_owned(),
                    terminal_no: "49000002".to_owned(),
                    company: UNIONPAY_COMPANY.to_owned(),
                },
                ecny: Ecny { url: String::new(), merchant_no: ecny::MERCHANT_NO.to_owned() },
                bank: Bank {
                    url: String::new(),
                    merchant_no: bank::MERCHANT_NO.to_owned(),
                    user_id: bank::USER_ID.to_owned(),
                    dialect: Dialect::Corporate,
                    charset: Charset::Gbk,
                },
            },
            payout: Payout { channel: PayoutChannel::Sandbox },
            products: Products { dir: PathBuf::new() },
            sim: Sim { listen: SocketAddr::from(([127, 0, 0, 1], 8090)), profile: "calm".to_owned() },
            work: Work { listen: String::new(), transfer_alarm_s: 60 },
            period: Period { day_close_after_min: 30, month_close_day: 5 },
            webhook: Webhook { keep_days: 30 },
            refund: Refund { original_days: 180, channel_days: BTreeMap::new() },
            documents: Documents { models_dir: here.join("models/cache"), workers: cores(), allow_specimen: true, audit_bps: 300 },
            log: Log { filter: "info".to_owned(), format: LogFormat::Text },
        }
    }
}

/// What the machine has, eight at most: memory ends before more cores help.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8)
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
        let mut config: Self = given()?.extract().map_err(|e| ConfigError::Invalid(one_line(&e)))?;
        if let Ok(url) = std::env::var("DATABASE_URL") {
            config.database.url = url;
        }
        if let Ok(url) = std::env::var("REDIS_URL") {
            config.redis.url = url;
        }
        if let Some(dir) = std::env::var_os("PG_BIN_DIR") {
            config.database.bin_dir = PathBuf::from(dir);
        }
        for dir in [&mut config.data_dir, &mut config.documents.models_dir] {
            *dir =
                std::path::absolute(&dir).map_err(|e| ConfigError::Invalid(format!("{} cannot be made absolute ({e})", dir.display())))?;
        }
        config.validate()?;
        Ok(config)
    }

    /// Whether `key`, such as `http.listen`, was given by the file or the environment. A value nobody asked for may be moved aside.
    pub fn given(key: &str) -> bool {
        let Ok(figment) = given() else { return false };
        figment.find_metadata(key).is_some_and(|from| from.name != std::any::type_name::<Self>())
    }

    /// Refuses what contradicts itself.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.environment == Environment::Production && self.documents.allow_specimen {
            return Err(ConfigError::DevelopmentOnly { key: "documents.allow_specimen = true" });
        }
        let audited = if self.environment == Environment::Production { 200..=500 } else { 0..=10_000 };
        if !audited.contains(&self.documents.audit_bps) {
            let told = "documents.audit_bps must be between 200 and 500 in production, and between 0 and 10000 elsewhere";
            return Err(ConfigError::Invalid(told.to_owned()));
        }
        if self.environment == Environment::Production {
            let channel = &self.channel;
            let addresses = [
                ("WECHAT_PAY", "wechat", &channel.wechat.url),
                ("ALIPAY", "alipay", &channel.alipay.url),
                ("UNIONPAY", "unionpay", &channel.unionpay.url),
                ("ECNY", "ecny", &channel.ecny.url),
                ("BANK", "bank", &channel.bank.url),
            ];
            // without an address of its own a channel would be the simulator
            if let Some((name, section, _)) =
                addresses.into_iter().find(|(name, _, url)| url.is_empty() && channel.connected.iter().any(|c| c == name))
            {
                let told = format!("channel.{section}.url is needed in production, or leave {name} out of channel.connected");
                return Err(ConfigError::Invalid(told));
            }
            if self.payout.channel == PayoutChannel::Bank && channel.bank.url.is_empty() {
                let told = "channel.bank.url is needed in production, or set payout.channel to sandbox";
                return Err(ConfigError::Invalid(told.to_owned()));
            }
        }
        if !(1..=500).contains(&self.database.connections_max) {
            return Err(ConfigError::Invalid("database.connections_max must be between 1 and 500".to_owned()));
        }
        if self.database.outbox_keep_days == 0 {
            return Err(ConfigError::Invalid("database.outbox_keep_days must be at least 1".to_owned()));
        }
        if self.database.idempotency_keep_days < KEPT_DAYS_MIN {
            return Err(ConfigError::Invalid(format!("database.idempotency_keep_days must be at least {KEPT_DAYS_MIN}")));
        }
        for (key, bps) in [("wechat", self.channel.wechat.split_max_bps), ("alipay", self.channel.alipay.split_max_bps)] {
            if !(1..=10_000).contains(&bps) {
                return Err(ConfigError::Invalid(format!("channel.{key}.split_max_bps must be between 1 and 10000")));
            }
        }
        if !self.work.listen.is_empty() && self.work.listen().is_none() {
            return Err(ConfigError::Invalid("work.listen must be an address such as 127.0.0.1:8081, or empty".to_owned()));
        }
        if self.period.day_close_after_min >= 24 * 60 {
            return Err(ConfigError::Invalid("period.day_close_after_min must be below 1440, a day".to_owned()));
        }
        if self.period.month_close_day > 28 {
            return Err(ConfigError::Invalid("period.month_close_day must be between 1 and 28, or 0 for never by itself".to_owned()));
        }
        if self.refund.original_days == 0 || self.refund.channel_days.values().any(|days| *days == 0) {
            return Err(ConfigError::Invalid("refund.original_days and refund.channel_days must be at least 1".to_owned()));
        }
        if self.webhook.keep_days < 2 {
            return Err(ConfigError::Invalid("webhook.keep_days must be at least 2: a delivery is tried for a day".to_owned()));
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

/// Variables that begin like a key but are not one: they belong to the launcher, the build or the tests.
const NOT_KEYS: [&str; 6] = ["config", "bin", "supervised", "models_dir", "test_database_url", "test_redis_url"];

fn defaults() -> Serialized<Config> {
    Serialized::defaults(Config::default())
}

/// The three layers. A file that was named must exist; `haodian.toml` in the working folder need not.
fn given() -> Result<Figment, ConfigError> {
    let file = match std::env::var("HAODIAN_CONFIG") {
        Ok(named) if !std::path::Path::new(&named).is_file() => {
            return Err(ConfigError::Invalid(format!("the file {named} named by HAODIAN_CONFIG does not exist")));
        }
        Ok(named) => named,
        Err(_) => "haodian.toml".to_owned(),
    };
    Ok(Figment::from(defaults()).merge(Toml::file(file)).merge(Env::prefixed("HAODIAN_").ignore(&NOT_KEYS).split("__")))
}

/// A figment error as part of a sentence: what is wrong, at which key, from where.
fn one_line(error: &figment::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_names_every_key_with_its_built_in_value() {
        let example: toml::Value = toml::from_str(include_str!("../../haodian.example.toml")).unwrap();
        let mut built_in = Config { data_dir: PathBuf::from(".data"), ..Config::default() };
        built_in.documents.models_dir = PathBuf::from("models/cache");
        assert_eq!(example, toml::Value::try_from(&built_in).unwrap());
    }

    #[test]
    fn production_refuses_what_is_for_development() {
        let mut config = Config { environment: Environment::Production, ..Config::default() };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "documents.allow_specimen = true is not allowed when environment is production; remove it"
        );
        config.documents.allow_specimen = false;
        config.documents.audit_bps = 100;
        assert!(config.validate().unwrap_err().to_string().contains("audit_bps"));
        config.documents.audit_bps = 200;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "configuration: channel.wechat.url is needed in production, or leave WECHAT_PAY out of channel.connected"
        );
        config.channel.wechat.url = "https://api.mch.weixin.qq.com".to_owned();
        config.channel.connected = vec!["WECHAT_PAY".to_owned()];
        config.validate().unwrap();
        config.payout.channel = PayoutChannel::Bank;
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "configuration: channel.bank.url is needed in production, or set payout.channel to sandbox"
        );
        config.channel.bank.url = "https://bank.example".to_owned();
        config.validate().unwrap();
    }
}
