//! The shape of the house: floors, file sizes, module docs.
use std::fs;
use std::path::{Path, PathBuf};

/// A module may use those before it, never those after it.
const FLOORS: &[&str] = &[
    "error",
    "wire",
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

#[test]
fn modules_only_look_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(here) = floor_of(&path) else { continue };
        for (n, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.display(), n + 1);
            // `crate::{a, b}` would hide its modules from this scan
            if line.contains("crate::{") {
                wrong.push(format!("{place}: one `use crate::…` a module"));
            }
            let used = line.split("crate::").skip(1).filter_map(|rest| position(ident(rest)));
            let above = used.filter(|used| *used > here);
            wrong.extend(
                above.map(|used| format!("{place}: {} may not use {}", FLOORS[here], FLOORS[used])),
            );
        }
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
        if floor_of(&path).is_some() && !text.starts_with("//!") {
            wrong.push(format!("{} does not say what it is for", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(Path::new("src"), &mut found);
    found
}

fn collect(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

fn floor_of(path: &Path) -> Option<usize> {
    let name = path.components().nth(1)?.as_os_str().to_str()?;
    position(name.trim_end_matches(".rs"))
}

fn position(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == name)
}

fn ident(rest: &str) -> &str {
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}
