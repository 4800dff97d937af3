//! The threads on which one runtime runs. A call into a native library cannot be ended from outside, so nobody waits inside one: callers
//! hand their input to a lane and wait for its answer for so long, then ask the runtime to stop and go to the next engine.
//!
//! What can be interrupted: ONNX Runtime between two operators of the graph. What cannot: a call that hangs inside an operator, and `rten`.
//! Such a call keeps its lane until it comes back by itself; a runtime has as many lanes as pages may run at once, and when
//! all hang, callers are told so at once. So a hanging engine costs a page one time budget, and never more than its lanes.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use ndarray::Array4;

use super::{Fault, Output, Runtime};
use crate::{error::Cause, manifest::Role};

/// How a run is asked to stop; a runtime that can be says how when the run begins.
#[derive(Default)]
pub(super) struct Stop {
    how: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Stop {
    pub(super) fn by(&self, how: impl Fn() + Send + Sync + 'static) {
        let _ = self.how.set(Box::new(how));
    }

    fn ask(&self) {
        if let Some(how) = self.how.get() {
            how();
        }
    }
}

pub(super) struct Lanes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    runtime: Box<dyn Runtime>,
    fault: Arc<Fault>,
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Lanes whose caller has gone.
    stuck: usize,
    closed: bool,
}

struct Job {
    role: Role,
    input: Arc<Array4<f32>>,
    ticket: Arc<Ticket>,
    answer: SyncSender<Told>,
}

/// What the caller and the lane both know of a job; the flags change under the state's lock.
#[derive(Default)]
struct Ticket {
    stop: Stop,
    given_up: AtomicBool,
    done: AtomicBool,
}

enum Told {
    Began,
    Done(Result<Vec<Output>, Cause>),
}

