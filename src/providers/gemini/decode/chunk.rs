//! The members of an answer that the parser reads. Each value is read when it is needed, so that one of a wrong kind
//! does not spoil the rest.
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An answer, or a chunk of one.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    #[serde(borrow)]
    candidates: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage_metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) finish_message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(borrow)]
    pub(super) text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) thought: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) thought_signature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    inline_data: Option<&'a RawValue>,
    #[serde(borrow)]
    file_data: Option<&'a RawValue>,
    #[serde(borrow)]
    executable_code: Option<&'a RawValue>,
    #[serde(borrow)]
    code_execution_result: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_response: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    partial_args: Option<&'a RawValue>,
    #[serde(borrow)]
    will_continue: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// Returns the first candidate; others are other answers.
    pub(super) fn candidate(&self) -> Option<Candidate<'a>> {
        let all = self.candidates.map(list::<Candidate<'a>>).unwrap_or_default();
        let is_first = |candidate: &Candidate<'_>| {
            candidate.index.is_none_or(|index| matches!(index.get(), "0" | "null"))
        };
        all.into_iter().find(is_first)
    }
}

impl<'a> Candidate<'a> {
    /// Returns the parts of the content.
    pub(super) fn parts(&self) -> Vec<Part<'a>> {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            parts: Option<&'a RawValue>,
        }
        let parts = self.content.and_then(object::<Content<'a>>).and_then(|content| content.parts);
        parts.map(list).unwrap_or_default()
    }
}

impl Part<'_> {
    /// Returns a visible text for a part that has no counterpart; `None` if there is nothing to tell.
    pub(super) fn shown(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Members<'a> {
            #[serde(borrow)]
            mime_type: Option<&'a RawValue>,
            #[serde(borrow)]
            code: Option<&'a RawValue>,
            #[serde(borrow)]
            output: Option<&'a RawValue>,
        }
        let members = |raw: Option<&'_ RawValue>| raw.is_some_and(|raw| raw.get().starts_with('{'));
        let text = |raw: Option<&RawValue>| raw.and_then(string).map(Cow::into_owned);
        if let Some(media) = [self.inline_data, self.file_data].into_iter().flatten().next()
            && let Some(media) = object::<Members<'_>>(media)
        {
            let kind: String = text(media.mime_type).unwrap_or_default().chars().take(64).collect();
            let kind = if kind.is_empty() { "media".to_owned() } else { kind };
            return Some(format!("[the gateway left out {kind} of the answer]"));
        }
        if let Some(code) = self.executable_code.and_then(object::<Members<'_>>) {
            return text(code.code).map(|code| format!("\n```\n{code}\n```\n"));
        }
        if let Some(result) = self.code_execution_result.and_then(object::<Members<'_>>) {
            return text(result.output).map(|output| format!("\n```\n{output}\n```\n"));
        }
        let is_call = members(self.tool_call) || members(self.tool_response);
        is_call.then(|| "[the gateway left out a step of the upstream's own tool]".to_owned())
    }
}

/// Returns an object; `None` for any other value.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok())?
}

/// Returns the objects of a list; none for any other value.
fn list<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Vec<T> {
    if !raw.get().starts_with('[') {
        return Vec::new();
    }
    let all: Vec<&'a RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    all.into_iter().filter_map(object).collect()
}

/// Returns a string; `None` for any other value.
pub(super) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    raw.get()
        .starts_with('"')
        .then(|| serde_json::from_str::<Text<'_>>(raw.get()).ok())?
        .map(|text| text.0)
}

impl Call<'_> {
    /// Returns whether the arguments come in pieces.
    pub(super) fn is_partial(&self) -> bool {
        let is_list = self.partial_args.is_some_and(|raw| raw.get().starts_with('['));
        is_list || self.will_continue.is_some_and(|raw| raw.get() == "true")
    }
}
