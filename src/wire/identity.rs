//! What one box proves itself with: its certificate and key, the pair's authority, and the secret that both servers share.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::pki::{CHECKED_AS_OF, CertificateRole, Issued};
use super::trust::{PairTrust, fingerprint, named};

/// A file of the pair's identity that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct IdentityError {
    pub file: PathBuf,
    pub reason: String,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for IdentityError {}

fn bad(file: &Path, reason: impl ToString) -> IdentityError {
    IdentityError { file: file.to_owned(), reason: reason.to_string() }
}

/// A certificate with its key and the authority that issued it, checked against each other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    pub role: CertificateRole,
    pub(super) authority: CertificateDer<'static>,
    pub(super) certified: Arc<CertifiedKey>,
}

/// The one cryptography provider, named everywhere, so that nothing depends on a process-wide default.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Identity {
    /// Reads three PEM files.
    ///
    /// # Errors
    /// [`IdentityError`] names the file: unreadable, not PEM, not of that authority, without a role, or key and certificate differ.
    pub fn load(authority: &Path, certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |file: &Path| fs::read(file).map_err(|error| bad(file, error));
        Self::assemble((authority, &read(authority)?), (certificate, &read(certificate)?), (key, &read(key)?))
    }

    /// As [`Self::load`], from what was just issued; errors name the part instead of a file.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_pem(authority_pem: &str, issued: &Issued) -> Result<Self, IdentityError> {
        Self::assemble(
            (Path::new("authority"), authority_pem.as_bytes()),
            (Path::new("certificate"), issued.certificate_pem.as_bytes()),
            (Path::new("key"), issued.key_pem.as_bytes()),
        )
    }

    fn assemble(authority: (&Path, &[u8]), certificate: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<Self, IdentityError> {
        let issuer = certificate_from(authority)?;
        let own = certificate_from(certificate)?;
        let secret = PrivateKeyDer::from_pem_slice(key.1).map_err(|error| bad(key.0, without(error, "private key")))?;
        let trust = PairTrust::new(issuer.clone(), &CertificateRole::ALL, provider()).map_err(|error| bad(authority.0, error))?;
        let claimed = CertificateRole::claimed_by(&own).ok_or_else(|| bad(certificate.0, "names no role in a pair"))?;
        trust
            .verify_server_cert(&own, &[], &claimed.server_name(), &[], CHECKED_AS_OF)
            .map_err(|error| bad(certificate.0, named(io::Error::other(error))))?;
        let certified = CertifiedKey::from_der(vec![own], secret, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => bad(key.0, "is not the key of the certificate beside it"),
            error => bad(key.0, error),
        })?;
        Ok(Self { role: claimed, authority: issuer, certified: Arc::new(certified) })
    }

    /// The certificate of the pair's authority.
    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// Short name of the authority: equal on both servers, compared by `duplex join`.
    pub fn authority_fingerprint(&self) -> String {
        fingerprint(&self.authority)
    }
}

/// The pair's authority alone, for whoever only checks (terminals, a witness that takes the first register).
///
/// # Errors
/// [`IdentityError`] names the file.
pub fn load_authority(file: &Path) -> Result<CertificateDer<'static>, IdentityError> {
    let pem = fs::read(file).map_err(|error| bad(file, error))?;
    certificate_from((file, &pem))
}

fn certificate_from((file, pem): (&Path, &[u8])) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem).map_err(|error| bad(file, without(error, "certificate")))
}

/// Why there is no such thing in a file; the library's own words for "none" name nothing.
fn without(error: pem::Error, what: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("holds no {what}"),
        error => error.to_string(),
    }
}

/// 32 random bytes known to both servers only. Never used itself: every purpose gets a key of its own.
#[derive(Clone)]
pub struct PairSecret([u8; 32]);

impl fmt::Debug for PairSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairSecret(..)")
    }
}

