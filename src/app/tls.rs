//! The certificate that the API's listener presents, if it has one.

use super::AppError;
use crate::actors::{Engine, Meaning};
use crate::config::Config;
use crate::http::{CertificateFiles, Tls};
use crate::telemetry::metrics::CERTIFICATE_RELOADS_TOTAL;

/// The name under which readiness shows it, and its kind.
const NAME: &str = "certificate";
const KIND: &str = "tls";

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

/// Tells readiness that what the files had at the start is presented.
pub(super) fn tell_held(tls: Option<&Tls>, engine: &Engine) {
    if tls.is_some() {
        engine.report(NAME, KIND, true, Meaning::CertificateHolds);
    }
}

/// Reads it again, and tells log, metrics and readiness what came of it.
pub(super) fn reread(tls: Option<&Tls>, engine: &Engine) {
    let Some(tls) = tls else { return };
    let (result, meaning) = match tls.reload() {
        Ok(()) => {
            tracing::info!("SIGHUP: the certificate was read again; new connections get it");
            ("read", Meaning::CertificateHolds)
        }
        Err(error) => {
            tracing::error!(
                %error,
                "SIGHUP: the certificate is not as it may be; the one of before is presented"
            );
            ("refused", Meaning::CertificateRefused(error.to_string()))
        }
    };
    metrics::counter!(CERTIFICATE_RELOADS_TOTAL, "result" => result).increment(1);
    engine.report(NAME, KIND, meaning == Meaning::CertificateHolds, meaning);
}
