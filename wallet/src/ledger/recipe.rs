//! The money movements, one function each. Every function returns legs that sum to zero; a leg that would be zero is left out.
//!
//! | recipe | debit (借) | credit (贷) |
//! |---|---|---|
//! | payment | channel receivable | merchant pending (amount less fee), fee income (fee) |
//! | payment of a held order | channel receivable | the order's escrow (amount less fee), fee income (fee) |
//! | order release | the order's escrow | merchant pending or available (amount less fee), fee income (fee) |
//! | refund | merchant pending, available, shares due, debt or the order's escrow (amount less fee back), fee income (fee back) | refund payable |
//! | refund settled | refund payable | channel receivable |
//! | refund returned | refund payable | what the refund had debited |
//! | refund paid out | refund payable | bank cash |
//! | refund bounced | bank cash | refund payable |
//! | refund paid by hand | refund payable | bank cash |
//! | advance recovered | merchant available | merchant debt |
//! | settlement release | merchant pending | merchant available |
//! | withdrawal hold | merchant available | payout transit |
//! | withdrawal paid | payout transit | bank cash |
//! | withdrawal returned | payout transit | merchant available |
//! | transfer out | an account of the book it leaves | books in transit |
//! | transfer in | books in transit | an account of the book it comes to |
//! | split freeze | merchant pending or available | split frozen |
//! | split gather | merchant pending, merchant available | split frozen |
//! | split release | split frozen | merchant pending or available |
//! | payment of a subsidised order | channel receivable (cash), books in transit (subsidy) | as for a payment |
//! | subsidy used | the programme's subsidy | books in transit |
//! | subsidy returned, merchant's book | refund payable | books in transit |
//! | subsidy returned, platform's book | books in transit | the programme's subsidy |
//! | subsidy funded | bank cash | the programme's subsidy |
//! | subsidy withdrawn | the programme's subsidy | bank cash |
//! | split ungather | split frozen | merchant pending, merchant available |
//! | split bear | merchant pending, merchant available | shares due |

use chrono::NaiveDate;
use uuid::Uuid;

use super::account::AccountKind::{
    self, BankCash, BooksInTransit, ChannelReceivable, Escrow, FeeIncome, MerchantAvailable, MerchantDebt, MerchantPending, PayoutTransit,
    RefundPayable, SharesDue, SplitFrozen, Subsidy,
};
use super::account::AccountName;
use super::posting::{Capture, Leg, Posting, PostingKind};
use crate::base::id::{
    AttemptId, BatchId, BookId, HoldId, MovementId, OrderId, ProgrammeId, RecoveryId, RefundId, ReleaseId, StoreId, TransferId,
    WithdrawalId,
};
use crate::base::money::Money;

/// Which of the merchant's balances a refund is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefundSource {
    Pending,
    Available,
    /// What is held of the order itself.
    Escrow(OrderId),
    /// What the channel takes back from receivers with the refund.
    Shares,
    /// What the platform gives, and the merchant owes it (垫资).
    Advance,
}

impl RefundSource {
    /// The account that the money is in.
    pub fn account(self) -> AccountKind {
        match self {
            Self::Pending => MerchantPending,
            Self::Available => MerchantAvailable,
            Self::Escrow(_) => Escrow,
            Self::Shares => SharesDue,
            Self::Advance => MerchantDebt,
        }
    }

    /// A debit of the account, or a credit where the amount is negative.
    fn leg(self, amount: Money) -> Leg {
        match self {
            Self::Escrow(order) => debit_of(Escrow, &order.simple(), amount),
            Self::Pending | Self::Available | Self::Shares | Self::Advance => debit(self.account(), amount),
        }
    }
}

