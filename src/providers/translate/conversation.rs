//! `Conversation`: a Messages request as the encoders of other dialects read it. Texts borrow from the body,
//! and inputs and schemas stay JSON text, so that numbers and the order of keys are the client's.
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::providers::dropped::Dropped;

/// A request.
#[derive(Debug, Deserialize)]
pub(crate) struct Conversation<'a> {
    #[serde(borrow)]
    pub(crate) model: Cow<'a, str>,
    pub(crate) max_tokens: Option<f64>,
    #[serde(borrow, default)]
    pub(crate) system: Content<'a>,
    #[serde(borrow, default)]
    pub(crate) messages: Vec<Message<'a>>,
    #[serde(borrow)]
    pub(crate) tools: Option<Vec<Tool<'a>>>,
    #[serde(borrow)]
    pub(crate) tool_choice: Option<ToolChoice<'a>>,
    #[serde(borrow)]
    pub(crate) thinking: Option<Thinking<'a>>,
    #[serde(borrow)]
    pub(crate) output_config: Option<OutputConfig<'a>>,
    /// An older form of `output_config.format`.
    #[serde(borrow)]
    pub(crate) output_format: Option<Format<'a>>,
    #[serde(borrow)]
    pub(crate) metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    pub(crate) stop_sequences: Option<Vec<Cow<'a, str>>>,
    pub(crate) stream: Option<bool>,
    #[serde(borrow)]
    pub(crate) temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) top_k: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) service_tier: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) context_management: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) container: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) mcp_servers: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) speed: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) inference_geo: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) thread: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) fallbacks: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) safeguards: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) compaction: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) tags: Option<&'a RawValue>,
}

/// A message.
#[derive(Debug, Deserialize)]
pub(crate) struct Message<'a> {
    pub(crate) role: Role,
    #[serde(borrow, default)]
    pub(crate) content: Content<'a>,
}

/// The role of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Assistant,
    System,
}

/// The blocks of a content; a bare string is one text block.
#[derive(Debug, Default)]
pub(crate) struct Content<'a>(pub(crate) Vec<Block<'a>>);

/// A content block.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) body: BlockBody<'a>,
    pub(crate) cache_control: Option<&'a RawValue>,
    /// Whether a text has citations, or a document asks for them.
    pub(crate) has_citations: bool,
}

/// The kinds of blocks.
#[derive(Debug)]
pub(crate) enum BlockBody<'a> {
    Text(Cow<'a, str>),
    Image(Source<'a>),
    Document {
        source: Source<'a>,
        title: Option<Cow<'a, str>>,
        context: Option<Cow<'a, str>>,
    },
    SearchResult {
        title: Cow<'a, str>,
        source: Cow<'a, str>,
        content: Content<'a>,
    },
    Thinking {
        text: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    RedactedThinking,
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: &'a RawValue,
    },
    ToolResult {
        id: Cow<'a, str>,
        content: Content<'a>,
        is_error: bool,
    },
    /// A call of a tool that the API or the gateway ran.
    ServerToolUse {
        name: Cow<'a, str>,
        input: &'a RawValue,
    },
    /// The result of such a call, with its content as JSON.
    ServerToolResult {
        content: &'a RawValue,
    },
    Other(Cow<'a, str>),
}

/// The source of an image or a document.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    Base64 { media_type: Cow<'a, str>, data: Cow<'a, str> },
    Url(Cow<'a, str>),
    Text(Cow<'a, str>),
    Content(Content<'a>),
    File,
    Other,
}

/// A declaration of a tool.
#[derive(Debug, Deserialize)]
pub(crate) struct Tool<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) input_schema: Option<&'a RawValue>,
    pub(crate) strict: Option<bool>,
    #[serde(borrow)]
    pub(crate) cache_control: Option<&'a RawValue>,
    pub(crate) display_width_px: Option<u32>,
    pub(crate) display_height_px: Option<u32>,
    #[serde(borrow)]
    pub(crate) allowed_domains: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow)]
    pub(crate) blocked_domains: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) max_uses: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) user_location: Option<&'a RawValue>,
}

