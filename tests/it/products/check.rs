//! `haodian check` finds damage to products, orders and held money: each by the rule it breaks, on a copy of one good history.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use sqlx::AssertSqlSafe;

use super::Scene;

/// (what, how, the rules that must find it)
#[rustfmt::skip]
const CORRUPTIONS: &[(&str, &str, &[&str])] = &[
    ("an order that released less than it did", "UPDATE orders SET released_minor = released_minor - 1 WHERE released_minor > 0", &["E1"]),
    ("a release called a return", "UPDATE orders SET released_minor = released_minor - 1, returned_minor = returned_minor + 1 WHERE released_minor > 0", &["E1"]),
    ("an order that was never funded", "UPDATE orders SET funded_minor = 0, released_minor = 0, returned_minor = 0 WHERE funded_minor > 0", &["E1"]),
    ("an escrow account of nobody", "UPDATE accounts SET subject = 'x' WHERE account_id = (SELECT account_id FROM accounts WHERE kind = 'ESCROW' LIMIT 1)", &["E1", "E9"]),
    ("the balance of an escrow account", "UPDATE accounts SET balance_minor = balance_minor - 1 WHERE account_id = (SELECT account_id FROM accounts WHERE kind = 'ESCROW' LIMIT 1)", &["E1", "L3"]),
    ("an escrow account without a floor", "UPDATE accounts SET floor_minor = NULL WHERE kind = 'ESCROW'", &["L8"]),
    ("a release of another amount", "UPDATE order_releases SET amount_minor = amount_minor + 1", &["E3"]),
    ("a release with another fee", "UPDATE order_releases SET fee_minor = fee_minor + 1", &["E3"]),
    ("a release forgotten", "DELETE FROM order_releases WHERE release_id = (SELECT release_id FROM order_releases LIMIT 1)", &["E3", "L11"]),
    ("a release of a stage that is full", "UPDATE order_releases SET stage = '质保' WHERE stage = '开工'", &["E3"]),
    ("a release of no stage", "UPDATE order_releases SET stage = '' WHERE stage = '开工'", &["E3"]),
    ("a stage that one side never agreed to", "DELETE FROM order_confirmations WHERE side = 'PAYER'", &["E3"]),
    ("a release for another store", "UPDATE postings SET store_id = gen_random_uuid() WHERE kind = 'ORDER_RELEASE'", &["E3"]),
    ("held money moved by another path", "UPDATE postings SET kind = 'TRANSFER_OUT' WHERE kind = 'ORDER_RELEASE'", &["E1", "E3", "E9"]),
    ("held money moved by another's refund", "UPDATE refunds SET order_id = (SELECT order_id FROM orders WHERE product_code = 'RENT')", &["E9", "R1"]),
    ("an order of a version that never was", "UPDATE orders SET product_version = 7 WHERE product_code = 'RENT'", &["PRODUCT"]),
    ("a version that was rewritten", "UPDATE products SET body = replace(body, '3333', '3332') WHERE code = 'RENT'", &["PRODUCT"]),
    ("a hold that was softened", "UPDATE orders SET terms = jsonb_set(terms, '{hold,stages,0,until}', '\"MERCHANT\"') WHERE product_code = 'RENOVATION_STAGES'", &["PRODUCT"]),
    ("a hold that was dropped", "UPDATE orders SET terms = terms - 'hold' WHERE product_code = 'RENOVATION_STAGES'", &["PRODUCT"]),
    ("a share that was raised", "UPDATE orders SET terms = jsonb_set(terms, '{split,0,part,bps}', '9000') WHERE product_code = 'RENT'", &["PRODUCT"]),
    ("money that settles sooner", "UPDATE orders SET terms = terms || '{\"settle\": \"T0\"}' WHERE product_code = 'STORE_PAYMENT'", &["PRODUCT"]),
    ("a fee that was waived", "UPDATE orders SET terms = jsonb_set(terms, '{fee_minor}', '0') WHERE product_code = 'STORE_PAYMENT'", &["PRODUCT", "FEE"]),
    ("a fee that was taken twice", "UPDATE orders SET terms = terms || '{\"fee_on\": \"RELEASE\"}' WHERE product_code = 'STORE_PAYMENT'", &["PRODUCT", "FEE"]),
    ("a rate of another product", "UPDATE orders SET fee_bps = fee_bps + 1 WHERE product_code = 'RENT'", &["PRODUCT"]),
    ("an event of a release lost", "DELETE FROM outbox WHERE event_id = (SELECT event_id FROM outbox WHERE kind = 'order.released' LIMIT 1)", &["L11"]),
    ("a right too many", "GRANT UPDATE ON products TO haodian_app", &["L4"]),
];

#[tokio::test]
async fn every_corruption_is_found_by_the_rules_it_breaks() {
    let scene = Scene::open(&[]).await;
    scene.paid("STORE_PAYMENT", &[], 100_000).await;
    let rent = scene.paid("RENT", &["AGENT"], 300_000).await;
    scene.release(&scene.owner, rent.id, Some("首月"), None).await.unwrap();
    scene.pass(TimeDelta::days(31));
    assert_eq!(scene.orders.release_due().await.unwrap(), 1);
    let works = scene.paid("RENOVATION_STAGES", &[], 100_000).await;
    scene.release(&scene.owner, works.id, Some("开工"), None).await.unwrap();
    scene.release(&scene.payer(works.id), works.id, Some("开工"), None).await.unwrap();
    let deposit = scene.paid("DEPOSIT_TO_COMMISSION", &["AGENT"], 10_000).await;
    scene.release(&scene.owner, deposit.id, None, Some(2_000)).await.unwrap();
    scene.refund(deposit.id, 3_000).await.unwrap();
    scene.assert_sound().await;

    let mut missed = Vec::new();
    for (what, how, rules) in CORRUPTIONS {
        let copy = scene.db.copy().await;
        let changed = sqlx::query(AssertSqlSafe(*how)).execute(copy.owner_pool()).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(changed.rows_affected() > 0 || how.starts_with("GRANT"), "{what}: nothing was changed");
        let report = wallet::check::run(copy.owner_pool()).await.unwrap();
        let found: BTreeSet<&str> = report.violations().map(|(rule, _)| rule).collect();
        missed.extend(
            rules.iter().filter(|rule| !found.contains(**rule)).map(|rule| format!("{what}: not found by {rule}, but by {found:?}")),
        );
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
