//! The unprivileged account that PostgreSQL runs under when we are root, and whether it can reach a folder.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::LauncherError;

/// A user of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Whether this process is root.
pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whom servers run as: this user, or `postgres`, else `nobody`, when this user is root (PostgreSQL refuses root).
pub fn for_servers() -> Result<Option<Account>, LauncherError> {
    if !root() {
        return Ok(None);
    }
    let passwd = Path::new("/etc/passwd");
    let text = std::fs::read_to_string(passwd).map_err(|e| LauncherError::file("read", passwd, e))?;
    find(&text, "postgres").or_else(|| find(&text, "nobody")).map(Some).ok_or(LauncherError::NoAccount)
}

/// Looks a name up in the text of `/etc/passwd`.
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(Account { uid, gid })
    })
}

/// Whether `account` may pass through `folder` and everything above it. A clone under `/root` (mode 700) is out of its reach.
pub fn reaches(account: Account, folder: &Path) -> bool {
    folder.ancestors().all(|part| part.metadata().is_ok_and(|of| passes(account, of.uid(), of.gid(), of.mode())))
}

/// The execute bit that counts for `account` on a folder of that owner, group and mode.
fn passes(account: Account, uid: u32, gid: u32, mode: u32) -> bool {
    let bit = if account.uid == uid {
        0o100
    } else if account.gid == gid {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nbroken\n\
                          postgres:x:101:103::/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn accounts_are_found_by_name_and_root_is_never_one() {
        assert_eq!(find(PASSWD, "postgres"), Some(Account { uid: 101, gid: 103 }));
        assert_eq!(find(PASSWD, "nobody"), Some(Account { uid: 65534, gid: 65534 }));
        assert_eq!(find(PASSWD, "root"), None);
        assert_eq!(find(PASSWD, "redis"), None);
        assert_eq!(find(PASSWD, "broken"), None);
    }

    #[test]
    fn the_bit_of_the_owner_group_or_others_decides() {
        let account = Account { uid: 101, gid: 103 };
        let cases = [
            (0, 0, 0o700, false),
            (0, 0, 0o711, true),
            (0, 0, 0o755, true),
            (101, 0, 0o700, true),
            (101, 0, 0o677, false),
            (0, 103, 0o710, true),
            (0, 103, 0o701, false),
        ];
        for (uid, gid, mode, expected) in cases {
            assert_eq!(passes(account, uid, gid, mode), expected, "{uid} {gid} {mode:o}");
        }
    }
}
