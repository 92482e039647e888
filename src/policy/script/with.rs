//! `const WITH`: the parameters that a policy accepts, so that building the configuration finds wrong ones.
use serde_json::{Map, Value, json};
use strsim::levenshtein;

use crate::error::Problem;
use crate::wire::schema::{self, Misfit};

/// The name of the constant.
pub(super) const NAME: &str = "WITH";
/// The message about a computed value.
pub(super) const LITERAL: &str =
    "`WITH` must be a literal map: `const WITH = #{ limit: \"integer\" };`";

/// The types of a value, as JSON Schema names them.
const TYPES: &[&str] = &["string", "integer", "number", "boolean", "array", "object"];

/// The keys that the map of a parameter may have.
const KNOWN: &[&str] = &[
    "type",
    "required",
    "default",
    "description",
    "enum",
    "items",
    "properties",
    "additionalProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
];

/// The parameters of one policy.
#[derive(Debug)]
pub(super) struct Parameters {
    /// The JSON Schema of each parameter, by name.
    schemas: Map<String, Value>,
    required: Vec<String>,
    defaults: Map<String, Value>,
}

impl Parameters {
    /// Reads the declaration of a policy. Each parameter is a type's name, a list of them, or a map in terms
    /// of JSON Schema, with `required` or a `default`. Fails with the mistake.
    pub(super) fn of(declared: &Value) -> Result<Self, String> {
        let Value::Object(declared) = declared else { return Err(LITERAL.to_owned()) };
        let mut parameters =
            Self { schemas: Map::new(), required: Vec::new(), defaults: Map::new() };
        for (name, shape) in declared {
            parameters.declare(name, shape)?;
        }
        Ok(parameters)
    }

    /// Returns the names of the parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.schemas.keys().map(String::as_str)
    }

    fn declare(&mut self, name: &str, shape: &Value) -> Result<(), String> {
        let wrong = |why: String| format!("`WITH`: `{name}` {why}");
        let mut schema = shape_of(shape).map_err(wrong)?;
        match schema.remove("required") {
            Some(Value::Bool(true)) => self.required.push(name.to_owned()),
            None | Some(Value::Bool(false)) => {}
            Some(_) => return Err(wrong("has a `required` that is neither true nor false".into())),
        }
        let default = schema.remove("default");
        let schema = Value::Object(schema);
        if let Some(default) = default {
            schema::check(&schema, &default)
                .map_err(|misfit| wrong(format!("has a default that {}", misfit.message)))?;
            self.defaults.insert(name.to_owned(), default);
        }
        self.schemas.insert(name.to_owned(), schema);
        Ok(())
    }

    /// Returns the parameters of a stage, with the declared defaults. The paths of problems are like
    /// `.limit`.
    pub(super) fn checked(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Vec<Problem>> {
        let known: Vec<&String> = self.schemas.keys().collect();
        let mut problems = Vec::new();
        for (name, value) in given {
            // `limit:` without a value counts as absent
            let found = match self.schemas.get(name) {
                Some(_) if value.is_null() => Ok(()),
                Some(schema) => schema::check(schema, value),
                None => {
                    let message =
                        format!("the policy has no such parameter{}", suggestion(name, &known));
                    Err(Misfit::new(message))
                }
            };
            let wrong =
                |misfit: Misfit| Problem::new(format!(".{name}{}", misfit.path), misfit.message);
            problems.extend(found.err().map(wrong));
        }
        let is_there = |name: &str| given.get(name).is_some_and(|value| !value.is_null());
        for name in self.required.iter().filter(|name| !is_there(name)) {
            problems.push(Problem::new(format!(".{name}"), "is missing: the policy needs it"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let given = given.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(name, value)| (name.clone(), value.clone()));
        Ok(self.defaults.clone().into_iter().chain(given).collect())
    }
}

/// Converts a shape in terms of JSON Schema.
fn shape_of(shape: &Value) -> Result<Map<String, Value>, String> {
    let mut schema = match shape {
        Value::String(_) | Value::Array(_) => Map::from_iter([("type".to_owned(), shape.clone())]),
        Value::Object(schema) => schema.clone(),
        _ => return Err(format!("must be the name of a type ({}) or a map", types())),
    };
    if let Some(word) = schema.keys().find(|word| !KNOWN.contains(&word.as_str())) {
        return Err(format!("has `{word}`, which is not a known key{}", suggestion(word, KNOWN)));
    }
    let named = match schema.get("type") {
        None => Vec::new(),
        Some(Value::Array(names)) => names.iter().collect(),
        Some(name) => vec![name],
    };
    for name in named {
        if !name.as_str().is_some_and(|name| TYPES.contains(&name)) {
            return Err(format!("is of type {name}: types are {}", types()));
        }
    }
    for word in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(word).filter(|inner| !inner.is_boolean()) {
            let inner = shape_of(inner)?;
            schema.insert(word.to_owned(), Value::Object(inner));
        }
    }
    if let Some(Value::Object(members)) = schema.get("properties") {
        let members = members.iter().map(|(name, shape)| Ok((name.clone(), shape_of(shape)?)));
        let members = members.collect::<Result<Vec<_>, String>>()?;
        schema.extend(properties(members));
    }
    Ok(schema)
}

/// Returns the members of an object. A misspelled one is an error unless other members are allowed.
fn properties(members: Vec<(String, Map<String, Value>)>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, mut schema) in members {
        if schema.remove("required") == Some(Value::Bool(true)) {
            required.push(json!(name));
        }
        properties.insert(name, Value::Object(schema));
    }
    Map::from_iter([
        ("properties".to_owned(), Value::Object(properties)),
        ("required".to_owned(), Value::Array(required)),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

fn types() -> String {
    listed(TYPES)
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    names.join(", ")
}

/// Returns a suggestion for a misspelled name.
pub(super) fn suggestion<T: AsRef<str>>(word: &str, known: &[T]) -> String {
    let names = known.iter().map(|name| (levenshtein(word, name.as_ref()), name.as_ref()));
    match names.filter(|(far, name)| *far <= name.len().max(word.len()) / 3 + 1).min() {
        Some((_, nearest)) => format!("; the nearest is `{nearest}`"),
        None if known.is_empty() => "; there are none".to_owned(),
        None => format!("; there are {}", listed(known)),
    }
}