/// Money came in through a channel. `fee` is the platform's part of `amount`; `day` is the day of success.
pub fn payment(book: BookId, store: StoreId, attempt: AttemptId, amount: Money, fee: Money, channel: &str, day: NaiveDate) -> Posting {
    let (into, none) = (AccountName::fixed(MerchantPending, amount.currency), Money { minor: 0, ..amount });
    payment_into(book, store, attempt, (amount, none, fee), channel, &into, day)
}

/// The same into another account than pending: the merchant's available one (T+0), or the order's escrow. A programme adds `subsidy` to the
/// `cash` that the channel took ([`subsidy_used`]); the fee is the platform's part of both together.
pub fn payment_into(
    book: BookId,
    store: StoreId,
    attempt: AttemptId,
    (cash, subsidy, fee): (Money, Money, Money),
    channel: &str,
    into: &AccountName,
    day: NaiveDate,
) -> Posting {
    let amount = Money { minor: cash.minor + subsidy.minor, ..cash };
    let legs = [
        debit_of(ChannelReceivable, channel, cash),
        debit(BooksInTransit, subsidy),
        credit_of(into.kind, &into.subject, less(amount, fee)),
        credit(FeeIncome, fee),
    ];
    posting(book, PostingKind::Payment, attempt.0, Some(store), day, legs)
}

/// Held money of an order becomes the merchant's: `to` is pending or available. `fee` is the platform's part of `amount`.
pub fn order_release(
    book: BookId,
    store: StoreId,
    release: ReleaseId,
    order: OrderId,
    (amount, fee): (Money, Money),
    to: AccountKind,
    day: NaiveDate,
) -> Posting {
    let legs = [debit_of(Escrow, &order.simple(), amount), credit(to, less(amount, fee)), credit(FeeIncome, fee)];
    posting(book, PostingKind::OrderRelease, release.0, Some(store), day, legs)
}

/// Money is taken back from the merchant for a refund. `fee_back` is the part of the fee that is given back with it.
pub fn refund(
    book: BookId,
    store: StoreId,
    refund: RefundId,
    amount: Money,
    fee_back: Money,
    from: RefundSource,
    day: NaiveDate,
) -> Posting {
    refund_of(book, store, refund, (amount, fee_back), &[(from, less(amount, fee_back))], day)
}

/// The same from several balances, which together give what the fee does not.
pub fn refund_of(
    book: BookId,
    store: StoreId,
    refund: RefundId,
    (amount, fee_back): (Money, Money),
    from: &[(RefundSource, Money)],
    day: NaiveDate,
) -> Posting {
    let taken = from.iter().map(|(source, part)| source.leg(*part));
    let legs = taken.chain([debit(FeeIncome, fee_back), credit(RefundPayable, amount)]);
    posting(book, PostingKind::Refund, refund.0, Some(store), day, legs)
}

/// The channel paid the refund to the payer.
pub fn refund_settled(book: BookId, store: StoreId, refund: RefundId, amount: Money, channel: &str, day: NaiveDate) -> Posting {
    let legs = [debit(RefundPayable, amount), credit_of(ChannelReceivable, channel, amount)];
    posting(book, PostingKind::RefundSettled, refund.0, Some(store), day, legs)
}

/// The channel refused the refund for good, or it was cancelled. `day` is the day of the [`refund`] it undoes, so that the board restates
/// that day; `to` is what it had taken from where.
pub fn refund_returned(
    book: BookId,
    store: StoreId,
    refund: RefundId,
    (amount, fee_back): (Money, Money),
    to: &[(RefundSource, Money)],
    day: NaiveDate,
) -> Posting {
    let given = to.iter().map(|(source, part)| source.leg(Money { minor: -part.minor, ..*part }));
    let legs = [debit(RefundPayable, amount)].into_iter().chain(given).chain([credit(FeeIncome, fee_back)]);
    posting(book, PostingKind::RefundReturned, refund.0, Some(store), day, legs)
}

