//! A pair on the loopback network: a witness and two servers as processes of their own, and terminals that talk to them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use duplex::config::Config;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

mod line;
mod program;

pub use line::{CommandIds, Line};
pub use program::{PROGRAM, Running, eventually, run};

/// Longer than any takeover or restart on a busy machine; reached only by failures.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A server that has not answered after this is asked again, as a terminal does it.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const PAIRS_TRIED_MAX: usize = 5;

static PAIRS: AtomicU32 = AtomicU32::new(0);

/// Which server. The first is the pair's home Main.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    First,
    Second,
}

pub use Which::{First, Second};

impl Which {
    pub fn other(self) -> Self {
        if self == First { Second } else { First }
    }

    pub fn name(self) -> &'static str {
        ["hall-1", "hall-2"][self as usize]
    }
}

/// A pair's directory and its processes.
pub struct Pair {
    root: TempDir,
    net: [u8; 2],
    witness: Option<Running>,
    servers: [Option<Running>; 2],
    keys: HashMap<String, String>,
    plain: bool,
}

impl Pair {
    /// Files of a new pair whose terminals talk in plain; nothing runs yet.
    pub fn init() -> Self {
        Self::made(true)
    }

    /// As [`Self::init`], with TLS for terminals.
    pub fn init_tls() -> Self {
        Self::made(false)
    }

    fn made(plain: bool) -> Self {
        let root = tempfile::Builder::new().prefix("duplex-pair-").tempdir().unwrap();
        let number = std::process::id() * 16 + PAIRS.fetch_add(1, Ordering::Relaxed);
        // 127.0.x.y and the demo's range belong to others; two pairs of one machine meet only if two numbers are 62,500 apart.
        let net = [1 + (number / 250 % 250) as u8, (number % 250) as u8];
        let mut pair = Self { root, net, witness: None, servers: [None, None], keys: HashMap::new(), plain };
        let mut arguments = vec!["init".to_owned(), "--out".into(), pair.file("").display().to_string()];
        for which in [First, Second] {
            arguments.push("--server".into());
            arguments.push(format!("{}={}", which.name(), pair.ip(which)));
        }
        arguments.extend(["--witness".into(), pair.witness_address().to_string(), "--terminals".into(), "64".into()]);
        arguments.extend(plain.then(|| "--plain".into()));
        run(&arguments);
        pair.be_patient();
        pair.keys = read_keys(&pair.file("terminals.csv"));
        pair
    }

    /// A test machine that is busy must not look like a server that is silent; one that is dead is noticed at once all the same.
    fn be_patient(&self) {
        for which in [First, Second] {
            let text = fs::read_to_string(self.config_file(which)).unwrap();
            let patient = text.replace("lease_ms = 250", "lease_ms = 1500").replace("silence_ms = 350", "silence_ms = 2000");
            assert!(patient.contains("silence_ms = 2000") && patient.contains("lease_ms = 1500"), "{text}");
            fs::write(self.config_file(which), patient).unwrap();
        }
    }

    /// A pair at work: both servers up, the day open, 200 members with cards `C00000001` and on, PINs the last four digits.
    ///
    /// The first is Main: a pair whose servers booted so far apart, on a busy machine, that the second took over is made anew.
    pub fn at_work() -> Self {
        let at_home = |_| Some(Self::init().put_to_work()).filter(|pair| pair.wait_for_pair(PATIENCE) == First);
        (0..PAIRS_TRIED_MAX).find_map(at_home).expect("two servers that are started together boot together")
    }

    pub fn put_to_work(mut self) -> Self {
        self.start();
        self.wait_for_pair(PATIENCE);
        self.open_the_day();
        self
    }

    /// Before that server is started.
    pub fn store_in(&self, which: Which, url: &str) {
        let text = fs::read_to_string(self.config_file(which)).unwrap();
        let line = text.lines().find(|line| line.starts_with("url = ")).unwrap();
        fs::write(self.config_file(which), text.replace(line, &format!("url = {url:?}"))).unwrap();
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("pair").join(name)
    }

    pub fn config_file(&self, which: Which) -> PathBuf {
        self.file(which.name()).join("duplex.toml")
    }

    pub fn config(&self, which: Which) -> Config {
        Config::load(&self.config_file(which)).unwrap()
    }

