//! What policies may call, as a Rhai definition file for editors and as the reference in the docs.

/// The one place where every hook, verb, function and property is described.
const DEFINITIONS: &str = include_str!("definitions.d.rhai");

/// The definition file: what editors read to complete and explain policies.
pub fn definitions() -> String {
    let lines = DEFINITIONS.lines().filter(|line| !line.starts_with("//#"));
    lines.map(|line| format!("{line}\n")).collect()
}
