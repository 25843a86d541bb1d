//! `duplex lab`: a pair in network namespaces of this machine, faults, and a checker. Certifies a box, a kernel, a build.
//!
//! Two processes, as in the demo: the outer one keeps the directory and the account; the inner one, in namespaces of its own, plays one
//! scenario. Whatever ends the inner one, the kernel removes its network and its children.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Subcommand;
use tempfile::TempDir;
use tokio::process::Command;

use super::stage::{Boxes, NoBoxes, can_lose};
use super::{Exit, Failure, block_on, counted, own_program, print_line, report_file};

mod catalogue;
mod chance;
mod epochs;
mod evidence;
mod hands;
mod honest;
mod judge;
mod play;
mod scenario;
mod soak;
mod step;
mod tails;

use judge::Outcome;
use scenario::Scenario;

/// Seconds of faults in one round of a soak: long enough for forty faults, short enough for a history that fits into memory.
const ROUND_S: f64 = 180.0;
/// Where the inner process leaves what it found.
const OUTCOME: &str = "outcome.json";
/// The scenario that it is to play.
const SCENARIO: &str = "scenario.toml";

/// Try a pair of servers on this machine: named scenarios, or faults composed by chance.
///
/// Needs network namespaces (root, or unprivileged user namespaces), `ip` and, where packets are lost, `nft`. Exit code 1 if a promise was broken: then the directory with
/// logs, journals and the scenario is kept.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Name the scenarios that come with this program, what each of them proves, and the faults of ARCHITECTURE.md that it plays.
    List,
    /// Print one of them, as a beginning for your own.
    Show { name: String },
    /// Play scenarios, and print a table.
    Run(Run),
    /// Compose random faults for so many minutes.
    Soak(Soak),
    /// The inner process.
    #[command(hide = true)]
    Play { directory: PathBuf },
    /// Keeps one processor busy until it is killed.
    #[command(hide = true)]
    Burden,
}

#[derive(Debug, clap::Args)]
struct Run {
    /// Names of scenarios; all but the long ones if none is named.
    names: Vec<String>,
    /// A scenario of your own, as `duplex lab show` prints one; may be repeated.
    #[arg(long = "file", value_name = "FILE.toml")]
    files: Vec<PathBuf>,
    /// Write the outcomes as JSON to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep each scenario's directory.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, clap::Args)]
struct Soak {
    /// How long.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// Draws faults and moments; without it a seed is drawn and printed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only these faults, separated by commas; all, if none is named.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    faults: Vec<String>,
    /// Write the account as JSON to this file.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// # Errors
/// A promise was broken; no namespaces; a file that cannot be read or written.
pub fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::List => list(),
        Action::Show { name } => show(&name),
        Action::Run(run) => play_all(&run),
        Action::Soak(soak) => soak_for(&soak),
        Action::Play { directory } => play_inside(&directory),
        Action::Burden => loop {
            std::hint::spin_loop();
        },
    }
}

fn list() -> Result<(), Failure> {
    catalogue::built_in().iter().try_for_each(|scenario| {
        let rows: Vec<String> = scenario.rows.iter().map(u8::to_string).collect();
        let long = if scenario.long { " (only if it is named)" } else { "" };
        print_line(&format!("{:<26} {}{long}", scenario.name, scenario.title))?;
        print_line(&format!("{:<26} proves: {}; faults {}", "", scenario.proves, rows.join(", ")))
    })
}

fn show(name: &str) -> Result<(), Failure> {
    print_line(text_of(&named(name)?)?.trim_end())
}

fn named(name: &str) -> Result<Scenario, Failure> {
    let found = catalogue::built_in().into_iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| Failure::usage(format!("there is no scenario {name:?}; `duplex lab list` names them")))
}

fn text_of(scenario: &Scenario) -> Result<String, Failure> {
    toml::to_string(scenario).map_err(|e| Failure::failed(format!("scenario {}: {e}", scenario.name)))
}

