//! Events that cannot be taken: tried a bounded number of times, then dead, seen, and read again on demand.

use wallet::base::actor::Role;
use wallet::base::id::UserId;
use wallet::base::outbox::{DeadLetter, DeadLetterCursor, DeadLetterKey, OutboxError};

use super::*;

async fn letters(scene: &Scene) -> Vec<DeadLetter> {
    scene.outbox.dead_letters(&Actor::System, None, 100).await.unwrap().items
}

/// Ten events of which the sixth cannot be taken.
async fn ten_with_a_bad_one(scene: &Scene) -> DeadLetterKey {
    let mut bad = None;
    for amount in 1..=10 {
        let event = scene.append(amount).await;
        if amount == 6 {
            bad = Some(event);
        }
    }
    scene.settled().await;
    let event = bad.unwrap();
    let book = sqlx::query_scalar("SELECT book_id FROM outbox WHERE event_id = $1").bind(event).fetch_one(scene.db.pool()).await.unwrap();
    DeadLetterKey { book: BookId(book), event, consumer: COUNTER.name.to_owned() }
}

const OTHERS: [i64; 9] = [1, 2, 3, 4, 5, 7, 8, 9, 10];

#[tokio::test]
async fn an_event_that_cannot_be_taken_dies_the_others_pass_and_mended_it_is_taken_once() {
    for (form, how, reason) in [
        (Form::Mark, How::Refuse, "the amount makes no sense"),
        (Form::Queue, How::Refuse, "the amount makes no sense"),
        (Form::Mark, How::Panic, "the handler panicked"),
        (Form::Queue, How::Panic, "the handler panicked"),
        (Form::Mark, How::SwallowedError, "database error 25P02, constraint none"),
        (Form::Queue, How::SwallowedError, "database error 25P02, constraint none"),
    ] {
        let scene = Scene::open(form).await;
        let key = ten_with_a_bad_one(&scene).await;
        let count = Count::that_cannot(&COUNTER, 6, how);
        scene.drain(&COUNTER, &count).await;
        let mut others = scene.effects(&COUNTER).await;
        if form == Form::Mark {
            assert_eq!(others, OTHERS, "in their order");
        }
        others.sort_unstable();
        assert_eq!(others, OTHERS, "{form:?} {how:?}");
        let [letter] = &letters(&scene).await[..] else { panic!("one letter: {:?}", letters(&scene).await) };
        assert_eq!((&letter.key, letter.attempts, letter.error.as_str()), (&key, COUNTER.attempts_max, reason));
        assert_eq!((letter.kind.as_str(), letter.replay_at, scene.lag(&COUNTER).await.dead_letters), ("test.counted", None, 1));

        // asked for while it still cannot be taken: dead again
        scene.outbox.replay(&Actor::System, &key).await.unwrap();
        scene.outbox.consume(&COUNTER, BATCH, &count).await.unwrap();
        let again = &letters(&scene).await[0];
        assert_eq!((again.attempts, again.replay_at), (COUNTER.attempts_max + 1, None));
        assert!(again.died_at > letter.died_at);
        assert_eq!(scene.totals(&COUNTER).await.0, 9);

        count.mended();
        let (once, twice) = tokio::join!(scene.outbox.replay(&Actor::System, &key), scene.outbox.replay(&Actor::System, &key));
        assert_eq!(once.unwrap().replay_at, twice.unwrap().replay_at, "asked twice is asked once");
        let (one, two) = tokio::join!(scene.outbox.consume(&COUNTER, BATCH, &count), scene.outbox.consume(&COUNTER, BATCH, &count));
        assert_eq!(one.unwrap().events + two.unwrap().events, 1);
        assert!(letters(&scene).await.is_empty());
        scene.exact(&COUNTER).await;
        assert!(matches!(scene.outbox.replay(&Actor::System, &key).await, Err(OutboxError::NotFound)));
        assert_eq!(scene.outbox.consume(&COUNTER, BATCH, &count).await.unwrap().events, 0);
        assert_eq!(
            scene.number("SELECT count(*) FROM audit_events WHERE action = 'outbox.replay'").await,
            2,
            "one for each time it was asked for"
        );
    }
}

