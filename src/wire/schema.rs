//! Checks a value against a JSON Schema; supports the keywords of schemas derived from Rust types.
//!
//! An unknown keyword accepts everything: the reader of the value checks it again.
use regex::Regex;
use serde_json::{Map, Value};

/// The number of characters of a misfitting text that a message quotes.
const SHOWN: usize = 80;

/// A value that does not match the schema, and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The path, such as `.timezones[2]`; empty for the value itself.
    pub path: String,
    /// The value found and the values expected.
    pub message: String,
    /// The allowed values, if there are only a few.
    choices: Vec<String>,
}

impl Misfit {
    /// Returns a misfit of the value itself.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into(), choices: Vec::new() }
    }

    fn choice(choices: Vec<String>) -> Self {
        Self {
            choices: choices.clone(),
            ..Self::new(format!("must be one of {}", choices.join(", ")))
        }
    }

    fn within(self, step: &str) -> Self {
        Self { path: format!("{step}{}", self.path), ..self }
    }
}

/// Returns the first misfit as an error.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), Misfit> {
    check_by(schema, &pattern_of(schema), value)
}

/// Checks with a compiled pattern: the items of a list share one.
fn check_by(schema: &Value, pattern: &Option<Regex>, value: &Value) -> Result<(), Misfit> {
    let Value::Object(schema) = schema else {
        return match schema {
            Value::Bool(false) => Err(Misfit::new("must be absent")),
            _ => Ok(()),
        };
    };
    check_type(schema, value)?;
    check_choice(schema, value)?;
    match value {
        Value::Object(members) => check_members(schema, members)?,
        Value::Array(items) => check_items(schema, items)?,
        Value::String(text) => {
            check_size(schema, "Length", text.chars().count(), "characters")?;
            check_pattern(schema, pattern, text)?;
        }
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or_default())?,
        Value::Null | Value::Bool(_) => {}
    }
    for one in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        check(one, value)?;
    }
    for key in ["anyOf", "oneOf"] {
        check_any(schema.get(key).and_then(Value::as_array), value)?;
    }
    Ok(())
}

fn check_type(schema: &Map<String, Value>, value: &Value) -> Result<(), Misfit> {
    let allowed: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is_whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if allowed.contains(&found) || (is_whole && allowed.contains(&"integer")) {
        return Ok(());
    }
    let wanted: Vec<&str> =
        allowed.iter().copied().filter(|name| *name != "null" || allowed.len() == 1).collect();
    Err(Misfit::new(format!("must be of type {}, found {found}", wanted.join(" or "))))
}

fn check_choice(schema: &Map<String, Value>, value: &Value) -> Result<(), Misfit> {
    let choices = match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(choices)), _) => choices.as_slice(),
        (_, Some(only)) => std::slice::from_ref(only),
        _ => return Ok(()),
    };
    if choices.contains(value) {
        return Ok(());
    }
    Err(Misfit::choice(choices.iter().map(|choice| format!("`{choice}`")).collect()))
}

fn check_members(schema: &Map<String, Value>, members: &Map<String, Value>) -> Result<(), Misfit> {
    let none = Map::new();
    let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    // the members that identify a variant go first: the others belong to one variant only
    let is_mark = |name: &String| known.get(name).is_some_and(|rule| rule.get("const").is_some());
    let (marks, others): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| is_mark(name));
    for (name, value) in marks.into_iter().chain(others) {
        let step = format!(".{}", name.chars().take(64).collect::<String>());
        match (known.get(name), schema.get("additionalProperties")) {
            (Some(inner), _) => check(inner, value).map_err(|misfit| misfit.within(&step))?,
            (None, Some(Value::Bool(false))) => {
                let known: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
                let message = match known.is_empty() {
                    true => "is not known: there are none".to_owned(),
                    false => format!("is not known: there are {}", known.join(", ")),
                };
                return Err(Misfit::new(message).within(&step));
            }
            (None, Some(inner)) => check(inner, value).map_err(|misfit| misfit.within(&step))?,
            (None, None) => {}
        }
    }
    let mut required = named(schema.get("required"));
    if let Some(name) = required.find(|name| !members.contains_key(*name)) {
        return Err(Misfit::new("is missing").within(&format!(".{name}")));
    }
    check_together(schema, members)
}

