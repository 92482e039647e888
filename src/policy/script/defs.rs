//! The definition file of the functions for policies, for editors.

/// The only place that describes every hook, verb, function and property.
pub(super) const DEFINITIONS: &str = include_str!("definitions.d.rhai");
/// The prefix of the lines that begin a section of the reference.
pub(super) const HEADING: &str = "//# ";

/// Returns the definition file, from which editors complete and explain policies.
pub(crate) fn definitions() -> String {
    let lines = DEFINITIONS.lines().filter(|line| !line.starts_with(HEADING));
    lines.map(|line| format!("{line}\n")).collect()
}
