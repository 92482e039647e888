//! Scripts: compiled once per generation, run within limits on the thread of the request.
pub(super) mod answer;
pub(crate) mod api;
mod check;
mod checks;
mod clock;
mod closures;
mod codec;
mod compiled;
pub(crate) mod defs;
#[cfg(test)]
mod reference;
mod emit;
mod engine;
mod error;
mod fields;
mod imports;
mod json;
mod libraries;
mod limits;
mod lint;
mod lists;
mod mask;
mod modules;
mod names;
mod normal;
mod parse;
mod patterns;
mod place;
mod properties;
mod regex;
mod run;
mod shared;
mod state;
mod strict;
mod strings;
mod text;
mod time;
mod tokens;
mod value;
mod verbs;
mod walk;
mod windows;
mod with;

pub(crate) use clock::Clock;
pub(super) use compiled::{Decision, Done};
pub(crate) use compiled::{Script, ScriptCall};
pub use engine::ScriptEngine;
pub use limits::Limits;
pub(crate) use limits::STACK_BYTES;

#[cfg(test)]
mod tests;
