//! A whole site: witness, two servers and their terminals, each a real process in a network namespace of its own.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

pub use duplex::cli::init::TERMINAL_PORT;
use duplex::{
    cli::{
        client::{Reach, Service},
        import::sample,
        init::{HTTP_PORT, PEER_PORT, WITNESS_PORT},
    },
    config::Config,
    layout::Layout,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    load::Load,
    netns::{INTERFACE, Lab, LabBox},
    process::Process,
    say,
    site::{Site, config_file},
    teller::Teller,
    until,
};

pub const HALL_1: usize = 0;
pub const HALL_2: usize = 1;
pub const SERVERS: [&str; 2] = ["hall-1", "hall-2"];
pub const CLIENT: &str = "client";
pub const WITNESS: &str = "witness";
/// What terminals and analysis clients know.
pub const MAIN_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub const SUB_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The same in IPv6, where a site has it.
pub const MAIN_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub const SUB_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// Enough that a hundred thousand deposits fill nobody's account.
pub const MEMBERS: u64 = 3_000;
/// Cards from this number on are the teller's, whose commands must not be refused for what the load did.
pub const TELLERS_CARDS: u64 = 2_980;

/// A pair forms, a survivor takes over, a server comes back: seconds on an idle machine, more when it is busy.
pub const PAIR_LIMIT: Duration = Duration::from_secs(60);
pub const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);
/// Keys, password hashes and members of a new site.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Two cores run two scenarios at once without starving a heartbeat.
const SCENARIOS_AT_ONCE: usize = 2;

static SCENARIOS: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// The right to run a scenario.
struct Turn;

impl Turn {
    fn take() -> Self {
        let (running, ended) = &SCENARIOS;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let free = |running: &mut usize| *running >= SCENARIOS_AT_ONCE;
        *ended.wait_while(running, free).unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, ended) = &SCENARIOS;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ended.notify_one();
    }
}

/// Fields are dropped in this order: processes, namespaces, files, site, turn.
pub struct Pair {
    witness: Process,
    pub servers: [Process; 2],
    pub lab: Lab,
    directory: TempDir,
    pub site: Site,
    pub scenario: String,
    loads: usize,
    /// Orders under way.
    orders: Vec<Child>,
    _turn: Turn,
}

impl Pair {
    /// The usual pair, with members and an open business day.
    pub fn at_work() -> Self {
        Self::of(Site::default())
    }

    /// A pair of some kind, at work. The scenario's name is the test's.
    pub fn of(site: Site) -> Self {
        let turn = Turn::take();
        let lab = Lab::new(&[WITNESS, SERVERS[HALL_1], SERVERS[HALL_2], CLIENT]);
        let directory = tempfile::Builder::new().prefix("duplex-lab-").tempdir().expect("there is room for files");
        site.make(&lab, directory.path());
        let witness = start_witness(&lab, directory.path());
        let servers = [HALL_1, HALL_2].map(|server| start_server(&lab, directory.path(), server, site.faults[server].as_deref()));
        let scenario = thread::current().name().unwrap_or("lab").to_owned();
        let pair = Self { witness, servers, lab, directory, site, scenario, loads: 0, orders: vec![], _turn: turn };
        pair.wait_for_pair();
        pair.open_for_business();
        pair
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self, server: usize) -> Config {
        Config::load(&config_file(self.directory.path(), server)).expect("init wrote it")
    }

    pub fn layout(&self, server: usize) -> Layout {
        Layout::of(&self.config(server))
    }

    pub fn machine(&self, server: usize) -> &LabBox {
        self.lab.machine(SERVERS[server])
    }

    pub fn client(&self) -> &LabBox {
        self.lab.machine(CLIENT)
    }

    /// Starts terminals at work: `rate` commands a second, or as fast as they are answered.
    pub fn load(&mut self, rate: Option<u32>) -> Load {
        self.loads += 1;
        Load::start(self, self.loads, rate)
    }

    /// Histories of all loads.
    pub fn histories(&self) -> Vec<PathBuf> {
        (1..=self.loads).map(|number| self.file(&format!("history-{number}.jsonl"))).collect()
    }

    pub fn teller(&self) -> Teller {
        Teller::new(&self.file("pair/terminals.csv"), self.service())
    }

    /// The service as terminals know it.
    fn service(&self) -> Service {
        let ca = self.site.authority(self.directory.path());
        let address = format!("{MAIN_ADDRESS}:{TERMINAL_PORT}");
        let reach = Reach { addresses: vec![address], plain: ca.is_none(), ca, patience: PAIR_LIMIT.as_secs() };
        reach.service().expect("init wrote the authority's certificate")
    }

    /// How client programs reach it.
    pub fn security(&self) -> Vec<String> {
        self.site.security(self.directory.path())
    }

    pub fn key_of(&self, terminal: &str) -> String {
        let rolls = duplex::cli::rolls::read(&self.file("pair/terminals.csv")).expect("init wrote it");
        rolls.into_iter().find(|row| row.terminal_id == terminal).expect("init enrols it").key
    }

