//! Instants as RFC 3339 text in UTC with milliseconds, and back.
//!
//! Read by RFC 3339's own grammar, because libraries take more: other offsets, other separators, and parts
//! that are left out. How they are written is the domain's, because events are not the edge's alone.

use domain::Timestamp;
pub use domain::rfc3339::{LENGTH, render, to_string};

/// Why a text is not an instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAnInstant {
    /// It is not a date and time of RFC 3339.
    Form,
    /// It is before 1970 or after 9999 in UTC.
    Range,
}

/// Returns the instant in `text`, an RFC 3339 date and time with an offset. Anything finer than a
/// millisecond is cut off, and a leap second is read as the second before it.
///
/// # Errors
/// Returns why if it is not one, or is not from 1970 to 9999.
pub fn parse(text: &str) -> Result<Timestamp, NotAnInstant> {
    let milliseconds = read(text.as_bytes()).ok_or(NotAnInstant::Form)?;
    let at = Timestamp(u64::try_from(milliseconds).map_err(|_| NotAnInstant::Range)?);
    if at <= Timestamp::MAX { Ok(at) } else { Err(NotAnInstant::Range) }
}

/// Returns milliseconds since 1970, or `None` if the text does not have the form.
fn read(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let number = |from: usize, to: usize| read_digits(&date_time[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_separated = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
        .iter()
        .all(|(place, separator)| date_time[*place].to_ascii_uppercase() == *separator);
    let is_within = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_separated || !is_within {
        return None;
    }
    let (fraction, offset) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, offset) = rest.split_at(length);
            let mut milliseconds = [b'0'; 3];
            let shown = length.min(3);
            milliseconds[..shown].copy_from_slice(&digits[..shown]);
            (if length > 0 { read_digits(&milliseconds)? } else { return None }, offset)
        }
    };
    let offset_minutes = read_offset(offset)?;
    let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second.min(59)) * 1000 + fraction)
}

/// Returns the minutes by which local time is ahead of UTC.
fn read_offset(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let &[_, _, b':', _, _] = text else { return None };
    let (hours, minutes) = (read_digits(&text[..2])?, read_digits(&text[3..])?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn read_digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns days since 1970-01-01, the inverse of [`civil_from_days`] (Howard Hinnant).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (Timestamp::MAX.0, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(to_string(Timestamp(at)), text);
        }
    }

    #[test]
    fn only_rfc_3339_with_an_offset_is_read() {
        for (text, at) in [
            ("1970-01-01T01:00:00.5+01:00", 500),
            ("1970-01-01T00:00:00.0019Z", 1),
            ("1970-01-01t00:00:00.1239999999999999999999999z", 123),
            ("1970-01-01T00:00:00-00:00", 0),
            ("1969-12-31T23:59:01-23:59", 86_281_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
            ("2024-02-29T12:00:00Z", 1_709_208_000_000),
            ("9999-12-31T23:59:59.999Z", Timestamp::MAX.0),
        ] {
            assert_eq!(parse(text), Ok(Timestamp(at)), "{text}");
        }
        for text in [
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse(text), Err(NotAnInstant::Range), "{text}");
        }
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T08:00:00",
            "2026-11-21 08:00:00Z",
            "2026-13-21T08:00:00Z",
            "2026-11-21T08:00:00Z[UTC]",
            "2026-11-21T08:00:00+25:00",
            "2026-11-21T08:00:00+01:60",
            "2026-11-21T08:00:00+01:00:30",
            "2026-11-21T08:00:00+0100",
            "2026-11-21T08:00:00+01",
            "2026-11-21T08:00:00,5Z",
            "2026-11-21T08:00:00.Z",
            "2026-11-21T00Z",
            "2026-11-21T08:00Z",
            "2026-02-29T08:00:00Z",
            "2026-11-31T08:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:00:61Z",
            "+002026-11-21T08:00:00Z",
            "10000-01-01T00:00:00Z",
            "1764000000",
        ] {
            assert_eq!(parse(text), Err(NotAnInstant::Form), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(milliseconds in 0..=253_370_764_800_000_u64) {
            let text = to_string(Timestamp(milliseconds));
            let peer = jiff::Timestamp::from_millisecond(milliseconds.cast_signed()).unwrap();
            prop_assert_eq!(&text, &format!("{peer:.3}"));
            prop_assert_eq!(parse(&text), Ok(Timestamp(milliseconds)));
        }
    }
}
