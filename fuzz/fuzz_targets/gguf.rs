//! Whatever bytes a GGUF file has, it is imported, or refused with nothing written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ruminate_gguf::{Gguf, Import, Options};
use std::io::Cursor;

fuzz_target!(|data: &[u8]| {
    let Ok(mut gguf) = Gguf::read(Cursor::new(data)) else { return };
    let Ok(plan) = Import::plan(&mut gguf, &Options::default()) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    if plan.write(&mut gguf, folder.path(), &mut |_| {}).is_ok() {
        assert!(folder.path().join("model.safetensors").exists());
    }
});
