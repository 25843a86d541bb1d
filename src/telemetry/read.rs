//! The actors' log files read back as one stream, in order of time: what `duplex logs` prints. Reads while they are being written,
//! and goes on where it was when a file has been set aside.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::model::UnixMs;

use super::streams::{FILES_ASIDE_MAX, file_of};

pub use super::lines::{Line, since};

/// How often `--follow` looks again: a person sees no delay, and twelve files cost twelve reads.
pub const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Lines of several actors, oldest first.
pub struct LogReader {
    tails: Vec<Tail>,
    since: UnixMs,
}

impl LogReader {
    /// Reads the files of `actors` below `data/log` (all there are, if none is named), from `since` on.
    ///
    /// # Errors
    /// [`io::Error`] that names the directory, or an actor without a file and the actors that have one.
    pub fn open(data: &Path, actors: &[String], since: UnixMs) -> io::Result<Self> {
        let directory = data.join("log");
        let known = actors_in(&directory)?;
        if let Some(unknown) = actors.iter().find(|actor| !known.contains(actor)) {
            let reason = format!("no log of {unknown:?} in {}; there are: {}", directory.display(), known.join(", "));
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        let chosen = if actors.is_empty() { &known } else { actors };
        let tails = chosen.iter().map(|actor| Tail::open(&directory, actor, since)).collect::<io::Result<_>>()?;
        Ok(Self { tails, since })
    }

    /// The next line, or `None` while there is no more. Called again later, it goes on with what was written since then; lines of
    /// several actors written meanwhile are in order among themselves.
    ///
    /// # Errors
    /// [`io::Error`] that names the file.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        // To look for younger files is dear, so it waits until nothing is left of those that are open.
        for look in [false, true] {
            for tail in &mut self.tails {
                tail.fill(self.since, look)?;
            }
            let heads = self.tails.iter_mut().filter(|tail| tail.head.is_some());
            // The first of equals: each actor's own order is kept, and so is the order of the actors.
            let oldest = heads.min_by_key(|tail| tail.head.as_ref().map(|line| line.at));
            if let Some(line) = oldest.and_then(|tail| tail.head.take()) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

/// Names of the actors that have a file here.
fn actors_in(directory: &Path) -> io::Result<Vec<String>> {
    let name = |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", directory.display()));
    let mut actors = Vec::new();
    for entry in fs::read_dir(directory).map_err(name)? {
        let file = entry.map_err(name)?.file_name();
        let actor = file.to_str().and_then(|file| file.strip_suffix(".log"));
        actors.extend(actor.filter(|actor| !actor.contains('.')).map(str::to_owned));
    }
    actors.sort();
    Ok(actors)
}

/// One actor's files as one stream.
struct Tail {
    directory: PathBuf,
    actor: String,
    current: BufReader<File>,
    /// Younger files, known to be whole, to go on with.
    following: VecDeque<File>,
    /// What was read of a line that has no end yet.
    unfinished: Vec<u8>,
    last: UnixMs,
    head: Option<Line>,
}

impl Tail {
    fn open(directory: &Path, actor: &str, since: UnixMs) -> io::Result<Self> {
        let mut files: VecDeque<File> = files(directory, actor)?.into();
        // A file set aside before then holds nothing younger; only files with a younger one behind them are left out.
        while files.len() > 1 && written_before(&files[0], since)? {
            files.pop_front();
        }
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("the log of {actor:?} has just gone"));
        let current = BufReader::new(files.pop_front().ok_or_else(missing)?);
        let (directory, actor) = (directory.to_owned(), actor.to_owned());
        Ok(Self { directory, actor, current, following: files, unfinished: Vec::new(), last: UnixMs(0), head: None })
    }

    /// Puts the next line from `since` on in place, if there is one.
    fn fill(&mut self, since: UnixMs, look: bool) -> io::Result<()> {
        while self.head.is_none() {
            let Some(text) = self.next_text(look).map_err(|error| self.naming(&error))? else { return Ok(()) };
            if !text.is_empty() {
                let line = Line::read(&self.actor, text, self.last);
                self.last = line.at;
                self.head = (line.at >= since).then_some(line);
            }
        }
        Ok(())
    }

    fn next_text(&mut self, look: bool) -> io::Result<Option<String>> {
        while !self.unfinished.ends_with(b"\n") {
            let read = self.current.read_until(b'\n', &mut self.unfinished)?;
            if read == 0 && !self.go_on(look)? {
                return Ok(None);
            }
        }
        let bytes = std::mem::take(&mut self.unfinished);
        Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()))
    }

    /// At the end of a file: whether there is more all the same, in it or in the next one.
    fn go_on(&mut self, look: bool) -> io::Result<bool> {
        if self.following.is_empty() && !(look && self.find_following()?) {
            return Ok(false);
        }
        // What came between the last read and the setting aside; after that nothing more comes.
        if self.current.read_until(b'\n', &mut self.unfinished)? > 0 {
            return Ok(true);
        }
        let Some(next) = self.following.pop_front() else { return Ok(false) };
        self.current = BufReader::new(next);
        if !self.unfinished.is_empty() {
            self.unfinished.push(b'\n');
        }
        Ok(true)
    }

    /// Looks whether the file being read has been set aside since, and which ones are younger.
    fn find_following(&mut self) -> io::Result<bool> {
        let current = self.current.get_ref().metadata()?.ino();
        let mut files = files(&self.directory, &self.actor)?;
        let inodes = files.iter().map(|file| Ok(file.metadata()?.ino())).collect::<io::Result<Vec<_>>>()?;
        // If it is not among them, it was set aside more often than files are kept: all of them are younger.
        let younger = inodes.iter().position(|inode| *inode == current).map_or(0, |at| at + 1);
        self.following = files.drain(younger..).collect();
        Ok(!self.following.is_empty())
    }

    fn naming(&self, error: &io::Error) -> io::Error {
        let file = file_of(&self.directory, &self.actor, 0);
        io::Error::new(error.kind(), format!("cannot read {}: {error}", file.display()))
    }
}

/// An actor's files, oldest first. Opened youngest first, the way in which files are set aside: so none slips through, and one that
/// was met twice is taken once.
fn files(directory: &Path, actor: &str) -> io::Result<Vec<File>> {
    let mut files: Vec<(u64, File)> = Vec::new();
    for aside in 0..=FILES_ASIDE_MAX {
        match File::open(file_of(directory, actor, aside)) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                if files.iter().all(|(met, _)| *met != inode) {
                    files.push((inode, file));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files.into_iter().rev().map(|(_, file)| file).collect())
}

fn written_before(file: &File, moment: UnixMs) -> io::Result<bool> {
    let written = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(written.as_millis()).is_ok_and(|written| written < moment.0))
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
