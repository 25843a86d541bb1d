//! What the store promises, proven on SQLite and on a real PostgreSQL by the same sentences.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

#[path = "support/database.rs"]
mod database;
#[path = "support/history.rs"]
mod history;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/schema.rs"]
mod schema;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use duplex::ledger::rows::{Account, DailyDraw, Key, MemberState, Row};
use duplex::model::entry::SharedEntry;
use duplex::model::{CommandId, Epoch, Image, Position, Row as _, Sequence, TerminalId};
use duplex::store::{ReadPool, StoreDigest, StoreError, StoredRow};
use proptest::prelude::*;

use database::Database;
use history::{AccountsOf, History, account, account_key, card, every_kind_of_row, member, record};

/// Each sentence becomes a test on each engine.
macro_rules! on_both_engines {
    ($(fn $sentence:ident($database:ident: &Database) $proof:block)+) => {
        $(fn $sentence($database: &Database) $proof)+
        mod on_sqlite { $(#[test] fn $sentence() { super::$sentence(&super::Database::sqlite()); })+ }
        mod on_postgres { $(#[test] fn $sentence() { super::$sentence(&super::Database::postgres()); })+ }
    };
}

on_both_engines! {
    fn a_new_store_is_at_the_beginning(database: &Database) {
        assert_eq!(database.open().applied(), Ok(Position::GENESIS));
    }

    fn every_kind_of_row_comes_back_as_it_went(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let rows = every_kind_of_row();
        store.apply(&[history.puts(rows.clone())]).expect("applied");
        for row in &rows {
            assert_eq!(store.row(&row.key()).as_ref(), Ok(&Some(row.clone())));
        }
        assert!(Row::TABLES.iter().all(|table| rows.iter().any(|row| Row::table_of(&row.key()) == *table)), "a table was left out");
    }

    fn a_table_is_paged_in_key_order_without_gap_or_repetition(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let mut rows = every_kind_of_row();
        store.apply(&[history.puts(rows.clone())]).expect("applied");
        rows.sort_by_key(Row::key);
        let mut conn = database.back_door();
        for table in Row::TABLES {
            let expected: Vec<_> = rows.iter().filter(|row| Row::table_of(&row.key()) == *table).cloned().collect();
            let mut found: Vec<Row> = Vec::new();
            while let Some(row) = Row::page(&mut conn, table, found.last().map(Row::key).as_ref(), 1).expect("a page").pop() {
                found.push(row);
            }
            assert_eq!(found, expected, "{table}");
        }
    }

    fn the_last_image_of_a_row_wins(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let images: Vec<_> = [5, 9, 2].map(|balance| history.puts([Row::Account(account(1, balance))])).into();
        store.apply(&images).expect("applied");
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(account(1, 2)))));
        store.apply(&[history.puts([Row::Account(account(1, 1))])]).expect("applied");
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(account(1, 1)))));
    }

    fn a_deleted_row_is_gone_until_it_is_put_again(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let put = |history: &mut History| history.puts([Row::Card(card("a", 1))]);
        let delete = |history: &mut History| history.entry(vec![Image::Delete(Key::Card("a".to_owned()))]);
        store.apply(&[put(&mut history), delete(&mut history)]).expect("applied");
        assert_eq!(store.row(&Key::Card("a".to_owned())), Ok(None));
        store.apply(&[delete(&mut history), put(&mut history)]).expect("deleting what is not there changes nothing");
        assert_eq!(store.row(&Key::Card("a".to_owned())), Ok(Some(Row::Card(card("a", 1)))));
        store.apply(&[delete(&mut history)]).expect("applied");
        assert_eq!(store.row(&Key::Card("a".to_owned())), Ok(None));
    }

    fn entries_that_do_not_follow_are_refused_and_change_nothing(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        history.begin_epoch();
        history.begin_epoch();
        let entries = history.deposits(5, 10);
        store.apply(&entries[..2]).expect("applied");
        let before = store.digest().expect("a digest");
        let mut lower_epoch = History { last: Position { epoch: Epoch(1), ..entries[1].position } };
        let skipped = [entries[2].clone(), entries[4].clone()];
        for wrong in [&entries[..2], &entries[3..], &skipped[..], &[lower_epoch.deposit(10)][..]] {
            let refused = store.apply(wrong);
            assert!(matches!(refused, Err(StoreError::NotNext { .. })), "{refused:?}");
        }
        assert_eq!(store.digest().as_ref(), Ok(&before));
        assert_eq!(store.apply(&entries[2..]), Ok(entries[4].position));
    }

    fn an_empty_batch_changes_nothing(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&history.deposits(2, 10)).expect("applied");
        assert_eq!(store.apply(&[]), Ok(history.last));
    }

    fn a_record_is_found_by_its_number_and_by_its_command(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        history.begin_epoch();
        store.apply(&history.deposits(3, 10)).expect("applied");
        let found = store.record(Sequence(2)).expect("read").expect("entry 2 has a record");
        assert_eq!((found.epoch, found.sequence, &found.record), (Epoch(1), Sequence(2), &record(2)));
        assert_eq!(store.find_record(&record(2).terminal_id, &record(2).command_id), Ok(Some(found)));
        assert_eq!(store.find_record(&TerminalId("seat-999".to_owned()), &record(2).command_id), Ok(None));
        assert_eq!(store.record(Sequence(4)), Ok(None));
    }

    fn every_record_is_visited_once_and_in_order(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let many = 4096 + 10;
        store.apply(&(0..many).map(|_| history.entry(Vec::new())).collect::<Vec<_>>()).expect("applied");
        let mut visited: Vec<(TerminalId, CommandId, Sequence)> = Vec::new();
        store.for_each_record(&mut |terminal, command, sequence| visited.push((terminal.clone(), *command, sequence))).expect("read");
        let expected: Vec<_> =
            (1..=many).map(|number| (record(number).terminal_id, record(number).command_id, Sequence(number))).collect();
        assert_eq!(visited, expected);
    }

    fn the_first_entry_of_each_epoch_is_kept(database: &Database) {
        use duplex::schema::epoch_history as epochs;
        let (mut store, mut history) = (database.open(), History::default());
        let mut entries = history.deposits(2, 10);
        history.begin_epoch();
        entries.extend(history.deposits(2, 10));
        history.begin_epoch();
        entries.extend(history.deposits(1, 10));
        store.apply(&entries[..3]).expect("applied");
        store.apply(&entries[3..]).expect("applied");
        let kept: Vec<(i64, i64)> =
            epochs::table.order(epochs::epoch).select((epochs::epoch, epochs::first_sequence)).load(&mut database.back_door()).expect("read");
        assert_eq!(kept, [(1, 1), (2, 3), (3, 5)]);
    }

    fn the_applications_question_is_answered_from_what_is_applied(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(7, 40)), Row::Account(account(8, 50))])]).expect("applied");
        assert_eq!(store.query(&AccountsOf(7)), Ok(vec![(Account::id_of(7, 1), 40)]));
    }

    fn a_full_image_heals_a_column_that_it_did_not_mean_to_change(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(1, 10))])]).expect("applied");
        database.execute("UPDATE account SET last_ledger_no = 99");
        let deposit = Account { balance: 11, ..account(1, 10) };
        store.apply(&[history.puts([Row::Account(deposit.clone())])]).expect("applied");
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(deposit))));
    }

    // The paper's Figure 5, the other half: what the store would do if images carried changed columns only.
    fn an_image_of_changed_columns_would_leave_the_fault_in_place(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(1, 10))])]).expect("applied");
        database.execute("UPDATE account SET last_ledger_no = 99");
        database.execute("UPDATE account SET balance = 11");
        let deposit = Account { balance: 11, ..account(1, 10) };
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(Account { last_ledger_no: 99, ..deposit }))));
    }

    fn a_refused_row_is_named_and_nothing_of_its_batch_remains(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&history.deposits(2, 10)).expect("applied");
        database.forbid_negative_balances();
        let before = store.digest().expect("a digest");
        let last = history.last;
        let poison = [history.deposit(10), history.puts([Row::Account(account(3, 5)), Row::Account(account(4, -1))])];
        let refused = store.apply(&poison).expect_err("the engine refuses it");
        assert!(matches!(&refused, StoreError::Refused { subject, .. } if subject == "table account, key Account(4001)"), "{refused}");
        assert_eq!(store.digest(), Ok(before));
        let mut replaced = History { last };
        store.apply(&[replaced.deposit(10)]).expect("another entry takes its place");
    }

    fn a_locked_store_says_so_and_takes_the_same_entries_once_free(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let entries = history.deposits(3, 10);
        let mut other = database.back_door();
        other.batch_execute(if database.is_sqlite() { "BEGIN IMMEDIATE" } else { "BEGIN; LOCK TABLE applied" }).expect("locked");
        let refused = store.apply(&entries);
        assert!(matches!(refused, Err(StoreError::Locked { .. })), "{refused:?}");
        other.batch_execute("ROLLBACK").expect("free");
        assert_eq!(store.apply(&entries), Ok(history.last));
    }

    fn tables_of_a_newer_version_are_refused_by_name(database: &Database) {
        drop(database.open());
        database.execute("INSERT INTO __diesel_schema_migrations (version, run_on) VALUES ('29990101000000', '2999-01-01')");
        let refused = database.try_open().err().expect("not opened");
        assert!(matches!(&refused, StoreError::Newer { version, .. } if version == "29990101000000"), "{refused}");
    }

    fn several_may_open_a_new_store_at_once(database: &Database) {
        std::thread::scope(|scope| {
            let openers: Vec<_> = (0..4).map(|_| scope.spawn(|| database.open().applied())).collect();
            for opener in openers {
                assert_eq!(opener.join().expect("no panic"), Ok(Position::GENESIS));
            }
        });
    }

    fn a_value_that_nobody_wrote_is_corrupt_and_not_a_panic(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Card(card("a", 1))])]).expect("applied");
        database.execute("UPDATE card SET state = 'melted'");
        let read = store.row(&Key::Card("a".to_owned()));
        assert!(matches!(&read, Err(StoreError::Corrupt { reason, .. }) if reason.contains("melted")), "{read:?}");
    }

    fn a_read_is_told_its_position_and_cannot_write(database: &Database) {
        use duplex::schema::account;
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&history.deposits(3, 1)).expect("applied");
        let pool = ReadPool::new(&database.url, 2).expect("a pool");
        let read = pool.read(|position, conn| Ok((position, account::table.count().get_result::<i64>(conn)?)));
        assert_eq!(read, Ok((history.last, 1)));
        let written = pool.read(|_, conn| conn.batch_execute("DELETE FROM account"));
        assert!(written.is_err(), "a read deleted every account");
        assert_eq!(pool.read(|position, _| Ok(position)), Ok(history.last), "the pool serves on");
    }

    fn one_read_sees_one_moment_while_the_store_goes_on(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(1, 10))])]).expect("applied");
        let entry = history.puts([Row::Account(account(1, 11))]);
        let pool = ReadPool::new(&database.url, 1).expect("a pool");
        let seen = pool.read(|_, conn| {
            store.apply(std::slice::from_ref(&entry)).expect("a reader does not hold up the store");
            Row::get(conn, &account_key(1))
        });
        assert_eq!(seen, Ok(Some(Row::Account(account(1, 10)))));
    }

    fn position_and_rows_move_together_whenever_somebody_looks(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let entries = history.deposits(2_000, 10);
        std::thread::scope(|scope| {
            scope.spawn(|| entries.chunks(5).for_each(|batch| assert!(store.apply(batch).is_ok())));
            let pool = ReadPool::new(&database.url, 1).expect("a pool");
            let mut looked = 0;
            while looked < 2_000 {
                let (position, records) = look(&pool);
                assert_eq!(position, records);
                looked = position;
            }
        });
    }

    fn a_checkpoint_says_what_is_synced(database: &Database) {
        let (mut store, mut beside, mut history) = (database.open(), database.open(), History::default());
        store.apply(&history.deposits(100, 10)).expect("applied");
        let done = beside.checkpoint().expect("flushed");
        assert_eq!((done.synced, done.unmoved_bytes), (history.last, 0));
    }

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

