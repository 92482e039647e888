//! The objects that scripts use, `request` and `ctx`, and the registration of all functions.
use std::sync::Arc;

use rhai::{Dynamic, Engine, ImmutableString, Map, NativeCallContext, Variant};

use crate::context::Context;
use crate::policy::script::emit;
use crate::policy::script::error::ScriptResult;
use crate::policy::script::fields;
use crate::policy::script::json;
use crate::policy::script::libraries;
use crate::policy::script::place::{List, Object};
use crate::policy::script::state;
pub(crate) use crate::policy::script::state::State;
use crate::policy::script::value::{remove_at, set_at};
use crate::policy::script::verbs::verbs;
use crate::telemetry::record::Record;

/// `ctx.with`: a stage's parameters, converted once. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct With(Arc<Map>);

impl With {
    /// Converts the parameters in the config.
    pub fn new(parameters: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self(Arc::new(json::map(parameters)))
    }
}

/// `ctx`.
#[derive(Clone)]
pub(super) struct Ctx {
    pub(super) context: Arc<Context>,
    pub(super) with: With,
    pub(super) state: State,
}

/// `ctx.headers`: headers by name, without regard to case.
#[derive(Clone)]
struct Headers(Arc<Context>);

/// `ctx.tags`.
#[derive(Clone)]
struct Tags(Arc<Context>);

/// Registers everything with an engine.
pub(super) fn register(engine: &mut Engine) {
    objects(engine);
    members(engine);
    lists(engine);
    shows(engine);
    comparisons(engine);
    ctx(engine);
    state::register(engine);
    verbs(engine);
    emit::register(engine);
    libraries::register(engine);
}

fn objects(engine: &mut Engine) {
    engine
        .register_type_with_name::<Object>("map")
        .register_indexer_get(Object::get)
        .register_indexer_set(set_at)
        .register_fn("len", Object::len)
        .register_fn("is_empty", Object::is_empty)
        .register_fn("contains", Object::contains)
        .register_fn("remove", remove_at)
        .register_fn("keys", Object::keys)
        .register_fn("values", Object::values)
        .register_fn("to_map", Object::members)
        .register_fn("to_string", Object::json)
        .register_fn("to_debug", Object::json)
        .register_fn("to_json", Object::json);
}

/// Registers the members that scripts read most. The indexer serves every name, but Rhai first raises an
/// error about the missing property, and that error costs more than the read.
fn members(engine: &mut Engine) {
    // `tag`: Rhai gives every value a property of that name
    let names = ["tag"].iter().chain(fields::names()).chain(COMMON_MEMBERS);
    for name in names {
        let key = ImmutableString::from(*name);
        let read = key.clone();
        engine
            .register_get(*name, move |object: &mut Object| object.get(read.clone()))
            .register_set(
                *name,
                move |call: NativeCallContext<'_>, object: &mut Object, value: Dynamic| {
                    set_at(call, object, key.clone(), value)
                },
            );
    }
}

/// Members of messages, content blocks, tools, events and usage.
const COMMON_MEMBERS: &[&str] = &[
    "type",
    "role",
    "content",
    "text",
    "name",
    "id",
    "input",
    "source",
    "user_id",
    "effort",
    "budget_tokens",
    "index",
    "delta",
    "message",
    "content_block",
    "stop_reason",
    "usage",
    "input_tokens",
    "output_tokens",
];

fn lists(engine: &mut Engine) {
    engine
        .register_type_with_name::<List>("array")
        .register_indexer_get(List::get)
        .register_indexer_set(List::set)
        .register_iterator_result::<List, Dynamic>()
        .register_fn("len", List::len)
        .register_fn("is_empty", List::is_empty)
        .register_fn("contains", List::contains)
        .register_fn("push", List::push)
        .register_fn("insert", List::insert)
        .register_fn("remove", List::remove)
        .register_fn("to_array", List::elements)
        .register_fn("to_string", List::json)
        .register_fn("to_debug", List::json)
        .register_fn("to_json", List::json);
}

/// Replaces Rhai's own functions, which overflow the stack on deep values that are within the limits.
fn shows(engine: &mut Engine) {
    for name in ["to_string", "to_debug", "to_json"] {
        engine.register_fn(name, shown::<rhai::Array>).register_fn(name, shown::<Map>);
    }
}

