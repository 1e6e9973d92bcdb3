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

/// Where a request waits for its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// Wherever there is a place.
    Own,
    /// In one half of the places, with all whose address sends many: the other half is kept for people
    /// who come one by one.
    Crowd,
}

/// Hashes and verifies passwords.
#[derive(Debug)]
pub struct Passwords {
    queue: Semaphore,
    crowd: Semaphore,
    workers: Semaphore,
    /// The hash of [`DECOY`], made when it is first needed.
    decoy: tokio::sync::OnceCell<Arc<str>>,
}

impl Passwords {
    /// Makes a hasher with the limits of `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            queue: Semaphore::new(options.password_queue_max),
            crowd: Semaphore::new(options.password_queue_max.div_ceil(2)),
            workers: Semaphore::new(options.password_hashes_max),
            decoy: tokio::sync::OnceCell::new(),
        }
    }

    /// Makes a hasher for operators: one at a time, and few wait, because few there are.
    pub fn of_operators() -> Self {
        const QUEUE_MAX: usize = 16;
        Self {
            queue: Semaphore::new(QUEUE_MAX),
            crowd: Semaphore::new(QUEUE_MAX),
            workers: Semaphore::new(1),
            decoy: tokio::sync::OnceCell::new(),
        }
    }

    /// Returns the password's hash in PHC string format.
    ///
    /// # Errors
    /// Returns an `overloaded` problem if too many requests wait for a hash.
    pub async fn hash(&self, queue: Queue, password: String) -> Result<String, Problem> {
        self.work(queue, move || {
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
    pub async fn verify(
        &self,
        queue: Queue,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, Problem> {
        let known = hash.is_some();
        let hash: Arc<str> = match hash {
            Some(hash) => hash.into(),
            None => Arc::clone(
                self.decoy
                    .get_or_try_init(|| async {
                        self.hash(queue, DECOY.to_owned()).await.map(Arc::<str>::from)
                    })
                    .await?,
            ),
        };
        let matches = self
            .work(queue, move || {
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
        queue: Queue,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let overloaded =
            || Problem::new(Code::Overloaded, "too many are logging in at this moment");
        let _crowd = match queue {
            Queue::Own => None,
            Queue::Crowd => Some(self.crowd.try_acquire().map_err(|_| overloaded())?),
        };
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
        let hash = passwords.hash(Queue::Own, "correct horse".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        for (password, hash, expected) in [
            ("correct horse", Some(hash.clone()), true),
            ("correct house", Some(hash), false),
            ("correct horse", Some("garbage".to_owned()), false),
            ("correct horse", None, false),
            (DECOY, None, false),
        ] {
            let verified = passwords.verify(Queue::Own, password.to_owned(), hash).await;
            assert_eq!(verified, Ok(expected), "{password}");
        }
    }

    #[tokio::test]
    async fn a_password_is_the_same_however_it_is_typed() {
        let passwords = Passwords::new(&Options::default());
        let (composed, decomposed, wide) = ("café 1234", "cafe\u{301} 1234", "ｃａｆé　１２３４");
        let hash = passwords.hash(Queue::Own, composed.to_owned()).await.unwrap();
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
            let verified =
                passwords.verify(Queue::Own, password.to_owned(), Some(hash.clone())).await;
            assert_eq!(verified, Ok(expected), "{password}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let options = Options { password_queue_max: 0, ..Options::default() };
        let passwords = Passwords::new(&options);
        let refused = passwords.hash(Queue::Own, "password".to_owned()).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        // Half of the places stay free of the crowd.
        let options = Options { password_queue_max: 2, ..Options::default() };
        let passwords = Passwords::new(&options);
        let _waiting = passwords.crowd.try_acquire().unwrap();
        let refused = passwords.hash(Queue::Crowd, "password".to_owned()).await.unwrap_err();
        assert_eq!(refused.code, Code::Overloaded);
        assert!(passwords.hash(Queue::Own, "password".to_owned()).await.is_ok());
    }
}
