//! Visits: how often something was viewed, and by how many different visitors, about.
//!
//! What is stored is added to and merged with, so that restarts and several processes lose nobody and
//! count nobody twice. Must not know who a visitor is.

use super::error::CatalogueError;
use super::handle::{Catalogue, writing};
use super::numbers::{number, signed};
use super::sketch::Sketch;
use domain::Timestamp;

/// What is known of the visits of one subject.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Views, each counted.
    pub views: u64,
    /// The different visitors.
    pub visitors: Sketch,
}

impl Catalogue {
    /// Adds `tally` to what is stored of a subject, such as `day:2026-11-11` or `item:7`, and returns
    /// what is stored then.
    ///
    /// # Errors
    /// Returns [`CatalogueError::Store`] if the database does not answer, or what it holds is no sketch.
    pub async fn add_visits(
        &self,
        subject: &str,
        tally: &Tally,
        now: Timestamp,
    ) -> Result<Tally, CatalogueError> {
        writing!(&self.database, |connection| {
            let text = "SELECT views, visitors FROM visits WHERE subject = ?";
            let stored: Option<(i64, Vec<u8>)> =
                sqlx::query_as(text).bind(subject).fetch_optional(&mut *connection).await?;
            let is_new = stored.is_none();
            let mut sum = tally.clone();
            if let Some((views, visitors)) = stored {
                let views: u64 = number(format_args!("visits {subject}, views"), views)?;
                sum.views += views;
                sum.visitors.merge(&Sketch::from_bytes(&visitors)?);
            }
            // Views are added where they are, in case another process adds at the same moment.
            let (text, views) = if is_new {
                let text = "INSERT INTO visits (views, visitors, changed_at, subject) \
                            VALUES (?, ?, ?, ?)";
                (text, sum.views)
            } else {
                let text = "UPDATE visits SET views = views + ?, visitors = ?, changed_at = ? \
                            WHERE subject = ?";
                (text, tally.views)
            };
            sqlx::query(text)
                .bind(signed(views))
                .bind(sum.visitors.to_bytes())
                .bind(signed(now.0))
                .bind(subject)
                .execute(&mut *connection)
                .await?;
            Ok(sum)
        })
    }
}
