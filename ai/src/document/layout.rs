//! Where text stands on a page: lines become rows, labels are found in the rows, and every other piece of text is given to
//! the label it belongs to. No pixel position is fixed; everything is relative to the height of the print.
//!
//! A value stands right of its label or below its first line, and a label is printed beside the first line of its value
//! or, in tables, beside its middle. Per column of labels the pieces are therefore dealt out from top to bottom so that
//! the labels sit as close as possible to the beginning or the middle of what they get (see `columns.rs`).

use super::{Quad, columns};

mod label;
mod line;

pub use label::{FoundLabel, Label};
use label::{labels_at, take};
pub use line::{ALTERNATIVES, Glyph, Line, is_mark};
use line::{before_mark, crosses, is_of_mark, mark_of_use, place, tilt, unstacked};

/// A character with its place on the levelled page (the tilt of the lines taken out).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Placed {
    /// The folded form, see [`super::text::fold`].
    pub character: char,
    pub raw: char,
    pub confidence: f32,
    pub line: usize,
    pub left: f32,
    pub right: f32,
    /// The middle of the line here.
    pub y: f32,
    pub height: f32,
    /// What else it may be, folded.
    pub alternatives: [Option<char>; ALTERNATIVES],
}

/// Characters in reading order.
pub type Run = Vec<Placed>;

/// All text of a page.
#[derive(Clone, Debug)]
pub struct Page {
    rows: Vec<Run>,
    tilt: f32,
}

/// A single character read less surely than this is a speck, the edge of a seal or part of a pattern.
const SPECK_CONFIDENCE: f32 = 0.7;
/// Lines this close in height, as a share of the smaller one's height, stand in one row.
const SAME_ROW: f32 = 0.5;
/// Two characters of one row overlap by less than this share of their height.
const SHOWN_TWICE: f32 = 0.3;

impl Page {
    pub fn new(lines: &[Line]) -> Self {
        let lines = &unstacked(lines);
        let marks: Vec<String> = lines.iter().filter_map(mark_of_use).collect();
        let printed = |line: &&Line| !is_mark(line) && !is_of_mark(line, &marks);
        let tilt = tilt(lines.iter().filter(printed));
        let (sin, cos) = (-tilt).sin_cos();
        let level = |[x, y]: [f32; 2]| [x * cos - y * sin, x * sin + y * cos];
        let sound = |line: &Line| line.glyphs.len() > 1 || line.confidence() > SPECK_CONFIDENCE;
        let kept = lines.iter().enumerate().filter(|(_, line)| sound(line) && printed(line) && !crosses(line, tilt));
        let mut placed: Vec<Run> = kept.map(|(at, line)| before_mark(place(at, line, &level))).collect();
        placed.retain(|run| !run.is_empty());
        Self { rows: rows(placed), tilt }
    }

    /// The text row by row, from top to bottom; a row may run over several lines side by side.
    pub fn rows(&self) -> &[Run] {
        &self.rows
    }

    /// The page without a stretch of text that is no part of any label's value.
    pub fn without(&self, run: &[Placed]) -> Self {
        let keep = |p: &&Placed| !run.contains(p);
        let rows = self.rows.iter().map(|row| row.iter().filter(keep).copied().collect::<Run>()).filter(|row| !row.is_empty()).collect();
        Self { rows, tilt: self.tilt }
    }

