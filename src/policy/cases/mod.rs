//! `policies/<name>.cases.yaml`: requests, and what a policy must make of them.
mod compare;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::context::{Caller, Context};
use crate::error::{Error, Problem};
pub use compare::Difference;
use compare::{differences, missing, quoted};

use crate::policy::script::{Call, Script};
use crate::policy::script_api::{State, With};
use crate::policy::{Outcome, Verdict};
use crate::wire::{Document, Reply, ReplyBody};

/// How one case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// The case's `name`.
    pub name: String,
    /// The line of the file that it begins on.
    pub line: u64,
    /// What was different from what was expected; nothing if the case holds.
    pub differences: Vec<Difference>,
}

impl CaseResult {
    /// The differences, a line each; `None` if all was as expected.
    pub fn failure(&self) -> Option<String> {
        let lines: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: Spanned<String>,
    /// A map, or the JSON text itself where its bytes matter.
    request: Value,
    #[serde(default)]
    ctx: CaseContext,
    expect: Expect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct CaseContext {
    key: String,
    tags: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    with: Map<String, Value>,
    /// The request's own `model` if absent.
    model: Option<String>,
    session: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    /// The whole request afterwards.
    request: Option<Value>,
    /// The very bytes of before.
    unchanged: bool,
    deny: Option<ExpectDeny>,
    /// A text: that of the answer; a map: fields that the message must have.
    respond: Option<Value>,
    route: Option<String>,
    /// Part of the message of a script that breaks, or of a request that is refused as malformed.
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectDeny {
    #[serde(default = "bad_request")]
    status: u16,
    message: Option<String>,
}

fn bad_request() -> u16 {
    400
}

/// Runs every case of a file against a policy. `path` is what messages show.
///
/// Fails if the file cannot be read as cases, or has none.
pub fn run_cases(script: &Script, yaml: &str, path: &Path) -> Result<Vec<CaseResult>, Problem> {
    let shown = path.display().to_string();
    let cases: Vec<Case> = serde_saphyr::from_str(yaml).map_err(|e| unreadable(&e, &shown))?;
    if cases.is_empty() {
        return Err(Problem::new(shown, "there are no cases in it: add one or remove the file"));
    }
    if let Some(case) = cases.iter().find(|case| !case.expect.is_one()) {
        let message = "`expect` must have one of `request`, `unchanged`, `deny`, `respond`, `error` \
                       or `route`; only `route` may stand beside `request` or `unchanged`";
        return Err(Problem::new(shown, format!("case `{}`: {message}", case.name.value)));
    }
    Ok(cases.into_iter().map(|case| case.run(script)).collect())
}

fn unreadable(error: &serde_saphyr::Error, path: &str) -> Problem {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default().to_owned();
    match error.location() {
        Some(at) => Problem::new(format!("{path}:{}:{}", at.line(), at.column()), message),
        None => Problem::new(path, message),
    }
}

impl Expect {
    fn is_one(&self) -> bool {
        let edits = usize::from(self.request.is_some()) + usize::from(self.unchanged);
        let ends = usize::from(self.deny.is_some())
            + usize::from(self.respond.is_some())
            + usize::from(self.error.is_some());
        match (edits, ends) {
            (0, 0) => self.route.is_some(),
            (1, 0) => true,
            (0, 1) => self.route.is_none(),
            _ => false,
        }
    }
}

impl Case {
    fn run(self, script: &Script) -> CaseResult {
        let differences = match self.outcome(script) {
            Ok((before, document, outcome)) => self.expect.compare(&before, &document, outcome),
            Err(error) => self.expect.compare_error(&error),
        };
        CaseResult { line: self.name.referenced.line(), name: self.name.value, differences }
    }

    fn outcome(&self, script: &Script) -> Result<(Bytes, Document, Outcome), Error> {
        let body: Bytes = match &self.request {
            Value::String(text) => text.clone().into(),
            value => value.to_string().into(),
        };
        let document = Document::parse(body.clone())?;
        let context = Arc::new(self.ctx.context(&document)?);
        let with = With::new(&self.ctx.with);
        let call = Call { context: &context, with: &with, state: &State::default() };
        let (document, outcome) = script.on_request(&call, document)?;
        Ok((body, document, outcome))
    }
}

impl CaseContext {
    fn context(&self, document: &Document) -> Result<Context, Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = || Error::invalid(format!("`ctx.headers.{name}` is no header"));
            let name = HeaderName::try_from(name).map_err(|_| wrong())?;
            headers.append(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
        }
        let asked = document.field("model").unwrap_or_default();
        let asked = serde_json::from_slice(&asked).unwrap_or_default();
        Ok(Context {
            request_id: "req_case".to_owned(),
            started: Instant::now(),
            caller: Arc::new(Caller { key: self.key.clone(), tags: self.tags.clone() }),
            headers,
            query: None,
            credential: None,
            session: self.session.clone(),
            model: self.model.clone().unwrap_or(asked),
        })
    }
}

impl Expect {
    /// Every difference; none if all is as expected.
    fn compare(&self, before: &Bytes, after: &Document, outcome: Outcome) -> Vec<Difference> {
        let mut found = match outcome.verdict {
            Verdict::Continue => self.compare_edit(before, after),
            Verdict::Deny(error) => self.compare_denial(&error),
            Verdict::Respond(reply) => self.compare_answer(*reply),
        };
        if self.route != outcome.route {
            let (wanted, route) = (self.route.as_deref(), outcome.route.as_deref());
            found.push(Difference::at("route", quoted(wanted), quoted(route)));
        }
        found
    }

    fn compare_edit(&self, before: &Bytes, after: &Document) -> Vec<Difference> {
        let bytes = after.to_bytes();
        let after = serde_json::from_slice(&bytes).unwrap_or_default();
        if let Some(wanted) = &self.request {
            return differences("request", wanted, &after);
        }
        if self.unchanged && bytes != *before {
            let before = serde_json::from_slice(before).unwrap_or_default();
            let mut found = differences("request", &before, &after);
            if found.is_empty() {
                found.push(Difference::at(
                    "request",
                    "the very bytes of before",
                    "the same values in other bytes",
                ));
            }
            return found;
        }
        match self.ending() {
            Some(wanted) => vec![Difference::of_end(wanted, "the request goes on")],
            None => Vec::new(),
        }
    }

    fn compare_denial(&self, error: &Error) -> Vec<Difference> {
        let status = error.status().as_u16();
        let Some(wanted) = &self.deny else {
            let found = format!("it is denied: {status} {}", error.message);
            return vec![Difference::of_end(self.wanted(), found)];
        };
        let mut found = Vec::new();
        if wanted.status != status {
            found.push(Difference::at("deny.status", wanted.status, status));
        }
        if let Some(message) = &wanted.message
            && *message != error.message
        {
            let (wanted, message) = (quoted(Some(message)), quoted(Some(&error.message)));
            found.push(Difference::at("deny.message", wanted, message));
        }
        found
    }

    fn compare_answer(&self, reply: Reply) -> Vec<Difference> {
        let ReplyBody::Full(body) = reply.body else {
            return vec![Difference::of_end(self.wanted(), "the answer is a stream")];
        };
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        match &self.respond {
            None => vec![Difference::of_end(self.wanted(), format!("it is answered: {message}"))],
            Some(Value::String(text)) => {
                let texts = message["content"].as_array().into_iter().flatten();
                let found: String = texts.filter_map(|block| block["text"].as_str()).collect();
                let differ = || Difference::at("respond", quoted(Some(text)), quoted(Some(&found)));
                if found == *text { Vec::new() } else { vec![differ()] }
            }
            Some(fields) => missing("", fields, &message),
        }
    }

    fn compare_error(&self, error: &Error) -> Vec<Difference> {
        match &self.error {
            Some(part) if error.message.contains(part) => Vec::new(),
            Some(part) => {
                vec![Difference::at("error", quoted(Some(part)), quoted(Some(&error.message)))]
            }
            None => {
                vec![Difference::of_end(self.wanted(), format!("it fails: {}", error.message))]
            }
        }
    }

    fn ending(&self) -> Option<&'static str> {
        self.deny
            .as_ref()
            .map(|_| "a denial")
            .or(self.respond.as_ref().map(|_| "an answer"))
            .or(self.error.as_ref().map(|_| "an error"))
    }

    fn wanted(&self) -> &'static str {
        self.ending().unwrap_or("the request to go on")
    }
}
