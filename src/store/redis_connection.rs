//! A connection to Redis that reconnects by itself, shared by checkpoints and the read cache.
//!
//! Owns the settings that the client leaves at surprising values: unless told otherwise, TCP_NODELAY
//! is off and time limits are half a second. Must not know what is stored. A URL carries the
//! password, so no error made here repeats it.

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisResult,
    ScriptInvocation, ServerErrorKind, TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// How long connecting may take, with name look-up and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sent bytes may stay unacknowledged before the connection counts as lost. Without it, a
/// connection through a router that has forgotten it would stay for a quarter of an hour.
const SILENT_PEER_TIMEOUT: Duration = Duration::from_secs(20);

/// How to reach a Redis, and how it is trusted.
#[derive(Clone, Debug)]
pub struct RedisAddress {
    /// `redis://` or, for TLS, `rediss://`, with user, password and database number if any.
    pub url: SecretString,
    /// The certificate, in PEM, of the authority that signed the server's certificate, if that is
    /// not a public one. Used with `rediss://` only.
    pub root_certificate: Option<Vec<u8>>,
}

impl From<&SecretString> for RedisAddress {
    fn from(url: &SecretString) -> Self {
        Self { url: url.clone(), root_certificate: None }
    }
}

/// Why a Redis cannot be used as configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RedisAddressError {
    /// The URL is malformed. It is not quoted, because it holds the password.
    #[error("the URL is not one of a Redis")]
    InvalidUrl,
    /// The client library refuses the address for another reason, such as a bad certificate.
    #[error("{0}")]
    Refused(String),
}

/// Why a command has no result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RedisFailure {
    /// Redis was not reached, did not answer in time or is not ready: the command may have run.
    Unavailable(String),
    /// Redis answered with an error.
    Refused(String),
    /// Redis answered with a value of another type than expected.
    Unexpected(String),
}

/// A connection to Redis. Cheap to clone; clones share it.
#[derive(Clone)]
pub(super) struct RedisConnection(ConnectionManager);

impl std::fmt::Debug for RedisConnection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RedisConnection")
    }
}

impl RedisConnection {
    /// Prepares a connection, which the first command makes: a Redis that is down does not keep the
    /// engine from starting. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Returns [`RedisAddressError`] if the address cannot be used.
    pub(super) fn prepare(
        address: &RedisAddress,
        response_timeout: Duration,
    ) -> Result<Self, RedisAddressError> {
        let described = |error: RedisError| match error.kind() {
            // Parsers quote what they could not parse, and that is the secret.
            ErrorKind::InvalidClientConfig => RedisAddressError::InvalidUrl,
            _ => RedisAddressError::Refused(error.to_string()),
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
        // A command that finds no connection makes the next attempt; callers pause between theirs.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        client
            .and_then(|client| ConnectionManager::new_lazy_with_config(client, config))
            .map(Self)
            .map_err(described)
    }

    /// Runs the commands of `pipeline` in order. Each must be one that may run twice.
    ///
    /// # Errors
    /// Returns [`RedisFailure`] if there is no result.
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
    ///
    /// # Errors
    /// Returns [`RedisFailure`] if there is no result.
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

/// Whether the command failed because the connection was lost. The client reconnects after a failure
/// and not before the next command, so the first command after an outage always fails: that one is
/// worth a second attempt.
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
        // Of a pipeline's failure only the text tells which of its commands met what.
        _ if text.contains("WRONGTYPE") => RedisFailure::Unexpected(text),
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
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
            assert!(!format!("{address:?}").contains("hunter2"));
        }
    }
}
