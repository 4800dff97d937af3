//! When a day is sealed, what its head then holds, and how heads hang together.

use chrono::TimeDelta;
use tests::TestDatabase;
use wallet::base::actor::Actor;
use wallet::ledger;
use wallet::proof::{Answer, Head, Proof, SEAL_AFTER, verify};

use super::{Scene, fields, proven, row_of};

#[tokio::test]
async fn every_entry_of_a_sealed_day_has_a_proof_that_says_what_the_books_say() {
    let scene = Scene::open().await;
    let mut payments = Vec::new();
    for count in [1, 200, 57] {
        payments.extend(scene.pay(count).await);
    }
    let day = scene.today();
    assert_eq!(scene.proof_of(&payments[0]).await, Answer::NotSealedYet { day }, "not even in the log");
    scene.catch_up().await;
    assert_eq!(scene.proof_of(&payments[0]).await, Answer::NotSealedYet { day }, "in the log, in no head");
    let head = scene.end_day().await;
    assert_eq!((head.day, head.size), (day, 258 * 3));
    let mut leaves = Vec::new();
    for payment in &payments {
        let proof = proven(scene.proof_of(payment).await);
        verify(proof.to_json().as_bytes(), &[head.seal()]).unwrap();
        let Proof::Entry { entry, leaf, head: in_head, .. } = &proof else { panic!("not of an entry: {proof:?}") };
        assert_eq!(*in_head, head);
        let (said, lines) = (fields(entry), entry.len());
        let line = said["line"].parse().unwrap();
        let row = row_of(&scene, payment.book.0, payment.id().0, line).await;
        for (name, value) in &row {
            assert_eq!(said[name.as_str()], value, "{name}");
        }
        assert_eq!((said["book"], said["posting"]), (payment.book.to_string().as_str(), payment.id().to_string().as_str()));
        assert_eq!(lines, row.len() + 4, "title, book, posting and line, and nothing that the books do not say");
        leaves.push(*leaf);
    }
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), payments.len());
    assert_eq!(naive_root(&scene.db, head.size).await, head.root, "the root over all entries, computed from the definition");
}

/// MTH of RFC 6962 over the hashes of entries as the database reads them now, recursively.
async fn naive_root(db: &TestDatabase, size: u64) -> [u8; 32] {
    let sql = r#"SELECT 'haodian-entry 1' || E'\nbook ' || book_id || E'\naccount ' || account_id || E'\naccount-kind ' || a.kind || E'\nsubject ' || subject
            || E'\ncurrency ' || currency || E'\nseq ' || e.seq || E'\namount-minor ' || amount_minor || E'\nbalance-after-minor ' || balance_after_minor
            || E'\nposting ' || posting_id || E'\nposting-kind ' || p.kind || E'\nreference ' || reference_id || E'\nline ' || line
            || E'\naccounting-date ' || accounting_date || E'\nbusiness-date ' || business_date
            || E'\nrecorded-at ' || to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            || E'\nstore ' || COALESCE(store_id::text, '-') || E'\nreversal-of ' || COALESCE(reversal_of::text, '-')
            || E'\nhold ' || COALESCE(hold_id::text, '-') || E'\nmetadata-sha256 -\n'
         FROM postings p JOIN entries e USING (book_id, posting_id) JOIN accounts a USING (book_id, account_id)
         ORDER BY xid, book_id, posting_id, line LIMIT $1"#;
    let texts: Vec<String> = sqlx::query_scalar(sql).bind(i64::try_from(size).unwrap()).fetch_all(db.pool()).await.unwrap();
    root(&texts)
}

fn root(texts: &[String]) -> [u8; 32] {
    let hash =
        |parts: &[&[u8]]| <[u8; 32]>::try_from(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &parts.concat()).as_ref()).unwrap();
    match texts {
        [one] => hash(&[&[0], one.as_bytes()]),
        _ => {
            let split = texts.len().next_power_of_two() / 2;
            let (left, right) = texts.split_at(split);
            hash(&[&[1], &root(left), &root(right)])
        }
    }
}

#[tokio::test]
async fn a_day_is_sealed_once_it_is_over_closed_and_in_the_log() {
    let scene = Scene::open().await;
    let day = scene.today();
    scene.pay(10).await;
    scene.catch_up().await;
    assert_eq!(scene.seal_due().await, [], "the day is not over");

    // to a moment before half past midnight, at which anything from before midnight has ended
    let eight = TimeDelta::hours(8);
    scene.turn(TimeDelta::days(1) - eight + SEAL_AFTER - TimeDelta::minutes(1));
    scene.close(day).await;
    assert_eq!(scene.seal_due().await, [], "it has not been over for long");
    scene.turn(TimeDelta::minutes(2));

    // one merchant books another payment on the day: its books are closed, so it is booked on the next; it does not keep the day open
    let mut tx = scene.db.pool().begin().await.unwrap();
    for outcome in ledger::post_in_tx(&mut tx, &scene.payments(1), day, scene.clock.now()).await.unwrap() {
        outcome.unwrap();
    }
    tx.commit().await.unwrap();
    let head = scene.seal_due().await[0];
    assert_eq!((head.day, head.size), (day, 30));
    assert_eq!(scene.seal_due().await, [], "once");
    assert_all_booked_by_then_are_in(&scene, &[head]).await;
}

