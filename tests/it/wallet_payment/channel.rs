//! Starting, asking, closing and refunding against the real simulator, over a line that can be cut on either side of an answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use api::sim::{Keys, Others, Sim};
use chrono::TimeDelta;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;
use wallet::base::id::OrderId;
use wallet::channel::Progress;
use wallet::channel::acquirer::Method;
use wallet::channel::sandbox::BANK_KEY;
use wallet::channel::sandbox::sign::{Signer, Verifier};
use wallet::channel::sandbox::{ACQUIRER_KEY, PLATFORM_KEY};
use wallet::order::OrderStatus;
use wallet::payment::{AttemptStatus, CloseOrder, PaymentError, StartPayment};
use wallet::refund::{RefundStatus, RequestRefund};

use super::{MERCHANT_NO, Scene, cny, pkcs8};

/// What the line does with an exchange.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Line {
    Open,
    /// Nothing reaches the channel.
    Deaf,
    /// The channel does what it is asked, and its answer is lost.
    Silent,
}

struct Shop {
    scene: Scene,
    line: Arc<AtomicU8>,
    folder: PathBuf,
}

impl Drop for Shop {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Shop {
    async fn open() -> Self {
        let (platform, acquirer) = (pkcs8(), pkcs8());
        let folder = std::env::temp_dir().join(format!("haodian-payment-{}", Uuid::now_v7().simple()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = listener.local_addr().unwrap();
        let signer = |key_id, key: &[u8]| Signer::try_from_pkcs8(key_id, key).unwrap();
        let keys = Keys {
            acquirer: signer(ACQUIRER_KEY, &acquirer),
            bank: signer(BANK_KEY, &pkcs8()),
            platform: Verifier::new(PLATFORM_KEY, &signer(PLATFORM_KEY, &platform).public_key()),
            others: Others::default(),
        };
        let sim = Sim::load(keys, MERCHANT_NO, &format!("http://{behind}"), &folder.join("journal.jsonl")).unwrap();
        tokio::spawn(sim.serve(listener, std::future::pending()));

        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", front.local_addr().unwrap());
        let line = Arc::new(AtomicU8::new(Line::Open as u8));
        let state = Arc::clone(&line);
        tokio::spawn(async move {
            while let Ok((client, _)) = front.accept().await {
                tokio::spawn(carry(client, behind, Arc::clone(&state)));
            }
        });
        Self { scene: Scene::at(&url, &platform, &acquirer).await, line, folder }
    }

    fn line(&self, line: Line) {
        self.line.store(line as u8, Ordering::SeqCst);
    }

    fn start(&self, order: OrderId, key: Uuid) -> StartPayment {
        StartPayment {
            merchant: self.scene.merchant,
            order,
            method: Method::Page,
            wallet: None,
            failed: None,
            payer: None,
            return_url: None,
            idempotency_key: key,
        }
    }

    async fn confirm(&self, pay_url: &str) {
        let body = serde_json::json!({"notices": 0});
        let answer = reqwest::Client::new().post(format!("{pay_url}/confirm")).json(&body).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    async fn close(&self, order: OrderId) -> Result<wallet::order::Order, PaymentError> {
        let cmd = CloseOrder { merchant: self.scene.merchant, order, idempotency_key: Uuid::now_v7() };
        self.scene.payments.close_order(&self.scene.owner, cmd).await
    }
}

/// Carries one connection, and cuts it as told at the moment something should pass.
async fn carry(mut client: TcpStream, to: std::net::SocketAddr, line: Arc<AtomicU8>) -> std::io::Result<()> {
    let mut channel = TcpStream::connect(to).await?;
    let (mut up, mut down) = (vec![0; 16_384], vec![0; 16_384]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => match (read?, line.load(Ordering::SeqCst)) {
                (0, _) => return Ok(()),
                (_, state) if state == Line::Deaf as u8 => return Ok(()),
                (n, _) => channel.write_all(&up[..n]).await?,
            },
            read = channel.read(&mut down) => match (read?, line.load(Ordering::SeqCst)) {
                (0, _) => return Ok(()),
                (_, state) if state == Line::Silent as u8 => return Ok(()),
                (n, _) => client.write_all(&down[..n]).await?,
            },
        }
    }
}

#[tokio::test]
async fn a_customer_goes_on_with_the_attempt_that_is_open() {
    let shop = Shop::open().await;
    let scene = &shop.scene;
    let order = scene.order(1_250).await;
    let first = scene.start(order.id).await;
    assert_eq!(first.status, AttemptStatus::UserPending);
    let second = scene.start(order.id).await;
    assert_eq!((second.id, &second.invitation), (first.id, &first.invitation));
    assert_eq!(scene.payments.query(scene.book(), first.id).await.unwrap(), Progress::AskAgain(std::time::Duration::from_secs(5)));
    shop.confirm(page(&first)).await;
    assert_eq!(scene.payments.query(scene.book(), first.id).await.unwrap(), Progress::Settled);
    assert_eq!(scene.status(order.id).await, OrderStatus::Paid);
    assert_eq!(scene.payments.query(scene.book(), first.id).await.unwrap(), Progress::Settled);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_next_start_finds_the_same_payment() {
    let shop = Shop::open().await;
    let scene = &shop.scene;
    for cut in [Line::Silent, Line::Deaf] {
        let order = scene.order(1_250).await;
        shop.line(cut);
        let key = Uuid::now_v7();
        let unknown = scene.payments.start(&scene.owner, shop.start(order.id, key)).await.unwrap();
        assert_eq!(unknown.status, AttemptStatus::Unknown);
        shop.line(Line::Open);
        let replayed = scene.payments.start(&scene.owner, shop.start(order.id, key)).await.unwrap();
        assert_eq!(replayed, unknown, "the same key, the same answer");
        let found = scene.start(order.id).await;
        assert_eq!((found.id, found.status), (unknown.id, AttemptStatus::UserPending));
        assert_eq!(scene.count("SELECT count(*) FROM payment_attempts WHERE status <> 'USER_PENDING'").await, 0);
    }
}

#[tokio::test]
async fn a_start_that_was_cut_short_is_finished_by_its_replay() {
    let shop = Shop::open().await;
    let scene = &shop.scene;
    let (order, key) = (scene.order(1_250).await, Uuid::now_v7());
    let first = scene.payments.start(&scene.owner, shop.start(order.id, key)).await.unwrap();
    // as if the process had died between the two transactions
    sqlx::query("UPDATE idempotency_keys SET response = NULL WHERE operation = 'paymentStart'").execute(scene.db.pool()).await.unwrap();
    sqlx::query("UPDATE payment_attempts SET status = 'SENT', invitation = NULL").execute(scene.db.pool()).await.unwrap();
    let (a, b) = tokio::join!(
        scene.payments.start(&scene.owner, shop.start(order.id, key)),
        scene.payments.start(&scene.owner, shop.start(order.id, key))
    );
    assert_eq!(a.unwrap(), first);
    assert_eq!(b.unwrap(), first);
    assert_eq!(scene.count("SELECT count(*) FROM payment_attempts").await, 1);
}

#[tokio::test]
async fn an_order_that_expired_is_closed_at_the_channel_before_it_closes_here() {
    let shop = Shop::open().await;
    let scene = &shop.scene;
    let (idle, paid) = (scene.order(100).await, scene.order(200).await);
    shop.line(Line::Deaf);
    let lost = scene.start(scene.order(300).await.id).await;
    shop.line(Line::Open);
    let (idle_attempt, paid_attempt) = (scene.start(idle.id).await, scene.start(paid.id).await);
    shop.confirm(page(&paid_attempt)).await;
    let before = scene.payments.query(scene.book(), lost.id).await.unwrap();
    assert!(matches!(before, Progress::AskAgain(_)), "not known there, but the request may be on its way");
    scene.pass(TimeDelta::minutes(31));
    shop.line(Line::Deaf);
    assert!(matches!(scene.payments.query(scene.book(), idle_attempt.id).await.unwrap(), Progress::AskAgain(_)));
    assert_eq!(scene.status(idle.id).await, OrderStatus::Paying, "no word, no decision");
    shop.line(Line::Open);
    for attempt in [&idle_attempt, &paid_attempt, &lost] {
        let settled = scene.payments.query(scene.book(), attempt.id).await.unwrap() == Progress::Settled;
        assert_eq!(settled, attempt.id == paid_attempt.id, "what was closed is looked at again, later");
    }
    assert_eq!(scene.status(idle.id).await, OrderStatus::Closed);
    assert_eq!(scene.status(paid.id).await, OrderStatus::Paid, "the customer was faster");
    assert_eq!(scene.status(lost.order).await, OrderStatus::Closed);
    let page = reqwest::get(page(&idle_attempt)).await.unwrap().text().await.unwrap();
    assert!(page.contains("订单已关闭"));
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_merchant_closes_an_order_unless_the_customer_was_faster() {
    let shop = Shop::open().await;
    let scene = &shop.scene;
    let order = scene.order(100).await;
    scene.start(order.id).await;
    shop.line(Line::Deaf);
    assert!(matches!(shop.close(order.id).await, Err(PaymentError::StillPaying)));
    shop.line(Line::Open);
    assert_eq!(shop.close(order.id).await.unwrap().status, OrderStatus::Closed);
    assert_eq!(shop.close(order.id).await.unwrap().status, OrderStatus::Closed, "closed is closed");
    let order = scene.order(100).await;
    let attempt = scene.start(order.id).await;
    shop.confirm(page(&attempt)).await;
    assert!(matches!(shop.close(order.id).await, Err(PaymentError::OrderPaid)));
    assert_eq!(scene.status(order.id).await, OrderStatus::Paid);
    scene.assert_sound().await;
}

#[tokio::test]
async fn a_refund_is_sent_once_however_often_its_answer_is_lost() {
    let shop = Shop::open().await;
    let scene = &shop.scene;
    let order = scene.order(10_000).await;
    let attempt = scene.start(order.id).await;
    shop.confirm(page(&attempt)).await;
    scene.payments.query(scene.book(), attempt.id).await.unwrap();
    let cmd = RequestRefund {
        merchant: scene.merchant,
        order: order.id,
        amount: cny(2_500),
        reason: "退货".to_owned(),
        idempotency_key: Uuid::now_v7(),
    };
    let refund = scene.refunds.request(&scene.owner, cmd).await.unwrap();
    for cut in [Line::Deaf, Line::Silent] {
        shop.line(cut);
        scene.refunds.send(scene.book(), refund.id).await.unwrap();
        let unknown = scene.refunds.by_ids(&[(scene.merchant, refund.id)]).await.unwrap().remove(0);
        assert_eq!(unknown.status, RefundStatus::Unknown);
    }
    assert_eq!(scene.count("SELECT count(*) FROM jobs WHERE kind = 'refund_query'").await, 1);
    shop.line(Line::Open);
    tests::eventually(std::time::Duration::from_secs(60), "the refund is settled", || async {
        (scene.refunds.query(scene.book(), refund.id).await.unwrap() == Progress::Settled).then_some(())
    })
    .await;
    let settled = scene.refunds.by_ids(&[(scene.merchant, refund.id)]).await.unwrap().remove(0);
    assert_eq!(settled.status, RefundStatus::Succeeded);
    assert_eq!(scene.owed().await, [9_962 - 2_490, 0, 0]);
    scene.assert_sound().await;
}

/// Where the customer of an attempt pays.
fn page(attempt: &wallet::payment::Attempt) -> &str {
    attempt.invitation.as_ref().and_then(|invitation| invitation.url()).unwrap()
}
