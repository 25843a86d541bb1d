//! Bytes of a segment file: one header block, then records back to back. All numbers little-endian.
//!
//! ```text
//! header  magic 8 | version 4 | checksum 4 | data id 16 | created 8 | epoch 8 | sequence 8 | digest 32   (of the position before)
//! record  length 4 | checksum 4 | epoch 8 | sequence 8 | stored 8 | digest 32 | payload
//! ```
//! `length` counts the payload and is never 0, so zeros are an end. `stored` is the sequence up to which the journal was durable
//! when the record was written: a readable record with `stored` at or past an unreadable one proves that the latter had been
//! durable, hence corruption; without that proof the unreadable one is the torn end of a write that nobody relied on.
//! Checksums are CRC32C begun with the data id, so no record of another disk's journal ever fits.

use crate::journal::digest::{PAYLOAD_MAX, chain};
use crate::model::{DataId, Digest, Epoch, Position, Sequence, UnixMs};

/// A block of its own: rewriting a header can never tear a record.
pub(crate) const HEADER_LEN: usize = 4096;
pub(crate) const HEAD_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"duplexJ\n";
const VERSION: u32 = 1;
const HEADER_USED: usize = 88;

/// Start value of every checksum in the files of `data_id`.
pub(crate) fn checksum_seed(data_id: DataId) -> u32 {
    crc32c::crc32c(&data_id.0)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub data_id: DataId,
    /// When the segment was begun; decides only how long it is kept.
    pub created: UnixMs,
    /// The position before the first record.
    pub previous: Position,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// No magic, or a version that this program does not know.
    Unknown(String),
    Checksum,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut block = [0; HEADER_LEN];
        block[..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&VERSION.to_le_bytes());
        block[16..32].copy_from_slice(&self.data_id.0);
        block[32..40].copy_from_slice(&self.created.0.to_le_bytes());
        block[40..48].copy_from_slice(&self.previous.epoch.0.to_le_bytes());
        block[48..56].copy_from_slice(&self.previous.sequence.0.to_le_bytes());
        block[56..88].copy_from_slice(&self.previous.digest.0);
        let checksum = header_checksum(&block);
        block[12..16].copy_from_slice(&checksum.to_le_bytes());
        block
    }

    pub fn decode(block: &[u8]) -> Result<Self, BadHeader> {
        if block.len() < HEADER_USED || block[..8] != MAGIC {
            return Err(BadHeader::Unknown("not a segment of a journal".into()));
        }
        if u32::from_le_bytes(bytes(block, 12)) != header_checksum(block) {
            return Err(BadHeader::Checksum);
        }
        let version = u32::from_le_bytes(bytes(block, 8));
        if version != VERSION {
            return Err(BadHeader::Unknown(format!("version {version}, this program knows {VERSION}")));
        }
        Ok(Self {
            data_id: DataId(bytes(block, 16)),
            created: UnixMs(i64::from_le_bytes(bytes(block, 32))),
            previous: Position {
                epoch: Epoch(number(block, 40)),
                sequence: Sequence(number(block, 48)),
                digest: Digest(bytes(block, 56)),
            },
        })
    }
}

/// Over the version too, so that no flipped bit looks like a newer program's.
fn header_checksum(block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[8..12]), &block[16..HEADER_USED])
}

/// Appends one record to `buffer`.
pub(crate) fn encode_record(buffer: &mut Vec<u8>, seed: u32, position: &Position, stored: Sequence, payload: &[u8]) {
    let from = buffer.len();
    let length = u32::try_from(payload.len()).expect("a payload is at most PAYLOAD_MAX");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&position.epoch.0.to_le_bytes());
    buffer.extend_from_slice(&position.sequence.0.to_le_bytes());
    buffer.extend_from_slice(&stored.0.to_le_bytes());
    buffer.extend_from_slice(&position.digest.0);
    buffer.extend_from_slice(payload);
    let checksum = record_checksum(seed, &buffer[from..]);
    buffer[from + 4..from + 8].copy_from_slice(&checksum.to_le_bytes());
}

fn record_checksum(seed: u32, record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &record[..4]), &record[8..])
}

/// Why the bytes at a place are not the record that should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Zeros, or the end of the file.
    Blank,
    Length,
    Checksum,
    /// A whole record, but not the next one: what a recycled segment held before.
    Sequence(Sequence),
    /// The next record by number, whole, but of another history.
    Chain,
}

impl Misfit {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Blank => "nothing is there",
            Self::Length => "its length is impossible",
            Self::Checksum => "its checksum does not fit",
            Self::Sequence(_) => "another record stands in its place",
            Self::Chain => "it does not continue the chain of digests",
        }
    }
}

/// A record as it lies in a buffer; whole, but its place not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawRecord<'a> {
    pub position: Position,
    pub stored: Sequence,
    pub payload: &'a [u8],
    /// The whole record, head included.
    pub bytes: &'a [u8],
}

/// Length in bytes of the record that begins with `head`.
pub(crate) fn record_len(head: &[u8]) -> Result<usize, Misfit> {
    if head.len() < HEAD_LEN {
        return Err(Misfit::Blank);
    }
    match u32::from_le_bytes(bytes(head, 0)) as usize {
        0 => Err(Misfit::Blank),
        length if length > PAYLOAD_MAX => Err(Misfit::Length),
        length => Ok(HEAD_LEN + length),
    }
}

