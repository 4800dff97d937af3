//! What a reviewer sees of a task: each field as it was typed and as it was read, side by side, and the upright image. Values are masked
//! unless the caller holds the task. Pure, except that turning an image takes time.

use std::fmt;

use ai::document::{Check, DocumentKind, Quad};
use ai::image::ImageError;
use ai::pipeline::Findings;
use ai::review::{Claims, Comparison, Outcome};
use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops;

use super::Task;
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
    /// Whether values are shown whole: the caller holds the task.
    pub unmasked: bool,
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
    /// None where nothing was claimed: there was nothing to compare.
    pub outcome: Option<Outcome>,
    /// The lowest confidence over the characters, 0 to 1.
    pub confidence: Option<f32>,
    /// Where it stands, in pixels of the upright image.
    pub quad: Option<Quad>,
    pub checks: Vec<Check>,
}

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
    pub(super) fn new(task: Task, opened: &Opened, unmasked: bool) -> Self {
        let stored = |side: i32| u32::try_from(side).unwrap_or(0);
        let (rotation_degrees, image_width, image_height) = match &opened.findings {
            Some(f) => (f.rotation_degrees, f.width, f.height),
            None => (0, stored(opened.width), stored(opened.height)),
        };
        let fields = fields(task.kind, opened, unmasked);
        Self { task, rotation_degrees, image_width, image_height, unmasked, fields }
    }
}

/// The fields of `kind` that were claimed or read. A page of another kind has none of them: its fields mean other things.
fn fields(kind: DocumentKind, opened: &Opened, unmasked: bool) -> Vec<FieldView> {
    let show = |name: &str, value: &str| if unmasked { value.to_owned() } else { mask::field(kind, name, value) };
    let page = opened.findings.as_ref().filter(|f| f.kind == kind);
    kind.fields()
        .filter_map(|name| {
            let claimed = opened.claims.0.get(name);
            let read = page.and_then(|f| f.fields.get(name));
            if claimed.is_none() && read.is_none() {
                return None;
            }
            let compared = opened.comparisons.iter().find(|c| c.field == name).map(|c| c.outcome);
            Some(FieldView {
                name,
                label: kind.field_title(name),
                claimed: claimed.map(|value| show(name, value)),
                read: read.map(|field| show(name, &field.value)),
                // claimed, yet never compared: the page was of another kind, or a stage failed
                outcome: compared.or(claimed.map(|_| Outcome::Absent)),
                confidence: read.map(|field| field.confidence),
                quad: read.map(|field| field.quad),
                checks: read.map_or_else(Vec::new, |field| field.checks.clone()),
            })
        })
        .collect()
}

/// Turns a stored JPEG clockwise by a quarter, a half or three quarters.
pub(super) fn upright(jpeg: Bytes, degrees: u16) -> Result<Bytes, ImageError> {
    let turn = match degrees {
        90 => imageops::rotate90,
        180 => imageops::rotate180,
        270 => imageops::rotate270,
        _ => return Ok(jpeg),
    };
    let turned = turn(&ai::image::decode(&jpeg)?);
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, ai::image::STORED_QUALITY).encode_image(&turned).map_err(ImageError::Damaged)?;
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
        let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        let compared = |field: &str, outcome, claimed: &str, read: Option<&str>| Comparison {
            field: field.to_owned(),
            outcome,
            claimed: claimed.to_owned(),
            read: read.map(str::to_owned),
        };
        Opened {
            claims: Claims(text(&[("name", "张三丰"), ("id_number", "11010519491231002X"), ("sex", "男")])),
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
        let masked = fields(DocumentKind::IdFront, &opened(DocumentKind::IdFront), false);
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
        let whole = fields(DocumentKind::IdFront, &opened(DocumentKind::IdFront), true);
        assert_eq!(whole[3].claimed.as_deref(), Some("11010519491231002X"));
        assert_eq!(whole[3].quad, Some([[1.0, 2.0]; 4]));
        assert_eq!(whole[3].checks.len(), 1);
    }

    #[test]
    fn a_page_of_another_kind_and_a_failed_stage_show_the_claims_alone() {
        let failed = Opened { findings: None, comparisons: Vec::new(), ..opened(DocumentKind::IdFront) };
        let other = Opened { comparisons: Vec::new(), ..opened(DocumentKind::BusinessLicence) };
        for opened in [failed, other] {
            let fields = fields(DocumentKind::IdFront, &opened, true);
            assert_eq!(fields.len(), 3);
            assert!(fields.iter().all(|f| f.read.is_none() && f.outcome == Some(Outcome::Absent)));
        }
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
            let turned = ai::image::decode(&upright(jpeg.clone(), degrees).unwrap()).unwrap();
            assert_eq!(turned.dimensions(), size, "{degrees}");
            assert!(turned.get_pixel(corner.0, corner.1).0[0] < 40, "{degrees}");
        }
    }
}
