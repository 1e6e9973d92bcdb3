//! Who shows and judges the challenges that are not proofs of work, as the configuration says.

use super::error::AppError;
use crate::actors::{Outbound, OutboundOptions};
use crate::clock::Clock;
use crate::config::{Challenge, ChallengeProvider};
use crate::http::{Account, External, Provider};
use std::sync::Arc;
use std::time::Duration;

/// Failures in a row after which the provider is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long.
const PAUSE: Duration = Duration::from_secs(5);

/// Returns the provider, if one is configured.
///
/// # Errors
/// Returns [`AppError::Challenge`] if its keys are missing, or its URL is none.
pub fn external(settings: &Challenge, clock: Clock) -> Result<Option<Arc<External>>, AppError> {
    let provider = match settings.provider {
        ChallengeProvider::None => return Ok(None),
        ChallengeProvider::Turnstile => Provider::Turnstile,
        ChallengeProvider::Hcaptcha => Provider::Hcaptcha,
        ChallengeProvider::Geetest => Provider::Geetest,
    };
    let secret = settings.secret.as_ref().filter(|_| !settings.site_key.is_empty());
    let Some(secret) = secret else {
        let lack = "challenge.provider needs challenge.site_key and challenge.secret";
        return Err(AppError::Challenge(lack.to_owned()));
    };
    let url = match settings.verify_url.as_str() {
        "" => provider.verify_url(),
        url => url,
    };
    let options = OutboundOptions {
        timeout: Duration::from_millis(settings.timeout_ms),
        in_flight_max: settings.in_flight_max as usize,
        failures_max: FAILURES_MAX,
        pause: PAUSE,
    };
    let outbound = Outbound::new(url, options, clock)
        .map_err(|error| AppError::Challenge(format!("challenge.verify_url: {error}")))?;
    let account = Account {
        provider,
        site_key: settings.site_key.clone(),
        secret: secret.secret().clone(),
        hostname: settings.hostname.clone(),
        script_url: settings.script_url.clone(),
    };
    Ok(Some(Arc::new(External::new(account, outbound))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretText;
    use domain::Timestamp;

    #[test]
    fn a_provider_needs_its_keys() {
        let none = Challenge::default();
        let keyless = Challenge { provider: ChallengeProvider::Geetest, ..none.clone() };
        let whole = Challenge {
            site_key: "site".to_owned(),
            secret: Some(SecretText::new("secret")),
            ..keyless.clone()
        };
        let made = |settings: &Challenge| {
            external(settings, Clock::start(Timestamp(0))).map(|external| external.is_some())
        };
        assert!(matches!(made(&none), Ok(false)));
        assert!(matches!(made(&whole), Ok(true)));
        assert!(matches!(made(&keyless), Err(AppError::Challenge(_))));
    }
}
