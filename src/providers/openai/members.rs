//! Members of answers. Servers differ in nearly every one, so an absent member, `null` and a member of a wrong
//! kind are the same.
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::providers::translate::ops::Op;
use crate::providers::translate::rejected::ApiError;
use crate::wire::message::is_object;

/// Returns a string; `None` for any other value.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    raw.get()
        .starts_with('"')
        .then(|| serde_json::from_str::<Text<'_>>(raw.get()).ok())?
        .map(|text| text.0)
}

/// Returns whether a member for an error names one.
pub(super) fn is_filled(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "false" | "{}" | "\"\"")
}

/// Returns the arguments of a call: a text of JSON, an object itself, or a text within a text.
pub(super) fn arguments(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return String::new() };
    string(raw).map_or_else(|| raw.get().to_owned(), |text| unquoted(&text))
}

/// Returns arguments without a second layer of quotes.
fn unquoted(args: &str) -> String {
    let inner = args.starts_with('"').then(|| serde_json::from_str::<String>(args).ok()).flatten();
    inner.filter(|inner| is_object(inner.as_bytes())).unwrap_or_else(|| args.to_owned())
}

/// Returns the failure that a member `error` describes.
pub(super) fn failure(error: &RawValue) -> Op {
    let value: Value = serde_json::from_str(error.get()).unwrap_or_default();
    Op::Fail(ApiError::failure(&value))
}

/// Returns the error of an event that is named `error`. Its data is the error, or has it as a member.
pub(super) fn event_error(data: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(data)
        .unwrap_or_else(|_| String::from_utf8_lossy(data).into_owned().into());
    match &value["error"] {
        Value::Null => value,
        error => error.clone(),
    }
}
