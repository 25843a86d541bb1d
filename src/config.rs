//! The configuration file: one struct per concern, parsed from TOML, validated as a whole, then frozen.
//!
//! `duplex init` writes files that explain themselves; an unknown key is an error that names it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::ServerId;

mod addresses;
mod kinds;
pub mod limits;
mod lines;
mod one_or_more;
mod timing;

pub use kinds::{Addresses, Arbiter, Etcd, EtcdTls};
pub use lines::unusable;
pub use one_or_more::OneOrMore;
pub use timing::Timing;

use lines::{Refusal, one_line, refuse};

/// Everything that `duplex serve` needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub peer: Peer,
    pub arbiter: Arbiter,
    pub addresses: Addresses,
    pub terminals: Terminals,
    pub http: Http,
    pub store: Store,
    #[serde(default)]
    pub replication: Replication,
    #[serde(default)]
    pub timing: Timing,
    #[serde(default)]
    pub log: Log,
}

/// Who this server is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// This server's name; one of `pair`.
    pub name: String,
    /// Both names. The first is the pair's home Main.
    #[serde(deserialize_with = "kinds::two_names")]
    pub pair: [String; 2],
    /// Journal, coordination file, lost-and-found and logs live below.
    pub data: PathBuf,
    /// CA, certificate, key and pair secret, as `duplex init` wrote them.
    pub keys: PathBuf,
}

