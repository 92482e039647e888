//! Reads a request's options for the gateway itself: the `gateway` object of its body, and
//! `x-tidegate-*` headers.
pub(crate) mod bounded;
pub(crate) mod breakpoint;
pub(crate) mod retry;

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::config::wording::suggestion;
use crate::error::{Error, Result};
use crate::exchange::requested::retry::{Retry, Statuses};
use crate::models::{Sort, Strictness};
use crate::net::headers;
use crate::wire::{Kind, MessagesRequest, Step};

/// The field of the body.
const FIELD: &str = "gateway";
/// The members of [`FIELD`]; each is also a header, `x-tidegate-` and the name with dashes.
const MEMBERS: [&str; 14] = [
    "session_id",
    "tags",
    "strictness",
    "order",
    "only",
    "ignore",
    "sort",
    "models",
    "timeout_ms",
    "attempt_timeout_ms",
    "retry_attempts",
    "retry_on",
    "cache",
    "debug",
];
const MAX_SESSION: usize = 256;
const MAX_TAGS: usize = 32;
const MAX_TAG: usize = 256;
const MAX_NAMES: usize = 64;
const MAX_ATTEMPTS: u64 = 5;

/// Names, and their field for error messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The field, such as `gateway.order` or `x-tidegate-order`.
    pub field: String,
    /// The names in the caller's order.
    pub names: Vec<String>,
}

/// The options of one request. Missing options are taken from the config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requested {
    /// The session for `strategy: weighted`, instead of the caller's.
    pub session: Option<String>,
    /// The tags for the record of the exchange.
    pub tags: BTreeMap<String, String>,
    /// The strictness, instead of the alias's.
    pub strictness: Option<Strictness>,
    /// The targets to try first.
    pub order: Option<Names>,
    /// The only allowed targets.
    pub only: Option<Names>,
    /// The excluded targets.
    pub ignore: Option<Names>,
    /// The order of the targets, instead of the alias's.
    pub sort: Option<Sort>,
    /// The fallback aliases after the request's own.
    pub models: Option<Names>,
    /// The time limit from the head of the request to the last byte of the answer.
    pub timeout: Option<Duration>,
    /// The retry rules, instead of the alias's.
    pub retry: Retry,
    /// Whether the static part of the prompt gets a breakpoint.
    pub caches: bool,
    /// Whether the answer has a trace of its targets and attempts.
    pub is_traced: bool,
}

/// The options in the caller's headers: the member of [`FIELD`], the name of the header, and its
/// value.
#[derive(Debug, Default)]
pub(crate) struct HeaderWishes {
    wishes: Vec<(&'static str, String, Value)>,
    /// Whether the options were written into the request. A member that is missing then was removed
    /// by a stage.
    is_shown: bool,
}

impl HeaderWishes {
    /// Reads the known headers for the gateway itself.
    ///
    /// Fails with a 400 that names the header, the value that was found and the expected values.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self> {
        let mut given = Self::default();
        if headers.is_empty() {
            return Ok(given);
        }
        let mut requested = Requested::default();
        for member in MEMBERS {
            if let Some((field, value)) = from_headers(headers, member) {
                let value = value.map_err(|error| error.with_log(format!("`{field}` is wrong")))?;
                requested.set(member, &field, value.clone())?;
                given.wishes.push((member, field, value));
            }
        }
        Ok(given)
    }

    /// Writes the options into the request's own `gateway` object, so that stages find all of them
    /// in one place. Members of the body take precedence. [`take`] reports a `gateway` that is no
    /// object.
    pub(crate) fn show(self, request: &mut MessagesRequest) -> Result<Self> {
        if self.wishes.is_empty() {
            return Ok(self);
        }
        let document = request.document_mut();
        match document.kind(&[Step::Key(FIELD)])? {
            Some(Kind::Object) => {}
            None | Some(Kind::Null) => document.set(&[Step::Key(FIELD)], "{}")?,
            Some(_) => return Ok(self),
        }
        for (member, _, value) in &self.wishes {
            let path = [Step::Key(FIELD), Step::Key(member)];
            if matches!(document.kind(&path)?, None | Some(Kind::Null)) {
                document.set(&path, value.to_string())?;
            }
        }
        Ok(Self { is_shown: true, ..self })
    }

