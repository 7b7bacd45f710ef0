//! What a recipe makes this program run, contact or open beside its own work, and whether it may. A recipe that the user
//! states is code of theirs, and does. One that lies in a run folder came with data, from wherever that came from: it does so
//! only with `--trust`, or where this user has run the very same from the same folder before.

use crate::error::Refusal;
use crate::hub;
use crate::options::RunOptions;
use crate::recipe::keys::is_read;
use crate::recipe::{Component, Layers, Model, Recipe};
use anyhow::Result;
use ruminate_reward::{code, shown_address};
use ruminate_run::{Found, inspect, make_parents, sha256_hex, write_file};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Something outside of this process that a recipe brings about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The key of the recipe that says so: `reward.components[0].command`.
    key: String,
    does: Does,
    /// For people.
    what: String,
    /// The value itself, which is not shown where it may hold a secret.
    exact: String,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    Runs,
    RunsInSandbox,
    LetsRead,
    Contacts,
    Sends,
}

impl Does {
    const ALL: [Self; 5] = [Self::Runs, Self::RunsInSandbox, Self::LetsRead, Self::Contacts, Self::Sends];

    fn words(self) -> &'static str {
        match self {
            Self::Runs => "runs programs",
            Self::RunsInSandbox => "runs in the sandbox",
            Self::LetsRead => "lets programs in the sandbox read",
            Self::Contacts => "contacts",
            Self::Sends => "sends",
        }
    }
}

/// Checks that the recipe of a command may do what it says, prints what that is, and remembers that this user had it done.
///
/// # Errors
/// With exit code 2 for the recipe of a run folder, with its keys and what they would do.
pub(crate) fn check(command: &str, args: &RunOptions, recipe: &Recipe, layers: &Layers) -> Result<()> {
    let reaches = of(command, recipe);
    if reaches.is_empty() {
        return Ok(());
    }
    let known = Known::of_this_user();
    if let Some(path) = args.recipe.as_deref().filter(|path| !args.trust && lies_in_a_run(path, layers)) {
        // What the command line states is the user's, whatever the folder says.
        let of_folder: Vec<&Reach> =
            reaches.iter().filter(|reach| !layers.sets(reach.recipe_key())).collect();
        let own = is_of_this_user(path) && path.parent().is_none_or(is_of_this_user);
        let trusted = of_folder.is_empty() || (own && of_folder.iter().all(|reach| known.has(reach)));
        if !trusted {
            return Err(Refusal::Untrusted(refusal(path, &of_folder)).into());
        }
    }
    tell(&reaches);
    known.keep(&reaches);
    Ok(())
}

/// What a recipe brings about under a command, in the order of its keys.
fn of(command: &str, recipe: &Recipe) -> Vec<Reach> {
    let mut found = Vec::new();
    if is_read(command, "reward") {
        for (place, part) in recipe.reward.components.iter().enumerate() {
            of_component(&format!("reward.components[{place}]"), part, &mut found);
        }
    }
    if let Some(log) = recipe.log.as_ref().filter(|log| is_read(command, "log") && !log.command.is_empty()) {
        let text = json!(log.command).to_string();
        found.push(Reach::new("log.command", Does::Runs, text.clone(), text));
    }
    let distill = &recipe.distill;
    if is_read(command, "distill")
        && let Some(url) = distill.remote_url()
    {
        found.push(Reach::new("distill.teacher", Does::Contacts, shown_address(url), url));
        if let Some(name) = &distill.remote_key_env {
            let what = format!("the value of ${name} to {}", shown_address(url));
            found.push(Reach::new("distill.remote_key_env", Does::Sends, what, format!("{name} {url}")));
        }
    }
    if let Some(fleet) =
        recipe.fleet.as_ref().filter(|_| is_read(command, "fleet") && !recipe.rollout.engine.is_local())
    {
        of_fleet(fleet, &mut found);
    }
    let student = distill.student.as_ref().filter(|_| is_read(command, "distill"));
    let named = [("model", recipe.model.as_ref()), ("distill.student", student)];
    let named = named.into_iter().filter_map(|(key, model)| match model? {
        Model::Folder(folder) => Some((key, folder)),
        Model::Inline(_) => None,
    });
    let teacher = distill.teacher.as_ref().filter(|_| is_read(command, "distill"));
    for (key, folder) in named.chain(teacher.map(|teacher| ("distill.teacher", teacher))) {
        if let Some(name) = hub::to_download(folder) {
            found.push(Reach::new(key, Does::Contacts, format!("the Hugging Face Hub for {name}"), name));
        }
    }
    found
}

/// Servers that sample: they get the policy's weights.
fn of_fleet(fleet: &ruminate_fleet::Config, found: &mut Vec<Reach>) {
    let mut places: Vec<String> = fleet.servers.iter().map(|url| shown_address(url)).collect();
    for url in &fleet.servers {
        found.push(Reach::new("fleet.servers", Does::Contacts, shown_address(url), url.clone()));
    }
    if let Some(path) = &fleet.servers_file {
        let what = format!("the servers that {} names", path.display());
        found.push(Reach::new("fleet.servers_file", Does::Contacts, what.clone(), path.to_string_lossy()));
        places.push(what);
    }
    for (key, name) in [("fleet.key_env", &fleet.key_env), ("fleet.admin_key_env", &fleet.admin_key_env)] {
        if let Some(name) = name {
            let what = format!("the value of ${name} to {}", places.join(", "));
            let exact = format!("{name} {} {:?}", fleet.servers.join(" "), fleet.servers_file);
            found.push(Reach::new(key, Does::Sends, what, exact));
        }
    }
}

