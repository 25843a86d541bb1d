//! One table on either engine: one declaration yields typed, cached statements that put, get, delete and page its rows.

use std::marker::PhantomData;

use diesel::backend::Backend;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;

use super::connection::StoreConnection;
use crate::model::Row;

/// One table. Rows are whole: putting one replaces every column of the row with its key.
pub trait Table: Sized {
    const NAME: &'static str;
    /// The columns of the primary key, as a tuple.
    type Key;

    /// Puts every row. No two of them may have one key: PostgreSQL takes them as one statement.
    ///
    /// # Errors
    /// What the engine says; the transaction is then unusable.
    fn put_all(conn: &mut StoreConnection, rows: &[&Self]) -> QueryResult<()>;

    /// # Errors
    /// What the engine says, or a deserialization error for a value that no version of this program writes.
    fn get(conn: &mut StoreConnection, key: &Self::Key) -> QueryResult<Option<Self>>;

    /// # Errors
    /// What the engine says.
    fn delete(conn: &mut StoreConnection, key: &Self::Key) -> QueryResult<()>;

    /// At most `limit` rows in key order, those behind `after` only.
    ///
    /// # Errors
    /// As [`Table::get`].
    fn page(conn: &mut StoreConnection, after: Option<&Self::Key>, limit: i64) -> QueryResult<Vec<Self>>;
}

/// All tables of an application, through the enum over their rows. `stored_rows!` writes it.
pub trait StoredRow: Row {
    /// In the order in which digests and snapshots go through them.
    const TABLES: &'static [&'static str];

    fn table_of(key: &Self::Key) -> &'static str;

    /// # Errors
    /// As [`Table::put_all`].
    fn put_all(conn: &mut StoreConnection, rows: &[&Self]) -> QueryResult<()>;

    /// # Errors
    /// As [`Table::get`].
    fn get(conn: &mut StoreConnection, key: &Self::Key) -> QueryResult<Option<Self>>;

    /// # Errors
    /// As [`Table::delete`].
    fn delete(conn: &mut StoreConnection, key: &Self::Key) -> QueryResult<()>;

    /// As [`Table::page`], of the table with this name; `after` must be a key of that table. Empty for a table that is not in
    /// [`StoredRow::TABLES`].
    ///
    /// # Errors
    /// As [`Table::get`].
    fn page(conn: &mut StoreConnection, table: &str, after: Option<&Self::Key>, limit: i64) -> QueryResult<Vec<Self>>;
}

/// An upsert of table `T`: constant text around typed bind values. Diesel's own `on_conflict` is never cached and does not compile
/// for both engines; this has one text per table and engine, so the table alone names the prepared statement.
pub struct Upsert<T, B> {
    head: &'static str,
    source: &'static str,
    binds: B,
    tail: &'static str,
    table: PhantomData<T>,
}

impl<T, B> Upsert<T, B> {
    pub fn new(head: &'static str, source: &'static str, binds: B, tail: &'static str) -> Self {
        Self { head, source, binds, tail, table: PhantomData }
    }
}

impl<T, B: QueryFragment<D>, D: Backend> QueryFragment<D> for Upsert<T, B> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, D>) -> QueryResult<()> {
        out.push_sql(self.head);
        out.push_sql(self.source);
        self.binds.walk_ast(out.reborrow())?;
        out.push_sql(self.tail);
        Ok(())
    }
}

impl<T: 'static, B> QueryId for Upsert<T, B> {
    type QueryId = Upsert<T, ()>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T, B, C> diesel::RunQueryDsl<C> for Upsert<T, B> {}

