//! A template's source in the words of minijinja, where Jinja2 reads the same source otherwise. Lines stay where they are, so
//! that an error's line is the file's.

use super::operands::weighed;
use std::fmt::Write;

/// The filter around what a `for` loop goes over.
pub(super) const LOOP_FILTER: &str = "iterated__";
/// The filter that marks a `{% generation %}` block.
pub(super) const MARK_FILTER: &str = "marked__";
/// The filter around a macro that reads `varargs` or `kwargs`.
pub(super) const MACRO_FILTER: &str = "collecting__";

/// The filter around what is assigned.
pub(super) const SET_FILTER: &str = "bounded__";

/// The filter around an operand that is written out or compared.
pub(super) const WEIGH_FILTER: &str = "weighed__";

/// Bytes of a template. The longest published ones have 20,000.
pub(crate) const MAX_BYTES: usize = 256 << 10;

/// Tokens of one tag, and `elif` branches of a template: the engine compiles them by recursion. Published templates have
/// up to 120, and 22.
const MAX_TOKENS: usize = 2_000;
const MAX_BRANCHES: usize = 500;

/// What becomes of `{% generation %} .. {% endgeneration %}`, which tells `transformers` what the assistant writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Its text alone.
    Plain,
    /// Its text between marks.
    Marked,
}

/// The source for minijinja, and whether it has `{% generation %}` blocks.
///
/// # Errors
/// What is too long, in words.
pub(crate) fn rewritten(source: &str, generation: Generation) -> Result<(String, bool), String> {
    if source.len() > MAX_BYTES {
        return Err(format!("expected at most {MAX_BYTES} bytes, found {}", source.len()));
    }
    // Jinja2 reads all line ends as newlines.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let out = String::with_capacity(source.len());
    let mut rewriter = Rewriter { out, generation, marks: false, macros: vec![], branches: 0 };
    rewriter.template(&source)?;
    Ok((rewriter.out, rewriter.marks))
}

struct Rewriter {
    out: String,
    generation: Generation,
    marks: bool,
    /// Open macros: the name of one that collects, None for any other.
    macros: Vec<Option<String>>,
    branches: usize,
}

impl Rewriter {
    fn template(&mut self, source: &str) -> Result<(), String> {
        let mut rest = source;
        while let Some(start) = rest.find('{') {
            let (text, from) = rest.split_at(start);
            self.out.push_str(text);
            let length = match from.as_bytes().get(1) {
                Some(b'#') => from.find("#}").map_or(from.len(), |end| end + 2),
                Some(b'{') => 2 + code_length(&from[2..], "}}"),
                Some(b'%') => 2 + code_length(&from[2..], "%}"),
                _ => 1,
            };
            let (tag, after) = from.split_at(length);
            rest = after;
            let line = || source[..source.len() - from.len()].matches('\n').count() + 1;
            if !tag.starts_with("{#") && tokens(tag).nth(MAX_TOKENS).is_some() {
                return Err(format!(
                    "expected at most {MAX_TOKENS} tokens in a tag, found more in line {}",
                    line()
                ));
            }
            match Tag::of(tag) {
                Some(tag) if tag.word == "raw" => rest = self.raw(&tag, after),
                Some(tag) => {
                    let rest = weighed(tag.rest, tag.word == "for");
                    let source = [tag.open, tag.space, tag.word, &rest, tag.close].concat();
                    self.tag(&Tag::of(&source).unwrap_or(tag), after);
                }
                None => self.expression(tag),
            }
        }
        if self.branches > MAX_BRANCHES {
            return Err(format!("expected at most {MAX_BRANCHES} `elif`, found {}", self.branches));
        }
        self.out.push_str(rest);
        Ok(())
    }

    /// `{{ .. }}`, or what is no tag at all.
    fn expression(&mut self, tag: &str) {
        let Some(inner) = tag.strip_prefix("{{").and_then(|inner| inner.strip_suffix("}}")) else {
            self.out.push_str(tag);
            return;
        };
        let open = usize::from(inner.starts_with(['-', '+']));
        let close = usize::from(inner.len() > open && inner.ends_with(['-', '+']));
        let code = weighed(&inner[open..inner.len() - close], false);
        for part in [&tag[..2 + open], &code, &tag[tag.len() - 2 - close..]] {
            self.out.push_str(part);
        }
    }

