//! Sealing: an entry gets its encoded form, its place and the chain digest that binds it to everything before it.

use std::fmt;

use crate::model::{CommandId, Digest, Entry, Epoch, Fingerprint, Position, Row, Sealed, Sequence, TerminalId};

/// Longest payload in bytes. A quarter of the link's frame limit of 4 MiB, so that any record fits a frame with room for its
/// envelope; an import entry of 256 rows of up to 4 KiB each just fits.
pub const PAYLOAD_MAX: usize = 1024 * 1024;

/// First byte of every payload: postcard does not describe itself.
const ENCODING: u8 = 1;

/// Most payloads (two images and an answer) are 200 to 400 bytes: one allocation for nearly all of them.
const PAYLOAD_USUAL: usize = 512;

/// BLAKE3 over the previous digest, epoch, sequence and payload.
pub fn chain(previous: &Digest, epoch: Epoch, sequence: Sequence, payload: &[u8]) -> Digest {
    let mut place = [0; 48];
    place[..32].copy_from_slice(&previous.0);
    place[32..40].copy_from_slice(&epoch.0.to_le_bytes());
    place[40..].copy_from_slice(&sequence.0.to_le_bytes());
    Digest(*blake3::Hasher::new().update(&place).update(payload).finalize().as_bytes())
}

/// The position of `payload` if it follows `previous` in `epoch`.
pub(crate) fn position_after(previous: &Position, epoch: Epoch, payload: &[u8]) -> Position {
    let sequence = previous.sequence.next();
    Position { epoch, sequence, digest: chain(&previous.digest, epoch, sequence, payload) }
}

/// Whether `entry` is the one after `previous`, by its digest.
pub fn follows<R: Row>(previous: &Position, entry: &Sealed<R>) -> bool {
    position_after(previous, entry.position.epoch, &entry.payload) == entry.position
}

/// The key of a command in the set of commands seen. The id has a fixed length and stands last, so no two pairs run together.
pub fn fingerprint(terminal: &TerminalId, command: &CommandId) -> Fingerprint {
    let hash = blake3::Hasher::new().update(terminal.0.as_bytes()).update(&command.0).finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&hash.as_bytes()[..16]);
    Fingerprint(u128::from_le_bytes(first))
}

/// Why an entry cannot become a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsealable {
    TooLong {
        len: usize,
    },
    /// A row refused to be encoded.
    Encoding(String),
}

impl fmt::Display for Unsealable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => write!(f, "entry of {len} bytes exceeds the limit of {PAYLOAD_MAX}"),
            Self::Encoding(reason) => write!(f, "cannot encode entry: {reason}"),
        }
    }
}

impl std::error::Error for Unsealable {}

/// Makes `entry` the one after `previous`.
///
/// # Errors
/// [`Unsealable`] if it exceeds [`PAYLOAD_MAX`] or cannot be encoded.
///
/// # Panics
/// If `epoch` is below the epoch of `previous`: no server may write in an epoch that is over.
pub fn seal<R: Row>(previous: &Position, epoch: Epoch, entry: Entry<R>) -> Result<Sealed<R>, Unsealable> {
    assert!(epoch >= previous.epoch, "cannot seal in epoch {} after {previous}", epoch.0);
    let mut payload = Vec::with_capacity(PAYLOAD_USUAL);
    payload.push(ENCODING);
    let payload = postcard::to_extend(&entry, payload).map_err(|error| Unsealable::Encoding(error.to_string()))?;
    if payload.len() > PAYLOAD_MAX {
        return Err(Unsealable::TooLong { len: payload.len() });
    }
    let fingerprint = fingerprint(&entry.record.terminal_id, &entry.record.command_id);
    Ok(Sealed { position: position_after(previous, epoch, &payload), fingerprint, payload, entry })
}

/// Why bytes are not the entry that should come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damaged {
    Empty,
    TooLong { len: usize },
    EncodingUnknown { version: u8 },
    Undecodable(String),
    Trailing { bytes: usize },
    Gap { expected: Sequence, found: Sequence },
    EpochBackwards { previous: Epoch, found: Epoch },
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "payload is empty"),
            Self::TooLong { len } => write!(f, "payload of {len} bytes exceeds the limit of {PAYLOAD_MAX}"),
            Self::EncodingUnknown { version } => write!(f, "payload has encoding {version}, this program knows {ENCODING}"),
            Self::Undecodable(reason) => write!(f, "payload cannot be decoded: {reason}"),
            Self::Trailing { bytes } => write!(f, "payload has {bytes} bytes after its end"),
            Self::Gap { expected, found } => write!(f, "record {} came where {} was expected", found.0, expected.0),
            Self::EpochBackwards { previous, found } => write!(f, "epoch {} came after epoch {}", found.0, previous.0),
        }
    }
}

impl std::error::Error for Damaged {}

/// Reads a payload that should follow `previous`. The digest is computed here, never taken from the sender: compare it.
///
/// # Errors
/// [`Damaged`] says what does not fit.
pub fn unseal<R: Row>(previous: &Position, epoch: Epoch, sequence: Sequence, payload: Vec<u8>) -> Result<Sealed<R>, Damaged> {
    if sequence != previous.sequence.next() {
        return Err(Damaged::Gap { expected: previous.sequence.next(), found: sequence });
    }
    if epoch < previous.epoch {
        return Err(Damaged::EpochBackwards { previous: previous.epoch, found: epoch });
    }
    let entry: Entry<R> = decode(&payload)?;
    let fingerprint = fingerprint(&entry.record.terminal_id, &entry.record.command_id);
    Ok(Sealed { position: position_after(previous, epoch, &payload), fingerprint, payload, entry })
}

