//! What holds for any sequence of postings, however it is cut into batches.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;
use proptest::prelude::*;
use uuid::Uuid;

use super::posting::Digest;
use super::recipe::{self, RefundSource};
use super::rules::{Account, PlannedEntry, State, decide};
use super::*;
use crate::base::id::{AccountId, AttemptId, BatchId, RefundId, StoreId, WithdrawalId};
use crate::base::money::Money;

const CHANNEL: &str = "CHANNEL";
const BANK: &str = "BANK";

/// The books of a run, kept in memory as the database keeps them.
#[derive(Clone)]
struct Books {
    accounts: Vec<Account>,
    posted: HashMap<(BookId, PostingId), Digest>,
    entries: Vec<PlannedEntry>,
}

impl Books {
    fn open(books: &[BookId]) -> Self {
        let named = |kind: AccountKind| match kind {
            AccountKind::ChannelReceivable => CHANNEL,
            AccountKind::BankCash => BANK,
            _ => "",
        };
        let accounts = books.iter().flat_map(|&book| {
            AccountKind::ALL.map(|kind| {
                let name = AccountName { kind, subject: named(kind).to_owned(), currency: Currency::Cny };
                let floor_minor = kind.floor();
                Account { book, id: name.id(book), name, balance_minor: 0, held_minor: 0, floor_minor, seq: 0, closed_day: None }
            })
        });
        Self { accounts: accounts.collect(), posted: HashMap::new(), entries: Vec::new() }
    }

    /// Posts a batch and returns what its members were told.
    fn post(&mut self, batch: &[Posting]) -> Vec<Result<(), Rejection>> {
        let commands: Vec<_> = batch.iter().cloned().map(Command::Post).collect();
        let state = State { accounts: self.accounts.clone(), posted: self.posted.clone(), ..State::default() };
        let plan = decide(&commands, state, NaiveDate::default(), DateTime::UNIX_EPOCH);
        for touched in plan.accounts {
            let account = self.accounts.iter_mut().find(|a| a.id == touched.id).expect("only known accounts are touched");
            *account = touched;
        }
        self.posted.extend(plan.postings.iter().map(|p| ((p.book, p.id), p.digest)));
        self.entries.extend(plan.entries);
        plan.outcomes.into_iter().map(|outcome| outcome.map(|_| ())).collect()
    }

    /// The entries without the ids of their postings, account by account.
    fn history(&self) -> HashMap<AccountId, Vec<(i64, i64, i64)>> {
        let mut history: HashMap<_, Vec<_>> = HashMap::new();
        for e in &self.entries {
            history.entry(e.account).or_default().push((e.seq, e.amount_minor, e.balance_after_minor));
        }
        history
    }
}

fn books() -> [BookId; 2] {
    [BookId(Uuid::from_u128(1)), BookId(Uuid::from_u128(2))]
}

