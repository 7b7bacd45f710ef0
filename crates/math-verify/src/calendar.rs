//! Times of day and dates: `14:30` is no ratio, and `2024-05-01` no subtraction.

use crate::expr::Expr;

/// A time of day, or a duration in hours and minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Time {
    hour: u16,
    minute: u16,
    second: u16,
}

impl Time {
    /// Hours to minutes, where it is meant as a ratio after all.
    pub(crate) fn as_ratio(self) -> Vec<Expr> {
        let mut parts = vec![Expr::integer(i64::from(self.hour)), Expr::integer(i64::from(self.minute))];
        if self.second > 0 {
            parts.push(Expr::integer(i64::from(self.second)));
        }
        parts
    }
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// `14:30`, `9:05:30`, `2:30 PM`, as the whole text.
pub(crate) fn time(text: &str) -> Option<Time> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let (digits, half) = [("a.m.", 0), ("p.m.", 12), ("am", 0), ("pm", 12), ("a.m", 0), ("p.m", 12)]
        .iter()
        .find_map(|(mark, hours)| lower.strip_suffix(mark).map(|rest| (rest.trim_end(), Some(*hours))))
        .unwrap_or((lower.as_str(), None));
    let mut parts = digits.split(':');
    let (hour, minute) = (parts.next()?, parts.next()?);
    let second = parts.next();
    let two = |part: &str| (part.len() == 2).then(|| number(part)).flatten().filter(|&value| value < 60);
    if parts.next().is_some() || !(1..=2).contains(&hour.len()) {
        return None;
    }
    let (hour, minute) = (number(hour)?, two(minute)?);
    let second = second.map_or(Some(0), two)?;
    let hour = match half {
        None if hour < 25 => hour,
        Some(hours) if (1..=12).contains(&hour) => hour % 12 + hours,
        _ => return None,
    };
    Some(Time { hour, minute, second })
}

/// `2024-05-01`, as the whole text.
pub(crate) fn date(text: &str) -> Option<Date> {
    let mut parts = text.trim().split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    fits.then_some(Date { year, month: month as u8, day: day as u8 })
}

fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{date, time};

    #[test]
    fn the_clock_and_the_calendar_are_read_whole() {
        assert_eq!(time("2:30 PM"), time("14:30"));
        assert_eq!(time("12:00 am"), time("0:00"));
        for text in ["3:4", "25:70", "1:234", "14:3", "3:4:5", "13:00 pm"] {
            assert_eq!(time(text), None, "{text}");
        }
        assert!(date("2024-05-01").is_some() && date("2024-05-01") != date("2024-01-05"));
        for text in ["2024-5-1", "2024-13-01", "10-05-2024", "2024-05"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
