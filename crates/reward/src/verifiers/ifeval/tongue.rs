//! Which language a text is in, for the instructions of IFEval that ask for one: by script, and by stop words where
//! languages share it.

use crate::LanguageId;
use unicode_script::{Script, UnicodeScript};

/// Frequent words of languages that share a script other than Latin, or that the stop words of Latin ones lack.
const MARKS: &[(&str, &[&str])] = &[
    ("hi", &["है", "हैं", "और", "का", "की", "के", "में", "यह", "से"]),
    ("mr", &["आहे", "आहेत", "आणि", "च्या", "मध्ये", "हे", "ते", "एक"]),
    ("ne", &["छ", "छन्", "हो", "र", "को", "मा", "यो", "गर्न"]),
    ("ru", &["и", "в", "не", "на", "что", "это", "как", "для", "с"]),
    ("uk", &["і", "в", "не", "на", "що", "це", "як", "для", "є", "та"]),
    ("bg", &["и", "в", "не", "на", "че", "това", "е", "да", "за", "са", "се"]),
    ("ar", &["في", "من", "على", "أن", "هذا", "إلى", "التي", "هو"]),
    ("fa", &["در", "از", "که", "این", "است", "را", "به", "و", "با"]),
    ("ur", &["ہے", "میں", "کے", "کی", "اور", "یہ", "سے", "کا", "ہیں"]),
    ("sw", &["na", "ya", "wa", "kwa", "ni", "katika", "za", "kuwa", "hii", "la"]),
];

/// Languages that have a script to themselves here.
const SCRIPTS: &[(Script, &str)] = &[
    (Script::Bengali, "bn"),
    (Script::Greek, "el"),
    (Script::Gujarati, "gu"),
    (Script::Gurmukhi, "pa"),
    (Script::Hangul, "ko"),
    (Script::Hebrew, "he"),
    (Script::Kannada, "kn"),
    (Script::Malayalam, "ml"),
    (Script::Tamil, "ta"),
    (Script::Telugu, "te"),
    (Script::Thai, "th"),
];

/// The ISO 639-1 code of a text's language; `None` where it has no letter, or where no language can be told.
pub(super) fn language(text: &str) -> Option<&'static str> {
    let mut counts: Vec<(Script, usize)> = Vec::new();
    for script in text.chars().filter(|c| c.is_alphabetic()).map(|c| c.script()) {
        match counts.iter_mut().find(|(known, _)| *known == script) {
            Some((_, count)) => *count += 1,
            None => counts.push((script, 1)),
        }
    }
    let count =
        |script: Script| counts.iter().find(|(known, _)| *known == script).map_or(0, |(_, count)| *count);
    let (main, _) = counts.iter().max_by_key(|(_, count)| *count)?;
    match main {
        Script::Latin => latin(text),
        Script::Cyrillic => marked(text, &["ru", "uk", "bg"]),
        Script::Arabic => marked(text, &["ar", "fa", "ur"]),
        Script::Devanagari => marked(text, &["hi", "mr", "ne"]),
        // Kana beside Han is Japanese.
        Script::Hiragana | Script::Katakana => Some("ja"),
        Script::Han if count(Script::Hiragana) + count(Script::Katakana) > 0 => Some("ja"),
        Script::Han => Some("zh"),
        script => SCRIPTS.iter().find(|(known, _)| known == script).map(|(_, code)| *code),
    }
}

/// Latin languages by the share of their words.
fn latin(text: &str) -> Option<&'static str> {
    let lower = sampled(text).to_lowercase();
    let codes = ["en", "de", "es", "fr", "it", "nl", "pl", "pt", "sv", "tr", "vi"];
    let share =
        |code: &'static str| (code, LanguageId::new(code).map_or(0.0, |language| language.share(&lower)));
    let best = codes.into_iter().map(share).max_by(|left, right| left.1.total_cmp(&right.1))?;
    let swahili = hits(&lower, "sw");
    let words = lower.split_whitespace().count();
    if swahili * 6 > words && words > 3 {
        return Some("sw");
    }
    (best.1 > 0.0).then_some(best.0)
}

/// All of a text, or eight parts from all over a long one: each language reads it once.
fn sampled(text: &str) -> String {
    const PARTS: usize = 8;
    const PART: usize = 4 << 10; // bytes
    if text.len() <= PARTS * PART {
        return text.to_owned();
    }
    let boundary = |at: usize| (at..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let part = |index: usize| {
        let start = index * (text.len() - PART) / (PARTS - 1);
        &text[boundary(start)..boundary(start + PART)]
    };
    (0..PARTS).map(part).collect::<Vec<_>>().join(" ")
}

fn marked(text: &str, codes: &[&'static str]) -> Option<&'static str> {
    codes.iter().copied().rev().max_by_key(|code| hits(text, code))
}

/// Words of a text that are frequent in a language.
fn hits(text: &str, code: &str) -> usize {
    let known = MARKS.iter().find(|(known, _)| *known == code).map_or(&[][..], |(_, words)| *words);
    let is_border =
        |c: char| c.is_whitespace() || c.is_ascii_punctuation() || matches!(c, '।' | '،' | '۔' | '«' | '»');
    text.split(is_border).filter(|word| known.contains(&word.to_lowercase().as_str())).count()
}

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn common_languages_are_told() {
        for (text, code) in [
            ("THIS IS THE BEST OF ALL THE DAYS IN THE YEAR", "en"),
            ("Das ist nicht der Weg, den wir mit dem Auto gehen wollen.", "de"),
            ("यह एक किताब है और यह अच्छी है", "hi"),
            ("Это не то, что мы хотели для вас", "ru"),
            ("Це не те, що ми хотіли для вас, та є ще час", "uk"),
            ("این کتاب در خانه است و از من", "fa"),
            ("これは本です", "ja"),
            ("తెలుగు భాష", "te"),
        ] {
            assert_eq!(language(text), Some(code), "{text}");
        }
        assert_eq!(language("123 !"), None);
    }
}
