//! What the pair's secret is good for in this application. Both servers hold the same secret, so both accept what either made.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};

use super::fields::Pin;

/// Keys derived from the pair's secret, one for each use.
#[derive(Clone)]
pub struct Secrets {
    pin: [u8; 32],
    session: [u8; 32],
    password: [u8; 32],
}

impl Secrets {
    /// Memory of one password derivation, KiB: OWASP's second recommended setting for Argon2id (19 MiB, 2 passes).
    const PASSWORD_MEMORY_KIB: u32 = 19 * 1024;
    const PASSWORD_PASSES: u32 = 2;

    pub fn derive(pair_secret: &[u8; 32]) -> Self {
        let key = |purpose| blake3::derive_key(purpose, pair_secret);
        Self {
            pin: key("duplex ledger 2026 card PIN"),
            session: key("duplex ledger 2026 session"),
            password: key("duplex ledger 2026 staff password"),
        }
    }

    /// What is stored of a card's PIN. Ten thousand values deserve no slow function: without the secret the hash says nothing.
    pub fn pin_hash(&self, card_id: &str, pin: &Pin) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.pin);
        hasher.update(card_id.as_bytes());
        // A card id holds no NUL, so id and PIN cannot run into each other.
        hasher.update(&[0]);
        hasher.update(pin.digits());
        *hasher.finalize().as_bytes()
    }

    /// Authenticates what a session says.
    pub(super) fn session_mac(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.session)
    }

    /// What is stored of a password. Deliberately slow (tens of milliseconds): call it before admission, never in DataUpdater.
    ///
    /// # Errors
    /// If Argon2 cannot get its memory.
    pub fn password_hash(&self, staff_id: &str, password: &str) -> Result<[u8; 32], argon2::Error> {
        let salt = blake3::keyed_hash(&self.password, staff_id.as_bytes());
        let params = Params::new(Self::PASSWORD_MEMORY_KIB, Self::PASSWORD_PASSES, 1, Some(32))?;
        let mut hash = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
            password.as_bytes(),
            salt.as_bytes(),
            &mut hash,
        )?;
        Ok(hash)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Compares two hashes in constant time.
pub fn same_hash(left: &[u8; 32], right: &[u8; 32]) -> bool {
    blake3::Hash::from_bytes(*left) == blake3::Hash::from_bytes(*right)
}
