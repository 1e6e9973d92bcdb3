//! Registered buyers. Never sees a password, only its hash.

use super::error::CatalogueError;
use super::handle::{Catalogue, reading, writing};
use super::limits::{NAME_LENGTH_MAX, check_text};
use super::numbers::{number, signed};
use domain::{Timestamp, UserId};
use std::ops::Range;

/// Numbers of registered buyers: above those of minted tokens, and exact in JavaScript. Two people
/// get the same with a probability of 10⁻¹⁶, and the second is refused then.
pub(super) const USER_IDS: Range<u64> = 1_000_000_000_000..1 << 53;
/// The longest password hash, in bytes.
const PASSWORD_HASH_LENGTH_MAX: usize = 512;

impl Catalogue {
    /// Registers a buyer, under a random number: a catalogue that was lost, or is
    /// older than the journal, must not give a number to a second person.
    ///
    /// # Errors
    /// Returns [`CatalogueError::NameTaken`] if the name differs from another's by upper and lower case
    /// or surrounding blanks at most, [`CatalogueError::Invalid`] if it is empty or too long.
    pub async fn create_user(
        &self,
        name: &str,
        password_hash: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        let name = name.trim();
        check_text("user_name", name, NAME_LENGTH_MAX)?;
        check_text("password", password_hash, PASSWORD_HASH_LENGTH_MAX)?;
        let user_id = UserId(rand::random_range(USER_IDS));
        let text = "INSERT INTO users (user_id, name, name_key, password_hash, created_at) \
                    VALUES (?, ?, ?, ?, ?)";
        writing!(&self.database, |connection| {
            let inserted = sqlx::query(text)
                .bind(signed(user_id.0))
                .bind(name)
                .bind(name_key(name))
                .bind(password_hash)
                .bind(signed(now.0))
                .execute(connection)
                .await;
            match inserted {
                Ok(_) => Ok(user_id),
                Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => {
                    Err(CatalogueError::NameTaken)
                }
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Returns the buyer of this name, without regard to case, and the hash of the password.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn user_by_name(
        &self,
        name: &str,
    ) -> Result<Option<(UserId, String)>, CatalogueError> {
        let row: Result<Option<(i64, String)>, CatalogueError> =
            reading!(&self.database, |connection| {
                let text = "SELECT user_id, password_hash FROM users WHERE name_key = ?";
                Ok(sqlx::query_as(text).bind(name_key(name)).fetch_optional(connection).await?)
            });
        let Some((user_id, password_hash)) = row? else { return Ok(None) };
        Ok(Some((UserId(number("users.user_id", user_id)?), password_hash)))
    }

    /// Returns the name and the password's hash of the buyer with this number, if there is one.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn user(&self, user_id: UserId) -> Result<Option<(String, String)>, CatalogueError> {
        reading!(&self.database, |connection| {
            let text = "SELECT name, password_hash FROM users WHERE user_id = ?";
            Ok(sqlx::query_as(text).bind(signed(user_id.0)).fetch_optional(connection).await?)
        })
    }

    /// Gives the buyer another password's hash, if the present one is `from`, and ends the sessions that
    /// began before `good_from_seconds`; returns whether it was, so that of two changes at the same time
    /// one is told that it came too late.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Invalid`] if the hash is too long, [`CatalogueError::Store`] if the
    /// database does not answer.
    pub async fn change_password(
        &self,
        user_id: UserId,
        from: &str,
        to: &str,
        good_from_seconds: u64,
    ) -> Result<bool, CatalogueError> {
        check_text("password", to, PASSWORD_HASH_LENGTH_MAX)?;
        let text = "UPDATE users SET password_hash = ? WHERE user_id = ? AND password_hash = ?";
        let end = "REPLACE INTO ended_sessions (user_id, good_from) VALUES (?, ?)";
        writing!(&self.database, |connection| {
            let query = sqlx::query(text).bind(to).bind(signed(user_id.0)).bind(from);
            let is_changed = query.execute(&mut *connection).await?.rows_affected() == 1;
            if is_changed {
                let query = sqlx::query(end).bind(signed(user_id.0));
                query.bind(signed(good_from_seconds)).execute(connection).await?;
            }
            Ok(is_changed)
        })
    }

    /// Returns the buyers of whom earlier tokens are not good, and the second from which on they are, of
    /// those where that is at or after `since_seconds`.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn sessions_ended(
        &self,
        since_seconds: u64,
    ) -> Result<Vec<(UserId, u64)>, CatalogueError> {
        const PAGE: i64 = 10_000;
        let text = "SELECT user_id, good_from FROM ended_sessions WHERE good_from >= ? \
                    AND (good_from > ? OR user_id > ?) ORDER BY good_from, user_id LIMIT ?";
        let mut ended = Vec::new();
        let mut last = (-1, signed(since_seconds));
        loop {
            let (after, from) = last;
            let page: Result<Vec<(i64, i64)>, CatalogueError> =
                reading!(&self.database, |connection| {
                    let query = sqlx::query_as(text).bind(from).bind(from).bind(after).bind(PAGE);
                    Ok(query.fetch_all(connection).await?)
                });
            let page = page?;
            for (user_id, from) in &page {
                let user_id = UserId(number("ended_sessions.user_id", *user_id)?);
                ended.push((user_id, number("ended_sessions.good_from", *from)?));
            }
            match page.last() {
                Some(read) if page.len() as i64 == PAGE => last = *read,
                _ => return Ok(ended),
            }
        }
    }
}

/// The key by which names are unique. As bytes, so that no collation changes how it is compared.
fn name_key(name: &str) -> Vec<u8> {
    name.trim().to_lowercase().into_bytes()
}
