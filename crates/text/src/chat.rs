//! Chat templates as `transformers` defines them (`render_jinja_template`), on minijinja. A template is code from
//! an untrusted file: it sees the messages and nothing else, and it has a budget of steps and of output.

use crate::{Error, SpecialTokens, strftime};
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, context};
use ruminate_data::Message;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::error::Error as _;
use std::io::{self, Write};
use std::ops::Range;
use std::time::SystemTime;

const NAME: &str = "chat_template";

/// The same template, where what `{% generation %}` encloses stands between [`MARKS`].
const MARKED: &str = "chat_template_marked";

/// Noncharacters of Unicode, reserved for use inside a program: no text holds them.
const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// The engine's budget for one rendering: instructions, and the bytes of strings that they make. Two thousand turns
/// or eight megabytes fit easily; an endless loop, or a string that doubles, ends within seconds.
const FUEL: u64 = 10_000_000;

/// Bytes of one rendered chat: far beyond any context window, far below any memory.
const MAX_OUTPUT_BYTES: usize = 64 << 20;

/// Whether the rendered chat ends with the opening of the assistant's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenerationPrompt {
    /// It does: the policy continues it.
    Add,
    /// It does not: the chat is complete.
    Omit,
}

/// A rendered chat, and where in it the assistant speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedChat {
    /// The chat, as [`ChatTemplate::render`] gives it.
    pub text: String,
    /// The parts between `{% generation %}` and `{% endgeneration %}`, in bytes of `text`, in order.
    pub assistant: Vec<Range<usize>>,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    special: SpecialTokens,
    marks_assistant: bool,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// `now` is what `strftime_now` tells the template, in UTC. It is a parameter because a prompt that changes
    /// at midnight makes a run that cannot be repeated: record it and pass it again.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`] when it is not valid Jinja.
    pub fn new(source: &str, special: &SpecialTokens, now: SystemTime) -> Result<Self, Error> {
        let mut env = Environment::new();
        let syntax = minijinja::syntax::SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        env.set_syntax(syntax.expect("the default delimiters are valid"));
        env.set_fuel(Some(FUEL));
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_filter("tojson", tojson);
        env.add_function("raise_exception", raise_exception);
        env.add_function("strftime_now", move |format: &str| {
            strftime::format(format, now)
                .map_err(|reason| minijinja::Error::new(ErrorKind::InvalidOperation, reason))
        });
        env.add_filter("generation", |text: String| [MARKS[0].into(), text, MARKS[1].into()].concat());
        let plain = with_generation_blocks(source, "if true", "endif");
        let marks_assistant = plain != source;
        let marked = with_generation_blocks(source, "filter generation", "endfilter");
        env.add_template_owned(NAME, plain)
            .and_then(|()| env.add_template_owned(MARKED, marked))
            .map_err(|error| Error::TemplateSyntax { reason: explain(&error) })?;
        Ok(Self { env, special: special.clone(), marks_assistant })
    }

    /// The chat as the text that the model reads.
    ///
    /// # Errors
    /// [`Error::TemplateRefused`] when the template calls `raise_exception`, [`Error::TemplateRender`] when it
    /// fails or exhausts its budget.
    pub fn render(&self, messages: &[Message], prompt: GenerationPrompt) -> Result<String, Error> {
        self.render_template(NAME, messages, prompt)
    }

    /// Whether the template has `{% generation %}` blocks, which say what the assistant writes.
    pub fn marks_assistant(&self) -> bool {
        self.marks_assistant
    }

    /// A complete chat with the assistant's parts, as transformers' `return_assistant_tokens_mask` finds them. There
    /// are none where the template [marks nothing](Self::marks_assistant).
    ///
    /// # Errors
    /// As [`render`](Self::render); also when a message holds U+FDD0 or U+FDD1, with which the parts are found.
    pub fn render_marked(&self, messages: &[Message]) -> Result<MarkedChat, Error> {
        if messages.iter().any(|message| message.content.contains(MARKS) || message.role.contains(MARKS)) {
            let reason = "a message holds U+FDD0 or U+FDD1, which are no characters".to_owned();
            return Err(Error::TemplateRender { reason });
        }
        let rendered = self.render_template(MARKED, messages, GenerationPrompt::Omit)?;
        let (mut text, mut assistant, mut start) = (String::with_capacity(rendered.len()), Vec::new(), 0);
        for piece in rendered.split_inclusive(MARKS) {
            text.push_str(piece.trim_end_matches(MARKS));
            if piece.ends_with(MARKS[0]) {
                start = text.len();
            } else if piece.ends_with(MARKS[1]) {
                assistant.push(start..text.len());
            }
        }
        Ok(MarkedChat { text, assistant })
    }

    fn render_template(
        &self,
        name: &str,
        messages: &[Message],
        prompt: GenerationPrompt,
    ) -> Result<String, Error> {
        let context = context! {
            messages => messages.iter().map(turn).collect::<Value>(),
            add_generation_prompt => prompt == GenerationPrompt::Add,
            tools => Value::from(()),
            documents => Value::from(()),
            // A token that the folder does not name is undefined, as in transformers.
            ..Value::from_pairs(self.special.named())
        };
        let template = self.env.get_template(name).map_err(|error| failure(&error))?;
        let mut output = Capped(Vec::new());
        template.render_captured_to(context, &mut output).map_err(|error| failure(&error))?;
        String::from_utf8(output.0).map_err(|error| Error::TemplateRender { reason: error.to_string() })
    }
}

