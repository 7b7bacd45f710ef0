//! Converts text to token ids and back, and chats to text. This crate knows no tensor, no reward and no
//! file of a run; it reads model folders, which are untrusted.
//!
//! - [`Renderer`]: both for one policy: prompts and turns in its [`PromptTemplate`], behind a [`Preamble`],
//!   as token ids, and the tokens that end a completion.
//! - [`Tokenizer`]: a model folder's `tokenizer.json`, or the [`embedded`] one that needs no file.
//! - [`Controls`]: what texts ask of completions (stop texts, forbidden words, a forced beginning, a thinking budget), as a
//!   [`Stop`](ruminate_data::Stop) of token ids.
//! - [`TextStream`]: the text of tokens that arrive one by one.
//! - [`ChatTemplate`]: a model folder's Jinja template, rendered as `transformers` renders it.
//! - [`r1_zero_prompt`]: the template under which R1-Zero trains a pretrained base model.
//!
//! # Example
//!
//! ```
//! use ruminate_data::Message;
//! use ruminate_text::{ChatTemplate, GenerationPrompt, SpecialTokens, TemplateInputs, Tokenizer};
//! use std::time::SystemTime;
//!
//! let tokenizer = Tokenizer::embedded();
//! let ids = tokenizer.encode("<think>7+5=12</think><answer>12</answer>")?;
//! assert_eq!(tokenizer.completion_text(&ids, &[])?, "<think>7+5=12</think><answer>12</answer>");
//!
//! let source = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}\
//!               {% if add_generation_prompt %}[assistant] {% endif %}";
//! let template = ChatTemplate::new(source, &SpecialTokens::default(), SystemTime::now())?;
//! let chat = [Message::new("user", "What is 7+5?")];
//! let prompt = template.render(&chat, &TemplateInputs::default(), GenerationPrompt::Add)?;
//! assert_eq!(prompt, "[user] What is 7+5?\n[assistant] ");
//! # Ok::<(), ruminate_text::Error>(())
//! ```

mod bytes;
mod chat;
mod controls;
mod difference;
pub mod embedded;
mod encode;
mod error;
mod files;
mod guard;
mod inputs;
mod jinja;
mod own_stack;
mod prompt;
mod renderer;
mod special;
mod stream;
mod strftime;
mod templates;
mod tokenizer;
mod turn;
mod untrusted;

pub use chat::{ChatTemplate, GenerationPrompt, MarkedChat};
pub use controls::Controls;
pub use error::Error;
pub use files::is_tokenizer_file;
pub use guard::silence_caught_panics;
pub use inputs::{TemplateInputs, check_names};
pub use prompt::r1_zero_prompt;
pub use renderer::{Columns, Preamble, PromptStyle, PromptTemplate, Renderer, end_ids, unused_sampling};
pub use special::SpecialTokens;
pub use stream::TextStream;
pub use tokenizer::{SpecialText, Tokenizer};
pub use turn::{Turn, continuation, opens_thought, own_words, whole_reply};
pub use untrusted::check_charsmap;

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
