//! What a reviewer sees of a task: each field as it was typed and as it was read, side by side, where the two differ, what a doubtful character
//! may be instead, and the upright image, also without its seal. Values are masked unless the holder asked for them. Pure, but for the image.

use std::collections::BTreeSet;
use std::fmt;

use ai::document::{Check, DocumentKind, Quad, text};
use ai::image::ImageError;
use ai::pipeline::Findings;
use ai::review::{Claims, Comparison, Outcome};
use ai::stage::ink;
use ai::stage::second_look::{Character, Reading};
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops;

use super::{FieldDiff, Task};
use crate::mask;

/// A task with its evidence.
#[derive(Clone)]
pub struct TaskView {
    pub task: Task,
    /// How far, clockwise, the stored image was turned to stand upright. [`super::Reviews::image`] gives it turned already.
    pub rotation_degrees: u16,
    /// Pixels of the upright image.
    pub image_width: u32,
    pub image_height: u32,
    /// Whether the caller holds the task, and so may see its image and have values shown.
    pub held: bool,
    /// The fields that were claimed or read, in the order they are printed.
    pub fields: Vec<FieldView>,
}

impl fmt::Debug for TaskView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskView({:?}, {} fields)", self.task.id, self.fields.len())
    }
}

/// One field, typed and read.
#[derive(Clone, PartialEq)]
pub struct FieldView {
    /// The field's name within its kind of document.
    pub name: &'static str,
    /// The Chinese label.
    pub label: &'static str,
    pub claimed: Option<String>,
    pub read: Option<String>,
    /// What the second reader read instead, where it did not agree.
    pub second: Option<String>,
    /// Whether something of it is hidden.
    pub masked: bool,
    /// Where the whole values differ; none where one of them is missing.
    pub diff: Option<FieldDiff>,
    /// Whether two names are one character apart: a slip of the pen or another person.
    pub near_name: bool,
    /// Characters of the read value that the reader was not sure of.
    pub uncertain: Vec<Uncertain>,
    /// None where nothing was claimed: there was nothing to compare.
    pub outcome: Option<Outcome>,
    /// The lowest confidence over the characters, 0 to 1.
    pub confidence: Option<f32>,
    /// Where it stands, in pixels of the upright image.
    pub quad: Option<Quad>,
    pub checks: Vec<Check>,
}

/// A character that the reader was not sure of.
#[derive(Clone, PartialEq)]
pub struct Uncertain {
    /// Its place in the read value, from 0.
    pub position: u32,
    pub confidence: f32,
    /// What it may be instead, likeliest first; none while the value is masked.
    pub alternatives: Vec<(char, f32)>,
}

impl fmt::Debug for Uncertain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uncertain({}, {:.2})", self.position, self.confidence)
    }
}

/// How the image is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As it was taken.
    Original,
    /// Red seal ink lifted, the print under it kept (去印章).
    SealRemoved,
}

impl View {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::SealRemoved => "seal_removed",
        }
    }
}

/// A character less sure than this is worth a second look.
const SURE: f32 = 0.9;
/// Alternatives shown per character.
const ALTERNATIVES_MAX: usize = 3;
/// Names: the fields in which one character more or less is a slip or another person.
const NAMES: [&str; 6] = ["name", "holder", "owner", "head_name", "former_name", "legal_person"];

impl fmt::Debug for FieldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldView({} {:?})", self.name, self.outcome)
    }
}

/// What the pipeline left of one version, opened.
pub(super) struct Opened {
    pub(super) claims: Claims,
    /// None when a stage failed.
    pub(super) findings: Option<Findings>,
    pub(super) comparisons: Vec<Comparison>,
    /// Pixels of the stored image.
    pub(super) width: i32,
    pub(super) height: i32,
}

impl TaskView {
    pub(super) fn new(task: Task, opened: &Opened, held: bool, revealed: &BTreeSet<String>) -> Self {
        let stored = |side: i32| u32::try_from(side).unwrap_or(0);
        let (rotation_degrees, image_width, image_height) = match &opened.findings {
            Some(f) => (f.rotation_degrees, f.width, f.height),
            None => (0, stored(opened.width), stored(opened.height)),
        };
        let fields = fields(task.kind, opened, revealed);
        Self { task, rotation_degrees, image_width, image_height, held, fields }
    }
}

