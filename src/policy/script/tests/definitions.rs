//! The definition file and the reference: they are complete, and their examples run.
use crate::policy::Hook;
use crate::policy::script::defs::{self, Entry};
use crate::policy::script::reference;

use super::{compile, refusal, run};
use crate::testing::repository::{root, text};

const REQUEST: &str = r#"{"model":"claude-opus-4-6","max_tokens":1000,"messages":[{"role":"user","content":"Hello"}]}"#;

#[test]
fn every_function_of_ours_is_in_the_definitions_and_on_the_page() {
    let registered = reference::registered();
    assert!(registered.len() > 50, "{registered:?}");
    let (definitions, page) = (defs::definitions(), text("docs/policies/reference.md"));
    for name in registered.iter().filter(|name| *name != "sleep") {
        let known = defs::entries().iter().any(|entry| entry.name == *name);
        assert!(
            known && definitions.contains(&format!("{name}(")),
            "definitions.d.rhai forgets `{name}`"
        );
        assert!(page.contains(&format!("`{name}")), "docs/policies/reference.md forgets `{name}`");
    }
    for entry in defs::entries() {
        let is_known = registered.contains(&entry.name)
            || ["Hooks", "request"].contains(&entry.section.as_str());
        assert!(is_known, "there is no `{}`", entry.name);
        assert!(!entry.text.is_empty() && !entry.example.is_empty(), "{entry:?}");
    }
}

#[test]
fn the_page_has_the_reference_of_the_definitions() {
    const BEGIN: &str =
        "<!-- reference: made by UPDATE_FIXTURES=1 cargo test --lib the_page_has -->\n";
    const END: &str = "<!-- end of the reference -->\n";
    let page = text("docs/policies/reference.md");
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}{}{END}{after}", reference::reference());
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(root().join("docs/policies/reference.md"), &wanted).unwrap();
        return;
    }
    assert!(page == wanted, "run it with UPDATE_FIXTURES=1");
}

#[test]
fn every_example_is_true() {
    for Entry { section, name, example, .. } in defs::entries() {
        if section == "Hooks" {
            continue;
        }
        let is_claim = example.contains("==") || example.contains(" > ") || !example.ends_with(')');
        let body = if is_claim {
            format!("if !({example}) {{ throw \"untrue\"; }}")
        } else {
            format!("{example};")
        };
        let hook = match name.as_str() {
            "drop_event" => "on_event(event",
            "pass_over" => "on_upstream_request(request, target",
            _ => "on_request(request",
        };
        let script = compile(&format!("fn {hook}, ctx) {{\n{body}\n}}"));
        let script = script.unwrap_or_else(|problems| panic!("{example}: {problems:?}"));
        if !script.hooks().has(Hook::Request) {
            continue;
        }
        let (_, outcome) =
            run(&script, REQUEST).unwrap_or_else(|error| panic!("{example}: {error}"));
        if name == "deny" {
            refusal(outcome);
        }
    }
}
