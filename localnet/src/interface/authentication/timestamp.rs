//! Times as people read them.

use std::fmt;

const NS_PER_SECOND: u64 = 1_000_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// Days of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;

/// A time in ns since the epoch, shown like `2021-05-06 19:17:10.000000001 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamp(pub(crate) u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ns) = (self.0 / NS_PER_SECOND, self.0 % NS_PER_SECOND);
        let (year, month, day) = date(seconds / SECONDS_PER_DAY);
        let second = seconds % SECONDS_PER_DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")?;
        if ns != 0 {
            write!(formatter, ".{ns:09}")?;
        }
        formatter.write_str(" UTC")
    }
}

/// Returns year, month and day of the Gregorian calendar, so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that leap days come last in a year.
    let days = days + 719_468;
    let (era, day) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_show_times_as_people_read_them() {
        let shown = |seconds: u64, ns: u64| Timestamp(seconds * NS_PER_SECOND + ns).to_string();
        assert_eq!(shown(0, 0), "1970-01-01 00:00:00 UTC");
        assert_eq!(shown(1_620_328_630, 1), "2021-05-06 19:17:10.000000001 UTC");
        assert_eq!(shown(951_782_399, 0), "2000-02-28 23:59:59 UTC");
        assert_eq!(shown(951_782_400, 0), "2000-02-29 00:00:00 UTC");
        assert_eq!(shown(4_107_542_400, 0), "2100-03-01 00:00:00 UTC");
        assert_eq!(Timestamp(u64::MAX).to_string(), "2554-07-21 23:34:33.709551615 UTC");
    }
}
