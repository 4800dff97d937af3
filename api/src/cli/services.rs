//! `haodian services -- CMD`: a command with PostgreSQL and Redis around it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use api::config::Config;
use api::launcher::services::Line;
use api::launcher::{Lifetime, Services, keys, process, supervisor};

/// Starts or takes up the servers, runs the command with their addresses in its environment, lets go, and ends as the command did.
pub async fn run(config: &Config, lifetime: Lifetime, command: &[String]) -> anyhow::Result<ExitCode> {
    let (program, arguments) = command.split_first().ok_or_else(|| anyhow!("no command given; write haodian services -- CMD"))?;
    keys::ensure(&config.keys_dir())?;
    // standard output belongs to the command
    let say = |Line { text, took }: Line| eprintln!("  {text}  [{:.1} s]", took.as_secs_f64());
    let services = tokio::select! {
        started = Services::start(config, lifetime, say) => started?,
        () = supervisor::stop_signal() => anyhow::bail!("stopped while the servers were starting"),
    };
    let redis = services.redis_url.clone().unwrap_or_default();
    let spawned = tokio::process::Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", &services.database_url)
        .env("REDIS_URL", &redis)
        .env("HAODIAN_TEST_DATABASE_URL", &services.database_url)
        .env("HAODIAN_TEST_REDIS_URL", &redis)
        .spawn();
    let ended = match spawned {
        Ok(mut child) => loop {
            tokio::select! {
                status = child.wait() => break status.with_context(|| format!("could not wait for {program}")),
                // Ctrl-C reaches the command too; a plain SIGTERM is passed on
                () = supervisor::stop_signal() => if let Some(pid) = child.id() {
                    process::signal(pid, rustix::process::Signal::TERM);
                }
            }
        },
        Err(error) => Err(error).with_context(|| format!("could not run {program}")),
    };
    services.stop().await;
    let status = ended?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
