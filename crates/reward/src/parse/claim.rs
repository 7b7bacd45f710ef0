//! Which letter of a multiple choice a text commits to.

mod line;
mod words;

use line::last_claim;
use std::collections::BTreeSet;
use words::{ANCHORS, FILLERS};

/// What there is to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choices {
    /// How many letters, from A.
    pub(crate) count: u8,
    /// Their texts, where the task has them.
    pub(crate) options: Vec<String>,
}

impl Choices {
    /// The letter of an option by its text.
    pub(crate) fn by_text(&self, text: &str) -> Option<char> {
        let normal = |text: &str| text.trim().trim_end_matches('.').to_lowercase();
        let wanted = normal(text);
        let mut found = self.options.iter().zip('A'..='Z').filter(|(option, _)| normal(option) == wanted);
        let letter = found.next().map(|(_, letter)| letter);
        letter.filter(|_| found.next().is_none() && !wanted.is_empty())
    }

    fn known(&self, letter: char) -> Option<char> {
        let upper = letter.to_ascii_uppercase();
        let last = b'A' + self.count.clamp(1, 26) - 1;
        (upper.is_ascii_uppercase() && upper as u32 <= u32::from(last)).then_some(upper)
    }

    /// Whether the text goes on with the option of that letter.
    fn has_text(&self, letter: char, rest: &str) -> bool {
        let option = self.options.get((letter as u8 - b'A') as usize);
        option.is_some_and(|option| {
            let mut rest = rest.trim_start().chars().flat_map(char::to_lowercase);
            !option.is_empty() && option.chars().flat_map(char::to_lowercase).all(|c| rest.next() == Some(c))
        })
    }
}

/// The one letter that a whole text commits to.
pub(crate) fn one(text: &str, choices: &Choices) -> Result<char, &'static str> {
    let text = text.trim();
    if let Some(letter) = letter(text, choices).or_else(|| choices.by_text(text)) {
        return Ok(letter);
    }
    if let Some(content) = last_box(text) {
        return boxed(content, choices).ok_or("the last box holds no letter of the choices");
    }
    if let Some(letter) = lettered(text, choices) {
        return Ok(letter);
    }
    if let Some(claimed) = last_claim(text, choices) {
        return claimed;
    }
    Err("no letter is given as the answer")
}

/// All letters that a whole text commits to, where several are right.
pub(crate) fn several(text: &str, choices: &Choices) -> Result<BTreeSet<char>, &'static str> {
    let text = text.trim();
    if let Some(content) = last_box(text) {
        return letters(content, choices).ok_or("the last box holds no letters of the choices");
    }
    if let Some(found) = letters(text, choices) {
        return Ok(found);
    }
    let lower = text.to_lowercase();
    let anchor = ANCHORS.iter().filter_map(|anchor| lower.rfind(anchor).map(|at| at + anchor.len())).max();
    let behind = anchor.filter(|&at| text.is_char_boundary(at)).map(|at| {
        let line = text[at..].trim_start().lines().next().unwrap_or_default();
        let is_filler = |word: &&str| {
            let bare = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
            bare.is_empty()
                || bare.len() > 1
                    && (FILLERS.contains(&bare.as_str())
                        || matches!(bare.as_str(), "options" | "choices" | "letters"))
        };
        let words = line.trim_start_matches([':', '*', ' ']);
        words.split_whitespace().skip_while(is_filler).collect::<Vec<_>>().join(" ")
    });
    behind.and_then(|rest| letters(&rest, choices)).ok_or("no letters are given as the answer")
}