/// The whole record at the start of `buffer`.
pub(crate) fn whole_record(buffer: &[u8], seed: u32) -> Result<RawRecord<'_>, Misfit> {
    let record = buffer.get(..record_len(buffer)?).ok_or(Misfit::Length)?;
    if u32::from_le_bytes(bytes(record, 4)) != record_checksum(seed, record) {
        return Err(Misfit::Checksum);
    }
    let position =
        Position { epoch: Epoch(number(record, 8)), sequence: Sequence(number(record, 16)), digest: Digest(bytes(record, 32)) };
    Ok(RawRecord { position, stored: Sequence(number(record, 24)), payload: &record[HEAD_LEN..], bytes: record })
}

/// The record after `previous`, at the start of `buffer`: whole, next in number, epoch not lower, digest fitting.
pub(crate) fn next_record<'a>(buffer: &'a [u8], seed: u32, previous: &Position) -> Result<RawRecord<'a>, Misfit> {
    let record = whole_record(buffer, seed)?;
    let Position { epoch, sequence, digest } = record.position;
    if sequence != previous.sequence.next() {
        return Err(Misfit::Sequence(sequence));
    }
    if epoch < previous.epoch || digest != chain(&previous.digest, epoch, sequence, record.payload) {
        return Err(Misfit::Chain);
    }
    Ok(record)
}

/// Offset of a whole record in `rest` which proves that the record `lost` had been stored: it is of a later number and was
/// written when the journal was durable at least up to `lost`.
pub(crate) fn proof_of_loss(rest: &[u8], seed: u32, lost: Sequence) -> Option<usize> {
    (0..rest.len().saturating_sub(HEAD_LEN)).find(|&at| {
        let head = &rest[at..];
        // The cheap comparisons first: this runs once for every byte behind the end.
        number(head, 16) > lost.0 && (lost.0..number(head, 16)).contains(&number(head, 24)) && whole_record(head, seed).is_ok()
    })
}

fn number(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(from, at))
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&from[at..at + N]);
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::digest::position_after;

    const SEED: u32 = 77;

    /// Records of `payloads`, back to back, each with its position and the offset of its end.
    fn written(payloads: &[Vec<u8>], stored: u64) -> (Vec<u8>, Vec<(Position, usize)>) {
        let (mut buffer, mut ends) = (Vec::new(), Vec::new());
        let mut previous = Position::GENESIS;
        for payload in payloads {
            previous = position_after(&previous, Epoch(3), payload);
            encode_record(&mut buffer, SEED, &previous, Sequence(stored), payload);
            ends.push((previous, buffer.len()));
        }
        (buffer, ends)
    }

    /// The positions of the records that a reader accepts.
    fn accepted(mut buffer: &[u8]) -> Vec<Position> {
        let mut found = Vec::new();
        while let Ok(record) = next_record(buffer, SEED, found.last().unwrap_or(&Position::GENESIS)) {
            found.push(record.position);
            buffer = &buffer[record.bytes.len()..];
        }
        found
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..8)
    }

    proptest! {
        #[test]
        fn a_flipped_bit_ends_the_records_right_before_it(payloads in payloads(), bit in any::<prop::sample::Index>()) {
            let (mut buffer, ends) = written(&payloads, 0);
            let bit = bit.index(buffer.len() * 8);
            buffer[bit / 8] ^= 1 << (bit % 8);
            let whole: Vec<Position> = ends.iter().filter(|(_, end)| *end <= bit / 8).map(|(position, _)| *position).collect();
            prop_assert_eq!(accepted(&buffer), whole);
        }

        #[test]
        fn a_cut_off_buffer_gives_its_whole_records_only(payloads in payloads(), len in any::<prop::sample::Index>()) {
            let (buffer, ends) = written(&payloads, 0);
            let len = len.index(buffer.len());
            let whole = ends.iter().filter(|(_, end)| *end <= len).count();
            prop_assert_eq!(accepted(&buffer[..len]).len(), whole);
        }

        #[test]
        fn random_bytes_are_never_a_record_nor_a_header_nor_a_proof(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert!(accepted(&bytes).is_empty());
            prop_assert!(Header::decode(&bytes).is_err());
            prop_assert_eq!(proof_of_loss(&bytes, SEED, Sequence(1)), None);
        }

        #[test]
        fn a_header_comes_back_as_it_was_and_a_flipped_bit_is_noticed(
            id in any::<[u8; 16]>(), numbers in any::<(i64, u64, u64)>(), digest in any::<[u8; 32]>(), bit in 0..HEADER_USED * 8,
        ) {
            let previous = Position { epoch: Epoch(numbers.1), sequence: Sequence(numbers.2), digest: Digest(digest) };
            let header = Header { data_id: DataId(id), created: UnixMs(numbers.0), previous };
            let mut block = header.encode();
            prop_assert_eq!(Header::decode(&block), Ok(header));
            block[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&block).is_err());
        }
    }

    #[test]
    fn a_later_record_proves_a_loss_only_if_it_was_written_after_the_lost_one_was_stored() {
        let payloads = vec![vec![1; 50]; 3];
        for (stored, proven) in [(0, false), (1, true), (2, true)] {
            let (mut buffer, ends) = written(&payloads, stored);
            buffer[70] ^= 1;
            assert_eq!(proof_of_loss(&buffer, SEED, Sequence(1)).is_some(), proven, "stored up to {stored}");
            assert!(proof_of_loss(&buffer[ends[2].1..], SEED, Sequence(1)).is_none());
        }
    }

    #[test]
    fn a_record_of_another_disk_does_not_fit() {
        let (buffer, _) = written(&[vec![9; 30]], 0);
        assert_eq!(next_record(&buffer, SEED + 1, &Position::GENESIS), Err(Misfit::Checksum));
    }
}