/// The bank paid the refund to the payee's account. `route`: the refund's try.
pub fn refund_paid_out(book: BookId, store: StoreId, route: Uuid, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit(RefundPayable, amount), credit_of(BankCash, bank, amount)];
    posting(book, PostingKind::RefundPaidOut, route, Some(store), day, legs)
}

/// What the bank had paid for a refund is back with us: the exact inverse of [`refund_paid_out`].
pub fn refund_bounced(book: BookId, store: StoreId, route: Uuid, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit_of(BankCash, bank, amount), credit(RefundPayable, amount)];
    posting(book, PostingKind::RefundBounced, route, Some(store), day, legs)
}

/// A refund that came back was paid outside, from the cash of the bank that it had come back to.
pub fn refund_paid_by_hand(book: BookId, store: StoreId, refund: RefundId, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit(RefundPayable, amount), credit_of(BankCash, bank, amount)];
    posting(book, PostingKind::RefundPaidByHand, refund.0, Some(store), day, legs)
}

/// Available money pays what the merchant owes the platform.
pub fn advance_recovered(book: BookId, recovery: RecoveryId, amount: Money, day: NaiveDate) -> Posting {
    let legs = [debit(MerchantAvailable, amount), credit(MerchantDebt, amount)];
    posting(book, PostingKind::AdvanceRecovered, recovery.0, None, day, legs)
}

/// A day's pending money becomes available (T+1).
pub fn settlement_release(book: BookId, batch: BatchId, amount: Money, day: NaiveDate) -> Posting {
    posting(book, PostingKind::SettlementRelease, batch.0, None, day, [debit(MerchantPending, amount), credit(MerchantAvailable, amount)])
}

/// A withdrawal is held until the bank answers.
pub fn withdrawal_hold(book: BookId, withdrawal: WithdrawalId, amount: Money, day: NaiveDate) -> Posting {
    posting(book, PostingKind::WithdrawalHold, withdrawal.0, None, day, [debit(MerchantAvailable, amount), credit(PayoutTransit, amount)])
}

/// The bank paid the withdrawal.
pub fn withdrawal_paid(book: BookId, withdrawal: WithdrawalId, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit(PayoutTransit, amount), credit_of(BankCash, bank, amount)];
    posting(book, PostingKind::WithdrawalPaid, withdrawal.0, None, day, legs)
}

/// The bank refused the withdrawal: the exact inverse of [`withdrawal_hold`].
pub fn withdrawal_returned(book: BookId, withdrawal: WithdrawalId, amount: Money, day: NaiveDate) -> Posting {
    let legs = [debit(PayoutTransit, amount), credit(MerchantAvailable, amount)];
    posting(book, PostingKind::WithdrawalReturned, withdrawal.0, None, day, legs)
}

/// What the bank had paid is back with us: the exact inverse of [`withdrawal_paid`].
pub fn withdrawal_bounced(book: BookId, withdrawal: WithdrawalId, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit_of(BankCash, bank, amount), credit(PayoutTransit, amount)];
    posting(book, PostingKind::WithdrawalBounced, withdrawal.0, None, day, legs)
}

/// What came back from the bank is the merchant's again: the exact inverse of [`withdrawal_hold`].
pub fn withdrawal_credited_back(book: BookId, withdrawal: WithdrawalId, amount: Money, day: NaiveDate) -> Posting {
    let legs = [debit(PayoutTransit, amount), credit(MerchantAvailable, amount)];
    posting(book, PostingKind::WithdrawalCreditedBack, withdrawal.0, None, day, legs)
}

/// Money leaves a book for another one: the first leg of a transfer between books.
pub fn transfer_out(book: BookId, transfer: TransferId, from: AccountKind, amount: Money, day: NaiveDate) -> Posting {
    posting(book, PostingKind::TransferOut, transfer.0, None, day, [debit(from, amount), credit(BooksInTransit, amount)])
}

