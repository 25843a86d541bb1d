//! Frames as bytes: length (u32, little-endian), CRC32C of the payload (u32), payload (postcard). Pure: no socket, no clock.
//!
//! The CRC is there although TLS authenticates every byte: it also covers what happens between our memory and TLS, on both boxes,
//! and the same frames are used where no TLS is (tests, captured files).

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

use super::frames::LinkRefusal;

/// Longest payload in bytes. Above the journal's largest record, so that every record fits a frame; a batch of entries is cut to it.
pub const FRAME_MAX: usize = 4 * 1024 * 1024;

/// Bytes before the payload: length and CRC.
pub const HEADER_LEN: usize = 8;

/// How much one read asks for: a full TLS record (16 KiB) four times, so that a busy stream needs few system calls.
const READ_CHUNK: usize = 64 * 1024;

/// Appends `frame` to `out`, so that many frames can leave in one write.
///
/// # Errors
/// [`LinkRefusal::FrameTooLong`] if the payload would exceed [`FRAME_MAX`]; `out` is then as it was.
pub fn encode<T: Serialize>(frame: &T, out: &mut Vec<u8>) -> Result<(), LinkRefusal> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    // Postcard refuses only values of unknown length and collected strings, which no frame type holds.
    let encoded = postcard::serialize_with_flavor(frame, Append(out));
    let len = out.len() - start - HEADER_LEN;
    if encoded.is_err() || len > FRAME_MAX {
        out.truncate(start);
        return Err(if encoded.is_err() { LinkRefusal::FrameDamaged } else { LinkRefusal::FrameTooLong { len: len as u64 } });
    }
    let crc = crc32c::crc32c(&out[start + HEADER_LEN..]);
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
    out[start + 4..start + HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Postcard's output straight into the buffer that will be written to the socket.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Takes bytes as they arrive and gives whole frames. After a refusal the connection is of no use any more: where the next frame
/// would begin is unknown.
///
/// Holds at most one unfinished frame and one read: the owner takes every whole frame before it reads again.
#[derive(Debug)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// Bytes before this were given out already.
    begin: usize,
    frame_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_limit(FRAME_MAX)
    }
}

impl Decoder {
    /// A decoder that refuses payloads above `frame_max` bytes: the greeting needs far less than an entry.
    pub fn with_limit(frame_max: usize) -> Self {
        Self { bytes: Vec::new(), begin: 0, frame_max }
    }

    /// From now on payloads up to `frame_max` bytes are taken; bytes already here stay.
    pub fn set_limit(&mut self, frame_max: usize) {
        self.frame_max = frame_max;
    }

    /// Where the next read goes: appends behind what is there. Moves an unfinished frame to the front first, at most once per read.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        self.bytes.reserve(READ_CHUNK);
        &mut self.bytes
    }

    /// The next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`LinkRefusal::FrameTooLong`] as soon as the length is known, [`LinkRefusal::FrameDamaged`] if the CRC or the payload is wrong.
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LinkRefusal> {
        let Some((header, rest)) = self.bytes[self.begin..].split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > self.frame_max {
            return Err(LinkRefusal::FrameTooLong { len: len as u64 });
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        let frame = decode_payload(payload, u32::from_le_bytes([c0, c1, c2, c3]))?;
        self.begin += HEADER_LEN + len;
        Ok(Some(frame))
    }

    /// The connection has ended: was that between two frames?
    ///
    /// # Errors
    /// [`LinkRefusal::FrameDamaged`] if it was in the middle of one.
    pub fn finish(&self) -> Result<(), LinkRefusal> {
        if self.begin < self.bytes.len() { Err(LinkRefusal::FrameDamaged) } else { Ok(()) }
    }
}