    /// The part of the page left of the widest empty strip before `word`, where that stands in the right half as the head of a second
    /// page of an opened booklet; the whole page otherwise.
    pub fn left_page(&self, word: &str) -> Self {
        let whole = || self.clone();
        let all = || self.rows.iter().flatten();
        let (from, to) = all().fold((f32::MAX, f32::MIN), |(from, to), p| (from.min(p.left), to.max(p.right)));
        let head = self.rows.iter().find_map(|row| (0..row.len()).find(|&at| plain(&row[at..]).starts_with(word)).map(|at| row[at].left));
        let middle = from + (to - from) * 0.4;
        let Some(head) = head.filter(|head| *head > from + (to - from) * 0.5) else { return whole() };
        let mut spans: Vec<(f32, f32)> = all().map(|p| (p.left, p.right)).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut reached, mut widest) = (from, (0.0, 0.0));
        for (left, right) in spans {
            let (start, end) = (reached.max(middle), left.min(head + 1.0));
            if end - start > widest.1 - widest.0 {
                widest = (start, end);
            }
            reached = reached.max(right);
        }
        let cut = (widest.0 + widest.1) / 2.0;
        if widest.1 <= widest.0 {
            return whole();
        }
        let rows = self
            .rows
            .iter()
            .map(|row| row.iter().filter(|p| p.left < cut).copied().collect::<Run>())
            .filter(|row| !row.is_empty())
            .collect();
        Self { rows, tilt: self.tilt }
    }

    /// The box around the characters, in pixels of the upright image.
    pub fn quad(&self, run: &[Placed]) -> Quad {
        let bound = |low: fn(&Placed) -> f32, high: fn(&Placed) -> f32| {
            run.iter().fold((f32::MAX, f32::MIN), |(least, most), p| (least.min(low(p)), most.max(high(p))))
        };
        if run.is_empty() {
            return Quad::default();
        }
        let (left, right) = bound(|p| p.left, |p| p.right);
        let (top, bottom) = bound(|p| p.y - p.height / 2.0, |p| p.y + p.height / 2.0);
        let (sin, cos) = self.tilt.sin_cos();
        [[left, top], [right, top], [right, bottom], [left, bottom]].map(|[x, y]| [x * cos - y * sin, x * sin + y * cos])
    }

    /// The text that belongs to each label, by the label's name.
    pub fn values(&self, labels: &[Label]) -> Values {
        let (found, pieces) = self.split(labels);
        let mut values: Values = found.iter().map(|label| (label.name, Run::new())).collect();
        for (name, run) in columns::assign(&found, pieces) {
            values.entry(name).or_default().extend(run);
        }
        values
    }

    /// The text of each label where values may stand below their labels too, as on travel papers and under the heads of
    /// tables: every piece goes to the label nearest to its left or above it.
    pub fn nearby(&self, labels: &[Label]) -> Values {
        let (found, pieces) = self.split(labels);
        let mut values: Values = found.iter().map(|label| (label.name, Run::new())).collect();
        for piece in pieces.into_iter().flat_map(|piece| under_their_heads(&found, piece)) {
            if let Some(label) = piece.owner.or_else(|| nearest(&found, &piece).map(|(label, _)| label)) {
                values.entry(found[label].name).or_default().extend(piece.run);
            }
        }
        values
    }

    /// Cuts the rows into labels and the pieces of text between them.
    fn split(&self, labels: &[Label]) -> (Vec<FoundLabel>, Vec<Piece>) {
        let (mut found, mut pieces): (Vec<FoundLabel>, Vec<Piece>) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let mut at = 0;
            let mut piece = Run::new();
            let mut owner = None;
            while at < row.len() {
                let candidates = labels_at(row, at, labels);
                if let Some((label, end)) = candidates
                    .into_iter()
                    .find_map(|candidate| take(&mut found, &row[at..], &candidate).map(|label| (label, at + candidate.length)))
                {
                    push(&mut pieces, &mut piece, owner.take());
                    // Text of the same line that follows is this label's, whatever stands around it.
                    owner = row.get(end).filter(|next| next.line == row[end - 1].line).map(|_| label);
                    at = end;
                    continue;
                }
                let here = row[at];
                if piece.last().is_some_and(|last| last.line != here.line && here.left - last.right > last.height) {
                    push(&mut pieces, &mut piece, owner.take());
                }
                piece.push(here);
                at += 1;
            }
            push(&mut pieces, &mut piece, owner);
        }
        (found, pieces)
    }
}

