//! The whole pipeline, top to bottom: [`Pipeline::run`]. Blocking and CPU-bound (0.3 to 1 s a page on two cores): callers
//! put it on a bounded blocking pool. A page holds at most about 0.5 GB while it runs, bounded by the limits in [`crate::image`].

use std::{path::Path, time::Instant};

use ::image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use crate::{
    document::{self, DocumentKind, Fields, Quad, layout},
    engine::Engine,
    error::{EngineError, Stage, StageError},
    image,
    manifest::Role,
    stage::{
        classify, detect, direction,
        geometry::{Turn, half_turned, scaled},
        ink, quality, recognise, specimen,
    },
};

pub use crate::{document::Check, document::Field, stage::quality::QualityFlag};

/// Larger pages are worked on at this long side: print is then still over 20 pixels high, and time and memory are bounded.
const WORKING_SIDE_MAX: u32 = 2400;
/// The loaded models, ready to read pages from any number of threads.
#[derive(Debug)]
pub struct Pipeline {
    engine: Engine,
    thresholds: detect::Thresholds,
    models: Vec<ModelVersion>,
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
    pub kind_confidence: f32,
    /// The clockwise turn that set the page upright, after the one its EXIF data asks for.
    pub rotation_degrees: u16,
    /// Size of the upright image; every quad is in its pixels.
    pub width: u32,
    pub height: u32,
    pub quality: Vec<QualityFlag>,
    /// Whether the page says that it is a specimen.
    pub specimen: bool,
    pub fields: Fields,
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
}

impl Pipeline {
    /// Loads the runtime and the models, a second or so; every file is compared with the manifest.
    pub fn load(models_dir: &Path) -> Result<Self, EngineError> {
        let engine = Engine::load(models_dir)?;
        let thresholds = detect::Thresholds::of(engine.manifest.get(Role::Detect)?);
        let models =
            engine.manifest.files.iter().map(|file| ModelVersion { name: file.file.clone(), sha256: file.sha256.clone() }).collect();
        Ok(Self { engine, thresholds, models })
    }

    /// Reads one page. An error names the stage that failed; it never becomes an empty result.
    pub fn run(&self, bytes: &[u8], options: &Options) -> Result<Findings, StageError> {
        let mut clock = Clock::start();

        let decoded = image::decode(bytes).map_err(StageError::at(Stage::Decode))?;
        let (full_width, full_height) = decoded.dimensions();
        let (mut page, scale) = working_size(decoded);
        clock.lap(Stage::Decode);

        let quality = quality::run(&page);
        clock.lap(Stage::Quality);

        ink::lift_red(&mut page);
        let mut quads = detect::run(&self.engine.detect, self.thresholds, &page)?;
        clock.lap(Stage::Detect);

        let mut turn = Turn::None;
        if direction::lies_on_its_side(&quads) {
            turn = Turn::Quarter;
            page = turn.apply(page);
            // Standing lines are boxed poorly, so the turned page is looked at afresh.
            quads = detect::run(&self.engine.detect, self.thresholds, &page)?;
        }
        if direction::run(&self.engine.direction, &page, &quads)? == Turn::Half {
            turn = turn.and_half();
            page = Turn::Half.apply(page);
            quads = quads.iter().map(|quad| half_turned(quad, page.width() as f32, page.height() as f32)).collect();
        }
        clock.lap(Stage::Direction);

        let mut lines = recognise::run(&self.engine, &page, &quads)?;
        for line in &mut lines {
            line.quad = scaled(&line.quad, 1.0 / scale);
        }
        clock.lap(Stage::Recognise);

        let layout = layout::Page::new(&lines);
        let (kind, kind_confidence) = classify::run(&layout);
        clock.lap(Stage::Classify);

        let fields = document::read(kind, &layout);
        clock.lap(Stage::Fields);

        let specimen = specimen::run(&self.engine, self.thresholds, &page, &lines)?;
        clock.lap(Stage::Specimen);

        let on_side = matches!(turn, Turn::Quarter | Turn::ThreeQuarters);
        let (width, height) = if on_side { (full_height, full_width) } else { (full_width, full_height) };
        tracing::debug!(%kind, kind_confidence, turn = turn.degrees(), lines = lines.len(), fields = fields.len(), "page read");
        Ok(Findings {
            kind,
            kind_confidence,
            rotation_degrees: turn.degrees(),
            width,
            height,
            quality: quality.flags,
            specimen,
            fields,
            lines: if options.lines { lines.iter().map(TextLine::of).collect() } else { Vec::new() },
            stages: clock.laps,
            models: self.models.clone(),
        })
    }
}

impl TextLine {
    fn of(line: &layout::Line) -> Self {
        Self { text: line.text(), confidence: line.confidence(), confidence_min: line.confidence_min(), quad: line.quad }
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

    fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        self.laps.push(StageTime { stage, ms: (now - self.from).as_secs_f32() * 1000.0 });
        self.from = now;
    }
}