/// The fields of `kind` that were claimed or read. A page of another kind has none of them: its fields mean other things.
fn fields(kind: DocumentKind, opened: &Opened, revealed: &BTreeSet<String>) -> Vec<FieldView> {
    let page = opened.findings.as_ref().filter(|f| f.kind == kind);
    kind.fields()
        .filter_map(|name| {
            let claimed = opened.claims.0.get(name);
            let read = page.and_then(|f| f.fields.get(name));
            if claimed.is_none() && read.is_none() {
                return None;
            }
            let whole = revealed.contains(name);
            let show = |value: &str| if whole { value.to_owned() } else { mask::field(kind, name, value) };
            let reading = page.and_then(|f| f.readings.get(name));
            let compared = opened.comparisons.iter().find(|c| c.field == name).map(|c| c.outcome);
            let diff = claimed.zip(read).map(|(claimed, read)| FieldDiff::of(claimed, &read.value));
            let shown = (claimed.map(|value| show(value)), read.map(|field| show(&field.value)));
            let masked = shown.0.as_ref() != claimed || shown.1.as_deref() != read.map(|field| field.value.as_str());
            Some(FieldView {
                name,
                label: kind.field_title(name),
                claimed: shown.0,
                read: shown.1,
                second: reading.and_then(|r| r.second.as_deref()).map(show),
                masked,
                near_name: NAMES.contains(&name) && diff.as_ref().is_some_and(|diff| diff.edits == 1),
                diff,
                uncertain: read.zip(reading).map_or_else(Vec::new, |(field, reading)| uncertain(&field.value, reading, masked)),
                // claimed, yet never compared: the page was of another kind, or a stage failed
                outcome: compared.or(claimed.map(|_| Outcome::Absent)),
                confidence: read.map(|field| field.confidence),
                quad: read.map(|field| field.quad),
                checks: read.map_or_else(Vec::new, |field| field.checks.clone()),
            })
        })
        .collect()
}

/// The doubtful characters of a value, each at its place in it. The reader's characters come in the value's order, others between them.
fn uncertain(value: &str, reading: &Reading, masked: bool) -> Vec<Uncertain> {
    let mut characters = reading.characters.iter();
    let mut found = Vec::new();
    for (at, shown) in value.chars().enumerate() {
        let mut rest = characters.clone();
        let Some(read) = rest.find(|read| text::printed(read.character) == shown) else { continue };
        characters = rest;
        let Character { confidence, ref alternatives, .. } = *read;
        if confidence < SURE {
            let alternatives = if masked { Vec::new() } else { alternatives.iter().take(ALTERNATIVES_MAX).copied().collect() };
            found.push(Uncertain { position: u32::try_from(at).unwrap_or(u32::MAX), confidence, alternatives });
        }
    }
    found
}

