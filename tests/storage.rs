//! What the store promises, proven on SQLite and on a real PostgreSQL by the same sentences.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the failure")]

/// Each sentence becomes a test on each engine.
macro_rules! on_both_engines {
    ($(fn $sentence:ident($database:ident: &Database) $proof:block)+) => {
        $(fn $sentence($database: &Database) $proof)+
        mod on_sqlite { $(#[test] fn $sentence() { super::$sentence(&super::Database::sqlite()); })+ }
        mod on_postgres { $(#[test] fn $sentence() { super::$sentence(&super::Database::postgres()); })+ }
    };
}

#[path = "support/database.rs"]
mod database;
#[path = "support/history.rs"]
mod history;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/schema.rs"]
mod schema;

#[path = "storage/beside.rs"]
mod beside;
#[path = "storage/digests.rs"]
mod digests;
#[path = "storage/faults.rs"]
mod faults;
#[path = "storage/forgotten.rs"]
mod forgotten;
#[path = "storage/killed.rs"]
mod killed;
#[path = "storage/plans.rs"]
mod plans;
#[path = "storage/questions.rs"]
mod questions;
#[path = "storage/rows.rs"]
mod rows;

use diesel::prelude::*;
use duplex::store::ReadPool;

use database::Database;

/// Position and number of records at one moment: equal, as records are dense.
fn look(pool: &ReadPool) -> (u64, u64) {
    use duplex::schema::command_record;
    let records = |conn: &mut _| command_record::table.count().get_result::<i64>(conn);
    let (position, records) = pool.read(|position, conn| Ok((position, records(conn)?))).expect("read");
    (position.sequence.0, records.cast_unsigned())
}

#[test]
fn the_declared_tables_are_those_that_the_migrations_make() {
    for database in Database::both() {
        drop(database.open());
        assert_eq!(schema::declared(database.is_sqlite()), schema::migrated(&mut database.back_door()));
    }
}