/// A text that is nothing but a letter, whatever its markup.
pub(crate) fn letter(text: &str, choices: &Choices) -> Option<char> {
    let mut text = text.trim();
    for word in ["option", "choice", "answer"] {
        if let Some(start) = text.get(..word.len())
            && start.eq_ignore_ascii_case(word)
            && text[word.len()..].starts_with([' ', ':'])
        {
            text = text[word.len()..].trim_start_matches([' ', ':']);
        }
    }
    let text = text.strip_suffix(['.', ',']).unwrap_or(text);
    let text = text.trim_start_matches(['$', '*', '(', '[', '`', '"', '\'']);
    let text = ["\\boxed{", "\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{"]
        .iter()
        .fold(text, |text, command| text.trim_start_matches(command));
    let text = text.trim_start_matches('(');
    let text = text.trim_end_matches(['$', '*', ')', ']', '`', '"', '\'', '}', '.', ':']);
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(letter), None) => choices.known(letter),
        _ => None,
    }
}

/// `C. Paris`, `C) Paris`, `(C) Paris`, `C: Paris`.
pub(crate) fn lettered(text: &str, choices: &Choices) -> Option<char> {
    let text = text.trim();
    let (head, rest) = text.split_once(char::is_whitespace)?;
    let found = head.ends_with(['.', ')', ':', ',']).then(|| letter(head, choices))??;
    let lower = rest.to_lowercase();
    let denied = ["is wrong", "is not", "is incorrect", "isn't", "can't", "cannot", "is false"];
    if head.ends_with(',')
        && !lower.starts_with("not")
        && !lower.starts_with("because")
        && !lower.starts_with("since")
    {
        return None;
    }
    (!denied.iter().any(|words| lower.starts_with(words)) && !claims_another(rest, found, choices))
        .then_some(found)
}

/// Several letters and nothing else: `AC`, `A, C`, `A and C`.
pub(crate) fn letters(text: &str, choices: &Choices) -> Option<BTreeSet<char>> {
    let text = text.trim().trim_end_matches('.');
    let mut found = BTreeSet::new();
    for word in text
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | '/' | '\u{3001}' | '\u{ff0c}'))
    {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        if bare.is_empty() || matches!(bare.to_lowercase().as_str(), "and" | "text" | "options" | "choices") {
            continue;
        }
        let bare = bare.strip_prefix("text{").unwrap_or(bare);
        if !bare.chars().all(|c| c.is_ascii_uppercase()) {
            return None;
        }
        for c in bare.chars() {
            if !found.insert(choices.known(c)?) {
                return None;
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// What the last `\boxed` or `\fbox` holds; an unclosed one holds nothing.
fn last_box(text: &str) -> Option<&str> {
    let at = ["\\boxed", "\\fbox"]
        .iter()
        .filter_map(|command| text.rfind(command).map(|at| at + command.len()))
        .max()?;
    let inner = text[at..].trim_start().strip_prefix('{')?;
    let mut depth = 1_usize;
    for (end, byte) in inner.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(&inner[..end]);
                }
            }
            _ => {}
        }
    }
    Some("")
}

/// The letter of a box, with its text or without: `\textbf{(B)}\ 12`.
fn boxed(content: &str, choices: &Choices) -> Option<char> {
    let plain: String =
        ["\\textbf", "\\text", "\\mathrm", "\\mathbf", "\\textrm", "\\quad", "\\,", "\\;", "\\ ", "$"]
            .iter()
            .fold(content.to_owned(), |text, command| text.replace(command, " "))
            .replace(['{', '}'], " ");
    let plain = plain.trim();
    letter(plain, choices).or_else(|| lettered(plain, choices)).or_else(|| choices.by_text(plain))
}

