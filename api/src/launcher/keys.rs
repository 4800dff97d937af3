//! The key files of a development system. Production keys come from its operator: nothing here runs there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{LauncherError, channel_keys, state};

/// Who signs: we, the sandbox acquirer, the sandbox bank. `NAME.pk8` is the secret half, `NAME.pub` the other, for the peer.
pub const SIGNERS: [&str; 3] = ["platform", "acquirer", "bank"];
/// Secrets of 32 bytes in base64: the vault's and the tickets'.
pub const SECRETS: [&str; 2] = ["data.key", "ticket.key"];

/// Creates the key files that are missing in `dir`, readable by their owner alone; the ones that exist are checked and never replaced.
/// Returns how many were created. Several processes may do this at once.
pub fn ensure(dir: &Path) -> Result<usize, LauncherError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| LauncherError::file("create", dir, e))?;
    let mut created = 0;
    for name in SIGNERS {
        let secret = dir.join(format!("{name}.pk8"));
        created += usize::from(put(&secret, || {
            Ok(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| LauncherError::Random)?.as_ref().to_vec())
        })?);
        let pair = fs::read(&secret).map_err(|e| LauncherError::file("read", &secret, e))?;
        let pair = Ed25519KeyPair::from_pkcs8(&pair).map_err(|_| LauncherError::BadKey { path: secret })?;
        let public = BASE64.encode(pair.public_key());
        let path = dir.join(format!("{name}.pub"));
        created += usize::from(put(&path, || Ok(public.clone().into_bytes()))?);
        let found = fs::read_to_string(&path).map_err(|e| LauncherError::file("read", &path, e))?;
        if found.trim() != public {
            return Err(LauncherError::BadKey { path });
        }
    }
    for name in SECRETS {
        let path = dir.join(name);
        created += usize::from(put(&path, || Ok(BASE64.encode(state::random::<32>()?).into_bytes()))?);
        let text = fs::read_to_string(&path).map_err(|e| LauncherError::file("read", &path, e))?;
        if !BASE64.decode(text.trim()).is_ok_and(|bytes| bytes.len() == 32) {
            return Err(LauncherError::BadKey { path });
        }
    }
    Ok(created + channel_keys::ensure(dir)?)
}

/// What is wrong with the key files of `dir`, in one sentence; none when all is well. Changes nothing.
pub fn problem(dir: &Path) -> Option<String> {
    let names = SIGNERS.iter().flat_map(|name| [format!("{name}.pk8"), format!("{name}.pub")]).chain(SECRETS.map(str::to_owned));
    let names = names.map(|name| (name, true)).chain(channel_keys::names().map(|name| (name.to_owned(), false)));
    for (name, needed) in names {
        match dir.join(&name).metadata() {
            Ok(of) if of.permissions().mode() & 0o077 != 0 => return Some(format!("{name} may be read by others")),
            Ok(_) => {}
            // a channel that is not connected needs no keys; one that is says so when it starts
            Err(error) if error.kind() == ErrorKind::NotFound && !needed => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(format!("{name} is missing")),
            Err(error) => return Some(format!("{name} cannot be read ({error})")),
        }
    }
    None
}

/// Puts a whole file in place unless there is one. A link fails where a rename would replace, so that of two processes one wins.
pub(super) fn put(path: &Path, bytes: impl FnOnce() -> Result<Vec<u8>, LauncherError>) -> Result<bool, LauncherError> {
    if path.exists() {
        return Ok(false);
    }
    let partial = path.with_extension(format!("partial-{}-{:?}", std::process::id(), std::thread::current().id()));
    let linked = state::write_new(&partial, &bytes()?).and_then(|()| fs::hard_link(&partial, path));
    let _ = fs::remove_file(&partial);
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(LauncherError::file("write", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::process::scratch;

    #[test]
    fn keys_are_made_once_and_fit_together() {
        let dir = scratch("keys").join("keys");
        assert_eq!(problem(&dir).as_deref(), Some("platform.pk8 is missing"));
        assert_eq!(ensure(&dir).unwrap(), 31);
        let before = fs::read(dir.join("platform.pk8")).unwrap();
        assert_eq!(ensure(&dir).unwrap(), 0);
        assert_eq!(fs::read(dir.join("platform.pk8")).unwrap(), before);
        assert_eq!(problem(&dir), None);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 24, "no partial file is left");
        assert_eq!(fs::read_dir(dir.join("sim")).unwrap().count(), 8);

        fs::remove_file(dir.join("bank.pub")).unwrap();
        assert_eq!(ensure(&dir).unwrap(), 1, "the public half is made from the secret one");
        fs::write(dir.join("data.key"), "short").unwrap();
        let error = ensure(&dir).unwrap_err();
        assert!(error.to_string().contains("data.key is damaged"), "{error}");
        fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }

    #[test]
    fn of_many_at_once_one_makes_the_keys() {
        let dir = scratch("keys-race");
        let created: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| ensure(&dir).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(created, 31);
        fs::remove_dir_all(dir).unwrap();
    }
}
