//! The verbs of scripts: decisions of a policy, and the side effects that it requests.
use http::{HeaderName, HeaderValue};
use rhai::{Dynamic, Engine, Map, NativeCallContext, Variant};

use crate::net::headers;
use crate::policy::script::answer::Content;
use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::json;
use crate::policy::script::place::{Object, fault};
use crate::policy::script::run::{Run, Stop};
use crate::telemetry::logs::one_line;

/// The most characters of a text that `log` passes on.
const MAX_LOG: usize = 1024;
/// The longest name of a tag or counter; names become labels in metrics.
const MAX_NAME: usize = 64;
/// The longest value of a tag; it is a label in metrics.
const MAX_TAG: usize = 128;

type NativeCall<'a> = NativeCallContext<'a>;

/// Registers all verbs with an engine.
pub(super) fn verbs(engine: &mut Engine) {
    mistyped(engine);
    engine
        .register_fn("deny", |call: NativeCall<'_>, message: &str| deny(&call, 400, message))
        .register_fn("deny", |call: NativeCall<'_>, status: i64, message: &str| {
            deny(&call, status, message)
        })
        .register_fn("pass_over", pass_over)
        .register_fn("respond", respond_text)
        .register_fn("respond", respond::<Map>)
        .register_fn("respond", respond::<Object>)
        .register_fn("route", route)
        .register_fn("drop_event", drop_event)
        .register_fn("add_tool", add_tool::<Map>)
        .register_fn("add_tool", add_tool::<Object>)
        .register_fn("set_header", |name: &str, value: Dynamic| set_header(name, &value))
        .register_fn("set_response_header", |name: &str, value: Dynamic| {
            set_response_header(name, &value)
        })
        .register_fn("tag", |name: &str, value: Dynamic| tag(name, &value))
        .register_fn("count", |name: &str| count(name, 1))
        .register_fn("count", count)
        .register_fn("log", log)
        .register_fn("parse_json", json::parse)
        .register_type_with_name::<AuthorError>("error")
        .register_fn("to_string", |error: &mut AuthorError| error.0.clone())
        .register_fn("to_debug", |error: &mut AuthorError| error.0.clone())
        .register_fn("sleep", no_sleep::<i64>)
        .register_fn("sleep", no_sleep::<f64>)
        .on_print(|text| {
            Run::current(|run| emit(run, "info", text));
        })
        .on_debug(|text, _, _| {
            Run::current(|run| emit(run, "debug", text));
        });
}

/// Fails if the verb has no effect in the current hook.
fn within(verb: &str) -> ScriptResult<()> {
    match Run::current(|run| run.hook.misuse(verb)).flatten() {
        Some(message) => Err(AuthorError(message).into()),
        None => Ok(()),
    }
}

/// Registers the verbs that decide for values of any other type. Rhai's own error for these could be caught.
fn mistyped(engine: &mut Engine) {
    for verb in ["deny", "pass_over", "respond", "route"] {
        engine.register_fn(verb, |call: NativeCall<'_>, value: Dynamic| mismatch(&call, &[value]));
    }
    engine.register_fn("deny", |call: NativeCall<'_>, status: Dynamic, message: Dynamic| {
        mismatch(&call, &[status, message])
    });
}

fn mismatch(call: &NativeCall<'_>, given: &[Dynamic]) -> ScriptResult<()> {
    let types = given.iter().map(|value| call.engine().map_type_name(value.type_name()));
    let (verb, types) = (call.fn_name(), types.collect::<Vec<_>>().join(", "));
    wrong(call, &format!("there is no function `{verb} ({types})`"))
}

/// Fails if a verb that decides has no effect in the current hook.
fn decides(call: &NativeCall<'_>, verb: &str) -> ScriptResult<()> {
    match Run::current(|run| run.hook.misuse(verb)).flatten() {
        Some(message) => wrong(call, &message),
        None => Ok(()),
    }
}

/// Ends the script because it uses a verb that decides in a wrong way. No `try` catches it: the script wanted
/// to decide, and must not go on as if it did not.
fn wrong(call: &NativeCall<'_>, message: &str) -> ScriptResult<()> {
    Err(Run::end_at(call, Stop::Misuse(message.to_owned())))
}

fn pass_over(call: NativeCall<'_>, why: &str) -> ScriptResult<()> {
    decides(&call, "pass_over")?;
    Err(Run::end(Stop::PassOver(why.to_owned())))
}

fn deny(call: &NativeCall<'_>, status: i64, message: &str) -> ScriptResult<()> {
    decides(call, "deny")?;
    match u16::try_from(status) {
        Ok(status @ 400..=599) => Err(Run::end(Stop::Deny { status, message: message.to_owned() })),
        _ => wrong(call, &format!("`deny` takes a status from 400 to 599, not {status}")),
    }
}

fn respond_text(call: NativeCall<'_>, text: &str) -> ScriptResult<()> {
    decides(&call, "respond")?;
    Err(Run::end(Stop::Respond(Content::Text(text.to_owned()))))
}

fn respond<T: Variant + Clone>(call: NativeCall<'_>, message: T) -> ScriptResult<()> {
    decides(&call, "respond")?;
    let message = json::tree(&Dynamic::from(message))?;
    match Content::message(message) {
        Ok(content) => Err(Run::end(Stop::Respond(content))),
        Err(message) => wrong(&call, &message),
    }
}

fn route(call: NativeCall<'_>, alias: &str) -> ScriptResult<()> {
    decides(&call, "route")?;
    if alias.is_empty() {
        return wrong(&call, "`route` takes the name of a model, not an empty text");
    }
    Run::current(|run| run.effects.route = Some(alias.to_owned()));
    Ok(())
}

