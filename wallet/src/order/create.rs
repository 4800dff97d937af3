//! Making orders, many at a time: read keys and contracts → decide in memory → reserve subsidies → write orders, events and keys → one commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use super::repo::{self, Contract};
use super::{Choice, CreateOrder, Escrow, Order, OrderError, OrderStatus, rules};
use crate::base::batcher::{Batched, Results, lane_of};
use crate::base::clock::Clock;
use crate::base::db::retrying;
use crate::base::id::{MerchantId, OrderId, StoreId};
use crate::base::idempotency::{CommandHash, Keys, Scope};
use crate::base::money::{AMOUNT_MINOR_MAX, Money};
use crate::base::outbox::{self, Event};
use crate::product::terms::{self, Offer};
use crate::product::{Frozen, Products, STORE_PAYMENT, Terms as FrozenTerms};
use crate::split::plan::{self, Mistake};
use crate::subsidy::Programme;
use crate::subsidy::reservation::{self, Reserve, Subsidy};

/// What its batcher runs. Orders of one merchant share nothing but their keys.
#[derive(Debug)]
pub struct Creation {
    pub db: PgPool,
    pub clock: Clock,
    pub products: Products,
}

impl Batched for Creation {
    type Command = CreateOrder;
    type Answer = Order;
    type Error = OrderError;

    fn lane(&self, command: &CreateOrder) -> u64 {
        lane_of(command.idempotency_key)
    }

    fn bytes(&self, command: &CreateOrder) -> usize {
        let parties = command.product.as_ref().map_or(0, |choice| choice.parties.len());
        size_of::<CreateOrder>() + command.subject.len() + parties * size_of::<(String, MerchantId)>()
    }

    async fn run(&self, batch: &[CreateOrder]) -> Results<Order, OrderError> {
        match retrying(OrderError::retryable, || self.create(batch)).await {
            Err(error) if error.shared() => {
                tracing::error!(orders = batch.len(), error = &error as &dyn std::error::Error, "no connection to make orders with");
                Ok(batch.iter().map(|_| Err(OrderError::Busy { retry_after: crate::base::db::RETRY_AFTER })).collect())
            }
            result => result,
        }
    }
}

impl Creation {
    /// One transaction of five statements, whatever the number of orders. One more where a product names a subsidy programme, and five where
    /// that pays.
    async fn create(&self, batch: &[CreateOrder]) -> Results<Order, OrderError> {
        let now = self.clock.now();
        let scopes: Vec<Scope> = batch.iter().map(scope).collect();
        // parties are looked up beside the merchants, without a store
        let parties = batch.iter().filter_map(|cmd| cmd.product.as_ref()).flat_map(|choice| choice.parties.values());
        let parties = parties.map(|party| (*party, NO_STORE));
        let stores: Vec<_> =
            batch.iter().map(|cmd| (cmd.merchant, cmd.store)).chain(parties).collect::<BTreeSet<_>>().into_iter().collect();
        let mut tx = self.db.begin().await?;
        let keys = Keys::read_in_tx(&mut tx, &scopes).await?;
        let contracts = repo::contracts_in_tx(&mut tx, &stores).await?;
        let codes = batch.iter().filter_map(|cmd| self.products.find(chosen(cmd))?.product.subsidy.as_deref()).collect();
        let programmes = reservation::named_in_tx(&mut tx, &codes).await?;

        let mut making = Making { products: &self.products, keys, contracts, programmes, orders: Vec::new(), now };
        let mut results: Vec<_> = batch.iter().map(|cmd| making.take_in(cmd)).collect();
        let wanted = making.reserves();
        if !wanted.is_empty() {
            let short = reservation::reserve_in_tx(&mut tx, &wanted, now).await?;
            making.go_without(&short, batch, &mut results);
        }

        repo::insert_in_tx(&mut tx, &making.orders).await?;
        outbox::append_in_tx(&mut tx, &making.orders.iter().map(created).collect::<Vec<_>>()).await?;
        making.keys.write_in_tx(&mut tx, now).await?;
        tx.commit().await?;
        Ok(results)
    }
}

/// A batch in memory: each member sees what those before it did.
struct Making<'a> {
    products: &'a Products,
    keys: Keys<Order>,
    contracts: HashMap<(MerchantId, StoreId), Contract>,
    /// By code.
    programmes: HashMap<String, Programme>,
    /// Accepted, to be written.
    orders: Vec<Order>,
    now: DateTime<Utc>,
}

