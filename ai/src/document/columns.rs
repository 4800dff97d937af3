//! Deals the text of a page out to its labels, column by column; see [`super::layout`] for the idea.

use super::layout::{FoundLabel, Piece, Run};

/// Labels whose left edges or middles differ by less than this many heights stand in one column.
const COLUMN_TOLERANCE: f32 = 0.8;
/// Text beside a label, within this share of a height, is surely in its row.
const BESIDE: f32 = 0.55;
/// Costs. A label off its text by a line height is very wrong, a label without text a little, text left over in between.
const MISPLACED_HEIGHT: f32 = 3.0;
const EMPTY_LABEL: f32 = 0.6;
const LEFT_OVER_ROW: f32 = 1.7;
/// Lines of one value follow each other within this many heights; each further height costs.
const LINE_GAP_MAX: f32 = 1.8;
const LINE_GAP_HEIGHT: f32 = 6.0;
/// Rows closer than this share of a height are one row that was boxed apart.
const ROW_MIN: f32 = 0.7;
/// The lines of one value are as far apart as the closest lines of the column, give or take this factor.
const PITCH_SLACK: f32 = 1.3;
/// A value that is set around its label begins at most so many heights above it; what stands higher belongs to no label of the column.
const ABOVE_MAX: f32 = 6.0;
/// What no sound page has; finite, so that an unsound one still gets the least wrong answer.
const IMPOSSIBLE: f32 = 1000.0;

