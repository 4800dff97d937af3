//! The harness keeps its own promises.

use tests::database;

#[tokio::test]
async fn every_test_has_a_database_of_its_own_and_the_application_may_not_change_an_entry() {
    let (one, two) = (database().await, database().await);
    assert_ne!(one.url(), two.url());
    let may: (bool, bool, bool) = sqlx::query_as(
        "SELECT has_table_privilege('entries', 'INSERT'), has_table_privilege('entries', 'UPDATE'), has_table_privilege('entries', 'DELETE')",
    )
    .fetch_one(one.pool())
    .await
    .unwrap();
    assert_eq!(may, (true, false, false));
    let owner: bool = sqlx::query_scalar("SELECT has_table_privilege('entries', 'DELETE')").fetch_one(one.owner_pool()).await.unwrap();
    assert!(owner);
}
