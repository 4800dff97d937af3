//! The workloads, and how one is measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use wallet::ledger::{Command, Ledger, Posting};

use super::load::{Books, Choice, Shape};

/// One line of the bench.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub name: &'static str,
    pub way: Way,
    pub callers: usize,
    /// Transfers of one call.
    pub batch: usize,
    pub choice: Choice,
    pub shape: Shape,
}

/// How transfers are handed to the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// One a call; the micro-batcher puts those of many callers together.
    Single,
    /// Many a call that need not stand or fall together; the micro-batcher parts them by book.
    Many,
    /// Many a call in one transaction.
    Batch,
}

/// Callers of single transfers.
const CALLERS: [usize; 4] = [1, 16, 64, 256];
/// Callers of batches: one for each core.
const BATCH_CALLERS: usize = 2;
const BATCHES: [usize; 2] = [100, 1_000];

/// All of them; with `callers` the single ones with so many only.
pub(super) fn all(callers: Option<usize>) -> Vec<Workload> {
    let singles = callers.map_or(CALLERS.to_vec(), |callers| vec![callers]);
    let named = [
        (["ledger-single-uniform", "ledger-many-uniform", "ledger-batch-uniform"], Choice::Uniform, Shape::Transfer),
        (["ledger-single-zipf", "ledger-many-zipf", "ledger-batch-zipf"], Choice::Zipf, Shape::Transfer),
        (["ledger-single-hot", "ledger-many-hot", "ledger-batch-hot"], Choice::Hot, Shape::Transfer),
        (["ledger-single-payment", "ledger-many-payment", "ledger-batch-payment"], Choice::Uniform, Shape::Payment),
    ];
    let mut workloads = Vec::new();
    for (names, choice, shape) in named {
        let [single, many, batch] = names;
        let one = |callers: &usize| Workload { name: single, way: Way::Single, callers: *callers, batch: 1, choice, shape };
        workloads.extend(singles.iter().map(one));
        for (name, way) in [(many, Way::Many), (batch, Way::Batch)] {
            workloads.extend(BATCHES.map(|batch| Workload { name, way, callers: BATCH_CALLERS, batch, choice, shape }));
        }
    }
    workloads
}

/// What callers came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The time of every call that succeeded.
    pub took: Vec<Duration>,
    pub elapsed: Duration,
    pub errors: usize,
    pub first_error: Option<String>,
}

impl Workload {
    /// Has every caller go on for so long. `seed` makes this run's transfers others than those of another.
    pub(super) async fn run(&self, ledger: &Ledger, books: &Arc<Books>, length: Duration, seed: u64) -> Result<Done> {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for caller in 0..self.callers {
            let (workload, ledger, books) = (*self, ledger.clone(), Arc::clone(books));
            tasks.spawn(async move {
                let mut transfers = books.transfers(workload.choice, workload.shape, seed ^ (caller as u64) << 32);
                let mut done = Done::default();
                while started.elapsed() < length {
                    let batch: Vec<_> = transfers.by_ref().take(workload.batch).collect();
                    let begun = Instant::now();
                    match call(&ledger, workload.way, batch).await {
                        Ok(()) => done.took.push(begun.elapsed()),
                        Err(error) => {
                            done.errors += 1;
                            done.first_error.get_or_insert(format!("{error:#}"));
                        }
                    }
                }
                done
            });
        }
        let mut all = Done::default();
        while let Some(done) = tasks.join_next().await {
            let done = done.context("a caller's task")?;
            all.took.extend(done.took);
            all.errors += done.errors;
            all.first_error = all.first_error.or(done.first_error);
        }
        all.elapsed = started.elapsed();
        Ok(all)
    }
}

/// One call. Every transfer must be made.
async fn call(ledger: &Ledger, way: Way, batch: Vec<Posting>) -> Result<()> {
    let commands: Vec<_> = batch.into_iter().map(Command::Post).collect();
    match way {
        Way::Single => {
            for command in commands {
                ledger.execute(command).await?;
            }
        }
        Way::Many => {
            for outcome in ledger.execute_many(commands).await {
                outcome?;
            }
        }
        Way::Batch => {
            for outcome in ledger.execute_batch(&commands).await? {
                outcome?;
            }
        }
    }
    Ok(())
}

/// Makes so many transfers, a thousand a call from two callers.
pub(super) async fn store(ledger: &Ledger, books: &Arc<Books>, transfers: usize) -> Result<()> {
    const BATCH: usize = 1_000;
    let mut tasks = JoinSet::new();
    for caller in 0..BATCH_CALLERS {
        let (ledger, books) = (ledger.clone(), Arc::clone(books));
        let mut left = transfers / BATCH_CALLERS + usize::from(caller < transfers % BATCH_CALLERS);
        tasks.spawn(async move {
            let mut source = books.transfers(Choice::Uniform, Shape::Transfer, u64::MAX - caller as u64);
            while left > 0 {
                let batch: Vec<_> = source.by_ref().take(left.min(BATCH)).collect();
                left -= batch.len();
                call(&ledger, Way::Many, batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a loading task")??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_batches_and_choices_are_all_covered() {
        let workloads = all(None);
        assert_eq!(workloads.len(), 4 * (4 + 2 + 2));
        let has = |name, callers, batch| workloads.iter().any(|w| (w.name, w.callers, w.batch) == (name, callers, batch));
        for callers in [1, 16, 64, 256] {
            assert!(has("ledger-single-zipf", callers, 1), "{callers}");
        }
        assert!(has("ledger-batch-hot", 2, 1_000) && has("ledger-batch-uniform", 2, 100) && has("ledger-many-payment", 2, 100));
        assert!(all(Some(5)).iter().all(|w| w.way != Way::Single || w.callers == 5));
    }
}
