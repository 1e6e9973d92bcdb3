//! Pictures of items: bytes under their own digest, so that they are written once and never changed.
//!
//! Must not know what a picture looks like.

use super::change::Change;
use super::error::CatalogueError;
use super::handle::{Catalogue, reading, writing};
use super::log::{LogEntry, append};
use super::numbers::signed;
use crate::store::database::StoreError;
use domain::catalogue::PictureId;
use serde_json::json;

/// The most pictures that are kept: with the bytes of the largest, 400 MB.
pub const PICTURES_MAX: i64 = 10_000;
/// The most bytes of a picture.
pub const PICTURE_BYTES_MAX: usize = 40_000;

/// Notes the pictures of `$draft` that are not kept, in the open transaction.
macro_rules! check_pictures {
    ($connection:expr, $draft:expr) => {
        for (position, offer) in $draft.items.iter().enumerate() {
            let Some(picture) = offer.picture else { continue };
            let found: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM media WHERE picture = ?")
                .bind(picture.0.as_slice())
                .fetch_optional(&mut *$connection)
                .await?;
            if found.is_none() {
                return Err(CatalogueError::Invalid(vec![domain::catalogue::DraftProblem {
                    field: format!("items[{position}].picture"),
                    detail: "must be the name of a picture that was sent before".to_owned(),
                }]));
            }
        }
    };
}
pub(super) use check_pictures;

impl Catalogue {
    /// Keeps a picture under its name. Returns whether it is a new one; one that is kept already is
    /// left as it is.
    ///
    /// # Errors
    /// Returns [`CatalogueError::TooManyPictures`] if [`PICTURES_MAX`] are kept,
    /// [`CatalogueError::Store`] if the database does not answer.
    pub async fn keep_picture(
        &self,
        picture: PictureId,
        bytes: &[u8],
        change: Change<'_>,
    ) -> Result<bool, CatalogueError> {
        let entry = LogEntry {
            at: change.at,
            actor: change.operator.to_owned(),
            action: "media.add".to_owned(),
            subject: format!("media:{picture}"),
            detail: json!({ "bytes": bytes.len() }),
        };
        writing!(&self.database, |connection| {
            let (count,): (i64,) =
                sqlx::query_as("SELECT COUNT(*) FROM media").fetch_one(&mut *connection).await?;
            let (kept,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM media WHERE picture = ?")
                .bind(picture.0.as_slice())
                .fetch_one(&mut *connection)
                .await?;
            if kept > 0 {
                return Ok(false);
            }
            if count >= PICTURES_MAX {
                return Err(CatalogueError::TooManyPictures);
            }
            let text = "INSERT INTO media (picture, bytes, added_by, added_at) VALUES (?, ?, ?, ?)";
            let inserted = sqlx::query(text)
                .bind(picture.0.as_slice())
                .bind(bytes)
                .bind(change.operator)
                .bind(signed(change.at.0))
                .execute(&mut *connection)
                .await;
            match inserted {
                // Sent twice at the same moment.
                Err(sqlx::Error::Database(refusal)) if refusal.is_unique_violation() => Ok(false),
                inserted => {
                    inserted?;
                    append!(connection, entry)?;
                    Ok(true)
                }
            }
        })
    }

    /// Returns the bytes of a picture, if it is kept.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer, or holds other bytes under
    /// this name than it was given.
    pub async fn picture(&self, picture: PictureId) -> Result<Option<Vec<u8>>, CatalogueError> {
        let row: Result<Option<(Vec<u8>,)>, CatalogueError> =
            reading!(&self.database, |connection| {
                let query = sqlx::query_as("SELECT bytes FROM media WHERE picture = ?");
                Ok(query.bind(picture.0.as_slice()).fetch_optional(connection).await?)
            });
        let Some((bytes,)) = row? else { return Ok(None) };
        if bytes.len() > PICTURE_BYTES_MAX {
            let what = format!("picture {picture}: {} bytes", bytes.len());
            return Err(StoreError::corrupt(what).into());
        }
        Ok(Some(bytes))
    }
}
