//! JSON Schemas of tools in the form that other APIs require. The text of a schema stays the client's.
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Returns the schema of a tool's input with the members that servers require: `type`, and `properties`.
pub(crate) fn of_object(schema: Option<&RawValue>) -> Cow<'_, str> {
    #[derive(Deserialize, Default)]
    struct Known<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        properties: Option<&'a RawValue>,
    }
    const EMPTY: &str = r#"{"type":"object","properties":{}}"#;
    let Some(schema) = schema else { return Cow::Borrowed(EMPTY) };
    let text = schema.get();
    let Ok(known) = serde_json::from_str::<Known<'_>>(text) else { return Cow::Borrowed(EMPTY) };
    let mut missing = String::new();
    let is_null = |raw: Option<&RawValue>| raw.is_none_or(|raw| raw.get() == "null");
    if known.kind.is_none() {
        missing.push_str(r#""type":"object","#);
    }
    if is_null(known.properties) && known.properties.is_none() {
        missing.push_str(r#""properties":{},"#);
    }
    let inner = text.trim_start().strip_prefix('{').unwrap_or("}");
    match (missing.is_empty(), inner.trim_start() == "}") {
        (true, _) => Cow::Borrowed(text),
        (false, true) => Cow::Borrowed(EMPTY),
        (false, false) => Cow::Owned(format!("{{{missing}{inner}")),
    }
}

/// Returns whether a schema meets the rules of OpenAI's strict mode: every property is required, and no object
/// takes further ones.
pub(crate) fn is_strict(schema: &str) -> bool {
    serde_json::from_str::<Value>(schema).is_ok_and(|schema| is_strict_value(&schema))
}

fn is_strict_value(schema: &Value) -> bool {
    const UNSUPPORTED: [&str; 9] = [
        "allOf",
        "oneOf",
        "not",
        "if",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "unevaluatedProperties",
        "minProperties",
    ];
    let Some(object) = schema.as_object() else { return schema.is_boolean() };
    if UNSUPPORTED.iter().any(|key| object.contains_key(*key)) {
        return false;
    }
    let properties = object.get("properties").and_then(Value::as_object);
    let is_object = schema["type"] == "object"
        || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&"object".into()))
        || properties.is_some();
    if is_object {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let all = properties.is_none_or(|all| all.keys().all(|key| required.contains(&&**key)));
        if schema["additionalProperties"] != false || !all {
            return false;
        }
    }
    let children = properties.into_iter().flat_map(|all| all.values());
    let defs = ["$defs", "definitions"].into_iter().filter_map(|key| object.get(key)?.as_object());
    let branches = object.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let items = object.get("items").into_iter();
    children
        .chain(defs.flat_map(|defs| defs.values()))
        .chain(branches)
        .chain(items)
        .all(is_strict_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(schema: &str) -> String {
        let raw: Box<RawValue> = serde_json::from_str(schema).unwrap();
        of_object(Some(&raw)).into_owned()
    }

    #[test]
    fn missing_members_are_added_and_the_rest_stays_as_it_is() {
        assert_eq!(fixed("{}"), r#"{"type":"object","properties":{}}"#);
        assert_eq!(fixed(r#"{"type":"object"}"#), r#"{"properties":{},"type":"object"}"#);
        let text = r#"{ "properties" : {"a": {"minimum": 1.0}} }"#;
        assert_eq!(fixed(text), format!(r#"{{"type":"object",{}"#, &text[1..]));
        let whole = r#"{"type":"object","properties":{"n":{"maximum":10000000000000000000001}}}"#;
        assert_eq!(fixed(whole), whole);
        assert_eq!(of_object(None), r#"{"type":"object","properties":{}}"#);
    }

    #[test]
    fn a_strict_schema_requires_every_property() {
        let strict = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;
        assert!(is_strict(strict));
        assert!(!is_strict(&strict.replace(r#""required":["a"],"#, "")));
        assert!(!is_strict(&strict.replace("false", "true")));
        let nested = format!(
            r#"{{"type":"object","properties":{{"x":{}}},"required":["x"],"additionalProperties":false}}"#,
            strict.replace(r#""required":["a"],"#, "")
        );
        assert!(!is_strict(&nested));
        assert!(!is_strict("[]"));
    }
}
