//! `emit`: events that policies send to the sinks of the config.
use rhai::{Dynamic, Engine, Map, Variant};
use serde_json::Value;

use crate::policy::Emitted;
use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::json;
use crate::policy::script::place::Object;
use crate::policy::script::run::Run;
use crate::policy::script::verbs::metric_name;
use crate::telemetry::events::names::OF_POLICIES;

/// The most bytes of an event's fields, as JSON.
const MAX_BYTES: usize = 8 * 1024;
/// The most events of one run of a hook.
const MAX_EVENTS: usize = 16;

/// Registers the verb with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("emit", emit::<Map>).register_fn("emit", emit::<Object>);
}

/// Requests an event. The errors do not depend on the sinks.
fn emit<T: Variant + Clone>(name: &str, fields: T) -> ScriptResult<()> {
    let name = metric_name("emit", name)?;
    let fields = Dynamic::from(fields);
    let bytes = json::size(&fields)?;
    if bytes > MAX_BYTES {
        let message =
            format!("`emit` takes fields of at most {MAX_BYTES} bytes as JSON, not {bytes}");
        return Err(AuthorError(message).into());
    }
    let Value::Object(fields) = json::tree(&fields)? else {
        return Err(AuthorError("`emit` takes a map".to_owned()).into());
    };
    let is_full = Run::current(|run| {
        let events = &mut run.effects.wishes.events;
        let is_full = events.len() >= MAX_EVENTS;
        if !is_full {
            let (kind, policy) = (format!("{OF_POLICIES}{name}"), run.policy.clone());
            events.push(Emitted { kind, policy, fields });
        }
        is_full
    });
    match is_full {
        Some(true) => {
            let message = format!("`emit` sends at most {MAX_EVENTS} events in one run of a hook");
            Err(AuthorError(message).into())
        }
        _ => Ok(()),
    }
}
