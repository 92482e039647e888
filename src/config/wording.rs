//! Translates serde's messages for the author of the config, without the wrong value.
use strsim::levenshtein;

/// A fault of a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// An unknown key, with the message about it.
    Unknown(String, String),
    /// A required key is missing.
    Missing(String),
    /// A string instead of another type, with the message about it.
    String(String),
    /// Any other fault, with the message about it.
    Other(String),
}

/// Parses serde's message. Removes values, since they may be secrets in a wrong place.
pub fn fault(message: &str) -> Fault {
    if let Some((field, expected)) = named(message, "unknown field `") {
        let text = format!("unknown key{}", suggestion(field, &quoted(expected)));
        return Fault::Unknown(field.to_owned(), text);
    }
    if let Some((field, _)) = named(message, "missing field `") {
        return Fault::Missing(field.to_owned());
    }
    if let Some((variant, expected)) = named(message, "unknown variant `") {
        let known = quoted(expected);
        let found = if may_be_quoted(variant) { format!("`{variant}` is ") } else { String::new() };
        return Fault::Other(format!("{found}not a known value{}", suggestion(variant, &known)));
    }
    if let Some(rest) = message.strip_prefix("invalid type: ") {
        let text = mismatch(rest);
        return match rest.starts_with("string") {
            true => Fault::String(text),
            false => Fault::Other(text),
        };
    }
    Fault::Other(match message.strip_prefix("invalid value: ") {
        Some(rest) => mismatch(rest),
        None if message == "invalid socket address syntax" => {
            "expected an IP address and a port such as `127.0.0.1:4000`".to_owned()
        }
        None => message.to_owned(),
    })
}

/// Returns `; did you mean …` or `; known are …` for an unknown `word`.
pub fn suggestion<T: AsRef<str>>(word: &str, known: &[T]) -> String {
    let near = known
        .iter()
        .map(|name| (levenshtein(word, name.as_ref()), name.as_ref()))
        .filter(|(steps, name)| *steps <= name.len().max(word.len()) / 3 + 1)
        .min();
    match near {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None => {
            let known: Vec<_> = known.iter().map(|name| format!("`{}`", name.as_ref())).collect();
            format!("; known are {}", known.join(", "))
        }
    }
}

/// Returns whether a value is a short word. Anything else may be a secret in a wrong place.
fn may_be_quoted(value: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | ' ');
    !value.is_empty() && value.len() <= 24 && value.chars().all(is_word)
}

fn named<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let rest = message.strip_prefix(prefix)?;
    // the expected names come last, so a backtick in the name does no harm
    match rest.rsplit_once("`, expected ") {
        Some(parts) => Some(parts),
        None => rest.rsplit_once('`'),
    }
}

fn quoted(expected: &str) -> Vec<&str> {
    expected.split('`').skip(1).step_by(2).collect()
}

fn mismatch(rest: &str) -> String {
    let (found, wanted) = rest.rsplit_once(", expected ").unwrap_or((rest, "something else"));
    let (found, wanted) = (found_kind(found), wanted_kind(wanted));
    let advice = match (found, wanted.as_str()) {
        ("a number" | "true or false", "a string") => ": put it in quotes",
        _ => "",
    };
    format!("expected {wanted}, found {found}{advice}")
}

fn found_kind(found: &str) -> &'static str {
    match found.split([' ', '`']).next().unwrap_or_default() {
        "string" => "a string",
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "a mapping",
        _ => "nothing",
    }
}

fn wanted_kind(wanted: &str) -> String {
    let kind = match wanted {
        "a string" | "string or map" | "a borrowed string" => "a string",
        "path string" => "a path",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "a nonzero u32" | "a nonzero u64" => "a whole number of 1 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        "socket address" => "an address such as `127.0.0.1:4000`",
        "a sequence" => "a list",
        "a map" => "a mapping",
        other if other.contains("struct") || other.contains("enum") => "a mapping",
        other => other,
    };
    kind.to_owned()
}
