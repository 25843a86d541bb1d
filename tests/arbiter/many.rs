//! Many pairs at one witness: each has its own register, its own file, and nothing to do with the others.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duplex::arbiter::witness_file::PairId;
use duplex::arbiter::{Accounts, Arbiter, ArbiterError, CasOutcome, Witness, WitnessError};
use duplex::wire::identity::load_authority;
use duplex::wire::pki::CertificateRole;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use slog::{Discard, Logger, o};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::strangers::Log;
use crate::{A, B, LIMIT, Running, Site, asker, compare_and_set, identity_in, introduce, pair, solo};

/// What servers before the name of a pair call, each of its own witness.
const NO_PAIR: &str = "witness.duplex.internal";

fn open(sites: &[&Site], log: Logger) -> Result<Witness, WitnessError> {
    let identities: Vec<_> = sites.iter().map(|site| identity_in(site.path())).collect();
    Witness::open(sites[0].path(), &identities, log)
}

/// A witness of all these pairs, with its data in the directory of the first one.
pub async fn shared(sites: &[&Site]) -> (Running, Accounts) {
    let witness = open(sites, Logger::root(Discard, o!())).unwrap();
    let accounts = witness.accounts();
    (Running::of(witness).await, accounts)
}

fn id(site: &Site) -> PairId {
    PairId::of(&load_authority(&site.path().join("ca.pem")).unwrap())
}

pub fn kept_file(data: &Site, site: &Site) -> PathBuf {
    data.path().join(format!("pairs/{}.json", id(site)))
}

#[tokio::test]
async fn two_pairs_at_one_witness_take_over_without_each_other() {
    let (one, two) = (Site::new(), Site::new());
    let (running, accounts) = shared(&[&one, &two]).await;
    let (ones, twos) = (one.servers(running.address), two.servers(running.address));
    introduce(&one, &ones).await;
    assert_eq!(twos[0].read(asker(A, 1), LIMIT).await, Ok(None), "the other pair's register is not this one's");
    introduce(&two, &twos).await;
    assert_eq!(compare_and_set(&twos[1], B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
    assert_eq!(ones[0].read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))));
    assert_eq!(twos[0].read(asker(A, 1), LIMIT).await, Ok(Some(solo(2, B))));
    let accounts = accounts.read();
    let landed: Vec<_> = accounts.iter().map(|account| (account.status.pair.clone(), account.status.landed)).collect();
    assert_eq!(landed, [(id(&one).to_string(), 0), (id(&two).to_string(), 1)]);
    assert!(accounts.iter().all(|account| account.refused.0["awaits"] == 1 && account.written.is_some()), "{accounts:?}");
    for (site, landed) in [(&one, 0), (&two, 1)] {
        let status = site.client(CertificateRole::Witness, running.address).status(LIMIT).await.unwrap();
        assert_eq!((status.pair, status.landed), (id(site).to_string(), landed));
    }
    running.stop().await;
    let (running, again) = shared(&[&one, &two]).await;
    assert!(again.read().iter().all(|account| account.written.is_some()), "read from the file");
    assert_eq!(one.servers(running.address)[0].read(asker(A, 1), LIMIT).await, Ok(Some(pair(1))));
    assert_eq!(two.servers(running.address)[0].read(asker(A, 1), LIMIT).await, Ok(Some(solo(2, B))));
}

#[tokio::test]
async fn a_name_opens_no_other_pairs_desk() {
    let (one, two) = (Site::new(), Site::new());
    let log = Log::default();
    let witness = open(&[&one, &two], log.logger()).unwrap();
    let accounts = witness.accounts();
    let running = Running::of(witness).await;
    let name = |site: &Site| format!("{}.{NO_PAIR}", &id(site).to_string()[..32]);
    for (stranger, called) in [(&one, name(&two)), (&two, name(&one)), (&two, NO_PAIR.into()), (&two, "elsewhere.test".into())] {
        let met =
            timeout(LIMIT, connect(stranger, &called, running.address)).await.expect("whoever is let in waits for an answer");
        let ended = met.unwrap_err().to_string();
        assert!(ended.contains("alert"), "{called}: {ended}");
    }
    assert_eq!(log.lines_with("connected").len(), 0);
    assert!(!log.lines_with("was not issued by this pair's authority").is_empty());
    assert_eq!(accounts.read().iter().map(|account| account.status.answered).sum::<u64>(), 0);
    // The same client is let in where it belongs; one that names no pair belongs to the first.
    for (member, called) in [(&one, name(&one)), (&two, name(&two)), (&one, NO_PAIR.into())] {
        let before = log.lines_with("connected").len();
        tokio::select! {
            ended = connect(member, &called, running.address) => panic!("{called}: {ended:?}"),
            () = crate::kills::until(|| log.lines_with("connected").len() > before) => {}
        }
        let of = id(if called == NO_PAIR { &one } else { member }).to_string();
        assert!(log.lines_with("connected").last().unwrap().contains(&format!("pair: {}", &of[..16])));
    }
}

