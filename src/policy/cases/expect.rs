//! `Expect`: the expected result of a case, and its comparison with the real one.
use std::collections::BTreeMap;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::policy::Emitted;
use crate::policy::cases::compare::{Difference, differences, missing, quoted};
use crate::policy::cases::given::usual_request;
use crate::policy::cases::ran::{End, Output, Ran, Refusal};
use crate::policy::cases::stream;
use crate::policy::cases::subject::Subject;
use crate::wire::Event;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// The whole request after the policy.
    request: Option<Value>,
    /// The bytes must be the same as before.
    unchanged: bool,
    /// A text: the text of the message. A map: fields of the message.
    response: Option<Value>,
    /// A text, a list of the texts of blocks, or events.
    stream: Option<Value>,
    /// Fields of the call.
    tool_call: Option<Value>,
    /// A text: the text of the content. A map: fields of the result.
    tool_result: Option<Value>,
    /// The error message that the caller reads.
    message: Option<String>,
    deny: Option<ExpectDeny>,
    /// A text: the text of the answer. A map: fields of the message.
    respond: Option<Value>,
    route: Option<String>,
    /// A part of the error message of a failing script, or of a request that is rejected as invalid.
    error: Option<String>,
    /// Some of the tags; `null` means that the tag is absent.
    tags: BTreeMap<String, Option<String>>,
    /// Some of the counters.
    counts: BTreeMap<String, u64>,
    /// All events that the policy sends, in order.
    events: Option<Vec<ExpectEvent>>,
    /// Some of the headers for the upstream; `null` means that the header is absent.
    headers: BTreeMap<String, Option<String>>,
    /// Some of the headers for the caller; `null` means that the header is absent.
    response_headers: BTreeMap<String, Option<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectEvent {
    /// The name, without `policy.`.
    name: String,
    /// The whole map; any if absent.
    fields: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectDeny {
    /// The status; 400 if absent.
    status: Option<u16>,
    message: Option<String>,
}

impl Expect {
    /// Returns the error message of an expectation that does not fit a case with this subject.
    pub(super) fn wrong_for(&self, subject: &Subject<'_>) -> Option<String> {
        let left: Vec<&str> = self.left();
        let ends = usize::from(self.deny.is_some())
            + usize::from(self.respond.is_some())
            + usize::from(self.error.is_some());
        let has_more = self.route.is_some()
            || !self.tags.is_empty()
            || !self.counts.is_empty()
            || self.events.is_some()
            || !self.headers.is_empty()
            || !self.response_headers.is_empty();
        let is_one = match (left.as_slice(), ends) {
            ([], 0) => has_more,
            // a part of the stream may have been sent
            ([_], 0) | (["stream"], 1) => true,
            ([], 1) => self.route.is_none(),
            _ => false,
        };
        if !is_one {
            let message = "`expect` must have one of `request`, `unchanged`, `deny`, `respond`, `error`, \
                           `route`, the result of its subject (`response`, `stream`, `tool_call`, `tool_result`, \
                           `message`), or `tags`, `counts`, `events`, `headers`, `response_headers`; `route` may \
                           be combined with `request` or `unchanged`, the last five with any";
            return Some(message.to_owned());
        }
        let own = match subject {
            Subject::Upstream(_) => "request",
            Subject::Error(_) => "message",
            other => other.name(),
        };
        let strange = left.iter().find(|key| **key != "unchanged" && **key != own)?;
        Some(format!("`expect.{strange}` does not apply to a case about `{}`", subject.name()))
    }

    /// Returns the keys of the expectation about the subject itself.
    fn left(&self) -> Vec<&'static str> {
        [
            ("request", self.request.is_some()),
            ("unchanged", self.unchanged),
            ("response", self.response.is_some()),
            ("stream", self.stream.is_some()),
            ("tool_call", self.tool_call.is_some()),
            ("tool_result", self.tool_result.is_some()),
            ("message", self.message.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_there)| is_there.then_some(key))
        .collect()
    }

    /// Returns every difference; an empty list if the result is as expected.
    pub(super) fn compare(&self, ran: &Ran) -> Vec<Difference> {
        let mut found = match &ran.end {
            End::GoesOn => match self.ending() {
                Some(wanted) => vec![Difference::of_end(wanted, goes_on(ran))],
                None => self.compare_left(ran),
            },
            End::Denied(refusal) => {
                let left = if self.stream.is_some() { self.compare_left(ran) } else { Vec::new() };
                self.compare_denial(refusal).into_iter().chain(left).collect()
            }
            End::Answered(answer) => self.compare_answer(answer),
            End::Broke(message) => self.compare_error(message),
            End::Early(end) => vec![Difference::of_end(
                "`on_request` to let the request pass",
                match &**end {
                    End::Denied(refusal) => format!("it denies it: {}", refusal.message),
                    _ => "it answers it".to_owned(),
                },
            )],
        };
        if self.route != ran.route {
            let (wanted, route) = (self.route.as_deref(), ran.route.as_deref());
            found.push(Difference::at("route", quoted(wanted), quoted(route)));
        }
        found.extend(self.compare_wishes(ran));
        found
    }

    fn compare_left(&self, ran: &Ran) -> Vec<Difference> {
        let after = match &ran.after {
            Output::Stream(events) => return self.compare_stream(ran, events),
            Output::Json(after) => after,
        };
        let mut value: Value = serde_json::from_slice(after).unwrap_or_default();
        if self.unchanged {
            let Output::Json(before) = &ran.before else { return Vec::new() };
            let place = if ran.subject == "upstream_request" { "request" } else { ran.subject };
            let was: Value = serde_json::from_slice(before).unwrap_or_default();
            let is_same = before == after;
            return if is_same { Vec::new() } else { changed(place, &was, &value) };
        }
        if let Some(wanted) = &self.request {
            leave_out(&mut value, wanted, &ran.added);
            return differences("request", wanted, &value);
        }
        if let Some(wanted) = &self.message {
            return text("message", wanted, value["message"].as_str().unwrap_or_default());
        }
        let part = [
            ("response", &self.response),
            ("tool_call", &self.tool_call),
            ("tool_result", &self.tool_result),
        ]
        .into_iter()
        .find_map(|(key, wanted)| Some((key, wanted.as_ref()?)));
        match part {
            Some((key, Value::String(wanted))) => text(key, wanted, &text_of(&value)),
            Some((key, wanted)) => missing(key, wanted, &value),
            None => Vec::new(),
        }
    }

    fn compare_stream(&self, ran: &Ran, events: &[Event]) -> Vec<Difference> {
        if self.unchanged {
            let Output::Stream(before) = &ran.before else { return Vec::new() };
            let (data, left) = (stream::data(before), stream::data(events));
            let is_same = before == events;
            return if is_same {
                Vec::new()
            } else {
                changed("stream", &data.into(), &left.into())
            };
        }
        match &self.stream {
            None => Vec::new(),
            Some(Value::String(wanted)) => text("stream", wanted, &stream::texts(events).concat()),
            Some(Value::Array(wanted)) if wanted.iter().all(Value::is_string) => {
                let texts: Vec<Value> =
                    stream::texts(events).into_iter().map(Value::from).collect();
                differences("stream", &wanted.clone().into(), &texts.into())
            }
            Some(wanted) => differences("stream", wanted, &stream::data(events).into()),
        }
    }

    fn compare_denial(&self, Refusal { status, message }: &Refusal) -> Vec<Difference> {
        let Some(wanted) = &self.deny else {
            let found = format!("it is denied: {status} {message}");
            return vec![Difference::of_end(self.wanted(), found)];
        };
        let mut found = Vec::new();
        let wanted_status = wanted.status.unwrap_or(400);
        if wanted_status != *status {
            found.push(Difference::at("deny.status", wanted_status, status));
        }
        if let Some(wanted) = &wanted.message {
            found.extend(text("deny.message", wanted, message));
        }
        found
    }

    fn compare_answer(&self, answer: &Value) -> Vec<Difference> {
        match &self.respond {
            None => vec![Difference::of_end(self.wanted(), format!("it is answered: {answer}"))],
            Some(Value::String(wanted)) => text("respond", wanted, &text_of(answer)),
            Some(fields) => missing("", fields, answer),
        }
    }

    /// Returns the differences of a case in which the script failed.
    pub(super) fn compare_error(&self, message: &str) -> Vec<Difference> {
        match &self.error {
            Some(part) if message.contains(part) => Vec::new(),
            Some(part) => text("error", part, message),
            None => vec![Difference::of_end(self.wanted(), format!("it fails: {message}"))],
        }
    }

    fn compare_wishes(&self, ran: &Ran) -> Vec<Difference> {
        let mut found = Vec::new();
        for (name, wanted) in &self.tags {
            let value = ran.wishes.tags.get(name).map(String::as_str);
            let wanted = wanted.as_deref();
            if value != wanted {
                let place = format!("tags.{name}");
                found.push(Difference::at(&place, quoted(wanted), quoted(value)));
            }
        }
        for (name, wanted) in &self.counts {
            let count = ran.wishes.counts.get(name).copied().unwrap_or_default();
            if count != *wanted {
                found.push(Difference::at(&format!("counts.{name}"), wanted, count));
            }
        }
        found.extend(self.events.iter().flat_map(|wanted| events(wanted, &ran.wishes.events)));
        found.extend(headers("headers", &self.headers, &ran.headers));
        found.extend(headers("response_headers", &self.response_headers, &ran.response_headers));
        found
    }

    fn ending(&self) -> Option<&'static str> {
        self.deny
            .as_ref()
            .map(|_| "a denial")
            .or(self.respond.as_ref().map(|_| "an answer"))
            .or(self.error.as_ref().map(|_| "an error"))
    }

    fn wanted(&self) -> &'static str {
        self.ending().unwrap_or("the request to continue")
    }
}

