//! Loads a model folder and writes it anew, in f32 or bf16, whole or in shards. `fixtures/model/check_round_trip.py`
//! opens the result with transformers.

use ruminate_model::{Format, WeightType, load, save_as};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, target, weight_type, max_shard_size] = args.as_slice() else {
        return Err("expected SOURCE TARGET float32|bfloat16 MAX_SHARD_BYTES".into());
    };
    let format = Format {
        dtype: match weight_type.as_str() {
            "float32" => WeightType::Float32,
            "bfloat16" => WeightType::Bfloat16,
            other => return Err(format!("expected float32 or bfloat16, found {other}").into()),
        },
        max_shard_size: max_shard_size.parse()?,
    };
    let decoder = load(Path::new(source), &ruminate_testkit::device())?;
    std::fs::create_dir_all(target)?;
    save_as(&decoder, Path::new(target), format)?;
    Ok(())
}
