//! All answers, checked before the first file is written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Args, HEARTBEAT_PORT, HTTP_PORT, NamedAddress, PEER_PORT, TERMINAL_PORT, config_text};
use crate::cli::Failure;
use crate::config::{self, Addresses, Arbiter, Config, HeartbeatPath, OneOrMore, TerminalTls};
use crate::layout::Layout;
use crate::store::Place;

/// Names that `init` uses itself beside the servers' directories.
const TAKEN: [&str; 2] = ["ca", "witness"];

pub(super) struct Plan {
    /// Absolute.
    pub(super) out: PathBuf,
    pub(super) servers: [NamedAddress; 2],
    pub(super) witness: SocketAddr,
    pub(super) site: SitePlan,
    /// Of both servers: the text that is written, and what it says when it is read.
    pub(super) configs: [(String, Config); 2],
}

/// Where the site comes from.
pub(super) enum SitePlan {
    Flags { name: String, profile: String, seats: u16 },
    File(PathBuf),
}

impl Plan {
    pub(super) fn from_args(args: &Args) -> Result<Self, Failure> {
        let out = absolute("--out", args.out.as_deref().ok_or_else(|| missing("--out DIR"))?)?;
        let servers = two_servers(&args.servers)?;
        let witness = args.witness.ok_or_else(|| missing("--witness ADDRESS:PORT"))?;
        if witness.port() == 0 || witness.ip().is_unspecified() {
            return Err(Failure::usage(format!("--witness: {witness} is no address that the servers could reach")));
        }
        let data = args.data.as_deref().map(|data| absolute("--data", data)).transpose()?;
        let layout = |index: usize| {
            let own = out.join(&servers[index].name);
            let data = data.as_ref().map_or_else(|| own.join("data"), |data| data.join(&servers[index].name));
            Layout::new(data, own.join("keys"))
        };
        let answers = Answers { args, servers: &servers, witness };
        let configs = [answers.config(0, &layout(0))?, answers.config(1, &layout(1))?];
        let site = match &args.site_file {
            Some(file) => SitePlan::File(file.clone()),
            None => SitePlan::Flags { name: args.site.clone(), profile: args.profile.clone(), seats: args.terminals },
        };
        Ok(Self { out, servers, witness, site, configs })
    }

    pub(super) fn layout(&self, index: usize) -> Layout {
        Layout::of(&self.configs[index].1)
    }

    pub(super) fn config_file(&self, index: usize) -> PathBuf {
        self.out.join(&self.servers[index].name).join("duplex.toml")
    }

    /// Every address at which a terminal may meet either server.
    pub(super) fn terminal_addresses(&self, index: usize) -> Vec<IpAddr> {
        let own = self.servers[index].address;
        match &self.configs[index].1.addresses {
            Addresses::Alias { main, sub, .. } => [own].iter().chain(main.iter()).chain(sub.iter()).copied().collect(),
            Addresses::None => vec![own],
        }
    }
}

fn missing(flag: &str) -> Failure {
    Failure::usage(format!("{flag} is missing"))
}

fn absolute(flag: &str, path: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(path).map_err(|e| Failure::usage(format!("{flag}: {}: {e}", path.display())))?;
    // The configuration files are UTF-8.
    match absolute.to_str() {
        Some(_) => Ok(absolute),
        None => Err(Failure::usage(format!("{flag}: {} is not UTF-8", path.display()))),
    }
}

fn two_servers(given: &[NamedAddress]) -> Result<[NamedAddress; 2], Failure> {
    let refuse = |reason: String| Err(Failure::usage(format!("--server: {reason}")));
    let [first, second] = given else {
        return refuse(format!("a pair has two servers (NAME=ADDRESS each), {} given", given.len()));
    };
    if let Some(taken) = [first, second].into_iter().find(|server| TAKEN.contains(&server.name.as_str())) {
        return refuse(format!("{:?} names a directory that init makes itself; take another name", taken.name));
    }
    for NamedAddress { address, .. } in [first, second] {
        if address.is_unspecified() || address.is_multicast() {
            return refuse(format!("{address} cannot be a server's own address"));
        }
    }
    if first.address.is_ipv4() != second.address.is_ipv4() {
        let (one, other) = (first.address, second.address);
        return refuse(format!(
            "{one} and {other}: one server cannot reach the other from IPv4 to IPv6; give both the same kind"
        ));
    }
    if first.address == second.address {
        let hint = "on one machine take 127.0.0.1 and 127.0.0.2";
        return refuse(format!("both servers have the address {}; {hint}", first.address));
    }
    Ok([first.clone(), second.clone()])
}

