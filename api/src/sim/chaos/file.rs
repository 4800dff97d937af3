//! Reading a profile that somebody wrote: everything that is wrong with it at once, a sentence for each.
//!
//! What is more specific goes first, field by field: `[party.bank.answer.payout]`, then `[party.bank.answer]`, then `[answer.payout]`, then
//! `[answer]`.

use std::fmt;

use toml::{Table, Value};

use super::profile::{Down, Field, Outage, Profile, Resolved, Section, Span, TIME_MAX_MS, WHOLE_BPS};
use crate::sim::Party;

/// Longest sentence about a profile, in characters.
const ABOUT_MAX: usize = 200;

/// Most outages of one profile.
const DOWN_MAX: usize = 100;

/// A profile that cannot be used: a sentence for each mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Reads a profile.
pub fn read(text: &str) -> Result<Profile, Mistakes> {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => return Err(Mistakes(vec![unreadable(text, &error)])),
    };
    let mut reader = Reader { mistakes: Vec::new() };
    let profile = reader.profile(&table);
    if reader.mistakes.is_empty() { Ok(profile) } else { Err(Mistakes(reader.mistakes)) }
}

fn unreadable(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |at| text.get(..at.start).unwrap_or_default().matches('\n').count() + 1);
    format!("line {line} is no TOML: {}", error.message().lines().next().unwrap_or_default())
}

/// What is said of a party, a part, both or all, and where.
struct Layer<'v> {
    party: Option<Party>,
    part: Option<&'static str>,
    table: &'v Table,
}

struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn profile(&mut self, table: &Table) -> Profile {
        let mut profile = Profile::default();
        let (mut answers, mut notices, mut business) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in table {
            match key.as_str() {
                "about" => profile.about = self.about(value),
                "seed" => profile.seed = self.seed(value),
                "answer" => self.section::<super::profile::Answers>(key, None, value, &mut answers),
                "notice" => self.section::<super::profile::Notices>(key, None, value, &mut notices),
                "business" => self.section::<super::profile::Business>(key, None, value, &mut business),
                "party" => {
                    for (name, party, sections) in self.parties(value) {
                        for (key, value) in sections {
                            let at = format!("party.{name}.{key}");
                            match key.as_str() {
                                "answer" => self.section::<super::profile::Answers>(&at, Some(party), value, &mut answers),
                                "notice" => self.section::<super::profile::Notices>(&at, Some(party), value, &mut notices),
                                "business" => self.section::<super::profile::Business>(&at, Some(party), value, &mut business),
                                _ => self.wrong(format!("{at} is not known; a party has answer, notice and business")),
                            }
                        }
                    }
                }
                "down" => profile.down = self.down(value),
                _ => self.wrong(format!("{key} is not known; a profile has about, seed, answer, notice, business, party and down")),
            }
        }
        for key in ["about", "seed"] {
            if !table.contains_key(key) {
                self.wrong(format!("{key} is missing"));
            }
        }
        profile.answers = self.resolve(&answers);
        profile.notices = self.resolve(&notices);
        profile.business = self.resolve(&business);
        profile
    }

    fn wrong(&mut self, sentence: impl Into<String>) {
        self.mistakes.push(sentence.into());
    }

    fn about(&mut self, value: &Value) -> String {
        match value.as_str() {
            Some(text) if (1..=ABOUT_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control) => text.to_owned(),
            _ => {
                self.wrong(format!("about must be a sentence of 1 to {ABOUT_MAX} characters on one line"));
                String::new()
            }
        }
    }

    fn seed(&mut self, value: &Value) -> u64 {
        value.as_integer().and_then(|seed| u64::try_from(seed).ok()).unwrap_or_else(|| {
            self.wrong("seed must be a whole number of at least 0");
            0
        })
    }

    fn table<'v>(&mut self, at: &str, value: &'v Value) -> Option<&'v Table> {
        let table = value.as_table();
        if table.is_none() {
            self.wrong(format!("{at} must be a section, [{at}]"));
        }
        table
    }

    fn party(&mut self, at: &str, name: &str) -> Option<Party> {
        let party = Party::named(name);
        if party.is_none() {
            let known: Vec<_> = Party::ALL.iter().map(|p| p.name()).collect();
            self.wrong(format!("{at} names {name}, which is nobody; there are {}", known.join(", ")));
        }
        party
    }

    fn parties<'v>(&mut self, value: &'v Value) -> Vec<(&'v str, Party, &'v Table)> {
        let Some(parties) = self.table("party", value) else { return Vec::new() };
        let of = |(name, value): (&'v String, &'v Value)| {
            let party = self.party("party", name)?;
            Some((name.as_str(), party, self.table(&format!("party.{name}"), value)?))
        };
        parties.iter().filter_map(of).collect()
    }

    /// Checks a section with its parts, and adds what it says to `layers`.
    fn section<'v, S: Section>(&mut self, at: &str, party: Option<Party>, value: &'v Value, layers: &mut Vec<Layer<'v>>) {
        let Some(table) = self.table(at, value) else { return };
        layers.push(Layer { party, part: None, table });
        for (key, value) in table {
            let at = format!("{at}.{key}");
            match S::PARTS.iter().find(|part| **part == key.as_str()) {
                None => self.checked::<S>(&at, key, value),
                Some(&part) => {
                    let Some(table) = self.table(&at, value) else { continue };
                    layers.push(Layer { party, part: Some(part), table });
                    for (key, value) in table {
                        self.checked::<S>(&format!("{at}.{key}"), key, value);
                    }
                }
            }
        }
    }

    fn checked<S: Section>(&mut self, at: &str, key: &str, value: &Value) {
        match S::default().field(key) {
            Some(field) => {
                if let Err(must) = put(field, value) {
                    self.wrong(format!("{at} must be {must}"));
                }
            }
            None => {
                let parts = S::PARTS.iter().filter(|part| !part.is_empty()).map(|part| format!("[{}.{part}]", S::NAME));
                let known: Vec<_> = S::EITHER.iter().chain(S::OTHERS).map(|name| (*name).to_owned()).chain(parts).collect();
                self.wrong(format!("{at} is not known; there are {}", known.join(", ")));
            }
        }
    }

    /// Lays what is said over each other, the more specific on top, and sees that what excludes each other fits beside each other.
    fn resolve<S: Section>(&mut self, layers: &[Layer<'_>]) -> Resolved<S> {
        let mut resolved = Resolved::new();
        let mut told = false;
        for party in Party::ALL {
            for &part in S::PARTS {
                let mut section = S::default();
                for of in [(None, None), (None, Some(part)), (Some(party), None), (Some(party), Some(part))] {
                    for layer in layers.iter().filter(|layer| (layer.party, layer.part) == of) {
                        for (key, value) in layer.table {
                            // what does not fit was told already
                            _ = section.field(key).map(|field| put(field, value));
                        }
                    }
                }
                let share = |name: &&str| match section.field(name) {
                    Some(Field::Share(bps)) => *bps,
                    _ => 0,
                };
                let sum: u32 = S::EITHER.iter().map(share).sum();
                if sum > WHOLE_BPS && !told {
                    told = true;
                    let of = if part.is_empty() { String::new() } else { format!(".{part}") };
                    self.wrong(format!(
                        "{}{of} of {}: {} exclude each other and add up to {sum}, more than {WHOLE_BPS}",
                        S::NAME,
                        party.name(),
                        S::EITHER.join(", ")
                    ));
                }
                resolved.insert((party, part), section);
            }
        }
        resolved
    }

    fn down(&mut self, value: &Value) -> Vec<Down> {
        let Some(list) = value.as_array().filter(|list| list.len() <= DOWN_MAX) else {
            self.wrong(format!("down must be at most {DOWN_MAX} sections, [[down]]"));
            return Vec::new();
        };
        let mut downs = Vec::new();
        for (n, value) in list.iter().enumerate() {
            let at = format!("down {}", n + 1);
            let Some(table) = value.as_table() else {
                self.wrong(format!("{at} must be a section, [[down]]"));
                continue;
            };
            let mut down = Down { party: None, during: Span { from_ms: 0, to_ms: TIME_MAX_MS }, how: Outage::Reset };
            for (key, value) in table {
                match (key.as_str(), value) {
                    ("party", Value::String(name)) => down.party = self.party(&at, name),
                    ("during_ms", value) => {
                        if let Err(must) = put(Field::Span(&mut down.during), value) {
                            self.wrong(format!("{at}.during_ms must be {must}"));
                        }
                    }
                    ("how", Value::String(how)) if how == "reset" => down.how = Outage::Reset,
                    ("how", Value::String(how)) if how == "silence" => down.how = Outage::Silence,
                    ("how", Value::String(how)) if how == "busy" => down.how = Outage::Busy,
                    ("how", _) => self.wrong(format!("{at}.how must be reset, silence or busy")),
                    _ => self.wrong(format!("{at}.{key} is not known; an outage has party, during_ms and how")),
                }
            }
            downs.push(down);
        }
        downs
    }
}

/// Sets a field, or says what it must be.
fn put(field: Field<'_>, value: &Value) -> Result<(), String> {
    let whole =
        |value: &Value, from: u64, to: u64| value.as_integer().and_then(|n| u64::try_from(n).ok()).filter(|n| (from..=to).contains(n));
    match field {
        Field::Share(bps) => {
            let share = whole(value, 0, WHOLE_BPS.into()).and_then(|n| u32::try_from(n).ok());
            *bps = share.ok_or_else(|| format!("a share in basis points, 0 to {WHOLE_BPS}"))?;
        }
        Field::Count(count, from, to) => {
            let number = whole(value, from.into(), to.into()).and_then(|n| u32::try_from(n).ok());
            *count = number.ok_or_else(|| format!("a whole number from {from} to {to}"))?;
        }
        Field::Span(span) => {
            let times = value.as_array().and_then(|times| match times.as_slice() {
                [from, to] => {
                    let from_ms = whole(from, 0, TIME_MAX_MS)?;
                    Some(Span { from_ms, to_ms: whole(to, from_ms, TIME_MAX_MS)? })
                }
                _ => None,
            });
            *span = times.ok_or_else(|| format!("two times in milliseconds, from and to, of at most {TIME_MAX_MS}, such as [0, 250]"))?;
        }
    }
    Ok(())
}