/// The pieces with the name of their label, in reading order; pieces that belong to none are left out.
pub fn assign(labels: &[FoundLabel], pieces: Vec<Piece>) -> Vec<(&'static str, Run)> {
    let columns = columns(labels);
    let mut fixed: Vec<(usize, Piece)> = Vec::new();
    let mut dealt: Vec<Vec<Row>> = columns.iter().map(|_| Vec::new()).collect();
    for piece in pieces {
        let beside = piece.owner.or_else(|| label_beside(labels, &piece));
        let rightmost = column_of(&columns, labels, &piece);
        // The label beside decides, unless a column stands between it and the piece, which then continues a value above.
        let own = beside.and_then(|label| columns.iter().position(|column| column.contains(&label)));
        let column = match (beside, rightmost) {
            (Some(label), Some(rightmost)) if !stands_between(&columns[rightmost], labels, label, &piece) => own,
            (Some(_), None) => own,
            _ => rightmost,
        };
        match (column, beside) {
            (Some(column), beside) => {
                let beside = beside.filter(|label| columns[column].contains(label));
                add_to_rows(&mut dealt[column], piece, beside);
            }
            // A label without a column, such as 民族 beside 性别.
            (None, Some(label)) => fixed.push((label, piece)),
            (None, None) => {}
        }
    }
    let mut out: Vec<(&'static str, Run)> = Vec::new();
    for (column, mut rows) in columns.iter().zip(dealt) {
        rows.sort_by(|a, b| a.y.total_cmp(&b.y));
        let pitch = pitch(&rows);
        for (row, label) in deal(column, labels, &rows, pitch).into_iter().enumerate() {
            let Some(label) = label else { continue };
            let mut pieces = std::mem::take(&mut rows[row].pieces);
            pieces.sort_by(|a, b| a.left().total_cmp(&b.left()));
            out.extend(pieces.into_iter().map(|piece| (labels[label].name, piece.run)));
        }
    }
    out.extend(fixed.into_iter().map(|(label, piece)| (labels[label].name, piece.run)));
    out
}

/// One row of text within a column.
#[derive(Debug)]
struct Row {
    y: f32,
    height: f32,
    /// The label whose row this surely is.
    label: Option<usize>,
    pieces: Vec<Piece>,
}

/// Columns of two labels or more, from left to right, each from top to bottom.
fn columns(labels: &[FoundLabel]) -> Vec<Vec<usize>> {
    let near = |a: &FoundLabel, b: &FoundLabel| {
        let tolerance = a.height.min(b.height) * COLUMN_TOLERANCE;
        (a.left - b.left).abs() < tolerance || (a.left + a.right - b.left - b.right).abs() / 2.0 < tolerance
    };
    let mut columns: Vec<Vec<usize>> = Vec::new();
    for label in 0..labels.len() {
        // A label may be near to several columns so far, which then are one.
        let (mut joined, apart): (Vec<_>, Vec<_>) =
            columns.into_iter().partition(|column: &Vec<usize>| column.iter().any(|&other| near(&labels[label], &labels[other])));
        joined.push(vec![label]);
        columns = apart;
        columns.push(joined.concat());
    }
    columns.retain(|column| column.len() > 1);
    for column in &mut columns {
        column.sort_by(|&a, &b| labels[a].y.total_cmp(&labels[b].y));
    }
    columns.sort_by(|a, b| left_edge(a, labels).total_cmp(&left_edge(b, labels)));
    columns
}

fn left_edge(column: &[usize], labels: &[FoundLabel]) -> f32 {
    column.iter().map(|&label| labels[label].left).fold(f32::MAX, f32::min)
}

/// Whether the column's labels begin right of the label and end left of the piece.
fn stands_between(column: &[usize], labels: &[FoundLabel], label: usize, piece: &Piece) -> bool {
    let ends = column.iter().map(|&other| labels[other].right).fold(f32::MAX, f32::min);
    left_edge(column, labels) >= labels[label].right && ends <= piece.left() + piece.height() * BESIDE
}

/// The nearest label left of the piece in its row.
fn label_beside(labels: &[FoundLabel], piece: &Piece) -> Option<usize> {
    (0..labels.len())
        .filter(|&at| {
            let label = &labels[at];
            (label.y - piece.y()).abs() < label.height.max(piece.height()) * BESIDE && label.right <= piece.left() + label.height * BESIDE
        })
        .max_by(|&a, &b| labels[a].right.total_cmp(&labels[b].right))
}

/// The rightmost column that begins left of the piece: not below it, since notes at the foot of a page stand under each other, too, and not
/// what heads the page, which ends above another column and begins within its labels, or holds the title or no field at all.
fn column_of(columns: &[Vec<usize>], labels: &[FoundLabel], piece: &Piece) -> Option<usize> {
    let begins = |column: &[usize]| {
        let top = &labels[column[0]];
        left_edge(column, labels) <= piece.left() + piece.height() * BESIDE && top.y - piece.y() <= top.height * ABOVE_MAX
    };
    let heads = |column: &[usize], other: &[usize]| {
        let (left, bottom) = (left_edge(column, labels), column.iter().map(|&label| labels[label].y).fold(f32::MIN, f32::max));
        let is_heading =
            column.iter().any(|&label| labels[label].name == "-title") || column.iter().all(|&label| labels[label].name.starts_with('-'));
        (is_heading || other.iter().any(|&label| labels[label].right > left))
            && other.iter().any(|&label| labels[label].y > bottom && labels[label].y <= piece.y() + piece.height() * BESIDE)
    };
    let headed = |at: usize| (0..at).any(|other| heads(&columns[at], &columns[other]));
    (0..columns.len()).rev().find(|&at| begins(&columns[at]) && !headed(at))
}

fn add_to_rows(rows: &mut Vec<Row>, piece: Piece, label: Option<usize>) {
    let (y, height) = (piece.y(), piece.height());
    match rows.iter_mut().find(|row| (row.y - y).abs() < row.height.min(height) * BESIDE) {
        Some(row) => {
            row.label = row.label.or(label);
            row.pieces.push(piece);
        }
        None => rows.push(Row { y, height, label, pieces: vec![piece] }),
    }
}

/// For each row its label, such that labels and rows keep their order and the total misplacement is least.
fn deal(column: &[usize], labels: &[FoundLabel], rows: &[Row], pitch: f32) -> Vec<Option<usize>> {
    // best[k][i]: least cost when the first k labels have been served from the first i rows, and where the last
    // served block began and ended.
    let mut best = vec![vec![(IMPOSSIBLE, 0, 0); rows.len() + 1]; column.len() + 1];
    for (i, cell) in best[0].iter_mut().enumerate() {
        *cell = (left_over(&rows[..i]), 0, i);
    }
    for k in 1..=column.len() {
        for end in 0..=rows.len() {
            for start in 0..=end {
                let block = block_cost(column[k - 1], &labels[column[k - 1]], &rows[start..end], pitch);
                let cost = best[k - 1][start].0 + block;
                if cost < best[k][end].0 {
                    best[k][end] = (cost, start, end);
                }
            }
            // Or the row before stays unserved.
            if let Some(before) = end.checked_sub(1) {
                let cost = best[k][before].0 + left_over(&rows[before..end]);
                if cost < best[k][end].0 {
                    best[k][end] = (cost, best[k][before].1, best[k][before].2);
                }
            }
        }
    }
    let mut dealt = vec![None; rows.len()];
    let mut end = rows.len();
    for k in (1..=column.len()).rev() {
        let (_, start, stop) = best[k][end];
        dealt[start..stop].fill(Some(column[k - 1]));
        end = start;
    }
    dealt
}

fn left_over(rows: &[Row]) -> f32 {
    rows.iter().map(|row| if row.label.is_some() { IMPOSSIBLE } else { LEFT_OVER_ROW }).sum()
}

/// The distance of lines of one value: the least there is between rows of the column.
fn pitch(rows: &[Row]) -> f32 {
    let gaps = rows.windows(2).map(|pair| (pair[1].y - pair[0].y, pair[0].height.min(pair[1].height)));
    gaps.filter(|(gap, height)| *gap > height * ROW_MIN).map(|(gap, _)| gap).fold(f32::MAX, f32::min)
}

fn block_cost(at: usize, label: &FoundLabel, rows: &[Row], pitch: f32) -> f32 {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return EMPTY_LABEL };
    if rows.iter().any(|row| row.label.is_some_and(|own| own != at)) {
        return IMPOSSIBLE;
    }
    let height = label.height.max(1.0);
    let misplaced = (first.y - label.y).abs().min(((first.y + last.y) / 2.0 - label.y).abs()) / height;
    let gap_max = (pitch * PITCH_SLACK / height).clamp(1.0, LINE_GAP_MAX);
    let gaps: f32 = rows.windows(2).map(|pair| ((pair[1].y - pair[0].y) / height - gap_max).max(0.0)).sum();
    misplaced * MISPLACED_HEIGHT + gaps * LINE_GAP_HEIGHT
}

