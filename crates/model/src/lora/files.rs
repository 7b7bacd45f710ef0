//! Adapter folders in PEFT's layout: `adapter_config.json`, `adapter_model.safetensors`. Like every file they are
//! untrusted.

use super::{Adapters, Config, Targets, keys, last};
use crate::adapter::Adapter;
use crate::weights::{first_not_finite, kind_of, opened, pretty, read_json};
use crate::{Decoder, LoadError, SaveError};
use burn::module::Module;
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use ruminate_kernels::read::{Place, floats};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What older versions of PEFT wrote.
const PICKLED: &str = "adapter_model.bin";

/// What PEFT puts before the names of a transformers model.
const PREFIX: &str = "base_model.model.";

/// The model folder that a folder's weights begin with: itself, where it has whole weights, or the base that an adapter
/// folder names. A relative name is looked for from the adapter's folder, then from the current one, as PEFT does.
///
/// # Errors
/// [`LoadError::Adapter`] when the base is not there, as where it is a name on the Hub.
pub fn base_folder(folder: &Path) -> Result<PathBuf, LoadError> {
    let whole = ["model.safetensors", "model.safetensors.index.json"];
    let path = folder.join(CONFIG);
    if whole.iter().any(|name| folder.join(name).exists()) || !path.exists() {
        return Ok(folder.to_owned());
    }
    let json = read_json(&path)?;
    let name = json["base_model_name_or_path"].as_str().unwrap_or_default();
    let candidates = [folder.join(name), PathBuf::from(name)];
    let found = candidates.into_iter().find(|base| base != folder && base.join("config.json").exists());
    found.filter(|_| !name.is_empty()).ok_or_else(|| LoadError::Adapter {
        path,
        problem: format!(
            "expected `base_model_name_or_path` to be a model folder on this machine{}, found {name:?}; put the base \
             model there, or name both folders (--model BASE --adapter {})",
            if Path::new(name).is_absolute() { "" } else { ", beside the adapter or below the current folder" },
            folder.display()
        ),
    })
}

/// Puts the adapters of a folder on the decoder that they were made for, and freezes its weights.
///
/// # Errors
/// A file is missing or malformed, asks for what we don't compute, or its tensors do not fit the decoder.
pub fn load_adapter(decoder: Decoder, folder: &Path) -> Result<Decoder, LoadError> {
    let (config, base) = keys::read(&folder.join(CONFIG))?;
    let path = folder.join(WEIGHTS);
    if !path.exists() && folder.join(PICKLED).exists() {
        let problem = format!(
            "expected {WEIGHTS}, found {PICKLED}: only safetensors are read; load the adapter in PEFT and save it again, \
             `save_pretrained(OUT)`"
        );
        return Err(LoadError::Adapter { path: folder.to_owned(), problem });
    }
    let mut bytes = Vec::new();
    opened(&path)?
        .read_to_end(&mut bytes)
        .map_err(|source| LoadError::Read { path: path.clone(), source })?;
    if let Some(found) = kind_of(&bytes) {
        return Err(LoadError::Kind { path, found });
    }
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| LoadError::Safetensors { path: path.clone(), reason: error.to_string() })?;
    attach(decoder, &file, config, base, &path)
}