/// `tool_choice`.
#[derive(Debug, Deserialize)]
pub(crate) struct ToolChoice<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) name: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) disable_parallel_tool_use: Option<bool>,
}

/// `thinking`.
#[derive(Debug, Deserialize)]
pub(crate) struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    pub(crate) budget_tokens: Option<u64>,
    #[serde(borrow)]
    pub(crate) display: Option<Cow<'a, str>>,
}

/// `output_config`.
#[derive(Debug, Deserialize)]
pub(crate) struct OutputConfig<'a> {
    #[serde(borrow)]
    pub(crate) effort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) format: Option<Format<'a>>,
}

/// `output_config.format`.
#[derive(Debug, Deserialize)]
pub(crate) struct Format<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) schema: Option<&'a RawValue>,
}

/// `metadata`.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata<'a> {
    #[serde(borrow)]
    pub(crate) user_id: Option<Cow<'a, str>>,
}

impl<'a> Conversation<'a> {
    /// Reads the body of a request. Fails with a 400 that names the place.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(body).map_err(|first| {
            // a second reading with the path: only failures pay for it
            let mut reader = serde_json::Deserializer::from_slice(body);
            let placed = serde_path_to_error::deserialize::<_, Conversation<'_>>(&mut reader);
            let path = placed.err().map(|error| error.path().to_string()).unwrap_or_default();
            let said = first.to_string();
            let said = said.rsplit_once(" at line ").map_or(&*said, |(said, _)| said);
            Error::invalid(format!("`{path}` cannot be translated for this upstream: {said}"))
        })
    }

    /// Returns the format of the output, in either form.
    pub(crate) fn format(&self) -> Option<&Format<'a>> {
        let newer = self.output_config.as_ref().and_then(|config| config.format.as_ref());
        newer.or(self.output_format.as_ref())
    }

    /// Returns the effort.
    pub(crate) fn effort(&self) -> Option<&str> {
        self.output_config.as_ref()?.effort.as_deref()
    }

    /// Returns the fields that no other dialect has a counterpart for.
    pub(crate) fn without_counterpart(&self) -> Vec<Dropped> {
        let fields = [
            ("container", self.container),
            ("mcp_servers", self.mcp_servers),
            ("speed", self.speed),
            ("context_management", self.context_management),
            ("thread", self.thread),
            ("inference_geo", self.inference_geo),
            ("fallbacks", self.fallbacks),
            ("safeguards", self.safeguards),
            ("compaction", self.compaction),
            ("tags", self.tags),
        ];
        let is_used = |raw: &&RawValue| !matches!(raw.get(), "null" | "[]");
        let used = fields.into_iter().filter(|(_, raw)| raw.filter(is_used).is_some());
        let reason = "no other API has such a field";
        let mut dropped: Vec<Dropped> =
            used.map(|(name, _)| Dropped::content(name, format!("/{name}"), reason)).collect();
        if self.cache_control.filter(is_used).is_some() {
            dropped.push(Dropped::hint("cache_control", "/cache_control", reason));
        }
        dropped
    }

    /// Returns the limit of output tokens.
    pub(crate) fn max_tokens(&self) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked when the body was parsed: a whole number of at least 0"
        )]
        self.max_tokens.map(|max| max as u64)
    }

    /// Returns whether the client receives the text of the reasoning.
    pub(crate) fn shows_thinking(&self) -> bool {
        let display = self.thinking.as_ref().and_then(|thinking| thinking.display.as_deref());
        display != Some("omitted")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentReader)
    }
}

struct ContentReader;

impl<'de> Visitor<'de> for ContentReader {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of content blocks")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content(vec![Block::text(Cow::Borrowed(text))]))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content(vec![Block::text(Cow::Owned(text.to_owned()))]))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut blocks = Vec::new();
        while let Some(block) = list.next_element::<Block<'de>>()? {
            blocks.push(block);
        }
        Ok(Content(blocks))
    }
}

impl<'a> Block<'a> {
    fn text(text: Cow<'a, str>) -> Self {
        Self { body: BlockBody::Text(text), cache_control: None, has_citations: false }
    }
}

