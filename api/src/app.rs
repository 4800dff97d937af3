//! The services of one process, wired once: what `serve` answers with and `work` works with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai::review::Policy;
use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use merchant::badcase::BadCases;
use merchant::files::FileStore;
use merchant::identity::{DevelopmentLogin, Identity};
use merchant::merchants::Merchants;
use merchant::models::Models;
use merchant::onboarding::Applications;
use merchant::review::Reviews;
use merchant::review::sample::AuditSample;
use merchant::vault::Vault;
use sqlx::PgPool;
use uuid::Uuid;
use wallet::advance::Advances;
use wallet::analytics::Board;
use wallet::base::actor::Actor;
use wallet::base::clock::Clock;
use wallet::base::outbox::Outbox;
use wallet::base::{audit, db};
use wallet::book::Books;
use wallet::book::transfer::Transfers;
use wallet::channel::sandbox::PLATFORM_KEY;
use wallet::channel::sandbox::sign::Signer;
use wallet::ledger::{Ledger, LedgerLimits, Wallets};
use wallet::order::{Order, Orders};
use wallet::payment::Payments;
use wallet::period::Periods;
use wallet::product::Products;
use wallet::proof::Proofs;
use wallet::refund::{Payouts, Refunds};
use wallet::settlement::Settlements;
use wallet::split::Splits;
use wallet::subsidy::Subsidies;
use wallet::webhook::{Reach, Webhooks};
use wallet::withdrawal::Withdrawals;

use crate::channel;
use crate::config::Config;
use crate::fanout::Fanout;
use crate::graphql::{refund, webhook};
use crate::launcher;
use crate::ticket::Tickets;

/// How long after its expiry an order's ticket still shows what became of it.
const TICKET_AFTER_EXPIRY: TimeDelta = TimeDelta::days(30);

/// Connections for reports.
const REPORTS_MAX: u32 = 4;

/// Everything a request or a job needs.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub db: PgPool,
    /// For what adds up many rows.
    pub reports: PgPool,
    pub clock: Clock,
    pub fanout: Fanout,
    pub tickets: Tickets,
    pub identity: Identity,
    pub merchants: Merchants,
    pub applications: Applications,
    pub reviews: Reviews,
    pub bad_cases: BadCases,
    pub models: Models,
    pub products: Products,
    pub orders: Orders,
    pub payments: Payments,
    pub refunds: Refunds,
    pub ledger: Ledger,
    pub wallets: Wallets,
    pub withdrawals: Withdrawals,
    pub settlements: Settlements,
    pub splits: Splits,
    pub subsidies: Subsidies,
    pub advances: Advances,
    pub periods: Periods,
    pub books: Books,
    pub transfers: Transfers,
    pub board: Board,
    pub proofs: Proofs,
    pub outbox: Outbox,
    pub webhooks: Webhooks,
}

