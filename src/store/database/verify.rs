//! Whether the tables are what the migrations make of them.
//!
//! A list of migrations that were run says nothing about tables that were dropped since. What there
//! should be is what the migrations make in an empty SQLite database; both dialects name tables and
//! columns alike. Must not know what the tables mean.

use super::error::StoreError;
use super::migrations;
use sqlx::sqlite::SqlitePoolOptions;
use std::collections::{BTreeMap, BTreeSet};

/// The names of all columns by table.
pub(super) type Tables = BTreeMap<String, BTreeSet<String>>;

/// Lists the columns of a SQLite database.
pub(super) const SQLITE_COLUMNS: &str = "SELECT m.name, c.name FROM sqlite_master AS m, \
     pragma_table_xinfo(m.name) AS c WHERE m.type = 'table'";

/// Lists the columns of a MySQL database. The names come as bytes, whatever the server's collation is.
pub(super) const MYSQL_COLUMNS: &str = "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) \
     FROM information_schema.columns WHERE table_schema = DATABASE()";

/// The tables that the rows name.
pub(super) fn tables(rows: Vec<(String, String)>) -> Tables {
    let mut tables = Tables::new();
    for (table, column) in rows {
        tables.entry(table).or_default().insert(column);
    }
    tables
}

/// The tables that there should be.
pub(super) async fn expected() -> Result<Tables, StoreError> {
    // One connection, because each would have a database of its own.
    let empty = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    migrations::run_sqlite(&empty).await?;
    let rows = sqlx::query_as(SQLITE_COLUMNS).fetch_all(&empty).await?;
    empty.close().await;
    let mut tables = tables(rows);
    tables.retain(|name, _| !name.starts_with("sqlite_") && !name.starts_with('_'));
    Ok(tables)
}

/// The tables of `expected` that are not there.
pub(super) fn missing_tables(expected: &Tables, found: &Tables) -> Vec<String> {
    expected.keys().filter(|name| !found.contains_key(*name)).cloned().collect()
}

/// What is missing, in words; none if nothing is.
pub(super) fn missing(expected: &Tables, found: &Tables) -> Option<String> {
    let of_table = |(table, columns): (&String, &BTreeSet<String>)| match found.get(table) {
        None => vec![format!("table {table}")],
        Some(found) => {
            columns.difference(found).map(|column| format!("column {table}.{column}")).collect()
        }
    };
    let missing: Vec<String> = expected.iter().flat_map(of_table).collect();
    (!missing.is_empty()).then(|| missing.join(", "))
}
