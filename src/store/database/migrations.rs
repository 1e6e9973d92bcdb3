//! The migrations: numbered SQL files of each store, compiled in, run in order, each once.
//!
//! Every statement says `IF NOT EXISTS` or what amounts to it, because MySQL does not roll back the creation of a table:
//! a migration that a crash interrupted is deleted from the list of applied ones and run again. An
//! applied file is never edited, because its checksum is in that list.

use super::error::StoreError;
use futures_util::future::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{MySqlPool, SqlitePool};
use std::borrow::Cow;

/// A migration: number, description, text.
type Step = (i64, &'static str, &'static str);

const SQLITE: &[Step] = &[
    (1, "orders", include_str!("../orders/migrations/sqlite/0001_orders.sql")),
    (2, "catalogue", include_str!("../catalogue/migrations/sqlite/0002_catalogue.sql")),
    (3, "dead letters", include_str!("../orders/migrations/sqlite/0003_dead_letters.sql")),
    (4, "journal", include_str!("../orders/migrations/sqlite/0004_journal.sql")),
    (5, "requests", include_str!("../catalogue/migrations/sqlite/0005_operator_requests.sql")),
    (7, "shard seals", include_str!("../orders/migrations/sqlite/0007_shard_seals.sql")),
];

const MYSQL: &[Step] = &[
    (1, "orders", include_str!("../orders/migrations/mysql/0001_orders.sql")),
    (2, "catalogue", include_str!("../catalogue/migrations/mysql/0002_catalogue.sql")),
    (3, "dead letters", include_str!("../orders/migrations/mysql/0003_dead_letters.sql")),
    (4, "journal", include_str!("../orders/migrations/mysql/0004_journal.sql")),
    (5, "requests", include_str!("../catalogue/migrations/mysql/0005_operator_requests.sql")),
    (7, "shard seals", include_str!("../orders/migrations/mysql/0007_shard_seals.sql")),
];

/// The migrations of one dialect, which are compiled into the program.
#[derive(Debug)]
struct Embedded(&'static [Step]);

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, BoxDynError>> {
        let migrations = self.0.iter().map(|&(number, description, text)| {
            Migration::new(
                number,
                Cow::Borrowed(description),
                MigrationType::Simple,
                Cow::Borrowed(text),
                false,
            )
        });
        let migrations = migrations.collect();
        Box::pin(async move { Ok(migrations) })
    }
}

pub(super) async fn run_sqlite(pool: &SqlitePool) -> Result<(), StoreError> {
    Ok(Migrator::new(Embedded(SQLITE)).await?.run(pool).await?)
}

/// Runs all files once more, because a table is gone that they made. What is there stays as it is: each
/// makes its tables only if they do not exist. A file that changes a table may fail at one that it has
/// changed; whether anything is missing in the end is for the caller to see.
pub(super) async fn repeat_sqlite(pool: &SqlitePool) {
    for (_, _, text) in SQLITE {
        let _ = sqlx::raw_sql(text).execute(pool).await;
    }
}

/// Does what [`repeat_sqlite`] does on a MySQL server.
pub(super) async fn repeat_mysql(pool: &MySqlPool) {
    for (_, _, text) in MYSQL {
        let _ = sqlx::raw_sql(text).execute(pool).await;
    }
}

pub(super) async fn run_mysql(pool: &MySqlPool) -> Result<(), StoreError> {
    let migrator = Migrator::new(Embedded(MYSQL)).await?;
    match migrator.run(pool).await {
        // Found under the migration lock, so the process that began it does not run any more.
        Err(MigrateError::Dirty(number)) => {
            tracing::warn!(number, "running a migration again that was interrupted");
            sqlx::query("DELETE FROM _sqlx_migrations WHERE version = ? AND success = FALSE")
                .bind(number)
                .execute(pool)
                .await?;
            Ok(migrator.run(pool).await?)
        }
        result => Ok(result?),
    }
}
