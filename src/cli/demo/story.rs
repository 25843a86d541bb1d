//! The story, act by act: a pair, a working day, a death, a return.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;
use tokio::time::{Instant, sleep, sleep_until};

use super::Args;
use super::boxes::{Boxes, Machine};
use super::cast::Cast;
use super::report::Report;
use super::verdict::{self, Evidence};
use crate::cli::history::{Stored, now_us};
use crate::cli::import::sample;
use crate::cli::init::{MANAGER, WITNESS_PORT};
use crate::cli::status::{self, Status};
use crate::cli::{Failure, counted, load, print_line, rolls};
use crate::ledger::rows::TerminalKind;

/// From two started processes to a pair; keys, stores and journals are new and small.
const PAIR_LIMIT: Duration = Duration::from_secs(30);
/// A returning server fetches what a third of the run wrote, then becomes level.
const REJOIN_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at the servers' status; adds at most this to the seconds of the rejoin.
const LOOK: Duration = Duration::from_millis(50);
/// Beyond the last third: the terminals give up a command after a minute, so the load ends by then.
const LOAD_LIMIT: Duration = Duration::from_secs(90);

const LOAD: &str = "load";

/// Moments of the story, microseconds of the monotonic clock (as in the history).
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    /// Just before SIGKILL was sent.
    pub(super) killed_us: u64,
    /// Its process was gone: whoever was asked after this was not asked of it.
    pub(super) dead_us: u64,
    pub(super) restarted_us: u64,
    pub(super) paired_us: u64,
}

/// The cast on stage.
pub(super) struct Story<'a> {
    args: &'a Args,
    cast: Cast,
    witness: Option<Child>,
    servers: [Option<Child>; 2],
}

impl<'a> Story<'a> {
    pub(super) fn new(args: &'a Args, directory: &Path, boxes: Boxes) -> Result<Self, Failure> {
        Ok(Self { args, cast: Cast::new(directory, boxes)?, witness: None, servers: [None, None] })
    }

