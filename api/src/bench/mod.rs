//! Benchmarks (`haodian bench NAME`): programs that print one JSON object per workload and leave nothing behind. Never run as tests:
//! machines are shared and noisy, so figures are compared as ratios within one run.

pub mod channel;
pub mod documents;
pub mod ledger;
pub mod pay;
mod repo;
mod server;

use std::time::Duration;

use serde::Serialize;

/// Which benchmark, and how much of it.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Bench {
    /// Transfers through the ledger engine, one at a time and in batches
    Ledger(ledger::Options),
    /// Whole payments through the public HTTP API: order, start, signed notice, ledger, split, rollup
    Pay(pay::Options),
    /// Payments by WeChat while the line to it is cut and put back: what the customers notice, and what the books say
    Failover(pay::failover::Options),
    /// Routing decisions, and the signatures of the channels' protocols
    Channel {
        /// How long each is measured
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        /// One JSON object per line instead of words
        #[arg(long)]
        json: bool,
    },
    /// Specimen papers through the pipeline, without the server
    Documents(documents::Options),
}

/// What a workload came to.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    pub workload: &'static str,
    pub callers: usize,
    /// How many commands one call carries.
    pub batch: usize,
    pub rate_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub errors: usize,
    /// What is particular to the workload.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// From the time each success took.
    pub fn new(workload: &'static str, callers: usize, mut took: Vec<Duration>, elapsed: Duration, errors: usize) -> Self {
        took.sort_unstable();
        let at = |share: f64| percentile(&took, share).as_secs_f64() * 1000.0;
        let (p50_ms, p99_ms, p999_ms) = (at(0.5), at(0.99), at(0.999));
        let rate_per_s = took.len() as f64 / elapsed.as_secs_f64();
        Self { workload, callers, batch: 1, rate_per_s, p50_ms, p99_ms, p999_ms, errors, more: serde_json::Map::new() }
    }

    /// Prints it, for machines or for people.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).expect("records are plain data and serialise"));
            return;
        }
        let Self { workload, callers, rate_per_s, p50_ms, p99_ms, p999_ms, errors, .. } = self;
        println!(
            "{workload}: {rate_per_s:.1}/s with {callers} at a time; p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, p99.9 {p999_ms:.1} ms; {errors} errors"
        );
        for (name, value) in &self.more {
            println!("  {name}: {value}");
        }
    }
}

/// Nearest-rank percentile of sorted times; zero of none.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (share, expected) in [(0.5, 50), (0.99, 99), (0.999, 100), (0.0, 1), (1.0, 100)] {
            assert_eq!(percentile(&times, share), Duration::from_millis(expected), "{share}");
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
