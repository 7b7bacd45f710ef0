//! Which letter of a multiple choice a text commits to.

use std::collections::BTreeSet;

/// Bytes behind a claimed letter that are searched for another one.
const MAX_BEHIND: usize = 240;

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
            let rest = rest.trim_start();
            !option.is_empty() && rest.to_lowercase().starts_with(&option.to_lowercase())
        })
    }
}

/// Phrases behind which a letter is claimed, in lower case.
const ANCHORS: &[&str] = &[
    "answer",
    "option is",
    "choice is",
    "option:",
    "choice:",
    "choose",
    "pick",
    "select",
    "go with",
    "it's",
    "it is",
    "it must be",
    "leaving",
    "leaves",
    "r\u{e9}ponse",
    "antwort",
    "respuesta",
    "resposta",
    "risposta",
    "odpowied\u{17a}",
    "\u{43e}\u{442}\u{432}\u{435}\u{442}",
    "\u{7b54}\u{6848}",
    "\u{7b54}\u{3048}",
    "\u{6b63}\u{89e3}",
    "\u{9009}",
    "\u{9078}",
    "\u{c815}\u{b2f5}",
    "\u{b2f5}",
    "\u{627}\u{644}\u{625}\u{62c}\u{627}\u{628}\u{629}",
    "cevap",
    "correct option",
    "correct choice",
];

/// Words that may stand between an anchor and the letter.
const FILLERS: &[&str] = &[
    "is",
    "are",
    "was",
    "be",
    "to",
    "the",
    "would",
    "should",
    "must",
    "seems",
    "therefore",
    "thus",
    "hence",
    "so",
    "then",
    "clearly",
    "probably",
    "most",
    "likely",
    "definitely",
    "option",
    "choice",
    "letter",
    "correct",
    "best",
    "final",
    "answer",
    "right",
    "one",
    "simply",
    "just",
    "indeed",
    "est",
    "es",
    "ist",
    "lautet",
    "la",
    "le",
    "die",
    "der",
    "das",
    "opci\u{f3}n",
    "option",
    "lettre",
    "\u{e9}",
    "\u{e8}",
    "a",
    "o",
    "that",
    "it",
    "has",
    "only",
    "here",
    "given",
    "by",
    "with",
    "of",
    "this",
    "question",
    "above",
    "\u{2014}",
    "choosing",
    "chosen",
    "selected",
    "will",
    "i",
    "think",
    "believe",
    "=",
    "definitively",
    "\u{662f}",
    "\u{4e3a}",
    "\u{70ba}",
    "\u{9879}",
    "\u{306f}",
    "\u{c740}",
    "\u{b294}",
    "\u{44d}\u{442}\u{43e}",
    "\u{647}\u{64a}",
    "\u{627}\u{644}",
    "correcta",
    "correcto",
    "correcte",
    "corretta",
    "richtige",
    "bonne",
    "juste",
    "certa",
];

/// Words behind a letter that leave it claimed.
const REASONS: &[&str] = &[
    "because",
    "since",
    "as",
    "not",
    "rather",
    "which",
    "due",
    "with",
    "for",
    "and",
    "but",
    "given",
    "instead",
    "according",
    "is",
    "here",
    "based",
    "from",
    "by",
    "over",
    "(",
    "\u{2014}",
    "-",
    "\u{2013}",
    "\u{ff0c}",
    "\u{3002}",
];

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

/// The letter of the last line that claims one; an error where the line claims several.
fn last_claim(text: &str, choices: &Choices) -> Option<Result<char, &'static str>> {
    let mut line_end = text.len();
    loop {
        let start = text[..line_end].rfind('\n').map_or(0, |at| at + 1);
        if let Some(found) = claims_of_line(text, start..line_end, choices) {
            return Some(found);
        }
        if start == 0 {
            return None;
        }
        line_end = start - 1;
    }
}

fn claims_of_line(
    text: &str,
    line: std::ops::Range<usize>,
    choices: &Choices,
) -> Option<Result<char, &'static str>> {
    let lower = text[line.clone()].to_lowercase();
    if lower.len() != line.len() {
        return None; // a letter changes its length in lower case: no anchor would be at its place
    }
    let mut chosen: Option<char> = None;
    let mut places: Vec<usize> = ANCHORS
        .iter()
        .flat_map(|anchor| lower.match_indices(anchor).map(|(at, _)| at + anchor.len()))
        .collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        // What is only supposed is not claimed.
        let conditional = |word: &str| matches!(word, "if" | "whether" | "suppose" | "were");
        if lower[..place].split_whitespace().rev().take(5).any(conditional) {
            continue;
        }
        let Some(found) = claimed_at(text, line.start + place, choices) else { continue };
        match (found, chosen) {
            (Err(why), _) => return Some(Err(why)),
            (Ok(letter), Some(other)) if letter != other => {
                return Some(Err("more than one letter is given as the answer"));
            }
            (Ok(letter), _) => chosen = Some(letter),
        }
    }
    if chosen.is_none() {
        // `Option A is correct.`
        let verdicts = [
            " is correct",
            " is right",
            " is the correct",
            " is the right",
            " is the answer",
            " is the best",
        ];
        for at in verdicts.iter().flat_map(|verdict| lower.match_indices(verdict).map(|(at, _)| at)) {
            let word =
                text[line.start..line.start + at].rsplit(char::is_whitespace).next().unwrap_or_default();
            if word.contains(|c: char| c.is_ascii_uppercase())
                && let Some(found) = letter(word, choices)
            {
                match chosen {
                    Some(other) if other != found => {
                        return Some(Err("more than one letter is given as the answer"));
                    }
                    _ => chosen = Some(found),
                }
            }
        }
    }
    chosen.map(Ok)
}

