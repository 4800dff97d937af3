//! Drills with the chaos acquirer: whatever it does to answers and notices, the books end as what really happened, each thing once.
//!
//! The simulator tells the truth at `/control/truth`, whatever it said before. Profiles change while the system runs; what one of them left
//! open is resolved under the next, or when all is calm again.

mod protocols;
mod run;
mod truth;

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tests::{Confirm, PAY_LIMIT, Shop, TestApp, database, eventually, key};

use run::{Open, customers, profile, resolved, settled_shops, withdraw};

/// Longest that something may take under chaos.
const LIMIT: Duration = Duration::from_secs(40);

#[tokio::test]
async fn whatever_becomes_of_answers_the_books_end_as_what_the_acquirer_did() {
    drill(&["slow", "lossy", "down", "storm"]).await;
}

#[tokio::test]
async fn whatever_notices_say_and_in_whatever_order_the_books_end_as_what_the_acquirer_did() {
    drill(&["bounce", "duplicating", "reordering", "lying", "late"]).await;
}

/// Each profile meets a merchant of its own: customers who pay, pay again or never pay, refunds and withdrawals, all at once.
async fn drill(profiles: &[&str]) {
    let app = Rc::new(TestApp::start_on(database().await, &[("HAODIAN_CHANNEL__TIMEOUT_MS", "2000")]).await);
    let shops = settled_shops(&app, profiles.len()).await;
    let mut orders = Vec::new();
    for (name, shop) in profiles.iter().zip(&shops) {
        profile(&app, name).await;
        for minor in [101, 202, 303, 404, 505] {
            withdraw(&app, shop, minor).await;
        }
        // where everything is slow, a few are enough
        orders.push(customers(&app, shop, if *name == "slow" { 6 } else { 12 }).await);
        for (n, order) in orders.last().unwrap().iter().enumerate().filter(|(n, _)| n % 3 == 0) {
            let amount = if n % 2 == 0 { order.amount } else { order.amount - 1 };
            let input = json!({ "orderId": order.handle.id, "amount": run::yuan(amount), "reason": "演练", "idempotencyKey": key() });
            // one that is not paid, or not known to be, cannot be refunded
            app.mutate(&shop.owner, "refundRequest", input, "refund { id }").await;
        }
        run::carried_out(&app).await;
    }
    profile(&app, "calm").await;
    resolved(&app, Open::Decided).await;
    for (orders, shop) in orders.iter().zip(&shops) {
        for order in orders {
            run::close(&app, shop, &order.handle).await;
        }
    }
    resolved(&app, Open::Nothing).await;
    run::decide(&app).await;
    let found = run::compared(&app).await;
    assert!(found.paid >= 5 * profiles.len() && found.refunded >= profiles.len(), "something happened at all: {found:?}");
    assert_eq!(found.paid_out + found.came_back, 5 * profiles.len(), "{found:?}");
    Rc::into_inner(app).expect("all customers are done").finish().await;
}

#[tokio::test]
async fn a_lie_changes_nothing_a_payout_comes_back_by_notice_and_by_query_and_no_order_of_notices_changes_the_books() {
    let app = Rc::new(TestApp::start().await);
    let shops = settled_shops(&app, 4).await;
    a_lie_books_nothing(&app, &shops[0]).await;
    a_payout_comes_back(&app, &shops[1]).await;
    // L18: the same twice, told in order and told in any
    let calm = told(&app, &shops[2], "calm").await;
    let wild = "about = \"in any order, three times\"\nseed = 11\n[notice]\ndelay_ms = [0, 600]\nduplicate = 10000\ntimes = 3\n\
                reorder = 6000\nbehind = 3\nreplay = 5000\nage_ms = [600000, 600000]\n";
    let wild = told(&app, &shops[3], wild).await;
    assert_eq!(wild, calm);
    let found = truth::compare(&app).await;
    assert_eq!((found.wrong.as_slice(), found.conflicted, found.came_back), (&[][..], 2, 2), "{found:?}");
    Rc::into_inner(app).expect("nobody else has it").finish().await;
}

#[tokio::test]
async fn a_success_after_a_decline_of_which_nothing_was_told_is_found_by_looking_again() {
    let app = Rc::new(TestApp::start().await);
    let shop = app.signed_merchant().await;
    let about = "about = \"a no that becomes a yes, and nobody says so\"\nseed = 1\n";
    let fates = "[business]\ndecline_user = 10000\nsuccess_after_decline = 10000\nafter_ms = [5000, 5000]\n[notice]\ndrop = 10000\n";
    profile(&app, &format!("{about}{fates}")).await;
    let order = app.order(&shop, "10.00").await;
    let started = app.start_payment(&order).await;
    app.confirm(&started, Confirm::default()).await;
    eventually(LIMIT, "the decline is learnt of by asking, and the success comes", async || {
        run::hurry(&app).await;
        let declined = "SELECT count(*) FROM payment_attempts WHERE status = 'FAILED'";
        let declined: i64 = sqlx::query_scalar(declined).fetch_one(app.owner_db()).await.unwrap();
        (declined == 1 && !truth::paid(&truth::text(&app).await).is_empty()).then_some(())
    })
    .await;
    profile(&app, "calm").await;
    // the order is over by then: its money goes back
    app.play_ahead(chrono::TimeDelta::hours(2)).await;
    let found = eventually(PAY_LIMIT, "the money went back", async || {
        run::hurry(&app).await;
        let found = truth::compare(&app).await;
        (found.refunded == 1).then_some(found)
    })
    .await;
    assert_eq!((found.wrong.as_slice(), found.paid), (&[][..], 1));
    assert_eq!(app.wallet(&shop).await.0, "0.00");
    Rc::into_inner(app).expect("nobody else has it").finish().await;
}

