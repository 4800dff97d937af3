//! `haodian sim`: the sandbox acquirer and bank (模拟收单机构与银行), a process of its own that is reached over HTTP like a real one.
//!
//! It shares with the adapter only the wire types and the signatures. Its state is in memory and in a journal, so that a restart
//! remembers; it holds at most [`book::PAYMENTS_MAX`] payments and refuses further ones. Development and tests only.

pub mod alipay;
pub mod bank;
mod book;
pub mod chaos;
mod control;
pub mod ecny;
mod exchange;
mod front;
mod journal;
mod lie;
mod notify;
mod page;
mod payer;
mod record;
mod sandbox;
mod truth;
pub mod unionpay;
pub mod wechat;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{any, get, post};
use tokio::net::TcpListener;
use wallet::base::clock::Clock;
use wallet::channel::bank::sign::Terms;
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::wire::BODY_MAX;
use wallet::channel::sandbox::{ACQUIRER_KEY, BANK_KEY, PLATFORM_KEY};

use crate::config::Config;
use book::Book;
use chaos::Chaos;
use chaos::line::{Cut, Lines};
use front::{Front, Fronts};
use journal::Journal;
use sandbox::Sandbox;

/// Which counterparty is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    Acquirer,
    Bank,
    Alipay,
    UnionPay,
    Ecny,
    Wechat,
    DirectBank,
}

impl Party {
    pub const ALL: [Self; 7] = [Self::Acquirer, Self::Bank, Self::Alipay, Self::UnionPay, Self::Ecny, Self::Wechat, Self::DirectBank];

    /// As a profile and the control address call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acquirer => "acquirer",
            Self::Bank => "bank",
            Self::Alipay => "alipay",
            Self::UnionPay => "unionpay",
            Self::Ecny => "ecny",
            Self::Wechat => "wechat",
            Self::DirectBank => "directbank",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|party| party.name() == name)
    }
}

/// The counterparties with their keys and their memory.
#[derive(Debug)]
pub struct Sim {
    clock: Clock,
    acquirer: Arc<Signer>,
    bank: Arc<Signer>,
    others: Others,
    fronts: Arc<Fronts>,
    platform: Verifier,
    merchant_no: String,
    /// How a customer reaches the payer's page.
    public_url: String,
    book: Mutex<Book>,
    notifier: notify::Notifier,
    chaos: Arc<Chaos>,
}

/// The keys of both counterparties, and the one they know the platform by.
#[derive(Debug)]
pub struct Keys {
    pub acquirer: Signer,
    pub bank: Signer,
    pub platform: Verifier,
    pub others: Others,
}

/// The counterparties beside the sandbox that are played.
#[derive(Debug, Default)]
pub struct Others {
    pub wechat: Option<Arc<wechat::Wechat>>,
    pub alipay: Option<Arc<alipay::Hand>>,
    pub unionpay: Option<Arc<unionpay::Hand>>,
    pub ecny: Option<Arc<ecny::Hand>>,
    pub bank: Option<Arc<bank::Hand>>,
}

impl Others {
    /// How each of them tells its news.
    fn fronts(&self) -> Fronts {
        let mut fronts = Fronts::new();
        let mut speaks = |party, front: Option<Box<dyn Front>>| fronts.extend(front.map(|front| (party, front)));
        speaks(Party::Wechat, self.wechat.clone().map(|hand| Box::new(hand) as _));
        speaks(Party::Alipay, self.alipay.clone().map(|hand| Box::new(alipay::Notices(hand)) as _));
        speaks(Party::UnionPay, self.unionpay.clone().map(|hand| Box::new(unionpay::Notices(hand)) as _));
        speaks(Party::Ecny, self.ecny.clone().map(|hand| Box::new(ecny::Notices(hand)) as _));
        speaks(Party::DirectBank, self.bank.clone().map(|hand| Box::new(bank::Notices(hand)) as _));
        fronts
    }
}

impl Keys {
    /// Reads `acquirer.pk8`, `bank.pk8`, `platform.pub`, and the other counterparties' keys where they are.
    pub fn load(dir: &Path, terms: Terms) -> anyhow::Result<Self> {
        Ok(Self {
            acquirer: Signer::load(ACQUIRER_KEY, &dir.join("acquirer.pk8"))?,
            bank: Signer::load(BANK_KEY, &dir.join("bank.pk8"))?,
            platform: Verifier::load(PLATFORM_KEY, &dir.join("platform.pub"))?,
            others: Others {
                wechat: wechat::Wechat::load(dir)?.map(Arc::new),
                alipay: alipay::Hand::load(dir)?.map(Arc::new),
                unionpay: unionpay::Hand::load(dir)?.map(Arc::new),
                ecny: ecny::Hand::load(dir)?.map(Arc::new),
                bank: bank::Hand::load(dir, terms)?.map(Arc::new),
            },
        })
    }
}