/// Position and number of records at one moment: equal, as records are dense.
fn look(pool: &ReadPool) -> (u64, u64) {
    use duplex::schema::command_record;
    let records = |conn: &mut _| command_record::table.count().get_result::<i64>(conn);
    let (position, records) = pool.read(|position, conn| Ok((position, records(conn)?))).expect("read");
    (position.sequence.0, records.cast_unsigned())
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
        .args(["--exact", "the_process_to_be_killed_applies_the_history", "--nocapture"])
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
    let mut store = duplex::store::open::<history::Bare>(&url).expect("the store opens");
    let applied = usize::try_from(store.applied().expect("read").sequence.0).expect("few entries");
    for batch in entries[applied..].chunks(BATCH_OF_THE_KILLED) {
        let position = store.apply(batch).expect("applied");
        println!("applied {}", position.sequence.0);
    }
    assert_eq!(store.applied(), Ok(entries[entries.len() - 1].position));
}

#[test]
fn both_engines_have_one_digest_for_the_same_entries() {
    let mut history = History::default();
    let mut entries = vec![history.puts(every_kind_of_row())];
    history.begin_epoch();
    entries.extend(history.deposits(3_000, 500));
    let [sqlite, postgres] = Database::both().map(|database| {
        let mut store = database.open();
        entries.chunks(512).for_each(|batch| assert!(store.apply(batch).is_ok()));
        store.digest().expect("a digest")
    });
    assert_eq!(sqlite, postgres);
    assert!(sqlite.tables.iter().all(|table| table.rows > 0), "{sqlite:?}");
}

