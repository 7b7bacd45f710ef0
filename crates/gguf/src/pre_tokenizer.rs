//! How text is split into words before merges apply: `tokenizer.ggml.pre` names the rule, `tokenizer.json` spells it
//! out. It refuses to know vocabularies.

use crate::error::{Error, shown};
use crate::metadata::Metadata;
use serde_json::{Value, json};

/// What a name stands for: what the tokenizer did with which the model was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    split: Split,
    /// Composed Unicode first.
    normalizer: Normalizer,
    /// Whether a word that is a token is taken whole, without merges.
    pub(crate) ignore_merges: bool,
    /// Whether texts begin with the token `bos` where the file says nothing.
    pub(crate) adds_bos: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Split {
    /// GPT-2's pattern, which `tokenizers` has built in.
    Gpt2,
    /// Each digit alone, then GPT-2's pattern.
    Digits,
    /// A pattern of its own.
    Pattern(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normalizer {
    None,
    Nfc,
}

/// Qwen2's pattern: words with the character before them, single digits, punctuation with the line's end, blanks.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Llama 3's: the same with digits in threes.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const GPT2_RULE: Rule =
    Rule { split: Split::Gpt2, normalizer: Normalizer::None, ignore_merges: false, adds_bos: false };
const LLAMA3_RULE: Rule =
    Rule { split: Split::Pattern(LLAMA3), ignore_merges: true, adds_bos: true, ..GPT2_RULE };
const QWEN2_RULE: Rule = Rule { split: Split::Pattern(QWEN2), normalizer: Normalizer::Nfc, ..GPT2_RULE };

static RULES: [(&str, Rule); 7] = [
    ("gpt-2", GPT2_RULE),
    ("smollm", Rule { split: Split::Digits, ..GPT2_RULE }),
    ("qwen2", QWEN2_RULE),
    // DeepSeek's distillates of Qwen: the same pattern, no normalizer.
    ("deepseek-r1-qwen", Rule { normalizer: Normalizer::None, ..QWEN2_RULE }),
    ("llama-bpe", LLAMA3_RULE),
    ("llama3", LLAMA3_RULE),
    ("llama-v3", LLAMA3_RULE),
];

/// The key that names the rule.
const KEY: &str = "tokenizer.ggml.pre";

/// What llama.cpp's converter writes when it does not know a tokenizer: no rule with which one was trained.
const UNKNOWN: &str = "default";

/// The names of the rules for splitting text that are known, as `tokenizer.ggml.pre` has them.
pub fn pre_tokenizers() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name)
}

impl Rule {
    /// The rule of a file, or the one that is stated for a file which names none: those from before May 2024, and those
    /// whose converter did not know the tokenizer.
    pub(crate) fn of(metadata: &Metadata, stated: Option<&str>) -> Result<Self, Error> {
        let own = metadata.text(KEY)?.filter(|name| *name != UNKNOWN);
        let name = match (own, stated) {
            (Some(own), Some(stated)) if own != stated => {
                return Err(metadata.wrong(KEY, format!("{stated:?}, the rule that was asked for")));
            }
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) => return Err(Error::NoPreTokenizer { known: known() }),
        };
        match RULES.iter().find(|(known, _)| *known == name) {
            Some((_, rule)) => Ok(*rule),
            None => Err(Error::PreTokenizer { found: shown(name), known: known() }),
        }
    }

    /// The name of the rule by which a `tokenizer.json` splits text, where it is one of these.
    pub(crate) fn name_of(
        normalizer: &Value,
        pre_tokenizer: &Value,
        ignore_merges: &Value,
    ) -> Option<&'static str> {
        let ignores = *ignore_merges == Value::Bool(true);
        let same = |rule: &Rule| {
            rule.ignore_merges == ignores
                && rule.normalizer() == *normalizer
                && without_offsets(rule.pre_tokenizer()) == without_offsets(pre_tokenizer.clone())
        };
        RULES.iter().find(|(_, rule)| same(rule)).map(|(name, _)| *name)
    }

    /// `pre_tokenizer` of `tokenizer.json`.
    pub(crate) fn pre_tokenizer(self) -> Value {
        let byte_level = |use_regex: bool| {
            json!({
                "type": "ByteLevel",
                "add_prefix_space": false,
                "trim_offsets": true,
                "use_regex": use_regex,
            })
        };
        let sequence = |steps: [Value; 2]| json!({ "type": "Sequence", "pretokenizers": steps });
        match self.split {
            Split::Gpt2 => byte_level(true),
            Split::Digits => {
                sequence([json!({ "type": "Digits", "individual_digits": true }), byte_level(true)])
            }
            Split::Pattern(pattern) => sequence([
                json!({
                    "type": "Split",
                    "pattern": { "Regex": pattern },
                    "behavior": "Isolated",
                    "invert": false,
                }),
                byte_level(false),
            ]),
        }
    }

    /// `normalizer` of `tokenizer.json`.
    pub(crate) fn normalizer(self) -> Value {
        match self.normalizer {
            Normalizer::None => Value::Null,
            Normalizer::Nfc => json!({ "type": "NFC" }),
        }
    }
}

/// Steps without what changes no token: where in the text each is said to be.
fn without_offsets(mut step: Value) -> Value {
    if let Some(step) = step.as_object_mut() {
        step.remove("trim_offsets");
    }
    if let Some(steps) = step.get_mut("pretokenizers").and_then(Value::as_array_mut) {
        for step in steps {
            *step = without_offsets(step.take());
        }
    }
    step
}

fn known() -> String {
    pre_tokenizers().collect::<Vec<_>>().join(", ")
}
