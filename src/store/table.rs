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
    (
        $row:ident in $table:ident
        key ($key:ident: $key_type:ty $(, $more_key:ident: $more_key_type:ty)?)
        columns ($column:ident $(, $more:ident)* $(,)?)
    ) => {
        impl $crate::store::table::Table for $row {
            const NAME: &'static str = stringify!($table);
            type Key = ($key_type, $($more_key_type)?);

            fn put_all(conn: &mut $crate::store::connection::StoreConnection, rows: &[&Self]) -> diesel::QueryResult<()> {
                use diesel::{IntoSql as _, RunQueryDsl as _, dsl::SqlTypeOf, sql_types::Array};
                use $crate::{schema::$table, store::column::Column as _, store::connection::StoreConnection};
                const INTO: &str = concat!(
                    "INSERT INTO ", stringify!($table), " (", stringify!($key), $(", ", stringify!($more_key),)?
                    ", ", stringify!($column), $(", ", stringify!($more),)* ")"
                );
                const TAIL: &str = concat!(
                    ") ON CONFLICT (", stringify!($key), $(", ", stringify!($more_key),)? ") DO UPDATE SET ",
                    stringify!($column), " = excluded.", stringify!($column),
                    $(", ", stringify!($more), " = excluded.", stringify!($more),)*
                );
                match conn {
                    StoreConnection::Sqlite(conn) => for row in rows {
                        let binds = (
                            row.$key.plain().into_sql::<SqlTypeOf<$table::$key>>(),
                            $(row.$more_key.plain().into_sql::<SqlTypeOf<$table::$more_key>>(),)?
                            row.$column.plain().into_sql::<SqlTypeOf<$table::$column>>(),
                            $(row.$more.plain().into_sql::<SqlTypeOf<$table::$more>>(),)*
                        );
                        $crate::store::table::Upsert::<$table::table, _>::new(INTO, " VALUES (", binds, TAIL).execute(conn)?;
                    },
                    // One statement for any number of rows: an array for each column.
                    StoreConnection::Postgres(conn) => {
                        let binds = (
                            rows.iter().map(|row| row.$key.plain()).collect::<Vec<_>>().into_sql::<Array<SqlTypeOf<$table::$key>>>(),
                            $(rows.iter().map(|row| row.$more_key.plain()).collect::<Vec<_>>()
                                .into_sql::<Array<SqlTypeOf<$table::$more_key>>>(),)?
                            rows.iter().map(|row| row.$column.plain()).collect::<Vec<_>>()
                                .into_sql::<Array<SqlTypeOf<$table::$column>>>(),
                            $(rows.iter().map(|row| row.$more.plain()).collect::<Vec<_>>()
                                .into_sql::<Array<SqlTypeOf<$table::$more>>>(),)*
                        );
                        $crate::store::table::Upsert::<$table::table, _>::new(INTO, " SELECT * FROM unnest(", binds, TAIL)
                            .execute(conn)?;
                    }
                }
                Ok(())
            }

            fn get(conn: &mut $crate::store::connection::StoreConnection, key: &Self::Key) -> diesel::QueryResult<Option<Self>> {
                use diesel::prelude::*;
                use $crate::{schema::$table, store::column::Column as _, store::table::on_either};
                let ($key, $($more_key)?) = key;
                let found = on_either!(conn => $table::table
                    .filter($table::$key.eq($key.plain()))
                    $(.filter($table::$more_key.eq($more_key.plain())))?
                    .select(stored_table!(@all $table $key $(, $more_key)?, $column $(, $more)*))
                    .first(conn).optional())?;
                found.map(stored_table!(@restore $table $key $(, $more_key)?, $column $(, $more)*)).transpose()
            }

            fn delete(conn: &mut $crate::store::connection::StoreConnection, key: &Self::Key) -> diesel::QueryResult<()> {
                use diesel::prelude::*;
                use $crate::{schema::$table, store::column::Column as _, store::table::on_either};
                let ($key, $($more_key)?) = key;
                on_either!(conn => diesel::delete(
                    $table::table.filter($table::$key.eq($key.plain()))$(.filter($table::$more_key.eq($more_key.plain())))?
                ).execute(conn))?;
                Ok(())
            }

            fn page(
                conn: &mut $crate::store::connection::StoreConnection,
                after: Option<&Self::Key>,
                limit: i64,
            ) -> diesel::QueryResult<Vec<Self>> {
                use diesel::prelude::*;
                use $crate::{schema::$table, store::column::Column as _, store::table::on_either};
                let found = match after {
                    None => on_either!(conn => $table::table
                        .order(($table::$key.asc(), $($table::$more_key.asc())?))
                        .select(stored_table!(@all $table $key $(, $more_key)?, $column $(, $more)*))
                        .limit(limit).load(conn))?,
                    Some(($key, $($more_key)?)) => on_either!(conn => $table::table
                        .filter(stored_table!(@behind $table $key $(, $more_key)?))
                        .order(($table::$key.asc(), $($table::$more_key.asc())?))
                        .select(stored_table!(@all $table $key $(, $more_key)?, $column $(, $more)*))
                        .limit(limit).load(conn))?,
                };
                found.into_iter().map(stored_table!(@restore $table $key $(, $more_key)?, $column $(, $more)*)).collect()
            }
        }
    };
    (@all $table:ident $($column:ident),+) => { ($($table::$column,)+) };
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
            $crate::store::connection::StoreConnection::Sqlite($conn) => $query,
            $crate::store::connection::StoreConnection::Postgres($conn) => $query,
        }
    };
}
pub(crate) use on_either;