    /// `{% raw %}`, to whose first newline Jinja2 does nothing; returns what comes after its end.
    fn raw<'a>(&mut self, tag: &Tag, after: &'a str) -> &'a str {
        self.out.push_str(tag.source);
        if after.starts_with('\n') && tag.close == "%}" {
            self.out.push('\n');
        }
        let end = after.match_indices("{%").find_map(|(at, _)| {
            let length = 2 + code_length(&after[at + 2..], "%}");
            Tag::of(&after[at..at + length]).filter(|tag| tag.word == "endraw").map(|_| at + length)
        });
        let (inside, after) = after.split_at(end.unwrap_or(after.len()));
        self.out.push_str(inside);
        after
    }

    fn tag(&mut self, tag: &Tag, after: &str) {
        match tag.word {
            "generation" | "endgeneration" if tag.rest.trim().is_empty() => {
                self.marks = true;
                let begins = tag.word == "generation";
                let word = match (self.generation, begins) {
                    (Generation::Plain, true) => "if true",
                    (Generation::Plain, false) => "endif",
                    (Generation::Marked, true) => &format!("filter {MARK_FILTER}"),
                    (Generation::Marked, false) => "endfilter",
                };
                self.put(tag, word, tag.rest);
            }
            "for" => match loop_parts(tag.rest) {
                Some((head, over, tail)) => {
                    let rest = format!("{head}({over})|{LOOP_FILTER}{tail}");
                    self.put(tag, "for", &rest);
                }
                None => self.out.push_str(tag.source),
            },
            "set" => match assignment(tag.rest) {
                Some((target, value)) => {
                    let holder = target.split_once('.').map_or("", |(holder, _)| holder.trim());
                    let space = if tag.rest.ends_with(char::is_whitespace) { " " } else { "" };
                    let rest = format!("{target}= ({value})|{SET_FILTER}({holder}){space}");
                    self.put(tag, "set", &rest);
                }
                None => self.out.push_str(tag.source),
            },
            "elif" => {
                self.branches += 1;
                self.out.push_str(tag.source);
            }
            "macro" => {
                let collecting = collecting_macro(tag.rest, after);
                self.macros.push(collecting.as_ref().map(|(name, _)| name.clone()));
                match collecting {
                    Some((_, rest)) => self.put(tag, "macro", &rest),
                    None => self.out.push_str(tag.source),
                }
            }
            "endmacro" => match self.macros.pop().flatten() {
                Some(name) => {
                    // The whitespace control behind the macro moves to the tag that is put there.
                    let _ = write!(self.out, "{}{}{}{}%}}", tag.open, tag.space, tag.word, tag.rest);
                    let _ = write!(self.out, "{{% set {name} = {name}|{MACRO_FILTER} {}", tag.close);
                }
                None => self.out.push_str(tag.source),
            },
            _ => self.out.push_str(tag.source),
        }
    }

    fn put(&mut self, tag: &Tag, word: &str, rest: &str) {
        for part in [tag.open, tag.space, word, rest, tag.close] {
            self.out.push_str(part);
        }
    }
}

/// A statement, taken apart: `{%-`, white space, its word, the rest, `-%}`.
struct Tag<'a> {
    source: &'a str,
    open: &'a str,
    space: &'a str,
    word: &'a str,
    rest: &'a str,
    close: &'a str,
}

impl<'a> Tag<'a> {
    fn of(source: &'a str) -> Option<Self> {
        let inner = source.strip_prefix("{%")?.strip_suffix("%}")?;
        let open = usize::from(inner.starts_with(['-', '+']));
        let close = usize::from(inner.len() > open && inner.ends_with(['-', '+']));
        let inner = &inner[open..inner.len() - close];
        let trimmed = inner.trim_start();
        let space = &inner[..inner.len() - trimmed.len()];
        let (word, rest) = trimmed.split_at(word_length(trimmed));
        let (open, close) = (&source[..2 + open], &source[source.len() - 2 - close..]);
        Some(Self { source, open, space, word, rest, close })
    }
}

