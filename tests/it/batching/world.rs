//! A merchant whose batches a test runs by hand, without lanes, and whose rows it reads back with names in place of ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use chrono::TimeDelta;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;
use wallet::base::batcher::{Batched, Results};
use wallet::base::clock::Clock;
use wallet::base::id::{AttemptId, MerchantId, OrderId, StoreId, UserId};
use wallet::base::money::Money;
use wallet::channel::acquirer::{Acquirer, Method};
use wallet::channel::inbox::{Arrived, Inbox, NoticeKey};
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::{ACQUIRER_KEY, Link, PLATFORM_KEY, SandboxAcquirer};
use wallet::channel::{Channels, SANDBOX};
use wallet::ledger::{self, BookKind};
use wallet::order::{CreateOrder, Creation};
use wallet::payment::{Outcome, Payments, Preparation, Record, Recording, StartPayment, Word};
use wallet::product::Products;

/// One merchant that may sell and one that may not, and the four batches of the hot commands.
pub struct World {
    pub db: PgPool,
    pub clock: Clock,
    pub merchant: MerchantId,
    pub unsigned: MerchantId,
    pub store: StoreId,
    pub creation: Creation,
    pub preparation: Preparation,
    pub recording: Recording,
    pub inbox: Inbox,
    payments: Payments,
    names: HashMap<Uuid, String>,
}

/// A channel that nobody reaches.
pub fn nowhere() -> Channels {
    let signer = |name| {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::try_from_pkcs8(name, key.as_ref()).unwrap()
    };
    let theirs = Verifier::new(ACQUIRER_KEY, &signer(ACQUIRER_KEY).public_key());
    let ours = Arc::new(signer(PLATFORM_KEY));
    let timeout = Duration::from_secs(5);
    let link = Link::try_new("http://127.0.0.1:1", ours, theirs, "1900000001", "http://127.0.0.1:1/notices/sandbox", timeout).unwrap();
    let sandbox: Arc<dyn Acquirer> = Arc::new(SandboxAcquirer::new(link));
    Channels::new([sandbox])
}

impl World {
    pub async fn new(db: &PgPool) -> Self {
        let (db, clock) = (db.clone(), tests::morning());
        let (merchant, unsigned, store, owner, now) = (MerchantId::new(), MerchantId::new(), StoreId::new(), UserId::new(), clock.now());
        let mut tx = db.begin().await.unwrap();
        sqlx::query("INSERT INTO users (user_id, handle, role, display_name, created_at) VALUES ($1, $2, 'OWNER', '店主', $3)")
            .bind(owner.0)
            .bind(owner.simple())
            .bind(now)
            .execute(&mut *tx)
            .await
            .unwrap();
        for (merchant, status) in [(merchant, "SIGNED"), (unsigned, "APPLYING")] {
            sqlx::query(
                "INSERT INTO merchants (merchant_id, owner_id, name, status, fee_bps, settlement_account_sealed, settlement_account_tail, created_at, signed_at)
                 VALUES ($1, $2, '好店便利' || $4, $4, 38, '', '3456', $3, CASE WHEN $4 = 'SIGNED' THEN $3 END)",
            )
            .bind(merchant.0)
            .bind(owner.0)
            .bind(now)
            .bind(status)
            .execute(&mut *tx)
            .await
            .unwrap();
            sqlx::query(
                "INSERT INTO stores (merchant_id, store_id, name, address, created_at) VALUES ($1, $2, '城西店', '北京市朝阳区', $3)",
            )
            .bind(merchant.0)
            .bind(store.0)
            .bind(now)
            .execute(&mut *tx)
            .await
            .unwrap();
            ledger::open_book_in_tx(&mut tx, merchant.book(), BookKind::Merchant, now).await.unwrap();
        }
        tx.commit().await.unwrap();
        let names =
            HashMap::from([(merchant.0, "merchant".to_owned()), (unsigned.0, "unsigned".to_owned()), (store.0, "store".to_owned())]);
        let channels = nowhere();
        Self {
            creation: Creation { db: db.clone(), clock: clock.clone(), products: Products::default() },
            preparation: Preparation {
                db: db.clone(),
                clock: clock.clone(),
                channels: channels.clone(),
                routing: Arc::new(tests::routing(&channels, &clock)),
                query_after: TimeDelta::seconds(5),
            },
            recording: Recording { db: db.clone(), clock: clock.clone() },
            inbox: Inbox { db: db.clone() },
            payments: Payments::new(db.clone(), clock.clone(), channels.clone(), tests::routing(&channels, &clock), Duration::from_secs(5)),
            db,
            clock,
            merchant,
            unsigned,
            store,
            names,
        }
    }

    pub fn create(&self, key: u128) -> CreateOrder {
        CreateOrder {
            merchant: self.merchant,
            store: self.store,
            amount: Money::cny(1_250),
            subject: "早餐".to_owned(),
            product: None,
            idempotency_key: Uuid::from_u128(key),
        }
    }