impl Making<'_> {
    /// Decides one command. A rejected one leaves nothing, not even its key.
    fn take_in(&mut self, cmd: &CreateOrder) -> Result<Order, OrderError> {
        let hash = CommandHash::of(cmd);
        if let Some(kept) = self.keys.find(scope(cmd), hash)? {
            // a claim commits with its answer: one without was written by hand
            return kept.response.clone().ok_or(OrderError::NotFound);
        }
        let contract = self.contracts.get(&(cmd.merchant, cmd.store)).ok_or(OrderError::MerchantNotSigned)?;
        if !contract.signed {
            return Err(OrderError::MerchantNotSigned);
        }
        if !contract.store_exists {
            return Err(OrderError::StoreNotFound);
        }
        let sale = self.sale(cmd, contract.fee_bps)?;
        let id = OrderId::new();
        let order = Order {
            id,
            merchant: cmd.merchant,
            store: cmd.store,
            subject: cmd.subject.clone(),
            amount: sale.offer.amount,
            fee_bps: sale.offer.fee_bps,
            status: OrderStatus::Created,
            stripe: rules::stripe(id, contract.stripes),
            refunded: Money { minor: 0, currency: cmd.amount.currency },
            created_at: self.now,
            expires_at: self.now + sale.lifetime,
            paid_at: None,
            closed_at: None,
            product: Frozen { code: sale.code, version: sale.version, terms: sale.offer.terms },
            escrow: Escrow::default(),
            subsidy: sale.subsidy,
        };
        self.keys.claim(scope(cmd), hash, id.0, Some(order.clone()));
        self.orders.push(order.clone());
        Ok(order)
    }

    /// What the chosen product makes of the command.
    fn sale(&self, cmd: &CreateOrder, contract_bps: i32) -> Result<Sale, OrderError> {
        let none = BTreeMap::new();
        let (code, parties) = cmd.product.as_ref().map_or((STORE_PAYMENT, &none), |Choice { code, parties }| (code.as_str(), parties));
        let Some(published) = self.products.find(code) else {
            // as it was before there were products
            if code != STORE_PAYMENT {
                return Err(OrderError::ProductUnknown);
            }
            let offer = Offer { amount: cmd.amount, fee_bps: contract_bps, terms: FrozenTerms::default() };
            return Ok(Sale { code: code.to_owned(), version: 0, offer, lifetime: rules::LIFETIME, subsidy: None });
        };
        let (product, collect) = (&published.product, &published.product.collect);
        if !(collect.amount_minor_min..=collect.amount_minor_max).contains(&cmd.amount.minor) {
            let bound = |minor| Money { minor, ..cmd.amount };
            return Err(OrderError::AmountOutsideProduct { min: bound(collect.amount_minor_min), max: bound(collect.amount_minor_max) });
        }
        let roles = product.roles();
        if let Some(role) = roles.iter().find(|role| !parties.contains_key(**role)) {
            return Err(OrderError::RoleUnbound { role: (*role).to_owned() });
        }
        for (role, party) in parties {
            if !roles.contains(role.as_str()) {
                return Err(OrderError::RoleUnknown { role: role.clone() });
            }
            if *party == cmd.merchant {
                return Err(OrderError::PartyIsMerchant { role: role.clone() });
            }
            if !self.contracts.get(&(*party, NO_STORE)).is_some_and(|contract| contract.signed) {
                return Err(OrderError::PartyNotSigned { role: role.clone() });
            }
        }
        // a role that is paid from another one's part cannot be the same merchant: the payment would come, and not be divided
        for mistake in plan::check_parties(&product.split, cmd.merchant, parties) {
            if let Mistake::PaysItself { role } = mistake {
                return Err(OrderError::PartyPaysItself { role });
            }
        }
        let offer = terms::freeze(product, cmd.amount, contract_bps, parties.clone());
        if offer.amount.minor > AMOUNT_MINOR_MAX {
            return Err(OrderError::AmountInvalid);
        }
        let lifetime = TimeDelta::minutes(i64::from(collect.pay_within_min));
        let programme = product.subsidy.as_ref().and_then(|code| self.programmes.get(code)).filter(|programme| programme.pays(self.now));
        let part = programme.map(|programme| Subsidy { programme: programme.id, minor: programme.part_of(offer.amount).minor });
        let subsidy = part.filter(|part| part.minor > 0);
        Ok(Sale { code: code.to_owned(), version: published.version, offer, lifetime, subsidy })
    }

    /// What the accepted orders ask of budgets.
    fn reserves(&self) -> Vec<Reserve> {
        let reserve = |order: &Order| Some(Reserve { order: order.id, programme: order.subsidy?.programme, amount: order.subsidy() });
        self.orders.iter().filter_map(reserve).collect()
    }

    /// Makes the orders for which too little is left of a budget without a subsidy: a budget that is spent stops no sale.
    fn go_without(&mut self, short: &HashSet<OrderId>, batch: &[CreateOrder], results: &mut [Result<Order, OrderError>]) {
        for order in self.orders.iter_mut().filter(|order| short.contains(&order.id)) {
            order.subsidy = None;
        }
        for (cmd, result) in batch.iter().zip(results) {
            if let Ok(order) = result
                && short.contains(&order.id)
            {
                order.subsidy = None;
                self.keys.answer(scope(cmd), order.clone());
            }
        }
    }
}

/// A product applied to a command.
struct Sale {
    code: String,
    version: i32,
    offer: Offer,
    lifetime: TimeDelta,
    subsidy: Option<Subsidy>,
}

/// Stands for no store where a merchant is looked up.
const NO_STORE: StoreId = StoreId(uuid::Uuid::nil());

/// The code of the product that is asked for.
fn chosen(cmd: &CreateOrder) -> &str {
    cmd.product.as_ref().map_or(STORE_PAYMENT, |choice| choice.code.as_str())
}

fn scope(cmd: &CreateOrder) -> Scope {
    Scope { tenant: cmd.merchant.0, operation: "orderCreate", key: cmd.idempotency_key }
}

fn created(order: &Order) -> Event {
    let mut event = Event {
        book: order.merchant.book(),
        kind: "order.created",
        subject: order.id.0,
        payload: serde_json::json!({
            "version": 1,
            "storeId": order.store,
            "amountMinor": order.amount.minor.to_string(),
            "currency": order.amount.currency,
            "productCode": order.product.code,
            "productVersion": order.product.version,
        }),
        at: order.created_at,
    };
    if order.subsidy.is_some() {
        event.payload["subsidyMinor"] = order.subsidy().minor.to_string().into();
    }
    event
}