#[test]
fn a_digest_differs_as_soon_as_one_column_of_one_row_does() {
    let (database, mut history) = (Database::sqlite(), History::default());
    let mut store = database.open();
    store.apply(&[history.puts(every_kind_of_row())]).expect("applied");
    let before = store.digest().expect("a digest");
    database.execute("UPDATE staff SET active = 1 - active WHERE staff_id = 'Clerk'");
    let after = store.digest().expect("a digest");
    let differing: Vec<_> =
        before.tables.iter().zip(&after.tables).filter(|(one, other)| one != other).map(|(one, _)| one.table).collect();
    assert_eq!(differing, ["staff"]);
}

#[test]
fn a_connection_that_was_cut_is_away_and_the_next_call_connects_anew() {
    let (database, mut history) = (Database::postgres(), History::default());
    let mut store = database.open();
    let entries = history.deposits(2, 10);
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let cut = store.apply(&entries);
    assert!(matches!(cut, Err(StoreError::Away { .. })), "{cut:?}");
    assert_eq!(store.apply(&entries), Ok(history.last));
}

#[test]
fn a_file_that_is_no_database_is_damage() {
    let database = Database::sqlite();
    let path = database.url.strip_prefix("sqlite:").expect("a file");
    std::fs::write(path, "a shopping list, and long enough to be looked at as the header of a database would be".repeat(9))
        .expect("written");
    let refused = database.try_open().err().expect("not opened");
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
}

