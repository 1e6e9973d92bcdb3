//! The request's identity: the client's `X-Request-Id` if it is well formed, else one made here.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use std::sync::atomic::{AtomicU64, Ordering};

/// The header that carries the identity in requests and responses.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LENGTH_MAX: usize = 64;

/// Hands out numbers that no other request of this process gets, and hardly one of another process.
#[derive(Debug)]
pub struct UniqueNumbers {
    seed: u64,
    next: AtomicU64,
}

impl UniqueNumbers {
    /// Makes a sequence of numbers that begins at a random place.
    pub fn new() -> Self {
        Self { seed: rand::random(), next: AtomicU64::new(0) }
    }

    /// Returns the next number, never 0.
    pub fn next(&self) -> u64 {
        loop {
            let count = self.next.fetch_add(1, Ordering::Relaxed);
            let number = mix(self.seed.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            if number != 0 {
                return number;
            }
        }
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): one to one, so that numbers do not repeat.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// A request's identity.
#[derive(Clone, Debug)]
pub enum RequestName {
    /// The client's own identity.
    Given(HeaderValue),
    /// An identity made here: sixteen hexadecimal digits.
    Made([u8; 16]),
}

impl RequestName {
    /// Takes the client's identity for the request if it is well formed, else makes one of `number`.
    pub fn of(headers: &HeaderMap, number: u64) -> Self {
        match headers.get(&X_REQUEST_ID) {
            Some(given) if is_well_formed(given.as_bytes()) => Self::Given(given.clone()),
            _ => Self::made(number),
        }
    }

    /// Makes an identity of `number`.
    pub fn made(number: u64) -> Self {
        Self::Made(hexadecimal(number))
    }

    /// Returns the identity as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Given(value) => value.to_str().unwrap_or_default(),
            Self::Made(digits) => std::str::from_utf8(digits).unwrap_or_default(),
        }
    }
}

fn is_well_formed(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LENGTH_MAX).contains(&name.len()) && name.iter().all(allowed)
}

fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - place * 4) & 15) as usize];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_do_not_repeat() {
        let numbers = UniqueNumbers::new();
        let seen: HashSet<u64> = (0..10_000).map(|_| numbers.next()).collect();
        assert_eq!(seen.len(), 10_000);
        assert!(!seen.contains(&0));
    }

    #[test]
    fn only_a_well_formed_name_is_taken_over() {
        for (given, expected) in [
            ("trace-1.a_B", "trace-1.a_B"),
            ("", "00000000000000ff"),
            ("a b", "00000000000000ff"),
            ("\"quoted\"", "00000000000000ff"),
            (&"x".repeat(65), "00000000000000ff"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(&X_REQUEST_ID, HeaderValue::from_str(given).unwrap());
            assert_eq!(RequestName::of(&headers, 255).as_str(), expected, "{given:?}");
        }
    }
}
