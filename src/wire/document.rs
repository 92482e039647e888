//! `Document`: a JSON object over the caller's bytes, opened level by level, edited span by span.
//!
//! There is no tree of the whole text, and no number is re-encoded. Unedited bytes are not moved.
//! Every level that a stage opens is checked for duplicate keys. So a policy and the upstream cannot
//! read different values for one key.
pub(crate) mod texts;

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::path::PathText;
pub(crate) use crate::wire::path::{Kind, Step};
use crate::wire::pieces::{Pieces, Writer};
use crate::wire::scan::{self, Entry, Span};
use crate::wire::skim;

/// A JSON object, lazily indexed. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Document {
    root: Level,
    edits: u64,
}

/// Identifies a state of a document. Comparing two marks does not read the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    text: usize,
    edits: u64,
}

#[derive(Debug, Clone)]
struct Level {
    /// The text that the spans of the members point into.
    text: Bytes,
    is_object: bool,
    members: Vec<Member>,
    is_edited: bool,
}

#[derive(Debug, Clone)]
struct Member {
    /// The position in the text; `None` for an added member.
    entry: Option<Entry>,
    /// The key, if it was added or is written with escapes; otherwise the text holds it.
    key: Option<Box<str>>,
    node: Node,
}

#[derive(Debug, Clone)]
enum Node {
    /// The span in the level's text.
    Raw(Span),
    /// A level that a read or an edit below it has opened.
    Open(Box<Level>),
    /// JSON text that replaces the value.
    New(Bytes),
}

impl Document {
    /// Validates the whole text in one scan and indexes the top level only.
    ///
    /// Fails with a 400 that names the place if the text is no JSON object, is nested too deeply,
    /// or has a duplicate key at the top level.
    pub fn parse(raw: Bytes) -> Result<Self> {
        let entries = scan::object(&raw)?;
        Ok(Self { root: Level::new(raw, true, entries)?, edits: 0 })
    }

