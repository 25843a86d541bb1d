//! What is done to a stage, and put right again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::time::timeout;

use super::evidence::Snapshot;
use super::step::{Act, Step, Whom};
use crate::cli::history::now_us;
use crate::cli::stage::{Loss, Machine, NoBoxes, Path, Stage, StoreLock, What, plug};
use crate::cli::{Failure, journal};

/// A server that is told to stop ends its sessions, its journal and its addresses; an order ends within less.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Newest entries of a journal that are looked at: more than any server has beyond the other one, or was told of since it died.
const SNAPSHOT_ENTRIES: usize = 20_000;

pub(super) struct Hands {
    pub(super) stage: Stage,
    /// Who was named last.
    named: Vec<Machine>,
    frozen: Vec<Machine>,
    pulled: Vec<(Machine, Path)>,
    losses: Vec<Loss>,
    locks: BTreeMap<&'static str, StoreLock>,
    /// Orders to switch over that were not waited for.
    orders: Vec<Child>,
    burdens: Vec<Child>,
    pub(super) snapshots: Vec<Snapshot>,
}

impl Hands {
    pub(super) fn on(stage: Stage) -> Self {
        Self {
            stage,
            named: vec![],
            frozen: vec![],
            pulled: vec![],
            losses: vec![],
            locks: BTreeMap::new(),
            orders: vec![],
            burdens: vec![],
            snapshots: vec![],
        }
    }

    /// Does what a step says, but for what only looks.
    pub(super) async fn take(&mut self, step: &Step) -> Result<(), Failure> {
        match step.act {
            Act::SwitchOver => self.switch_over().await,
            Act::Burden => self.burden(),
            Act::Relieve => {
                self.burdens.clear();
                Ok(())
            }
            Act::Mend => self.mend().await,
            Act::WaitForPair | Act::NobodyServes => Ok(()),
            _ => {
                for machine in self.meant(step.whom).await {
                    self.act(step, machine).await?;
                }
                Ok(())
            }
        }
    }

    async fn act(&mut self, step: &Step, machine: Machine) -> Result<(), Failure> {
        match step.act {
            Act::Kill => self.stage.kill(machine).await?,
            Act::Stop => {
                self.stage.signal(machine, Signal::SIGTERM);
                self.stage.ended(machine, STOP_LIMIT).await?;
            }
            Act::Freeze => {
                self.stage.signal(machine, Signal::SIGSTOP);
                self.frozen.push(machine);
            }
            Act::Thaw => self.thaw(machine).await?,
            Act::Start => self.start(machine).await?,
            Act::Pull => {
                let path = step.path.unwrap_or(Path::Lan);
                cable(machine, path, false)?;
                self.pulled.push((machine, path));
            }
            Act::Plug => self.plug(machine, step.path.unwrap_or(Path::Lan)).await?,
            Act::Lose => {
                let (what, percent) = (step.what.unwrap_or(What::Everything), step.percent.unwrap_or(100));
                self.losses.push(Loss { from: machine, path: step.path, what, percent });
                self.stage.lose(&self.losses)?;
            }
            Act::Lock => {
                self.locks.insert(machine.name(), self.stage.lock_store(machine)?);
            }
            Act::Unlock => drop(self.locks.remove(machine.name())),
            Act::Mend | Act::SwitchOver | Act::Burden | Act::Relieve | Act::WaitForPair | Act::NobodyServes => {}
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

    async fn start(&mut self, machine: Machine) -> Result<(), Failure> {
        if self.stage.runs(machine) {
            return Ok(());
        }
        self.look_into(machine).await?;
        self.stage.start(machine)
    }

    async fn thaw(&mut self, machine: Machine) -> Result<(), Failure> {
        self.look_into(machine).await?;
        self.stage.signal(machine, Signal::SIGCONT);
        self.frozen.retain(|frozen| *frozen != machine);
        Ok(())
    }

    async fn plug(&mut self, machine: Machine, path: Path) -> Result<(), Failure> {
        self.look_into(machine).await?;
        self.pulled.retain(|pulled| *pulled != (machine, path));
        cable(machine, path, true)
    }

    async fn mend(&mut self) -> Result<(), Failure> {
        for loss in std::mem::take(&mut self.losses) {
            self.look_into(loss.from).await?;
        }
        self.stage.lose(&[])
    }

    /// Notes what a server's journal holds, before anybody can have it cut.
    ///
    /// A dead or frozen server's journal stands still. One that lives may begin a new file meanwhile: then there is nothing to note.
    async fn look_into(&mut self, machine: Machine) -> Result<(), Failure> {
        let Some(server) = Machine::SERVERS.iter().position(|server| *server == machine) else { return Ok(()) };
        let at_us = now_us();
        let (directory, stands_still) = (self.stage.journal_directory(machine)?, !self.stage.runs(machine));
        let read = tokio::task::spawn_blocking(move || journal::places(&directory)).await;
        match read.map_err(|e| Failure::failed(e.to_string()))? {
            Ok(mut places) => {
                let places = places.split_off(places.len().saturating_sub(SNAPSHOT_ENTRIES));
                let from = places.first().map_or(0, |place| place.1);
                self.snapshots.push(Snapshot { server, at_us, from, places: places.into_iter().collect() });
                Ok(())
            }
            Err(failure) if stands_still => Err(failure),
            Err(_) => Ok(()),
        }
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

    /// Whatever the steps have left broken is put right, as staff would do it.
    pub(super) async fn heal(&mut self) -> Result<(), Failure> {
        self.burdens.clear();
        self.locks.clear();
        for machine in self.frozen.clone() {
            self.thaw(machine).await?;
        }
        for (machine, path) in self.pulled.clone() {
            self.plug(machine, path).await?;
        }
        if !self.losses.is_empty() {
            self.mend().await?;
        }
        for mut order in self.orders.drain(..) {
            // It ends by itself within its limit; whether it was carried out is the servers' business.
            let _ = timeout(STOP_LIMIT, order.wait()).await;
        }
        for machine in [Machine::Witness, Machine::ServerA, Machine::ServerB] {
            self.start(machine).await?;
        }
        Ok(())
    }
}

fn cable(machine: Machine, path: Path, is_in: bool) -> Result<(), Failure> {
    plug(machine, path, is_in).map_err(|NoBoxes(reason)| Failure::failed(reason))
}
