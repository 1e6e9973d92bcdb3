//! The catalogue's handle, and how its functions get at either database.

use super::numbers::signed;
use crate::store::database::Database;
use sqlx::mysql::MySqlQueryResult;
use sqlx::sqlite::SqliteQueryResult;

/// A handle to the catalogue. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pub(super) database: Database,
}

impl Catalogue {
    /// Creates a handle to the catalogue in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// The key that the database gave to an inserted row.
pub(in crate::store) trait InsertedKey {
    fn inserted_key(&self) -> i64;
}

impl InsertedKey for SqliteQueryResult {
    fn inserted_key(&self) -> i64 {
        self.last_insert_rowid()
    }
}

impl InsertedKey for MySqlQueryResult {
    fn inserted_key(&self) -> i64 {
        signed(self.last_insert_id())
    }
}

/// Runs `body` on a connection for reading, of either database.
macro_rules! reading {
    ($database:expr, |$connection:ident| $body:expr) => {
        match $database {
            $crate::store::database::Database::Sqlite(database) => {
                let connection = database.reader().await?;
                $crate::store::database::within(connection, async |$connection| $body).await
            }
            $crate::store::database::Database::MySql(database) => {
                let connection = database.reader().await?;
                $crate::store::database::within(connection, async |$connection| $body).await
            }
        }
    };
}

/// Runs `body` in a transaction, of either database, and commits it if the body succeeded. It fails with
/// the catalogue's error, or with `$Error` if one is named.
macro_rules! writing {
    ($database:expr, |$connection:ident| $body:expr) => {
        writing!($database, $crate::store::catalogue::error::CatalogueError, |$connection| $body)
    };
    ($database:expr, $Error:ty, |$connection:ident| $body:expr) => {
        match $database {
            $crate::store::database::Database::Sqlite(database) => {
                let connection = database.writer().await?;
                writing!(connection, "BEGIN IMMEDIATE", $Error, $connection, $body)
            }
            $crate::store::database::Database::MySql(database) => {
                let connection = database.writer().await?;
                writing!(connection, "START TRANSACTION", $Error, $connection, $body)
            }
        }
    };
    ($pooled:ident, $begin:literal, $Error:ty, $connection:ident, $body:expr) => {
        $crate::store::database::within($pooled, async |connection| {
            let mut transaction = sqlx::Connection::begin_with(connection, $begin).await?;
            let $connection = &mut *transaction;
            let outcome: Result<_, $Error> = async { $body }.await;
            let value = outcome?;
            transaction.commit().await?;
            Ok(value)
        })
        .await
    };
}

pub(in crate::store) use {reading, writing};
