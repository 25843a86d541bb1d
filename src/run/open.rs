//! Everything that can be wrong at start is found here, before an actor runs: one line says what and where.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Protocol, Socket, Type};

use super::arbiters;
use super::cautions;
use super::patience::Patience;
use super::told::Told;
use crate::actors::OpenStore;
use crate::actors::address_keeper::ServiceAddresses;
use crate::actors::command_acceptor::Listening;
use crate::actors::failover_coordinator::Notes;
use crate::actors::journal_writer::JournalPlace;
use crate::actors::state_monitor;
use crate::arbiter::Arbiter;
use crate::config::{Addresses, Config, HeartbeatPath, TerminalTls, limits};
use crate::handover::Shown;
use crate::journal::{CoordinationFile, Directory, Journal, JournalError, JournalReader};
use crate::layout::{Layout, ledger_secrets};
use crate::ledger::Ledger;
use crate::machines::health;
use crate::model::{BootNonce, Position};
use crate::store::{self, Claim, ReadPool, StoreError};
use crate::telemetry::{self, LogError, Logs};
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
    pub(super) shown: Arc<Shown>,
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
    /// Keeps another server from the same store.
    pub(super) claim: Option<Claim>,
    /// Heard since the start had to wait.
    pub(super) told: Option<Told>,
    /// Writes what is still queued when the server has ended.
    pub(super) telemetry: Option<telemetry::Guard>,
}

/// Why this server cannot start.
#[derive(Debug)]
pub struct Unopened {
    /// The key of the configuration that names what cannot be opened. `None`: it is what this program keeps below `server.data`.
    pub key: Option<String>,
    /// One line.
    pub reason: String,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// What a key names is missing or malformed: a person corrects the configuration or that file.
    Mistaken,
    /// The world is not as it should be: a port is taken, a disk or a store fails.
    Hindered,
    /// It was to end while it still waited.
    ToldToEnd,
}

impl Unopened {
    pub(super) fn of_store(error: StoreError) -> Self {
        match error {
            StoreError::Address { .. } => mistaken(STORE)(error),
            _ => at_key(STORE)(error),
        }
    }

    pub(super) fn told() -> Self {
        Self { key: None, reason: "told to end before it had started".to_owned(), why: Why::ToldToEnd }
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.as_ref().map_or(Ok(()), |key| write!(f, "{key}: "))?;
        f.write_str(&self.reason)
    }
}

pub(super) const KEYS: &str = "server.keys";
const STORE: &str = "store.url";

fn at<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Unopened {
    move |error| Unopened { key: None, reason: format!("{what}: {error}"), why: Why::Hindered }
}

fn at_key<E: fmt::Display>(key: impl Into<String>) -> impl FnOnce(E) -> Unopened {
    move |error| Unopened { key: Some(key.into()), reason: error.to_string(), why: Why::Hindered }
}

pub(super) fn mistaken<E: fmt::Display>(key: impl Into<String>) -> impl FnOnce(E) -> Unopened {
    move |error| Unopened { why: Why::Mistaken, ..at_key(key)(error) }
}

fn at_log(error: LogError) -> Unopened {
    match error.actor() {
        Some(actor) => mistaken(format!("log.actors.{actor}"))(error),
        None => at_key("log.streams")(error),
    }
}

fn at_address<E: fmt::Display>(key: &'static str, address: SocketAddr) -> impl FnOnce(E) -> Unopened {
    move |error| at_key(key)(format_args!("{address}: {error}"))
}

