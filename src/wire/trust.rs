//! Whose certificate is believed: issued by this pair's authority, for the role expected here, whatever the clock says.

use std::sync::Arc;
use std::{fmt, io};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};

use super::pki::{CHECKED_AS_OF, CertificateRole};

/// Why a certificate was not believed. Names the certificate, so that a log line can be matched with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The role that it claims.
    pub claims: Option<CertificateRole>,
    /// First 8 bytes of BLAKE3 over the certificate, hexadecimal (`duplex` prints the same for its own files).
    pub fingerprint: String,
    pub why: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let claims = self.claims.map_or("no role", CertificateRole::name);
        write!(f, "certificate {} (claims {claims}) {}", self.fingerprint, self.why)
    }
}

impl std::error::Error for Stranger {}

impl Stranger {
    fn in_tls(error: &TlsError) -> Option<&Self> {
        let TlsError::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error else { return None };
        inner.downcast_ref()
    }
}

/// The other side said that it does not believe the certificate shown to it; it does not say why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disbelieved;

impl fmt::Display for Disbelieved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the other side does not believe this side's certificate; its log says why")
    }
}

impl std::error::Error for Disbelieved {}

impl Disbelieved {
    fn in_tls(error: &TlsError) -> Option<Self> {
        use AlertDescription::{BadCertificate, CertificateUnknown, UnknownCA, UnsupportedCertificate};
        let TlsError::AlertReceived(alert) = error else { return None };
        matches!(alert, BadCertificate | CertificateUnknown | UnknownCA | UnsupportedCertificate).then_some(Self)
    }
}

/// A failed connection's error with the [`Stranger`] itself inside, or [`Disbelieved`], if that is the reason: rustls would show the one
/// as a debug dump, the other as a word of its source.
pub fn named(error: io::Error) -> io::Error {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref()) else { return error };
    match (Stranger::in_tls(tls), Disbelieved::in_tls(tls)) {
        (Some(stranger), _) => io::Error::new(error.kind(), stranger.clone()),
        (None, Some(disbelieved)) => io::Error::new(error.kind(), disbelieved),
        (None, None) => error,
    }
}

/// Short name of a certificate: first 8 bytes of BLAKE3, hexadecimal.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    blake3::hash(certificate).to_hex()[..16].to_owned()
}

/// Believes certificates of one authority, for some roles. Wraps webpki's verifiers and replaces only the time and the name.
#[derive(Debug)]
pub(super) struct PairTrust {
    as_server: Arc<WebPkiServerVerifier>,
    as_client: Arc<dyn ClientCertVerifier>,
    roles: Vec<CertificateRole>,
}

impl PairTrust {
    pub(super) fn new(
        authority: CertificateDer<'static>,
        roles: &[CertificateRole],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        let roots = Arc::new(roots);
        let general = |error: rustls::server::VerifierBuilderError| TlsError::General(error.to_string());
        Ok(Self {
            as_server: WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build().map_err(general)?,
            as_client: WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(general)?,
            roles: roles.to_vec(),
        })
    }

    /// The expected role, after the chain was found good.
    fn expected_role(&self, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
        let claims = CertificateRole::claimed_by(certificate);
        if claims.is_some_and(|role| self.roles.contains(&role)) {
            return Ok(());
        }
        let expected: Vec<_> = self.roles.iter().map(|role| role.name()).collect();
        Err(stranger(certificate, format!("is not {}", expected.join(" or "))))
    }
}

fn stranger(certificate: &CertificateDer<'_>, why: String) -> TlsError {
    let claims = CertificateRole::claimed_by(certificate);
    let stranger = Stranger { claims, fingerprint: fingerprint(certificate), why };
    CertificateError::Other(OtherError(Arc::new(stranger))).into()
}

fn not_ours(certificate: &CertificateDer<'_>, error: &TlsError) -> TlsError {
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            stranger(certificate, "was not issued by this pair's authority".into())
        }
        TlsError::InvalidCertificate(why) => stranger(certificate, format!("is not valid: {why}")),
        other => stranger(certificate, format!("is not valid: {other}")),
    }
}

impl ServerCertVerifier for PairTrust {
    /// The name asked for is ignored: the role is the identity, and addresses move.
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let claimed = CertificateRole::claimed_by(certificate).unwrap_or(CertificateRole::Terminal).server_name();
        let verified = self.as_server.verify_server_cert(certificate, intermediates, &claimed, ocsp, CHECKED_AS_OF);
        let verified = verified.map_err(|error| not_ours(certificate, &error))?;
        self.expected_role(certificate).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.as_server.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.as_server.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.as_server.supported_verify_schemes()
    }
}

impl ClientCertVerifier for PairTrust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.as_client.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let verified = self.as_client.verify_client_cert(certificate, intermediates, CHECKED_AS_OF);
        let verified = verified.map_err(|error| not_ours(certificate, &error))?;
        self.expected_role(certificate).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.as_client.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.as_client.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.as_client.supported_verify_schemes()
    }
}
