//! Why a GGUF file was not imported, one variant per cause. Paths of input files are absent: the caller opened them.

use std::io;
use std::path::PathBuf;

/// Everything that can go wrong with an import. Texts from the file are quoted and shortened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused to read the file.
    #[error("cannot read: {0}")]
    Read(#[source] io::Error),
    /// The system refused to write the folder.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said; `StorageFull` when the disk is.
        source: io::Error,
    },
    /// The bytes are not a GGUF file that can be read safely.
    #[error("not a readable GGUF file: at byte {at}, {fault}")]
    Container {
        /// Where reading stopped, in bytes from the beginning of the file.
        at: u64,
        /// What was wrong there.
        fault: Fault,
    },
    /// A metadata key is absent or holds what it cannot.
    #[error("metadata `{key}` is {found}; expected {expected}")]
    Metadata {
        /// The key.
        key: String,
        /// What would be right.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// `general.architecture` is not one that we map.
    #[error("the file's architecture is {found:?}; expected one of {known}")]
    Architecture {
        /// What the file says.
        found: String,
        /// Those that we map.
        known: String,
    },
    /// The tensors are not those of the architecture that the metadata describe.
    #[error(
        "tensors do not fit the metadata: missing {missing:?}, unexpected {unexpected:?}, wrong {misshapen:?}"
    )]
    Tensors {
        /// Needed and absent; of each list at most 32.
        missing: Vec<String>,
        /// Present and not of this architecture.
        unexpected: Vec<String>,
        /// Name, shape found, shape expected.
        misshapen: Vec<String>,
    },
    /// `rope_freqs.weight` is not what Llama 3's rule gives.
    #[error(
        "rope_freqs.weight is not Llama 3's scaling rule for any factors (frequency {index} is divided by {found}, \
         the rule gives {expected}); config.json has no other way to say it"
    )]
    RopeFactors {
        /// The frequency.
        index: usize,
        /// The file's divisor.
        found: f32,
        /// The rule's, with the factors that fit best.
        expected: f32,
    },
    /// `tokenizer.ggml.model` is of a kind that is not converted.
    #[error(
        "the file's tokenizer is {found:?}; expected \"gpt2\" (byte-level BPE), \"llama\" or \"t5\" (SentencePiece's BPE and \
         Unigram): others are not converted; take the model's folder from the Hub instead"
    )]
    TokenizerModel {
        /// What the file says.
        found: String,
    },
    /// One of the parts of a split file, under a name that does not lead to the others.
    #[error(
        "this is part {part} of {of} of a split file (`split.count`), and its name does not lead to the others; name the \
         parts NAME-00001-of-{of:05}.gguf and so on, in one folder"
    )]
    Split {
        /// Which part, from 1.
        part: u64,
        /// How many there are.
        of: u64,
    },
    /// A part of a split file is not there.
    #[error("part {part} of {of} is missing: expected {}", path.display())]
    MissingPart {
        /// Which part, from 1.
        part: u64,
        /// How many there are.
        of: u64,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file has the name of a part and is another one.
    #[error("{} is {found}; expected part {part} of {of}", path.display())]
    OtherPart {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        found: String,
        /// Which part its name says, from 1.
        part: u64,
        /// How many there are.
        of: u64,
    },
    /// Another part than the one that was opened cannot be read.
    #[error("{}: {source}", path.display())]
    Part {
        /// The part's file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// `tokenizer.ggml.pre` is absent, or says that the converter did not know.
    #[error(
        "the file does not say how its text is split into words (`tokenizer.ggml.pre` is absent or \"default\", as in files \
         from before May 2024), and another rule than the training's gives other tokens; state it with `--pre NAME`, one of {known}"
    )]
    NoPreTokenizer {
        /// The names that we know.
        known: String,
    },
    /// `tokenizer.ggml.pre` names a way to split text that we do not know.
    #[error("the file splits text by the rule {found:?}; known are {known}")]
    PreTokenizer {
        /// What the file says.
        found: String,
        /// The names that we know.
        known: String,
    },
    /// Two ids have the same token.
    #[error("tokens {first} and {second} are both {token:?}; expected each text once")]
    DuplicateToken {
        /// The text.
        token: String,
        /// The lower id.
        first: usize,
        /// The higher id.
        second: usize,
    },
    /// A merge cannot be applied.
    #[error(
        "merge {index} is {merge:?}; expected two tokens of the vocabulary, parted by a space, that join to a third"
    )]
    Merge {
        /// Its place in `tokenizer.ggml.merges`.
        index: usize,
        /// The merge.
        merge: String,
    },
    /// A weight is not a finite number.
    #[error(
        "tensor {tensor:?} holds {value} at element {index}; expected finite weights: the file is damaged"
    )]
    NonFinite {
        /// The tensor's name in the file.
        tensor: String,
        /// The element, in row-major order of what is written.
        index: u64,
        /// The value.
        value: f32,
    },
}

