//! `haodian check`: the ledger checker's report as a table.

use std::process::ExitCode;
use std::time::Instant;

/// Runs the checker on a database; exit code 1 when a rule is violated.
pub async fn run(url: &str) -> anyhow::Result<ExitCode> {
    // opened once for its sentence: the pool would only say that it timed out
    api::launcher::database::open(url).await?;
    let db = wallet::base::db::connect(url, 2).await?;
    let started = Instant::now();
    let report = wallet::check::run(&db).await?;
    print!("{report}");
    let violated = report.rules.iter().filter(|rule| !rule.violations.is_empty()).count();
    println!("{} rules, {violated} violated, {:.1} s", report.rules.len(), started.elapsed().as_secs_f64());
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