/// A message as a template sees it: a mapping in the order in which people write it.
fn turn(message: &Message) -> Value {
    Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
}

/// Turns `{% generation %} .. {% endgeneration %}`, which marks the assistant's tokens for `transformers`, into a block
/// that the engine knows. Removing the tags instead would lose their whitespace control.
fn with_generation_blocks(source: &str, open: &str, close: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        out.push_str(before);
        let inner = tag.trim_start_matches(['-', '+']).trim_start();
        let replaced = [("generation", open), ("endgeneration", close)].iter().find_map(|(name, with)| {
            let after = inner.strip_prefix(name)?;
            after.trim_start().trim_start_matches(['-', '+']).starts_with("%}").then_some((after, *with))
        });
        rest = tag;
        if let Some((after, with)) = replaced {
            out.push_str(&tag[..tag.len() - inner.len()]);
            out.push_str(with);
            rest = after;
        }
    }
    out + rest
}

/// What `raise_exception` carries through the engine, to be told apart from an engine's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(message: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refusal(message)))
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`. Jinja's own filter escapes HTML.
#[expect(clippy::needless_pass_by_value, reason = "minijinja hands arguments over by value")]
fn tojson(value: Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(minijinja::Error::new(
            ErrorKind::InvalidOperation,
            "tojson(ensure_ascii=true) is unsupported",
        ));
    }
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(64));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, PythonSpacing)),
    };
    let broken = |error: String| minijinja::Error::new(ErrorKind::BadSerialization, error);
    written.map_err(|error| broken(error.to_string()))?;
    String::from_utf8(out).map_err(|error| broken(error.to_string()))
}

/// Python's separators on one line: `", "` and `": "`.
struct PythonSpacing;

impl Formatter for PythonSpacing {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A buffer that refuses to grow beyond [`MAX_OUTPUT_BYTES`].
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT_BYTES {
            return Err(io::Error::other(format!("the output exceeds {MAX_OUTPUT_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failure(error: &minijinja::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Refusal(message)) = inner.downcast_ref() {
            return Error::TemplateRefused { message: message.clone() };
        }
        cause = inner.source();
    }
    Error::TemplateRender { reason: explain(error) }
}

/// The engine's message with its causes, on one line.
fn explain(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