fn decode_payload<T: DeserializeOwned>(payload: &[u8], crc: u32) -> Result<T, LinkRefusal> {
    if crc32c::crc32c(payload) != crc {
        return Err(LinkRefusal::FrameDamaged);
    }
    match postcard::take_from_bytes(payload) {
        Ok((frame, [])) => Ok(frame),
        // Bytes left over would be fields of a version that was not agreed upon.
        Ok(_) | Err(_) => Err(LinkRefusal::FrameDamaged),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Digest, Epoch, Position, Sequence, StreamNo};
    use crate::wire::frames::{ToPeer, WireRecord};

    fn position(n: u64) -> Position {
        Position { epoch: Epoch(n), sequence: Sequence(n), digest: Digest([n as u8; 32]) }
    }

    fn entries(payloads: Vec<Vec<u8>>) -> ToPeer {
        let record = |(n, payload)| WireRecord { epoch: Epoch(1), sequence: Sequence(n), payload };
        let records = (1..).zip(payloads).map(record).collect();
        ToPeer::Entries { stream: StreamNo(7), frame: 3, confirmed: position(2), digest_after: position(9), records }
    }

    fn decode_all(decoder: &mut Decoder) -> Result<Vec<ToPeer>, LinkRefusal> {
        std::iter::from_fn(|| decoder.next_frame().transpose()).collect()
    }

    fn encoded(frame: &ToPeer) -> Vec<u8> {
        let mut out = Vec::new();
        encode(frame, &mut out).unwrap();
        out
    }

    #[test]
    fn many_frames_in_one_read_come_out_in_order() {
        let sent: Vec<_> = (1..=5).map(|n| ToPeer::Fetch { stream: StreamNo(n), after: position(n) }).collect();
        let mut decoder = Decoder::default();
        sent.iter().for_each(|frame| encode(frame, decoder.room()).unwrap());
        assert_eq!(decode_all(&mut decoder), Ok(sent));
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn a_frame_cut_by_the_end_of_the_connection_is_damaged() {
        let whole = encoded(&entries(vec![vec![1; 100]]));
        for cut in 1..whole.len() {
            let mut decoder = Decoder::default();
            decoder.room().extend_from_slice(&whole[..cut]);
            assert_eq!(decode_all(&mut decoder), Ok(vec![]));
            assert_eq!(decoder.finish(), Err(LinkRefusal::FrameDamaged));
        }
    }

    #[test]
    fn a_length_above_the_limit_is_refused_before_its_payload_arrives() {
        let mut decoder = Decoder::default();
        let len = FRAME_MAX as u32 + 1;
        decoder.room().extend_from_slice(&[len.to_le_bytes(), [0; 4]].concat());
        assert_eq!(decoder.next_frame::<ToPeer>(), Err(LinkRefusal::FrameTooLong { len: u64::from(len) }));
    }

    #[test]
    fn a_frame_that_would_be_too_long_is_not_sent_and_leaves_no_trace() {
        let mut out = vec![9];
        let refused = encode(&entries(vec![vec![0; FRAME_MAX]]), &mut out);
        assert!(matches!(refused, Err(LinkRefusal::FrameTooLong { .. })));
        assert_eq!(out, [9]);
    }

    #[test]
    fn bytes_behind_the_last_known_field_are_damage() {
        let mut payload = postcard::to_stdvec(&entries(vec![])).unwrap();
        payload.push(0);
        assert_eq!(decode_payload::<ToPeer>(&payload, crc32c::crc32c(&payload)), Err(LinkRefusal::FrameDamaged));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting_into_reads(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            chunk in 1_usize..700,
        ) {
            let sent: Vec<_> = payloads.into_iter().map(|payload| entries(vec![payload])).collect();
            let wire: Vec<u8> = sent.iter().flat_map(encoded).collect();
            let (mut decoder, mut got) = (Decoder::default(), vec![]);
            for bytes in wire.chunks(chunk) {
                decoder.room().extend_from_slice(bytes);
                got.extend(decode_all(&mut decoder).unwrap());
            }
            prop_assert_eq!(got, sent);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn one_flipped_bit_never_yields_a_frame(bit in 0_usize..8 * 120, payload in prop::collection::vec(any::<u8>(), 40)) {
            let frame = entries(vec![payload]);
            let mut wire = encoded(&frame);
            let bit = bit % (wire.len() * 8);
            wire[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::default();
            decoder.room().extend_from_slice(&wire);
            // A longer length waits for more; anything else is refused.
            prop_assert!(!matches!(decoder.next_frame::<ToPeer>(), Ok(Some(_))));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut decoder = Decoder::default();
            decoder.room().extend_from_slice(&bytes);
            let _ = decode_all(&mut decoder);
        }
    }
}