#[cfg(test)]
mod tests {
    use crate::document::layout::{Label, plain, testing::page};

    const LABELS: [Label; 6] = [
        Label { name: "a", words: &["甲项"], inline: false },
        Label { name: "b", words: &["乙项"], inline: false },
        Label { name: "c", words: &["丙项"], inline: false },
        Label { name: "d", words: &["丁项"], inline: false },
        Label { name: "e", words: &["戊项"], inline: false },
        Label { name: "f", words: &["己项"], inline: false },
    ];

    fn read(lines: &[(f32, f32, &str)]) -> Vec<String> {
        page(lines).values(&LABELS).into_iter().map(|(name, run)| format!("{name}={}", plain(&run))).collect()
    }

    #[test]
    fn lines_follow_a_label_that_stands_at_their_beginning() {
        let lines =
            [(0.0, 0.0, "甲项"), (80.0, 0.0, "一二"), (80.0, 30.0, "三四"), (80.0, 60.0, "五"), (0.0, 110.0, "乙项"), (80.0, 110.0, "六")];
        assert_eq!(read(&lines), ["a=一二三四五", "b=六"]);
    }

    #[test]
    fn lines_gather_round_a_label_that_stands_at_their_middle() {
        let lines = [
            (0.0, 0.0, "甲项"),
            (80.0, 0.0, "一"),
            (80.0, 45.0, "二"),
            (80.0, 75.0, "三"),
            (0.0, 90.0, "乙项"),
            (80.0, 105.0, "四"),
            (80.0, 135.0, "五"),
            (0.0, 180.0, "丙项"),
            (80.0, 180.0, "六"),
        ];
        assert_eq!(read(&lines), ["a=一", "b=二三四五", "c=六"]);
    }

    #[test]
    fn two_columns_do_not_mix() {
        let lines = [
            (0.0, 0.0, "甲项"),
            (80.0, 0.0, "一"),
            (400.0, 0.0, "丁项"),
            (480.0, 0.0, "二"),
            (0.0, 50.0, "乙项"),
            (80.0, 50.0, "三"),
            (480.0, 30.0, "四"),
            (480.0, 60.0, "五"),
            (400.0, 110.0, "戊项"),
            (480.0, 110.0, "六"),
        ];
        assert_eq!(read(&lines), ["a=一", "b=三", "d=二四五", "e=六"]);
    }

