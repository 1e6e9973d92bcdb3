//! The tables `event_sinks` and `event_positions`.

use crate::store::catalogue::handle::{reading, writing};
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::statements::{SizedStatement, chunks};
use crate::store::database::{Database, StoreError};
use domain::{ShardId, Timestamp};
use std::sync::LazyLock;

/// The longest name of a receiver, in bytes of ASCII.
pub const SINK_NAME_LENGTH_MAX: usize = 64;

/// What a receiver is being told: since when, and the how-many-eth time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reading {
    /// From 1, one more at each replay.
    pub generation: u64,
    /// What was decided before is not told.
    pub begins_at: Timestamp,
}

/// How far a receiver is with a shard's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The shard whose log it is.
    pub shard: ShardId,
    /// The last record up to which it has confirmed all.
    pub seq: u64,
    /// The first and the last of the latest records that it was never told; 0 and 0 if it was told all.
    pub lost: (u64, u64),
}

/// A handle to the positions. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct EventPositions {
    database: Database,
}

const COLUMNS: &str =
    "INSERT INTO event_positions (sink, shard, generation, seq, lost_from, lost_to) VALUES ";
const ROW: &str = "(?,?,?,?,?,?)";

static RAISE_SQLITE: LazyLock<SizedStatement> = LazyLock::new(|| {
    let tail = " ON CONFLICT (sink, shard) DO UPDATE SET generation = excluded.generation, \
                seq = excluded.seq, lost_from = excluded.lost_from, lost_to = excluded.lost_to \
                WHERE excluded.generation > event_positions.generation \
                OR (excluded.generation = event_positions.generation AND excluded.seq > event_positions.seq)";
    SizedStatement::new(COLUMNS, ROW, tail)
});

/// Assignments are done from left to right and see those before, so what is compared is assigned last.
static RAISE_MYSQL: LazyLock<SizedStatement> = LazyLock::new(|| {
    const IS_NEWER: &str = "VALUES(generation) > generation \
                            OR (VALUES(generation) = generation AND VALUES(seq) > seq)";
    let tail = format!(
        " ON DUPLICATE KEY UPDATE lost_from = IF({IS_NEWER}, VALUES(lost_from), lost_from), \
         lost_to = IF({IS_NEWER}, VALUES(lost_to), lost_to), seq = IF({IS_NEWER}, VALUES(seq), seq), \
         generation = GREATEST(generation, VALUES(generation))"
    );
    SizedStatement::new(COLUMNS, ROW, &tail)
});

