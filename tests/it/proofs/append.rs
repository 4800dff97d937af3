//! What the worker appends: each entry once, none skipped, whatever happens beside it and wherever it is cut off.

use std::process::Command;
use std::time::Instant;

use tests::{Folder, Process, eventually, haodian_bin};
use wallet::ledger;
use wallet::proof::{Answer, ProofError, Proofs, append_in_tx};

use super::{LIMIT, Scene};

#[tokio::test]
async fn entries_are_appended_in_batches_and_each_once() {
    let scene = Scene::open().await;
    for count in [1, 99, 300, 2_500] {
        scene.pay(count).await;
    }
    scene.catch_up().await;
    assert_eq!((scene.size().await, scene.proofs.catch_up().await.unwrap()), (2_900 * 3, 0));
    scene.assert_every_entry_is_in_the_log_once().await;
    scene.pay(1).await;
    scene.catch_up().await;
    scene.assert_every_entry_is_in_the_log_once().await;
}

#[tokio::test]
async fn what_commits_late_is_not_skipped() {
    let scene = Scene::open().await;
    scene.pay(1).await;
    let mut late = scene.db.pool().begin().await.unwrap();
    let payments = scene.payments(1);
    ledger::post_in_tx(&mut late, &payments, scene.today(), scene.clock.now()).await.unwrap().remove(0).unwrap();
    // a younger transaction commits first: of the other merchant, since the first one's accounts are locked
    let mut early = scene.db.pool().begin().await.unwrap();
    let payments = scene.payments(2);
    ledger::post_in_tx(&mut early, &payments[1..], scene.today(), scene.clock.now()).await.unwrap().remove(0).unwrap();
    early.commit().await.unwrap();
    eventually(LIMIT, "the first payment is in the log", async || {
        scene.proofs.catch_up().await.unwrap();
        (scene.size().await > 0).then_some(())
    })
    .await;
    assert_eq!((scene.size().await, scene.proofs.catch_up().await.unwrap()), (3, 0), "nothing above a running transaction is taken");
    late.commit().await.unwrap();
    scene.catch_up().await;
    assert_eq!(scene.size().await, 9);
    scene.assert_every_entry_is_in_the_log_once().await;
}

#[tokio::test]
async fn workers_beside_each_other_append_each_entry_once() {
    let scene = Scene::open().await;
    for _ in 0..40 {
        scene.pay(150).await;
    }
    let workers: Vec<_> = (0..4).map(|_| Proofs::new(scene.db.pool().clone(), scene.clock.clone())).collect();
    let [a, b, c, d] = &workers[..] else { unreachable!("there are four") };
    let mut appended = 0;
    while appended < 6_000 * 3 {
        let (a, b, c, d) = tokio::join!(a.catch_up(), b.catch_up(), c.catch_up(), d.catch_up());
        appended += [a, b, c, d].map(Result::unwrap).iter().sum::<u64>();
    }
    assert_eq!(appended, 6_000 * 3);
    scene.assert_every_entry_is_in_the_log_once().await;
}

