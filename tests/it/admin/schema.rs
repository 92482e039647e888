//! A strict check of a value against the schemas of the OpenAPI document: a field that is not described is wrong.
use serde_json::{Map, Value};

/// Every place that does not fit.
pub fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let known = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "format",
        "minimum",
        "maximum",
        "description",
        "default",
    ];
    let rules = schema.as_object().unwrap_or_else(|| panic!("{path}: {schema} is no schema"));
    for rule in rules.keys() {
        assert!(known.contains(&rule.as_str()), "{path}: the check does not know `{rule}`");
    }
    if !has_type(&schema["type"], value) {
        found.push(format!("{path}: expected {}, found {value}", schema["type"]));
        return;
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        found.push(format!("{path}: expected one of {choices:?}, found {value}"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{path}: expected {}, found {value}", schema["const"]));
    }
    if schema["minimum"].as_f64().is_some_and(|least| value.as_f64().is_some_and(|it| it < least)) {
        found.push(format!("{path}: expected at least {}, found {value}", schema["minimum"]));
    }
    for key in ["anyOf", "oneOf"] {
        let ways = schema[key].as_array();
        if ways.is_some_and(|ways| ways.iter().all(|way| !problems(way, value).is_empty())) {
            found.push(format!("{path}: {value} fits none of {}", schema[key]));
        }
    }
    match value {
        Value::Object(members) => check_members(schema, members, path, found),
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{n}]"), found);
            }
        }
        _ => {}
    }
}

fn check_members(
    schema: &Value,
    members: &Map<String, Value>,
    path: &str,
    found: &mut Vec<String>,
) {
    if schema.get("properties").is_none() && schema.get("additionalProperties").is_none() {
        return;
    }
    for (name, value) in members {
        let path = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(inner), _) => check(inner, value, &path, found),
            (None, Value::Object(_)) => {
                check(&schema["additionalProperties"], value, &path, found);
            }
            (None, Value::Bool(true)) => {}
            (None, _) => found.push(format!("{path} is not described")),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(name.as_str().unwrap()) {
            found.push(format!("{path}.{} is missing", name.as_str().unwrap()));
        }
    }
}

fn has_type(types: &Value, value: &Value) -> bool {
    let fits = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("`{other}` is no type"),
    };
    match types {
        Value::Null => true,
        Value::String(name) => fits(name),
        Value::Array(names) => names.iter().any(|name| fits(name.as_str().unwrap())),
        other => panic!("{other} is no type"),
    }
}

#[test]
fn the_check_finds_what_does_not_fit() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "a": { "type": ["string", "null"] }, "b": { "type": "array", "items": { "type": "integer" } } },
        "required": ["a"],
    });
    let found = |value: Value| problems(&schema, &value).len();
    assert_eq!(found(serde_json::json!({ "a": null, "b": [1] })), 0);
    assert_eq!(found(serde_json::json!({ "b": [1] })), 1);
    assert_eq!(found(serde_json::json!({ "a": 1, "b": ["x", 1.5] })), 3);
    assert_eq!(found(serde_json::json!({ "a": "x", "c": 1 })), 1);
    assert_eq!(found(serde_json::json!([])), 1);
}
