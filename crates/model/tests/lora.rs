//! Adapters against their definition, against PEFT (`fixtures/lora/make.py`), and against files that lie.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use ruminate_model::lora::{Config, Error, Shorthand, Targets, base_folder};
use ruminate_model::{
    Batch, DecodeStep, Decoder, ParameterMapper, ParameterVisitor, Precision, PreparedDecoder, Routes, load,
    save,
};
use ruminate_testkit as testkit;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use testkit::Tensors;

/// Latent attention with and without a low rank of queries, mixtures, biases, norms on heads, tied and separate heads, joined
/// maps, norms behind the halves of a block.
const FAMILIES: [&str; 15] = [
    "deepseek_v3_plain",
    "deepseek_v3_full",
    "deepseek_v3_mtp",
    "llama_tied",
    "llama_untied",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "phi3",
    "glm4_moe",
    "dots1",
    "mixtral",
    "qwen2_moe",
    "olmo2",
    "internlm3",
];

fn recipe() -> Config {
    Config { r: 3, lora_alpha: 5.0, ..Config::default() }
}

fn base(name: &str, device: &burn::tensor::Device) -> Decoder {
    load(&testkit::fixture_path(&format!("model/{name}")), device).expect("a fixture")
}

fn fresh(decoder: Decoder, config: &Config) -> Decoder {
    decoder.with_adapters(config, Path::new("base"), &mut SmallRng::seed_from_u64(3)).expect("known modules")
}

/// Adapters whose B is not zero, as after some training.
fn trained(decoder: Decoder, config: &Config) -> Decoder {
    fresh(decoder, config).map_parameters(&mut Trained(0))
}

struct Trained(u32);

impl ParameterMapper for Trained {
    fn map<const D: usize>(&mut self, name: &str, tensor: Tensor<D>) -> Tensor<D> {
        if !name.ends_with("lora_B.weight") {
            return tensor;
        }
        self.0 += 1;
        let count = tensor.dims().iter().product::<usize>();
        let values: Vec<f32> =
            (0..count).map(|i| ((i as u32 * 37 + self.0 * 11) % 19) as f32 * 0.015 - 0.135).collect();
        let values = burn::tensor::TensorData::new(values, tensor.dims());
        Tensor::from_data(values, &tensor.device())
    }
}

fn rows(name: &str) -> Vec<Vec<u32>> {
    let ids = Tensors::load(&format!("model/{name}/expected.safetensors"));
    let ids = ids.ints("input_ids");
    ids.chunks(ids.len() / 2).map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

fn logprobs(decoder: &Decoder, name: &str) -> Vec<f32> {
    let hidden = decoder.forward(&Batch::from_rows(&rows(name)), Routes::Choose).hidden;
    testkit::floats(log_softmax(decoder.logits(hidden), 1))
}

/// Every parameter's values and whether it is trained, by name.
fn parameters(decoder: &Decoder) -> BTreeMap<String, (Vec<f32>, bool)> {
    #[derive(Default)]
    struct Collect(BTreeMap<String, (Vec<f32>, bool)>);
    impl ParameterVisitor for Collect {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, trained: bool) {
            self.0.insert(name.to_owned(), (testkit::floats(tensor.clone().detach()), trained));
        }
    }
    let mut collect = Collect::default();
    decoder.visit_parameters(&mut collect);
    collect.0
}

#[test]
fn fresh_adapters_change_no_bit() {
    for name in FAMILIES {
        let decoder = base(name, &testkit::device());
        let before = logprobs(&decoder, name);
        assert_eq!(logprobs(&fresh(decoder, &recipe()), name), before, "{name}");
    }
}