/// The letter that is claimed behind an anchor.
fn claimed_at(text: &str, from: usize, choices: &Choices) -> Option<Result<char, &'static str>> {
    let mut rest = &text[from..];
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None; // a longer word, such as `answers`
    }
    let mut lines = 0;
    for _ in 0..14 {
        let trimmed = rest.trim_start_matches(|c: char| {
            c.is_whitespace()
                || matches!(c, ':' | '*' | '"' | '\u{ff1a}' | '_' | '`' | '$' | '\u{201c}' | '#' | ',')
        });
        lines += rest[..rest.len() - trimmed.len()].matches('\n').count();
        if lines > 2 {
            return None;
        }
        rest = trimmed;
        if let Some(found) = letter_at(rest, choices) {
            return Some(found);
        }
        let length =
            rest.find(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '=')).unwrap_or(rest.len());
        let word = rest[..length].to_lowercase();
        let scripts = rest.chars().next().filter(|c| !c.is_ascii()).map(|c| c.to_string());
        if word == "not" {
            // `not D but C`
            let denied = rest[length..].trim_start();
            let (_, but) = denied.split_once(char::is_whitespace)?;
            rest = but.trim_start().strip_prefix("but ")?;
        } else if !word.is_empty() && FILLERS.contains(&word.as_str()) {
            rest = &rest[length..];
        } else if let Some(c) = scripts.filter(|c| FILLERS.contains(&c.as_str())) {
            rest = &rest[c.len()..];
        } else {
            // The text of an option in its place.
            let option =
                choices.options.iter().zip('A'..='Z').find(|(_, letter)| choices.has_text(*letter, rest));
            return option.map(|(_, letter)| Ok(letter));
        }
    }
    None
}

/// A letter that stands here and is claimed.
fn letter_at(rest: &str, choices: &Choices) -> Option<Result<char, &'static str>> {
    let inner = rest.trim_start_matches(['(', '[', '{', '\\']);
    let bracketed = inner.len() < rest.len();
    let first = inner.chars().next()?;
    let known = choices.known(first)?;
    let behind = &inner[first.len_utf8()..];
    if behind.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '\'' | '#' | '+' | '-' | '^')) {
        return None;
    }
    if behind.starts_with('/') {
        return Some(Err("more than one letter is given as the answer"));
    }
    let closed = behind.trim_start_matches([')', ']', '}', '*', '"', '`', '\'', '$']);
    let ends = closed.is_empty()
        || closed.starts_with(['.', ',', ';', ':', '!', '?', '\n', '\u{ff0c}', '\u{3002}', '<']);
    let marked = bracketed || closed.len() < behind.len();
    let next = closed.trim_start();
    let word = next[..next.find(char::is_whitespace).unwrap_or(next.len())].to_lowercase();
    let word = word.trim_end_matches([',', '.']);
    let joins =
        REASONS.iter().any(|reason| *reason == word) || next.starts_with(['(', '\u{2014}', '-', '\u{2013}']);
    if !(ends || marked || joins || matches!(word, "or" | "and") || choices.has_text(known, next))
        || next.starts_with("is wrong")
    {
        return None;
    }
    // In lower case it is an article or a variable, unless nothing follows.
    if first.is_ascii_lowercase() && !marked && !(ends && !matches!(first, 'a' | 'i') || closed.is_empty()) {
        return None;
    }
    let near = &closed[..closed.floor_char_boundary(MAX_BEHIND.min(closed.len()))];
    let line = near.lines().next().unwrap_or_default();
    Some(if claims_another(line, known, choices) {
        Err("more than one letter is given as the answer")
    } else {
        Ok(known)
    })
}

/// Whether a text behind a letter claims another one: joined to it (`or D`, `, D`), or labelled as it is (`D) no`).
fn claims_another(text: &str, chosen: char, choices: &Choices) -> bool {
    let mut before = String::new();
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
                let joined = matches!(
                    before.as_str(),
                    "" | "or" | "and" | "rather" | "maybe" | "perhaps" | "possibly" | "," | "/" | "either"
                );
                let labelled = part.ends_with(')') || (part.ends_with('.') && before.ends_with('.'));
                let denied = matches!(before.as_str(), "not" | "than" | "of");
                if (joined || labelled) && !denied {
                    return true;
                }
            }
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
