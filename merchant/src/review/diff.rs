//! Where a typed value and a read one differ, character by character, as the comparison folds them: width, variants and case do not count. Pure.

use std::collections::BTreeSet;

use ai::document::text;

/// Past this many characters the table is not worth its memory: the values are then told apart as wholes.
const CHARS_MAX: usize = 600;
/// Further apart than this is no near miss that a figure would help with.
const EDITS_MAX: usize = 99;

/// Where two values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDiff {
    /// Positions of differing characters in the typed value, from 0.
    pub typed: Vec<u32>,
    /// The same in the read value.
    pub read: Vec<u32>,
    /// How many characters must be put in, taken out or replaced to make one of the other; at most 100.
    pub edits: u32,
}

impl FieldDiff {
    /// Compares two values.
    pub fn of(typed: &str, read: &str) -> Self {
        let (left, right) = (folded(typed), folded(read));
        let text_of = |side: &[(u32, char)]| side.iter().map(|(_, c)| *c).collect::<String>();
        if left.len() > CHARS_MAX || right.len() > CHARS_MAX {
            let same = left.iter().map(|(_, c)| c).eq(right.iter().map(|(_, c)| c));
            let all = |side: &[(u32, char)]| if same { Vec::new() } else { side.iter().map(|(at, _)| *at).collect() };
            return Self { typed: all(&left), read: all(&right), edits: if same { 0 } else { EDITS_MAX as u32 + 1 } };
        }
        let edits = text::distance(&text_of(&left), &text_of(&right), EDITS_MAX) as u32;
        let (kept_left, kept_right) = common(&left, &right);
        let rest = |side: &[(u32, char)], kept: &BTreeSet<usize>| {
            side.iter().enumerate().filter(|(at, _)| !kept.contains(at)).map(|(_, (place, _))| *place).collect()
        };
        Self { typed: rest(&left, &kept_left), read: rest(&right, &kept_right), edits }
    }
}

/// The characters that count, each with its place in the value as it is shown.
fn folded(value: &str) -> Vec<(u32, char)> {
    let places = value.chars().enumerate();
    places.filter_map(|(at, c)| Some((u32::try_from(at).ok()?, text::fold(c)?.to_ascii_uppercase()))).collect()
}

/// The indices of one longest common subsequence on either side.
fn common(left: &[(u32, char)], right: &[(u32, char)]) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let width = right.len() + 1;
    let mut longest = vec![0u16; (left.len() + 1) * width];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            longest[i * width + j] = if left[i].1 == right[j].1 {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut kept_left, mut kept_right) = (BTreeSet::new(), BTreeSet::new());
    let (mut i, mut j) = (0, 0);
    while i < left.len() && j < right.len() {
        if left[i].1 == right[j].1 {
            kept_left.insert(i);
            kept_right.insert(j);
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    (kept_left, kept_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_places_and_edits() {
        type Case = (&'static str, &'static str, &'static [u32], &'static [u32], u32);
        let cases: [Case; 9] = [
            ("王样本", "王样木", &[2], &[2], 1),
            ("110101199001011237", "11010119900101123X", &[17], &[17], 1),
            ("杭州样本公司", "杭州样本有限公司", &[], &[4, 5], 2),
            ("１２３ａ（一）", "123A(一)", &[], &[], 0),
            ("張三", "张三", &[], &[], 0),
            ("张 三", "张三丰", &[], &[2], 1),
            ("张  四", "张三", &[3], &[1], 1),
            ("", "读到", &[], &[0, 1], 2),
            ("", "", &[], &[], 0),
        ];
        for (typed, read, left, right, edits) in cases {
            assert_eq!(FieldDiff::of(typed, read), FieldDiff { typed: left.to_vec(), read: right.to_vec(), edits }, "{typed} {read}");
        }
    }

    #[test]
    fn values_too_long_to_compare_differ_as_wholes_unless_equal() {
        let long = "字".repeat(700);
        assert_eq!(FieldDiff::of(&long, &long).edits, 0);
        let diff = FieldDiff::of(&long, &format!("{long}尾"));
        assert_eq!((diff.typed.len(), diff.read.len(), diff.edits), (700, 701, 100));
    }
}
