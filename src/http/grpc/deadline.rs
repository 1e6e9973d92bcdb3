//! How long a call may take: as long as its caller waits, and never longer than any request here.

use crate::http::problem::{Code, Problem};
use hyper::HeaderMap;
use std::time::Duration;

/// The header that says how long the caller waits: up to eight digits and a unit.
const TIMEOUT: &str = "grpc-timeout";
/// The most digits of it.
const DIGITS_MAX: usize = 8;

/// How long a call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// Until it is answered, or begins to be.
    pub of_answer: Duration,
    /// How long its caller waits for all of it, if it said so.
    pub of_caller: Option<Duration>,
}

impl Deadline {
    /// Returns how long a call with these headers may take, which is never longer than `longest` until its
    /// answer begins.
    ///
    /// # Errors
    /// Returns a `bad_request` problem if they say what cannot be read.
    pub fn of(headers: &HeaderMap, longest: Duration) -> Result<Self, Problem> {
        let Some(text) = headers.get(TIMEOUT) else {
            return Ok(Self { of_answer: longest, of_caller: None });
        };
        let waits = read(text.as_bytes()).ok_or_else(|| {
            Problem::new(
                Code::BadRequest,
                "grpc-timeout must be up to 8 digits and H, M, S, m, u or n",
            )
        })?;
        Ok(Self { of_answer: longest.min(waits), of_caller: Some(waits) })
    }
}

fn read(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        number = number * 10 + u64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
    }
    Some(match unit {
        b'H' => Duration::from_secs(number * 3_600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_caller_waits_as_long_as_it_says_and_never_longer_than_is_allowed() {
        let longest = Duration::from_secs(30);
        for (text, expected) in [
            ("1H", Some(longest)),
            ("1M", Some(longest)),
            ("2S", Some(Duration::from_secs(2))),
            ("99999999H", Some(longest)),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("999999999S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("1 S", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_static(text));
            let found = Deadline::of(&headers, longest).map(|deadline| deadline.of_answer);
            assert_eq!(found.ok(), expected, "{text}");
        }
        let without = Deadline::of(&HeaderMap::new(), longest);
        assert_eq!(without, Ok(Deadline { of_answer: longest, of_caller: None }));
    }
}