impl EventPositions {
    /// Creates a handle to the positions in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Returns what the receiver is being told. One that is new is told what is decided from `first` on.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn reading(&self, sink: &str, first: Timestamp) -> Result<Reading, StoreError> {
        if let Some(reading) = self.known(sink).await? {
            return Ok(reading);
        }
        let text = "INSERT INTO event_sinks (sink, generation, begins_at) VALUES (?, 1, ?)";
        let inserted: Result<bool, StoreError> =
            writing!(&self.database, StoreError, |connection| {
                let query = sqlx::query(text).bind(sink).bind(signed(first.0));
                match query.execute(&mut *connection).await {
                    Ok(_) => Ok(true),
                    // Another node was quicker.
                    Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => {
                        Ok(false)
                    }
                    Err(error) => Err(error.into()),
                }
            });
        if inserted? {
            return Ok(Reading { generation: 1, begins_at: first });
        }
        let known = self.known(sink).await?;
        known.ok_or_else(|| StoreError::corrupt(format!("table event_sinks: {sink} is gone")))
    }

    async fn known(&self, sink: &str) -> Result<Option<Reading>, StoreError> {
        let text = "SELECT generation, begins_at FROM event_sinks WHERE sink = ?";
        let found: Result<Option<(i64, i64)>, StoreError> =
            reading!(&self.database, |connection| {
                let query = sqlx::query_as(text).bind(sink);
                Ok(query.fetch_optional(connection).await?)
            });
        let Some((generation, begins_at)) = found? else { return Ok(None) };
        Ok(Some(Reading {
            generation: number("event_sinks.generation", generation)?,
            begins_at: Timestamp(number("event_sinks.begins_at", begins_at)?),
        }))
    }

    /// Has the receiver told again what was decided from `begins_at` on, by every node. One that is not known is
    /// told from there.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn begin_again(
        &self,
        sink: &str,
        begins_at: Timestamp,
    ) -> Result<Reading, StoreError> {
        self.reading(sink, begins_at).await?;
        let text =
            "UPDATE event_sinks SET generation = generation + 1, begins_at = ? WHERE sink = ?";
        let updated: Result<(), StoreError> = writing!(&self.database, StoreError, |connection| {
            let query = sqlx::query(text).bind(signed(begins_at.0)).bind(sink);
            query.execute(&mut *connection).await?;
            Ok(())
        });
        updated?;
        self.reading(sink, begins_at).await
    }

    /// Returns how far the receiver is in this generation; shards of which nothing is known are left out.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub async fn positions(
        &self,
        sink: &str,
        generation: u64,
    ) -> Result<Vec<Position>, StoreError> {
        let text = "SELECT shard, seq, lost_from, lost_to FROM event_positions \
                    WHERE sink = ? AND generation = ? ORDER BY shard";
        let rows: Result<Vec<(i64, i64, i64, i64)>, StoreError> =
            reading!(&self.database, |connection| {
                let query = sqlx::query_as(text).bind(sink).bind(signed(generation));
                Ok(query.fetch_all(connection).await?)
            });
        let read = |(shard, seq, lost_from, lost_to)| {
            let seq = number("event_positions.seq", seq)?;
            let lost_from = number("event_positions.lost_from", lost_from)?;
            let lost_to = number("event_positions.lost_to", lost_to)?;
            let shard = ShardId(number("event_positions.shard", shard)?);
            Ok(Position { shard, seq, lost: (lost_from, lost_to) })
        };
        rows?.into_iter().map(read).collect()
    }

    /// Raises how far the receiver is, all or nothing; durable on return. What is lower than what is there, or of an
    /// earlier generation, changes nothing.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the transaction failed. It may have taken place.
    pub async fn raise(
        &self,
        sink: &str,
        generation: u64,
        positions: &[Position],
    ) -> Result<(), StoreError> {
        let statement = match &self.database {
            Database::Sqlite(_) => &RAISE_SQLITE,
            Database::MySql(_) => &RAISE_MYSQL,
        };
        writing!(&self.database, StoreError, |connection| {
            for rows in chunks(positions) {
                let mut query = sqlx::query(statement.of(rows.len()));
                for Position { shard, seq, lost: (lost_from, lost_to) } in rows {
                    query = query
                        .bind(sink)
                        .bind(i64::from(shard.0))
                        .bind(signed(generation))
                        .bind(signed(*seq))
                        .bind(signed(*lost_from))
                        .bind(signed(*lost_to));
                }
                query.execute(&mut *connection).await?;
            }
            Ok(())
        })
    }

    /// Lowers all receivers' positions to at most the given record of each shard: a journal that was begun anew gives
    /// out the numbers behind it again.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the transaction failed: nothing was lowered then.
    pub async fn set_back(&self, to: &[(ShardId, u64)]) -> Result<(), StoreError> {
        let text = "UPDATE event_positions SET seq = ? WHERE shard = ? AND seq > ?";
        writing!(&self.database, StoreError, |connection| {
            for (shard, seq) in to {
                let (shard, seq) = (i64::from(shard.0), signed(*seq));
                let query = sqlx::query(text).bind(seq).bind(shard).bind(seq);
                query.execute(&mut *connection).await?;
            }
            Ok(())
        })
    }

    /// Forgets a receiver.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the transaction failed.
    pub async fn forget(&self, sink: &str) -> Result<(), StoreError> {
        writing!(&self.database, StoreError, |connection| {
            for text in [
                "DELETE FROM event_positions WHERE sink = ?",
                "DELETE FROM event_sinks WHERE sink = ?",
            ] {
                sqlx::query(text).bind(sink).execute(&mut *connection).await?;
            }
            Ok(())
        })
    }
}
