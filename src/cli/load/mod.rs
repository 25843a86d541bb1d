//! `duplex load`: many simulated terminals at a given pace, each with one command at a time, as real ones behave.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use clap::ValueEnum;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::client::{Client, Reach, Service, Terminal};
use super::{Failure, interrupted, print_json, print_line, rolls, runtime};
use crate::ledger::rows::TerminalKind;

mod cards;
mod pace;
mod record;
mod report;
mod session;
mod visit;

use cards::Cards;
use pace::Pace;
use record::Record;
pub use report::{Gap, Latency, Report};
use session::Session;

/// Every terminal is a connection and a task; 3,500 is the largest site, three times over.
const TERMINALS_MAX: usize = 10_500;
/// Reconnecting terminals make at most this many attempts a second together (after a power cut some 200 to 500 come at once).
const ATTEMPTS_PER_SECOND_MAX: usize = 2_000;

pub(super) const RATE_WANTED: &str = "must be above 0 and at most a million";

/// After Ctrl-C: long enough for every answer that is on its way (four answer limits), short enough not to be pressed twice.
const FAREWELL: Duration = Duration::from_secs(2);
/// What a full handshake costs a server's core: when all come at once, the last one waits for the others.
const HANDSHAKE: Duration = Duration::from_millis(1);

/// Simulate many terminals at a given pace.
///
/// Every command's id is saved to the history before its first byte leaves, and the same id is sent again until it is answered.
/// Latency counts from the first sending to the final answer. A gap is a time in which no terminal got an acknowledgement.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    reach: Reach,
    /// Terminals and their keys, as `duplex init` wrote them.
    #[arg(long, value_name = "FILE")]
    terminals_file: PathBuf,
    /// How many terminals of that file take part.
    #[arg(long, value_name = "N", default_value_t = 50)]
    terminals: usize,
    /// Commands per second, of all terminals together. Without it each terminal sends as soon as it is answered.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "closed_loop")]
    rate: Option<f64>,
    /// Each terminal sends as soon as it is answered (the default).
    #[arg(long)]
    closed_loop: bool,
    /// How long to go on.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// What the terminals do.
    #[arg(long, value_enum, default_value_t = Mix::Deposit)]
    mix: Mix,
    /// Cards in use: PREFIX followed by 1 to COUNT in eight digits, as `duplex import sample` numbers them.
    #[arg(long, value_name = "PREFIX:COUNT", default_value = "C:1000")]
    cards: Cards,
    /// The rate whose units are dealt in.
    #[arg(long, value_name = "RATE_ID", default_value_t = 1)]
    rate_id: i64,
    /// A new phase begins this many seconds after the start; repeat for more. Gaps are reported for each phase.
    #[arg(long = "mark", value_name = "SECONDS")]
    marks: Vec<f64>,
    /// The history (JSON lines). Default: a new file in the directory for temporary files.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a terminal does, over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// One deposit after another, on random cards.
    Deposit,
    /// A member at a seat: authenticate, balance, four draws with their completion, deposit.
    Visit,
}

impl Mix {
    /// The kinds of terminal that may send what the mix contains.
    fn kinds(self) -> &'static [TerminalKind] {
        match self {
            Self::Deposit => &[TerminalKind::Seat, TerminalKind::Counter, TerminalKind::Pos],
            Self::Visit => &[TerminalKind::Seat, TerminalKind::Pos],
        }
    }
}

/// Runs the load and prints its report.
///
/// # Errors
/// Bad arguments; a history that cannot be written; after the report, what [`judge`] says of it.
pub fn run(args: Args) -> Result<(), Failure> {
    check(&args)?;
    let terminals = rolls::take(&args.terminals_file, args.mix.kinds(), args.terminals)?;
    let mut service = args.reach.service()?;
    service.limits.backoff_max = longest_pause(args.terminals).max(service.limits.backoff_max);
    service.limits.handshake = (HANDSHAKE * args.terminals as u32).max(service.limits.handshake);
    let record = Record::create(args.history.as_deref(), &args.marks)?;
    let report = runtime()?.block_on(LocalSet::new().run_until(simulate(&args, service, terminals, record)))?;
    if args.json {
        print_json(&report)?
    } else {
        print_line(&report.to_string())?
    }
    judge(&report)
}