/// What is wrong with a container.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It does not begin with the magic bytes.
    #[error("expected the bytes \"GGUF\", found {found:?}{}", looks_like(found))]
    Magic {
        /// The first four bytes.
        found: String,
    },
    /// A version that we do not read.
    #[error("expected version 2 or 3, little-endian, found {found}")]
    Version {
        /// What the file says.
        found: String,
    },
    /// The file ends in the middle of something.
    #[error("the file ends: {what} needs {needed} bytes, {left} are left; it was cut off")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// A count or length is beyond what real files have.
    #[error("{what} is {found}; expected at most {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// The claim.
        found: u64,
        /// Our limit.
        limit: u64,
    },
    /// A text is not UTF-8.
    #[error("{what} is not UTF-8")]
    Utf8 {
        /// Which text.
        what: &'static str,
    },
    /// A value has a type number that the format does not define.
    #[error("value type {found} of {key:?} is unknown; expected 0 to 12")]
    ValueType {
        /// The number.
        found: u32,
        /// The key.
        key: String,
    },
    /// A truth value is neither 0 nor 1.
    #[error("a truth value is {found}; expected 0 or 1")]
    Flag {
        /// The byte.
        found: u8,
    },
    /// Lists within lists within lists.
    #[error("lists are nested deeper than {limit}")]
    Nesting {
        /// Our limit.
        limit: u32,
    },
    /// A metadata key comes twice.
    #[error("the key {key:?} comes twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A tensor name comes twice.
    #[error("the tensor {name:?} comes twice")]
    DuplicateTensor {
        /// The name.
        name: String,
    },
    /// `general.alignment` is not usable.
    #[error("general.alignment is {found}; expected a power of two from 8 to 65536")]
    Alignment {
        /// What the file says.
        found: String,
    },
    /// A tensor's dimensions make no sense for its type.
    #[error(
        "tensor {name:?} has the dimensions {found}; expected 1 to 4, none 0, the first a multiple of {block}"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// What the file says, fastest dimension first.
        found: String,
        /// Elements of a block.
        block: u64,
    },
    /// A tensor's elements are stored in a way that we do not read.
    #[error(
        "tensor {name:?} is of ggml type {found}; read are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, \
         Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4"
    )]
    TensorType {
        /// The tensor.
        name: String,
        /// Number, and name where it has one.
        found: String,
    },
    /// Tensors overlap or leave holes.
    #[error(
        "tensor {name:?} begins {found} bytes into the data; expected {expected}, right after the one before"
    )]
    Offset {
        /// The tensor.
        name: String,
        /// What the file says.
        found: u64,
        /// Where the one before ends, aligned.
        expected: u64,
    },
    /// A tensor's data lie beyond the end of the file.
    #[error("tensor {name:?} needs {needed} bytes of data, the file has {left}; it was cut off")]
    PastEnd {
        /// The tensor.
        name: String,
        /// Bytes from the beginning of the data to the tensor's end.
        needed: u64,
        /// Bytes of data in the file.
        left: u64,
    },
}

/// What begins with such bytes and often lies where a model should.
fn looks_like(found: &str) -> &'static str {
    match found.to_ascii_lowercase().as_str() {
        "vers" => ": this looks like a git-lfs pointer; run `git lfs pull`, or download the file again",
        "<!do" | "<htm" => ": this looks like an HTML page; download the file itself",
        _ => "",
    }
}

/// A text of the file as a message may show it.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('\u{2026}');
    }
    short
}
