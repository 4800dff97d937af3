//! A routing table for tests of services: every connected channel takes whatever it offers, from every wallet, at no cost.

use wallet::base::clock::Clock;
use wallet::base::money::{AMOUNT_MINOR_MAX, Currency};
use wallet::channel::Channels;
use wallet::channel::acquirer::Wallet;
use wallet::payment::Routing;
use wallet::routing::candidate::{Candidate, Cost, PER_SECOND_MAX, Payee, Rounding, Table};
use wallet::routing::{CandidateName, ChannelName, CustodyAccount, PayeeEntity};

/// Where all of a test's money goes.
fn payee() -> Payee {
    Payee {
        entity: PayeeEntity::try_new("PLATFORM").expect("a plain name"),
        custody_account: CustodyAccount::try_new("CUSTODY").expect("a plain name"),
    }
}

/// A router over `channels`.
pub fn routing(channels: &Channels, clock: &Clock) -> Routing {
    let candidate = |name: &&'static str| Candidate {
        name: CandidateName::try_new(name).expect("a channel's name is plain"),
        channel: ChannelName::try_new(name).expect("a channel's name is plain"),
        methods: channels.get(name).map(|channel| channel.methods().to_vec()).unwrap_or_default(),
        wallets: Wallet::ALL.to_vec(),
        products: Vec::new(),
        currency: Currency::Cny,
        payee: payee(),
        amount_minor_min: 1,
        amount_minor_max: AMOUNT_MINOR_MAX,
        daily_minor_max: None,
        per_second_max: PER_SECOND_MAX,
        hours: Vec::new(),
        maintenance: Vec::new(),
        cost: Cost { bps: 0, fixed_minor: 0, rounding: Rounding::HalfUp },
    };
    let table = Table { revision: 1, last_resort: true, candidates: channels.names().iter().map(candidate).collect() };
    Routing::try_new(table, channels, payee(), clock.now()).expect("a test has a channel")
}