/// A run with an acknowledgement has done its work whatever else was refused: mixes meet empty accounts.
fn judge(report: &Report) -> Result<(), Failure> {
    let Report { unsettled, unreached, not_admitted, acknowledged, refused, last_trouble, .. } = report;
    if report.interrupted {
        return Err(Failure::interrupted());
    }
    if *unsettled > 0 {
        return Err(Failure::unsettled(format!("{unsettled} command(s) stayed without an answer")));
    }
    if *unreached > 0 {
        // A greeting changes nothing, so nothing is unknown.
        return Err(Failure::failed(format!("{unreached} greeting(s) of terminals were never answered: {last_trouble}")));
    }
    if *not_admitted > 0 {
        return Err(Failure::refused(format!("{not_admitted} greeting(s) of terminals were not welcomed: {last_trouble}")));
    }
    match (acknowledged, refused) {
        (0, 1..) => Err(Failure::refused(format!("all {refused} command(s) were refused"))),
        _ => Ok(()),
    }
}

fn check(args: &Args) -> Result<(), Failure> {
    if !(1..=TERMINALS_MAX).contains(&args.terminals) {
        return Err(Failure::usage(format!("--terminals: {} is not between 1 and {TERMINALS_MAX}", args.terminals)));
    }
    if !(args.seconds > 0.0 && args.seconds <= 1e6) {
        return Err(Failure::usage(format!("--seconds: {} is not above 0 and at most a million", args.seconds)));
    }
    if args.rate.is_some_and(|rate| !is_rate(rate)) {
        return Err(Failure::usage(format!("--rate: {RATE_WANTED}")));
    }
    if args.marks.iter().any(|mark| !(*mark > 0.0 && *mark < args.seconds)) || !args.marks.is_sorted() {
        return Err(Failure::usage("--mark: marks must rise and lie within --seconds".to_owned()));
    }
    Ok(())
}

pub(super) fn is_rate(rate: f64) -> bool {
    rate > 0.0 && rate <= 1e6
}

fn longest_pause(terminals: usize) -> Duration {
    Duration::from_secs(1) * terminals as u32 / ATTEMPTS_PER_SECOND_MAX as u32
}

async fn simulate(args: &Args, service: Service, terminals: Vec<Terminal>, record: Record) -> Result<Report, Failure> {
    let record = Rc::new(RefCell::new(record));
    let (stop, stopped) = watch::channel(false);
    let until = Instant::now() + Duration::from_secs_f64(args.seconds);
    let mut tasks = Vec::with_capacity(terminals.len());
    for (index, terminal) in terminals.into_iter().enumerate() {
        // Everybody tries the first address first, as terminals that know one service address do.
        let client = Client::new(service.clone(), 0);
        let pace = Pace::new(args.rate, index, args.terminals, until, stopped.clone());
        let session = Session::new(client, terminal, record.clone())?;
        let cards = args.cards.for_terminal(index, args.terminals, args.mix == Mix::Visit);
        let (mix, rate_id) = (args.mix, args.rate_id);
        tasks.push(tokio::task::spawn_local(visit::go_on(mix, session, pace, cards, rate_id)));
    }
    let interruption = tokio::task::spawn_local(async move {
        interrupted().await;
        // Nobody listens any more once all terminals have ended.
        let _ = stop.send(true);
    });
    let all = async {
        for task in tasks {
            task.await.map_err(|e| Failure::failed(format!("a simulated terminal failed: {e}")))??;
        }
        Ok(())
    };
    tokio::select! {
        result = all => result?,
        () = farewell(stopped) => {}
    }
    let was_interrupted = interruption.is_finished();
    interruption.abort();
    Record::finish(&record, was_interrupted)
}

/// After Ctrl-C, terminals whose command is answered by now have ended; what is left stays without an answer in the history.
async fn farewell(mut stopped: watch::Receiver<bool>) {
    match stopped.wait_for(|stopped| *stopped).await {
        Ok(_) => tokio::time::sleep(FAREWELL).await,
        // Whoever could stop the run is gone: it ends by itself.
        Err(_) => std::future::pending().await,
    }
}