    /// Returns the name of a member for an error message. A member that came from a header has the
    /// header's name.
    fn field_of(&self, member: &str, value: &Value) -> String {
        let header = self.wishes.iter().find(|(known, _, said)| *known == member && said == value);
        header.map_or_else(|| format!("{FIELD}.{member}"), |(_, field, _)| field.clone())
    }
}

/// Takes the options out of a request; returns `None` if there are none.
///
/// Fails with a 400 that names the member or the header, the value that was found and the expected
/// values.
pub(crate) fn take(
    given: &HeaderWishes,
    request: &mut MessagesRequest,
) -> Result<Option<Box<Requested>>> {
    let has_field = request.document().has(FIELD);
    if given.wishes.is_empty() && !has_field {
        return Ok(None);
    }
    let mut requested = Box::<Requested>::default();
    for (member, field, value) in given.wishes.iter().filter(|_| !given.is_shown) {
        requested.set(member, field, value.clone())?;
    }
    if has_field {
        for (member, value) in members(request)? {
            requested.set(&member, &given.field_of(&member, &value), value)?;
        }
        request.document_mut().remove(&[Step::Key(FIELD)])?;
    }
    Ok((*requested != Requested::default()).then_some(requested))
}

impl Requested {
    /// Returns whether a model is among the fallbacks.
    pub(crate) fn names_model(&self, model: &str) -> bool {
        self.models.iter().any(|models| models.names.iter().any(|name| name == model))
    }

    /// Applies the options that edit the request.
    pub(crate) fn edit(&self, request: &mut MessagesRequest) -> Result<()> {
        match self.caches {
            true => breakpoint::add(request.document_mut()),
            false => Ok(()),
        }
    }

    /// Sets the option of a member. Only the caller receives an error that quotes the value.
    fn set(&mut self, member: &str, field: &str, value: Value) -> Result<()> {
        self.read(member, field, value).map_err(|error| match MEMBERS.contains(&member) {
            true => error.with_log(format!("`{FIELD}.{member}`, or its header, is wrong")),
            false => error.with_log(format!("`{FIELD}` has a member that is not known")),
        })
    }

    /// Reads the option of a member. `null` counts as absent.
    fn read(&mut self, member: &str, field: &str, value: Value) -> Result<()> {
        if value.is_null() && MEMBERS.contains(&member) {
            return Ok(());
        }
        match member {
            "session_id" => self.session = Some(session(field, &value)?),
            "tags" => self.tags = tags(field, value)?,
            "strictness" => self.strictness = Some(strictness(field, &value)?),
            "order" => self.order = Some(names(field, value)?),
            "only" => self.only = Some(not_empty(names(field, value)?)?),
            "ignore" => self.ignore = Some(names(field, value)?),
            "sort" => self.sort = Some(sort(field, &value)?),
            "models" => self.models = Some(names(field, value)?),
            "timeout_ms" => self.timeout = Some(timeout(field, &value)?),
            "attempt_timeout_ms" => self.retry.timeout = Some(timeout(field, &value)?),
            "retry_attempts" => self.retry.attempts = Some(attempts(field, &value)?),
            "retry_on" => self.retry.on = Some(statuses(field, value)?),
            "cache" => self.caches = cache(field, &value)?,
            "debug" => self.is_traced = debug(field, &value)?,
            _ => return Err(unknown(FIELD, member, &MEMBERS)),
        }
        Ok(())
    }
}