fn drop_event(call: NativeCall<'_>) -> ScriptResult<()> {
    decides(&call, "drop_event")?;
    Err(Run::end(Stop::Drop))
}

/// Declares a tool, unless the request already has one with that type and name.
fn add_tool<T: Variant + Clone>(declaration: T) -> ScriptResult<()> {
    within("add_tool")?;
    let declaration = json::tree(&Dynamic::from(declaration))?;
    let is_declaration = ["type", "name"].iter().any(|key| declaration[key].is_string());
    if !is_declaration {
        let message = "`add_tool` takes a declaration with a `type`, such as #{type: \"gateway:datetime\"}, or with a `name` and an `input_schema`";
        return Err(AuthorError(message.to_owned()).into());
    }
    let document = Run::current(|run| run.document.clone()).flatten();
    document.map_or(Ok(()), |document| document.add_tool(&declaration).map_err(fault))
}

fn set_header(name: &str, value: &Dynamic) -> ScriptResult<()> {
    within("set_header")?;
    let (name, value) = header("set_header", name, value)?;
    if !headers::passes_upstream(&name) {
        return Err(AuthorError(format!(
            "`set_header` cannot set `{name}`: the gateway sets this header itself"
        ))
        .into());
    }
    Run::current(|run| run.effects.wishes.upstream_headers.push(name, value));
    Ok(())
}

fn set_response_header(name: &str, value: &Dynamic) -> ScriptResult<()> {
    within("set_response_header")?;
    let (name, value) = header("set_response_header", name, value)?;
    if !headers::may_be_set_for_caller(&name) {
        let message = format!(
            "`set_response_header` cannot set `{name}`: the gateway sets this header itself"
        );
        return Err(AuthorError(message).into());
    }
    Run::current(|run| run.effects.wishes.response_headers.push(name, value));
    Ok(())
}

/// Checks a header and its value; `()` removes the header.
fn header(
    verb: &str,
    name: &str,
    value: &Dynamic,
) -> ScriptResult<(HeaderName, Option<HeaderValue>)> {
    let Ok(name) = HeaderName::try_from(name) else {
        return Err(AuthorError(format!(
            "`{verb}` takes the name of a header: the given name is not valid"
        ))
        .into());
    };
    if value.is_unit() {
        return Ok((name, None));
    }
    let text = scalar(value);
    let value = text.and_then(|text| HeaderValue::try_from(text).ok()).ok_or_else(|| {
        AuthorError(format!("`{verb}` takes a text without control characters, a number, or `()` to remove the header"))
    })?;
    Ok((name, Some(value)))
}

fn tag(name: &str, value: &Dynamic) -> ScriptResult<()> {
    let name = metric_name("tag", name)?;
    let value = scalar(value).ok_or_else(|| {
        AuthorError(format!("`tag` takes a text, a number or a boolean as the value of `{name}`"))
    })?;
    let value: String = one_line(&value).chars().take(MAX_TAG).collect();
    Run::current(|run| run.effects.wishes.tags.insert(name, value));
    Ok(())
}

fn count(name: &str, number: i64) -> ScriptResult<()> {
    let name = metric_name("count", name)?;
    let number = u64::try_from(number)
        .map_err(|_| AuthorError(format!("`count` takes a number of 0 or more, not {number}")))?;
    Run::current(|run| *run.effects.wishes.counts.entry(name).or_default() += number);
    Ok(())
}

/// Checks a name. The message does not quote it, because it may come from a request.
pub(super) fn metric_name(verb: &str, name: &str) -> ScriptResult<String> {
    let is_name = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    match is_name {
        true => Ok(name.to_owned()),
        false => Err(AuthorError(format!(
            "`{verb}` takes a name of at most {MAX_NAME} letters, digits, `_`, `-` and `.`"
        ))
        .into()),
    }
}

fn scalar(value: &Dynamic) -> Option<String> {
    let is_shown = json::is_scalar(value) && !value.is_unit();
    is_shown.then(|| value.to_string())
}

fn log(level: &str, text: &str) -> ScriptResult<()> {
    if !matches!(level, "error" | "warn" | "info" | "debug" | "trace") {
        let known = "`log` takes `error`, `warn`, `info`, `debug` or `trace` as level";
        return Err(AuthorError(known.to_owned()).into());
    }
    Run::current(|run| emit(run, level, text));
    Ok(())
}

#[expect(
    clippy::cognitive_complexity,
    reason = "the macros of `tracing` count, one for each level"
)]
fn emit(run: &Run, level: &str, text: &str) {
    if run.is_muted {
        return;
    }
    const TARGET: &str = "tidegate::policy";
    let end = text.char_indices().nth(MAX_LOG).map_or(text.len(), |(at, _)| at);
    let text = one_line(&text[..end]);
    let (policy, request_id) = (&*run.policy, &*run.context.request_id);
    match level {
        "error" => tracing::error!(target: TARGET, policy, request_id, "{text}"),
        "warn" => tracing::warn!(target: TARGET, policy, request_id, "{text}"),
        "info" => tracing::info!(target: TARGET, policy, request_id, "{text}"),
        "debug" => tracing::debug!(target: TARGET, policy, request_id, "{text}"),
        _ => tracing::trace!(target: TARGET, policy, request_id, "{text}"),
    }
}

/// Replaces Rhai's own `sleep`, which would block the thread beyond every limit.
fn no_sleep<T>(_time: T) -> ScriptResult<()> {
    Err(AuthorError("`sleep` is not available in policies: it would block the request".to_owned())
        .into())
}
