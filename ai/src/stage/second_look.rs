//! Looks again at single values: a code that fails its checks is read in every other way until one reading passes, and a value that has no
//! check of its own is put to the second reader. Both are cheap, for they read one short crop.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    geometry::{grown, quad_height, quad_width},
    recognise::{Reader, View, Voice},
};
use crate::{
    document::{
        self, DocumentKind, Field, Fields, Quad,
        layout::{Glyph, Line, Page},
        text,
    },
    engine::Charset,
    error::StageError,
};

/// How one field was read.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Reading {
    /// The readers that read this value, the first one first.
    pub readers: Vec<String>,
    /// What the second reader read instead, where it did not agree.
    pub second: Option<String>,
    pub characters: Vec<Character>,
}

/// One character of a value as it was read.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Character {
    pub character: char,
    pub confidence: f32,
    /// What it may be instead, likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<(char, f32)>,
}

/// The names of the readers, as findings give them.
pub const FIRST_READER: &str = "PP-OCRv6";
pub const SECOND_READER: &str = "PP-OCRv4";

/// The other ways to read a code, the likeliest to help first.
const WAYS: [(View, Voice); 5] = [
    (View::SealLifted, Voice::First),
    (View::MarksRemoved, Voice::First),
    (View::Raw, Voice::First),
    (View::SealLifted, Voice::Second),
    (View::MarksRemoved, Voice::Second),
];
/// Values that decide and that no check digit proves.
const PUT_TO_SECOND_READER: [&str; 7] = ["name", "holder", "owner", "legal_person", "head_name", "number", "deed_number"];
/// A value this many line heights high runs over several lines and is not one crop.
const ONE_LINE: f32 = 1.7;
/// The crop of a value takes in this much around it, as a share of its height: a cut stroke is a wrong character.
const MARGIN: f32 = 0.08;

/// The alphabet of a field that is a code.
pub fn charset(field: &str) -> Option<Charset> {
    match field {
        "id_number" => Some(Charset::IdNumber),
        "code" => Some(Charset::CreditCode),
        "mrz1" | "mrz2" => Some(Charset::Mrz),
        "unit_code" => Some(Charset::Alphanumeric),
        _ => None,
    }
}

/// Reads codes again that fail a check. Replaces them in `lines` and answers all fields anew when a reading passes.
pub fn repair(reader: &Reader<'_>, kind: DocumentKind, lines: &mut Vec<Line>, mut fields: Fields) -> Result<Fields, StageError> {
    let doubtful: Vec<(String, Charset, Quad)> = fields
        .iter()
        .filter(|(_, field)| !field.checks_pass())
        .filter_map(|(name, field)| Some((name.clone(), charset(name)?, field.quad)))
        .collect();
    for (name, charset, quad) in doubtful {
        let Some(at) = line_of(lines, &quad) else { continue };
        for (view, voice) in WAYS {
            let read = reader.reread(&with_margin(&quad), charset, view, voice)?;
            if read.glyphs.is_empty() {
                continue;
            }
            let mut changed = lines.clone();
            changed[at] = spliced(&lines[at], &quad, &read);
            let again = document::read(kind, &Page::new(&changed));
            if again.get(&name).is_some_and(|field| passed(field) > passed(&fields[&name])) {
                tracing::debug!(field = name, ?view, ?voice, "a code passes its checks in another reading");
                let done = again[&name].checks_pass();
                (*lines, fields) = (changed, again);
                if done {
                    break;
                }
            }
        }
    }
    Ok(fields)
}

/// Values of a character or two that stand alone, which the detector often takes for specks: the field, its label, and what may stand there.
const SINGLE: [(&str, [char; 2], &[&str]); 2] =
    [("sex", ['性', '别'], &["男", "女"]), ("blood_type", ['血', '型'], &["A", "B", "O", "0", "AB", "A型", "B型", "O型", "0型", "AB型"])];
/// How surely they must be read where nothing was found.
const SINGLE_CONFIDENCE_MIN: f32 = 0.9;

