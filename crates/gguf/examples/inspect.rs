//! What a GGUF file says of itself, and whether it can be imported:
//! `cargo run -p ruminate-gguf --example inspect -- FILE.gguf`

use ruminate_gguf::{Error, Gguf, Import, Options, Value};
use std::path::PathBuf;

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<(), Error> {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        println!("usage: inspect FILE.gguf");
        return Ok(());
    };
    let mut gguf = Gguf::open(&path)?;
    for (key, value) in gguf.metadata().iter() {
        match value {
            Value::Texts(texts) => println!("{key}: {} texts", texts.len()),
            Value::Bytes(bytes) => println!("{key}: {} bytes", bytes.len()),
            Value::Floats(floats) => println!("{key}: {} floats", floats.len()),
            Value::Integers(integers) => println!("{key}: {} integers", integers.len()),
            other => println!("{key}: {other:?}"),
        }
    }
    for tensor in gguf.tensors() {
        println!("{} {:?} {}", tensor.name, tensor.shape, tensor.kind.name());
    }
    let import = Import::plan(&mut gguf, &Options::default())?;
    println!("can be imported: {} bytes of weights in {}", import.weight_bytes(), import.dtype());
    Ok(())
}
