//! `Prompt`: the parts of a prompt as hashes, in the order in which an upstream caches them: tools, system, messages.
//!
//! A part is a tool or a content block. `cache_control` is no part of it: clients move their breakpoints from request to
//! request. A text without a block is the same as a block with this text.
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use bytes::Bytes;
use foldhash::quality::RandomState;
use memchr::memmem::Finder;

use crate::wire::Document;
use crate::wire::skim::Skim;

const CACHE_CONTROL: &[u8] = b"\"cache_control\"";
static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(CACHE_CONTROL));
/// The seed of this process: hashes are compared within it only.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The fields of a request that a cache depends on, as their texts.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    tools: Option<Bytes>,
    system: Option<Bytes>,
    messages: Option<Bytes>,
    /// The breakpoint of the whole prompt.
    cache_control: Option<Bytes>,
}

/// A place in a prompt, in the order of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `model`: each model has a cache of its own.
    Model,
    /// `tools`
    Tools,
    /// `system`
    System,
    /// An entry of `messages`.
    Message(u32),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Model => f.write_str("model"),
            Self::Tools => f.write_str("tools"),
            Self::System => f.write_str("system"),
            Self::Message(n) => write!(f, "messages.{n}"),
        }
    }
}

/// A prompt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    parts: Vec<u64>,
    /// The numbers of parts up to the end of each place: tools, system, and each message.
    ends: Vec<u32>,
    /// The number of parts up to the last breakpoint.
    cached: usize,
    /// The number of parts up to the last breakpoint whose cache lives for an hour.
    hours: usize,
}

/// Returns whether a request may have a breakpoint. A text in it may hold the name as well.
pub(crate) fn may_be_cached(request: &[u8]) -> bool {
    FINDER.find(request).is_some()
}

impl Fields {
    /// Returns the fields of a request. Unedited ones share its bytes.
    pub(crate) fn of(document: &Document) -> Self {
        Self {
            tools: document.field("tools"),
            system: document.field("system"),
            messages: document.field("messages"),
            cache_control: document.field("cache_control"),
        }
    }

    /// Returns whether there may be a breakpoint.
    pub(crate) fn may_be_cached(&self) -> bool {
        let texts = [&self.tools, &self.system, &self.messages];
        self.cache_control.is_some() || texts.into_iter().flatten().any(|text| may_be_cached(text))
    }

    /// Returns whether these are the same bytes in memory, so that the same prompt comes from them.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let all = |it: &Self| {
            let texts = [&it.tools, &it.system, &it.messages, &it.cache_control];
            texts.map(|text| text.as_ref().map(|text| (text.as_ptr(), text.len())))
        };
        all(self) == all(other)
    }
}

impl Prompt {
    /// Reads a prompt. Fields of another shape than the API's have no parts.
    pub(crate) fn read(fields: &Fields) -> Self {
        let mut reader = Reader::default();
        let parts = [&fields.tools, &fields.system];
        for text in parts {
            if let Some(text) = text {
                // the text is known to be valid JSON
                let _ = reader.blocks(&mut Skim::new(text));
            }
            reader.end();
        }
        if let Some(messages) = &fields.messages {
            let _ = reader.messages(&mut Skim::new(messages));
        }
        if let Some(breakpoint) = fields.cache_control.as_ref().and_then(|text| Life::of(text)) {
            reader.breakpoint(breakpoint);
        }
        reader.prompt
    }

    /// Returns whether the request has a breakpoint.
    pub(crate) fn is_cached(&self) -> bool {
        self.cached > 0
    }

    /// Returns the number of parts up to the last breakpoint.
    pub(crate) fn cached(&self) -> usize {
        self.cached
    }

    /// Returns the number of parts up to the last breakpoint whose cache lives for an hour.
    pub(crate) fn hours(&self) -> usize {
        self.hours
    }

    /// Returns the number of parts from the start that two prompts have in common.
    pub(crate) fn common(&self, other: &Self) -> usize {
        self.parts.iter().zip(&other.parts).take_while(|(a, b)| a == b).count()
    }

    /// Returns the first part in which one of two prompts differs from the other; `None` if the shorter one is the
    /// start of the longer one.
    pub(crate) fn difference(&self, other: &Self) -> Option<usize> {
        let common = self.common(other);
        (common < self.parts.len().min(other.parts.len())).then_some(common)
    }

    /// Returns whether two prompts may belong to one conversation: their tools, systems or first messages are the same.
    /// Of two prompts without tools and systems this is always so.
    pub(crate) fn is_akin(&self, other: &Self) -> bool {
        let is_same = |place| !self.at(place).is_empty() && self.agrees(other, place);
        let has_none = |prompt: &Self| prompt.ends.get(1).is_none_or(|end| *end == 0);
        let places = [Place::Tools, Place::System, Place::Message(0)];
        places.into_iter().any(is_same) || has_none(self) && has_none(other)
    }

    /// Returns whether a place is the same in two prompts.
    pub(crate) fn agrees(&self, other: &Self, place: Place) -> bool {
        self.at(place) == other.at(place)
    }

    /// Returns the place of a part.
    pub(crate) fn place_of(&self, part: usize) -> Place {
        match self.ends.partition_point(|end| *end as usize <= part) {
            0 => Place::Tools,
            1 => Place::System,
            n => Place::Message(n as u32 - 2),
        }
    }

    /// Returns the memory that it occupies.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + self.parts.capacity() * size_of::<u64>()
            + self.ends.capacity() * size_of::<u32>()
    }

    /// Returns the parts of a place.
    fn at(&self, place: Place) -> &[u64] {
        let place = match place {
            Place::Model => return &[],
            Place::Tools => 0,
            Place::System => 1,
            Place::Message(n) => n as usize + 2,
        };
        let end = |n: usize| self.ends.get(n).map_or(self.parts.len(), |end| *end as usize);
        &self.parts[place.checked_sub(1).map_or(0, end)..end(place)]
    }
}

