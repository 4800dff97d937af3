//! What goes after a while, and what never goes.

use chrono::TimeDelta;

use super::*;

/// Everything is older than that.
const ALL: TimeDelta = TimeDelta::seconds(-1);

#[tokio::test]
async fn only_what_every_consumer_has_read_goes_and_only_after_its_time() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let second = Consumer { name: "second", ..COUNTER };
        scene.outbox.prepare(&[second]).await.unwrap();
        for amount in 1..=10 {
            scene.append(amount).await;
        }
        let left = async || scene.number("SELECT count(*) FROM outbox").await;
        assert_eq!(scene.outbox.purge(ALL, 100).await.unwrap(), 0, "{form:?}: nobody has read anything");
        scene.drain(&COUNTER, &Count::new(&COUNTER)).await;
        assert_eq!(scene.outbox.purge(ALL, 100).await.unwrap(), 0, "{form:?}: the second has read nothing");
        scene.outbox.consume(&second, 4, &Count::that_cannot(&second, 2, How::Refuse)).await.unwrap();
        scene.drain(&second, &Count::that_cannot(&second, 2, How::Refuse)).await;
        assert_eq!(scene.outbox.purge(TimeDelta::days(1), 100).await.unwrap(), 0, "{form:?}: none is a day old");
        assert_eq!(left().await, 10);
        scene.append(11).await;
        assert_eq!(scene.outbox.purge(ALL, 4).await.unwrap(), 4, "{form:?}: no more than asked for");
        assert_eq!(scene.outbox.purge(ALL, 100).await.unwrap(), 5, "{form:?}");
        let amounts: Vec<i64> = sqlx::query_scalar("SELECT (payload ->> 'amount')::bigint FROM outbox ORDER BY event_id")
            .fetch_all(scene.db.pool())
            .await
            .unwrap();
        assert_eq!(amounts, [2, 11], "{form:?}: a dead letter keeps its event, and what is not read stays");
        let horizon = "SELECT count(*) FROM outbox_state WHERE purged_before > (SELECT event_id FROM outbox ORDER BY event_id LIMIT 1)";
        assert_eq!(scene.number(horizon).await, 1, "how far back events may be missing is written down");

        for consumer in [COUNTER, second] {
            scene.drain(&consumer, &Count::new(&consumer)).await;
            assert_eq!(scene.effects(&consumer).await.last(), Some(&11));
        }
        let key = scene.outbox.dead_letters(&Actor::System, None, 1).await.unwrap().items[0].key.clone();
        scene.outbox.replay(&Actor::System, &key).await.unwrap();
        scene.outbox.consume(&second, BATCH, &Count::new(&second)).await.unwrap();
        assert_eq!(scene.totals(&second).await, (11, 66), "{form:?}: the dead letter could still be read");
        assert_eq!(scene.outbox.purge(ALL, 100).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn a_purge_beside_writers_and_readers_takes_nothing_unread() {
    for form in BOTH {
        let scene = Scene::open(form).await;
        let count = Count::new(&COUNTER);
        let mut sum = 0;
        for amount in 1..=60 {
            scene.append(amount).await;
            sum += amount;
            let (taken, purged) = tokio::join!(scene.outbox.consume(&COUNTER, 3, &count), scene.outbox.purge(ALL, 3));
            taken.unwrap();
            purged.unwrap();
        }
        scene.drain(&COUNTER, &count).await;
        assert_eq!(scene.totals(&COUNTER).await, (60, sum), "{form:?}");
    }
}