/// The entry in a payload, wherever in the history it stands.
///
/// # Errors
/// [`Damaged`] says what does not fit.
pub fn decode<R: Row>(payload: &[u8]) -> Result<Entry<R>, Damaged> {
    if payload.len() > PAYLOAD_MAX {
        return Err(Damaged::TooLong { len: payload.len() });
    }
    let (&version, encoded) = payload.split_first().ok_or(Damaged::Empty)?;
    if version != ENCODING {
        return Err(Damaged::EncodingUnknown { version });
    }
    let (entry, rest) = postcard::take_from_bytes(encoded).map_err(|error| Damaged::Undecodable(error.to_string()))?;
    match rest.len() {
        0 => Ok(entry),
        bytes => Err(Damaged::Trailing { bytes }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::model::{CommandRecord, Image};

    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct Note {
        number: u64,
        text: String,
    }

    impl Row for Note {
        type Key = u64;
        fn key(&self) -> u64 {
            self.number
        }
    }

    fn entry(number: u64, text: String, response: Vec<u8>) -> Entry<Note> {
        let record = CommandRecord {
            terminal_id: TerminalId(format!("till-{number}")),
            command_id: CommandId([number as u8; 16]),
            body_hash: [2; 16],
            day: None,
            response,
        };
        Entry { images: vec![Image::Put(Note { number, text }), Image::Delete(number)], record }
    }

    fn sealed(text: &str) -> Sealed<Note> {
        seal(&Position::GENESIS, Epoch(1), entry(1, text.into(), vec![])).expect("it is short")
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_unsealed_to_the_same(number in any::<u64>(), text in ".*", response in any::<Vec<u8>>(), raised in 0..9_u64) {
            let first = sealed("before");
            let next = seal(&first.position, Epoch(1 + raised), entry(number, text, response)).expect("it is short");
            let (epoch, sequence) = (next.position.epoch, next.position.sequence);
            let back = unseal::<Note>(&first.position, epoch, sequence, next.payload.clone()).expect("it fits");
            prop_assert_eq!((back.position, back.fingerprint, back.entry), (next.position, next.fingerprint, next.entry));
        }

        #[test]
        fn random_bytes_are_refused_or_encode_to_themselves_but_never_panic(mut payload in any::<Vec<u8>>()) {
            if let Some(version) = payload.first_mut() {
                *version = ENCODING;
            }
            if let Ok(entry) = decode::<Note>(&payload) {
                let again = seal(&Position::GENESIS, Epoch(1), entry.clone()).expect("it is short");
                prop_assert_eq!(decode::<Note>(&again.payload), Ok(entry));
            }
        }

        #[test]
        fn a_flipped_bit_never_keeps_the_position(bit in any::<prop::sample::Index>()) {
            let good = sealed("some text");
            let mut payload = good.payload.clone();
            let bit = bit.index(payload.len() * 8);
            payload[bit / 8] ^= 1 << (bit % 8);
            let back = unseal::<Note>(&Position::GENESIS, Epoch(1), Sequence(1), payload);
            prop_assert!(back.is_err() || back.is_ok_and(|back| back.position != good.position));
        }
    }

    #[test]
    fn digest_depends_on_the_previous_digest_the_epoch_the_sequence_and_the_payload() {
        let base = chain(&Digest([1; 32]), Epoch(2), Sequence(3), b"four");
        assert_ne!(base, chain(&Digest([0; 32]), Epoch(2), Sequence(3), b"four"));
        assert_ne!(base, chain(&Digest([1; 32]), Epoch(9), Sequence(3), b"four"));
        assert_ne!(base, chain(&Digest([1; 32]), Epoch(2), Sequence(9), b"four"));
        assert_ne!(base, chain(&Digest([1; 32]), Epoch(2), Sequence(3), b"five"));
    }

    #[test]
    fn an_entry_of_256_full_rows_fits_and_one_above_the_limit_is_refused() {
        let import = Entry {
            images: (0..256).map(|number| Image::Put(Note { number, text: "x".repeat(4000) })).collect(),
            ..entry(1, String::new(), vec![])
        };
        assert!(seal(&Position::GENESIS, Epoch(1), import).is_ok());
        let long = seal(&Position::GENESIS, Epoch(1), entry(1, "x".repeat(PAYLOAD_MAX), vec![]));
        assert!(matches!(long, Err(Unsealable::TooLong { len }) if len > PAYLOAD_MAX));
    }

    #[test]
    fn each_misfit_is_named() {
        let good = sealed("x");
        let unsealed = |previous: &Position, epoch, sequence, payload: &[u8]| {
            unseal::<Note>(previous, Epoch(epoch), Sequence(sequence), payload.to_vec()).expect_err("it does not fit").to_string()
        };
        let start = Position::GENESIS;
        let trailing = [&good.payload[..], &[0]].concat();
        assert_eq!(unsealed(&start, 1, 2, &good.payload), "record 2 came where 1 was expected");
        assert_eq!(unsealed(&good.position, 0, 2, &good.payload), "epoch 0 came after epoch 1");
        assert_eq!(unsealed(&start, 1, 1, &[]), "payload is empty");
        assert_eq!(unsealed(&start, 1, 1, &[9, 0]), "payload has encoding 9, this program knows 1");
        assert_eq!(unsealed(&start, 1, 1, &trailing), "payload has 1 bytes after its end");
        assert!(unsealed(&start, 1, 1, &good.payload[..9]).starts_with("payload cannot be decoded: "));
    }

    #[test]
    fn two_commands_never_share_a_fingerprint_by_running_together() {
        let id = CommandId(*b"0123456789abcdef");
        let (one, two) = (TerminalId("a".into()), TerminalId("a0".into()));
        assert_ne!(fingerprint(&one, &id), fingerprint(&two, &id));
        assert_eq!(fingerprint(&one, &id), fingerprint(&one.clone(), &id));
    }
}