/// Checks `not: { required: […] }`: members that exclude each other.
fn check_together(schema: &Map<String, Value>, members: &Map<String, Value>) -> Result<(), Misfit> {
    let apart: Vec<&str> = named(schema.get("not").and_then(|rule| rule.get("required"))).collect();
    let is_given = |name: &&str| members.get(*name).is_some_and(|value| !value.is_null());
    if apart.is_empty() || !apart.iter().all(is_given) {
        return Ok(());
    }
    Err(Misfit::new(format!("has both `{}`: use one of them", apart.join("` and `"))))
}

fn named(names: Option<&Value>) -> impl Iterator<Item = &str> {
    names.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Returns `None` if the schema has no readable pattern.
fn pattern_of(schema: &Value) -> Option<Regex> {
    Regex::new(schema.get("pattern")?.as_str()?).ok()
}

/// Checks the pattern. The schema's description, if there is one, explains the pattern in the message.
fn check_pattern(
    schema: &Map<String, Value>,
    pattern: &Option<Regex>,
    text: &str,
) -> Result<(), Misfit> {
    let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.is_match(text)) else {
        return Ok(());
    };
    let shown: String = text.chars().take(SHOWN).collect();
    let words = schema.get("description").and_then(Value::as_str).unwrap_or(pattern.as_str());
    Err(Misfit::new(format!("is `{shown}`, which does not match: {words}")))
}

fn check_items(schema: &Map<String, Value>, items: &[Value]) -> Result<(), Misfit> {
    check_size(schema, "Items", items.len(), "items")?;
    let Some(inner) = schema.get("items") else { return Ok(()) };
    let pattern = pattern_of(inner);
    for (n, item) in items.iter().enumerate() {
        check_by(inner, &pattern, item).map_err(|misfit| misfit.within(&format!("[{n}]")))?;
    }
    Ok(())
}

/// Checks `minItems` and `maxItems`, or `minLength` and `maxLength`.
fn check_size(
    schema: &Map<String, Value>,
    what: &str,
    found: usize,
    unit: &str,
) -> Result<(), Misfit> {
    let bound = |which: &str| schema.get(&format!("{which}{what}")).and_then(Value::as_u64);
    match (bound("min"), bound("max")) {
        (Some(least), _) if (found as u64) < least => {
            Err(Misfit::new(format!("has {found} {unit}, at least {least} are needed")))
        }
        (_, Some(most)) if found as u64 > most => {
            Err(Misfit::new(format!("has {found} {unit}, at most {most} fit")))
        }
        _ => Ok(()),
    }
}

fn check_number(schema: &Map<String, Value>, found: f64) -> Result<(), Misfit> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    if let Some(least) = bound("minimum").filter(|least| found < *least) {
        return Err(Misfit::new(format!("is {found}, at least {least} is needed")));
    }
    if let Some(most) = bound("maximum").filter(|most| found > *most) {
        return Err(Misfit::new(format!("is {found}, at most {most} is allowed")));
    }
    Ok(())
}

/// Checks alternatives. If all fail, reports the deepest misfit among those with matching choices. If no
/// choices matched, reports all choices together.
fn check_any(ways: Option<&Vec<Value>>, value: &Value) -> Result<(), Misfit> {
    let mut misfits = Vec::new();
    let mut nothing = None;
    for way in ways.into_iter().flatten() {
        match check(way, value) {
            Ok(()) => return Ok(()),
            // `null` as an alternative does not help the reader of the message
            Err(misfit) if way.get("type").is_some_and(|name| name == "null") => {
                nothing = Some(misfit);
            }
            Err(misfit) => misfits.push(misfit),
        }
    }
    let deepest = |misfits: Vec<Misfit>| misfits.into_iter().max_by_key(|it| it.path.len());
    let (chosen, others): (Vec<_>, Vec<_>) =
        misfits.into_iter().partition(|misfit| misfit.choices.is_empty());
    if let Some(closest) = deepest(chosen) {
        return Err(closest);
    }
    let choices = others.iter().flat_map(|misfit| misfit.choices.clone()).collect();
    match deepest(others) {
        Some(closest) => Err(Misfit { path: closest.path, ..Misfit::choice(choices) }),
        None => nothing.map_or(Ok(()), Err),
    }
}
