//! Readers and checkpoints beside the applier.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use duplex::ledger::rows::Row;
use duplex::store::{ReadPool, StoreError, StoredRow};

use crate::database::Database;
use crate::history::{History, account, account_key};
use crate::look;

on_both_engines! {
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
}

#[test]
fn a_read_makes_no_database_where_there_is_none() {
    let database = Database::sqlite();
    let refused = ReadPool::new(&database.url, 1).expect("a pool").read(|position, _| Ok(position));
    assert!(matches!(refused, Err(StoreError::Away { .. })), "{refused:?}");
    assert!(!std::path::Path::new(database.url.strip_prefix("sqlite:").expect("a file")).exists());
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