impl App {
    /// Connects to the database and reads the keys. Fails in one sentence that says what is missing.
    pub async fn connect(config: &Config) -> anyhow::Result<Arc<Self>> {
        if config.database.url.is_empty() {
            return Err(anyhow!("no database: set DATABASE_URL, or start everything with `haodian up`"));
        }
        // one connection first: it says in one sentence what is wrong with the address
        drop(launcher::database::open(&config.database.url).await?);
        let db = db::connect(&config.database.url, config.database.connections_max).await.context("no connection to the database")?;
        let reports = db::connect_for_reports(&config.database.url, REPORTS_MAX).await.context("no connection to the database")?;
        let outbox = Outbox::open(db.clone(), config.database.outbox.wish()).await.context("the outbox cannot be read")?;
        let clock = Clock::default();
        let keys = config.keys_dir();
        let data_key = secret(&keys, "data.key")?;
        let vault = Vault::new(&data_key);
        let tickets = Tickets::new(&secret(&keys, "ticket.key")?);
        let files = FileStore::local(&config.files_dir(), vault.clone()).context("the file store cannot be opened")?;
        let signer = Arc::new(Signer::load(PLATFORM_KEY, &keys.join("platform.pk8")).context("the platform's signing key cannot be read")?);
        let channels = channel::connect(config, &signer, &clock)?;
        let routing = channel::routing(config, &channels, &clock)?;
        let payouts = channel::payouts(config, &signer)?;
        let products = crate::products::load(&config.products.dir)?;
        let products = Products::publish(&db, products).await.context("the payment products cannot be stored")?;
        let query_after = Duration::from_millis(config.channel.query_after_ms);
        let reach = if config.development() { Reach::Loopback } else { Reach::Public };
        let webhooks = Webhooks::try_new(db.clone(), clock.clone(), reach, webhook::outside, webhook::keeper(vault.clone()))?;
        let refund_payouts = Payouts {
            rails: payouts.clone(),
            keeper: refund::keeper(vault.clone()),
            original_days: config.refund.channel_days.iter().map(|(channel, days)| (channel.to_uppercase(), *days)).collect(),
            original_days_else: config.refund.original_days,
        };
        let login = if config.development() { DevelopmentLogin::Allowed } else { DevelopmentLogin::Off };
        let app = Arc::new(Self {
            fanout: Fanout::open(&config.redis.url)?,
            tickets,
            identity: Identity::new(db.clone(), clock.clone(), login),
            merchants: Merchants::new(db.clone(), clock.clone(), vault.clone()),
            applications: Applications::new(db.clone(), clock.clone(), vault.clone(), files.clone())
                .sampling(AuditSample::new(&data_key, config.documents.audit_bps))
                .reading(config.documents.workers),
            bad_cases: BadCases::new(db.clone(), clock.clone(), vault.clone(), files.clone()),
            models: Models::new(db.clone(), ai::version::Version::built_in()?.id),
            reviews: Reviews::new(db.clone(), clock.clone(), vault, files).under(policy(config)),
            orders: Orders::selling(db.clone(), clock.clone(), products.clone()),
            products,
            payments: Payments::new(db.clone(), clock.clone(), channels.clone(), routing, query_after),
            refunds: Refunds::new(db.clone(), clock.clone(), channels.clone(), query_after).paying_out(refund_payouts),
            ledger: Ledger::new(db.clone(), clock.clone(), LedgerLimits::default()),
            wallets: Wallets::new(db.clone()),
            advances: Advances::new(db.clone(), reports.clone(), clock.clone()),
            subsidies: Subsidies::new(db.clone(), reports.clone(), clock.clone(), payouts.chosen().to_owned()),
            withdrawals: Withdrawals::new(db.clone(), clock.clone(), payouts),
            settlements: Settlements::new(reports.clone(), clock.clone()),
            splits: Splits::through(db.clone(), clock.clone(), channels.clone()),
            periods: Periods::new(reports.clone(), clock.clone()),
            books: Books::new(db.clone(), clock.clone()),
            transfers: Transfers::new(db.clone(), clock.clone()),
            board: Board::new(reports.clone(), clock.clone()),
            proofs: Proofs::new(reports.clone(), clock.clone()),
            outbox,
            webhooks,
            config: config.clone(),
            db,
            reports,
            clock,
        });
        if app.config.development() {
            // before anything is decided by the day
            app.follow_sandbox_clock().await.context("the sandbox's day cannot be read")?;
        }
        app.payments.remember_usage().await.context("the day's payments cannot be read")?;
        app.payments.follow_switches().await.context("the channels' switches cannot be read")?;
        Ok(app)
    }

    /// Lets go of the database once what runs has ended.
    pub async fn close(&self) {
        self.db.close().await;
        self.reports.close().await;
    }

    /// The ticket of an order. The same order always has the same one.
    pub fn order_ticket(&self, order: &Order) -> String {
        self.tickets.order(order.merchant.book(), order.id, order.expires_at + TICKET_AFTER_EXPIRY)
    }

    /// The page on which an order is paid.
    pub fn cashier_url(&self, order: &Order) -> String {
        self.cashier_link(&self.order_ticket(order))
    }

    /// The page that a ticket opens.
    pub fn cashier_link(&self, ticket: &str) -> String {
        format!("{}/cashier/{ticket}", self.config.http.public_url)
    }

    /// Moves business time for every process: the row is the truth, each process follows it.
    pub async fn set_sandbox_clock(&self, actor: &Actor, offset_ms: i64) -> sqlx::Result<()> {
        let mut tx = self.db.begin().await?;
        repo::set_sandbox_clock_in_tx(&mut tx, offset_ms).await?;
        let detail = serde_json::json!({ "offset_ms": offset_ms });
        audit::record_in_tx(&mut tx, actor, "sandbox.clock_set", Uuid::nil(), detail, Clock::wall()).await?;
        tx.commit().await?;
        self.clock.set_offset_ms(offset_ms);
        Ok(())
    }

    /// Follows the sandbox clock's row. Development only; production has no row and no shift.
    pub async fn follow_sandbox_clock(&self) -> sqlx::Result<()> {
        if let Some(offset_ms) = repo::sandbox_clock(&self.db).await? {
            self.clock.set_offset_ms(offset_ms);
        }
        Ok(())
    }
}

/// By what the pipeline decides here.
pub(crate) fn policy(config: &Config) -> Policy {
    Policy { allow_specimen: config.documents.allow_specimen, ..Policy::default() }
}

/// Reads a key file of 32 bytes in base64.
fn secret(keys: &Path, name: &str) -> anyhow::Result<[u8; 32]> {
    let text = std::fs::read_to_string(keys.join(name))
        .with_context(|| format!("the key file {name} cannot be read; `haodian doctor` says how to make it"))?;
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    bytes.ok_or_else(|| anyhow!("the key file {name} does not hold 32 bytes in base64"))
}

mod repo;
