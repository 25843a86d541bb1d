//! `./model`: explores the pair at the bounds of the test run, at larger ones (`--deep`), or at those that are given.

use std::process::ExitCode;
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use clap::Parser;
use duplex_model::{Bounds, ENDS_WELL, From, KEPT, Pair, Planted, Run};
use stateright::{Checker, HasDiscoveries, Model, Path};

/// Explore every order of events, crashes and late answers of two servers and their arbiter, to a bound.
///
/// Without options: the runs that belong to the project's tests. A broken promise is printed as the shortest way to it, step by step, and
/// the exit code is 1.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// After the runs of the tests, those with larger bounds. They may take hours and tens of GiB: each new state is remembered.
    #[arg(long)]
    deep: bool,
    /// Plant this bug, by its name; the exit code is 0 if it is found.
    #[arg(long, value_name = "BUG", conflicts_with = "deep", value_parser = planted)]
    planted: Option<Planted>,
    /// Only this beginning, with the bounds given: boot, pair, switching or taken-over.
    #[arg(long, value_name = "BEGINNING", conflicts_with_all = ["deep", "planted"], value_parser = beginning)]
    from: Option<From>,
    /// As NAME=NUMBER, separated by commas: commands, entries, crashes, rebirths, alarms, breaks, lost_answers, late, refreshes, rollbacks, switchovers, epochs.
    #[arg(long, value_name = "BOUNDS", requires = "from", value_parser = bounds, default_value = "")]
    bounds: Bounds,
}

fn planted(name: &str) -> Result<Planted, String> {
    let known = || Planted::ALL.map(|bug| format!("{bug:?}")).join(", ");
    Planted::ALL.into_iter().find(|bug| format!("{bug:?}") == name).ok_or_else(|| format!("the bugs are {}", known()))
}

fn beginning(name: &str) -> Result<From, String> {
    match name {
        "boot" => Ok(From::Boot),
        "pair" => Ok(From::Pair),
        "switching" => Ok(From::Switching),
        "taken-over" => Ok(From::TakenOver),
        _ => Err("it is boot, pair, switching or taken-over".into()),
    }
}

fn bounds(text: &str) -> Result<Bounds, String> {
    let mut bounds = Bounds { commands: 1, entries: 1, epochs: 3, ..Bounds::default() };
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, number) = part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=NUMBER"))?;
        let number = number.parse().map_err(|error| format!("{part:?}: {error}"))?;
        bounds.set(name, number).map_err(|why| format!("{part:?}: {why}"))?;
    }
    Ok(bounds)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runs = match (args.planted, args.from) {
        (Some(bug), _) if explore(&Run::planted(bug)).is_err() => return ExitCode::SUCCESS,
        (Some(_), _) => return ExitCode::FAILURE,
        (None, Some(from)) => {
            vec![Run {
                name: "as given",
                pair: Pair { bounds: args.bounds, from, ends_well: args.bounds.rollbacks == 0, planted: None },
                states: None,
            }]
        }
        (None, None) if args.deep => [Run::tested(), Run::deep()].concat(),
        (None, None) => Run::tested(),
    };
    let broken = runs.iter().filter(|run| explore(run).is_err()).count();
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A promise was broken, and how has been printed.
struct Broken;

fn explore(run: &Run) -> Result<(), Broken> {
    let begun = Instant::now();
    let threads = available_parallelism().map_or(1, usize::from);
    let checker = run.pair.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs();
    let mut told = Instant::now();
    while !checker.is_done() {
        sleep(Duration::from_millis(20));
        if told.elapsed() >= Duration::from_secs(2) {
            told = Instant::now();
            eprintln!("{}: {} states so far, {} steps deep", run.name, checker.unique_state_count(), checker.max_depth());
        }
    }
    let (states, depth, seconds) = (checker.unique_state_count(), checker.max_depth(), begun.elapsed().as_secs_f64());
    println!("{}: {states} states, {depth} steps deep, {seconds:.1} s", run.name);
    let broken = [KEPT, ENDS_WELL].into_iter().find_map(|property| checker.discovery(property).map(|path| (property, path)));
    let Some((property, path)) = broken else { return Ok(()) };
    println!("broken: {property}");
    let last = path.last_state().clone();
    print_way(path);
    match property {
        ENDS_WELL => last.without_faults().enumerate().for_each(|(round, world)| print_round(round, &world)),
        _ => println!("{:?}", last.breach),
    }
    Err(Broken)
}

fn print_round(round: usize, world: &duplex_model::World) {
    println!(
        "without faults, round {round}: {:?}, register {:?} {:?}",
        world.states(),
        world.register.epoch,
        world.register.holder
    );
}

fn print_way(path: Path<duplex_model::World, duplex_model::Action>) {
    for (number, (world, action)) in path.into_vec().into_iter().enumerate() {
        println!("{number:>3}. {:?}, register {:?} {:?}", world.states(), world.register.epoch, world.register.holder);
        action.into_iter().for_each(|action| println!("     {action:?}"));
    }
}
