//! Passwords: hashed with Argon2id, a bounded number at a time, never logged.
//!
//! A hash takes tens of milliseconds and megabytes, so they are made off the workers that serve
//! requests, and a request that finds the queue full is refused with 503.

use crate::http::options::Options;
use crate::http::problem::{Code, Problem};
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use icu_normalizer::ComposingNormalizerBorrowed;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The password whose hash the log-in of an unknown user is compared with, so that it takes as long
/// as any other.
const DECOY: &str = "no user has this password";

/// The password as it is hashed: the same characters, however they were typed (RFC 8265, OpaqueString;
/// with compatibility forms, so that an input method's wide letters are those of the keyboard).
fn prepared(password: &str) -> String {
    ComposingNormalizerBorrowed::new_nfkc().normalize(password).into_owned()
}

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Passwords {
    queue: Semaphore,
    workers: Semaphore,
    /// The hash of [`DECOY`], made when it is first needed.
    decoy: tokio::sync::OnceCell<Arc<str>>,
}

impl Passwords {
    /// Makes a hasher with the limits of `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            queue: Semaphore::new(options.password_queue_max),
            workers: Semaphore::new(options.password_hashes_max),
            decoy: tokio::sync::OnceCell::new(),
        }
    }

    /// Returns the password's hash in PHC string format.
    ///
    /// # Errors
    /// Returns an `overloaded` problem if too many requests wait for a hash.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        self.work(move || {
            let password = prepared(&password);
            Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string()).ok()
        })
        .await?
        .ok_or_else(|| Problem::new(Code::Overloaded, "the password could not be hashed"))
    }

    /// Returns whether the password is the one of `hash`. An absent hash takes as long and never
    /// matches.
    ///
    /// # Errors
    /// Returns an `overloaded` problem if too many requests wait for a hash.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let known = hash.is_some();
        let hash: Arc<str> = match hash {
            Some(hash) => hash.into(),
            None => Arc::clone(
                self.decoy
                    .get_or_try_init(|| async {
                        self.hash(DECOY.to_owned()).await.map(Arc::<str>::from)
                    })
                    .await?,
            ),
        };
        let matches = self
            .work(move || {
                let Ok(hash) = PasswordHash::new(&hash) else { return false };
                let is_of = |password: &str| {
                    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
                };
                let prepared = prepared(&password);
                // Version 0.1.0 hashed what was sent.
                is_of(&prepared) || (prepared != password && is_of(&password))
            })
            .await?;
        Ok(known && matches)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let overloaded =
            || Problem::new(Code::Overloaded, "too many are logging in at this moment");
        let _place = self.queue.try_acquire().map_err(|_| overloaded())?;
        let _worker = self.workers.acquire().await.map_err(|_| overloaded())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| overloaded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_is_verified() {
        let passwords = Passwords::new(&Options::default());
        let hash = passwords.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        for (password, hash, expected) in [
            ("correct horse", Some(hash.clone()), true),
            ("correct house", Some(hash), false),
            ("correct horse", Some("garbage".to_owned()), false),
            ("correct horse", None, false),
            (DECOY, None, false),
        ] {
            let verified = passwords.verify(password.to_owned(), hash).await;
            assert_eq!(verified, Ok(expected), "{password}");
        }
    }

    #[tokio::test]
    async fn a_password_is_the_same_however_it_is_typed() {
        let passwords = Passwords::new(&Options::default());
        let (composed, decomposed, wide) = ("café 1234", "cafe\u{301} 1234", "ｃａｆé　１２３４");
        let hash = passwords.hash(composed.to_owned()).await.unwrap();
        // As version 0.1.0 made them.
        let old = Argon2::default().hash_password(decomposed.as_bytes()).unwrap().to_string();
        for (password, hash, expected) in [
            (composed, &hash, true),
            (decomposed, &hash, true),
            (wide, &hash, true),
            ("cafe 1234", &hash, false),
            (decomposed, &old, true),
            ("cafe 1234", &old, false),
        ] {
            let verified = passwords.verify(password.to_owned(), Some(hash.clone())).await;
            assert_eq!(verified, Ok(expected), "{password}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let options = Options { password_queue_max: 0, ..Options::default() };
        let refused = Passwords::new(&options).hash("password".to_owned()).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
    }
}
