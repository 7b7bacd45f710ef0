//! Reading a unit behind a value, in plain text or in LaTeX: `cm`, `\text{ m/s}^2`, `\frac{\text{m}}{\text{s}}`,
//! `square feet`, `million dollars`, `\Omega`.

use super::table::{self, Class, scale};
use super::{Part, Unit};
use crate::words;

/// What stands behind a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What the value is multiplied by: a million.
    pub(crate) scale: u64,
    pub(crate) unit: Unit,
    /// Bytes of the text that it takes.
    pub(crate) length: usize,
}

/// Bytes of a unit.
const MAX_LENGTH: usize = 120;

/// The number words and units that the text starts with, up to the end of the element.
pub(crate) fn read(text: &str) -> Option<Reading> {
    let text = &text[..text.floor_char_boundary(MAX_LENGTH.min(text.len()))];
    let mut reader = Reader { text, at: 0, depth: 0, unit: Unit::default(), scale: 1, sign: 1, square: 1 };
    let end = reader.all()?;
    let length = end + ends_element(&text[end..])?;
    let found = reader.scale > 1 || !reader.unit.0.is_empty();
    found.then_some(Reading { scale: reader.scale, unit: reader.unit, length })
}

/// Whether a value ends here, and how many full stops still belong to it.
fn ends_element(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches(['.', ' ', '\n', '\t', '$']);
    let starts = |ends: &[&str]| ends.iter().any(|end| rest.starts_with(end));
    let ends = rest.is_empty()
        || rest.starts_with([',', ';', ')', '}', ']', '=', '+', '-', '<', '>', '|', '&', '\u{2248}'])
        || rest.starts_with(|c: char| c.is_ascii_digit())
        || starts(&["\\)", "\\]", "\\}", "\\text{", "\\quad", "\\,", "\\right", "\\end", "\\approx", "\\le"])
        || starts(&["\\ge", "\\boxed", "\\ ", "\\;", "\\\\"])
        || ["and", "or"].iter().any(|word| {
            rest.strip_prefix(word).is_some_and(|next| !next.starts_with(|c: char| c.is_alphanumeric()))
        });
    ends.then_some(0)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Open groups of text commands: letters in them are upright.
    depth: usize,
    unit: Unit,
    scale: u64,
    /// The sign of the next unit's exponent: behind a slash it is negative.
    sign: i8,
    /// The power of the next unit: two behind `square`.
    square: i8,
}

