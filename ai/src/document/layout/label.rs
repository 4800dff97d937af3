//! Labels as papers print them, where they stand on a page, and how far a piece of text is from where a label's value stands.

use super::{Piece, Placed, SAME_ROW};
use crate::document::text;

/// A gap wider than this share of the height separates a label from the text before it.
const LABEL_GAP: f32 = 0.45;
/// Letters of a label that is set wide stand at most this many heights apart.
const LABEL_SPREAD_MAX: f32 = 6.0;
/// A label of at least this many characters may have one wrong.
const FUZZY_CHARS_MIN: usize = 4;

/// A label as documents print it.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// The field its text is for; a name that is no field ends the field above.
    pub name: &'static str,
    pub words: &'static [&'static str],
    /// Whether it may follow another value without a gap (性别男民族汉).
    pub inline: bool,
}

impl Label {
    pub const fn new(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words, inline: false }
    }

    pub const fn inline(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words, inline: true }
    }
}

/// A label on the page.
#[derive(Clone, Debug)]
pub struct FoundLabel {
    pub name: &'static str,
    pub left: f32,
    pub right: f32,
    pub y: f32,
    pub height: f32,
}

impl FoundLabel {
    fn new(label: &Label, run: &[Placed]) -> Self {
        let count = run.len().max(1) as f32;
        Self {
            name: label.name,
            left: run.iter().map(|p| p.left).fold(f32::MAX, f32::min),
            right: run.iter().map(|p| p.right).fold(f32::MIN, f32::max),
            y: run.iter().map(|p| p.y).sum::<f32>() / count,
            height: run.iter().map(|p| p.height).fold(f32::MIN, f32::max),
        }
    }
}

/// A value stands at most this many heights right of its label, or below it; two lines fit between.
const BESIDE_MAX: f32 = 12.0;
const BELOW_MAX: f32 = 3.6;
/// Lines of a label in one cell follow each other within this many heights.
const LABEL_LINES: f32 = 2.0;

impl FoundLabel {
    /// Whether `next` is another line of this label: right below it, over the same stretch.
    fn goes_on(&self, next: &Self) -> bool {
        let height = self.height.max(next.height);
        let below = next.y - self.y;
        let over = next.left < self.right && next.right > self.left;
        over && below > height * SAME_ROW && below < height * LABEL_LINES
    }

    /// How far a piece is from where the label's value stands, in heights: right of it, or below it with the same left edge.
    pub(super) fn distance(&self, piece: &Piece) -> Option<f32> {
        let height = self.height.max(piece.height()).max(1.0);
        let (across, down) = ((piece.left() - self.right) / height, (piece.y() - self.y) / height);
        if down.abs() < SAME_ROW + 0.1 && across > -0.6 {
            return (across < BESIDE_MAX).then_some(across.max(0.0) * 0.35 + down.abs());
        }
        let offset = (piece.left() - self.left) / height;
        let over = piece.left() < self.right + height * 2.0 && piece.right() > self.left - height;
        (over && (0.4..BELOW_MAX).contains(&down) && offset > -2.5).then_some(down + offset.abs() * 0.4)
    }

    fn join(&mut self, next: &Self) {
        self.left = self.left.min(next.left);
        self.right = self.right.max(next.right);
        self.y = (self.y + next.y) / 2.0;
    }
}

/// A label that may stand at some place of a row.
pub(super) struct Candidate<'a> {
    label: &'a Label,
    pub length: usize,
    exact: bool,
    /// Whether the word is only the second line of its label.
    tail: bool,
}

