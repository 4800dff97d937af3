//! The whole pipeline, top to bottom: [`Pipeline::run`]. Blocking and CPU-bound (0.3 to 1 s a page on two cores): callers
//! put it on a bounded blocking pool. A page holds at most about 0.5 GB while it runs, bounded by the limits in [`crate::image`].
//!
//! Three pictures are in play: the photograph after its EXIF turn, the page cut out of it flat, and that page turned upright. Text is found,
//! read and understood on the last; what leaves the pipeline is mapped back to the photograph.

use std::{collections::BTreeMap, path::Path, sync::atomic::AtomicBool, time::Instant};

use ::image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use crate::{
    document::{
        self, DocumentKind, Fields, Quad, Side,
        classify::classify,
        layout::{self, Line},
    },
    engine::{Broken, Engine, Health, RuntimeKind, Session, Setup},
    error::{EngineError, Stage, StageError},
    image,
    manifest::Role,
    stage::{
        appearance::{self, Appearance},
        authenticity, detect, direction,
        geometry::{Turn, half_turned},
        homography::{Homography, corners},
        ink, kind, marks, quality,
        recognise::Reader,
        rectify, red_print, seal,
        second_look::{self, Reading},
        specimen,
    },
};

pub use crate::{
    document::{Check, Field},
    stage::{authenticity::AuthenticityFlag, quality::QualityFlag},
};

/// Larger pages are worked on at this long side: print is then still over 20 pixels high, and time and memory are bounded.
const WORKING_SIDE_MAX: u32 = 2400;
/// Long side at which text is looked for in the whole photograph, only to see that the page holds all of it.
const TEXT_SIDE: u32 = 640;
/// A page that was cut out and on which less text than this was read is looked at whole, in case the cut was wrong.
const MEAGRE_CHARACTERS: usize = 24;

/// The loaded models, ready to read pages from any number of threads.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    thresholds: detect::Thresholds,
}

/// How to read a page.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(default)]
pub struct Options {
    /// Whether the findings carry every line of text, not only the fields.
    pub lines: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { lines: true }
    }
}

/// What was read off one page.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Findings {
    pub kind: DocumentKind,
    /// Below the policy's minimum where text and picture disagree, or the picture is like nothing known.
    pub kind_confidence: f32,
    /// Which side of a card the page shows.
    #[serde(default)]
    pub side: Side,
    /// The clockwise turn that set the page upright, after the one its EXIF data asks for.
    pub rotation_degrees: u16,
    /// Size of the photograph after that turn; every quad is in its pixels.
    pub width: u32,
    pub height: u32,
    /// The page in the photograph; its corners when the photograph is the page.
    #[serde(default)]
    pub quad: Quad,
    pub quality: Vec<QualityFlag>,
    /// What makes a person look at the page; never proof of anything.
    #[serde(default)]
    pub authenticity: Vec<AuthenticityFlag>,
    /// The red seal's place, where there is one.
    #[serde(default)]
    pub seal: Option<Quad>,
    /// Whether the page says that it is a specimen.
    pub specimen: bool,
    pub fields: Fields,
    /// Who read each field, character by character.
    #[serde(default)]
    pub readings: BTreeMap<String, Reading>,
    pub lines: Vec<TextLine>,
    pub stages: Vec<StageTime>,
    pub models: Vec<ModelVersion>,
}

/// One line of text.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct TextLine {
    pub text: String,
    /// Mean and lowest confidence over the characters.
    pub confidence: f32,
    pub confidence_min: f32,
    pub quad: Quad,
}

/// How long a stage took.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub struct StageTime {
    pub stage: Stage,
    pub ms: f32,
}

/// A file that took part, by content.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ModelVersion {
    pub name: String,
    pub sha256: String,
    /// The runtimes that ran it for this page.
    #[serde(default)]
    pub runtimes: Vec<RuntimeKind>,
}

/// The page as it was read.
struct Read {
    turn: Turn,
    page: RgbImage,
    /// The page with seal ink lifted, where there is any.
    lifted: Option<RgbImage>,
    /// The largest red seal.
    seal: Option<Quad>,
    lines: Vec<Line>,
    /// Whether it is marked for one use.
    marked: bool,
    seen: kind::Verdict,
    /// Whether the text is that of more than one paper.
    several: bool,
    /// From the upright page to the photograph as it was worked on.
    back: Homography,
}