/// What a part of the reward brings about. `code` with its defaults runs nothing but what a policy writes.
fn of_component(key: &str, part: &Component, found: &mut Vec<Reach>) {
    let option = |name: &str| part.options.get(name).filter(|value| !value.is_null());
    let key_of = |name: &str| format!("{key}.{name}");
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match part.kind.as_str() {
        "command" => {
            if let Some(command) = option("command") {
                found.push(Reach::new(
                    key_of("command"),
                    Does::Runs,
                    command.to_string(),
                    command.to_string(),
                ));
            }
        }
        "http" => {
            let Some(url) = option("url").map(shown) else { return };
            found.push(Reach::new(key_of("url"), Does::Contacts, shown_address(&url), url.clone()));
            if let Some(name) = option("key_env").map(shown) {
                let what = format!("the value of ${name} to {}", shown_address(&url));
                found.push(Reach::new(key_of("key_env"), Does::Sends, what, format!("{name} {url}")));
            }
        }
        "code" => {
            let default = serde_json::to_value(code::Options::default()).unwrap_or_default();
            for (name, does) in
                [("python", Does::RunsInSandbox), ("command", Does::RunsInSandbox), ("read", Does::LetsRead)]
            {
                if let Some(value) = option(name).filter(|value| **value != default[name]) {
                    found.push(Reach::new(key_of(name), does, value.to_string(), value.to_string()));
                }
            }
        }
        _ => {}
    }
}

impl Reach {
    fn new(key: impl Into<String>, does: Does, what: impl Into<String>, exact: impl Into<String>) -> Self {
        Self { key: key.into(), does, what: what.into(), exact: exact.into() }
    }

    /// The key as a recipe is overridden by it: a list is stated as a whole.
    fn recipe_key(&self) -> &str {
        self.key.split('[').next().unwrap_or(&self.key)
    }

    /// What this user's record has of it. A program's relative path means another program in another folder.
    fn hash(&self, folder: &Path) -> String {
        let text = json!([folder.to_string_lossy(), self.recipe_key(), self.does.words(), self.exact]);
        sha256_hex(text.to_string().as_bytes())
    }
}

/// Prints what will be done, once for a process.
fn tell(reaches: &[Reach]) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        for does in Does::ALL {
            let all: Vec<String> = reaches
                .iter()
                .filter(|reach| reach.does == does)
                .map(|reach| format!("{} (`{}`)", reach.what, reach.key))
                .collect();
            if !all.is_empty() {
                notice!("{}: {}", does.words(), all.join("; "));
            }
        }
    });
}

fn refusal(path: &Path, reaches: &[&Reach]) -> String {
    let lines =
        reaches.iter().map(|reach| format!("\n  `{}` {} {}", reach.key, reach.does.words(), reach.what));
    let owner = if is_of_this_user(path) { "" } else { " of another user" };
    format!(
        "{} lies in a run folder{owner}, which is data and no recipe to trust:{}\nread it; then run the same with --trust, or \
         with a recipe of your own that says what is to be done",
        path.display(),
        lines.collect::<String>()
    )
}

/// Whether a recipe is part of a run folder: the `config.json` of one, or whatever lies beside a `run.json`.
fn lies_in_a_run(recipe: &Path, layers: &Layers) -> bool {
    let is_run = |path: &Path| {
        let folder =
            path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        folder.is_some_and(|folder| {
            matches!(inspect(folder), Ok(Found::Run(_) | Found::Unmarked { .. } | Found::Unreadable { .. }))
        })
    };
    layers.resolved || is_run(recipe) || fs::canonicalize(recipe).is_ok_and(|recipe| is_run(&recipe))
}

/// Whether a file or a folder belongs to the user who runs this.
#[cfg(unix)]
fn is_of_this_user(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    fs::metadata(path).is_ok_and(|found| found.uid() == nix::unistd::geteuid().as_raw())
}

#[cfg(not(unix))]
fn is_of_this_user(_: &Path) -> bool {
    true
}

/// Entries of the record, the latest.
const KEPT: usize = 256;

/// What this user had recipes do, as hashes: `$XDG_STATE_HOME/ruminate/trusted.json`. Without it nothing is known, and
/// `--trust` has to be said.
struct Known {
    path: Option<PathBuf>,
    /// The current folder.
    folder: PathBuf,
    trusted: Trusted,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Trusted {
    trusted: Vec<String>,
}

impl Known {
    fn of_this_user() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
        Self::read(state.map(|state| state.join("ruminate/trusted.json")))
    }

