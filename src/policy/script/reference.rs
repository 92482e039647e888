//! The reference of `docs/policies/reference.md`, made from the definition file; a test compares it with the page.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use rhai::Engine;

use crate::policy::script::api;
use crate::policy::script::defs::{DEFINITIONS, HEADING};

const EXAMPLE: &str = "Example: ";

/// A function, hook or property that policies may use.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The section's heading.
    pub section: String,
    /// The name alone.
    pub name: String,
    /// The call: `deny(status, message)`; for a property, its name.
    pub usage: String,
    /// The type of the result as Rhai names it; empty if there is none.
    pub gives: String,
    /// The description.
    pub text: String,
    /// One line of a script.
    pub example: String,
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
    let (name, usage) = match name.strip_prefix("get ") {
        Some(property) => (property, property.to_owned()),
        None => (name, format!("{name}({})", names.collect::<Vec<_>>().join(", "))),
    };
    Entry { name: name.to_owned(), usage, gives: gives.to_owned(), ..entry }
}

/// Returns the reference of `docs/policies/reference.md`: a table for each section.
pub(crate) fn reference() -> String {
    let mut page = String::new();
    let mut section = String::new();
    for entry in entries() {
        if entry.section != section {
            section.clone_from(&entry.section);
            let _ = write!(
                page,
                "\n## {section}\n| use | returns | description | example |\n|---|---|---|---|\n"
            );
        }
        // a bar would end the cell, in code as well
        let [usage, text, example] =
            [&entry.usage, &entry.text, &entry.example].map(|cell| cell.replace('|', "\\|"));
        let example =
            if example.contains('`') { format!("`` {example} ``") } else { format!("`{example}`") };
        let gives = match entry.gives.as_str() {
            "" => String::new(),
            "?" => "any".to_owned(),
            kind => kind.to_lowercase(),
        };
        let _ = writeln!(page, "| `{usage}` | {gives} | {text} | {example} |");
    }
    page.trim_start().to_owned()
}

/// Returns the names of all functions and properties that Tidegate registers with an engine. Operators and
/// indexers have no names.
pub(crate) fn registered() -> BTreeSet<String> {
    let mut engine = Engine::new_raw();
    api::register(&mut engine);
    let all = engine.definitions().include_standard_packages(false).static_module();
    let heads = all.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
    // members of requests, messages and events belong to the API
    let is_member = |head: &&str| {
        (head.starts_with("get ") || head.starts_with("set ")) && head.contains("(_: map")
    };
    let names = heads.filter(|head| !is_member(head)).filter_map(|head| head.split('(').next());
    let names = names.filter(|name| !name.contains('$'));
    names
        .map(|name| name.trim_start_matches("get ").trim_start_matches("set ").to_owned())
        .collect()
}
