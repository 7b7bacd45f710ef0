//! The recipe folder that is part of this program: DeepSeek-R1's pipeline on tiny models.

use crate::error::Refusal;
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Its name, which its pipelines lie under.
pub(super) const NAME: &str = "r1-tiny";

/// Its files.
const FILES: [(&str, &str); 18] = [
    ("base.toml", include_str!("../../recipes/r1-tiny/base.toml")),
    ("cold-start.toml", include_str!("../../recipes/r1-tiny/cold-start.toml")),
    ("common.toml", include_str!("../../recipes/r1-tiny/common.toml")),
    ("control.toml", include_str!("../../recipes/r1-tiny/control.toml")),
    ("dev1.toml", include_str!("../../recipes/r1-tiny/dev1.toml")),
    ("dev2.toml", include_str!("../../recipes/r1-tiny/dev2.toml")),
    ("dev3.toml", include_str!("../../recipes/r1-tiny/dev3.toml")),
    ("eval.toml", include_str!("../../recipes/r1-tiny/eval.toml")),
    ("graph.toml", include_str!("../../recipes/r1-tiny/graph.toml")),
    ("llama-base.toml", include_str!("../../recipes/r1-tiny/llama-base.toml")),
    ("moe.toml", include_str!("../../recipes/r1-tiny/moe.toml")),
    ("qwen-base.toml", include_str!("../../recipes/r1-tiny/qwen-base.toml")),
    ("r1.toml", include_str!("../../recipes/r1-tiny/r1.toml")),
    ("reasoning.toml", include_str!("../../recipes/r1-tiny/reasoning.toml")),
    ("rejection.toml", include_str!("../../recipes/r1-tiny/rejection.toml")),
    ("student.toml", include_str!("../../recipes/r1-tiny/student.toml")),
    ("traces.toml", include_str!("../../recipes/r1-tiny/traces.toml")),
    ("zero.toml", include_str!("../../recipes/r1-tiny/zero.toml")),
];

/// Writes the files into a folder, as far as they are not there, and returns it.
///
/// # Errors
/// A file that is there with another content: it is the user's.
pub(super) fn write(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in FILES {
        let path = folder.join(name);
        match fs::read_to_string(&path) {
            Ok(found) if found == text => {}
            Ok(_) => {
                return Err(Refusal::usage(format!(
                    "{} differs from the recipe in this program; to run yours, name its folder: `ruminate r1 {}`; else move it \
                     away",
                    path.display(),
                    folder.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                ruminate_run::write_file(&path, text.as_bytes())?;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{FILES, write};
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_part_of_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/r1-tiny");
        let mut found: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        found.sort();
        assert_eq!(found, FILES.map(|(name, _)| name));
    }

    #[test]
    fn a_recipe_that_was_changed_is_neither_overwritten_nor_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("recipes");
        for _ in 0..2 {
            assert_eq!(write(&out).expect("written"), out);
        }
        fs::write(out.join("zero.toml"), "max_steps = 1").expect("written");
        let message = write(&out).expect_err("another recipe").to_string();
        assert!(message.contains("zero.toml differs") && message.contains("ruminate r1"), "{message}");
        assert_eq!(fs::read_to_string(out.join("zero.toml")).expect("there"), "max_steps = 1");
    }
}
