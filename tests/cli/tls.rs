//! Whom a client believes, and what it says where one side speaks TLS and the other does not.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Output;
use std::thread;

use duplex::wire::{identity::Identity, pki, tls};
use serde_json::{Value, json};

use crate::{duplex, stderr};

/// A service behind TLS of the pair's authority: every line is answered `ok`.
fn tls_service(identity: Identity) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = tls::terminal_server(&identity).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = BufReader::new(rustls::StreamOwned::new(connection, stream.unwrap()));
            let mut line = String::new();
            // A stranger's hello ends the handshake, and with it this connection.
            while tls.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                let request: Value = serde_json::from_str(&line).unwrap();
                let answer = json!({ "command_id": request["command_id"], "status": "ok", "body": {} });
                writeln!(tls.get_mut(), "{answer}").unwrap();
                line.clear();
            }
        }
    });
    address
}

#[test]
fn over_tls_a_terminal_believes_the_pairs_own_authority_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let authorities = [pki::PairAuthority::create().unwrap(), pki::PairAuthority::create().unwrap()];
    let issued = authorities[0].issue(pki::CertificateRole::Terminal, &[]).unwrap();
    let address = tls_service(Identity::from_pem(authorities[0].certificate_pem(), &issued).unwrap()).to_string();
    let [ok, refused] = authorities.map(|authority| heartbeat(directory.path(), &address, Some(authority.certificate_pem())));
    assert!(ok.status.success(), "{}", stderr(&ok));
    is_refused_at_once(&refused, "--ca");
}

#[test]
fn one_side_with_tls_and_the_other_without_is_said_at_once_and_nothing_counts_as_sent() {
    let directory = tempfile::tempdir().unwrap();
    let authority = pki::PairAuthority::create().unwrap();
    let issued = authority.issue(pki::CertificateRole::Terminal, &[]).unwrap();
    let address = tls_service(Identity::from_pem(authority.certificate_pem(), &issued).unwrap()).to_string();
    is_refused_at_once(&heartbeat(directory.path(), &address, None), "the service speaks TLS");

    // A plain service reads the handshake as a bad line and says so.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().for_each(|stream| drop(writeln!(stream.unwrap(), "{{}}"))));
    let certificate = authority.certificate_pem();
    is_refused_at_once(&heartbeat(directory.path(), &address, Some(certificate)), "does not speak TLS");
}

fn heartbeat(directory: &Path, address: &str, ca: Option<&str>) -> Output {
    let (file, state) = (directory.join("ca.pem"), directory.join("state.json"));
    std::fs::write(&file, ca.unwrap_or_default()).unwrap();
    let how = if ca.is_some() { vec!["--ca", file.to_str().unwrap()] } else { vec!["--plain"] };
    let rest = ["--address", address, "--terminal", "S001", "--key", "k", "--state", state.to_str().unwrap(), "heartbeat"];
    duplex(&[&["terminal"], &how[..], &rest[..]].concat())
}

/// Long before the patience of 60 s is over.
#[track_caller]
fn is_refused_at_once(output: &Output, said: &str) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(said) && text.contains("was never sent"), "{text}");
}
