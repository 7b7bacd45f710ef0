//! The language of a thought: by script, and by stop words where languages share the Latin script. It counts
//! words and knows no grammar.

use crate::parse::tags;
use crate::verifier::{Response, Verifier, verdict};
use crate::verifiers::stopwords::{self, Latin};
use ruminate_data::{Outcome, Task, Verdict};
use unicode_script::{Script, UnicodeScript};

/// Words that are told apart at a time: a single `the` must not speak for a page.
const WINDOW: usize = 16;

/// A stretch with fewer words may be without a stop word, and then is in the language of the one before.
const SHORT: usize = 8;

/// R1's language consistency reward (arXiv 2501.12948, section 2.3.2): the share of the thought's words that are in
/// the target language; correct when all are.
///
/// A word is a run of letters; a single Latin or Greek letter (a variable) and a LaTeX command are none, and a character of a
/// script written without spaces is one. Languages with a script of their own are told by script; Latin ones by stop
/// words, up to 16 words at a time. Words of which no language can be told count as foreign, and a thought without
/// any word scores 0: what is not written is in no language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanguageId {
    target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Latin(Latin),
    Scripts(&'static [Script]),
}

/// Languages that are told by their script, by ISO 639-1 code.
const BY_SCRIPT: [(&str, &[Script]); 17] = [
    ("ar", &[Script::Arabic]),
    ("bg", &[Script::Cyrillic]),
    ("bn", &[Script::Bengali]),
    ("el", &[Script::Greek]),
    ("fa", &[Script::Arabic]),
    ("he", &[Script::Hebrew]),
    ("hi", &[Script::Devanagari]),
    ("hy", &[Script::Armenian]),
    ("ja", &[Script::Han, Script::Hiragana, Script::Katakana]),
    ("ka", &[Script::Georgian]),
    ("ko", &[Script::Hangul]),
    ("ru", &[Script::Cyrillic]),
    ("ta", &[Script::Tamil]),
    ("th", &[Script::Thai]),
    ("uk", &[Script::Cyrillic]),
    ("ur", &[Script::Arabic]),
    ("zh", &[Script::Han]),
];

/// Scripts that put no spaces between words: a character counts as one.
pub(super) const WITHOUT_SPACES: [Script; 7] = [
    Script::Han,
    Script::Hiragana,
    Script::Katakana,
    Script::Thai,
    Script::Lao,
    Script::Khmer,
    Script::Myanmar,
];

impl LanguageId {
    /// The language of an ISO 639-1 code, such as `en`.
    pub fn new(code: &str) -> Option<Self> {
        let by_script =
            BY_SCRIPT.iter().find(|(known, _)| *known == code).map(|(_, scripts)| Target::Scripts(scripts));
        let target = by_script.or_else(|| Latin::by_code(code).map(Target::Latin))?;
        Some(Self { target })
    }

    /// The codes that [`new`](Self::new) knows, in order.
    pub fn codes() -> Vec<&'static str> {
        let mut codes: Vec<&str> = BY_SCRIPT.iter().map(|(code, _)| *code).chain(Latin::codes()).collect();
        codes.sort_unstable();
        codes
    }

    /// The share of a text's words that are in the language; 0 without a word.
    pub(crate) fn share(&self, text: &str) -> f64 {
        match self.count(text) {
            (_, 0) => 0.0,
            (own, all) => own as f64 / all as f64,
        }
    }

    /// Words in the language, and all words.
    fn count(&self, text: &str) -> (usize, usize) {
        let mut counts = Counts { target: self.target, own: 0, all: 0, before: None };
        let mut stretch: Vec<&str> = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Word(word) => match word.chars().next().map(|c| c.script()) {
                    Some(Script::Latin) => {
                        stretch.push(word);
                        if stretch.len() == WINDOW {
                            counts.add_latin(&mut stretch);
                        }
                    }
                    Some(script) => counts.add(script, word.chars().count()),
                    None => {}
                },
                Piece::End => counts.add_latin(&mut stretch),
            }
        }
        counts.add_latin(&mut stretch);
        (counts.own, counts.all)
    }
}

impl Default for LanguageId {
    /// English.
    fn default() -> Self {
        Self { target: Target::Latin(Latin::English) }
    }
}

impl Verifier for LanguageId {
    fn name(&self) -> &'static str {
        "language"
    }

    fn verify(&self, _task: &Task, response: &Response<'_>) -> Verdict {
        let counted =
            tags::thoughts(response.text, response.opening()).into_iter().map(|text| self.count(text));
        let (own, all) = counted.fold((0, 0), |sum, (own, all)| (sum.0 + own, sum.1 + all));
        if all == 0 {
            return verdict(Outcome::Wrong, 0.0, None, "no word in the thought");
        }
        let outcome = if own == all { Outcome::Correct } else { Outcome::Wrong };
        verdict(outcome, own as f64 / all as f64, None, format!("{own} of {all} words"))
    }
}

struct Counts {
    target: Target,
    own: usize,
    all: usize,
    /// The language of the Latin stretch before.
    before: Option<Latin>,
}

impl Counts {
    fn add(&mut self, script: Script, characters: usize) {
        let words = if WITHOUT_SPACES.contains(&script) { characters } else { 1 };
        self.all += words;
        if let Target::Scripts(scripts) = self.target
            && scripts.contains(&script)
        {
            self.own += words;
        }
    }