impl PairSecret {
    /// # Errors
    /// [`getrandom::Error`] if the system has no randomness.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// # Errors
    /// [`IdentityError`] if the file cannot be read or has not exactly 32 bytes.
    pub fn load(file: &Path) -> Result<Self, IdentityError> {
        let bytes = fs::read(file).map_err(|error| bad(file, error))?;
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| bad(file, format!("has {len} bytes, a pair secret has 32")))
    }

    /// Writes a new file that only its owner can read.
    ///
    /// # Errors
    /// As [`write_secret`].
    pub fn save(&self, file: &Path) -> io::Result<()> {
        write_secret(file, &self.0)
    }

    /// The key for one purpose, for example `heartbeat`. Keys of two purposes say nothing about each other or the secret.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(&format!("duplex pair secret v1: {purpose}"), &self.0)
    }
}

/// Writes a new file of mode 0600 and makes it durable. An existing file is never overwritten: it may be the only copy of a key.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], and whatever writing says.
pub fn write_secret(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    opened.write_all(bytes)?;
    opened.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pki::PairAuthority;

    #[test]
    fn an_identity_of_another_pair_is_refused_and_the_certificate_is_named() {
        let (ours, theirs) = (PairAuthority::create().unwrap(), PairAuthority::create().unwrap());
        let issued = theirs.issue(CertificateRole::Witness, &[]).unwrap();
        let refused = Identity::from_pem(ours.certificate_pem(), &issued).unwrap_err();
        assert_eq!(refused.file, Path::new("certificate"));
        assert!(refused.reason.contains("not issued by this pair's authority"), "{refused}");
    }

    #[test]
    fn a_key_that_does_not_fit_its_certificate_is_refused_and_named() {
        let authority = PairAuthority::create().unwrap();
        let mut issued = authority.issue(CertificateRole::Witness, &[]).unwrap();
        issued.key_pem = authority.issue(CertificateRole::Witness, &[]).unwrap().key_pem;
        let refused = Identity::from_pem(authority.certificate_pem(), &issued).unwrap_err().to_string();
        assert_eq!(refused, "key: is not the key of the certificate beside it");
    }

    #[test]
    fn files_are_read_and_errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let [ca, cert, key] = ["ca.pem", "server.pem", "server-key.pem"].map(|name| dir.path().join(name));
        let authority = PairAuthority::create().unwrap();
        let issued = authority.issue(CertificateRole::ALL[1], &[]).unwrap();
        fs::write(&ca, authority.certificate_pem()).unwrap();
        fs::write(&cert, "a note\n").unwrap();
        assert!(load_authority(&cert).unwrap_err().to_string().ends_with("server.pem: holds no certificate"));
        fs::write(&cert, &issued.certificate_pem).unwrap();
        assert_eq!(Identity::load(&ca, &cert, &key).unwrap_err().file, key);
        write_secret(&key, issued.key_pem.as_bytes()).unwrap();
        assert_eq!(Identity::load(&ca, &cert, &key).unwrap().role, CertificateRole::ALL[1]);
        assert_eq!(Identity::load(&ca, &key, &key).unwrap_err().file, key);
    }

    #[test]
    fn an_authority_read_back_from_its_files_issues_for_the_same_pair() {
        let authority = PairAuthority::create().unwrap();
        let again = PairAuthority::from_pem(authority.certificate_pem(), &authority.key_pem()).unwrap();
        let issued = again.issue(CertificateRole::ALL[0], &[]).unwrap();
        assert!(Identity::from_pem(authority.certificate_pem(), &issued).is_ok());
    }

    #[test]
    fn each_purpose_gets_its_own_key_and_a_saved_secret_gives_the_same_ones() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pair-secret");
        let secret = PairSecret::draw().unwrap();
        secret.save(&file).unwrap();
        assert_eq!(secret.save(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let loaded = PairSecret::load(&file).unwrap();
        assert_eq!(loaded.derive("heartbeat"), secret.derive("heartbeat"));
        assert_ne!(loaded.derive("heartbeat"), loaded.derive("pin"));
    }

    #[test]
    fn a_secret_of_the_wrong_length_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pair-secret");
        fs::write(&file, [0; 31]).unwrap();
        assert!(PairSecret::load(&file).unwrap_err().to_string().contains("31 bytes"));
    }
}
