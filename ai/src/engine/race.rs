//! One input on the runtimes of an engine: on the first that is in service, on the next when that one fails, and beside it when it is late.
//! The first answer counts, so a runtime that hangs costs a page its patience once, less than a second, and never the page.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use ndarray::Array4;

use super::{
    Member, Output, RuntimeKind,
    lane::{Caller, Lanes, Ticket, Told},
};
use crate::{error::Cause, manifest::Role};

/// Behind the last runtime stands nobody, so it is given this many times as long: a machine that was stopped for a while, or is far behind
/// with its work, loses no page.
const LAST_BUDGETS: u32 = 10;

pub(super) struct Race<'a> {
    role: Role,
    input: Arc<Array4<f32>>,
    caller: Caller,
    told: Receiver<(usize, Told)>,
    runs: Vec<Option<Run<'a>>>,
    last: Option<Cause>,
}

struct Run<'a> {
    member: &'a Member,
    lanes: &'a Lanes,
    ticket: Arc<Ticket>,
    /// How long it may wait for a lane, and then take.
    budget: Duration,
    asked: Instant,
    began: Option<Instant>,
}

/// What a wait came to.
enum Heard {
    Won(Vec<Output>, RuntimeKind),
    /// Every run failed, or nobody runs.
    Lost,
    /// The latest to begin takes longer than it usually does.
    Late,
}

impl<'a> Race<'a> {
    /// Runs one input on the first runtime that is in service, on the next when that fails, and beside it when it is late.
    pub(super) fn run(
        members: &'a [Member],
        budget: Duration,
        role: Role,
        input: Array4<f32>,
    ) -> Result<(Vec<Output>, RuntimeKind), Cause> {
        let mut race = Self::new(role, input);
        for (at, member) in members.iter().enumerate() {
            if !member.breaker().permits(Instant::now()) {
                continue;
            }
            let Ok(lanes) = &member.lanes else { continue };
            let last = at + 1 == members.len();
            race.enter(member, lanes, if last { budget * LAST_BUDGETS } else { budget });
            if let Heard::Won(outputs, kind) = race.wait(!last) {
                return Ok((outputs, kind));
            }
        }
        // who was late may still come in
        match race.wait(false) {
            Heard::Won(outputs, kind) => Ok((outputs, kind)),
            Heard::Lost | Heard::Late => Err(race.last.unwrap_or(Cause::NoRuntime)),
        }
    }

    fn new(role: Role, input: Array4<f32>) -> Self {
        let (ear, told) = channel();
        Self { role, input: Arc::new(input), caller: Caller { number: 0, ear }, told, runs: Vec::new(), last: None }
    }

    /// Has one more runtime run the input.
    fn enter(&mut self, member: &'a Member, lanes: &'a Lanes, budget: Duration) {
        member.counts_run();
        let caller = Caller { number: self.runs.len(), ..self.caller.clone() };
        match lanes.begin(self.role, &self.input, caller) {
            Ok(ticket) => self.runs.push(Some(Run { member, lanes, ticket, budget, asked: Instant::now(), began: None })),
            Err(cause) => self.failed(member, cause),
        }
    }

    /// Waits for an answer; where somebody else can still be asked, no longer than the patience with the latest to begin.
    fn wait(&mut self, impatient: bool) -> Heard {
        loop {
            let Some(ends) = self.runs.iter().flatten().map(Run::ends).min() else { return Heard::Lost };
            let late = if impatient { self.runs.iter().flatten().next_back().map(|run| run.late(self.role)) } else { None };
            let until = late.map_or(ends, |late| late.min(ends));
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((number, Told::Began)) => {
                    if let Some(Some(run)) = self.runs.get_mut(number) {
                        run.began = Some(Instant::now());
                    }
                }
                Ok((number, Told::Done(result))) => {
                    let Some(run) = self.runs.get_mut(number).and_then(Option::take) else { continue };
                    match result {
                        Ok(outputs) => {
                            run.member.succeeded(self.role, run.began.unwrap_or(run.asked).elapsed());
                            self.leave_the_others();
                            return Heard::Won(outputs, run.member.kind);
                        }
                        Err(cause) => self.failed(run.member, cause),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.give_up();
                    if late.is_some_and(|late| late <= Instant::now()) {
                        return Heard::Late;
                    }
                }
                // not reached: this race holds an ear itself
                Err(RecvTimeoutError::Disconnected) => return Heard::Lost,
            }
        }
    }

    /// Leaves those behind whose time is up. An answer of the last moment is lost: the page has another runtime, or has waited long enough.
    fn give_up(&mut self) {
        let now = Instant::now();
        for at in 0..self.runs.len() {
            if let Some(run) = self.runs[at].take_if(|run| run.ends() <= now) {
                let cause = if run.began.is_some() { Cause::Overdue } else { Cause::Busy };
                run.lanes.leave(&run.ticket, true);
                self.failed(run.member, cause);
            }
        }
    }

