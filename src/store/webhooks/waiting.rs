//! The table `webhook_waiting`: events that an endpoint did not take at their first attempt, each with the later ones
//! of its order behind it, because an order's events arrive in their order.
//!
//! Only the first one of an order is tried. What is parked is not tried until an operator has it sent again.

use super::WebhookStore;
use super::deliveries::{Delivery, log_deliveries};
use super::error::WebhookError;
use crate::store::catalogue::handle::{reading, writing};
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::statements::limit_of;
use crate::store::database::{Database, StoreError};
use domain::{ShardId, Timestamp};
use std::fmt::Write as _;

/// The most events that wait for one endpoint. While there are so many, it is told no new ones: those stay in
/// the journal.
pub const WAITING_MAX: usize = 10_000;

/// Whose events come in their order: those of an order or an item, of one shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WaitingKey {
    /// The shard in whose log they are.
    pub shard: ShardId,
    /// The order's number, or the item's.
    pub partition_key: u64,
}

/// An event that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitingEvent {
    /// Whose it is,
    pub key: WaitingKey,
    /// and its number in the shard's log.
    pub seq: u64,
    /// The event's identity.
    pub event_id: String,
    /// The type that it has.
    pub event_type: String,
    /// When it happened.
    pub event_at: Timestamp,
    /// The whole event.
    pub body: Vec<u8>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried first.
    pub first_failed_at: Timestamp,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// Whether it is tried at all.
    pub is_parked: bool,
}

/// What became of some events, kept in one transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// Events that wait from now on. Those that wait already stay as they are.
    pub waiting: Vec<WaitingEvent>,
    /// Events that wait no more, because they arrived.
    pub arrived: Vec<(ShardId, u64)>,
    /// Events that were tried in vain once more: how often by now, and when next.
    pub tried: Vec<(ShardId, u64, u32, Timestamp)>,
    /// Whose events are parked from now on.
    pub parked: Vec<WaitingKey>,
    /// The attempts that were made.
    pub deliveries: Vec<Delivery>,
}

impl Settled {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose events wait for an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownWaiting {
    /// Whose they are.
    pub key: WaitingKey,
    /// Whether they are parked.
    pub is_parked: bool,
    /// How many there are.
    pub events: u64,
}

/// How much waits for an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Events that wait and are tried.
    pub waiting: u64,
    /// Events that are parked.
    pub parked: u64,
}

/// A row of the table, in the order in which its columns are selected.
type Row = (i64, i64, i64, String, String, i64, Vec<u8>, i64, i64, i64, i64);

