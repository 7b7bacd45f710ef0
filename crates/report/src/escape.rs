//! Text that nobody vouches for, made harmless: for HTML, and for JSON inside of a script element.

use serde::Serialize;
use std::fmt::{Display, Formatter, Result, Write as _};

/// Text as HTML, in elements and in quoted attributes alike.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(visible(c))?,
            }
        }
        Ok(())
    }
}

/// A value as JSON that no HTML parser takes for markup, whatever its texts are.
///
/// # Panics
/// Never for the types of this crate: their keys are texts.
pub(crate) fn json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("keys are texts");
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => {
                let _ = write!(safe, "\\u{:04x}", c as u32); // a String takes everything
            }
            c => safe.push(c),
        }
    }
    safe
}

/// A text cut to so many characters, its controls made visible.
pub(crate) fn clipped(text: &str, characters: usize) -> String {
    let mut all = text.chars();
    let mut kept: String = all.by_ref().take(characters).map(visible).collect();
    let left = all.count();
    if left > 0 {
        let _ = write!(kept, " … ({left} more characters)");
    }
    kept
}

/// Controls as their pictures, and what turns the direction of reading as a replacement: both could make a text look
/// like another.
fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            '\u{fffd}'
        }
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, clipped, json};

    #[test]
    fn markup_becomes_text() {
        let hostile = "</script><img src=x onerror='alert(\"1\")'>&";
        assert_eq!(
            Text(hostile).to_string(),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;alert(&quot;1&quot;)&#39;&gt;&amp;"
        );
        let json = json(&hostile);
        assert!(!json.contains(['<', '>', '&']), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).expect("still JSON"), hostile);
    }

    #[test]
    fn controls_are_seen_and_cannot_turn_text_around() {
        assert_eq!(Text("a\0b\x1b[2Jc\u{202e}d").to_string(), "a\u{2400}b\u{241b}[2Jc\u{fffd}d");
    }

    #[test]
    fn a_cut_is_told() {
        assert_eq!(clipped("abcdef", 4), "abcd … (2 more characters)");
        assert_eq!(clipped("ab\0", 3), "ab\u{2400}");
    }
}