#[tokio::test]
async fn an_event_that_kills_its_process_dies_in_the_end_and_takes_no_other_with_it() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        ten_with_a_bad_one(&scene).await;
        let mut deaths = 0;
        while scene.die_while_handling(&COUNTER, Deadly::Amount(6)).await {
            deaths += 1;
            assert!(deaths <= 2 * COUNTER.attempts_max, "{form:?}: it goes on for ever");
            scene.let_time_pass().await;
        }
        scene.drain(&COUNTER, &Count::new(&COUNTER)).await;
        let mut others = scene.effects(&COUNTER).await;
        others.sort_unstable();
        assert_eq!(others, OTHERS, "{form:?}");
        let [letter] = &letters(&scene).await[..] else { panic!("one letter: {:?}", letters(&scene).await) };
        assert_eq!(letter.error, "3 attempts were begun and none ended: the process died each time");

        // a worker that dies over a letter leaves it dead
        scene.outbox.replay(&Actor::System, &letter.key).await.unwrap();
        assert!(scene.die_while_handling(&COUNTER, Deadly::All).await);
        assert_eq!(scene.outbox.consume(&COUNTER, BATCH, &Count::new(&COUNTER)).await.unwrap().events, 0);
        assert_eq!((letters(&scene).await.len(), letters(&scene).await[0].replay_at), (1, None));
    }
}

#[tokio::test]
async fn a_database_that_is_away_kills_no_event() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        ten_with_a_bad_one(&scene).await;
        let count = Count::that_cannot(&COUNTER, 6, How::Away);
        for _ in 0..4 * COUNTER.attempts_max {
            // until it comes to the bad one
            while let Ok(taken) = scene.outbox.consume(&COUNTER, BATCH, &count).await {
                assert!(taken.more, "{form:?}: the bad one is passed by");
            }
        }
        assert!(letters(&scene).await.is_empty());
        count.mended();
        scene.drain(&COUNTER, &count).await;
        scene.exact(&COUNTER).await;
    }
}

#[tokio::test]
async fn a_failure_waits_for_its_pause_and_holds_up_only_what_the_form_says() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let patient = Consumer { backoff: Duration::from_secs(300), ..COUNTER };
        ten_with_a_bad_one(&scene).await;
        let count = Count::that_cannot(&patient, 6, How::Refuse);
        while scene.outbox.consume(&patient, BATCH, &count).await.unwrap().more {}
        let expected = if form == Form::Mark { 5 } else { 9 };
        assert_eq!(scene.totals(&patient).await.0, expected, "{form:?}");
        assert_eq!(scene.lag(&patient).await.waiting, 10 - expected);
        count.mended();
        assert_eq!(scene.outbox.consume(&patient, BATCH, &count).await.unwrap().events, 0, "{form:?}: the pause is not over");
        scene.let_time_pass().await;
        scene.drain(&patient, &count).await;
        scene.exact(&patient).await;
    }
}

#[tokio::test]
async fn dead_letters_come_in_pages_the_newest_first_and_only_to_operators() {
    let scene = Scene::open(Form::Mark).await;
    for amount in 1..=5 {
        scene.append(amount).await;
    }
    let count = Count { consumer: COUNTER.name, bad: Mutex::new((1..=5).collect()), how: How::Refuse };
    scene.drain(&COUNTER, &count).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = scene.outbox.dead_letters(&Actor::System, after, 2).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|letter| letter.key.event));
        after = page.items.last().map(|l| DeadLetterCursor { died_at: l.died_at, event: l.key.event, consumer: l.key.consumer.clone() });
        if !page.has_next {
            break;
        }
    }
    let newest_first: Vec<Uuid> =
        sqlx::query_scalar("SELECT event_id FROM outbox ORDER BY event_id DESC").fetch_all(scene.db.pool()).await.unwrap();
    assert_eq!(seen, newest_first);

    let key = letters(&scene).await[0].key.clone();
    for role in [Role::Owner, Role::Agent, Role::Reviewer] {
        let actor = Actor::Person { id: UserId::new(), role, merchants: Vec::new() };
        assert!(matches!(scene.outbox.dead_letters(&actor, None, 1).await, Err(OutboxError::Forbidden(_))));
        assert!(matches!(scene.outbox.replay(&actor, &key).await, Err(OutboxError::Forbidden(_))));
        assert!(matches!(scene.outbox.lags(&actor).await, Err(OutboxError::Forbidden(_))));
    }
    assert_eq!(letters(&scene).await[0].replay_at, None);
}