/// The money of a [`transfer_out`] comes to its book.
pub fn transfer_in(book: BookId, transfer: TransferId, to: AccountKind, amount: Money, day: NaiveDate) -> Posting {
    posting(book, PostingKind::TransferIn, transfer.0, None, day, [debit(BooksInTransit, amount), credit(to, amount)])
}

/// Money of the merchant is kept until it is divided. `reference`: the order that was paid, or the release that divides.
pub fn split_freeze(book: BookId, reference: Uuid, amount: Money, from: AccountKind, day: NaiveDate) -> Posting {
    posting(book, PostingKind::SplitFreeze, reference, None, day, [debit(from, amount), credit(SplitFrozen, amount)])
}

/// A receiver sets aside what it gives back of a split: so much of its pending and so much of its available money.
pub fn split_gather(book: BookId, part: Uuid, pending: Money, available: Money, day: NaiveDate) -> Posting {
    let whole = Money { minor: pending.minor + available.minor, ..pending };
    let legs = [debit(MerchantPending, pending), debit(MerchantAvailable, available), credit(SplitFrozen, whole)];
    posting(book, PostingKind::SplitFreeze, part, None, day, legs)
}

/// Kept money becomes money of the book's merchant. `reference`: an order, a release, a line or a return.
pub fn split_release(book: BookId, reference: Uuid, amount: Money, to: AccountKind, day: NaiveDate) -> Posting {
    posting(book, PostingKind::SplitRelease, reference, None, day, [debit(SplitFrozen, amount), credit(to, amount)])
}

/// A programme pays its part of an order, out of what the order had reserved. The money is on its way to the order's book, whose payment is
/// posted in the same transaction.
pub fn subsidy_used(programme: ProgrammeId, order: OrderId, amount: Money, day: NaiveDate) -> Posting {
    let legs = [debit_of(Subsidy, &programme.simple(), amount), credit(BooksInTransit, amount)];
    let hold = Some(Capture { hold: HoldId(order.0), last: true });
    Posting { hold, ..posting(BookId::PLATFORM, PostingKind::SubsidyUsed, order.0, None, day, legs) }
}

/// A refund's part goes back to its programme: out of the merchant's book, and into the platform's, in one transaction.
pub fn subsidy_returned(book: BookId, refund: RefundId, programme: ProgrammeId, amount: Money, day: NaiveDate) -> [Posting; 2] {
    let out = [debit(RefundPayable, amount), credit(BooksInTransit, amount)];
    let back = [debit(BooksInTransit, amount), credit_of(Subsidy, &programme.simple(), amount)];
    [
        posting(book, PostingKind::SubsidyReturned, refund.0, None, day, out),
        posting(BookId::PLATFORM, PostingKind::SubsidyReturned, refund.0, None, day, back),
    ]
}

/// Money came to the bank for a programme.
pub fn subsidy_funded(movement: MovementId, programme: ProgrammeId, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit_of(BankCash, bank, amount), credit_of(Subsidy, &programme.simple(), amount)];
    posting(BookId::PLATFORM, PostingKind::SubsidyFunded, movement.0, None, day, legs)
}

/// What a programme had left went back through the bank.
pub fn subsidy_withdrawn(movement: MovementId, programme: ProgrammeId, amount: Money, bank: &str, day: NaiveDate) -> Posting {
    let legs = [debit_of(Subsidy, &programme.simple(), amount), credit_of(BankCash, bank, amount)];
    posting(BookId::PLATFORM, PostingKind::SubsidyWithdrawn, movement.0, None, day, legs)
}

/// A receiver keeps what it had set aside: the exact inverse of [`split_gather`].
pub fn split_ungather(book: BookId, part: Uuid, pending: Money, available: Money, day: NaiveDate) -> Posting {
    let whole = Money { minor: pending.minor + available.minor, ..pending };
    let legs = [debit(SplitFrozen, whole), credit(MerchantPending, pending), credit(MerchantAvailable, available)];
    posting(book, PostingKind::SplitRelease, part, None, day, legs)
}

