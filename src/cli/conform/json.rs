//! Comparisons of JSON as text and as values, at a path.
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::cli::conform::facts::{Finding, Verdict, brief};

/// The part of a body that a gateway must keep, and how exactly.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keeps {
    /// Every byte of the body, except the value of `model`.
    Bytes,
    /// The text of the value at this path.
    Text(&'static [&'static str]),
    /// The text of the value at this path, without white space between tokens.
    Tokens(&'static [&'static str]),
    /// The meaning of the value at this path.
    Value(&'static [&'static str]),
}

impl Keeps {
    /// Compares a body that was sent with the body that arrived.
    pub(super) fn compare(self, sent: &[u8], arrived: &[u8]) -> Verdict {
        let sent = text(sent)?;
        let arrived = text(arrived)?;
        match self {
            Self::Bytes => bytes(sent, arrived),
            Self::Text(path) => same(path, sent, arrived, str::to_owned),
            Self::Tokens(path) => same(path, sent, arrived, tokens),
            Self::Value(path) => same(path, sent, arrived, |text| {
                serde_json::from_str::<Value>(text).map(sorted).unwrap_or_default().to_string()
            }),
        }
    }
}

fn text(body: &[u8]) -> Result<&str, Finding> {
    std::str::from_utf8(body).map_err(|_| Finding::new("a body in UTF-8", "other bytes"))
}

fn same(path: &[&str], sent: &str, arrived: &str, form: fn(&str) -> String) -> Verdict {
    let expected = at(sent, path).map(form).unwrap_or_default();
    let name = path.join(".");
    let found = match at(arrived, path) {
        Some(found) => form(found),
        None => return Err(Finding::new(format!("`{name}`: {expected}"), "the field is missing")),
    };
    if found == expected {
        return Ok(());
    }
    let from = first_difference(&expected, &found);
    Err(Finding::new(
        format!("`{name}`: …{}", &expected[from..]),
        format!("…{}", found.get(from..).unwrap_or_default()),
    ))
}

fn bytes(sent: &str, arrived: &str) -> Verdict {
    let (Some((before, after)), Some((begin, end))) = (around_model(sent), around_model(arrived))
    else {
        return match sent == arrived {
            true => Ok(()),
            false => Err(Finding::new("the same bytes", brief(arrived))),
        };
    };
    for (expected, found) in [(before, begin), (after, end)] {
        if expected != found {
            let from = first_difference(expected, found);
            let found = found.get(from..).unwrap_or_default();
            return Err(Finding::new(format!("…{}", &expected[from..]), format!("…{found}")));
        }
    }
    Ok(())
}

/// Splits a body around the value of its `model`, which a gateway may replace.
fn around_model(body: &str) -> Option<(&str, &str)> {
    let model = at(body, &["model"])?;
    // `model` is a part of `body`
    let from = (model.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    Some((body.get(..from)?, body.get(from + model.len()..)?))
}

/// Returns a position shortly before the first difference, at the boundary of a character of both.
fn first_difference(one: &str, other: &str) -> usize {
    let equal = one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let mut at = equal.saturating_sub(24);
    while !one.is_char_boundary(at) || !other.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

/// Returns the text of the value at a path of names and indices.
pub(super) fn at<'a>(json: &'a str, path: &[&str]) -> Option<&'a str> {
    path.iter().try_fold(json, |json, step| match step.parse::<usize>() {
        Ok(index) => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            items.get(index).map(|item| item.get())
        }
        Err(_) => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
            members.get(*step).map(|value| value.get())
        }
    })
}

/// Removes the white space between tokens.
fn tokens(json: &str) -> String {
    let mut is_string = false;
    let mut is_escaped = false;
    let keeps = |c: &char| {
        let is_kept = is_string || !c.is_ascii_whitespace();
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_string = !is_string,
            _ => {}
        }
        is_kept
    };
    json.chars().filter(keeps).collect()
}

/// Sorts the members of all objects: their order has no meaning.
pub(super) fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        other => other,
    }
}