/// [`StoredRow`] for an enum over row structs, whose variants and those of its key have the same names.
macro_rules! stored_rows {
    ($rows:ident by $keys:ident { $($variant:ident($row:ty) key ($($key:ident),+)),+ $(,)? }) => {
        impl $crate::store::table::StoredRow for $rows {
            const TABLES: &'static [&'static str] = &[$(<$row as $crate::store::table::Table>::NAME),+];

            fn table_of(key: &$keys) -> &'static str {
                match key { $($keys::$variant(..) => <$row as $crate::store::table::Table>::NAME),+ }
            }

            fn put_all(conn: &mut $crate::store::connection::StoreConnection, rows: &[&Self]) -> diesel::QueryResult<()> {
                $(
                    let of_table: Vec<&$row> =
                        rows.iter().filter_map(|row| match row { $rows::$variant(row) => Some(row as &$row), _ => None }).collect();
                    if !of_table.is_empty() {
                        <$row as $crate::store::table::Table>::put_all(conn, &of_table)?;
                    }
                )+
                Ok(())
            }

            fn get(conn: &mut $crate::store::connection::StoreConnection, key: &$keys) -> diesel::QueryResult<Option<Self>> {
                match key {
                    $($keys::$variant($($key),+) => {
                        let found = <$row as $crate::store::table::Table>::get(conn, &($($key.clone(),)+))?;
                        Ok(found.map(|row| $rows::$variant(row.into())))
                    })+
                }
            }

            fn delete(conn: &mut $crate::store::connection::StoreConnection, key: &$keys) -> diesel::QueryResult<()> {
                match key {
                    $($keys::$variant($($key),+) => <$row as $crate::store::table::Table>::delete(conn, &($($key.clone(),)+)),)+
                }
            }

            fn page(
                conn: &mut $crate::store::connection::StoreConnection,
                table: &str,
                after: Option<&$keys>,
                limit: i64,
            ) -> diesel::QueryResult<Vec<Self>> {
                $(
                    if table == <$row as $crate::store::table::Table>::NAME {
                        let after = match after { Some($keys::$variant($($key),+)) => Some(($($key.clone(),)+)), _ => None };
                        let page = <$row as $crate::store::table::Table>::page(conn, after.as_ref(), limit)?;
                        return Ok(page.into_iter().map(|row| $rows::$variant(row.into())).collect());
                    }
                )+
                Ok(Vec::new())
            }
        }
    };
}
pub(crate) use stored_rows;
