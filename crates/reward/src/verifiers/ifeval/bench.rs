//! Instructions of IFBench (arXiv 2507.02833) that are about text alone. Those that need a tagger of parts of speech,
//! syllables, emoji or lists of names are not here.

use super::arguments::Arguments;
use super::words::{self, sentences, stripped, without_punctuation};
use regex::RegexBuilder;
use std::collections::{HashMap, HashSet};

const PRONOUNS: &[&str] = &[
    "i",
    "me",
    "we",
    "us",
    "you",
    "he",
    "him",
    "she",
    "her",
    "it",
    "they",
    "them",
    "my",
    "mine",
    "our",
    "ours",
    "your",
    "yours",
    "his",
    "hers",
    "its",
    "their",
    "theirs",
    "myself",
    "ourselves",
    "yourself",
    "yourselves",
    "himself",
    "herself",
    "itself",
    "themselves",
    "this",
    "that",
    "these",
    "those",
    "who",
    "whom",
    "whose",
    "which",
    "what",
    "whoever",
    "whomever",
    "whatever",
    "whichever",
    "anybody",
    "anyone",
    "anything",
    "everybody",
    "everyone",
    "everything",
    concat!("no", "body"),
    "nothing",
    concat!("some", "body"),
    "someone",
    "something",
    "each",
    "either",
    "neither",
    "both",
    "all",
    "some",
    "any",
    "none",
];

/// Primes below 100: no word is longer.
const PRIMES: [usize; 25] =
    [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97];

/// Whether a text follows an instruction of IFBench; `None` where the instruction is none of those known here.
///
/// # Errors
/// What the row lacks, in words.
pub(super) fn follows(id: &str, of: &Arguments<'_>, text: &str) -> Result<Option<bool>, String> {
    for group in [counts, forms, orders] {
        if let Some(follows) = group(id, of, text)? {
            return Ok(Some(follows));
        }
    }
    Ok(None)
}

/// Of how many.
fn counts(id: &str, of: &Arguments<'_>, text: &str) -> Result<Option<bool>, String> {
    Ok(Some(match id {
        "count:word_count_range" => {
            (of.count("min_words")?..=of.count("max_words")?).contains(&words::words(text).count())
        }
        "count:unique_word_count" => {
            let lower = text.to_lowercase();
            let unique: HashSet<&str> = lower.split_whitespace().map(stripped).collect();
            unique.len() >= of.count("N")?
        }
        "count:conjunctions" => {
            let is_one = |word: &&str| {
                let word = stripped(word).to_lowercase();
                ["and", "but", "for", "nor", "or", "so", "yet"].contains(&word.as_str())
            };
            text.split_whitespace().filter(is_one).collect::<HashSet<_>>().len() >= of.count("small_n")?
        }
        "count:numbers" => {
            let plain = without_punctuation(text);
            let runs = plain.split(|c: char| !c.is_numeric()).filter(|run| !run.is_empty());
            runs.count() == of.count("N")?
        }
        "count:pronouns" => {
            let lower = text.replace('/', " ").to_lowercase();
            words::tokens(&lower).iter().filter(|token| PRONOUNS.contains(token)).count() >= of.count("N")?
        }
        "count:punctuation" => punctuation(text),
        "count:keywords_multiple" => {
            let lower = text.to_lowercase();
            let mut all = true;
            for (name, wanted) in
                [("keyword1", 1), ("keyword2", 2), ("keyword3", 3), ("keyword4", 5), ("keyword5", 7)]
            {
                let keyword = of.text(name)?.to_lowercase();
                all = lower.matches(keyword.as_str()).count() == wanted && all;
            }
            all
        }
        "count:words_japanese" => {
            let nth = of.count("N")?.max(1);
            let is_japanese = |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}');
            let words = text.split_whitespace().enumerate().filter(|(index, _)| (index + 1) % nth == 0);
            let mut wanted = words.map(|(_, word)| stripped(word));
            wanted.all(|word| word.chars().all(char::is_numeric) || word.contains(is_japanese))
        }
        "ratio:overlap" => overlap(text, of.text("reference_text")?, of.number("percentage")?),
        "words:repeats" => {
            let plain = without_punctuation(&text.to_lowercase());
            let mut found: HashMap<&str, usize> = HashMap::new();
            plain.split_whitespace().for_each(|word| *found.entry(word).or_default() += 1);
            let most = of.count("small_n")?;
            found.values().all(|count| *count <= most)
        }
        "words:palindrome" => {
            let plain = without_punctuation(&text.to_lowercase());
            let is_one = |word: &&str| word.chars().count() >= 5 && word.chars().eq(word.chars().rev());
            plain.split_whitespace().filter(is_one).count() >= 10
        }
        "words:prime_lengths" => {
            without_punctuation(text).split_whitespace().all(|word| PRIMES.contains(&word.chars().count()))
        }
        "words:vowel" => {
            let lower = text.trim().to_lowercase();
            let vowels: HashSet<char> = lower.chars().filter(|c| "aeiou".contains(*c)).collect();
            !lower.contains('\n') && vowels.len() <= 3
        }
        "words:consonants" => text.to_lowercase().split_whitespace().all(has_cluster),
        _ => return Ok(None),
    }))
}

