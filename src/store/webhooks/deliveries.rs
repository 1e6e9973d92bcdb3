//! The table `webhook_deliveries`: the latest attempts of each endpoint, for operators to look at.

use super::WebhookStore;
use super::error::WebhookError;
use crate::store::catalogue::handle::reading;
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::StoreError;
use crate::store::database::statements::limit_of;
use domain::Timestamp;

/// Attempts of one endpoint that are kept; older ones are forgotten.
pub const DELIVERIES_KEPT_MAX: usize = 1_000;

/// One attempt to deliver an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// When it began.
    pub at: Timestamp,
    /// The event's identity.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// The how-many-eth attempt, from 1.
    pub attempt: u32,
    /// The answer's status, if one came.
    pub status: Option<u16>,
    /// Why none came, or why it counts for nothing; empty if it arrived.
    pub error: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// An attempt with its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedDelivery {
    /// The attempt's number, which grows with each.
    pub delivery_id: u64,
    /// The attempt itself.
    pub delivery: Delivery,
}

/// A row of the table, in the order in which its columns are selected.
type Row = (i64, i64, String, String, i64, Option<i64>, String, i64);

/// Appends attempts of an endpoint within an open transaction, and forgets the oldest ones.
macro_rules! log_deliveries {
    ($connection:expr, $endpoint:expr, $deliveries:expr) => {{
        let deliveries: &[$crate::store::webhooks::Delivery] = $deliveries;
        // More of them would be forgotten at once.
        let first = deliveries.len().saturating_sub($crate::store::webhooks::DELIVERIES_KEPT_MAX);
        let text = "INSERT INTO webhook_deliveries (endpoint_id, at, event_id, event_type, attempt, status, \
                    error, duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
        let mut last = None;
        for delivery in &deliveries[first..] {
            let query = sqlx::query(text)
                .bind($endpoint)
                .bind($crate::store::catalogue::numbers::signed(delivery.at.0))
                .bind(delivery.event_id.as_str())
                .bind(delivery.event_type.as_str())
                .bind(i64::from(delivery.attempt))
                .bind(delivery.status.map(i64::from))
                .bind($crate::store::webhooks::shortened(&delivery.error))
                .bind($crate::store::catalogue::numbers::signed(delivery.duration_ms));
            let inserted = query.execute(&mut *$connection).await?;
            last = Some($crate::store::catalogue::handle::InsertedKey::inserted_key(&inserted));
        }
        if last.is_some() {
            let text = "SELECT delivery_id FROM webhook_deliveries WHERE endpoint_id = ? \
                        ORDER BY delivery_id DESC LIMIT 1 OFFSET ?";
            let oldest: Option<i64> = sqlx::query_scalar(text)
                .bind($endpoint)
                .bind($crate::store::database::statements::limit_of(
                    $crate::store::webhooks::DELIVERIES_KEPT_MAX,
                ))
                .fetch_optional(&mut *$connection)
                .await?;
            if let Some(oldest) = oldest {
                let text = "DELETE FROM webhook_deliveries WHERE endpoint_id = ? AND delivery_id <= ?";
                sqlx::query(text).bind($endpoint).bind(oldest).execute(&mut *$connection).await?;
            }
        }
    }};
}
pub(super) use log_deliveries;

impl WebhookStore {
    /// Returns attempts of an endpoint, newest first, beginning before the attempt `before` if given; at most
    /// `limit`.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn deliveries(
        &self,
        endpoint_id: u64,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ListedDelivery>, WebhookError> {
        let text = "SELECT delivery_id, at, event_id, event_type, attempt, status, error, duration_ms \
                    FROM webhook_deliveries WHERE endpoint_id = ? AND delivery_id < ? \
                    ORDER BY delivery_id DESC LIMIT ?";
        let rows: Result<Vec<Row>, WebhookError> = reading!(&self.database, |connection| {
            let query = sqlx::query_as(text)
                .bind(signed(endpoint_id))
                .bind(before.map_or(i64::MAX, signed))
                .bind(limit_of(limit.min(DELIVERIES_KEPT_MAX)));
            Ok(query.fetch_all(connection).await?)
        });
        rows?.into_iter().map(read).collect()
    }
}

impl WebhookStore {
    /// Whether an attempt that began after `since` has arrived, of an event of another type than `besides`.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn has_arrived(
        &self,
        endpoint_id: u64,
        since: Timestamp,
        besides: &str,
    ) -> Result<bool, WebhookError> {
        let text = "SELECT delivery_id FROM webhook_deliveries \
                    WHERE endpoint_id = ? AND error = '' AND at > ? AND event_type <> ? LIMIT 1";
        let found: Result<Option<i64>, WebhookError> = reading!(&self.database, |connection| {
            let query = sqlx::query_scalar(text).bind(signed(endpoint_id)).bind(signed(since.0));
            Ok(query.bind(besides).fetch_optional(connection).await?)
        });
        Ok(found?.is_some())
    }
}

fn read(row: Row) -> Result<ListedDelivery, WebhookError> {
    let (delivery_id, at, event_id, event_type, attempt, status, error, duration_ms) = row;
    let place = |column: &str| format!("webhook delivery {}, {column}", delivery_id);
    let status = status.map(|status| number(place("status"), status)).transpose()?;
    let read = || {
        Ok::<_, StoreError>(ListedDelivery {
            delivery_id: number(place("delivery_id"), delivery_id)?,
            delivery: Delivery {
                at: Timestamp(number(place("at"), at)?),
                event_id: event_id.clone(),
                event_type: event_type.clone(),
                attempt: number(place("attempt"), attempt)?,
                status,
                error: error.clone(),
                duration_ms: number(place("duration_ms"), duration_ms)?,
            },
        })
    };
    Ok(read()?)
}
