//! Withdrawals against a bank that answers late, twice, wrongly or not at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use uuid::Uuid;
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{MerchantId, UserId};
use wallet::base::idempotency::IdempotencyError;
use wallet::channel::Progress;
use wallet::channel::SANDBOX_BANK;
use wallet::channel::payout::{PayoutRail, PayoutState, PayoutStatus, Rails};
use wallet::channel::sandbox::wire::{NoticeStatus, TransferStatus};
use wallet::withdrawal::{Payee, RequestWithdrawal, Withdrawal, WithdrawalError, WithdrawalStatus, Withdrawals};

use super::bank::{Bank, Mood, direct_bank};
use super::{Scene, cny};

/// When the bank is asked again about what it has paid.
const A_DAY_LATER: Progress = Progress::AskAgain(Duration::from_secs(86_400));

fn payee() -> Payee {
    Payee { name: "好店便利".to_owned(), account: "6222020200001123456".to_owned() }
}

/// A scene with 1,000.00 available, and a bank.
async fn scene(moods: &[Mood]) -> (Scene, Bank, Withdrawals) {
    let scene = Scene::open().await;
    scene.paid(100_000, 0).await;
    scene.turn_days(1);
    scene.settlements().release_due().await.unwrap();
    let bank = Bank::open(moods).await;
    let withdrawals = Withdrawals::new(scene.db.pool().clone(), scene.clock.clone(), bank.client());
    (scene, bank, withdrawals)
}

impl Scene {
    fn command(&self, minor: i64, key: Uuid) -> RequestWithdrawal {
        RequestWithdrawal { merchant: self.merchant, amount: cny(minor), account_tail: "3456".to_owned(), idempotency_key: key }
    }

    async fn request(&self, withdrawals: &Withdrawals, minor: i64) -> Withdrawal {
        withdrawals.request(&self.owner, self.command(minor, Uuid::now_v7())).await.unwrap()
    }

