//! One normalisation before anything is read: full-width and compatibility characters, dashes, quotes, superscripts,
//! HTML and Markdown. What a text says stays; how it is dressed goes. Digits of another script are digits only in a
//! text of that script.

use std::borrow::Cow;
use std::ops::Range;

/// Emphasised stretches that are kept: the last ones.
const MAX_BOLD: usize = 16;

/// A text in normal form.
pub(crate) struct Normal<'a> {
    pub(crate) text: Cow<'a, str>,
    /// What was set in bold, in order.
    pub(crate) bold: Vec<Range<usize>>,
}

/// The normal form of a text, in linear time; most texts are borrowed.
pub(crate) fn normal(text: &str) -> Normal<'_> {
    let plain = |byte: u8| byte.is_ascii() && !matches!(byte, b'*' | b'`' | b'<' | b'&' | b'_');
    if text.bytes().all(plain) {
        return Normal { text: Cow::Borrowed(text), bold: Vec::new() };
    }
    let mut writer = Writer {
        text,
        at: 0,
        out: String::with_capacity(text.len() + 16),
        bold: Vec::new(),
        open: None,
        digits: Digits::of(text),
    };
    while writer.at < text.len() {
        writer.step();
    }
    Normal { text: Cow::Owned(writer.out), bold: writer.bold }
}

/// Which scripts' digits count.
struct Digits {
    wide: bool,
    arabic: bool,
    devanagari: bool,
}

impl Digits {
    fn of(text: &str) -> Self {
        let mut digits = Self { wide: false, arabic: false, devanagari: false };
        if text.is_ascii() {
            return digits;
        }
        for c in text.chars() {
            digits.wide |= is_ideographic(c);
            digits.arabic |= matches!(c, '\u{620}'..='\u{64a}' | '\u{671}'..='\u{6d3}');
            digits.devanagari |= matches!(c, '\u{904}'..='\u{939}');
        }
        digits
    }

    fn value(&self, c: char) -> Option<char> {
        let zero = match c {
            '\u{ff10}'..='\u{ff19}' if self.wide => 0xff10,
            '\u{660}'..='\u{669}' if self.arabic => 0x660,
            '\u{6f0}'..='\u{6f9}' if self.arabic => 0x6f0,
            '\u{966}'..='\u{96f}' if self.devanagari => 0x966,
            _ => return None,
        };
        char::from_digit(c as u32 - zero, 10)
    }
}

/// Letters of scripts that put no space between words and numbers.
fn is_ideographic(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}')
}

struct Writer<'a> {
    text: &'a str,
    at: usize,
    out: String,
    bold: Vec<Range<usize>>,
    /// Where an emphasis began.
    open: Option<usize>,
    digits: Digits,
}