#[test]
fn a_read_makes_no_database_where_there_is_none() {
    let database = Database::sqlite();
    let refused = ReadPool::new(&database.url, 1).expect("a pool").read(|position, _| Ok(position));
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    assert!(!std::path::Path::new(database.url.strip_prefix("sqlite:").expect("a file")).exists());
}

#[test]
fn a_server_that_is_not_there_is_away() {
    let refused = duplex::store::open::<history::Bare>("postgres:///duplex?host=/no/such/socket").err().expect("not opened");
    assert!(matches!(refused, StoreError::Away { .. }), "{refused}");
}

#[test]
fn a_character_that_postgresql_cannot_keep_is_refused_by_table_and_key() {
    let (database, mut history) = (Database::postgres(), History::default());
    let refused = database.open().apply(&[history.puts([Row::Card(card("nul\0", 1))])]).expect_err("refused");
    assert!(matches!(&refused, StoreError::Refused { subject, .. } if subject.starts_with("table card, key Card")), "{refused}");
}

#[test]
fn a_checkpoint_held_back_by_a_reader_still_syncs_and_says_what_is_held_back() {
    let (database, mut history) = (Database::sqlite(), History::default());
    let (mut store, mut beside) = (database.open(), database.open());
    store.apply(&history.deposits(10, 10)).expect("applied");
    let pool = ReadPool::new(&database.url, 1).expect("a pool");
    let held = pool.read(|_, _| {
        store.apply(&history.deposits(100, 10)).expect("applied");
        Ok(beside.checkpoint())
    });
    let held = held.expect("read").expect("flushed");
    assert_eq!(held.synced, history.last);
    assert!(held.unmoved_bytes > 0);
    assert_eq!(beside.checkpoint().expect("flushed").unmoved_bytes, 0);
}