fn shown<T: Variant + Clone>(value: T) -> ScriptResult<String> {
    let text = json::text(&Dynamic::from(value))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Compares a place with any value by its JSON; arrays and maps too.
fn comparisons(engine: &mut Engine) {
    engine
        .register_fn("==", same::<rhai::Array, rhai::Array>)
        .register_fn("==", same::<Map, Map>)
        .register_fn("!=", differ::<rhai::Array, rhai::Array>)
        .register_fn("!=", differ::<Map, Map>)
        .register_fn("==", same::<Object, Object>)
        .register_fn("==", same::<Object, Map>)
        .register_fn("==", same::<Map, Object>)
        .register_fn("==", same::<List, List>)
        .register_fn("==", same::<List, rhai::Array>)
        .register_fn("==", same::<rhai::Array, List>)
        .register_fn("!=", differ::<Object, Object>)
        .register_fn("!=", differ::<Object, Map>)
        .register_fn("!=", differ::<Map, Object>)
        .register_fn("!=", differ::<List, List>)
        .register_fn("!=", differ::<List, rhai::Array>)
        .register_fn("!=", differ::<rhai::Array, List>);
}

fn same<A, B>(one: A, other: B) -> ScriptResult<bool>
where
    A: Variant + Clone,
    B: Variant + Clone,
{
    json::is_same(&Dynamic::from(one), &Dynamic::from(other))
}

fn differ<A, B>(one: A, other: B) -> ScriptResult<bool>
where
    A: Variant + Clone,
    B: Variant + Clone,
{
    Ok(!same(one, other)?)
}

fn ctx(engine: &mut Engine) {
    engine
        .register_type_with_name::<Ctx>("ctx")
        .register_get("key", |ctx: &mut Ctx| text(&ctx.context.caller.key))
        .register_get("model", |ctx: &mut Ctx| text(&ctx.context.model))
        .register_get("session", |ctx: &mut Ctx| text(&ctx.context.session))
        .register_get("request_id", |ctx: &mut Ctx| text(&ctx.context.request_id))
        .register_get("target", target)
        .register_get("attempts", |ctx: &mut Ctx| i64::from(ctx.context.story.attempts()))
        .register_get("usage", usage)
        .register_get("limits", limits)
        .register_get("budget", budget)
        .register_get("with", |ctx: &mut Ctx| ctx.with.clone())
        .register_get("state", |ctx: &mut Ctx| ctx.state.clone())
        .register_get("headers", |ctx: &mut Ctx| Headers(ctx.context.clone()))
        .register_get("tags", |ctx: &mut Ctx| Tags(ctx.context.clone()));
    engine
        .register_type_with_name::<With>("with")
        .register_indexer_get(parameter)
        .register_get("tag", |with: &mut With| parameter(with, "tag"))
        .register_fn("contains", |with: &mut With, name: &str| with.0.contains_key(name))
        .register_fn("keys", |with: &mut With| names(with.0.keys()))
        .register_fn("to_map", |with: &mut With| with.0.as_ref().clone());
    engine
        .register_type_with_name::<Headers>("headers")
        .register_indexer_get(header)
        .register_get("tag", |headers: &mut Headers| header(headers, "tag"))
        .register_fn("contains", |headers: &mut Headers, name: &str| {
            headers.0.headers.contains_key(name)
        })
        .register_fn("keys", |headers: &mut Headers| names(headers.0.headers.keys()));
    engine
        .register_type_with_name::<Tags>("tags")
        .register_indexer_get(tag)
        .register_get("tag", |tags: &mut Tags| tag(tags, "tag"))
        .register_fn("contains", |tags: &mut Tags, name: &str| {
            tags.0.caller.tags.contains_key(name)
        })
        .register_fn("keys", |tags: &mut Tags| names(tags.0.caller.tags.keys()));
}

/// Returns the target of the last attempt, or an empty string before the first one.
fn target(ctx: &mut Ctx) -> ImmutableString {
    let tried = ctx.context.story.last_tried();
    tried.and_then(|tried| tried.target.to_str().map(text).ok()).unwrap_or_default()
}

/// Returns the tokens that all attempts have used so far.
fn usage(ctx: &mut Ctx) -> Map {
    let usage = ctx.context.story.read(Record::usage);
    let counts = [
        ("input_tokens", usage.input),
        ("output_tokens", usage.output),
        ("cache_creation_input_tokens", usage.cache_creation),
        ("cache_read_input_tokens", usage.cache_read),
    ];
    counts.into_iter().map(|(name, count)| (name.into(), int(count))).collect()
}

/// Returns the amounts that are left of the client's limits.
fn limits(ctx: &mut Ctx) -> Map {
    let admission = ctx.context.admission.as_ref();
    let left = admission.map(|admission| admission.limits_left()).unwrap_or_default();
    left.into_iter().map(|(unit, left)| (unit.into(), int(left))).collect()
}

/// Returns the budget with the least left; `()` without one.
fn budget(ctx: &mut Ctx) -> Dynamic {
    let admission = ctx.context.admission.as_ref();
    let Some(budget) = admission.and_then(|admission| admission.budget_left()) else {
        return Dynamic::UNIT;
    };
    let dollars = |nano: u64| Dynamic::from_float(nano as f64 / 1e9);
    let fields = [
        ("usd", dollars(budget.limit)),
        ("left", dollars(budget.left)),
        ("every", text(&budget.every.to_string()).into()),
    ];
    Dynamic::from_map(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn int(value: u64) -> Dynamic {
    Dynamic::from_int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn text(value: &str) -> ImmutableString {
    value.into()
}

fn names<T: AsRef<str>>(names: impl Iterator<Item = T>) -> rhai::Array {
    names.map(|name| text(name.as_ref()).into()).collect()
}

fn parameter(with: &mut With, name: &str) -> Dynamic {
    with.0.get(name).cloned().unwrap_or_default()
}

fn tag(tags: &mut Tags, name: &str) -> Dynamic {
    tags.0.caller.tags.get(name).map_or(Dynamic::UNIT, |value| text(value).into())
}

/// Joins several lines of one name into one list: `anthropic-beta` may come in several lines.
fn header(headers: &mut Headers, name: &str) -> Dynamic {
    let lines = headers.0.headers.get_all(name).iter();
    let lines: Vec<_> = lines.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    if lines.is_empty() { Dynamic::UNIT } else { lines.join(",").into() }
}
