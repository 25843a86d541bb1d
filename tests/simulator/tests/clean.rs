//! A fixed share of the seeds in every test run; `./sim` plays as many as anybody likes.

use duplex_sim::{Plan, Report, World};

fn plan(seed: u64, terminals: u32) -> Plan {
    Plan { seed, seconds: 60, terminals, without_arbiter: false, planted: None, trace: false }
}

/// Few terminals leave a server idle between two commands, many keep its disk busy.
#[test]
fn two_whole_servers_keep_every_promise_through_an_hour_of_faults() {
    let mut sum = Report::default();
    for seed in 1..=60 {
        let terminals = if seed % 2 == 0 { 60 } else { 2_000 };
        match World::play(plan(seed, terminals)) {
            Ok(report) => sum.add(&report),
            Err(breach) => {
                panic!("seed {seed} breaks {breach}; again: ./sim --seed {seed} --seconds 60 --terminals {terminals} --trace")
            }
        }
    }
    // A world in which nothing happens keeps every promise.
    assert!(sum.seconds >= 3_600 && sum.acknowledged > 30_000 && sum.reads > 5_000 && sum.repeated > 500, "{sum}");
    assert!(sum.epochs > 500 && sum.cut > 50 && sum.faults.len() >= 20, "{sum}: {:?}", sum.faults);
}

/// P5: disks that say Pair of the same epoch need nobody else, whatever the two tried while they missed each other.
#[test]
fn two_servers_of_one_pair_that_are_both_up_serve_without_the_arbiter() {
    for seed in 1..=10 {
        let report = World::play(Plan { without_arbiter: true, ..plan(seed, 200) });
        let report = report.unwrap_or_else(|breach| {
            panic!(
                "seed {seed} breaks {breach}; again: ./sim --seed {seed} --seconds 60 --terminals 200 --without-arbiter --trace"
            )
        });
        assert_eq!(report.epochs, 1, "seed {seed}: nobody can leave the first pair without the arbiter");
    }
}

#[test]
fn a_seed_replays_exactly() {
    let [first, again] = [7, 7].map(|seed| World::play(plan(seed, 300)).expect("a clean seed"));
    assert_eq!((first.digest, first.acknowledged), (again.digest, again.acknowledged));
    let other = World::play(plan(8, 300)).expect("a clean seed");
    assert_ne!(first.digest, other.digest, "another seed is another world");
}
