//! The acquirers that the configuration connects, with their keys, and the routing table that stands over them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use wallet::base::clock::Clock;
use wallet::channel::acquirer::Acquirer;
use wallet::channel::payout::{PayoutRail, Rails};
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::{ACQUIRER_KEY, BANK_KEY, Link, SandboxAcquirer, SandboxBank};
use wallet::channel::{Channels, SANDBOX, SANDBOX_BANK, alipay, bank, ecny, unionpay, wechat};
use wallet::order::rules::LIFETIME;
use wallet::payment::Routing;
use wallet::routing::candidate::{Payee, Table};
use wallet::routing::{CustodyAccount, PayeeEntity};

use crate::config::{Config, PayoutChannel};

/// The table that is built in.
pub const ROUTES: &str = include_str!("../../routes.toml");

/// Reads the keys of every connected acquirer; opens no connection. Fails in one sentence that names the key or file.
pub fn connect(config: &Config, platform: &Arc<Signer>, clock: &Clock) -> anyhow::Result<Channels> {
    let mut acquirers = Vec::new();
    for name in &config.channel.connected {
        let connected = match name.as_str() {
            SANDBOX => sandbox(config, platform)?,
            wechat::WECHAT_PAY => wechat_pay(config, clock)?,
            alipay::ALIPAY => alipay(config, clock)?,
            unionpay::NAME => unionpay(config)?,
            ecny::NAME => ecny(config)?,
            bank::NAME => Arc::new(bank::Bank::new(bank_link(config, bank::NAME)?)),
            _ => bail!("channel.connected names {name}; known are SANDBOX, WECHAT_PAY, ALIPAY, UNIONPAY, ECNY and BANK"),
        };
        acquirers.push(connected);
    }
    Ok(Channels::new(acquirers))
}

/// The banks that pay withdrawals out. The sandbox's is always there, direct bank where it is used for anything.
pub fn payouts(config: &Config, platform: &Arc<Signer>) -> anyhow::Result<Rails> {
    let chosen = config.payout.channel;
    let sandbox: Arc<dyn PayoutRail> = Arc::new(sandbox_bank(config, platform)?);
    if chosen == PayoutChannel::Sandbox && !config.channel.connected.iter().any(|name| name == bank::NAME) {
        return Ok(Rails::new(sandbox, []));
    }
    let direct: Arc<dyn PayoutRail> = Arc::new(bank::DirectBank::new(bank_link(config, bank::RAIL)?));
    Ok(match chosen {
        PayoutChannel::Sandbox => Rails::new(sandbox, [direct]),
        PayoutChannel::Bank => Rails::new(direct, [sandbox]),
    })
}

/// The router over the connected acquirers.
pub fn routing(config: &Config, channels: &Channels, clock: &Clock) -> anyhow::Result<Routing> {
    let file = &config.channel.routes;
    let (name, text) = if file.as_os_str().is_empty() {
        ("the built-in routing table".to_owned(), ROUTES.to_owned())
    } else {
        let text = std::fs::read_to_string(file).with_context(|| format!("the routing table {} cannot be read", file.display()))?;
        (format!("the routing table {}", file.display()), text)
    };
    let table: Table = toml::from_str(&text).with_context(|| format!("{name} is not in the form of routes.toml"))?;
    let payee = Payee {
        entity: PayeeEntity::try_new(&config.channel.payee_entity).context("channel.payee_entity")?,
        custody_account: CustodyAccount::try_new(&config.channel.custody_account).context("channel.custody_account")?,
    };
    Routing::try_new(table, channels, payee, clock.now()).with_context(|| format!("{name} cannot be used"))
}

/// A file of the key folder.
fn key(config: &Config, name: &str) -> anyhow::Result<String> {
    read(&config.keys_dir().join(name)).with_context(|| format!("the key file {name} cannot be read; `haodian doctor` says how to make it"))
}