    pub fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    pub fn start(&mut self, server: usize) {
        self.servers[server] = start_server(&self.lab, self.directory.path(), server, self.site.faults[server].as_deref());
    }

    pub fn kill_witness(&mut self) {
        self.witness.kill();
    }

    pub fn start_witness(&mut self) {
        self.witness = start_witness(&self.lab, self.directory.path());
    }

    pub fn wait_until_said(&self, server: usize, words: &str, limit: Duration) {
        until(&format!("{} says {words:?}", SERVERS[server]), limit, || self.servers[server].has_said(words));
    }

    /// Until both say that they are a pair of one epoch.
    pub fn wait_for_pair(&self) {
        until("the pair is a pair", PAIR_LIMIT, || {
            let [one, other] = [HALL_1, HALL_2].map(|server| paired(&self.servers[server].words()));
            matches!((one, other), (Some((role, epoch)), Some((other, same))) if role != other && epoch == same)
        });
    }

    /// The server whose last word is that it serves, as Main of the pair or alone.
    pub fn serving(&self) -> Option<usize> {
        [HALL_1, HALL_2].into_iter().filter(|server| self.servers[*server].is_at_large()).find(|server| {
            let words = self.servers[*server].words();
            matches!(last_turn(&words), Some(line) if AS_ACKNOWLEDGER.iter().any(|turn| line.contains(turn)))
        })
    }

    /// What a server's status says, asked at its own address.
    pub fn status(&self, server: usize) -> Value {
        let address = format!("{}:{HTTP_PORT}", self.machine(server).address);
        self.client().enter(|| duplex::cli::status::ask(&address)).unwrap_or(Value::Null)
    }

    /// Who holds a service address.
    pub fn holders(&self, address: impl Into<IpAddr>) -> Vec<usize> {
        let address = address.into();
        let shown = format!(" {address}/{} ", if address.is_ipv4() { 32 } else { 128 });
        let holds = |server: &usize| self.machine(*server).ip(&format!("-oneline address show dev {INTERFACE}")).contains(&shown);
        [HALL_1, HALL_2].into_iter().filter(holds).collect()
    }

    pub fn wait_for_holders(&self, main: usize, sub: usize) {
        until("the service addresses are where they belong", TAKEOVER_LIMIT, || {
            self.holders(MAIN_ADDRESS) == [main] && self.holders(SUB_ADDRESS) == [sub]
        });
    }

    /// What one server kept in its lost-and-found: of each file, every line.
    pub fn saved(&self, server: usize) -> Vec<Vec<Value>> {
        let directory = fs::read_dir(self.layout(server).lost_and_found()).expect("init made it");
        let read = |file: &Path| fs::read_to_string(file).expect("it is a text");
        let lines = |text: String| text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        directory.map(|file| lines(read(&file.expect("it can be listed").path()))).collect()
    }

    /// Tails that either server kept.
    pub fn saved_tails(&self) -> usize {
        self.saved(HALL_1).len() + self.saved(HALL_2).len()
    }

    /// Whether what this server sends to the other one's peer port is lost. Heartbeats and what the other one sends still come.
    pub fn stop_entries(&self, from: usize, stop: bool) {
        let change = if stop { "add" } else { "delete" };
        let to = self.machine(1 - from).address;
        self.machine(from).ip(&format!("rule {change} to {to} ipproto tcp dport {PEER_PORT} blackhole"));
    }

    /// Whether what this server sends to the witness is lost.
    pub fn stop_witnessing(&self, from: usize, stop: bool) {
        let change = if stop { "add" } else { "delete" };
        self.machine(from).ip(&format!("rule {change} ipproto tcp dport {WITNESS_PORT} blackhole"));
    }

    /// `duplex audit` of both servers while they serve: the ledger's invariants, and one beside the other.
    pub fn audit(&self) {
        let configs = [HALL_1, HALL_2].map(|server| config_file(self.directory.path(), server));
        let audit = ["audit", "--json", "--config", text(&configs[HALL_1]), "--config", text(&configs[HALL_2])];
        self.run("audit", &audit);
    }

