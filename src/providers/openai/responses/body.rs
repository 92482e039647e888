//! The body of a Responses request. Texts and JSON borrow from the Messages request.
use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::providers::openai::media::{Json, MediaUrl};
use crate::providers::openai::parameters::Identity;
use crate::providers::openai::pieces::{Mark, Piece, PieceBody, UNTITLED};
use crate::providers::openai::tools::Function;
use crate::providers::translate::texts;

/// The whole body.
#[derive(Debug, Default, Serialize)]
pub(super) struct Body<'a> {
    pub(super) model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) instructions: Option<Cow<'a, str>>,
    pub(super) input: Vec<Item<'a>>,
    /// `false`: the server keeps no copy, and the gateway needs none there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) store: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) include: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_output_tokens: Option<u64>,
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
    pub(super) reasoning: Option<Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<TextOptions<'a>>,
    #[serde(flatten)]
    pub(super) identity: Identity,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_options: Option<Value>,
}

/// The switch of the reasoning.
#[derive(Debug, Serialize)]
pub(super) struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<&'static str>,
}

/// The options of the text.
#[derive(Debug, Serialize)]
pub(super) struct TextOptions<'a> {
    pub(super) format: Format<'a>,
}

/// The form of the output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Format<'a> {
    JsonObject,
    JsonSchema { name: &'static str, schema: &'a RawValue, strict: bool },
}

/// An item of the conversation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Item<'a> {
    Message(Message<'a>),
    Typed(Typed<'a>),
}

/// A message.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: Content<'a>,
    /// The part of the answer that the message was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<String>,
}

/// The items that name their type.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Typed<'a> {
    Reasoning(Thought),
    FunctionCall { call_id: Cow<'a, str>, name: Cow<'a, str>, arguments: Cow<'a, str> },
    FunctionCallOutput { call_id: Cow<'a, str>, output: Content<'a> },
}

/// Reasoning of an earlier answer.
#[derive(Debug, Serialize)]
pub(super) struct Thought {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) summary: Vec<Summary>,
    pub(super) encrypted_content: String,
}

/// A part of the summary of reasoning.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary_text")]
pub(super) struct Summary {
    pub(super) text: String,
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
    body: PartBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_breakpoint: Option<Value>,
}

/// The kinds of parts.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names are the API's")]
enum PartBody<'a> {
    InputText {
        text: Cow<'a, str>,
    },
    InputImage {
        image_url: MediaUrl<'a>,
        detail: &'static str,
    },
    InputFile {
        #[serde(skip_serializing_if = "Option::is_none")]
        filename: Option<Cow<'a, str>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_data: Option<MediaUrl<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        file_url: Option<MediaUrl<'a>>,
    },
}

/// A declared tool.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Tool<'a> {
    /// `strict` is always there: without it, the server turns it on for schemas that allow it.
    Function {
        name: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<Cow<'a, str>>,
        parameters: Json<'a>,
        strict: bool,
    },
    WebSearch {
        #[serde(skip_serializing_if = "Option::is_none")]
        filters: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_location: Option<Value>,
    },
}

impl<'a> From<Function<'a>> for Tool<'a> {
    fn from(function: Function<'a>) -> Self {
        let Function { name, description, parameters, is_strict } = function;
        Self::Function { name, description, parameters, strict: is_strict }
    }
}

impl<'a> Item<'a> {
    pub(super) fn message(role: &'static str, content: Content<'a>) -> Self {
        Self::Message(Message { role, content, phase: None })
    }
}

impl<'a> Content<'a> {
    /// Returns pieces as parts.
    pub(super) fn parts(pieces: Vec<Piece<'a>>) -> Self {
        Self::Parts(pieces.into_iter().flat_map(parts).collect())
    }

    /// Returns pieces as one text if all of them are plain texts, else as parts.
    pub(super) fn of(pieces: Vec<Piece<'a>>) -> Self {
        let plain = |piece: &Piece<'a>| match (&piece.body, piece.mark) {
            (PieceBody::Text(text), None) => Some(text.clone()),
            _ => None,
        };
        let texts: Option<Vec<Cow<'a, str>>> = pieces.iter().map(plain).collect();
        match texts {
            Some(mut texts) if texts.len() == 1 => Self::Text(texts.pop().unwrap_or_default()),
            Some(texts) => Self::Text(texts.join("\n").into()),
            None => Self::parts(pieces),
        }
    }
}

/// Returns the parts of a piece. A file with an address has no name there, so a text names it.
fn parts(piece: Piece<'_>) -> Vec<Part<'_>> {
    let mut before = None;
    let body = match piece.body {
        PieceBody::Text(text) => PartBody::InputText { text },
        PieceBody::Image(image_url) => PartBody::InputImage { image_url, detail: "auto" },
        PieceBody::File { name, data: url @ MediaUrl::Address(_) } => {
            if name != UNTITLED {
                let text = texts::document(Some(&name), None, "").trim_end().to_owned().into();
                before = Some(PartBody::InputText { text });
            }
            PartBody::InputFile { filename: None, file_data: None, file_url: Some(url) }
        }
        PieceBody::File { name, data } => {
            PartBody::InputFile { filename: Some(name), file_data: Some(data), file_url: None }
        }
    };
    let mark = piece.mark.and_then(|mark| match mark {
        Mark::Breakpoint => Some(json!({"mode": "explicit"})),
        Mark::Control(_) => None,
    });
    let before = before.map(|body| Part { body, prompt_cache_breakpoint: None });
    before.into_iter().chain([Part { body, prompt_cache_breakpoint: mark }]).collect()
}
