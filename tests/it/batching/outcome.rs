//! Batch = one by one, in answers and in rows, for random sequences with duplicates, reused keys and commands that must be refused.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use wallet::base::id::{AttemptId, MerchantId, OrderId, StoreId};
use wallet::base::money::Money;
use wallet::channel::acquirer::Invitation;
use wallet::payment::{Prepared, Said, Word};

use super::world::{World, record, run};

/// What happens next. Numbers stand for keys, orders and notices; few, so that they meet.
#[derive(Clone, Debug)]
enum Round {
    Create(Vec<Create>),
    Start(Vec<(u8, u8)>),
    Record(Vec<(u8, u8, u8)>),
    Notice(Vec<(u8, u8)>),
    /// The channel's word on the last attempt of an order.
    Word(u8, u8),
    /// Minutes go by.
    Pass(u8),
}

#[derive(Clone, Debug)]
struct Create {
    key: u8,
    amount: u8,
    /// Signed, unsigned, or nobody.
    merchant: u8,
    store_exists: bool,
}

/// Orders that start rounds name: some never come to be.
const ORDERS: u8 = 5;

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let create = (0..ORDERS, 1..3_u8, prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(2)], prop::bool::weighted(0.9))
        .prop_map(|(key, amount, merchant, store_exists)| Create { key, amount, merchant, store_exists });
    let round = prop_oneof![
        2 => prop::collection::vec(create, 1..9).prop_map(Round::Create),
        3 => prop::collection::vec((0..ORDERS, 0..4_u8), 1..9).prop_map(Round::Start),
        3 => prop::collection::vec((0..ORDERS, 0..4_u8, 0..4_u8), 1..9).prop_map(Round::Record),
        1 => prop::collection::vec((0..3_u8, 0..2_u8), 1..9).prop_map(Round::Notice),
        2 => (0..ORDERS, 0..3_u8).prop_map(|(order, word)| Round::Word(order, word)),
        1 => (1..20_u8).prop_map(Round::Pass),
    ];
    prop::collection::vec(round, 1..12)
}

/// A world with what its callers remember.
struct Player {
    world: World,
    together: bool,
    orders: HashMap<u8, OrderId>,
    /// The last attempt that a start of an order led to.
    attempts: HashMap<u8, AttemptId>,
}

impl Player {
    fn order(&self, n: u8) -> OrderId {
        self.orders.get(&n).copied().unwrap_or(OrderId(uuid::Uuid::from_u128(900 + u128::from(n))))
    }

    fn attempt(&self, n: u8) -> AttemptId {
        self.attempts.get(&n).copied().unwrap_or(AttemptId(uuid::Uuid::from_u128(800)))
    }

    /// Plays a round and gives each member's answer in words.
    async fn play(&mut self, round: &Round) -> Vec<String> {
        match round {
            Round::Create(members) => {
                let commands: Vec<_> = members
                    .iter()
                    .map(|c| {
                        let mut cmd = self.world.create(u128::from(c.key));
                        cmd.amount = Money::cny(i64::from(c.amount));
                        cmd.merchant = [cmd.merchant, self.world.unsigned, MerchantId(uuid::Uuid::from_u128(700))][usize::from(c.merchant)];
                        cmd.store = if c.store_exists { cmd.store } else { StoreId(uuid::Uuid::from_u128(600)) };
                        cmd
                    })
                    .collect();
                let results = run(&self.world.creation, &commands, self.together).await;
                for (member, order) in members.iter().zip(&results).filter_map(|(m, r)| Some((m, r.as_ref().ok()?))) {
                    self.orders.insert(member.key, order.id);
                    self.world.name("order", order.id.0);
                }
                self.world.told(&results, |order| serde_json::to_value(order).unwrap())
            }
            Round::Start(members) => {
                let commands: Vec<_> = members.iter().map(|&(n, key)| self.world.start(self.order(n), u128::from(key))).collect();
                let results = run(&self.world.preparation, &commands, self.together).await;
                for (&(n, _), prepared) in members.iter().zip(&results).filter_map(|(m, r)| Some((m, r.as_ref().ok()?))) {
                    let id = match prepared {
                        Prepared::Answered(attempt) | Prepared::ToCall { attempt, .. } | Prepared::ToClose(attempt) => attempt.id,
                        Prepared::AsItStands(id) => *id,
                    };
                    self.attempts.insert(n, id);
                    self.world.name("attempt", id.0);
                }
                self.world.told(&results, prepared)
            }
            Round::Record(members) => {
                let commands: Vec<_> = members
                    .iter()
                    .map(|&(n, key, said)| {
                        let said = match said {
                            0 => Said::Nothing,
                            1 => Said::Final,
                            n => Said::Pending { invitation: Invitation::Url(format!("https://pay.example/{n}")) },
                        };
                        record(self.world.start(self.order(n), u128::from(key)), self.attempt(n), said)
                    })
                    .collect();
                let results = run(&self.world.recording, &commands, self.together).await;
                self.world.told(&results, |attempt| serde_json::to_value(attempt).unwrap())
            }
            Round::Notice(members) => {
                let commands: Vec<_> = members.iter().map(|&(id, body)| self.world.notice(id, body)).collect();
                let results = run(&self.world.inbox, &commands, self.together).await;
                self.world.told(&results, |delivery| json!(format!("{delivery:?}")))
            }
            Round::Word(n, word) => {
                let word = match word {
                    0 => Word::Failed { code: "DECLINED".to_owned() },
                    1 => Word::Closed,
                    _ => Word::Succeeded {
                        transaction_id: self.attempt(*n).simple(),
                        amount_minor: 1,
                        currency: "CNY".to_owned(),
                        at: self.world.clock.now(),
                    },
                };
                vec![self.world.says(self.attempt(*n), word).await]
            }
            Round::Pass(minutes) => {
                self.world.pass(i64::from(*minutes));
                Vec::new()
            }
        }
    }
}

fn prepared(prepared: &Prepared) -> Value {
    match prepared {
        Prepared::Answered(attempt) => json!({ "answered": attempt }),
        Prepared::ToCall { subject, attempt, .. } => json!({ "to_call": attempt, "subject": subject }),
        Prepared::ToClose(attempt) => json!({ "to_close": attempt }),
        Prepared::AsItStands(id) => json!({ "as_it_stands": id }),
    }
}

#[test]
fn a_batch_comes_to_the_same_as_its_members_one_by_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = runtime.block_on(tests::database());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&rounds(), |rounds| {
        runtime.block_on(async {
            let mut players = Vec::new();
            for together in [false, true] {
                let world = World::new(db.pool()).await;
                players.push(Player { world, together, orders: HashMap::new(), attempts: HashMap::new() });
            }
            for round in &rounds {
                let alone = players[0].play(round).await;
                let together = players[1].play(round).await;
                prop_assert_eq!(&alone, &together, "{:?}", round);
                prop_assert_eq!(players[0].world.rows().await, players[1].world.rows().await, "{:?}", round);
            }
            Ok(())
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