impl Lanes {
    pub(super) fn new(runtime: Box<dyn Runtime>, count: usize, fault: Arc<Fault>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { runtime, fault, state: Mutex::default(), filled: Condvar::new() });
        let lane = |_| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("model".to_owned()).spawn(move || shared.work())
        };
        let threads = (0..count.max(1)).map(lane).collect::<std::io::Result<_>>()?;
        Ok(Self { shared, threads })
    }

    /// Runs one input; an error when no lane was free, or the run not done, within `budget` each.
    pub(super) fn run(&self, role: Role, input: &Arc<Array4<f32>>, budget: Duration) -> Result<Vec<Output>, Cause> {
        let (answer, told) = sync_channel(2);
        let ticket = Arc::<Ticket>::default();
        {
            let mut state = self.shared.state();
            if state.stuck >= self.threads.len() {
                return Err(Cause::Hanging);
            }
            state.waiting.push_back(Job { role, input: Arc::clone(input), ticket: Arc::clone(&ticket), answer });
        }
        self.shared.filled.notify_one();
        match told.recv_timeout(budget) {
            Ok(Told::Began) => {}
            Ok(Told::Done(result)) => return result,
            Err(_) => return self.give_up(&ticket, &told, Cause::Busy),
        }
        match told.recv_timeout(budget) {
            Ok(Told::Done(result)) => result,
            _ => self.give_up(&ticket, &told, Cause::Overdue),
        }
    }

    /// Leaves a job behind, unless it was done at the last moment.
    fn give_up(&self, ticket: &Ticket, told: &Receiver<Told>, cause: Cause) -> Result<Vec<Output>, Cause> {
        let mut state = self.shared.state();
        if ticket.done.load(Ordering::Relaxed) {
            drop(state);
            return told.iter().find_map(|told| if let Told::Done(result) = told { Some(result) } else { None }).unwrap_or(Err(cause));
        }
        ticket.given_up.store(true, Ordering::Relaxed);
        state.waiting.retain(|job| !std::ptr::eq(Arc::as_ptr(&job.ticket), ticket));
        if matches!(cause, Cause::Overdue) {
            state.stuck += 1;
        }
        drop(state);
        ticket.stop.ask();
        Err(cause)
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            let _ = job.answer.send(Told::Began);
            let run = || {
                self.fault.strike()?;
                self.runtime.run(job.role, &job.input, &job.ticket.stop)
            };
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Cause::Panicked));
            let _ = job.answer.send(Told::Done(result));
            let mut state = self.state();
            job.ticket.done.store(true, Ordering::Relaxed);
            if job.ticket.given_up.load(Ordering::Relaxed) {
                state.stuck = state.stuck.saturating_sub(1);
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The state changes in single steps, so it is sound even if a thread died holding it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lanes {
    /// Waits for the lanes to end, so that no model is let go while the process ends; not where one hangs.
    fn drop(&mut self) {
        let stuck = {
            let mut state = self.shared.state();
            state.closed = true;
            state.stuck
        };
        self.shared.filled.notify_all();
        if stuck == 0 {
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("runtime", &self.shared.runtime).field("count", &self.threads.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Answers at once, until it is told to hang until it is let go or, if it can be, stopped.
    #[derive(Debug, Default)]
    struct Slow {
        hangs: AtomicBool,
        can_stop: bool,
        gate: Arc<(Mutex<bool>, Condvar)>,
        runs: Arc<AtomicUsize>,
    }

    fn open(gate: &(Mutex<bool>, Condvar)) {
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
    }

    impl Runtime for Slow {
        fn run(&self, _: Role, _: &Array4<f32>, stop: &Stop) -> Result<Vec<Output>, Cause> {
            self.runs.fetch_add(1, Ordering::Relaxed);
            if self.hangs.load(Ordering::Relaxed) {
                if self.can_stop {
                    let gate = Arc::clone(&self.gate);
                    stop.by(move || open(&gate));
                }
                let mut held = self.gate.0.lock().unwrap();
                while !*held {
                    held = self.gate.1.wait(held).unwrap();
                }
            }
            Ok(Vec::new())
        }
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    fn input() -> Arc<Array4<f32>> {
        Arc::new(Array4::zeros((1, 1, 1, 1)))
    }

    /// Waits until no lane is stuck any more, a minute at most.
    fn wait_until_free(lanes: &Lanes) {
        let (_never, wait) = sync_channel::<()>(0);
        for _ in 0..60_000 {
            if lanes.shared.state().stuck == 0 {
                return;
            }
            let _ = wait.recv_timeout(Duration::from_millis(1));
        }
        panic!("a minute has passed");
    }

    #[test]
    fn a_hanging_run_is_left_behind_and_its_lane_comes_back_when_it_returns() {
        let slow = Slow { hangs: AtomicBool::new(true), ..Slow::default() };
        let (gate, runs) = (Arc::clone(&slow.gate), Arc::clone(&slow.runs));
        let lanes = Lanes::new(Box::new(slow), 2, Arc::default()).unwrap();
        assert!(matches!(lanes.run(Role::Detect, &input(), SHORT), Err(Cause::Overdue)));
        assert!(matches!(lanes.run(Role::Detect, &input(), SHORT), Err(Cause::Overdue)));
        assert!(matches!(lanes.run(Role::Detect, &input(), LONG), Err(Cause::Hanging)), "no lane is left, and nobody waits");
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        open(&gate);
        wait_until_free(&lanes);
        assert!(lanes.run(Role::Detect, &input(), LONG).is_ok());
    }

    #[test]
    fn a_run_that_can_be_stopped_is_asked_to() {
        let slow = Slow { hangs: AtomicBool::new(true), can_stop: true, ..Slow::default() };
        let lanes = Lanes::new(Box::new(slow), 1, Arc::default()).unwrap();
        assert!(matches!(lanes.run(Role::Detect, &input(), SHORT), Err(Cause::Overdue)));
        wait_until_free(&lanes);
    }

    #[test]
    fn who_waits_for_a_busy_lane_too_long_takes_the_job_away() {
        let slow = Slow { hangs: AtomicBool::new(true), ..Slow::default() };
        let (gate, runs) = (Arc::clone(&slow.gate), Arc::clone(&slow.runs));
        let lanes = Lanes::new(Box::new(slow), 1, Arc::default()).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| lanes.run(Role::Detect, &input(), LONG));
            let (_never, wait) = sync_channel::<()>(0);
            while runs.load(Ordering::Relaxed) == 0 {
                let _ = wait.recv_timeout(Duration::from_millis(1));
            }
            assert!(matches!(lanes.run(Role::Detect, &input(), SHORT), Err(Cause::Busy)));
            open(&gate);
            assert!(first.join().unwrap().is_ok());
        });
        assert!(lanes.run(Role::Detect, &input(), LONG).is_ok());
        assert_eq!(runs.load(Ordering::Relaxed), 2, "the job that was given up never ran");
    }

    #[test]
    fn a_panic_is_an_answer() {
        #[derive(Debug)]
        struct Broken;
        impl Runtime for Broken {
            fn run(&self, _: Role, _: &Array4<f32>, _: &Stop) -> Result<Vec<Output>, Cause> {
                panic!("broken")
            }
        }
        let lanes = Lanes::new(Box::new(Broken), 1, Arc::default()).unwrap();
        for _ in 0..2 {
            assert!(matches!(lanes.run(Role::Detect, &input(), LONG), Err(Cause::Panicked)));
        }
    }
}
