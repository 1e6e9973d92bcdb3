//! The certificate that the API's listener presents, if it has one.

use super::AppError;
use crate::actors::{Engine, Meaning};
use crate::clock;
use crate::config::Config;
use crate::http::{CertificateFiles, Tls};
use crate::telemetry::metrics::{
    CERTIFICATE_RELOADS_TOTAL, TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS,
};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The name under which readiness shows it, and its kind.
const NAME: &str = "certificate";
const KIND: &str = "tls";
/// The time between two looks at whether it is valid still.
const LOOK: Duration = Duration::from_secs(60);

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

/// Tells readiness and metrics until when the certificate is valid, for as long as the engine runs.
pub(super) fn keep(tls: Option<&Tls>, engine: &Engine) -> Option<JoinHandle<()>> {
    let watched = (tls?.clone(), engine.clone());
    let watch = move || watch(watched.0.clone(), watched.1.clone());
    Some(engine.tasks().keep_running("certificate watch", watch))
}

async fn watch(tls: Tls, engine: Engine) {
    engine.report(NAME, KIND, true, Meaning::CertificateHolds);
    loop {
        let until = tls.valid_until().unwrap_or_default();
        metrics::gauge!(TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS).set(until.0 as f64 / 1_000.0);
        if let Some(expired) = expired(&tls) {
            engine.report(NAME, KIND, false, expired);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// That it is not valid any more, if it is not.
fn expired(tls: &Tls) -> Option<Meaning> {
    let until = tls.valid_until().filter(|until| *until <= clock::wall_now());
    until.map(Meaning::CertificateExpired)
}

/// Reads it again, and tells log, metrics and readiness what came of it.
pub(super) fn reread(tls: Option<&Tls>, engine: &Engine) {
    let Some(tls) = tls else { return };
    let (result, meaning) = match tls.reload(clock::wall_now()) {
        Ok(()) => {
            tracing::info!("SIGHUP: the certificate was read again; new connections get it");
            ("read", Meaning::CertificateHolds)
        }
        Err(error) => {
            tracing::error!(
                %error,
                "SIGHUP: the certificate is not as it may be; the one of before is presented"
            );
            let refused = Meaning::CertificateRefused(error.to_string());
            ("refused", expired(tls).unwrap_or(refused))
        }
    };
    metrics::counter!(CERTIFICATE_RELOADS_TOTAL, "result" => result).increment(1);
    engine.report(NAME, KIND, meaning == Meaning::CertificateHolds, meaning);
}
