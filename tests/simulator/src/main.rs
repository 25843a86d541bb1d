//! `duplex-sim`: plays seeds, and prints the first that breaks a promise.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use duplex_sim::{Breach, Plan, Planted, Report, World};

/// Play two whole servers, their witness and their terminals in simulated time, with faults drawn from a seed.
///
/// A seed replays exactly. A broken promise prints the seed and what was broken, and the exit code is 1; play it again with --trace.
#[derive(Parser)]
#[command(name = "duplex-sim", version)]
struct Args {
    /// Play this seed only.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "hours"], value_parser = clap::value_parser!(u64).range(..=1 << 62))]
    seed: Option<u64>,
    /// Play so many seeds.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    seeds: u64,
    /// The first seed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=1 << 62))]
    first: u64,
    /// Play until so many hours have been simulated.
    #[arg(long, value_name = "H", conflicts_with = "seeds", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    hours: Option<u64>,
    /// Simulated seconds of faults in each seed.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    terminals: u32,
    /// Nobody answers the two servers: they must serve as the pair that they are.
    #[arg(long)]
    without_arbiter: bool,
    /// Plant this bug, by its name; the exit code is 0 if it is found.
    #[arg(long, value_name = "BUG", value_parser = planted)]
    planted: Option<Planted>,
    /// Print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn planted(name: &str) -> Result<Planted, String> {
    let known = || Planted::ALL.map(|bug| format!("{bug:?}")).join(", ");
    Planted::ALL.into_iter().find(|bug| format!("{bug:?}") == name).ok_or_else(|| format!("the bugs are {}", known()))
}

fn main() -> ExitCode {
    let args = Args::parse();
    let plan = |seed| Plan {
        seed,
        seconds: args.seconds,
        terminals: args.terminals,
        without_arbiter: args.without_arbiter,
        planted: args.planted,
        trace: args.trace,
    };
    let wanted_seconds = args.hours.map(|hours| hours * 3_600);
    let (first, count) = args.seed.map_or((args.first, args.seeds), |seed| (seed, 1));
    let mut played = Played::default();
    for seed in first.. {
        let is_done = wanted_seconds.map_or(seed >= first + count, |wanted| played.sum.seconds >= wanted);
        if is_done {
            break;
        }
        match World::play(plan(seed)) {
            Ok(report) => played.add(&report),
            Err(breach) => return broken(seed, &breach, &args),
        }
        played.tell_now_and_then();
    }
    played.tell();
    if args.planted.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn broken(seed: u64, breach: &Breach, args: &Args) -> ExitCode {
    println!("seed {seed} breaks {breach}");
    if args.planted.is_some() {
        return ExitCode::SUCCESS;
    }
    let alone = if args.without_arbiter { " --without-arbiter" } else { "" };
    println!("again: ./sim --seed {seed} --seconds {} --terminals {}{alone} --trace", args.seconds, args.terminals);
    ExitCode::FAILURE
}

/// What has been played so far.
struct Played {
    seeds: u64,
    sum: Report,
    begun: Instant,
    told: Instant,
}

impl Default for Played {
    fn default() -> Self {
        Self { seeds: 0, sum: Report::default(), begun: Instant::now(), told: Instant::now() }
    }
}

impl Played {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.sum.add(report);
    }

    fn tell_now_and_then(&mut self) {
        if self.told.elapsed() >= Duration::from_secs(2) {
            self.told = Instant::now();
            eprintln!("{} seeds: {}", self.seeds, self.sum);
        }
    }

    fn tell(&self) {
        // To another stream than the trace, which is the same each time.
        eprintln!("played for {:.1} s", self.begun.elapsed().as_secs_f64());
        println!("{} seed{}: {}", self.seeds, if self.seeds == 1 { "" } else { "s" }, self.sum);
        for (name, count) in &self.sum.faults {
            println!("{count:>9} {name}");
        }
    }
}
