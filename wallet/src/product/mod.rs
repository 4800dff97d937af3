//! Payment products (支付产品): how an order's money is collected, charged, held, divided and settled, as data.
//!
//! A product is a file. A process reads its folder when it starts and refuses one mistake with all sentences ([`Catalogue::try_new`]); then the
//! content is published ([`Products::publish`]): the same content keeps its version, another one is the next, and none is ever changed (the
//! application has no such right). An order freezes code, version and the terms it needs ([`terms::freeze`]), so that neither the
//! making of an order nor a payment reads a product from the database.

pub mod ability;
mod repo;
pub mod rules;
mod sentence;
pub mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

pub use ability::{Product, STORE_PAYMENT};
pub use rules::{Mistake, Mistakes};
pub use sentence::sentences;
pub use terms::{Frozen, Terms};

use crate::base::clock::Clock;
use crate::base::db;

/// Times that a version is tried again when another process took its number.
const PUBLISH_TRIES: usize = 8;

/// Products without a mistake, each code once, the plain store payment among them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catalogue(Vec<Product>);

impl Catalogue {
    /// Takes what was read: each file's name with its product, or with why it could not be read.
    ///
    /// # Errors
    /// Every mistake there is.
    pub fn try_new(files: Vec<(String, Result<Product, String>)>) -> Result<Self, Mistakes> {
        let mut found = Vec::new();
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut products = Vec::new();
        if files.len() > rules::PRODUCTS_MAX {
            let what = format!("has {} products, which is more than {}", files.len(), rules::PRODUCTS_MAX);
            found.push(Mistake { file: "the folder".to_owned(), field: String::new(), what });
        }
        let unreadable = files.iter().any(|(_, product)| product.is_err());
        for (file, product) in files {
            match product {
                Err(what) => found.push(Mistake { file, field: String::new(), what: format!("cannot be read: {what}") }),
                Ok(product) => {
                    found.extend(rules::mistakes(&file, &product));
                    if let Some(first) = seen.insert(product.code.clone(), file.clone()) {
                        found.push(Mistake { file, field: "code".to_owned(), what: format!("{} stands in {first} already", product.code) });
                    }
                    products.push(product);
                }
            }
        }
        if !seen.contains_key(STORE_PAYMENT) && !unreadable {
            let what = format!("has no product {STORE_PAYMENT}, which orders without a productCode get");
            found.push(Mistake { file: "the folder".to_owned(), field: String::new(), what });
        }
        if found.is_empty() { Ok(Self(products)) } else { Err(Mistakes(found)) }
    }
}

/// A product as it stands under a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    pub version: i32,
    pub product: Product,
    pub published_at: DateTime<Utc>,
}

/// The products that a process sells, in memory.
///
/// The default knows the plain store payment alone, as it was before there were products.
#[derive(Clone, Default, Debug)]
pub struct Products {
    sold: Arc<BTreeMap<String, Published>>,
    db: Option<PgPool>,
}

impl Products {
    /// Stores what is new of a catalogue and sells it. Two processes that begin at once with the same content come to the same versions.
    pub async fn publish(db: &PgPool, catalogue: Catalogue) -> sqlx::Result<Self> {
        let bodies: Vec<Body> = catalogue.0.iter().map(Body::of).collect();
        for _ in 0..PUBLISH_TRIES {
            repo::insert(db, &bodies, Clock::wall()).await?;
            let versions = repo::versions(db, &bodies).await?;
            if versions.len() == bodies.len() {
                let sold = catalogue.0.into_iter().filter_map(|product| {
                    let &(version, published_at) = versions.get(&product.code)?;
                    Some((product.code.clone(), Published { version, product, published_at }))
                });
                return Ok(Self { sold: Arc::new(sold.collect()), db: Some(db.clone()) });
            }
        }
        Err(sqlx::Error::PoolTimedOut)
    }

    /// What is sold under a code now.
    pub fn find(&self, code: &str) -> Option<&Published> {
        self.sold.get(code)
    }

    /// All that are sold now, by code.
    pub fn sold(&self) -> impl Iterator<Item = &Published> {
        self.sold.values()
    }

    /// Every version there ever was of what is sold now, newest first.
    pub async fn versions(&self) -> Result<Vec<Published>, ProductError> {
        let Some(db) = &self.db else { return Ok(Vec::new()) };
        let codes: Vec<String> = self.sold.keys().cloned().collect();
        let rows = db::retrying(db::retryable, || repo::history(db, &codes)).await?;
        rows.into_iter()
            .map(|row| {
                let product =
                    serde_json::from_str(&row.body).map_err(|_| ProductError::Unreadable { code: row.code, version: row.version })?;
                Ok(Published { version: row.version, product, published_at: row.published_at })
            })
            .collect()
    }
}

/// The kind of a marketing event as events carry it. Each name is kept for the life of the process: they come from published products, which
/// are few and were checked.
pub(crate) fn hook(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

/// Why products cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    #[error("version {version} of the product {code} is not one that this program can read")]
    Unreadable { code: String, version: i32 },
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}

/// A product as it is stored: JSON with its fields in the order of their declaration, and the digest of that.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Body {
    code: String,
    text: String,
    digest: [u8; 32],
}

impl Body {
    fn of(product: &Product) -> Self {
        let text = serde_json::to_string(product).expect("a product is plain data and serialises");
        let digest = *digest(&SHA256, text.as_bytes()).as_ref().first_chunk().expect("a SHA-256 has 32 bytes");
        Self { code: product.code.clone(), text, digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_payment() -> Product {
        serde_json::from_value(serde_json::json!({
            "code": STORE_PAYMENT, "name": "门店收款", "settle": "T1",
            "collect": {"methods": ["PAGE"], "amount_minor_min": 1, "amount_minor_max": 100, "pay_within_min": 30},
            "fee": {"rate": "CONTRACT", "bearer": "MERCHANT"},
        }))
        .unwrap()
    }

    #[test]
    fn a_folder_tells_all_its_mistakes_at_once() {
        let good = store_payment();
        let bad = Product { name: String::new(), ..good.clone() };
        let files = vec![
            ("a.toml".to_owned(), Ok(good.clone())),
            ("b.toml".to_owned(), Err("expected `=` in line 3".to_owned())),
            ("c.toml".to_owned(), Ok(bad)),
        ];
        assert_eq!(
            Catalogue::try_new(files).unwrap_err().to_string(),
            "b.toml cannot be read: expected `=` in line 3; c.toml: name has not 1 to 32 characters without control characters; \
             c.toml: code STORE_PAYMENT stands in a.toml already"
        );
        assert_eq!(
            Catalogue::try_new(Vec::new()).unwrap_err().to_string(),
            "the folder has no product STORE_PAYMENT, which orders without a productCode get"
        );
        assert_eq!(Catalogue::try_new(vec![("a.toml".to_owned(), Ok(good.clone()))]), Ok(Catalogue(vec![good])));
    }

    #[test]
    fn the_same_content_has_the_same_digest_and_another_one_another() {
        let product = store_payment();
        let mut other = product.clone();
        other.fee.minor_min = 1;
        assert_eq!(Body::of(&product), Body::of(&product.clone()));
        assert_ne!(Body::of(&product).digest, Body::of(&other).digest);
    }
}
