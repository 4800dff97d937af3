//! Reads by key that come at the same time, in one statement (合并读取). A single read is the batch of one; see [`super::batcher`] for bounds.
//!
//! Nothing is kept: a read's statement begins after the read was asked for, so it sees everything that was committed before.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures::future::BoxFuture;

use super::batcher::{Batched, Batcher, Limits, Results, SubmitError};

/// A read is short, so many may wait, and the pause between statements is shorter than one.
const LIMITS: Limits = Limits { lanes: 1, batch_max: 256, batch_bytes_max: 1 << 20, waiting_max: 8_192, pause: Duration::from_millis(2) };

/// Reads of one kind. Clones share the statements.
pub struct Reads<K: Key, V: Found, E: Send + 'static>(Batcher<Statement<K, V, E>>);

/// What is asked for.
pub trait Key: Clone + Eq + Hash + Send + Sync + 'static {}
impl<K: Clone + Eq + Hash + Send + Sync + 'static> Key for K {}

/// What is found under a key.
pub trait Found: Clone + Send + Sync + 'static {}
impl<V: Clone + Send + Sync + 'static> Found for V {}

impl<K: Key, V: Found, E: Send + 'static> Reads<K, V, E> {
    /// `statement` reads all of some keys; what it leaves out is not there. `name` tells its metrics from those of others.
    pub fn new<F>(name: &'static str, statement: impl Fn(Vec<K>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
    {
        Self(Batcher::new(name, LIMITS, Statement(Box::new(move |keys| Box::pin(statement(keys))))))
    }

    /// What is stored under a key now.
    pub async fn get(&self, key: K) -> Result<Option<V>, SubmitError<E>> {
        self.0.submit(key).await
    }
}

impl<K: Key, V: Found, E: Send + 'static> Clone for Reads<K, V, E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Key, V: Found, E: Send + 'static> fmt::Debug for Reads<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reads(..)")
    }
}

type Run<K, V, E> = dyn Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>, E>> + Send + Sync;

struct Statement<K, V, E>(Box<Run<K, V, E>>);

impl<K: Key, V: Found, E: Send + 'static> Batched for Statement<K, V, E> {
    type Command = K;
    type Answer = Option<V>;
    type Error = E;

    fn lane(&self, key: &K) -> u64 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    fn bytes(&self, _key: &K) -> usize {
        size_of::<K>()
    }

    async fn run(&self, keys: &[K]) -> Results<Option<V>, E> {
        // the same key may be asked for twice
        let found = (self.0)(keys.to_vec()).await?;
        Ok(keys.iter().map(|key| Ok(found.get(key).cloned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn reads_that_wait_for_the_same_statement_are_one() {
        let (statements, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (counted, gate) = (statements.clone(), go.clone());
        let reads: Reads<u32, u32, ()> = Reads::new("test", move |keys: Vec<u32>| {
            let (first, gate) = (counted.fetch_add(1, Ordering::SeqCst) == 0, gate.clone());
            async move {
                if first {
                    gate.notified().await;
                }
                Ok(keys.into_iter().filter(|key| key % 2 == 0).map(|key| (key, key * 10)).collect())
            }
        });
        // all of one lane, so that the others wait while the first runs
        let same_lane = |key: &u32| Statement::<u32, u32, ()>(Box::new(|_| unreachable!())).lane(key).is_multiple_of(2);
        let keys: Vec<u32> = (0..200).filter(same_lane).take(40).collect();
        let ask = |key: &u32| {
            tokio::spawn({
                let (reads, key) = (reads.clone(), *key);
                async move { reads.get(key).await }
            })
        };
        let mut asked = vec![ask(&keys[0])];
        while statements.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        asked.extend(keys[1..].iter().map(ask));
        tokio::task::yield_now().await;
        go.notify_one();
        for (key, answer) in keys.iter().zip(asked) {
            assert_eq!(answer.await.unwrap().unwrap(), (key % 2 == 0).then_some(key * 10), "{key}");
        }
        assert_eq!(statements.load(Ordering::SeqCst), 2, "one ran, the rest came together");
    }
}
