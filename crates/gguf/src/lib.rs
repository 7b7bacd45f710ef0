//! Converts GGUF files, the format of llama.cpp, into Hugging Face model folders: the container, its metadata,
//! dequantisation, tensor names and the tokenizer. It does not know how a model computes, and trusts nothing that a
//! file says.
//!
//! - [`Gguf::open`] reads and checks a header; [`Gguf::metadata`] and [`Gguf::tensors`] are what it holds.
//! - [`Import::plan`] says whether the file is a supported model, before anything is written; [`Import::write`] fills a
//!   folder.
//! - [`dequantize`] turns blocks into f32.
//!
//! A header claims sizes, and no claim is allocated: texts and lists grow by what was read, up to fixed limits, and
//! tensors pass through buffers of a fixed size. A file of any size is imported within 64 MiB.
//!
//! Specification: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! # Example
//!
//! ```no_run
//! use ruminate_gguf::{Error, Gguf, Import, Options};
//! use std::path::Path;
//!
//! let mut gguf = Gguf::open(Path::new("model.gguf"))?;
//! let import = Import::plan(&mut gguf, &Options::default())?;
//! println!("{} bytes of weights in {}", import.weight_bytes(), import.dtype());
//! std::fs::create_dir("model").expect("a new folder");
//! import.write(&mut gguf, Path::new("model"), &mut |at| println!("{} of {}", at.done, at.of))?;
//! # Ok::<(), Error>(())
//! ```
//!
//! A file that cannot be read safely is an error with the byte and the reason:
//!
//! ```
//! use ruminate_gguf::{Error, Fault, Gguf};
//! use std::io::Cursor;
//!
//! let error = Gguf::read(Cursor::new(b"PK\x03\x04 is a ZIP archive")).expect_err("not a GGUF file");
//! assert!(matches!(error, Error::Container { at: 4, fault: Fault::Magic { .. } }), "{error}");
//! ```
//!
//! Blocks of every supported type become f32, with the bits that ggml's reference code gives:
//!
//! ```
//! use ruminate_gguf::{TensorType, dequantize};
//!
//! let (mut values, halves) = (Vec::new(), [0x00, 0x3c, 0x00, 0xc0]);
//! dequantize(TensorType::F16, &halves, &mut values);
//! assert_eq!(values, [1.0, -2.0]);
//! ```

mod architecture;
mod container;
mod deepseek;
mod dequantize;
mod dtype;
mod error;
mod export;
mod import;
mod keys;
mod metadata;
mod names;
mod pre_tokenizer;
mod progress;
mod rope;
mod source;
mod split;
mod tensor;
mod tokenizer;
mod weights;

pub use container::Gguf;
pub use dequantize::dequantize;
pub use dtype::Dtype;
pub use error::{Error, Fault};
pub use export::{Export, ExportError, ExportSource, ExportType, Values};
pub use import::{CheckCharsmap, Import, Options};
pub use metadata::{Metadata, Strings, Value};
pub use pre_tokenizer::pre_tokenizers;
pub use progress::Progress;
pub use tensor::{TensorInfo, TensorType};

/// The examples of the README are tested with the crate's own.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
