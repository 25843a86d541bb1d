//! Heartbeat datagrams: version byte, postcard, 16 bytes of keyed BLAKE3 over both. Pure. What a heartbeat is worth once it is
//! authentic is for [`super::hearing`] to say.

use std::fmt;

use super::identity::PairSecret;
use crate::model::{Heartbeat, ServerId};

/// The only version so far. Fields are only ever appended, under a new number.
const VERSION: u8 = 1;
const MAC_LEN: usize = 16;
/// Longest datagram: a heartbeat takes about 100 bytes; anything longer is not one.
pub const DATAGRAM_MAX: usize = 256;

/// The key that both servers' heartbeats are authenticated with.
#[derive(Clone)]
pub struct HeartbeatKey([u8; 32]);

impl HeartbeatKey {
    pub fn from_secret(secret: &PairSecret) -> Self {
        Self(secret.derive("heartbeat"))
    }

    fn mac(&self, bytes: &[u8]) -> [u8; MAC_LEN] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes().first_chunk().expect("a BLAKE3 hash has 32 bytes")
    }
}

/// Why a datagram is no heartbeat of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatRefusal {
    WrongLength,
    VersionUnknown(u8),
    /// Forged, damaged, or of another pair.
    NotAuthentic,
    Unreadable,
    /// Our own, come back.
    Own,
}

impl BeatRefusal {
    /// Short, stable name for counters and status.
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongLength => "wrong_length",
            Self::VersionUnknown(_) => "version_unknown",
            Self::NotAuthentic => "not_authentic",
            Self::Unreadable => "unreadable",
            Self::Own => "own",
        }
    }
}

impl fmt::Display for BeatRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongLength => f.write_str("datagram has a length that no heartbeat has"),
            Self::VersionUnknown(version) => write!(f, "heartbeat version {version} is not known here"),
            Self::NotAuthentic => f.write_str("heartbeat is not authentic"),
            Self::Unreadable => f.write_str("heartbeat is authentic but cannot be read"),
            Self::Own => f.write_str("our own heartbeat came back"),
        }
    }
}

impl std::error::Error for BeatRefusal {}

/// The datagram for one heartbeat.
pub fn encode(beat: &Heartbeat, key: &HeartbeatKey) -> Vec<u8> {
    let start = Vec::from([VERSION]);
    let mut bytes = postcard::to_extend(beat, start).expect("a heartbeat has only fields of known length");
    let mac = key.mac(&bytes);
    bytes.extend_from_slice(&mac);
    debug_assert!(bytes.len() <= DATAGRAM_MAX);
    bytes
}

/// The heartbeat in a datagram that came to server `own`.
///
/// # Errors
/// [`BeatRefusal`]. The version is looked at before the MAC, so that a newer peer is told from a forger; nothing else is.
pub fn decode(datagram: &[u8], key: &HeartbeatKey, own: ServerId) -> Result<Heartbeat, BeatRefusal> {
    if datagram.len() > DATAGRAM_MAX {
        return Err(BeatRefusal::WrongLength);
    }
    let (signed, mac) = datagram.split_last_chunk::<MAC_LEN>().ok_or(BeatRefusal::WrongLength)?;
    let (version, payload) = signed.split_first().ok_or(BeatRefusal::WrongLength)?;
    if *version != VERSION {
        return Err(BeatRefusal::VersionUnknown(*version));
    }
    if !same(&key.mac(signed), mac) {
        return Err(BeatRefusal::NotAuthentic);
    }
    match postcard::take_from_bytes::<Heartbeat>(payload) {
        Ok((beat, [])) if beat.from == own => Err(BeatRefusal::Own),
        Ok((beat, [])) => Ok(beat),
        Ok(_) | Err(_) => Err(BeatRefusal::Unreadable),
    }
}

/// Compares without leaving early, so that the time taken tells a forger nothing.
fn same(a: &[u8; MAC_LEN], b: &[u8; MAC_LEN]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b))) == 0
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{BeatNo, BootNonce, Complaints, DataId, Epoch, Holder, Mode, Role, Sequence, Standing};

    pub(crate) fn beat(boot: u64, number: u64, echo: Option<(u64, u64)>) -> Heartbeat {
        let standing = Standing {
            epoch: Epoch(3),
            holder: Holder::Pair { main: ServerId::A },
            data_id: DataId([7; 16]),
            mode: Mode::Pair,
            role: Role::Sub,
            can_acknowledge: true,
        };
        let echo = echo.map(|(boot, number)| (BootNonce(boot), BeatNo(number)));
        let (boot, number) = (BootNonce(boot), BeatNo(number));
        Heartbeat {
            from: ServerId::B,
            boot,
            number,
            echo,
            grants_lease: true,
            standing,
            stored: Sequence(u64::MAX),
            complaints: Complaints::default(),
            service_mac: Some([0xff; 6]),
        }
    }

    fn key(byte: u8) -> HeartbeatKey {
        HeartbeatKey([byte; 32])
    }

    #[test]
    fn a_heartbeat_comes_back_whole_and_fits_its_limit_with_every_number_at_its_largest() {
        let sent = beat(u64::MAX, u64::MAX, Some((u64::MAX, u64::MAX)));
        let datagram = encode(&sent, &key(1));
        assert!(datagram.len() < DATAGRAM_MAX / 2, "{}", datagram.len());
        assert_eq!(decode(&datagram, &key(1), ServerId::A), Ok(sent));
    }

    #[test]
    fn what_is_not_the_peers_heartbeat_is_refused_for_the_reason() {
        let good = encode(&beat(1, 1, None), &key(1));
        let newer = [&[2], &good[1..]].concat();
        let cut = &good[..good.len() - 1];
        let long = vec![VERSION; DATAGRAM_MAX + 1];
        let mut signed = [&good[..good.len() - MAC_LEN], &[0]].concat();
        signed.extend(key(1).mac(&signed));
        for (datagram, refusal) in [
            (&good[..0], BeatRefusal::WrongLength),
            (&good[..MAC_LEN], BeatRefusal::WrongLength),
            (&long, BeatRefusal::WrongLength),
            (&newer, BeatRefusal::VersionUnknown(2)),
            (cut, BeatRefusal::NotAuthentic),
            (&signed, BeatRefusal::Unreadable),
        ] {
            assert_eq!(decode(datagram, &key(1), ServerId::A), Err(refusal));
        }
    }

    #[test]
    fn another_pairs_key_makes_no_heartbeat() {
        let datagram = encode(&beat(1, 1, None), &key(1));
        assert_eq!(decode(&datagram, &key(2), ServerId::A), Err(BeatRefusal::NotAuthentic));
    }

    #[test]
    fn our_own_heartbeat_reflected_is_refused() {
        let datagram = encode(&beat(1, 1, None), &key(1));
        assert_eq!(decode(&datagram, &key(1), ServerId::B), Err(BeatRefusal::Own));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_never_a_heartbeat(bit in 0_usize..8 * 60) {
            let mut datagram = encode(&beat(u64::MAX, 9, Some((u64::MAX, 8))), &key(1));
            let bit = bit % (datagram.len() * 8);
            datagram[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&datagram, &key(1), ServerId::A).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, &key(1), ServerId::A);
        }
    }
}
