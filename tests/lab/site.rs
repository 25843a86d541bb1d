//! What a scenario's pair is like, and how its files are made.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use duplex::cli::init::{PEER_PORT, WITNESS_PORT};

use crate::{
    netns::{INTERFACE, Lab},
    pair::{CLIENT, MAIN_ADDRESS, MAIN_IPV6, SERVERS, SUB_ADDRESS, SUB_IPV6, WITNESS, program},
    postgres::Postgres,
};

/// Of heartbeats, as init writes it.
const BEAT_PORT: u16 = 7401;
/// More than the load uses: one is left for the teller, who is at the counter.
const SEATS: u16 = 64;

/// What differs from what `duplex init --plain` writes.
#[derive(Clone, Default)]
pub struct Site {
    /// Terminals talk TLS.
    pub tls: bool,
    pub asynchronous: bool,
    /// Silence counts after 2 s, so that something can be done to a pair before it says that it is none.
    pub patient: bool,
    /// A cable joins the two: entries go over it, heartbeats over both ways.
    pub direct: bool,
    /// Each role has a service address of IPv6 too.
    pub ipv6: bool,
    /// What `DUPLEX_FAULT` says to each server.
    pub faults: [Option<String>; 2],
    /// Another arbiter than the witness: what stands in its table.
    pub arbiter: Option<&'static str>,
    /// Where both servers keep a database of their own, instead of SQLite.
    pub postgres: Option<Arc<Postgres>>,
}

impl Site {
    /// `duplex init`, and the configurations changed.
    pub fn make(&self, lab: &Lab, directory: &Path) {
        let server = |name: &str| format!("{name}={}", lab.machine(name).address);
        let mut command = program(lab.machine(CLIENT));
        command.args(["init", "--json", "--interface", INTERFACE, "--terminals", &SEATS.to_string()]);
        command.args((!self.tls).then_some("--plain"));
        command.arg("--out").arg(directory.join("pair"));
        command.args(["--server", &server(SERVERS[0]), "--server", &server(SERVERS[1])]);
        if self.ipv6 {
            [CLIENT, SERVERS[0], SERVERS[1]].iter().for_each(|name| lab.machine(name).add_ipv6());
        }
        let of_ipv6 = |address| if self.ipv6 { format!(",{address}") } else { String::new() };
        command.args(["--main-address", &format!("{MAIN_ADDRESS}{}", of_ipv6(MAIN_IPV6))]);
        command.args(["--sub-address", &format!("{SUB_ADDRESS}{}", of_ipv6(SUB_IPV6))]);
        command.args(["--witness", &format!("{}:{WITNESS_PORT}", lab.machine(WITNESS).address)]);
        let made = command.output().expect("init starts");
        assert!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
        (0..SERVERS.len()).for_each(|server| self.configure(&config_file(directory, server)));
        if self.direct {
            self.join(lab, directory);
        }
    }

    fn join(&self, lab: &Lab, directory: &Path) {
        lab.join(SERVERS[0], SERVERS[1]);
        for server in 0..SERVERS.len() {
            let [mine, theirs] = [server, 1 - server].map(|server| lab.machine(SERVERS[server]));
            let file = config_file(directory, server);
            let mut text = fs::read_to_string(&file).expect("init wrote it");
            for machine in [mine, theirs] {
                let [lan, direct] = [machine.address, machine.direct_address()].map(|ip| format!("\"{ip}:{PEER_PORT}\""));
                text = text.replace(&lan, &direct);
            }
            let beats = |mine, theirs| format!("    {{ local = \"{mine}:{BEAT_PORT}\", peer = \"{theirs}:{BEAT_PORT}\" }},\n");
            let lan = beats(mine.address, theirs.address);
            assert!(text.contains(&lan), "init writes one path of heartbeats: {text}");
            text = text.replace(&lan, &format!("{lan}{}", beats(mine.direct_address(), theirs.direct_address())));
            fs::write(&file, text).expect("there is room for files");
        }
    }

    /// How client programs reach the service.
    pub fn security(&self, directory: &Path) -> Vec<String> {
        match self.authority(directory) {
            Some(file) => vec!["--ca".into(), file.display().to_string()],
            None => vec!["--plain".into()],
        }
    }

    pub fn authority(&self, directory: &Path) -> Option<PathBuf> {
        self.tls.then(|| directory.join("pair/ca.pem"))
    }

    fn configure(&self, file: &Path) {
        let mut changes = Vec::new();
        if self.asynchronous {
            changes.push(("mode = ", r#""async""#.to_owned()));
        }
        if self.patient {
            changes.extend([("lease_ms = ", "1500".to_owned()), ("silence_ms = ", "2000".to_owned())]);
        }
        if let Some(postgres) = &self.postgres {
            changes.push(("url = ", format!("{:?}", postgres.new_database())));
        }
        let mut text = fs::read_to_string(file).expect("init wrote it");
        for (key, value) in changes {
            let line = text.lines().find(|line| line.starts_with(key)).expect("init writes every key").to_owned();
            text = text.replace(&line, &format!("{key}{value}"));
        }
        if let Some(arbiter) = self.arbiter {
            let (before, table) = text.split_once("[arbiter]").expect("init writes every table");
            let (_, after) = table.split_once("\n[").expect("it is not the last one");
            text = format!("{before}[arbiter]\n{arbiter}\n[{after}");
        }
        fs::write(file, text).expect("there is room for files");
    }
}

pub fn config_file(directory: &Path, server: usize) -> PathBuf {
    directory.join("pair").join(SERVERS[server]).join("duplex.toml")
}
