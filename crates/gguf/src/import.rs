//! A whole import: everything checked first, then a folder filled. The caller makes it atomic: it passes a folder that
//! is renamed when all is in it.

use crate::architecture::{Architecture, misshapen};
use crate::container::Gguf;
use crate::dequantize::dequantize;
use crate::dtype::Dtype;
use crate::error::Error;
use crate::keys::ROPE_DIVISORS;
use crate::names::{self, Mapped};
use crate::progress::Progress;
use crate::split;
use crate::tokenizer::unigram::CHARSMAP;
use crate::tokenizer::{SpecialIds, Tokenizer};
use crate::weights;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;

/// What is wrong with SentencePiece's `precompiled_charsmap`, in words.
pub type CheckCharsmap = fn(&[u8]) -> Result<(), String>;

/// What a file does not say, or what is wanted otherwise.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How text is split into words, one of [`pre_tokenizers`](crate::pre_tokenizers): for a file that does not say it.
    pub pre: Option<String>,
    /// How the weights are stored; where absent, as suits the file's own types.
    pub dtype: Option<Dtype>,
    /// Looks at the table by which a Unigram tokenizer replaces characters. It goes into `tokenizer.json` as it is, and the
    /// libraries that read that believe every number in it.
    pub check_charsmap: Option<CheckCharsmap>,
}

/// What an import will do with a file.
#[derive(Debug)]
pub struct Import {
    architecture: Architecture,
    mapped: Vec<Mapped>,
    dtype: Dtype,
    /// The rule for splitting text that was stated.
    pre: Option<String>,
    has_end: bool,
}

impl Import {
    /// Checks that the file is a model that we know with all its tensors and a tokenizer.
    ///
    /// # Errors
    /// What is wrong with it; nothing has been written.
    pub fn plan<R: Read + Seek>(gguf: &mut Gguf<R>, options: &Options) -> Result<Self, Error> {
        if let Some((part, of)) = split::place(gguf.metadata())? {
            return Err(Error::Split { part, of });
        }
        let divisors = rope_divisors(gguf)?;
        let architecture = Architecture::read(gguf.metadata(), gguf.tensors(), divisors.as_deref())?;
        let mapped = names::map(&architecture, gguf.tensors())?;
        let tokenizer = Tokenizer::read(gguf.metadata(), architecture.vocab_size, options.pre.as_deref())?;
        if let Some((charsmap, check)) = tokenizer.charsmap().zip(options.check_charsmap) {
            check(charsmap).map_err(|found| Error::Metadata {
                key: CHARSMAP.to_owned(),
                expected: "a table that SentencePiece has made".to_owned(),
                found,
            })?;
        }
        let SpecialIds { eos, eot, eom, .. } = tokenizer.special;
        let dtype = options.dtype.unwrap_or_else(|| Dtype::of(mapped.iter().flat_map(Mapped::stored)));
        let has_end = eos.or(eot).or(eom).is_some();
        Ok(Self { architecture, mapped, dtype, pre: options.pre.clone(), has_end })
    }

    /// Whether the file names a token that ends a text or a turn; generation with the model ends by length otherwise.
    pub fn has_end(&self) -> bool {
        self.has_end
    }

    /// How the weights will be stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Bytes of the weights that will be written.
    pub fn weight_bytes(&self) -> u64 {
        self.mapped.iter().map(|tensor| tensor.elements() * self.dtype.bytes()).sum()
    }

    /// Fills an existing folder: `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json`,
    /// `chat_template.jinja` where the file has a template, and `model.safetensors`. `progress` is called before every
    /// tensor and at the end.
    ///
    /// # Errors
    /// [`Error::Write`] when the folder cannot be written, [`Error::Read`] or [`Error::Container`] when the file
    /// cannot be read to its end, [`Error::NonFinite`] when a weight is no number.
    pub fn write<R: Read + Seek>(
        &self,
        gguf: &mut Gguf<R>,
        folder: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        self.write_texts(gguf, folder)?;
        weights::write(gguf, &self.mapped, self.dtype, &folder.join("model.safetensors"), progress)
    }

    fn write_texts<R: Read + Seek>(&self, gguf: &Gguf<R>, folder: &Path) -> Result<(), Error> {
        let tokenizer = Tokenizer::read(gguf.metadata(), self.architecture.vocab_size, self.pre.as_deref())?;
        let mut config = self.architecture.to_json(self.dtype);
        let generation = token_ids(tokenizer.special);
        if let Value::Object(config) = &mut config {
            config.extend(generation.clone());
        }
        let jsons = [
            ("config.json", config),
            ("generation_config.json", Value::Object(generation)),
            ("tokenizer_config.json", tokenizer.config(self.architecture.max_position_embeddings)),
        ];
        for (name, value) in jsons {
            write_file(&folder.join(name), |out| writeln!(out, "{value:#}"))?;
        }
        if let Some(template) = tokenizer.chat_template {
            write_file(&folder.join("chat_template.jinja"), |out| out.write_all(template.as_bytes()))?;
        }
        write_file(&folder.join("tokenizer.json"), |out| tokenizer.write_json(out))
    }
}

/// The elements of `rope_freqs.weight`, where the file has it.
fn rope_divisors<R: Read + Seek>(gguf: &mut Gguf<R>) -> Result<Option<Vec<f32>>, Error> {
    /// Half of the widest head that a model has.
    const MOST: u64 = 1 << 14;
    let Some(tensor) = gguf.tensors().iter().find(|tensor| tensor.name == ROPE_DIVISORS).cloned() else {
        return Ok(None);
    };
    if tensor.shape.len() != 1 || tensor.elements() > MOST {
        return Err(misshapen(format!("{ROPE_DIVISORS}: {:?} instead of [head_dim / 2]", tensor.shape)));
    }
    let mut bytes = vec![0; tensor.bytes as usize];
    gguf.data(tensor.part, tensor.at, &mut bytes)?;
    let mut divisors = Vec::new();
    dequantize(tensor.kind, &bytes, &mut divisors);
    Ok(Some(divisors))
}

/// The token ids of `config.json` and `generation_config.json`. What ends a text, a turn or a message ends generation.
fn token_ids(special: SpecialIds) -> Map<String, Value> {
    let mut ends: Vec<u32> = Vec::new();
    for end in [special.eos, special.eot, special.eom].into_iter().flatten() {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    let end = match ends.as_slice() {
        [] => Value::Null,
        [end] => json!(end),
        ends => json!(ends),
    };
    // Null, not absent: llama's class has ids of its own for what a file leaves out.
    let ids =
        [("bos_token_id", json!(special.bos)), ("eos_token_id", end), ("pad_token_id", json!(special.pad))];
    ids.map(|(key, id)| (key.to_owned(), id)).into_iter().collect()
}

fn write_file(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Error> {
    let written = || {
        let mut out = BufWriter::new(File::create(path)?);
        fill(&mut out)?;
        out.flush()
    };
    written().map_err(|source| Error::Write { path: path.to_owned(), source })
}