/// rustls puts "unexpected error" before a reason of our own.
pub(super) fn at_keys(error: rustls::Error) -> Unopened {
    match error {
        rustls::Error::General(reason) => mistaken(KEYS)(reason),
        other => mistaken(KEYS)(other),
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

/// Opens everything that a server needs. Blocks wherever it does not wait: nothing else runs yet.
///
/// # Errors
/// [`Unopened`] names the file, address or key.
pub async fn open(config: Config) -> Result<Opened, Unopened> {
    // Nothing is created there: a disk that is not mounted must not look like a new one.
    if !config.server.data.is_dir() {
        return Err(mistaken("server.data")(format_args!("{} is no directory", config.server.data.display())));
    }
    raise_file_limit();
    let layout = Layout::of(&config);
    let (logs, guard) = telemetry::start(&config.log, &config.server.data, super::ACTORS).map_err(at_log)?;
    let log = logs.for_actor("server");
    cautions::tell(&config, &layout, &log);
    let names = ServerNames::new(&config.server.pair);
    let identity = layout.server_identity().map_err(mistaken(KEYS)).map_err(calling(&names))?;
    let secret = layout.pair_secret().map_err(mistaken(KEYS))?;
    let first_register = first_register(&layout)?;

    let mut patience = Patience::new(log.clone());
    let notes = open_notes(&layout, &mut patience).await?;
    cautions::tell_of_a_bad_slot(&notes, &log);
    let place = journal_place(&config, &layout, &notes)?;
    let journal = patience.for_a_lock(JournalError::is_in_use, || place.open()).await?.map_err(at("journal"))?;
    let claim = claim(&config, &mut patience).await?;
    cautions::tell_of_a_missing_store(&config, journal.stored().sequence, &log);
    // Before any port is open: whoever connected would wait as well, instead of being refused.
    let applied = applied(&config, &journal.reader(), &mut patience).await?;
    let boot = draw_boot()?;
    let introduction = Introduction { server: place.server, boot, data_id: place.data_id };
    let connector = Connector::new(&identity, introduction, LinkLimits::default()).map_err(at_keys).map_err(calling(&names))?;
    let (notes, shown) = (Arc::new(Mutex::new(notes)), Arc::new(Shown::default()));
    let own = arbiters::Own { notes: &notes, shown: &shown, first: &first_register };
    let arbiter = arbiters::open(&config, &layout, &identity, &names, &own)?;
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
        notes,
        shown,
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
        reads: ReadPool::new(&config.store.url, limits::READ_CONNECTIONS_MAX).map_err(Unopened::of_store)?,
        config,
        claim: Some(claim),
        told: patience.told,
        telemetry: Some(guard),
    })
}

fn try_to_open(path: &HeartbeatPath) -> Result<(), Unopened> {
    paths::try_to_open(path.local).map_err(at_address("peer.heartbeats", path.local))
}

fn first_register(layout: &Layout) -> Result<String, Unopened> {
    let file = layout.first_register();
    std::fs::read_to_string(&file).map_err(|error| mistaken(KEYS)(format!("{}: {error}", file.display())))
}

/// Opening it writes it, so it has a lock of its own: a second process that took the journal's for free a moment later would by then
/// have put back what this server knew when the second one began.
async fn open_notes(layout: &Layout, patience: &mut Patience) -> Result<CoordinationFile, Unopened> {
    let directory = Directory::open(layout.coordination()).map_err(at("coordination file"))?;
    let opened = patience.for_a_lock(JournalError::is_in_use, || CoordinationFile::open(Arc::clone(&directory))).await?;
    opened.map_err(at("coordination file"))
}

fn journal_place(config: &Config, layout: &Layout, notes: &CoordinationFile) -> Result<JournalPlace, Unopened> {
    let disk = notes.current();
    if disk.server != config.id() {
        let name = &config.server.name;
        return Err(mistaken("server.name")(format_args!("{name:?}, but this disk belongs to the other server of the pair")));
    }
    let (directory, lost_and_found) = (layout.journal(), layout.lost_and_found());
    Ok(JournalPlace { server: disk.server, data_id: disk.data_id, directory, lost_and_found })
}

/// A lock, and not a store that is busy: whoever has it keeps it.
async fn claim(config: &Config, patience: &mut Patience) -> Result<Claim, Unopened> {
    let is_held = |error: &StoreError| matches!(error, StoreError::Locked { .. });
    patience.for_a_lock(is_held, || Claim::take(&config.store.url)).await?.map_err(Unopened::of_store)
}

/// How far the store is, which is made if it is missing.
async fn applied(config: &Config, journal: &JournalReader, patience: &mut Patience) -> Result<Position, Unopened> {
    let open = store_opener(config);
    let applied = patience.for_the_store(|| open().and_then(|mut store| store.applied())).await?;
    same_history(journal, applied).map_err(at_key(STORE))?;
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
    let identity = layout.terminal_identity().map_err(mistaken(KEYS))?;
    tls::terminal_server(&identity).map(Some).map_err(at_keys)
}

fn monitor_settings(config: &Config, boot: BootNonce, key: HeartbeatKey) -> state_monitor::Settings {
    let named = |path: &HeartbeatPath| format!("{} to {}", path.local, path.peer);
    let paths = config.peer.heartbeats.iter();
    let paths = paths.map(|path| Path { name: named(path), local: path.local, peer: path.peer }).collect();
    let timing = config.timing;
    let patience = health::Patience {
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
            let [main, sub, gateways] = [main, sub, gateway].map(|addresses| addresses.0.clone());
            Some(ServiceAddresses { interface: interface.clone(), main, sub, gateways })
        }
        Addresses::None => None,
    }
}

/// Listens also on an address that is not here yet, with a queue for a storm of reconnects.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(address) => {
            socket.set_freebind_v6(true)?;
            // Whatever the box's default is: `[::]` hears both kinds.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
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
