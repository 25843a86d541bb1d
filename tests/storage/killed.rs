//! A process killed in whatever it does leaves whole batches, and goes on from there.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use duplex::ledger::rows::Row;
use duplex::model::entry::SharedEntry;
use duplex::store::{ReadPool, StoreDigest};

use crate::database::Database;
use crate::history::{Bare, History};
use crate::look;

on_both_engines! {
    fn a_store_killed_in_the_middle_ends_equal_to_one_never_killed(database: &Database) {
        let whole = History::default().deposits(ENTRIES_OF_THE_KILLED, 50);
        for (kill, batches_before) in [1, 7, 23, 40].into_iter().enumerate() {
            let printed = apply_in_a_process_and_kill_it(&database.url, batches_before);
            let applied = database.open().applied().expect("opens again").sequence.0;
            assert!(applied >= printed, "kill {kill}: {printed} were applied, {applied} are there");
            assert!(applied.is_multiple_of(BATCH_OF_THE_KILLED as u64), "kill {kill}: half a batch is there");
            assert_eq!(look(&ReadPool::new(&database.url, 1).expect("a pool")), (applied, applied), "kill {kill}: the position moved without its entries");
        }
        let mut store = database.open();
        let applied = usize::try_from(store.applied().expect("read").sequence.0).expect("few entries");
        assert!(applied < whole.len(), "the process was killed before its end");
        store.apply(&whole[applied..]).expect("the rest");
        assert_eq!(store.digest().expect("a digest"), never_killed(&whole));
    }
}

const BATCH_OF_THE_KILLED: usize = 7;
const ENTRIES_OF_THE_KILLED: usize = BATCH_OF_THE_KILLED * 2_000;
const KILLED_URL: &str = "DUPLEX_TEST_KILLED_URL";

fn never_killed(entries: &[SharedEntry<Row>]) -> StoreDigest {
    let database = Database::sqlite();
    let mut store = database.open();
    store.apply(entries).expect("applied");
    store.digest().expect("a digest")
}

/// Runs `the_process_to_be_killed` until it has printed so many batches, then kills it in whatever it does next. Gives the last
/// number that it printed.
fn apply_in_a_process_and_kill_it(url: &str, batches: usize) -> u64 {
    let mut process = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "killed::the_process_to_be_killed_applies_the_history", "--nocapture"])
        .env(KILLED_URL, url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test again");
    let output = BufReader::new(process.stdout.take().expect("piped above"));
    let numbers = output.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("applied ")?.parse().ok());
    let last = numbers.take(batches).last().expect("it applies something");
    process.kill().expect("killed");
    process.wait().expect("ended");
    last
}

/// Run by the tests above with a URL of theirs; by itself it proves the same on a small scale.
#[test]
fn the_process_to_be_killed_applies_the_history() {
    let given = std::env::var(KILLED_URL).ok();
    let entries = History::default().deposits(if given.is_some() { ENTRIES_OF_THE_KILLED } else { 70 }, 50);
    // Made only if needed: a killed process leaves its directory behind.
    let own = given.is_none().then(Database::sqlite);
    let url = given.or_else(|| own.as_ref().map(|own| own.url.clone())).expect("one or the other");
    let mut store = duplex::store::open::<Bare>(&url).expect("the store opens");
    let applied = usize::try_from(store.applied().expect("read").sequence.0).expect("few entries");
    for batch in entries[applied..].chunks(BATCH_OF_THE_KILLED) {
        let position = store.apply(batch).expect("applied");
        println!("applied {}", position.sequence.0);
    }
    assert_eq!(store.applied(), Ok(entries[entries.len() - 1].position));
}
