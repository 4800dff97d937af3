//! `haodian simulate`: the ledger's rules against a naive model, from a seed, once or without end.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use wallet::ledger::simulation;

/// How often an endless run tells how it is going.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What `haodian simulate` takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// The seed to run, or to begin with; without one, the time of day
    #[arg(long)]
    seed: Option<u64>,
    /// Steps of each seed; a command takes about one
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Go on with the next seed until one fails
    #[arg(long)]
    forever: bool,
}

/// Exit code 1 and how to run it again when a run is not as it must be.
pub fn run(arguments: Arguments) -> ExitCode {
    let Arguments { seed, steps, forever } = arguments;
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let first = seed.unwrap_or_else(now);
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut commands = 0;
    for seed in first.. {
        match simulation::run(seed, steps) {
            Ok(report) if !forever => {
                println!("seed {seed}, {steps} steps: every answer was the model's, every invariant held");
                report.counts.iter().for_each(|(of, count)| println!("{count:>7}  {of}"));
                break;
            }
            Ok(report) => commands += report.count("command"),
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
        if told.elapsed() >= TELL_EVERY {
            let (done, seconds) = (seed - first + 1, began.elapsed().as_secs_f64());
            println!("{done} seeds, up to {seed}, {commands} commands, {:.1} seeds/s", done as f64 / seconds);
            told = Instant::now();
        }
    }
    ExitCode::SUCCESS
}