fn wanted(run: &Run) -> Result<Vec<Scenario>, Failure> {
    let mut wanted = run.names.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
    for file in &run.files {
        let text = std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())))?;
        wanted.push(Scenario::read(&file.display().to_string(), &text)?);
    }
    let short = || catalogue::built_in().into_iter().filter(|scenario| !scenario.long).collect();
    Ok(if wanted.is_empty() { short() } else { wanted })
}

fn play_all(run: &Run) -> Result<(), Failure> {
    let scenarios = wanted(run)?;
    report_file::prepare(run.report.as_deref())?;
    if scenarios.iter().any(Scenario::loses_packets) {
        can_lose().map_err(|NoBoxes(reason)| Failure::failed(reason))?;
    }
    print_line(&format!("{:<26} {:>9} {:>9} {:>5} {:>7}  promises", "scenario", "gap ms", "answered", "lost", "doubled"))?;
    let mut outcomes = Vec::new();
    for scenario in &scenarios {
        let outcome = play(scenario, run.keep)?;
        print_line(&row(&outcome))?;
        outcomes.push(outcome);
    }
    report_file::write(run.report.as_deref(), &outcomes)?;
    verdict(outcomes.iter().filter(|outcome| !outcome.broken().is_empty()).count(), "scenario", "scenarios")
}

fn row(outcome: &Outcome) -> String {
    let longest_ms = outcome.gaps.iter().map(|gap| gap.ms).fold(0.0, f64::max);
    let Outcome { scenario, acknowledged, lost, doubled, .. } = outcome;
    format!("{scenario:<26} {longest_ms:>9.0} {acknowledged:>9} {lost:>5} {doubled:>7}  {}", held(outcome))
}

/// Word and shape.
fn held(outcome: &Outcome) -> String {
    match outcome.broken() {
        broken if broken.is_empty() => "✔ held".to_owned(),
        broken => format!("✖ broken: {}", broken.join(", ")),
    }
}

fn soak_for(args: &Soak) -> Result<(), Failure> {
    if let [first, ..] = soak::unknown(&args.faults)[..] {
        return Err(Failure::usage(format!("--faults: there is no {first:?}; there are: {}", soak::known())));
    }
    report_file::prepare(args.report.as_deref())?;
    can_lose().map_err(|NoBoxes(reason)| Failure::failed(reason))?;
    let seed = args.seed.unwrap_or_else(super::history::now_us);
    print_line(&format!("seed {seed}"))?;
    let mut account = soak::Account::of(seed);
    let soaked = rounds(args, &mut account);
    let interrupted = soaked.as_ref().is_err_and(|failure| failure.exit == Exit::Interrupted);
    if soaked.is_ok() || interrupted {
        print_account(&account)?;
        report_file::write(args.report.as_deref(), &account)?;
    }
    verdict(soaked?, "round", "rounds")
}

/// How many rounds broke a promise. What was played before an error or an interruption is in the account.
fn rounds(args: &Soak, account: &mut soak::Account) -> Result<usize, Failure> {
    let (mut dice, begin, mut broken) = (chance::Dice::of(account.seed), Instant::now(), 0);
    let limit = Duration::from_secs(u64::from(args.minutes) * 60);
    for number in 1.. {
        let left_s = limit.saturating_sub(begin.elapsed()).as_secs_f64();
        if left_s < 1.0 {
            break;
        }
        let round = soak::compose(format!("round-{number}"), dice.draw(), left_s.min(ROUND_S), &args.faults);
        let outcome = play(&round, false)?;
        account.add(&outcome);
        account.minutes = (begin.elapsed().as_secs_f64() / 6.0).round() / 10.0;
        broken += usize::from(!outcome.broken().is_empty());
        let Outcome { acknowledged, lost, doubled, gaps, .. } = &outcome;
        let faults = counted(gaps.len() as u64, "fault", "faults");
        let line =
            format!("round {number}: {faults}, {acknowledged} acknowledged, {lost} lost, {doubled} doubled: {}", held(&outcome));
        print_line(&format!("{line} ({:.1} of {} minutes)", account.minutes, args.minutes))?;
        report_file::write(args.report.as_deref(), &account)?;
    }
    Ok(broken)
}

