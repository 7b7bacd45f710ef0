//! Text to token ids and back, and chats to text. This crate knows no tensor, no reward and no file of a run;
//! it reads model folders, which are untrusted.
//!
//! - [`Tokenizer`]: a model folder's `tokenizer.json`, or the [`embedded`] one that needs no file.
//! - [`ChatTemplate`]: a model folder's Jinja template, rendered as `transformers` renders it.
//! - [`r1_zero_prompt`]: the template under which R1-Zero trains a pretrained base model.

mod chat;
mod difference;
pub mod embedded;
mod encode;
mod error;
mod files;
mod guard;
mod inputs;
mod jinja;
mod prompt;
mod special;
mod stream;
mod strftime;
mod templates;
mod tokenizer;
mod turn;
mod untrusted;

pub use chat::{ChatTemplate, GenerationPrompt, MarkedChat};
pub use error::Error;
pub use files::is_tokenizer_file;
pub use guard::silence_caught_panics;
pub use inputs::{TemplateInputs, check_names};
pub use prompt::r1_zero_prompt;
pub use special::SpecialTokens;
pub use stream::TextStream;
pub use tokenizer::{SpecialText, Tokenizer};
pub use turn::{Turn, continuation, opens_thought, own_words, whole_reply};