#[test]
fn only_adapters_are_trained_and_they_are_where_they_were_asked_for() {
    let attention = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"];
    let mlp = ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"];
    let latent = ["self_attn.kv_a_proj_with_mqa", "self_attn.kv_b_proj", "self_attn.o_proj"];
    let cases: [(&str, Vec<&str>); 6] = [
        ("phi3", vec!["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"]),
        ("mixtral", attention.to_vec()),
        ("qwen2", [attention.as_slice(), &mlp].concat()),
        ("qwen3_moe", attention.to_vec()),
        ("deepseek_v3_mtp", [["self_attn.q_proj"].as_slice(), &latent].concat()),
        ("deepseek_v3_full", [["self_attn.q_a_proj", "self_attn.q_b_proj"].as_slice(), &latent].concat()),
    ];
    for (name, modules) in cases {
        let decoder = fresh(base(name, &testkit::autodiff_device()), &recipe());
        let mut expected: Vec<String> = (0..2)
            .flat_map(|layer| modules.iter().map(move |module| format!("model.layers.{layer}.{module}")))
            .flat_map(|module| ["A", "B"].map(|factor| format!("{module}.lora_{factor}.weight")))
            .collect();
        expected.sort();
        let trained: Vec<String> = parameters(&decoder)
            .into_iter()
            .filter(|(_, (_, trained))| *trained)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(trained, expected, "{name}");
    }
    let some = Config { target_modules: Targets::Named(vec!["v_proj".to_owned()]), ..recipe() };
    let decoder = fresh(base("llama_tied", &testkit::device()), &some);
    let adapted = parameters(&decoder).into_keys().filter(|name| name.contains("lora_A"));
    let expected = [0, 1].map(|layer| format!("model.layers.{layer}.self_attn.v_proj.lora_A.weight"));
    assert_eq!(adapted.collect::<Vec<_>>(), expected);
}

#[test]
fn a_fresh_a_is_uniform_within_the_root_of_its_width_and_comes_from_the_generator() {
    let decoder = |seed| {
        let mut rng = SmallRng::seed_from_u64(seed);
        let wide = Config { r: 16, ..recipe() };
        base("llama_tied", &testkit::device()).with_adapters(&wide, Path::new("."), &mut rng).expect("known")
    };
    let of = |seed| parameters(&decoder(seed))["model.layers.1.mlp.up_proj.lora_A.weight"].0.clone();
    let a = of(1);
    let bound = 32_f32.powf(-0.5);
    assert!(a.iter().all(|value| value.abs() <= bound));
    // The variance of a uniform distribution within +-b is b^2 / 3.
    let variance = a.iter().map(|value| value * value).sum::<f32>() / a.len() as f32;
    assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.15, "{variance}");
    assert_eq!(a, of(1));
    assert_ne!(a, of(2));
}

#[test]
fn merged_and_decoded_equal_unmerged_and_off_is_the_base() {
    for name in FAMILIES {
        let whole = base(name, &testkit::device());
        let off = logprobs(&whole, name);
        for config in [recipe(), Config { use_rslora: true, ..recipe() }] {
            let adapted = trained(whole.clone(), &config);
            let unmerged = logprobs(&adapted, name);
            let merged = adapted.clone().merged();
            assert!(merged.adapters().is_none());
            assert_eq!(parameters(&merged).len(), parameters(&whole).len(), "{name}");
            testkit::assert_close_relative(&logprobs(&merged, name), &unmerged, 1e-5);
            assert!(testkit::max_difference(&unmerged, &off).difference > 0.05, "{name}: they matter");
            assert_eq!(logprobs(&adapted.without_adapters(), name), off, "{name}");
            let rows = rows(name);
            let (length, vocabulary) = (rows[0].len(), whole.config().vocab_size);
            let places = (3..length).flat_map(|position| [position, length + position]);
            let full: Vec<f32> =
                places.flat_map(|place| &unmerged[place * vocabulary..][..vocabulary]).copied().collect();
            testkit::assert_close(&decoded(&adapted, &rows), &full, 1e-4);
        }
    }
}

/// Log-probabilities by cached decoding from the fourth token on: slot by slot at each position.
fn decoded(decoder: &Decoder, rows: &[Vec<u32>]) -> Vec<f32> {
    let prepared = PreparedDecoder::new(decoder, Precision::F32);
    let mut cache = prepared.cache(2, rows[0].len());
    let prompts: Vec<&[u32]> = rows.iter().map(|row| &row[..3]).collect();
    let (_, kept) = prepared.prefill(&Batch::from_rows_right_aligned(&prompts));
    cache.insert(&[0, 1], 3, &kept, &[0, 1]);
    let mut values = Vec::new();
    for (position, (&first, &second)) in rows[0].iter().zip(&rows[1]).enumerate().skip(3) {
        let tokens = [first, second];
        let step = DecodeStep { tokens: &tokens, positions: &[position as u32; 2], columns: &[position; 2] };
        let hidden = prepared.decode(step, &mut cache).hidden;
        values.extend(testkit::floats(log_softmax(prepared.logits(hidden), 1)));
    }
    values
}

