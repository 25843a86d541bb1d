//! `duplex audit`: the invariants of the ledger on both servers, and the two compared.
//!
//! Each store is read in one snapshot, each journal from its files alone: nothing is written and no lock is taken, so servers may run
//! meanwhile. `server` checks one of them, `compare` both beside each other, `told` a client's history against both.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Exit, Failure};
use crate::config::Config;
use crate::layout::Layout;
use crate::model::Position;
use crate::store::{ReadPool, Snapshot, StoreError};
use compare::{Half, compare};
use moment::Moment;
use progress::Progress;
use report::not_as_promised;

mod compare;
mod entries;
mod images;
mod moment;
mod progress;
mod report;
mod server;
mod told;

pub use report::{Comparison, Finding, JournalSpan, Place, Report, ServerReport, Table};
pub use told::lost_and_doubled;

/// Two working servers stand at one position several times a second, an idle pair at once.
const MEETING_LIMIT: Duration = Duration::from_secs(10);
/// Stores that stand still for so long at two positions will not meet.
const STANDSTILL_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks whether they have met: an applier commits every few milliseconds.
const MEETING_LOOK: Duration = Duration::from_millis(3);

/// Check the ledger's invariants on both servers and compare them.
///
/// It reads each server's journal and, where that is SQLite, its store as files. Of two boxes, copy one's data directory to the other
/// (server.data and store.url in a copy of its configuration), or audit each on its own box: that compares nothing, but checks the rest.
///
/// Servers may run meanwhile. For a site with years of books this takes minutes; the store keeps its old pages for so long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration file of a server to audit; twice, to compare both.
    #[arg(long, value_name = "FILE", num_args = 1..=2, required_unless_present = "store")]
    pub config: Vec<PathBuf>,
    /// A store instead (`sqlite:/path/file` or `postgres://…`); once or twice, each with its --journal.
    #[arg(long, value_name = "URL", num_args = 1, requires = "journal", conflicts_with = "config")]
    pub store: Vec<String>,
    /// Directory of the journal that belongs to the store of the same place.
    #[arg(long, value_name = "DIR", num_args = 1, requires = "store")]
    pub journal: Vec<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A server to audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// For the report.
    pub name: String,
    pub store: String,
    pub journal: PathBuf,
}

impl Target {
    pub fn of(config: &Config) -> Self {
        let (name, store) = (config.server.name.clone(), config.store.url.clone());
        Self { name, store, journal: Layout::of(config).journal() }
    }
}

/// Audits every named server and prints what was found.
///
/// # Errors
/// Something that is not as promised, or a store that cannot be read.
pub fn run(args: Args) -> Result<(), Failure> {
    let report = audit(&targets(&args)?)?;
    if args.json {
        super::print_json(&report)?
    } else {
        super::print_line(&report.to_string())?
    }
    match (report.holds, args.json) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::failed(first_of(&report))),
        // Everything was said.
        (false, false) => Err(Failure { exit: Exit::Failed, message: String::new() }),
    }
}

/// For whoever reads only the last line of a log.
fn first_of(report: &Report) -> String {
    let count = report.findings().count();
    match (report.findings().next(), report.unchecked.first()) {
        (Some((server, finding)), _) => format!("{}; the first is of {server}: {finding}", not_as_promised(count)),
        (None, Some(unchecked)) => unchecked.clone(),
        (None, None) => "the servers differ".to_owned(),
    }
}

fn targets(args: &Args) -> Result<Vec<Target>, Failure> {
    if args.store.len() != args.journal.len() {
        return Err(Failure::usage("--store and --journal: give as many of one as of the other"));
    }
    let named = |path: &PathBuf| super::settings(path).map(|config| Target::of(&config));
    let mut targets = args.config.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    for (place, (store, journal)) in args.store.iter().zip(&args.journal).enumerate() {
        targets.push(Target { name: format!("server {}", place + 1), store: store.clone(), journal: journal.clone() });
    }
    match &targets[..] {
        [one, other] if one.store == other.store => Err(Failure::usage("both servers have the same store")),
        [_] | [_, _] => Ok(targets),
        _ => Err(Failure::usage(format!("a pair has two servers, {} given", targets.len()))),
    }
}

