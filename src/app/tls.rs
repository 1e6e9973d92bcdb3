//! The certificate that the API's listener presents, if it has one.

use super::AppError;
use crate::config::Config;
use crate::http::{CertificateFiles, Tls};

/// Reads the configured certificate; `None` if the listener does not speak TLS.
///
/// # Errors
/// Returns [`AppError::Tls`] if it cannot be read or used.
pub(super) fn open(config: &Config) -> Result<Option<Tls>, AppError> {
    let (Some(certificate), Some(key)) =
        (&config.http.tls_certificate_file, &config.http.tls_key_file)
    else {
        return Ok(None);
    };
    let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
    Ok(Some(Tls::open(files)?))
}

/// Reads it again, and says in the log what came of it.
pub(super) fn reread(tls: &Tls) {
    match tls.reload() {
        Ok(()) => tracing::info!("SIGHUP: the certificate was read again; new connections get it"),
        Err(error) => tracing::error!(
            %error,
            "SIGHUP: the certificate is not as it may be; the one of before is presented"
        ),
    }
}
