//! The connections to a MySQL or MariaDB server.
//!
//! Whether the server answers is asked on a connection of its own, so that a pool whose connections are all
//! in use is not taken for a server that is away. While it did not answer when it was last asked, callers
//! are refused at once, and those who wait for a connection then wait no longer: a pool would try for as
//! long as they wait, and then not say why.

use super::error::StoreError;
use super::lists::ListPlaces;
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{ConnectOptions, Connection, Executor, MySql, MySqlConnection, MySqlPool};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};

/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection stays open that nobody uses: less than what [`SILENT_MAX`] says.
const UNUSED_MAX: Duration = Duration::from_secs(30);
/// A connection that says nothing for so long ends, and its transaction with it: a node that stands still, or whose
/// machine is lost, must not hold rows for hours that others wait for.
const SILENT_MAX: &str = "SET SESSION wait_timeout = 60";
/// How long the server may take to give a sign of life.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may take to learn whether anybody listens at the server's address.
const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to a MySQL or MariaDB server. Clones share them.
#[derive(Clone, Debug)]
pub struct MySqlDatabase {
    pool: MySqlPool,
    lists: ListPlaces,
    /// Where the server listens; none for one that is reached through a socket in the file system.
    place: Option<(String, u16)>,
    /// The connection for signs of life, once there was one.
    probe: Arc<Mutex<Option<MySqlConnection>>>,
    /// Why there was no sign of life when the server was last asked for one.
    outage: watch::Sender<Option<StoreError>>,
}

impl MySqlDatabase {
    /// Prepares connections to the server that `url` names, at most `connections_max` at a time, and one
    /// more for signs of life. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`StoreError::InvalidUrl`] if `url` is not `mysql://user:password@host/database`.
    pub(super) fn open(url: &SecretString, connections_max: u32) -> Result<Self, StoreError> {
        let url = url.expose_secret();
        let is_ours = url.starts_with("mysql://") || url.starts_with("mariadb://");
        let options = MySqlConnectOptions::from_str(url)
            .ok()
            .filter(|options| {
                is_ours && options.get_database().is_some_and(|name| !name.is_empty())
            })
            .ok_or(StoreError::InvalidUrl)?
            .disable_statement_logging();
        let place = options.get_socket().is_none();
        let place = place.then(|| (options.get_host().to_owned(), options.get_port()));
        let pool = MySqlPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(UNUSED_MAX)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection
                        .execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
                        .await?;
                    connection.execute("SET SESSION innodb_lock_wait_timeout = 5").await?;
                    connection.execute(SILENT_MAX).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        let lists = ListPlaces::of(connections_max);
        Ok(Self { pool, lists, place, probe: Arc::default(), outage: watch::Sender::default() })
    }

    /// The pool itself, for what may wait for it.
    pub(super) fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    /// Whether a caller may hold one connection and wait for another.
    pub(in crate::store) fn has_two_connections(&self) -> bool {
        self.pool.options().get_max_connections() > 1
    }

    /// A place to read a client's list in; its connection comes after it.
    pub(in crate::store) async fn list_place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.lists.take().await
    }

    pub(in crate::store) async fn writer(&self) -> Result<PoolConnection<MySql>, StoreError> {
        self.connection().await
    }

    pub(in crate::store) async fn reader(&self) -> Result<PoolConnection<MySql>, StoreError> {
        self.connection().await
    }

    async fn connection(&self) -> Result<PoolConnection<MySql>, StoreError> {
        let mut outage = self.outage.subscribe();
        let acquired = async {
            if self.pool.size() == 0 {
                self.is_reachable().await?;
            }
            self.pool.acquire().await.map_err(|error| match (error, &self.place) {
                (sqlx::Error::PoolTimedOut, Some((host, port))) => {
                    let seconds = ACQUIRE_TIMEOUT.as_secs();
                    let what = format!("no connection to {host}:{port} within {seconds} s");
                    StoreError::Unavailable(what)
                }
                (error, _) => error.into(),
            })
        };
        tokio::select! {
            biased;
            Ok(error) = outage.wait_for(Option::is_some) => {
                Err(error.clone().unwrap_or(StoreError::TimedOut))
            }
            acquired = acquired => acquired,
        }
    }

    /// Asks the server for a sign of life. Until the next one, callers are refused if it gives none.
    ///
    /// # Errors
    /// Returns [`StoreError`] if it gives none.
    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let answer = match tokio::time::timeout(PING_TIMEOUT, self.sign_of_life()).await {
            Ok(answer) => answer,
            Err(_) => Err(self.away(&format!("no answer within {} s", PING_TIMEOUT.as_secs()))),
        };
        self.outage.send_replace(answer.clone().err());
        answer
    }

    async fn sign_of_life(&self) -> Result<(), StoreError> {
        let mut probe = self.probe.lock().await;
        // Taken out, so that one whose answer is not awaited is closed. One that was made before may be
        // of a server that was started anew since.
        if let Some(mut connection) = probe.take()
            && connection.ping().await.is_ok()
        {
            *probe = Some(connection);
            return Ok(());
        }
        self.is_reachable().await?;
        let mut connection = MySqlConnection::connect_with(&self.pool.connect_options()).await?;
        connection.ping().await?;
        *probe = Some(connection);
        Ok(())
    }

    /// Returns at once where nobody listens.
    pub(super) async fn is_reachable(&self) -> Result<(), StoreError> {
        let Some((host, port)) = &self.place else { return Ok(()) };
        let connecting = TcpStream::connect((host.as_str(), *port));
        match tokio::time::timeout(REACH_TIMEOUT, connecting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.away(&error.to_string())),
            Err(_) => Err(self.away("no answer")),
        }
    }

    /// The error of a server that is not there, with its place.
    fn away(&self, why: &str) -> StoreError {
        StoreError::Unavailable(match &self.place {
            Some((host, port)) => format!("{host}:{port}: {why}"),
            None => why.to_owned(),
        })
    }

    /// Closes all connections, after those in use have been returned.
    pub(super) async fn close(&self) {
        if let Some(probe) = self.probe.lock().await.take() {
            // The server notices its end in any case.
            probe.close().await.unwrap_or_default();
        }
        self.pool.close().await;
    }
}
