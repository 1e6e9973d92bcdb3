//! The signer of tokens: under the secrets that the configuration names, or the data directory's own.

use super::error::AppError;
use crate::config::{SecretText, Tokens};
use crate::http::{SecretTooShort, Signer};
use crate::secrets::{self, SigningSecret};
use crate::store::webhooks::SealKey;
use secrecy::ExposeSecret;

/// Returns the signer. `own` finds the data directory's secret, which is asked for only if the settings
/// name none.
///
/// # Errors
/// Returns [`AppError`] if the data directory's secret cannot be made or read.
pub fn signer(
    settings: &Tokens,
    own: impl FnOnce() -> Result<SigningSecret, secrets::Error>,
) -> Result<Signer, AppError> {
    let secret = match &settings.secret {
        Some(text) => secret(text)?,
        None => own()?,
    };
    let signer = Signer::new(secret.expose())?;
    match &settings.previous_secret {
        None => Ok(signer),
        Some(text) => Ok(signer.with_previous(self::secret(text)?.expose())?),
    }
}

/// Returns the key that seals the secrets of webhooks: it is made of the secret that signs tokens, so that nodes which
/// share the one share the other.
///
/// # Errors
/// Returns [`AppError`] if the data directory's secret cannot be made or read.
pub(super) fn seal_key(
    settings: &Tokens,
    own: impl FnOnce() -> Result<SigningSecret, secrets::Error>,
) -> Result<SealKey, AppError> {
    let present = match &settings.secret {
        Some(text) => secret(text)?,
        None => own()?,
    };
    let previous = settings.previous_secret.as_ref().map(secret).transpose()?;
    Ok(SealKey::new(present.expose(), previous.as_ref().map(|secret| &secret.expose()[..])))
}

/// The secret that a setting holds; settings have been checked.
fn secret(text: &SecretText) -> Result<SigningSecret, SecretTooShort> {
    SigningSecret::from_digits(text.secret().expose_secret()).ok_or(SecretTooShort)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Role;
    use domain::Timestamp;

    #[test]
    fn the_settings_secrets_come_before_the_data_directorys() {
        let digits = |pair: &str| Some(SecretText::new(pair.repeat(32)));
        let own = || Ok(SigningSecret::from_digits(&"0a".repeat(32)).expect("digits"));
        let now = Timestamp(1_790_000_000_000);
        let token = |settings: &Tokens| {
            let signer = signer(settings, own).expect("a signer");
            (signer.mint("1", Role::Buyer, now, 60), signer)
        };
        let (of_directory, first) = token(&Tokens::default());
        let shared = Tokens { secret: digits("0b"), ..Tokens::default() };
        let (of_settings, node) = token(&shared);
        assert!(
            first.verify(&of_settings, now).is_err() && node.verify(&of_directory, now).is_err()
        );
        // A shop that gets its secret from the settings from now on.
        let moved = Tokens { previous_secret: digits("0a"), ..shared };
        let (_, node) = token(&moved);
        assert!(node.verify(&of_settings, now).is_ok() && node.verify(&of_directory, now).is_ok());
    }
}
