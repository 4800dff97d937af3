//! The checker finds what was changed by hand in splits, each damage by the rule it breaks.

use super::Scene;

/// What is done by hand, and the rules that must notice.
#[rustfmt::skip]
const DAMAGES: &[(&str, &[&str])] = &[
    ("UPDATE split_orders SET remainder_minor = remainder_minor + 1 WHERE status <> 'FINISHED'", &["S1"]),
    ("UPDATE split_orders SET released_minor = released_minor + 1 WHERE status = 'FINISHED'", &["S1", "S3"]),
    ("UPDATE split_orders SET base_minor = base_minor + 1, remainder_minor = remainder_minor + 1 WHERE status <> 'FINISHED'", &["S1", "S3"]),
    ("UPDATE split_slices SET base_minor = base_minor - 1", &["S1"]),
    ("UPDATE split_slices SET attempt_id = gen_random_uuid()", &["S1"]),
    ("UPDATE split_lines SET amount_minor = amount_minor + 1 WHERE status = 'WAIT' AND role = 'SUPPLIER'", &["S1"]),
    ("UPDATE split_lines SET amount_minor = amount_minor * 4 WHERE status = 'WAIT' AND role = 'BROKER'", &["S1"]),
    ("UPDATE split_lines SET status = 'FAILED' WHERE status = 'WAIT' AND role = 'SUPPLIER'", &["S1"]),
    ("UPDATE split_lines SET passes_on = false WHERE role = 'AGENT'", &["S1"]),
    ("DELETE FROM split_lines WHERE status = 'WAIT' AND role = 'SUPPLIER'", &["S1"]),
    ("UPDATE accounts SET balance_minor = balance_minor - 1 WHERE kind = 'SPLIT_FROZEN' AND balance_minor < 0", &["S1", "L2"]),
    ("UPDATE split_lines SET returned_minor = returned_minor - 1 WHERE returned_minor > 0", &["S2"]),
    ("UPDATE split_lines SET returning_minor = returning_minor - 1 WHERE returning_minor > 0", &["S2"]),
    ("UPDATE split_lines SET status = 'SUCCEEDED' WHERE status = 'RETURNING'", &["S2"]),
    ("UPDATE split_lines SET succeeded_minor = succeeded_minor - 1 WHERE status = 'RETURNING'", &["S2"]),
    ("UPDATE split_return_lines SET amount_minor = amount_minor + 1 WHERE status = 'RETURNED'", &["S2", "S9"]),
    ("UPDATE split_returns SET amount_minor = amount_minor + 1", &["S2"]),
    ("UPDATE split_returns SET status = 'DONE', done_at = created_at WHERE status = 'OPEN'", &["S2"]),
    ("DELETE FROM split_return_lines WHERE status = 'WAIT'", &["S2"]),
    ("UPDATE split_lines SET created_at = created_at + interval '1 day' WHERE status = 'RETURNING'", &["S3"]),
    ("UPDATE split_lines SET kept_at = NULL WHERE kept_at IS NOT NULL", &["S3"]),
    ("UPDATE split_orders SET status = 'SUCCEEDED', finished_at = NULL WHERE status = 'FINISHED'", &["S3"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'SPLIT_RELEASE'", &["S3"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'SPLIT_FREEZE'", &["S3"]),
    ("UPDATE postings SET reference_id = gen_random_uuid() WHERE kind = 'SPLIT_FREEZE' AND reference_id IN (SELECT part_id FROM split_return_lines)", &["S3"]),
    ("DELETE FROM split_return_lines; DELETE FROM split_returns; DELETE FROM split_lines; DELETE FROM split_slices; DELETE FROM split_orders", &["S1", "S3", "S9"]),
    ("UPDATE split_lines SET status = 'SUCCEEDED', succeeded_minor = amount_minor, kept_at = created_at WHERE status = 'WAIT'", &["S9"]),
    ("UPDATE split_lines SET status = 'WAIT', succeeded_minor = 0, returned_minor = 0, returning_minor = 0 WHERE status = 'RETURNING'", &["S9"]),
    ("UPDATE split_lines SET receiver_id = gen_random_uuid() WHERE status = 'RETURNING' AND role = 'SUPPLIER'", &["S9"]),
    ("UPDATE transfers SET amount_minor = amount_minor + 1 WHERE purpose = 'SPLIT'", &["S9", "L19"]),
    ("UPDATE transfers SET transfer_id = gen_random_uuid() WHERE purpose = 'SPLIT_RETURN'", &["S9", "L19"]),
    ("UPDATE transfers SET status = 'SENT', arrived_at = NULL WHERE purpose = 'SPLIT'", &["S9"]),
];

#[tokio::test]
async fn every_damage_to_a_split_is_found_by_the_rules_it_breaks() {
    let scene = Scene::open().await;
    // one that finished and partly came back, with a return that waits; and one whose lines wait
    let order = scene.planned(true).await;
    scene.execute(order).await;
    let back = scene.give_back(order, 297).await.unwrap();
    scene.splits.execute_return(scene.merchant.book(), back.id).await.unwrap();
    scene.give_back(order, 300).await.unwrap();
    let open = scene.planned(false).await;
    scene.round(open, Some(5_000), false).await.unwrap();
    scene.assert_sound().await;
    tests::every_damage_is_found(&scene.db, &["split_orders", "split_lines", "split_returns", "split_return_lines"], DAMAGES).await;
    scene.assert_sound().await;
}
