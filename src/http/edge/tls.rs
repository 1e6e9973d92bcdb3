//! TLS on the API's listener: a certificate that is read from files, and read again while connections go on.
//!
//! Owns what the handshake needs. Must not know what is said behind it.

use super::rewound::Rewound;
use crate::plain_file;
use domain::{Timestamp, rfc3339};
use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// What can be spoken behind the handshake, in the order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// The files of a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// A file is not PEM of what it should be.
    #[error("{path} has no {what} in PEM: {error}", path = .path.display())]
    Pem {
        /// Which file it is.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// Certificate and key are not of each other, or of a kind that is not known.
    #[error("certificate and key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
    /// The certificate is not valid any more.
    #[error("{path} was valid until {until}", path = .path.display(), until = rfc3339::to_string(*.until))]
    Expired {
        /// Which file it is.
        path: PathBuf,
        /// Until when it was valid.
        until: Timestamp,
    },
}

/// The listener's side of TLS. Clones are the same one.
#[derive(Clone)]
pub struct Tls {
    files: CertificateFiles,
    presented: Arc<Presented>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key. One that is not valid any more is presented all the same: a shop that does not start
    /// is worse.
    ///
    /// # Errors
    /// Returns [`TlsError`] if they cannot be read or used.
    pub fn open(files: CertificateFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let presented = Arc::new(Presented(RwLock::new(Arc::new(read(&files)?))));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&presented) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // A client that comes again is spared the signature; the keys of tickets change by themselves.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self { files, presented, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads certificate and key again: connections from now on get these, open ones go on.
    ///
    /// # Errors
    /// Returns [`TlsError`] if they cannot be read or used, or are not valid any more; those of before are presented then.
    pub fn reload(&self, now: Timestamp) -> Result<(), TlsError> {
        let read = read(&self.files)?;
        match valid_until(&read) {
            Some(until) if until <= now => {
                Err(TlsError::Expired { path: self.files.certificate.clone(), until })
            }
            _ => {
                *self.presented.0.write() = Arc::new(read);
                Ok(())
            }
        }
    }

    /// Until when the certificate is valid that is presented, if that can be read in it.
    pub fn valid_until(&self) -> Option<Timestamp> {
        valid_until(&self.presented.0.read())
    }

    /// Makes the handshake; the caller bounds it in time.
    ///
    /// # Errors
    /// Returns the operating system's error, or that the client does not speak TLS as it has to be.
    pub async fn accept(&self, stream: Rewound) -> io::Result<TlsStream<Rewound>> {
        self.acceptor.accept(stream).await
    }
}

/// What clients are shown.
#[derive(Debug)]
struct Presented(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let CertificateFiles { certificate, key } = files;
    let wrong = |path: &Path, what| {
        let path = path.to_owned();
        move |error| TlsError::Pem { path, what, error }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(wrong(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(wrong(certificate, "certificate")(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(wrong(key, "private key"))?;
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

fn valid_until(presented: &CertifiedKey) -> Option<Timestamp> {
    let certificate = Certificate::from_der(presented.end_entity_cert().ok()?).ok()?;
    let until = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Some(Timestamp(u64::try_from(until.as_millis()).ok()?))
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    plain_file::read(path).map_err(|error| TlsError::File(path.to_owned(), error))
}
