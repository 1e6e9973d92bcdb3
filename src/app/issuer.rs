//! Keeps the keys of the issuer whose users this shop serves.
//!
//! Owns what the configuration says of the issuer, and how its keys are fetched. Must not know what they
//! verify.

use super::error::AppError;
use crate::actors::{Engine, Kept, KeptOptions};
use crate::config::{self, Config, SignatureAlgorithm};
use crate::http::{Algorithm, Expected, KeySet, OidcOptions};
use crate::plain_file;
use crate::store::outbound::{Outbound, OutboundOptions};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long the issuer may take over its keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// When keys are fetched: often enough that a rotation is seen before the old keys go, and half a minute
/// apart however many tokens name keys that nobody knows.
const KEPT: KeptOptions = KeptOptions {
    every: Duration::from_secs(600),
    retry: Duration::from_secs(30),
    pause: Duration::from_secs(30),
    stale_max: Duration::from_secs(24 * 3_600),
    patience: Duration::from_secs(6),
};

/// Begins to keep the keys of the configured issuer, if there is one: what its tokens must be, and the task
/// that keeps them. The shop serves before they are there, and without them if they never come.
///
/// # Errors
/// Returns [`AppError::Issuer`] if the issuer cannot be asked as configured.
pub fn keep(
    config: &Config,
    engine: &Engine,
) -> Result<Option<(OidcOptions, JoinHandle<()>)>, AppError> {
    let settings = &config.oidc;
    // The configuration has all three or none.
    let (Some(issuer), Some(audience), Some(url)) =
        (&settings.issuer, &settings.audience, &settings.jwks_url)
    else {
        return Ok(None);
    };
    let authority = settings.ca_file.as_ref().map(|path| {
        let at = |error| io::Error::other(format!("{}: {error}", path.display()));
        plain_file::read(path).map_err(at)
    });
    let authority = authority.transpose().map_err(AppError::Issuer)?;
    let options = OutboundOptions {
        timeout: FETCH_TIMEOUT,
        in_flight_max: 1,
        // When to ask again is decided elsewhere.
        failures_max: u32::MAX,
        pause: Duration::ZERO,
    };
    let outbound = Outbound::trusting(authority.as_deref(), url.expose(), options, engine.clock());
    let outbound = Arc::new(outbound.map_err(AppError::Issuer)?);
    let keys = Kept::new("the issuer's keys", KEPT, engine.clock());
    let options = OidcOptions {
        expected: Expected {
            issuer: issuer.clone(),
            audience: audience.clone(),
            operator_claim: settings.operator_claim.clone(),
            operator_value: settings.operator_value.clone(),
            approver_value: settings.approver_value.clone(),
            operator_name_claim: settings.operator_name_claim.clone(),
        },
        algorithms: algorithms(&settings.algorithms),
        keys: keys.clone(),
    };
    let task = engine.tasks().keep_running("issuer's keys", move || {
        let outbound = Arc::clone(&outbound);
        keys.clone().keep(move || fetch(Arc::clone(&outbound)))
    });
    Ok(Some((options, task)))
}

/// The algorithms that the configuration names; it has been checked.
fn algorithms(names: &str) -> Vec<Algorithm> {
    let algorithms = config::algorithms(names).unwrap_or_default().into_iter();
    algorithms
        .map(|algorithm| match algorithm {
            SignatureAlgorithm::Rs256 => Algorithm::Rs256,
            SignatureAlgorithm::Es256 => Algorithm::Es256,
            SignatureAlgorithm::EdDsa => Algorithm::EdDsa,
        })
        .collect()
}

/// Fetches a set of keys.
///
/// # Errors
/// Returns what is wrong, in words, if there is no answer or it is no set of keys.
pub async fn fetch(issuer: Arc<Outbound>) -> Result<KeySet, String> {
    let answer = issuer.get().await.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("it answered {}", answer.status));
    }
    KeySet::parse(&answer.body).map_err(|error| error.to_string())
}
