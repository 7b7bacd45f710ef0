//! Units of measure behind a value. A unit is no part of the answer, as in Math-Verify; the question has fixed it.
//! Only words of two letters and more: `5 m` may be five metres or five times m, and nothing decides which.

/// Units, singular; a plural `s` or `es` is understood.
const UNITS: &[&str] = &[
    "mm",
    "cm",
    "dm",
    "km",
    "nm",
    "mg",
    "kg",
    "gram",
    "ton",
    "tonne",
    "pound",
    "lb",
    "lbs",
    "ounce",
    "oz",
    "inch",
    "inches",
    "foot",
    "feet",
    "ft",
    "yard",
    "yd",
    "mile",
    "mi",
    "metre",
    "meter",
    "kilometer",
    "kilometre",
    "centimeter",
    "centimetre",
    "millimeter",
    "millimetre",
    "liter",
    "litre",
    "ml",
    "mL",
    "gallon",
    "quart",
    "pint",
    "cup",
    "acre",
    "hectare",
    "second",
    "sec",
    "minute",
    "min",
    "hour",
    "hr",
    "day",
    "week",
    "month",
    "year",
    "yr",
    "degree",
    "deg",
    "radian",
    "rad",
    "dollar",
    "cent",
    "euro",
    "yuan",
    "rupee",
    "rs",
    "Rs",
    "mph",
    "kmh",
    "kmph",
    "Hz",
    "kHz",
    "Pa",
    "kPa",
    "kJ",
    "joule",
    "watt",
    "kW",
    "newton",
    "volt",
    "ohm",
    "mol",
    "unit",
    "square",
    "cubic",
    "sq",
    "cu",
    "person",
    "people",
    "student",
    "men",
    "man",
    "women",
    "woman",
    "child",
    "children",
    "boy",
    "girl",
    "apple",
    "coin",
    "ticket",
    "tile",
    "way",
    "digit",
    "point",
    "book",
    "marble",
    "time",
    "step",
    "page",
    "pie",
    "toy",
    "meal",
    "kilogram",
    "milliliter",
    "mph",
];

/// Single letters that are units behind a slash or `per`.
const SHORT: &[&str] = &["s", "h", "m", "g", "L", "l"];

/// How much of the text is units, where it starts with a unit and ends an element with it.
pub(crate) fn trailing(text: &str) -> Option<usize> {
    let mut at = unit(text, false)?;
    loop {
        at += power(&text[at..]);
        let rest = text[at..].trim_start();
        let rest =
            rest.strip_prefix("per ").or_else(|| rest.strip_prefix('/')).map_or((rest, false), |r| (r, true));
        let (rest, divided) = (rest.0.trim_start(), rest.1);
        match unit(rest, divided) {
            Some(length) => at = text.len() - rest.len() + length,
            None => break,
        }
    }
    ends_element(&text[at..]).map(|more| at + more)
}

/// Whether a value ends here, and how much of the text still belongs to its unit (an exponent).
pub(crate) fn ends_element(text: &str) -> Option<usize> {
    let length = power(text);
    let rest = text[length..].trim_start_matches(['.', ' ', '\n', '\t', '$']);
    let ends = rest.is_empty()
        || rest.starts_with([',', ';', ')', '}', ']'])
        || ["\\)", "\\]", "\\}", "\\text{", "\\quad", "\\,", "\\right", "\\end"]
            .iter()
            .any(|end| rest.starts_with(end));
    ends.then_some(length)
}

fn unit(text: &str, short: bool) -> Option<usize> {
    let length = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let word = &text[..length];
    let is = |word: &str| UNITS.contains(&word);
    let known = is(word)
        || word.strip_suffix('s').is_some_and(is)
        || word.strip_suffix("es").is_some_and(is)
        || (short && SHORT.contains(&word));
    (length > 0 && known).then_some(length)
}

/// `^2`, `^{2}`, a superscript digit.
fn power(text: &str) -> usize {
    for (open, close) in [("^{", "}"), ("^", "")] {
        if let Some(rest) = text.strip_prefix(open) {
            let digits = rest.strip_prefix('-').unwrap_or(rest);
            if digits.starts_with(|c: char| c.is_ascii_digit()) && digits[1..].starts_with(close) {
                return open.len() + (rest.len() - digits.len()) + 1 + close.len();
            }
        }
    }
    text.chars().next().filter(|&c| crate::words::superscript(c).is_some()).map_or(0, char::len_utf8)
}