fn print_account(account: &soak::Account) -> Result<(), Failure> {
    print_line(&format!("\n{:<30} {:>6} {:>9} {:>10} {:>10}", "fault", "times", "measured", "median ms", "longest"))?;
    for (fault, times) in &account.faults {
        let gaps = account.gap_ms.get(fault);
        let [median, longest] = [gaps.map(|gaps| gaps.median), gaps.map(|gaps| gaps.max)];
        let [median, longest] = [median, longest].map(|ms| ms.map_or("-".to_owned(), |ms| format!("{ms:.0}")));
        print_line(&format!("{fault:<30} {times:>6} {:>9} {median:>10} {longest:>10}", account.measured(fault)))?;
    }
    let soak::Account { acknowledged, lost, doubled, double_acknowledgers, .. } = account;
    print_line("measured: nothing else was broken meanwhile")?;
    print_line(&format!(
        "\n{acknowledged} acknowledged, {lost} lost, {doubled} doubled, {double_acknowledgers} double acknowledgers"
    ))
}

fn verdict(broken: usize, one: &str, many: &str) -> Result<(), Failure> {
    match broken {
        0 => Ok(()),
        broken => Err(Failure::failed(format!("a promise was broken in {}", counted(broken as u64, one, many)))),
    }
}

/// Plays one scenario in a process of its own. A directory in which a promise was broken is kept, and told.
fn play(scenario: &Scenario, keep: bool) -> Result<Outcome, Failure> {
    let directory = tempfile::Builder::new().prefix("duplex-lab-").tempdir();
    let directory = directory.map_err(|e| Failure::failed(format!("cannot make a directory for the laboratory: {e}")))?;
    let bad = |e: std::io::Error| Failure::failed(format!("{}: {e}", directory.path().display()));
    std::fs::write(directory.path().join(SCENARIO), text_of(scenario)?).map_err(bad)?;
    let played = block_on(accompany(directory.path()));
    let outcome = played.and_then(|()| {
        let text = std::fs::read(directory.path().join(OUTCOME)).map_err(bad)?;
        serde_json::from_slice(&text).map_err(|e| bad(e.into()))
    });
    leave(directory, keep, outcome)
}

fn leave(directory: TempDir, keep: bool, outcome: Result<Outcome, Failure>) -> Result<Outcome, Failure> {
    let interrupted = outcome.as_ref().is_err_and(|failure| failure.exit == Exit::Interrupted);
    let is_good = outcome.as_ref().is_ok_and(|outcome| outcome.broken().is_empty());
    if keep || !(is_good || interrupted) {
        let path = directory.keep();
        for remark in outcome.iter().flat_map(|outcome| &outcome.remarks) {
            print_line(&format!("  {remark}"))?;
        }
        print_line(&format!("  kept: {} (logs/, history.jsonl, pair/, {SCENARIO})", path.display()))?;
    }
    outcome
}

/// The inner process says what went wrong on its standard error, which is ours.
async fn accompany(directory: &Path) -> Result<(), Failure> {
    let mut command = Command::new(own_program()?);
    command.args(["--die-with-parent", "lab", "play"]).arg(directory).stdin(Stdio::null()).kill_on_drop(true);
    let status = command.status().await.map_err(|e| Failure::failed(format!("cannot start the laboratory's process: {e}")))?;
    if status.success() { Ok(()) } else { Err(Failure::failed(String::new())) }
}

/// Still one thread here, as a new user namespace demands.
fn play_inside(directory: &Path) -> Result<(), Failure> {
    let boxes = Boxes::in_namespaces().map_err(|NoBoxes(reason)| Failure::failed(format!("no network namespaces: {reason}")))?;
    let file = directory.join(SCENARIO);
    let text = std::fs::read_to_string(&file).map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
    let scenario = Scenario::read(&file.display().to_string(), &text)?;
    let outcome = block_on(async { play::Play::new(&scenario, directory, boxes)?.play().await })?;
    report_file::write(Some(&directory.join(OUTCOME)), &outcome)
}
