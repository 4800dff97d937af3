//! Products as they are published and frozen: versions, what an order keeps of them, what it refuses, and what that costs.

use chrono::TimeDelta;
use sqlx::postgres::PgPool;
use uuid::Uuid;
use wallet::base::batcher::Batched;
use wallet::base::id::MerchantId;
use wallet::channel::acquirer::Method;
use wallet::order::{Choice, Creation, OrderError, Orders};
use wallet::payment::{PaymentError, StartPayment};
use wallet::product::Products;

use super::{Scene, cny, folder};
use crate::batching::statements::CountedLine;

/// A store payment at a rate of its own, available at once.
fn at_rate(bps: i32) -> String {
    format!(
        r#"
        code = "RATED"
        name = "费率试验"
        settle = "T0"
        [collect]
        methods = ["PAGE", "NATIVE"]
        amount_minor_min = 100
        amount_minor_max = 20_000
        pay_within_min = 45
        [fee]
        rate = {{ bps = {bps} }}
        bearer = "MERCHANT"
        "#
    )
}

async fn publish(db: &PgPool, bps: i32) -> Products {
    let folder = folder(&[("rated.toml", &at_rate(bps))]);
    Products::publish(db, api::products::load(folder.path()).unwrap()).await.unwrap()
}

fn version(products: &Products, code: &str) -> i32 {
    products.find(code).unwrap().version
}

#[tokio::test]
async fn the_same_content_is_the_same_version_and_another_one_the_next() {
    let db = tests::database().await;
    let first = publish(db.pool(), 100).await;
    assert_eq!((version(&first, "RATED"), version(&first, "RENT")), (1, 1));
    let (again, changed) = (publish(db.pool(), 100).await, publish(db.pool(), 300).await);
    assert_eq!((version(&again, "RATED"), version(&changed, "RATED"), version(&changed, "RENT")), (1, 2, 1));
    let back = publish(db.pool(), 100).await;
    assert_eq!(version(&back, "RATED"), 1, "what it was before has its version already");
    let history: Vec<i32> = back.versions().await.unwrap().iter().filter(|v| v.product.code == "RATED").map(|v| v.version).collect();
    assert_eq!(history, [2, 1]);
}

#[tokio::test]
async fn processes_that_begin_at_once_come_to_the_same_versions() {
    let db = tests::database().await;
    let (a, b, c, d) = tokio::join!(publish(db.pool(), 1), publish(db.pool(), 1), publish(db.pool(), 2), publish(db.pool(), 2));
    assert_eq!(version(&a, "RATED"), version(&b, "RATED"));
    assert_eq!(version(&c, "RATED"), version(&d, "RATED"));
    let mut two = [version(&a, "RATED"), version(&c, "RATED")];
    two.sort_unstable();
    assert_eq!(two, [1, 2]);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(db.pool()).await.unwrap();
    assert_eq!(rows, 7, "five shipped, and two versions of the sixth");
}

#[tokio::test]
async fn nothing_that_was_published_or_frozen_can_be_changed_by_the_application() {
    let scene = Scene::open(&[]).await;
    scene.paid("STORE_PAYMENT", &[], 1_000).await;
    for sql in [
        "UPDATE products SET body = '{}'",
        "DELETE FROM products",
        "UPDATE orders SET terms = '{}'",
        "UPDATE orders SET product_version = 9",
        "UPDATE orders SET fee_bps = 0",
        "UPDATE orders SET amount_minor = 1",
        "UPDATE order_releases SET amount_minor = 1",
        "DELETE FROM order_confirmations",
    ] {
        let error = sqlx::query(sql).execute(scene.db.pool()).await.expect_err(sql).to_string();
        assert!(error.contains("permission denied"), "{sql}: {error}");
    }
}