/// How to reach the other server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Where this server waits for its peer (its own fixed address).
    pub listen: SocketAddr,
    /// Where the peer waits.
    pub address: SocketAddr,
    /// Every path that heartbeats take; two cables are better than one.
    pub heartbeats: Vec<HeartbeatPath>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatPath {
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// Where terminals connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terminals {
    pub listen: SocketAddr,
    #[serde(default)]
    pub tls: TerminalTls,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TerminalTls {
    /// TLS with a certificate of the pair's own CA.
    #[default]
    Pair,
    /// No encryption: only for a network that nobody else can enter, and for measurements, which say so.
    Plain,
}

/// Status, metrics, commands and reads over HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite:/path/to/file.db` or `postgres://user@host/database`.
    pub url: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replication {
    #[serde(default)]
    pub mode: ReplicationMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationMode {
    /// Acknowledged when stored on both.
    #[default]
    Sync,
    /// Acknowledged when stored on Main: a takeover may lose what had not travelled yet.
    Async,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    pub level: Level,
    /// Level per actor, e.g. `failover-coordinator = "debug"`.
    pub actors: std::collections::BTreeMap<String, Level>,
    /// One file per actor is kept below `data/log` when true.
    pub streams: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Error,
    Warning,
    #[default]
    Info,
    Debug,
    Trace,
}

/// One line that says what is wrong and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and validates the file.
    ///
    /// # Errors
    /// One line naming file, line or key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError(format!("cannot read {}: {e}", path.display())))?;
        Self::parse(&text).map_err(|e| ConfigError(format!("{}: {e}", path.display())))
    }

    /// As [`Config::load`], from the text of a file.
    ///
    /// # Errors
    /// One line naming line or key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = toml::Deserializer::parse(text).map_err(|e| ConfigError(one_line(text, "", &e)))?;
        let config: Self = serde_path_to_error::deserialize(document)
            .map_err(|e| ConfigError(one_line(text, &e.path().to_string(), e.inner())))?;
        config.validate().map_err(|refusal| ConfigError(refusal.at_its_line(text)))?;
        Ok(config)
    }

    /// Whether the settings fit together, of a configuration that comes from no file.
    ///
    /// # Errors
    /// One line naming the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.validate().map_err(|refusal| ConfigError(refusal.without_line()))
    }

    /// Which of the two this server is.
    pub fn id(&self) -> ServerId {
        if self.server.name == self.server.pair[0] { ServerId::A } else { ServerId::B }
    }

    pub fn name_of(&self, id: ServerId) -> &str {
        &self.server.pair[id.index()]
    }

    fn validate(&self) -> Result<(), Refusal> {
        self.validate_names()?;
        self.validate_paths()?;
        addresses::validate(self)?;
        self.timing.validate()
    }

    fn validate_names(&self) -> Result<(), Refusal> {
        let [first, second] = &self.server.pair;
        if first == second {
            return refuse("server.pair", format!("names {first:?} twice; the two servers need different names"));
        }
        for name in [first, second] {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if name.is_empty() || name.len() > limits::SERVER_NAME_LEN_MAX || !name.chars().all(plain) {
                return refuse("server.pair", format!("{name:?} is not a name of letters, digits and '-' (1 to 32)"));
            }
        }
        if !self.server.pair.contains(&self.server.name) {
            return refuse("server.name", format!("{:?} is not one of server.pair", self.server.name));
        }
        Ok(())
    }

    fn validate_paths(&self) -> Result<(), Refusal> {
        kinds::reachable("peer.address", &self.peer.address)?;
        self.arbiter.validate()?;
        if self.peer.listen == self.peer.address {
            return refuse("peer.address", format!("{} is this server's own peer.listen", self.peer.address));
        }
        if self.peer.heartbeats.is_empty() {
            return refuse("peer.heartbeats", "needs at least one path".into());
        }
        if self.peer.heartbeats.len() > limits::HEARTBEAT_PATHS_MAX {
            return refuse("peer.heartbeats", format!("more than {} paths", limits::HEARTBEAT_PATHS_MAX));
        }
        let mut locals: Vec<_> = self.peer.heartbeats.iter().map(|path| path.local).collect();
        locals.sort_unstable();
        if let Some(twice) = locals.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse("peer.heartbeats", format!("{} is the local end of two paths", twice[0]));
        }
        match self.peer.heartbeats.iter().find(|path| path.local == path.peer) {
            Some(path) => refuse("peer.heartbeats", format!("{} is both ends of a path", path.local)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[server]
name = "hall-1"
pair = ["hall-1", "hall-2"]
data = "/var/lib/duplex"
keys = "/etc/duplex/keys"
[peer]
listen = "10.0.0.1:7400"
address = "10.0.0.2:7400"
heartbeats = [{ local = "10.0.0.1:7401", peer = "10.0.0.2:7401" }]
[arbiter]
kind = "witness"
address = "10.0.0.3:7410"
[addresses]
manage = "alias"
interface = "eth0"
main = "10.0.0.100"
sub = "10.0.0.101"
[terminals]
listen = "0.0.0.0:7300"
[http]
listen = "0.0.0.0:7380"
[store]
url = "sqlite:/var/lib/duplex/store.db"
"#;

    fn refusal(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "the good file has {from:?}");
        Config::parse(&GOOD.replace(from, to)).expect_err("must be refused").0
    }

    #[test]
    fn the_good_file_names_server_a() {
        assert_eq!(Config::parse(GOOD).unwrap().id(), ServerId::A);
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_its_line() {
        for (from, to, said) in [
            ("[http]", "[http]\nport = 1", "line 22: http.port: unknown field"),
            ("[http]", "[web]", "line 21: web: unknown field"),
            ("[http]", "[store]\n[http]", "line 24: store: duplicate key"),
            ("name = \"hall-1\"", "name = \"hall-1\"\nname = \"hall-2\"", "line 4: name: duplicate key"),
            ("10.0.0.2:7400", "10.0.0.2", "line 9: peer.address: invalid socket address"),
            ("local = \"10.0.0.1:7401\"", "local = 7", "line 10: peer.heartbeats[0].local: invalid type"),
            ("kind = \"witness\"", "kind = \"jury\"", "line 12: arbiter.kind: unknown variant"),
            ("10.0.0.3:7410", "10.0.0.3", "line 13: arbiter.address: invalid socket address"),
            ("kind = \"witness\"", "kind = \"etcd\"", "line 11: arbiter: kind = \"etcd\" takes no address"),
            ("address = \"10.0.0.3:7410\"", "prefix = \"x\"", "line 11: arbiter: kind = \"witness\" takes no prefix"),
            ("address = \"10.0.0.3:7410\"", "", "line 11: arbiter: kind = \"witness\" needs address"),
            ("kind = \"witness\"", "kind = \"operator\"", "line 11: arbiter: kind = \"operator\" takes no address"),
            ("main = \"10.0.0.100\"", "main = \"10.0.0.300\"", "line 17: addresses.main: invalid IP address"),
            ("interface = \"eth0\"", "nic = \"eth0\"", "line 16: addresses.nic: unknown field"),
            ("interface = \"eth0\"", "", "line 14: addresses: manage = \"alias\" needs interface"),
            ("manage = \"alias\"", "manage = \"none\"", "line 14: addresses: manage = \"none\" takes no interface"),
            ("url = ", "path = ", "line 24: store.path: unknown field"),
            ("[http]", "[timing]\nlease_ms = 400\n[http]", "line 22: timing.lease_ms: must be shorter"),
            ("[http]", "[timing]\nsilence_ms = 200\n[http]", "line 21: timing.lease_ms: must be shorter"),
            ("[http]", "[timing]\nlease_ms = 200\nsilence_ms = 299\n[http]", "line 23: timing.silence_ms: must be 300"),
            ("sub = \"10.0.0.101\"", "sub = \"10.0.0.2\"", "line 18: addresses.sub: 10.0.0.2 is a server's own"),
            ("\"hall-2\"]", "\"hall-2\", \"hall-3\"]", "line 4: server.pair: names 3 servers"),
            (
                "sub = \"10.0.0.101\"",
                "sub = \"10.0.0.101\"\ngateway = \"10.0.0.101\"",
                "line 19: addresses.gateway: 10.0.0.101 is one",
            ),
            (
                "[{ local",
                "[{ local = \"10.0.0.1:7401\", peer = \"10.0.0.4:7401\" }, { local",
                "line 10: peer.heartbeats: 10.0.0.1:7401 is the local end of two paths",
            ),
            ("10.0.0.3:7410", "10.0.0.3:0", "line 13: arbiter.address: 10.0.0.3:0: nobody"),
            ("\"hall-2\"]", "\"hall-1\"]", "line 4: server.pair: names \"hall-1\" twice"),
        ] {
            let error = refusal(from, to);
            assert!(error.starts_with(said), "{from} -> {to}: {error}");
        }
        assert!(refusal("[http]", "[http").starts_with("line 21"));
        assert!(refusal("url = \"sqlite:/var/lib/duplex/store.db\"", "").contains("store: missing field `url`"));
    }

    /// The good file with this arbiter.
    fn with_arbiter(text: &str) -> String {
        GOOD.replace("kind = \"witness\"\naddress = \"10.0.0.3:7410\"", text)
    }

    #[test]
    fn a_cluster_of_etcd_is_named_by_its_members() {
        let good = "kind = \"etcd\"\nendpoints = [\"10.0.0.3:2379\", \"10.0.0.4:2379\"]";
        let Arbiter::Etcd(etcd) = Config::parse(&with_arbiter(good)).unwrap().arbiter else { panic!("not an etcd") };
        assert_eq!((etcd.endpoints.len(), etcd.prefix.as_str(), etcd.tls.is_none()), (2, "duplex", true));
        for (text, said) in [
            ("kind = \"etcd\"", "line 11: arbiter: kind = \"etcd\" needs endpoints"),
            ("kind = \"etcd\"\nendpoints = []", "line 13: arbiter.endpoints: names 0 members"),
            ("kind = \"etcd\"\nendpoints = [\"10.0.0.3\"]", "line 13: arbiter.endpoints[0]: invalid socket address"),
            ("kind = \"etcd\"\nendpoints = [\"10.0.0.3:0\"]", "line 13: arbiter.endpoints: 10.0.0.3:0: nobody"),
            (&format!("{good}\nprefix = \"a b\""), "line 14: arbiter.prefix: \"a b\" is not made of"),
            (&format!("{good}\nkey = \"k.pem\""), "line 11: arbiter: certificate and key need ca"),
            (&format!("{good}\nca = \"c.pem\"\nkey = \"k.pem\""), "line 11: arbiter: certificate and key belong together"),
        ] {
            let error = Config::parse(&with_arbiter(text)).expect_err("must be refused").0;
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        assert!(Config::load(Path::new("/nowhere/duplex.toml")).unwrap_err().0.contains("/nowhere/duplex.toml"));
    }
}
