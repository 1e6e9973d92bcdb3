//! Who takes the buyers' money, as the configuration says.

use super::error::AppError;
use crate::clock::Clock;
use crate::config::Payments;
use crate::http::{PaymentProvider, SharedSecret};
use crate::plain_file;
use crate::store::outbound::{Outbound, OutboundOptions};
use domain::ProviderName;
use std::sync::Arc;
use std::time::Duration;

/// Failures in a row after which the provider is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long.
const PAUSE: Duration = Duration::from_secs(2);

/// Returns the provider, if one is configured.
///
/// # Errors
/// Returns [`AppError::Payments`] if it cannot be asked as configured.
pub fn provider(
    settings: &Payments,
    clock: Clock,
) -> Result<Option<Arc<PaymentProvider>>, AppError> {
    // The configuration has all three or none.
    let Some(secret) = settings.secret.as_ref().filter(|_| !settings.provider.is_empty()) else {
        return Ok(None);
    };
    let refused = |what: &str| AppError::Payments(what.to_owned());
    let name = ProviderName::parse(&settings.provider);
    let name = name.ok_or_else(|| refused("payments.provider is no name"))?;
    let key = secret.webhook_key().ok_or_else(|| refused("payments.secret is no secret"))?;
    let previous = settings.previous_secret.as_ref().and_then(|secret| secret.webhook_key());
    let authority = settings.ca_file.as_ref().map(|path| {
        plain_file::read(path)
            .map_err(|error| AppError::Payments(format!("{}: {error}", path.display())))
    });
    let options = OutboundOptions {
        timeout: Duration::from_millis(settings.timeout_ms),
        in_flight_max: settings.in_flight_max as usize,
        failures_max: FAILURES_MAX,
        pause: PAUSE,
    };
    let authority = authority.transpose()?;
    let url = settings.url.as_ref().ok_or_else(|| refused("payments.url is not set"))?;
    let outbound = Outbound::trusting(authority.as_deref(), url.expose(), options, clock)
        .map_err(|error| AppError::Payments(format!("payments.url: {error}")))?;
    let secret = SharedSecret::new(&key, previous.as_deref());
    Ok(Some(Arc::new(PaymentProvider::new(name, outbound, secret))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SecretText, SecretUrl};
    use domain::Timestamp;

    #[test]
    fn a_provider_is_made_of_its_name_its_url_and_its_secret() {
        let none = Payments::default();
        let whole = Payments {
            sandbox: false,
            provider: "mall-pay".to_owned(),
            url: Some(SecretUrl::new("https://pay.mall.example/payments")),
            secret: Some(SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
            ..none.clone()
        };
        let made = |settings: &Payments| {
            provider(settings, Clock::start(Timestamp(0)))
                .map(|provider| provider.map(|provider| provider.name().to_string()))
        };
        assert!(matches!(made(&none), Ok(None)));
        assert_eq!(made(&whole).unwrap().as_deref(), Some("mall-pay"));
        let missing = Payments { ca_file: Some("/nowhere/ca.pem".into()), ..whole };
        assert!(matches!(made(&missing), Err(AppError::Payments(_))));
    }
}
