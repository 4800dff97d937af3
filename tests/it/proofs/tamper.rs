//! Whoever has every right on the database and changes the past: where it is seen.

use sqlx::AssertSqlSafe;
use wallet::proof::audit::Difference;
use wallet::proof::tree::{leaf_hash, node_hash};
use wallet::proof::{Proof, ProofError, verify};

use super::{Scene, proven};

impl Scene {
    /// Runs statements with the owner's rights.
    async fn tamper(&self, statements: &[&str]) {
        for sql in statements {
            let done = sqlx::query(AssertSqlSafe(*sql)).execute(self.db.owner_pool()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
            assert!(done.rows_affected() > 0 || sql.starts_with("CREATE"), "{sql} changed nothing");
        }
    }
}

/// Keeps entries and postings as they are, and puts them back.
const KEEP: [&str; 3] = [
    "CREATE TABLE kept_entries AS SELECT * FROM entries",
    "CREATE TABLE kept_postings AS SELECT * FROM postings",
    "CREATE TABLE kept_accounts AS SELECT * FROM accounts",
];
const PUT_BACK: [&str; 6] = [
    "DELETE FROM entries",
    "INSERT INTO entries SELECT * FROM kept_entries",
    "DELETE FROM postings",
    "INSERT INTO postings SELECT * FROM kept_postings",
    "DELETE FROM accounts",
    "INSERT INTO accounts SELECT * FROM kept_accounts",
];

/// Leaf 700 and its neighbours: (book, posting, line) by number.
const NUMBERED: &str = "CREATE VIEW numbered AS
    SELECT row_number() OVER (ORDER BY xid, book_id, posting_id, line) - 1 AS leaf, book_id, posting_id, line, account_id
    FROM kept_postings JOIN kept_entries USING (book_id, posting_id)";

#[tokio::test]
async fn what_is_changed_in_the_past_is_seen_at_its_leaf() {
    let scene = Scene::open().await;
    scene.pay(300).await;
    scene.pay(200).await;
    scene.end_day().await;
    assert_eq!(scene.differences().await, []);
    scene.tamper(&KEEP).await;
    scene.tamper(&[NUMBERED]).await;
    let of = |leaf: u64| format!("(book_id, posting_id, line) = (SELECT book_id, posting_id, line FROM numbered WHERE leaf = {leaf})");
    let posting_of = |leaf: u64| format!("(book_id, posting_id) = (SELECT book_id, posting_id FROM numbered WHERE leaf = {leaf})");
    // 700 is the second line of its posting: with its posting go 699 and 701
    let cases: [(&str, Vec<String>, u64); 11] = [
        ("an amount", vec![format!("UPDATE entries SET amount_minor = amount_minor - 1 WHERE {}", of(700))], 700),
        ("a balance", vec![format!("UPDATE entries SET balance_after_minor = 0 WHERE {}", of(700))], 700),
        (
            "whose it is",
            vec![format!(
                "UPDATE entries SET account_id = (SELECT account_id FROM numbered WHERE leaf = 702), seq = 9999 WHERE {}",
                of(699)
            )],
            699,
        ),
        ("its day", vec![format!("UPDATE postings SET accounting_date = accounting_date - 1 WHERE {}", posting_of(700))], 699),
        (
            "its time",
            vec![format!("UPDATE postings SET recorded_at = recorded_at + interval '1 microsecond' WHERE {}", posting_of(700))],
            699,
        ),
        ("its store", vec![format!("UPDATE postings SET store_id = NULL WHERE {}", posting_of(700))], 699),
        ("its metadata", vec![format!("UPDATE postings SET metadata = '{{}}' WHERE {}", posting_of(700))], 699),
        ("its place", vec![format!("UPDATE postings SET xid = '3' WHERE {}", posting_of(700))], 699),
        ("one gone", vec![format!("DELETE FROM entries WHERE {}", of(700))], 700),
        (
            "one more",
            vec![format!("INSERT INTO entries SELECT book_id, account_id, 9999, posting_id, 99, 5, 5 FROM entries WHERE {}", of(701))],
            702,
        ),
        (
            "two swapped",
            vec![
                format!("UPDATE entries SET line = 90 WHERE {}", of(700)),
                format!("UPDATE entries SET line = (SELECT line FROM numbered WHERE leaf = 700) WHERE {}", of(701)),
                "UPDATE entries SET line = (SELECT line FROM numbered WHERE leaf = 701) WHERE line = 90".to_owned(),
            ],
            700,
        ),
    ];
    for (what, statements, leaf) in cases {
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        scene.tamper(&statements).await;
        let found = scene.differences().await;
        assert!(!found.is_empty(), "{what}: unseen");
        let first = match &found[0] {
            Difference::Leaf { leaf, .. } | Difference::Missing { leaf } => *leaf,
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(first, leaf, "{what}: {:?}", found[0]);
        scene.tamper(&PUT_BACK).await;
        assert_eq!(scene.differences().await, [], "{what} was put back");
    }
    scene.tamper(&["UPDATE accounts SET subject = 'X' WHERE kind = 'CHANNEL_RECEIVABLE'"]).await;
    assert!(matches!(scene.differences().await[0], Difference::Leaf { leaf: 0..3, .. }), "an account's name is in each of its entries");
}

#[tokio::test]
async fn what_was_changed_has_no_proof_and_the_others_keep_theirs() {
    let scene = Scene::open().await;
    let payments = scene.pay(400).await;
    let head = scene.end_day().await;
    let before = proven(scene.proof_of(&payments[100]).await);
    sqlx::query("UPDATE entries SET amount_minor = amount_minor * 2 WHERE posting_id = $1")
        .bind(payments[200].id().0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    let refused = scene.answers(&payments[200]).await;
    assert!(matches!(refused, Err(ProofError::Altered(_))), "{refused:?}");
    for other in [&payments[100], &payments[199], &payments[201]] {
        let proof = proven(scene.proof_of(other).await);
        verify(proof.to_json().as_bytes(), &[head.seal()]).unwrap();
    }
    assert_eq!(proven(scene.proof_of(&payments[100]).await), before);
}

/// Rewriting the log with the entry helps only until somebody compares heads.
#[tokio::test]
async fn whoever_rewrites_the_log_too_is_caught_by_the_heads() {
    let scene = Scene::open().await;
    let payments = scene.pay(30).await;
    let first = scene.end_day().await;
    scene.pay(30).await;
    let second = scene.end_day().await;
    let old = proven(scene.proof_of(&payments[5]).await);
    let Proof::Entry { leaf, .. } = old else { panic!("not of an entry") };

    // an amount, and its leaf in the tile
    sqlx::query("UPDATE entries SET amount_minor = amount_minor - 1 WHERE posting_id = $1 AND line = $2")
        .bind(payments[5].id().0)
        .bind(line_of(&scene, leaf).await)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    let found = scene.differences().await;
    let [Difference::Leaf { now, leaf: at }] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*at, leaf);
    sqlx::query("UPDATE log_tiles SET hashes = overlay(hashes PLACING $1 FROM $2 FOR 32)")
        .bind(&now.leaf()[..])
        .bind(i32::try_from(leaf * 32 + 1).unwrap())
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    let found = scene.differences().await;
    assert_eq!(found, [Difference::Head { head: first }, Difference::Head { head: second }]);
    assert!(matches!(scene.answers(&payments[5]).await, Err(ProofError::Altered(_))), "no proof leads to the sealed root");

    // and both heads: now all agrees with itself, and not with what anybody noted
    for head in [first, second] {
        let tile: Vec<u8> =
            sqlx::query_scalar("SELECT hashes FROM log_tiles WHERE level = 0").fetch_one(scene.db.owner_pool()).await.unwrap();
        let root = root(&tile.as_chunks::<32>().0[..usize::try_from(head.size).unwrap()]);
        sqlx::query("UPDATE log_seals SET root = $2 WHERE day = $1")
            .bind(head.day)
            .bind(&root[..])
            .execute(scene.db.owner_pool())
            .await
            .unwrap();
    }
    assert_eq!(scene.differences().await, []);
    let forged = proven(scene.proof_of(&payments[5]).await).to_json();
    verify(forged.as_bytes(), &[]).expect("it agrees with itself");
    let refused = verify(forged.as_bytes(), &[first.seal()]).unwrap_err();
    assert!(refused.to_string().contains("another seal"), "{refused}");
    let link = scene.proofs.consistency(&scene.owner, first.day, second.day).await.unwrap();
    assert!(verify(proven(link).to_json().as_bytes(), &[first.seal()]).is_err(), "no link from the head that was noted");
    verify(old.to_json().as_bytes(), &[first.seal()]).expect("the proof given then still holds");
}

async fn line_of(scene: &Scene, leaf: u64) -> i16 {
    sqlx::query_scalar(
        "SELECT line FROM (SELECT line, row_number() OVER (ORDER BY xid, book_id, posting_id, line) - 1 AS leaf
                           FROM postings JOIN entries USING (book_id, posting_id)) AS numbered WHERE leaf = $1",
    )
    .bind(i64::try_from(leaf).unwrap())
    .fetch_one(scene.db.pool())
    .await
    .unwrap()
}

fn root(hashes: &[[u8; 32]]) -> [u8; 32] {
    assert_ne!(leaf_hash(b""), node_hash(&[0; 32], &[0; 32]));
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}

#[tokio::test]
async fn a_level_above_that_was_changed_is_seen() {
    let scene = Scene::open().await;
    let payments = scene.pay(600).await;
    scene.end_day().await;
    assert_eq!(scene.differences().await, []);
    // an entry outside the tile whose root is changed: its path goes over that root
    let mut beside = None;
    for payment in &payments {
        let Proof::Entry { leaf, .. } = proven(scene.proof_of(payment).await) else { panic!("not of an entry") };
        if leaf / 256 != 1 {
            beside = Some(payment);
            break;
        }
    }
    scene.tamper(&["UPDATE log_tiles SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE level = 1"]).await;
    let found = scene.differences().await;
    assert!(matches!(&found[..], [Difference::Root { level: 0, tile: 1 }, Difference::Head { .. }]), "{found:?}");
    assert!(matches!(scene.answers(beside.unwrap()).await, Err(ProofError::Altered(_))));
}