/// Takes the label, or joins it to its first line; its index, or `None` when it stands elsewhere already.
pub(super) fn take(found: &mut Vec<FoundLabel>, row: &[Placed], candidate: &Candidate<'_>) -> Option<usize> {
    let new = FoundLabel::new(candidate.label, &row[..candidate.length]);
    match found.iter().position(|known| known.name == new.name) {
        None if candidate.tail => None,
        // What is no field's label ends the value before it wherever it stands.
        Some(_) if new.name.starts_with('-') => {
            found.push(new);
            Some(found.len() - 1)
        }
        None => {
            found.push(new);
            Some(found.len() - 1)
        }
        Some(first) if candidate.tail && found[first].goes_on(&new) => {
            found[first].join(&new);
            Some(first)
        }
        Some(_) => None,
    }
}

/// The labels whose words stand at this place, the longest first. A word that begins with `+` is a second line.
pub(super) fn labels_at<'a>(row: &[Placed], at: usize, labels: &'a [Label]) -> Vec<Candidate<'a>> {
    let here = row[at];
    let open = match at.checked_sub(1).map(|before| row[before]) {
        None => true,
        // a speck before the first label of a row
        Some(before) if at == 1 && matches!(before.character, '.' | ',' | '\'' | '-' | '·') => true,
        Some(before) => before.line != here.line || before.character == ':' || here.left - before.right > here.height * LABEL_GAP,
    };
    let mut candidates: Vec<Candidate<'a>> = labels
        .iter()
        .filter(|label| open || label.inline)
        .flat_map(|label| label.words.iter().map(move |word| (label, word)))
        .filter_map(|(label, word)| {
            let tail = word.starts_with('+');
            let (length, exact) = matched(&row[at..], word.trim_start_matches('+'))?;
            // Behind another value only a label of several characters begins, and only one that is surely read.
            (open || exact && length > 1).then_some(Candidate { label, length, exact, tail })
        })
        .collect();
    candidates.sort_by_key(|candidate| (std::cmp::Reverse(candidate.length), !candidate.exact));
    candidates
}

/// How many characters of the row the word takes, and whether it stands there exactly.
fn matched(row: &[Placed], word: &str) -> Option<(usize, bool)> {
    let count = word.chars().count();
    if matches(row, word) {
        return Some((count, row.iter().zip(word.chars()).all(|(placed, c)| placed.character.to_ascii_uppercase() == c)));
    }
    // A character of a long label was missed.
    let short: String = row.iter().take(count - 1).map(|p| p.character.to_ascii_uppercase()).collect();
    let near = row.iter().take(count - 1).zip(row.iter().skip(1)).all(|(a, b)| b.left - a.right < a.height * LABEL_SPREAD_MAX);
    let first = row.first().map(|p| p.character) == word.chars().next();
    (count > FUZZY_CHARS_MIN && first && near && text::distance(&short, word, 1) == 1 && row.len() >= count - 1)
        .then_some((count - 1, false))
}

