//! The threads on which one runtime runs. A call into a native library cannot be ended from outside, so nobody waits inside one: callers
//! hand their input to a lane and hear from it when the run begins and when it is done. Who no longer wants the answer asks the runtime to stop.
//!
//! What can be interrupted: ONNX Runtime between two operators of the graph. What cannot: a call that hangs inside an operator, and `rten`.
//! Such a call keeps its lane until it comes back by itself; a runtime has as many lanes as pages may run at once, and when
//! all hang, callers are told so at once. So a hanging engine never costs more than its lanes.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread::JoinHandle,
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
    /// Lanes that were left in the middle of a run that is too late.
    stuck: usize,
    closed: bool,
}

struct Job {
    role: Role,
    input: Arc<Array4<f32>>,
    ticket: Arc<Ticket>,
    caller: Caller,
}

/// Who asked, and under which number he hears of it.
#[derive(Clone)]
pub(super) struct Caller {
    pub number: usize,
    pub ear: Sender<(usize, Told)>,
}

/// What the caller and the lane both know of a job; the flags change under the state's lock.
#[derive(Default)]
pub(super) struct Ticket {
    stop: Stop,
    given_up: AtomicBool,
    done: AtomicBool,
}

/// How far a run came. Both words may be lost on a caller that has gone.
pub(super) enum Told {
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

    /// Hands an input to the next lane that is free; an error when all lanes hang.
    pub(super) fn begin(&self, role: Role, input: &Arc<Array4<f32>>, caller: Caller) -> Result<Arc<Ticket>, Cause> {
        let ticket = Arc::<Ticket>::default();
        let mut state = self.shared.state();
        if state.stuck >= self.threads.len() {
            return Err(Cause::Hanging);
        }
        state.waiting.push_back(Job { role, input: Arc::clone(input), ticket: Arc::clone(&ticket), caller });
        drop(state);
        self.shared.filled.notify_one();
        Ok(ticket)
    }

    /// Leaves a job behind; `late` where its lane may hang. Nothing happens to a job that is done.
    pub(super) fn leave(&self, ticket: &Ticket, late: bool) {
        let mut state = self.shared.state();
        if ticket.done.load(Ordering::Relaxed) {
            return;
        }
        let waiting = state.waiting.len();
        state.waiting.retain(|job| !std::ptr::eq(Arc::as_ptr(&job.ticket), ticket));
        if late && state.waiting.len() == waiting {
            ticket.given_up.store(true, Ordering::Relaxed);
            state.stuck += 1;
        }
        drop(state);
        ticket.stop.ask();
    }
}