/// The life of a cache after its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Minutes,
    Hour,
}

impl Life {
    /// Reads a value of `cache_control`; `None` for `null`.
    fn of(text: &[u8]) -> Option<Self> {
        match text.first()? {
            b'{' if memchr::memmem::find(text, b"\"1h\"").is_some() => Some(Self::Hour),
            b'{' => Some(Self::Minutes),
            _ => None,
        }
    }
}

/// The hash of a part, and its breakpoint.
#[derive(Default)]
struct Block {
    hash: Mix,
    breakpoint: Option<Life>,
}

/// A hash of several texts.
struct Mix(<RandomState as BuildHasher>::Hasher);

impl Default for Mix {
    fn default() -> Self {
        Self(HASHES.build_hasher())
    }
}

impl Mix {
    fn member(&mut self, key: &[u8], value: &[u8]) {
        self.0.write(key);
        self.0.write(value);
    }

    fn number(&mut self, number: u64) {
        self.0.write_u64(number);
    }

    fn hash(&self) -> u64 {
        self.0.finish()
    }
}

/// Reads a prompt from start to end.
#[derive(Default)]
struct Reader {
    prompt: Prompt,
}

impl Reader {
    fn messages(&mut self, skim: &mut Skim<'_>) -> Option<()> {
        if skim.ahead()? != b'[' {
            return None;
        }
        for_each(skim, |skim| {
            let before = self.prompt.parts.len();
            let read = self.message(skim);
            if self.prompt.parts.len() == before {
                self.prompt.parts.push(Mix::default().hash());
            }
            self.end();
            read
        })
    }

    fn message(&mut self, skim: &mut Skim<'_>) -> Option<()> {
        if skim.ahead()? != b'{' {
            return skim.taken().map(|_| ());
        }
        let start = self.prompt.parts.len();
        let mut head = Mix::default();
        for_each(skim, |skim| {
            let key = skim.taken()?;
            skim.step()?;
            match key {
                b"\"content\"" => self.blocks(skim)?,
                _ => head.member(key, skim.taken()?),
            }
            Some(())
        })?;
        let head = head.hash();
        for part in &mut self.prompt.parts[start..] {
            *part ^= head.rotate_left(1);
        }
        Some(())
    }

    /// Reads a text or a list of blocks: each one is a part.
    fn blocks(&mut self, skim: &mut Skim<'_>) -> Option<()> {
        if skim.ahead()? != b'[' {
            let text = skim.taken()?;
            if text.first() == Some(&b'"') {
                self.prompt.parts.push(text_block(text).hash());
            }
            return Some(());
        }
        for_each(skim, |skim| {
            let Block { hash, breakpoint } = block(skim)?;
            self.prompt.parts.push(hash.hash());
            if let Some(life) = breakpoint {
                self.breakpoint(life);
            }
            Some(())
        })
    }

    fn breakpoint(&mut self, life: Life) {
        let parts = self.prompt.parts.len();
        self.prompt.cached = parts;
        if life == Life::Hour {
            self.prompt.hours = parts;
        }
    }

    fn end(&mut self) {
        self.prompt.ends.push(self.prompt.parts.len() as u32);
    }
}

/// Calls `read` for each member or element of the object or list that begins here, and moves past it.
fn for_each<'a>(
    skim: &mut Skim<'a>,
    mut read: impl FnMut(&mut Skim<'a>) -> Option<()>,
) -> Option<()> {
    skim.step()?;
    if let b']' | b'}' = skim.ahead()? {
        return skim.step().map(|_| ());
    }
    loop {
        read(skim)?;
        if skim.step()? != b',' {
            return Some(());
        }
    }
}

/// Reads a block. Blocks in its `content` and in its `source` may have breakpoints of their own.
fn block(skim: &mut Skim<'_>) -> Option<Block> {
    let mut block = Block::default();
    if skim.ahead()? != b'{' {
        block.hash.member(b"", skim.taken()?);
        return Some(block);
    }
    for_each(skim, |skim| {
        let key = skim.taken()?;
        skim.step()?;
        match (key, skim.ahead()?) {
            (CACHE_CONTROL, _) => block.breakpoint = block.breakpoint.max(Life::of(skim.taken()?)),
            (b"\"content\"", b'[' | b'"') => content(&mut block, skim)?,
            (b"\"source\"", b'{') => {
                let source = self::block(skim)?;
                block.hash.member(key, b"");
                block.hash.number(source.hash.hash());
                block.breakpoint = block.breakpoint.max(source.breakpoint);
            }
            _ => block.hash.member(key, skim.taken()?),
        }
        Some(())
    })?;
    Some(block)
}

/// Adds the `content` of a block to its hash.
fn content(outer: &mut Block, skim: &mut Skim<'_>) -> Option<()> {
    outer.hash.member(b"\"content\"", b"");
    if skim.ahead()? == b'"' {
        outer.hash.number(text_block(skim.taken()?).hash());
        return Some(());
    }
    for_each(skim, |skim| {
        let inner = block(skim)?;
        outer.hash.number(inner.hash.hash());
        outer.breakpoint = outer.breakpoint.max(inner.breakpoint);
        Some(())
    })
}

/// Returns the hash of a text as if it were a block.
fn text_block(text: &[u8]) -> Mix {
    let mut hash = Mix::default();
    hash.member(b"\"type\"", b"\"text\"");
    hash.member(b"\"text\"", text);
    hash
}

#[cfg(test)]
mod tests;