    /// Adds words between two ends of sentences and empties the stretch.
    fn add_latin(&mut self, stretch: &mut Vec<&str>) {
        if stretch.is_empty() {
            return;
        }
        let target = if let Target::Latin(latin) = self.target { Some(latin) } else { None };
        let language = match stopwords::language(stretch, target) {
            None if stretch.len() < SHORT => self.before,
            told => told,
        };
        self.before = language;
        self.all += stretch.len();
        if target.is_some() && language == target {
            self.own += stretch.len();
        }
        stretch.clear();
    }
}

enum Piece<'a> {
    /// A run of letters of one script.
    Word(&'a str),
    /// A sentence or a line ends.
    End,
}

/// The words of a text, LaTeX commands and single Latin letters left out.
struct Pieces<'a> {
    rest: &'a str,
}

fn pieces(text: &str) -> Pieces<'_> {
    Pieces { rest: text }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let first = self.rest.chars().next()?;
            if matches!(first, '.' | '!' | '?' | ';' | '\n') {
                self.rest = &self.rest[first.len_utf8()..];
                return Some(Piece::End);
            }
            let command = first == '\\';
            let letters = if command { &self.rest[1..] } else { self.rest };
            let length = word_length(letters);
            let word = &letters[..length];
            let skipped = usize::from(command);
            if length == 0 {
                self.rest = &self.rest[first.len_utf8()..];
                continue;
            }
            self.rest = &self.rest[skipped + length..];
            // A single letter of a formula, Greek ones included: a variable.
            let variable = word.len() == 1 || (word.chars().count() == 1 && is_greek(word));
            if !command && !variable {
                return Some(Piece::Word(word));
            }
        }
    }
}

fn is_greek(word: &str) -> bool {
    word.chars().all(|c| matches!(c.script(), Script::Greek | Script::Common))
}

/// Bytes of the run of letters at the start, all of one script; an apostrophe between letters belongs to it.
fn word_length(text: &str) -> usize {
    let mut script = None;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let own = character.script();
        let joins = match script {
            None => character.is_alphabetic(),
            Some(_) if matches!(character, '\'' | '\u{2019}') => characters
                .peek()
                .is_some_and(|(_, next)| Some(next.script()) == script && next.is_alphabetic()),
            Some(script) => {
                (character.is_alphabetic() && own == script) || (own == Script::Inherited && at > 0)
            }
        };
        if !joins {
            return at;
        }
        script = script.or(Some(own));
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::LanguageId;

    fn share(code: &str, text: &str) -> (usize, usize) {
        LanguageId::new(code).expect("a known language").count(text)
    }

    const ENGLISH: &str =
        "First we add the two numbers. That gives 12, so x = 3 and \\frac{1}{2} of it is six.";
    const GERMAN: &str = "Zuerst addieren wir die beiden Zahlen. Das ergibt 12, also ist die Antwort sechs.";
    const FRENCH: &str =
        "On additionne d'abord les deux nombres. Cela donne 12, donc la r\u{e9}ponse est six.";
    const SPANISH: &str =
        "Primero sumamos los dos n\u{fa}meros. Eso da 12, as\u{ed} que la respuesta es seis.";

    #[test]
    fn a_text_is_in_its_language_and_in_no_other() {
        for (code, text) in [("en", ENGLISH), ("de", GERMAN), ("fr", FRENCH), ("es", SPANISH)] {
            for target in ["en", "de", "fr", "es", "it", "zh"] {
                let (own, all) = share(target, text);
                assert_eq!(own, if target == code { all } else { 0 }, "{target}: {text}");
                assert!(all > 10, "{text}");
            }
        }
    }

    #[test]
    fn scripts_are_counted_by_word_and_han_by_character() {
        assert_eq!(share("zh", "\u{6211}\u{4eec}\u{52a0} 2+3"), (3, 3));
        assert_eq!(
            share("ru", "\u{441}\u{43b}\u{43e}\u{436}\u{438}\u{43c} \u{447}\u{438}\u{441}\u{43b}\u{430}"),
            (2, 2)
        );
        assert_eq!(share("ja", "\u{6211}\u{3042}"), (2, 2));
        assert_eq!(share("zh", "\u{6211}\u{3042}"), (1, 2));
        assert_eq!(share("ko", "\u{b450} \u{c218}"), (2, 2));
    }

    #[test]
    fn mixed_text_is_a_share() {
        // English 17 words with variables and commands left out, then five ideographs.
        let (own, all) = share("en", &format!("{ENGLISH} \u{7136}\u{540e}\u{6211}\u{4eec}\u{7b97}"));
        assert_eq!(all - own, 5);
        let (own, all) = share("en", &format!("{ENGLISH} {GERMAN}"));
        assert!(own * 3 > all && own * 3 < all * 2, "{own} of {all}");
    }

    #[test]
    fn one_stop_word_does_not_speak_for_a_page() {
        let salad = format!("the answer is this. {}", "zorg blint frap ".repeat(100));
        let (own, all) = share("en", &salad);
        assert!(own * 10 < all, "{own} of {all}");
    }

    #[test]
    fn numbers_variables_and_commands_are_no_words() {
        assert_eq!(share("en", "x + y = \\frac{1}{2} * 3_000 \u{221e}"), (0, 0));
        assert_eq!(share("en", "don't"), (1, 1));
    }

    #[test]
    fn codes_are_known_once() {
        let codes = LanguageId::codes();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert!(codes.iter().all(|code| LanguageId::new(code).is_some()));
        assert_eq!(LanguageId::new("xx"), None);
    }
}
