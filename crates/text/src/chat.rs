//! Chat templates as `transformers` defines them (`apply_chat_template`). A template is code from an untrusted file: it sees
//! the messages and what is given beside them, and it has a budget of steps, of output and of stack.

use crate::jinja::{self, Generation, LIMIT, MARKS, MAX_OUTPUT_BYTES, Refusal, rewritten};
use crate::own_stack::on_own_stack;
use crate::{Error, SpecialTokens, TemplateInputs};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use ruminate_data::Message;
use std::error::Error as _;
use std::io::{self, Write};
use std::ops::Range;
use std::time::{Duration, SystemTime};

const NAME: &str = "chat_template";

/// The same template, where what `{% generation %}` encloses stands between [`MARKS`].
const MARKED: &str = "chat_template_marked";

/// How long after [`LIMIT`] a rendering that has not ended by itself is given up.
const GRACE: Duration = Duration::from_millis(500);

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

impl MarkedChat {
    /// The assistant's parts, one after the other.
    pub fn assistant_text(&self) -> String {
        self.assistant.iter().map(|part| &self.text[part.clone()]).collect()
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    env: Environment<'static>,
    source: String,
    special: SpecialTokens,
    marks_assistant: bool,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// `now` is what `strftime_now` gives, in UTC. It is a parameter because a prompt that changes at midnight makes a run
    /// that cannot be repeated: record it and pass it again.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`] when it is not valid Jinja.
    pub fn new(source: &str, special: &SpecialTokens, now: SystemTime) -> Result<Self, Error> {
        let syntax = |reason| Error::TemplateSyntax { reason };
        let (plain, marks_assistant) = rewritten(source, Generation::Plain).map_err(syntax)?;
        let (marked, _) = rewritten(source, Generation::Marked).map_err(syntax)?;
        let env = on_own_stack(LIMIT + GRACE, move || {
            let mut env = jinja::environment(now);
            env.add_template_owned(NAME, plain)
                .and_then(|()| env.add_template_owned(MARKED, marked))
                .map_err(|error| explain(&error))?;
            Ok(env)
        });
        let env = env.and_then(|env| env).map_err(syntax)?;
        Ok(Self { env, source: source.to_owned(), special: special.clone(), marks_assistant })
    }

    /// The chat as the text that the model reads.
    ///
    /// # Errors
    /// [`Error::TemplateRefused`] when the template calls `raise_exception`, [`Error::TemplateRender`] when it
    /// fails or exhausts its budget.
    pub fn render(
        &self,
        messages: &[Message],
        inputs: &TemplateInputs,
        prompt: GenerationPrompt,
    ) -> Result<String, Error> {
        self.render_template(NAME, messages, inputs, prompt)
    }

    /// The source, as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template has `{% generation %}` blocks, which say what the assistant writes.
    pub fn marks_assistant(&self) -> bool {
        self.marks_assistant
    }

    /// Whether the source has a name in it: a variable of another name changes nothing.
    pub fn names(&self, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.source.match_indices(name).any(|(at, _)| {
            !self.source[..at].ends_with(is_part) && !self.source[at + name.len()..].starts_with(is_part)
        })
    }

    /// A complete chat with the assistant's parts, as transformers' `return_assistant_tokens_mask` finds them. There
    /// are none where the template [marks nothing](Self::marks_assistant).
    ///
    /// # Errors
    /// As [`render`](Self::render); also when a message holds U+FDD0 or U+FDD1, with which the parts are found.
    pub fn render_marked(&self, messages: &[Message], inputs: &TemplateInputs) -> Result<MarkedChat, Error> {
        let texts = serde_json::to_string(messages).unwrap_or_default();
        if texts.contains(MARKS) {
            let reason = "a message holds U+FDD0 or U+FDD1, which are no characters".to_owned();
            return Err(Error::TemplateRender { reason });
        }
        let rendered = self.render_template(MARKED, messages, inputs, GenerationPrompt::Omit)?;
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
        name: &'static str,
        messages: &[Message],
        inputs: &TemplateInputs,
        prompt: GenerationPrompt,
    ) -> Result<String, Error> {
        let list = |list: &Option<Vec<serde_json::Value>>| Value::from(Serde(list));
        let own = context! {
            messages => messages.iter().map(|message| Value::from(Serde(message.for_template()))).collect::<Value>(),
            add_generation_prompt => prompt == GenerationPrompt::Add,
            tools => list(&inputs.tools),
            documents => list(&inputs.documents),
        };
        let kwargs = inputs.kwargs.iter().map(|(name, value)| (name.clone(), Value::from(Serde(value))));
        // A token that the folder does not name is undefined, as in transformers; a variable goes before a token.
        let tokens = self.special.named().map(|(name, token)| (name.to_owned(), Value::from(token)));
        let context = context! { ..own, ..Value::from_pairs(kwargs), ..Value::from_pairs(tokens) };
        let env = jinja::fueled(&self.env, written_bytes(messages, inputs));
        let rendered = on_own_stack(LIMIT + GRACE, move || {
            jinja::start_clock();
            let template = env.get_template(name).map_err(|error| failure(&error))?;
            let mut output = Capped(Vec::new());
            template.render_captured_to(context, &mut output).map_err(|error| failure(&error))?;
            String::from_utf8(output.0).map_err(|error| Error::TemplateRender { reason: error.to_string() })
        });
        rendered.map_err(|reason| Error::TemplateRender { reason })?
    }
}

/// The bytes of what is given to a template, about.
fn written_bytes(messages: &[Message], inputs: &TemplateInputs) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A count takes all that it is given.
    let _ = serde_json::to_writer(&mut count, &(messages, &inputs.tools, &inputs.documents, &inputs.kwargs));
    count.0
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

/// The engine's message with its line and its causes, on one line.
fn explain(error: &minijinja::Error) -> String {
    let mut text = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    text.push_str(&error.kind().to_string());
    if let Some(detail) = error.detail() {
        text.push_str(": ");
        text.push_str(detail);
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
