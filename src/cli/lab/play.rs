//! Plays one scenario on a stage of its own, and judges what the terminals and the servers have to show.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::judge::{Evidence, Fault, Outcome, judge};
use super::scenario::{Act, Scenario, Step, Whom};
use crate::cli::Failure;
use crate::cli::history::{self, now_us};
use crate::cli::stage::{Boxes, Cast, HISTORY, Machine, Plan, Stage, plug};

/// Few enough for a quick import, many enough that no account is full after a soak's round.
const MEMBERS: u64 = 3_000;
/// The pair must be one again this long after the last step.
const PAIR_LIMIT: Duration = Duration::from_secs(60);
/// A server that is told to stop ends its sessions, its journal and its addresses.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Before the first step and after the last one, so that every terminal has been answered.
const SETTLE: Duration = Duration::from_secs(1);
/// The terminals give up a command after a minute.
const FAREWELL: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);
/// The load is told when to stop, and not before.
const FOR_EVER_S: u64 = 86_000;

pub(super) struct Play<'a> {
    scenario: &'a Scenario,
    stage: Stage,
    /// Who was named last.
    named: Vec<Machine>,
    frozen: Vec<Machine>,
    pulled: Vec<Machine>,
    /// Orders to switch over that were not waited for.
    orders: Vec<Child>,
    burdens: Vec<Child>,
    faults: Vec<Fault>,
}

impl<'a> Play<'a> {
    pub(super) fn new(scenario: &'a Scenario, directory: &Path, boxes: Boxes) -> Result<Self, Failure> {
        let plan = Plan { terminals: scenario.terminals, store: "sqlite".into(), members: MEMBERS };
        let stage = Stage::new(Cast::new(directory, boxes)?, plan).quiet();
        Ok(Self {
            scenario,
            stage,
            named: vec![],
            frozen: vec![],
            pulled: vec![],
            orders: vec![],
            burdens: vec![],
            faults: vec![],
        })
    }

    /// # Errors
    /// What the stage itself could not do; a promise that was broken is an outcome.
    pub(super) async fn play(mut self) -> Result<Outcome, Failure> {
        self.stage.raise_the_pair().await?;
        self.stage.open_the_day().await?;
        self.stage.import_members().await?;
        let mut load = self.stage.start_load(self.scenario.per_second, FOR_EVER_S, &[])?;
        sleep(SETTLE).await;
        for step in &self.scenario.steps {
            self.take(step).await?;
        }
        let is_a_pair = self.heal().await?;
        sleep(SETTLE).await;
        let ended_us = now_us();
        send_home(&mut load).await?;
        let audit = self.stage.audit().await;
        let words = Machine::SERVERS.map(|server| self.stage.cast.words(server.name()));
        for machine in [Machine::ServerA, Machine::ServerB, Machine::Witness] {
            self.stage.kill(machine).await?;
        }
        let journals = [self.stage.journal(Machine::ServerA).await?, self.stage.journal(Machine::ServerB).await?];
        let file = self.stage.cast.file(HISTORY);
        let bad = |reason: String| Failure::failed(format!("{}: {reason}", file.display()));
        let opened = std::fs::File::open(&file).map_err(|e| bad(e.to_string()))?;
        let told = history::read(std::io::BufReader::new(opened)).map_err(bad)?;
        let faults = std::mem::take(&mut self.faults);
        Ok(judge(self.scenario, &told, &Evidence { faults, ended_us, is_a_pair, audit, words, journals }))
    }