/// Turns a stored JPEG clockwise by a quarter, a half or three quarters, and lifts the seal where that is asked for.
pub(super) fn upright(jpeg: Bytes, degrees: u16, view: View) -> Result<Bytes, ImageError> {
    if degrees == 0 && view == View::Original {
        return Ok(jpeg);
    }
    let decoded = ai::image::decode(&jpeg)?;
    let mut page = match degrees {
        90 => imageops::rotate90(&decoded),
        180 => imageops::rotate180(&decoded),
        270 => imageops::rotate270(&decoded),
        _ => decoded,
    };
    if view == View::SealRemoved {
        ink::lift_red(&mut page);
    }
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, ai::image::STORED_QUALITY).encode_image(&page).map_err(ImageError::Damaged)?;
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ai::document::Field;
    use image::{Rgb, RgbImage};

    use super::*;

    fn read(value: &str) -> Field {
        let checks = vec![Check { name: "check_digit".to_owned(), passed: true }];
        Field {
            value: value.to_owned(),
            canonical: value.to_owned(),
            raw: value.to_owned(),
            confidence: 0.9,
            quad: [[1.0, 2.0]; 4],
            checks,
        }
    }

    fn opened(kind: DocumentKind) -> Opened {
        let named = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let compared = |field: &str, outcome, claimed: &str, read: Option<&str>| Comparison {
            field: field.to_owned(),
            outcome,
            claimed: claimed.to_owned(),
            read: read.map(str::to_owned),
        };
        Opened {
            claims: Claims(named(&[("name", "张三丰"), ("id_number", "11010519491231002X"), ("sex", "男")])),
            findings: Some(Findings {
                kind,
                kind_confidence: 0.9,
                side: ai::document::Side::None,
                rotation_degrees: 90,
                width: 400,
                height: 600,
                quad: Default::default(),
                quality: Vec::new(),
                authenticity: Vec::new(),
                seal: None,
                specimen: true,
                fields: [("name", "张三丰"), ("id_number", "110105194912310021"), ("birth_date", "1949-12-31")]
                    .map(|(name, value)| (name.to_owned(), read(value)))
                    .into(),
                readings: Default::default(),
                lines: Vec::new(),
                stages: Vec::new(),
                models: Vec::new(),
            }),
            comparisons: vec![
                compared("name", Outcome::Match, "张三丰", Some("张三丰")),
                compared("id_number", Outcome::Differ, "11010519491231002X", Some("110105194912310021")),
                compared("sex", Outcome::Absent, "男", None),
            ],
            width: 600,
            height: 400,
        }
    }

    #[test]
    fn fields_stand_side_by_side_and_masked() {
        let masked = fields(DocumentKind::IdFront, &opened(DocumentKind::IdFront), &BTreeSet::new());
        let rows: Vec<_> = masked.iter().map(|f| (f.label, f.claimed.as_deref(), f.read.as_deref(), f.outcome)).collect();
        assert_eq!(
            rows,
            [
                ("姓名", Some("张**"), Some("张**"), Some(Outcome::Match)),
                ("性别", Some("****"), None, Some(Outcome::Absent)),
                ("出生日期", None, Some("****"), None),
                ("身份证号码", Some("110***********002X"), Some("110***********0021"), Some(Outcome::Differ)),
            ]
        );
        assert!(masked.iter().all(|f| f.masked));
        let shown = BTreeSet::from(["id_number".to_owned()]);
        let whole = fields(DocumentKind::IdFront, &opened(DocumentKind::IdFront), &shown);
        assert_eq!((whole[3].claimed.as_deref(), whole[3].masked), (Some("11010519491231002X"), false));
        assert_eq!((whole[0].claimed.as_deref(), whole[0].masked), (Some("张**"), true), "one value shown shows no other");
        let diff = whole[3].diff.clone().unwrap();
        assert_eq!((diff.typed, diff.read, diff.edits), (vec![17], vec![17], 1));
        assert_eq!(whole[3].quad, Some([[1.0, 2.0]; 4]));
        assert_eq!(whole[3].checks.len(), 1);
    }

    #[test]
    fn a_page_of_another_kind_and_a_failed_stage_show_the_claims_alone() {
        let failed = Opened { findings: None, comparisons: Vec::new(), ..opened(DocumentKind::IdFront) };
        let other = Opened { comparisons: Vec::new(), ..opened(DocumentKind::BusinessLicence) };
        for opened in [failed, other] {
            let fields = fields(DocumentKind::IdFront, &opened, &BTreeSet::new());
            assert_eq!(fields.len(), 3);
            assert!(fields.iter().all(|f| f.read.is_none() && f.outcome == Some(Outcome::Absent)));
        }
    }

    #[test]
    fn one_character_apart_is_told_of_names_alone() {
        let near = |name: &str, typed: &str, read_as: &str| {
            let mut opened = opened(DocumentKind::IdFront);
            opened.claims.0.insert(name.to_owned(), typed.to_owned());
            opened.findings.as_mut().unwrap().fields.insert(name.to_owned(), read(read_as));
            fields(DocumentKind::IdFront, &opened, &BTreeSet::new()).iter().find(|f| f.name == name).unwrap().near_name
        };
        assert!(near("name", "张三丰", "张三峰"));
        assert!(!near("name", "张三丰", "张三丰"));
        assert!(!near("name", "张三丰", "李四峰"));
        assert!(!near("address", "甲路1号", "甲路2号"));
    }

    #[test]
    fn doubtful_characters_stand_at_their_place_and_say_nothing_while_masked() {
        let character =
            |character, confidence, alternatives: &[(char, f32)]| Character { character, confidence, alternatives: alternatives.to_vec() };
        let reading = Reading {
            readers: Vec::new(),
            second: None,
            characters: vec![
                character('张', 0.99, &[]),
                character(' ', 0.3, &[]),
                character('磊', 0.6, &[('品', 0.3), ('垒', 0.05), ('蕾', 0.02), ('雷', 0.01)]),
            ],
        };
        let found = uncertain("张磊", &reading, false);
        assert_eq!((found.len(), found[0].position, found[0].alternatives.len()), (1, 1, 3));
        assert_eq!(found[0].alternatives[0].0, '品');
        assert!(uncertain("张磊", &reading, true)[0].alternatives.is_empty());
    }

    #[test]
    fn the_seal_is_lifted_and_the_print_stays() {
        let mut image = RgbImage::from_pixel(320, 320, Rgb([250, 250, 250]));
        for (x, y) in (0..160).flat_map(|x| (0..160).map(move |y| (x, y))) {
            image.put_pixel(x, y, Rgb([225, 40, 40]));
            image.put_pixel(x + 160, y + 160, Rgb([10, 10, 10]));
        }
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 95).encode_image(&image).unwrap();
        let seen = |view| ai::image::decode(&upright(Bytes::from(jpeg.clone()), 0, view).unwrap()).unwrap();
        let (with, without) = (seen(View::Original), seen(View::SealRemoved));
        assert!(with.get_pixel(80, 80).0[1] < 80 && without.get_pixel(80, 80).0[1] > 200);
        assert!(without.get_pixel(240, 240).0[0] < 60);
    }

    #[test]
    fn images_are_turned_clockwise() {
        let mut image = RgbImage::from_pixel(640, 320, Rgb([255, 255, 255]));
        for (x, y) in (0..64).flat_map(|x| (0..64).map(move |y| (x, y))) {
            image.put_pixel(x, y, Rgb([0, 0, 0]));
        }
        let mut jpeg = Vec::new();
        JpegEncoder::new(&mut jpeg).encode_image(&image).unwrap();
        let jpeg = Bytes::from(jpeg);
        // the dark corner begins at the top left and goes round with the clock
        for (degrees, size, corner) in
            [(0, (640, 320), (5, 5)), (90, (320, 640), (315, 5)), (180, (640, 320), (635, 315)), (270, (320, 640), (5, 635))]
        {
            let turned = ai::image::decode(&upright(jpeg.clone(), degrees, View::Original).unwrap()).unwrap();
            assert_eq!(turned.dimensions(), size, "{degrees}");
            assert!(turned.get_pixel(corner.0, corner.1).0[0] < 40, "{degrees}");
        }
    }
}
