//! A connection to Redis that comes back by itself, shared by checkpoints and the read cache.
//!
//! Owns the settings that the client leaves at surprising values: TCP_NODELAY is off and time limits
//! are half a second unless asked for otherwise. Must not know what is stored. A URL carries the
//! password, so no error made here repeats it.

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisResult,
    ScriptInvocation, ServerErrorKind, TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// How long connecting may take, name look-up and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// When a peer that acknowledges nothing any more is given up: without it, a connection through a
/// box that forgot it would stay for a quarter of an hour.
const SILENT_PEER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a Redis is and how it is trusted.
#[derive(Clone, Debug)]
pub struct RedisAddress {
    /// `redis://` or, for TLS, `rediss://`, with user, password and database number if any.
    pub url: SecretString,
    /// The certificate of the authority that signed the server's, in PEM, where that is none of the
    /// public ones. Only with `rediss://`.
    pub root_certificate: Option<Vec<u8>>,
}

impl From<&SecretString> for RedisAddress {
    fn from(url: &SecretString) -> Self {
        Self { url: url.clone(), root_certificate: None }
    }
}

/// Why a command has no result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RedisFailure {
    /// Not reached, no answer in time, or not ready to answer: the command may have run.
    Unavailable(String),
    /// Answered with an error.
    Refused(String),
    /// Answered with something of another type than expected.
    Unexpected(String),
}

/// Clones share one connection.
#[derive(Clone)]
pub(super) struct RedisConnection(ConnectionManager);

impl std::fmt::Debug for RedisConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RedisConnection")
    }
}

impl RedisConnection {
    /// Prepares a connection, which is made by the first command: a Redis that is down does not
    /// keep the engine from starting. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// In words, where the address is none.
    pub(super) fn prepare(
        address: &RedisAddress,
        response_timeout: Duration,
    ) -> Result<Self, String> {
        let described = |error: RedisError| match error.kind() {
            // Parsers quote what they could not parse, and that is the secret.
            ErrorKind::InvalidClientConfig => "the URL is not one of a Redis".to_owned(),
            _ => error.to_string(),
        };
        let information = address.url.expose_secret().into_connection_info().map_err(described)?;
        let information = information.set_tcp_settings(
            TcpSettings::default().set_nodelay(true).set_user_timeout(SILENT_PEER_TIMEOUT),
        );
        let client = match &address.root_certificate {
            None => Client::open(information),
            Some(certificate) => {
                let root_cert = Some(certificate.clone());
                Client::build_with_tls(information, TlsCertificates { client_tls: None, root_cert })
            }
        };
        // A command that finds no connection makes the next attempt; callers space their own.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        client
            .and_then(|client| ConnectionManager::new_lazy_with_config(client, config))
            .map(Self)
            .map_err(described)
    }

    /// Runs the commands of `pipeline` in order. Every command of this module may run twice.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<T, RedisFailure> {
        let mut result = pipeline.query_async(&mut self.0.clone()).await;
        if lost_connection(&result) {
            result = pipeline.query_async(&mut self.0.clone()).await;
        }
        result.map_err(failure)
    }

    /// Runs a script, which must be one that may run twice.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        invocation: &ScriptInvocation<'_>,
    ) -> Result<T, RedisFailure> {
        let mut result = invocation.invoke_async(&mut self.0.clone()).await;
        if lost_connection(&result) {
            result = invocation.invoke_async(&mut self.0.clone()).await;
        }
        result.map_err(failure)
    }
}

/// The manager reconnects after a failure and not before the next command, so the first command
/// after an outage always fails: that one is worth a second try.
fn lost_connection<T>(result: &RedisResult<T>) -> bool {
    result.as_ref().is_err_and(|error| error.is_io_error() && !error.is_timeout())
}

fn failure(error: RedisError) -> RedisFailure {
    let text = error.to_string();
    let unavailable = error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal();
    match error.kind() {
        _ if unavailable => RedisFailure::Unavailable(text),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::TryAgain,
        ) => RedisFailure::Unavailable(text),
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => RedisFailure::Unexpected(text),
        ErrorKind::Extension if error.code() == Some("WRONGTYPE") => RedisFailure::Unexpected(text),
        _ => RedisFailure::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bad_url_is_refused_without_being_repeated() {
        for url in ["redis//:hunter2@host", "http://:hunter2@host", "redis://:hunter2@host:port/"] {
            let address = RedisAddress::from(&SecretString::from(url));
            let error = RedisConnection::prepare(&address, CONNECT_TIMEOUT).expect_err(url);
            assert!(!error.contains("hunter2"), "{error}");
            assert!(!format!("{address:?}").contains("hunter2"));
        }
    }
}