/// Any posting: few references, so that some repeat; amounts that often exceed the balance; now and then one that is unsound.
fn any_posting() -> impl Strategy<Value = Posting> {
    (0..11_u8, 0..3_u8, 1..6_u128, 1..1_000_i64, 0..1_000_i64).prop_map(|(which, book, reference, amount, fee)| {
        // the third book does not exist
        let book = BookId(Uuid::from_u128(u128::from(if book == 2 && which != 0 { 1 } else { book + 1 })));
        let (store, id, day) = (StoreId(Uuid::nil()), Uuid::from_u128(reference), NaiveDate::default());
        let (amount, fee) = (Money::cny(amount), Money::cny(fee.min(amount)));
        let from = if which % 2 == 0 { RefundSource::Pending } else { RefundSource::Available };
        match which {
            0..=2 => recipe::payment(book, store, AttemptId(id), amount, fee, CHANNEL, day),
            3 | 4 => recipe::refund(book, store, RefundId(id), amount, fee, from, day),
            5 => recipe::refund_settled(book, store, RefundId(id), amount, CHANNEL, day),
            6 => {
                let taken = Money { minor: amount.minor - fee.minor, ..amount };
                recipe::refund_returned(book, store, RefundId(id), (amount, fee), &[(from, taken)], day)
            }
            7 => recipe::settlement_release(book, BatchId(id), amount, day),
            8 => recipe::withdrawal_hold(book, WithdrawalId(id), amount, day),
            9 => recipe::withdrawal_paid(book, WithdrawalId(id), amount, BANK, day),
            _ => {
                let mut unsound = recipe::withdrawal_returned(book, WithdrawalId(id), amount, day);
                unsound.legs[0].amount.minor += fee.minor;
                unsound
            }
        }
    })
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_books_sound(postings in prop::collection::vec(any_posting(), 0..60)) {
        let mut kept = Books::open(&books());
        let outcomes = kept.post(&postings);
        prop_assert_eq!(outcomes.len(), postings.len());
        for book in books() {
            let sum: i64 = kept.accounts.iter().filter(|a| a.book == book).map(|a| a.balance_minor).sum();
            prop_assert_eq!(sum, 0, "the accounts of a book sum to zero");
        }
        for account in &kept.accounts {
            prop_assert!(account.floor_minor.is_none_or(|floor| -account.balance_minor >= floor), "{:?} is below its floor", account);
            let (mut balance, mut seq) = (0, 0);
            for entry in kept.entries.iter().filter(|e| e.account == account.id) {
                balance += entry.amount_minor;
                seq += 1;
                prop_assert_eq!((entry.seq, entry.balance_after_minor), (seq, balance), "entries chain without gaps");
            }
            prop_assert_eq!((account.seq, account.balance_minor), (seq, balance), "the balance is the fold of the entries");
        }
        let mut seen = HashSet::new();
        for (posting, outcome) in postings.iter().zip(&outcomes) {
            if outcome.is_ok() {
                prop_assert!(seen.insert((posting.book, posting.kind, posting.reference)), "one object causes a posting of a kind once");
            }
        }
    }

    #[test]
    fn a_batch_does_what_its_members_do_one_by_one(
        postings in prop::collection::vec(any_posting(), 0..60),
        cuts in prop::collection::vec(1..9_usize, 0..60),
    ) {
        let mut one_by_one = Books::open(&books());
        let alone: Vec<_> = postings.iter().flat_map(|posting| one_by_one.post(std::slice::from_ref(posting))).collect();
        let mut batched = Books::open(&books());
        let (mut rest, mut together) = (postings.as_slice(), Vec::new());
        for size in cuts {
            let (batch, left) = rest.split_at(size.min(rest.len()));
            together.extend(batched.post(batch));
            rest = left;
        }
        together.extend(batched.post(rest));
        prop_assert_eq!(together, alone, "each member is told the same");
        prop_assert_eq!(&batched.accounts, &one_by_one.accounts);
        prop_assert_eq!(batched.history(), one_by_one.history());
    }

    #[test]
    fn a_rejected_member_leaves_no_trace(postings in prop::collection::vec(any_posting(), 1..40)) {
        let mut with = Books::open(&books());
        let outcomes = with.post(&postings);
        let accepted: Vec<_> = postings.iter().zip(&outcomes).filter(|(_, o)| o.is_ok()).map(|(p, _)| p.clone()).collect();
        let mut without = Books::open(&books());
        prop_assert!(without.post(&accepted).iter().all(Result::is_ok));
        prop_assert_eq!(&with.accounts, &without.accounts);
        prop_assert_eq!(with.history(), without.history());
    }
}

#[test]
fn a_posting_is_rejected_for_what_is_wrong_with_it() {
    let [book, _] = books();
    let (day, withdrawal) = (NaiveDate::default(), WithdrawalId(Uuid::from_u128(7)));
    let (store, attempt) = (StoreId(Uuid::nil()), AttemptId(Uuid::from_u128(8)));
    let paid = recipe::payment(book, store, attempt, Money::cny(100), Money::cny(1), CHANNEL, day);
    let held = |minor| recipe::withdrawal_hold(book, withdrawal, Money::cny(minor), day);
    let released = |minor| recipe::settlement_release(book, BatchId(Uuid::from_u128(9)), Money::cny(minor), day);
    let changed = |mut posting: Posting, change: fn(&mut Posting)| {
        change(&mut posting);
        posting
    };
    let available = AccountKind::MerchantAvailable;
    let cases = [
        ("a hold of nothing", vec![held(1)], Err(Rejection::AmountExceedsBalance { account: available, available: Money::cny(0) })),
        (
            "a hold of too much",
            vec![paid.clone(), released(60), held(61)],
            Err(Rejection::AmountExceedsBalance { account: available, available: Money::cny(60) }),
        ),
        ("a hold of all", vec![paid.clone(), released(60), held(60)], Ok(())),
        ("the same payment again", vec![paid.clone(), paid.clone()], Err(Rejection::AlreadyPosted)),
        ("another payment under its name", vec![paid.clone(), changed(paid.clone(), |p| p.store = None)], Err(Rejection::ReferenceReused)),
        ("an unknown book", vec![changed(paid.clone(), |p| p.book = BookId(Uuid::max()))], Err(Rejection::AccountMissing)),
        ("legs that do not sum to zero", vec![changed(paid.clone(), |p| p.legs[0].amount.minor += 1)], Err(Rejection::Unbalanced)),
        ("a leg of zero", vec![changed(paid.clone(), |p| p.legs.iter_mut().for_each(|l| l.amount.minor = 0))], Err(Rejection::Unbalanced)),
        ("no legs", vec![changed(paid.clone(), |p| p.legs.clear())], Err(Rejection::Unbalanced)),
        (
            "more than fits",
            vec![
                recipe::payment(book, store, AttemptId(Uuid::from_u128(1)), Money::cny(i64::MAX), Money::cny(0), CHANNEL, day),
                paid.clone(),
            ],
            Err(Rejection::Overflow),
        ),
    ];
    for (name, batch, expected) in cases {
        assert_eq!(Books::open(&books()).post(&batch).last(), Some(&expected), "{name}");
    }
}