    /// Jobs of a kind that wait for this withdrawal.
    async fn waiting(&self, withdrawal: &Withdrawal, kind: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM jobs WHERE subject_id = $1 AND kind = $2 AND state = 'READY'")
            .bind(withdrawal.id.0)
            .bind(kind)
            .fetch_one(self.db.pool())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_withdrawal_is_held_then_paid() {
    let (scene, bank, withdrawals) = scene(&[Mood::Accepts]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    assert_eq!((held.status, scene.owed().await), (WithdrawalStatus::Held, [0, 40_000, 60_000, 0]));
    assert_eq!(scene.waiting(&held, "withdrawal_submit").await, 1);
    let submitted = withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    assert_eq!(submitted.status, WithdrawalStatus::Submitted);
    assert_eq!(scene.waiting(&held, "withdrawal_query").await, 1);
    assert!(matches!(withdrawals.query(scene.book(), held.id).await.unwrap(), Progress::AskAgain(_)), "accepted is no success");
    bank.decide(&held.id.simple(), TransferStatus::Succeeded);
    assert_eq!(withdrawals.query(scene.book(), held.id).await.unwrap(), A_DAY_LATER, "it may still come back");
    let paid = withdrawals.get(&scene.owner, scene.merchant, held.id).await.unwrap();
    assert_eq!((paid.status, scene.owed().await), (WithdrawalStatus::Succeeded, [0, 40_000, 0, 0]));
    assert_eq!(paid.bank_reference, Some(format!("B{}", held.id.simple())));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refused_withdrawal_gives_the_money_back() {
    let (scene, _bank, withdrawals) = scene(&[Mood::Refuses("ACCOUNT_CLOSED")]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    let failed = withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    assert_eq!((failed.status, failed.error_code.as_deref()), (WithdrawalStatus::Failed, Some("ACCOUNT_CLOSED")));
    assert_eq!(scene.owed().await, [0, 100_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn no_answer_keeps_the_hold_until_the_bank_has_its_say() {
    let (scene, bank, withdrawals) = scene(&[Mood::AcceptsSilently]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    let unknown = withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    assert_eq!((unknown.status, scene.owed().await), (WithdrawalStatus::Unknown, [0, 40_000, 60_000, 0]));
    scene.assert_sound().await;
    assert!(matches!(withdrawals.query(scene.book(), held.id).await.unwrap(), Progress::AskAgain(_)));
    bank.decide(&held.id.simple(), TransferStatus::Failed);
    assert_eq!(withdrawals.query(scene.book(), held.id).await.unwrap(), Progress::Settled);
    assert_eq!(scene.owed().await, [0, 100_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_request_the_bank_never_got_is_sent_again_under_the_same_number() {
    let (scene, bank, withdrawals) = scene(&[Mood::Deaf, Mood::Pays]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    assert_eq!(withdrawals.submit(scene.book(), held.id, payee()).await.unwrap().status, WithdrawalStatus::Unknown);
    sqlx::query("DELETE FROM jobs WHERE kind = 'withdrawal_submit'").execute(scene.db.pool()).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(withdrawals.query(scene.book(), held.id).await.unwrap(), Progress::AskAgain(_)));
        assert_eq!(scene.waiting(&held, "withdrawal_submit").await, 1, "one job, however often it is asked for");
    }
    let paid = withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    assert_eq!((paid.status, scene.owed().await), (WithdrawalStatus::Succeeded, [0, 40_000, 0, 0]));
    assert_eq!(bank.asked(), [held.id.simple(), held.id.simple()]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_of_a_second_call_does_not_undo_the_first() {
    let (scene, bank, withdrawals) = scene(&[Mood::AcceptsSilently, Mood::Refuses("LIMIT_EXCEEDED")]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    assert_eq!(withdrawals.submit(scene.book(), held.id, payee()).await.unwrap().status, WithdrawalStatus::Unknown);
    bank.decide(&held.id.simple(), TransferStatus::Succeeded);
    assert_eq!(withdrawals.submit(scene.book(), held.id, payee()).await.unwrap().status, WithdrawalStatus::Succeeded);
    assert_eq!(scene.owed().await, [0, 40_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn notices_count_once_and_only_with_the_right_amount() {
    let (scene, bank, withdrawals) = scene(&[Mood::Accepts, Mood::Accepts]).await;
    let (one, two) = (scene.request(&withdrawals, 60_000).await, scene.request(&withdrawals, 30_000).await);
    for held in [&one, &two] {
        withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    }
    let (no_one, no_two) = (one.id.simple(), two.id.simple());
    let notices = [
        bank.notice("n1", &no_one, 60_000, NoticeStatus::Succeeded),
        bank.notice("n2", &no_one, 60_000, NoticeStatus::Succeeded),
        bank.notice("n3", &no_two, 29_999, NoticeStatus::Succeeded),
        bank.notice("n4", &no_two, 30_000, NoticeStatus::Failed),
        bank.notice("n5", &no_two, 30_000, NoticeStatus::Succeeded),
        bank.notice("n6", &Uuid::now_v7().simple().to_string(), 1, NoticeStatus::Succeeded),
        bank.notice("n7", &no_one, 60_000, NoticeStatus::Closed),
    ];
    for (headers, body) in &notices {
        withdrawals.accept_notice(SANDBOX_BANK, headers, body).await.unwrap();
        withdrawals.accept_notice(SANDBOX_BANK, headers, body).await.unwrap();
    }
    let (headers, mut forged) = notices[0].clone();
    forged[0] = b' ';
    assert!(withdrawals.accept_notice(SANDBOX_BANK, &headers, &forged).await.is_err());
    assert_eq!(withdrawals.process_notices(100).await.unwrap(), 7);
    assert_eq!(withdrawals.process_notices(100).await.unwrap(), 0);
    let outcomes: Vec<(String, String, i32)> =
        sqlx::query_as("SELECT notice_id, outcome, deliveries FROM notices ORDER BY notice_id").fetch_all(scene.db.pool()).await.unwrap();
    let expected = [
        ("n1", "APPLIED"),
        ("n2", "DUPLICATE"),
        ("n3", "AMOUNT_DIFFERS"),
        ("n4", "APPLIED"),
        ("n5", "CONTRADICTED"),
        ("n6", "UNKNOWN_REQUEST"),
        ("n7", "MALFORMED"),
    ];
    assert_eq!(outcomes, expected.map(|(id, outcome)| (id.to_owned(), outcome.to_owned(), 2)));
    assert_eq!(scene.owed().await, [0, 40_000, 0, 0]);
    let contradicted: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events WHERE action = 'withdrawal.contradicted'")
        .fetch_one(scene.db.pool())
        .await
        .unwrap();
    assert_eq!(contradicted, 1);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_withdrawal_goes_on_at_the_bank_it_was_requested_through() {
    let (scene, bank, before) = scene(&[Mood::Accepts]).await;
    let held = scene.request(&before, 60_000).await;
    assert_eq!(held.bank, SANDBOX_BANK);
    let service = |rails| Withdrawals::new(scene.db.pool().clone(), scene.clock.clone(), rails);
    let (direct, sandbox): (Arc<dyn PayoutRail>, Arc<dyn PayoutRail>) = (Arc::new(direct_bank()), Arc::new(bank.client()));

    let without = service(Rails::new(direct.clone(), []));
    let refused = without.submit(scene.book(), held.id, payee()).await;
    assert!(matches!(refused, Err(WithdrawalError::BankNotConnected(name)) if name == SANDBOX_BANK));
    assert_eq!(without.get(&scene.owner, scene.merchant, held.id).await.unwrap().status, WithdrawalStatus::Held, "nobody was asked");

    let after = service(Rails::new(direct, [sandbox]));
    assert_eq!(after.submit(scene.book(), held.id, payee()).await.unwrap().status, WithdrawalStatus::Submitted);
    assert_eq!(bank.asked(), [held.id.simple()]);
    let other = scene.request(&after, 10_000).await;
    assert_eq!(other.bank, "DIRECT_BANK");
    let unanswered = after.submit(scene.book(), other.id, payee()).await.unwrap();
    assert_eq!(unanswered.status, WithdrawalStatus::Unknown, "nobody answers there, and the sandbox was not asked");
    assert_eq!(bank.asked().len(), 1);
    // the sandbox's bank has no say about what another was asked for
    let (headers, body) = bank.notice("n1", &other.id.simple(), 10_000, NoticeStatus::Succeeded);
    after.accept_notice(SANDBOX_BANK, &headers, &body).await.unwrap();
    assert_eq!(after.process_notices(10).await.unwrap(), 1);
    assert_eq!(after.get(&scene.owner, scene.merchant, other.id).await.unwrap().status, WithdrawalStatus::Unknown);
    scene.assert_sound().await;
}

/// Kinds of what a withdrawal did to the books, told and left in the audit trail, sorted.
async fn traces(scene: &Scene, withdrawal: &Withdrawal) -> Vec<String> {
    let kinds = "SELECT kind FROM postings WHERE reference_id = $1 UNION ALL SELECT kind FROM outbox WHERE subject_id = $1
                 UNION ALL SELECT 'audit ' || action FROM audit_events WHERE subject_id = $1";
    let mut kinds: Vec<String> = sqlx::query_scalar(kinds).bind(withdrawal.id.0).fetch_all(scene.db.owner_pool()).await.unwrap();
    kinds.sort_unstable();
    kinds
}

const CREDITED_BACK: [&str; 10] = [
    "WITHDRAWAL_BOUNCED",
    "WITHDRAWAL_CREDITED_BACK",
    "WITHDRAWAL_HOLD",
    "WITHDRAWAL_PAID",
    "audit withdrawal.credited_back",
    "audit withdrawal.requested",
    "audit withdrawal.returned",
    "withdrawal.credited_back",
    "withdrawal.returned",
    "withdrawal.succeeded",
];

#[tokio::test]
async fn what_comes_back_days_later_is_ours_by_a_query_and_then_the_merchant_s_once() {
    let (scene, bank, withdrawals) = scene(&[Mood::Pays]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    let (book, number) = (scene.book(), held.id.simple());
    withdrawals.submit(book, held.id, payee()).await.unwrap();
    scene.turn_days(3);
    assert_eq!(withdrawals.query(book, held.id).await.unwrap(), A_DAY_LATER);
    bank.decide(&number, TransferStatus::Returned);
    let back = PayoutState { status: PayoutStatus::Returned { code: "ACCOUNT_CLOSED".into() }, bank_reference: Some(format!("B{number}")) };
    let returned = withdrawals.apply_result(book, held.id, back.clone()).await.unwrap();
    assert_eq!((returned.status, returned.error_code.as_deref()), (WithdrawalStatus::Returned, Some("ACCOUNT_CLOSED")));
    assert_eq!(scene.owed().await, [0, 40_000, 60_000, 0], "ours, and not yet the merchant's");
    assert_eq!(scene.waiting(&held, "withdrawal_query").await, 2, "the job that credits it came with it");
    scene.assert_sound().await;
    for _ in 0..2 {
        assert_eq!(withdrawals.query(book, held.id).await.unwrap(), Progress::Settled);
        withdrawals.apply_result(book, held.id, back.clone()).await.unwrap();
    }
    let credited = withdrawals.get(&scene.owner, scene.merchant, held.id).await.unwrap();
    assert_eq!((credited.status, scene.owed().await), (WithdrawalStatus::CreditedBack, [0, 100_000, 0, 0]));
    assert!(credited.resolved_at < credited.returned_at && credited.credited_back_at.is_some(), "{credited:?}");
    assert_eq!(traces(&scene, &held).await, CREDITED_BACK);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_return_told_before_its_success_is_booked_as_both_in_any_order_and_told_twice() {
    let (scene, bank, withdrawals) = scene(&[Mood::Accepts, Mood::AcceptsSilently]).await;
    let held = [scene.request(&withdrawals, 60_000).await, scene.request(&withdrawals, 30_000).await];
    let told = [[NoticeStatus::Returned, NoticeStatus::Succeeded], [NoticeStatus::Succeeded, NoticeStatus::Returned]];
    for (held, told) in held.iter().zip(told) {
        let number = held.id.simple();
        withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
        for (n, status) in told.into_iter().chain([NoticeStatus::Returned]).enumerate() {
            let (headers, body) = bank.notice(&format!("{number}{n}").split_off(12), &number, held.amount.minor, status);
            withdrawals.accept_notice(SANDBOX_BANK, &headers, &body).await.unwrap();
            withdrawals.process_notices(10).await.unwrap();
        }
        assert_eq!(withdrawals.query(scene.book(), held.id).await.unwrap(), Progress::Settled);
        assert_eq!(traces(&scene, held).await, CREDITED_BACK);
    }
    assert_eq!(scene.owed().await, [0, 100_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_return_under_another_reference_or_after_a_refusal_waits_for_a_person() {
    let (scene, _bank, withdrawals) = scene(&[Mood::Pays, Mood::Refuses("ACCOUNT_CLOSED")]).await;
    for (minor, expected) in [(60_000, WithdrawalStatus::Succeeded), (30_000, WithdrawalStatus::Failed)] {
        let held = scene.request(&withdrawals, minor).await;
        withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
        for bank_reference in [Some("B-of-another".to_owned()), None] {
            let back = PayoutState { status: PayoutStatus::Returned { code: "ACCOUNT_CLOSED".into() }, bank_reference };
            let kept = withdrawals.apply_result(scene.book(), held.id, back).await.unwrap();
            assert_eq!((kept.status, kept.returned_at), (expected, None));
        }
        let contradicted = traces(&scene, &held).await.iter().filter(|t| *t == "audit withdrawal.contradicted").count();
        assert_eq!(contradicted, 2);
    }
    assert_eq!(scene.owed().await, [0, 40_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn the_bank_is_asked_for_a_week_whether_a_payout_came_back() {
    let (scene, bank, withdrawals) = scene(&[Mood::Pays]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    scene.turn_days(6);
    assert_eq!(withdrawals.query(scene.book(), held.id).await.unwrap(), A_DAY_LATER);
    scene.turn_days(2);
    bank.decide(&held.id.simple(), TransferStatus::Returned);
    assert_eq!(withdrawals.query(scene.book(), held.id).await.unwrap(), Progress::Settled, "after that the bank tells it or nobody does");
    assert_eq!(scene.owed().await, [0, 40_000, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bank_s_word_told_eight_times_at_once_is_booked_once() {
    let (scene, _bank, withdrawals) = scene(&[Mood::Accepts]).await;
    let held = scene.request(&withdrawals, 60_000).await;
    withdrawals.submit(scene.book(), held.id, payee()).await.unwrap();
    let start = Arc::new(Barrier::new(8));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (withdrawals, start, book, id) = (withdrawals.clone(), Arc::clone(&start), scene.book(), held.id);
            tokio::spawn(async move {
                start.wait().await;
                let state = PayoutState { status: PayoutStatus::Succeeded, bank_reference: Some("B1".to_owned()) };
                withdrawals.apply_result(book, id, state).await.unwrap().status
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), WithdrawalStatus::Succeeded);
    }
    assert_eq!(scene.owed().await, [0, 40_000, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_sent_eight_times_at_once_makes_one_withdrawal() {
    let (scene, _bank, withdrawals) = scene(&[]).await;
    let (key, start) = (Uuid::now_v7(), Arc::new(Barrier::new(8)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (withdrawals, start, owner, command) =
                (withdrawals.clone(), Arc::clone(&start), scene.owner.clone(), scene.command(1_000, key));
            tokio::spawn(async move {
                start.wait().await;
                withdrawals.request(&owner, command).await.unwrap()
            })
        })
        .collect();
    let mut made = Vec::new();
    for caller in callers {
        made.push(caller.await.unwrap());
    }
    assert!(made.iter().all(|w| *w == made[0]), "each is told the same");
    assert_eq!(scene.owed().await, [0, 99_000, 1_000, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_replayed_key_tells_the_same_even_after_the_withdrawal_ended() {
    let (scene, _bank, withdrawals) = scene(&[Mood::Pays]).await;
    let key = Uuid::now_v7();
    let told = withdrawals.request(&scene.owner, scene.command(1_000, key)).await.unwrap();
    withdrawals.submit(scene.book(), told.id, payee()).await.unwrap();
    assert_eq!(withdrawals.request(&scene.owner, scene.command(1_000, key)).await.unwrap(), told);
    let other = withdrawals.request(&scene.owner, scene.command(1_001, key)).await;
    assert!(matches!(other, Err(WithdrawalError::Idempotency(IdempotencyError::KeyReused))), "{other:?}");
    scene.assert_sound().await;
}

#[tokio::test]
async fn what_may_not_be_withdrawn_is_refused_and_changes_nothing() {
    let (scene, bank, withdrawals) = scene(&[]).await;
    let too_much = withdrawals.request(&scene.owner, scene.command(100_001, Uuid::now_v7())).await;
    assert!(
        matches!(too_much, Err(WithdrawalError::AmountExceedsAvailable { requested, available })
            if (requested, available) == (cny(100_001), cny(100_000))),
        "{too_much:?}"
    );
    for minor in [0, -1, i64::MAX] {
        let refused = withdrawals.request(&scene.owner, scene.command(minor, Uuid::now_v7())).await;
        assert!(matches!(refused, Err(WithdrawalError::AmountInvalid)), "{minor}: {refused:?}");
    }
    let person = |role, merchants| Actor::Person { id: UserId::new(), role, merchants };
    let strangers =
        [person(Role::Owner, vec![MerchantId::new()]), person(Role::Operator, vec![]), person(Role::Reviewer, vec![scene.merchant])];
    for stranger in strangers {
        let refused = withdrawals.request(&stranger, scene.command(1, Uuid::now_v7())).await;
        assert!(matches!(refused, Err(WithdrawalError::Forbidden(_))), "{stranger:?}: {refused:?}");
    }
    let unsigned = MerchantId::new();
    let owner = person(Role::Owner, vec![unsigned]);
    let refused = withdrawals.request(&owner, RequestWithdrawal { merchant: unsigned, ..scene.command(1, Uuid::now_v7()) }).await;
    assert!(matches!(refused, Err(WithdrawalError::MerchantNotSigned)), "{refused:?}");
    let left: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM withdrawals) + (SELECT count(*) FROM jobs)
              + (SELECT count(*) FROM idempotency_keys WHERE operation = 'withdrawalRequest')",
    )
    .fetch_one(scene.db.pool())
    .await
    .unwrap();
    assert_eq!((left, bank.asked().len(), scene.owed().await), (0, 0, [0, 100_000, 0, 0]));
    scene.assert_sound().await;
}

#[tokio::test]
async fn withdrawals_page_from_the_newest_and_are_shown_to_nobody_else() {
    let (scene, _bank, withdrawals) = scene(&[]).await;
    let mut made = Vec::new();
    for minor in [100, 200, 300] {
        made.push(scene.request(&withdrawals, minor).await);
    }
    made.reverse();
    let first = withdrawals.list(&scene.owner, scene.merchant, None, 2).await.unwrap();
    assert_eq!((first.items.as_slice(), first.has_next), (&made[..2], true));
    let last = first.items.last().map(|w| (w.created_at, w.id));
    let rest = withdrawals.list(&scene.owner, scene.merchant, last, 2).await.unwrap();
    assert_eq!((rest.items.as_slice(), rest.has_next), (&made[2..], false));
    let stranger = Actor::Person { id: UserId::new(), role: Role::Owner, merchants: vec![MerchantId::new()] };
    assert!(matches!(withdrawals.list(&stranger, scene.merchant, None, 2).await, Err(WithdrawalError::Forbidden(_))));
    assert!(matches!(withdrawals.get(&stranger, scene.merchant, made[0].id).await, Err(WithdrawalError::NotFound)));
}
