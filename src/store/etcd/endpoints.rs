//! Where etcd is, how it is trusted, and which of its endpoints is asked now.
//!
//! One endpoint is kept to while it answers: etcd's members are equal, and spreading calls over them
//! would let a later read be answered by a slower member. Who sees a call fail moves everyone on, once.

use super::error::EtcdError;
use secrecy::SecretString;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// How long connecting may take. Shorter than a call may, so that a dead endpoint leaves time for
/// another one.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a connection is tried while calls are open, and how long the answer may take: a member
/// that is frozen or cut off keeps its connections.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How etcd is reached and trusted.
#[derive(Clone, Debug)]
pub struct EtcdAddress {
    /// The members' client URLs, `http://host:port` or `https://host:port`: at least one.
    pub endpoints: Vec<String>,
    /// For `https` alone.
    pub tls: Option<EtcdTls>,
    /// If etcd asks who it is.
    pub login: Option<EtcdLogin>,
}

/// Certificates in PEM.
#[derive(Clone, Debug, Default)]
pub struct EtcdTls {
    /// The authority that signed the members' certificates, if that is not a public one.
    pub root_certificate: Option<Vec<u8>>,
    /// This client's certificate and key, if the members ask for one.
    pub identity: Option<(Vec<u8>, SecretString)>,
}

/// A user of etcd's.
#[derive(Clone, Debug)]
pub struct EtcdLogin {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: SecretString,
}

/// Why etcd cannot be used as configured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EtcdAddressError {
    /// There is no endpoint.
    #[error("no endpoint of etcd is named")]
    NoEndpoint,
    /// An endpoint is no URL of etcd's.
    #[error("{0} is not http://HOST:PORT or https://HOST:PORT")]
    InvalidEndpoint(String),
    /// Certificate or key cannot be used.
    #[error("the certificates for etcd cannot be used: {0}")]
    InvalidCertificate(String),
}

/// The endpoints and the one that is asked now.
#[derive(Debug)]
pub(super) struct Endpoints {
    channels: Vec<(String, Channel)>,
    current: AtomicUsize,
}

/// One endpoint, as a call uses it.
pub(super) struct Chosen<'a> {
    index: usize,
    /// The endpoint's URL.
    pub url: &'a str,
    /// The connection to it.
    pub channel: Channel,
}

impl Endpoints {
    /// Prepares a connection to each endpoint, which the first call makes. Must be called within a Tokio
    /// runtime.
    ///
    /// # Errors
    /// Returns [`EtcdAddressError`] if the address cannot be used.
    pub(super) fn prepare(address: &EtcdAddress) -> Result<Self, EtcdAddressError> {
        let channels = address
            .endpoints
            .iter()
            .map(|url| Ok((url.clone(), endpoint(url, address.tls.as_ref())?.connect_lazy())));
        let channels = channels.collect::<Result<Vec<_>, EtcdAddressError>>()?;
        if channels.is_empty() {
            return Err(EtcdAddressError::NoEndpoint);
        }
        Ok(Self { channels, current: AtomicUsize::new(0) })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.channels.len()
    }

    /// The endpoint that is asked now.
    pub(super) fn chosen(&self) -> Chosen<'_> {
        self.at(self.current.load(Ordering::Acquire))
    }

    /// The endpoint of this number, counted round and round.
    pub(super) fn at(&self, index: usize) -> Chosen<'_> {
        let (url, channel) = &self.channels[index % self.channels.len()];
        Chosen { index, url, channel: channel.clone() }
    }

    /// Moves on if `failed` is still the endpoint that is asked, so that many calls that fail together
    /// move on once.
    pub(super) fn leave(&self, failed: &Chosen<'_>) {
        let next = failed.index.wrapping_add(1);
        let left =
            self.current.compare_exchange(failed.index, next, Ordering::AcqRel, Ordering::Relaxed);
        if left.is_ok() && self.channels.len() > 1 {
            tracing::info!(
                from = failed.url,
                to = self.at(next).url,
                "asking another etcd endpoint"
            );
        }
    }
}

fn endpoint(url: &str, tls: Option<&EtcdTls>) -> Result<Endpoint, EtcdAddressError> {
    let invalid = || EtcdAddressError::InvalidEndpoint(url.to_owned());
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| invalid())?;
    let uri = endpoint.uri();
    let is_plain = match uri.scheme_str() {
        Some("http") => true,
        Some("https") => false,
        _ => return Err(invalid()),
    };
    let names_a_place = uri.host().is_some() && uri.port_u16().is_some();
    if !names_a_place || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(invalid());
    }
    let endpoint = endpoint
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .keep_alive_while_idle(true);
    if is_plain {
        return Ok(endpoint);
    }
    let refused = |error: tonic::transport::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        EtcdAddressError::InvalidCertificate(cause.unwrap_or_else(|| error.to_string()))
    };
    endpoint.tls_config(tls_config(tls)).map_err(refused)
}

fn tls_config(tls: Option<&EtcdTls>) -> ClientTlsConfig {
    use secrecy::ExposeSecret;
    let config = ClientTlsConfig::new();
    let Some(tls) = tls else { return config.with_enabled_roots() };
    let config = match &tls.root_certificate {
        Some(certificate) => config.ca_certificate(Certificate::from_pem(certificate)),
        None => config.with_enabled_roots(),
    };
    match &tls.identity {
        Some((certificate, key)) => {
            config.identity(Identity::from_pem(certificate, key.expose_secret()))
        }
        None => config,
    }
}

impl Chosen<'_> {
    /// The error of a call that this endpoint did not answer in time.
    pub(super) fn silent(&self, limit: Duration) -> EtcdError {
        EtcdError::Unknown(format!("{} was silent for {} ms", self.url, limit.as_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoints, EtcdAddress, EtcdAddressError};

    fn prepare(endpoints: &[&str]) -> Result<Endpoints, EtcdAddressError> {
        let endpoints = endpoints.iter().map(ToString::to_string).collect();
        Endpoints::prepare(&EtcdAddress { endpoints, tls: None, login: None })
    }

    #[tokio::test]
    async fn an_endpoint_that_is_none_is_refused_by_name() {
        assert_eq!(prepare(&[]).err(), Some(EtcdAddressError::NoEndpoint));
        for url in
            ["", "etcd:2379", "ftp://etcd:2379", "http://etcd", "http://e:1/path", "http://e:1?q"]
        {
            let refused = Some(EtcdAddressError::InvalidEndpoint(url.to_owned()));
            assert_eq!(prepare(&["http://etcd:2379", url]).err(), refused);
        }
    }

    #[tokio::test]
    async fn calls_that_fail_together_move_on_once() {
        let endpoints = prepare(&["http://a:1", "http://b:1", "http://c:1"]).expect("endpoints");
        let (first, same) = (endpoints.chosen(), endpoints.chosen());
        endpoints.leave(&first);
        endpoints.leave(&same);
        assert_eq!(endpoints.chosen().url, "http://b:1");
        endpoints.leave(&endpoints.chosen());
        endpoints.leave(&endpoints.chosen());
        assert_eq!(endpoints.chosen().url, "http://a:1");
    }
}
