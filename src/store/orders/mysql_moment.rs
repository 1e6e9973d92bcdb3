//! Reads of a MySQL database as of one moment, on one connection. Must not know what is read.

use crate::store::database::{MySqlDatabase, STATEMENT_TIMEOUT, StoreError, within};
use sqlx::pool::PoolConnection;
use sqlx::{Executor, MySql, MySqlConnection};
use tokio::sync::Mutex;

/// An open transaction that reads and sees what was committed when it began.
#[derive(Debug)]
pub(super) struct Moment(Mutex<Option<PoolConnection<MySql>>>);

impl Moment {
    /// Begins one.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn begin(database: &MySqlDatabase) -> Result<Self, StoreError> {
        let moment = Self(Mutex::new(Some(database.reader().await?)));
        let begin = async |connection: &mut MySqlConnection| {
            // Of that one transaction; READ COMMITTED, which the others have, knows no moment.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await?;
            connection.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await?;
            Ok::<(), StoreError>(())
        };
        moment.read(begin).await?;
        Ok(moment)
    }

    /// Reads at that moment. After an error the moment is to be dropped.
    ///
    /// # Errors
    /// Returns the error of `work`, or [`StoreError::TimedOut`] if it missed the deadline.
    pub(super) async fn read<T>(
        &self,
        work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut place = self.0.lock().await;
        let Some(connection) = place.as_mut() else {
            return Err(StoreError::Unavailable("the moment is over".to_owned()));
        };
        let read = tokio::time::timeout(STATEMENT_TIMEOUT, work(connection)).await;
        read.unwrap_or(Err(StoreError::TimedOut))
    }

    /// Ends it, and gives its connection back.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database does not answer.
    pub(super) async fn end(&self) -> Result<(), StoreError> {
        let Some(connection) = self.0.lock().await.take() else { return Ok(()) };
        within(connection, async |connection| {
            connection.execute("COMMIT").await?;
            Ok(())
        })
        .await
    }
}

impl Drop for Moment {
    /// A connection whose transaction was not ended is closed: an answer may still be on its way.
    fn drop(&mut self) {
        if let Some(connection) = self.0.get_mut().take() {
            drop(connection.detach());
        }
    }
}