/// The merchant gives for a refund what its channel left with receivers.
pub fn split_bear(book: BookId, back: Uuid, pending: Money, available: Money, day: NaiveDate) -> Posting {
    let whole = Money { minor: pending.minor + available.minor, ..pending };
    let legs = [debit(MerchantPending, pending), debit(MerchantAvailable, available), credit(SharesDue, whole)];
    posting(book, PostingKind::SplitBear, back, None, day, legs)
}

fn posting(
    book: BookId,
    kind: PostingKind,
    reference: Uuid,
    store: Option<StoreId>,
    business_date: NaiveDate,
    legs: impl IntoIterator<Item = Leg>,
) -> Posting {
    let legs = legs.into_iter().filter(|leg| leg.amount.minor != 0).collect();
    Posting { book, kind, reference, store, business_date, legs, hold: None, metadata: None }
}

fn debit(account: AccountKind, amount: Money) -> Leg {
    debit_of(account, "", amount)
}

fn debit_of(account: AccountKind, subject: &str, amount: Money) -> Leg {
    Leg { account, subject: subject.to_owned(), amount }
}

fn credit(account: AccountKind, amount: Money) -> Leg {
    credit_of(account, "", amount)
}

fn credit_of(account: AccountKind, subject: &str, amount: Money) -> Leg {
    debit_of(account, subject, Money { minor: -amount.minor, ..amount })
}