impl WebhookStore {
    /// Returns how much waits for each endpoint; those for which nothing does are left out.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn standings(&self) -> Result<Vec<(u64, Standing)>, WebhookError> {
        let text = "SELECT endpoint_id, is_parked, COUNT(*) FROM webhook_waiting \
                    GROUP BY endpoint_id, is_parked ORDER BY endpoint_id";
        let rows: Result<Vec<(i64, i64, i64)>, WebhookError> =
            reading!(&self.database, |connection| {
                Ok(sqlx::query_as(text).fetch_all(connection).await?)
            });
        let mut standings: Vec<(u64, Standing)> = Vec::new();
        for (endpoint_id, is_parked, count) in rows? {
            let endpoint_id = number("webhook_waiting.endpoint_id", endpoint_id)?;
            let count = number("webhook_waiting", count)?;
            if standings.last().is_none_or(|(last, _)| *last != endpoint_id) {
                standings.push((endpoint_id, Standing::default()));
            }
            if let Some((_, standing)) = standings.last_mut() {
                *(if is_parked == 0 { &mut standing.waiting } else { &mut standing.parked }) =
                    count;
            }
        }
        Ok(standings)
    }

    /// Returns those whose events wait for an endpoint: at most as many as events may wait.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn waiting_keys(&self, endpoint_id: u64) -> Result<Vec<KnownWaiting>, WebhookError> {
        let text = "SELECT shard, partition_key, MAX(is_parked), COUNT(*) \
                    FROM webhook_waiting WHERE endpoint_id = ? GROUP BY shard, partition_key";
        let rows: Result<Vec<(i64, i64, i64, i64)>, WebhookError> =
            reading!(&self.database, |connection| {
                Ok(sqlx::query_as(text).bind(signed(endpoint_id)).fetch_all(connection).await?)
            });
        let read = |(shard, partition_key, is_parked, events)| {
            let events = number("webhook_waiting", events)?;
            Ok(KnownWaiting { key: key(shard, partition_key)?, is_parked: is_parked != 0, events })
        };
        rows?.into_iter().map(read).collect()
    }

    /// Returns events that are to be tried by `now`, at most `limit`, of these shards: the first ones of their
    /// orders alone, the longest due first.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn due(
        &self,
        endpoint_id: u64,
        shards: &[ShardId],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<WaitingEvent>, WebhookError> {
        if shards.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = String::new();
        for shard in shards {
            let _ = write!(list, "{}{shard}", if list.is_empty() { "" } else { ", " });
        }
        let text = format!(
            "SELECT shard, seq, partition_key, event_id, event_type, event_at, body, attempts, first_failed_at, \
             next_at, is_parked FROM webhook_waiting AS w \
             WHERE endpoint_id = ? AND is_parked = 0 AND next_at <= ? AND shard IN ({list}) \
             AND NOT EXISTS (SELECT 1 FROM webhook_waiting AS e WHERE e.endpoint_id = w.endpoint_id \
             AND e.partition_key = w.partition_key AND e.shard = w.shard AND e.seq < w.seq) \
             ORDER BY next_at, shard, seq LIMIT ?"
        );
        let rows: Result<Vec<Row>, WebhookError> = reading!(&self.database, |connection| {
            let query = sqlx::query_as(&text).persistent(false);
            let query = query.bind(signed(endpoint_id)).bind(signed(now.0)).bind(limit_of(limit));
            Ok(query.fetch_all(connection).await?)
        });
        rows?.into_iter().map(read).collect()
    }

    /// Keeps what became of events, all of it or nothing; durable on return.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the transaction failed. It may have taken place.
    pub async fn settle(&self, endpoint_id: u64, settled: &Settled) -> Result<(), WebhookError> {
        const COLUMNS: &str = "INSERT INTO webhook_waiting (endpoint_id, shard, seq, partition_key, event_id, \
                               event_type, event_at, body, attempts, first_failed_at, next_at, is_parked) \
                               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let insert = match &self.database {
            Database::Sqlite(_) => {
                format!("{COLUMNS} ON CONFLICT (endpoint_id, shard, seq) DO NOTHING")
            }
            Database::MySql(_) => {
                format!("{COLUMNS} ON DUPLICATE KEY UPDATE seq = webhook_waiting.seq")
            }
        };
        let endpoint = signed(endpoint_id);
        writing!(&self.database, WebhookError, |connection| {
            for event in &settled.waiting {
                let query = sqlx::query(&insert)
                    .bind(endpoint)
                    .bind(i64::from(event.key.shard.0))
                    .bind(signed(event.seq))
                    .bind(signed(event.key.partition_key))
                    .bind(event.event_id.as_str())
                    .bind(event.event_type.as_str())
                    .bind(signed(event.event_at.0))
                    .bind(event.body.as_slice())
                    .bind(i64::from(event.attempts))
                    .bind(signed(event.first_failed_at.0))
                    .bind(signed(event.next_at.0))
                    .bind(i64::from(event.is_parked));
                query.execute(&mut *connection).await?;
            }
            let text =
                "DELETE FROM webhook_waiting WHERE endpoint_id = ? AND shard = ? AND seq = ?";
            for (shard, seq) in &settled.arrived {
                let query =
                    sqlx::query(text).bind(endpoint).bind(i64::from(shard.0)).bind(signed(*seq));
                query.execute(&mut *connection).await?;
            }
            let text = "UPDATE webhook_waiting SET attempts = ?, next_at = ? \
                        WHERE endpoint_id = ? AND shard = ? AND seq = ?";
            for (shard, seq, attempts, next_at) in &settled.tried {
                let query = sqlx::query(text)
                    .bind(i64::from(*attempts))
                    .bind(signed(next_at.0))
                    .bind(endpoint)
                    .bind(i64::from(shard.0))
                    .bind(signed(*seq));
                query.execute(&mut *connection).await?;
            }
            let text = "UPDATE webhook_waiting SET is_parked = 1 \
                        WHERE endpoint_id = ? AND partition_key = ? AND shard = ?";
            for WaitingKey { shard, partition_key } in &settled.parked {
                let query = sqlx::query(text).bind(endpoint).bind(signed(*partition_key));
                query.bind(i64::from(shard.0)).execute(&mut *connection).await?;
            }
            log_deliveries!(connection, endpoint, &settled.deliveries);
            Ok(())
        })
    }

    /// Logs an attempt that settles nothing.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn log_delivery(
        &self,
        endpoint_id: u64,
        delivery: &Delivery,
    ) -> Result<(), WebhookError> {
        let settled = Settled { deliveries: vec![delivery.clone()], ..Settled::default() };
        self.settle(endpoint_id, &settled).await
    }

    /// Has what waits for an endpoint tried now, but for what is parked: it was away, and is back.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn hasten(&self, endpoint_id: u64, now: Timestamp) -> Result<(), WebhookError> {
        let text = "UPDATE webhook_waiting SET next_at = ? WHERE endpoint_id = ? AND is_parked = 0 AND next_at > ?";
        writing!(&self.database, WebhookError, |connection| {
            let query = sqlx::query(text).bind(signed(now.0)).bind(signed(endpoint_id));
            query.bind(signed(now.0)).execute(&mut *connection).await?;
            Ok(())
        })
    }

    /// Has an event that waits tried from the beginning, with the later ones of its order, also if they are parked.
    /// Without an event all that wait. Returns how many.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn resume(
        &self,
        endpoint_id: u64,
        event_id: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, WebhookError> {
        const ALL: &str = "UPDATE webhook_waiting SET is_parked = 0, attempts = 0, next_at = ? WHERE endpoint_id = ?";
        let endpoint = signed(endpoint_id);
        writing!(&self.database, WebhookError, |connection| {
            let Some(event_id) = event_id else {
                let query = sqlx::query(ALL).bind(signed(now.0)).bind(endpoint);
                return Ok(query.execute(&mut *connection).await?.rows_affected());
            };
            let text = "SELECT shard, partition_key FROM webhook_waiting WHERE endpoint_id = ? AND event_id = ?";
            let query = sqlx::query_as(text).bind(endpoint).bind(event_id);
            let found: Option<(i64, i64)> = query.fetch_optional(&mut *connection).await?;
            let Some((shard, key)) = found else { return Ok(0) };
            let text = format!("{ALL} AND shard = ? AND partition_key = ?");
            let query = sqlx::query(&text).bind(signed(now.0)).bind(endpoint).bind(shard).bind(key);
            Ok(query.execute(&mut *connection).await?.rows_affected())
        })
    }
}

fn key(shard: i64, partition_key: i64) -> Result<WaitingKey, StoreError> {
    Ok(WaitingKey {
        shard: ShardId(number("webhook_waiting.shard", shard)?),
        partition_key: number("webhook_waiting.partition_key", partition_key)?,
    })
}

fn read(row: Row) -> Result<WaitingEvent, WebhookError> {
    let (
        shard,
        seq,
        partition_key,
        event_id,
        event_type,
        event_at,
        body,
        attempts,
        first_failed_at,
        next_at,
        is_parked,
    ) = row;
    let place = |column: &str| format!("webhook_waiting {}, {column}", event_id);
    let time = |column, at: i64| Ok::<_, StoreError>(Timestamp(number(place(column), at)?));
    Ok(WaitingEvent {
        key: key(shard, partition_key)?,
        seq: number(place("seq"), seq)?,
        event_at: time("event_at", event_at)?,
        attempts: number(place("attempts"), attempts)?,
        first_failed_at: time("first_failed_at", first_failed_at)?,
        next_at: time("next_at", next_at)?,
        is_parked: is_parked != 0,
        event_id,
        event_type,
        body,
    })
}
