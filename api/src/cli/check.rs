//! `haodian check`: the ledger checker's report, as a table or as one JSON line.

use std::process::ExitCode;
use std::time::Instant;

/// What `haodian check` takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Arguments {
    /// Only what changed since the last incremental check; the first one looks at everything
    #[arg(long)]
    incremental: bool,
    /// One JSON line instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs the checker on a database; exit code 1 when a rule is violated.
pub async fn run(url: &str, arguments: Arguments) -> anyhow::Result<ExitCode> {
    // opened once for its sentence: the pool would only say that it timed out
    api::launcher::database::open(url).await?;
    let db = wallet::base::db::connect_for_reports(url, 2).await?;
    let started = Instant::now();
    let report = if arguments.incremental { wallet::check::marks::run(&db).await? } else { wallet::check::run(&db).await? };
    let seconds = started.elapsed().as_secs_f64();
    if arguments.json {
        let line = serde_json::json!({
            "incremental": arguments.incremental, "sound": report.is_sound(), "seconds": seconds, "rules": report.rules,
        });
        println!("{line}");
    } else {
        print!("{report}");
        let violated = report.rules.iter().filter(|rule| !rule.violations.is_empty()).count();
        println!("{} rules, {violated} violated, {seconds:.1} s", report.rules.len());
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
