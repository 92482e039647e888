//! The shape of the house: floors, imports without circles, file sizes, first lines, and a map that is true.
mod cycles;
mod imports;
mod outline;
mod pages;
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use cycles::cycles;
use imports::Imports;
use pages::Names;

/// A module may use those before it, never those after it.
const FLOORS: &[&str] = &[
    "error",
    "disk",
    "wire",
    "catalogue",
    "net",
    "telemetry",
    "auth",
    "limits",
    "ledger",
    "context",
    "plugin_host",
    "policy",
    "providers",
    "models",
    "server_tools",
    "config",
    "gateway",
    "exchange",
    "admin",
    "server",
    "cli",
];
const MAX_LINES: usize = 500;
const MAP: &str = "ARCHITECTURE.md";
const MAX_WIDTH: usize = 140;

/// Every folder with Rust in it.
const FOLDERS: &[&str] =
    &["src", "builder", "sdk", "xtask", "benches", "tests", "plugins", "examples"];

#[test]
fn modules_only_look_down() {
    let imports = Imports::of_crate(Path::new("src/lib.rs"));
    let top: Vec<&str> = imports.top();
    let known = FLOORS.iter().filter(|floor| top.contains(floor)).copied();
    assert_eq!(top, known.collect::<Vec<_>>(), "src/lib.rs declares its modules in floor order");
    let mut wrong = Vec::new();
    for (module, path) in imports.written() {
        let floors = position(module).zip(position(&path));
        if let Some((here, used)) = floors.filter(|(here, used)| used > here) {
            let (module, path) = (module[1..].join("::"), path.join("::"));
            wrong.push(format!("{module}: {} may not use {} ({path})", FLOORS[here], FLOORS[used]));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_import_goes_in_a_circle() {
    let mut wrong = Vec::new();
    for root in crates() {
        let imports = Imports::of_crate(&root);
        let found = cycles(&imports.edges());
        wrong.extend(found.into_iter().map(|cycle| format!("{}: {cycle}", root.display())));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_documented() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        if text.lines().count() > MAX_LINES {
            wrong.push(format!("{} has more than {MAX_LINES} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is for", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_map_names_only_files_and_items_that_exist() {
    let names = Names::of(Path::new("."), Imports::of_crate(Path::new("src/lib.rs")));
    let missing = names.missing_in(&fs::read_to_string(MAP).unwrap());
    assert!(missing.is_empty(), "{MAP} names what is not there:\n{}", missing.join("\n"));
}

#[test]
fn the_map_has_no_long_lines() {
    let map = fs::read_to_string(MAP).unwrap();
    let long = map.lines().enumerate().filter(|(_, line)| line.chars().count() > MAX_WIDTH);
    let long: Vec<usize> = long.map(|(n, _)| n + 1).collect();
    assert!(long.is_empty(), "{MAP} has lines of more than {MAX_WIDTH} characters: {long:?}");
}

/// The root file of each crate, the one binary of tests among them.
fn crates() -> Vec<PathBuf> {
    let roots = |path: &Path| {
        let is_source = path.parent().is_some_and(|dir| dir.ends_with("src"));
        let is_root = path.ends_with("lib.rs") || path.ends_with("main.rs");
        (is_source && is_root) || path == Path::new("tests/it/main.rs")
    };
    let paths = sources().into_iter().map(|(path, _)| path);
    let found: Vec<PathBuf> = paths.filter(|path| roots(path)).collect();
    assert!(found.len() > 10, "crates are missing: {found:?}");
    found
}

/// Every Rust file of the repository.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(Path::new(folder), &mut found);
    }
    found
}

fn collect(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let is_built = path.ends_with("target") || path.ends_with("node_modules");
        if path.is_dir() && !is_built {
            collect(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The floor of a path from `crate` on.
fn position(path: &[String]) -> Option<usize> {
    let name = path.get(1)?;
    FLOORS.iter().position(|floor| floor == name)
}
