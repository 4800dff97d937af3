//! The shapes of machine lines: what may stand where, the digits that check it, and the only repair that makes them hold.

#![allow(clippy::single_range_in_vec_init, reason = "most check digits are over one stretch, the last over several")]

use std::ops::Range;

use crate::document::text;

/// What may stand at a position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Letter,
    Digit,
    /// Letters, digits and filler.
    Any,
    Sex,
    Filler,
    /// A check digit, or filler where what it checks is empty.
    DigitOrFiller,
}

/// The shape of one line, or of several joined: its alphabet from position to position, and the digits that check it.
pub(super) struct Shape {
    length: usize,
    alphabet: &'static [(Range<usize>, Alphabet)],
    checks: &'static [(&'static [Range<usize>], usize)],
}

pub(super) const TD3_SECOND: Shape = Shape {
    length: 44,
    alphabet: &[
        (0..9, Alphabet::Any),
        (9..10, Alphabet::Digit),
        (10..13, Alphabet::Letter),
        (13..20, Alphabet::Digit),
        (20..21, Alphabet::Sex),
        (21..28, Alphabet::Digit),
        (28..42, Alphabet::Any),
        (42..43, Alphabet::DigitOrFiller),
        (43..44, Alphabet::Digit),
    ],
    checks: &[(&[0..9], 9), (&[13..19], 19), (&[21..27], 27), (&[28..42], 42), (&[0..10, 13..20, 21..43], 43)],
};
/// The first and the second line joined.
pub(super) const TD1: Shape = Shape {
    length: 60,
    alphabet: &[
        (0..1, Alphabet::Letter),
        (1..2, Alphabet::Any),
        (2..5, Alphabet::Letter),
        (5..14, Alphabet::Any),
        (14..15, Alphabet::DigitOrFiller),
        (15..30, Alphabet::Any),
        (30..37, Alphabet::Digit),
        (37..38, Alphabet::Sex),
        (38..45, Alphabet::Digit),
        (45..48, Alphabet::Letter),
        (48..59, Alphabet::Any),
        (59..60, Alphabet::Digit),
    ],
    checks: &[(&[5..14], 14), (&[30..36], 36), (&[38..44], 44), (&[5..30, 30..37, 38..45, 48..59], 59)],
};
pub(super) const CARD: Shape = Shape {
    length: 30,
    alphabet: &[
        (0..2, Alphabet::Letter),
        (2..11, Alphabet::Any),
        (11..12, Alphabet::Digit),
        (12..13, Alphabet::Filler),
        (13..20, Alphabet::Digit),
        (20..21, Alphabet::Filler),
        (21..28, Alphabet::Digit),
        (28..29, Alphabet::Filler),
        (29..30, Alphabet::Digit),
    ],
    checks: &[(&[2..11], 11), (&[13..19], 19), (&[21..27], 27), (&[2..12, 13..20, 21..28], 29)],
};
/// Look-alikes whose values differ modulo ten, so that a check digit tells them apart (G and 6 do not).
const LOOK_ALIKES: [(u8, u8); 5] = [(b'O', b'0'), (b'I', b'1'), (b'S', b'5'), (b'B', b'8'), (b'Z', b'2')];
/// So many characters of filler may be lost or added.
const FILLER_LOST_MAX: usize = 14;
/// More swaps than this would find something in any line.
const SWAPS_MAX: usize = 2;

/// The check digit over the characters, weights 7 3 1; `None` for a character that cannot stand there.
pub fn check_digit(characters: &[u8]) -> Option<u8> {
    let mut sum = 0u32;
    for (&c, weight) in characters.iter().zip([7, 3, 1].into_iter().cycle()) {
        sum += weight
            * match c {
                b'<' => 0,
                b'0'..=b'9' => u32::from(c - b'0'),
                b'A'..=b'Z' => u32::from(c - b'A') + 10,
                _ => return None,
            };
    }
    Some(b'0' + (sum % 10) as u8)
}

