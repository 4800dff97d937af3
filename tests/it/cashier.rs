//! The cashier's live line: the page hears that its order is paid without asking.

use std::time::Duration;

use serde_json::Value;
use tests::{Confirm, TestApp};

#[tokio::test]
async fn the_cashier_hears_that_its_order_is_paid() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let mut line = app.http().get(format!("{}/cashier/{}/events", app.url(), order.ticket)).send().await.unwrap();
    assert_eq!(line.status(), 200);
    assert_eq!(line.headers()["content-type"], "text/event-stream");

    let started = app.start_payment(&order).await;
    app.confirm(&started, Confirm::default()).await;
    let heard = tokio::time::timeout(Duration::from_secs(15), async {
        let mut text = String::new();
        let mut events: Vec<Value> = Vec::new();
        while let Some(chunk) = line.chunk().await.unwrap() {
            text.push_str(&String::from_utf8_lossy(&chunk));
            events = text.lines().filter_map(|l| l.strip_prefix("data:")).filter_map(|d| serde_json::from_str(d.trim()).ok()).collect();
            if events.iter().any(|e| e["status"] == "PAID") {
                break;
            }
        }
        events
    })
    .await
    .expect("the line tells of the payment");
    assert_eq!(heard.last().unwrap()["status"], "PAID", "{heard:?}");
    drop(line);
    app.finish().await;
}

#[tokio::test]
async fn a_ticket_of_another_order_or_of_none_opens_nothing() {
    let app = TestApp::start().await;
    let shop = app.signed_merchant().await;
    let order = app.order(&shop, "12.50").await;
    let mut forged = order.ticket.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'B' } else { 'A' });
    for ticket in [forged.as_str(), "x", &"A".repeat(3_000)] {
        let answer = app.http().get(format!("{}/cashier/{ticket}/events", app.url())).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{ticket}: {}", answer.status());
    }
    app.finish().await;
}
