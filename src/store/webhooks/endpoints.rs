//! The table `webhook_endpoints`. Each change is one transaction with its entry of the operators' log.

use super::endpoint::{Changed, Endpoint, EndpointState, NewEndpoint, Previous};
use super::error::WebhookError;
use super::seal::SealedSecret;
use super::{WebhookStore, shortened};
use crate::store::catalogue::LogEntry;
use crate::store::catalogue::handle::{reading, writing};
use crate::store::catalogue::log::append;
use crate::store::catalogue::numbers::{number, signed};
use crate::store::database::StoreError;
use domain::Timestamp;
use serde_json::json;

const COLUMNS: &str = "SELECT endpoint_id, url, types, description, state, reason, secret, previous_secret, \
                       previous_until, revision, failing_since, actor, created_at, changed_at \
                       FROM webhook_endpoints";

/// A row of the table, in the order in which its columns are selected.
type Row = (
    i64,
    String,
    String,
    String,
    String,
    String,
    Vec<u8>,
    Option<Vec<u8>>,
    Option<i64>,
    i64,
    Option<i64>,
    String,
    i64,
    i64,
);

impl WebhookStore {
    /// Returns all endpoints, the oldest first.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn endpoints(&self) -> Result<Vec<Endpoint>, WebhookError> {
        let text = format!("{COLUMNS} ORDER BY created_at, endpoint_id");
        let rows: Result<Vec<Row>, WebhookError> = reading!(&self.database, |connection| {
            Ok(sqlx::query_as(&text).fetch_all(connection).await?)
        });
        rows?.into_iter().map(read).collect()
    }

    /// Returns an endpoint.
    ///
    /// # Errors
    /// Returns [`WebhookError::NotFound`] if there is none of this number, [`WebhookError::Store`] if the
    /// database does not answer.
    pub async fn endpoint(&self, endpoint_id: u64) -> Result<Endpoint, WebhookError> {
        let text = format!("{COLUMNS} WHERE endpoint_id = ?");
        let row: Result<Option<Row>, WebhookError> = reading!(&self.database, |connection| {
            let query = sqlx::query_as(&text).bind(signed(endpoint_id));
            Ok(query.fetch_optional(connection).await?)
        });
        row?.ok_or(WebhookError::NotFound).and_then(read)
    }

    /// Makes an endpoint of this number, which is new, unless there are `max` already.
    ///
    /// # Errors
    /// Returns [`WebhookError::TooMany`] if there are, [`WebhookError::Store`] if the database does not answer.
    pub async fn create_endpoint(
        &self,
        endpoint_id: u64,
        said: &NewEndpoint,
        secret: &SealedSecret,
        max: usize,
        changed: Changed<'_>,
    ) -> Result<(), WebhookError> {
        let text = "INSERT INTO webhook_endpoints (endpoint_id, url, types, description, state, reason, secret, \
                    revision, actor, created_at, changed_at) VALUES (?, ?, ?, ?, ?, '', ?, 1, ?, ?, ?)";
        let entry = entry(endpoint_id, changed, json!({ "url": said.url, "types": said.types }));
        writing!(&self.database, WebhookError, |connection| {
            let query = sqlx::query(text)
                .bind(signed(endpoint_id))
                .bind(said.url.as_str())
                .bind(said.types.join(" "))
                .bind(said.description.as_str())
                .bind(EndpointState::New.name())
                .bind(secret.0.as_slice())
                .bind(changed.actor)
                .bind(signed(changed.at.0))
                .bind(signed(changed.at.0));
            query.execute(&mut *connection).await?;
            // With its own row. Two nodes at once may make one too many, which harms nobody.
            let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_endpoints")
                .fetch_one(&mut *connection)
                .await?;
            if usize::try_from(count).is_ok_and(|count| count > max) {
                return Err(WebhookError::TooMany { max });
            }
            append!(connection, entry)?;
            Ok(())
        })
    }

    /// Replaces an endpoint that was read: all of it but its number and when it was made. `detail` is what the
    /// operators' log says beside the action.
    ///
    /// # Errors
    /// Returns [`WebhookError::ChangedMeanwhile`] if its revision is another one by now,
    /// [`WebhookError::Store`] if the database does not answer.
    pub async fn replace_endpoint(
        &self,
        endpoint: &Endpoint,
        detail: serde_json::Value,
        changed: Changed<'_>,
    ) -> Result<(), WebhookError> {
        let text = "UPDATE webhook_endpoints SET url = ?, types = ?, description = ?, state = ?, reason = ?, \
                    secret = ?, previous_secret = ?, previous_until = ?, revision = revision + 1, \
                    failing_since = ?, actor = ?, changed_at = ? WHERE endpoint_id = ? AND revision = ?";
        let entry = entry(endpoint.endpoint_id, changed, detail);
        let previous = endpoint.previous.as_ref();
        writing!(&self.database, WebhookError, |connection| {
            let query = sqlx::query(text)
                .bind(endpoint.said.url.as_str())
                .bind(endpoint.said.types.join(" "))
                .bind(endpoint.said.description.as_str())
                .bind(endpoint.state.name())
                .bind(shortened(&endpoint.reason))
                .bind(endpoint.secret.0.as_slice())
                .bind(previous.map(|previous| previous.secret.0.as_slice()))
                .bind(previous.map(|previous| signed(previous.until.0)))
                .bind(endpoint.failing_since.map(|at| signed(at.0)))
                .bind(changed.actor)
                .bind(signed(changed.at.0))
                .bind(signed(endpoint.endpoint_id))
                .bind(signed(endpoint.revision));
            if query.execute(&mut *connection).await?.rows_affected() == 0 {
                return Err(WebhookError::ChangedMeanwhile);
            }
            append!(connection, entry)?;
            Ok(())
        })
    }

    /// Deletes an endpoint with all that waits for it and the log of its deliveries.
    ///
    /// # Errors
    /// Returns [`WebhookError::NotFound`] if there is none of this number, [`WebhookError::Store`] if the
    /// database does not answer.
    pub async fn delete_endpoint(
        &self,
        endpoint_id: u64,
        changed: Changed<'_>,
    ) -> Result<(), WebhookError> {
        let entry = entry(endpoint_id, changed, json!({}));
        writing!(&self.database, WebhookError, |connection| {
            for text in [
                "DELETE FROM webhook_waiting WHERE endpoint_id = ?",
                "DELETE FROM webhook_deliveries WHERE endpoint_id = ?",
            ] {
                sqlx::query(text).bind(signed(endpoint_id)).execute(&mut *connection).await?;
            }
            let text = "DELETE FROM webhook_endpoints WHERE endpoint_id = ?";
            let deleted = sqlx::query(text).bind(signed(endpoint_id)).execute(&mut *connection);
            if deleted.await?.rows_affected() == 0 {
                return Err(WebhookError::NotFound);
            }
            append!(connection, entry)?;
            Ok(())
        })
    }

    /// Notes an action that changes no endpoint in the operators' log.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn note_action(
        &self,
        endpoint_id: u64,
        detail: serde_json::Value,
        changed: Changed<'_>,
    ) -> Result<(), WebhookError> {
        let entry = entry(endpoint_id, changed, detail);
        writing!(&self.database, WebhookError, |connection| {
            append!(connection, entry)?;
            Ok(())
        })
    }

    /// Has those who tell an endpoint, at any node, begin anew if anything waits for it and is tried: they forget that it
    /// has failed, and try at once.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn begin_anew(&self, endpoint_id: u64) -> Result<(), WebhookError> {
        let text = "UPDATE webhook_endpoints SET revision = revision + 1 WHERE endpoint_id = ? \
                    AND EXISTS (SELECT 1 FROM webhook_waiting WHERE endpoint_id = ? AND is_parked = 0)";
        writing!(&self.database, WebhookError, |connection| {
            let query = sqlx::query(text).bind(signed(endpoint_id)).bind(signed(endpoint_id));
            query.execute(&mut *connection).await?;
            Ok(())
        })
    }

    /// Notes since when deliveries to an endpoint fail, and returns it: the earliest that anybody noted. With none
    /// it notes that one arrived.
    ///
    /// # Errors
    /// Returns [`WebhookError::Store`] if the database does not answer.
    pub async fn note_failing(
        &self,
        endpoint_id: u64,
        since: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, WebhookError> {
        let text = match since {
            Some(_) => {
                "UPDATE webhook_endpoints SET failing_since = COALESCE(failing_since, ?) WHERE endpoint_id = ?"
            }
            None => "UPDATE webhook_endpoints SET failing_since = ? WHERE endpoint_id = ?",
        };
        let noted: Result<Option<i64>, WebhookError> =
            writing!(&self.database, WebhookError, |connection| {
                let since = since.map(|at| signed(at.0));
                let query = sqlx::query(text).bind(since).bind(signed(endpoint_id));
                query.execute(&mut *connection).await?;
                let text = "SELECT failing_since FROM webhook_endpoints WHERE endpoint_id = ?";
                let query = sqlx::query_scalar(text).bind(signed(endpoint_id));
                Ok(query.fetch_optional(&mut *connection).await?.flatten())
            });
        let place = || format!("webhook {endpoint_id}, failing_since");
        Ok(noted?.map(|at| number(place(), at)).transpose()?.map(Timestamp))
    }
}

