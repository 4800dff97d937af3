//! `haodian`: every process of 好店 in one binary. A failure is one sentence on standard error and exit code 1.

mod cli;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use api::bench::Bench;
use api::config::Config;
use api::launcher::{self, LauncherError, Lifetime, Services, supervisor};
use clap::{Parser, Subcommand};

/// A GraphQL answer is some hundreds of small pieces of memory: with glibc's allocator a quarter of `serve`'s time went there.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(name = "haodian", about = "好店: payments, wallets and document review for merchants", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start everything: PostgreSQL, Redis, the sandbox, the server, the workers; the demo on the first start
    Up {
        /// End again once everything answers, to measure a start
        #[arg(long)]
        until_ready: bool,
        /// Leave the database empty
        #[arg(long)]
        no_seed: bool,
    },
    /// Serve pages and API
    Serve,
    /// Run background jobs
    Work,
    /// Run the sandbox acquirer and bank
    Sim {
        /// What goes wrong: the name of a profile that comes with the program, or a file like those in profiles/
        #[arg(long, value_name = "FILE|NAME")]
        profile: Option<String>,
    },
    /// Bring the database's schema up to date
    Migrate,
    /// Run the demo through the public API of a running server
    Seed,
    /// Check the ledger: exit code 1 when a rule is violated
    Check(cli::check::Arguments),
    /// Read document images, one JSON line each
    Read(cli::read::Arguments),
    /// Run the ledger's rules against a naive model, from a seed: exit code 1 when they differ
    Simulate(cli::simulate::Arguments),
    /// Check a proof file, without a database: exit code 1 when it proves nothing
    Verify(cli::verify::Arguments),
    /// Run a command with a private PostgreSQL and Redis around it (DATABASE_URL and REDIS_URL are set for it)
    Services {
        /// Throw-away servers that force nothing to the disk, for tests
        #[arg(long)]
        fast: bool,
        /// The command, after --
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Measure a path on this machine and print the figures
    #[command(subcommand)]
    Bench(Bench),
    /// What reviewers corrected, as a set that trains and tests models
    #[command(subcommand, name = "badcases")]
    BadCases(cli::labelled::BadCases),
    /// Versions of the document models
    #[command(subcommand)]
    Models(cli::labelled::Models),
    /// Print the GraphQL schema
    Schema,
    /// Say what is missing on this machine, and the line that repairs it
    Doctor,
}

