//! OpenAI's Responses, the API in which its current models reason and call tools together.
mod body;
pub(crate) mod count;
pub(crate) mod decode;
pub(crate) mod encode;
pub(super) mod encoder;
mod items;
pub(crate) mod refused;
mod search;
mod thoughts;

pub(crate) use search::TYPES as SEARCH_TYPES;