/// A lesson of others (jeepay I46MDI): the rate was read when the money came, not kept with the order.
#[tokio::test]
async fn a_later_change_of_contract_or_product_never_touches_a_made_order() {
    let scene = Scene::open(&[("rated.toml", &at_rate(100))]).await;
    let contracted = scene.order("STORE_PAYMENT", &[], 10_000).await;
    let rated = scene.order("RATED", &[], 10_000).await;
    let held = scene.order("RENT", &["AGENT"], 300_000).await;
    sqlx::query("UPDATE merchants SET fee_bps = 500").execute(scene.db.owner_pool()).await.unwrap();
    let rent = std::fs::read_to_string(tests::repository().join("products/rent.toml")).unwrap();
    let rent = rent.replace("rate = { bps = 30 }", "rate = { bps = 3_000 }").replace("MERCHANT\"\n\n[[hold", "BOTH\"\n\n[[hold");
    let folder = folder(&[("rated.toml", &at_rate(900)), ("rent.toml", &rent)]);
    let products = Products::publish(scene.db.pool(), api::products::load(folder.path()).unwrap()).await.unwrap();
    assert_eq!((version(&products, "RATED"), version(&products, "RENT")), (2, 2));
    let later = Orders::selling(scene.db.pool().clone(), scene.clock.clone(), products);
    let scene = Scene { orders: later, ..scene };
    for order in [&contracted, &rated, &held] {
        scene.pay(order).await;
    }
    // 38 of the contract then, 100 of the product then; the rent's fee is taken when it is released
    assert_eq!(scene.stands().await, [9_962, 9_900, 138]);
    scene.release(&scene.owner, held.id, Some("首月"), None).await.unwrap();
    assert_eq!(scene.stands().await[2], 138 + 300, "released by one side and at the old rate, as it was agreed");
    let new = scene.paid("RATED", &[], 10_000).await;
    assert_eq!((new.product.version, scene.stands().await[2]), (2, 138 + 300 + 900));
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_order_keeps_to_what_its_product_collects() {
    let scene = Scene::open(&[("rated.toml", &at_rate(100))]).await;
    let create = async |code: &str, roles: &[&str], minor| scene.orders.create(&scene.owner, scene.create(code, roles, minor)).await;
    let order = create("RATED", &[], 20_000).await.unwrap();
    assert_eq!(order.expires_at - order.created_at, TimeDelta::minutes(45));
    for minor in [99, 20_001] {
        let refused = create("RATED", &[], minor).await;
        assert!(
            matches!(refused, Err(OrderError::AmountOutsideProduct { min, max }) if (min, max) == (cny(100), cny(20_000))),
            "{refused:?}"
        );
    }
    assert!(matches!(create("NONE", &[], 100).await, Err(OrderError::ProductUnknown)));
    assert!(matches!(create("RATED", &["AGENT"], 100).await, Err(OrderError::RoleUnknown { role }) if role == "AGENT"));
    assert!(matches!(create("AGENT_COMMISSION", &["AGENT"], 100).await, Err(OrderError::RoleUnbound { role }) if role == "BROKER"));
    // a role that is paid out of another one's part cannot be the same merchant: the payment would come, and not be divided
    let refused = create("AGENT_COMMISSION", &["AGENT", "BROKER"], 100).await;
    assert!(matches!(&refused, Err(OrderError::PartyPaysItself { role }) if role == "BROKER"), "{refused:?}");
    let (broker, ..) = tests::sign_merchant(scene.db.pool(), 100, scene.clock.now()).await;
    let mut two = scene.create("AGENT_COMMISSION", &["AGENT"], 100);
    let parties = [("AGENT".to_owned(), scene.agent), ("BROKER".to_owned(), broker)].into();
    two.product = Some(Choice { code: "AGENT_COMMISSION".to_owned(), parties });
    scene.orders.create(&scene.owner, two).await.unwrap();
    let mut own = scene.create("RENT", &["AGENT"], 30_000);
    own.product = Some(Choice { code: "RENT".to_owned(), parties: [("AGENT".to_owned(), scene.merchant)].into() });
    assert!(matches!(scene.orders.create(&scene.owner, own.clone()).await, Err(OrderError::PartyIsMerchant { .. })));
    own.product = Some(Choice { code: "RENT".to_owned(), parties: [("AGENT".to_owned(), MerchantId::new())].into() });
    assert!(matches!(scene.orders.create(&scene.owner, own.clone()).await, Err(OrderError::PartyNotSigned { .. })));
    sqlx::query("UPDATE merchants SET status = 'APPLYING', signed_at = NULL WHERE merchant_id = $1")
        .bind(scene.agent.0)
        .execute(scene.db.owner_pool())
        .await
        .unwrap();
    assert!(matches!(create("RENT", &["AGENT"], 30_000).await, Err(OrderError::PartyNotSigned { role }) if role == "AGENT"));

    let start = |method| StartPayment {
        merchant: scene.merchant,
        order: order.id,
        method,
        wallet: None,
        failed: None,
        payer: None,
        return_url: None,
        idempotency_key: Uuid::now_v7(),
    };
    assert!(matches!(scene.payments.start(&scene.owner, start(Method::Wap)).await, Err(PaymentError::MethodNotAllowed)));
    scene.payments.start(&scene.owner, start(Method::Page)).await.unwrap();
}

#[tokio::test]
async fn a_payer_who_bears_the_fee_pays_it_on_top_and_has_it_back_with_the_rest() {
    let by_payer = at_rate(60).replace("bearer = \"MERCHANT\"", "minor_min = 80\nbearer = \"PAYER\"");
    let scene = Scene::open(&[("rated.toml", &by_payer)]).await;
    let order = scene.paid("RATED", &[], 10_000).await;
    assert_eq!((order.amount, scene.stands().await), (cny(10_080), [0, 10_000, 80]));
    let parts = [scene.refund(order.id, 3_333).await.unwrap(), scene.refund(order.id, 6_747).await.unwrap()];
    assert_eq!(parts.map(|r| r.fee_back.minor), [26, 54]);
    assert_eq!(scene.stands().await, [0, 0, 0]);
    scene.assert_sound().await;
}

#[tokio::test]
async fn an_order_of_any_product_costs_as_many_statements_as_one_of_none() {
    let db = tests::database().await;
    let line = CountedLine::to(&db, 1).await;
    let clock = tests::morning();
    let (merchant, store, _) = tests::sign_merchant(db.pool(), 38, clock.now()).await;
    let (agent, _, _) = tests::sign_merchant(db.pool(), 38, clock.now()).await;
    let creation = Creation { products: publish(&line.pool, 100).await, db: line.pool.clone(), clock };
    let mut seen = Vec::new();
    for members in [1, 1, 10, 100] {
        let create = |_| wallet::order::CreateOrder {
            merchant,
            store,
            amount: cny(30_000),
            subject: "房租".to_owned(),
            product: Some(Choice { code: "RENT".to_owned(), parties: [("AGENT".to_owned(), agent)].into() }),
            idempotency_key: Uuid::now_v7(),
        };
        let commands: Vec<_> = (0..members).map(create).collect();
        line.taken();
        assert!(creation.run(&commands).await.unwrap().iter().all(Result::is_ok));
        seen.push(line.taken());
    }
    assert_eq!(seen, [7; 4], "with BEGIN and COMMIT");
}

#[tokio::test]
async fn a_paid_order_tells_marketing_once() {
    let scene = Scene::open(&[]).await;
    let order = scene.paid("RENT", &["AGENT"], 300_000).await;
    scene.paid("STORE_PAYMENT", &[], 1_000).await;
    let told: Vec<(String, Uuid, serde_json::Value)> =
        sqlx::query_as("SELECT kind, subject_id, payload FROM outbox WHERE kind LIKE 'marketing.%'")
            .fetch_all(scene.db.pool())
            .await
            .unwrap();
    assert_eq!(told.len(), 1);
    let (kind, subject, payload) = &told[0];
    assert_eq!((kind.as_str(), *subject, &payload["productCode"]), ("marketing.rent_paid", order.id.0, &serde_json::json!("RENT")));
}
