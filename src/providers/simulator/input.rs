//! Makes the input of a tool call from the tool's schema. The same request always gives the same
//! input.
use serde_json::{Map, Value, json};

/// The largest depth of a filled schema; deeper levels are left empty.
const MAX_DEPTH: usize = 12;

/// Makes inputs for one request.
pub(crate) struct Inputs<'a> {
    /// The user's text: the value of fields such as `query` and `prompt`.
    pub asked: &'a str,
}

impl Inputs<'_> {
    /// Returns a value for a schema: required fields only, the first of each choice.
    pub(crate) fn of(&self, schema: &Value) -> Value {
        let mut input = self.value("", schema, schema, 0);
        self.fill_zones(schema, &mut input);
        input
    }

    fn value(&self, name: &str, schema: &Value, root: &Value, depth: usize) -> Value {
        let schema = resolved(schema, root);
        if depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(given) = given(schema) {
            return given.clone();
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = schema[choice].get(0) {
                return self.value(name, first, root, depth + 1);
            }
        }
        match kind(schema) {
            "object" => self.object(schema, root, depth),
            "array" => self.array(name, schema, root, depth),
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => self.string(name, schema),
        }
    }

    fn object(&self, schema: &Value, root: &Value, depth: usize) -> Value {
        let required = schema["required"].as_array().into_iter().flatten();
        let fields: Map<String, Value> = required
            .filter_map(Value::as_str)
            .map(|key| {
                let value = self.value(key, &schema["properties"][key], root, depth + 1);
                (key.to_owned(), value)
            })
            .collect();
        fields.into()
    }

    fn array(&self, name: &str, schema: &Value, root: &Value, depth: usize) -> Value {
        let at_most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        let count = schema["minItems"].as_u64().unwrap_or(1).clamp(1, 100).min(at_most);
        (0..count).map(|_| self.value(name, &schema["items"], root, depth + 1)).collect()
    }

    fn string(&self, name: &str, schema: &Value) -> Value {
        let text = match (schema["format"].as_str(), name.to_ascii_lowercase().as_str()) {
            (Some("date-time"), _) => "2026-01-01T00:00:00Z",
            (Some("date"), _) => "2026-01-01",
            (Some("uri"), _) | (_, "url" | "uri") => "https://example.com/",
            (Some("email"), _) | (_, "email") => "someone@example.com",
            (_, "timezone" | "timezones" | "time_zone") => "UTC",
            (_, "location" | "city") => "Paris",
            (_, "path" | "file" | "file_path") => "/tmp/example.txt",
            (_, "command") => "echo hello",
            (_, "query" | "question" | "prompt") if !self.asked.is_empty() => self.asked,
            _ => "example",
        };
        let at_most = schema["maxLength"].as_u64().unwrap_or(1_000) as usize;
        let at_least = schema["minLength"].as_u64().unwrap_or(0).min(10_000) as usize;
        let mut text: String = text.chars().take(at_most).collect();
        while text.chars().count() < at_least {
            text.push('x');
        }
        text.into()
    }

    /// Fills in time zones: a model would pass on the `Asia/Tokyo` of a question about the time
    /// there.
    fn fill_zones(&self, schema: &Value, input: &mut Value) {
        let zones: Vec<&str> = self.asked.split_whitespace().filter_map(zone).collect();
        let (Some(first), Some(fields)) = (zones.first(), input.as_object_mut()) else { return };
        let properties = &schema["properties"];
        if properties["timezones"].is_object() {
            fields.insert("timezones".to_owned(), json!(zones));
        } else if properties["timezone"].is_object() {
            fields.insert("timezone".to_owned(), json!(first));
        }
    }
}

fn given(schema: &Value) -> Option<&Value> {
    schema
        .get("const")
        .or_else(|| schema["enum"].get(0))
        .or_else(|| schema.get("default"))
        .or_else(|| schema["examples"].get(0))
}

fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema["properties"].is_object() => "object",
        _ => "string",
    }
}

/// Returns a zone such as `Europe/Paris`, without the punctuation around it.
fn zone(word: &str) -> Option<&str> {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let (area, city) = word.split_once('/')?;
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-+/".contains(c))
    };
    (is_name(area) && is_name(city)).then_some(word)
}