/// The line in its shape with all checks holding, and whether more than reading by position was needed; `None` when there is no
/// such line or more than one.
pub(super) fn fit(read: &str, shape: &Shape) -> Option<(String, bool)> {
    let mut fitting: Vec<Vec<u8>> = Vec::new();
    for line in lengthened(read, shape.length) {
        let line = placed(&line, shape)?;
        if holds(&line, shape) && !fitting.contains(&line) {
            fitting.push(line);
        }
    }
    let as_read = read.len() == shape.length && fitting.len() == 1;
    if fitting.is_empty() {
        for line in lengthened(read, shape.length) {
            let line = placed(&line, shape)?;
            for line in swapped(&line, shape) {
                if holds(&line, shape) && !fitting.contains(&line) {
                    fitting.push(line);
                }
            }
        }
    }
    let [line] = fitting.as_slice() else { return None };
    let line = String::from_utf8(line.clone()).ok()?;
    let repaired = !as_read || line != read;
    Some((line, repaired))
}

/// The line read by position alone, where all its checks hold.
pub(super) fn exact(read: &str, shape: &Shape) -> Option<String> {
    let line = placed(read.as_bytes(), shape).filter(|line| line.len() == shape.length && holds(line, shape))?;
    String::from_utf8(line).ok()
}

/// The line with filler added to or taken from one run at a time until it is as long as it must be.
fn lengthened(read: &str, length: usize) -> Vec<Vec<u8>> {
    let read = read.as_bytes();
    if read.len() == length {
        return vec![read.to_vec()];
    }
    if read.len().abs_diff(length) > FILLER_LOST_MAX {
        return Vec::new();
    }
    let starts = (0..read.len()).filter(|&at| read[at] == b'<' && (at == 0 || read[at - 1] != b'<'));
    starts
        .filter_map(|start| {
            let run = read[start..].iter().take_while(|&&b| b == b'<').count();
            let wanted = (run + length).checked_sub(read.len())?;
            (wanted > 0).then(|| [&read[..start], &vec![b'<'; wanted], &read[start + run..]].concat())
        })
        .collect()
}

/// The line with each character in the alphabet of its place; `None` where none can be had.
fn placed(line: &[u8], shape: &Shape) -> Option<Vec<u8>> {
    let mut line = line.to_vec();
    for (range, alphabet) in shape.alphabet {
        for c in line.get_mut(range.clone())? {
            let character = char::from(*c);
            let put = match alphabet {
                Alphabet::Letter => text::as_letter(character),
                Alphabet::Digit => text::as_digit(character),
                Alphabet::DigitOrFiller if *c == b'<' => '<',
                Alphabet::DigitOrFiller => text::as_digit(character),
                Alphabet::Sex if matches!(character, 'M' | 'F' | 'X') => character,
                Alphabet::Sex | Alphabet::Filler => '<',
                Alphabet::Any => character,
            };
            *c = u8::try_from(put).ok()?;
        }
    }
    Some(line)
}

/// The line with one or two look-alikes swapped where both letters and digits may stand.
fn swapped(line: &[u8], shape: &Shape) -> Vec<Vec<u8>> {
    let free = shape.alphabet.iter().filter(|(_, alphabet)| *alphabet == Alphabet::Any).flat_map(|(range, _)| range.clone());
    let places: Vec<(usize, u8)> = free.filter_map(|at| Some((at, look_alike(line[at])?))).collect();
    let swap = |places: &[(usize, u8)]| {
        let mut line = line.to_vec();
        for (at, with) in places {
            line[*at] = *with;
        }
        line
    };
    let mut out = Vec::new();
    for (i, first) in places.iter().enumerate() {
        out.push(swap(&[*first]));
        if SWAPS_MAX > 1 {
            out.extend(places[i + 1..].iter().map(|second| swap(&[*first, *second])));
        }
    }
    out
}

fn look_alike(c: u8) -> Option<u8> {
    LOOK_ALIKES.iter().find_map(|(a, b)| if c == *a { Some(*b) } else { (c == *b).then_some(*a) })
}

pub(super) fn holds(line: &[u8], shape: &Shape) -> bool {
    shape.checks.iter().all(|(ranges, at)| {
        let checked: Vec<u8> = ranges.iter().flat_map(|range| line[range.clone()].iter().copied()).collect();
        let empty = checked.iter().all(|&c| c == b'<');
        check_digit(&checked) == Some(line[*at]) || (empty && line[*at] == b'<')
    })
}
