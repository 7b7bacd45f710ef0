//! `datetime.strftime` for chat templates: the directives that models use, in UTC and English.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: i64 = 86_400;
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `now` by a format such as `%d %b %Y`; the reason in words when a directive is unknown.
pub(crate) fn format(format: &str, now: SystemTime) -> Result<String, String> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(0));
    let days = seconds / SECONDS_PER_DAY;
    let in_day = seconds % SECONDS_PER_DAY;
    let (year, month, day) = civil_from_days(days);
    // 1970-01-01 was a Thursday.
    let weekday = DAYS[(days % 7) as usize];
    let month_name = MONTHS[(month - 1) as usize];

    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let field = match rest.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('B') => month_name.to_owned(),
            Some('b') => month_name[..3].to_owned(),
            Some('A') => weekday.to_owned(),
            Some('a') => weekday[..3].to_owned(),
            Some('H') => format!("{:02}", in_day / 3600),
            Some('M') => format!("{:02}", in_day / 60 % 60),
            Some('S') => format!("{:02}", in_day % 60),
            Some('%') => "%".to_owned(),
            Some(other) => {
                return Err(format!("strftime_now does not know %{other}; it knows %YymdBbAaHMS%"));
            }
            None => return Err("strftime_now's format ends inside a directive".to_owned()),
        };
        out.push_str(&field);
    }
    Ok(out)
}

/// Year, month and day of a day counted from 1970-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms": years begin in March, so that the leap day is the last).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::format;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn known_instants_read_as_python_writes_them() {
        // `datetime.fromtimestamp(s, timezone.utc).strftime(...)`
        for (seconds, expected) in [
            (0, "Thursday 01 Jan 1970 00:00:00"),
            (951_782_400, "Tuesday 29 Feb 2000 00:00:00"),
            (1_740_787_199, "Friday 28 Feb 2025 23:59:59"),
            (4_107_542_400, "Monday 01 Mar 2100 00:00:00"),
        ] {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(format("%A %d %b %Y %H:%M:%S", now).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn an_unknown_directive_is_refused_by_name() {
        assert!(format("%Q", UNIX_EPOCH).is_err_and(|reason| reason.contains("%Q")));
        assert!(format("100%", UNIX_EPOCH).is_err());
    }
}