    async fn take(&mut self, step: &Step) -> Result<(), Failure> {
        sleep(Duration::from_secs_f64(step.wait_s)).await;
        let machines = self.meant(step.whom).await;
        if let Some(name) = &step.fault {
            self.faults.push(Fault { name: name.clone(), at_us: now_us() });
        }
        match step.act {
            Act::WaitForPair => drop(self.wait_until_a_pair().await),
            Act::SwitchOver => self.switch_over().await?,
            Act::Burden => self.burden()?,
            Act::Relieve => self.burdens.clear(),
            act => {
                for machine in machines {
                    self.act(act, machine).await?;
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, act: Act, machine: Machine) -> Result<(), Failure> {
        match act {
            Act::Kill => self.stage.kill(machine).await?,
            Act::Stop => {
                self.stage.signal(machine, Signal::SIGTERM);
                self.stage.ended(machine, STOP_LIMIT).await?;
            }
            Act::Freeze => {
                self.stage.signal(machine, Signal::SIGSTOP);
                self.frozen.push(machine);
            }
            Act::Thaw => {
                self.stage.signal(machine, Signal::SIGCONT);
                self.frozen.retain(|frozen| *frozen != machine);
            }
            Act::Start => self.stage.start(machine)?,
            Act::Pull => {
                cable(machine, false)?;
                self.pulled.push(machine);
            }
            Act::Plug => {
                cable(machine, true)?;
                self.pulled.retain(|pulled| *pulled != machine);
            }
            Act::SwitchOver | Act::Burden | Act::Relieve | Act::WaitForPair => {}
        }
        Ok(())
    }

    /// Who is Main is asked at that moment; where nobody says so, the first server is taken for it.
    async fn meant(&mut self, whom: Option<Whom>) -> Vec<Machine> {
        let servers = Machine::SERVERS.to_vec();
        let meant = match whom {
            None => return vec![],
            Some(Whom::Same) => return self.named.clone(),
            Some(Whom::HallA) => vec![Machine::ServerA],
            Some(Whom::HallB) => vec![Machine::ServerB],
            Some(Whom::Witness) => vec![Machine::Witness],
            Some(Whom::Both) => servers,
            Some(Whom::All) => [servers, vec![Machine::Witness]].concat(),
            Some(role @ (Whom::Main | Whom::Sub)) => {
                let main = self.stage.main().await.unwrap_or(Machine::ServerA);
                vec![if role == Whom::Main { main } else { main.other() }]
            }
        };
        self.named.clone_from(&meant);
        meant
    }

    /// Not waited for: the next step may come in the middle of it.
    async fn switch_over(&mut self) -> Result<(), Failure> {
        let main = self.stage.main().await.unwrap_or(Machine::ServerA);
        let arguments: [OsString; 3] = ["switchover".into(), "--config".into(), self.stage.cast.config(main).into()];
        let order = self.stage.cast.start(main, "switchover", &arguments)?;
        self.orders.push(order);
        Ok(())
    }

    /// Ended when they are dropped, or with this process.
    fn burden(&mut self) -> Result<(), Failure> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..2 * processors {
            self.burdens.push(self.stage.cast.start(Machine::Terminals, "burden", &["lab".into(), "burden".into()])?);
        }
        Ok(())
    }

    /// Whatever the steps have left broken is put right, as staff would do it; whether the two are a pair then.
    async fn heal(&mut self) -> Result<bool, Failure> {
        self.burdens.clear();
        for machine in std::mem::take(&mut self.frozen) {
            self.stage.signal(machine, Signal::SIGCONT);
        }
        for machine in std::mem::take(&mut self.pulled) {
            cable(machine, true)?;
        }
        for order in &mut self.orders {
            // It ends by itself within its limit; whether it was carried out is the servers' business.
            let _ = timeout(STOP_LIMIT, order.wait()).await;
        }
        for machine in [Machine::Witness, Machine::ServerA, Machine::ServerB] {
            self.stage.start(machine)?;
        }
        Ok(self.wait_until_a_pair().await)
    }

    async fn wait_until_a_pair(&self) -> bool {
        let deadline = Instant::now() + PAIR_LIMIT;
        while !self.stage.is_a_pair().await {
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }
}

fn cable(machine: Machine, in_switch: bool) -> Result<(), Failure> {
    plug(machine, in_switch).map_err(|why| Failure::failed(why.0))
}

/// Every terminal finishes its command.
async fn send_home(load: &mut Child) -> Result<(), Failure> {
    if let Some(id) = load.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended by itself, which shows in the history.
        let _ = kill(Pid::from_raw(id), Signal::SIGINT);
    }
    let ended = timeout(FAREWELL, load.wait()).await;
    ended.map_err(|_| Failure::failed("the terminals did not end"))?.map(drop).map_err(|e| Failure::failed(format!("load: {e}")))
}
