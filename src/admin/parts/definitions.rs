//! The names that policies may use, for the completion of the editor.
use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::answer::Answer;
use crate::admin::route::Route;
use crate::policy::script::defs::{self, Entry};

/// Returns the route.
pub(super) fn routes() -> Vec<Route> {
    let route = Route::get(
        "/api/definitions",
        "Returns the hooks, functions and properties that policies may use.",
        |_, _| Box::pin(async { Answer::json(&page()) }),
    );
    vec![route.answers::<Page>(200)]
}

/// The names.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The names in the order of the reference.
    rows: Vec<Definition>,
}

/// A name.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Definition {
    /// The name alone.
    name: String,
    /// The kind: `function`, or `field` of a map.
    kind: Kind,
    /// The section of the reference, such as `Hooks`, or the map that has the field.
    section: String,
    /// The call or the field with types.
    signature: String,
    /// The type of the result; empty if there is none.
    returns: String,
    /// The description, and an example on a line of its own.
    help: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Function,
    Field,
}

fn page() -> Page {
    let rows = defs::entries().into_iter().map(|entry| {
        let kind = if entry.is_property() { Kind::Field } else { Kind::Function };
        let Entry { section, name, signature, gives, text, example, .. } = entry;
        let help = format!("{text}\nExample: {example}");
        Definition { name, kind, section, signature, returns: gives, help }
    });
    Page { rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_fields_have_signatures_with_types() {
        let rows = page().rows;
        let row = |name: &str, kind: Kind| {
            let row = rows.iter().find(|row| row.name == name && row.kind == kind).unwrap();
            (row.signature.as_str(), row.section.as_str())
        };
        assert_eq!(
            row("on_text", Kind::Function),
            ("on_text(text: String, ctx: Ctx) -> ?", "Hooks")
        );
        assert_eq!(row("route", Kind::Function), ("route(alias: String)", "Verbs"));
        assert_eq!(row("key", Kind::Field), ("ctx.key: String", "ctx"));
        assert_eq!(row("max_tokens", Kind::Field), ("request.max_tokens: int", "request"));
        assert!(rows.iter().all(|row| !row.help.starts_with('\n')));
    }
}