impl Reader<'_> {
    /// Reads as much as is a unit, and returns where it ends.
    fn all(&mut self) -> Option<usize> {
        let mut end = None;
        loop {
            self.space();
            let rest = &self.text[self.at..];
            let Some(first) = rest.chars().next() else { break };
            if first == '}' && self.depth > 0 {
                self.depth -= 1;
                self.at += 1;
            } else if let Some(open) = text_command(rest) {
                self.depth += 1;
                self.at += open;
                continue;
            } else if let Some(length) = self.quotient(rest) {
                self.at += length;
            } else if let Some((length, exponent)) = power(rest) {
                let (_, last) = self.unit.0.last_mut()?;
                *last = last.checked_mul(exponent)?;
                self.at += length;
            } else if let Some((length, divides)) = separator(rest) {
                if self.unit.0.is_empty() && self.scale == 1 && !divides {
                    break;
                }
                self.sign = if divides { -1 } else { self.sign };
                self.at += length;
                // What is joined must go on with a unit.
                let before = self.unit.0.len();
                if !self.word_follows() || self.unit.0.len() == before {
                    break;
                }
            } else if first.is_alphabetic()
                || matches!(first, '\u{b0}' | '\u{2103}')
                || rest.starts_with("\\Omega")
            {
                if !self.word() {
                    break;
                }
            } else {
                break;
            }
            if self.depth == 0 && self.square == 1 {
                end = Some(self.at);
            }
        }
        if self.depth > 0 { None } else { end }
    }

    fn space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blank = ["\\,", "\\;", "\\:", "\\!", "\\ ", "\\quad", "~", " ", "\u{a0}", "\\\u{a0}"];
            match blank.iter().find(|blank| rest.starts_with(**blank)) {
                Some(blank) => self.at += blank.len(),
                None => return,
            }
        }
    }

    fn word_follows(&mut self) -> bool {
        loop {
            self.space();
            match text_command(&self.text[self.at..]) {
                Some(open) => {
                    self.depth += 1;
                    self.at += open;
                }
                None => return self.word(),
            }
        }
    }

    /// One word; `false` where it is no unit, and then nothing is taken.
    fn word(&mut self) -> bool {
        let rest = &self.text[self.at..];
        if rest.starts_with("\\Omega") {
            return self.take("ohm", "\\Omega".len());
        }
        let is_part = |c: char| c.is_alphabetic() || matches!(c, '\u{b0}' | '\u{2103}');
        let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
        let word = &rest[..length];
        if word.is_empty() {
            return false;
        }
        if self.unit.0.is_empty()
            && let Some(scale) = scale(word)
            && let Some(product) = self.scale.checked_mul(scale)
        {
            self.scale = product;
            self.at += length;
            return true;
        }
        // What is said of the things that were counted: `5 apples left`.
        let is_remark = matches!(
            word,
            "left"
                | "remaining"
                | "total"
                | "altogether"
                | "each"
                | "away"
                | "long"
                | "wide"
                | "tall"
                | "high"
                | "deep"
                | "old"
                | "ago"
        );
        if is_remark && !self.unit.0.is_empty() {
            self.at += length;
            return true;
        }
        match word {
            // Inches have the name of a preposition, unless they are raised.
            "in" if power(&rest[length..]).is_some() => return self.take("inch", length),
            "square" | "Square" | "sq" if self.next_word_is_unit(length) => {
                self.square = 2;
                self.at += length;
                return true;
            }
            "cubic" | "Cubic" | "cu" if self.next_word_is_unit(length) => {
                self.square = 3;
                self.at += length;
                return true;
            }
            // `5 of them` and `5 is` are no units, but "of" may join: "cups of water" is not understood.
            _ if table::is_adjective(word) && self.next_word_is_unit(length) => {
                self.at += length;
                return true;
            }
            _ => {}
        }
        // A letter alone is a unit where it is upright, or joined to another.
        let single = word.chars().count() == 1 && word.is_ascii();
        if single && self.depth == 0 && self.unit.0.is_empty() {
            return false;
        }
        match part(word) {
            Some(part) => {
                self.push(part);
                self.at += length;
                true
            }
            None => false,
        }
    }

    fn next_word_is_unit(&self, length: usize) -> bool {
        let rest = self.text[self.at + length..].trim_start_matches([' ', '.']);
        let rest = text_command(rest).map_or(rest, |open| &rest[open..]);
        let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        part(&rest[..length]).is_some()
    }

    fn take(&mut self, name: &'static str, length: usize) -> bool {
        self.push(Part::Known(name));
        self.at += length;
        true
    }

    fn push(&mut self, part: Part) {
        let exponent = self.sign * std::mem::replace(&mut self.square, 1);
        self.unit.0.push((part, exponent));
    }

    /// `\frac{m}{s}`
    fn quotient(&mut self, rest: &str) -> Option<usize> {
        let command = ["\\frac", "\\dfrac", "\\tfrac"].iter().find(|command| rest.starts_with(**command))?;
        let (above, after) = group(&rest[command.len()..])?;
        let (below, last) = group(&rest[command.len() + after..])?;
        for (content, sign) in [(above, 1), (below, -1)] {
            let mut inner = Reader {
                text: content,
                at: 0,
                depth: 0,
                unit: Unit::default(),
                scale: 1,
                sign: 1,
                square: 1,
            };
            // Letters of a fraction are upright, or joined to a unit: `\frac{\text{m}}{\text{s}}`.
            if inner.all()? != content.len() || inner.scale > 1 {
                return None;
            }
            self.unit.0.extend(inner.unit.0.into_iter().map(|(part, exponent)| (part, exponent * sign)));
        }
        Some(command.len() + after + last)
    }
}

