//! The families as data: how their files call themselves, and which parts and keys they have. It refuses to compute
//! anything.

use super::{Family, Maps, NormPlace};

/// What distinguishes a family's files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// `model_type`, and the class in transformers that goes with it.
    pub(super) names: [&'static str; 2],
    pub(super) biases: Biases,
    pub(super) head_norm: HeadNorms,
    /// Whether `mlp_bias` is read.
    pub(super) mlp_bias: bool,
    pub(super) window: Window,
    /// The share of a head that is rotated where `partial_rotary_factor` is absent, for families that read the key.
    pub(super) rotated_share: Option<f64>,
    pub(super) mixture: Mixture,
    pub(super) maps: Maps,
    pub(super) norms: NormPlace,
}

/// Which key says where attention has biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Biases {
    /// None, whatever is stated.
    Never,
    /// On queries, keys and values, whatever is stated.
    QueryKeyValue,
    /// `attention_bias`: on all maps.
    OnAll,
    /// `attention_bias`: on queries, keys and values.
    OnQueryKeyValue,
    /// `attention_bias` and `attention_out_bias`.
    SeedOss,
    /// `qkv_bias`: on queries, keys and values.
    QkvBias,
    /// `attention_bias` or `qkv_bias`, which has to be what `mlp_bias` or `bias` is.
    Internlm3,
}

/// Whether queries and keys are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadNorms {
    Never,
    /// Each head.
    Each,
    /// Each head where `use_qk_norm` says so.
    Stated,
    /// All heads together.
    Together,
}

/// Whether `sliding_window` means a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Not without `use_sliding_window` or `layer_types`.
    Never,
    /// Where it is a number; this one where it is absent.
    Stated(Option<usize>),
    /// In blocks from `max_window_layers` on, which has this default, as the window has.
    Late { blocks: usize, window: usize },
}

/// Which mixture of experts a family has, and under which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mixture {
    None,
    /// DeepSeek-V3's router and shared experts.
    Sigmoid,
    /// Softmax router; `num_experts`.
    Softmax,
    /// The same with a gated shared expert.
    SoftmaxShared,
    /// The same with `num_local_experts` of `intermediate_size`, weights that always sum to 1.
    Mixtral,
}

impl Family {
    pub(super) const ALL: [Self; 16] = [
        Self::DeepseekV3,
        Self::Dots1,
        Self::Glm4Moe,
        Self::Granite,
        Self::Internlm3,
        Self::Llama,
        Self::Mistral,
        Self::Mixtral,
        Self::Olmo2,
        Self::Phi3,
        Self::Qwen2,
        Self::Qwen2Moe,
        Self::Qwen3,
        Self::Qwen3Moe,
        Self::SeedOss,
        Self::Smollm3,
    ];

    /// Of a `model_type`.
    pub(super) fn of(model_type: &str) -> Option<Self> {
        // Kimi-K2's own class is DeepSeek-V3's.
        let name = if model_type == "kimi_k2" { "deepseek_v3" } else { model_type };
        Self::ALL.into_iter().find(|family| family.traits().names[0] == name)
    }

    pub(super) fn traits(self) -> Traits {
        let llama = Traits {
            names: ["llama", "LlamaForCausalLM"],
            biases: Biases::OnAll,
            head_norm: HeadNorms::Never,
            mlp_bias: true,
            window: Window::Never,
            rotated_share: None,
            mixture: Mixture::None,
            maps: Maps::Apart,
            norms: NormPlace::Before,
        };
        let plain = Traits { biases: Biases::Never, mlp_bias: false, ..llama };
        match self {
            Self::Llama => llama,
            Self::Granite => Traits { names: ["granite", "GraniteForCausalLM"], ..llama },
            Self::Smollm3 => Traits { names: ["smollm3", "SmolLM3ForCausalLM"], ..llama },
            Self::SeedOss => {
                Traits { names: ["seed_oss", "SeedOssForCausalLM"], biases: Biases::SeedOss, ..llama }
            }
            // Its class is Llama's.
            Self::Internlm3 => {
                Traits { names: ["internlm3", "LlamaForCausalLM"], biases: Biases::Internlm3, ..llama }
            }
            Self::Mistral => Traits {
                names: ["mistral", "MistralForCausalLM"],
                window: Window::Stated(Some(super::defaults::SLIDING_WINDOW)),
                ..plain
            },
            Self::Mixtral => Traits {
                names: ["mixtral", "MixtralForCausalLM"],
                window: Window::Stated(None),
                mixture: Mixture::Mixtral,
                ..plain
            },
            Self::Phi3 => Traits {
                names: ["phi3", "Phi3ForCausalLM"],
                window: Window::Stated(None),
                rotated_share: Some(1.0),
                maps: Maps::Joined,
                ..plain
            },
            Self::Olmo2 => Traits {
                names: ["olmo2", "Olmo2ForCausalLM"],
                biases: Biases::OnAll,
                head_norm: HeadNorms::Together,
                norms: NormPlace::After,
                ..plain
            },
            Self::Qwen2 => {
                Traits { names: ["qwen2", "Qwen2ForCausalLM"], biases: Biases::QueryKeyValue, ..plain }
            }
            Self::Qwen2Moe => Traits {
                names: ["qwen2_moe", "Qwen2MoeForCausalLM"],
                biases: Biases::QkvBias,
                mixture: Mixture::SoftmaxShared,
                ..plain
            },
            Self::Qwen3 => Traits {
                names: ["qwen3", "Qwen3ForCausalLM"],
                biases: Biases::OnAll,
                head_norm: HeadNorms::Each,
                ..plain
            },
            Self::Qwen3Moe => Traits {
                names: ["qwen3_moe", "Qwen3MoeForCausalLM"],
                mixture: Mixture::Softmax,
                ..Self::Qwen3.traits()
            },
            Self::DeepseekV3 => {
                Traits { names: ["deepseek_v3", "DeepseekV3ForCausalLM"], mixture: Mixture::Sigmoid, ..plain }
            }
            Self::Dots1 => Traits {
                names: ["dots1", "Dots1ForCausalLM"],
                biases: Biases::OnAll,
                head_norm: HeadNorms::Each,
                window: Window::Late { blocks: 62, window: 4096 },
                mixture: Mixture::Sigmoid,
                ..plain
            },
            Self::Glm4Moe => Traits {
                names: ["glm4_moe", "Glm4MoeForCausalLM"],
                biases: Biases::OnQueryKeyValue,
                head_norm: HeadNorms::Stated,
                rotated_share: Some(0.5),
                mixture: Mixture::Sigmoid,
                ..plain
            },
        }
    }
}

