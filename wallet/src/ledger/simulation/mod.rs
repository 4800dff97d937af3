//! A seeded run of the pure rules against a small database in memory and a naive model: random commands, repeated, changed and out of
//! order, in batches that interleave as far as locks allow, with crashes between any two statements. The same seed is the same run.
//!
//! Each answer must be the model's, which is asked one command at a time in the order of commits, so a batch does what its members do
//! one by one. After each commit the invariants hold over everything stored (L1 to L3, L5, L7 to L9, L12, L19).

mod audit;
mod generator;
mod model;
mod random;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

use self::generator::Generator;
use self::model::{Asked, Fact, Model, Verdict};
use self::random::Random;
use self::store::{Step, Store, Transaction};
use super::command::{Command, Done, ResolveHold};
use super::error::Rejection;
use super::posting::{Posting, PostingKind};
use crate::base::id::BookId;

/// Transactions under way at once.
const AT_ONCE: usize = 4;
/// Most commands of a batch.
const BATCH_MAX: u64 = 12;
/// Steps after the last, in which what is under way must come to its end.
const LAST_STEPS: u32 = 20_000;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How often each answer was given, and each thing befell.
    pub counts: BTreeMap<String, u64>,
}

impl Report {
    pub fn count(&self, of: &str) -> u64 {
        self.counts.get(of).copied().unwrap_or_default()
    }

    fn add(&mut self, of: &str) {
        *self.counts.entry(of.to_owned()).or_default() += 1;
    }
}

/// A run in which something was not as it must be.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub steps: u32,
    /// The step in which it showed.
    pub step: u32,
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, steps, step, problem } = self;
        write!(f, "seed {seed}, step {step}: {problem}\nrun it again with: haodian simulate --seed {seed} --steps {steps}")
    }
}

impl std::error::Error for Failure {}

/// Runs one seed for a number of steps, and then until nothing is under way.
pub fn run(seed: u64, steps: u32) -> Result<Report, Failure> {
    let mut simulation = Simulation::new(seed);
    let failed = |step, problem| Failure { seed, steps, step, problem };
    // a panic must not lose the seed
    let mut caught = |work: fn(&mut Simulation) -> Result<(), String>| {
        catch_unwind(AssertUnwindSafe(|| work(&mut simulation))).unwrap_or_else(|_| Err("a panic, told above".to_owned()))
    };
    for step in 1..=steps {
        caught(Simulation::step).map_err(|problem| failed(step, problem))?;
    }
    caught(Simulation::finish).map_err(|problem| failed(steps, problem))?;
    Ok(simulation.report)
}

/// A transaction, and how many facts there were when it began.
struct Running {
    tx: Transaction,
    facts_before: usize,
}