struct Answers<'a> {
    args: &'a Args,
    servers: &'a [NamedAddress; 2],
    witness: SocketAddr,
}

impl Answers<'_> {
    /// Read back at once, so that a refusal comes before anything is written.
    fn config(&self, index: usize, layout: &Layout) -> Result<(String, Config), Failure> {
        let settings = self.settings(index, layout)?;
        // Before it has lines: one of a file that is not written yet says nothing.
        settings.check().map_err(|e| Failure::usage(e.0))?;
        let text = config_text::explain(&settings);
        let config = Config::parse(&text).map_err(|e| Failure::usage(e.0))?;
        Ok((text, config))
    }

    fn settings(&self, index: usize, layout: &Layout) -> Result<Config, Failure> {
        let (own, peer) = (&self.servers[index], &self.servers[1 - index]);
        let at = |server: &NamedAddress, port| SocketAddr::new(server.address, port);
        let listen = self.listen_address(own.address);
        Ok(Config {
            server: config::Server {
                name: own.name.clone(),
                pair: [self.servers[0].name.clone(), self.servers[1].name.clone()],
                data: layout.data().to_owned(),
                keys: layout.keys().to_owned(),
            },
            peer: config::Peer {
                listen: at(own, PEER_PORT),
                address: at(peer, PEER_PORT),
                heartbeats: vec![HeartbeatPath { local: at(own, HEARTBEAT_PORT), peer: at(peer, HEARTBEAT_PORT) }],
            },
            arbiter: Arbiter::Witness { address: self.witness },
            addresses: self.addresses()?,
            terminals: config::Terminals {
                listen: SocketAddr::new(listen, TERMINAL_PORT),
                tls: if self.args.plain { TerminalTls::Plain } else { TerminalTls::Pair },
            },
            http: config::Http { listen: SocketAddr::new(listen, HTTP_PORT) },
            store: config::Store { url: self.store_url(&own.name, layout)? },
            replication: config::Replication::default(),
            timing: config::Timing::default(),
            log: config::Log { streams: true, ..config::Log::default() },
        })
    }

    /// Service addresses come and go, so only a wildcard hears them all; that of IPv6 hears both kinds.
    fn listen_address(&self, own: IpAddr) -> IpAddr {
        let mut to_be_heard = [own].into_iter().chain(self.args.main_address.clone()).chain(self.args.sub_address.clone());
        match &self.args.interface {
            None => own,
            Some(_) if to_be_heard.all(|address| address.is_ipv4()) => Ipv4Addr::UNSPECIFIED.into(),
            Some(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    fn addresses(&self) -> Result<Addresses, Failure> {
        let Args { interface, main_address, sub_address, gateway, .. } = self.args;
        let Some(interface) = interface else { return Ok(Addresses::None) };
        for (flag, given) in [("--main-address ADDRESS", main_address), ("--sub-address ADDRESS", sub_address)] {
            if given.is_empty() {
                return Err(missing(flag));
            }
        }
        let [main, sub, gateway] = [main_address, sub_address, gateway].map(|given| OneOrMore(given.clone()));
        Ok(Addresses::Alias { interface: interface.clone(), main, sub, gateway })
    }

    fn store_url(&self, name: &str, layout: &Layout) -> Result<String, Failure> {
        if self.args.store == "sqlite" {
            return Ok(format!("sqlite:{}", layout.sqlite().display()));
        }
        let url = self.args.store.replace("{server}", name);
        match Place::parse(&url) {
            Ok(Place::Postgres(_)) if url == self.args.store => {
                let reason = "names one database for both servers; each needs its own: put {server} where their names differ";
                Err(Failure::usage(format!("--store: {reason}")))
            }
            Ok(Place::Postgres(_)) => Ok(url),
            Ok(Place::Sqlite(_)) => Err(Failure::usage("--store: give just `sqlite`; its file lies in the data directory")),
            Err(error) => Err(Failure::usage(format!("--store: {error}"))),
        }
    }
}
