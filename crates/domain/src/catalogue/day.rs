//! Calendar days in UTC, by which public sales are listed.

use crate::ids::Timestamp;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

const DAY_MILLISECONDS: u64 = 86_400_000;

/// A calendar day in UTC from 1970 to 9999, written `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day {
    /// Days since 1970-01-01.
    number: u64,
}

impl Day {
    /// The day of this instant.
    pub fn of(instant: Timestamp) -> Self {
        Self { number: instant.min(Timestamp::MAX).0 / DAY_MILLISECONDS }
    }

    /// From its first instant to the next day's.
    pub fn window(self) -> Range<Timestamp> {
        let start = Timestamp(self.number * DAY_MILLISECONDS);
        start..start.plus_milliseconds(DAY_MILLISECONDS)
    }

    /// How many days lie between this day and another, whichever is earlier.
    pub fn distance(self, other: Self) -> u64 {
        self.number.abs_diff(other.number)
    }

    /// Year, month and day of the month in the Gregorian calendar.
    ///
    /// As Howard Hinnant's `civil_from_days`: years begin in March, so that the leap day is a
    /// year's last, and are counted within eras of 400 years, which all have the same days.
    fn civil(self) -> (u64, u64, u64) {
        let shifted = self.number + ERA_SHIFT_DAYS;
        let (era, day_of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - days_before_year(year_of_era);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - days_before_month(month_from_march) + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        (year, month, day)
    }

    /// The day of this date, unless it lies before 1970. The inverse of [`Day::civil`]; a date that
    /// the calendar does not have, such as 30 February, is taken for a later one.
    fn from_civil(year: u64, month: u64, day: u64) -> Option<Self> {
        let year_from_march = year.checked_sub(u64::from(month <= 2))?;
        let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
        let day_of_year = days_before_month((month + 9) % 12) + day.checked_sub(1)?;
        let shifted = era * ERA_DAYS + days_before_year(year_of_era) + day_of_year;
        Some(Self { number: shifted.checked_sub(ERA_SHIFT_DAYS)? })
    }
}

/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const ERA_SHIFT_DAYS: u64 = 719_468;

/// Days of an era before this year of it.
fn days_before_year(year_of_era: u64) -> u64 {
    year_of_era * 365 + year_of_era / 4 - year_of_era / 100
}

/// Days of a year that begins in March before this month, of which March is 0.
fn days_before_month(month_from_march: u64) -> u64 {
    (153 * month_from_march + 2) / 5
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        formatter.pad(&format!("{year:04}-{month:02}-{day:02}"))
    }
}

/// The text is no day from 1970 to 9999 in the form `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a day of the form YYYY-MM-DD from 1970 on")]
pub struct NotADay;

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let mut numbers = text.splitn(3, '-').map(|number| number.parse::<u16>().map(u64::from));
        let mut next = || numbers.next().and_then(Result::ok).ok_or(NotADay);
        let (year, month, day) = (next()?, next()?, next()?);
        let found = Self::from_civil(year, month, day).ok_or(NotADay)?;
        let is_in_range = found <= Self::of(Timestamp::MAX);
        // Whatever is not a date of the calendar, or not in the one form, reads differently.
        if is_in_range && found.to_string() == text { Ok(found) } else { Err(NotADay) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_utc() {
        for (instant, text) in [
            (0, "1970-01-01"),
            (86_399_999, "1970-01-01"),
            (86_400_000, "1970-01-02"),
            (951_782_400_000, "2000-02-29"),
            (1_709_251_199_999, "2024-02-29"),
            (4_107_542_400_000, "2100-03-01"),
            (u64::MAX, "9999-12-31"),
        ] {
            let day = Day::of(Timestamp(instant));
            assert_eq!(day.to_string(), text);
            assert_eq!(text.parse(), Ok(day));
            assert!(day.window().contains(&Timestamp(instant).min(Timestamp::MAX)), "{text}");
        }
    }

    /// Counts the calendar day by day, through all of its 400-year cycle and into the next.
    #[test]
    fn each_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..2 * ERA_DAYS {
            assert_eq!(Day { number }.civil(), (year, month, day), "day {number}");
            assert_eq!(Day::from_civil(year, month, day), Some(Day { number }));
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + u64::from(is_leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > days {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn a_day_has_one_form() {
        for text in [
            "",
            "2024-2-29",
            "20240229",
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "2024-04-31",
            "1969-12-31",
            "-0001-01-01",
            "+2024-01-01",
            "10000-01-01",
            "65535-65535-65535",
            "2024-02-29T00:00:00",
            "2024-02-29 ",
            "today",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
    }
}
