//! The pair's own certificate authority, made once by `duplex init`: who may call itself server A, server B, witness, or speak to
//! terminals. A certificate says one [`CertificateRole`], as a DNS name; addresses are in it only for terminals that check them.
//!
//! **Time.** A box may come up in 1970. Certificates of a pair are therefore checked as of [`CHECKED_AS_OF`], a moment just after
//! the fixed beginning of all of them, never by the clock: neither a wrong clock nor an expired certificate stops a pair. What makes
//! a certificate worthless is a new authority (`duplex init`), not a date. Foreign terminals may check dates; ours begin in 2000
//! and end in 9999, which RFC 5280 defines as "no expiration".

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;

use crate::model::ServerId;

/// First year of every certificate of every pair: before any clock that a battery-less box could sensibly show, after 32-bit oddities.
const FIRST_YEAR: i32 = 2000;
/// RFC 5280, 4.1.2.5: a certificate without a well-defined end.
const LAST_YEAR: i32 = 9999;
/// 2000-01-01T00:00:01Z: when certificates are deemed to be checked (see the file's head).
pub(super) const CHECKED_AS_OF: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(946_684_801));

/// What the holder of a certificate may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateRole {
    Server(ServerId),
    Witness,
    /// The side of a server that terminals see. Opens no link.
    Terminal,
}

impl CertificateRole {
    pub const ALL: [Self; 4] = [Self::Server(ServerId::A), Self::Server(ServerId::B), Self::Witness, Self::Terminal];

    /// As in logs and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server(ServerId::A) => "server-a",
            Self::Server(ServerId::B) => "server-b",
            Self::Witness => "witness",
            Self::Terminal => "terminal",
        }
    }

    /// The DNS name that a certificate of this role carries. `.internal` is reserved for private use, so no public authority signs it.
    pub fn dns_name(self) -> &'static str {
        match self {
            Self::Server(ServerId::A) => "server-a.duplex.internal",
            Self::Server(ServerId::B) => "server-b.duplex.internal",
            Self::Witness => "witness.duplex.internal",
            Self::Terminal => "terminal.duplex.internal",
        }
    }

    /// What a TLS client asks for.
    pub fn server_name(self) -> ServerName<'static> {
        ServerName::try_from(self.dns_name()).expect("the names above are DNS names")
    }

    /// The role that a certificate claims; whether it may is for [`super::trust`] to say.
    pub fn claimed_by(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = ParsedCertificate::try_from(certificate).ok()?;
        Self::ALL.into_iter().find(|role| verify_server_name(&parsed, &role.server_name()).is_ok())
    }
}

/// A certificate and its key, as PEM text.
#[derive(Clone)]
pub struct Issued {
    pub certificate_pem: String,
    /// Secret.
    pub key_pem: String,
}

/// The pair's authority with its key. Lives on the disk of whoever may add a server; running servers do not need it.
pub struct PairAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl PairAuthority {
    /// Draws a new authority: certificates of any earlier one are strangers to it.
    ///
    /// # Errors
    /// [`rcgen::Error`] if no key can be drawn.
    pub fn create() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mark = blake3::hash(key.public_key_raw()).to_hex();
        let mut params = dated(LAST_YEAR);
        params.distinguished_name.push(DnType::CommonName, format!("duplex pair {}", &mark[..12]));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// The authority as it was written to disk.
    ///
    /// # Errors
    /// [`rcgen::Error`] if either text is no PEM of the right kind.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::from_pem(key_pem)?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key)?;
        Ok(Self { issuer, certificate_pem: certificate_pem.to_owned() })
    }

    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    pub(super) fn signing_key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// A certificate for `role`. `addresses` are for [`CertificateRole::Terminal`]: every address that a terminal may connect to.
    ///
    /// # Errors
    /// [`rcgen::Error`] if no key can be drawn.
    pub fn issue(&self, role: CertificateRole, addresses: &[IpAddr]) -> Result<Issued, rcgen::Error> {
        self.issue_until(role, addresses, LAST_YEAR)
    }

    /// As [`Self::issue`], with an end on 1 January of `year` for whoever checks dates (duplex itself does not).
    ///
    /// # Errors
    /// [`rcgen::Error`] if no key can be drawn.
    pub fn issue_until(&self, role: CertificateRole, addresses: &[IpAddr], year: i32) -> Result<Issued, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = dated(year);
        params.distinguished_name.push(DnType::CommonName, role.name());
        params.subject_alt_names = vec![SanType::DnsName(role.dns_name().try_into()?)];
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match role {
            CertificateRole::Terminal => vec![ExtendedKeyUsagePurpose::ServerAuth],
            CertificateRole::Server(_) | CertificateRole::Witness => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn dated(last_year: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(FIRST_YEAR, 1, 1);
    params.not_after = match last_year {
        LAST_YEAR => date_time_ymd(LAST_YEAR, 12, 31),
        year => date_time_ymd(year, 1, 1),
    };
    params
}