impl Sim {
    /// Remembers what `journal` holds, and takes up what was still to be sent. Nothing goes wrong.
    pub fn load(keys: Keys, merchant_no: &str, public_url: &str, journal: &Path) -> anyhow::Result<Arc<Self>> {
        Self::load_with(keys, merchant_no, public_url, journal, chaos::CALM)
    }

    /// The same, and what goes wrong is in a profile.
    pub fn load_with(keys: Keys, merchant_no: &str, public_url: &str, journal: &Path, profile: &str) -> anyhow::Result<Arc<Self>> {
        let chaos = Arc::new(Chaos::begin(profile)?);
        let mut fronts = keys.others.fronts();
        let (journal, lines) = Journal::open(journal)?;
        let (acquirer, bank) = (Arc::new(keys.acquirer), Arc::new(keys.bank));
        for (party, signer) in [(Party::Acquirer, &acquirer), (Party::Bank, &bank)] {
            fronts.insert(party, Box::new(Sandbox(Arc::clone(signer))));
        }
        let fronts = Arc::new(fronts);
        let book = Book::remember(lines, journal, Arc::clone(&fronts), Arc::clone(&chaos));
        let clock = Clock::default();
        clock.set_offset_ms(book.offset_ms());
        let sim = Arc::new(Self {
            clock,
            acquirer,
            bank,
            others: keys.others,
            fronts,
            platform: keys.platform,
            merchant_no: merchant_no.to_owned(),
            public_url: public_url.trim_end_matches('/').to_owned(),
            book: Mutex::new(book),
            notifier: notify::Notifier::try_new()?,
            chaos,
        });
        notify::take_up(&sim);
        Ok(sim)
    }

    /// Everything the simulator answers to.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/acquirer/v1/payments", post(exchange::pay))
            .route("/acquirer/v1/payments/{request_no}", get(exchange::payment))
            .route("/acquirer/v1/payments/{request_no}/close", post(exchange::close))
            .route("/acquirer/v1/refunds", post(exchange::refund))
            .route("/acquirer/v1/refunds/{request_no}", get(exchange::refunded))
            .route("/bank/v1/payouts", post(exchange::pay_out))
            .route("/bank/v1/payouts/{request_no}", get(exchange::payout))
            .route("/alipay/gateway.do", post(alipay::ask).get(alipay::open))
            .route("/gateway/api/{what}", post(unionpay::ask))
            .route("/v3/{*path}", any(wechat::ask))
            .route("/control/wechat/rotate", post(wechat::rotate))
            .route(wallet::channel::ecny::wire::PATH, post(ecny::ask))
            .route(wallet::channel::bank::wire::PATH, post(bank::ask))
            .route("/pay/{transaction_id}", get(payer::show))
            .route("/pay/{transaction_id}/confirm", post(payer::confirm))
            .route("/pay/{transaction_id}/decline", post(payer::decline))
            .route("/control/clock", post(control::clock))
            .route("/control/profile", get(control::profile).post(control::change_profile))
            .route("/control/down", post(control::down))
            .route("/control/truth", get(control::truth))
            .route("/livez", get(|| async { "ok" }))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(middleware::from_fn_with_state(Arc::clone(&self), chaos::layer::answer))
            .with_state(self)
    }

    /// Answers on `listener` until `stop`, then finishes what it has begun to answer.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let lines = self.router().into_make_service_with_connect_info::<Cut>();
        axum::serve(Lines(listener), lines).with_graceful_shutdown(stop).await.context("the simulator's listener failed")
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics while the simulator's book is held")
    }

    /// The protocol that a counterparty speaks.
    fn front(&self, party: Party) -> Option<&dyn Front> {
        self.fronts.get(&party).map(AsRef::as_ref)
    }

    fn signer(&self, party: Party) -> &Signer {
        match party {
            Party::Bank => &self.bank,
            // the others sign with keys of their own kind
            _ => &self.acquirer,
        }
    }
}

/// Runs the simulator until it is told to stop. `profile` goes before the configured one.
pub async fn run(config: &Config, profile: Option<&str>) -> anyhow::Result<()> {
    anyhow::ensure!(config.development(), "the simulator runs only when environment is development");
    let keys = Keys::load(&config.keys_dir(), config.channel.bank.terms())?;
    let journal = config.data_dir.join("sim/journal.jsonl");
    let sim =
        Sim::load_with(keys, &config.channel.merchant_no, &config.channel.sandbox_url, &journal, profile.unwrap_or(&config.sim.profile))?;
    let listen = config.sim.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("sim.listen = {listen} cannot be listened on; is it taken?"))?;
    tracing::info!(%listen, "the sandbox acquirer and bank listen");
    sim.serve(listener, stopped()).await
}

async fn stopped() {
    let mut term = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(term) => term,
        // without it only Ctrl-C stops
        Err(error) => {
            tracing::warn!(error = %error, "the stop signal cannot be waited for");
            _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod harness;
#[cfg(test)]
mod tests;
