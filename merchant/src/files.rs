//! The file store (影像库): images of papers, sealed by the vault, under random keys, in any store that object_store reaches.
//! A file is written before the row that names it; a crash between leaves a sealed file that no row names, never a row without its file.

use std::path::Path as FolderPath;
use std::sync::Arc;

use aws_lc_rs::rand;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::vault::{Place, Vault, VaultError};

/// Sealed files by key. Clones share the store.
#[derive(Clone, Debug)]
pub struct FileStore {
    store: Arc<dyn ObjectStore>,
    vault: Vault,
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the file does not open")]
    Vault(#[from] VaultError),
    #[error("could not reach the file store")]
    Store(#[from] object_store::Error),
    #[error("could not create the folder of the file store")]
    Folder(#[from] std::io::Error),
    #[error("the machine gave no random bytes")]
    Random,
}

impl FileStore {
    /// A store over anything object_store reaches.
    pub fn new(store: Arc<dyn ObjectStore>, vault: Vault) -> Self {
        Self { store, vault }
    }

    /// A store in a local folder, which is created when missing. Each file is on disk (fsync) before `put` returns.
    pub fn local(folder: &FolderPath, vault: Vault) -> Result<Self, FileError> {
        std::fs::create_dir_all(folder)?;
        Ok(Self::new(Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true)), vault))
    }

    /// A fresh random key: it says nothing of what lies under it, and cannot be guessed.
    pub fn new_key() -> Result<String, FileError> {
        let mut random = [0; 20];
        rand::fill(&mut random).map_err(|_| FileError::Random)?;
        // two levels of folders keep a folder of a million files fast
        Ok(format!("{}/{}", hex::encode(&random[..1]), hex::encode(&random[1..])))
    }

    /// Seals and stores bytes under `key`.
    pub async fn put(&self, key: &str, plain: &[u8]) -> Result<(), FileError> {
        let sealed = self.vault.seal(&place(key), plain)?;
        self.store.put(&Path::from(key), PutPayload::from(sealed)).await?;
        Ok(())
    }

    /// Reads and opens what lies under `key`.
    pub async fn get(&self, key: &str) -> Result<Bytes, FileError> {
        let sealed = self.store.get(&Path::from(key)).await?.bytes().await?;
        Ok(self.vault.open(&place(key), &sealed)?.into())
    }
}

fn place(key: &str) -> Place<'static, &str> {
    Place { table: "files", column: "content", row: key }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::KEY_LEN;

    fn folder(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("haodian-files-{name}-{}", uuid::Uuid::now_v7()))
    }

    #[tokio::test]
    async fn a_file_is_sealed_on_disk_and_opens_under_its_own_key_only() {
        let folder = folder("sealed");
        let files = FileStore::local(&folder, Vault::new(&[1; KEY_LEN])).unwrap();
        let key = FileStore::new_key().unwrap();
        files.put(&key, b"a specimen").await.unwrap();
        assert_eq!(&files.get(&key).await.unwrap()[..], b"a specimen");

        let on_disk = std::fs::read(folder.join(&key)).unwrap();
        assert!(!on_disk.windows(8).any(|w| w == b"specimen"));

        let other = FileStore::new_key().unwrap();
        assert_ne!(key, other);
        std::fs::create_dir_all(folder.join(&other).parent().unwrap()).unwrap();
        std::fs::copy(folder.join(&key), folder.join(&other)).unwrap();
        assert!(matches!(files.get(&other).await, Err(FileError::Vault(VaultError::Refused))));
        assert!(matches!(files.get("no/such").await, Err(FileError::Store(object_store::Error::NotFound { .. }))));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