/// By the chain rule on `W + s B A`: with G the gradient of that weight, A's is `s B^T G` and B's `s G A^T`.
#[test]
fn gradients_of_both_factors_are_those_of_the_weight_they_make() {
    for name in FAMILIES {
        let config = recipe();
        let scale = (config.lora_alpha / config.r as f64) as f32;
        let adapted = trained(base(name, &testkit::autodiff_device()), &config);
        let folder = tempfile::tempdir().expect("a folder");
        save(&trained(base(name, &testkit::device()), &config).merged(), folder.path()).expect("saved");
        let of_weights = gradients(&load(folder.path(), &testkit::autodiff_device()).expect("loaded"), name);
        let of_factors = gradients(&adapted, name);

        let factors = parameters(&adapted);
        assert!(!of_factors.is_empty() && of_factors.keys().all(|key| key.contains(".lora_")), "{name}");
        for a_name in of_factors.keys().filter(|name| name.ends_with("lora_A.weight")) {
            let module = a_name.trim_end_matches(".lora_A.weight");
            let b_name = format!("{module}.lora_B.weight");
            let (a, b) = (&factors[a_name].0, &factors[&b_name].0);
            let weight = &of_weights[&format!("{module}.weight")];
            let (rank, input, output) = (config.r, a.len() / config.r, b.len() / config.r);
            let mut expected_a = vec![0.0; a.len()];
            let mut expected_b = vec![0.0; b.len()];
            for o in 0..output {
                for i in 0..input {
                    let gradient = scale * weight[o * input + i];
                    for r in 0..rank {
                        expected_a[r * input + i] += gradient * b[o * rank + r];
                        expected_b[o * rank + r] += gradient * a[r * input + i];
                    }
                }
            }
            testkit::assert_close_relative(&of_factors[a_name], &expected_a, 1e-3);
            testkit::assert_close_relative(&of_factors[&b_name], &expected_b, 1e-3);
        }
    }
}

/// Gradients of a loss that weighs every log-probability differently.
fn gradients(decoder: &Decoder, name: &str) -> BTreeMap<String, Vec<f32>> {
    struct Collect(burn::tensor::Gradients, BTreeMap<String, Vec<f32>>);
    impl ParameterVisitor for Collect {
        fn visit<const D: usize>(&mut self, name: &str, tensor: &Tensor<D>, _: bool) {
            if let Some(gradient) = tensor.grad(&self.0) {
                self.1.insert(name.to_owned(), testkit::floats(gradient));
            }
        }
    }
    let hidden = decoder.forward(&Batch::from_rows(&rows(name)), Routes::Choose).hidden;
    let logprobs = log_softmax(decoder.logits(hidden), 1);
    let [places, vocabulary] = logprobs.dims();
    let weights: Vec<f32> = (0..places * vocabulary).map(|i| ((i * 7 % 23) as f32 - 11.0) / 50.0).collect();
    let weights = burn::tensor::TensorData::new(weights, [places, vocabulary]);
    let loss = (logprobs * Tensor::from_data(weights, &decoder.device())).sum();
    let mut collect = Collect(loss.backward(), BTreeMap::new());
    decoder.visit_parameters(&mut collect);
    collect.1
}

#[test]
fn adapters_of_peft_load_onto_the_base_they_name_and_compute_what_peft_computes() {
    for (case, base_name) in
        [("llama", "llama_tied"), ("deepseek_v3", "deepseek_v3_full"), ("qwen3_moe", "qwen3_moe")]
    {
        let folder = testkit::fixture_path(&format!("lora/{case}"));
        let base = base_folder(&folder).expect("the fixture names its base");
        assert!(base.ends_with(format!("model/{base_name}")), "{}", base.display());
        let decoder = load(&folder, &testkit::device()).expect("a fixture");
        let expected = Tensors::load(&format!("lora/{case}/expected.safetensors"));
        let actual = logprobs(&decoder, base_name);
        testkit::assert_close(&actual, expected.floats("logprobs"), 2e-4);
        testkit::assert_close(&logprobs(&decoder.merged(), base_name), expected.floats("logprobs"), 2e-4);
    }
}