fn main() -> ExitCode {
    install_panic_hook();
    let arguments = Arguments::parse();
    // whoever holds a proof needs nothing of ours: no configuration, no server
    if let Command::Verify(arguments) = &arguments.command {
        return cli::verify::run(arguments).unwrap_or_else(|error| fail(&error));
    }
    if let Command::Simulate(arguments) = arguments.command {
        return cli::simulate::run(arguments);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("the runtime could not be started")),
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let config = Config::load()?;
    follow_supervisor()?;
    match command {
        Command::Up { until_ready, no_seed } => supervisor::up(config, supervisor::Options { until_ready, no_seed }).await?,
        Command::Serve => {
            api::telemetry::init(&config.log)?;
            api::jobs::stop::signal()?;
            reach_database(&config).await?;
            api::http::serve(config).await?;
        }
        Command::Work => {
            api::telemetry::init(&config.log)?;
            api::jobs::stop::signal()?;
            reach_database(&config).await?;
            api::jobs::work(config).await?;
        }
        Command::Sim { profile } => {
            api::telemetry::init(&config.log)?;
            api::sim::run(&config, profile.as_deref()).await?;
        }
        Command::Migrate => {
            with_database(&config, async |url| {
                let done = launcher::migrate(url).await?;
                println!("{} of {} migrations applied now, in {:.1} s", done.applied, done.total, done.took.as_secs_f64());
                Ok(())
            })
            .await?;
        }
        Command::Seed => seed(config).await?,
        Command::Check(arguments) => return with_database(&config, async |url| cli::check::run(url, arguments).await).await,
        Command::Read(arguments) => return cli::read::run(&config, &arguments),
        Command::Verify(arguments) => return cli::verify::run(&arguments),
        Command::Simulate(arguments) => return Ok(cli::simulate::run(arguments)),
        Command::Services { fast, command } => {
            let lifetime = if fast { Lifetime::Throwaway } else { Lifetime::Kept };
            return cli::services::run(&config, lifetime, &command).await;
        }
        Command::Bench(Bench::Ledger(options)) => api::bench::ledger::run(&config, options).await?,
        Command::Bench(Bench::Pay(options)) => api::bench::pay::run(&config, options).await?,
        Command::Bench(Bench::Failover(options)) => api::bench::pay::failover::run(&config, options).await?,
        Command::Bench(Bench::Channel { seconds, json }) => api::bench::channel::run(seconds, json)?,
        Command::Bench(Bench::Documents(options)) => api::bench::documents::run(&config, &options)?,
        Command::BadCases(command) => cli::labelled::bad_cases(&config, &command).await?,
        Command::Models(command) => cli::labelled::models(&config, &command).await?,
        Command::Schema => print!("{}", api::graphql::sdl()),
        Command::Doctor => return Ok(api::doctor::run(&config).await),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the demo against the server that the configuration names, or else the one that runs here.
async fn seed(mut config: Config) -> anyhow::Result<()> {
    if let Some(running) = supervisor::Running::read(&config.data_dir) {
        if !Config::given("http.public_url") {
            config.http.public_url = running.http;
        }
        if !Config::given("channel.sandbox_url") {
            config.channel.sandbox_url = running.sim;
        }
    }
    let base_url = config.http.public_url.clone();
    let owner = api::seed::run(&config, &base_url).await?;
    Ok(launcher::sample::Demo { owner }.write(&config.data_dir)?)
}

/// The configured database, or the private one for as long as `work` takes.
async fn with_database<T>(config: &Config, work: impl AsyncFnOnce(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
    if !config.database.url.is_empty() {
        return work(&config.database.url).await;
    }
    let services = Services::start(config, Lifetime::Kept, |_| {}).await?;
    let outcome = work(&services.database_url).await;
    services.stop().await;
    outcome
}

/// Says what is wrong with the database before a server starts on it.
async fn reach_database(config: &Config) -> anyhow::Result<()> {
    if config.database.url.is_empty() {
        return Err(LauncherError::NoDatabaseUrl.into());
    }
    let pending = launcher::database::pending(&config.database.url).await?;
    anyhow::ensure!(pending == 0, "the database lacks {pending} migrations; run haodian migrate");
    Ok(())
}

/// A process that `haodian up` started ends when the supervisor has gone, however it went.
fn follow_supervisor() -> anyhow::Result<()> {
    let Ok(supervisor) = std::env::var(supervisor::SUPERVISED) else { return Ok(()) };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).context("could not follow the supervisor")?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    anyhow::ensure!(parent.as_deref() == Some(supervisor.as_str()), "the supervisor has ended");
    Ok(())
}

/// Prints the whole chain as one sentence.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("haodian: {error:#}");
    ExitCode::FAILURE
}

/// A panic is a defect: one sentence that asks for a report. A task's panic ends that task; the main thread's ends the process.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let said = panic.payload_as_str().unwrap_or("no reason given");
        // whoever read our words went away, as `haodian check | head` does: nothing is wrong, and nobody listens
        if said.starts_with("failed printing to stdout") {
            std::process::exit(1);
        }
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", file_name(at.file()), at.line()));
        eprintln!("haodian: internal error{place}: {}; please report this sentence", said.lines().next().unwrap_or_default());
        if std::thread::current().name() == Some("main") {
            std::process::exit(101);
        }
    }));
}

/// The part of a source path that means something to a reader elsewhere.
fn file_name(path: &str) -> String {
    let parts: Vec<_> =
        PathBuf::from(path).components().rev().take(3).map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}
