//! TLS to the shop on this machine, which is known by the certificate of its settings, whatever name that is good
//! for and whichever authority signed it.

use super::failure::{Exit, Failure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The shop shows a certificate that is not in its file.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "it shows another certificate than the first of http.tls_certificate_file: send it SIGHUP if that is new"
)]
struct AnotherCertificate;

/// Believes who has the key of one certificate.
#[derive(Debug)]
struct OwnCertificate {
    expected: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OwnCertificate {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *presented == self.expected {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Says of a refused certificate why it was, which the library's words do not.
pub fn explain(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            io::Error::other(AnotherCertificate)
        }
        _ => error,
    }
}

/// How to speak to the shop that shows the first certificate of this file.
///
/// # Errors
/// Returns [`Failure`] if the file has none.
pub fn speak_to(file: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure {
        exit: Exit::Configuration,
        what: format!("http.tls_certificate_file, {}: {why}", file.display()),
        meaning: "nothing was asked, and nothing was changed".to_owned(),
        remedy: "name the file that the shop presents, and let this user read it".to_owned(),
    };
    let expected = CertificateDer::from_pem_file(file).map_err(|error| failed(&error))?;
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OwnCertificate { expected, algorithms }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}