impl Shared {
    fn work(&self) {
        while let Some(job) = self.next() {
            let Job { caller, ticket, .. } = &job;
            let _ = caller.ear.send((caller.number, Told::Began));
            let run = || {
                self.fault.strike()?;
                self.runtime.run(job.role, &job.input, &ticket.stop)
            };
            let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Cause::Panicked));
            let _ = caller.ear.send((caller.number, Told::Done(result)));
            let mut state = self.state();
            ticket.done.store(true, Ordering::Relaxed);
            if ticket.given_up.load(Ordering::Relaxed) {
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
    use std::{
        sync::{
            atomic::AtomicUsize,
            mpsc::{Receiver, channel},
        },
        time::Duration,
    };

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

    const LONG: Duration = Duration::from_secs(60);

    fn input() -> Arc<Array4<f32>> {
        Arc::new(Array4::zeros((1, 1, 1, 1)))
    }

    /// Waits until no lane is stuck any more, a minute at most.
    fn wait_until_free(lanes: &Lanes) {
        let (_never, wait) = channel::<()>();
        for _ in 0..60_000 {
            if lanes.shared.state().stuck == 0 {
                return;
            }
            let _ = wait.recv_timeout(Duration::from_millis(1));
        }
        panic!("a minute has passed");
    }

    type Begun = (Arc<Ticket>, Receiver<(usize, Told)>);

    fn begin(lanes: &Lanes) -> Result<Begun, Cause> {
        let (ear, told) = channel();
        Ok((lanes.begin(Role::Detect, &input(), Caller { number: 0, ear })?, told))
    }

    /// A run that has begun.
    fn begun(lanes: &Lanes) -> Arc<Ticket> {
        let (ticket, told) = begin(lanes).unwrap();
        assert!(matches!(told.recv_timeout(LONG), Ok((0, Told::Began))));
        ticket
    }

    fn runs(lanes: &Lanes) -> bool {
        let (_, told) = begin(lanes).unwrap();
        let began = matches!(told.recv_timeout(LONG), Ok((0, Told::Began)));
        began && matches!(told.recv_timeout(LONG), Ok((0, Told::Done(Ok(_)))))
    }

    #[test]
    fn a_hanging_run_is_left_behind_and_its_lane_comes_back_when_it_returns() {
        let slow = Slow { hangs: AtomicBool::new(true), ..Slow::default() };
        let (gate, count) = (Arc::clone(&slow.gate), Arc::clone(&slow.runs));
        let lanes = Lanes::new(Box::new(slow), 2, Arc::default()).unwrap();
        for _ in 0..2 {
            lanes.leave(&begun(&lanes), true);
        }
        assert!(matches!(begin(&lanes), Err(Cause::Hanging)), "no lane is left, and nobody waits");
        open(&gate);
        wait_until_free(&lanes);
        assert!(runs(&lanes));
        assert_eq!(count.load(Ordering::Relaxed), 3, "what was refused never ran");
    }

    #[test]
    fn a_run_that_can_be_stopped_is_asked_to() {
        let slow = Slow { hangs: AtomicBool::new(true), can_stop: true, ..Slow::default() };
        let gate = Arc::clone(&slow.gate);
        let lanes = Lanes::new(Box::new(slow), 1, Arc::default()).unwrap();
        let ticket = begun(&lanes);
        // the run says how it is stopped right after it began
        while ticket.stop.how.get().is_none() {
            std::thread::yield_now();
        }
        lanes.leave(&ticket, true);
        wait_until_free(&lanes);
        assert!(*gate.0.lock().unwrap());
    }

    #[test]
    fn a_job_that_is_left_while_it_waits_never_runs_and_takes_no_lane() {
        let slow = Slow { hangs: AtomicBool::new(true), ..Slow::default() };
        let (gate, count) = (Arc::clone(&slow.gate), Arc::clone(&slow.runs));
        let lanes = Lanes::new(Box::new(slow), 1, Arc::default()).unwrap();
        let (_, first) = begin(&lanes).unwrap();
        assert!(matches!(first.recv_timeout(LONG), Ok((0, Told::Began))));
        let (waiting, never) = begin(&lanes).unwrap();
        lanes.leave(&waiting, true);
        assert!(never.recv_timeout(LONG).is_err(), "its place in the queue is gone");
        assert_eq!(lanes.shared.state().stuck, 0);
        open(&gate);
        assert!(matches!(first.recv_timeout(LONG), Ok((0, Told::Done(Ok(_))))));
        assert!(runs(&lanes));
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_run_that_is_not_late_leaves_its_lane_counted_as_free() {
        let slow = Slow { hangs: AtomicBool::new(true), ..Slow::default() };
        let gate = Arc::clone(&slow.gate);
        let lanes = Lanes::new(Box::new(slow), 1, Arc::default()).unwrap();
        lanes.leave(&begun(&lanes), false);
        let (_, told) = begin(&lanes).unwrap();
        open(&gate);
        assert!(matches!(told.recv_timeout(LONG), Ok((0, Told::Began))));
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
            let (_, told) = begin(&lanes).unwrap();
            assert!(told.iter().any(|(_, told)| matches!(told, Told::Done(Err(Cause::Panicked)))));
        }
    }
}
