//! A merchant spread over stripes: one wallet to its owner, several books to the ledger.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Barrier;
use uuid::Uuid;
use wallet::base::money::Money;
use wallet::book::BookError;
use wallet::ledger::{self, AccountKind, BillLine};
use wallet::payment::Verdict;
use wallet::refund::{self, RefundError, RequestRefund};
use wallet::withdrawal::WithdrawalError;

use super::{Scene, cny};

impl Scene {
    /// The whole bill of an account, read in pages of `first`.
    async fn bill(&self, account: AccountKind, first: i64) -> Vec<BillLine> {
        let (mut lines, mut before): (Vec<BillLine>, _) = (Vec::new(), None);
        loop {
            let page = self.wallets.bill_lines(&self.owner, self.merchant, account, before, first).await.unwrap();
            lines.extend(page.items);
            if !page.has_next {
                return lines;
            }
            before = lines.last().map(|l| l.cursor.clone());
        }
    }

    async fn refund(&self, order: &wallet::order::Order, minor: i64) -> Result<refund::Refund, RefundError> {
        let cmd = RequestRefund {
            merchant: self.merchant,
            order: order.id,
            amount: cny(minor),
            reason: "不要了".to_owned(),
            idempotency_key: Uuid::now_v7(),
        };
        self.refunds.request(&self.owner, cmd).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn payments_from_many_tasks_add_up_over_the_stripes_and_on_the_bill() {
    let scene = Arc::new(Scene::striped(4).await);
    let start = Arc::new(Barrier::new(8));
    let tasks: Vec<_> = (0..8_i64)
        .map(|task| {
            let (scene, start) = (Arc::clone(&scene), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                for n in 0..10 {
                    scene.pay(1_000 + 100 * task + n).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let amounts: Vec<i64> = (0..8).flat_map(|task| (0..10).map(move |n| 1_000 + 100 * task + n)).collect();
    let owed: i64 = amounts.iter().map(|&a| a - Money::cny(a).share_bps_half_up(100).minor).sum();
    assert_eq!(scene.owed().await, [owed, 0, 0, 0]);
    let by_stripe = scene.in_stripes(4, AccountKind::MerchantPending).await;
    assert!(by_stripe.iter().all(|minor| *minor > 0), "eighty orders leave no stripe out: {by_stripe:?}");
    assert_eq!(by_stripe.iter().sum::<i64>(), owed);

    for first in [1, 7, 100] {
        let bill = scene.bill(AccountKind::MerchantPending, first).await;
        assert_eq!(bill.iter().map(|l| l.seq).collect::<Vec<_>>(), (1..=80).rev().collect::<Vec<_>>(), "pages of {first}");
        assert_eq!(bill.iter().map(|l| l.reference).collect::<HashSet<_>>().len(), 80, "no line twice");
        assert_eq!(bill[0].balance_after, cny(owed));
        for (line, older) in bill.iter().zip(&bill[1..]) {
            assert_eq!(line.balance_after.minor - line.amount.minor, older.balance_after.minor, "line {}", line.seq);
        }
        assert_eq!(bill[79].balance_after, bill[79].amount);
    }
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_page_goes_on_where_the_one_before_stopped_whatever_is_booked_meanwhile() {
    let scene = Scene::striped(3).await;
    scene.pay_each_stripe(3, 1_000).await;
    let whole = scene.bill(AccountKind::MerchantPending, 100).await;
    let page = |before, first| scene.wallets.bill_lines(&scene.owner, scene.merchant, AccountKind::MerchantPending, before, first);
    let first = page(None, 2).await.unwrap();
    assert!(first.has_next);
    scene.pay_each_stripe(3, 500).await;
    scene.books.set_stripes(&scene.operator, scene.merchant, 5).await.unwrap();
    scene.pay_each_stripe(5, 70).await;
    let rest = page(first.items.last().map(|l| l.cursor.clone()), 100).await.unwrap();
    assert_eq!([first.items, rest.items].concat(), whole);
    assert_eq!(scene.bill(AccountKind::MerchantPending, 100).await.len(), 11);
}

#[tokio::test]
async fn everything_is_withdrawn_although_no_stripe_has_enough() {
    let scene = Scene::striped(4).await;
    scene.pay_each_stripe(4, 1_000).await;
    scene.turn_day();
    assert_eq!(scene.settle().await, 4, "each stripe is settled by itself");
    assert_eq!(scene.owed().await, [0, 3_960, 0, 0]);

    let refused = scene.withdraw(3_961).await.unwrap_err();
    assert!(
        matches!(refused, WithdrawalError::AmountExceedsAvailable { available, .. } if available == cny(3_960)),
        "it is told what all stripes have: {refused}"
    );
    assert_eq!(scene.in_stripes(4, AccountKind::MerchantAvailable).await, [990; 4], "a refused withdrawal collects nothing");

    scene.withdraw(500).await.unwrap();
    assert_eq!(scene.in_stripes(4, AccountKind::MerchantAvailable).await, [490, 990, 990, 990], "one stripe is enough");
    scene.withdraw(1_600).await.unwrap();
    assert_eq!(scene.in_stripes(4, AccountKind::MerchantAvailable).await, [0, 0, 870, 990], "the others help out in their order");
    scene.withdraw(1_860).await.unwrap();
    assert_eq!(scene.owed().await, [0, 0, 3_960, 0]);
    assert_eq!(scene.in_stripes(4, AccountKind::PayoutTransit).await, [3_960, 0, 0, 0], "withdrawals are held in the first stripe");
    assert_eq!(scene.in_transit().await, 0);
    assert_eq!(scene.count("SELECT count(*) FROM transfers WHERE purpose = 'COLLECT' AND status = 'ARRIVED'").await, 4);
    scene.assert_sound().await;
}

/// Four at once want all there is: one gets it, the others are told what is left, and nobody waits in a circle.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_withdrawals_at_once_no_more_succeed_than_there_is_money() {
    let scene = Arc::new(Scene::striped(4).await);
    scene.pay_each_stripe(4, 1_000).await;
    scene.turn_day();
    scene.settle().await;
    let start = Arc::new(Barrier::new(4));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (scene, start) = (Arc::clone(&scene), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                scene.withdraw(3_960).await
            })
        })
        .collect();
    let mut held = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => held += 1,
            Err(WithdrawalError::AmountExceedsAvailable { available, .. }) => assert_eq!(available, cny(0)),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((held, scene.owed().await), (1, [0, 0, 3_960, 0]));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_is_made_from_a_stripe_that_is_short() {
    let scene = Scene::striped(3).await;
    let paid = scene.pay_each_stripe(3, 1_000).await;
    scene.turn_day();
    scene.settle().await;
    // leaves nothing in stripe 0 and 1, and 980 in stripe 2
    scene.withdraw(1_990).await.unwrap();
    assert_eq!(scene.in_stripes(3, AccountKind::MerchantAvailable).await, [0, 0, 980]);

    let refund = scene.refund(&paid[1], 900).await.unwrap();
    assert_eq!(scene.in_stripes(3, AccountKind::MerchantAvailable).await, [0, 0, 89], "900 less the fee's 9");
    assert_eq!(scene.in_stripes(3, AccountKind::RefundPayable).await, [0, 900, 0], "booked where the order's money is");
    let refused = scene.refund(&paid[0], 91).await.unwrap_err();
    assert!(matches!(refused, RefundError::InsufficientBalance { available } if available == cny(89)), "{refused}");
    scene.refund(&paid[0], 90).await.unwrap();
    assert_eq!(scene.owed().await, [0, 0, 1_990, 990]);

    // refused by the channel for good: it comes back to the stripe that gave it, and not to those that were collected from
    let word = refund::Word::Failed { code: "ACCOUNT_CLOSED".to_owned() };
    let outcome = refund::Outcome { book: scene.merchant.book(), refund: refund.id, word };
    assert_eq!(scene.refunds.apply(&[outcome]).await.unwrap(), [Some(refund::Verdict::Return)]);
    assert_eq!(scene.in_stripes(3, AccountKind::MerchantAvailable).await, [0, 891, 0]);
    assert_eq!(scene.in_transit().await, 0);
    scene.assert_sound().await;
}

/// Pending money of one stripe that a refund of another took is not released with the first one's day.
#[tokio::test]
async fn what_was_collected_from_pending_is_settled_where_it_went() {
    let scene = Scene::striped(2).await;
    let paid = scene.pay_each_stripe(2, 1_000).await;
    scene.turn_day();
    scene.settle().await;
    scene.withdraw(1_980).await.unwrap();
    scene.pay_each_stripe(1, 2_000).await;
    assert_eq!(scene.in_stripes(2, AccountKind::MerchantPending).await, [1_980, 0]);
    let refund = scene.refund(&paid[1], 1_000).await.unwrap();
    assert_eq!(scene.in_stripes(2, AccountKind::MerchantPending).await, [990, 0]);
    let word = refund::Word::Failed { code: "ACCOUNT_CLOSED".to_owned() };
    scene.refunds.apply(&[refund::Outcome { book: scene.merchant.book(), refund: refund.id, word }]).await.unwrap();
    scene.turn_day();
    scene.settle().await;
    assert_eq!(scene.in_stripes(2, AccountKind::MerchantAvailable).await, [990, 990]);
    assert_eq!(scene.owed().await, [0, 1_980, 1_980, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_notice_that_is_repeated_after_the_stripes_grew_finds_its_stripe() {
    let scene = Scene::open().await;
    let order = scene.order(1_000).await;
    let attempt = scene.start(order.id).await;
    scene.books.set_stripes(&scene.operator, scene.merchant, 16).await.unwrap();
    assert_eq!(scene.says_paid(&attempt).await, Verdict::Pay, "the order was made when there was one stripe");
    assert_eq!(scene.says_paid(&attempt).await, Verdict::Duplicate);
    assert_eq!(scene.in_stripes(16, AccountKind::MerchantPending).await, [[990].as_slice(), &[0; 15]].concat());

    let later = scene.order(1_000).await;
    let attempt = scene.start(later.id).await;
    assert_eq!(scene.says_paid(&attempt).await, Verdict::Pay);
    assert_eq!(scene.says_paid(&attempt).await, Verdict::Duplicate);
    let expected = 990 + if later.stripe == 0 { 990 } else { 0 };
    assert_eq!(scene.stands_at(scene.merchant.stripe(0), AccountKind::MerchantPending).await, expected);
    assert_eq!(scene.owed().await, [1_980, 0, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn only_an_operator_sets_the_stripes_and_their_number_only_grows() {
    let scene = Scene::open().await;
    for actor in [&scene.owner, &wallet::base::actor::Actor::Customer { merchant: scene.merchant, order: wallet::base::id::OrderId::new() }]
    {
        assert!(matches!(scene.books.set_stripes(actor, scene.merchant, 4).await, Err(BookError::Forbidden(_))));
        assert!(matches!(scene.books.totals(actor).await, Err(BookError::Forbidden(_))));
    }
    let books = "SELECT count(*) FROM books WHERE kind = 'MERCHANT'";
    assert_eq!(scene.count(books).await, 1, "a refused change does nothing");
    let set = |stripes| scene.books.set_stripes(&scene.operator, scene.merchant, stripes);
    assert!(matches!(set(0).await, Err(BookError::StripesOutOfRange)));
    assert!(matches!(set(17).await, Err(BookError::StripesOutOfRange)));
    assert_eq!(set(4).await.unwrap(), 4);
    assert_eq!(set(4).await.unwrap(), 4, "again is the same");
    assert!(matches!(set(3).await, Err(BookError::StripesOnlyGrow { stripes: 4 })));
    assert_eq!(scene.count(books).await, 4);
    assert_eq!(scene.count("SELECT count(*) FROM audit_events WHERE action = 'merchant.stripes_set'").await, 1);
    let stranger = wallet::base::id::MerchantId::new();
    assert!(matches!(scene.books.set_stripes(&scene.operator, stranger, 2).await, Err(BookError::NotFound)));
    scene.assert_sound().await;
}

/// What two stripes hold is read in one statement: no reader sees money that has left one and not come to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_never_sees_money_between_the_stripes() {
    let scene = Arc::new(Scene::striped(4).await);
    scene.pay_each_stripe(4, 1_000).await;
    scene.turn_day();
    scene.settle().await;
    let withdrawing = {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move {
            for _ in 0..36 {
                scene.withdraw(110).await.unwrap();
            }
        })
    };
    let mut reads = 0;
    while !withdrawing.is_finished() {
        let balances = ledger::balances(scene.db.pool(), scene.merchant).await.unwrap();
        assert_eq!(balances.available.minor + balances.in_payout.minor, 3_960);
        reads += 1;
    }
    withdrawing.await.unwrap();
    assert!(reads > 0);
    assert_eq!(scene.owed().await, [0, 0, 3_960, 0]);
}