#[tokio::test]
async fn a_book_that_is_not_closed_keeps_the_day_open() {
    let scene = Scene::open().await;
    let day = scene.today();
    scene.pay(10).await;
    scene.turn(TimeDelta::days(1));
    scene.catch_up().await;
    assert_eq!(scene.seal_due().await, [], "two books are open");
    scene.close(day).await;
    assert_eq!(scene.seal_due().await.len(), 1);
}

#[tokio::test]
async fn an_entry_that_is_not_in_the_log_keeps_its_day_open() {
    let scene = Scene::open().await;
    let day = scene.today();
    scene.pay(1).await;
    scene.catch_up().await;
    scene.pay(1).await;
    scene.turn(TimeDelta::days(1));
    scene.close(day).await;
    assert_eq!(scene.seal_due().await, [], "three entries are missing");
    scene.catch_up().await;
    let heads = scene.seal_due().await;
    assert_eq!(heads[0].size, 6);
    assert_all_booked_by_then_are_in(&scene, &heads).await;
}

#[tokio::test]
async fn every_day_has_a_head_and_each_is_the_beginning_of_the_next() {
    let scene = Scene::open().await;
    let mut heads = Vec::new();
    for count in [3, 40, 0, 300, 1, 700] {
        if count > 0 {
            scene.pay(count).await;
        }
        heads.push(scene.end_day().await);
    }
    assert_eq!(heads.iter().map(|head| head.size).collect::<Vec<_>>(), [9, 129, 129, 1_029, 1_032, 3_132]);
    assert_all_booked_by_then_are_in(&scene, &heads).await;
    for (from, to) in heads.iter().flat_map(|from| heads.iter().map(move |to| (from, to))) {
        let answer = scene.proofs.consistency(&scene.owner, from.day, to.day).await.unwrap();
        let (from, to) = if from.day <= to.day { (from, to) } else { (to, from) };
        let proof = proven(answer);
        assert!(matches!(&proof, Proof::Consistency { from: f, to: t, .. } if (f, t) == (from, to)), "{proof:?}");
        verify(proof.to_json().as_bytes(), &[from.seal(), to.seal()]).unwrap();
    }
    let open = scene.today();
    assert_eq!(scene.proofs.consistency(&scene.owner, heads[0].day, open).await.unwrap(), Answer::NotSealedYet { day: open });

    let page = scene.proofs.seals(&scene.owner, None, 4).await.unwrap();
    let days = |heads: &[Head]| heads.iter().rev().map(|head| head.day).collect::<Vec<_>>();
    assert_eq!((page.items.iter().map(|seal| seal.head.day).collect::<Vec<_>>(), page.has_next), (days(&heads[2..]), true));
    let page = scene.proofs.seals(&scene.owner, Some(heads[2].day), 4).await.unwrap();
    assert_eq!((page.items.iter().map(|seal| seal.head.day).collect::<Vec<_>>(), page.has_next), (days(&heads[..2]), false));
}

#[tokio::test]
async fn days_that_nobody_looked_at_are_sealed_in_order() {
    let scene = Scene::open().await;
    let day = scene.today();
    scene.pay(5).await;
    scene.catch_up().await;
    scene.turn(TimeDelta::days(150));
    scene.close(day).await;
    let first = scene.seal_due().await;
    assert_eq!((first.len(), first[0].day), (100, day), "a bounded number at a time");
    let rest = scene.seal_due().await;
    assert_eq!((rest.len(), rest[49].day), (50, day + TimeDelta::days(149)));
    let (a, b) = tokio::join!(scene.seal_due(), scene.seal_due());
    assert_eq!((a, b), (vec![], vec![]));
}

#[tokio::test]
async fn a_proof_is_for_whoever_may_read_the_bill() {
    let scene = Scene::open().await;
    let payment = scene.pay(1).await.remove(0);
    scene.end_day().await;
    let stranger =
        Actor::Person { id: wallet::base::id::UserId::new(), role: wallet::base::actor::Role::Owner, merchants: vec![scene.merchants[1]] };
    let merchant = payment.book.merchant();
    let (account, kind) = (ledger::AccountKind::MerchantPending, ledger::PostingKind::Payment);
    let refused = scene.proofs.entries(&stranger, merchant, account, kind, payment.reference).await;
    assert!(matches!(refused, Err(wallet::proof::ProofError::Forbidden(_))), "{refused:?}");
    let theirs = scene.proofs.entries(&stranger, scene.merchants[1], account, kind, payment.reference).await.unwrap();
    assert_eq!(theirs, [], "another's payment is not in one's own books");
    assert_eq!(scene.proofs.entries(&scene.owner, merchant, account, kind, uuid::Uuid::now_v7()).await.unwrap(), []);
}

/// Every entry booked through a sealed day has a number below the size of its head.
async fn assert_all_booked_by_then_are_in(scene: &Scene, heads: &[Head]) {
    for head in heads {
        let beyond: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (
                 SELECT accounting_date, row_number() OVER (ORDER BY xid, book_id, posting_id, line) - 1 AS leaf
                 FROM postings JOIN entries USING (book_id, posting_id)) AS numbered
             WHERE accounting_date <= $1 AND leaf >= $2",
        )
        .bind(head.day)
        .bind(i64::try_from(head.size).unwrap())
        .fetch_one(scene.db.pool())
        .await
        .unwrap();
        assert_eq!(beyond, 0, "{head:?}");
    }
}
