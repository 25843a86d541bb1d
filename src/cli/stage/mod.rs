//! A whole site made for a while: a witness, two servers and terminals, each a process of its own on a machine of its own. What the
//! demo and the laboratory play on.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

mod boxes;
mod cast;
mod direct;
mod losses;
mod store_lock;

pub(in crate::cli) use boxes::{Boxes, Machine, NoBoxes, Path, plug};
pub(in crate::cli) use cast::Cast;
pub(in crate::cli) use losses::{Loss, What, can_lose};
pub(in crate::cli) use store_lock::StoreLock;

use super::history::Stored;
use super::import::sample;
use super::init::{MANAGER, WITNESS_PORT};
use super::status::{self, Status};
use super::{Failure, counted, journal, print_line, rolls, settings};
use crate::layout::Layout;
use crate::ledger::rows::TerminalKind;

/// From two started processes to a pair; keys, stores and journals are new and small.
const PAIR_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at the servers' status; adds at most this to the seconds of a rejoin.
const LOOK: Duration = Duration::from_millis(50);

/// The terminals' process, and what it leaves.
pub(in crate::cli) const LOAD: &str = "load";
pub(in crate::cli) const HISTORY: &str = "history.jsonl";

/// What the site is like.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Plan {
    pub(in crate::cli) terminals: u16,
    pub(in crate::cli) store: String,
    pub(in crate::cli) members: u64,
    /// A cable of their own joins the two servers: entries go over it, heartbeats over both.
    pub(in crate::cli) direct: bool,
}

/// The cast on stage.
pub(in crate::cli) struct Stage {
    pub(in crate::cli) cast: Cast,
    plan: Plan,
    witness: Option<Child>,
    servers: [Option<Child>; 2],
    is_quiet: bool,
}

impl Stage {
    pub(in crate::cli) fn new(cast: Cast, plan: Plan) -> Self {
        Self { cast, plan, witness: None, servers: [None, None], is_quiet: false }
    }

    /// Tells no story.
    pub(in crate::cli) fn quiet(self) -> Self {
        Self { is_quiet: true, ..self }
    }

    fn say(&self, line: &str) -> Result<(), Failure> {
        if self.is_quiet { Ok(()) } else { say(line) }
    }

    pub(in crate::cli) async fn raise_the_pair(&mut self) -> Result<(), Failure> {
        self.say("making keys and two configurations")?;
        let arguments = self.cast.init_arguments(self.plan.terminals, &self.plan.store);
        self.cast.run(Machine::Terminals, "init", &arguments).await?;
        if self.plan.direct {
            direct::join(&self.cast)?;
        }
        self.say("starting a witness and two servers")?;
        self.start_witness()?;
        for server in Machine::SERVERS {
            self.start_server(server)?;
            if self.cast.boxes.is_loopback() {
                self.say(&format!("status of server {}: http://{}/", server.name(), self.cast.http(server)))?;
            }
        }
        self.wait_for_pair(PAIR_LIMIT).await
    }

    pub(in crate::cli) fn start_witness(&mut self) -> Result<(), Failure> {
        let listen = format!("{}:{WITNESS_PORT}", self.cast.boxes.address(Machine::Witness));
        let (data, keys) = (self.cast.file("pair/witness/data"), self.cast.file("pair/witness/keys"));
        let arguments: [OsString; 7] =
            ["witness".into(), "--listen".into(), listen.into(), "--data".into(), data.into(), "--keys".into(), keys.into()];
        self.witness = Some(self.cast.start(Machine::Witness, "witness", &arguments)?);
        Ok(())
    }

    pub(in crate::cli) fn start_server(&mut self, server: Machine) -> Result<(), Failure> {
        let arguments = ["serve".into(), "--config".into(), self.cast.config(server).into()];
        self.servers[place(server)] = Some(self.cast.start(server, server.name(), &arguments)?);
        Ok(())
    }

    pub(in crate::cli) async fn wait_for_pair(&mut self, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        loop {
            let statuses = self.statuses().await;
            if are_a_pair(&statuses) {
                return Ok(());
            }
            self.nobody_left()?;
            if Instant::now() >= deadline {
                let modes = statuses.map(|status| status.map_or("silent".into(), |status| status.mode));
                let [a, b] = modes;
                return Err(Failure::failed(format!("no pair after {} s: hall-a {a}, hall-b {b}", limit.as_secs())));
            }
            sleep(LOOK).await;
        }
    }

