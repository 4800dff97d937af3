//! `haodian doctor`: what this machine has, what it lacks, and the line that repairs it. Changes nothing and starts nothing.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::channel;
use crate::config::{Config, PayoutChannel};
use crate::launcher::supervisor::Running;
use crate::launcher::{account, cluster, database, keys, port, process, redis};

/// Room that the database, the logs and the uploads of a demonstration need.
const DISK_FREE_MIN_MIB: u64 = 1024;
/// The Node that the pages' build needs.
const NODE_MIN: (u32, u32) = (20, 19);
const PACKAGES: &str = "scripts/setup --packages as root";
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
const PYTHON: &str = "/usr/bin/python3";

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Without it `haodian up` does not work.
    Run,
    /// Only for building or testing.
    Build,
}

/// One thing looked at.
#[derive(Debug)]
struct Finding {
    what: &'static str,
    need: Need,
    /// What was found, or what is wrong with the line that repairs it.
    result: Result<String, (String, String)>,
}

/// Looks at everything and prints it; exit code 1 when something is missing that `haodian up` needs.
pub async fn run(config: &Config) -> ExitCode {
    let findings = look(config).await;
    for finding in &findings {
        println!("{}", finding.line());
    }
    let missing = |need| findings.iter().filter(|finding| finding.need == need && finding.result.is_err()).count();
    let (run, build) = (missing(Need::Run), missing(Need::Build));
    println!("{} checked, {run} missing to run, {build} missing to build or test", findings.len());
    if run == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        of("PostgreSQL", Need::Run, postgres(config)),
        of(
            "Redis",
            Need::Build,
            redis::installed().map(shown).ok_or_else(|| repair("not installed: processes use their in-process twins", PACKAGES)),
        ),
        of("data folder", Need::Run, data_folder(config)),
        of("disk space", Need::Run, disk(&config.data_dir)),
        of("keys", Need::Run, key_files(config)),
        of("payouts", Need::Run, payouts(config)),
        of("ports", Need::Run, ports(config)),
        of("database", Need::Run, database_state(config).await),
        of("CJK font", Need::Run, file(FONT, "specimens of the demo are drawn with it")),
        of("Python with Pillow", Need::Run, pillow()),
    ];
    findings.extend(models(config));
    findings.push(of("Node for the pages", Need::Build, node(config)));
    findings.push(of("Chromium for the tests", Need::Build, chromium()));
    findings
}

impl Finding {
    fn line(&self) -> String {
        match &self.result {
            Ok(found) => format!("ok       {:<24} {found}", self.what),
            Err((wrong, remedy)) => {
                let mark = if self.need == Need::Run { "MISSING" } else { "absent" };
                format!("{mark:<8} {:<24} {wrong}\n         {:<24} repair: {remedy}", self.what, "")
            }
        }
    }
}

type Look = Result<String, (String, String)>;

fn of(what: &'static str, need: Need, result: Look) -> Finding {
    Finding { what, need, result }
}

fn repair(wrong: impl Into<String>, remedy: impl Into<String>) -> (String, String) {
    (wrong.into(), remedy.into())
}