/// A string that borrows from the body if it has no escapes; an `Option` of a bare `Cow` would not.
#[derive(Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text(text: Option<Text<'_>>) -> Option<Cow<'_, str>> {
    text.map(|text| text.0)
}

/// All members of all blocks.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thinking: Option<Text<'a>>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    is_error: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    context: Option<Text<'a>>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Block<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer)?.block().map_err(D::Error::custom)
    }
}

impl<'a> Members<'a> {
    fn block(self) -> Result<Block<'a>, serde_json::Error> {
        let has_citations = self.citations.is_some_and(|list| {
            !matches!(list.get(), "[]") && !list.get().contains("\"enabled\":false")
        });
        let cache_control = self.cache_control;
        Ok(Block { body: self.body()?, cache_control, has_citations })
    }

    fn body(self) -> Result<BlockBody<'a>, serde_json::Error> {
        Ok(match &*self.kind {
            "text" => BlockBody::Text(text(self.text).unwrap_or_default()),
            "image" => BlockBody::Image(source(self.source)?),
            "document" => BlockBody::Document {
                source: source(self.source)?,
                title: text(self.title),
                context: text(self.context),
            },
            "search_result" => BlockBody::SearchResult {
                title: text(self.title).unwrap_or_default(),
                source: self.source.map_or(Ok(Cow::Borrowed("")), string)?,
                content: content(self.content)?,
            },
            "thinking" => BlockBody::Thinking {
                text: text(self.thinking).unwrap_or_default(),
                signature: text(self.signature).unwrap_or_default(),
            },
            "redacted_thinking" => BlockBody::RedactedThinking,
            "tool_use" => BlockBody::ToolUse {
                id: text(self.id).unwrap_or_default(),
                name: text(self.name).unwrap_or_default(),
                input: self.input.unwrap_or(RawValue::NULL),
            },
            "tool_result" => BlockBody::ToolResult {
                id: text(self.tool_use_id).unwrap_or_default(),
                content: content(self.content)?,
                is_error: self.is_error.is_some_and(|raw| raw.get() == "true"),
            },
            "server_tool_use" | "mcp_tool_use" => BlockBody::ServerToolUse {
                name: text(self.name).unwrap_or_default(),
                input: self.input.unwrap_or(RawValue::NULL),
            },
            kind if kind.ends_with("_tool_result") => {
                BlockBody::ServerToolResult { content: self.content.unwrap_or(RawValue::NULL) }
            }
            _ => BlockBody::Other(self.kind),
        })
    }
}

fn content(raw: Option<&RawValue>) -> Result<Content<'_>, serde_json::Error> {
    raw.map_or(Ok(Content::default()), |raw| serde_json::from_str(raw.get()))
}

fn string(raw: &RawValue) -> Result<Cow<'_, str>, serde_json::Error> {
    serde_json::from_str::<Text<'_>>(raw.get()).map(|text| text.0)
}

fn source(raw: Option<&RawValue>) -> Result<Source<'_>, serde_json::Error> {
    #[derive(Deserialize, Default)]
    struct Members<'a> {
        #[serde(borrow, rename = "type", default)]
        kind: Cow<'a, str>,
        #[serde(borrow, default)]
        media_type: Cow<'a, str>,
        #[serde(borrow, default)]
        data: Cow<'a, str>,
        #[serde(borrow, default)]
        url: Cow<'a, str>,
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    let members: Members<'_> =
        raw.map_or(Ok(Members::default()), |raw| serde_json::from_str(raw.get()))?;
    Ok(match &*members.kind {
        "base64" => Source::Base64 { media_type: members.media_type, data: members.data },
        "url" => Source::Url(members.url),
        "text" => Source::Text(members.data),
        "content" => Source::Content(content(members.content)?),
        "file" => Source::File,
        _ => Source::Other,
    })
}

/// Returns the JSON of a call's input: an object in any case.
pub(crate) fn input_json(input: &RawValue) -> &str {
    match input.get() {
        "null" | "" | "\"\"" => "{}",
        json => json,
    }
}