impl Pipeline {
    /// Loads the runtime and the models, a second or so; every file is compared with the manifest.
    pub fn load(models_dir: &Path) -> Result<Self, EngineError> {
        Self::load_with(models_dir, &Setup::default())
    }

    /// The same with other runtimes or another number of threads.
    pub fn load_with(models_dir: &Path, setup: &Setup) -> Result<Self, EngineError> {
        Self::of_engine(Engine::load(models_dir, setup)?)
    }

    /// Around an engine that is loaded.
    pub fn of_engine(engine: Engine) -> Result<Self, EngineError> {
        let thresholds = detect::Thresholds::of(engine.manifest.get(Role::Detect)?);
        Ok(Self { engine, thresholds })
    }

    /// How the runtimes are doing.
    pub fn health(&self) -> Vec<Health> {
        self.engine.health()
    }

    /// Takes a runtime out of service or puts it back.
    pub fn suspend(&self, runtime: RuntimeKind, suspended: bool) {
        self.engine.suspend(runtime, suspended);
    }

    /// Breaks a runtime on purpose, or mends it.
    pub fn drill(&self, runtime: RuntimeKind, broken: Broken) {
        self.engine.drill(runtime, broken);
    }

    /// Reads one page. An error names the stage that failed; it never becomes an empty result.
    pub fn run(&self, bytes: &[u8], options: &Options) -> Result<Findings, StageError> {
        self.run_until(bytes, options, &AtomicBool::new(false))
    }

    /// The same, given up between two model runs once `cancelled` is set.
    pub fn run_until(&self, bytes: &[u8], options: &Options, cancelled: &AtomicBool) -> Result<Findings, StageError> {
        let session = Session::new(&self.engine, cancelled);
        let mut clock = Clock::start();

        let decoded = image::decode(bytes).map_err(StageError::at(Stage::Decode))?;
        let (full_width, full_height) = decoded.dimensions();
        let (photo, scale) = working_size(decoded);
        clock.lap(Stage::Decode);

        let looks = appearance::run(&session, &photo)?;
        clock.lap(Stage::Appearance);

        let found = rectify::find(&photo);
        // The text must agree: what was taken for the page may be a panel on it, or end at a shadow's edge.
        let found = match found {
            rectify::Page::Whole(quad) | rectify::Page::Cut(quad) => {
                let text = detect::at_side(&session, self.thresholds, &photo, TEXT_SIDE)?;
                if rectify::holds_text(&quad, &text) { found } else { rectify::Page::Unknown }
            }
            rectify::Page::Unknown => found,
        };
        let whole = match found {
            rectify::Page::Whole(quad) => Some(quad),
            _ => None,
        };
        clock.lap(Stage::Rectify);
        let (mut read, quad) = self.read_page(&session, &photo, &looks, whole, &mut clock)?;

        // a specimen's mark is set across the edges by its nature
        let print: Vec<Quad> = read.lines.iter().filter(|line| !layout::is_mark(line)).map(|line| line.quad).collect();
        let mut quality = quality::run(
            &read.page,
            1.0 / scale,
            &print,
            match found {
                _ if quad.is_some() => Some(true),
                rectify::Page::Cut(_) => Some(false),
                _ => None,
            },
        );
        if read.several {
            quality.flags.push(QualityFlag::Several);
        }
        clock.lap(Stage::Quality);

        let reader = Reader { session: &session, raw: &read.page, lifted: read.lifted.as_ref().unwrap_or(&read.page) };
        let fields = document::read(read.seen.kind, &layout::Page::new(&read.lines));
        clock.lap(Stage::Fields);
        let fields = second_look::find_single(&reader, read.seen.kind, &mut read.lines, fields)?;
        let mut fields = second_look::repair(&reader, read.seen.kind, &mut read.lines, fields)?;
        let readings = second_look::readings(&reader, &read.lines, &fields)?;
        clock.lap(Stage::SecondLook);

        let specimen = specimen::run(&session, self.thresholds, reader.lifted, &read.lines)?;
        clock.lap(Stage::Specimen);
        let out_of_frame = quality.flags.contains(&QualityFlag::Cut);
        let signs = authenticity::run(&read.page, read.seen.kind, read.seal, &fields, read.marked, quad.is_some(), out_of_frame);
        clock.lap(Stage::Authenticity);

        // From here on everything is in pixels of the photograph at its full size, turned upright.
        let out = read.back.then(&Homography::scaling(1.0 / scale)).then(&upright(read.turn, full_width as f32, full_height as f32));
        for field in fields.values_mut() {
            field.quad = out.quad(&field.quad);
        }
        let lines = read.lines.iter().map(|line| TextLine::of(line, &out));
        let on_side = matches!(read.turn, Turn::Quarter | Turn::ThreeQuarters);
        let (width, height) = if on_side { (full_height, full_width) } else { (full_width, full_height) };
        tracing::debug!(kind = %read.seen.kind, read.seen.confidence, turn = read.turn.degrees(), lines = read.lines.len(), fields = fields.len(), "page read");
        Ok(Findings {
            kind: read.seen.kind,
            kind_confidence: read.seen.confidence,
            side: read.seen.side,
            rotation_degrees: read.turn.degrees(),
            width,
            height,
            quad: out.quad(&corners(read.page.width() as f32, read.page.height() as f32)),
            quality: quality.flags,
            authenticity: signs.flags,
            seal: signs.seal.map(|seal| out.quad(&seal)),
            specimen,
            fields,
            readings,
            lines: if options.lines { lines.collect() } else { Vec::new() },
            stages: clock.laps,
            models: self.models(&session),
        })
    }