#[test]
fn what_we_save_is_what_peft_saved_tensor_by_tensor() {
    for case in ["llama", "deepseek_v3", "qwen3_moe"] {
        let peft = testkit::fixture_path(&format!("lora/{case}"));
        let folder = tempfile::tempdir().expect("a folder");
        save(&load(&peft, &testkit::device()).expect("a fixture"), folder.path()).expect("saved");
        let read = |folder: &Path| {
            let bytes = fs::read(folder.join("adapter_model.safetensors")).expect("weights");
            let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
            let tensor = |(name, view): (String, safetensors::tensor::TensorView)| {
                (name, (view.shape().to_vec(), view.data().to_vec()))
            };
            file.tensors().into_iter().map(tensor).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(read(folder.path()), read(&peft), "{case}");
        let config = |folder: &Path| -> serde_json::Value {
            serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).expect("it")).expect("JSON")
        };
        let (ours, theirs) = (config(folder.path()), config(&peft));
        for key in
            ["peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "use_rslora", "bias"]
        {
            assert_eq!(ours[key], theirs[key], "{case}: {key}");
        }
        let targets: &[&str] = match case {
            "llama" => &["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
            "deepseek_v3" => &["kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "q_a_proj", "q_b_proj"],
            // One layer of two: only whole names say which.
            _ => &["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj"],
        };
        assert_eq!(ours["target_modules"], serde_json::json!(targets), "{case}");
    }
}

#[test]
fn an_unknown_target_is_refused_with_the_nearest_name_and_all_that_there_are() {
    let refusal = |architecture: &str, target: &str| {
        let decoder = base(architecture, &testkit::device());
        let config = Config { target_modules: Targets::Named(vec![target.to_owned()]), ..recipe() };
        let error = config.check(decoder.config(), &testkit::device()).expect_err("no such module");
        assert!(matches!(error, Error::Target { .. }));
        let same = decoder.with_adapters(&config, Path::new("."), &mut SmallRng::seed_from_u64(0));
        assert_eq!(same.expect_err("the same").to_string(), error.to_string());
        error.to_string()
    };
    let message = refusal("qwen3", "q_porj");
    assert!(message.contains("named `q_porj`, did you mean `q_proj`?"), "{message}");
    assert!(message.contains("down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"), "{message}");
    for target in ["gate", "gate_proj", "lm_head", "embed_tokens"] {
        let message = refusal("deepseek_v3_full", target);
        assert!(message.contains("kv_a_proj_with_mqa, kv_b_proj, o_proj, q_a_proj, q_b_proj"), "{message}");
    }
    assert_eq!(Config::default().target_modules, Targets::Shorthand(Shorthand::AllLinear));
}

#[test]
fn the_routers_biases_stay_under_adapters() {
    let decoder = trained(base("deepseek_v3_mtp", &testkit::autodiff_device()), &recipe());
    let before = parameters(&decoder);
    let after = parameters(&decoder.with_balanced_routers(&[vec![9, 0, 0, 0], vec![0, 0, 9, 0]], 0.1, 1.0));
    assert_eq!(before, after);
}

#[test]
fn a_rank_above_a_modules_width_is_refused_by_name() {
    let architecture = base("llama_tied", &testkit::device()).config().clone();
    let check = |r, targets: Option<&str>| {
        let target_modules = match targets {
            Some(name) => Targets::Named(vec![name.to_owned()]),
            None => Targets::Shorthand(Shorthand::AllLinear),
        };
        Config { r, target_modules, ..recipe() }.check(&architecture, &testkit::device())
    };
    check(16, None).expect("the width of keys and values");
    check(32, Some("q_proj")).expect("the width of queries");
    let error = check(17, None).expect_err("keys are narrower");
    assert!(matches!(&error, Error::Rank { module, most: 16, .. } if module == "k_proj"), "{error}");
    assert!(
        error.to_string().starts_with("`lora.r` is 17; expected at most 16, the smaller side of `k_proj`")
    );
    assert!(matches!(check(33, Some("q_proj")), Err(Error::Rank { most: 32, .. })));
}
