//! What a store says when it cannot: refused, locked, away, damaged, made by a newer version.

use diesel::connection::SimpleConnection;
use duplex::ledger::rows::{Key, Row};
use duplex::model::Position;
use duplex::store::StoreError;

use crate::database::Database;
use crate::history::{Bare, History, account, card};

on_both_engines! {
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
fn a_server_that_is_not_there_is_away() {
    let refused = duplex::store::open::<Bare>("postgres:///duplex?host=/no/such/socket").err().expect("not opened");
    assert!(matches!(refused, StoreError::Away { .. }), "{refused}");
}

#[test]
fn a_character_that_postgresql_cannot_keep_is_refused_by_table_and_key() {
    let (database, mut history) = (Database::postgres(), History::default());
    let refused = database.open().apply(&[history.puts([Row::Card(card("nul\0", 1))])]).expect_err("refused");
    assert!(matches!(&refused, StoreError::Refused { subject, .. } if subject.starts_with("table card, key Card")), "{refused}");
}
