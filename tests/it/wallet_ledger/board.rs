//! The daily board: as kept, as recounted, and who may see it.

use wallet::analytics::{Board, BoardDay};
use wallet::base::actor::{Actor, Role};
use wallet::base::id::{MerchantId, UserId};
use wallet::ledger::recipe::RefundSource;

use super::{Scene, cny};

fn figures(board: &BoardDay) -> BoardDay {
    BoardDay { as_of: board.day.and_hms_opt(0, 0, 0).unwrap().and_utc(), ..board.clone() }
}

#[tokio::test]
async fn the_board_shows_the_day_and_equals_its_recount() {
    let scene = Scene::open().await;
    let first = scene.paid(10_000, 38).await;
    scene.paid(5_001, 19).await;
    scene.refunded(first, 2_500, RefundSource::Pending, false).await;
    let boards = Board::new(scene.db.pool().clone(), scene.clock.clone());
    let today = scene.clock.today();
    let board = boards.day(&scene.owner, today, Some(scene.merchant)).await.unwrap();
    assert_eq!((board.signed_stores, board.active_stores, board.activity_rate_bps), (1, 1, 10_000));
    assert_eq!((board.flow, board.count, board.refunded, board.refund_count), (cny(15_001), 2, cny(2_500), 1));
    assert_eq!((board.fee, board.average_ticket, board.average_per_active_store), (cny(57), cny(7_501), cny(15_001)));
    assert_eq!(board.stores.len(), 1);
    assert_eq!(board.stores[0].name.as_deref(), Some("城西店"));
    let recount = boards.recount(&scene.owner, today, Some(scene.merchant)).await.unwrap();
    assert_eq!(figures(&recount), figures(&board));
    let operator = Actor::Person { id: UserId::new(), role: Role::Operator, merchants: vec![] };
    assert_eq!(figures(&boards.day(&operator, today, None).await.unwrap()), figures(&board));
    assert_eq!(figures(&boards.recount(&operator, today, None).await.unwrap()), figures(&board));
    let yesterday = boards.day(&scene.owner, scene.day(-1), Some(scene.merchant)).await.unwrap();
    assert_eq!((yesterday.signed_stores, yesterday.count, yesterday.average_ticket), (0, 0, cny(0)));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_store_whose_only_payment_was_taken_back_the_same_day_is_not_active() {
    let scene = Scene::open().await;
    let paid = scene.paid(10_000, 0).await;
    scene.refunded(paid, 10_000, RefundSource::Pending, true).await;
    let boards = Board::new(scene.db.pool().clone(), scene.clock.clone());
    let today = scene.clock.today();
    let board = boards.day(&scene.owner, today, Some(scene.merchant)).await.unwrap();
    assert_eq!((board.flow, board.refunded, board.active_stores, board.activity_rate_bps), (cny(10_000), cny(10_000), 0, 0));
    assert_eq!(board.average_per_active_store, cny(0));
    assert_eq!(figures(&boards.recount(&scene.owner, today, Some(scene.merchant)).await.unwrap()), figures(&board));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_board_is_shown_to_its_owner_and_operators_only() {
    let scene = Scene::open().await;
    let boards = Board::new(scene.db.pool().clone(), scene.clock.clone());
    let person = |role, merchants| Actor::Person { id: UserId::new(), role, merchants };
    let (own, other) = (vec![scene.merchant], vec![MerchantId::new()]);
    let cases = [
        (person(Role::Owner, own.clone()), Some(scene.merchant), true),
        (person(Role::Owner, own.clone()), None, false),
        (person(Role::Owner, other), Some(scene.merchant), false),
        (person(Role::Operator, vec![]), Some(scene.merchant), true),
        (person(Role::Operator, vec![]), None, true),
        (person(Role::Reviewer, own.clone()), Some(scene.merchant), false),
        (person(Role::Agent, own), Some(scene.merchant), false),
    ];
    for (actor, merchant, shown) in cases {
        assert_eq!(boards.day(&actor, scene.clock.today(), merchant).await.is_ok(), shown, "{actor:?} {merchant:?}");
        assert_eq!(boards.recount(&actor, scene.clock.today(), merchant).await.is_ok(), shown, "{actor:?} {merchant:?}");
    }
}
