//! The signed first-register file: `duplex init` writes it, an empty witness takes it once. Readable JSON, so that a person can
//! check what is about to be trusted; signed by the pair's authority over exactly the bytes of its `register` field.

use std::fmt;

use rcgen::SigningKey;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::pki::PairAuthority;
use crate::model::{DataId, Digest, Epoch, Holder, Position, Register, Sequence};

/// Put before the signed bytes: a signature over anything else of this authority never passes for a register.
const CONTEXT: &[u8] = b"duplex first register v1\n";

/// How the subject public key of a P-256 certificate begins; the uncompressed point follows.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a first-register file was not taken.
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterRefused(pub String);

impl fmt::Display for RegisterRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot take the first register: {}", self.0)
    }
}

impl std::error::Error for RegisterRefused {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedFile<'a> {
    #[serde(borrow)]
    register: &'a RawValue,
    /// ECDSA P-256 with SHA-256, hexadecimal.
    signature: String,
}

/// [`Register`] as a person reads it: digests and ids in hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readable {
    epoch: Epoch,
    holder: Holder,
    data_id_a: String,
    data_id_b: String,
    recorded_epoch: Epoch,
    recorded_sequence: Sequence,
    recorded_digest: String,
}

/// The file's text.
///
/// # Errors
/// [`rcgen::Error`] if the key cannot sign.
pub fn sign_register(authority: &PairAuthority, register: &Register) -> Result<String, rcgen::Error> {
    let readable = Readable {
        epoch: register.epoch,
        holder: register.holder,
        data_id_a: hex(&register.data_ids[0].0),
        data_id_b: hex(&register.data_ids[1].0),
        recorded_epoch: register.recorded.epoch,
        recorded_sequence: register.recorded.sequence,
        recorded_digest: hex(&register.recorded.digest.0),
    };
    let raw = serde_json::value::to_raw_value(&readable).expect("numbers and strings always encode");
    let signature = hex(&authority.signing_key().sign(&signed_bytes(raw.get()))?);
    Ok(serde_json::to_string_pretty(&SignedFile { register: &raw, signature }).expect("two strings always encode") + "\n")
}

/// The register in the file, if this pair's authority signed it.
///
/// # Errors
/// [`RegisterRefused`] says whether the text, the signature or a field is wrong.
pub fn verify_register(authority: &CertificateDer<'_>, text: &str) -> Result<Register, RegisterRefused> {
    let refuse = |reason: &str| RegisterRefused(reason.to_owned());
    let file: SignedFile = serde_json::from_str(text).map_err(|error| RegisterRefused(error.to_string()))?;
    let signature = unhex_any(&file.signature).ok_or_else(|| refuse("`signature` is not hexadecimal"))?;
    let point = public_point(authority).ok_or_else(|| refuse("the authority's key is not a P-256 key"))?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&signed_bytes(file.register.get()), &signature)
        .map_err(|_| refuse("the signature is not this pair's authority's"))?;
    let readable: Readable = serde_json::from_str(file.register.get()).map_err(|error| RegisterRefused(error.to_string()))?;
    readable.register().ok_or_else(|| refuse("an id or digest has the wrong length"))
}

impl Readable {
    fn register(&self) -> Option<Register> {
        let data_ids = [DataId(unhex(&self.data_id_a)?), DataId(unhex(&self.data_id_b)?)];
        let digest = Digest(unhex(&self.recorded_digest)?);
        let recorded = Position { epoch: self.recorded_epoch, sequence: self.recorded_sequence, digest };
        Some(Register { epoch: self.epoch, holder: self.holder, data_ids, recorded })
    }
}

fn signed_bytes(register: &str) -> Vec<u8> {
    [CONTEXT, register.as_bytes()].concat()
}

fn public_point(authority: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let spki = ParsedCertificate::try_from(authority).ok()?.subject_public_key_info();
    spki.strip_prefix(&P256_SPKI_PREFIX).map(<[u8]>::to_vec)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    unhex_any(text)?.try_into().ok()
}

fn unhex_any(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::model::ServerId;

    fn register() -> Register {
        let holder = Holder::Pair { main: ServerId::A };
        Register { epoch: Epoch(1), holder, data_ids: [DataId([0xa1; 16]), DataId([0xb2; 16])], recorded: Position::GENESIS }
    }

    fn authority() -> (PairAuthority, CertificateDer<'static>) {
        let authority = PairAuthority::create().unwrap();
        let der = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
        (authority, der)
    }

    #[test]
    fn a_signed_register_is_readable_and_comes_back_whole() {
        let (authority, der) = authority();
        let text = sign_register(&authority, &register()).unwrap();
        assert!(text.contains(r#""data_id_a":"a1a1a1a1"#), "{text}");
        assert_eq!(verify_register(&der, &text), Ok(register()));
    }

    #[test]
    fn a_changed_register_is_refused() {
        let (authority, der) = authority();
        let text = sign_register(&authority, &register()).unwrap().replace(r#""epoch":1"#, r#""epoch":2"#);
        assert!(verify_register(&der, &text).unwrap_err().0.contains("signature"));
    }

    #[test]
    fn another_pairs_register_is_refused() {
        let (authority_of_others, (_, der)) = (authority().0, authority());
        let text = sign_register(&authority_of_others, &register()).unwrap();
        assert!(verify_register(&der, &text).unwrap_err().0.contains("signature"));
    }

    #[test]
    fn text_that_is_no_register_file_is_refused_in_words() {
        let (_, der) = authority();
        for text in ["", "{}", r#"{"register":{},"signature":"é0"}"#, r#"{"register":{},"signature":"abc"}"#] {
            assert!(verify_register(&der, text).is_err());
        }
    }
}
