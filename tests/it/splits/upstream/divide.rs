//! Divided and brought back: through lost answers, outages, deaths and several workers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;
use wallet::channel::Progress;
use wallet::channel::divider::{Asked, Division, Share};
use wallet::split::run::{Learnt, Next};
use wallet::split::{CallStatus, LineStatus, ReturnSplit, SplitError, SplitStatus};

use super::super::cny;
use super::{CLOSED_ACCOUNT, DIVIDED, Market, WECHAT_ACCOUNTS, arrived};

#[tokio::test]
async fn each_channel_that_divides_does_so_first_and_the_ledger_follows_it() {
    for channel in ["WECHAT_PAY", "ALIPAY"] {
        let market = Market::open().await;
        let order = market.paid_with(10_000, channel).await;
        assert_eq!(market.pending().await, [0, 0, 0, 0], "it is frozen");
        market.execute(order).await;
        assert_eq!((market.told(order).await, market.pending().await), (arrived(), DIVIDED), "{channel}");
        let calls = market.splits.calls(&market.operator, market.merchant, order).await.unwrap();
        assert!(calls.iter().all(|call| call.channel == channel && call.status == CallStatus::Done), "{calls:?}");
        // two receivers of the first level in one request, none of the second; and the finish
        assert_eq!(calls.iter().map(|call| call.shares.len()).collect::<Vec<_>>(), [2, 0]);
        assert!(market.splits.calls(&market.owner, market.merchant, order).await.is_err(), "operators only");
        let split = market.split(order).await;
        assert_eq!((split.status, split.released.minor), (SplitStatus::Finished, 7_425));
        market.assert_as_the_channels_did().await;
        if channel == "ALIPAY" {
            let cmd = ReturnSplit { merchant: market.merchant, order, amount: cny(1), idempotency_key: Uuid::now_v7() };
            let refused = market.splits.give_back(&market.owner, cmd).await;
            assert!(matches!(refused, Err(SplitError::ReturnsWithRefund)), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn whatever_answers_are_lost_nothing_is_divided_twice_or_not_at_all() {
    let market = Market::open().await;
    let mut orders = Vec::new();
    for _ in 0..4 {
        orders.push(market.paid(10_000).await);
    }
    let lossy = "about = \"loses answers\"\nseed = 5\n[answer.other]\ndrop_before = 2000\ndrop_after = 3000\nfail_after = 1000\ngarbage = 500\nwrong_key = 500\n";
    market.control("profile", lossy.to_owned()).await;
    for order in &orders {
        market.execute(*order).await;
        market.assert_sound().await;
    }
    // what comes back is asked for in the same weather
    let back = market.give_back(orders[0], 2_475).await;
    market.execute_return(&back).await;
    market.control("profile", "calm".to_owned()).await;
    assert_eq!(market.pending().await, [4 * 7_425 + 2_475, 3 * 1_386, 3 * 594, 3 * 495]);
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn a_share_that_does_not_reach_its_receiver_stays_with_the_payment_and_the_others_arrive() {
    let market = Market::open().await;
    market.account(market.receivers[2], "WECHAT_PAY", CLOSED_ACCOUNT).await.unwrap();
    let order = market.paid(10_000).await;
    market.execute(order).await;
    let lines = market.lines(order).await;
    let supplier = lines.iter().find(|line| line.role == "SUPPLIER").unwrap();
    assert_eq!((supplier.status, supplier.error_code.as_deref()), (LineStatus::Failed, Some("ACCOUNT_ABNORMAL")));
    assert_eq!(market.pending().await, [7_425 + 495, 1_386, 594, 0]);
    // some of many, by a profile
    market.account(market.receivers[2], "WECHAT_PAY", WECHAT_ACCOUNTS[2]).await.unwrap();
    let partly = "about = \"some shares go astray\"\nseed = 3\n[business]\nsplit_part = 5000\n";
    market.control("profile", partly.to_owned()).await;
    let mut states = BTreeSet::new();
    // of four states with even chances, until three were there
    for _ in 0..60 {
        if states.len() > 2 {
            break;
        }
        let order = market.paid(10_000).await;
        market.execute(order).await;
        let told = market.told(order).await;
        assert_eq!(market.split(order).await.status, SplitStatus::Finished);
        states.insert(told.iter().map(|(_, _, status)| *status == LineStatus::Succeeded).collect::<Vec<_>>());
        let (agent, broker) = (told[0].2, told[1].2);
        assert_eq!(agent, broker, "who has nothing passes nothing on");
    }
    assert!(states.len() > 2, "{states:?}");
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn a_channel_that_is_away_in_the_middle_is_asked_until_it_is_back() {
    let market = Market::open().await;
    // one before, so that its receivers are known there
    let before = market.paid(10_000).await;
    market.execute(before).await;
    let order = market.paid(10_000).await;
    let book = market.merchant.book();
    for how in ["reset", "busy"] {
        market.control("down", json!({ "party": "wechat", "how": how }).to_string()).await;
        assert!(matches!(market.splits.execute(book, order).await.unwrap(), Progress::AskAgain(_)));
        assert!(market.told(order).await.iter().any(|(_, _, status)| *status == LineStatus::Sent));
        assert_eq!(market.pending().await, DIVIDED);
        market.assert_sound().await;
    }
    market.control("down", json!({ "party": "wechat", "how": null }).to_string()).await;
    market.execute(order).await;
    assert_eq!((market.told(order).await, market.pending().await), (arrived(), DIVIDED.map(|minor| 2 * minor)));
    let back = market.give_back(order, 2_475).await;
    market.control("down", json!({ "party": "wechat", "how": "reset" }).to_string()).await;
    for _ in 0..3 {
        assert!(matches!(market.splits.execute_return(book, back.id).await.unwrap(), Progress::AskAgain(_)));
        market.assert_sound().await;
    }
    market.control("down", json!({ "party": "wechat", "how": null }).to_string()).await;
    market.execute_return(&back).await;
    assert_eq!(market.pending().await, [9_900 + DIVIDED[0], DIVIDED[1], DIVIDED[2], DIVIDED[3]]);
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn whatever_step_a_process_dies_at_with_a_channel_the_next_one_ends_it_the_same() {
    let market = Market::open().await;
    let (book, mut divided) = (market.merchant.book(), 0);
    // after so many steps that came to their end; with the channel asked, or not, before the process died
    for steps in 0..9 {
        for asked in [false, true] {
            let order = market.paid(10_000).await;
            // what the last of them did is not marked
            let mut learnt = Learnt::default();
            for _ in 0..steps {
                market.splits.step(book, order, &mut learnt).await.unwrap();
            }
            let next = market.splits.advance(book, order).await.unwrap();
            if let (Next::Ask(asks), true) = (next, asked) {
                for ask in asks {
                    market.ask_and_die(&ask.call).await;
                }
            }
            market.assert_sound().await;
            market.execute(order).await;
            divided += 1;
            assert_eq!(market.told(order).await, arrived(), "{steps} steps, asked: {asked}");
            assert_eq!(market.pending().await, DIVIDED.map(|minor| divided * minor), "{steps} steps, asked: {asked}");
        }
    }
    market.assert_as_the_channels_did().await;
}

impl Market {
    /// Makes a request, and forgets what was said.
    async fn ask_and_die(&self, call: &wallet::split::Call) {
        let divider = self.channels.divider(&call.channel).unwrap();
        let asked = Asked { request_no: call.request_no(), transaction_id: call.transaction_id.clone() };
        let share = |s: &wallet::split::CallShare| Share { account: s.account.clone(), amount_minor: s.amount_minor };
        let shares: Vec<_> = call.shares.iter().map(share).collect();
        if shares.is_empty() {
            divider.finish(&asked).await.unwrap();
        } else {
            divider.divide(&Division { asked, shares }).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_at_the_same_payment_have_it_divided_once() {
    let market = Arc::new(Market::open().await);
    let order = market.paid(10_000).await;
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let market = Arc::clone(&market);
            tokio::spawn(async move {
                for _ in 0..6 {
                    // one that came too late may find its line marked; the job would run it again
                    let _ = market.splits.execute(market.merchant.book(), order).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    market.execute(order).await;
    assert_eq!((market.told(order).await, market.pending().await), (arrived(), DIVIDED));
    market.assert_as_the_channels_did().await;
}

#[tokio::test]
async fn what_comes_back_comes_back_at_the_channel_first_and_in_parts() {
    let market = Market::open().await;
    let order = market.paid(10_000).await;
    market.execute(order).await;
    let first = market.give_back(order, 990).await;
    // it is carried out, and the answer is lost: what was asked for is asked about, not asked for again
    let lost = "about = \"every answer is lost\"\nseed = 1\n[answer.other]\ndrop_after = 10000\n";
    market.control("profile", lost.to_owned()).await;
    let progress = market.splits.execute_return(market.merchant.book(), first.id).await.unwrap();
    assert!(matches!(progress, Progress::AskAgain(_)), "{progress:?}");
    market.control("profile", "calm".to_owned()).await;
    market.execute_return(&first).await;
    // the broker gave to the agent, and the agent and the supplier at the channel
    let calls = market.splits.calls(&market.operator, market.merchant, order).await.unwrap();
    let returns: Vec<_> = calls.iter().filter(|call| call.part.is_some()).collect();
    assert_eq!(returns.len(), 2);
    assert_eq!(returns.iter().flat_map(|call| &call.shares).map(|share| share.amount_minor).sum::<i64>(), 990);
    market.assert_as_the_channels_did().await;
    let rest = market.give_back(order, 1_485).await;
    market.execute_return(&rest).await;
    assert_eq!(market.pending().await, [9_900, 0, 0, 0]);
    assert!(market.lines(order).await.iter().all(|line| line.status == LineStatus::Returned));
    market.assert_as_the_channels_did().await;
}