struct Simulation {
    random: Random,
    generator: Generator,
    books: Vec<BookId>,
    store: Store,
    model: Model,
    running: [Option<Running>; AT_ONCE],
    /// Commands that callers will send (again).
    waiting: Vec<Command>,
    now: DateTime<Utc>,
    report: Report,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        // three books, and one that is not open
        let books: Vec<BookId> = (1..=4).map(|n| BookId(Uuid::from_u128(n))).collect();
        let open = &books[..3];
        Self {
            random: Random::new(seed),
            generator: Generator::new(books.clone()),
            store: Store::open(open),
            model: Model { books: open.to_vec(), facts: Vec::new() },
            running: Default::default(),
            waiting: Vec::new(),
            // 2026-01-01
            now: DateTime::UNIX_EPOCH + Duration::seconds(1_767_225_600),
            report: Report::default(),
            books,
        }
    }

    fn step(&mut self) -> Result<(), String> {
        let at = self.random.place(AT_ONCE);
        match self.random.below(200) {
            0..3 => self.crash(at),
            3..5 => self.close_a_day(),
            5..12 => self.now += Duration::minutes(self.random.between(1, 300)),
            12..15 => self.sweep_transfers(),
            15..18 => self.expire_holds(),
            _ if self.running[at].is_none() => self.begin(at),
            _ => return self.advance(at),
        }
        Ok(())
    }

    /// Everything under way comes to its end; then all transfers have arrived.
    fn finish(&mut self) -> Result<(), String> {
        for step in 0..LAST_STEPS {
            let at = (step as usize) % AT_ONCE;
            if self.running[at].is_some() {
                self.advance(at)?;
            } else if !self.waiting.is_empty() {
                self.begin(at);
            } else if self.running.iter().all(Option::is_none) {
                self.sweep_transfers();
                if self.waiting.is_empty() {
                    audit::agree(&self.store, &self.model)?;
                    return audit::in_transit(&self.store).map(drop);
                }
            }
        }
        Err(format!("after {LAST_STEPS} steps more, {} commands are still under way", self.waiting.len()))
    }

    /// A batch of new commands and of those that wait, in any order.
    fn begin(&mut self, at: usize) {
        let size = if self.random.chance(30) { 1 } else { 1 + self.random.below(BATCH_MAX) };
        let mut commands = Vec::new();
        for _ in 0..size {
            if !self.waiting.is_empty() && self.random.chance(60) {
                commands.push(self.waiting.swap_remove(self.random.place(self.waiting.len())));
            } else {
                commands.push(self.generator.command(&mut self.random, self.now));
            }
        }
        self.begin_with(at, commands);
    }

    fn begin_with(&mut self, at: usize, commands: Vec<Command>) {
        let tx = Transaction::begin(at, commands, self.now.date_naive(), self.now);
        self.running[at] = Some(Running { tx, facts_before: self.model.facts.len() });
    }

    fn advance(&mut self, at: usize) -> Result<(), String> {
        let Some(mut running) = self.running[at].take() else { return Ok(()) };
        match self.store.step(&mut running.tx) {
            Step::Went | Step::Waits => self.running[at] = Some(running),
            Step::Restart => {
                self.report.add("restart");
                self.begin_with(at, running.tx.commands);
            }
            Step::Committed(outcomes) => {
                self.committed(&running, &outcomes)?;
                // the caller, or its connection, goes before the answer comes
                if self.random.chance(6) {
                    self.report.add("crash after commit");
                    self.waiting.extend(running.tx.commands);
                } else {
                    self.arrive(&running.tx.commands, &outcomes);
                }
            }
        }
        Ok(())
    }

    /// Compares what a batch was told with the model, which learns the facts; then looks at everything stored.
    fn committed(&mut self, running: &Running, outcomes: &[Result<Done, Rejection>]) -> Result<(), String> {
        let Running { tx, facts_before } = running;
        self.report.add("batch");
        if outcomes.len() != tx.commands.len() {
            return Err(format!("{} answers to {} commands", outcomes.len(), tx.commands.len()));
        }
        for (command, outcome) in tx.commands.iter().zip(outcomes) {
            self.report.add("command");
            self.report.add(&label(outcome));
            match (self.model.verdict(command, tx.day, tx.now), outcome) {
                (Verdict::Accept(answer, facts), Ok(told)) if answer == *told => self.model.facts.extend(facts),
                (Verdict::Reject(reasons), Err(told)) if reasons.contains(told) => {}
                (_, Err(told)) if self.unknown_before(command, *told, *facts_before) => self.report.add("asked a moment too early"),
                (verdict, told) => return Err(format!("the answer is {told:?} and must be {verdict:?}\nto {command:#?}")),
            }
        }
        audit::sound(&self.store)?;
        if self.report.count("batch").is_multiple_of(50) { audit::agree(&self.store, &self.model) } else { Ok(()) }
    }

    /// Whether a batch may say that something is missing which was made only after the batch began: the two were under way at once.
    fn unknown_before(&self, command: &Command, told: Rejection, facts_before: usize) -> bool {
        let before = Model { books: self.model.books.clone(), facts: self.model.facts[..facts_before].to_vec() };
        match (told, command) {
            (Rejection::PostingMissing, Command::Reverse(reverse)) => before.posting(reverse.book, reverse.of).is_none(),
            (Rejection::HoldMissing, Command::Void(resolve) | Command::Expire(resolve)) => !before.knows_hold(resolve.book, resolve.hold),
            (Rejection::HoldMissing, Command::Post(posting)) => {
                posting.hold.is_some_and(|capture| !before.knows_hold(posting.book, capture.hold))
            }
            _ => false,
        }
    }

    /// The first leg of a transfer is done: its caller sends the second, unless it crashes first.
    fn arrive(&mut self, commands: &[Command], outcomes: &[Result<Done, Rejection>]) {
        for (command, outcome) in commands.iter().zip(outcomes) {
            if let (Command::Post(out), Ok(Done::Posted(_))) = (command, outcome)
                && out.kind == PostingKind::TransferOut
                && self.random.chance(70)
            {
                self.waiting.push(Command::Post(Generator::transfer_in(out, &self.books)));
            }
        }
    }

    /// The process of a transaction dies. Most callers ask again.
    fn crash(&mut self, at: usize) {
        let Some(running) = self.running[at].take() else { return };
        self.report.add("crash before commit");
        self.store.roll_back(at);
        self.waiting.extend(running.tx.commands.into_iter().filter(|_| self.random.chance(80)));
    }

    fn close_a_day(&mut self) {
        let book = self.books[self.random.place(self.books.len() - 1)];
        // now and then today, so that a posting of today is late
        let day = (self.now - Duration::days(self.random.between(0, 1))).date_naive();
        if self.model.closed_day(book).is_none_or(|closed| closed < day) && self.store.close_day(book, day) {
            self.report.add("day closed");
            self.model.facts.push(Fact::Closed { book, day });
        }
    }

    /// Sends the second leg of every transfer that has only its first. One that was sent before is the same command again.
    fn sweep_transfers(&mut self) {
        let outs: Vec<&Posting> = self.model.facts.iter().filter_map(transfer_out).collect();
        let arriving = outs.into_iter().map(|out| Generator::transfer_in(out, &self.books));
        let missing: Vec<Posting> = arriving.filter(|posting| !self.store.postings.contains_key(&(posting.book, posting.id()))).collect();
        self.waiting.extend(missing.into_iter().map(Command::Post));
    }

    fn expire_holds(&mut self) {
        let due = self.store.holds.values().filter(|hold| hold.left_minor() > 0 && hold.expires_at <= self.now);
        self.waiting.extend(due.map(|hold| Command::Expire(ResolveHold { book: hold.book, hold: hold.id })));
    }
}

