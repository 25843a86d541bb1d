//! Plays one scenario on a stage of its own, and judges what the terminals and the servers have to show.

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use super::evidence::{Evidence, Fault};
use super::hands::Hands;
use super::judge::{Outcome, judge};
use super::scenario::Scenario;
use super::step::{Act, Step};
use crate::cli::Failure;
use crate::cli::history::{self, now_us};
use crate::cli::stage::{Boxes, Cast, HISTORY, Machine, Plan, Stage};

/// Few enough for a quick import, many enough that no account is full after a soak's round.
const MEMBERS: u64 = 3_000;
/// The pair must be one again this long after the last step.
const PAIR_LIMIT: Duration = Duration::from_secs(60);
/// Before the first step and after the last one, so that every terminal has been answered.
const SETTLE: Duration = Duration::from_secs(1);
/// The terminals give up a command after a minute.
const FAREWELL: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(20);
/// The load is told when to stop, and not before.
const FOR_EVER_S: u64 = 86_000;
/// What a server that acknowledges says of itself.
const SERVING: [&str; 2] = ["pair", "solo"];

pub(super) struct Play<'a> {
    scenario: &'a Scenario,
    hands: Hands,
    faults: Vec<Fault>,
    /// Since when the two have been a pair, if nothing was broken after that.
    whole_us: Option<u64>,
    closed: Vec<(u64, u64)>,
    claims: Vec<String>,
}

impl<'a> Play<'a> {
    pub(super) fn new(scenario: &'a Scenario, directory: &Path, boxes: Boxes) -> Result<Self, Failure> {
        let Scenario { terminals, direct, .. } = *scenario;
        let plan = Plan { terminals, store: "sqlite".into(), members: MEMBERS, direct };
        let stage = Stage::new(Cast::new(directory, boxes)?, plan).quiet();
        Ok(Self { scenario, hands: Hands::on(stage), faults: vec![], whole_us: None, closed: vec![], claims: vec![] })
    }

    /// # Errors
    /// What the stage itself could not do; a promise that was broken is an outcome.
    pub(super) async fn play(mut self) -> Result<Outcome, Failure> {
        let stage = &mut self.hands.stage;
        stage.raise_the_pair().await?;
        stage.open_the_day().await?;
        stage.import_members().await?;
        let mut load = stage.start_load(self.scenario.per_second, FOR_EVER_S, &[])?;
        self.whole_us = Some(now_us());
        sleep(SETTLE).await;
        let scenario = self.scenario;
        for _ in 0..scenario.times {
            for step in &scenario.steps {
                self.take(step).await?;
            }
        }
        self.hands.heal().await?;
        self.wait_until_a_pair().await;
        sleep(SETTLE).await;
        let ended_us = now_us();
        send_home(&mut load).await?;
        self.judge(ended_us).await
    }

    async fn take(&mut self, step: &Step) -> Result<(), Failure> {
        let begun_us = now_us();
        sleep(Duration::from_secs_f64(step.wait_s)).await;
        if let Some(name) = &step.fault {
            self.faults.push(Fault { name: name.clone(), at_us: now_us(), whole_us: self.whole_us.take() });
        }
        match step.act {
            Act::WaitForPair => self.wait_until_a_pair().await,
            Act::NobodyServes => self.see_that_nobody_serves(begun_us).await,
            _ => self.hands.take(step).await?,
        }
        Ok(())
    }

    async fn see_that_nobody_serves(&mut self, begun_us: u64) {
        self.closed.push((begun_us, now_us()));
        for server in Machine::SERVERS {
            let status = self.hands.stage.status(server).await;
            if let Some(status) = status.filter(|status| SERVING.contains(&status.mode.as_str())) {
                self.claims.push(format!("{} says that it is {} where nobody may serve", server.name(), status.mode));
            }
        }
    }

    async fn wait_until_a_pair(&mut self) {
        let deadline = Instant::now() + PAIR_LIMIT;
        while !self.hands.stage.is_a_pair().await {
            if Instant::now() >= deadline {
                self.whole_us = None;
                return;
            }
            sleep(LOOK).await;
        }
        self.whole_us.get_or_insert_with(now_us);
    }

    async fn judge(mut self, ended_us: u64) -> Result<Outcome, Failure> {
        let stage = &mut self.hands.stage;
        let audit = stage.audit().await;
        let words = Machine::SERVERS.map(|server| stage.cast.words(server.name()));
        for machine in [Machine::ServerA, Machine::ServerB, Machine::Witness] {
            stage.kill(machine).await?;
        }
        let journals = [stage.journal(Machine::ServerA)?, stage.journal(Machine::ServerB)?];
        let found = [stage.lost_and_found(Machine::ServerA)?, stage.lost_and_found(Machine::ServerB)?];
        let file = stage.cast.file(HISTORY);
        let bad = |reason: String| Failure::failed(format!("{}: {reason}", file.display()));
        let opened = std::fs::File::open(&file).map_err(|e| bad(e.to_string()))?;
        let told = history::read(std::io::BufReader::new(opened)).map_err(bad)?;
        let Self { faults, whole_us, closed, claims, .. } = self;
        let snapshots = self.hands.snapshots;
        let evidence = Evidence { faults, ended_us, whole_us, audit, words, journals, snapshots, found, closed, claims };
        Ok(judge(self.scenario, &told, &evidence))
    }
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
