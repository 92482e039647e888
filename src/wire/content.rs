//! The only reader of messages and content blocks. It borrows from their text, and decodes a member
//! only when its caller needs it.
pub(crate) mod places;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members that the gateway reads: of a message, of a content block or of a block's `source`.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Member {
    Type,
    Role,
    Id,
    Name,
    ServerName,
    ToolUseId,
    Text,
    Input,
    Content,
    IsError,
    Source,
    MediaType,
    Data,
    Citations,
    CacheControl,
    #[serde(other)]
    Other,
}

const MEMBERS: usize = Member::Other as usize;

/// The texts of the members of one object. The last of several members with one name counts, as
/// in the API. Fails on anything but an object, so that a list is never read as one.
#[derive(Clone, Copy, Default)]
struct Members<'a>([Option<&'a RawValue>; MEMBERS]);

impl<'a> Members<'a> {
    fn raw(&self, member: Member) -> Option<&'a RawValue> {
        // `null` and an absent member are the same to the API
        self.0[member as usize].filter(|raw| raw.get() != "null")
    }

    fn string(&self, member: Member) -> Option<Cow<'a, str>> {
        self.raw(member).and_then(string)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(member) = map.next_key::<Member>()? {
            let text: &RawValue = map.next_value()?;
            if let Some(place) = members.0.get_mut(member as usize) {
                *place = Some(text);
            }
        }
        Ok(members)
    }
}

/// A message of a conversation.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a>(Members<'a>);

impl<'a> Message<'a> {
    /// Reads a message; `None` if the text is no object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        Self::read(raw.get().as_bytes())
    }

    /// Reads a message from bytes that need not be JSON.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// Returns `role`; `None` if it is no string.
    pub(crate) fn role(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::Role)
    }

    /// Returns `content`: a string or a list of blocks.
    pub(crate) fn content(&self) -> Option<&'a RawValue> {
        self.0.raw(Member::Content)
    }
}

/// A content block.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a>(Members<'a>);

impl<'a> Block<'a> {
    /// Reads a block; `None` if the text is no object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        Self::read(raw.get().as_bytes())
    }

    /// Reads a block from bytes that need not be JSON.
    pub(crate) fn read(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().map(Self)
    }

    /// Returns `type`; empty, and so no known type, if it is no string.
    pub(crate) fn kind(&self) -> Cow<'a, str> {
        self.0.string(Member::Type).unwrap_or_default()
    }

    /// Returns whether the block is of this type.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind() == kind
    }

    /// Returns `id` of a call.
    pub(crate) fn id(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::Id)
    }

    /// Returns `name` of the tool in a call.
    pub(crate) fn name(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::Name)
    }

    /// Returns `server_name` of a call to an MCP server's tool.
    pub(crate) fn server_name(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::ServerName)
    }

    /// Returns `tool_use_id`: the id of the call that a result belongs to.
    pub(crate) fn tool_use_id(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::ToolUseId)
    }

    /// Returns `text` of a text block.
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::Text)
    }

    /// Returns `input` of a call.
    pub(crate) fn input(&self) -> Option<&'a RawValue> {
        self.0.raw(Member::Input)
    }

    /// Returns `content` of a result, of a search result or of a fetched page.
    pub(crate) fn content(&self) -> Option<&'a RawValue> {
        self.0.raw(Member::Content)
    }

    /// Returns `is_error` of a result.
    pub(crate) fn is_error(&self) -> Option<&'a RawValue> {
        self.0.raw(Member::IsError)
    }

    /// Returns `source` if it is a string: the address of a search result.
    pub(crate) fn source_address(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::Source)
    }

    /// Returns `source` if it is an object: the source of an image or a document.
    pub(crate) fn source(&self) -> Option<Source<'a>> {
        let source = self.0.raw(Member::Source)?;
        serde_json::from_str(source.get()).ok().map(Source)
    }

    /// Returns whether a text block has citations. Anything but an empty list counts.
    pub(crate) fn cites(&self) -> bool {
        let citations = self.0.raw(Member::Citations);
        citations.is_some_and(|list| serde_json::from_str::<[IgnoredAny; 0]>(list.get()).is_err())
    }

    /// Returns whether `citations` enables citations of the block.
    pub(crate) fn is_cited(&self) -> bool {
        #[derive(Deserialize)]
        struct Switch {
            #[serde(default)]
            enabled: bool,
        }
        let switch = self.0.raw(Member::Citations);
        let switch = switch.and_then(|raw| serde_json::from_str::<Switch>(raw.get()).ok());
        switch.is_some_and(|switch| switch.enabled)
    }

    /// Returns `cache_control`.
    pub(crate) fn cache_control(&self) -> Option<&'a RawValue> {
        self.0.raw(Member::CacheControl)
    }
}

/// The source of an image or a document.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a>(Members<'a>);

impl<'a> Source<'a> {
    /// Returns `media_type`.
    pub(crate) fn media_type(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::MediaType)
    }

    /// Returns `data`: a text, or a file in Base64.
    pub(crate) fn data(&self) -> Option<Cow<'a, str>> {
        self.0.string(Member::Data)
    }
}

/// Returns the elements of a list, each as its text. Returns none for anything else: the content of a
/// message may be a bare string.
pub(crate) fn listed(list: &RawValue) -> Vec<&RawValue> {
    elements(list.get().as_bytes())
}

/// Returns the elements of a list in bytes that need not be JSON.
pub(crate) fn elements(list: &[u8]) -> Vec<&RawValue> {
    serde_json::from_slice(list).unwrap_or_default()
}

/// Returns the string of a JSON text; borrowed if it has no escapes.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw.get()).ok().map(Cow::Owned),
    }
}