    #[test]
    fn a_value_beside_its_label_is_no_line_of_a_column_that_begins_where_it_does() {
        let lines = [
            (480.0, 0.0, "甲项"),
            (580.0, 0.0, "一"),
            (300.0, 60.0, "丙项丙项"),
            (482.0, 60.0, "二"),
            (480.0, 120.0, "乙项"),
            (580.0, 120.0, "三"),
        ];
        const WIDE: [Label; 3] = [LABELS[0], LABELS[1], Label { name: "c", words: &["丙项丙项"], inline: false }];
        let values = page(&lines).values(&WIDE);
        assert_eq!(["a", "b", "c"].map(|name| plain(&values[name])), ["一", "三", "二"]);
    }

    #[test]
    fn what_stands_under_each_other_at_the_foot_takes_nothing_from_the_lines_above() {
        let mut lines = vec![(0.0, 0.0, "甲项"), (80.0, 0.0, "一"), (0.0, 60.0, "乙项"), (80.0, 60.0, "二三"), (80.0, 90.0, "四五")];
        assert_eq!(read(&lines), ["a=一", "b=二三四五"]);
        lines.extend([(75.0, 300.0, "戊项"), (75.0, 340.0, "己项")]);
        assert_eq!(read(&lines), ["a=一", "b=二三四五", "e=", "f="]);
    }

    #[test]
    fn what_heads_the_page_takes_no_line_of_the_values_below_it() {
        let lines = [
            (50.0, -200.0, "戊项"),
            (50.0, -150.0, "己项"),
            (0.0, 0.0, "甲项项"),
            (90.0, 0.0, "一"),
            (0.0, 60.0, "乙项项"),
            (90.0, 60.0, "二三"),
            (90.0, 90.0, "四五"),
        ];
        const WIDE: [Label; 4] = [
            Label { name: "a", words: &["甲项项"], inline: false },
            Label { name: "b", words: &["乙项项"], inline: false },
            Label { name: "e", words: &["戊项"], inline: false },
            Label { name: "f", words: &["己项"], inline: false },
        ];
        let values = page(&lines).values(&WIDE);
        assert_eq!(["a", "b", "e", "f"].map(|name| plain(&values[name])), ["一", "二三四五", "", ""]);
    }

    #[test]
    fn a_title_right_of_the_labels_takes_no_line_of_the_values_below_it() {
        let lines = [
            (200.0, -200.0, "题项题项"),
            (220.0, -150.0, "副本"),
            (0.0, 0.0, "甲项项"),
            (230.0, 0.0, "一"),
            (0.0, 60.0, "乙项项"),
            (230.0, 60.0, "二三"),
            (230.0, 90.0, "四五"),
        ];
        const LABELS: [Label; 4] = [
            Label { name: "a", words: &["甲项项"], inline: false },
            Label { name: "b", words: &["乙项项"], inline: false },
            Label { name: "-title", words: &["题项题项"], inline: false },
            Label { name: "-copy", words: &["副本"], inline: false },
        ];
        let values = page(&lines).values(&LABELS);
        assert_eq!(["a", "b"].map(|name| plain(&values[name])), ["一", "二三四五"]);
    }

    #[test]
    fn the_first_line_stays_with_its_value_where_the_label_stands_beside_a_later_one() {
        let lines = [
            (0.0, 0.0, "甲项"),
            (80.0, 0.0, "一"),
            (80.0, 60.0, "二"),
            (80.0, 88.0, "三"),
            (0.0, 116.0, "乙项"),
            (80.0, 116.0, "四"),
            (80.0, 144.0, "五"),
        ];
        assert_eq!(read(&lines), ["a=一", "b=二三四五"]);
    }

    #[test]
    fn stray_text_is_left_out_and_an_empty_label_stays_empty() {
        let lines =
            [(80.0, -200.0, "题"), (0.0, 0.0, "甲项"), (80.0, 0.0, "一"), (0.0, 60.0, "乙项"), (0.0, 120.0, "丙项"), (80.0, 120.0, "二")];
        assert_eq!(read(&lines), ["a=一", "b=", "c=二"]);
    }
}
