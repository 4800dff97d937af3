//! Payment products as files: the shipped ones (`products/*.toml`, built into the binary) or those of a folder.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use rust_embed::RustEmbed;
use wallet::product::{Catalogue, Product};

/// The files in the repository's folder `products`.
#[derive(RustEmbed)]
#[folder = "../products"]
struct Shipped;

/// Reads the products of a folder; an empty path is the shipped ones. Tells every mistake of every file at once.
pub fn load(dir: &Path) -> anyhow::Result<Catalogue> {
    let files = if dir.as_os_str().is_empty() { shipped() } else { of_folder(dir)? };
    let files = files.into_iter().map(|(name, text)| (name, product(&text))).collect();
    Catalogue::try_new(files).map_err(|mistakes| anyhow!("payment products of {}: {mistakes}", place(dir)))
}

fn place(dir: &Path) -> String {
    if dir.as_os_str().is_empty() { "the binary".to_owned() } else { dir.display().to_string() }
}

fn shipped() -> Vec<(String, String)> {
    let file = |name: std::borrow::Cow<'static, str>| {
        let file = Shipped::get(&name)?;
        Some((name.into_owned(), String::from_utf8_lossy(&file.data).into_owned()))
    };
    Shipped::iter().filter(|name| name.ends_with(".toml")).filter_map(file).collect()
}

/// The TOML files of a folder, in the order of their names.
fn of_folder(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let unreadable = || format!("the folder {} named by products.dir cannot be read", dir.display());
    let mut files = Vec::new();
    for entry in dir.read_dir().with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let (Some(name), true) = (path.file_name(), path.extension().is_some_and(|ending| ending == "toml")) else { continue };
        let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        files.push((name.display().to_string(), text));
    }
    files.sort_unstable();
    Ok(files)
}

fn product(text: &str) -> Result<Product, String> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text.get(..span.start).map_or(0, |before| before.matches('\n').count()));
        format!("line {line}: {}", error.message())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_products_are_without_a_mistake() {
        load(Path::new("")).unwrap();
        let mut names: Vec<String> = shipped().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["agent_commission.toml", "deposit_to_commission.toml", "renovation_stages.toml", "rent.toml", "store_payment.toml"]
        );
    }

    #[test]
    fn a_file_that_is_no_product_is_told_with_its_line() {
        let (_, good) = shipped().into_iter().find(|(name, _)| name == "store_payment.toml").unwrap();
        assert!(product(&good).is_ok());
        assert_eq!(product(&good.replace("bearer", "baerer")).unwrap_err().split(',').next().unwrap(), "line 14: unknown field `baerer`");
        assert!(product("code = ").unwrap_err().starts_with("line 1: "));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = load(Path::new("/nowhere/products")).unwrap_err().to_string();
        assert_eq!(error, "the folder /nowhere/products named by products.dir cannot be read");
    }
}