    /// Reads the page that was found, or the whole photograph where none was found or the one found says too little.
    fn read_page(
        &self,
        session: &Session<'_>,
        photo: &RgbImage,
        looks: &Appearance,
        found: Option<Quad>,
        clock: &mut Clock,
    ) -> Result<(Read, Option<Quad>), StageError> {
        if let Some((flat, map)) = found.and_then(|quad| rectify::cut_out(photo, &quad)) {
            clock.lap(Stage::Rectify);
            let read = self.read_upright(session, flat, map, looks, clock)?;
            let characters = read.lines.iter().map(|line| line.glyphs.len()).sum::<usize>();
            if read.seen.kind != DocumentKind::Other || characters >= MEAGRE_CHARACTERS {
                return Ok((read, found));
            }
        }
        Ok((self.read_upright(session, photo.clone(), Homography::IDENTITY, looks, clock)?, None))
    }

    /// Turns the page upright and reads its lines and its kind.
    fn read_upright(
        &self,
        session: &Session<'_>,
        flat: RgbImage,
        map: Homography,
        looks: &Appearance,
        clock: &mut Clock,
    ) -> Result<Read, StageError> {
        let (flat_width, flat_height) = (flat.width() as f32, flat.height() as f32);
        let mut page = flat;
        let mut lifted = ink::red_lifted(&page);
        let mut quads = detect::run(session, self.thresholds, lifted.as_ref().unwrap_or(&page))?;
        clock.lap(Stage::Detect);

        let mut turn = Turn::None;
        if direction::lies_on_its_side(&quads, looks) {
            turn = Turn::Quarter;
            page = turn.apply(page);
            lifted = lifted.map(|lifted| turn.apply(lifted));
            // Standing lines are boxed poorly, so the turned page is looked at afresh.
            quads = detect::run(session, self.thresholds, lifted.as_ref().unwrap_or(&page))?;
        }
        if direction::stands_on_its_head(session, lifted.as_ref().unwrap_or(&page), &quads, turn, looks)? {
            turn = turn.and_half();
            page = Turn::Half.apply(page);
            lifted = lifted.map(|lifted| Turn::Half.apply(lifted));
            quads = quads.iter().map(|quad| half_turned(quad, page.width() as f32, page.height() as f32)).collect();
        }
        clock.lap(Stage::Direction);

        let seals = seal::find(&page);
        quads.retain(|quad| !seal::is_inscription(&seals, lifted.as_ref().unwrap_or(&page), quad));
        let reader = Reader { session, raw: &page, lifted: lifted.as_ref().unwrap_or(&page) };
        let mut lines = reader.lines(&quads)?;
        clock.lap(Stage::Recognise);

        let mut text = layout::Page::new(&lines);
        let mut said = classify(&text);
        let is_form = red_print::is_usual(said.kind) || red_print::is_usual(looks.kind());
        if let Some(clear) = is_form.then(|| ink::red_lifted_in(&page, &seals)).flatten() {
            let seen = detect::run(session, self.thresholds, &clear)?;
            clock.lap(Stage::Detect);
            let red = red_print::among(&seen, &page, &quads);
            lines.retain(|line| !red_print::lies_in_one(&line.quad, &red));
            lines.extend(reader.lines(&red)?);
            lines.sort_by(|a, b| detect::in_reading_order(&a.quad, &b.quad));
            clock.lap(Stage::Recognise);
            text = layout::Page::new(&lines);
            said = classify(&text);
        }
        let marked = authenticity::has_mark_of_use(&lines);
        if marked {
            let clear = marks::cleared(lifted.as_ref().unwrap_or(&page), &lines);
            let mut seen = detect::run(session, self.thresholds, &clear)?;
            seen.retain(|quad| !seal::is_inscription(&seals, &clear, quad));
            clock.lap(Stage::Detect);
            lines = marks::merged(lines, Reader { session, raw: &clear, lifted: &clear }.lines(&seen)?);
            lines.sort_by(|a, b| detect::in_reading_order(&a.quad, &b.quad));
            clock.lap(Stage::Recognise);
            text = layout::Page::new(&lines);
            said = classify(&text);
        }
        let (seen, several) = (kind::settle(&said, looks), document::several::shown(&text, &said));
        clock.lap(Stage::Classify);
        let back = Homography::undoing(turn, flat_width, flat_height).then(&map);
        Ok(Read { turn, page, lifted, seal: seals.first().copied(), lines, marked, seen, several, back })
    }