impl Writer<'_> {
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return };
        let taken = match first {
            '*' => self.asterisks(rest),
            '`' if rest.starts_with("```") => {
                self.out.push_str("```");
                3
            }
            '`' => 1,
            '<' => self.tag(rest),
            '&' => self.entity(rest),
            '_' => self.underscore(rest),
            c if c.is_ascii() => {
                self.spaced(c);
                1
            }
            c => self.other(rest, c),
        };
        self.at += taken.max(1);
    }

    /// A character, with a space between it and a letter of a script that has none.
    fn spaced(&mut self, c: char) {
        if let Some(last) = self.out.chars().next_back()
            && last.is_ascii() != c.is_ascii()
        {
            let (wide, narrow) = if is_ideographic(c) { (c, last) } else { (last, c) };
            let is_value = narrow.is_ascii_alphanumeric()
                || matches!(narrow, '-' | '\\' | '(' | '[' | '$' | ')' | ']' | '}' | '%');
            if is_ideographic(wide) && is_value && !(last == '(' || last == '[' || last == '-') {
                self.out.push(' ');
            }
        }
        self.out.push(c);
    }

    fn previous(&self) -> Option<char> {
        self.text[..self.at].chars().next_back()
    }

    /// Markdown's emphasis; `2**3` and `2 * 3` are arithmetic.
    fn asterisks(&mut self, rest: &str) -> usize {
        let length = rest.bytes().take_while(|&b| b == b'*').count();
        let (before, after) = (self.previous(), rest[length..].chars().next());
        let operand = |c: Option<char>| {
            c.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '(' | ')' | '}' | '{' | '\\'))
        };
        let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
        let is_operator =
            length <= 2 && ((operand(before) && operand(after)) || (blank(before) && blank(after)));
        let single = length == 1 && self.open.is_none() && !self.closes(rest);
        if is_operator || single || length > 3 || (self.open.is_none() && blank(after)) {
            self.out.push_str(&rest[..length]);
            return length;
        }
        match self.open.take() {
            None => self.open = Some(self.out.len()),
            Some(start) => {
                if self.bold.len() == MAX_BOLD {
                    self.bold.remove(0);
                }
                self.bold.push(start..self.out.len());
            }
        }
        length
    }

    /// Whether one asterisk opens an emphasis that is closed on its line.
    fn closes(&self, rest: &str) -> bool {
        let near = &rest[1..rest.floor_char_boundary(200.min(rest.len())).max(1)];
        let inner = &near[..near.find('\n').unwrap_or(near.len())];
        let opens = self.previous().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ':' | '"'));
        let Some(end) = inner.find('*') else { return false };
        let last = inner[..end].chars().next_back();
        let after = inner[end + 1..].chars().next();
        opens
            && last.is_some_and(|c| !c.is_whitespace())
            && after.is_none_or(|c| {
                c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')' | '"')
            })
    }

    fn tag(&mut self, rest: &str) -> usize {
        const TAGS: &[&str] = &[
            "b", "i", "u", "em", "strong", "code", "span", "mark", "tt", "small", "big", "font", "p", "br",
            "div", "sub", "sup",
        ];
        let near = &rest[1..rest.floor_char_boundary(80.min(rest.len()))];
        let closing = near.starts_with('/');
        let name_at = usize::from(closing);
        let length = near[name_at..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let name = near[name_at..name_at + length].to_ascii_lowercase();
        let behind = &near[name_at + length..];
        let end = if behind.starts_with('>') {
            Some(0)
        } else if behind.starts_with([' ', '/']) {
            behind.find('>').filter(|&end| !behind[..end].contains('<'))
        } else {
            None
        };
        let (true, Some(end)) = (TAGS.contains(&name.as_str()), end) else {
            self.out.push('<');
            return 1;
        };
        match (name.as_str(), closing) {
            ("p" | "br" | "div", _) => self.out.push('\n'),
            ("sup", false) => self.out.push_str("^{"),
            ("sub", false) => self.out.push_str("_{"),
            ("sup" | "sub", true) => self.out.push('}'),
            ("b" | "strong" | "em" | "mark", false) => self.open = Some(self.out.len()),
            ("b" | "strong" | "em" | "mark", true) => {
                if let Some(start) = self.open.take() {
                    self.bold.push(start..self.out.len());
                }
            }
            _ => {}
        }
        1 + name_at + length + end + 1
    }

    fn entity(&mut self, rest: &str) -> usize {
        const ENTITIES: &[(&str, &str)] = &[
            ("&nbsp;", " "),
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&le;", "\u{2264}"),
            ("&ge;", "\u{2265}"),
            ("&ne;", "\u{2260}"),
            ("&times;", "\u{d7}"),
            ("&middot;", "\u{b7}"),
            ("&minus;", "-"),
            ("&ndash;", "-"),
            ("&pi;", "\u{3c0}"),
            ("&radic;", "\u{221a}"),
            ("&deg;", "\u{b0}"),
            ("&infin;", "\u{221e}"),
            ("&plusmn;", "\u{b1}"),
            ("&frac12;", "\u{bd}"),
            ("&sup2;", "\u{b2}"),
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&amp;", "&"),
        ];
        let found = ENTITIES.iter().find(|(name, _)| rest.starts_with(name));
        self.out.push_str(found.map_or("&", |(_, meaning)| meaning));
        found.map_or(1, |(name, _)| name.len())
    }

    /// `1_234_567` is a number with separators, `101_2` has a base.
    fn underscore(&mut self, rest: &str) -> usize {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let grouped = self.previous().is_some_and(|c| c.is_ascii_digit())
            && digits(&rest[1..]) == 3
            && !rest[4..].starts_with(|c: char| c.is_alphabetic());
        if !grouped {
            self.out.push('_');
        }
        1
    }

    fn other(&mut self, rest: &str, c: char) -> usize {
        let length = c.len_utf8();
        if let Some(digit) = self.digits.value(c) {
            self.spaced(digit);
            return length;
        }
        if script(c, SUPERSCRIPTS).is_some() {
            return self.raised(rest);
        }
        if script(c, SUBSCRIPTS).is_some() {
            let (digits, taken) = run(rest, SUBSCRIPTS);
            self.out.extend(["_{", &digits, "}"]);
            return taken;
        }
        match c {
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' | '\u{300a}'..='\u{300f}' => {
                self.out.push('"');
            }
            '\u{2018}' | '\u{2019}' | '\u{201a}' => self.out.push('\''),
            '\u{2010}'..='\u{2013}' | '\u{2212}' | '\u{fe63}' => self.out.push('-'),
            '\u{2044}' | '\u{2215}' => self.out.push('/'),
            '\u{a0}'
            | '\u{2002}'..='\u{200a}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{3010}'
            | '\u{3011}' => {
                self.out.push(' ');
            }
            '\u{3002}' | '\u{ff61}' => self.out.push('.'),
            '\u{3001}' => self.out.push(','),
            '\u{221b}' => self.out.push_str("\\sqrt[3]"),
            '\u{221c}' => self.out.push_str("\\sqrt[4]"),
            '\u{2103}' => self.out.push_str("\u{b0}C"),
            '\u{2026}' => self.out.push_str("\\ldots "),
            // Punctuation and signs in full width, not letters and digits.
            '\u{ff01}'..='\u{ff5e}' => {
                let narrow = char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
                if narrow.is_ascii_alphanumeric() { self.out.push(c) } else { self.spaced(narrow) }
            }
            '\u{1d7ce}'..='\u{1d7ff}' => {
                self.out.push(char::from_digit((c as u32 - 0x1d7ce) % 10, 10).unwrap_or(c));
            }
            '\u{1d400}'..='\u{1d6a3}' => {
                let at = (c as u32 - 0x1d400) % 52;
                let letter = if at < 26 { b'A' + at as u8 } else { b'a' + (at - 26) as u8 };
                self.out.push(char::from(letter));
            }
            c => self.spaced(c),
        }
        length
    }

    /// A run of superscripts: an exponent, or the upper part of a fraction. One digit stays as it is.
    fn raised(&mut self, rest: &str) -> usize {
        let (digits, taken) = run(rest, SUPERSCRIPTS);
        if let Some(below) = rest[taken..].strip_prefix(['\u{2044}', '/']) {
            let (denominator, length) = run(below, SUBSCRIPTS);
            if length > 0 {
                self.out.extend(["\\frac{", &digits, "}{", &denominator, "}"]);
                return rest.len() - below.len() + length;
            }
        }
        if digits.len() == 1 && digits.as_bytes()[0].is_ascii_digit() {
            self.out.push_str(&rest[..taken]);
        } else {
            self.out.extend(["^{", &digits, "}"]);
        }
        taken
    }
}

