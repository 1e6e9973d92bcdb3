//! Instants as people read them, in one zone that is always named. Where scripts run, they show the
//! visitor's own zone from the `datetime` attribute instead.

use super::language::Language;
use crate::http::timestamp;
use domain::Timestamp;
use std::fmt;
use std::str::FromStr;

/// An offset from UTC, in minutes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UtcOffset(i16);

/// The text is not an offset such as `+08:00`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an offset such as +08:00")]
pub struct NotAnOffset;

impl UtcOffset {
    /// Returns it in minutes, negative to the west.
    pub fn minutes(self) -> i16 {
        self.0
    }
}

impl FromStr for UtcOffset {
    type Err = NotAnOffset;

    fn from_str(text: &str) -> Result<Self, NotAnOffset> {
        let (sign, rest) = text.split_at_checked(1).ok_or(NotAnOffset)?;
        let sign = match sign {
            "+" => 1,
            "-" => -1,
            _ => return Err(NotAnOffset),
        };
        let (hours, minutes) = rest.split_once(':').ok_or(NotAnOffset)?;
        let number = |text: &str, max: i16| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<i16>().ok();
            number.filter(|number| is_plain && *number <= max).ok_or(NotAnOffset)
        };
        Ok(Self(sign * (number(hours, 23)? * 60 + number(minutes, 59)?)))
    }
}

/// `UTC`, `UTC+8` or `UTC-3:30`.
impl fmt::Display for UtcOffset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes) = (self.0.abs() / 60, self.0.abs() % 60);
        let sign = if self.0 < 0 { '-' } else { '+' };
        match (hours, minutes) {
            (0, 0) => formatter.write_str("UTC"),
            (_, 0) => write!(formatter, "UTC{sign}{hours}"),
            _ => write!(formatter, "UTC{sign}{hours}:{minutes:02}"),
        }
    }
}

/// An instant for a `time` element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The instant for machines, in RFC 3339.
    pub machine: String,
    /// The instant for people, with its zone.
    pub text: String,
}

/// Returns the instant for a `time` element.
pub fn moment(language: Language, offset: UtcOffset, at: Timestamp) -> Moment {
    Moment { machine: timestamp::to_string(at), text: format(language, offset, at) }
}

/// Returns the instant's date and time to the second, and the zone, such as `2026-11-11 20:00:00 UTC+8`.
pub fn format(language: Language, offset: UtcOffset, at: Timestamp) -> String {
    let shift = u64::from(offset.0.unsigned_abs()) * 60_000;
    let local = if offset.0 < 0 {
        Timestamp(at.0.saturating_sub(shift))
    } else {
        at.plus_milliseconds(shift)
    };
    let text = timestamp::to_string(local);
    let (date, time) = (&text[..10], &text[11..19]);
    match language {
        Language::English => format!("{date} {time} {offset}"),
        Language::Chinese => {
            let part = |from: usize, to: usize| date[from..to].trim_start_matches('0');
            format!("{}年{}月{}日 {time} {offset}", &date[..4], part(5, 7), part(8, 10))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_and_named() {
        for (text, name) in [
            ("+00:00", "UTC"),
            ("-00:00", "UTC"),
            ("+08:00", "UTC+8"),
            ("-03:30", "UTC-3:30"),
            ("+23:59", "UTC+23:59"),
        ] {
            assert_eq!(text.parse::<UtcOffset>().map(|offset| offset.to_string()), Ok(name.into()));
        }
        for text in ["", "+", "08:00", "+8:00", "+24:00", "+08:60", "+0800", "+ 8:00", "é8:00"] {
            assert_eq!(text.parse::<UtcOffset>(), Err(NotAnOffset), "{text}");
        }
    }

    #[test]
    fn times_name_their_zone() {
        let at = Timestamp(1_920_585_600_000);
        let cases = [
            (Language::English, "+00:00", "2030-11-11 00:00:00 UTC"),
            (Language::English, "-03:30", "2030-11-10 20:30:00 UTC-3:30"),
            (Language::Chinese, "+08:00", "2030年11月11日 08:00:00 UTC+8"),
        ];
        for (language, offset, text) in cases {
            assert_eq!(format(language, offset.parse().unwrap(), at), text);
        }
        assert_eq!(
            format(Language::Chinese, UtcOffset::default(), Timestamp(0)),
            "1970年1月1日 00:00:00 UTC"
        );
    }
}
