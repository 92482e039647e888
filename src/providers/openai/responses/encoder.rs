//! `Encoder`: the state of one encoding for Responses, and its purpose.
use crate::providers::openai::draft::Draft;

/// The use of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An answer.
    Answer,
    /// An answer, from a server that does not take the reasoning of earlier answers back.
    WithoutReasoning,
    /// A count of its tokens: the route for that knows no parameters of the answer.
    Count,
}

/// The state of one encoding.
pub(super) struct Encoder<'a> {
    pub(super) draft: Draft<'a>,
    pub(super) purpose: Purpose,
}
