//! The story, act by act: a pair, a working day, a death, a return.

use std::path::Path;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep_until};

use super::Args;
use super::report::Report;
use super::verdict::{self, Evidence};
use crate::cli::history::now_us;
use crate::cli::stage::{Boxes, Cast, HISTORY, LOAD, Machine, Plan, Stage, say};
use crate::cli::{Failure, counted, load};

/// A returning server fetches what a third of the run wrote, then becomes level.
const REJOIN_LIMIT: Duration = Duration::from_secs(120);
/// Beyond the last third: the terminals give up a command after a minute, so the load ends by then.
const LOAD_LIMIT: Duration = Duration::from_secs(90);

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
    stage: Stage,
}

impl<'a> Story<'a> {
    pub(super) fn new(args: &'a Args, directory: &Path, boxes: Boxes) -> Result<Self, Failure> {
        let plan = Plan { terminals: args.terminals, store: args.store.clone(), members: args.members, direct: false };
        Ok(Self { args, stage: Stage::new(Cast::new(directory, boxes)?, plan) })
    }

    /// Tells it to its end.
    ///
    /// # Errors
    /// The step that failed, and why.
    pub(super) async fn tell(mut self) -> Result<Report, Failure> {
        self.stage.raise_the_pair().await?;
        self.stage.open_the_day().await?;
        self.stage.import_members().await?;
        let (load, moments, served_by) = self.work_through_a_death().await?;
        say("auditing both servers")?;
        let audit = self.stage.audit().await;
        let evidence = Evidence {
            engine: if self.args.store.starts_with("postgres") { "postgresql" } else { "sqlite" },
            network: if self.stage.cast.boxes.is_loopback() { "loopback" } else { "namespaces" },
            load,
            moments,
            served_by: served_by.name(),
            audit,
            journals: [self.stage.journal(Machine::ServerA)?, self.stage.journal(Machine::ServerB)?],
            directory: self.stage.cast.file(""),
        };
        verdict::reach(&evidence, &self.stage.cast.file(HISTORY))
    }

    /// The terminals work; Main is killed at one third and started again at two thirds.
    async fn work_through_a_death(&mut self) -> Result<(load::Report, Moments, Machine), Failure> {
        let third = Duration::from_secs(self.args.seconds) / 3;
        say(&format!("{} at work for {} s", counted(self.args.terminals.into(), "terminal", "terminals"), self.args.seconds))?;
        let began = Instant::now();
        let mut work = self.stage.start_load(self.args.rate, self.args.seconds, &[third, third * 2])?;

        self.wait_beside(&mut work, began + third).await?;
        let main = self.stage.main().await?;
        let killed_us = now_us();
        self.stage.kill(main).await?;
        let dead_us = now_us();
        say(&format!("killed {}, the main server (SIGKILL)", main.name()))?;

        self.wait_beside(&mut work, began + third * 2).await?;
        let restarted_us = now_us();
        self.stage.start_server(main)?;
        say(&format!("started {} again", main.name()))?;
        self.stage.wait_for_pair(REJOIN_LIMIT).await?;
        let paired_us = now_us();
        say("the pair is a pair again")?;

        let ended = tokio::time::timeout(third + LOAD_LIMIT, work.wait()).await;
        ended.map_err(|_| Failure::failed("the terminals did not end"))?.map_err(|e| Failure::failed(format!("load: {e}")))?;
        Ok((self.load_report()?, Moments { killed_us, dead_us, restarted_us, paired_us }, main.other()))
    }

    /// Until `moment`, unless somebody who should be at work has ended.
    async fn wait_beside(&mut self, work: &mut Child, moment: Instant) -> Result<(), Failure> {
        tokio::select! {
            () = sleep_until(moment) => self.stage.nobody_left(),
            _ = work.wait() => Err(Failure::failed(format!("the terminals ended early: {}", self.stage.cast.last_words(LOAD)))),
        }
    }

    /// Commands that stayed unsettled make the load fail, but its report is there all the same.
    fn load_report(&self) -> Result<load::Report, Failure> {
        let text = self.stage.cast.words(LOAD);
        let report = text.lines().find_map(|line| serde_json::from_str(line).ok());
        report.ok_or_else(|| Failure::failed(format!("the terminals left no report: {}", self.stage.cast.last_words(LOAD))))
    }
}
