//! The function libraries for policies.
use rhai::Engine;

use crate::policy::script::codec;
use crate::policy::script::error::Quoting;
use crate::policy::script::lists;
use crate::policy::script::mask;
use crate::policy::script::names;
use crate::policy::script::regex;
use crate::policy::script::strings;
use crate::policy::script::text;
use crate::policy::script::time;

/// Registers all libraries with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Quoting>("error")
        .register_fn("to_string", |error: &mut Quoting| error.message.clone())
        .register_fn("to_debug", |error: &mut Quoting| error.message.clone());
    text::register(engine);
    regex::register(engine);
    mask::register(engine);
    names::register(engine);
    codec::register(engine);
    time::register(engine);
    strings::register(engine);
    lists::register(engine);
}