#[test]
fn the_declared_tables_are_those_that_the_migrations_make() {
    for database in Database::both() {
        drop(database.open());
        assert_eq!(schema::declared(database.is_sqlite()), schema::migrated(&mut database.back_door()));
    }
}

/// One change of one of a few rows, so that histories meet the same rows often.
fn image() -> impl Strategy<Value = Image<Row>> {
    let texts = prop::sample::select(vec!["a", "B", "b", "_", "é", ""]);
    prop_oneof![
        4 => (1..4_i64, any::<i64>()).prop_map(|(member_no, balance)| Image::Put(Row::Account(account(member_no, balance)))),
        2 => (1..4_i64).prop_map(|member_no| Image::Delete(account_key(member_no))),
        2 => (texts.clone(), any::<i64>()).prop_map(|(card_id, pin_fail)| Image::Put(Row::Card(card(card_id, pin_fail)))),
        1 => texts.prop_map(|card_id| Image::Delete(Key::Card(card_id.to_owned()))),
        2 => (0..2_i64, -1..2_i32, any::<i64>())
            .prop_map(|(member_no, day, limit_yen)| Image::Put(Row::DailyDraw(DailyDraw { member_no, day, limit_yen }))),
        1 => (0..2_i64, -1..2_i32).prop_map(|(member_no, day)| Image::Delete(Key::DailyDraw(member_no, day))),
        1 => (1..3_i64, "\\PC{0,8}").prop_map(|(member_no, name)| {
            Image::Put(Row::Member(Box::new(duplex::ledger::rows::Member { name: Some(name), ..member(member_no, MemberState::Active) })))
        }),
    ]
}

/// Entries of up to four images, some beginning a new epoch.
fn entries() -> impl Strategy<Value = Vec<SharedEntry<Row>>> {
    prop::collection::vec((prop::collection::vec(image(), 0..4), prop::bool::weighted(0.1)), 1..40).prop_map(|drafts| {
        let mut history = History::default();
        let sealed = drafts.into_iter().map(|(images, begins_epoch)| {
            if begins_epoch {
                history.begin_epoch();
            }
            history.entry(images)
        });
        sealed.collect()
    })
}

/// The rows that the images leave, worked out the simple way.
fn rows_after(entries: &[SharedEntry<Row>]) -> BTreeMap<Key, Option<Row>> {
    let images = entries.iter().flat_map(|sealed| &sealed.entry.images);
    images.fold(BTreeMap::new(), |mut rows, image| {
        match image {
            Image::Put(row) => rows.insert(row.key(), Some(row.clone())),
            Image::Delete(key) => rows.insert(key.clone(), None),
        };
        rows
    })
}

proptest! {
    // Each case makes three databases, one of them on the server.
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_partition_into_batches_gives_the_same_rows_and_digest(entries in entries(), sizes in prop::collection::vec(1..9_usize, 40)) {
        let one_by_one = vec![1; entries.len()];
        let stores = [(Database::sqlite(), &one_by_one), (Database::sqlite(), &sizes), (Database::postgres(), &sizes)];
        let digests = stores.map(|(database, sizes)| {
            let (mut store, mut rest) = (database.open(), entries.as_slice());
            for size in sizes {
                let (batch, behind) = rest.split_at((*size).min(rest.len()));
                store.apply(batch).expect("applied");
                rest = behind;
            }
            store.apply(rest).expect("applied");
            for (key, row) in rows_after(&entries) {
                assert_eq!(store.row(&key), Ok(row));
            }
            store.digest().expect("a digest")
        });
        prop_assert_eq!(&digests[0], &digests[1]);
        prop_assert_eq!(&digests[0], &digests[2]);
    }
}
