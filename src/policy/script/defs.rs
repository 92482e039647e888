//! The definition file of the functions for policies, for editors and for the reference.

/// The only place that describes every hook, verb, function and property.
const DEFINITIONS: &str = include_str!("definitions.d.rhai");
/// The prefix of the lines that begin a section of the reference.
const HEADING: &str = "//# ";
const EXAMPLE: &str = "Example: ";

/// Returns the definition file, from which editors complete and explain policies.
pub(crate) fn definitions() -> String {
    let lines = DEFINITIONS.lines().filter(|line| !line.starts_with(HEADING));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A function, hook or property that policies may use.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The section's heading.
    pub section: String,
    /// The name alone.
    pub name: String,
    /// The call: `deny(status, message)`; for a property, its name.
    pub usage: String,
    /// The call with types: `deny(status: int, message: String)`; for a property, its owner, name and type.
    pub signature: String,
    /// The type of the result as Rhai names it; empty if there is none.
    pub gives: String,
    /// The description.
    pub text: String,
    /// One line of a script.
    pub example: String,
}

impl Entry {
    /// Returns whether the entry is a property.
    pub(crate) fn is_property(&self) -> bool {
        !self.usage.contains('(')
    }
}

/// Returns all entries in the order of the definition file.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    for line in DEFINITIONS.lines() {
        if let Some(heading) = line.strip_prefix(HEADING) {
            entry.section = heading.to_owned();
        } else if let Some(text) = line.strip_prefix("/// ") {
            match text.strip_prefix(EXAMPLE) {
                Some(example) => entry.example = example.to_owned(),
                None => entry.text = text.to_owned(),
            }
        } else if let Some(signature) = line.strip_prefix("fn ") {
            let next = Entry { section: entry.section.clone(), ..Entry::default() };
            entries.push(signed(std::mem::replace(&mut entry, next), signature));
        }
    }
    entries
}

/// Adds the parts of a signature to an entry: `bucket(key: String, n: int) -> int;`.
fn signed(entry: Entry, signature: &str) -> Entry {
    let (call, gives) =
        signature.trim_end_matches(';').split_once(" -> ").unwrap_or((signature, ""));
    let gives = if gives == "()" { "" } else { gives };
    let (name, parameters) = call.trim_end_matches(')').split_once('(').unwrap_or((call, ""));
    let names = parameters.split(", ").filter_map(|parameter| parameter.split(':').next());
    let (name, usage, signature) = match name.strip_prefix("get ") {
        Some(property) => {
            let owner = parameters.split(':').next().unwrap_or_default();
            (property, property.to_owned(), format!("{owner}.{property}: {gives}"))
        }
        None => {
            let names = names.collect::<Vec<_>>().join(", ");
            let end = if gives.is_empty() { String::new() } else { format!(" -> {gives}") };
            (name, format!("{name}({names})"), format!("{name}({parameters}){end}"))
        }
    };
    Entry { name: name.to_owned(), usage, signature, gives: gives.to_owned(), ..entry }
}