    fn models(&self, session: &Session<'_>) -> Vec<ModelVersion> {
        let runtimes = session.runtimes();
        let library = runtimes.contains(&RuntimeKind::OnnxRuntime);
        let took_part = |role: Role| if role == Role::Runtime { library } else { session.took_part(role) };
        let version = |file: &crate::manifest::ModelFile| ModelVersion {
            name: file.file.clone(),
            sha256: file.sha256.clone(),
            runtimes: if file.role == Role::Runtime { Vec::new() } else { runtimes.clone() },
        };
        let ours = &self.engine.classifier;
        let own = session.took_part(Role::Classify).then(|| ModelVersion {
            name: ours.file.clone(),
            sha256: ours.sha256.clone(),
            runtimes: runtimes.clone(),
        });
        own.into_iter().chain(self.engine.manifest.files.iter().filter(|file| took_part(file.role)).map(version)).collect()
    }
}

impl Findings {
    /// How far the page lay turned in the photograph, clockwise.
    pub fn page_turned_degrees(&self) -> u16 {
        (360 - self.rotation_degrees) % 360
    }

    /// A quad of these findings in pixels of the photograph as a viewer shows it, that is before the page was turned upright.
    pub fn in_photograph(&self, quad: &Quad) -> Quad {
        let turn = Turn::of_degrees(self.rotation_degrees);
        let on_side = matches!(turn, Turn::Quarter | Turn::ThreeQuarters);
        let (width, height) = if on_side { (self.height, self.width) } else { (self.width, self.height) };
        Homography::undoing(turn, width as f32, height as f32).quad(quad)
    }
}

/// From a picture of `width` x `height` to the same picture after `turn`.
fn upright(turn: Turn, width: f32, height: f32) -> Homography {
    let (opposite, width, height) = match turn {
        Turn::None | Turn::Half => (turn, width, height),
        Turn::Quarter => (Turn::ThreeQuarters, height, width),
        Turn::ThreeQuarters => (Turn::Quarter, height, width),
    };
    Homography::undoing(opposite, width, height)
}

impl TextLine {
    fn of(line: &Line, out: &Homography) -> Self {
        Self { text: line.text(), confidence: line.confidence(), confidence_min: line.confidence_min(), quad: out.quad(&line.quad) }
    }
}

fn working_size(page: RgbImage) -> (RgbImage, f32) {
    let long = page.width().max(page.height());
    if long <= WORKING_SIDE_MAX {
        return (page, 1.0);
    }
    let scale = WORKING_SIDE_MAX as f32 / long as f32;
    let side = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    (imageops::thumbnail(&page, side(page.width()), side(page.height())), scale)
}

struct Clock {
    from: Instant,
    laps: Vec<StageTime>,
}

impl Clock {
    fn start() -> Self {
        Self { from: Instant::now(), laps: Vec::new() }
    }

    /// Books the time since the last lap; a stage that runs twice is one entry.
    fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        let ms = (now - self.from).as_secs_f32() * 1000.0;
        match self.laps.iter_mut().find(|lap| lap.stage == stage) {
            Some(lap) => lap.ms += ms,
            None => self.laps.push(StageTime { stage, ms }),
        }
        self.from = now;
    }
}