    /// Who was late when somebody else answered has failed; the others were only slower.
    fn leave_the_others(&mut self) {
        for run in std::mem::take(&mut self.runs).into_iter().flatten() {
            let late = run.began.is_some() && run.late(self.role) <= Instant::now();
            run.lanes.leave(&run.ticket, late);
            if late {
                run.member.failed(self.role, &Cause::Overtaken);
            }
        }
    }

    fn failed(&mut self, member: &Member, cause: Cause) {
        member.failed(self.role, &cause);
        self.last = Some(cause);
    }
}

impl Run<'_> {
    fn ends(&self) -> Instant {
        self.began.unwrap_or(self.asked) + self.budget
    }

    /// From when it takes, or waits for a lane, much longer than a run usually takes.
    fn late(&self, role: Role) -> Instant {
        self.began.unwrap_or(self.asked) + self.member.patience(role)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex, atomic::Ordering};

    use super::{super::lane::Stop, *};
    use crate::engine::{PATIENCE_MIN, Runtime, fault::Fault};

    /// Long enough on any machine.
    const LONG: Duration = Duration::from_secs(60);

    /// Holds runs back until it is opened, and says how many have begun.
    #[derive(Debug, Default)]
    struct Gate {
        state: Mutex<(bool, usize)>,
        changed: Condvar,
    }

    impl Gate {
        fn open(&self) {
            self.state.lock().unwrap().0 = true;
            self.changed.notify_all();
        }

        fn pass(&self) {
            let mut state = self.state.lock().unwrap();
            state.1 += 1;
            self.changed.notify_all();
            drop(self.changed.wait_while(state, |(open, _)| !*open).unwrap());
        }

        fn wait_for(&self, begun: usize) {
            let state = self.state.lock().unwrap();
            let (state, _) = self.changed.wait_timeout_while(state, LONG, |(_, count)| *count < begun).unwrap();
            assert!(state.1 >= begun, "run {begun} never began");
        }
    }

    #[derive(Debug)]
    struct Gated {
        gate: Arc<Gate>,
        fails: bool,
    }

    impl Runtime for Gated {
        fn run(&self, _: Role, _: &Array4<f32>, _: &Stop) -> Result<Vec<Output>, Cause> {
            self.gate.pass();
            if self.fails { Err(Cause::Shape(Vec::new())) } else { Ok(Vec::new()) }
        }
    }

    /// Engines A and B with one lane each. Whoever ends a test opens both gates, so that no lane is left hanging.
    struct Scene {
        members: [Member; 2],
        gates: [Arc<Gate>; 2],
    }

    fn scene(fails: [bool; 2], open: [bool; 2]) -> Scene {
        let gates = [Arc::<Gate>::default(), Arc::<Gate>::default()];
        let member = |at: usize| {
            let runtime = Gated { gate: Arc::clone(&gates[at]), fails: fails[at] };
            let fault = Arc::<Fault>::default();
            Member::of(RuntimeKind::ALL[at], Ok(Lanes::new(Box::new(runtime), 1, Arc::clone(&fault)).unwrap()), fault)
        };
        let members = [member(0), member(1)];
        // what a run of this model took before, so that the patience is the least there is
        for (member, gate) in members.iter().zip(&gates) {
            member.usual_us[Role::Detect as usize].store(1, Ordering::Relaxed);
            if open[member.kind as usize] {
                gate.open();
            }
        }
        Scene { members, gates }
    }

    impl Scene {
        fn run(&self, budget: Duration) -> Result<RuntimeKind, Cause> {
            Race::run(&self.members, budget, Role::Detect, input()).map(|(_, kind)| kind)
        }

        fn failures(&self) -> [u64; 2] {
            [0, 1].map(|at| self.members[at].failures.load(Ordering::Relaxed))
        }

        fn runs(&self) -> [u64; 2] {
            [0, 1].map(|at| self.members[at].runs.load(Ordering::Relaxed))
        }

        fn is_out(&self, at: usize) -> bool {
            self.members[at].breaker().is_out()
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.gates.iter().for_each(|gate| gate.open());
        }
    }

    fn input() -> Array4<f32> {
        Array4::zeros((1, 1, 1, 1))
    }

    const A: RuntimeKind = RuntimeKind::OnnxRuntime;
    const B: RuntimeKind = RuntimeKind::Rten;

    #[test]
    fn who_answers_in_time_runs_alone() {
        let scene = scene([false, false], [true, true]);
        assert!(matches!(scene.run(LONG), Ok(A)));
        assert_eq!((scene.runs(), scene.failures()), ([1, 0], [0, 0]));
    }

    #[test]
    fn a_run_that_fails_is_repeated_on_the_next_engine_and_only_the_last_failure_is_told() {
        let one = scene([true, false], [true, true]);
        assert!(matches!(one.run(LONG), Ok(B)));
        assert_eq!((one.runs(), one.failures()), ([1, 1], [1, 0]));

        let both = scene([true, true], [true, true]);
        assert!(matches!(both.run(LONG), Err(Cause::Shape(_))));
        assert_eq!(both.failures(), [1, 1]);
    }

    #[test]
    fn a_late_run_is_run_beside_and_has_failed_when_it_is_overtaken() {
        let scene = scene([false, false], [false, true]);
        let began = Instant::now();
        assert!(matches!(scene.run(LONG), Ok(B)));
        assert!(began.elapsed() >= PATIENCE_MIN, "nobody is asked beside one that is in time");
        assert_eq!((scene.runs(), scene.failures()), ([1, 1], [1, 0]));
        // its one lane hangs, so the next input does not wait for it
        assert!(matches!(scene.run(LONG), Ok(B)));
        assert!(scene.is_out(0), "an engine whose lanes all hang is left out");
        assert_eq!(scene.members[0].health().failures, 2);
        assert!(matches!(scene.run(LONG), Ok(B)));
        assert_eq!(scene.runs(), [2, 3], "and is not asked");
    }

    #[test]
    fn a_late_run_that_still_comes_in_first_wins_and_nobody_has_failed() {
        let scene = scene([false, false], [false, false]);
        std::thread::scope(|threads| {
            let winner = threads.spawn(|| scene.run(LONG));
            scene.gates[1].wait_for(1);
            scene.gates[0].open();
            assert!(matches!(winner.join().unwrap(), Ok(A)));
        });
        assert_eq!((scene.runs(), scene.failures()), ([1, 1], [0, 0]));
    }

    #[test]
    fn a_run_over_its_budget_is_given_up_and_takes_its_engine_out_but_the_last_has_longer() {
        let scene = scene([false, false], [false, false]);
        // ten times this for engine B, which is time to open its gate
        let budget = Duration::from_millis(600);
        std::thread::scope(|threads| {
            let winner = threads.spawn(|| scene.run(budget));
            scene.gates[1].wait_for(1);
            let failed = |failures| scene.failures() == failures;
            while !failed([1, 0]) {
                std::thread::yield_now();
            }
            assert!(scene.is_out(0));
            scene.gates[1].open();
            assert!(matches!(winner.join().unwrap(), Ok(B)));
        });
        assert_eq!(scene.failures(), [1, 0]);
    }

    #[test]
    fn nobody_answers_is_an_error_within_the_budgets() {
        let scene = scene([false, false], [false, false]);
        let (budget, began) = (Duration::from_millis(20), Instant::now());
        assert!(matches!(scene.run(budget), Err(Cause::Overdue)));
        assert!(began.elapsed() >= budget * LAST_BUDGETS, "the last has as much longer");
        assert_eq!(scene.failures(), [1, 1]);
        assert!(matches!(scene.run(LONG), Err(Cause::NoRuntime)), "both are left out now");
    }

    #[test]
    fn who_never_got_a_lane_was_busy_and_did_not_hang() {
        let scene = scene([false, true], [false, true]);
        std::thread::scope(|threads| {
            let first = threads.spawn(|| scene.run(LONG));
            scene.gates[0].wait_for(1);
            let mut second = Race::new(Role::Detect, input());
            let member = &scene.members[0];
            second.enter(member, member.lanes.as_ref().unwrap(), Duration::from_millis(20));
            assert!(matches!(second.wait(false), Heard::Lost));
            assert!(matches!(second.last, Some(Cause::Busy)));
            assert!(!scene.is_out(0));
            scene.gates[0].open();
            assert!(first.join().unwrap().is_ok());
        });
    }

    #[test]
    fn a_run_has_its_whole_budget_from_when_it_begins() {
        let scene = scene([false, false], [true, true]);
        let member = &scene.members[0];
        let asked = Instant::now();
        let began = asked + LONG;
        let lanes = member.lanes.as_ref().unwrap();
        let mut run = Run { member, lanes, ticket: Arc::default(), budget: LONG, asked, began: None };
        assert_eq!((run.ends(), run.late(Role::Detect)), (asked + LONG, asked + PATIENCE_MIN));
        run.began = Some(began);
        assert_eq!((run.ends(), run.late(Role::Detect)), (began + LONG, began + PATIENCE_MIN));
        member.succeeded(Role::Detect, LONG);
        member.succeeded(Role::Recognise, LONG);
        assert_eq!(member.patience(Role::Recognise), LONG * 4, "four times what it usually takes");
        assert!(member.patience(Role::Detect) > LONG / 4, "and what it usually takes follows");
    }
}
