//! Words and sentences, counted as nltk counts them: `\w+` exactly, the tokens of `word_tokenize` and the sentences of
//! Punkt nearly.

/// Abbreviations that end no sentence: those of Punkt's English model that texts use.
const ABBREVIATIONS: &[&str] = &[
    "a.m", "adm", "ala", "ariz", "aug", "ave", "bros", "calif", "cie", "co", "col", "colo", "conn", "corp",
    "cos", "ct", "d.c", "dec", "dr", "feb", "fla", "fri", "ft", "ga", "gen", "ill", "inc", "jan", "jr",
    "kan", "lt", "ltd", "m.b.a", "maj", "mass", "messrs", "mich", "minn", "mr", "mrs", "ms", "n.j", "n.y",
    "nev", "nov", "oct", "okla", "ore", "p.m", "pa", "ph.d", "prof", "rep", "reps", "sen", "sep", "sept",
    "sr", "st", "sw", "tenn", "tues", "u.k", "u.n", "u.s", "u.s.a", "va", "vs", "vt", "wash", "wed", "wis",
    "yr",
];

/// Words that begin a sentence behind an abbreviation.
const STARTERS: &[&str] = &[
    "a", "after", "although", "an", "and", "as", "at", "but", "each", "for", "he", "her", "his", "however",
    "i", "if", "in", "it", "its", "my", "no", "on", "our", "she", "so", "that", "the", "their", "there",
    "these", "they", "this", "those", "we", "what", "when", "while", "you", "your",
];

/// Bytes behind the end of a sentence in which the next word begins.
const MAX_MARKS: usize = 100;

/// Runs of letters, digits and `_`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// A text without ASCII punctuation.
pub(super) fn without_punctuation(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_punctuation()).collect()
}

/// A word without ASCII punctuation and spaces around it.
pub(super) fn stripped(word: &str) -> &str {
    word.trim_matches(|c: char| c.is_ascii_punctuation() || c == ' ')
}

/// Whether a text has a letter with case, and none in lower case.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// Whether a text has a letter with case, and none in upper case.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// Sentences, without the space between them.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(offset) = text[at..].find(['.', '?', '!']) {
        let mark = at + offset;
        let rest = &text[mark..];
        let marks = rest.len() - rest.trim_start_matches(['.', '?', '!']).len();
        let behind = &rest[marks..];
        let closers =
            behind.len() - behind.trim_start_matches(['"', '\'', ')', ']', '}', '”', '’', '*']).len();
        let end = mark + marks + closers;
        at = end;
        let next = text[end..].trim_start();
        if next.is_empty() || !text[end..].starts_with(char::is_whitespace) {
            continue;
        }
        if ends(&text[start..mark], &rest[..marks], next) {
            found.push(text[start..end].trim());
            start = end;
        }
    }
    let last = text[start..].trim();
    found.extend((!last.is_empty()).then_some(last));
    found
}

/// Whether marks end a sentence, by the word in front of them and what comes next.
fn ends(before: &str, marks: &str, next: &str) -> bool {
    if marks.contains(['?', '!']) {
        return true;
    }
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric());
    if marks.len() > 1 {
        return first_word(next).starts_with(char::is_uppercase);
    }
    let mut letters = word.chars();
    if letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none() {
        return false; // an initial
    }
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        return !first_word(next).starts_with(char::is_lowercase);
    }
    let part = word.rsplit('-').next().unwrap_or_default();
    if [word, part].iter().any(|word| ABBREVIATIONS.iter().any(|known| known.eq_ignore_ascii_case(word))) {
        let word = first_word(next).split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        return word.starts_with(char::is_uppercase) && STARTERS.contains(&word.to_lowercase().as_str());
    }
    true
}

/// The text from its first word on. One of marks alone has none, however far one looks.
fn first_word(text: &str) -> &str {
    let near = &text[..text.floor_char_boundary(MAX_MARKS.min(text.len()))];
    near.find(char::is_alphanumeric).map_or("", |at| &text[at..])
}

