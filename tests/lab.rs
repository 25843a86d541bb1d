//! The laboratory: real processes in network namespaces, a client that records every answer, faults, and a checker that afterwards
//! proves P1, P2, P3, P6 and P7. Needs root and iproute2; fails loudly without them.
#![allow(clippy::unwrap_used, reason = "a test that fails may stop there")]

#[path = "lab/addresses.rs"]
mod addresses;
#[path = "lab/analysis.rs"]
mod analysis;
#[path = "lab/cables.rs"]
mod cables;
#[path = "lab/checker.rs"]
mod checker;
#[cfg(feature = "etcd")]
#[path = "support/etcd.rs"]
mod cluster;
#[path = "lab/deaths.rs"]
mod deaths;
#[cfg(feature = "etcd")]
#[path = "lab/etcd.rs"]
mod etcd;
#[path = "lab/illness.rs"]
mod illness;
#[path = "lab/kinds.rs"]
mod kinds;
#[path = "lab/load.rs"]
mod load;
#[path = "support/netns.rs"]
mod netns;
#[path = "lab/pair.rs"]
mod pair;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "lab/process.rs"]
mod process;
#[path = "lab/product.rs"]
mod product;
#[path = "lab/returns.rs"]
mod returns;
#[path = "lab/site.rs"]
mod site;
#[path = "lab/storms.rs"]
mod storms;
#[path = "lab/switchovers.rs"]
mod switchovers;
#[path = "lab/tails.rs"]
mod tails;
#[path = "lab/teller.rs"]
mod teller;
#[path = "lab/watchers.rs"]
mod watchers;
#[path = "lab/words.rs"]
mod words;

use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

use duplex::cli::history::now_us;
use load::Load;
use pair::Pair;
use teller::Teller;

/// Commands a second of a scenario's terminals.
const RATE: Option<u32> = Some(200);
/// Answers before a fault, and after it: enough that every terminal has dealt several times.
const SOME: usize = 300;
/// What had been sent before a death may reach the client's history a little later.
const ON_ITS_WAY_US: u64 = 50_000;
/// Commands whose answers are asked for again at the end.
const DEALT: u64 = 12;

/// Waits for something that another process does. The only pause of the laboratory.
fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < limit, "waited for {} s in vain until {what}", limit.as_secs());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Past the test harness, which keeps what a passed test prints.
fn say(text: &str) {
    // Nothing can be done if nobody listens.
    let _ = writeln!(std::io::stderr(), "lab: {text}");
}

/// How a scenario begins: a teller has dealt, and every terminal has been answered.
fn under_load(mut pair: Pair, rate: Option<u32>) -> (Pair, Teller, Load) {
    let mut teller = pair.teller();
    teller.deal(pair.client(), DEALT);
    let mut load = pair.load(rate);
    load.wait_for_answers(SOME);
    (pair, teller, load)
}

/// Kills a server, until the other one has answered for a while: the two moments.
fn lose(pair: &mut Pair, load: &mut Load, victim: usize) -> (u64, u64) {
    let killed_us = now_us();
    pair.kill(victim);
    load.wait_for_answers(SOME);
    assert_eq!(pair.serving(), Some(1 - victim));
    (killed_us, now_us())
}

/// Starts it again, until both have been a pair for a while; then the terminals go home.
fn take_in_again(pair: &mut Pair, mut load: Load, returned: usize) {
    pair.start(returned);
    pair.wait_for_pair();
    load.wait_for_answers(SOME);
    load.stop();
}