    /// Returns the JSON text at a path, with edits; `None` if the path does not exist.
    ///
    /// Fails with a 400 if an object on the path has duplicate keys.
    pub fn get(&mut self, path: &[Step<'_>]) -> Result<Option<Bytes>> {
        let Some((last, way)) = path.split_last() else { return Ok(Some(self.to_bytes())) };
        let Some(level) = self.root.descend(way)? else { return Ok(None) };
        let Some(at) = level.find(*last) else { return Ok(None) };
        Ok(Some(level.text_of(at)))
    }

    /// Returns the kind of the value at a path, with the JSON text of a scalar.
    ///
    /// Fails as [`Document::get`] does.
    pub fn look(&mut self, path: &[Step<'_>]) -> Result<Option<(Kind, Option<Bytes>)>> {
        let Some((last, way)) = path.split_last() else { return Ok(Some((Kind::Object, None))) };
        let Some(level) = self.root.descend(way)? else { return Ok(None) };
        let Some(at) = level.find(*last) else { return Ok(None) };
        Ok(Some(match level.kind_of(at) {
            kind @ (Kind::Object | Kind::Array) => (kind, None),
            kind => (kind, Some(level.text_of(at))),
        }))
    }

    /// Returns the JSON text of a top-level field: a clone of the caller's bytes unless it was edited.
    pub fn field(&self, name: &str) -> Option<Bytes> {
        let at = self.root.find(Step::Key(name))?;
        Some(self.root.text_of(at))
    }

    /// Does the same as [`Document::field`] without a clone. Copies only an edited value.
    pub(super) fn field_text(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let at = self.root.find(Step::Key(name))?;
        Some(match &self.root.members[at].node {
            Node::Raw(span) => Cow::Borrowed(span.of(&self.root.text)),
            Node::New(json) => Cow::Borrowed(json),
            Node::Open(level) => Cow::Owned(level.to_bytes().into()),
        })
    }

    /// Returns the kind of a top-level field.
    pub(super) fn field_kind(&self, name: &str) -> Option<Kind> {
        self.root.find(Step::Key(name)).map(|at| self.root.kind_of(at))
    }

    /// Returns whether a top-level field exists, even as `null`.
    pub fn has(&self, name: &str) -> bool {
        self.root.find(Step::Key(name)).is_some()
    }

    /// Returns the names of the top-level fields, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.root.members.iter().map(|member| self.root.key_of(member))
    }

    /// Returns the kind of the value at a path without opening the value.
    pub fn kind(&mut self, path: &[Step<'_>]) -> Result<Option<Kind>> {
        let Some((last, way)) = path.split_last() else { return Ok(Some(Kind::Object)) };
        let Some(level) = self.root.descend(way)? else { return Ok(None) };
        Ok(level.find(*last).map(|at| level.kind_of(at)))
    }

    /// Returns the number of members or elements at a path; `None` if it is no object or array.
    pub fn len(&mut self, path: &[Step<'_>]) -> Result<Option<usize>> {
        Ok(self.root.descend(path)?.map(|level| level.members.len()))
    }

    /// Returns the keys of the object at a path, in order; `None` if it is no object.
    pub fn keys(&mut self, path: &[Step<'_>]) -> Result<Option<Vec<String>>> {
        let Some(level) = self.root.descend(path)? else { return Ok(None) };
        if !level.is_object {
            return Ok(None);
        }
        Ok(Some(level.members.iter().map(|member| level.key_of(member).to_string()).collect()))
    }

    /// Puts JSON text at a path. Replaces the existing value, or adds a member to an object. An index
    /// one past the end adds an element to an array.
    ///
    /// `json` must be one well-formed value. Fails (`api_error`) if it is not, or if the path leads
    /// through a missing or scalar value.
    pub fn set(&mut self, path: &[Step<'_>], json: impl Into<Bytes>) -> Result<()> {
        let json = json.into();
        let json = json.slice_ref(json.trim_ascii());
        scan::value(&json)
            .map_err(|e| misuse(format!("cannot set {}: {}", PathText(path), e.message)))?;
        self.put(path, json)
    }

    /// Serializes a value and puts it at a path.
    pub fn set_value(&mut self, path: &[Step<'_>], value: &impl serde::Serialize) -> Result<()> {
        let json = serde_json::to_vec(value)
            .map_err(|e| misuse(format!("cannot set {}: {e}", PathText(path))))?;
        self.put(path, json.into())
    }

    fn put(&mut self, path: &[Step<'_>], json: Bytes) -> Result<()> {
        let Some((last, way)) = path.split_last() else {
            return Err(misuse("the whole document cannot be set, only what is in it".to_owned()));
        };
        self.check(way, path)?;
        let level = self.edit(way)?;
        match (level.find(*last), *last) {
            (Some(at), _) => level.members[at].node = Node::New(json),
            (None, Step::Key(key)) if level.is_object => {
                level.members.push(Member {
                    entry: None,
                    key: Some(key.into()),
                    node: Node::New(json),
                });
            }
            (None, Step::Index(at)) if !level.is_object && at == level.members.len() as i64 => {
                level.members.push(Member { entry: None, key: None, node: Node::New(json) });
            }
            (None, _) => return Err(misuse(format!("nothing can be set at {}", PathText(path)))),
        }
        Ok(())
    }

    /// Inserts an element before the one at `path`; the last step of `path` is an index.
    pub fn insert(&mut self, path: &[Step<'_>], json: impl Into<Bytes>) -> Result<()> {
        let json = json.into();
        scan::value(&json)
            .map_err(|e| misuse(format!("cannot insert at {}: {}", PathText(path), e.message)))?;
        let Some((Step::Index(index), way)) = path.split_last() else {
            return Err(misuse(format!("{} does not name an element", PathText(path))));
        };
        self.check(way, path)?;
        let level = self.edit(way)?;
        let count = level.members.len() as i64;
        let at = if *index < 0 { index + count } else { *index };
        if level.is_object || !(0..=count).contains(&at) {
            return Err(misuse(format!("nothing can be inserted at {}", PathText(path))));
        }
        level.members.insert(at as usize, Member { entry: None, key: None, node: Node::New(json) });
        Ok(())
    }

    /// Appends an element to the array at a path.
    pub fn push(&mut self, path: &[Step<'_>], json: impl Into<Bytes>) -> Result<()> {
        let end = self.len(path)?.unwrap_or_default() as i64;
        let mut path = path.to_vec();
        path.push(Step::Index(end));
        self.set(&path, json)
    }

    /// Removes the value at a path. Returns `false` if the path does not exist.
    pub fn remove(&mut self, path: &[Step<'_>]) -> Result<bool> {
        let Some((last, way)) = path.split_last() else { return Ok(false) };
        let Some(level) = self.root.descend(way)? else { return Ok(false) };
        let Some(at) = level.find(*last) else { return Ok(false) };
        let level = self.edit(way)?;
        level.members.remove(at);
        Ok(true)
    }

    /// Returns the mark of the current state. A different mark means an edit in between.
    pub fn mark(&self) -> Mark {
        Mark { text: self.root.text.as_ptr().addr(), edits: self.edits }
    }

    fn edit(&mut self, way: &[Step<'_>]) -> Result<&mut Level> {
        self.edits += 1;
        self.root.descend_to_edit(way)
    }

    /// Returns the number of bytes that the document was parsed from.
    pub(crate) fn size(&self) -> usize {
        self.root.text.len()
    }

    /// Returns whether the document was edited.
    pub fn is_edited(&self) -> bool {
        self.root.is_edited
    }

    /// Returns the text. An unedited document returns the bytes that it was parsed from.
    pub fn to_bytes(&self) -> Bytes {
        self.root.to_bytes()
    }

    /// Returns the text without copying long unedited runs.
    pub fn to_pieces(&self) -> Pieces {
        self.root.to_pieces()
    }

    /// Checks that the path exists before an edit marks its levels.
    fn check(&mut self, way: &[Step<'_>], path: &[Step<'_>]) -> Result<()> {
        match self.root.descend(way)? {
            Some(_) => Ok(()),
            None => Err(misuse(format!(
                "nothing can be set at {}: its parent is missing or no object or array",
                PathText(path)
            ))),
        }
    }
}

impl Level {
    fn new(text: Bytes, is_object: bool, entries: Vec<Entry>) -> Result<Self> {
        let mut members = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = if is_object { escaped_key(entry.key.of(&text))? } else { None };
            members.push(Member { entry: Some(entry), key, node: Node::Raw(entry.value) });
        }
        let level = Self { text, is_object, members, is_edited: false };
        level.refuse_duplicates()?;
        Ok(level)
    }

    /// Indexes text that is known to be valid; returns `None` for a scalar.
    fn open(text: Bytes) -> Result<Option<Self>> {
        let is_object = match Kind::of(text.trim_ascii_start()) {
            Kind::Object => true,
            Kind::Array => false,
            _ => return Ok(None),
        };
        let entries = skim::level(&text)?;
        Self::new(text, is_object, entries).map(Some)
    }

    fn refuse_duplicates(&self) -> Result<()> {
        const FEW: usize = 16;
        if !self.is_object {
            return Ok(());
        }
        let keys = || self.members.iter().map(|member| self.key_bytes(member));
        let found = if self.members.len() <= FEW {
            keys().enumerate().find(|(n, key)| keys().take(*n).any(|other| other == *key))
        } else {
            let mut seen = HashSet::with_capacity(self.members.len());
            keys().enumerate().find(|(_, key)| !seen.insert(*key))
        };
        match found {
            None => Ok(()),
            Some((_, key)) => Err(Error::invalid(format!(
                "`{}` occurs twice in the same object: remove one of them",
                shorten(&String::from_utf8_lossy(key))
            ))),
        }
    }

    fn key_of<'a>(&'a self, member: &'a Member) -> &'a str {
        std::str::from_utf8(self.key_bytes(member)).unwrap_or_default()
    }

    /// Returns the key unescaped, without quotes. Keys are compared as bytes: all text is known to be UTF-8.
    fn key_bytes<'a>(&'a self, member: &'a Member) -> &'a [u8] {
        match (&member.key, &member.entry) {
            (Some(key), _) => key.as_bytes(),
            (None, Some(entry)) => {
                let quoted = entry.key.of(&self.text);
                quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default()
            }
            (None, None) => b"",
        }
    }

    fn find(&self, step: Step<'_>) -> Option<usize> {
        match step {
            Step::Key(key) if self.is_object => {
                self.members.iter().position(|member| self.key_bytes(member) == key.as_bytes())
            }
            Step::Index(index) if !self.is_object => {
                let count = self.members.len() as i64;
                let at = if index < 0 { index + count } else { index };
                (0..count).contains(&at).then_some(at as usize)
            }
            _ => None,
        }
    }

    fn kind_of(&self, at: usize) -> Kind {
        match &self.members[at].node {
            Node::Raw(span) => Kind::of(span.of(&self.text)),
            Node::Open(level) if level.is_object => Kind::Object,
            Node::Open(_) => Kind::Array,
            Node::New(json) => Kind::of(json.trim_ascii_start()),
        }
    }

    fn text_of(&self, at: usize) -> Bytes {
        match &self.members[at].node {
            Node::Raw(span) => self.text.slice(span.start as usize..span.end as usize),
            Node::Open(level) => level.to_bytes(),
            Node::New(json) => json.clone(),
        }
    }

    /// Opens the levels on the path; returns `None` if the path is missing or ends at a scalar.
    fn descend(&mut self, way: &[Step<'_>]) -> Result<Option<&mut Self>> {
        let Some((first, rest)) = way.split_first() else { return Ok(Some(self)) };
        let Some(at) = self.find(*first) else { return Ok(None) };
        match self.open_member(at)? {
            Some(level) => level.descend(rest),
            None => Ok(None),
        }
    }

    /// Opens the levels and marks each as edited. The path must exist.
    fn descend_to_edit(&mut self, way: &[Step<'_>]) -> Result<&mut Self> {
        self.is_edited = true;
        let Some((first, rest)) = way.split_first() else { return Ok(self) };
        let missing = || misuse("the path vanished during an edit".to_owned());
        let at = self.find(*first).ok_or_else(missing)?;
        self.open_member(at)?.ok_or_else(missing)?.descend_to_edit(rest)
    }

    fn open_member(&mut self, at: usize) -> Result<Option<&mut Self>> {
        if !matches!(self.members[at].node, Node::Open(_)) {
            let Some(level) = Self::open(self.text_of(at))? else { return Ok(None) };
            self.members[at].node = Node::Open(Box::new(level));
        }
        match &mut self.members[at].node {
            Node::Open(level) => Ok(Some(level)),
            _ => Ok(None),
        }
    }

    fn to_bytes(&self) -> Bytes {
        if !self.is_edited {
            return self.text.clone();
        }
        let mut out = Writer::copying(self.text.len() + ROOM);
        self.render(&mut out);
        out.finish_copy()
    }

    fn to_pieces(&self) -> Pieces {
        if !self.is_edited {
            return self.text.clone().into();
        }
        let mut out = Writer::sharing(self.text.len() + ROOM);
        self.render(&mut out);
        out.finish()
    }

    fn render<'a>(&'a self, out: &mut Writer<'a>) {
        if !self.is_edited {
            return out.add_all(&self.text);
        }
        out.add(if self.is_object { b"{" } else { b"[" });
        let mut members = self.members.iter();
        let mut last = members.next();
        if let Some(first) = last {
            self.render_member(first, out);
        }
        for member in members {
            self.render_comma(last, out);
            self.render_member(member, out);
            last = Some(member);
        }
        out.add(if self.is_object { b"}" } else { b"]" });
    }

    /// Writes the existing comma, if there is one, so that it stays in one run with the text around it.
    fn render_comma<'a>(&'a self, before: Option<&Member>, out: &mut Writer<'a>) {
        let tail = before.and_then(|member| member.entry).map(|entry| entry.tail as usize);
        match tail.filter(|tail| self.text.get(*tail) == Some(&b',')) {
            Some(tail) => out.add_span(&self.text, tail..tail + 1),
            None => out.add(b","),
        }
    }

    /// Writes a member with its original white space; an added member has none.
    fn render_member<'a>(&'a self, member: &'a Member, out: &mut Writer<'a>) {
        let span = |start: u32, end: u32| start as usize..end as usize;
        match (&member.entry, &member.key) {
            (Some(entry), _) => out.add_span(&self.text, span(entry.lead, entry.value.start)),
            (None, Some(key)) => out.add(&quoted(key)),
            (None, None) => {}
        }
        match &member.node {
            Node::Raw(value) => out.add_span(&self.text, span(value.start, value.end)),
            Node::Open(level) => level.render(out),
            Node::New(json) => out.add_all(json),
        }
        if let Some(entry) = &member.entry {
            out.add_span(&self.text, span(entry.value.end, entry.tail));
        }
    }
}

/// The usual size of edits, in bytes.
const ROOM: usize = 256;

/// Returns the unescaped key if it has escapes.
fn escaped_key(quoted: &[u8]) -> Result<Option<Box<str>>> {
    if memchr::memchr(b'\\', quoted).is_none() {
        return Ok(None);
    }
    match serde_json::from_slice::<String>(quoted) {
        Ok(key) => Ok(Some(key.into())),
        Err(_) => {
            Err(Error::invalid("a key has an escape that is no character (a lone surrogate)"))
        }
    }
}

fn quoted(key: &str) -> Vec<u8> {
    let mut text = serde_json::Value::from(key).to_string().into_bytes();
    text.push(b':');
    text
}

fn shorten(key: &str) -> String {
    key.chars().take(64).collect()
}

fn misuse(message: String) -> Error {
    Error::new(ErrorKind::Api, message)
}

#[cfg(test)]
mod tests;