/// Audits one server, or two and compares them.
///
/// # Errors
/// A store that cannot be read; everything else is a finding of the report. Of two servers one may be away.
///
/// # Panics
/// If `targets` are neither one nor two.
pub fn audit(targets: &[Target]) -> Result<Report, Failure> {
    match targets {
        [one] => alone(one),
        [one, other] => match [away(one), away(other)] {
            [None, None] => both(one, other),
            [Some(why), None] => Ok(alone(other)?.without(why)),
            [None, Some(why)] => Ok(alone(one)?.without(why)),
            [Some(why), Some(other)] => Err(Failure::failed(format!("{why}; {other}"))),
        },
        _ => panic!("an audit is of one server or of two"),
    }
}

/// What is said of a server whose files are on another box. What is there and cannot be read is told by whoever reads it.
fn away(target: &Target) -> Option<String> {
    let store = target.store.strip_prefix("sqlite:").map(|path| PathBuf::from(path.strip_prefix("//").unwrap_or(path)));
    let missing = store.into_iter().chain([target.journal.clone()]).find(|path| matches!(path.try_exists(), Ok(false)))?;
    let (name, missing) = (&target.name, missing.display());
    Some(format!("{name} was not checked: {missing} is not on this machine (audit it there, or copy its data directory here)"))
}

fn alone(target: &Target) -> Result<Report, Failure> {
    let progress = Rc::new(Progress::new());
    let report = pool(target)?.snapshot(|snapshot| {
        let moment = Moment::new(&target.name, snapshot, &progress);
        server::check(&target.name, &moment, &target.journal)
    });
    Ok(Report::of(vec![report.map_err(cannot_read(target))?], None))
}

/// Tries until both snapshots stand at one position, or are not going to.
fn both(one: &Target, other: &Target) -> Result<Report, Failure> {
    let (pool_one, pool_other, progress) = (pool(one)?, pool(other)?, Rc::new(Progress::new()));
    let mut patience = Patience::new();
    loop {
        let tried = pool_one.snapshot(|here| {
            let nested = pool_other.snapshot(|there| {
                if here.position != there.position && patience.waits(here.position, there.position) {
                    return Ok(None);
                }
                side_by_side((one, here), (other, there), &progress).map(Some)
            });
            Ok(nested)
        });
        let nested = tried.map_err(cannot_read(one))?;
        match nested.map_err(cannot_read(other))? {
            Some(report) => return Ok(report),
            None => std::thread::sleep(MEETING_LOOK),
        }
    }
}

fn side_by_side(
    (one, here): (&Target, Snapshot<'_>),
    (other, there): (&Target, Snapshot<'_>),
    progress: &Rc<Progress>,
) -> Result<Report, StoreError> {
    let moment = Moment::new(&one.name, here, progress);
    let other_moment = Moment::new(&other.name, there, progress);
    let report = server::check(&one.name, &moment, &one.journal)?;
    let other_report = server::check(&other.name, &other_moment, &other.journal)?;
    let comparison = compare(
        &Half { report: &report, moment: &moment, journal: &one.journal },
        &Half { report: &other_report, moment: &other_moment, journal: &other.journal },
    )?;
    Ok(Report::of(vec![report, other_report], Some(comparison)))
}

fn pool(target: &Target) -> Result<ReadPool, Failure> {
    ReadPool::new(&target.store, 1).map_err(cannot_read(target))
}

fn cannot_read(target: &Target) -> impl Fn(StoreError) -> Failure {
    move |error| Failure::failed(format!("cannot audit {}: {error}", target.name))
}

/// How long to wait for two stores to stand at one position.
struct Patience {
    began: Instant,
    seen: Option<(Position, Position)>,
    moved: Instant,
}

impl Patience {
    fn new() -> Self {
        let now = Instant::now();
        Self { began: now, seen: None, moved: now }
    }

    fn waits(&mut self, one: Position, other: Position) -> bool {
        if self.seen.replace((one, other)) != Some((one, other)) {
            self.moved = Instant::now();
        }
        self.began.elapsed() < MEETING_LIMIT && self.moved.elapsed() < STANDSTILL_LIMIT
    }
}