/// What is left of `amount` after `part`. Amounts of commands are far below the limits of `i64`.
fn less(amount: Money, part: Money) -> Money {
    debug_assert_eq!(amount.currency, part.currency);
    Money { minor: amount.minor - part.minor, ..amount }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legs(posting: &Posting) -> Vec<(AccountKind, &str, i64)> {
        posting.legs.iter().map(|l| (l.account, l.subject.as_str(), l.amount.minor)).collect()
    }

    #[test]
    fn every_movement_has_its_legs() {
        let (book, store, day) = (BookId::new(), StoreId::new(), NaiveDate::default());
        let (amount, fee, none) = (Money::cny(10_000), Money::cny(38), Money::cny(0));
        let (attempt, refund_id, withdrawal, order) = (AttemptId::new(), RefundId::new(), WithdrawalId::new(), OrderId::new());
        let order_no = order.simple();
        let (programme, pending) = (ProgrammeId::new(), AccountName::fixed(MerchantPending, amount.currency));
        let programme_no = programme.simple();
        let [out, back] = subsidy_returned(book, refund_id, programme, amount, day);
        let cases = [
            (
                "payment",
                payment(book, store, attempt, amount, fee, "c", day),
                vec![(ChannelReceivable, "c", 10_000), (MerchantPending, "", -9_962), (FeeIncome, "", -38)],
            ),
            (
                "payment without a fee",
                payment(book, store, attempt, amount, none, "c", day),
                vec![(ChannelReceivable, "c", 10_000), (MerchantPending, "", -10_000)],
            ),
            (
                "payment that is all fee",
                payment(book, store, attempt, amount, amount, "c", day),
                vec![(ChannelReceivable, "c", 10_000), (FeeIncome, "", -10_000)],
            ),
            (
                "refund of pending money",
                refund(book, store, refund_id, amount, fee, RefundSource::Pending, day),
                vec![(MerchantPending, "", 9_962), (FeeIncome, "", 38), (RefundPayable, "", -10_000)],
            ),
            (
                "refund of available money",
                refund(book, store, refund_id, amount, none, RefundSource::Available, day),
                vec![(MerchantAvailable, "", 10_000), (RefundPayable, "", -10_000)],
            ),
            (
                "refund of pending and available money",
                refund_of(
                    book,
                    store,
                    refund_id,
                    (amount, fee),
                    &[(RefundSource::Pending, fee), (RefundSource::Available, Money::cny(9_924))],
                    day,
                ),
                vec![(MerchantPending, "", 38), (MerchantAvailable, "", 9_924), (FeeIncome, "", 38), (RefundPayable, "", -10_000)],
            ),
            (
                "refund paid out",
                refund_paid_out(book, store, refund_id.0, amount, "b", day),
                vec![(RefundPayable, "", 10_000), (BankCash, "b", -10_000)],
            ),
            (
                "refund paid by hand",
                refund_paid_by_hand(book, store, refund_id, amount, "b", day),
                vec![(RefundPayable, "", 10_000), (BankCash, "b", -10_000)],
            ),
            (
                "advance recovered",
                advance_recovered(book, RecoveryId::new(), amount, day),
                vec![(MerchantAvailable, "", 10_000), (MerchantDebt, "", -10_000)],
            ),
            (
                "refund of available money and of an advance",
                refund_of(
                    book,
                    store,
                    refund_id,
                    (amount, none),
                    &[(RefundSource::Available, fee), (RefundSource::Advance, less(amount, fee))],
                    day,
                ),
                vec![(MerchantAvailable, "", 38), (MerchantDebt, "", 9_962), (RefundPayable, "", -10_000)],
            ),
            (
                "refund settled",
                refund_settled(book, store, refund_id, amount, "c", day),
                vec![(RefundPayable, "", 10_000), (ChannelReceivable, "c", -10_000)],
            ),
            (
                "payment of a held order",
                payment_into(book, store, attempt, (amount, none, fee), "c", &AccountName::escrow(order, amount.currency), day),
                vec![(ChannelReceivable, "c", 10_000), (Escrow, order_no.as_str(), -9_962), (FeeIncome, "", -38)],
            ),
            (
                "release",
                order_release(book, store, ReleaseId::new(), order, (amount, fee), MerchantPending, day),
                vec![(Escrow, order_no.as_str(), 10_000), (MerchantPending, "", -9_962), (FeeIncome, "", -38)],
            ),
            (
                "refund of held money",
                refund(book, store, refund_id, amount, fee, RefundSource::Escrow(order), day),
                vec![(Escrow, order_no.as_str(), 9_962), (FeeIncome, "", 38), (RefundPayable, "", -10_000)],
            ),
            (
                "payment of a subsidised order",
                payment_into(book, store, attempt, (fee, less(amount, fee), fee), "c", &pending, day),
                vec![(ChannelReceivable, "c", 38), (BooksInTransit, "", 9_962), (MerchantPending, "", -9_962), (FeeIncome, "", -38)],
            ),
            (
                "subsidy used",
                subsidy_used(programme, order, amount, day),
                vec![(Subsidy, programme_no.as_str(), 10_000), (BooksInTransit, "", -10_000)],
            ),
            ("subsidy leaving the merchant's book", out, vec![(RefundPayable, "", 10_000), (BooksInTransit, "", -10_000)]),
            ("subsidy back with its programme", back, vec![(BooksInTransit, "", 10_000), (Subsidy, programme_no.as_str(), -10_000)]),
            (
                "subsidy funded",
                subsidy_funded(MovementId::new(), programme, amount, "b", day),
                vec![(BankCash, "b", 10_000), (Subsidy, programme_no.as_str(), -10_000)],
            ),
            (
                "subsidy withdrawn",
                subsidy_withdrawn(MovementId::new(), programme, amount, "b", day),
                vec![(Subsidy, programme_no.as_str(), 10_000), (BankCash, "b", -10_000)],
            ),
            (
                "settlement",
                settlement_release(book, BatchId::new(), amount, day),
                vec![(MerchantPending, "", 10_000), (MerchantAvailable, "", -10_000)],
            ),
            (
                "withdrawal hold",
                withdrawal_hold(book, withdrawal, amount, day),
                vec![(MerchantAvailable, "", 10_000), (PayoutTransit, "", -10_000)],
            ),
            (
                "withdrawal paid",
                withdrawal_paid(book, withdrawal, amount, "b", day),
                vec![(PayoutTransit, "", 10_000), (BankCash, "b", -10_000)],
            ),
            (
                "split freeze",
                split_freeze(book, OrderId::new().0, amount, MerchantPending, day),
                vec![(MerchantPending, "", 10_000), (SplitFrozen, "", -10_000)],
            ),
            (
                "split gather",
                split_gather(book, OrderId::new().0, amount, fee, day),
                vec![(MerchantPending, "", 10_000), (MerchantAvailable, "", 38), (SplitFrozen, "", -10_038)],
            ),
            (
                "split release",
                split_release(book, OrderId::new().0, amount, MerchantAvailable, day),
                vec![(SplitFrozen, "", 10_000), (MerchantAvailable, "", -10_000)],
            ),
            (
                "split bear",
                split_bear(book, OrderId::new().0, amount, fee, day),
                vec![(MerchantPending, "", 10_000), (MerchantAvailable, "", 38), (SharesDue, "", -10_038)],
            ),
            (
                "refund of pending money and of receivers' shares",
                refund_of(
                    book,
                    store,
                    refund_id,
                    (amount, none),
                    &[(RefundSource::Pending, fee), (RefundSource::Shares, less(amount, fee))],
                    day,
                ),
                vec![(MerchantPending, "", 38), (SharesDue, "", 9_962), (RefundPayable, "", -10_000)],
            ),
        ];
        for (name, posting, expected) in cases {
            assert_eq!(legs(&posting), expected, "{name}");
            assert_eq!(posting.legs.iter().map(|l| l.amount.minor).sum::<i64>(), 0, "{name} sums to zero");
        }
    }

    #[test]
    fn what_is_returned_is_the_inverse_of_what_was_taken() {
        let (book, store, day) = (BookId::new(), StoreId::new(), NaiveDate::default());
        let (amount, fee) = (Money::cny(10_000), Money::cny(38));
        let (refund_id, withdrawal, order) = (RefundId::new(), WithdrawalId::new(), OrderId::new());
        let mixed = [(RefundSource::Pending, Money::cny(9_000)), (RefundSource::Available, Money::cny(962))];
        let pairs = [
            (
                refund(book, store, refund_id, amount, fee, RefundSource::Available, day),
                refund_returned(book, store, refund_id, (amount, fee), &[(RefundSource::Available, less(amount, fee))], day),
            ),
            (
                refund_of(book, store, refund_id, (amount, fee), &mixed, day),
                refund_returned(book, store, refund_id, (amount, fee), &mixed, day),
            ),
            (refund_paid_out(book, store, refund_id.0, amount, "b", day), refund_bounced(book, store, refund_id.0, amount, "b", day)),
            (
                refund(book, store, refund_id, amount, fee, RefundSource::Escrow(order), day),
                refund_returned(book, store, refund_id, (amount, fee), &[(RefundSource::Escrow(order), less(amount, fee))], day),
            ),
            (split_gather(book, order.0, amount, fee, day), split_ungather(book, order.0, amount, fee, day)),
            (withdrawal_hold(book, withdrawal, amount, day), withdrawal_returned(book, withdrawal, amount, day)),
            (withdrawal_paid(book, withdrawal, amount, "b", day), withdrawal_bounced(book, withdrawal, amount, "b", day)),
            (withdrawal_hold(book, withdrawal, amount, day), withdrawal_credited_back(book, withdrawal, amount, day)),
        ];
        for (taken, returned) in pairs {
            let mut inverse: Vec<_> = legs(&taken).into_iter().map(|(account, subject, minor)| (account, subject, -minor)).collect();
            let mut actual = legs(&returned);
            inverse.sort_unstable();
            actual.sort_unstable();
            assert_eq!(actual, inverse, "{:?}", returned.kind);
        }
    }
}