fn read(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// Where a channel is: its own address, or the simulator's.
fn address(config: &Config, own: &str, path: &str) -> String {
    if own.is_empty() { format!("{}{path}", config.channel.sandbox_url.trim_end_matches('/')) } else { own.to_owned() }
}

/// Where an acquirer's notices are to come.
fn notices(config: &Config, name: &str) -> String {
    format!("{}/notices/{}", config.http.public_url, name.to_ascii_lowercase())
}

fn timeout(config: &Config) -> Duration {
    Duration::from_millis(config.channel.timeout_ms)
}

fn sandbox(config: &Config, platform: &Arc<Signer>) -> anyhow::Result<Arc<dyn Acquirer>> {
    let acquirer =
        Verifier::load(ACQUIRER_KEY, &config.keys_dir().join("acquirer.pub")).context("the public key acquirer.pub cannot be read")?;
    let channel = &config.channel;
    let link =
        Link::try_new(&channel.sandbox_url, platform.clone(), acquirer, &channel.merchant_no, &notices(config, SANDBOX), timeout(config))?;
    Ok(Arc::new(SandboxAcquirer::new(link)))
}

fn sandbox_bank(config: &Config, platform: &Arc<Signer>) -> anyhow::Result<SandboxBank> {
    let bank = Verifier::load(BANK_KEY, &config.keys_dir().join("bank.pub")).context("the public key bank.pub cannot be read")?;
    let (channel, notices) = (&config.channel, notices(config, SANDBOX_BANK));
    Ok(SandboxBank::new(Link::try_new(&channel.sandbox_url, platform.clone(), bank, &channel.merchant_no, &notices, timeout(config))?))
}

/// The line to the bank, for collecting or for paying out: what differs is where it tells the result.
pub fn bank_link(config: &Config, name: &str) -> anyhow::Result<bank::Link> {
    let ours = &config.channel.bank;
    let link = bank::Link::try_new(&bank::Agreement {
        base_url: &address(config, &ours.url, ""),
        merchant_no: &ours.merchant_no,
        terms: ours.terms(),
        private_key_pem: &key(config, "bank.key.pem")?,
        bank_key_pem: &key(config, "bank.gateway.pub.pem")?,
        notify_url: &notices(config, name),
        timeout: timeout(config),
    });
    link.context("channel.bank")
}

fn wechat_pay(config: &Config, clock: &Clock) -> anyhow::Result<Arc<dyn Acquirer>> {
    let ours = &config.channel.wechat;
    let signer = wechat::sign::Signer::try_from_pem(&ours.certificate_serial, &key(config, "wechat.key.pem")?).context("wechat.key.pem")?;
    let adapter = wechat::WechatPay::try_new(wechat::Agreement {
        base_url: address(config, &ours.url, ""),
        mchid: ours.merchant_no.clone(),
        appid: ours.app_id.clone(),
        signer,
        api_key: wechat::seal::ApiKey::try_new(key(config, "wechat.api.key")?.trim().as_bytes()).context("wechat.api.key")?,
        public_keys: Vec::new(),
        notify_url: notices(config, wechat::WECHAT_PAY),
        share_max_bps: ours.split_max_bps,
        timeout: timeout(config),
        open_for: LIFETIME,
        clock: clock.clone(),
    });
    Ok(Arc::new(adapter.context("channel.wechat")?))
}

fn alipay(config: &Config, clock: &Clock) -> anyhow::Result<Arc<dyn Acquirer>> {
    let ours = &config.channel.alipay;
    let adapter = alipay::Alipay::try_new(alipay::Setup {
        gateway_url: &address(config, &ours.url, "/alipay/gateway.do"),
        app_id: &ours.app_id,
        seller_id: &ours.seller_id,
        signer: alipay::sign::Signer::try_new(&key(config, "alipay.key.pem")?).context("alipay.key.pem")?,
        verifier: alipay::sign::Verifier::try_new(&key(config, "alipay.gateway.pub.pem")?).context("alipay.gateway.pub.pem")?,
        notify_url: &notices(config, alipay::ALIPAY),
        share_max_bps: ours.split_max_bps,
        timeout: timeout(config),
        open_for: LIFETIME,
        clock: clock.clone(),
    });
    Ok(Arc::new(adapter.context("channel.alipay")?))
}

fn unionpay(config: &Config) -> anyhow::Result<Arc<dyn Acquirer>> {
    let ours = &config.channel.unionpay;
    let adapter = unionpay::UnionPay::try_new(&unionpay::Agreement {
        base_url: &address(config, &ours.url, ""),
        merchant_no: &ours.merchant_no,
        terminal_no: &ours.terminal_no,
        certificate_pem: &key(config, "unionpay.cert.pem")?,
        private_key_pem: &key(config, "unionpay.key.pem")?,
        issuers_pem: &[key(config, "unionpay.root.pem")?],
        company: &ours.company,
        notify_url: &notices(config, unionpay::NAME),
        timeout: timeout(config),
    });
    Ok(Arc::new(adapter.context("channel.unionpay")?))
}

fn ecny(config: &Config) -> anyhow::Result<Arc<dyn Acquirer>> {
    let ours = &config.channel.ecny;
    let adapter = ecny::Ecny::try_new(&ecny::Agreement {
        base_url: &address(config, &ours.url, ""),
        merchant_no: &ours.merchant_no,
        private_key_pem: &key(config, "ecny.key.pem")?,
        operator_key_pem: &key(config, "ecny.operator.pub.pem")?,
        notify_url: &notices(config, ecny::NAME),
        timeout: timeout(config),
    });
    Ok(Arc::new(adapter.context("channel.ecny")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::process::scratch;

    fn configured(dir: &Path) -> Config {
        Config { data_dir: dir.to_owned(), ..Config::default() }
    }

    fn platform(config: &Config) -> Arc<Signer> {
        Arc::new(Signer::load("platform", &config.keys_dir().join("platform.pk8")).unwrap())
    }

    #[test]
    fn the_keys_that_are_made_connect_every_channel_and_the_built_in_table_uses_each() {
        let dir = scratch("channels");
        let mut config = configured(&dir);
        crate::launcher::keys::ensure(&config.keys_dir()).unwrap();
        let (clock, platform) = (Clock::default(), platform(&config));
        let channels = connect(&config, &platform, &clock).unwrap();
        assert_eq!(channels.names(), ["ALIPAY", "BANK", "ECNY", "SANDBOX", "UNIONPAY", "WECHAT_PAY"]);
        let table: Table = toml::from_str(ROUTES).unwrap();
        let routed = routing(&config, &channels, &clock).unwrap();
        assert_eq!(routed.router().routes().candidates(), table.candidates, "each candidate offers what its channel offers");

        config.channel.connected = vec!["SANDBOX".to_owned()];
        let one = connect(&config, &platform, &clock).unwrap();
        let left = routing(&config, &one, &clock).unwrap();
        assert_eq!(left.router().routes().candidates().iter().map(|c| c.channel.as_str()).collect::<Vec<_>>(), ["SANDBOX"]);

        config.channel.connected = vec!["PAYPAL".to_owned()];
        let told = connect(&config, &platform, &clock).unwrap_err().to_string();
        assert_eq!(told, "channel.connected names PAYPAL; known are SANDBOX, WECHAT_PAY, ALIPAY, UNIONPAY, ECNY and BANK");
        config.channel.connected = vec!["ECNY".to_owned()];
        std::fs::remove_file(config.keys_dir().join("ecny.key.pem")).unwrap();
        let told = connect(&config, &platform, &clock).unwrap_err().to_string();
        assert_eq!(told, "the key file ecny.key.pem cannot be read; `haodian doctor` says how to make it");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_table_that_cannot_be_used_is_told_by_its_file() {
        let dir = scratch("routes");
        let mut config = configured(&dir);
        crate::launcher::keys::ensure(&config.keys_dir()).unwrap();
        let clock = Clock::default();
        let channels = connect(&config, &platform(&config), &clock).unwrap();
        config.channel.routes = dir.join("mine.toml");
        let told = |config: &Config| format!("{:#}", routing(config, &channels, &clock).unwrap_err());
        assert!(told(&config).contains("mine.toml cannot be read"), "{}", told(&config));
        std::fs::write(&config.channel.routes, ROUTES.replace("bps = 60", "bps = 20000")).unwrap();
        assert!(told(&config).ends_with("AGGREGATOR costs 20000 basis points, which is more than the whole amount"), "{}", told(&config));
        std::fs::write(&config.channel.routes, ROUTES.replace("wallets", "purses")).unwrap();
        assert!(told(&config).contains("mine.toml is not in the form of routes.toml"), "{}", told(&config));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
