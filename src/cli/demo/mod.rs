//! `duplex demo`: a pair loses a server, carries on, gets it back, and proves that nothing was lost or doubled.
//!
//! Two processes: the outer one stays in the user's network, keeps the directory and passes the browser on; the inner one, re-executed
//! into namespaces of its own, builds the boxes and tells the story. Where namespaces cannot be had, the outer one tells it on loopback.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::stage::{Boxes, NoBoxes};
use super::{Exit, Failure, block_on, interrupted, load, own_program, print_line, report_file, runtime};

mod forward;
mod report;
mod story;
mod verdict;

use story::Story;

/// Exit code of the inner process when it could not build the boxes: EX_UNAVAILABLE of sysexits.h.
const NO_BOXES: i32 = 69;
/// The inner process has this long after Ctrl-C: it ends its servers and leaves.
const FAREWELL: Duration = Duration::from_secs(10);
/// Shorter acts leave no time for a takeover and a rejoin to be seen.
const SECONDS_MIN: u64 = 9;

/// Watch a pair lose a server, carry on, and get it back.
///
/// Starts a witness and two servers as processes of their own, opens the day, imports members, lets terminals work, kills the main
/// server at one third, starts it again at two thirds, waits for the pair and audits. Exit code 0 only if all promises held.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How long the terminals work, at least 9.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(SECONDS_MIN..=86_400))]
    seconds: u64,
    /// How many terminals work, 1 to 3500.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=3_500))]
    terminals: u16,
    /// Commands per second of all terminals together, above 0.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 500.0, value_parser = rate)]
    rate: f64,
    /// Members in the imported file, 1 to 100000.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    members: u64,
    /// Engine of both stores: `sqlite`, or a `postgres://` URL in which `{server}` stands for the server's name (loopback only).
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    store: String,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep the directory with logs, journals, stores and the history.
    #[arg(long)]
    keep: bool,
    /// Namespaces with real addresses and ARP, or loopback. `auto` takes namespaces if they can be had.
    #[arg(long, value_enum, default_value_t = Network::Auto)]
    network: Network,
    /// Set for the inner process: the directory that the outer one made.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    Auto,
    Namespaces,
    Loopback,
}

/// As `duplex load` will take it, which is asked when everything has been started.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().map_err(|e| format!("{e}"))?;
    if load::is_rate(rate) { Ok(rate) } else { Err(load::RATE_WANTED.into()) }
}

/// Tells the story.
///
/// # Errors
/// A promise that was broken, or a step that failed: then the directory is kept and named.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.inside.clone() {
        Some(directory) => run_inside(&args, &directory),
        None => run_outside(args),
    }
}

/// Still one thread here, as a new user namespace demands.
fn run_inside(args: &Args, directory: &Path) -> Result<(), Failure> {
    let boxes = match Boxes::in_namespaces() {
        Ok(boxes) => boxes,
        Err(NoBoxes(reason)) => {
            let file = reason_file(directory);
            std::fs::write(&file, reason).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
            std::process::exit(NO_BOXES);
        }
    };
    tell(args, directory, boxes)
}

fn tell(args: &Args, directory: &Path, boxes: Boxes) -> Result<(), Failure> {
    let report = block_on(async {
        let _doors = forward::doors(directory, &boxes)?;
        Story::new(args, directory, boxes)?.tell().await
    })?;
    print_line(&report.to_string())?;
    report_file::write(args.report.as_deref(), &report)?;
    match report.broken() {
        broken if broken.is_empty() => Ok(()),
        broken => Err(Failure::failed(format!("broken: {}", broken.join(", ")))),
    }
}

fn run_outside(args: Args) -> Result<(), Failure> {
    report_file::prepare(args.report.as_deref())?;
    let directory = tempfile::Builder::new().prefix("duplex-demo-").tempdir();
    let directory = directory.map_err(|e| Failure::failed(format!("cannot make a directory for the demo: {e}")))?;
    let outcome = match args.network {
        Network::Loopback => on_loopback(&args, directory.path(), "as asked"),
        Network::Auto if args.store != "sqlite" => on_loopback(&args, directory.path(), "PostgreSQL is in this network"),
        Network::Auto | Network::Namespaces => in_namespaces(&args, directory.path()),
    };
    leave(directory, args.keep, outcome)
}

fn on_loopback(args: &Args, directory: &Path, why: &str) -> Result<(), Failure> {
    print_line(&format!("network: loopback ({why}); addresses do not move, terminals know both servers"))?;
    tell(args, directory, Boxes::on_loopback())
}

fn in_namespaces(args: &Args, directory: &Path) -> Result<(), Failure> {
    let code = runtime()?.block_on(accompany(args, directory))?;
    match (code, args.network) {
        (Some(0), _) => Ok(()),
        (Some(NO_BOXES), network) => {
            let reason = std::fs::read_to_string(reason_file(directory)).unwrap_or_default();
            if network == Network::Namespaces {
                return Err(Failure::failed(format!("--network namespaces: {reason}")));
            }
            on_loopback(args, directory, &format!("no namespaces: {reason}"))
        }
        // The inner process has said what went wrong.
        (Some(130), _) => Err(Failure { exit: Exit::Interrupted, message: String::new() }),
        _ => Err(Failure { exit: Exit::Failed, message: String::new() }),
    }
}

/// Runs the inner process and, beside it, the doors through which the user's browser comes.
async fn accompany(args: &Args, directory: &Path) -> Result<Option<i32>, Failure> {
    let mut inner = inner_process(args, directory)?;
    let doors = forward::from_browser(directory).await?;
    for door in &doors {
        print_line(&format!("status of server {}: http://{}/", door.server, door.address))?;
    }
    let ended = tokio::select! {
        ended = inner.wait() => ended,
        () = interrupted() => {
            ask_to_end(&inner);
            tokio::time::timeout(FAREWELL, inner.wait()).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        }
    };
    Ok(ended.map_err(|e| Failure::failed(format!("the inner process of the demo: {e}")))?.code())
}

fn ask_to_end(inner: &Child) {
    if let Some(id) = inner.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended by itself; and a Ctrl-C typed on the keyboard has reached it already.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGINT);
    }
}

fn inner_process(args: &Args, directory: &Path) -> Result<Child, Failure> {
    let mut command = Command::new(own_program()?);
    command.arg("--die-with-parent").arg("demo").arg("--inside").arg(directory);
    command.args(["--seconds", &args.seconds.to_string(), "--terminals", &args.terminals.to_string()]);
    command.args(["--rate", &args.rate.to_string(), "--members", &args.members.to_string(), "--store", &args.store]);
    if let Some(report) = &args.report {
        command.arg("--report").arg(report);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().map_err(|e| Failure::failed(format!("cannot start the inner process of the demo: {e}")))
}

fn reason_file(directory: &Path) -> PathBuf {
    directory.join("no-namespaces.txt")
}

/// The directory stays if it was asked for, or if somebody will want to know why.
fn leave(directory: TempDir, keep: bool, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let wanted = keep || outcome.as_ref().is_err_and(|failure| failure.exit != Exit::Interrupted);
    if wanted {
        let path = directory.keep();
        print_line(&format!("kept: {} (logs/, history.jsonl, pair/)", path.display()))?;
    }
    outcome
}
