//! One file of JSON lines per actor, bounded: `<actor>.log`, and its predecessors `<actor>.1.log` (the youngest) to `<actor>.3.log`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use slog::{Drain, OwnedKVList, Record};
use slog_json::Json;

use super::drains::{actor_of, json};

/// A file is set aside before it would exceed this: some 40,000 lines of 200 bytes.
pub(super) const FILE_BYTES_MAX: u64 = 8 << 20;
/// Files set aside and kept: 32 MiB an actor, 400 MiB for a dozen of them, so that logs never fill the data disk.
pub(super) const FILES_ASIDE_MAX: u32 = 3;

/// Path of an actor's file; 0 is the one being written.
pub(super) fn file_of(directory: &Path, actor: &str, aside: u32) -> PathBuf {
    match aside {
        0 => directory.join(format!("{actor}.log")),
        aside => directory.join(format!("{actor}.{aside}.log")),
    }
}

/// The files of all actors, each of which only the writing thread writes.
pub(super) struct Streams(BTreeMap<String, Json<StreamFile>>);

impl Streams {
    pub(super) fn open(directory: &Path, actors: &[&str]) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let open = |actor: &&str| Ok(((*actor).to_owned(), json(StreamFile::open(directory, actor, FILE_BYTES_MAX)?)));
        actors.iter().map(open).collect::<io::Result<_>>().map(Self)
    }

    pub(super) fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
        match actor_of(record, values).and_then(|actor| self.0.get(&actor)) {
            Some(stream) => stream.log(record, values),
            None => Ok(()),
        }
    }
}

/// Collects a line until it is flushed, so that a file is set aside between two lines and a line is one write.
pub(super) struct StreamFile {
    directory: PathBuf,
    actor: String,
    bytes_max: u64,
    file: File,
    len: u64,
    line: Vec<u8>,
    /// The last line may stand there in part.
    torn: bool,
}

impl StreamFile {
    pub(super) fn open(directory: &Path, actor: &str, bytes_max: u64) -> io::Result<Self> {
        let (file, len) = open_to_append(&file_of(directory, actor, 0))?;
        Ok(Self { directory: directory.to_owned(), actor: actor.to_owned(), bytes_max, file, len, line: Vec::new(), torn: false })
    }

    fn set_aside(&mut self) -> io::Result<()> {
        for aside in (0..FILES_ASIDE_MAX).rev() {
            match fs::rename(file_of(&self.directory, &self.actor, aside), file_of(&self.directory, &self.actor, aside + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.len) = open_to_append(&file_of(&self.directory, &self.actor, 0))?;
        Ok(())
    }

    fn write_line(&mut self) -> io::Result<()> {
        if self.len > 0 && self.len + self.line.len() as u64 > self.bytes_max {
            self.set_aside()?;
        }
        if self.torn {
            self.line.insert(0, b'\n');
        }
        self.torn = true;
        self.file.write_all(&self.line)?;
        self.torn = false;
        self.len += self.line.len() as u64;
        Ok(())
    }
}

impl Write for StreamFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.write_line();
        // A line that could not be written is lost and counted, not kept for a disk that may stay full.
        self.line.clear();
        written
    }
}

/// Ends a line that a crash or a full disk left unfinished, so that it spoils no other.
fn open_to_append(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let len = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if len > 0 {
        file.seek(SeekFrom::Start(len - 1))?;
        file.read_exact(&mut last)?;
    }
    if last == [b'\n'] {
        return Ok((file, len));
    }
    file.write_all(b"\n")?;
    Ok((file, len + 1))
}
