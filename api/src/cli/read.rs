//! `haodian read FILE|FOLDER…`: the document pipeline on files, without server or database; one JSON line each with `--json`, else a few
//! lines to read. Pages are read side by side and printed in the order they were named.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ai::document::{DocumentKind, Quad, Side};
use ai::engine::{RuntimeKind, Setup};
use ai::pipeline::{Findings, Options, Pipeline};
use ai::review::{self, Claims, Decision, Policy};
use anyhow::{Context, bail, ensure};
use api::config::{Config, Environment};
use chrono::NaiveDate;
use serde_json::{Value, json};

/// Names of files that are taken from a folder.
const PICTURES: [&str; 3] = ["jpg", "jpeg", "png"];
/// Cells of the progress bar.
const BAR: usize = 30;

/// What to read, and what to compare it with.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// JPEG or PNG files, and folders with such files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one JSON line per file; quads are in pixels of the file as a viewer shows it
    #[arg(long)]
    json: bool,
    /// What was typed: a JSON object of field names and values, or JSON lines with `file`, `doc_type` and `claims`
    #[arg(long)]
    claims: Option<PathBuf>,
    /// The day on which validity is judged; today in Shanghai unless given
    #[arg(long)]
    as_of: Option<NaiveDate>,
    /// Keep the specimen mark (样本) from counting against a page; the default with the sandbox, refused in production
    #[arg(long)]
    allow_specimen: bool,
    /// Which engine runs the models; `auto` falls back from the first to the second
    #[arg(long, value_enum, default_value_t = EngineChoice::Auto)]
    engine: EngineChoice,
    /// Pages read side by side, each on one thread
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum EngineChoice {
    Auto,
    OnnxRuntime,
    Rten,
}

impl EngineChoice {
    fn runtimes(self) -> Vec<RuntimeKind> {
        match self {
            Self::Auto => RuntimeKind::ALL.to_vec(),
            Self::OnnxRuntime => vec![RuntimeKind::OnnxRuntime],
            Self::Rten => vec![RuntimeKind::Rten],
        }
    }
}

/// Reads each file; exit code 1 when one could not be read at all.
pub fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let production = config.environment == Environment::Production;
    ensure!(!(production && arguments.allow_specimen), "--allow-specimen is not allowed when environment is production; remove it");
    let claims = arguments.claims.as_deref().map(claims_in).transpose()?;
    let today = || wallet::base::clock::Clock::wall().with_timezone(&wallet::base::clock::shanghai()).date_naive();
    let job = Job {
        claims,
        as_of: arguments.as_of.unwrap_or_else(today),
        policy: Policy { allow_specimen: arguments.allow_specimen || config.documents.allow_specimen, ..Policy::default() },
    };
    let files = expanded(&arguments.files)?;
    let threads = usize::from(arguments.threads);
    let setup = Setup { threads, runtimes: arguments.engine.runtimes(), ..Setup::default() };
    let pipeline = Pipeline::load_with(&config.documents.models_dir, &setup)?;

    let mut progress = Progress::new(files.len(), std::io::stderr().is_terminal());
    let mut all_read = true;
    in_order(
        &files,
        threads,
        |file| job.look(&pipeline, file),
        |page| {
            all_read &= page.findings.is_ok();
            progress.step();
            let text = if arguments.json { page.json().to_string() } else { page.text() };
            // A reader that went away, as `head` does, ends the work quietly.
            writeln!(std::io::stdout(), "{text}").is_ok()
        },
    );
    progress.done();
    Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Files as they are named, folders as the pictures in them, by name.
fn expanded(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("could not list {}", path.display()))?;
        let mut inside: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_picture(path)).collect();
        ensure!(!inside.is_empty(), "{} holds no JPEG or PNG files", path.display());
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    path.is_file() && extension.is_some_and(|extension| PICTURES.contains(&extension.as_str()))
}

/// Works on so many items side by side and hands the results on in the items' order, until `take` says to stop.
fn in_order<I: Sync, O: Send>(items: &[I], threads: usize, work: impl Fn(&I) -> O + Sync, mut take: impl FnMut(O) -> bool) {
    let next = AtomicUsize::new(0);
    let (send, receive) = std::sync::mpsc::sync_channel(threads);
    let send = Mutex::new(send);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            let sender = send.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    if sender.send((at, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (at, done) in &receive {
            waiting.insert(at, done);
            while let Some(done) = waiting.remove(&due) {
                due += 1;
                if !take(done) {
                    next.store(items.len(), Ordering::Relaxed);
                    drop(receive);
                    return;
                }
            }
        }
    });
}

/// A bar on standard error, where that is a terminal.
struct Progress {
    total: usize,
    done: usize,
    shown: bool,
    started: Instant,
}

