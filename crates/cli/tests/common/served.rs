//! Doubles of servers that compute with our own decoder.

use ruminate_fleet::Kind;
use ruminate_fleet::double::{Brain, Double};
use ruminate_model::{Batch, Decoder, Routes, load};
use ruminate_testkit::{device, floats};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The embedded tokenizer's ids.
const VOCAB: usize = 102;

/// Whether a folder may have one matrix under two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ties {
    Allowed,
    Refused,
}

/// Computes with the folder that was pushed last, as a server does.
struct Loaded {
    ties: Ties,
    decoders: Mutex<BTreeMap<PathBuf, Decoder>>,
}

impl Brain for Loaded {
    fn logits(&self, folder: &Path, context: &[u32]) -> Option<Vec<f32>> {
        let decoder = {
            let mut loaded = self.decoders.lock().expect("not poisoned");
            if !loaded.contains_key(folder) {
                let decoder = load(folder, &device()).ok()?;
                let is_tied = decoder.config().tie_word_embeddings;
                assert!(self.ties == Ties::Allowed || !is_tied, "published untied");
                loaded.insert(folder.to_owned(), decoder);
            }
            loaded.get(folder)?.clone()
        };
        let hidden = decoder.forward(&Batch::from_rows(&[context.to_vec()]), Routes::Choose).hidden;
        let [tokens, _] = hidden.dims();
        Some(floats(decoder.logits(hidden.narrow(0, tokens - 1, 1))))
    }
}

/// A server that was started on a folder.
pub(crate) fn start(kind: Kind, ties: Ties, folder: &Path) -> Double {
    let brain = Box::new(Loaded { ties, decoders: Mutex::new(BTreeMap::new()) });
    let double = Double::start(kind, brain, VOCAB, folder).expect("a port");
    {
        let mut script = double.script();
        script.has_tokenizer = false; // its ids are not those of bytes
        script.max_len = 4096;
    }
    double
}
