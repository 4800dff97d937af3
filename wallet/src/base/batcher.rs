//! Micro-batching (微批): commands that come while a batch commits go together in the next one. A single call is the batch of one.
//!
//! | question | answer |
//! |---|---|
//! | added delay | none for a lone command: an idle lane runs it at once. A busy lane collects while its last batch runs, and [`Limits::pause`] longer |
//! | bounds | [`Limits`]: members and bytes of a batch, callers that wait in a lane; beyond it a typed refusal, before the pool is touched |
//! | one member's fault | each has its own result; a batch that failed as a whole is tried one by one, so that no neighbour pays for it |
//! | a panic | the same: one by one, and the member that panics again is told [`SubmitError::Stopped`]; the lane goes on |
//! | a caller that goes away | left out while it waits; once its batch runs, its command runs whole |
//! | shutdown | a formed batch is its own task and finishes, also after the last handle is gone |
//!
//! Within a lane batches run one after another in the order the commands came; between lanes nothing is promised. A command may run
//! twice (a batch whose commit had no answer is tried again), so what it does must be safe to repeat: by key, or by name.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::oneshot;

/// Longest that the members of a failed batch are tried one by one. The rest is asked to come back, so that a lane is never taken for
/// minutes by a database that is away. Longer than a statement may wait for a lock, so that one member's wait does not cost the others.
const ALONE_MAX: Duration = Duration::from_secs(20);

/// What suits a command of some hundred bytes that is one of several steps: a batch that commits in a few milliseconds, and a wait of less
/// than a second at the end of the queue. A transaction costs about the same whatever its size, so one lane and a pause make few and full
/// ones: beside two lanes without a pause, whole payments are a third more a second from 100 and 256 callers, and no slower from one.
pub const COMMANDS: Limits =
    Limits { lanes: 1, batch_max: 256, batch_bytes_max: 1 << 20, waiting_max: 2_048, pause: Duration::from_millis(10) };

/// Bounds of what a refused caller is told to wait.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What a run gives: one result per command in its order, or the failure of the whole batch.
pub type Results<A, E> = Result<Vec<Result<A, E>>, E>;

/// What a batcher runs. One impl per kind of command.
pub trait Batched: Send + Sync + 'static {
    type Command: Send + Sync + Clone + 'static;
    type Answer: Send + 'static;
    type Error: Send + 'static;

    /// Commands that share locks go the same way, so that batches do not wait for each other. Usually a hash of the book.
    fn lane(&self, command: &Self::Command) -> u64;

    /// About how much memory the command holds.
    fn bytes(&self, command: &Self::Command) -> usize;

    /// Runs a batch in one transaction. One result per command in its order, or the failure of the whole batch, which the batcher then
    /// tries one by one. Deadlocks and serialization failures are retried in here.
    fn run(&self, batch: &[Self::Command]) -> impl Future<Output = Results<Self::Answer, Self::Error>> + Send;
}

/// The lane of what is known by an id: its random half.
pub fn lane_of(id: uuid::Uuid) -> u64 {
    id.as_u64_pair().1
}

/// How much a batcher takes on. Everything is at least one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Batches that may run at the same time: connections it takes from the pool at most.
    pub lanes: usize,
    /// Members of one batch.
    pub batch_max: usize,
    /// Bytes of one batch, as told by [`Batched::bytes`]. A larger command runs alone.
    pub batch_bytes_max: usize,
    /// Callers that may wait in one lane, so that a lane that is stuck takes no room from the others.
    pub waiting_max: usize,
    /// How long a lane rests after a batch of several, so that the next is fuller. May be zero.
    pub pause: Duration,
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError<E> {
    /// Not taken: too many wait already. Nothing was done for it.
    #[error("too many requests wait already; try again in {} ms", retry_after.as_millis())]
    Busy { retry_after: Duration },
    /// Its run ended without an answer: it panicked, or the process is about to end. Asking again under the same key tells what became of it.
    #[error("the request was cut short; ask again under the same key")]
    Stopped,
    #[error(transparent)]
    Failed(E),
}

/// Collects commands into batches. Clones share the lanes.
pub struct Batcher<B: Batched>(Arc<Shared<B>>);

struct Shared<B: Batched> {
    name: &'static str,
    limits: Limits,
    work: B,
    lanes: Vec<Mutex<Lane<B>>>,
}