const SUPERSCRIPTS: (&str, &str) = (
    "\u{2070}\u{b9}\u{b2}\u{b3}\u{2074}\u{2075}\u{2076}\u{2077}\u{2078}\u{2079}\u{207a}\u{207b}\u{207d}\u{207e}\u{207f}\u{2071}\u{2e3}\u{1d4f}\u{1d50}",
    "0123456789+-()nixkm",
);
const SUBSCRIPTS: (&str, &str) = (
    "\u{2080}\u{2081}\u{2082}\u{2083}\u{2084}\u{2085}\u{2086}\u{2087}\u{2088}\u{2089}\u{208a}\u{208b}\u{208d}\u{208e}\u{2099}\u{1d62}\u{2093}\u{2096}\u{2098}",
    "0123456789+-()nixkm",
);

fn script(c: char, (from, to): (&str, &str)) -> Option<char> {
    // Most characters are in neither table, and each of them is asked for twice.
    let is_raised =
        matches!(c, '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{2e3}' | '\u{1d4f}' | '\u{1d50}' | '\u{1d62}');
    if !is_raised && !matches!(c, '\u{2070}'..='\u{2098}') {
        return None;
    }
    from.chars().position(|known| known == c).and_then(|at| to.chars().nth(at))
}

/// A run of characters of a script as they are on the line, and its length.
fn run(text: &str, table: (&str, &str)) -> (String, usize) {
    let mut out = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let Some(plain) = script(c, table) else { break };
        out.push(plain);
        taken += c.len_utf8();
    }
    (out, taken)
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn dress_goes_and_meaning_stays() {
        for (text, expected) in [
            ("**42**", "42"),
            ("2**3 and 2 ** 3", "2**3 and 2 ** 3"),
            ("2*3*4", "2*3*4"),
            ("Answer: *42*.", "Answer: 42."),
            ("* 3 apples", "* 3 apples"),
            ("<b>42</b> < 3", "42 < 3"),
            ("x<sup>2</sup>", "x^{2}"),
            ("10\u{b2}\u{b3}", "10^{23}"),
            ("cm\u{b2}", "cm\u{b2}"),
            ("101\u{2082}", "101_{2}"),
            ("\u{b9}\u{2044}\u{2082}", "\\frac{1}{2}"),
            ("\u{2013}3", "-3"),
            ("\u{ff08}1\u{ff0c}2\u{ff09}", "(1,2)"),
            ("\u{7b54}\u{6848}\u{662f}\u{ff14}\u{ff12}\u{3002}", "\u{7b54}\u{6848}\u{662f} 42."),
            ("\u{ff14}\u{ff12}", "\u{ff14}\u{ff12}"),
            ("\u{664}\u{662}", "\u{664}\u{662}"),
            ("1_234_567 and 101_2", "1234567 and 101_2"),
            ("\u{201c}42\u{201d}", "\"42\""),
            ("12\u{5143}", "12 \u{5143}"),
        ] {
            assert_eq!(normal(text).text, expected, "{text}");
        }
        let emphasised = normal("It is a **Tuesday**.");
        assert_eq!(&emphasised.text[emphasised.bold[0].clone()], "Tuesday");
    }
}
