//! Lost-and-found: an unconfirmed tail is written down readably before the journal is cut, so that nothing is thrown away.

use std::path::PathBuf;

use serde::Serialize;

use super::digest::decode;
use super::error::{JournalError, hex};
use super::files::{Disk, failed};
use super::reader::{JournalReader, Record};
use super::segments::wall_clock;
use crate::model::{Entry, Image, Position, Response, Row, ServerId, UnixMs};

/// Read and written in pieces of this size, so that a long tail needs no memory.
const PIECE_BYTES: usize = 1024 * 1024;

/// Where a tail went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedTail {
    pub file: PathBuf,
    pub entries: u64,
}

/// One line of the file. What cannot be decoded is kept as it came.
#[derive(Serialize)]
#[serde(bound = "")]
struct Line<'a, R: Row> {
    server: ServerId,
    epoch: u64,
    sequence: u64,
    digest: String,
    #[serde(flatten)]
    content: Content<'a, R>,
}

#[derive(Serialize)]
#[serde(untagged, bound = "")]
enum Content<'a, R: Row> {
    Entry { terminal_id: &'a str, command_id: String, day: Option<i32>, response: Answer, images: &'a [Image<R>] },
    Undecodable { reason: String, payload_hex: String },
}

/// What the terminal would have been told.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Response(Response),
    /// Of an encoding that is not known here.
    Text(String),
}

/// Writes every stored record after `after` as one JSON line each into a new file of the directory `lost_and_found`, named by time
/// and positions, and syncs both. `None` if there is no tail. Sync the journal first: only what is stored is read.
///
/// # Errors
/// [`JournalError`]; do not cut then.
pub fn save_tail<R: Row>(
    lost_and_found: &Disk,
    server: ServerId,
    journal: &JournalReader,
    after: Position,
) -> Result<Option<SavedTail>, JournalError> {
    let end = journal.stored();
    if end.sequence <= after.sequence {
        return Ok(None);
    }
    let files = &**lost_and_found;
    let name = file_name(server, wall_clock(), after, end);
    let making = format!("{name}.new");
    let file = files.create(&making, 0).map_err(failed("create", files, &making))?;
    let (mut last, mut offset, mut entries) = (after.sequence, 0, 0);
    while last < end.sequence {
        let records = journal.read_after(last, PIECE_BYTES)?;
        let Some(newest) = records.last() else { return Err(JournalError::NotHeld { asked: end }) };
        last = newest.position.sequence;
        let text = lines::<R>(server, &records);
        file.write_at(&text, offset).map_err(failed("write", files, &making))?;
        offset += text.len() as u64;
        entries += records.len() as u64;
    }
    file.sync_data().map_err(failed("sync", files, &making))?;
    files.rename(&making, &name).map_err(failed("rename", files, &making))?;
    files.sync_directory().map_err(failed("sync", files, ""))?;
    Ok(Some(SavedTail { file: files.path().join(name), entries }))
}

/// Two tails of one server cannot share a name: after the first the journal was cut, so the second has another digest at its end.
fn file_name(server: ServerId, now: UnixMs, after: Position, end: Position) -> String {
    let time = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ");
    let server = match server {
        ServerId::A => "a",
        ServerId::B => "b",
    };
    format!("tail-{server}-{time}-after-{}-to-{}-{}.jsonl", after.sequence.0, end.sequence.0, end.digest)
}

fn lines<R: Row>(server: ServerId, records: &[Record]) -> Vec<u8> {
    let mut text = Vec::new();
    for record in records {
        text.extend_from_slice(&line::<R>(server, record));
        text.push(b'\n');
    }
    text
}

fn line<R: Row>(server: ServerId, record: &Record) -> Vec<u8> {
    let entry: Result<Entry<R>, String> = decode(&record.payload).map_err(|damaged| damaged.to_string());
    let readable = entry.and_then(|entry| encode_line(server, record, readable(&entry)));
    readable.unwrap_or_else(|reason| {
        let raw = Content::Undecodable::<R> { reason, payload_hex: hex(&record.payload) };
        encode_line(server, record, raw).expect("text and numbers always encode")
    })
}

fn readable<R: Row>(entry: &Entry<R>) -> Content<'_, R> {
    Content::Entry {
        terminal_id: &entry.record.terminal_id.0,
        command_id: hex(&entry.record.command_id.0),
        day: entry.record.day,
        response: answer(&entry.record.response),
        images: &entry.images,
    }
}

fn answer(encoded: &[u8]) -> Answer {
    match postcard::from_bytes(encoded) {
        Ok(response) => Answer::Response(response),
        Err(_) => Answer::Text(String::from_utf8_lossy(encoded).into_owned()),
    }
}

fn encode_line<R: Row>(server: ServerId, record: &Record, content: Content<'_, R>) -> Result<Vec<u8>, String> {
    let Position { epoch, sequence, digest } = record.position;
    let line = Line { server, epoch: epoch.0, sequence: sequence.0, digest: hex(&digest.0), content };
    serde_json::to_vec(&line).map_err(|error| error.to_string())
}
