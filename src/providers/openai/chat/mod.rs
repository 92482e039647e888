//! OpenAI's Chat Completions, which most other servers speak too.
mod body;
pub(crate) mod decode;
pub(crate) mod encode;
mod encoder;
mod messages;
mod think;
