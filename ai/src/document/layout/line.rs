//! Recognised characters and lines, and where each character stands once the tilt of the page is taken out.

use super::{Placed, Run};
use crate::document::{Quad, text, vocabulary::MARKS_OF_USE};

/// So many alternatives of a character are kept for repairs.
pub const ALTERNATIVES: usize = 3;
/// Alternatives less likely than this are noise.
const ALTERNATIVE_MIN: f32 = 0.01;
/// A line of several characters this much higher than wide stands upright.
const UPRIGHT: f32 = 1.6;

/// One recognised character; `left` and `right` are shares of its line's width.
#[derive(Clone, PartialEq, Debug)]
pub struct Glyph {
    pub character: char,
    pub confidence: f32,
    pub left: f32,
    pub right: f32,
    /// What it may be instead, likeliest first, each with its confidence; empty where there is no doubt.
    pub alternatives: Vec<(char, f32)>,
}

/// One recognised line.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    pub glyphs: Vec<Glyph>,
    pub quad: Quad,
}

impl Line {
    pub fn text(&self) -> String {
        self.glyphs.iter().map(|glyph| glyph.character).collect()
    }

    pub fn confidence(&self) -> f32 {
        self.glyphs.iter().map(|glyph| glyph.confidence).sum::<f32>() / self.glyphs.len().max(1) as f32
    }

    pub fn confidence_min(&self) -> f32 {
        self.glyphs.iter().map(|glyph| glyph.confidence).fold(1.0, f32::min)
    }
}

/// Columns of a label set in rows stand at most this many of their widths apart.
const COLUMN_GAP_MAX: f32 = 2.0;
/// So many characters stand above each other in such a label at most.
const COLUMN_CHARS_MAX: usize = 3;

/// The lines, where a wide-set label of several rows (户主 over 姓名) was boxed column by column: those columns read row by row.
pub(super) fn unstacked(lines: &[Line]) -> Vec<Line> {
    let upright = |line: &Line| (2..=COLUMN_CHARS_MAX).contains(&line.glyphs.len()) && height(line) > width(line) * UPRIGHT;
    let mut out: Vec<Line> = lines.iter().filter(|line| !upright(line)).cloned().collect();
    let mut columns: Vec<&Line> = lines.iter().filter(|line| upright(line)).collect();
    columns.sort_by(|a, b| a.quad[0][0].total_cmp(&b.quad[0][0]));
    while let Some(first) = (!columns.is_empty()).then(|| columns.remove(0)) {
        let mut group = vec![first];
        while let Some(at) = columns.iter().position(|column| goes_on(group[group.len() - 1], column)) {
            group.push(columns.remove(at));
        }
        if group.len() == 1 {
            out.push(first.clone());
            continue;
        }
        let rows = first.glyphs.len();
        out.extend((0..rows).map(|row| row_of(&group, row, rows)));
    }
    out
}

fn width(line: &Line) -> f32 {
    (line.quad[1][0] - line.quad[0][0]).hypot(line.quad[1][1] - line.quad[0][1])
}

fn height(line: &Line) -> f32 {
    (line.quad[3][0] - line.quad[0][0]).hypot(line.quad[3][1] - line.quad[0][1])
}

/// Whether the next column stands beside this one, as high and with as many characters.
fn goes_on(column: &Line, next: &Line) -> bool {
    let gap = next.quad[0][0] - column.quad[1][0];
    let level = (next.quad[0][1] - column.quad[0][1]).abs().max((next.quad[3][1] - column.quad[3][1]).abs());
    next.glyphs.len() == column.glyphs.len()
        && (-0.2..COLUMN_GAP_MAX).contains(&(gap / width(column).max(1.0)))
        && level < height(column) / column.glyphs.len() as f32 / 2.0
}

/// The characters at one height of the columns.
fn row_of(columns: &[&Line], row: usize, rows: usize) -> Line {
    let (from, to) = (row as f32 / rows as f32, (row + 1) as f32 / rows as f32);
    let [first, last] = [columns[0].quad, columns[columns.len() - 1].quad];
    let down = |top: [f32; 2], bottom: [f32; 2], share: f32| [top[0] + (bottom[0] - top[0]) * share, top[1] + (bottom[1] - top[1]) * share];
    let quad = [down(first[0], first[3], from), down(last[1], last[2], from), down(last[1], last[2], to), down(first[0], first[3], to)];
    let span = (quad[1][0] - quad[0][0]).max(1.0);
    let glyph = |column: &&Line| Glyph {
        left: (column.quad[0][0] - quad[0][0]) / span,
        right: (column.quad[1][0] - quad[0][0]) / span,
        ..column.glyphs[row].clone()
    };
    Line { glyphs: columns.iter().map(glyph).collect(), quad }
}