/// Reads such a value where its label stands and nothing was found: right of the label, then below it, but in the register's table, where
/// values stand beside their labels. What is read joins `lines`.
pub fn find_single(reader: &Reader<'_>, kind: DocumentKind, lines: &mut Vec<Line>, mut fields: Fields) -> Result<Fields, StageError> {
    let sides = if kind == DocumentKind::HouseholdMember { 1 } else { 2 };
    for (name, label, values) in SINGLE {
        if !kind.has_field(name) || fields.contains_key(name) {
            continue;
        }
        let labels = lines.iter().filter_map(|line| label_quad(line, label));
        let places: Vec<Quad> = labels.flat_map(|label| values_near(&label).into_iter().take(sides)).collect();
        for quad in places {
            let mut read = reader.reread(&quad, Charset::Any, View::SealLifted, Voice::First)?;
            let may_stand = |glyph: &Glyph| values.iter().any(|value| value.contains(glyph.character));
            read.glyphs.retain(|glyph| may_stand(glyph) && glyph.confidence >= SINGLE_CONFIDENCE_MIN);
            if values.contains(&read.text().as_str()) {
                lines.push(read);
                fields = document::read(kind, &Page::new(lines));
                break;
            }
        }
    }
    Ok(fields)
}

/// Where the label's characters stand on the line, one behind the other.
fn label_quad(line: &Line, label: [char; 2]) -> Option<Quad> {
    let at = line.glyphs.windows(2).position(|pair| [pair[0].character, pair[1].character] == label)?;
    let (from, to) = (line.glyphs[at].left, line.glyphs[at + 1].right);
    let between = |a: [f32; 2], b: [f32; 2], share: f32| [a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share];
    let [a, b, c, d] = line.quad;
    Some([between(a, b, from), between(a, b, to), between(d, c, to), between(d, c, from)])
}

/// Two and a half line heights right of the label, and the same below it.
fn values_near(label: &Quad) -> [Quad; 2] {
    let [a, b, c, d] = *label;
    let (width, height) = (quad_width(label).max(1.0), quad_height(label));
    let by = |at: [f32; 2], across: f32, down: f32| -> [f32; 2] {
        std::array::from_fn(|i| at[i] + (b[i] - a[i]) * across * height / width + (d[i] - a[i]) * down)
    };
    [
        [by(b, 0.1, 0.0), by(b, 2.6, 0.0), by(c, 2.6, 0.0), by(c, 0.1, 0.0)],
        [by(d, -0.2, 0.1), by(d, 2.3, 0.1), by(d, 2.3, 1.2), by(d, -0.2, 1.2)],
    ]
}

fn passed(field: &Field) -> usize {
    field.checks.iter().filter(|check| check.passed).count()
}

/// Who read each field, how surely, and what it may be instead.
pub fn readings(reader: &Reader<'_>, lines: &[Line], fields: &Fields) -> Result<BTreeMap<String, Reading>, StageError> {
    let mut readings = BTreeMap::new();
    for (name, field) in fields {
        let mut reading = Reading { readers: vec![FIRST_READER.to_owned()], second: None, characters: characters(lines, &field.quad) };
        let is_one_line = line_of(lines, &field.quad).is_some_and(|at| quad_height(&field.quad) < quad_height(&lines[at].quad) * ONE_LINE);
        if is_one_line && PUT_TO_SECOND_READER.contains(&name.as_str()) {
            let second = reader.reread(&with_margin(&field.quad), Charset::Any, View::SealLifted, Voice::Second)?.text();
            if text::name(&second) == text::name(&field.raw) {
                reading.readers.push(SECOND_READER.to_owned());
            } else {
                reading.second = Some(second);
            }
        }
        readings.insert(name.clone(), reading);
    }
    Ok(readings)
}

fn with_margin(quad: &Quad) -> Quad {
    grown(quad, quad_height(quad) * MARGIN)
}

/// The line that the value stands on: the nearest one that it overlaps along the text.
fn line_of(lines: &[Line], value: &Quad) -> Option<usize> {
    let distance = |line: &Line| {
        let (from, to) = span(&line.quad, value);
        let overlaps = from.max(0.0) < to.min(1.0) - 0.01;
        let away = across(&line.quad, middle(value)).abs();
        (overlaps && away < 0.6).then_some(away)
    };
    let near = lines.iter().enumerate().filter_map(|(at, line)| Some((distance(line)?, at)));
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at)| at)
}

fn middle(quad: &Quad) -> [f32; 2] {
    std::array::from_fn(|axis| quad.iter().map(|corner| corner[axis]).sum::<f32>() / 4.0)
}

/// How far along the line a point lies: 0 at its start, 1 at its end.
fn along(line: &Quad, point: [f32; 2]) -> f32 {
    let axis: [f32; 2] = std::array::from_fn(|i| (line[1][i] + line[2][i] - line[0][i] - line[3][i]) / 2.0);
    let start: [f32; 2] = std::array::from_fn(|i| (line[0][i] + line[3][i]) / 2.0);
    ((point[0] - start[0]) * axis[0] + (point[1] - start[1]) * axis[1]) / (axis[0].powi(2) + axis[1].powi(2)).max(1.0)
}