/// Returns the members of the body's object, checked for duplicates.
fn members(request: &mut MessagesRequest) -> Result<Vec<(String, Value)>> {
    let document = request.document_mut();
    match document.kind(&[Step::Key(FIELD)])? {
        Some(Kind::Null) => return Ok(Vec::new()),
        Some(Kind::Object) => {}
        kind => {
            let found = kind.unwrap_or(Kind::Null).as_str();
            let message = format!("`{FIELD}` is {found}: it must be an object");
            return Err(Error::invalid(message));
        }
    }
    let mut found = Vec::new();
    for key in document.keys(&[Step::Key(FIELD)])?.unwrap_or_default() {
        let path = [Step::Key(FIELD), Step::Key(&key)];
        document.len(&path)?;
        let text = document.get(&path)?.unwrap_or_default();
        let value = serde_json::from_slice(&text).map_err(|_| {
            Error::invalid(format!("`{FIELD}.{}` cannot be read", shorten(&key)))
                .with_log(format!("a member of `{FIELD}` cannot be read"))
        })?;
        found.push((key, value));
    }
    Ok(found)
}

/// Returns the value of a header in the form of the body's member. An empty header counts as
/// absent.
fn from_headers(headers: &HeaderMap, member: &str) -> Option<(String, Result<Value>)> {
    let mut field = format!("x-tidegate-{}", member.replace('_', "-"));
    if member == "strictness" && !headers.contains_key(&field) {
        field = headers::AISTATS_STRICTNESS.as_str().to_owned();
    }
    let values = headers.get_all(&field).iter();
    let texts: Vec<&str> =
        values.map(|value| value.to_str().unwrap_or("\u{fffd}").trim()).collect();
    let text = texts.join(",");
    if text.is_empty() {
        return None;
    }
    let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let value = match member {
        "order" | "only" | "ignore" | "models" => Ok(items().collect()),
        "retry_on" => Ok(items().map(number).collect()),
        "tags" => pairs(&field, items()),
        "timeout_ms" | "attempt_timeout_ms" | "retry_attempts" => Ok(number(&text)),
        "debug" if items().all(|item| item == "trace") => Ok(json!({"trace": true})),
        _ => Ok(json!(text)),
    };
    Some((field, value))
}

fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
}

fn pairs<'a>(field: &str, items: impl Iterator<Item = &'a str>) -> Result<Value> {
    let mut pairs = Map::new();
    for item in items {
        let Some((name, value)) = item.split_once('=') else {
            return Err(wrong(
                field,
                &json!(item),
                "pairs like `team=search`, with commas between",
            ));
        };
        pairs.insert(name.trim().to_owned(), json!(value.trim()));
    }
    Ok(Value::Object(pairs))
}

fn session(field: &str, value: &Value) -> Result<String> {
    match value.as_str() {
        Some(id) if (1..=MAX_SESSION).contains(&id.chars().count()) => Ok(id.to_owned()),
        Some(id) => {
            let length = id.chars().count();
            let message =
                format!("`{field}` has {length} characters: it must have from 1 to {MAX_SESSION}");
            Err(Error::invalid(message))
        }
        None => Err(wrong(field, value, "a string")),
    }
}

fn tags(field: &str, value: Value) -> Result<BTreeMap<String, String>> {
    let Value::Object(map) = value else {
        return Err(wrong(field, &value, "an object of strings"));
    };
    if map.len() > MAX_TAGS {
        let message = format!("`{field}` has {} tags: it may have {MAX_TAGS}", map.len());
        return Err(Error::invalid(message));
    }
    let mut tags = BTreeMap::new();
    for (name, value) in map {
        let field = format!("{field}.{}", shorten(&name));
        let Value::String(text) = value else { return Err(wrong(&field, &value, "a string")) };
        if name.is_empty() || name.len().max(text.len()) > MAX_TAG {
            let message = format!(
                "`{field}` is too long or has no name: names and values of tags have up to {MAX_TAG} bytes"
            );
            return Err(Error::invalid(message));
        }
        tags.insert(name, text);
    }
    Ok(tags)
}

