//! Servers that live and do not serve well: a store that nobody can write, a disk that is slow, a cable on the customers' side.

use std::{
    fs,
    path::{Path, PathBuf},
};

use diesel::{Connection, RunQueryDsl, SqliteConnection};
use duplex::cli::{client::StoredOn, history::now_us};
use tempfile::TempDir;

use crate::{
    RATE, SOME,
    checker::judge,
    load::Load,
    pair::{HALL_1, HALL_2, PAIR_LIMIT, Pair, SERVERS, TAKEOVER_LIMIT},
    say,
    site::Site,
    teller::Teller,
    under_load, until,
};

/// Keeps everybody else from writing until it is dropped.
fn lock(store: &Path) -> SqliteConnection {
    let mut connection = SqliteConnection::establish(store.to_str().expect("a path of letters")).expect("the store opens");
    diesel::sql_query("PRAGMA busy_timeout = 5000").execute(&mut connection).expect("it waits for its turn");
    diesel::sql_query("BEGIN IMMEDIATE").execute(&mut connection).expect("the lock is free in time");
    connection
}

#[test]
fn a_main_that_cannot_write_its_store_gives_its_role_to_the_sub_and_keeps_what_it_stores() {
    let (mut pair, mut teller, mut load) = under_load(Pair::at_work(), RATE);
    let lock = lock(&pair.layout(HALL_1).sqlite());
    let locked_us = now_us();
    pair.wait_until_said(HALL_1, "the other server is main now", TAKEOVER_LIMIT);
    pair.wait_until_said(HALL_2, "a pair, as main", TAKEOVER_LIMIT);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.status(HALL_1)["complaints"]["store"], true);
    until("the new main hears what ails the other", TAKEOVER_LIMIT, || {
        pair.status(HALL_2)["peer"]["complaints"]["store"] == true
    });
    let (outcome, succeeds) = pair.switch_over(HALL_2);
    let is_told = outcome["reason"].as_str().is_some_and(|reason| reason.contains("the other server is ill"));
    assert!(!succeeds && is_told, "nobody gives the role to a server that cannot work: {outcome}");
    drop(lock);
    until("nothing ails it any more", TAKEOVER_LIMIT, || pair.status(HALL_1)["complaints"]["store"] == false);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    assert_eq!(pair.saved_tails(), 0);
    assert_eq!(evidence.stored_on(StoredOn::One), 0, "both journals were well all the time");
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(locked_us, served_us)));
}

#[test]
fn a_main_whose_customers_cable_is_pulled_makes_way_though_the_other_cable_still_joins_the_two() {
    let (mut pair, mut teller, mut load) = under_load(Pair::of(Site { direct: true, ..Site::default() }), RATE);
    // It is well, and was for a while.
    load.wait_for_answers(5 * SOME);
    let pulled_us = now_us();
    pair.lab.plug(SERVERS[HALL_1], false);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    assert_eq!(pair.serving(), Some(HALL_2));
    pair.lab.plug(SERVERS[HALL_1], true);
    pair.wait_until_said(HALL_1, "a pair, as sub", PAIR_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(pulled_us, served_us)));
}

/// A pair at work, one of whose servers has just got a disk that takes so long for each sync.
struct Slow {
    pair: Pair,
    teller: Teller,
    load: Load,
    /// The disk is slow until this file goes.
    until: PathBuf,
    begun_us: u64,
    _directory: TempDir,
}

fn slow_down(server: usize, sync_ms: u32) -> Slow {
    let directory = tempfile::tempdir().expect("there is room for files");
    let until = directory.path().join(SERVERS[server]);
    let mut faults = [None, None];
    faults[server] = Some(format!("journal-writer/syncing:{sync_ms}~{}", until.display()));
    let (pair, teller, mut load) = under_load(Pair::of(Site { faults, ..Site::default() }), RATE);
    // The other one must have been well for a while.
    load.wait_for_answers(3 * SOME);
    fs::write(&until, "").expect("there is room for files");
    Slow { pair, teller, load, until, begun_us: now_us(), _directory: directory }
}

#[test]
fn a_sub_whose_disk_is_slow_leaves_and_main_goes_on_at_its_own_pace() {
    let Slow { mut pair, mut teller, mut load, until, begun_us, _directory } = slow_down(HALL_2, 200);
    pair.wait_until_said(HALL_2, "it shall go on without this one", TAKEOVER_LIMIT);
    pair.wait_until_said(HALL_1, "carrying on alone", TAKEOVER_LIMIT);
    let alone_us = now_us();
    load.wait_for_answers(2 * SOME);
    let served_us = now_us();
    fs::remove_file(&until).expect("it is there");
    // Half a minute without anything slow.
    pair.wait_until_said(HALL_2, "a pair, as sub", PAIR_LIMIT);
    load.wait_for_answers(SOME);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    let (gap_ms, alone_ms) = (evidence.longest_gap_ms(begun_us, alone_us), evidence.longest_gap_ms(alone_us, served_us));
    say(&format!("{}: terminals waited {gap_ms} ms, and then {alone_ms} ms", pair.scenario));
}

#[test]
fn a_main_whose_disk_is_slow_gives_its_role_to_the_sub_which_then_goes_on_alone() {
    let Slow { mut pair, mut teller, mut load, until, begun_us, _directory } = slow_down(HALL_1, 200);
    pair.wait_until_said(HALL_1, "it shall be main", TAKEOVER_LIMIT);
    pair.wait_until_said(HALL_2, "a pair, as main", TAKEOVER_LIMIT);
    load.wait_for_answers(SOME);
    let served_us = now_us();
    fs::remove_file(&until).expect("it is there");
    pair.wait_for_pair();
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(begun_us, served_us)));
}

/// Each sync is longer than the silence that makes a server count as lost: the two would lose and find each other for ever.
#[test]
fn a_main_whose_disk_hangs_again_and_again_makes_way_until_it_is_well() {
    let Slow { mut pair, mut teller, mut load, until, begun_us, _directory } = slow_down(HALL_1, 500);
    crate::until("the other one serves", TAKEOVER_LIMIT, || pair.serving() == Some(HALL_2));
    load.wait_for_answers(SOME);
    let served_us = now_us();
    fs::remove_file(&until).expect("it is there");
    pair.wait_until_said(HALL_1, "a pair, as sub", PAIR_LIMIT);
    load.stop();
    let evidence = judge(&mut pair, &mut teller);
    say(&format!("{}: terminals waited {} ms", pair.scenario, evidence.longest_gap_ms(begun_us, served_us)));
}