    /// A process that ended by itself ends the story: its last words are the reason.
    pub(in crate::cli) fn nobody_left(&mut self) -> Result<(), Failure> {
        let servers = self.servers.iter_mut().zip(Machine::SERVERS.map(Machine::name));
        let witness = std::iter::once((&mut self.witness, Machine::Witness.name()));
        for (child, name) in servers.chain(witness) {
            if let Some(Ok(Some(status))) = child.as_mut().map(Child::try_wait) {
                return Err(Failure::failed(format!("{name} ended ({status}): {}", self.cast.last_words(name))));
            }
        }
        Ok(())
    }

    pub(in crate::cli) async fn status(&self, server: Machine) -> Option<Status> {
        let address = self.cast.http(server);
        let asked = tokio::task::spawn_blocking(move || status::ask(&address)).await;
        serde_json::from_value(asked.ok()?.ok()?).ok()
    }

    pub(in crate::cli) async fn open_the_day(&self) -> Result<(), Failure> {
        let date = jiff::Zoned::now().date();
        self.say(&format!("opening the business day {date}"))?;
        let office = rolls::take(&self.cast.file("pair/terminals.csv"), &[TerminalKind::Analysis], 1)?.remove(0);
        let mut arguments: Vec<OsString> = vec!["terminal".into()];
        arguments.extend(self.cast.reach());
        arguments.extend(["--terminal", &office.terminal_id, "--key", &office.key, "--staff", MANAGER].map(Into::into));
        arguments.extend(["--password-file".into(), self.cast.file("pair/password.txt").into()]);
        arguments.extend(["--state".into(), self.cast.file("office.json").into()]);
        let body = format!(r#"{{"date":"{date}"}}"#);
        arguments.extend(["open_day".into(), body.into()]);
        self.cast.run(Machine::Terminals, "office", &arguments).await.map(drop)
    }

    pub(in crate::cli) async fn import_members(&self) -> Result<(), Failure> {
        self.say(&format!("importing {}", counted(self.plan.members, "member", "members")))?;
        let file = self.cast.file("members.csv");
        let bad = |e: std::io::Error| Failure::failed(format!("{}: {e}", file.display()));
        let out = std::io::BufWriter::new(std::fs::File::create(&file).map_err(bad)?);
        sample::write_default(out, self.plan.members).map_err(bad)?;
        let mut arguments: Vec<OsString> = vec!["import".into(), "members".into(), file.clone().into()];
        arguments.extend(self.cast.reach());
        arguments.extend(["--terminals-file".into(), self.cast.file("pair/terminals.csv").into()]);
        arguments.extend(["--staff".into(), MANAGER.into()]);
        arguments.extend(["--password-file".into(), self.cast.file("pair/password.txt").into()]);
        self.cast.run(Machine::Terminals, "import", &arguments).await.map(drop)
    }

    pub(in crate::cli) async fn main(&self) -> Result<Machine, Failure> {
        for server in Machine::SERVERS {
            if self.status(server).await.is_some_and(|status| status.role == "main") {
                return Ok(server);
            }
        }
        Err(Failure::failed("neither server says that it is the main server"))
    }

    fn process(&mut self, machine: Machine) -> Option<&mut Option<Child>> {
        match machine {
            Machine::ServerA | Machine::ServerB => Some(&mut self.servers[place(machine)]),
            Machine::Witness => Some(&mut self.witness),
            Machine::Terminals => None,
        }
    }

    /// SIGKILL, and its end waited for, so that its addresses and files are free for the next run.
    pub(in crate::cli) async fn kill(&mut self, machine: Machine) -> Result<(), Failure> {
        let Some(mut child) = self.process(machine).and_then(Option::take) else { return Ok(()) };
        child.kill().await.map_err(|e| Failure::failed(format!("cannot kill {}: {e}", machine.name())))
    }

    /// Starts the server or witness of that machine, unless it runs.
    pub(in crate::cli) fn start(&mut self, machine: Machine) -> Result<(), Failure> {
        if self.runs(machine) {
            return Ok(());
        }
        match machine {
            Machine::ServerA | Machine::ServerB => self.start_server(machine),
            Machine::Witness => self.start_witness(),
            Machine::Terminals => Ok(()),
        }
    }

    /// Whether its process was started and has not ended.
    pub(in crate::cli) fn runs(&mut self, machine: Machine) -> bool {
        let process = self.process(machine).and_then(Option::as_mut);
        process.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Nothing, if it has ended.
    pub(in crate::cli) fn signal(&mut self, machine: Machine, signal: Signal) {
        let id = self.process(machine).and_then(|child| child.as_ref()?.id());
        if let Some(id) = id.and_then(|id| i32::try_from(id).ok()) {
            // It may end in this moment.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }

    /// Its end, however it comes.
    pub(in crate::cli) async fn ended(&mut self, machine: Machine, limit: Duration) -> Result<(), Failure> {
        let Some(child) = self.process(machine).and_then(Option::as_mut) else { return Ok(()) };
        let ended = timeout(limit, child.wait()).await;
        ended
            .map_err(|_| Failure::failed(format!("{} does not end", machine.name())))?
            .map(drop)
            .map_err(|e| Failure::failed(e.to_string()))
    }

    /// From now on these packets are lost, and no others.
    pub(in crate::cli) fn lose(&self, losses: &[Loss]) -> Result<(), Failure> {
        losses::lose(losses, &self.cast.boxes, self.plan.direct).map_err(|NoBoxes(reason)| Failure::failed(reason))
    }

    /// Keeps a server from writing its store (SQLite), until what is returned is dropped.
    pub(in crate::cli) fn lock_store(&self, server: Machine) -> Result<StoreLock, Failure> {
        StoreLock::take(&self.layout(server)?.sqlite())
    }

    /// Whether both say that they are a pair.
    pub(in crate::cli) async fn is_a_pair(&self) -> bool {
        are_a_pair(&self.statuses().await)
    }

    async fn statuses(&self) -> [Option<Status>; 2] {
        [self.status(Machine::ServerA).await, self.status(Machine::ServerB).await]
    }

    /// All terminals of the plan at work, `rate` commands a second for so many seconds; the report tells the parts between `marks` apart.
    pub(in crate::cli) fn start_load(&self, rate: f64, seconds: u64, marks: &[Duration]) -> Result<Child, Failure> {
        let Plan { terminals, members, .. } = self.plan;
        let mut arguments: Vec<OsString> = vec!["load".into(), "--json".into()];
        arguments.extend(self.cast.reach());
        arguments.extend(["--terminals-file".into(), self.cast.file("pair/terminals.csv").into()]);
        arguments.extend(["--history".into(), self.cast.file(HISTORY).into()]);
        let numbers = [
            format!("--terminals={terminals}"),
            format!("--rate={rate}"),
            format!("--seconds={seconds}"),
            format!("--cards=C:{members}"),
        ];
        arguments.extend(numbers.map(Into::into));
        arguments.extend(marks.iter().map(|mark| format!("--mark={}", mark.as_secs_f64()).into()));
        self.cast.start(Machine::Terminals, LOAD, &arguments)
    }

    /// What the audit printed, or why it failed.
    pub(in crate::cli) async fn audit(&self) -> Result<Value, String> {
        let mut arguments: Vec<OsString> = vec!["audit".into(), "--json".into()];
        for server in Machine::SERVERS {
            arguments.extend(["--config".into(), self.cast.config(server).into()]);
        }
        let printed = self.cast.run(Machine::Terminals, "audit", &arguments).await.map_err(|failure| failure.message)?;
        serde_json::from_str(&printed).map_err(|e| format!("audit: {e}"))
    }

    pub(in crate::cli) fn journal_directory(&self, server: Machine) -> Result<PathBuf, Failure> {
        Ok(self.layout(server)?.journal())
    }

    /// What its journal holds.
    pub(in crate::cli) fn journal(&self, server: Machine) -> Result<Vec<Stored>, Failure> {
        journal::stored(&self.journal_directory(server)?)
    }

    /// What was cut off its journal: each line of its lost-and-found, or why one cannot be read.
    pub(in crate::cli) fn lost_and_found(&self, server: Machine) -> Result<Vec<Result<Stored, String>>, Failure> {
        let directory = self.layout(server)?.lost_and_found();
        let bad = |e: std::io::Error| Failure::failed(format!("{}: {e}", directory.display()));
        let mut lines = Vec::new();
        for file in std::fs::read_dir(&directory).map_err(bad)? {
            let text = std::fs::read_to_string(file.map_err(bad)?.path()).map_err(bad)?;
            lines.extend(text.lines().map(|line| serde_json::from_str(line).map_err(|e| e.to_string())));
        }
        Ok(lines)
    }

    fn layout(&self, server: Machine) -> Result<Layout, Failure> {
        Ok(Layout::of(&settings(&self.cast.config(server))?))
    }
}

fn are_a_pair(statuses: &[Option<Status>; 2]) -> bool {
    statuses.iter().all(|status| status.as_ref().is_some_and(|status| status.mode == "pair" && status.peer.in_sync))
}

fn place(server: Machine) -> usize {
    usize::from(server == Machine::ServerB)
}

/// One line of the story.
pub(in crate::cli) fn say(line: &str) -> Result<(), Failure> {
    print_line(&format!("· {line}"))
}