#[tokio::test]
async fn a_batch_that_is_rolled_back_leaves_the_log_as_it_was() {
    let scene = Scene::open().await;
    scene.pay(2_100).await;
    scene.pay(300).await;
    let log = "SELECT count(*) + COALESCE(sum(octet_length(hashes)), 0) FROM log_tiles";
    while scene.size().await < 2_400 * 3 {
        let before = (scene.size().await, scene.number(log).await);
        let mut tx = scene.db.pool().begin().await.unwrap();
        append_in_tx(&mut tx).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!((scene.size().await, scene.number(log).await), before);
        let mut tx = scene.db.pool().begin().await.unwrap();
        append_in_tx(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(scene.size().await, 2_400 * 3);
    scene.assert_every_entry_is_in_the_log_once().await;
}

#[tokio::test]
async fn a_log_older_than_its_mark_is_not_continued() {
    let scene = Scene::open().await;
    scene.pay(1).await;
    scene.catch_up().await;
    sqlx::query("UPDATE log_state SET xid = '9000000000000000000'").execute(scene.db.owner_pool()).await.unwrap();
    assert!(matches!(scene.proofs.catch_up().await, Err(ProofError::MarkAhead)));
}

#[tokio::test]
async fn what_is_in_a_tile_stays_in_it() {
    let scene = Scene::open().await;
    scene.pay(5).await;
    scene.catch_up().await;
    // whoever changed a leaf of the growing tile, and the mark's size with it, is not helped by the worker
    sqlx::query("UPDATE log_tiles SET hashes = hashes || hashes").execute(scene.db.owner_pool()).await.unwrap();
    scene.pay(5).await;
    let refused = eventually(LIMIT, "the worker objects", async || scene.proofs.catch_up().await.err()).await;
    assert!(matches!(refused, ProofError::Altered(_)), "{refused:?}");
    for sql in [
        "DELETE FROM log_tiles",
        "UPDATE log_tiles SET first_line = 9",
        "DELETE FROM log_state",
        "UPDATE log_seals SET size = 1",
        "DELETE FROM log_seals",
    ] {
        let refused = sqlx::query(sql).execute(scene.db.pool()).await.unwrap_err();
        assert!(refused.to_string().contains("permission denied"), "{sql}: {refused}");
    }
}

/// Workers that die while they append, and the log that their successors leave.
#[tokio::test]
async fn a_worker_killed_while_it_appends_leaves_a_log_that_goes_on() {
    let scene = Scene::open().await;
    for _ in 0..12 {
        scene.pay(2_500).await;
    }
    let folder = Folder::new();
    api::launcher::keys::ensure(&folder.path().join("keys")).unwrap();
    std::fs::write(folder.path().join("haodian.toml"), "").unwrap();
    let entries = 12 * 2_500 * 3;
    for kill in 1..=4 {
        let before = scene.size().await;
        let mut command = Command::new(haodian_bin());
        command.arg("work").env("HAODIAN_CONFIG", folder.path().join("haodian.toml")).env("HAODIAN_DATA_DIR", folder.path());
        command.env("DATABASE_URL", scene.db.url()).env("REDIS_URL", "");
        let worker = Process::spawn("work", &mut command, &folder.path().join("work.log"));
        eventually(LIMIT, "the worker appends", async || (scene.size().await > before).then_some(())).await;
        worker.kill9();
        let size = scene.size().await;
        assert!(kill > 1 || size < entries, "the first worker was killed before it was done: {size}");
        let audit = scene.proofs.audit(0..u64::MAX).await.unwrap();
        assert_eq!(audit.differences, [], "after kill {kill}");
        if size == entries {
            break;
        }
    }
    scene.catch_up().await;
    assert_eq!(scene.size().await, entries);
    scene.assert_every_entry_is_in_the_log_once().await;
}

/// A worker whose connection is cut in the middle of its transaction.
#[tokio::test]
async fn a_batch_whose_connection_is_cut_leaves_the_log_as_it_was() {
    let scene = Scene::open().await;
    scene.pay(300).await;
    let tx = eventually(LIMIT, "something is appended", async || {
        let mut tx = scene.db.pool().begin().await.unwrap();
        (append_in_tx(&mut tx).await.unwrap() > 0).then_some(tx)
    })
    .await;
    let cut = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND state = 'idle in transaction' AND pid <> pg_backend_pid()) AS cut";
    assert_eq!(scene.number(cut).await, 1);
    assert!(tx.commit().await.is_err());
    assert_eq!((scene.size().await, scene.number("SELECT count(*) FROM log_tiles").await), (0, 0));
    scene.catch_up().await;
    scene.assert_every_entry_is_in_the_log_once().await;
}

/// Figures, not a test: `cargo test --release -p tests --test it -- --ignored --nocapture measure_appending`.
#[tokio::test]
#[ignore = "a measurement"]
async fn measure_appending() {
    let scene = Scene::open().await;
    for _ in 0..100 {
        scene.pay(1_000).await;
    }
    sqlx::query("ANALYZE").execute(scene.db.owner_pool()).await.unwrap();
    let started = Instant::now();
    let entries = scene.proofs.catch_up().await.unwrap();
    let took = started.elapsed().as_secs_f64();
    println!("{entries} entries appended in {took:.2} s: {:.0} /s", entries as f64 / took);
    let payment = scene.pay(1).await.remove(0);
    let head = scene.end_day().await;
    let started = Instant::now();
    for _ in 0..200 {
        assert!(matches!(scene.proof_of(&payment).await, Answer::Proven(_)));
    }
    println!("a proof in a log of {}: {:.2} ms", head.size, started.elapsed().as_secs_f64() * 5.0);
    let started = Instant::now();
    assert_eq!(scene.differences().await, []);
    println!("audit of {entries} entries: {:.2} s", started.elapsed().as_secs_f64());
}