fn transfer_out(fact: &Fact) -> Option<&Posting> {
    match fact {
        Fact::Posted { asked: Asked::Post(posting), .. } if posting.kind == PostingKind::TransferOut => Some(posting),
        _ => None,
    }
}

/// The answer without its figures.
fn label(outcome: &Result<Done, Rejection>) -> String {
    let text = match outcome {
        Ok(Done::Hold(state)) => state.as_str().to_lowercase(),
        Ok(done) => format!("{done:?}"),
        Err(rejection) => format!("{rejection:?}"),
    };
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A couple of seconds, unoptimised.
    const STEPS: u32 = 1_500;

    #[test]
    fn the_rules_do_what_the_model_says_whatever_happens() {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for seed in 1..=16 {
            let report = run(seed, STEPS).unwrap_or_else(|failure| panic!("{failure}"));
            for (of, count) in report.counts {
                *counts.entry(of).or_default() += count;
            }
        }
        let expected = [
            "Posted",
            "FloorSet",
            "held",
            "captured",
            "voided",
            "expired",
            "AlreadyPosted",
            "ReferenceReused",
            "AccountMissing",
            "Unbalanced",
            "NotPositive",
            "Overflow",
            "PostingMissing",
            "ReversalOfReversal",
            "ReversalExceedsEntry",
            "HoldMissing",
            "HoldResolved",
            "HoldNotDue",
            "CaptureExceedsHold",
            "AmountExceedsBalance",
            "FloorAboveAvailable",
            "crash before commit",
            "crash after commit",
            "restart",
            "day closed",
        ];
        let never: Vec<&str> = expected.into_iter().filter(|of| !counts.contains_key(*of)).collect();
        assert!(never.is_empty(), "the seeds never came to {never:?}: {counts:#?}");
    }

    #[test]
    fn a_seed_is_the_same_run_every_time() {
        assert_eq!(run(5, 300).unwrap(), run(5, 300).unwrap());
        assert_ne!(run(5, 300).unwrap(), run(6, 300).unwrap());
    }
}