/// How far off the line's middle a point lies, in line heights.
fn across(line: &Quad, point: [f32; 2]) -> f32 {
    let axis: [f32; 2] = std::array::from_fn(|i| (line[3][i] + line[2][i] - line[0][i] - line[1][i]) / 2.0);
    let centre = middle(line);
    ((point[0] - centre[0]) * axis[0] + (point[1] - centre[1]) * axis[1]) / (axis[0].powi(2) + axis[1].powi(2)).max(1.0)
}

/// Where on the line the value begins and ends.
fn span(line: &Quad, value: &Quad) -> (f32, f32) {
    (along(line, value[0]).min(along(line, value[3])), along(line, value[1]).max(along(line, value[2])))
}

/// The line with the characters of the value's stretch replaced by those of `read`.
fn spliced(line: &Line, value: &Quad, read: &Line) -> Line {
    let (from, to) = span(&line.quad, value);
    let margin = (to - from) * MARGIN * quad_height(value) / quad_width(value).max(1.0);
    let (from, to) = (from - margin, to + margin);
    let centre = |glyph: &Glyph| (glyph.left + glyph.right) / 2.0;
    let mut glyphs: Vec<Glyph> = line.glyphs.iter().filter(|glyph| !(from..=to).contains(&centre(glyph))).cloned().collect();
    let place = |share: f32| from + (to - from) * share;
    glyphs.extend(read.glyphs.iter().map(|glyph| Glyph { left: place(glyph.left), right: place(glyph.right), ..glyph.clone() }));
    glyphs.sort_by(|a, b| a.left.total_cmp(&b.left));
    Line { glyphs, quad: line.quad }
}

/// The characters inside the box, line by line.
fn characters(lines: &[Line], quad: &Quad) -> Vec<Character> {
    let inside = |line: &&Line| across(quad, middle(&line.quad)).abs() < 0.5 || across(&line.quad, middle(quad)).abs() < 0.5;
    lines
        .iter()
        .filter(inside)
        .flat_map(|line| {
            let (from, to) = span(&line.quad, quad);
            line.glyphs.iter().filter(move |glyph| (from..=to).contains(&((glyph.left + glyph.right) / 2.0)))
        })
        .map(|glyph| Character { character: glyph.character, confidence: glyph.confidence, alternatives: glyph.alternatives.clone() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::layout::testing;

    #[test]
    fn a_value_is_spliced_into_its_line_and_nothing_else_changes() {
        // 20 wide characters: the label takes 0 to 80, the value 80 to 200.
        let line = testing::line(0.0, 50.0, 20.0, "号码是:1O1O5X");
        let value = [[80.0, 36.0], [200.0, 36.0], [200.0, 64.0], [80.0, 64.0]];
        let read = testing::line(0.0, 0.0, 20.0, "10105X");
        let lines = [testing::line(0.0, 0.0, 20.0, "别的一行文字在上"), line.clone()];
        assert_eq!(line_of(&lines, &value), Some(1));
        let spliced = spliced(&line, &value, &read);
        assert_eq!(spliced.text(), "号码是:10105X");
        assert!(spliced.glyphs.windows(2).all(|pair| pair[0].left < pair[1].left));
        assert_eq!(characters(&lines, &value).iter().map(|c| c.character).collect::<String>(), "1O1O5X");
    }

    #[test]
    fn the_value_of_a_label_is_looked_for_right_of_it_and_below() {
        // Five characters of 20 pixels from 100 on, 28 pixels high; the label is the last two.
        let line = testing::line(100.0, 50.0, 20.0, "1990性别");
        let label = label_quad(&line, SINGLE[0].1).unwrap();
        let near = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).abs() < 0.5 && (a[1] - b[1]).abs() < 0.5;
        assert!(near(label[0], [180.0, 36.0]) && near(label[2], [220.0, 64.0]), "{label:?}");
        let [right, below] = values_near(&label);
        assert!(near(right[0], [222.8, 36.0]) && near(right[2], [292.8, 64.0]), "{right:?}");
        assert!(near(below[0], [174.4, 66.8]) && near(below[2], [244.4, 97.6]), "{below:?}");
        assert_eq!(label_quad(&testing::line(0.0, 0.0, 20.0, "姓名"), SINGLE[0].1), None);
    }
}
