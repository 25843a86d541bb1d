//! Sessions: signed tokens that both servers accept, because they hold what the server would otherwise have to remember.
//!
//! A token is the claim, then its MAC, in hexadecimal. The MAC also covers what the claim is *bound* to (the card's PIN hash, the
//! staff member's password hash): a new PIN or password ends every session without a list of sessions.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::secrets::Secrets;
use crate::model::UnixMs;

const MAC_LEN: usize = 32;

/// Somebody put a card into a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSession {
    pub card_id: String,
    pub terminal_id: String,
    /// Ends with the business day, whatever the clocks say.
    pub day: i32,
    pub issued_at: UnixMs,
    pub pin_checked: bool,
}

/// A member of staff signed in at a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaffSession {
    pub staff_id: String,
    pub terminal_id: String,
    pub issued_at: UnixMs,
}

/// What a token can say.
pub trait Claim: Serialize + DeserializeOwned {
    /// Keeps a token of one kind from being read as the other.
    const PURPOSE: u8;
    /// How long after its issue the token is good; every answer to its holder may carry a renewed one.
    const IDLE_MS_MAX: i64;

    fn issued_at(&self) -> UnixMs;
}

impl Claim for CardSession {
    const PURPOSE: u8 = b'C';
    /// 15 minutes [A]: longer than a guest leaves a seat with the card in it.
    const IDLE_MS_MAX: i64 = 15 * 60_000;

    fn issued_at(&self) -> UnixMs {
        self.issued_at
    }
}

impl Claim for StaffSession {
    const PURPOSE: u8 = b'S';
    /// 12 hours [A]: one shift.
    const IDLE_MS_MAX: i64 = 12 * 3_600_000;

    fn issued_at(&self) -> UnixMs {
        self.issued_at
    }
}

/// A token that was readable. What it claims is nobody's word until [`Unverified::holds`] says so.
#[derive(Debug)]
pub struct Unverified<C> {
    pub claim: C,
    payload: Vec<u8>,
    mac: [u8; MAC_LEN],
}

impl<C: Claim> Unverified<C> {
    /// `None` if `token` does not even have the form of a token.
    pub fn read(token: &str) -> Option<Self> {
        let mut payload = bytes_from_hex(token)?;
        let mac = payload.split_off(payload.len().checked_sub(MAC_LEN)?);
        Some(Self { claim: postcard::from_bytes(&payload).ok()?, payload, mac: mac.try_into().ok()? })
    }

    /// Whether this pair made the token, for this binding, and not too long ago. A clock that is behind the issuer's does no harm.
    pub fn holds(&self, secrets: &Secrets, bound: &[u8], now: UnixMs) -> bool {
        let fresh = now.0.saturating_sub(self.claim.issued_at().0) <= C::IDLE_MS_MAX;
        fresh && mac::<C>(secrets, &self.payload, bound) == blake3::Hash::from_bytes(self.mac)
    }
}

/// The signed token of a claim.
pub fn seal<C: Claim>(claim: &C, secrets: &Secrets, bound: &[u8]) -> String {
    let payload = postcard::to_stdvec(claim).expect("a claim holds only strings and numbers");
    let mac = mac::<C>(secrets, &payload, bound);
    let mut token = String::with_capacity(2 * (payload.len() + MAC_LEN));
    for byte in payload.iter().chain(mac.as_bytes()) {
        write!(token, "{byte:02x}").expect("a string takes any text");
    }
    token
}

fn mac<C: Claim>(secrets: &Secrets, payload: &[u8], bound: &[u8]) -> blake3::Hash {
    let mut hasher = secrets.session_mac();
    hasher.update(&[C::PURPOSE]);
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
    hasher.update(bound);
    hasher.finalize()
}

fn bytes_from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn claim() -> StaffSession {
        StaffSession { staff_id: "s1".into(), terminal_id: "office".into(), issued_at: UnixMs(1_000) }
    }

    #[test]
    fn a_session_holds_until_its_idle_limit_and_only_with_its_binding_and_secret() {
        let (secrets, others) = (Secrets::derive(&[1; 32]), Secrets::derive(&[2; 32]));
        let token = seal(&claim(), &secrets, b"hash");
        let read = Unverified::<StaffSession>::read(&token).unwrap();
        let end = UnixMs(1_000 + StaffSession::IDLE_MS_MAX);
        assert_eq!(read.claim, claim());
        assert!(read.holds(&secrets, b"hash", end));
        assert!(read.holds(&secrets, b"hash", UnixMs(0)));
        assert!(!read.holds(&secrets, b"hash", UnixMs(end.0 + 1)));
        assert!(!read.holds(&secrets, b"other", end));
        assert!(!read.holds(&others, b"hash", end));
    }

    #[test]
    fn no_changed_digit_of_a_session_goes_unnoticed() {
        let secrets = Secrets::derive(&[1; 32]);
        let token = seal(&claim(), &secrets, b"hash");
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            let read = Unverified::<StaffSession>::read(&changed);
            assert!(read.is_none_or(|read| !read.holds(&secrets, b"hash", UnixMs(1_000))), "{place}");
        }
    }

    #[test]
    fn a_session_of_one_kind_is_none_of_the_other() {
        let secrets = Secrets::derive(&[1; 32]);
        let card =
            CardSession { card_id: "s1".into(), terminal_id: "office".into(), day: 0, issued_at: UnixMs(0), pin_checked: true };
        let read = Unverified::<StaffSession>::read(&seal(&card, &secrets, b""));
        assert!(read.is_none_or(|read| !read.holds(&secrets, b"", UnixMs(0))));
    }

    #[test]
    fn what_is_no_token_is_not_read() {
        for token in ["", "0", "zz", "00", "é", &"f".repeat(200)] {
            assert!(Unverified::<StaffSession>::read(token).is_none(), "{token}");
        }
    }
}
