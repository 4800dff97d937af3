//! Small files the launcher keeps: the state of a private server, its password, and what runs now.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::LauncherError;

/// Bytes of a generated password, before hex.
const PASSWORD_BYTES: usize = 24;

/// Reads a state file. One that is missing or damaged is the same as none: everything in it can be found again.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Replaces a state file as a whole: a reader sees the old one or the new one.
pub fn write<T: Serialize>(path: &Path, state: &T) -> Result<(), LauncherError> {
    let text = serde_json::to_vec_pretty(state).map_err(|e| LauncherError::file("write", path, e.into()))?;
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let written = write_new(&partial, &text).and_then(|()| fs::rename(&partial, path));
    written.map_err(|e| LauncherError::file("write", path, e))
}

/// The password in `path`, made when there is none.
pub fn password(path: &Path) -> Result<String, LauncherError> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => fs::remove_file(path).map_err(|e| LauncherError::file("replace", path, e))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(LauncherError::file("read", path, error)),
    }
    let password = hex::encode(random::<PASSWORD_BYTES>()?);
    write_new(path, password.as_bytes()).map_err(|e| LauncherError::file("write", path, e))?;
    Ok(password)
}

/// Random bytes from the system.
pub fn random<const N: usize>() -> Result<[u8; N], LauncherError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| LauncherError::Random)?;
    Ok(bytes)
}

/// Writes a file that only its owner may read, and makes sure it is on the disk.
pub fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde::Deserialize;

    use super::*;
    use crate::launcher::process::scratch;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct State {
        port: u16,
    }

    #[test]
    fn a_state_file_reads_back_and_a_damaged_one_is_none() {
        let dir = scratch("state");
        let path = dir.join("state.json");
        assert_eq!(read::<State>(&path), None);
        write(&path, &State { port: 5433 }).unwrap();
        write(&path, &State { port: 5434 }).unwrap();
        assert_eq!(read(&path), Some(State { port: 5434 }));
        fs::write(&path, b"{\"port\":").unwrap();
        assert_eq!(read::<State>(&path), None);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no partial file is left");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_password_is_made_once_for_the_owner_alone() {
        let dir = scratch("password");
        let path = dir.join("password");
        let first = password(&path).unwrap();
        assert_eq!(first.len(), 2 * PASSWORD_BYTES);
        assert_eq!(password(&path).unwrap(), first);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }
}
