//! XML as the bank's messages need it, and no more: a root, under it named texts. What else XML can do is refused, whatever it means.
//!
//! No attributes, comments, sections, instructions, document types, own entities or deeper elements: what cannot be written cannot be
//! understood in two ways.

use super::wire::{Charset, Message, WireError};

/// The one root element.
const ROOT: &str = "BANKMSG";
/// Longest name and longest value, in characters.
const NAME_MAX: usize = 32;
const VALUE_MAX: usize = 2_048;
/// Most fields of a message.
const FIELDS_MAX: usize = 48;

const ENTITIES: [(&str, char); 5] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];

/// Writes a message.
pub fn write(message: &Message, charset: Charset) -> String {
    let mut text = format!("{}<{ROOT}>", declaration(charset));
    for (name, value) in message.fields() {
        text.push_str(&format!("<{name}>"));
        for c in value.chars() {
            match ENTITIES.iter().find(|(_, plain)| *plain == c) {
                Some((entity, _)) => text.push_str(entity),
                None => text.push(c),
            }
        }
        text.push_str(&format!("</{name}>"));
    }
    text.push_str(&format!("</{ROOT}>"));
    text
}

/// Reads a message in exactly the agreed form. White space stands between elements only.
pub fn read(text: &str, charset: Charset) -> Result<Message, WireError> {
    let inside = text.strip_prefix(&declaration(charset)).and_then(|t| t.trim_ascii().strip_prefix(&format!("<{ROOT}>")));
    let mut left = inside.and_then(|t| t.strip_suffix(&format!("</{ROOT}>"))).ok_or(WireError)?.trim_ascii_start();
    let mut message = Message::default();
    for _ in 0..=FIELDS_MAX {
        if left.is_empty() {
            return Ok(message);
        }
        let (name, rest) = left.strip_prefix('<').and_then(|t| t.split_once('>')).ok_or(WireError)?;
        if !plain(name) {
            return Err(WireError);
        }
        // the first tag that follows must be the field's own end: nothing lies inside a field but text
        let (value, rest) = rest.split_at(rest.find('<').ok_or(WireError)?);
        let rest = rest.strip_prefix("</").and_then(|t| t.strip_prefix(name)).and_then(|t| t.strip_prefix('>')).ok_or(WireError)?;
        if message.get(name).is_some() {
            return Err(WireError);
        }
        message.set(name, unescape(value)?);
        left = rest.trim_ascii_start();
    }
    Err(WireError)
}

fn declaration(charset: Charset) -> String {
    format!("<?xml version=\"1.0\" encoding=\"{}\"?>", charset.name())
}

/// Whether a name is one: upper-case letters, digits and underscores, a letter first.
fn plain(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn unescape(text: &str) -> Result<String, WireError> {
    let (mut value, mut left) = (String::with_capacity(text.len()), text);
    while let Some(at) = left.find('&') {
        let (before, rest) = left.split_at(at);
        let (entity, c) = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)).ok_or(WireError)?;
        value.push_str(before);
        value.push(*c);
        left = &rest[entity.len()..];
    }
    value.push_str(left);
    if value.chars().count() > VALUE_MAX || value.contains(char::is_control) { Err(WireError) } else { Ok(value) }
}
