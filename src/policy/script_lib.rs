//! The libraries that policies call.
use rhai::Engine;

use crate::policy::script_codec;
use crate::policy::script_error::Quoting;
use crate::policy::script_lists;
use crate::policy::script_names;
use crate::policy::script_regex;
use crate::policy::script_strings;
use crate::policy::script_text;
use crate::policy::script_time;

/// Makes an engine know all of them.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Quoting>("error")
        .register_fn("to_string", |error: &mut Quoting| error.message.clone())
        .register_fn("to_debug", |error: &mut Quoting| error.message.clone());
    script_text::register(engine);
    script_regex::register(engine);
    script_names::register(engine);
    script_codec::register(engine);
    script_time::register(engine);
    script_strings::register(engine);
    script_lists::register(engine);
}
