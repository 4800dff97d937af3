//! A counterparty that is started anew in the middle still knows what it divided, finished and took back; and a finish that a channel refuses.

use uuid::Uuid;
use wallet::channel::Progress;
use wallet::refund::{RefundStatus, RequestRefund};
use wallet::split::run::Learnt;
use wallet::split::{CallKind, CallStatus, RetryFinish, SplitError, SplitStatus};

use super::super::cny;
use super::{DIVIDED, Market, arrived};

#[tokio::test]
async fn a_simulator_that_is_started_anew_still_knows_its_splits() {
    for channel in ["WECHAT_PAY", "ALIPAY"] {
        let mut market = Market::open().await;
        let (order, book) = (market.paid_with(10_000, channel).await, market.merchant.book());
        let mut learnt = Learnt::default();
        // told of the receivers, asked to divide, asked what became of it, asked to finish
        for _ in 0..12 {
            if market.splits.step(book, order, &mut learnt).await.unwrap() == Some(Progress::Settled) {
                break;
            }
            let before = market.told_truth().await;
            market.restart().await;
            assert_eq!(market.told_truth().await, before, "{channel}");
        }
        market.execute(order).await;
        assert_eq!((market.told(order).await, market.pending().await), (arrived(), DIVIDED), "{channel}");
        market.assert_as_the_channels_did().await;
        if channel == "WECHAT_PAY" {
            let half = market.give_back(order, 990).await;
            market.execute_return(&half).await;
            market.restart().await;
            let rest = market.give_back(order, 1_485).await;
            market.execute_return(&rest).await;
            assert_eq!(market.pending().await, [9_900, 0, 0, 0]);
        } else {
            for _ in 0..2 {
                let cmd = RequestRefund {
                    merchant: market.merchant,
                    order,
                    amount: cny(5_000),
                    reason: "退货".to_owned(),
                    idempotency_key: Uuid::now_v7(),
                };
                let refund = market.refunds.request(&market.owner, cmd).await.unwrap();
                let back = market.splits.returns(&market.owner, market.merchant, order).await.unwrap().pop().unwrap();
                assert!(matches!(market.splits.execute_return(book, back.id).await.unwrap(), Progress::AskAgain(_)));
                market.refunds.gather(book, refund.id).await.unwrap();
                market.refunds.send(book, refund.id).await.unwrap();
                market.restart().await;
                market.execute_return(&back).await;
                let shown = market.refunds.by_ids(&[(market.merchant, refund.id)]).await.unwrap().pop().unwrap();
                assert_eq!(shown.status, RefundStatus::Succeeded);
            }
            assert_eq!(market.pending().await, [0; 4]);
        }
        market.restart().await;
        market.assert_as_the_channels_did().await;
    }
}

#[tokio::test]
async fn a_finish_that_a_channel_refuses_is_shown_and_tried_again_when_a_person_says_so() {
    for channel in ["WECHAT_PAY", "ALIPAY"] {
        let market = Market::open().await;
        let (order, book) = (market.paid_with(10_000, channel).await, market.merchant.book());
        let refuse = "about = \"no finish\"\nseed = 1\n[business]\nfinish_refused = 10000\n";
        market.control("profile", refuse.to_owned()).await;
        let retry = |key| RetryFinish { merchant: market.merchant, order, idempotency_key: key };
        let early = market.splits.retry_finish(&market.operator, retry(Uuid::now_v7())).await;
        assert!(matches!(early, Err(SplitError::FinishNotRefused)), "{early:?}");
        market.execute(order).await;
        for _ in 0..2 {
            // nobody asks again by itself
            assert_eq!(market.splits.execute(book, order).await.unwrap(), Progress::Settled);
        }
        let split = market.split(order).await;
        let code = if channel == "ALIPAY" { "ACQ.ILLEGAL_SETTLE_STATE" } else { "NOT_ENOUGH" };
        assert_eq!((split.finish_error.as_deref(), split.finished_at, split.released.minor), (Some(code), None, 0), "{channel}");
        let listed = market.splits.finish_refused(&market.operator).await.unwrap();
        assert_eq!(listed.iter().map(|split| split.order).collect::<Vec<_>>(), [order]);
        assert!(market.splits.finish_refused(&market.owner).await.is_err(), "operators only");
        assert!(market.splits.retry_finish(&market.owner, retry(Uuid::now_v7())).await.is_err(), "operators only");
        assert_eq!(market.events("split.finish_refused").await, 1);
        market.assert_as_the_channels_did().await;
        // once more for nothing, under one key twice
        let key = Uuid::now_v7();
        for _ in 0..2 {
            assert_eq!(market.splits.retry_finish(&market.operator, retry(key)).await.unwrap().finish_error, None);
        }
        market.execute(order).await;
        assert_eq!(market.split(order).await.finish_error.as_deref(), Some(code));
        assert_eq!(market.events("split.finish_refused").await, 2);
        market.assert_as_the_channels_did().await;
        market.control("profile", "calm".to_owned()).await;
        market.splits.retry_finish(&market.operator, retry(Uuid::now_v7())).await.unwrap();
        market.assert_sound().await;
        market.execute(order).await;
        let split = market.split(order).await;
        assert_eq!((split.status, split.finish_error, split.released.minor), (SplitStatus::Finished, None, 7_425));
        let calls = market.splits.calls(&market.operator, market.merchant, order).await.unwrap();
        let finishes: Vec<_> = calls.iter().filter(|call| call.kind == CallKind::Finish).map(|call| call.status).collect();
        assert_eq!(finishes, [CallStatus::Failed, CallStatus::Failed, CallStatus::Done], "each under its own number");
        assert!(market.splits.finish_refused(&market.operator).await.unwrap().is_empty());
        market.assert_as_the_channels_did().await;
    }
}

impl Market {
    async fn told_truth(&self) -> String {
        self.http.get(format!("{}/control/truth", self.sim_url)).send().await.unwrap().text().await.unwrap()
    }

    async fn events(&self, kind: &'static str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM outbox WHERE kind = $1").bind(kind).fetch_one(self.db.pool()).await.unwrap()
    }
}
