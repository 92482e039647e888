//! The reference of `docs/policies/reference.md`, made from the definition file; a test compares it with the page.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use rhai::Engine;

use crate::policy::script::api;
use crate::policy::script::defs::entries;

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
