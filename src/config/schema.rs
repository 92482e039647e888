//! The JSON Schema of `tidegate.yaml`, for editors.
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Value, json};

use crate::config::Config;

/// Returns the schema of the whole file. A number or truth value may also be a string with a
/// variable.
pub fn schema() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    RecursiveTransform(allow_variable).transform(&mut schema);
    let mut schema = Value::from(schema);
    schema["title"] = "tidegate.yaml".into();
    schema["additionalProperties"] = false.into();
    // `ledger: off` is short for `ledger: { url: off }`, and `drain: 30s` for `drain: { deadline: 30s }`
    for part in ["/properties/ledger", "/properties/drain"] {
        if let Some(part) = schema.pointer_mut(part) {
            part["type"] = json!(["object", "string"]);
        }
    }
    let choices = [
        ("/properties/models/additionalProperties", ["provider", "targets"]),
        ("/properties/keys/items", ["hash", "key"]),
        ("/properties/pipeline/items", ["policy", "plugin"]),
    ];
    for (place, [one, other]) in choices {
        if let Some(entry) = schema.pointer_mut(place) {
            entry["oneOf"] = json!([{ "required": [one] }, { "required": [other] }]);
        }
    }
    schema
}

fn allow_variable(schema: &mut Schema) {
    let mut kinds = match schema.get("type") {
        Some(Value::String(kind)) => vec![Value::from(kind.as_str())],
        Some(Value::Array(kinds)) => kinds.clone(),
        _ => return,
    };
    let is_plain = |kind: &Value| matches!(kind.as_str(), Some("integer" | "number" | "boolean"));
    if kinds.iter().any(is_plain) {
        kinds.push("string".into());
        schema.insert("type".to_owned(), kinds.into());
        // a pattern applies to strings only
        schema.insert("pattern".to_owned(), r"^\$\{".into());
    }
}