/// Removes unchanged fields that neither the case nor `expect` has.
fn leave_out(found: &mut Value, wanted: &Value, added: &[&str]) {
    let usual = usual_request();
    for field in added.iter().filter(|field| wanted.get(field).is_none()) {
        if found.get(field) == usual.get(field)
            && let Value::Object(members) = found
        {
            members.shift_remove(*field);
        }
    }
}

fn goes_on(ran: &Ran) -> &'static str {
    match ran.subject {
        "request" | "upstream_request" => "the request continues",
        _ => "everything continues",
    }
}

/// Returns the differences of a value that was expected to keep its bytes.
fn changed(place: &str, before: &Value, after: &Value) -> Vec<Difference> {
    let found = differences(place, before, after);
    let bytes =
        || Difference::at(place, "the same bytes as before", "the same values in different bytes");
    if found.is_empty() { vec![bytes()] } else { found }
}

fn text(place: &str, wanted: &str, found: &str) -> Vec<Difference> {
    match wanted == found {
        true => Vec::new(),
        false => vec![Difference::at(place, quoted(Some(wanted)), quoted(Some(found)))],
    }
}

/// Returns the text of a message, of a result, or of a list of blocks.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
        Value::Object(message) => message.get("content").map(text_of).unwrap_or_default(),
        _ => String::new(),
    }
}

fn events(wanted: &[ExpectEvent], found: &[Emitted]) -> Vec<Difference> {
    let names: Vec<Value> = wanted.iter().map(|event| event.name.as_str().into()).collect();
    let sent: Vec<Value> = found.iter().map(Emitted::name).map(Value::from).collect();
    if names != sent {
        return differences("events", &names.into(), &sent.into());
    }
    let pairs = wanted.iter().zip(found).enumerate();
    let fields = pairs.filter_map(|(n, (wanted, found))| {
        let found = Value::Object(found.fields.clone());
        Some(differences(&format!("events[{n}].fields"), wanted.fields.as_ref()?, &found))
    });
    fields.flatten().collect()
}

fn headers(
    place: &str,
    wanted: &BTreeMap<String, Option<String>>,
    found: &HeaderMap,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (name, wanted) in wanted {
        let value = found.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        if value.as_deref() != wanted.as_deref() {
            let place = format!("{place}.{name}");
            let (wanted, value) = (quoted(wanted.as_deref()), quoted(value.as_deref()));
            differences.push(Difference::at(&place, wanted, value));
        }
    }
    differences
}