/// The `model_type`s that are read, in alphabetical order.
pub(super) fn known() -> String {
    let mut names: Vec<&str> = Family::ALL.iter().map(|family| family.traits().names[0]).collect();
    names.push("kimi_k2");
    names.sort_unstable();
    names.join(", ")
}

/// What the decoder lacks for a published family that it does not read.
pub(super) fn lacking(model_type: &str) -> Option<&'static str> {
    const WINDOWS: &str = "sliding-window attention";
    const STATES: &str = "layers with a recurrent state and their cache";
    Some(match model_type {
        "gemma" | "gemma2" | "gemma3" | "gemma3_text" => {
            "sliding-window attention, gains of norms around 1, GELU and a scaled embedding"
        }
        "gemma3n" | "gemma3n_text" | "gemma4" | "gemma4_text" => {
            "per-layer inputs and sliding-window attention"
        }
        "gpt_oss" => "attention sinks, sliding windows, MXFP4 weights and biases of experts",
        "olmo3" | "exaone4" | "ministral" | "mellum" | "cohere2" => WINDOWS,
        "ministral3" => "queries that grow with their position",
        "arcee" | "apertus" | "nemotron" | "nanochat" => "a feed-forward layer without a gate",
        "qwen3_next" | "qwen3_5" | "qwen3_5_text" | "qwen3_5_moe" | "kimi_linear" => {
            "linear attention with a gated delta rule and its cache"
        }
        "lfm2" | "lfm2_moe" => "short convolutions and their cache",
        "mamba" | "mamba2" | "nemotron_h" | "jamba" | "bamba" | "falcon_h1" | "granitemoehybrid"
        | "zamba2" => STATES,
        "deepseek_v2" => "DeepSeek-V2's router",
        "deepseek_v32" | "glm_moe_dsa" => "an index of sparse attention",
        "deepseek_v4" => "compressed attention and hyper-connections",
        "llama4" | "llama4_text" => "chunked attention and interleaved blocks of experts",
        "olmoe" => "norms of queries and keys over all heads in a mixture of experts",
        "granitemoe" | "phimoe" | "ernie4_5_moe" | "hunyuan_v1_moe" | "minimax" | "minimax_m2" => {
            "its router"
        }
        "ernie4_5" | "helium" | "glm" | "glm4" | "cohere" => {
            "a rotation of neighbouring columns in grouped-query attention"
        }
        "hunyuan_v1_dense" => "norms of queries and keys behind the rotation",
        "gpt2" | "gpt_neox" | "opt" | "falcon" | "phi" | "bloom" | "mpt" | "stablelm" | "starcoder2"
        | "olmo" => "layer norms that subtract the mean",
        "chatglm" | "internlm2" | "internlm" | "baichuan" | "qwen" => {
            "the tensor names of its own code (converted to Llama's layout it would be read)"
        }
        "t5" | "bart" | "mt5" => "an encoder",
        "bert" | "roberta" | "modernbert" => "a head that predicts the next token",
        _ if model_type.ends_with("_vl") || model_type.contains("llava") || model_type == "mistral3" => {
            "a vision tower: only text decoders are read"
        }
        _ => return None,
    })
}
