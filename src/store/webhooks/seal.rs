//! Secrets as the tables keep them: sealed by AES-256-GCM under a key that is made of the secret that signs tokens.
//!
//! What is sealed for one endpoint opens for that one alone. Must not know what the secrets sign.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretSlice};
use std::fmt;

/// What the key is for, so that it is no other one that is made of the same secret.
const PURPOSE: &[u8] = b"seckill webhook secrets 1";
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// A secret in sealed form: a nonce, then what AES-256-GCM makes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedSecret(pub(super) Vec<u8>);

/// The operating system gave no random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomBytes;

/// The key that seals and opens, and the one of before, which only opens.
pub struct SealKey {
    present: LessSafeKey,
    previous: Option<LessSafeKey>,
    random: SystemRandom,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealKey(***)")
    }
}

impl SealKey {
    /// Makes the key of the secret that signs tokens, and of the one of before, if there is one.
    pub fn new(secret: &[u8], previous: Option<&[u8]>) -> Self {
        Self {
            present: derive(secret),
            previous: previous.map(derive),
            random: SystemRandom::new(),
        }
    }

    /// Makes a secret.
    ///
    /// # Errors
    /// Returns `NoRandomBytes` if the operating system gives none.
    pub fn make_secret(&self) -> Result<SecretSlice<u8>, NoRandomBytes> {
        let mut bytes = vec![0; SECRET_BYTES];
        self.random.fill(&mut bytes).map_err(|_| NoRandomBytes)?;
        Ok(SecretSlice::from(bytes))
    }

    /// Seals a secret for an endpoint.
    ///
    /// # Errors
    /// Returns `NoRandomBytes` if the operating system gives none.
    pub fn seal(
        &self,
        endpoint_id: u64,
        secret: &SecretSlice<u8>,
    ) -> Result<SealedSecret, NoRandomBytes> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| NoRandomBytes)?;
        let mut sealed = secret.expose_secret().to_vec();
        let owner = Aad::from(endpoint_id.to_be_bytes());
        let nonce_of_it = Nonce::assume_unique_for_key(nonce);
        // It fails for texts of many gigabytes alone.
        self.present
            .seal_in_place_append_tag(nonce_of_it, owner, &mut sealed)
            .map_err(|_| NoRandomBytes)?;
        Ok(SealedSecret([&nonce[..], &sealed].concat()))
    }

    /// Opens what was sealed for this endpoint; none if it was not, or under another key.
    pub fn open(&self, endpoint_id: u64, sealed: &SealedSecret) -> Option<SecretSlice<u8>> {
        let (nonce, sealed) = sealed.0.split_first_chunk::<NONCE_LEN>()?;
        let open = |key: &LessSafeKey| {
            let mut bytes = sealed.to_vec();
            let owner = Aad::from(endpoint_id.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, owner, &mut bytes).ok()?;
            Some(SecretSlice::from(opened.to_vec()))
        };
        open(&self.present).or_else(|| self.previous.as_ref().and_then(open))
    }
}

fn derive(secret: &[u8]) -> LessSafeKey {
    let made = Salt::new(HKDF_SHA256, &[]).extract(secret);
    let key = made.expand(&[PURPOSE], &AES_256_GCM).map(UnboundKey::from);
    LessSafeKey::new(key.expect("a key of AES is shorter than HKDF can make"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_endpoint_and_under_its_key_alone() {
        let key = SealKey::new(&[7; 32], None);
        let secret = key.make_secret().expect("random bytes");
        assert_eq!(secret.expose_secret().len(), SECRET_BYTES);
        let sealed = key.seal(5, &secret).expect("random bytes");
        let opened = |key: &SealKey, endpoint_id, sealed: &SealedSecret| {
            key.open(endpoint_id, sealed).map(|secret| secret.expose_secret().to_vec())
        };
        let expected = Some(secret.expose_secret().to_vec());
        assert_eq!(opened(&key, 5, &sealed), expected);
        assert_eq!(opened(&key, 6, &sealed), None, "another endpoint");
        assert_eq!(opened(&SealKey::new(&[8; 32], None), 5, &sealed), None, "another key");
        assert_eq!(opened(&SealKey::new(&[8; 32], Some(&[7; 32])), 5, &sealed), expected);
        for place in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[place] ^= 1;
            assert_eq!(opened(&key, 5, &changed), None, "{place}");
            changed.0.truncate(place);
            assert_eq!(opened(&key, 5, &changed), None, "{place}");
        }
        let again = key.seal(5, &secret).expect("random bytes");
        assert_ne!(again, sealed, "each has its own nonce");
        assert!(!sealed.0.windows(8).any(|part| part == &secret.expose_secret()[..8]));
    }

    #[test]
    fn the_key_is_hkdfs() {
        // Computed by another library: HKDF-SHA256 of 32 sevens without salt, then AES-256-GCM.
        let key = derive(&[7; 32]);
        let mut text = b"seckill".to_vec();
        let nonce = Nonce::assume_unique_for_key([1; NONCE_LEN]);
        key.seal_in_place_append_tag(nonce, Aad::from(5_u64.to_be_bytes()), &mut text)
            .expect("sealed");
        let shown: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, "76f406e14cd199c26b8cd588b69e57079b93686d0b6d12");
    }
}
