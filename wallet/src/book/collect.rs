//! Bringing a merchant's money together (归集) for a debit that no stripe covers alone, in the transaction of that debit.
//!
//! The postings of the collection ([`super::transfer::legs`]) and the debit after them go to the ledger in one call, so that all locks are
//! taken in one order. The transfers are written as arrived: they never are anything else.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::transfer::{Purpose, SendTransfer};
use crate::base::id::{BookId, MerchantId, TransferId};
use crate::base::money::{Currency, Money};
use crate::ledger::rules::Account;
use crate::ledger::{self, AccountKind, AccountName, LedgerError};

/// How far a debit of a merchant may reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// Its own stripe, whose accounts alone are locked.
    OwnStripe,
    /// All stripes.
    AllStripes,
}

/// What may be taken from one stripe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    pub book: BookId,
    pub available_minor: i64,
}

/// Locks accounts of the given kinds in every stripe within reach of a debit of `own`, those that a collection passes through, and
/// `more` of the debit itself: all that its postings touch, so that no lock is taken out of order. Gives the stripes and the accounts.
pub async fn lock_in_tx(
    tx: &mut PgConnection,
    (merchant, own): (MerchantId, BookId),
    reach: Reach,
    (kinds, more): (&[AccountKind], &[AccountKind]),
    currency: Currency,
    now: DateTime<Utc>,
) -> Result<(Vec<BookId>, Vec<Account>), LedgerError> {
    let (books, transit) = match reach {
        Reach::OwnStripe => (vec![own], None),
        Reach::AllStripes => {
            let stripes = super::repo::stripes_in_tx(tx, merchant).await?;
            let books = (0..stripes).map(|stripe| merchant.stripe(stripe)).collect();
            (books, (stripes > 1).then_some(AccountKind::BooksInTransit))
        }
    };
    let name = |book, kind| (book, AccountName::fixed(kind, currency));
    let of_stripes = books.iter().flat_map(|&book| kinds.iter().copied().chain(transit).map(move |kind| name(book, kind)));
    let names = of_stripes.chain(more.iter().map(|&kind| name(own, kind))).collect();
    let accounts = ledger::lock_in_tx(tx, names, now).await?;
    Ok((books, accounts))
}

/// What the stripes have in accounts of a kind, in the order given. `accounts` are locked.
pub fn shares(accounts: &[Account], books: &[BookId], kind: AccountKind) -> Vec<Share> {
    let available = |book| accounts.iter().find(|a| a.book == book && a.name.kind == kind && a.name.subject.is_empty());
    books.iter().map(|&book| Share { book, available_minor: available(book).map_or(0, |a| a.available().minor) }).collect()
}

/// What may be taken from all of them together.
pub fn sum_minor(shares: &[Share]) -> i64 {
    shares.iter().map(|share| share.available_minor.max(0)).sum()
}

/// The transfers that bring what `into` lacks of `amount` to it, from the other stripes in their order. None: all together have not enough.
pub fn plan(shares: &[Share], into: BookId, kind: AccountKind, amount: Money, day: NaiveDate) -> Option<Vec<SendTransfer>> {
    let has = |share: &Share| share.available_minor.max(0);
    let mut short = amount.minor - shares.iter().filter(|s| s.book == into).map(has).sum::<i64>();
    let mut transfers = Vec::new();
    for share in shares.iter().filter(|s| s.book != into) {
        let take = has(share).min(short);
        if take > 0 {
            short -= take;
            transfers.push(SendTransfer {
                id: TransferId::new(),
                purpose: Purpose::Collect,
                from: share.book,
                from_account: kind,
                to: into,
                to_account: kind,
                amount: Money { minor: take, ..amount },
                day,
            });
        }
    }
    (short <= 0).then_some(transfers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debit_collects_what_its_stripe_lacks_from_the_others_in_order() {
        let merchant = MerchantId::new();
        /// What is asked, what the four stripes have, which is its own, the amount, and what is taken from which.
        type Case<'a> = (&'a str, [i64; 4], i16, i64, Option<&'a [(i16, i64)]>);
        let cases: [Case; 8] = [
            ("the own stripe suffices", [100, 50, 0, 0], 0, 100, Some(&[])),
            ("a little is short", [100, 50, 70, 0], 0, 101, Some(&[(1, 1)])),
            ("one other is emptied before the next", [100, 50, 70, 0], 0, 200, Some(&[(1, 50), (2, 50)])),
            ("all of it", [100, 50, 70, 5], 0, 225, Some(&[(1, 50), (2, 70), (3, 5)])),
            ("more than all of it", [100, 50, 70, 5], 0, 226, None),
            ("an empty own stripe", [100, 50, 0, 5], 2, 120, Some(&[(0, 100), (1, 20)])),
            ("an own stripe in the middle", [10, 50, 10, 5], 1, 62, Some(&[(0, 10), (2, 2)])),
            ("a stripe below zero gives nothing and takes nothing", [100, -50, 0, 5], 0, 105, Some(&[(3, 5)])),
        ];
        for (name, has, own, amount, expected) in cases {
            let shares: Vec<_> =
                (0..4).zip(has).map(|(stripe, available_minor)| Share { book: merchant.stripe(stripe), available_minor }).collect();
            let planned = plan(&shares, merchant.stripe(own), AccountKind::MerchantAvailable, Money::cny(amount), NaiveDate::default());
            let taken: Option<Vec<_>> = planned.map(|transfers| transfers.iter().map(|t| (t.from, t.amount.minor)).collect());
            let expected: Option<Vec<_>> =
                expected.map(|taken| taken.iter().map(|&(stripe, minor)| (merchant.stripe(stripe), minor)).collect());
            assert_eq!(taken, expected, "{name}");
        }
    }
}