impl Progress {
    fn new(total: usize, shown: bool) -> Self {
        Self { total, done: 0, shown, started: Instant::now() }
    }

    fn step(&mut self) {
        self.done += 1;
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{}", self.bar(self.started.elapsed().as_secs_f64()));
        }
    }

    fn bar(&self, seconds: f64) -> String {
        let full = BAR * self.done / self.total.max(1);
        let left = seconds / self.done.max(1) as f64 * (self.total - self.done) as f64;
        format!("[{}{}] {}/{}  {:.0} s left ", "=".repeat(full), " ".repeat(BAR - full), self.done, self.total, left)
    }

    fn done(&self) {
        if self.shown {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// What every page is compared with.
struct Job {
    claims: Option<ClaimsFile>,
    as_of: NaiveDate,
    policy: Policy,
}

/// One file, read or not.
struct Page {
    file: PathBuf,
    findings: Result<Findings, String>,
    decision: Option<Decision>,
    ms: f64,
}

impl Job {
    fn look(&self, pipeline: &Pipeline, file: &Path) -> Page {
        let started = Instant::now();
        let typed = self.claims.as_ref().and_then(|claims| claims.of(file));
        let (findings, decision) = match std::fs::read(file) {
            Err(error) => (Err(format!("could not read the file: {error}")), None),
            Ok(bytes) => match pipeline.run(&bytes, &Options::default()) {
                Ok(findings) => {
                    let decide = |typed: &Typed| {
                        review::decide(&findings, typed.kind.unwrap_or(findings.kind), &typed.claims, &self.policy, self.as_of)
                    };
                    let decision = typed.map(decide);
                    (Ok(findings), decision)
                }
                Err(error) => {
                    let decision = typed.map(|_| review::stage_failed(&error));
                    (Err(format!("{:#}", anyhow::Error::new(error))), decision)
                }
            },
        };
        Page { file: file.to_owned(), findings, decision, ms: started.elapsed().as_secs_f64() * 1000.0 }
    }
}

impl Page {
    fn json(&self) -> Value {
        let mut line = match &self.findings {
            Ok(findings) => read(findings),
            Err(error) => json!({ "error": error }),
        };
        line["file"] = json!(self.file);
        line["ms"] = json!(tenths(self.ms));
        if let Some(decision) = &self.decision {
            line["comparison"] = json!(decision.comparisons);
            line["decision"] = json!(decision.verdict);
            line["reasons"] = json!(decision.reasons);
        }
        line
    }

    fn text(&self) -> String {
        let mut out = vec![self.file.display().to_string()];
        match &self.findings {
            Err(error) => out.push(format!("  error: {error}")),
            Ok(findings) => {
                let signs = names(&findings.quality).into_iter().chain(names(&findings.authenticity)).collect::<Vec<_>>().join(" ");
                let turned = findings.page_turned_degrees();
                let (title, sure) = (findings.kind.title(), findings.kind_confidence * 100.0);
                out.push(format!("  {title} ({sure:.0} %), turned {turned}°, {:.0} ms  {signs}", self.ms));
                let label = |name: &str| findings.kind.field_title(name);
                out.extend(findings.fields.iter().map(|(name, field)| format!("  {}: {}", label(name), field.value)));
            }
        }
        if let Some(decision) = &self.decision {
            out.push(format!("  → {}", decision.verdict.as_str()));
            out.extend(decision.reasons.iter().map(|reason| format!("    {} {}", reason.code, reason.message)));
        }
        out.join("\n")
    }
}

fn names<T: serde::Serialize>(flags: &[T]) -> Vec<String> {
    flags.iter().filter_map(|flag| json!(flag).as_str().map(str::to_owned)).collect()
}

fn tenths(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

/// What was read: values as printed in `fields`, and where and how surely each was read in `evidence`.
fn read(findings: &Findings) -> Value {
    let map = |quad: &Quad| findings.in_photograph(quad).map(|corner| corner.map(|side| (side * 10.0).round() / 10.0));
    let values: serde_json::Map<_, _> = findings.fields.iter().map(|(name, field)| (name.clone(), json!(field.value))).collect();
    let evidence = findings.fields.iter().map(|(name, field)| {
        let mut entry = json!({ "quad": map(&field.quad), "confidence": field.confidence, "raw": field.raw, "checks": field.checks });
        if let Some(reading) = findings.readings.get(name) {
            entry["readers"] = json!(reading.readers);
            entry["second"] = json!(reading.second);
            entry["characters"] = json!(reading.characters);
        }
        (name.clone(), entry)
    });
    let evidence: serde_json::Map<_, _> = evidence.collect();
    let lines = findings.lines.iter().map(|line| json!({ "text": line.text, "quad": map(&line.quad), "confidence": line.confidence }));
    let stages: serde_json::Map<_, _> =
        findings.stages.iter().map(|stage| (stage.stage.as_str().to_owned(), json!(tenths(f64::from(stage.ms))))).collect();
    json!({
        "type": findings.kind,
        "type_confidence": findings.kind_confidence,
        "side": (findings.side != Side::None).then_some(findings.side),
        "rotation": findings.page_turned_degrees(),
        "quad": map(&findings.quad),
        "quality": findings.quality,
        "advice": findings.quality.iter().map(|flag| flag.advice()).collect::<Vec<_>>(),
        "authenticity": findings.authenticity,
        "seal": findings.seal.as_ref().map(map),
        "specimen": findings.specimen,
        "fields": values,
        "evidence": evidence,
        "text": findings.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n"),
        "lines": lines.collect::<Vec<_>>(),
        "stages": stages,
        "models": findings.models,
    })
}

/// What was typed about one paper.
#[derive(serde::Deserialize)]
struct Typed {
    /// The kind it was handed in as; the kind that was read unless given.
    #[serde(default, rename = "doc_type")]
    kind: Option<DocumentKind>,
    claims: Claims,
}

#[derive(serde::Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    typed: Typed,
}

/// Claims for every file, or by file name.
enum ClaimsFile {
    Same(Typed),
    ByName(Vec<Line>),
}

impl ClaimsFile {
    fn of(&self, file: &Path) -> Option<&Typed> {
        match self {
            Self::Same(typed) => Some(typed),
            Self::ByName(lines) => lines.iter().find(|line| file.ends_with(&line.file)).map(|line| &line.typed),
        }
    }
}

fn claims_in(path: &Path) -> anyhow::Result<ClaimsFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    if let Ok(claims) = serde_json::from_str::<Claims>(&text) {
        return Ok(ClaimsFile::Same(Typed { kind: None, claims }));
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.map(serde_json::from_str).collect() {
        Ok(lines) => Ok(ClaimsFile::ByName(lines)),
        Err(error) => bail!("{} is neither an object of claims nor lines with file and claims ({error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items_whoever_is_done_first() {
        let (first, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(Some(gate));
        let first = Mutex::new(Some(first));
        let work = |item: &usize| {
            if *item == 0 {
                // The first item is done only after the second.
                let _ = gate.lock().unwrap().take().unwrap().recv();
            } else if *item == 1 {
                drop(first.lock().unwrap().take());
            }
            *item
        };
        let mut got = Vec::new();
        in_order(&[0, 1, 2, 3, 4], 2, work, |done| {
            got.push(done);
            true
        });
        assert_eq!(got, [0, 1, 2, 3, 4]);
        let mut taken = 0;
        in_order(
            &[0; 50],
            2,
            |_| (),
            |()| {
                taken += 1;
                taken < 3
            },
        );
        assert_eq!(taken, 3);
    }

    #[test]
    fn folders_stand_for_their_pictures_and_a_bar_tells_the_rest() {
        let dir = std::env::temp_dir().join(format!("haodian-read-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert!(expanded(std::slice::from_ref(&dir)).is_err());
        for name in ["b.PNG", "a.jpg", "claims.jsonl"] {
            std::fs::write(dir.join(name), b"").unwrap();
        }
        let named = [PathBuf::from("/tmp/absent.jpg"), dir.clone()];
        assert_eq!(expanded(&named).unwrap(), [PathBuf::from("/tmp/absent.jpg"), dir.join("a.jpg"), dir.join("b.PNG")]);
        std::fs::remove_dir_all(dir).unwrap();
        let mut progress = Progress::new(4, false);
        progress.step();
        assert_eq!(progress.bar(2.0), format!("[{}{}] 1/4  6 s left ", "=".repeat(7), " ".repeat(23)));
    }

    #[test]
    fn claims_come_as_one_object_or_by_file() {
        let dir = std::env::temp_dir().join(format!("haodian-claims-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("claims");
        std::fs::write(&path, r#"{"name": "张三"}"#).unwrap();
        assert_eq!(claims_in(&path).unwrap().of(Path::new("any.jpg")).unwrap().claims.0["name"], "张三");
        std::fs::write(
            &path,
            "{\"file\": \"a.jpg\", \"doc_type\": \"id_front\", \"claims\": {\"name\": \"李四\"}, \"condition\": \"clean\"}\n",
        )
        .unwrap();
        let claims = claims_in(&path).unwrap();
        let typed = claims.of(Path::new("/tmp/a.jpg")).unwrap();
        assert_eq!((typed.claims.0["name"].as_str(), typed.kind), ("李四", Some(DocumentKind::IdFront)));
        assert!(claims.of(Path::new("/tmp/b.jpg")).is_none());
        std::fs::write(&path, "[]").unwrap();
        assert!(claims_in(&path).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