/// Of how it is written.
fn forms(id: &str, of: &Arguments<'_>, text: &str) -> Result<Option<bool>, String> {
    Ok(Some(match id {
        "format:parentheses" => nested_brackets(text),
        "format:quotes" => nested_quotes(text),
        "format:options" => options(text, of.text("options")?),
        "format:newline" => {
            let plain = without_punctuation(text);
            let lines = plain.lines().filter(|line| !line.is_empty()).count();
            lines == plain.split_whitespace().count()
        }
        "format:line_indent" => {
            let lines = text.split('\n').filter(|line| !line.trim().is_empty());
            let indents: Vec<usize> =
                lines.map(|line| line.len() - line.trim_start_matches(' ').len()).collect();
            indents.is_sorted_by(|left, right| left < right)
        }
        "format:quote_unquote" => {
            let plain: String = text.replace("'\"'", "").split_whitespace().collect();
            let is_edge = |c: char| c.is_ascii_digit() || (c.is_ascii_punctuation() && c != '"');
            !plain.contains("\"\"") && !plain.trim_matches(is_edge).ends_with('"')
        }
        "format:list" => text.matches(of.text("sep")?).count() >= 2,
        "format:thesis" => thesis(text),
        "format:sub-bullets" => text.split('*').skip(1).all(|bullet| bullet.contains('-')),
        "format:no_bullets_bullets" => bullets_behind_sentences(text),
        "format:output_template" => {
            ["My Answer:", "My Conclusion:", "Future Outlook:"].iter().all(|part| text.contains(part))
        }
        "format:no_whitespace" => !text.contains(char::is_whitespace),
        "format:title_case" => words::tokens(text).iter().all(|token| is_title(token)),
        "custom:multiples" => {
            let runs = text.split(|c: char| !c.is_numeric()).filter(|run| !run.is_empty());
            runs.eq(["14", "21", "28", "35", "42", "49"])
        }
        "custom:character_reverse" => text.to_lowercase().contains("elgae dlab"),
        "custom:date_format_list" => text.trim().split(',').all(|date| is_date(date.trim())),
        "repeat:repeat_change" => {
            let prompt = of.text("prompt_to_repeat")?;
            prompt != text && prompt.split_whitespace().skip(1).eq(text.split_whitespace().skip(1))
        }
        "repeat:repeat_span" => {
            let prompt = of.text("prompt_to_repeat")?;
            let (start, end) = (of.count("n_start")?, of.count("n_end")?);
            let span: String = prompt.chars().take(end.saturating_add(1)).skip(start).collect();
            text.trim().to_lowercase() == span.trim().to_lowercase()
        }
        _ => return Ok(None),
    }))
}

