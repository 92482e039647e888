//! Lists and maps: Rhai's array functions for the arrays of a request, and functions that Rhai lacks.
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};
use serde_json::Value;

use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::json;
use crate::policy::script::place::{List, Object};
use crate::policy::script::run::Run;

/// Rhai's array functions that take a function. For a request's array they read its elements, one level deep.
const OVER_ELEMENTS: &[&str] = &["all", "filter", "find", "find_map", "for_each", "map", "some"];

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    for name in OVER_ELEMENTS {
        engine.register_fn(*name, |ctx: NativeCallContext<'_>, list: List, act: FnPtr| {
            over_elements(&ctx, list, vec![Dynamic::from(act)])
        });
    }
    engine
        .register_fn(
            "reduce",
            |ctx: NativeCallContext<'_>, list: List, act: FnPtr, first: Dynamic| {
                over_elements(&ctx, list, vec![Dynamic::from(act), first])
            },
        )
        .register_fn("+", |mut one: List, mut other: List| {
            joined(one.elements()?, other.elements()?)
        })
        .register_fn("+", |one: Array, mut other: List| joined(one, other.elements()?))
        .register_fn("+", |mut one: List, other: Array| joined(one.elements()?, other))
        .register_fn("to_array", |items: Array| items)
        .register_fn("to_map", |members: Map| members)
        .register_fn("snake_case", |value: Map| snake_case(&Dynamic::from_map(value)))
        .register_fn("snake_case", |value: Object| snake_case(&Dynamic::from(value)));
}

/// Calls Rhai's own function of the same name over the elements.
fn over_elements(ctx: &NativeCallContext<'_>, mut list: List, rest: Vec<Dynamic>) -> ScriptResult {
    let mut arguments = vec![Dynamic::from_array(list.elements()?)];
    arguments.extend(rest);
    let mut arguments: Vec<&mut Dynamic> = arguments.iter_mut().collect();
    ctx.call_native_fn_raw(ctx.fn_name(), true, &mut arguments)
}

fn joined(mut one: Array, other: Array) -> ScriptResult<Array> {
    one.extend(other);
    Ok(one)
}

/// Returns a new map in which the names of all members, at any depth, are in snake case.
fn snake_case(value: &Dynamic) -> ScriptResult {
    Ok(json::dynamic(&renamed(json::tree(value)?)?))
}

fn renamed(value: Value) -> ScriptResult<Value> {
    Run::check_time()?;
    Ok(match value {
        Value::Array(items) => {
            Value::Array(items.into_iter().map(renamed).collect::<ScriptResult<_>>()?)
        }
        Value::Object(members) => {
            let mut all = serde_json::Map::new();
            for (name, value) in members {
                let snake = snake(&name);
                if all.insert(snake.clone(), renamed(value)?).is_some() {
                    let message = "two members of a map have the same name in snake case";
                    return Err(AuthorError(message.to_owned()).into());
                }
            }
            Value::Object(all)
        }
        scalar => scalar,
    })
}

/// Returns `maxTokens` as `max_tokens`. A name that is not in camel case stays the same.
fn snake(name: &str) -> String {
    let is_camel = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_camel {
        return name.to_owned();
    }
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