fn shown(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

fn postgres(config: &Config) -> Look {
    if !config.database.url.is_empty() {
        return Ok("not needed: DATABASE_URL is given".to_owned());
    }
    let found = cluster::installed(&config.database.bin_dir).map_err(|e| repair(e.to_string(), PACKAGES))?;
    if let Err(error) = account::for_servers() {
        return Err(repair(error.to_string(), "adduser --system --no-create-home postgres"));
    }
    Ok(found.iter().map(|binaries| format!("{} in {}", binaries.major, binaries.dir.display())).collect::<Vec<_>>().join(", "))
}

fn data_folder(config: &Config) -> Look {
    let dir = &config.data_dir;
    let there = dir.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"));
    let writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    writable.map_err(|_| repair(format!("{} may not be written", there.display()), format!("chown this user {}", there.display())))?;
    match account::for_servers() {
        Ok(Some(account)) if config.database.url.is_empty() && !account::reaches(account, there) => Ok(format!(
            "{}; the cluster lies in {}, since its user cannot pass here",
            dir.display(),
            cluster::home(dir, Some(account)).display()
        )),
        _ => Ok(shown(dir)),
    }
}

fn disk(dir: &Path) -> Look {
    let there = dir.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"));
    let of = rustix::fs::statvfs(there).map_err(|e| repair(format!("{} cannot be asked ({e})", there.display()), "mount it"))?;
    let free_mib = of.f_bavail.saturating_mul(of.f_frsize) / (1024 * 1024);
    if free_mib < DISK_FREE_MIN_MIB {
        return Err(repair(
            format!("only {free_mib} MiB free at {}", there.display()),
            format!("free {DISK_FREE_MIN_MIB} MiB, or set HAODIAN_DATA_DIR"),
        ));
    }
    Ok(format!("{free_mib} MiB free"))
}

fn key_files(config: &Config) -> Look {
    let dir = config.keys_dir();
    if !dir.exists() && config.development() {
        return Ok("made by the first haodian up".to_owned());
    }
    match keys::problem(&dir) {
        None => Ok(shown(&dir)),
        Some(problem) if config.development() => Err(repair(problem, format!("chmod -R go= {} && haodian up", dir.display()))),
        Some(problem) => Err(repair(problem, format!("restore {} from the backup", dir.display()))),
    }
}

/// Who pays withdrawals out, and whether its keys can be used.
fn payouts(config: &Config) -> Look {
    let bank = &config.channel.bank;
    if config.payout.channel == PayoutChannel::Sandbox {
        return Ok(format!("sandbox bank at {}", config.channel.sandbox_url));
    }
    if !config.keys_dir().exists() && config.development() {
        return Ok("direct bank, once the first haodian up has made its keys".to_owned());
    }
    let link = channel::bank_link(config, wallet::channel::bank::RAIL);
    link.map_err(|e| repair(format!("direct bank: {e:#}"), "correct channel.bank, bank.key.pem or bank.gateway.pub.pem"))?;
    let at = if bank.url.is_empty() { "the simulator" } else { bank.url.as_str() };
    Ok(format!("direct bank, {} in {}, at {at}", bank.dialect.name(), bank.charset.name()))
}

fn ports(config: &Config) -> Look {
    if let Some(running) = Running::read(&config.data_dir).filter(|running| process::runs(running.pid, "haodian")) {
        return Ok(format!("in use by haodian up (process {}) at {}", running.pid, running.http));
    }
    for (key, address) in [("http.listen", config.http.listen), ("sim.listen", config.sim.listen)] {
        if let Err(error) = port::choose(address, Config::given(key), key) {
            return Err(repair(error.to_string(), format!("set {key} in haodian.toml")));
        }
    }
    let taken = [config.http.listen, config.sim.listen].into_iter().filter(|address| !port::free(*address)).count();
    Ok(if taken == 0 { "free".to_owned() } else { format!("{taken} preferred taken, others free") })
}

async fn database_state(config: &Config) -> Look {
    let url = if config.database.url.is_empty() {
        let Some(url) = private_url(config) else { return Ok("private; started by haodian up".to_owned()) };
        url
    } else {
        config.database.url.clone()
    };
    match database::pending(&url).await {
        Ok(0) => Ok(format!("{}, schema current", database::masked(&url))),
        Ok(pending) => Err(repair(format!("{} lacks {pending} migrations", database::masked(&url)), "haodian migrate")),
        Err(error) => Err(repair(format!("{:#}", anyhow::Error::new(error)), "correct DATABASE_URL, or unset it for a private one")),
    }
}

/// The address of the private cluster when it runs.
fn private_url(config: &Config) -> Option<String> {
    let home = cluster::home(&config.data_dir, account::for_servers().ok()?);
    let (_, port) = cluster::running(&home.join("data"))?;
    let password = std::fs::read_to_string(home.join("password")).ok()?;
    Some(cluster::address(password.trim(), port, cluster::OWNER))
}

fn models(config: &Config) -> Vec<Finding> {
    let fetch = ai::error::FETCH_COMMAND;
    match ai::manifest::Manifest::built_in() {
        Ok(manifest) => manifest
            .files
            .iter()
            .map(|model| {
                let found = model.verified_path(&config.documents.models_dir);
                let what = match model.role {
                    ai::manifest::Role::Runtime => "ONNX Runtime",
                    ai::manifest::Role::Classify => "model: classifier",
                    ai::manifest::Role::Detect => "model: detection",
                    ai::manifest::Role::Direction => "model: direction",
                    ai::manifest::Role::Recognise => "model: recognition",
                    ai::manifest::Role::SecondRecognise => "model: second reader",
                };
                of(
                    what,
                    Need::Run,
                    found.map(|path| format!("{} (SHA-256 as in the manifest)", path.display())).map_err(|e| repair(e.to_string(), fetch)),
                )
            })
            .collect(),
        Err(error) => vec![of("models", Need::Run, Err(repair(error.to_string(), fetch)))],
    }
}

fn file(path: &str, why: &str) -> Look {
    if Path::new(path).is_file() { Ok(path.to_owned()) } else { Err(repair(format!("{path} is missing: {why}"), PACKAGES)) }
}

fn pillow() -> Look {
    match Command::new(PYTHON).args(["-c", "import PIL; print(PIL.__version__)"]).output() {
        Ok(out) if out.status.success() => Ok(format!("{PYTHON}, Pillow {}", String::from_utf8_lossy(&out.stdout).trim())),
        Ok(_) => Err(repair(format!("{PYTHON} has no Pillow"), PACKAGES)),
        Err(error) => Err(repair(format!("{PYTHON} cannot be run ({error})"), PACKAGES)),
    }
}

fn node(config: &Config) -> Look {
    let ours = config.data_dir.join("tools/node/bin/node");
    let wanted = format!("Node {}.{} or newer", NODE_MIN.0, NODE_MIN.1);
    let program = if ours.is_file() { Some(ours) } else { process::in_path("node") };
    let program = program.ok_or_else(|| repair(format!("{wanted} is not here"), "scripts/setup"))?;
    let out = Command::new(&program).arg("--version").output();
    let said = out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default();
    match version(&said) {
        Some(found) if found >= NODE_MIN => Ok(format!("{said} at {}", program.display())),
        _ => Err(repair(format!("{} says {said:?}; {wanted} is needed", program.display()), "scripts/setup")),
    }
}

/// Major and minor of `v20.19.4`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn chromium() -> Look {
    process::in_path("chromium").map(shown).ok_or_else(|| repair("not installed", "scripts/setup --packages --browser as root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_compare_by_number() {
        assert_eq!(version("v20.19.4"), Some((20, 19)));
        assert!(version("v22.1.0").unwrap() > NODE_MIN);
        assert!(version("v20.9.0").unwrap() < NODE_MIN);
        assert_eq!(version("20.19"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn a_missing_thing_is_printed_with_its_repair() {
        let finding = of("Redis", Need::Build, Err(repair("not installed", PACKAGES)));
        assert_eq!(
            finding.line(),
            "absent   Redis                    not installed\n                                  repair: scripts/setup --packages as root"
        );
        assert_eq!(of("disk space", Need::Run, Ok("9 MiB free".to_owned())).line(), "ok       disk space               9 MiB free");
    }
}