struct Lane<B: Batched> {
    waiting: VecDeque<Member<B>>,
    running: bool,
    /// Moving average of what a batch takes. Zero before the first.
    batch_time: Duration,
}

struct Member<B: Batched> {
    command: B::Command,
    bytes: usize,
    caller: Caller<B>,
}

type Outcome<B> = Result<<B as Batched>::Answer, SubmitError<<B as Batched>::Error>>;
type Caller<B> = oneshot::Sender<Outcome<B>>;
type Batch<B> = (Vec<<B as Batched>::Command>, Vec<Caller<B>>);

impl<B: Batched> Batcher<B> {
    /// `name` tells its metrics from those of others.
    pub fn new(name: &'static str, limits: Limits, work: B) -> Self {
        let empty = || Mutex::new(Lane { waiting: VecDeque::new(), running: false, batch_time: Duration::ZERO });
        let lanes = (0..limits.lanes.max(1)).map(|_| empty()).collect();
        Self(Arc::new(Shared { name, limits, work, lanes }))
    }

    /// Runs a command with those that came at the same time. Dropping the call before its batch is formed leaves nothing behind.
    pub async fn submit(&self, command: B::Command) -> Result<B::Answer, SubmitError<B::Error>> {
        self.admit(command)?.await.unwrap_or(Err(SubmitError::Stopped))
    }

    /// Takes a place in its lane, and has the lane run if it was idle.
    fn admit(&self, command: B::Command) -> Result<oneshot::Receiver<Outcome<B>>, SubmitError<B::Error>> {
        let shared = &self.0;
        let bytes = shared.work.bytes(&command);
        let index = usize::try_from(shared.work.lane(&command) % shared.lanes.len() as u64).unwrap_or_default();
        let (caller, answer) = oneshot::channel();
        let mut lane = shared.lane(index);
        if lane.waiting.len() >= shared.limits.waiting_max.max(1) {
            let retry_after = retry_after(lane.batch_time, lane.waiting.len(), shared.limits.batch_max);
            drop(lane);
            metrics::counter!("haodian_batch_refused_total", "batcher" => shared.name).increment(1);
            return Err(SubmitError::Busy { retry_after });
        }
        lane.waiting.push_back(Member { command, bytes, caller });
        let idle = !std::mem::replace(&mut lane.running, true);
        drop(lane);
        metrics::gauge!("haodian_batch_waiting", "batcher" => shared.name).increment(1.0);
        if idle {
            tokio::spawn(Arc::clone(shared).run_lane(index));
        }
        Ok(answer)
    }
}