/// Whether a text behind a letter claims another one: joined to it (`or D`, `, D`), or labelled as
/// it is (`D) no`). A reason may list others (`since A and B are too small`), but not offer one
/// (`because it is odd, or maybe D`).
fn claims_another(text: &str, chosen: char, choices: &Choices) -> bool {
    let mut before = String::new();
    let mut in_reason = false;
    for word in text.split_whitespace() {
        for part in word.split_inclusive('/') {
            let bare = part.trim_matches(|c: char| !c.is_alphanumeric());
            let mut characters = bare.chars();
            let single = match (characters.next(), characters.next()) {
                (Some(letter), None) if letter.is_ascii_uppercase() => {
                    choices.known(letter).filter(|&c| c != chosen)
                }
                _ => None,
            };
            if single.is_some() {
                let joined = match before.as_str() {
                    "" | "," | "and" => !in_reason,
                    "or" | "rather" | "maybe" | "perhaps" | "possibly" | "/" | "either" => true,
                    _ => false,
                };
                let labelled = part.ends_with(')') || (part.ends_with('.') && before.ends_with('.'));
                let denied = matches!(before.as_str(), "not" | "than" | "of");
                if (joined || labelled) && !denied {
                    return true;
                }
            }
            in_reason |= ["because", "since"].iter().any(|word| bare.eq_ignore_ascii_case(word));
            in_reason &= !part.ends_with(['.', ';', '!', '?']);
            before = if bare.is_empty() { part.to_owned() } else { bare.to_lowercase() };
            if part.ends_with(['.', ',', '/']) && single.is_none() {
                before = if part.ends_with('.') { ".".to_owned() } else { before };
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Choices, one, several};

    fn choices(count: u8) -> Choices {
        Choices { count, options: Vec::new() }
    }

    #[test]
    fn one_letter_is_a_choice() {
        for text in [
            "C",
            " c ",
            "(C)",
            "C.",
            "C)",
            "**C**",
            "\\boxed{C}",
            "$\\boxed{\\text{C}}$",
            "C. Paris",
            "(C) Paris",
            "C: a rainbow",
            "The answer is C.",
            "Final answer: (C)",
            "**Answer:** C",
            "A is wrong. The answer is C",
            "Answer: C\nso the answer is C.",
            "The answer is not D but C",
            "I would pick C.",
            "The answer is C because I know Plan B.",
            "Option C",
            "Option C is correct.",
            "La respuesta correcta es C.",
            "C. Vitamin A",
            "At first B seemed right, so the answer is C, not B.",
            "The correct option is (C), since A and B are too small.",
            "The answer is C because B, D and A are even.",
            "The answer is C. Since A and B are too small.",
            "C. Because A, B and D are even.",
        ] {
            assert_eq!(one(text, &choices(4)), Ok('C'), "{text}");
        }
    }

    #[test]
    fn several_letters_or_none_are_no_choice() {
        for text in [
            "",
            "A B C D",
            "A, C",
            "A or C",
            "C. or D",
            "A. B. C. D.",
            "C) yes, D) no",
            "CD",
            "E",
            "Paris",
            "The answer is C or D",
            "The answer is C. The answer is D.",
            "the answer is a number",
            "The answer is A mystery",
            "A. is wrong",
            "I like C",
            "\u{421}",
            "C#",
            "Answer: A/B/C",
            "If the answer is B",
            "The answer is C since 2 is even. Or D.",
            "The answer is C because it is odd, or maybe D",
            "C since 2 is even or D",
            "The answer is C since 2 is even or D",
            "The answer is C because it is odd, perhaps D",
            "The answer is C because it is odd, possibly D.",
            "The answer is C because it is odd, or rather D",
            "The answer is C since it is either D",
            "The answer is C since 2 is even / D",
            "The answer is C because it is odd, D) because it is even",
        ] {
            assert!(one(text, &choices(4)).is_err(), "{text}");
        }
        assert_eq!(one("E", &choices(5)), Ok('E'));
    }

    #[test]
    fn several_right_letters_are_a_set() {
        let both = Ok(['A', 'C'].into_iter().collect());
        for text in ["AC", "A, C", "C and A", "The answer is A and C.", "\\boxed{A, C}"] {
            assert_eq!(several(text, &choices(4)), both, "{text}");
        }
        assert_ne!(several("A", &choices(4)), both);
    }

    #[test]
    fn an_option_is_known_by_its_text() {
        let cities =
            Choices { count: 4, options: ["Rome", "Oslo", "Paris", "Bern"].map(str::to_owned).to_vec() };
        for text in ["Paris", "The answer is Paris.", "C. Paris", "\\boxed{Paris}"] {
            assert_eq!(one(text, &cities), Ok('C'), "{text}");
        }
    }
}
