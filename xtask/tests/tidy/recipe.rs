//! docs/recipe.md is what `cargo xtask recipe-keys` writes. How it is written is tested beside that command.

use std::process::Command;

#[test]
fn the_page_of_a_recipes_keys_is_what_the_doc_comments_say() {
    let check = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["recipe-keys", "--check"]).output();
    let check = check.expect("the binary was built for this test");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
