//! The languages that a row may name, each with the file and the command of its programs. The list is closed: no line
//! of data names a program to run.

use ruminate_data::Task;
use serde_json::Value;

/// A language that programs can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Language {
    Python,
    C,
    Cpp,
    Rust,
    Go,
    Java,
    JavaScript,
    Bash,
    Ruby,
    Perl,
    Php,
    Lua,
}

/// Languages of which rows and fences speak and that cannot be run here.
const NOT_RUN: &[&str] = &[
    "kotlin",
    "swift",
    "scala",
    "haskell",
    "csharp",
    "c#",
    "cs",
    "typescript",
    "ts",
    "r",
    "julia",
    "dart",
    "elixir",
    "erlang",
    "ocaml",
    "fsharp",
    "clojure",
    "pascal",
    "fortran",
    "d",
    "nim",
    "sql",
    "zig",
    "racket",
    "matlab",
    "objective-c",
];

impl Language {
    /// What it is called by rows and fences, without case.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name.to_lowercase().as_str() {
            "python" | "python3" | "python2" | "py" | "py3" | "pypy" | "pypy3" => Self::Python,
            "c" | "gcc" => Self::C,
            "cpp" | "c++" | "cc" | "cxx" | "g++" | "cpp11" | "cpp14" | "cpp17" | "cpp20" | "c++17"
            | "c++20" => Self::Cpp,
            "rust" | "rs" => Self::Rust,
            "go" | "golang" => Self::Go,
            "java" => Self::Java,
            "javascript" | "js" | "node" | "nodejs" => Self::JavaScript,
            "bash" | "sh" | "shell" => Self::Bash,
            "ruby" | "rb" => Self::Ruby,
            "perl" | "pl" => Self::Perl,
            "php" => Self::Php,
            "lua" => Self::Lua,
            _ => return None,
        })
    }

    /// The language that a row asks for, by its column `language` or `lang`; Python where it names none. What is no
    /// programming language (`en`) is another kind of column.
    ///
    /// # Errors
    /// The name of a language that cannot be run here.
    pub(super) fn of(task: &Task, inner: Option<&Value>) -> Result<Self, String> {
        let column = |key: &str| {
            let nested = || inner.and_then(|inner| inner.get(key));
            task.columns.get(key).or_else(nested).and_then(Value::as_str)
        };
        for name in ["language", "lang", "programming_language"].into_iter().filter_map(column) {
            if let Some(language) = Self::named(name) {
                return Ok(language);
            }
            if NOT_RUN.contains(&name.to_lowercase().as_str()) {
                return Err(format!(
                    "the task wants a program in {name:?}, which cannot be run here; give `code` a `command`"
                ));
            }
        }
        Ok(Self::Python)
    }

    /// The file that a program is written to, and the command that runs it in its folder.
    pub(super) fn command(self) -> (&'static str, Vec<String>) {
        let (file, command) = match self {
            Self::Python => ("main.py", "exec python3 -s -B main.py"),
            Self::C => ("main.c", "cc -O2 -w main.c -o main -lm && exec ./main"),
            Self::Cpp => ("main.cpp", "c++ -O2 -w -std=gnu++20 main.cpp -o main && exec ./main"),
            Self::Rust => ("main.rs", "rustc -O --edition 2021 main.rs -o main && exec ./main"),
            Self::Go => ("main.go", "GOCACHE=$PWD/cache HOME=$PWD go build -o main main.go && exec ./main"),
            Self::Java => ("Main.java", "exec java -XX:+UseSerialGC Main.java"),
            Self::JavaScript => ("main.js", "exec node main.js"),
            Self::Bash => ("main.sh", "exec bash main.sh"),
            Self::Ruby => ("main.rb", "exec ruby main.rb"),
            Self::Perl => ("main.pl", "exec perl main.pl"),
            Self::Php => ("main.php", "exec php main.php"),
            Self::Lua => ("main.lua", "exec lua main.lua"),
        };
        (file, ["sh", "-c", command].map(str::to_owned).to_vec())
    }

    /// A program that writes `ok`: where it does not run, no program of the language does.
    pub(super) fn trial(self) -> &'static str {
        match self {
            Self::Python | Self::Ruby | Self::Lua => "print(\"ok\")\n",
            Self::C => "#include <stdio.h>\nint main(void) { puts(\"ok\"); return 0; }\n",
            Self::Cpp => "#include <iostream>\nint main() { std::cout << \"ok\"; }\n",
            Self::Rust => "fn main() { println!(\"ok\"); }\n",
            Self::Go => "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"ok\") }\n",
            Self::Java => {
                "public class Main { public static void main(String[] args) { System.out.println(\"ok\"); } }\n"
            }
            Self::JavaScript => "console.log(\"ok\");\n",
            Self::Bash => "echo ok\n",
            Self::Perl => "print \"ok\\n\";\n",
            Self::Php => "<?php echo \"ok\";\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Language;
    use ruminate_data::Task;

    #[test]
    fn a_row_names_its_language() {
        let of = |name: &str| Language::of(&Task::new("", "").with_column("language", name), None);
        assert_eq!(of("C++"), Ok(Language::Cpp));
        assert_eq!(of("python3"), Ok(Language::Python));
        assert_eq!(of("en"), Ok(Language::Python));
        assert!(of("kotlin").is_err_and(|why| why.contains("kotlin")));
        assert_eq!(Language::of(&Task::new("", ""), None), Ok(Language::Python));
    }
}