/// The tokens of the Penn Treebank, as nltk splits them: punctuation by itself, contractions in two.
pub(super) fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut chunks = text.split_whitespace().peekable();
    while let Some(chunk) = chunks.next() {
        let next = chunks.peek();
        let ends_sentence =
            next.is_none_or(|next| ends(chunk.trim_end_matches(['.', '"', '\'', ')', ']']), ".", next));
        chunk_tokens(chunk, ends_sentence, &mut found);
    }
    found
}

fn chunk_tokens<'a>(chunk: &'a str, ends_sentence: bool, found: &mut Vec<&'a str>) {
    let is_closer = |c: char| matches!(c, '"' | '\'' | ')' | ']' | '}' | '”' | '’' | '>');
    // Where nothing but quotes and brackets that close follows.
    let closers = chunk.trim_end_matches(is_closer).len();
    // Where the word began that goes on here.
    let mut start = 0;
    let mut at = 0;
    while let Some(c) = chunk[at..].chars().next() {
        let end = at + c.len_utf8();
        let rest = &chunk[at..];
        let run = ["--", "..."].iter().find(|run| rest.starts_with(**run)).map(|run| run.len());
        let next = chunk[end..].chars().next();
        let is_between_digits = matches!(c, ',' | ':') && next.is_some_and(|next| next.is_ascii_digit());
        let splits = match c {
            ';' | '@' | '#' | '$' | '%' | '&' | '?' | '!' | '"' | '(' | ')' | '[' | ']' | '{' | '}' | '<'
            | '>' | '“' | '”' => true,
            ',' | ':' => !is_between_digits,
            '.' => end >= closers && ends_sentence && start < at,
            '\'' => start == at || end == chunk.len(),
            _ => false,
        };
        let length = run.unwrap_or(c.len_utf8());
        if splits || run.is_some() {
            contractions(&chunk[start..at], found);
            found.push(&rest[..length]);
            start = at + length;
        }
        at += length;
    }
    contractions(&chunk[start..], found);
}

/// `don't` is `do` and `n't`, `it's` is `it` and `'s`, `cannot` is `can` and `not`.
fn contractions<'a>(word: &'a str, found: &mut Vec<&'a str>) {
    const WHOLE: [&str; 6] = ["cannot", "gonna", "gotta", "wanna", "gimme", "lemme"];
    const ENDINGS: [&str; 7] = ["n't", "'s", "'m", "'d", "'ll", "'re", "'ve"];
    if word.is_empty() {
        return;
    }
    let ends_with = |ending: &str| {
        word.len()
            .checked_sub(ending.len())
            .filter(|&at| word.is_char_boundary(at) && at > 0 && word[at..].eq_ignore_ascii_case(ending))
    };
    let is_whole = WHOLE.iter().any(|whole| whole.eq_ignore_ascii_case(word));
    let at = if is_whole { Some(3) } else { ENDINGS.iter().find_map(|ending| ends_with(ending)) };
    match at {
        Some(at) => found.extend([&word[..at], &word[at..]]),
        None => found.push(word),
    }
}

#[cfg(test)]
mod tests {
    use super::{sentences, tokens};

    #[test]
    fn sentences_end_as_in_punkt() {
        for (text, count) in [
            ("One. Two! Three? Four", 4),
            ("Dr. Smith met Mr. Jones at 3.5 p.m. yesterday.", 1),
            ("J. K. Rowling wrote it.", 1),
            ("He said \"Go.\" Then he left.", 2),
            ("Wait... what? No way!", 2),
            ("1. First\n2. Second", 3),
            ("", 0),
            ("no mark", 1),
            ("a.b.c is one.", 1),
        ] {
            assert_eq!(sentences(text).len(), count, "{text}");
        }
    }

    #[test]
    fn tokens_are_the_treebanks() {
        assert_eq!(
            tokens("DON'T go, IT'S (NASA) AT&T."),
            ["DO", "N'T", "go", ",", "IT", "'S", "(", "NASA", ")", "AT", "&", "T", "."]
        );
        assert_eq!(
            tokens("1,000 U.S. men--and CANNOT..."),
            ["1,000", "U.S.", "men", "--", "and", "CAN", "NOT", "..."]
        );
    }
}
