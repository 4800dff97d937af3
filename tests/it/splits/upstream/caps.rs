//! What channels hold us to: whom they pay, how much of which payment, until when, how often asked.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;
use wallet::base::clock::business_day;
use wallet::base::id::{AttemptId, OrderId};
use wallet::channel::Progress;
use wallet::channel::acquirer::{Method, PaymentOrder, PaymentWord, Wallet};
use wallet::ledger::recipe;
use wallet::payment::{PaymentError, StartPayment, Switch};
use wallet::split::{
    CreateRound, FROZEN_FOR, FinishSplit, Line, LineStatus, NewSplit, Parties, SetAccount, Slice, SplitError, SplitStatus, Upstream,
    plan_in_tx,
};

use super::super::{bps, cny};
use super::Market;

#[tokio::test]
async fn a_receiver_needs_an_account_that_the_channel_takes() {
    let market = Market::without_accounts().await;
    let order = market.paid(10_000).await;
    market.execute(order).await;
    let codes: BTreeSet<_> = market.lines(order).await.into_iter().filter_map(|line| line.error_code).collect();
    assert_eq!(codes, ["ABOVE_FAILED", "RECEIVER_WITHOUT_ACCOUNT"].map(str::to_owned).into());
    assert_eq!(market.pending().await, [9_900, 0, 0, 0], "the rest is freed all the same");
    market.assert_as_the_channels_did().await;
    // who may set one, and what is one
    let agent = market.receivers[0];
    let cmd = |channel: &str, account: &str| SetAccount { merchant: agent, channel: channel.to_owned(), account: account.to_owned() };
    let refused = market.splits.set_account(&market.owner, cmd("WECHAT_PAY", "1900000801")).await;
    assert!(matches!(refused, Err(SplitError::Forbidden(_))), "{refused:?}");
    for account in ["", "1900000", "19000008010", "190000080x", "1900000109"] {
        let refused = market.splits.set_account(&market.operator, cmd("WECHAT_PAY", account)).await;
        assert!(matches!(refused, Err(SplitError::AccountInvalid)), "{account}: {refused:?}");
    }
    assert!(matches!(market.splits.set_account(&market.operator, cmd("SANDBOX", "1")).await, Err(SplitError::ChannelDividesNot)));
    market.splits.set_account(&market.operator, cmd("WECHAT_PAY", "1900000801")).await.unwrap();
    let set = market.splits.accounts(&market.operator, agent).await.unwrap();
    assert_eq!(set[0].status, wallet::split::AccountStatus::Wait);
    assert!(!format!("{set:?}").contains("1900000801"), "it shows in no log");
    let order = market.paid(10_000).await;
    market.execute(order).await;
    assert_eq!(market.splits.accounts(&market.operator, agent).await.unwrap()[0].status, wallet::split::AccountStatus::Added);
    assert_eq!(market.pending().await, [9_900 + 7_920, 1_386, 594, 0], "the broker is paid by the agent, whatever its account");
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn a_rule_that_gives_more_than_a_channel_divides_is_not_paid_there() {
    let market = Market::open().await;
    // 40 of a hundred for the agent; channels give 30
    let order = market.order("AGENT_COMMISSION", 10_000).await;
    let refused = market.start(order.id, "WECHAT_PAY").await;
    assert!(matches!(refused, Err(PaymentError::SplitTooLarge)), "{refused:?}");
    let none: i64 = sqlx::query_scalar("SELECT count(*) FROM payment_attempts").fetch_one(market.db.pool()).await.unwrap();
    assert_eq!(none, 0);
}

#[tokio::test]
async fn what_alipay_would_take_back_in_its_own_proportions_is_not_divided_there() {
    let market = Market::open().await;
    // tests' routing table sends every wallet to every channel
    market.payments.switch(&market.operator, "WECHAT_PAY", Switch::Off).await.unwrap();
    let (divided, plain) = (market.order("SHARED", 10_000).await, market.order("STORE_PAYMENT", 10_000).await);
    let open = |order| market.payments.ways(order).contains(&(Wallet::Alipay, Method::Native));
    assert_eq!((open(&divided), open(&plain)), (false, true), "its face-to-face payments");
    assert!(market.payments.ways(&divided).contains(&(Wallet::Alipay, Method::Page)));
    let cmd = StartPayment {
        merchant: market.merchant,
        order: divided.id,
        method: Method::Native,
        wallet: Some(Wallet::Alipay),
        failed: None,
        payer: None,
        return_url: None,
        idempotency_key: Uuid::now_v7(),
    };
    let refused = market.payments.start(&market.owner, cmd).await;
    assert!(matches!(refused, Err(PaymentError::SplitTooLarge)), "{refused:?}");
}

/// A payment of so much at a channel whose money is frozen there: the channel's number.
async fn frozen_payment(market: &Market, channel: &str, minor: i64) -> String {
    let order = PaymentOrder {
        request_no: Uuid::now_v7().simple().to_string(),
        amount: cny(minor),
        description: "服务费".to_owned(),
        method: if channel == "ALIPAY" { Method::Page } else { Method::Native },
        payer: None,
        return_url: None,
        expires_at: market.clock.now() + chrono::TimeDelta::minutes(20),
        split: true,
    };
    let acquirer = market.channels.get(channel).unwrap();
    let invitation = acquirer.pay(&order).await.unwrap().invitation.unwrap();
    market.confirm(&invitation).await;
    let asked = wallet::channel::acquirer::Asked { request_no: order.request_no, sent_at: market.clock.now() };
    match acquirer.query(&asked).await.unwrap().unwrap().word {
        PaymentWord::Succeeded { transaction_id, .. } => transaction_id,
        word => panic!("{word:?}"),
    }
}

impl Market {
    /// Plans by hand the split of an order of 100.00, of which 60.00 were paid at WeChat and 40.00 at Alipay: fifths of 99.00 to receivers.
    async fn plan_two(&self, share_bps: u16) -> OrderId {
        let order = self.order("SHARED", 10_000).await;
        let slice = async |channel: &str, minor: i64, base_minor| {
            let transaction_id = frozen_payment(self, channel, minor).await;
            let upstream = Upstream { channel: channel.to_owned(), transaction_id, divisible_minor: minor * 3 / 10 };
            Slice { attempt: AttemptId::new(), base_minor, upstream: Some(upstream) }
        };
        let mut slices = vec![slice("WECHAT_PAY", 6_000, 5_940).await, slice("ALIPAY", 4_000, 3_960).await];
        slices.sort_by_key(|slice| slice.attempt);
        let parties: Parties = ["A", "B"].into_iter().map(str::to_owned).zip(self.receivers.iter().copied()).collect();
        let rule = vec![bps("A", share_bps, vec![]), bps("B", 500, vec![])];
        let now = self.clock.now();
        let new = NewSplit { order: &order, slices, rule, parties, at_once: false, frozen_until: now + FROZEN_FOR };
        let mut tx = self.db.pool().begin().await.unwrap();
        let booking = plan_in_tx(&mut tx, &[new], now).await.unwrap();
        // as the payments would have: money in pending
        let (book, day) = (self.merchant.book(), business_day(now));
        let funded = recipe::payment(book, self.store, AttemptId::new(), cny(10_000), cny(100), "WECHAT_PAY", day);
        wallet::ledger::post_in_tx(&mut tx, &[funded], day, now).await.unwrap().pop().unwrap().unwrap();
        booking.write_in_tx(&mut tx, now).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        order.id
    }
}

#[tokio::test]
async fn each_channel_divides_only_its_own_money_and_no_more_than_it_may_until_its_time_is_over() {
    let market = Market::open().await;
    let order = market.plan_two(2_000).await;
    let round = async |minor: Option<i64>| {
        let cmd = CreateRound { merchant: market.merchant, order, amount: minor.map(cny), finish: false, idempotency_key: Uuid::now_v7() };
        market.splits.split(&market.owner, cmd).await
    };
    // two rounds: of 60.00 and of the rest, 15.00 and 9.75 to receivers; WeChat gives 18.00 of its payment, so the second takes from both
    round(Some(6_000)).await.unwrap();
    market.execute(order).await;
    round(None).await.unwrap();
    market.execute(order).await;
    let (lines, calls) = (market.lines(order).await, market.splits.calls(&market.operator, market.merchant, order).await.unwrap());
    assert!(lines.iter().all(|line| line.status == LineStatus::Succeeded));
    for call in calls.iter().filter(|call| !call.shares.is_empty()) {
        let mine = |line: &&Line| call.shares.iter().any(|share| share.line == line.id);
        assert!(lines.iter().filter(mine).all(|line| line.attempt == call.attempt), "a request is about one payment");
    }
    let used: BTreeSet<_> = calls.iter().map(|call| call.channel.as_str()).collect();
    assert_eq!(used, ["ALIPAY", "WECHAT_PAY"].into());
    let total: i64 = lines.iter().map(|line| line.amount.minor).sum();
    assert_eq!(total, 2_475);
    // the split finishes by itself in time, and each channel before it
    let due = market.split(order).await.finish_at;
    market.clock.set_offset_ms(market.clock.offset_ms() + (due - market.clock.now()).num_milliseconds() + 1_000);
    assert!(matches!(round(None).await, Err(SplitError::FrozenTooLong { .. })));
    assert_eq!(market.splits.finish_due(market.merchant.book(), order).await.unwrap(), Progress::Settled);
    assert_ne!(market.split(order).await.status, SplitStatus::Finished, "the channels come first");
    market.execute(order).await;
    assert_eq!(market.split(order).await.status, SplitStatus::Finished);
    let (theirs, ours) = market.truth().await;
    assert_eq!(theirs, ours);
    assert_eq!(theirs.iter().filter(|line| line.starts_with("FREED")).count(), 2);
}

#[tokio::test]
async fn a_round_that_gives_receivers_more_than_their_channel_does_is_refused_when_it_is_planned() {
    let market = Market::open().await;
    let order = market.plan_two(4_000).await;
    let cmd =
        |minor| CreateRound { merchant: market.merchant, order, amount: Some(cny(minor)), finish: false, idempotency_key: Uuid::now_v7() };
    let refused = market.splits.split(&market.owner, cmd(9_900)).await;
    assert!(matches!(refused, Err(SplitError::AmountExceedsChannel { .. })), "{refused:?}");
    assert_eq!(market.lines(order).await.len(), 0, "and nothing is left of it");
    // as much as it gives
    market.splits.split(&market.owner, cmd(2_000)).await.unwrap();
    market.execute(order).await;
    let finish = FinishSplit { merchant: market.merchant, order, idempotency_key: Uuid::now_v7() };
    market.splits.finish(&market.owner, finish).await.unwrap();
    market.execute(order).await;
    assert_eq!(market.split(order).await.status, SplitStatus::Finished);
    let (theirs, ours) = market.truth().await;
    assert_eq!(theirs, ours);
}

#[tokio::test]
async fn requests_keep_to_the_pace_that_the_channel_allows_whoever_makes_them() {
    let market = Market::open().await;
    let mut orders = Vec::new();
    for _ in 0..8 {
        orders.push(market.paid(10_000).await);
    }
    // the bucket of our number there is empty: somebody else has just used it up
    sqlx::query("INSERT INTO split_buckets (channel, payee_no, full_at) VALUES ('WECHAT_PAY', '1900000109', now() + interval '5 seconds')")
        .execute(market.db.owner_pool())
        .await
        .unwrap();
    let paced = market.splits.execute(market.merchant.book(), orders[0]).await.unwrap();
    assert!(matches!(paced, Progress::AskAgain(pause) if pause > Duration::from_secs(3)), "{paced:?}");
    let (theirs, _) = market.truth().await;
    assert!(theirs.is_empty(), "nobody was asked: {theirs:?}");
    // and stays all but empty: one after the other is all that there may be from here on
    sqlx::query("UPDATE split_buckets SET full_at = now() + interval '500 ms'").execute(market.db.owner_pool()).await.unwrap();
    for order in orders {
        market.execute(order).await;
    }
    market.assert_as_the_channels_did().await;
}
