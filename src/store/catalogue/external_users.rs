//! Users of another issuer, and their numbers here: drawn once, kept for good. Never sees a token.

use super::error::CatalogueError;
use super::handle::{Catalogue, reading, writing};
use super::limits::check_text;
use super::numbers::{number, signed};
use super::users::USER_IDS;
use crate::store::database::StoreError;
use crate::store::database::statements::{SizedStatement, chunks};
use domain::catalogue::DraftProblem;
use domain::{Timestamp, UserId};
use std::sync::LazyLock;

/// How a user's own issuer names him.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExternalName {
    /// The issuer, as its tokens have it.
    pub issuer: String,
    /// The issuer's name for the user.
    pub subject: String,
}

/// A row of `external_users`, without its time.
type NameRow = (i64, Vec<u8>, Vec<u8>);

/// The longest issuer and the longest subject, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// How often a number is drawn: another node may have given the subject one in between, and once in 10¹⁶
/// times a number is taken.
const ATTEMPTS_MAX: usize = 3;

impl Catalogue {
    /// Returns the number of the issuer's user, who gets one at the first time. All nodes on this database
    /// agree on it.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Invalid`] if issuer or subject is empty or has more than 255 bytes,
    /// [`CatalogueError::Store`] if the database does not answer.
    pub async fn external_user(
        &self,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        check_name("issuer", issuer)?;
        check_name("subject", subject)?;
        let mut attempts = 0;
        loop {
            if let Some(user_id) = self.find_external_user(issuer, subject).await? {
                return Ok(user_id);
            }
            match self.insert_external_user(issuer, subject, now).await {
                Err(CatalogueError::NameTaken) if attempts < ATTEMPTS_MAX => attempts += 1,
                inserted => return inserted,
            }
        }
    }

    /// Returns how the issuers of these users name them; users who registered here are left out.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer.
    pub async fn external_names(
        &self,
        users: &[UserId],
    ) -> Result<Vec<(UserId, ExternalName)>, CatalogueError> {
        let text = &*NAMES;
        let rows: Result<Vec<NameRow>, CatalogueError> = reading!(&self.database, |connection| {
            let mut rows = Vec::new();
            for chunk in chunks(users) {
                let query =
                    chunk.iter().fold(sqlx::query_as(text.of(chunk.len())), |query, user| {
                        query.bind(signed(user.0))
                    });
                rows.extend(query.fetch_all(&mut *connection).await?);
            }
            Ok(rows)
        });
        let read = |(user_id, issuer, subject)| {
            let user_id = UserId(number("external_users.user_id", user_id)?);
            let (issuer, subject) = (text_of("issuer", issuer)?, text_of("subject", subject)?);
            Ok((user_id, ExternalName { issuer, subject }))
        };
        rows?.into_iter().map(read).collect()
    }

    async fn find_external_user(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<UserId>, CatalogueError> {
        let found: Result<Option<(i64,)>, CatalogueError> =
            reading!(&self.database, |connection| {
                let text = "SELECT user_id FROM external_users WHERE issuer = ? AND subject = ?";
                let query = sqlx::query_as(text).bind(issuer.as_bytes()).bind(subject.as_bytes());
                Ok(query.fetch_optional(connection).await?)
            });
        let Some((user_id,)) = found? else { return Ok(None) };
        Ok(Some(UserId(number("external_users.user_id", user_id)?)))
    }

    async fn insert_external_user(
        &self,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<UserId, CatalogueError> {
        let user_id = UserId(rand::random_range(USER_IDS));
        let text = "INSERT INTO external_users (issuer, subject, user_id, created_at) \
                    VALUES (?, ?, ?, ?)";
        writing!(&self.database, |connection| {
            let inserted = sqlx::query(text)
                .bind(issuer.as_bytes())
                .bind(subject.as_bytes())
                .bind(signed(user_id.0))
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
}

static NAMES: LazyLock<SizedStatement> = LazyLock::new(|| {
    let head = "SELECT user_id, issuer, subject FROM external_users WHERE user_id IN (";
    SizedStatement::new(head, "?", ")")
});

fn text_of(column: &str, bytes: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(bytes)
        .map_err(|_| StoreError::corrupt(format!("external_users.{column} is not UTF-8")))
}

/// Checks that a name fits its column, which counts bytes.
fn check_name(field: &str, name: &str) -> Result<(), CatalogueError> {
    check_text(field, name, NAME_BYTES_MAX)?;
    if name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let detail = format!("must have at most {NAME_BYTES_MAX} bytes");
    Err(CatalogueError::Invalid(vec![DraftProblem { field: field.to_owned(), detail }]))
}
