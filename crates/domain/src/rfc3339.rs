//! Instants as RFC 3339 text in UTC with milliseconds.
//!
//! Written in a fixed 24 bytes, because every purchase does it. Must not read any.

use crate::ids::Timestamp;

/// The length of every rendered instant: `2026-11-21T08:00:00.000Z`.
pub const LENGTH: usize = 24;

/// Returns the instant as text. Instants past the year 9999 are shown as its last millisecond.
pub fn render(at: Timestamp) -> [u8; LENGTH] {
    let at = at.min(Timestamp::MAX).0;
    let (days, milliseconds) = (at / 86_400_000, at % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let seconds = milliseconds / 1000;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], seconds / 3600);
    digits(&mut text[14..16], seconds / 60 % 60);
    digits(&mut text[17..19], seconds % 60);
    digits(&mut text[20..23], milliseconds % 1000);
    text
}

/// Returns the instant as an owned string.
pub fn to_string(at: Timestamp) -> String {
    render(at).iter().copied().map(char::from).collect()
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        // A remainder of ten fits a byte.
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Returns year, month and day of the proleptic Gregorian calendar, days since 1970-01-01. From Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms", for days that are not negative.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}