/// Of which word stands where.
fn orders(id: &str, of: &Arguments<'_>, text: &str) -> Result<Option<bool>, String> {
    Ok(Some(match id {
        "ratio:sentence_type" => {
            let [stops, questions, _] = endings(text);
            stops == 2 * questions
        }
        "ratio:sentence_balance" => {
            let [stops, questions, exclamations] = endings(text);
            stops == questions && questions == exclamations
        }
        "ratio:sentence_words" => {
            let lengths: Vec<usize> =
                sentences(text).iter().map(|sentence| sentence.chars().count()).collect();
            lengths.len() == 3 && lengths.iter().all(|length| *length == lengths[0])
        }
        "sentence:alliteration_increment" => {
            let lengths: Vec<usize> = sentences(text).iter().map(|sentence| alliteration(sentence)).collect();
            lengths.is_sorted_by(|left, right| left < right)
        }
        "sentence:increment" => {
            let step = of.count("small_n")?;
            let count = |sentence: &&str| without_punctuation(sentence).split_whitespace().count();
            let counts: Vec<usize> = sentences(text).iter().map(count).collect();
            counts.windows(2).all(|pair| pair[1] == pair[0] + step)
        }
        "sentence:keyword" => {
            let (word, nth) = (of.text("word")?, of.count("N")?.max(1));
            let pattern =
                RegexBuilder::new(&format!(r"\b{}\b", regex::escape(word))).case_insensitive(true).build();
            let pattern = pattern.map_err(|error| error.to_string())?;
            sentences(text).get(nth - 1).is_some_and(|sentence| pattern.is_match(sentence))
        }
        "words:keywords_specific_position" => {
            let (n, m) = (of.count("n")?.max(1), of.count("m")?.max(1));
            let tokens =
                sentences(text).get(n - 1).map(|sentence| words::tokens(sentence)).unwrap_or_default();
            let mut tokens = tokens.iter().filter(|token| token.contains(char::is_alphanumeric));
            let keyword = of.text("keyword")?.to_lowercase();
            tokens.nth(m - 1).is_some_and(|token| token.to_lowercase() == keyword)
        }
        "words:words_position" => second_and_second_last(text, &of.text("keyword")?.to_lowercase()),
        "words:alphabet" => alphabet(text),
        "words:no_consecutive" => {
            let plain = without_punctuation(&text.to_lowercase());
            let firsts: Vec<char> = plain.split_whitespace().filter_map(|word| word.chars().next()).collect();
            firsts.windows(2).all(|pair| pair[0] != pair[1])
        }
        "words:last_first" => {
            let sentences = sentences(text);
            sentences.windows(2).all(|pair| {
                let is_edge = |c: char| c.is_ascii_punctuation() || c == ' ';
                let last = pair[0].trim_end_matches(is_edge).split_whitespace().next_back();
                let first = pair[1].trim_start_matches(is_edge).split_whitespace().next();
                last.zip(first).is_some_and(|(last, first)| last.to_lowercase() == first.to_lowercase())
            })
        }
        "words:paragraph_last_first" => text.to_lowercase().split('\n').all(|paragraph| {
            let mut words = stripped(paragraph.trim()).split_whitespace();
            let first = words.next();
            first.is_none() || words.next_back().is_none_or(|last| Some(last) == first)
        }),
        "custom:word_reverse" => {
            let plain = without_punctuation(text.trim().to_lowercase().as_str());
            let reversed: Vec<&str> = plain.split_whitespace().rev().collect();
            let reversed = reversed.join(" ");
            reversed.contains("bald eagle") && sentences(&reversed).contains(&reversed.as_str())
        }
        "custom:sentence_alphabet" => {
            let sentences = sentences(text);
            let firsts = sentences.iter().map(|sentence| sentence.to_lowercase().chars().next());
            sentences.len() == 26 && firsts.eq(('a'..='z').map(Some))
        }
        _ => return Ok(None),
    }))
}

/// How many sentences end with `.`, `?` and `!`.
fn endings(text: &str) -> [usize; 3] {
    let sentences = sentences(text);
    ['.', '?', '!'].map(|mark| sentences.iter().filter(|sentence| sentence.ends_with(mark)).count())
}

/// Every mark of `.,!?;:`, and an interrobang beside them.
fn punctuation(text: &str) -> bool {
    if !["!?", "?!", "‽"].iter().any(|mark| text.contains(mark)) {
        return false;
    }
    let rest = if text.contains("?!") { text.replacen("?!", "", 1) } else { text.replacen("!?", "", 1) };
    ".,!?;:".chars().all(|mark| rest.contains(mark))
}

/// The share of runs of three characters that are in the reference, within two percent of what is wanted.
fn overlap(text: &str, reference: &str, percentage: f64) -> bool {
    let runs = |text: &str| {
        let chars: Vec<char> = text.chars().collect();
        chars.windows(3).map(|run| [run[0], run[1], run[2]]).collect::<HashSet<[char; 3]>>()
    };
    let (own, of_reference) = (runs(text), runs(reference));
    let share = own.intersection(&of_reference).count() as f64 / own.len() as f64 * 100.0;
    !own.is_empty() && (share - percentage).abs() <= 2.0
}

fn has_cluster(word: &str) -> bool {
    let is_consonant = |c: char| c.is_ascii_lowercase() && !"aeiou".contains(c);
    let chars: Vec<char> = word.chars().collect();
    chars.windows(2).any(|pair| is_consonant(pair[0]) && is_consonant(pair[1]))
}

/// Brackets of three kinds, five deep, of which the innermost closes.
fn nested_brackets(text: &str) -> bool {
    let (mut open, mut deepest) = (Vec::new(), 0);
    for c in text.chars() {
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.last() == Some(&c) => {
                open.pop();
                if deepest >= 5 && open.len() < deepest {
                    return true;
                }
            }
            ')' | ']' | '}' => (open, deepest) = (Vec::new(), 0),
            _ => {}
        }
        deepest = deepest.max(open.len());
    }
    false
}

