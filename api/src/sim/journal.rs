//! The simulator's memory on disk: one JSON line per change, appended before the change is answered for.
//!
//! Lines reach the kernel before an answer leaves, so they survive the process, not a power cut. A torn last line is cut off.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Opens or makes a journal, readable by its owner alone, and reads its lines.
    pub fn open<L: DeserializeOwned>(path: &Path) -> anyhow::Result<(Self, Vec<L>)> {
        let shown = path.display();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("the folder of {shown} cannot be made"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("the journal {shown} cannot be opened"))?;
        let (lines, end) = read(&mut file).with_context(|| format!("the journal {shown} cannot be read; move it away to start empty"))?;
        file.set_len(end)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { file }, lines))
    }

    /// Appends lines in one write.
    pub fn append<L: Serialize>(&mut self, lines: &[L]) -> std::io::Result<()> {
        let mut bytes = Vec::with_capacity(lines.len() * 512);
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        self.file.write_all(&bytes)
    }
}

/// Reads whole lines, and where the last of them ends.
fn read<L: DeserializeOwned>(file: &mut File) -> anyhow::Result<(Vec<L>, u64)> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut lines, mut end, mut bytes) = (Vec::new(), 0, Vec::new());
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes)?;
        if length == 0 {
            return Ok((lines, end));
        }
        match serde_json::from_slice(&bytes) {
            Ok(line) if bytes.ends_with(b"\n") => lines.push(line),
            _ if !bytes.ends_with(b"\n") => {
                tracing::warn!(bytes = length, "the journal's last line was torn and is cut off");
                return Ok((lines, end));
            }
            _ => bail!("line {} is damaged", lines.len() + 1),
        }
        end += length as u64;
    }
}