fn matches(row: &[Placed], word: &str) -> bool {
    let count = word.chars().count();
    if row.len() < count {
        return false;
    }
    let wrong = row.iter().zip(word.chars()).filter(|(placed, c)| placed.character.to_ascii_uppercase() != *c).count();
    // One character that may as well be the label's own, in its own line: 生(坐)落.
    if wrong == 1 && count > 1 && count < FUZZY_CHARS_MIN {
        let doubted = row.iter().zip(word.chars()).all(|(placed, c)| placed.character == c || placed.alternatives.contains(&Some(c)));
        let alone =
            row[..count].iter().all(|placed| placed.line == row[0].line) && row.get(count).is_none_or(|next| next.line != row[0].line);
        return doubted && alone;
    }
    // One character of a label that is set wide, its other one missed: only when nothing else stands in its line.
    if count == 1 && row.get(1).is_some_and(|next| next.line == row[0].line) {
        return false;
    }
    // What stands in several boxes is read exactly: 房号 and 结构 side by side are no misread 房屋结构.
    if wrong > 0 && row[..count].iter().any(|placed| placed.line != row[0].line) {
        return false;
    }
    // AUTHORITIES is no misread AUTHORITY.
    let goes_on = row.get(count).is_some_and(|next| next.line == row[0].line && next.character.is_ascii_alphabetic());
    if wrong > 0 && goes_on && word.is_ascii() {
        return false;
    }
    let near = row[..count].windows(2).all(|pair| pair[1].left - pair[0].right < pair[0].height * LABEL_SPREAD_MAX);
    near && wrong <= usize::from(count >= FUZZY_CHARS_MIN)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Page, plain,
            testing::{line, page},
        },
        *,
    };

    const LABELS: [Label; 2] = [Label::new("number", &["公民身份号码"]), Label::new("name", &["姓名"])];

    fn value(row: &str) -> Option<String> {
        page(&[(0.0, 0.0, row)]).values(&LABELS).into_iter().map(|(name, run)| format!("{name} {}", plain(&run))).next()
    }

    #[test]
    fn a_long_label_may_have_one_character_wrong_or_missed_and_a_short_one_none() {
        for (row, expected) in [
            ("公民身份号码:123", Some("number 123")),
            ("公民身价号码:123", Some("number 123")),
            ("公民身份号玛:123", Some("number 123")),
            ("公民身份码:123", Some("number 123")),
            ("公民身价号玛:123", None),
            ("公民号码:123", None),
            ("姓名:张三", Some("name 张三")),
            ("姓各:张三", None),
        ] {
            assert_eq!(value(row).as_deref(), expected, "{row}");
        }
    }

    #[test]
    fn a_short_label_is_found_behind_a_speck_and_by_what_else_a_character_may_be() {
        assert_eq!(value(".姓名:张三").as_deref(), Some("name 张三"));
        assert_eq!(value("乙.姓名:张三"), None);
        let read = |also: &[char]| {
            let mut label = line(0.0, 0.0, 20.0, "姓各");
            label.glyphs[1].alternatives = also.iter().map(|c| (*c, 0.2)).collect();
            let values = Page::new(&[label, line(100.0, 0.0, 20.0, "张三")]).values(&LABELS);
            values.into_iter().map(|(name, run)| format!("{name} {}", plain(&run))).next()
        };
        assert_eq!(read(&['名']).as_deref(), Some("name 张三"));
        assert_eq!(read(&['客']), None);
    }

    #[test]
    fn a_word_that_goes_on_is_no_misread_label() {
        let labels = [Label::new("issuer", &["AUTHORITY"])];
        let found = |row: &str| page(&[(0.0, 0.0, row)]).values(&labels).len();
        assert_eq!(["Authority公安部", "Authoriiy公安部", "AuthorityMPS", "authoritiesofforeigncountries"].map(found), [1, 1, 1, 0]);
    }

    #[test]
    fn one_character_is_a_label_only_where_it_stands_alone() {
        let labels = [Label::inline("education", &["文化程度"]), Label::inline("occupation", &["职业", "业"])];
        let read = |lines: &[(f32, f32, &str)]| -> Vec<String> {
            page(lines).values(&labels).into_iter().map(|(name, run)| format!("{name} {}", plain(&run))).collect()
        };
        assert_eq!(read(&[(0.0, 0.0, "文化程度"), (100.0, 0.0, "高中毕业")]), ["education 高中毕业"]);
        assert_eq!(read(&[(0.0, 0.0, "业"), (60.0, 0.0, "教师")]), ["occupation 教师"]);
    }

    #[test]
    fn a_character_of_another_line_is_no_misread_character_of_the_label() {
        // 号 of the label is missed, and what stands beside begins a line of its own.
        for lines in [
            [(0.0, 0.0, "公民身份"), (100.0, 0.0, "王码")],
            [(0.0, 0.0, "公民房屋"), (100.0, 0.0, "号码")],
            [(0.0, 0.0, "公民房份"), (100.0, 0.0, "号码")],
        ] {
            assert_eq!(page(&lines).values(&LABELS).len(), 0, "{lines:?}");
        }
        assert_eq!(page(&[(0.0, 0.0, "公民身份"), (100.0, 0.0, "号码")]).values(&LABELS).len(), 1);
    }
}
