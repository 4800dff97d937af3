//! What the classes of a recognition model stand for. The list is inside the ONNX file, as metadata; it is read here, without any
//! runtime, so that every runtime decodes with the same one.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{document::text, error::EngineError};

/// The metadata key under which the recognition model carries its classes, one a line.
const KEY: &[u8] = b"character";
/// `ModelProto.metadata_props` and, inside an entry, `key` and `value`; from the ONNX format's definition (onnx.proto).
const METADATA_FIELD: u64 = 14;
const KEY_FIELD: u64 = 1;
const VALUE_FIELD: u64 = 2;
/// Fewer classes than this is another model's list.
const CLASSES_MIN: usize = 1000;

/// Which characters a reading may consist of. A code that is read again with its own alphabet cannot hold a letter that the code
/// does not have, so `O` for `0` and a traditional form for a simplified one do not arise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Charset {
    Any,
    Digits,
    /// Digits and the X of a resident number's check character (GB 11643).
    IdNumber,
    /// Capital letters, digits and the filler `<` (ICAO Doc 9303 part 3).
    Mrz,
    /// Capital letters without I, O, S, V, Z, and digits (GB 32100).
    CreditCode,
    /// Capital letters and digits.
    Alphanumeric,
    /// Digits, the marks and the words that dates and spans of validity are written with.
    Date,
}

impl Charset {
    pub fn has(self, character: char) -> bool {
        match self {
            Self::Any => true,
            Self::Digits => character.is_ascii_digit(),
            Self::IdNumber => character.is_ascii_digit() || character == 'X',
            Self::Mrz => character.is_ascii_digit() || character.is_ascii_uppercase() || character == '<',
            Self::CreditCode => character.is_ascii_digit() || (character.is_ascii_uppercase() && !"IOSVZ".contains(character)),
            Self::Alphanumeric => character.is_ascii_digit() || character.is_ascii_uppercase(),
            Self::Date => character.is_ascii_digit() || "./-—–至年月日长期".contains(character),
        }
    }
}

/// The classes of one recognition model.
#[derive(Debug)]
pub struct Dictionary {
    /// Class 0, the blank, is not in it: class `n` is `characters[n - 1]`.
    characters: Vec<char>,
    /// For classes that some other class is only another form of (廈 and 厦, full and half width): all of them.
    alike: HashMap<usize, Vec<usize>>,
    masks: Mutex<HashMap<Charset, std::sync::Arc<[usize]>>>,
}

impl Dictionary {
    pub fn new(characters: Vec<char>) -> Self {
        let mut by_form: HashMap<Option<char>, Vec<usize>> = HashMap::new();
        for (at, character) in characters.iter().enumerate() {
            by_form.entry(text::fold(*character)).or_default().push(at + 1);
        }
        let groups = by_form.into_values().filter(|group| group.len() > 1);
        let alike = groups.flat_map(|group| group.clone().into_iter().map(move |class| (class, group.clone()))).collect();
        Self { characters, alike, masks: Mutex::default() }
    }

    /// Reads the list out of a recognition model.
    pub fn of_model(path: &Path) -> Result<Self, EngineError> {
        let bytes = std::fs::read(path).map_err(|source| EngineError::Read { path: path.to_owned(), source })?;
        let text = metadata(&bytes, KEY).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        // Some classes are a base with a combining mark; the base is what our documents need.
        let mut classes: Vec<char> = text.lines().filter_map(|line| line.chars().next()).collect();
        if classes.len() < CLASSES_MIN || classes.len() != text.lines().count() {
            return Err(EngineError::Dictionary { path: path.to_owned() });
        }
        classes.push(' ');
        Ok(Self::new(classes))
    }

    /// How many classes there are, the blank included.
    pub fn classes(&self) -> usize {
        self.characters.len() + 1
    }

    pub fn character(&self, class: usize) -> char {
        self.characters[class - 1]
    }

    /// How sure `scores` are of the class: what is divided over forms of one character counts together, because every
    /// comparison folds them.
    pub fn confidence(&self, class: usize, scores: &[f32]) -> f32 {
        match self.alike.get(&class) {
            Some(forms) => forms.iter().map(|&form| scores[form]).sum(),
            None => scores[class],
        }
    }

    /// Whether two classes are forms of one character.
    pub fn are_alike(&self, a: usize, b: usize) -> bool {
        a == b || self.alike.get(&a).is_some_and(|forms| forms.contains(&b))
    }

    /// The classes that a reading with `charset` may use, the blank first.
    pub fn allowed(&self, charset: Charset) -> std::sync::Arc<[usize]> {
        let mut masks = self.masks.lock().unwrap_or_else(PoisonError::into_inner);
        let list = || {
            let classes = self.characters.iter().enumerate().filter(|(_, character)| charset.has(**character)).map(|(at, _)| at + 1);
            std::iter::once(0).chain(classes).collect()
        };
        masks.entry(charset).or_insert_with(list).clone()
    }
}

/// The value of a metadata entry of an ONNX file (a protobuf message), without looking into its graph.
fn metadata<'a>(model: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = model;
    while let Some((field, value, after)) = next_field(rest) {
        if field == METADATA_FIELD {
            let (mut name, mut held, mut entry) = (None, None, value?);
            while let Some((field, value, after)) = next_field(entry) {
                match field {
                    KEY_FIELD => name = value,
                    VALUE_FIELD => held = value,
                    _ => {}
                }
                entry = after;
            }
            if name == Some(key) {
                return held;
            }
        }
        rest = after;
    }
    None
}

/// A protobuf field: its number, its bytes when it has a length, and what follows.
type ProtobufField<'a> = (u64, Option<&'a [u8]>, &'a [u8]);

fn next_field(bytes: &[u8]) -> Option<ProtobufField<'_>> {
    let (tag, rest) = varint(bytes)?;
    let field = tag >> 3;
    match tag & 7 {
        0 => varint(rest).map(|(_, after)| (field, None, after)),
        1 => rest.get(8..).map(|after| (field, None, after)),
        2 => {
            let (length, rest) = varint(rest)?;
            let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((field, Some(value), after))
        }
        5 => rest.get(4..).map(|after| (field, None, after)),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_found_behind_a_graph_and_not_in_a_cut_off_file() {
        // Field 7 (the graph, five bytes), then two entries of field 14.
        let entry = |key: &str, value: &str| {
            let inner = [&[0x0A, key.len() as u8], key.as_bytes(), &[0x12, value.len() as u8], value.as_bytes()].concat();
            [&[0x72, inner.len() as u8], inner.as_slice()].concat()
        };
        let model = [&[0x08, 0x07, 0x3A, 5, 1, 2, 3, 4, 5][..], &entry("other", "x"), &entry("character", "甲\n乙")].concat();
        assert_eq!(metadata(&model, KEY), Some("甲\n乙".as_bytes()));
        assert_eq!(metadata(&model, b"absent"), None);
        for end in 0..model.len() {
            assert_eq!(metadata(&model[..end], KEY), None, "cut to {end} bytes");
        }
    }

    #[test]
    fn a_charset_allows_its_alphabet_and_the_blank() {
        let dictionary = Dictionary::new(vec!['0', '9', 'X', 'O', '<', '甲', ' ']);
        assert_eq!(&*dictionary.allowed(Charset::IdNumber), [0, 1, 2, 3]);
        assert_eq!(&*dictionary.allowed(Charset::Mrz), [0, 1, 2, 3, 4, 5]);
        assert_eq!(&*dictionary.allowed(Charset::CreditCode), [0, 1, 2, 3]);
        assert_eq!(dictionary.allowed(Charset::Any).len(), dictionary.classes());
    }
}
