//! `Dropped`: a part of a request that an upstream cannot receive.
use std::borrow::Cow;

/// A part of a request that has no counterpart at an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The plain name, such as `top_k`, `block:document` or a beta's value.
    pub name: Cow<'static, str>,
    /// The JSON pointer of the part in the request.
    pub pointer: String,
    /// The reason, as a short phrase.
    pub reason: Cow<'static, str>,
    /// The kind of loss.
    pub loss: Loss,
}

/// The kind of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The answer may differ: the model does not receive something, or a limit does not hold.
    Content,
    /// The same, because the gateway could not fetch the content of a URL. The pointer leads to the URL.
    Fetch,
    /// Only the speed or the price may differ. The loss is in the record, and not in a header.
    Hint,
}

impl Dropped {
    /// Returns a loss of content.
    pub fn content(
        name: impl Into<Cow<'static, str>>,
        pointer: impl Into<String>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name: name.into(),
            pointer: pointer.into(),
            reason: reason.into(),
            loss: Loss::Content,
        }
    }

    /// Returns the loss of a block whose URL, at this pointer, has no content for the upstream.
    pub fn fetch(name: String, pointer: String, reason: String) -> Self {
        Self { name: name.into(), pointer, reason: reason.into(), loss: Loss::Fetch }
    }

    /// Returns the loss of a hint.
    pub fn hint(
        name: impl Into<Cow<'static, str>>,
        pointer: impl Into<String>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { name: name.into(), pointer: pointer.into(), reason: reason.into(), loss: Loss::Hint }
    }
}