    fn read(path: Option<PathBuf>) -> Self {
        let read = path.as_deref().filter(|path| is_of_this_user(path)).and_then(|path| fs::read(path).ok());
        let trusted = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let folder = std::env::current_dir().and_then(fs::canonicalize).unwrap_or_default();
        Self { path, folder, trusted }
    }

    fn has(&self, reach: &Reach) -> bool {
        self.folder.is_absolute() && self.trusted.trusted.contains(&reach.hash(&self.folder))
    }

    /// Adds to the record. That it cannot be written ends no run.
    fn keep(mut self, reaches: &[Reach]) {
        let Some(path) = self.path.take().filter(|_| self.folder.is_absolute()) else { return };
        let before = self.trusted.clone();
        for hash in reaches.iter().map(|reach| reach.hash(&self.folder)) {
            self.trusted.trusted.retain(|known| *known != hash);
            self.trusted.trusted.insert(0, hash);
        }
        self.trusted.trusted.truncate(KEPT);
        if self.trusted != before
            && let Ok(bytes) = serde_json::to_vec_pretty(&self.trusted)
        {
            let _ = make_parents(&path).and_then(|()| write_file(&path, &bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Does, Known, Reach, of};
    use crate::recipe::Recipe;

    fn reaches(command: &str, toml: &str) -> Vec<String> {
        let recipe: Recipe = toml::from_str(toml).expect("a recipe");
        let told = |reach: Reach| format!("{} {}: {}", reach.key, reach.does.words(), reach.what);
        of(command, &recipe).into_iter().map(told).collect()
    }

    #[test]
    fn what_executes_contacts_or_opens_is_named_by_its_key() {
        let reward = r#"
            [[reward.components]]
            kind = "exact"
            [[reward.components]]
            kind = "command"
            command = ["sh", "-c", "id"]
            [[reward.components]]
            kind = "http"
            url = "https://host/score?v=S3CRET"
            key_env = "JUDGE_KEY"
            [[reward.components]]
            kind = "code"
            python = "/opt/python"
            command = ["sh", "main.py"]
            read = ["/data"]
        "#;
        let all = [
            r#"reward.components[1].command runs programs: ["sh","-c","id"]"#,
            "reward.components[2].url contacts: https://host/score?***",
            "reward.components[2].key_env sends: the value of $JUDGE_KEY to https://host/score?***",
            r#"reward.components[3].python runs in the sandbox: "/opt/python""#,
            r#"reward.components[3].command runs in the sandbox: ["sh","main.py"]"#,
            r#"reward.components[3].read lets programs in the sandbox read: ["/data"]"#,
        ];
        for command in ["train-rl", "distill", "eval"] {
            assert_eq!(reaches(command, reward), all, "{command}");
        }
        assert!(reaches("sft", reward).is_empty() && reaches("pretrain", reward).is_empty());
        let server = "[distill]\nteacher = 'http://host/v1'\nremote_model = 'm'\nremote_key_env = 'KEY'";
        let all = [
            "distill.teacher contacts: http://host/v1",
            "distill.remote_key_env sends: the value of $KEY to http://host/v1",
        ];
        assert_eq!(reaches("distill", server), all);
        assert!(reaches("train-rl", server).is_empty());
        let log = "[log]\ncommand = ['python3', 'to_wandb.py']";
        for command in ["train-rl", "sft", "pretrain", "distill"] {
            assert_eq!(
                reaches(command, log),
                [r#"log.command runs programs: ["python3","to_wandb.py"]"#],
                "{command}"
            );
        }
        assert!(reaches("eval", log).is_empty() && reaches("sft", "[log]\ncommand = []").is_empty());
    }

    #[test]
    fn what_stays_within_is_not_named() {
        for toml in [
            "",
            "[reward]\nverifier = 'math'",
            "[[reward.components]]\nkind = 'code'",
            "[[reward.components]]\nkind = 'code'\npython = 'python3'\nread = []\ncommand = []\ntimeout_ms = 100",
            "model = '/some/folder'\n[distill]\nteacher = 'some/deep/folder'\nremote_key_env = 'KEY'",
        ] {
            assert!(reaches("distill", toml).is_empty(), "{toml}: {:?}", reaches("distill", toml));
        }
    }

    #[test]
    fn a_record_knows_what_was_done_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/trusted.json");
        let read = || Known::read(Some(path.clone()));
        let reach = |what: &str| Reach::new("reward.components[0].command", Does::Runs, what, what);
        assert!(!read().has(&reach("a")));
        read().keep(&[reach("a"), reach("b")]);
        assert!(read().has(&reach("a")) && read().has(&reach("b")) && !read().has(&reach("c")));
        let moved = Reach { key: "reward.components[4].command".to_owned(), ..reach("a") };
        assert!(read().has(&moved), "its place in the list decides nothing");
        let elsewhere = Known { folder: "/elsewhere".into(), ..read() };
        assert!(!elsewhere.has(&reach("a")), "a relative path is another program there");
        let contacted = Reach { does: Does::Contacts, ..reach("a") };
        assert!(!read().has(&contacted));
        std::fs::write(&path, "{").expect("written");
        assert!(!read().has(&reach("a")), "a damaged record knows nothing");
    }
}
