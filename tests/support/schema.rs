//! The tables as `schema.rs` declares them and as an engine has them, in one form.

use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use duplex::store::StoreConnection;

/// A column; sorted, a list of them is a schema.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, QueryableByName)]
pub struct ColumnOf {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    type_name: String,
    #[diesel(sql_type = Bool)]
    nullable: bool,
    #[diesel(sql_type = Bool)]
    in_key: bool,
    /// Must be false everywhere: a value comes from an entry or is null.
    #[diesel(sql_type = Bool)]
    has_default: bool,
}

pub fn declared(sqlite: bool) -> Vec<ColumnOf> {
    let mut columns = Vec::new();
    let (mut table, mut keys) = ("", Vec::new());
    for line in include_str!("../../src/schema.rs").lines().map(str::trim) {
        if let Some((column, type_name)) = line.strip_suffix(',').and_then(|line| line.split_once(" -> ")) {
            let inner = type_name.strip_prefix("Nullable<").and_then(|inner| inner.strip_suffix('>'));
            columns.push(ColumnOf {
                table_name: table.to_owned(),
                column_name: column.to_owned(),
                type_name: type_on(sqlite, inner.unwrap_or(type_name)).to_owned(),
                nullable: inner.is_some(),
                in_key: keys.contains(&column),
                has_default: false,
            });
        } else if let Some((name, key)) = line.strip_suffix(") {").and_then(|line| line.split_once(" (")) {
            (table, keys) = (name, key.split(", ").collect());
        }
    }
    columns.sort();
    columns
}

fn type_on(sqlite: bool, declared: &str) -> &'static str {
    match (declared, sqlite) {
        ("BigInt", false) => "bigint",
        ("BigInt", true) | ("Integer", _) => "integer",
        ("Text", _) => "text",
        ("Binary", false) => "bytea",
        ("Binary", true) => "blob",
        (other, _) => panic!("schema.rs declares a type that the engines do not share: {other}"),
    }
}

pub fn migrated(conn: &mut StoreConnection) -> Vec<ColumnOf> {
    let sql = match conn {
        StoreConnection::Sqlite(_) => {
            "SELECT m.name AS table_name, c.name AS column_name, lower(c.type) AS type_name, c.\"notnull\" = 0 AS nullable,
                    c.pk > 0 AS in_key, c.dflt_value IS NOT NULL AS has_default
             FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'"
        }
        StoreConnection::Postgres(_) => {
            "SELECT c.table_name::text AS table_name, c.column_name::text AS column_name, c.data_type::text AS type_name,
                    c.is_nullable = 'YES' AS nullable, k.column_name IS NOT NULL AS in_key,
                    (c.column_default IS NOT NULL OR c.is_identity = 'YES' OR c.is_generated <> 'NEVER') AS has_default
             FROM information_schema.columns c
             LEFT JOIN information_schema.key_column_usage k USING (table_schema, table_name, column_name)
             WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_\\_%'"
        }
    };
    let mut columns: Vec<ColumnOf> = diesel::sql_query(sql).load(conn).expect("the engine tells its columns");
    columns.sort();
    columns
}