/// Quotes of two kinds, three deep and closed again.
fn nested_quotes(text: &str) -> bool {
    let (mut open, mut deepest) = (Vec::new(), 0);
    for c in text.chars().filter(|c| matches!(c, '"' | '\'')) {
        if open.last() == Some(&c) {
            open.pop();
            if deepest - open.len() >= 3 {
                return true;
            }
        } else {
            open.push(c);
            deepest = deepest.max(open.len());
        }
    }
    false
}

/// One of the options: to the letter where they are A, B, C, else without case and punctuation.
fn options(text: &str, wanted: &str) -> bool {
    let separator = if wanted.contains('/') {
        "/"
    } else if wanted.contains("or") {
        "or"
    } else {
        ","
    };
    let letters: String = wanted.chars().filter(|c| c.is_alphanumeric() || *c == '_').take(3).collect();
    let is_strict = letters.eq_ignore_ascii_case("abc");
    let plain = stripped(text).to_lowercase();
    let mut options = wanted.split(separator).map(str::trim);
    if is_strict {
        options.any(|option| option == text)
    } else {
        options.any(|option| stripped(option).to_lowercase() == plain)
    }
}

/// A thesis in italics (HTML) with text behind it.
fn thesis(text: &str) -> bool {
    let Some(start) = text.find("<i>").or_else(|| text.find("<em>")) else { return false };
    let rest = &text[start..];
    let Some(end) = rest.find("</i>").or_else(|| rest.find("</em>")) else { return false };
    let inner = rest.get(3..end).unwrap_or_default();
    !inner.trim().is_empty() && rest.get(end + 4..).is_some_and(|behind| !behind.trim().is_empty())
}

/// Two sentences and more, then two bullets and more, and nothing behind them.
fn bullets_behind_sentences(text: &str) -> bool {
    let (mut in_sentences, mut count, mut bullets) = (true, 0, 0);
    for line in text.split('\n') {
        let line = line.trim();
        if line.starts_with('*') {
            in_sentences = false;
            if count < 2 {
                return false;
            }
            bullets += 1;
        } else if in_sentences {
            // An empty line ends them, as in IFBench.
            let found = sentences(line).len();
            in_sentences = found > 0;
            count += found;
        } else {
            return false;
        }
    }
    bullets >= 2
}

fn is_title(token: &str) -> bool {
    let mut chars = token.chars();
    let Some(first) = chars.next().filter(|c| c.is_alphabetic()) else { return true };
    let rest = chars.as_str();
    match (first.is_lowercase(), rest.is_empty()) {
        (true, true) => false,
        (true, false) => !words::is_upper(rest) && !words::is_lower(rest),
        (false, _) => true,
    }
}

/// A day of 1769 to 1821 as `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|c| c.is_ascii_digit());
    if !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
        return false;
    }
    let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
    let most = match number(month) {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        0 => u32::MAX,
        1..=12 => 31,
        _ => return false,
    };
    (1769..=1821).contains(&number(year)) && number(day) <= most
}

/// Words that begin with the same letter as the next, as IFBench counts them.
fn alliteration(sentence: &str) -> usize {
    let lower = sentence.to_lowercase();
    let is_edge = |c: char| c.is_ascii_punctuation() || c == ' ';
    let firsts: Vec<char> =
        lower.split_whitespace().filter_map(|word| word.trim_start_matches(is_edge).chars().next()).collect();
    let (mut found, mut in_run) = (0, false);
    for pair in firsts.windows(2) {
        let is_same = pair[0] == pair[1];
        found += match (is_same, in_run) {
            (false, _) => 0,
            (true, true) => 1,
            (true, false) => 2,
        };
        in_run = is_same;
    }
    found
}

fn second_and_second_last(text: &str, keyword: &str) -> bool {
    let tokens = words::tokens(text);
    let is_mark = |token: &&str| token.chars().all(|c| c.is_ascii_punctuation());
    let behind = if tokens.last().is_some_and(is_mark) { 3 } else { 2 };
    let is_keyword = |token: &&str| token.to_lowercase() == keyword;
    tokens.len() >= behind
        && tokens.get(1).is_some_and(is_keyword)
        && is_keyword(&tokens[tokens.len() - behind])
}

/// Each word begins with the letter behind the one before, `a` behind `z`.
fn alphabet(text: &str) -> bool {
    let plain = without_punctuation(&text.to_lowercase());
    let mut firsts = plain.split_whitespace().filter_map(|word| word.bytes().next());
    let Some(first) = firsts.next().filter(u8::is_ascii_lowercase) else { return false };
    let mut wanted = first;
    firsts.all(|found| {
        wanted = if wanted == b'z' { b'a' } else { wanted + 1 };
        found == wanted
    })
}
