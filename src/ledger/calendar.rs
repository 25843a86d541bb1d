//! Days since 1970-01-01 and the dates that people write.

use jiff::civil;
use jiff::{Span, Unit};

const EPOCH: civil::Date = civil::date(1970, 1, 1);
const DAY_MS: i64 = 86_400_000;

/// `YYYY-MM-DD` from 1900 to 2199 and nothing else.
pub fn day_from_text(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i16> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if !(1900..2200).contains(&year) {
        return None;
    }
    let date = civil::Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    Some(date.since((Unit::Day, EPOCH)).ok()?.get_days())
}

/// The date as `YYYY-MM-DD`; a day outside the calendar, which no command can make, as its number.
pub fn text_from_day(day: i32) -> String {
    date(day).map_or_else(|| format!("day {day}"), |date| date.to_string())
}

/// Whole years from `birth_day` to `day`; negative if `birth_day` is later.
pub fn age_years(birth_day: i32, day: i32) -> Option<i64> {
    let (born, now) = (date(birth_day)?, date(day)?);
    let before_birthday = (now.month(), now.day()) < (born.month(), born.day());
    Some(i64::from(now.year()) - i64::from(born.year()) - i64::from(before_birthday))
}

/// The UTC day of a wall clock reading.
pub fn day_of_clock(unix_ms: i64) -> i64 {
    unix_ms.div_euclid(DAY_MS)
}

fn date(day: i32) -> Option<civil::Date> {
    EPOCH.checked_add(Span::new().try_days(day).ok()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_each_others_inverse() {
        for (text, day) in [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("2026-07-01", 20_635)] {
            assert_eq!(day_from_text(text), Some(day));
            assert_eq!(text_from_day(day), text);
        }
    }

    #[test]
    fn only_real_dates_in_one_form_are_read() {
        for text in
            ["2026-02-29", "2026-7-1", "26-07-01", "2026-07-01T00", "1899-12-31", "2200-01-01", "+026-07-01", "２026-01-1", ""]
        {
            assert_eq!(day_from_text(text), None, "{text}");
        }
    }

    #[test]
    fn somebody_turns_eighteen_on_the_birthday_and_not_before() {
        let age = |born, now| age_years(day_from_text(born).unwrap(), day_from_text(now).unwrap());
        assert_eq!(age("2008-07-02", "2026-07-01"), Some(17));
        assert_eq!(age("2008-07-01", "2026-07-01"), Some(18));
        assert_eq!(age("2008-02-29", "2026-02-28"), Some(17));
        assert_eq!(age("2008-02-29", "2026-03-01"), Some(18));
    }
}
