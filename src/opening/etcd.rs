//! The cluster's etcd, as the configuration names it.

use crate::config::{self, Config};
use crate::plain_file;
use crate::store::etcd::{Etcd, EtcdAddress, EtcdAddressError, EtcdLogin, EtcdTls};
use secrecy::SecretString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why etcd cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum EtcdOpenError {
    /// The endpoints or certificates cannot be used.
    #[error(transparent)]
    Address(#[from] EtcdAddressError),
    /// A certificate or key cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// What cannot be read.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Prepares a client of the cluster's etcd, each call of which takes `call_timeout` at most; the first one
/// connects. Must be called within a Tokio runtime.
///
/// # Errors
/// Returns [`EtcdOpenError`] if the address or a certificate cannot be used.
pub fn etcd(config: &Config, call_timeout: Duration) -> Result<Etcd, EtcdOpenError> {
    Ok(Etcd::prepare(&address(&config.cluster)?, call_timeout)?)
}

fn address(settings: &config::Cluster) -> Result<EtcdAddress, EtcdOpenError> {
    let read = |path: &Path| {
        let read = plain_file::read(path);
        read.map_err(|source| EtcdOpenError::File { path: path.to_owned(), source })
    };
    let root_certificate = settings.ca_file.as_deref().map(read).transpose()?;
    let identity = match (&settings.cert_file, &settings.key_file) {
        (Some(certificate), Some(key)) => {
            let text = plain_file::read_text(key);
            let text = text.map_err(|source| EtcdOpenError::File { path: key.clone(), source })?;
            Some((read(certificate)?, SecretString::from(text)))
        }
        _ => None,
    };
    let login = settings.password.as_ref().map(|password| EtcdLogin {
        name: settings.user.clone(),
        password: password.secret().clone(),
    });
    let endpoints = settings.endpoints.split_ascii_whitespace().map(str::to_owned).collect();
    Ok(EtcdAddress { endpoints, tls: Some(EtcdTls { root_certificate, identity }), login })
}