/// `Struct in table key (column: Type) columns (column, …)`: fields and columns have the same names, and the types are those of
/// `table!`, so a difference does not compile.
macro_rules! stored_table {
    ($row:ident in $table:ident key ($($key:ident: $key_type:ty),+) columns ($($column:ident),+ $(,)?)) => {
        stored_table!(@table $row $table ($($key: $key_type),+) ($($column),+) ($($key,)+ $($column),+));
    };
    (@table $row:ident $table:ident ($($key:ident: $key_type:ty),+) ($($column:ident),+) ($($all:ident),+)) => {
        impl $crate::store::table::Table for $row {
            const NAME: &'static str = stringify!($table);
            type Key = ($($key_type,)+);

            fn put_all(conn: &mut $crate::store::StoreConnection, rows: &[&Self]) -> diesel::QueryResult<()> {
                use diesel::{IntoSql as _, RunQueryDsl as _, dsl::SqlTypeOf, sql_types::Array};
                use $crate::schema::$table;
                use $crate::store::{StoreConnection, column::Column as _, table::Upsert};
                const INTO: &str = concat!("INSERT INTO ", stringify!($table), " (", stringify!($($all),+), ")");
                const OR_REPLACE: &str = concat!(
                    ") ON CONFLICT (", stringify!($($key),+), ") DO UPDATE SET ", stringify!($($column = excluded.$column),+)
                );
                if rows.is_empty() {
                    return Ok(());
                }
                match conn {
                    StoreConnection::Sqlite(conn) => rows.iter().try_for_each(|row| {
                        let values = ($(row.$all.plain().into_sql::<SqlTypeOf<$table::$all>>(),)+);
                        Upsert::<$table::table, _>::new(INTO, " VALUES (", values, OR_REPLACE).execute(conn).map(drop)
                    }),
                    // One statement for any number of rows: an array for each column.
                    StoreConnection::Postgres(conn) => {
                        let arrays = ($(
                            rows.iter().map(|row| row.$all.plain()).collect::<Vec<_>>().into_sql::<Array<SqlTypeOf<$table::$all>>>(),
                        )+);
                        Upsert::<$table::table, _>::new(INTO, " SELECT * FROM unnest(", arrays, OR_REPLACE).execute(conn).map(drop)
                    }
                }
            }

            fn get(conn: &mut $crate::store::StoreConnection, ($($key,)+): &Self::Key) -> diesel::QueryResult<Option<Self>> {
                use diesel::prelude::*;
                use $crate::{schema::$table, store::column::Column as _, store::table::on_either};
                // Not `first`: its LIMIT is a bind value, and SQLite compiles a statement anew whenever such a one is bound. A whole
                // key has one row at most.
                let found = on_either!(conn => $table::table
                    $(.filter($table::$key.eq($key.plain())))+
                    .select(($($table::$all,)+))
                    .get_result(conn)
                    .optional())?;
                found.map(stored_table!(@restore $table $($all),+)).transpose()
            }

            fn delete(conn: &mut $crate::store::StoreConnection, ($($key,)+): &Self::Key) -> diesel::QueryResult<()> {
                use diesel::prelude::*;
                use $crate::{schema::$table, store::column::Column as _, store::table::on_either};
                on_either!(conn => diesel::delete($table::table$(.filter($table::$key.eq($key.plain())))+).execute(conn)).map(drop)
            }

            fn page(
                conn: &mut $crate::store::StoreConnection,
                after: Option<&Self::Key>,
                limit: i64,
            ) -> diesel::QueryResult<Vec<Self>> {
                use diesel::prelude::*;
                use $crate::{schema::$table, store::column::Column as _, store::table::on_either};
                let found = match after {
                    None => on_either!(conn => $table::table
                        .order(($($table::$key.asc(),)+))
                        .select(($($table::$all,)+))
                        .limit(limit)
                        .load(conn))?,
                    Some(($($key,)+)) => on_either!(conn => $table::table
                        .filter(stored_table!(@behind $table $($key),+))
                        .order(($($table::$key.asc(),)+))
                        .select(($($table::$all,)+))
                        .limit(limit)
                        .load(conn))?,
                };
                found.into_iter().map(stored_table!(@restore $table $($all),+)).collect()
            }
        }
    };
    (@restore $table:ident $($column:ident),+) => {
        |($($column,)+): ($($crate::store::column::PlainOf<$table::$column>,)+)| -> diesel::QueryResult<Self> {
            Ok(Self { $($column: $crate::store::column::Restore::restore($column)?,)+ })
        }
    };
    (@behind $table:ident $key:ident) => { $table::$key.gt($key.plain()) };
    // The first condition alone is what an index can start at.
    (@behind $table:ident $key:ident, $more:ident) => {
        $table::$key.ge($key.plain()).and($table::$key.gt($key.plain()).or($table::$more.gt($more.plain())))
    };
}
pub(crate) use stored_table;

/// The same expression against whichever engine it is.
macro_rules! on_either {
    ($conn:ident => $query:expr) => {
        match $conn {
            $crate::store::StoreConnection::Sqlite($conn) => $query,
            $crate::store::StoreConnection::Postgres($conn) => $query,
        }
    };
}
pub(crate) use on_either;

/// [`StoredRow`] for an enum over row structs, whose variants and those of its key have the same names. Wants `StoreConnection`,
/// `StoredRow` and `Table` in scope.
macro_rules! stored_rows {
    ($rows:ident by $keys:ident { $($variant:ident($row:ty) key ($($key:ident),+)),+ $(,)? }) => {
        impl StoredRow for $rows {
            const TABLES: &'static [&'static str] = &[$(<$row as Table>::NAME),+];

            fn table_of(key: &$keys) -> &'static str {
                match key { $($keys::$variant(..) => <$row as Table>::NAME),+ }
            }

            fn put_all(conn: &mut StoreConnection, rows: &[&Self]) -> diesel::QueryResult<()> {
                $(
                    let of_table: Vec<&$row> =
                        rows.iter().filter_map(|row| match row { $rows::$variant(row) => Some(row as &$row), _ => None }).collect();
                    <$row as Table>::put_all(conn, &of_table)?;
                )+
                Ok(())
            }

            fn get(conn: &mut StoreConnection, key: &$keys) -> diesel::QueryResult<Option<Self>> {
                match key {
                    $($keys::$variant($($key),+) => {
                        let found = <$row as Table>::get(conn, &($($key.clone(),)+))?;
                        Ok(found.map(|row| $rows::$variant(row.into())))
                    })+
                }
            }

            fn delete(conn: &mut StoreConnection, key: &$keys) -> diesel::QueryResult<()> {
                match key {
                    $($keys::$variant($($key),+) => <$row as Table>::delete(conn, &($($key.clone(),)+)),)+
                }
            }

            fn page(
                conn: &mut StoreConnection,
                table: &str,
                after: Option<&$keys>,
                limit: i64,
            ) -> diesel::QueryResult<Vec<Self>> {
                $(
                    if table == <$row as Table>::NAME {
                        let after = match after { Some($keys::$variant($($key),+)) => Some(($($key.clone(),)+)), _ => None };
                        let page = <$row as Table>::page(conn, after.as_ref(), limit)?;
                        return Ok(page.into_iter().map(|row| $rows::$variant(row.into())).collect());
                    }
                )+
                Ok(Vec::new())
            }
        }
    };
}
pub(crate) use stored_rows;
