//! Everything that can be wrong at start is found here, before an actor runs: one line says what and where.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Protocol, Socket, Type};

use super::cautions;
use crate::actors::OpenStore;
use crate::actors::address_keeper::ServiceAddresses;
use crate::actors::command_acceptor::Listening;
use crate::actors::failover_coordinator::Notes;
use crate::actors::journal_writer::JournalPlace;
use crate::actors::state_monitor;
use crate::arbiter::{Arbiter, WitnessClient};
use crate::config::{self, Addresses, Config, HeartbeatPath, TerminalTls, limits};
use crate::journal::{CoordinationFile, Directory, Journal, JournalReader};
use crate::layout::{Layout, ledger_secrets};
use crate::ledger::Ledger;
use crate::machines::health::Patience;
use crate::model::{BootNonce, Position};
use crate::store::{self, ReadPool};
use crate::telemetry::{self, Logs};
use crate::wire::heartbeat::HeartbeatKey;
use crate::wire::identity::Identity;
use crate::wire::link::{Connector, Introduction, LinkLimits, Route};
use crate::wire::listener::{self, PeerListener};
use crate::wire::names::ServerNames;
use crate::wire::paths::{self, Path};
use crate::wire::tls;

/// A server that is ready to run.
pub struct Opened {
    pub(super) config: Config,
    pub(super) app: Ledger,
    pub(super) logs: Logs,
    pub(super) journal: Journal,
    /// How far the store is.
    pub(super) applied: Position,
    pub(super) place: JournalPlace,
    pub(super) notes: Notes,
    pub(super) settings: state_monitor::Settings,
    pub(super) first_register: String,
    pub(super) arbiter: Arc<dyn Arbiter>,
    pub(super) connector: Connector,
    pub(super) route: Route,
    pub(super) listener: Listen,
    pub(super) listening: Listening,
    pub(super) terminals: TcpListener,
    pub(super) addresses: Option<ServiceAddresses>,
    pub(super) http: TcpListener,
    pub(super) reads: ReadPool,
    /// Where this box's own user gives orders.
    pub(super) control: std::path::PathBuf,
    /// Writes what is still queued when the server has ended.
    pub(super) telemetry: Option<telemetry::Guard>,
}

/// Why this server cannot start.
#[derive(Debug)]
pub struct Unopened {
    /// The key of the configuration that names what cannot be opened. `None`: it is what this program keeps below `server.data`.
    pub key: Option<&'static str>,
    /// One line.
    pub reason: String,
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.map_or(Ok(()), |key| write!(f, "{key}: "))?;
        f.write_str(&self.reason)
    }
}

const KEYS: &str = "server.keys";

fn at<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Unopened {
    move |error| Unopened { key: None, reason: format!("{what}: {error}") }
}

fn at_key<E: fmt::Display>(key: &'static str) -> impl FnOnce(E) -> Unopened {
    move |error| Unopened { key: Some(key), reason: error.to_string() }
}

fn at_address<E: fmt::Display>(key: &'static str, address: SocketAddr) -> impl FnOnce(E) -> Unopened {
    move |error| at_key(key)(format_args!("{address}: {error}"))
}

/// rustls puts "unexpected error" before a reason of our own.
fn at_keys(error: rustls::Error) -> Unopened {
    match error {
        rustls::Error::General(reason) => at_key(KEYS)(reason),
        other => at_key(KEYS)(other),
    }
}

/// A certificate knows no names.
fn calling(names: &ServerNames) -> impl Fn(Unopened) -> Unopened {
    move |unopened| Unopened { reason: names.put_into(&unopened.reason), ..unopened }
}

/// The peer's port; taken over by the thread that will accept.
pub(super) struct Listen {
    socket: TcpListener,
    identity: Identity,
    introduction: Introduction,
    pub(super) names: ServerNames,
}

impl Listen {
    pub(super) fn start(self) -> std::io::Result<PeerListener> {
        PeerListener::on(self.socket, &self.identity, self.introduction, LinkLimits::default())
    }
}