    fn switchover(&self, server: usize) -> Command {
        let mut command = program(self.machine(server));
        command.args(["switchover", "--json", "--config"]).arg(config_file(self.directory.path(), server));
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// `duplex switchover` on this server: what it prints, and whether it succeeds.
    pub fn switch_over(&self, server: usize) -> (Value, bool) {
        let output = self.switchover(server).output().expect("it starts");
        (serde_json::from_slice(&output.stdout).expect("one JSON object"), output.status.success())
    }

    /// The same without waiting for what becomes of it.
    pub fn begin_switchover(&mut self, server: usize) {
        let order = self.switchover(server).stdout(Stdio::null()).spawn().expect("it starts");
        self.orders.push(order);
    }

    /// Until every order has been carried out or refused: an order ends by itself within its limit.
    pub fn wait_for_orders(&mut self) {
        for mut order in self.orders.drain(..) {
            order.wait().expect("it is our child");
        }
    }

    /// Ends everything at once, as a power cut does; files stay for whoever looks into them.
    pub fn cut_the_power(&mut self) {
        for process in self.servers.iter_mut().chain([&mut self.witness]) {
            if process.is_running() {
                process.kill();
            }
        }
    }

    fn open_for_business(&self) {
        let mut members = File::create(self.file("members.csv")).expect("there is room for files");
        sample::write_default(&mut members, MEMBERS).expect("there is room for files");
        let (password, terminals) = (self.file("pair/password.txt"), self.file("pair/terminals.csv"));
        let (state, key, security) = (self.file("office.json"), self.key_of("office"), self.security());
        let address = format!("{MAIN_ADDRESS}:{TERMINAL_PORT}");
        let mut manager = vec!["--staff", "manager", "--password-file", text(&password), "--address", &address];
        manager.extend(security.iter().map(String::as_str));
        let date = format!(r#"{{"date":"{}"}}"#, jiff::Zoned::now().date());
        let day = ["terminal", "--terminal", "office", "--key", &key, "--state", text(&state)];
        self.run("office", &[&day[..], &manager, &["open_day", &date]].concat());
        let import = ["import", "members", "--terminals-file", text(&terminals)];
        self.run("import", &[&import[..], &manager, &[text(&self.file("members.csv"))]].concat());
    }

    /// Runs a client program to its end.
    fn run(&self, name: &str, arguments: &[&str]) {
        let log = File::create(self.file(&format!("{name}.log"))).expect("there is room for files");
        let mut command = program(self.client());
        command.args(arguments);
        let both = log.try_clone().expect("a file can be shared");
        let mut child = command.stdin(Stdio::null()).stdout(both).stderr(log).spawn().expect("it starts");
        let mut status = None;
        until(&format!("{name} is done"), STEP_LIMIT, || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        });
        let said = fs::read_to_string(self.file(&format!("{name}.log"))).unwrap_or_default();
        assert!(status.is_some_and(|status| status.success()), "{name}: {said}");
    }
}

/// What a failed scenario leaves for its reader.
impl Drop for Pair {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        self.directory.disable_cleanup(true);
        say(&format!("{}: failed; everything is kept in {}", self.scenario, self.directory.path().display()));
        for process in self.servers.iter().chain([&self.witness]) {
            say(&process.last_lines());
        }
    }
}

/// `duplex` inside a box; it dies with the scenario's thread, whatever happens to that.
pub fn program(machine: &LabBox) -> Command {
    let mut command = machine.command(env!("CARGO_BIN_EXE_duplex"));
    command.arg("--die-with-parent");
    command
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

fn start_witness(lab: &Lab, directory: &Path) -> Process {
    let machine = lab.machine(WITNESS);
    let mut command = program(machine);
    command.args(["witness", "--listen", &format!("{}:{WITNESS_PORT}", machine.address)]);
    command.arg("--data").arg(directory.join("pair/witness/data"));
    command.arg("--keys").arg(directory.join("pair/witness/keys"));
    Process::start(WITNESS, directory.join("witness.log"), command)
}

fn start_server(lab: &Lab, directory: &Path, server: usize, fault: Option<&str>) -> Process {
    let mut command = program(lab.machine(SERVERS[server]));
    // A debug build takes longer for a backtrace than a lease lasts.
    command.envs(fault.map(|fault| ("DUPLEX_FAULT", fault))).env("RUST_BACKTRACE", "0");
    command.arg("serve").arg("--config").arg(config_file(directory, server));
    Process::start(SERVERS[server], directory.join(format!("{}.log", SERVERS[server])), command)
}

/// Words of the story with which a server begins to acknowledge.
pub const AS_ACKNOWLEDGER: [&str; 3] = ["a pair, as main", "took over, actor", "carrying on alone"];
/// Words of the story with which it stops, or never did.
const OTHERWISE: [&str; 6] = [
    "a pair, as sub",
    "the other server is main now",
    "lost the other server",
    "the other server has newer data",
    "rejoining",
    "asking the arbiter",
];

/// The line with which the present state of a server's role began.
fn last_turn(words: &str) -> Option<&str> {
    words.lines().rev().find(|line| AS_ACKNOWLEDGER.iter().chain(&OTHERWISE).any(|turn| line.contains(turn)))
}

/// Role and epoch in a pair, if that is what the server last said.
fn paired(words: &str) -> Option<(&'static str, u64)> {
    let line = last_turn(words)?;
    let role = ["as main", "as sub"].into_iter().find(|role| line.contains(&format!("a pair, {role}")))?;
    Some((role, epoch_in(line)?))
}

/// The epoch that a line of the log names.
pub fn epoch_in(line: &str) -> Option<u64> {
    let digits = line.split("epoch: ").nth(1)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
