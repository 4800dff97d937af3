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
pub(super) enum Heard {
    Won(Vec<Output>, RuntimeKind),
    /// Every run failed, or nobody runs.
    Lost,
    /// The latest to begin takes longer than it usually does.
    Late,
}

impl<'a> Race<'a> {
    pub(super) fn new(role: Role, input: Array4<f32>) -> Self {
        let (ear, told) = channel();
        Self { role, input: Arc::new(input), caller: Caller { number: 0, ear }, told, runs: Vec::new(), last: None }
    }

    /// Has one more runtime run the input.
    pub(super) fn enter(&mut self, member: &'a Member, lanes: &'a Lanes, budget: Duration) {
        member.counts_run();
        let caller = Caller { number: self.runs.len(), ..self.caller.clone() };
        match lanes.begin(self.role, &self.input, caller) {
            Ok(ticket) => self.runs.push(Some(Run { member, lanes, ticket, budget, asked: Instant::now(), began: None })),
            Err(cause) => self.failed(member, cause),
        }
    }

    /// Waits for an answer; where somebody else can still be asked, no longer than the patience with the latest to begin.
    pub(super) fn wait(&mut self, impatient: bool) -> Heard {
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

    /// Why nobody answered.
    pub(super) fn cause(self) -> Cause {
        self.last.unwrap_or(Cause::NoRuntime)
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