/// Opens everything that a server needs.
///
/// # Errors
/// [`Unopened`] names the file, address or key.
pub fn open(config: Config) -> Result<Opened, Unopened> {
    // Nothing is created there: a disk that is not mounted must not look like a new one.
    if !config.server.data.is_dir() {
        return Err(at_key("server.data")(format_args!("{} is no directory", config.server.data.display())));
    }
    raise_file_limit();
    let layout = Layout::of(&config);
    let (logs, guard) = telemetry::start(&config.log, &config.server.data, super::ACTORS).map_err(at_key("log"))?;
    let log = logs.for_actor("server");
    cautions::tell(&config, &layout, &log);
    let names = ServerNames::new(&config.server.pair);
    let identity = layout.server_identity().map_err(at_key(KEYS)).map_err(calling(&names))?;
    let secret = layout.pair_secret().map_err(at_key(KEYS))?;
    let first_register = std::fs::read_to_string(layout.first_register()).map_err(at(layout.first_register().display()))?;

    let notes = CoordinationFile::open(Directory::open(layout.coordination()).map_err(at("coordination file"))?);
    let notes = notes.map_err(at("coordination file"))?;
    let disk = *notes.current();
    if disk.server != config.id() {
        let name = &config.server.name;
        return Err(at_key("server.name")(format_args!("{name:?}, but this disk belongs to the other server of the pair")));
    }
    let (directory, lost_and_found) = (layout.journal(), layout.lost_and_found());
    let place = JournalPlace { server: disk.server, data_id: disk.data_id, directory, lost_and_found };
    let journal = place.open().map_err(at("journal"))?;
    cautions::tell_of_a_missing_store(&config, journal.stored().sequence, &log);
    let applied = applied(&config, &journal.reader()).map_err(at_key("store.url"))?;

    let boot = draw_boot()?;
    let introduction = Introduction { server: disk.server, boot, data_id: disk.data_id };
    let connector = Connector::new(&identity, introduction, LinkLimits::default()).map_err(at_keys).map_err(calling(&names))?;
    let config::Arbiter::Witness { address } = config.arbiter;
    let arbiter = Arc::new(WitnessClient::new(address, &identity).map_err(at_keys)?.calling(names.clone()));
    let listening = Listening { address: config.terminals.listen, tls: terminal_tls(&config, &layout)? };
    config.peer.heartbeats.iter().try_for_each(try_to_open)?;
    let socket = listener::bind(config.peer.listen).map_err(at_address("peer.listen", config.peer.listen))?;
    let terminals = listen(config.terminals.listen).map_err(at_address("terminals.listen", config.terminals.listen))?;
    Ok(Opened {
        app: Ledger::new(ledger_secrets(&secret)),
        logs,
        journal,
        applied,
        place,
        notes: Arc::new(Mutex::new(notes)),
        settings: monitor_settings(&config, boot, HeartbeatKey::from_secret(&secret)),
        first_register,
        arbiter,
        connector,
        route: Route { from: Some(config.peer.listen.ip()).filter(|ip| !ip.is_unspecified()), to: config.peer.address },
        listener: Listen { socket, identity, introduction, names },
        listening,
        terminals,
        addresses: service_addresses(&config),
        http: listen(config.http.listen).map_err(at_address("http.listen", config.http.listen))?,
        control: layout.control(),
        reads: ReadPool::new(&config.store.url, limits::READ_CONNECTIONS_MAX).map_err(at_key("store.url"))?,
        config,
        telemetry: Some(guard),
    })
}

fn try_to_open(path: &HeartbeatPath) -> Result<(), Unopened> {
    paths::try_to_open(path.local).map_err(at_address("peer.heartbeats", path.local))
}

/// How far the store is, which is made if it is missing.
fn applied(config: &Config, journal: &JournalReader) -> Result<Position, String> {
    let applied = store_opener(config)().and_then(|mut store| store.applied()).map_err(|error| error.to_string())?;
    same_history(journal, applied)?;
    Ok(applied)
}

/// The store must be what this journal made it: one from another time or another pair would be served as it is, and then be given
/// entries that do not follow.
fn same_history(journal: &JournalReader, applied: Position) -> Result<(), String> {
    let at = applied.sequence.0;
    let (start, end) = (journal.start().sequence.0, journal.stored().sequence.0);
    match journal.position_at(applied.sequence).map_err(|error| error.to_string())? {
        Some(held) if held == applied => Ok(()),
        Some(_) => Err(format!("holds another history than the journal: entry {at} is another one there")),
        None if at > end => {
            let why = "the journal has lost its end, or this store is from another time or another pair";
            Err(format!("is ahead of the journal, which ends at {end}: it has {at}; {why}"))
        }
        None => Err(format!("has applied {at}, but the journal begins after {start}: it is too old to go on from")),
    }
}

/// Opens connections to this server's store.
pub(super) fn store_opener(config: &Config) -> OpenStore<Ledger> {
    let url = config.store.url.clone();
    Arc::new(move || store::open::<Ledger>(&url))
}

fn terminal_tls(config: &Config, layout: &Layout) -> Result<Option<Arc<rustls::ServerConfig>>, Unopened> {
    if config.terminals.tls == TerminalTls::Plain {
        return Ok(None);
    }
    let identity = layout.terminal_identity().map_err(at_key(KEYS))?;
    tls::terminal_server(&identity).map(Some).map_err(at_keys)
}

fn monitor_settings(config: &Config, boot: BootNonce, key: HeartbeatKey) -> state_monitor::Settings {
    let named = |path: &HeartbeatPath| format!("{} to {}", path.local, path.peer);
    let paths = config.peer.heartbeats.iter();
    let paths = paths.map(|path| Path { name: named(path), local: path.local, peer: path.peer }).collect();
    let timing = config.timing;
    let patience = Patience {
        lease_ms: timing.lease_ms,
        silence_ms: timing.silence_ms,
        boot_ms: limits::BOOT_PATIENCE_MS.max(timing.silence_ms),
        beats_remembered: limits::BEATS_REMEMBERED,
    };
    state_monitor::Settings { me: config.id(), boot, key, paths, patience, heartbeat_ms: timing.heartbeat_ms }
}

fn service_addresses(config: &Config) -> Option<ServiceAddresses> {
    match &config.addresses {
        Addresses::Alias { interface, main, sub, gateway } => {
            Some(ServiceAddresses { interface: interface.clone(), main: *main, sub: *sub, gateway: *gateway })
        }
        Addresses::None => None,
    }
}

/// Listens also on an address that is not here yet, with a queue for a storm of reconnects.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_QUEUE)?;
    Ok(socket.into())
}

fn draw_boot() -> Result<BootNonce, Unopened> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(at("no random numbers"))?;
    Ok(BootNonce(u64::from_le_bytes(bytes)))
}

/// Every session is a file descriptor; the usual soft limit of 1,024 is a third of a large site.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Refused only by a policy; then the soft limit holds and sessions beyond it wait in the queue.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
