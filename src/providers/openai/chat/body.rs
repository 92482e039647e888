//! The body of a Chat Completions request. Texts and JSON borrow from the Messages request.
use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::providers::openai::media::{Json, MediaUrl};
use crate::providers::openai::parameters::Identity;
use crate::providers::openai::pieces::{Mark, Piece, PieceBody};
use crate::providers::openai::tools::Function as Shared;

/// The whole body.
#[derive(Debug, Default, Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    pub(super) messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_effort: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thinking_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chat_template_kwargs: Option<Value>,
    #[serde(flatten)]
    pub(super) identity: Identity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continue_final_message: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) add_generation_prompt: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<Value>,
}

/// A message.
#[derive(Debug, Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(super) enum Message<'a> {
    System { content: Content<'a> },
    User { content: Content<'a> },
    Assistant(Assistant<'a>),
    Tool { tool_call_id: Cow<'a, str>, content: Content<'a> },
}

/// A message of the assistant.
#[derive(Debug, Default, Serialize)]
pub(super) struct Assistant<'a> {
    /// `null` if there are only tool calls.
    pub(super) content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_details: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) prefix: bool,
}

/// A content: one text, or parts.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

/// A part of a content.
#[derive(Debug, Serialize)]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    pub(super) body: PartBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_cache_breakpoint: Option<Value>,
}

/// The kinds of parts.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum PartBody<'a> {
    Text { text: Cow<'a, str> },
    ImageUrl { image_url: ImageUrl<'a> },
    File { file: File<'a> },
}

/// The address of an image.
#[derive(Debug, Serialize)]
pub(super) struct ImageUrl<'a> {
    pub(super) url: MediaUrl<'a>,
}

/// A file.
#[derive(Debug, Serialize)]
pub(super) struct File<'a> {
    pub(super) filename: Cow<'a, str>,
    pub(super) file_data: MediaUrl<'a>,
}

/// A tool call of the assistant.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    pub(super) id: Cow<'a, str>,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: Function<'a>,
}

/// The function of a call.
#[derive(Debug, Serialize)]
pub(super) struct Function<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: Cow<'a, str>,
}

/// A declared tool.
#[derive(Debug, Serialize)]
pub(super) struct Tool<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) function: Declared<'a>,
}

/// The declaration of a function.
#[derive(Debug, Serialize)]
pub(super) struct Declared<'a> {
    pub(super) name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Cow<'a, str>>,
    pub(super) parameters: Json<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
}

/// The form of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ResponseFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: NamedSchema<'a> },
}

/// A schema of the output.
#[derive(Debug, Serialize)]
pub(super) struct NamedSchema<'a> {
    pub(super) name: &'static str,
    pub(super) schema: &'a RawValue,
    pub(super) strict: bool,
}

impl<'a> From<Shared<'a>> for Tool<'a> {
    fn from(shared: Shared<'a>) -> Self {
        let Shared { name, description, parameters, is_strict } = shared;
        let strict = is_strict.then_some(true);
        Self { kind: "function", function: Declared { name, description, parameters, strict } }
    }
}

impl<'a> From<Piece<'a>> for Part<'a> {
    fn from(piece: Piece<'a>) -> Self {
        let body = match piece.body {
            PieceBody::Text(text) => PartBody::Text { text },
            PieceBody::Image(url) => PartBody::ImageUrl { image_url: ImageUrl { url } },
            PieceBody::File { name, data } => {
                PartBody::File { file: File { filename: name, file_data: data } }
            }
        };
        let mut part = Self { body, cache_control: None, prompt_cache_breakpoint: None };
        match piece.mark {
            Some(Mark::Control(control)) => part.cache_control = Some(control),
            Some(Mark::Breakpoint) => {
                part.prompt_cache_breakpoint = Some(json!({"mode": "explicit"}));
            }
            None => {}
        }
        part
    }
}

impl<'a> Part<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        let body = PartBody::Text { text: text.into() };
        Self { body, cache_control: None, prompt_cache_breakpoint: None }
    }

    /// Returns the text of a part; `None` for media.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self.body {
            PartBody::Text { text } => Some(text),
            PartBody::ImageUrl { .. } | PartBody::File { .. } => None,
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.body, PartBody::Text { .. })
            && self.cache_control.is_none()
            && self.prompt_cache_breakpoint.is_none()
    }
}

impl<'a> Content<'a> {
    /// Returns the parts as one text if all of them are plain texts, else as parts.
    pub(super) fn of(mut parts: Vec<Part<'a>>) -> Self {
        if !parts.iter().all(Part::is_plain) {
            return Self::Parts(parts);
        }
        if parts.len() == 1
            && let Some(Part { body: PartBody::Text { text }, .. }) = parts.pop()
        {
            return Self::Text(text);
        }
        let texts: Vec<Cow<'_, str>> = parts.into_iter().filter_map(Part::into_text).collect();
        Self::Text(texts.join("\n\n").into())
    }
}
