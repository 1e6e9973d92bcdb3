//! The catalogue: sales with their items, registered buyers, and the operators' log.
//!
//! Lives in the order store's database. Written by people, some rows a minute, so each function is
//! one short transaction and the statements are plain enough for SQLite and MySQL alike: they are
//! written once, and a macro spells them out for either driver. Nothing here is read on the buy
//! path: what a shard must know of an item enters it as a journalled record.
//!
//! Must not know HTTP, tokens or shards. Who may take which step is `domain::approval`'s to say.

mod log;
mod sales;
mod users;

pub use log::{LogEntry, LoggedEntry};

use crate::store::database::{Database, StoreError};
use domain::StepRefused;
use domain::catalogue::{DraftProblem, text_problem};
use sqlx::mysql::MySqlQueryResult;
use sqlx::sqlite::SqliteQueryResult;

/// The longest page of sales.
pub const SALES_PAGE_MAX: usize = 100;
/// The longest page of the operators' log.
pub const LOG_PAGE_MAX: usize = 500;
/// The longest name of a person, in characters.
pub const NAME_LENGTH_MAX: usize = 64;

/// A handle to the catalogue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalogue {
    database: Database,
}

/// Why the catalogue did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There is no such sale.
    #[error("no such sale")]
    SaleNotFound,
    /// The sale's status or the approval rule forbids it.
    #[error(transparent)]
    Refused(#[from] StepRefused),
    /// The sale is past its draft, so it is neither edited nor deleted.
    #[error("only a draft can be changed")]
    Frozen,
    /// Someone else changed the sale meanwhile: read it again.
    #[error("the sale was changed meanwhile")]
    ChangedMeanwhile,
    /// Another user has this name, up to upper and lower case.
    #[error("the name is taken")]
    NameTaken,
    /// Fields that are out of range.
    #[error("{} invalid fields", .0.len())]
    Invalid(Vec<DraftProblem>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CatalogueError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Catalogue {
    /// The catalogue in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

/// The key that an insert was given.
trait InsertedKey {
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

/// A number as the tables keep it; numbers here are bounded far below 2^63 where they enter.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number as the tables kept it.
fn unsigned(number: i64) -> Result<u64, StoreError> {
    narrow(number)
}

fn narrow<T: TryFrom<i64>>(number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::corrupt("a number out of range in the catalogue"))
}

/// A name or subject that has no more than `length_max` characters, none of them a control.
fn check_text(field: &str, text: &str, length_max: usize) -> Result<(), CatalogueError> {
    match text_problem(field, text, length_max) {
        None => Ok(()),
        Some(problem) => Err(CatalogueError::Invalid(vec![problem])),
    }
}

/// Runs `body` on a reading connection of either database.
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

/// Runs `body` in a transaction of either database and commits it if the body succeeded.
macro_rules! writing {
    ($database:expr, |$connection:ident| $body:expr) => {
        match $database {
            $crate::store::database::Database::Sqlite(database) => {
                let connection = database.writer().await?;
                writing!(connection, "BEGIN IMMEDIATE", $connection, $body)
            }
            $crate::store::database::Database::MySql(database) => {
                let connection = database.writer().await?;
                writing!(connection, "START TRANSACTION", $connection, $body)
            }
        }
    };
    ($pooled:ident, $begin:literal, $connection:ident, $body:expr) => {
        $crate::store::database::within($pooled, async |connection| {
            let mut transaction = sqlx::Connection::begin_with(connection, $begin).await?;
            let $connection = &mut *transaction;
            let outcome: Result<_, $crate::store::catalogue::CatalogueError> =
                async { $body }.await;
            let value = outcome?;
            transaction.commit().await?;
            Ok(value)
        })
        .await
    };
}

use {reading, writing};
