//! `Encoder`: the state of one encoding for Chat Completions.
use crate::providers::openai::draft::Draft;

/// The state of one encoding.
pub(super) struct Encoder<'a> {
    pub(super) draft: Draft<'a>,
    /// Whether the server has to be told that the last message goes on.
    pub(super) continues: bool,
    /// The text that the server repeats at the beginning of a whole answer.
    pub(super) prefill: Option<String>,
}
