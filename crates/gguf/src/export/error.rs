//! Why a model was not exported, one variant per cause.

use std::io;

/// Everything that can go wrong with an export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The system refused to write the file.
    #[error("cannot write: {0}")]
    Write(#[source] io::Error),
    /// No architecture of llama.cpp that we write.
    #[error("llama.cpp runs no model of model_type {found:?} that we can write; expected one of {expected}")]
    Family {
        /// What `config.json` says.
        found: String,
        /// Those that are written.
        expected: String,
    },
    /// A key of `config.json` is absent, or holds what a GGUF file cannot say.
    #[error("config.json: `{key}` is {found}; {expected}")]
    Config {
        /// The key.
        key: &'static str,
        /// What it holds.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// The tokenizer is of a kind that llama.cpp lacks.
    #[error("tokenizer.json: {part} is {found}; llama.cpp runs {expected}")]
    Tokenizer {
        /// Which part.
        part: &'static str,
        /// What it is.
        found: String,
        /// What llama.cpp has.
        expected: String,
    },
    /// A token that no row of the embedding stands for, or an id twice.
    #[error("tokenizer.json: token {token:?} has the id {id}; expected ids below {vocab_size}, each once")]
    Id {
        /// The token.
        token: String,
        /// Its id.
        id: u64,
        /// Rows of the embedding.
        vocab_size: u64,
    },
    /// More ending tokens than the format has keys for.
    #[error(
        "{found} tokens end the model's texts; a GGUF file names at most 3 (text, turn, message): shorten `eos_token_id` of config.json and generation_config.json"
    )]
    Ends {
        /// How many there are.
        found: usize,
    },
    /// No token ends the model's texts; llama.cpp would take an id of its own.
    #[error(
        "no token ends the model's texts; a GGUF file names one: set `eos_token_id` of config.json or generation_config.json, or `eos_token` of tokenizer_config.json"
    )]
    NoEnd,
    /// A weight is infinite or not a number.
    #[error("tensor {tensor:?} holds {value}; expected finite numbers: export another checkpoint")]
    NotFinite {
        /// The tensor's name in the model.
        tensor: String,
        /// The value.
        value: f32,
    },
    /// A finite weight is beyond the range of the type.
    #[error("tensor {tensor:?} holds {value}, which {kind} cannot hold{}", advice(kind))]
    Overflow {
        /// The tensor's name in the model.
        tensor: String,
        /// The value.
        value: f32,
        /// The type.
        kind: &'static str,
    },
}

/// What holds a value that a type does not: bfloat16 has the widest range.
fn advice(kind: &str) -> &'static str {
    if matches!(kind, "F16" | "Q8_0") { "; export it as bf16" } else { "" }
}
