//! Registered buyers. Never sees a password, only its hash.

use super::error::CatalogueError;
use super::handle::{Catalogue, InsertedKey as _, reading, writing};
use super::limits::{NAME_LENGTH_MAX, check_text};
use super::numbers::{number, signed};
use domain::{Timestamp, UserId};

/// The longest password hash, in bytes.
const PASSWORD_HASH_LENGTH_MAX: usize = 512;

impl Catalogue {
    /// Registers a buyer. Numbers begin at 1,000,000,000,000, far above those of minted tokens.
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
        let text = "INSERT INTO users (name, name_key, password_hash, created_at) \
                    VALUES (?, ?, ?, ?)";
        writing!(&self.database, |connection| {
            let inserted = sqlx::query(text)
                .bind(name)
                .bind(name_key(name))
                .bind(password_hash)
                .bind(signed(now.0))
                .execute(connection)
                .await;
            match inserted {
                Ok(result) => Ok(UserId(number("users.user_id", result.inserted_key())?)),
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
}

/// The key by which names are unique. As bytes, so that no collation changes how it is compared.
fn name_key(name: &str) -> Vec<u8> {
    name.trim().to_lowercase().into_bytes()
}