/// The file's tensors decide which modules have an adapter: names, patterns and ranges of layers in the configuration
/// all come down to that.
fn attach(
    decoder: Decoder,
    file: &SafeTensors,
    config: Config,
    base: PathBuf,
    path: &Path,
) -> Result<Decoder, LoadError> {
    let refused = |problem: String| LoadError::Adapter { path: path.to_owned(), problem };
    let device = decoder.device();
    let mut decoder = decoder.no_grad();
    let mut left: BTreeSet<&str> = file.names().into_iter().collect();
    let (mut adapted, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (name, linear) in decoder.adaptable() {
        let [output, input] = linear.weight.val().dims();
        let [a, b] = ["lora_A", "lora_B"].map(|factor| format!("{PREFIX}{name}.{factor}.weight"));
        if !left.remove(a.as_str()) {
            others.insert(name);
            continue;
        }
        left.remove(b.as_str());
        let a = tensor(file, &a, [config.r, input], path, &device)?;
        let b = tensor(file, &b, [output, config.r], path, &device)?;
        linear.adapter = Some(Adapter::new(a, b, config.scale()));
        adapted.insert(name);
    }
    if let Some(name) = left.first() {
        return Err(refused(format!(
            "{} tensors belong to no linear map of this model that can be adapted, such as {name}",
            left.len()
        )));
    }
    if adapted.is_empty() {
        return Err(refused("expected adapters, found none".to_owned()));
    }
    let config = Config { target_modules: Targets::Named(shortened(&adapted, &others)), ..config };
    decoder.set_adapters(Some(Adapters { config, base }));
    Ok(decoder)
}

/// The modules' own names where these mean the same modules, else the names in full.
fn shortened(adapted: &BTreeSet<String>, others: &BTreeSet<String>) -> Vec<String> {
    let short: BTreeSet<&str> = adapted.iter().map(|name| last(name)).collect();
    if others.iter().any(|name| short.contains(last(name))) {
        return adapted.iter().cloned().collect();
    }
    short.into_iter().map(str::to_owned).collect()
}

fn tensor(
    file: &SafeTensors,
    name: &str,
    shape: [usize; 2],
    path: &Path,
    device: &Device,
) -> Result<Tensor<2>, LoadError> {
    let refused = |problem: String| {
        let problem = format!("tensor {name}{problem}");
        LoadError::Adapter { path: path.to_owned(), problem }
    };
    let view = file.tensor(name).map_err(|_| refused(" is missing".to_owned()))?;
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => return Err(refused(format!(": expected F32, F16 or BF16, found {other:?}"))),
    };
    if view.shape() != shape {
        return Err(refused(format!(": expected {shape:?}, found {:?}", view.shape())));
    }
    let data = TensorData::from_bytes_vec(view.data().to_vec(), Shape::from(shape), dtype).convert::<f32>();
    let values = data.as_slice::<f32>().expect("converted to f32");
    if let Some(index) = first_not_finite(values) {
        let (path, value) = (path.to_owned(), values[index]);
        return Err(LoadError::NonFinite { path, tensor: name.to_owned(), index, value });
    }
    Ok(Tensor::from_data(data, device))
}

/// Writes the adapters of a decoder into an existing folder and returns the paths.
pub(crate) fn save(decoder: &Decoder, adapters: &Adapters, folder: &Path) -> Result<Vec<PathBuf>, SaveError> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    let mut decoder = decoder.clone(); // handles of its tensors
    for (name, linear) in decoder.adaptable() {
        let Some(adapter) = &linear.adapter else { continue };
        for (factor, tensor) in ["lora_A", "lora_B"].into_iter().zip(adapter.factors()) {
            let shape = tensor.dims().to_vec();
            let values = floats(tensor, Place::Weights);
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensors.insert(format!("{PREFIX}{name}.{factor}.weight"), (shape, bytes));
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view =
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("bytes were made from this shape");
        (name.as_str(), view)
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let weights = safetensors::serialize(views, Some(metadata)).expect("names are unique, sizes agree");

    let mut written = Vec::new();
    for (name, bytes) in [(CONFIG, pretty(&to_json(adapters))), (WEIGHTS, weights)] {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|source| SaveError { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

/// What PEFT needs to know; for all else its defaults are right.
fn to_json(Adapters { config, base }: &Adapters) -> Value {
    let alpha = config.lora_alpha;
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.r,
        // PEFT's own are whole numbers.
        "lora_alpha": if alpha.fract() == 0.0 { json!(alpha as i64) } else { json!(alpha) },
        "target_modules": config.target_modules,
        "use_rslora": config.use_rslora,
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": true,
    })
}