    pub fn start(&self, order: OrderId, key: u128) -> StartPayment {
        StartPayment {
            merchant: self.merchant,
            order,
            method: Method::Page,
            wallet: None,
            failed: None,
            payer: None,
            return_url: None,
            idempotency_key: Uuid::from_u128(key),
        }
    }

    /// Another of the world's notices: ids are told apart by the world's merchant.
    pub fn notice(&self, id: u8, body: u8) -> Arrived {
        let key = NoticeKey { channel: SANDBOX.to_owned(), notice_id: format!("{} {id}", self.merchant.simple()) };
        Arrived { key, body: vec![body].into(), content: vec![body].into(), at: self.clock.now() }
    }

    pub fn pass(&self, minutes: i64) {
        self.clock.set_offset_ms(self.clock.offset_ms() + minutes * 60_000);
    }

    /// The channel speaks.
    pub async fn says(&self, attempt: AttemptId, word: Word) -> String {
        let outcome = Outcome { book: self.merchant.book(), attempt, word };
        format!("{:?}", self.payments.apply(&[outcome]).await)
    }

    /// Results in words, with a name for each id in the order of its first appearance.
    pub fn told<A, E: std::fmt::Debug>(&mut self, results: &[Result<A, E>], value: impl Fn(&A) -> Value) -> Vec<String> {
        let text = |result: &Result<A, E>| match result {
            Ok(answer) => self.scrubbed(value(answer)).to_string(),
            Err(error) => format!("{error:?}"),
        };
        results.iter().map(text).collect()
    }

    /// Names the ids that an answer brings, before they are read anywhere else.
    pub fn name(&mut self, what: &str, id: Uuid) {
        let next = self.names.len();
        self.names.entry(id).or_insert_with(|| format!("{what} {next}"));
    }

    /// Without times, and with names for ids: those that nobody was told have none.
    fn scrubbed(&self, value: Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(name, _)| !name.ends_with("_at") && !name.ends_with("At"))
                .map(|(name, v)| (name, self.scrubbed(v)))
                .collect(),
            Value::Array(items) => items.into_iter().map(|v| self.scrubbed(v)).collect(),
            Value::String(text) => match text.parse::<Uuid>() {
                Ok(id) => {
                    self.names.get(&id).cloned().unwrap_or_else(|| if id.as_u128() < 1_000 { text } else { "unnamed".to_owned() }).into()
                }
                Err(_) => text.replace(&self.merchant.simple(), "notice").into(),
            },
            other => other,
        }
    }

    /// All that commands leave behind, in one order.
    pub async fn rows(&self) -> Vec<String> {
        let tables = [
            "SELECT to_jsonb(o) FROM orders o WHERE book_id = $1 OR book_id = $2",
            "SELECT to_jsonb(a) FROM payment_attempts a WHERE book_id = $1 OR book_id = $2",
            "SELECT to_jsonb(k) - 'request_hash' FROM idempotency_keys k WHERE tenant_id = $1 OR tenant_id = $2",
            "SELECT to_jsonb(e) - ARRAY['event_id', 'xid', 'seq'] FROM outbox e WHERE book_id = $1 OR book_id = $2",
            "SELECT to_jsonb(j) - ARRAY['job_id', 'run_at'] FROM jobs j WHERE book_id = $1 OR book_id = $2",
            "SELECT to_jsonb(r) FROM request_numbers r WHERE book_id = $1 OR book_id = $2",
            "SELECT to_jsonb(n) || jsonb_build_object('done', processed_at IS NOT NULL) FROM notices n
             WHERE notice_id LIKE replace($1::text, '-', '') || ' %' OR notice_id LIKE replace($2::text, '-', '') || ' %'",
        ];
        let mut rows = Vec::new();
        for table in tables {
            let values: Vec<Value> =
                sqlx::query_scalar(table).bind(self.merchant.0).bind(self.unsigned.0).fetch_all(&self.db).await.unwrap();
            let mut lines: Vec<String> = values.into_iter().map(|v| self.scrubbed(v).to_string()).collect();
            lines.sort_unstable();
            rows.extend(lines);
        }
        rows
    }
}

/// Runs commands as one batch, or one after another.
pub async fn run<B: Batched>(work: &B, commands: &[B::Command], together: bool) -> Vec<Result<B::Answer, B::Error>> {
    let whole = |results: Results<B::Answer, B::Error>| results.unwrap_or_else(|error| vec![Err(error)]);
    if together {
        return whole(work.run(commands).await);
    }
    let mut results = Vec::new();
    for command in commands {
        results.extend(whole(work.run(std::slice::from_ref(command)).await));
    }
    results
}

/// What ends a start, for any attempt.
pub fn record(cmd: StartPayment, attempt: AttemptId, said: wallet::payment::Said) -> Record {
    Record { cmd, attempt, said }
}
