//! `haodian verify FILE`: checks a proof without server, database or configuration.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use wallet::proof::file::FILE_BYTES_MAX;
use wallet::proof::{self, Proven};

/// What to check, and what to hold it against.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A proof file, as `entryProof` and `consistencyProof` of the API give it
    file: PathBuf,
    /// A seal that was noted elsewhere, such as on the day it was made: 64 hexadecimal digits. Without one, the file is only shown to agree
    /// with itself. Of a consistency proof both may be given
    #[arg(long, value_parser = seal)]
    seal: Vec<Seal>,
}

/// A seal as it is typed.
#[derive(Clone, Debug)]
struct Seal([u8; 32]);

fn seal(text: &str) -> Result<Seal, &'static str> {
    let mut seal = [0; 32];
    hex::decode_to_slice(text, &mut seal).map_err(|_| "a seal has 64 hexadecimal digits")?;
    Ok(Seal(seal))
}

/// Says in one line what is proven; an error is the sentence that says why nothing is.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let seals: Vec<_> = arguments.seal.iter().map(|seal| seal.0).collect();
    let name = arguments.file.display();
    let proven = match proof::verify(&read(&arguments.file)?, &seals) {
        Ok(proven) => proven,
        Err(error) => bail!("{name} proves nothing: {error}"),
    };
    println!("proven: {proven}{}", against(&proven, seals.len()));
    Ok(ExitCode::SUCCESS)
}

/// What the seals given, or missing, mean for what is proven.
fn against(proven: &Proven, seals: usize) -> &'static str {
    match (proven, seals) {
        (Proven::Entry { .. }, 0) => {
            "; no seal was given, so this only shows that the file agrees with itself: compare its seal with one noted elsewhere"
        }
        (Proven::Consistency { .. }, 0) => {
            "; no seal was given, so this only shows that the file agrees with itself: compare its seals with those noted elsewhere"
        }
        (Proven::Entry { .. }, _) => "; that is the seal given",
        (Proven::Consistency { .. }, _) => "; the seals given are among them",
    }
}

/// Reads no more than a proof can have, whatever the file is.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("could not read {}", path.display()))?;
    Ok(bytes)
}
