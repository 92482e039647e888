//! Variables in scalars: `${VAR}`, `${VAR:-default}`, `${file:path}`; `$${` is a literal `${`.
//!
//! Beside this module only `providers::signer::environment` reads the environment, for the clouds' own variables.
use std::collections::BTreeMap;
use std::env::VarError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::tree::Place;
use crate::disk;
use crate::error::Problem;

/// The source of variables: the environment, or a table in a test.
pub type Lookup<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// The result of expanding the variables.
#[derive(Default)]
pub struct Expansion {
    /// The scalars with a variable, by their place.
    pub origins: BTreeMap<Place, Origin>,
    /// The files that were read for `${file:…}`.
    pub files: Vec<PathBuf>,
    /// The variables that could not be expanded.
    pub problems: Vec<Problem>,
}

/// A scalar with a variable; its value may be a secret.
pub struct Origin {
    /// The text in the file.
    pub text: String,
    /// The expanded value.
    pub value: String,
}

impl Origin {
    /// Returns the number or truth value of the scalar, if it is one variable and nothing else.
    pub fn plain(&self) -> Option<Value> {
        let body = self.text.strip_prefix("${")?.strip_suffix('}')?;
        if body.contains(['{', '}']) {
            return None;
        }
        let plain: Value = serde_json::from_str(self.value.trim()).ok()?;
        (plain.is_number() || plain.is_boolean()).then_some(plain)
    }
}

/// Returns a variable of this process's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the place that reads the environment for the config"
)]
pub fn environment(name: &str) -> Option<OsString> {
    match std::env::var(name) {
        Ok(value) => Some(value.into()),
        Err(VarError::NotUnicode(value)) => Some(value),
        Err(VarError::NotPresent) => None,
    }
}

/// Expands every string scalar of `tree`; keys do not change. The paths of `${file:…}` are relative to
/// `base_dir`.
pub fn expand(tree: Value, base_dir: &Path, lookup: &Lookup) -> (Value, Expansion) {
    let mut run = Run { base_dir, lookup, found: Expansion::default() };
    let tree = run.node(tree, Place::default());
    (tree, run.found)
}

struct Run<'a> {
    base_dir: &'a Path,
    lookup: &'a Lookup<'a>,
    found: Expansion,
}

impl Run<'_> {
    fn node(&mut self, node: Value, place: Place) -> Value {
        match node {
            Value::String(text) if text.contains("${") => self.scalar(text, place),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(n, item)| self.node(item, place.index(n)))
                .collect(),
            Value::Object(entries) => entries
                .into_iter()
                .map(|(key, value)| {
                    let below = place.key(key.as_str());
                    (key, self.node(value, below))
                })
                .collect(),
            other => other,
        }
    }

    fn scalar(&mut self, text: String, place: Place) -> Value {
        let value = match self.text(&text) {
            Ok(value) => value,
            Err(message) => {
                self.found.problems.push(Problem::new(place.to_string(), message));
                String::new()
            }
        };
        self.found.origins.insert(place, Origin { text, value: value.clone() });
        Value::String(value)
    }

    fn text(&mut self, text: &str) -> Result<String, String> {
        let mut value = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, variable) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                value.push_str(before);
                value.push_str("${");
                rest = &variable[2..];
                continue;
            }
            value.push_str(before);
            let (body, after) = variable[2..].split_once('}').ok_or(
                "a `${` is never closed: add the `}`, or write `$${` for the characters themselves",
            )?;
            value.push_str(&self.variable(body)?);
            rest = after;
        }
        value.push_str(rest);
        Ok(value)
    }

    fn variable(&mut self, body: &str) -> Result<String, String> {
        if body.contains("${") {
            return Err("a variable inside a variable is not supported".to_owned());
        }
        if let Some(path) = body.strip_prefix("file:") {
            return self.file(path);
        }
        let (name, default) = match body.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        let (name, instead) = match name.split_once(":+") {
            Some((name, instead)) => (name, Some(instead)),
            None => (name, None),
        };
        if !is_name(name) {
            return Err(format!(
                "`${{{body}}}` is no variable: write `${{NAME}}`, `${{NAME:-default}}`, `${{NAME:+text:-default}}` or `${{file:path}}`"
            ));
        }
        let found = (self.lookup)(name).map(OsString::into_string).transpose();
        // a value that cannot be read is no reason to take the default
        let found = found.map_err(|_| {
            format!("the environment variable `{name}` is no UTF-8 text: expected UTF-8")
        })?;
        if let Some(instead) = instead {
            let is_set = found.is_some_and(|value| !value.is_empty());
            return Ok(if is_set { instead } else { default.unwrap_or_default() }.to_owned());
        }
        match (found, default) {
            (Some(value), None) => Ok(value),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!(
                "the environment variable `{name}` is not set: set it, or write `${{{name}:-default}}`"
            )),
        }
    }

    /// Returns the text of a file without its byte-order mark and its final line ends, which editors and
    /// `kubectl` add.
    fn file(&mut self, path: &str) -> Result<String, String> {
        let full = self.base_dir.join(path);
        let text = disk::text(&full);
        // watched even if it does not exist yet
        self.found.files.push(full);
        let text = text.map_err(|unread| format!("the file `{path}` {unread}"))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
