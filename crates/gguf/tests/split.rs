//! Files in parts: opened as the whole that they are, from any of them, or refused with the part that is wrong.

mod common;

use common::{Writer, import, tiny};
use ruminate_gguf::{Dtype, Error, Gguf, Import, Options};
use std::fs;
use std::path::{Path, PathBuf};

const OF: u16 = 3;

/// The tiny file in three parts, as llama.cpp's `llama-gguf-split` writes them: the first has the metadata.
fn parts() -> [Writer; 3] {
    let whole = tiny();
    let names = whole.names();
    let part = |no: u16| {
        let mut part = whole.clone();
        if no > 0 {
            part.without_keys();
        }
        for (place, name) in names.iter().enumerate() {
            if place / 4 != usize::from(no) {
                part.without_tensor(name);
            }
        }
        part.raw("split.no", 2, &no.to_le_bytes());
        part.raw("split.count", 2, &OF.to_le_bytes());
        part.raw("split.tensors.count", 5, &(names.len() as i32).to_le_bytes());
        part
    };
    [part(0), part(1), part(2)]
}

fn path(folder: &Path, part: usize) -> PathBuf {
    folder.join(format!("model-{part:05}-of-00003.gguf"))
}

fn written(parts: &[Writer; 3]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (no, part) in parts.iter().enumerate() {
        fs::write(path(folder.path(), no + 1), part.bytes()).expect("written");
    }
    folder
}

fn imported(file: &Path, options: &Options) -> Result<tempfile::TempDir, Error> {
    let mut gguf = Gguf::open(file)?;
    let import = Import::plan(&mut gguf, options)?;
    let out = tempfile::tempdir().expect("a folder");
    import.write(&mut gguf, out.path(), &mut |_| {})?;
    Ok(out)
}

fn refusal(file: &Path) -> Error {
    imported(file, &Options::default()).expect_err("a refusal")
}

#[test]
fn the_parts_are_the_whole_whichever_is_opened() {
    let folder = written(&parts());
    let whole = tempfile::tempdir().expect("a folder");
    import(&tiny().bytes(), whole.path()).expect("a valid file");
    for part in 1..=3 {
        let out = imported(&path(folder.path(), part), &Options::default()).expect("all parts are there");
        for name in ["model.safetensors", "config.json", "tokenizer.json"] {
            let read = |folder: &Path| fs::read(folder.join(name)).expect("a file");
            assert_eq!(read(out.path()), read(whole.path()), "{name} from part {part}");
        }
    }
}

#[test]
fn the_part_that_is_missing_or_another_one_is_named() {
    let folder = written(&parts());
    fs::remove_file(path(folder.path(), 1)).expect("removed");
    let error = refusal(&path(folder.path(), 2));
    assert!(matches!(error, Error::MissingPart { part: 1, of: 3, .. }), "{error}");
    assert!(error.to_string().starts_with("part 1 of 3 is missing: expected "), "{error}");

    fs::copy(path(folder.path(), 2), path(folder.path(), 1)).expect("copied");
    let error = refusal(&path(folder.path(), 3));
    assert!(error.to_string().ends_with("is part 2 of 3; expected part 1 of 3"), "{error}");
    fs::write(path(folder.path(), 1), tiny().bytes()).expect("written");
    let error = refusal(&path(folder.path(), 3));
    assert!(error.to_string().ends_with("is a whole file; expected part 1 of 3"), "{error}");

    let folder = written(&parts());
    let alone = folder.path().join("model.gguf");
    fs::rename(path(folder.path(), 1), &alone).expect("renamed");
    let error = refusal(&alone);
    assert!(matches!(error, Error::Split { part: 1, of: 3 }), "{error}");
}

#[test]
fn a_part_that_cannot_be_read_is_named() {
    let folder = written(&parts());
    let second = path(folder.path(), 2);
    let bytes = fs::read(&second).expect("a part");
    fs::write(&second, &bytes[..bytes.len() - 1]).expect("written");
    let error = refusal(&path(folder.path(), 1)).to_string();
    assert!(error.contains("model-00002-of-00003.gguf") && error.contains("it was cut off"), "{error}");
}

#[test]
fn parts_with_the_same_tensor_and_claims_beyond_reason_are_refused() {
    let mut twice = parts();
    twice[2].counting("token_embd.weight", &[6, 8]);
    let error = refusal(&path(written(&twice).path(), 1)).to_string();
    assert!(error.contains("00003-of-00003") && error.contains("comes twice"), "{error}");

    let mut few = parts();
    few[0].raw("split.tensors.count", 5, &40_i32.to_le_bytes());
    let error = refusal(&path(written(&few).path(), 1));
    assert!(matches!(&error, Error::Metadata { key, .. } if key == "split.tensors.count"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    let mut many = parts();
    many[0].raw("split.count", 2, &u16::MAX.to_le_bytes());
    let file = folder.path().join("model-00001-of-65535.gguf");
    fs::write(&file, many[0].bytes()).expect("written");
    let error = refusal(&file);
    assert!(matches!(&error, Error::Metadata { key, .. } if key == "split.count"), "{error}");
}

#[test]
fn weights_are_stored_in_the_type_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("model.gguf");
    fs::write(&file, tiny().bytes()).expect("written");
    for (name, other) in [("bfloat16", "float32"), ("float32", "bfloat16")] {
        let dtype = Dtype::of_name(name);
        assert!(dtype.is_some() && dtype != Dtype::of_name(other));
        let out = imported(&file, &Options { dtype, ..Options::default() }).expect("a valid file");
        assert_eq!(common::json(&out.path().join("config.json"))["dtype"], name);
    }
    assert_eq!(Dtype::of_name("float16"), None);
}