    /// Tells it to its end.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub(super) async fn tell(mut self) -> Result<Report, Failure> {
        self.raise_the_pair().await?;
        self.open_the_day().await?;
        self.import_members().await?;
        let (load, moments, served_by) = self.work_through_a_death().await?;
        say("auditing both servers")?;
        let audit = self.audit().await;
        let evidence = Evidence {
            engine: if self.args.store.starts_with("postgres") { "postgresql" } else { "sqlite" },
            network: if self.cast.boxes.is_loopback() { "loopback" } else { "namespaces" },
            load,
            moments,
            served_by: served_by.name(),
            audit,
            journals: [self.journal(Machine::ServerA).await?, self.journal(Machine::ServerB).await?],
            directory: self.cast.file(""),
        };
        verdict::reach(&evidence, &self.cast.file("history.jsonl"))
    }

    async fn raise_the_pair(&mut self) -> Result<(), Failure> {
        say("making keys and two configurations")?;
        let arguments = self.cast.init_arguments(self.args.terminals, &self.args.store);
        self.cast.run(Machine::Terminals, "init", &arguments).await?;
        say("starting a witness and two servers")?;
        let listen = format!("{}:{WITNESS_PORT}", self.cast.boxes.address(Machine::Witness));
        let (data, keys) = (self.cast.file("pair/witness/data"), self.cast.file("pair/witness/keys"));
        let arguments: [OsString; 7] =
            ["witness".into(), "--listen".into(), listen.into(), "--data".into(), data.into(), "--keys".into(), keys.into()];
        self.witness = Some(self.cast.start(Machine::Witness, "witness", &arguments)?);
        for server in Machine::SERVERS {
            self.start_server(server)?;
            if self.cast.boxes.is_loopback() {
                say(&format!("status of server {}: http://{}/", server.name(), self.cast.http(server)))?;
            }
        }
        self.wait_for_pair(PAIR_LIMIT).await
    }

    fn start_server(&mut self, server: Machine) -> Result<(), Failure> {
        let arguments = ["serve".into(), "--config".into(), self.cast.config(server).into()];
        self.servers[place(server)] = Some(self.cast.start(server, server.name(), &arguments)?);
        Ok(())
    }

    async fn wait_for_pair(&mut self, limit: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        loop {
            let statuses = [self.status(Machine::ServerA).await, self.status(Machine::ServerB).await];
            if statuses.iter().all(|status| status.as_ref().is_some_and(|status| status.mode == "pair" && status.peer.in_sync)) {
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
    fn nobody_left(&mut self) -> Result<(), Failure> {
        let servers = self.servers.iter_mut().zip(Machine::SERVERS.map(Machine::name));
        let witness = std::iter::once((&mut self.witness, Machine::Witness.name()));
        for (child, name) in servers.chain(witness) {
            if let Some(Ok(Some(status))) = child.as_mut().map(Child::try_wait) {
                return Err(Failure::failed(format!("{name} ended ({status}): {}", self.cast.last_words(name))));
            }
        }
        Ok(())
    }

    async fn status(&self, server: Machine) -> Option<Status> {
        let address = self.cast.http(server);
        let asked = tokio::task::spawn_blocking(move || status::ask(&address)).await;
        serde_json::from_value(asked.ok()?.ok()?).ok()
    }

    async fn open_the_day(&self) -> Result<(), Failure> {
        let date = jiff::Zoned::now().date();
        say(&format!("opening the business day {date}"))?;
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

    async fn import_members(&self) -> Result<(), Failure> {
        say(&format!("importing {}", counted(self.args.members, "member", "members")))?;
        let file = self.cast.file("members.csv");
        let bad = |e: std::io::Error| Failure::failed(format!("{}: {e}", file.display()));
        let out = std::io::BufWriter::new(std::fs::File::create(&file).map_err(bad)?);
        sample::write_default(out, self.args.members).map_err(bad)?;
        let mut arguments: Vec<OsString> = vec!["import".into(), "members".into(), file.clone().into()];
        arguments.extend(self.cast.reach());
        arguments.extend(["--terminals-file".into(), self.cast.file("pair/terminals.csv").into()]);
        arguments.extend(["--staff".into(), MANAGER.into()]);
        arguments.extend(["--password-file".into(), self.cast.file("pair/password.txt").into()]);
        self.cast.run(Machine::Terminals, "import", &arguments).await.map(drop)
    }

    /// The terminals work; Main is killed at one third and started again at two thirds.
    async fn work_through_a_death(&mut self) -> Result<(load::Report, Moments, Machine), Failure> {
        let third = Duration::from_secs(self.args.seconds) / 3;
        say(&format!("{} at work for {} s", counted(self.args.terminals.into(), "terminal", "terminals"), self.args.seconds))?;
        let began = Instant::now();
        let mut work = self.cast.start(Machine::Terminals, LOAD, &self.load_arguments(third))?;

        self.wait_beside(&mut work, began + third).await?;
        let main = self.main().await?;
        let killed_us = now_us();
        self.kill(main).await?;
        let dead_us = now_us();
        say(&format!("killed {}, the main server (SIGKILL)", main.name()))?;

        self.wait_beside(&mut work, began + third * 2).await?;
        let restarted_us = now_us();
        self.start_server(main)?;
        say(&format!("started {} again", main.name()))?;
        self.wait_for_pair(REJOIN_LIMIT).await?;
        let paired_us = now_us();
        say("the pair is a pair again")?;

        let ended = tokio::time::timeout(third + LOAD_LIMIT, work.wait()).await;
        ended.map_err(|_| Failure::failed("the terminals did not end"))?.map_err(|e| Failure::failed(format!("load: {e}")))?;
        let survivor = if main == Machine::ServerA { Machine::ServerB } else { Machine::ServerA };
        Ok((self.load_report()?, Moments { killed_us, dead_us, restarted_us, paired_us }, survivor))
    }

    /// Until `moment`, unless somebody who should be at work has ended.
    async fn wait_beside(&mut self, work: &mut Child, moment: Instant) -> Result<(), Failure> {
        tokio::select! {
            () = sleep_until(moment) => self.nobody_left(),
            _ = work.wait() => Err(Failure::failed(format!("the terminals ended early: {}", self.cast.last_words(LOAD)))),
        }
    }

    async fn main(&self) -> Result<Machine, Failure> {
        for server in Machine::SERVERS {
            if self.status(server).await.is_some_and(|status| status.role == "main") {
                return Ok(server);
            }
        }
        Err(Failure::failed("neither server says that it is the main server"))
    }

    /// SIGKILL, and its end waited for, so that its addresses and files are free for the next run.
    async fn kill(&mut self, server: Machine) -> Result<(), Failure> {
        let Some(mut child) = self.servers[place(server)].take() else { return Ok(()) };
        child.kill().await.map_err(|e| Failure::failed(format!("cannot kill {}: {e}", server.name())))
    }

    fn load_arguments(&self, third: Duration) -> Vec<OsString> {
        let Args { seconds, terminals, rate, members, .. } = self.args;
        let (one, two) = (third.as_secs_f64(), (third * 2).as_secs_f64());
        let mut arguments: Vec<OsString> = vec!["load".into(), "--json".into()];
        arguments.extend(self.cast.reach());
        arguments.extend(["--terminals-file".into(), self.cast.file("pair/terminals.csv").into()]);
        arguments.extend(["--history".into(), self.cast.file("history.jsonl").into()]);
        let numbers = [
            format!("--terminals={terminals}"),
            format!("--rate={rate}"),
            format!("--seconds={seconds}"),
            format!("--cards=C:{members}"),
            format!("--mark={one}"),
            format!("--mark={two}"),
        ];
        arguments.extend(numbers.map(Into::into));
        arguments
    }

    /// Commands that stayed unsettled make the load fail, but its report is there all the same.
    fn load_report(&self) -> Result<load::Report, Failure> {
        let text = self.cast.words(LOAD);
        let report = text.lines().find_map(|line| serde_json::from_str(line).ok());
        report.ok_or_else(|| Failure::failed(format!("the terminals left no report: {}", self.cast.last_words(LOAD))))
    }

    /// What the audit printed, or why it failed.
    async fn audit(&self) -> Result<Value, String> {
        let mut arguments: Vec<OsString> = vec!["audit".into(), "--json".into()];
        for server in Machine::SERVERS {
            arguments.extend(["--config".into(), self.cast.config(server).into()]);
        }
        let printed = self.cast.run(Machine::Terminals, "audit", &arguments).await.map_err(|failure| failure.message)?;
        serde_json::from_str(&printed).map_err(|e| format!("audit: {e}"))
    }

    async fn journal(&self, server: Machine) -> Result<Vec<Stored>, Failure> {
        let arguments = ["journal".into(), "show".into(), "--json".into(), "--config".into(), self.cast.config(server).into()];
        let printed = self.cast.run(server, "journal", &arguments).await?;
        let entries = printed.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        entries.map_err(|e| Failure::failed(format!("journal of {}: {e}", server.name())))
    }
}

fn place(server: Machine) -> usize {
    usize::from(server == Machine::ServerB)
}

/// One line of the story.
fn say(line: &str) -> Result<(), Failure> {
    print_line(&format!("· {line}"))
}
