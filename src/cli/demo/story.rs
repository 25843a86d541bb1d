//! The story, act by act: a pair, a working day, a death, a return.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::{Instant, sleep_until};

use super::Args;
use super::report::Report;
use super::verdict::{self, Evidence};
use crate::cli::history::now_us;
use crate::cli::stage::{Boxes, Cast, Machine, Plan, Stage, say};
use crate::cli::{Failure, counted, load};

/// A returning server fetches what a third of the run wrote, then becomes level.
const REJOIN_LIMIT: Duration = Duration::from_secs(120);
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
    stage: Stage,
}

impl<'a> Story<'a> {
    pub(super) fn new(args: &'a Args, directory: &Path, boxes: Boxes) -> Result<Self, Failure> {
        let plan = Plan { terminals: args.terminals, store: args.store.clone(), members: args.members };
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
            journals: [self.stage.journal(Machine::ServerA).await?, self.stage.journal(Machine::ServerB).await?],
            directory: self.stage.cast.file(""),
        };
        verdict::reach(&evidence, &self.stage.cast.file("history.jsonl"))
    }

    /// The terminals work; Main is killed at one third and started again at two thirds.
    async fn work_through_a_death(&mut self) -> Result<(load::Report, Moments, Machine), Failure> {
        let third = Duration::from_secs(self.args.seconds) / 3;
        say(&format!("{} at work for {} s", counted(self.args.terminals.into(), "terminal", "terminals"), self.args.seconds))?;
        let began = Instant::now();
        let mut work = self.stage.cast.start(Machine::Terminals, LOAD, &self.load_arguments(third))?;

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
        let survivor = if main == Machine::ServerA { Machine::ServerB } else { Machine::ServerA };
        Ok((self.load_report()?, Moments { killed_us, dead_us, restarted_us, paired_us }, survivor))
    }

    /// Until `moment`, unless somebody who should be at work has ended.
    async fn wait_beside(&mut self, work: &mut Child, moment: Instant) -> Result<(), Failure> {
        tokio::select! {
            () = sleep_until(moment) => self.stage.nobody_left(),
            _ = work.wait() => Err(Failure::failed(format!("the terminals ended early: {}", self.stage.cast.last_words(LOAD)))),
        }
    }

    fn load_arguments(&self, third: Duration) -> Vec<OsString> {
        let Args { seconds, terminals, rate, members, .. } = self.args;
        let (one, two) = (third.as_secs_f64(), (third * 2).as_secs_f64());
        let mut arguments: Vec<OsString> = vec!["load".into(), "--json".into()];
        arguments.extend(self.stage.cast.reach());
        arguments.extend(["--terminals-file".into(), self.stage.cast.file("pair/terminals.csv").into()]);
        arguments.extend(["--history".into(), self.stage.cast.file("history.jsonl").into()]);
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
        let text = self.stage.cast.words(LOAD);
        let report = text.lines().find_map(|line| serde_json::from_str(line).ok());
        report.ok_or_else(|| Failure::failed(format!("the terminals left no report: {}", self.stage.cast.last_words(LOAD))))
    }
}
