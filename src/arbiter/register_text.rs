//! The text of what is kept about a pair, in a witness's file or under an etcd key: JSON that a person can read, with a checksum over
//! its meaning (spaces and line ends are free).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{DataId, Digest, Epoch, Holder, Position, Register, Sequence, ServerId, UnixMs};

use super::witness_file::PairId;
use super::witness_rules::Kept;

/// The layout without a date is still read, and written where there is none.
const VERSIONS: [u32; 2] = [1, 2];
const ABOUT: &str = "What duplex's arbiter knows about one pair. Editing or restoring it makes it refuse until it is safe.";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<P> {
    about: String,
    /// BLAKE3 of `pair` as compact JSON.
    checksum: String,
    pair: Body<P>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<P> {
    version: u32,
    id: String,
    /// UTC, for people only.
    written_at: String,
    /// Tells this text from a copy of it in another place.
    birthplace: P,
    epoch: Epoch,
    holder: Holder,
    /// UTC, for people only; since version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    recorded: Recorded,
    server_a: Server,
    server_b: Server,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    epoch: Epoch,
    sequence: Sequence,
    digest: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    data_id: String,
    reported_epoch: Option<Epoch>,
}

/// The whole text of what is kept at `birthplace`.
pub(super) fn write<P: Clone + Serialize>(pair: &PairId, birthplace: &P, kept: &Kept) -> String {
    let Register { epoch, holder, data_ids, recorded } = kept.register;
    let server = |id: ServerId| Server { data_id: hex(&data_ids[id.index()].0), reported_epoch: kept.reported[id.index()] };
    let body = Body {
        version: VERSIONS[usize::from(kept.since.is_some())],
        id: pair.to_string(),
        written_at: format!("{:.3}", jiff::Timestamp::now()),
        birthplace: birthplace.clone(),
        epoch,
        holder,
        since: kept.since.and_then(|since| jiff::Timestamp::from_millisecond(since.0).ok()).map(|since| since.to_string()),
        recorded: Recorded { epoch: recorded.epoch, sequence: recorded.sequence, digest: hex(&recorded.digest.0) },
        server_a: server(ServerId::A),
        server_b: server(ServerId::B),
    };
    let document = Document { about: ABOUT.into(), checksum: checksum(&body), pair: body };
    serde_json::to_string_pretty(&document).expect("text, numbers and fixed keys are always JSON") + "\n"
}

/// What a text of `pair` says, and where it says it was written.
pub(super) fn read<P: Serialize + DeserializeOwned>(pair: &PairId, text: &str) -> Result<(P, Kept), String> {
    let damaged = |why: String| format!("damaged, and never guessed at: {why}");
    let Document::<P> { checksum: noted, pair: body, .. } =
        serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    if !VERSIONS.contains(&body.version) {
        return Err(format!("version {} is not known here, only {VERSIONS:?}", body.version));
    }
    if noted != checksum(&body) {
        return Err(damaged(format!("its checksum is {} and should be {noted}", checksum(&body))));
    }
    if body.id != pair.to_string() {
        return Err(format!("belongs to pair {}", body.id));
    }
    let kept = kept(&body).map_err(damaged)?;
    Ok((body.birthplace, kept))
}

fn kept<P>(body: &Body<P>) -> Result<Kept, String> {
    let digest = Digest(bytes("recorded.digest", &body.recorded.digest)?);
    let recorded = Position { epoch: body.recorded.epoch, sequence: body.recorded.sequence, digest };
    let data_id = |field, server: &Server| bytes(field, &server.data_id).map(DataId);
    let data_ids = [data_id("server_a.data_id", &body.server_a)?, data_id("server_b.data_id", &body.server_b)?];
    let since = body.since.as_ref().map(|since| since.parse::<jiff::Timestamp>().map_err(|_| "since is no date".to_owned()));
    Ok(Kept {
        since: since.transpose()?.map(|since| UnixMs(since.as_millisecond())),
        register: Register { epoch: body.epoch, holder: body.holder, data_ids, recorded },
        reported: [body.server_a.reported_epoch, body.server_b.reported_epoch],
    })
}

fn checksum<P: Serialize>(body: &Body<P>) -> String {
    let text = serde_json::to_vec(body).expect("text, numbers and fixed keys are always JSON");
    blake3::hash(&text).to_hex().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(field: &str, text: &str) -> Result<[u8; N], String> {
    let bad = || format!("{field} is not {} hexadecimal digits", 2 * N);
    if text.len() != 2 * N || !text.is_ascii() {
        return Err(bad());
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| bad())?;
    }
    Ok(bytes)
}
