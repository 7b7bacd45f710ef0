//! Decimal numbers as people write answers: sign, currency, thousands, percent. Exact and of any length; it knows no
//! arithmetic.

/// A number in normal form: equal numbers are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Digits before the point, without leading zeros.
    whole: String,
    /// Digits behind it, without trailing zeros.
    fraction: String,
}

impl Decimal {
    /// Reads all of `text`: an optional sign and currency in either order, digits with or without commas between
    /// groups of three, an optional fraction, an optional `%`, which says nothing. No exponent, no other script.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let (mut negative, mut signed, mut priced) = (false, false, false);
        loop {
            rest = match rest.chars().next()? {
                sign @ ('+' | '-' | '\u{2212}') if !signed => {
                    (signed, negative) = (true, sign != '+');
                    &rest[sign.len_utf8()..]
                }
                '\\' if !priced && rest.starts_with("\\$") => {
                    priced = true;
                    &rest[2..]
                }
                currency @ ('$' | '\u{20ac}' | '\u{a3}' | '\u{a5}') if !priced => {
                    priced = true;
                    &rest[currency.len_utf8()..]
                }
                _ => break,
            };
        }
        rest = rest.strip_suffix("\\%").or(rest.strip_suffix('%')).unwrap_or(rest);
        let (whole, fraction) = match rest.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, fraction)) => (whole, fraction),
            None => (rest, ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let grouped = |whole: &str| {
            let mut groups = whole.split(',');
            let first = groups.next().unwrap_or_default();
            (1..=3).contains(&first.len())
                && digits(first)
                && groups.all(|group| group.len() == 3 && digits(group))
        };
        let whole_fits = if whole.contains(',') {
            grouped(whole)
        } else {
            digits(whole) && !(whole.is_empty() && fraction.is_empty())
        };
        if !whole_fits || !digits(fraction) {
            return None;
        }
        let whole = whole.replace(',', "").trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let negative = negative && !(whole.is_empty() && fraction.is_empty());
        Some(Self { negative, whole, fraction })
    }

    /// Whether it is the quotient of two others, within the range of integers.
    pub(crate) fn is_quotient(&self, above: &Self, below: &Self) -> bool {
        let scale = [self, above, below].iter().map(|number| number.fraction.len()).max().unwrap_or(0);
        let integer = |number: &Self| -> Option<i128> {
            let digits =
                format!("{}{}{}", number.whole, number.fraction, "0".repeat(scale - number.fraction.len()));
            let size: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
            Some(if number.negative { -size } else { size })
        };
        if scale > 18 {
            return false;
        }
        let (Some(own), Some(above), Some(below), Some(one)) =
            (integer(self), integer(above), integer(below), 10_i128.checked_pow(scale as u32))
        else {
            return false;
        };
        below != 0
            && own.checked_mul(below).zip(above.checked_mul(one)).is_some_and(|(left, right)| left == right)
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn one_number_has_one_normal_form() {
        for (a, b) in [
            ("42", "042"),
            ("42", "42.00"),
            ("42", "+42"),
            ("-0", "0"),
            ("1,234,567.50", "1234567.5"),
            ("$1,000", "1000"),
            ("-$5", "$-5"),
            ("\\$5", "5"),
            ("40%", "40"),
            (".5", "0.5"),
            ("\u{2212}3", "-3"),
        ] {
            assert!(Decimal::parse(a).is_some(), "{a}");
            assert_eq!(Decimal::parse(a), Decimal::parse(b), "{a} {b}");
        }
        let long = "9".repeat(100_000);
        assert_ne!(Decimal::parse(&long), Decimal::parse(&long[1..]));
    }

    #[test]
    fn what_is_no_decimal_is_none() {
        for text in [
            "", " ", "-", "$", ".", "5.", "1,2", "1,23", "12,34", ",123", "1,,000", "1.2.3", "1.0,0", "1e3",
            "--3", "+-3", "$$3", "1/2", "3x", "x", "0x10", "\u{0663}", "1 000", "%", "5%%", "-%",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