impl<B: Batched> Shared<B> {
    fn lane(&self, index: usize) -> MutexGuard<'_, Lane<B>> {
        // whole before and after each statement under the lock, so a poisoned one is as good
        self.lanes[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs batches until nobody waits.
    async fn run_lane(self: Arc<Self>, index: usize) {
        let cut_short = CutShort { shared: &self, index };
        while let Some((commands, callers)) = self.next_batch(index) {
            let started = Instant::now();
            self.run_batch(index, &commands, callers).await;
            let took = started.elapsed();
            metrics::histogram!("haodian_batch_size", "batcher" => self.name).record(commands.len() as f64);
            metrics::histogram!("haodian_batch_seconds", "batcher" => self.name).record(took);
            {
                let mut lane = self.lane(index);
                lane.batch_time = if lane.batch_time.is_zero() { took } else { (lane.batch_time * 3 + took) / 4 };
            }
            // callers that were just answered and ask again at once come along in the next batch
            if commands.len() > 1 && !self.limits.pause.is_zero() && !self.full(index) {
                tokio::time::sleep(self.limits.pause).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        std::mem::forget(cut_short);
    }

    /// Whether a batch as large as they come waits already.
    fn full(&self, index: usize) -> bool {
        self.lane(index).waiting.len() >= self.limits.batch_max
    }

    /// Forms the next batch of those who still want an answer. None: nobody waits, and the lane is idle from here on.
    fn next_batch(&self, index: usize) -> Option<Batch<B>> {
        let (mut commands, mut callers, mut bytes, mut taken) = (Vec::new(), Vec::new(), 0_usize, 0_u32);
        let mut lane = self.lane(index);
        while commands.len() < self.limits.batch_max.max(1) {
            let fits =
                |m: &Member<B>| m.caller.is_closed() || commands.is_empty() || bytes.saturating_add(m.bytes) <= self.limits.batch_bytes_max;
            let Some(member) = lane.waiting.pop_front_if(|m| fits(m)) else { break };
            taken += 1;
            if member.caller.is_closed() {
                continue;
            }
            bytes = bytes.saturating_add(member.bytes);
            commands.push(member.command);
            callers.push(member.caller);
        }
        lane.running = !commands.is_empty();
        drop(lane);
        metrics::gauge!("haodian_batch_waiting", "batcher" => self.name).decrement(f64::from(taken));
        (!commands.is_empty()).then_some((commands, callers))
    }

    /// Runs a batch and tells each caller its own result.
    async fn run_batch(&self, index: usize, commands: &[B::Command], mut callers: Vec<Caller<B>>) {
        match self.caught(commands).await {
            Some(Ok(results)) => {
                if results.len() != callers.len() {
                    tracing::error!(batcher = self.name, members = callers.len(), results = results.len(), "a batch lost members");
                }
                for (caller, result) in callers.into_iter().zip(results) {
                    tell(caller, result.map_err(SubmitError::Failed));
                }
            }
            _ if commands.len() > 1 => {
                tracing::warn!(batcher = self.name, members = commands.len(), "a batch failed as a whole; trying one by one");
                self.run_alone(index, commands, callers).await;
            }
            failed => {
                if let Some(caller) = callers.pop() {
                    tell(caller, alone(failed));
                }
            }
        }
    }

    /// Tries the members of a failed batch one by one, in their order. Nothing was done for them, so who has gone away is left out.
    async fn run_alone(&self, index: usize, commands: &[B::Command], callers: Vec<Caller<B>>) {
        let started = Instant::now();
        for (command, caller) in commands.iter().zip(callers).filter(|(_, caller)| !caller.is_closed()) {
            if started.elapsed() > ALONE_MAX {
                let waiting = self.lane(index).waiting.len();
                let retry_after = retry_after(ALONE_MAX, waiting, self.limits.batch_max);
                metrics::counter!("haodian_batch_refused_total", "batcher" => self.name).increment(1);
                tell(caller, Err(SubmitError::Busy { retry_after }));
                continue;
            }
            tell(caller, alone(self.caught(std::slice::from_ref(command)).await));
        }
    }

    /// None: the run panicked. Its transaction was rolled back when it was dropped.
    async fn caught(&self, commands: &[B::Command]) -> Option<Results<B::Answer, B::Error>> {
        let outcome = AssertUnwindSafe(async { self.work.run(commands).await }).catch_unwind().await;
        if outcome.is_err() {
            tracing::error!(batcher = self.name, members = commands.len(), "a batch panicked");
        }
        outcome.ok()
    }
}

/// The result of a batch of one.
fn alone<A, E>(outcome: Option<Results<A, E>>) -> Result<A, SubmitError<E>> {
    match outcome {
        Some(Ok(mut results)) => results.pop().map_or(Err(SubmitError::Stopped), |result| result.map_err(SubmitError::Failed)),
        Some(Err(error)) => Err(SubmitError::Failed(error)),
        None => Err(SubmitError::Stopped),
    }
}

fn tell<T>(caller: oneshot::Sender<T>, outcome: T) {
    // a caller that has gone away meanwhile does not want to know
    let _ = caller.send(outcome);
}

/// About how long until `waiting` callers have been served.
fn retry_after(batch_time: Duration, waiting: usize, batch_max: usize) -> Duration {
    let batches = u32::try_from((waiting / batch_max.max(1)).saturating_add(1)).unwrap_or(u32::MAX);
    batch_time.saturating_mul(batches).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

/// Leaves a lane usable when the runtime drops its task in the middle: who waits is told, and the next caller starts it anew.
struct CutShort<'a, B: Batched> {
    shared: &'a Shared<B>,
    index: usize,
}

impl<B: Batched> Drop for CutShort<'_, B> {
    fn drop(&mut self) {
        let mut lane = self.shared.lane(self.index);
        lane.running = false;
        let waiting = std::mem::take(&mut lane.waiting);
        drop(lane);
        metrics::gauge!("haodian_batch_waiting", "batcher" => self.shared.name).decrement(waiting.len() as f64);
    }
}

impl<B: Batched> Clone for Batcher<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Batched> fmt::Debug for Batcher<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("name", &self.0.name).field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