/// Another amount or currency waits for a person, another merchant is refused at the door, and the query finds the truth.
async fn a_lie_books_nothing(app: &Rc<TestApp>, shop: &Shop) {
    let before = app.wallet(shop).await;
    for lie in ["changed_amount", "changed_currency"] {
        profile(app, &format!("about = \"lies\"\nseed = 1\n[notice.payment]\n{lie} = 10000\n")).await;
        let order = app.order(shop, "10.00").await;
        let started = app.start_payment(&order).await;
        app.confirm(&started, Confirm::default()).await;
        eventually(PAY_LIMIT, "the attempt waits for a person", async || {
            let query = "query($ticket: String!) { cashier(ticket: $ticket) { status attempt { status } } }";
            let shown = app.read(&tests::Caller::nobody(), "cashier", query, json!({ "ticket": order.ticket })).await;
            (shown["attempt"]["status"] == "CONFLICTED").then(|| assert_eq!(shown["status"], "PAYING"))
        })
        .await;
        assert_eq!(app.wallet(shop).await, before, "{lie}: nothing is booked");
    }
    profile(app, "about = \"lies\"\nseed = 1\n[notice.payment]\nwrong_merchant = 10000\n").await;
    let stored = "SELECT count(*) FROM notices WHERE channel = 'SANDBOX'";
    let stored_before: i64 = sqlx::query_scalar(stored).fetch_one(app.owner_db()).await.unwrap();
    app.pay(&app.order(shop, "10.00").await).await;
    let stored_after: i64 = sqlx::query_scalar(stored).fetch_one(app.owner_db()).await.unwrap();
    assert_eq!(stored_after, stored_before, "what is said to another merchant is not kept");
    let logs = app.logs();
    let heard = logs.iter().any(|(name, log)| *name == "serve" && log.contains("the notice is about somebody else"));
    assert!(heard, "it did come, rightly signed");
}

/// 退票, first with every notice of the bank's lost, then told by notice alone.
async fn a_payout_comes_back(app: &Rc<TestApp>, shop: &Shop) {
    let all = app.wallet(shop).await.1;
    let status = async |id: &str| {
        let query = "query($id: ID!) { node(id: $id) { ... on Withdrawal { status errorCode resolvedAt returnedAt creditedBackAt } } }";
        app.read(&shop.owner, "node", query, json!({ "id": id })).await
    };
    for (drop, notices) in [(10_000, 0_i64), (0, 2)] {
        profile(
            app,
            &format!(
                "about = \"returns\"\nseed = 1\n[business]\npayout_return = 10000\nafter_ms = [400, 400]\n[notice.payout]\ndrop = {drop}\n"
            ),
        )
        .await;
        let id = withdraw(app, shop, 500).await;
        let ended = eventually(LIMIT, "what came back is credited", async || {
            if drop > 0 {
                run::hurry(app).await;
            }
            let shown = status(&id).await;
            shown["creditedBackAt"].is_string().then_some(shown)
        })
        .await;
        assert_eq!((&ended["status"], &ended["errorCode"]), (&json!("CREDITED_BACK"), &json!("ACCOUNT_CLOSED")));
        assert!(ended["resolvedAt"].is_string() && ended["returnedAt"].is_string(), "{ended}");
        assert_eq!(app.wallet(shop).await.1, all);
        let told: i64 = sqlx::query_scalar("SELECT count(*) FROM notices WHERE channel = 'SANDBOX_BANK' AND outcome = 'APPLIED'")
            .fetch_one(app.owner_db())
            .await
            .unwrap();
        assert_eq!(told, notices, "how it was learnt");
    }
}

/// What the books of a merchant are after the same orders, refunds and withdrawals, told in one way.
async fn told(app: &Rc<TestApp>, shop: &Shop, how: &str) -> Vec<String> {
    profile(app, how).await;
    let mut orders = Vec::new();
    for n in 1..=6 {
        let order = app.order(shop, &format!("{n}.00")).await;
        let started = app.start_payment(&order).await;
        if n == 6 {
            app.decline(&started, "BALANCE_TOO_LOW").await;
            continue;
        }
        app.confirm(&started, Confirm::default()).await;
        orders.push(order);
    }
    for order in &orders {
        app.until_order(order, "PAID").await;
        let input = json!({ "orderId": order.id, "amount": "0.50", "reason": "演练", "idempotencyKey": key() });
        app.done(&shop.owner, "refundRequest", input, "refund { id }").await;
    }
    for minor in [150, 250] {
        withdraw(app, shop, minor).await;
    }
    resolved(app, Open::Decided).await;
    // what is told late finds it done
    app.drained().await;
    let books = "SELECT format('%s %s %s', kind, balance_minor, seq) FROM accounts WHERE book_id = $1
                 UNION ALL
                 SELECT format('%s %s', kind, count(*)) FROM postings WHERE book_id = $1 GROUP BY kind
                 UNION ALL
                 SELECT format('%s %s %s', kind, status, count(*))
                 FROM (SELECT 'attempt' AS kind, status FROM payment_attempts WHERE book_id = $1
                       UNION ALL SELECT 'refund', status FROM refunds WHERE book_id = $1
                       UNION ALL SELECT 'withdrawal', status FROM withdrawals WHERE book_id = $1) AS rows
                 GROUP BY kind, status
                 ORDER BY 1";
    sqlx::query_scalar(books).bind(shop.merchant_id.0).fetch_all(app.owner_db()).await.unwrap()
}