    pub fn ip(&self, which: Which) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net[0], self.net[1], which as u8 + 1)
    }

    /// Where terminals reach that server.
    pub fn address(&self, which: Which) -> SocketAddr {
        (self.ip(which), duplex::cli::init::TERMINAL_PORT).into()
    }

    pub fn witness_address(&self) -> SocketAddr {
        (Ipv4Addr::new(127, self.net[0], self.net[1], 3), duplex::cli::init::WITNESS_PORT).into()
    }

    pub fn key(&self, terminal: &str) -> &str {
        &self.keys[terminal]
    }

    pub fn start(&mut self) {
        self.start_witness();
        self.start_server(First, None);
        self.start_server(Second, None);
    }

    pub fn start_witness(&mut self) {
        let (data, keys) = (self.file("witness/data"), self.file("witness/keys"));
        let listen = self.witness_address().to_string();
        let arguments =
            ["witness", "--listen", &listen, "--data", &data.display().to_string(), "--keys", &keys.display().to_string()];
        self.witness = Some(self.spawn("witness", &arguments, None));
    }

    /// `fault` is what `DUPLEX_FAULT` says.
    pub fn start_server(&mut self, which: Which, fault: Option<&str>) {
        let config = self.config_file(which).display().to_string();
        self.servers[which as usize] = Some(self.spawn(which.name(), &["serve", "--config", &config], fault));
    }

    fn spawn(&self, name: &str, arguments: &[&str], fault: Option<&str>) -> Running {
        let log = File::options().create(true).append(true).open(self.log_file(name)).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("--die-with-parent").args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("RUST_BACKTRACE", "0");
        if let Some(fault) = fault {
            command.env("DUPLEX_FAULT", fault);
        }
        Running { child: command.spawn().unwrap() }
    }

    pub fn server(&mut self, which: Which) -> &mut Running {
        self.servers[which as usize].as_mut().expect("that server was started")
    }

    pub fn witness(&mut self) -> &mut Running {
        self.witness.as_mut().expect("the witness was started")
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self, which: Which) {
        self.servers[which as usize] = None;
    }

    pub fn runs(&mut self, which: Which) -> bool {
        let server = self.servers[which as usize].as_mut();
        server.is_some_and(|server| server.child.try_wait().unwrap().is_none())
    }

    /// Both at the same moment, so that neither goes on alone.
    pub fn kill_both(&mut self) {
        for server in self.servers.iter().flatten() {
            // One that has ended by itself is as good as stopped.
            let _ = kill(Pid::from_raw(server.pid() as i32), Signal::SIGSTOP);
        }
        self.servers = [None, None];
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.log"))
    }

    /// Everything that a server has said so far.
    pub fn log(&self, which: Which) -> String {
        fs::read_to_string(self.log_file(which.name())).unwrap_or_default()
    }

    /// Waits until the log says so.
    ///
    /// # Panics
    /// With the log, if it never does.
    pub fn wait_for_log(&self, which: Which, what: &str, limit: Duration) {
        assert!(
            eventually(limit, || self.log(which).contains(what)),
            "{} never said {what:?}:\n{}",
            which.name(),
            self.log(which)
        );
    }

    /// Waits until Main answers as one of a pair; says which one that is.
    ///
    /// # Panics
    /// With both logs, if it is none in time.
    pub fn wait_for_pair(&self, limit: Duration) -> Which {
        let main = self.find_pair(limit);
        main.unwrap_or_else(|| panic!("no pair:\n{}\n{}", self.log(First), self.log(Second)))
    }

    /// As [`Self::wait_for_pair`], for whoever can do without one.
    pub fn find_pair(&self, limit: Duration) -> Option<Which> {
        if !self.plain {
            // Only plain terminals are spoken here.
            let is_main = |which: &Which| self.log(*which).contains("a pair, as main");
            return eventually(limit, || is_main(&First)).then_some(First);
        }
        let mut main = None;
        let _ = eventually(limit, || {
            main = [First, Second].into_iter().find(|which| self.mode(*which).as_deref() == Some("pair"));
            main.is_some()
        });
        main
    }

    /// What a server's status says; `Null` if it says nothing.
    pub fn status(&self, which: Which) -> Value {
        duplex::cli::status::ask(&self.http(which)).unwrap_or(Value::Null)
    }

    /// Where HTTP reaches that server.
    pub fn http(&self, which: Which) -> String {
        format!("{}:{}", self.ip(which), duplex::cli::init::HTTP_PORT)
    }

    /// The mode in which a server answers a greeting; `None` if it does not serve.
    pub fn mode(&self, which: Which) -> Option<String> {
        let asked = || {
            let mut line = Line::open(self.address(which)).ok()?;
            // An answer that a fault swallowed never comes: the next greeting is answered.
            line.stream().set_read_timeout(Some(ANSWER_LIMIT)).unwrap();
            line.ask(&self.request("office", &CommandIds::draw(), "hello", json!({}))).ok()
        };
        asked().filter(|answer| answer["status"] == "ok").and_then(|answer| Some(answer["mode"].as_str()?.to_owned()))
    }

    /// Opens a session with Main.
    pub fn line(&self, which: Which) -> Line {
        Line::open(self.address(which)).unwrap()
    }

    /// A request in full, as JSON.
    pub fn request(&self, terminal: &str, command_id: &str, command: &str, body: Value) -> Value {
        json!({"v": 1, "terminal_id": terminal, "key": self.key(terminal), "command_id": command_id, "command": command, "body": body,
            "rate_table_ver": 1})
    }

    fn open_the_day(&self) {
        let today = jiff::Zoned::now().date();
        let office = self.key("office").to_owned();
        let state = self.file("office.json").display().to_string();
        let password = self.file("password.txt").display().to_string();
        let mut open =
            vec!["terminal", "--terminal", "office", "--key", &office, "--staff", "manager", "--password-file", &password];
        let body = json!({"date": today.to_string()}).to_string();
        let reach = self.reach();
        open.extend(reach.iter().map(String::as_str));
        open.extend(["--state", &state, "open_day", &body]);
        run(&open);
        let sample = run(&["import", "sample", "--rows", "200"]);
        let members = self.file("members.csv").display().to_string();
        fs::write(&members, sample.stdout).unwrap();
        let terminals = self.file("terminals.csv").display().to_string();
        let mut import = vec!["import", "members", &members, "--terminals-file", &terminals, "--staff", "manager"];
        import.extend(["--password-file", &password]);
        import.extend(reach.iter().map(String::as_str));
        run(&import);
    }

    /// How client commands reach the service.
    pub fn reach(&self) -> Vec<String> {
        let addresses = format!("{},{}", self.address(First), self.address(Second));
        let security =
            if self.plain { vec!["--plain".into()] } else { vec!["--ca".into(), self.file("ca.pem").display().to_string()] };
        [vec!["--address".into(), addresses], security].concat()
    }

    /// Starts `duplex load`: deposits of 8 terminals; its history is `history`.
    /// `duplex switchover` on this server.
    pub fn switchover(&self, which: Which) -> Child {
        let mut command = Command::new(PROGRAM);
        command.args(["switchover", "--config"]).arg(self.config_file(which));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn load(&self, rate: u32, seconds: f64, history: &Path) -> Child {
        self.load_of(&["--terminals", "8", "--rate", &rate.to_string()], seconds, history)
    }

    /// As fast as they are answered.
    pub fn full_load(&self, seconds: f64, history: &Path) -> Child {
        self.load_of(&["--terminals", "32"], seconds, history)
    }

    fn load_of(&self, kind: &[&str], seconds: f64, history: &Path) -> Child {
        let mut command = Command::new(PROGRAM);
        command.args(["--die-with-parent", "load", "--json", "--patience", "30", "--cards", "C:200"]).args(kind);
        command.arg("--terminals-file").arg(self.file("terminals.csv")).arg("--history").arg(history);
        command.args(self.reach()).args(["--seconds".to_owned(), seconds.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Resident memory of a server in KiB.
    pub fn resident_kib(&mut self, which: Which) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server(which).pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn read_keys(file: &Path) -> HashMap<String, String> {
    let text = fs::read_to_string(file).unwrap();
    let fields = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    text.lines().skip(1).map(fields).map(|fields| (fields[0].clone(), fields[2].clone())).collect()
}