/// How far the text is turned from the level.
fn angle(line: &Line) -> f32 {
    let [from, to] = [line.quad[0], line.quad[1]];
    (to[1] - from[1]).atan2(to[0] - from[0])
}

/// The angle most of the text runs at, weighted by length.
pub(super) fn tilt<'a>(lines: impl Iterator<Item = &'a Line>) -> f32 {
    let mut angles: Vec<(f32, f32)> = lines
        .map(|line| (angle(line), width(line)))
        // A large diagonal mark is not what the page's text runs along.
        .filter(|(angle, _)| angle.abs() < 0.26)
        .collect();
    angles.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = angles.iter().map(|(_, length)| length).sum::<f32>() / 2.0;
    let mut passed = 0.0;
    for (angle, length) in angles {
        passed += length;
        if passed >= half {
            return angle;
        }
    }
    0.0
}

/// Print runs level within a few degrees, on a bent page too; what is turned by more is written across it, or along the rim of a seal.
const CROSSING: f32 = 0.17;
/// The box of a single character may be turned by more.
const CROSSING_SINGLE: f32 = 0.35;

/// Whether the line runs across the others.
pub(super) fn crosses(line: &Line, tilt: f32) -> bool {
    (angle(line) - tilt).abs() > if line.glyphs.len() > 1 { CROSSING } else { CROSSING_SINGLE }
}

/// What is read of a mark of use: from its first word to the end of its line.
pub(super) fn mark_of_use(line: &Line) -> Option<String> {
    let read = folded(line);
    Some(read[mark_begins(&read)?..].to_owned())
}

/// Whether the line is a mark of use, or a piece of one that was read elsewhere on the page: such marks are repeated all over it.
pub(super) fn is_of_mark(line: &Line, marks: &[String]) -> bool {
    let read = folded(line);
    line.glyphs.len() > 1 && (mark_begins(&read) == Some(0) || marks.iter().any(|mark| mark.contains(&read)))
}

/// The line up to a mark of use that follows in it.
pub(super) fn before_mark(mut run: Run) -> Run {
    let read: String = run.iter().map(|placed| placed.character).collect();
    if let Some(at) = mark_begins(&read) {
        run.truncate(read[..at].chars().count());
    }
    run
}

fn mark_begins(read: &str) -> Option<usize> {
    MARKS_OF_USE.iter().filter_map(|word| read.find(word)).min()
}

fn folded(line: &Line) -> String {
    line.glyphs.iter().filter_map(|glyph| text::fold(glyph.character)).collect()
}

/// Whether the line is nothing but a mark across the page (样本, once or more, or half of it), which belongs to no value.
pub fn is_mark(line: &Line) -> bool {
    const MARK: [char; 7] = ['样', '本', '木', '祥', '羊', '张', '例'];
    let read: Vec<char> = line.glyphs.iter().filter_map(|glyph| text::fold(glyph.character)).collect();
    // 张祥 and 张祥本 are names
    let misread = matches!(read[..], ['祥' | '羊', '本' | '木', ..]);
    !read.is_empty() && read.iter().all(|c| MARK.contains(c)) && (read.contains(&'样') || misread)
}

/// The characters with their places; none for a line that stands upright.
pub(super) fn place(at: usize, line: &Line, level: &impl Fn([f32; 2]) -> [f32; 2]) -> Run {
    let [top_left, top_right, bottom_right, bottom_left] = line.quad.map(level);
    let middle = |a: [f32; 2], b: [f32; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let (start, end) = (middle(top_left, bottom_left), middle(top_right, bottom_right));
    let height = (bottom_left[1] - top_left[1]).hypot(bottom_left[0] - top_left[0]);
    let width = (top_right[0] - top_left[0]).hypot(top_right[1] - top_left[1]);
    // Headings set downwards and the ornaments of a frame are no part of any row.
    if line.glyphs.len() > 1 && height > width * UPRIGHT {
        return Run::new();
    }
    let between = |share: f32, axis: usize| start[axis] + (end[axis] - start[axis]) * share;
    line.glyphs
        .iter()
        .filter_map(|glyph| {
            Some(Placed {
                character: text::fold(glyph.character)?,
                raw: glyph.character,
                confidence: glyph.confidence,
                line: at,
                left: between(glyph.left, 0),
                right: between(glyph.right, 0),
                y: between((glyph.left + glyph.right) / 2.0, 1),
                height,
                alternatives: alternatives(glyph),
            })
        })
        .collect()
}

fn alternatives(glyph: &Glyph) -> [Option<char>; ALTERNATIVES] {
    let mut out = [None; ALTERNATIVES];
    let likely = glyph.alternatives.iter().filter(|(_, share)| *share >= ALTERNATIVE_MIN).filter_map(|(c, _)| text::fold(*c));
    for (slot, c) in out.iter_mut().zip(likely) {
        *slot = Some(c);
    }
    out
}
