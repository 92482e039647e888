//! The parts that all translated dialects share: the request as encoders read it, the steps of an answer,
//! and the machine that writes the Messages stream.
pub(crate) mod call;
pub(crate) mod client_tools;
pub(crate) mod conversation;
pub(crate) mod decode;
pub(crate) mod effort;
pub(crate) mod encoded;
pub(crate) mod envelope;
pub(crate) mod facts;
pub(crate) mod machine;
pub(crate) mod media;
pub(crate) mod names;
pub(crate) mod ops;
pub(crate) mod rejected;
pub(crate) mod schemas;
pub(crate) mod sse;
pub(crate) mod stops;
pub(crate) mod texts;
#[cfg(test)]
pub(crate) mod trial;