fn strictness(field: &str, value: &Value) -> Result<Strictness> {
    use serde::Deserialize;
    Strictness::deserialize(value).map_err(|_| wrong(field, value, "`off`, `warn` or `error`"))
}

fn sort(field: &str, value: &Value) -> Result<Sort> {
    use serde::Deserialize;
    Sort::deserialize(value).map_err(|_| wrong(field, value, "`cost`, `latency` or `throughput`"))
}

fn names(field: &str, value: Value) -> Result<Names> {
    let Value::Array(items) = value else { return Err(wrong(field, &value, "a list of names")) };
    if items.len() > MAX_NAMES {
        let message = format!("`{field}` has {} names: it may have {MAX_NAMES}", items.len());
        return Err(Error::invalid(message));
    }
    let mut names = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        match item {
            Value::String(name) if !name.is_empty() => names.push(name),
            other => return Err(wrong(&format!("{field}[{n}]"), &other, "a name")),
        }
    }
    Ok(Names { field: field.to_owned(), names })
}

fn not_empty(names: Names) -> Result<Names> {
    match names.names.is_empty() {
        false => Ok(names),
        true => Err(Error::invalid(format!(
            "`{}` is an empty list: name a target, or leave it out",
            names.field
        ))),
    }
}

fn timeout(field: &str, value: &Value) -> Result<Duration> {
    match value.as_u64() {
        Some(millis @ 1..) => Ok(Duration::from_millis(millis)),
        _ => Err(wrong(field, value, "a whole number of milliseconds, 1 or more")),
    }
}

fn attempts(field: &str, value: &Value) -> Result<u32> {
    match value.as_u64() {
        Some(attempts @ ..=MAX_ATTEMPTS) => Ok(attempts as u32),
        _ => Err(wrong(field, value, "a whole number, up to 5")),
    }
}

fn statuses(field: &str, value: Value) -> Result<Statuses> {
    let Value::Array(items) = value else {
        return Err(wrong(field, &value, "a list of statuses"));
    };
    let mut statuses = Statuses::default();
    for (n, item) in items.iter().enumerate() {
        if !item.as_u64().is_some_and(|status| statuses.insert(status)) {
            return Err(wrong(&format!("{field}[{n}]"), item, "a status from 400 to 599"));
        }
    }
    Ok(statuses)
}

fn cache(field: &str, value: &Value) -> Result<bool> {
    match value.as_str() {
        Some("auto") => Ok(true),
        _ => Err(wrong(field, value, "`auto`")),
    }
}

fn debug(field: &str, value: &Value) -> Result<bool> {
    const KNOWN: [&str; 1] = ["trace"];
    let Value::Object(map) = value else {
        let would_do = match field.contains('.') {
            true => "an object like `{\"trace\": true}`",
            false => "`trace`",
        };
        return Err(wrong(field, value, would_do));
    };
    if let Some(name) = map.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(unknown(field, name, &KNOWN));
    }
    match map.get("trace") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is_traced)) => Ok(*is_traced),
        Some(other) => Err(wrong(&format!("{field}.trace"), other, "`true` or `false`")),
    }
}

fn unknown(object: &str, member: &str, known: &[&str]) -> Error {
    let near = suggestion(member, known);
    Error::invalid(format!("`{object}.{}` is no field of `{object}`{near}", shorten(member)))
}

/// Returns the error of a wrong value. The message quotes `found`, shortened.
fn wrong(field: &str, found: &Value, would_do: &str) -> Error {
    let found = match found {
        Value::String(text) if text.is_empty() => "an empty string".to_owned(),
        Value::String(text) => format!("`{}`", shorten(text)),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        other => Kind::of(other.to_string().as_bytes()).as_str().to_owned(),
    };
    Error::invalid(format!("`{field}` is {found}: it must be {would_do}"))
}

/// Shortens a text to 64 characters, for messages.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
