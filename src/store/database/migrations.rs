//! The migrations: numbered SQL files of each store, compiled in, run in order, each once.
//!
//! Every statement says `IF NOT EXISTS` or what amounts to it, because MySQL does not roll back the creation of a table:
//! a migration that a crash interrupted is deleted from the list of applied ones and run again. An
//! applied file is never edited, because its checksum is in that list.

use super::error::StoreError;
use futures_util::future::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::{MySqlConnection, MySqlPool, SqlitePool};
use std::borrow::Cow;

/// How long a process waits for another one that changes tables.
const LOCK_WAIT_SECONDS: u32 = 30;

/// A migration: number, description, text.
type Step = (i64, &'static str, &'static str);

const SQLITE: &[Step] = &[
    (1, "orders", include_str!("../orders/migrations/sqlite/0001_orders.sql")),
    (2, "catalogue", include_str!("../catalogue/migrations/sqlite/0002_catalogue.sql")),
    (3, "dead letters", include_str!("../orders/migrations/sqlite/0003_dead_letters.sql")),
    (4, "journal", include_str!("../orders/migrations/sqlite/0004_journal.sql")),
    (5, "requests", include_str!("../catalogue/migrations/sqlite/0005_operator_requests.sql")),
    (7, "shard seals", include_str!("../orders/migrations/sqlite/0007_shard_seals.sql")),
    (9, "operators", include_str!("../catalogue/migrations/sqlite/0009_operators.sql")),
    (10, "media", include_str!("../catalogue/migrations/sqlite/0010_media.sql")),
    (11, "visits", include_str!("../catalogue/migrations/sqlite/0011_visits.sql")),
    (12, "settings", include_str!("../settings/migrations/sqlite/0012_settings.sql")),
    (13, "risk entries", include_str!("../settings/migrations/sqlite/0013_risk_entries.sql")),
    (15, "admission", include_str!("../catalogue/migrations/sqlite/0015_admission.sql")),
    (16, "external users", include_str!("../catalogue/migrations/sqlite/0016_external_users.sql")),
    (17, "ended sessions", include_str!("../catalogue/migrations/sqlite/0017_ended_sessions.sql")),
    (40, "buckets", include_str!("../catalogue/migrations/sqlite/0040_buckets.sql")),
    (41, "payments", include_str!("../orders/migrations/sqlite/0041_payments.sql")),
    (42, "event positions", include_str!("../events/migrations/sqlite/0042_event_positions.sql")),
    (43, "webhooks", include_str!("../webhooks/migrations/sqlite/0043_webhooks.sql")),
    (50, "store place", include_str!("../orders/migrations/sqlite/0050_store_place.sql")),
    (
        51,
        "catalogue changes",
        include_str!("../catalogue/migrations/sqlite/0051_catalogue_changes.sql"),
    ),
];

const MYSQL: &[Step] = &[
    (1, "orders", include_str!("../orders/migrations/mysql/0001_orders.sql")),
    (2, "catalogue", include_str!("../catalogue/migrations/mysql/0002_catalogue.sql")),
    (3, "dead letters", include_str!("../orders/migrations/mysql/0003_dead_letters.sql")),
    (4, "journal", include_str!("../orders/migrations/mysql/0004_journal.sql")),
    (5, "requests", include_str!("../catalogue/migrations/mysql/0005_operator_requests.sql")),
    (7, "shard seals", include_str!("../orders/migrations/mysql/0007_shard_seals.sql")),
    (9, "operators", include_str!("../catalogue/migrations/mysql/0009_operators.sql")),
    (10, "media", include_str!("../catalogue/migrations/mysql/0010_media.sql")),
    (11, "visits", include_str!("../catalogue/migrations/mysql/0011_visits.sql")),
    (12, "settings", include_str!("../settings/migrations/mysql/0012_settings.sql")),
    (13, "risk entries", include_str!("../settings/migrations/mysql/0013_risk_entries.sql")),
    (15, "admission", include_str!("../catalogue/migrations/mysql/0015_admission.sql")),
    (16, "external users", include_str!("../catalogue/migrations/mysql/0016_external_users.sql")),
    (17, "ended sessions", include_str!("../catalogue/migrations/mysql/0017_ended_sessions.sql")),
    (40, "buckets", include_str!("../catalogue/migrations/mysql/0040_buckets.sql")),
    (41, "payments", include_str!("../orders/migrations/mysql/0041_payments.sql")),
    (42, "event positions", include_str!("../events/migrations/mysql/0042_event_positions.sql")),
    (43, "webhooks", include_str!("../webhooks/migrations/mysql/0043_webhooks.sql")),
    (50, "store place", include_str!("../orders/migrations/mysql/0050_store_place.sql")),
    (
        51,
        "catalogue changes",
        include_str!("../catalogue/migrations/mysql/0051_catalogue_changes.sql"),
    ),
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

/// Leave to change tables, which lasts until the connection is closed: two processes that make them at
/// once would be in each other's way. The library's own lock waits without a limit, which MariaDB takes
/// for no lock at all.
///
/// # Errors
/// Returns [`StoreError::Migration`] if another process has it for too long.
pub(super) async fn lock_mysql(pool: &MySqlPool) -> Result<MySqlConnection, StoreError> {
    let mut connection = pool.acquire().await?.detach();
    let locked: Option<i64> =
        sqlx::query_scalar("SELECT GET_LOCK(CONCAT('seckill.', MD5(DATABASE())), ?)")
            .bind(LOCK_WAIT_SECONDS)
            .fetch_one(&mut connection)
            .await?;
    if locked != Some(1) {
        return Err(StoreError::Migration(format!(
            "another process has been changing the tables for {LOCK_WAIT_SECONDS} s; try again once it is done"
        )));
    }
    Ok(connection)
}

/// Runs what was not run yet, under the lock.
pub(super) async fn run_mysql(pool: &MySqlPool) -> Result<(), StoreError> {
    let mut migrator = Migrator::new(Embedded(MYSQL)).await?;
    migrator.set_locking(false);
    match migrator.run(pool).await {
        // Found under the lock, so the process that began it does not run any more.
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
