//! A configuration file that explains itself: every key with its meaning, its unit and its default.

use serde::Serialize;

use crate::config::{Addresses, Arbiter, Config};

/// The file of one server.
pub(super) fn explain(config: &Config) -> String {
    [server(config), peer(config), arbiter(config), addresses(config), doors(config), behaviour(config)].concat()
}

/// As TOML writes it.
fn toml(value: impl Serialize) -> String {
    toml::Value::try_from(value).map_or_else(|_| "\"\"".to_owned(), |value| value.to_string())
}

fn server(config: &Config) -> String {
    format!(
        r#"# duplex: one server of a pair. Written by `duplex init`; read at start, so a change needs a restart of this server.
# An unknown key is refused by name. Times are milliseconds. Paths are absolute: change them if the files lie elsewhere.

[server]
# This server's name, one of `pair`.
name = {name}
# Both names, alike in both files. The first is the home Main: it serves first, and again after a switchback.
pair = {pair}
# Journal, coordination file, lost-and-found, logs and (with SQLite) the store. On the disk that must not be lost.
data = {data}
# CA, certificates, keys and the pair's secret, as `duplex init` wrote them. Readable by this server only.
keys = {keys}

"#,
        name = toml(&config.server.name),
        pair = toml(&config.server.pair),
        data = toml(&config.server.data),
        keys = toml(&config.server.keys),
    )
}

fn peer(config: &Config) -> String {
    let path = &config.peer.heartbeats[0];
    format!(
        r#"[peer]
# Where this server waits for the other one: its own fixed address, never a service address.
listen = {listen}
# Where the other one waits.
address = {address}
# Every path of heartbeats (UDP, authenticated), 1 to 4; a second, direct cable is worth more than any setting below:
#   {{ local = "192.168.200.1:{port}", peer = "192.168.200.2:{port}" }},
heartbeats = [
    {{ local = {local}, peer = {peer} }},
]

"#,
        listen = toml(config.peer.listen),
        address = toml(config.peer.address),
        port = path.local.port(),
        local = toml(path.local),
        peer = toml(path.peer),
    )
}

fn arbiter(config: &Config) -> String {
    let (about, kind, keys) = match &config.arbiter {
        Arbiter::Witness { address } => {
            ("`duplex witness` on any third machine.", "witness", format!("address = {}\n", toml(address)))
        }
        Arbiter::Etcd(etcd) => (
            "a key in a cluster of etcd, named by its members' client addresses.",
            "etcd",
            format!("endpoints = {}\nprefix = {}\n", toml(&etcd.endpoints), toml(&etcd.prefix)),
        ),
        Arbiter::Operator => ("a person, who makes sure that one is off: `duplex confirm-alone`.", "operator", String::new()),
    };
    format!(
        "[arbiter]\n# Who decides when the two servers cannot hear each other: {about}\nkind = {kind}\n{keys}\n",
        kind = toml(kind),
    )
}

fn addresses(config: &Config) -> String {
    let keys = match &config.addresses {
        Addresses::Alias { interface, main, sub, gateway } => {
            let gateway = match gateway.is_empty() {
                false => format!("gateway = {}", toml(gateway)),
                true => "# gateway = \"192.168.1.1\"".to_owned(),
            };
            format!(
                r#"manage = "alias"
# The interface that carries them; a VLAN's or a bond's name too.
interface = {}
# Terminals connect here; whoever is Main holds it.
main = {}
# Analysis clients read here; whoever is Sub holds it, a server alone holds both.
sub = {}
# Told about every takeover, beside the neighbours: the gateway of IPv4, of IPv6, or a list. Optional.
{gateway}
"#,
                toml(interface),
                toml(main),
                toml(sub)
            )
        }
        Addresses::None => r#"manage = "none"
# To let the addresses move:
#   manage = "alias"
#   interface = "eth0"
#   main = "192.168.1.100"
#   sub = "192.168.1.101"
#   gateway = "192.168.1.1"
"#
        .to_owned(),
    };
    format!(
        r#"[addresses]
# The service addresses. "alias": whoever serves adds them to its interface (needs CAP_NET_ADMIN and CAP_NET_RAW). Each role has one,
# or a list of up to 4, as main = ["192.168.1.100", "fd00::100"]; with IPv6 among them `listen` below must be "[::]".
# "none": nothing moves, clients know both servers' own addresses (trials on one machine).
{keys}
"#
    )
}

fn doors(config: &Config) -> String {
    format!(
        r#"[terminals]
# Where terminals connect (TCP, one JSON object a line).
listen = {terminals}
# "pair" (default): TLS with a certificate of this pair's CA. "plain": no encryption, only where nobody else can listen.
tls = {tls}

[http]
# Status, metrics, commands and reads.
listen = {http}

[store]
# The database behind the journal: "sqlite:/path/file" or "postgres://user@host/database". The two servers may differ.
url = {url}

"#,
        terminals = toml(config.terminals.listen),
        tls = toml(config.terminals.tls),
        http = toml(config.http.listen),
        url = toml(&config.store.url),
    )
}

fn behaviour(config: &Config) -> String {
    format!(
        r#"[replication]
# "sync" (default): an answer leaves when both servers have stored the command. "async": when Main has; a takeover may then lose
# what had not travelled yet, and says how much that may be.
mode = {mode}

# Measured together; change them together or not at all. heartbeat_ms <= lease_ms / 3, lease_ms < silence_ms, and
# silence_ms 300 to 10000.
[timing]
# Between two heartbeats on a path. Default 25.
heartbeat_ms = {heartbeat_ms}
# How long an echoed heartbeat entitles to a service address. Default 250.
lease_ms = {lease_ms}
# Silence after which the other server counts as lost. Default 350.
silence_ms = {silence_ms}

[log]
# On standard error: "human" (default) or "json".
format = {format}
# "error", "warning", "info" (default), "debug" or "trace".
level = {level}
# One file per actor below data/log, for `duplex logs`: at most four of 8 MiB each. Default false.
streams = {streams}

# A level of its own for an actor, for example:
#   failover-coordinator = "debug"
[log.actors]
"#,
        mode = toml(config.replication.mode),
        heartbeat_ms = config.timing.heartbeat_ms,
        lease_ms = config.timing.lease_ms,
        silence_ms = config.timing.silence_ms,
        format = toml(config.log.format),
        level = toml(config.log.level),
        streams = config.log.streams,
    )
}