/// The tokens of an expression: strings whole, words whole, everything else by character, each with its depth in brackets.
pub(super) fn tokens(code: &str) -> impl Iterator<Item = (usize, &str, usize)> {
    let (mut at, mut depth) = (0, 0_usize);
    std::iter::from_fn(move || {
        let rest = &code[at..];
        let first = rest.chars().next()?;
        let length = match first {
            '\'' | '"' => string_length(rest, first),
            c if c.is_alphanumeric() || c == '_' => word_length(rest),
            c => c.len_utf8(),
        };
        if matches!(first, ')' | ']' | '}') {
            depth = depth.saturating_sub(1);
        }
        let token = (at, &rest[..length], depth);
        if matches!(first, '(' | '[' | '{') {
            depth += 1;
        }
        at += length;
        Some(token)
    })
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The bytes of code up to its end and with it; an end within brackets or a string is none. All of it where it has no end.
fn code_length(code: &str, end: &str) -> usize {
    tokens(code)
        // A bracket that closes none has left the depth at 0: `}}` ends there.
        .find(|&(at, _, depth)| depth == 0 && code[at..].starts_with(end))
        .map_or(code.len(), |(at, _, _)| at + end.len())
}

/// `x in EXPRESSION if CONDITION recursive`, as what stands before the expression, the expression, and what follows.
fn loop_parts(rest: &str) -> Option<(&str, &str, &str)> {
    let mut words = tokens(rest).filter(|&(_, _, depth)| depth == 0);
    let start = words.find(|&(_, word, _)| word == "in").map(|(at, word, _)| at + word.len())?;
    // A conditional expression cannot stand here without brackets.
    let end =
        words.find(|&(_, word, _)| word == "if" || word == "recursive").map_or(rest.len(), |(at, _, _)| at);
    let over = &rest[start..end];
    let trimmed = over.trim();
    if trimmed.is_empty() {
        return None;
    }
    let end = end - (over.len() - over.trim_end().len());
    let start = start + (over.len() - over.trim_start().len());
    Some((&rest[..start], &rest[start..end], &rest[end..]))
}

/// `TARGET = EXPRESSION`, in its two parts; None for a block that is assigned.
fn assignment(rest: &str) -> Option<(&str, &str)> {
    let (at, ..) = tokens(rest).find(|&(_, token, depth)| token == "=" && depth == 0)?;
    let (target, value) = (&rest[..at], rest[at + 1..].trim());
    (!value.is_empty()).then_some((target, value))
}

/// The name and the new head of a macro whose body reads `varargs` or `kwargs`, which minijinja does not fill.
fn collecting_macro(rest: &str, after: &str) -> Option<(String, String)> {
    let end = after.match_indices("endmacro").next().map_or(after.len(), |(at, _)| at);
    let reads = |name: &str| tokens(&after[..end]).any(|(_, token, _)| token == name);
    if !reads("varargs") && !reads("kwargs") {
        return None;
    }
    let (head, parameters) = rest.trim_end().strip_suffix(')')?.split_once('(')?;
    let comma = if parameters.trim().is_empty() { "" } else { ", " };
    let parameters = parameters.trim_end().trim_end_matches(',');
    Some((head.trim().to_owned(), format!("{head}({parameters}{comma}varargs=(), kwargs={{}})")))
}

#[cfg(test)]
mod tests {
    use super::{Generation, MAX_BYTES, rewritten};

    fn plain(source: &str) -> String {
        rewritten(source, Generation::Plain).expect("short enough").0
    }

    #[test]
    fn loops_go_over_what_jinja_goes_over() {
        assert_eq!(plain("{%- for x in y -%}"), "{%- for x in (y)|iterated__ -%}");
        assert_eq!(
            plain("{% for a, b in d.items() if a in c %}"),
            "{% for a, b in (d.items())|iterated__ if (a)|weighed__ in (c)|weighed__ %}"
        );
        assert_eq!(
            plain("{% for x in (a if b else c) recursive %}"),
            "{% for x in ((a if b else c))|iterated__ recursive %}"
        );
        assert_eq!(plain("{% for x in ' if %}' %}"), "{% for x in (' if %}')|iterated__ %}");
        assert_eq!(plain("{% for x in 'a', 'b' %}"), "{% for x in ('a', 'b')|iterated__ %}");
    }

    #[test]
    fn what_is_no_loop_stays() {
        for source in [
            "for x in y",
            "{# {% for x in y %} #}",
            "{{ '{% for x in y %}' }}",
            "{% raw %}{% for x in y %}{% endraw %}",
            "{% set x | upper %}{% endset %}{{ x == {'a': {'b': 1}} }}",
            "{% for",
            "{% for x in %}",
            "{",
            "{{ {'a': {}} }} {",
            "{% raw %}",
        ] {
            assert_eq!(plain(source), source);
        }
    }

    #[test]
    fn generation_blocks_keep_their_whitespace_control() {
        let source = "{%- generation -%} b {% endgeneration %}{{ ' {% generation %}' }}";
        let plain = "{%- if true -%} b {% endif %}{{ ' {% generation %}' }}";
        assert_eq!(rewritten(source, Generation::Plain), Ok((plain.into(), true)));
        assert_eq!(
            rewritten("{{ '{% generation %}' }}", Generation::Marked).map(|(_, marks)| marks),
            Ok(false)
        );
    }

    #[test]
    fn what_is_assigned_is_bounded() {
        assert_eq!(plain("{% set a, b = 1, 2 -%}"), "{% set a, b = (1, 2)|bounded__() -%}");
        assert_eq!(
            plain("{%- set ns.x = a == b %}"),
            "{%- set ns.x = ((a)|weighed__ == (b)|weighed__)|bounded__(ns) %}"
        );
    }

    #[test]
    fn what_the_engine_would_compile_by_deep_recursion_is_refused() {
        for (source, says) in [
            (" ".repeat(MAX_BYTES + 1), "262144 bytes"),
            (format!("\n{{{{ x{} }}}}", ".a".repeat(2_000)), "line 2"),
            (format!("{{% if x %}}{}", "{% elif x %}".repeat(501)), "`elif`"),
        ] {
            let refused = rewritten(&source, Generation::Plain).expect_err("too long");
            assert!(refused.contains(says), "{refused}");
        }
    }
}
