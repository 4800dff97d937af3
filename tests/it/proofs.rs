//! The proof log on a real database: every entry is in it once, nothing changes unnoticed, and a proof convinces a stranger's program.

#![allow(clippy::unwrap_used, reason = "what a helper cannot do fails its test")]

mod append;
mod files;
mod seal;
mod tamper;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use sqlx::Row as _;
use tests::{TestDatabase, eventually};
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::clock::Clock;
use wallet::base::id::{AttemptId, MerchantId, StoreId, UserId};
use wallet::base::money::Money;
use wallet::ledger::{self, AccountKind, BookKind, Posting, PostingKind, recipe};
use wallet::period::Periods;
use wallet::proof::audit::Difference;
use wallet::proof::{Answer, Head, Proof, Proofs, last_sealable_day};

/// Longest anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Two merchants' books, and a clock that starts in the morning and is moved by hand.
struct Scene {
    db: TestDatabase,
    clock: Clock,
    merchants: Vec<MerchantId>,
    owner: Actor,
    proofs: Proofs,
}

impl Scene {
    async fn open() -> Self {
        let (db, clock) = (tests::database().await, tests::morning());
        let merchants = vec![MerchantId::new(), MerchantId::new()];
        let mut tx = db.pool().begin().await.unwrap();
        for merchant in &merchants {
            ledger::open_book_in_tx(&mut tx, merchant.book(), BookKind::Merchant, clock.now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let owner = Actor::Person { id: UserId::new(), role: Role::Owner, merchants: merchants.clone() };
        let proofs = Proofs::new(db.pool().clone(), clock.clone());
        Self { db, clock, merchants, owner, proofs }
    }

    fn today(&self) -> NaiveDate {
        self.clock.today()
    }

    fn turn(&self, time: TimeDelta) {
        self.clock.set_offset_ms(self.clock.offset_ms() + time.num_milliseconds());
    }

    /// Payments of one fen more each, in turn to one and the other merchant.
    fn payments(&self, count: i64) -> Vec<Posting> {
        let payment = |n: i64| {
            let book = self.merchants[usize::try_from(n % 2).unwrap()].book();
            recipe::payment(book, StoreId::new(), AttemptId::new(), Money::cny(1000 + n), Money::cny(4), "SANDBOX", self.today())
        };
        (0..count).map(payment).collect()
    }

    /// Posts payments in one transaction; three entries each.
    async fn pay(&self, count: i64) -> Vec<Posting> {
        let postings = self.payments(count);
        let mut tx = self.db.pool().begin().await.unwrap();
        for outcome in ledger::post_in_tx(&mut tx, &postings, self.today(), self.clock.now()).await.unwrap() {
            outcome.unwrap();
        }
        tx.commit().await.unwrap();
        postings
    }

    /// Closes the day, appends, turns to the next morning and seals: the head of the day that ended.
    async fn end_day(&self) -> Head {
        let day = self.today();
        self.turn(TimeDelta::days(1));
        self.close(day).await;
        self.catch_up().await;
        let heads = self.seal_due().await;
        *heads.iter().find(|head| head.day == day).unwrap_or_else(|| panic!("{day} is not among {heads:?}"))
    }

    /// Appends until every entry is in the log. Transactions of other tests beside this one, on the same server, hold it up, as they should.
    async fn catch_up(&self) {
        let entries = self.number("SELECT count(*) FROM entries").await;
        eventually(LIMIT, "every entry is in the log", async || {
            self.proofs.catch_up().await.unwrap();
            (self.size().await == entries).then_some(())
        })
        .await;
    }

    async fn seal_due(&self) -> Vec<Head> {
        self.proofs.seal_due(last_sealable_day(self.clock.now())).await.unwrap()
    }

    async fn close(&self, day: NaiveDate) {
        Periods::new(self.db.pool().clone(), self.clock.clone()).close_due_days(day).await.unwrap();
    }

    async fn size(&self) -> i64 {
        self.number("SELECT size FROM log_state").await
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.db.owner_pool()).await.unwrap()
    }

    /// The proof of what a payment did to the merchant's pending account.
    async fn proof_of(&self, payment: &Posting) -> Answer {
        let mut answers = self.answers(payment).await.unwrap();
        assert_eq!(answers.len(), 1, "one line of the bill");
        answers.remove(0)
    }

    async fn answers(&self, payment: &Posting) -> Result<Vec<Answer>, wallet::proof::ProofError> {
        let merchant = payment.book.merchant();
        self.proofs.entries(&self.owner, merchant, AccountKind::MerchantPending, PostingKind::Payment, payment.reference).await
    }

    async fn differences(&self) -> Vec<Difference> {
        self.proofs.audit(0..u64::MAX).await.unwrap().differences
    }

    /// Leaves of the log against entries, counted and compared with nothing of the log's own code but the text of an entry.
    async fn assert_every_entry_is_in_the_log_once(&self) {
        let audit = self.proofs.audit(0..u64::MAX).await.unwrap();
        assert_eq!(audit.differences, []);
        let entries = self.number("SELECT count(*) FROM entries").await;
        assert_eq!((i64::try_from(audit.leaves).unwrap(), self.size().await), (entries, entries));
        let leaves = "SELECT count(DISTINCT substr(hashes, n * 32 + 1, 32)) FROM log_tiles, generate_series(0, octet_length(hashes) / 32 - 1) AS n WHERE level = 0";
        assert_eq!(self.number(leaves).await, entries, "no leaf is there twice");
    }
}

/// The proof that must be there.
fn proven(answer: Answer) -> Proof {
    match answer {
        Answer::Proven(proof) => proof,
        Answer::NotSealedYet { day } => panic!("{day} is not sealed yet"),
    }
}

/// An entry's fields by name, from the lines of a proof.
fn fields(lines: &[String]) -> BTreeMap<&str, &str> {
    lines.iter().filter_map(|line| line.split_once(' ')).collect()
}

/// What an entry of the database should read in a proof, written down here once more.
async fn row_of(scene: &Scene, book: Uuid, posting: Uuid, line: i16) -> BTreeMap<String, String> {
    let row = sqlx::query(
        "SELECT e.account_id::text, a.kind, a.subject, a.currency, e.seq::text, e.amount_minor::text, e.balance_after_minor::text, p.kind,
                p.reference_id::text, p.accounting_date::text, p.business_date::text,
                to_char(p.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), COALESCE(p.store_id::text, '-'),
                COALESCE(p.reversal_of::text, '-'), COALESCE(p.hold_id::text, '-'), COALESCE(encode(sha256(convert_to(p.metadata, 'UTF8')), 'hex'), '-')
         FROM entries e JOIN postings p USING (book_id, posting_id) JOIN accounts a USING (book_id, account_id)
         WHERE e.book_id = $1 AND e.posting_id = $2 AND e.line = $3",
    )
    .bind(book)
    .bind(posting)
    .bind(line)
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    let names = [
        "account",
        "account-kind",
        "subject",
        "currency",
        "seq",
        "amount-minor",
        "balance-after-minor",
        "posting-kind",
        "reference",
        "accounting-date",
        "business-date",
        "recorded-at",
        "store",
        "reversal-of",
        "hold",
        "metadata-sha256",
    ];
    names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), row.get::<String, _>(at))).collect()
}
