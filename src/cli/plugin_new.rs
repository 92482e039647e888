//! `tidegate plugin new`: creates a project that builds and passes its test, in one of three languages.
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::plugin_host::at;
use crate::error::{Problem, Result};

/// The language of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, with the whole SDK.
    Rust,
    /// Python, by componentize-py.
    Python,
    /// JavaScript, by componentize-js.
    Js,
}

/// The path and the text of a file of the project.
type TemplateText = (&'static str, &'static str);

/// The interface (WIT), for toolchains that read it themselves.
pub(super) const WIT: &str = include_str!("../../sdk/wit/tidegate.wit");

const RUST: &[TemplateText] = &[
    ("Cargo.toml", include_str!("plugin_templates/rust/manifest.toml")),
    ("README.md", include_str!("plugin_templates/rust/README.md")),
    ("src/lib.rs", include_str!("plugin_templates/rust/lib.rs")),
    (".gitignore", "/target\n/.tidegate\n*.wasm\n"),
    // a new user has no checkout: the project includes the SDK
    (".sdk/Cargo.toml", include_str!("../../sdk/Cargo.toml")),
    (".sdk/wit/tidegate.wit", WIT),
    (".sdk/src/arena.rs", include_str!("../../sdk/src/arena.rs")),
    (".sdk/src/bindings.rs", include_str!("../../sdk/src/bindings.rs")),
    (".sdk/src/document.rs", include_str!("../../sdk/src/document.rs")),
    (".sdk/src/guest.rs", include_str!("../../sdk/src/guest.rs")),
    (".sdk/src/host.rs", include_str!("../../sdk/src/host.rs")),
    (".sdk/src/http.rs", include_str!("../../sdk/src/http.rs")),
    (".sdk/src/http_message.rs", include_str!("../../sdk/src/http_message.rs")),
    (".sdk/src/level.rs", include_str!("../../sdk/src/level.rs")),
    (".sdk/src/lib.rs", include_str!("../../sdk/src/lib.rs")),
    (".sdk/src/mock.rs", include_str!("../../sdk/src/mock.rs")),
    (".sdk/src/plugin.rs", include_str!("../../sdk/src/plugin.rs")),
    (".sdk/src/pointer.rs", include_str!("../../sdk/src/pointer.rs")),
    (".sdk/src/problem.rs", include_str!("../../sdk/src/problem.rs")),
    (".sdk/src/testing.rs", include_str!("../../sdk/src/testing.rs")),
    (".sdk/src/tool.rs", include_str!("../../sdk/src/tool.rs")),
    (".sdk/src/wanted.rs", include_str!("../../sdk/src/wanted.rs")),
];
const PYTHON: &[TemplateText] = &[
    ("README.md", include_str!("plugin_templates/python/README.md")),
    ("app.py", include_str!("plugin_templates/python/app.py")),
    ("test_app.py", include_str!("plugin_templates/python/test_app.py")),
    ("requirements.txt", include_str!("plugin_templates/python/requirements.txt")),
    ("tidegate.py", include_str!("../../sdk/python/tidegate.py")),
    ("wit/tidegate.wit", WIT),
    (".gitignore", ".venv\n__pycache__\n/.tidegate\n*.wasm\n"),
];
const JS: &[TemplateText] = &[
    ("README.md", include_str!("plugin_templates/js/README.md")),
    ("package.json", include_str!("plugin_templates/js/package.json")),
    ("plugin.js", include_str!("plugin_templates/js/plugin.js")),
    ("plugin.test.js", include_str!("plugin_templates/js/plugin.test.js")),
    ("app.js", include_str!("plugin_templates/js/app.js")),
    ("tidegate.js", include_str!("../../sdk/js/tidegate.js")),
    ("wit/tidegate.wit", WIT),
    (".gitignore", "node_modules\n/.tidegate\n*.wasm\n"),
];

/// Creates the folder `name` here, and prints the next steps.
pub(crate) fn run(name: &str, language: Language) -> Result<(), Vec<Problem>> {
    check_name(name)?;
    let dir = PathBuf::from(name);
    if dir.exists() {
        return Err(at(&dir, "already exists: move it away or choose another name"));
    }
    let (files, test, toolchain) = match language {
        Language::Rust => (RUST, "cargo test", ""),
        Language::Python => (
            PYTHON,
            "python3 -m unittest",
            "python3 -m venv .venv && .venv/bin/pip install --requirement requirements.txt\n  ",
        ),
        Language::Js => (JS, "node --test", "npm install\n  "),
    };
    for (file, text) in files {
        write(&dir.join(file), &filled(text, name, file))?;
    }
    let tool = tool_of(name);
    // a reader that closes early, such as `head`, is no reason to fail
    let _ = writeln!(
        io::stdout(),
        "created {name}/ with the tool `gateway:{tool}` in {main}; next:\n  cd {name}\n  {test}\n  {toolchain}\
         tidegate plugin build\n  tidegate plugin call {name}.wasm {tool} '{{\"sides\": 6}}'",
        main = match language {
            Language::Rust => "src/lib.rs",
            Language::Python => "app.py",
            Language::Js => "plugin.js",
        },
    );
    Ok(())
}

fn filled(text: &str, name: &str, file: &str) -> String {
    match file {
        // the SDK stands alone in a project, but is a workspace member in the repository
        ".sdk/Cargo.toml" => text.replace("workspace = \"../plugins\"\n", ""),
        _ if is_library(file) => text.to_owned(),
        _ => text.replace("NAME", name).replace("TOOL", &tool_of(name)),
    }
}

fn is_library(file: &str) -> bool {
    file.starts_with(".sdk/") || ["tidegate.py", "tidegate.js", "wit/tidegate.wit"].contains(&file)
}

/// Returns the name of the tool: tool names have no `-`.
fn tool_of(name: &str) -> String {
    name.replace('-', "_")
}

fn check_name(name: &str) -> Result<(), Vec<Problem>> {
    const LONGEST: usize = 64;
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if begins_well && name.chars().all(is_good) && !name.ends_with('-') && name.len() <= LONGEST {
        return Ok(());
    }
    let message = format!(
        "`{name}` is not a valid plugin name: use up to {LONGEST} of a-z, 0-9 and `-`, a letter first"
    );
    Err(vec![Problem::new("", message)])
}

fn write(path: &Path, text: &str) -> Result<(), Vec<Problem>> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(path, text))
        .map_err(|e| at(path, format!("cannot be written: {e}")))
}