/// A line this much nearer to another label than to that of the line before it, in heights, is another value.
const NEARER: f32 = 1.0;

/// The label nearest to the piece, and how far it is.
fn nearest(found: &[FoundLabel], piece: &Piece) -> Option<(usize, f32)> {
    let near = found.iter().enumerate().filter_map(|(at, label)| Some((at, label.distance(piece)?)));
    near.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// The piece, cut where a line of it stands under a head of its own: the columns of a table may be set close.
fn under_their_heads(found: &[FoundLabel], piece: Piece) -> Vec<Piece> {
    if piece.owner.is_some() {
        return vec![piece];
    }
    let mut parts: Vec<Piece> = Vec::new();
    for line in piece.run.chunk_by(|a, b| a.line == b.line) {
        let next = Piece { run: line.to_vec(), owner: None };
        let head = parts.last().and_then(|last| nearest(found, last)).map(|(label, _)| label);
        let own = nearest(found, &next).map(|(_, distance)| distance);
        let other = head.zip(own).is_some_and(|(head, own)| found[head].distance(&next).is_none_or(|distance| distance > own + NEARER));
        match parts.last_mut().filter(|_| !other) {
            Some(last) => last.run.extend(next.run),
            None => parts.push(next),
        }
    }
    parts
}

/// The text per label name.
pub type Values = std::collections::BTreeMap<&'static str, Run>;

/// Text between labels.
#[derive(Clone, Debug)]
pub struct Piece {
    pub run: Run,
    /// The label (by index) in front of it on its own line.
    pub owner: Option<usize>,
}

impl Piece {
    pub fn left(&self) -> f32 {
        self.run.first().map_or(0.0, |p| p.left)
    }

    pub fn right(&self) -> f32 {
        self.run.last().map_or(0.0, |p| p.right)
    }

    pub fn y(&self) -> f32 {
        self.run.iter().map(|p| p.y).sum::<f32>() / self.run.len().max(1) as f32
    }

    pub fn height(&self) -> f32 {
        self.run.iter().map(|p| p.height).fold(0.0, f32::max)
    }
}

/// Folded text of a run.
pub fn plain(run: &[Placed]) -> String {
    run.iter().map(|p| p.character).collect()
}

fn push(pieces: &mut Vec<Piece>, run: &mut Run, owner: Option<usize>) {
    let mut run = std::mem::take(run);
    // The colon after a label is no content.
    let colons = run.iter().take_while(|p| p.character == ':').count();
    run.drain(..colons);
    if !run.is_empty() {
        pieces.push(Piece { run, owner });
    }
}

fn rows(mut lines: Vec<Run>) -> Vec<Run> {
    let middle = |run: &Run| run.iter().map(|p| p.y).sum::<f32>() / run.len() as f32;
    lines.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
    let mut rows: Vec<Vec<Run>> = Vec::new();
    for line in lines {
        let (y, height) = (middle(&line), line[0].height);
        let fits = |row: &Vec<Run>| {
            let row_y = row.iter().map(middle).sum::<f32>() / row.len() as f32;
            let row_height = row.iter().map(|run| run[0].height).fold(f32::MAX, f32::min);
            // Two lines over the same stretch are above each other, however close.
            let beside = row.iter().all(|run| {
                line[0].left >= run[run.len() - 1].right - height * SAME_ROW
                    || line[line.len() - 1].right <= run[0].left + height * SAME_ROW
            });
            beside && (row_y - y).abs() < height.min(row_height) * SAME_ROW
        };
        match rows.iter_mut().rev().find(|row| fits(row)) {
            Some(row) => row.push(line),
            None => rows.push(vec![line]),
        }
    }
    rows.into_iter()
        .map(|mut row| {
            row.sort_by(|a, b| a[0].left.total_cmp(&b[0].left));
            let mut row = row.concat();
            row.dedup_by(|next, last| is_shown_twice(last, next));
            row
        })
        .collect()
}

/// Whether the character was cut into the end of one line and the beginning of the next.
fn is_shown_twice(last: &Placed, next: &Placed) -> bool {
    last.line != next.line && last.character == next.character && last.right - next.left > last.height * SHOWN_TWICE
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// A line of square characters, sure of each.
    pub fn line(x: f32, y: f32, size: f32, text: &str) -> Line {
        let count = text.chars().count() as f32;
        let (width, half) = (count * size, size * 0.7);
        let glyphs = text
            .chars()
            .enumerate()
            .filter(|(_, character)| *character != ' ')
            .map(|(at, character)| Glyph {
                character,
                confidence: 0.99,
                left: at as f32 / count,
                right: (at + 1) as f32 / count,
                alternatives: Vec::new(),
            })
            .collect();
        Line { glyphs, quad: [[x, y - half], [x + width, y - half], [x + width, y + half], [x, y + half]] }
    }

    pub fn page(lines: &[(f32, f32, &str)]) -> Page {
        Page::new(&lines.iter().map(|(x, y, text)| line(*x, *y, 20.0, text)).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::page, *};

    const LABELS: [Label; 3] = [
        Label { name: "name", words: &["姓名"], inline: false },
        Label { name: "sex", words: &["性别"], inline: false },
        Label { name: "ethnicity", words: &["民族"], inline: true },
    ];

    fn read(lines: &[(f32, f32, &str)]) -> Vec<(&'static str, String)> {
        page(lines).values(&LABELS).into_iter().map(|(name, run)| (name, plain(&run))).collect()
    }

    #[test]
    fn values_beside_their_labels_apart_or_together() {
        let expected = vec![("ethnicity", "汉".to_owned()), ("name", "张三".to_owned()), ("sex", "男".to_owned())];
        assert_eq!(read(&[(0.0, 0.0, "姓名"), (80.0, 2.0, "张三"), (0.0, 60.0, "性别男民族汉")]), expected);
        assert_eq!(
            read(&[
                (0.0, 0.0, "姓 名:张三"),
                (0.0, 60.0, "性"),
                (30.0, 60.0, "别"),
                (80.0, 61.0, "男"),
                (160.0, 60.0, "民族"),
                (230.0, 60.0, "汉")
            ]),
            expected
        );
    }

    #[test]
    fn the_tilt_of_the_page_is_taken_out() {
        let mut lines = vec![testing::line(0.0, 0.0, 20.0, "姓名"), testing::line(400.0, 0.0, 20.0, "张三")];
        let (sin, cos) = 6f32.to_radians().sin_cos();
        for line in &mut lines {
            line.quad = line.quad.map(|[x, y]| [x * cos - y * sin, x * sin + y * cos]);
        }
        let page = Page::new(&lines);
        assert_eq!(page.rows().len(), 1);
        let run = page.values(&LABELS).remove("name").unwrap();
        assert_eq!(plain(&run), "张三");
        for (corner, wanted) in page.quad(&run).iter().flatten().zip(lines[1].quad.iter().flatten()) {
            assert!((corner - wanted).abs() < 0.5);
        }
    }

    #[test]
    fn a_label_in_two_lines_that_was_boxed_by_columns_is_read_by_rows() {
        // 户主 over 姓名, set so wide that each column was taken for a line.
        let column = |x: f32, text: &str| {
            let mut line = testing::line(0.0, 0.0, 40.0, text);
            line.quad = [[x, 0.0], [x + 40.0, 0.0], [x + 40.0, 78.0], [x, 78.0]];
            line
        };
        let read = |lines: &[Line]| Page::new(lines).rows().iter().map(|row| plain(row)).collect::<Vec<_>>();
        assert_eq!(read(&[column(85.0, "主名"), column(0.0, "户姓")]), ["户主", "姓名"]);
        assert_eq!(read(&[column(0.0, "户姓")]), [] as [&str; 0], "one column alone is text set downwards");
        assert_eq!(read(&[column(400.0, "主名"), column(0.0, "户姓")]), [] as [&str; 0], "and so are columns far apart");
    }

    fn turned(line: Line, degrees: f32) -> Line {
        let (sin, cos) = degrees.to_radians().sin_cos();
        let [x0, y0] = line.quad[0];
        let turn = |[x, y]: [f32; 2]| [x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos];
        Line { quad: line.quad.map(turn), ..line }
    }

    #[test]
    fn a_character_in_two_boxes_is_read_once() {
        let row = |lines: &[(f32, f32, &str)]| plain(&page(lines).rows()[0]);
        assert_eq!(row(&[(0.0, 0.0, "坐落:海"), (68.0, 2.0, "海曙区")]), "坐落:海曙区");
        assert_eq!(row(&[(0.0, 0.0, "坐落:海"), (80.0, 2.0, "海曙区")]), "坐落:海海曙区");
    }

    #[test]
    fn values_close_beside_each_other_stand_under_their_own_heads() {
        let lines = [(0.0, 0.0, "姓名"), (150.0, 0.0, "性别"), (0.0, 50.0, "一二三四五六七"), (148.0, 50.0, "八九"), (150.0, 76.0, "十")];
        let values = page(&lines).nearby(&LABELS);
        assert_eq!((plain(&values["name"]).as_str(), plain(&values["sex"]).as_str()), ("一二三四五六七", "八九十"));
    }

    #[test]
    fn what_is_written_across_the_page_belongs_to_no_value() {
        let lines = |degrees: f32| {
            [
                testing::line(0.0, 0.0, 20.0, "姓名"),
                testing::line(80.0, 0.0, 20.0, "张三"),
                testing::line(0.0, 60.0, 20.0, "性别男民族汉"),
                turned(testing::line(140.0, 0.0, 20.0, "三台"), degrees),
            ]
        };
        let name = |lines: &[Line]| plain(&Page::new(lines).values(&LABELS)["name"]);
        assert_eq!(name(&lines(25.0)), "张三");
        assert_eq!(name(&lines(2.0)), "张三三台", "print may lean a little");
    }

    #[test]
    fn a_mark_of_use_and_its_pieces_belong_to_no_value() {
        let lines = [
            (0.0, 0.0, "姓名"),
            (80.0, 0.0, "张三仅供开"),
            (220.0, 0.0, "户使用"),
            (0.0, 60.0, "性别"),
            (80.0, 60.0, "男"),
            (140.0, 62.0, "仅供开户使用"),
        ];
        assert_eq!(read(&lines), [("name", "张三".to_owned()), ("sex", "男".to_owned())]);
    }

    #[test]
    fn a_piece_of_a_specimens_mark_belongs_to_no_value_and_a_name_is_no_such_mark() {
        for mark in ["样", "样本", "羊本", "祥本样"] {
            let lines = [(0.0, 0.0, "姓名"), (80.0, 0.0, "张三"), (160.0, 0.0, mark)];
            assert_eq!(read(&lines), [("name", "张三".to_owned())], "{mark}");
        }
        for name in ["张本", "张祥", "张祥本", "花样本"] {
            assert_eq!(read(&[(0.0, 0.0, "姓名"), (80.0, 0.0, name)]), [("name", name.to_owned())]);
        }
    }

    #[test]
    fn marks_do_not_decide_how_the_page_lies() {
        let mut lines = vec![testing::line(0.0, 0.0, 20.0, "姓名"), testing::line(80.0, 0.0, 20.0, "张三")];
        lines.extend((0..4).map(|at| turned(testing::line(0.0, at as f32 * 90.0, 30.0, "仅供开户使用他用无效"), 14.0)));
        assert_eq!(plain(&Page::new(&lines).values(&LABELS)["name"]), "张三");
    }

    #[test]
    fn lines_above_each_other_are_not_one_row() {
        assert_eq!(page(&[(0.0, 0.0, "甲乙"), (10.0, 12.0, "丙丁")]).rows().len(), 2);
    }
}
