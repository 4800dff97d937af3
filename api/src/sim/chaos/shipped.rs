//! The profiles that come with the program, and how one is named: by its name, or by the file somebody wrote.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};

use super::Active;
use super::file::{self, Mistakes};

/// The folder `profiles/`, in this binary.
const SHIPPED: [(&str, &str); 11] = [
    ("calm", include_str!("../../../../profiles/calm.toml")),
    ("slow", include_str!("../../../../profiles/slow.toml")),
    ("lossy", include_str!("../../../../profiles/lossy.toml")),
    ("duplicating", include_str!("../../../../profiles/duplicating.toml")),
    ("reordering", include_str!("../../../../profiles/reordering.toml")),
    ("lying", include_str!("../../../../profiles/lying.toml")),
    ("late", include_str!("../../../../profiles/late.toml")),
    ("bounce", include_str!("../../../../profiles/bounce.toml")),
    ("partial", include_str!("../../../../profiles/partial.toml")),
    ("storm", include_str!("../../../../profiles/storm.toml")),
    ("down", include_str!("../../../../profiles/down.toml")),
];

/// Their names.
pub const NAMES: [&str; SHIPPED.len()] = {
    let (mut names, mut n) = ([""; SHIPPED.len()], 0);
    while n < SHIPPED.len() {
        names[n] = SHIPPED[n].0;
        n += 1;
    }
    names
};

impl Active {
    /// A profile from its text, beginning now.
    pub fn read(name: &str, text: &str) -> Result<Self, Mistakes> {
        Ok(Self { name: name.to_owned(), text: text.to_owned(), profile: file::read(text)?, since: Instant::now() })
    }
}

/// A shipped profile.
pub fn named(name: &str) -> Option<Active> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Active::read(name, text).ok()
}

/// By the name of a shipped profile, or from a file, which has a slash or a dot.
pub fn load(profile: &str) -> anyhow::Result<Active> {
    if let Some(active) = named(profile) {
        return Ok(active);
    }
    if !profile.contains(['/', '.']) {
        bail!("there is no profile {profile}; name a file, or one of {}", NAMES.join(", "));
    }
    let text = std::fs::read_to_string(profile).with_context(|| format!("the profile {profile} cannot be read"))?;
    let name = Path::new(profile).file_stem().map_or_else(|| profile.to_owned(), |stem| stem.to_string_lossy().into_owned());
    Active::read(&name, &text).map_err(|mistakes| anyhow::anyhow!("the profile {profile} cannot be used:\n{mistakes}"))
}