/// The unit of a word: in the vocabulary as it is or singular, or the plural of some noun.
fn part(word: &str) -> Option<Part> {
    let lower = word.to_lowercase();
    let known = |name: &str| table::known(name).map(|known| Part::Known(known.name));
    let plain = |name: &str| {
        let long = name.chars().count() > 2 || !name.is_ascii();
        if long { table::known(name) } else { None }
    };
    if let Some(part) = known(word) {
        return Some(part);
    }
    for name in ["", "s", "es"].iter().filter_map(|end| lower.strip_suffix(end)) {
        if let Some(known) = plain(name) {
            return Some(Part::Known(known.name));
        }
    }
    if let Some(stem) = lower.strip_suffix("ies")
        && let Some(found) = plain(&format!("{stem}y"))
    {
        return Some(Part::Known(found.name));
    }
    let stem = lower.strip_suffix('s')?;
    let is_plural = word.len() >= 4
        && word.bytes().all(|b| b.is_ascii_lowercase())
        && !stem.ends_with(['s', 'u', 'i'])
        && !table::is_no_plural(word)
        && words::word(word).is_none();
    is_plural.then(|| Part::Noun(stem.to_owned()))
}

/// Whether a word counts things or measures: a text that ends with it is a quantity.
pub(crate) fn is_unit(word: &str) -> bool {
    table::known(word).is_some_and(|known| matches!(known.class, Class::Measure(..)))
}

/// The command that sets text upright and opens its group here: its length.
fn text_command(rest: &str) -> Option<usize> {
    const COMMANDS: &[&str] = &[
        "\\text{",
        "\\mathrm{",
        "\\textrm{",
        "\\textnormal{",
        "\\mbox{",
        "\\hbox{",
        "\\operatorname{",
        "\\rm{",
        "\\textbf{",
        "\\textit{",
        "\\mathsf{",
        "\\unit{",
        "\\text {",
        "\\mathrm {",
    ];
    COMMANDS.iter().find(|command| rest.starts_with(**command)).map(|command| command.len())
}

/// The content of a braced group that starts here, and the bytes that it takes.
fn group(text: &str) -> Option<(&str, usize)> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((&text[1..at], at + 1));
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// `^2`, `^{-2}`, a superscript digit: its length and value.
fn power(text: &str) -> Option<(usize, i8)> {
    let raised = text.strip_prefix('^');
    if let Some(rest) = raised {
        let (braced, inner) = rest.strip_prefix('{').map_or((false, rest), |inner| (true, inner));
        let (sign, digits) = inner.strip_prefix('-').map_or((1, inner), |digits| (-1, digits));
        let digit = digits.chars().next().and_then(|c| c.to_digit(10))?;
        let close = usize::from(braced);
        if braced && !digits[1..].starts_with('}') {
            return None;
        }
        return Some((text.len() - digits.len() + 1 + close, sign * i8::try_from(digit).ok()?));
    }
    let first = text.chars().next()?;
    let digit = words::superscript(first)?;
    Some((first.len_utf8(), digit.parse().ok()?))
}

/// What joins two units, and whether it divides.
fn separator(rest: &str) -> Option<(usize, bool)> {
    const JOINS: &[(&str, bool)] = &[
        ("/", true),
        ("per ", true),
        ("\\cdot", false),
        ("\\times", false),
        ("\u{b7}", false),
        ("\u{22c5}", false),
        ("*", false),
    ];
    JOINS.iter().find(|(sign, _)| rest.starts_with(sign)).map(|(sign, divides)| (sign.len(), *divides))
}
