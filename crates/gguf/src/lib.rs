//! GGUF files, the format of llama.cpp, to Hugging Face model folders: the container, its metadata, dequantisation,
//! tensor names and the tokenizer. It refuses to know how a model computes, and trusts nothing that a file says.
//!
//! - [`Gguf::open`] reads and checks a header; [`Gguf::metadata`] and [`Gguf::tensors`] are what it holds.
//! - [`Import::plan`] says whether the file is a model that we know, before anything is written;
//!   [`Import::write`] fills a folder.
//! - [`dequantize`] turns blocks into f32.
//!
//! A header claims sizes, and no claim is allocated: texts and lists grow by what was read, up to fixed limits, and
//! tensors pass through buffers of a fixed size. A file of any size is imported within 64 MiB.
//!
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod architecture;
mod container;
mod dequantize;
mod dtype;
mod error;
mod import;
mod keys;
mod metadata;
mod names;
mod pre_tokenizer;
mod progress;
mod rope;
mod source;
mod tensor;
mod tokenizer;
mod weights;

pub use container::Gguf;
pub use dequantize::dequantize;
pub use dtype::Dtype;
pub use error::{Error, Fault};
pub use import::Import;
pub use metadata::{Metadata, Strings, Value};
pub use pre_tokenizer::pre_tokenizers;
pub use progress::Progress;
pub use tensor::{TensorInfo, TensorType};
