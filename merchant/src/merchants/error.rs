//! Why a merchant or store could not be read or changed.

use wallet::base::actor::Forbidden;

use crate::line::BadLine;
use crate::vault::VaultError;

#[derive(Debug, thiserror::Error)]
pub enum MerchantError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Missing, or somebody else's: the caller cannot tell which.
    #[error("there is no such merchant or store")]
    NotFound,
    #[error(transparent)]
    Line(#[from] BadLine),
    /// Stores are opened once the merchant is signed (签约).
    #[error("the merchant is not signed yet")]
    NotSigned,
    #[error("the merchant has a store of this name")]
    StoreNameTaken,
    #[error("the merchant has {max} stores already")]
    TooManyStores { max: i64 },
    #[error("the settlement account does not open")]
    Vault(#[from] VaultError),
    #[error("could not reach the database")]
    Database(#[from] sqlx::Error),
}
