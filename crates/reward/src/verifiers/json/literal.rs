//! Calls in Python's syntax with literals as arguments: `[f(x=1, y='a'), math.g(z=[True, None])]`.

use super::reading::short;
use serde_json::{Map, Number, Value};

/// Lists and dicts within each other.
const MAX_DEPTH: usize = 64;

/// One call: a name, which may have dots, and arguments by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
}

/// Calls, in brackets or one by itself, and nothing else.
///
/// # Errors
/// What was expected, and where.
pub(super) fn calls(text: &str) -> Result<Vec<Call>, String> {
    let mut reader = Reader { text, at: 0 };
    let is_list = reader.takes('[');
    let mut found = Vec::new();
    loop {
        if is_list && reader.takes(']') {
            break;
        }
        found.push(reader.call()?);
        if !is_list {
            break;
        }
        if !reader.takes(',') {
            reader.expect(']')?;
            break;
        }
    }
    reader.space();
    if reader.at < text.len() { Err(reader.expected("the end")) } else { Ok(found) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn takes(&mut self, mark: char) -> bool {
        self.space();
        let taken = self.rest().starts_with(mark);
        self.at += if taken { mark.len_utf8() } else { 0 };
        taken
    }

    fn expect(&mut self, mark: char) -> Result<(), String> {
        if self.takes(mark) { Ok(()) } else { Err(self.expected(&format!("`{mark}`"))) }
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what}, found {:?}", short(self.rest()))
    }

    fn name(&mut self, dots: bool) -> Result<String, String> {
        self.space();
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || (dots && c == '.');
        let length = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let name = self.rest()[..length].to_owned();
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric() || c == '.') {
            return Err(self.expected("a name"));
        }
        self.at += length;
        Ok(name)
    }

    fn call(&mut self) -> Result<Call, String> {
        let name = self.name(true)?;
        self.expect('(')?;
        let mut arguments = Map::new();
        while !self.takes(')') {
            let argument = self.name(false)?;
            self.expect('=')?;
            let value = self.value(0)?;
            if arguments.insert(argument.clone(), value).is_some() {
                return Err(format!("the argument {argument} stands twice"));
            }
            if !self.takes(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(Call { name, arguments })
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err("lists within each other, too deep".to_owned());
        }
        self.space();
        match self.rest().chars().next() {
            Some('[') => self.list('[', ']', depth),
            Some('(') => self.list('(', ')', depth),
            Some('{') => self.dict(depth),
            Some('\'' | '"') => self.string().map(Value::String),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') => self.number(),
            _ => {
                let word = self.name(false)?;
                match word.as_str() {
                    "True" | "true" => Ok(Value::Bool(true)),
                    "False" | "false" => Ok(Value::Bool(false)),
                    "None" | "null" => Ok(Value::Null),
                    _ => Err(format!("expected a value, found the name {word}")),
                }
            }
        }
    }

    fn list(&mut self, open: char, close: char, depth: usize) -> Result<Value, String> {
        self.expect(open)?;
        let mut list = Vec::new();
        while !self.takes(close) {
            list.push(self.value(depth + 1)?);
            if !self.takes(',') {
                self.expect(close)?;
                break;
            }
        }
        Ok(Value::Array(list))
    }

    fn dict(&mut self, depth: usize) -> Result<Value, String> {
        self.expect('{')?;
        let mut map = Map::new();
        while !self.takes('}') {
            self.space();
            let key = self.string()?;
            self.expect(':')?;
            let value = self.value(depth + 1)?;
            if map.insert(key.clone(), value).is_some() {
                return Err(format!("the key {key:?} stands twice"));
            }
            if !self.takes(',') {
                self.expect('}')?;
                break;
            }
        }
        Ok(Value::Object(map))
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = self.rest().chars().next().filter(|c| matches!(c, '\'' | '"'));
        let quote = quote.ok_or_else(|| self.expected("a text in quotes"))?;
        self.at += 1;
        let mut found = String::new();
        let mut chars = self.text[self.at..].char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => found.push('\n'),
                    Some((_, 't')) => found.push('\t'),
                    Some((_, 'r')) => found.push('\r'),
                    Some((_, c @ ('\\' | '\'' | '"'))) => found.push(c),
                    Some((_, c)) => found.extend(['\\', c]),
                    None => break,
                },
                c if c == quote => {
                    self.at += index + 1;
                    return Ok(found);
                }
                c => found.push(c),
            }
        }
        Err("a text in quotes has no end".to_owned())
    }

    fn number(&mut self) -> Result<Value, String> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
        let length = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let digits = self.rest()[..length].replace('_', "");
        let whole = digits.parse::<i64>().ok().map(Number::from);
        let number = whole.or_else(|| digits.parse().ok().and_then(Number::from_f64));
        let number = number.ok_or_else(|| self.expected("a number"))?;
        self.at += length;
        Ok(Value::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::calls;
    use serde_json::json;

    #[test]
    fn calls_with_literals_are_read() {
        let found = calls("[f(x=1, y='it\\'s', z=[1.5, (True,), {\"k\": None}]), a.b() ]").expect("calls");
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[1].name.as_str()), ("f", "a.b"));
        assert_eq!(json!(found[0].arguments), json!({"x": 1, "y": "it's", "z": [1.5, [true], {"k": null}]}));
        assert_eq!(calls("f(n=-3)").expect("a call")[0].arguments["n"], -3);
        assert_eq!(calls("[]"), Ok(Vec::new()));
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "",
            "f",
            "f(",
            "f(1)",
            "f(x=y)",
            "f(x=1, x=2)",
            "f(x=1) g()",
            "[f()",
            "f(x='a)",
            "f(x={1: 2})",
            "f(x=1e999)",
            "1()",
            "f(x=__import__('os'))",
            "f(x=inf)",
        ] {
            assert!(calls(text).is_err(), "{text}");
        }
        assert!(calls(&format!("f(x={})", "[".repeat(100_000))).is_err());
    }
}
