//! Every external dependency has its reason in docs/decisions/dependencies.md, and every reason its dependency.

use crate::Finding;

const PAGE: &str = "docs/decisions/dependencies.md";

/// Compares the root manifest's `[workspace.dependencies]` with the first column of the page's table.
pub(crate) fn findings(root_manifest: &toml::Table, page: &str) -> Vec<Finding> {
    let shared =
        root_manifest.get("workspace").and_then(|w| w.get("dependencies")).and_then(toml::Value::as_table);
    let used: Vec<&str> = shared
        .into_iter()
        .flat_map(toml::Table::keys)
        .map(String::as_str)
        .filter(|name| !name.starts_with("ruminate"))
        .collect();
    let explained: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let finding = |rule: String| Finding {
        place: PAGE.to_owned(),
        rule,
        reason: "each dependency is code that we answer for: say what it is for and why this one",
    };
    let missing = used.iter().filter(|name| !explained.contains(name));
    let stale = explained.iter().filter(|name| !used.contains(name));
    missing
        .map(|name| finding(format!("`{name}` of [workspace.dependencies] has no row")))
        .chain(stale.map(|name| finding(format!("the row of `{name}` stands for no dependency"))))
        .collect()
}

#[test]
fn a_dependency_without_reason_and_a_reason_without_dependency_are_found() {
    let manifest = "[workspace.dependencies]\nruminate-run = { path = \"\" }\nserde = \"1\"\ntoml = \"1\""
        .parse()
        .expect("valid TOML");
    let page = "| crate | why |\n|---|---|\n| `serde` | records |\n| `rug` | numbers |\n";
    let rules: Vec<String> = findings(&manifest, page).into_iter().map(|f| f.rule).collect();
    assert_eq!(rules.len(), 2, "{rules:?}");
    assert!(rules[0].contains("`toml`") && rules[1].contains("`rug`"), "{rules:?}");
}