/// The entry of the operators' log for a change.
fn entry(endpoint_id: u64, changed: Changed<'_>, detail: serde_json::Value) -> LogEntry {
    LogEntry {
        at: changed.at,
        actor: changed.actor.to_owned(),
        action: changed.action.to_owned(),
        subject: format!("webhook:{endpoint_id}"),
        detail,
    }
}

fn read(row: Row) -> Result<Endpoint, WebhookError> {
    let (
        endpoint_id,
        url,
        types,
        description,
        state,
        reason,
        secret,
        previous_secret,
        previous_until,
        revision,
        failing_since,
        actor,
        created_at,
        changed_at,
    ) = row;
    let place = |column: &str| format!("webhook {}, {column}", endpoint_id);
    let time = |column, at: i64| Ok::<_, StoreError>(Timestamp(number(place(column), at)?));
    let state = EndpointState::from_name(&state)
        .ok_or_else(|| StoreError::corrupt(format!("{}: {:?}", place("state"), state)))?;
    let until = previous_until.map(|at| time("previous_until", at)).transpose()?;
    let previous = previous_secret.map(SealedSecret).zip(until);
    Ok(Endpoint {
        endpoint_id: number(place("endpoint_id"), endpoint_id)?,
        said: NewEndpoint {
            url,
            types: types.split_ascii_whitespace().map(str::to_owned).collect(),
            description,
        },
        state,
        reason,
        secret: SealedSecret(secret),
        previous: previous.map(|(secret, until)| Previous { secret, until }),
        revision: number(place("revision"), revision)?,
        failing_since: failing_since.map(|at| time("failing_since", at)).transpose()?,
        actor,
        created_at: time("created_at", created_at)?,
        changed_at: time("changed_at", changed_at)?,
    })
}