#[tokio::test]
async fn a_pair_that_the_witness_does_not_serve_is_told_that_the_witness_is_another_pairs() {
    let (one, two) = (Site::new(), Site::new());
    let (running, _) = shared(&[&one, &two]).await;
    let [a, _] = Site::new().servers(running.address);
    let answer = a.read(asker(A, 1), LIMIT).await;
    assert!(matches!(&answer, Err(ArbiterError::Unreachable(why)) if why.contains("authority")), "{answer:?}");
}

#[tokio::test]
async fn a_damaged_file_stops_its_own_pair_only() {
    let (one, two) = (Site::new(), Site::new());
    let (running, _) = shared(&[&one, &two]).await;
    for site in [&one, &two] {
        introduce(site, &site.servers(running.address)).await;
    }
    running.stop().await;
    let damaged = kept_file(&one, &one);
    std::fs::write(&damaged, "{").unwrap();

    let log = Log::default();
    let witness = open(&[&one, &two], log.logger()).unwrap();
    let accounts = witness.accounts();
    let running = Running::of(witness).await;
    let (ones, twos) = (one.servers(running.address), two.servers(running.address));
    assert_eq!(compare_and_set(&twos[1], B, pair(1), solo(2, B)).await, Ok(CasOutcome::Landed(solo(2, B))));
    let path = damaged.to_str().unwrap();
    let first = one.first(&pair(1));
    for refused in [
        compare_and_set(&ones[1], B, pair(1), solo(2, B)).await.unwrap_err(),
        ones[1].introduce(asker(B, 1), &first, LIMIT).await.unwrap_err(),
        ones[1].read(asker(B, 1), LIMIT).await.unwrap_err(),
    ] {
        assert!(matches!(&refused, ArbiterError::Refused(why) if why.contains(path)), "{refused}");
    }
    assert_eq!(log.lines_with("its file cannot be used").len(), 1);
    assert_eq!(log.lines_with("cannot keep the register").len(), 1, "an asker repeats itself, the log does not");
    let status = one.client(CertificateRole::Witness, running.address).status(LIMIT).await.unwrap();
    assert!(status.register.is_none() && status.refuses.is_some_and(|why| why.contains(path)));
    assert_eq!(accounts.read()[0].refused.0["file"], 3);
    assert_eq!(std::fs::read_to_string(&damaged).unwrap(), "{", "never begun anew");
    running.stop().await;

    std::fs::write(kept_file(&one, &two), "{").unwrap();
    let nothing = open(&[&one, &two], Logger::root(Discard, o!()));
    assert!(matches!(&nothing, Err(WitnessError::File(why)) if why.file == Path::new(path)));
}

#[test]
fn the_keys_of_one_pair_given_twice_are_refused() {
    let site = Site::new();
    let twice = open(&[&site, &site], Logger::root(Discard, o!()));
    assert!(matches!(&twice, Err(why @ WitnessError::Twice(_)) if why.to_string().contains(&id(&site).to_string())));
}

/// Server A of `member` calls `name`, believes whatever it is shown, and waits for the end.
async fn connect(member: &Site, name: &str, to: SocketAddr) -> std::io::Result<()> {
    let issued = member.authority.issue(CertificateRole::Server(A), &[]).unwrap();
    let certificate = CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let tcp = TcpStream::connect(to).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    tls.read_exact(&mut [0]).await.map(drop)
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
