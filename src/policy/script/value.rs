//! What a script holds of a document: places in it, read and written as if they were maps and arrays.
//!
//! A place is a path, not a copy: nothing is parsed before it is read, and what is written goes
//! into the document at once. Scalars come out as Rhai values.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Dynamic, EvalAltResult, ImmutableString, NativeCallContext, Position};
use serde_json::Value;
use smallvec::SmallVec;

use crate::error::{Error, ErrorKind, Result};
use crate::policy::script::error::Told;
use crate::policy::script::fields::{self, Shape};
use crate::policy::script::json;
use crate::policy::script::run::{Run, Stop};
use crate::wire::{Document, Kind, Step};

/// The result of everything that a script calls.
pub(super) type Answer<T = Dynamic> = std::result::Result<T, Box<EvalAltResult>>;

/// A document that scripts share with the host for the time of a call.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Document>>);

/// Somewhere in a document.
#[derive(Clone)]
pub(super) struct Place {
    document: Shared,
    path: Vec<Part>,
}

/// A place where an object stands; `map` to scripts.
#[derive(Clone)]
pub(super) struct Object(pub(super) Place);

/// A place where an array stands; `array` to scripts.
#[derive(Clone)]
pub(super) struct List(pub(super) Place);

/// An owned [`Step`].
#[derive(Clone, PartialEq)]
pub(super) enum Part {
    Key(ImmutableString),
    /// Counted from the front: a place must not move when something is added.
    Index(i64),
}

impl Part {
    fn step(&self) -> Step<'_> {
        match self {
            Self::Key(key) => Step::Key(key),
            Self::Index(index) => Step::Index(*index),
        }
    }
}

impl Shared {
    pub(super) fn new(document: Document) -> Self {
        Self(Arc::new(Mutex::new(document)))
    }

    /// The whole document as scripts see it.
    pub(super) fn root(&self) -> Object {
        Object(Place { document: self.clone(), path: Vec::new() })
    }

    /// The document back; a copy (which shares the bytes) if a script still holds a place.
    pub(super) fn into_document(self) -> Document {
        match Arc::try_unwrap(self.0) {
            Ok(document) => document.into_inner().unwrap_or_else(PoisonError::into_inner),
            Err(shared) => Self(shared).lock().clone(),
        }
    }

    /// Appends to `tools`; a second declaration of the same type and name is left out.
    pub(super) fn add_tool(&self, declaration: &Value) -> Answer<()> {
        let tools = [Step::Key("tools")];
        let mut document = self.lock();
        let declared = document.get(&tools).map_err(fault)?.unwrap_or_default();
        let declared: Vec<Value> = serde_json::from_slice(&declared).unwrap_or_default();
        let is_same =
            |tool: &Value| ["type", "name"].iter().all(|key| tool[key] == declaration[key]);
        if declared.iter().any(is_same) {
            return Ok(());
        }
        if document.kind(&tools).map_err(fault)? != Some(Kind::Array) {
            document.set(&tools, "[]").map_err(fault)?;
        }
        document.push(&tools, declaration.to_string()).map_err(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Document> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn with<T>(
        &self,
        part: Option<&Part>,
        act: impl FnOnce(&mut Document, &[Step<'_>]) -> Result<T>,
    ) -> Answer<T> {
        let path: SmallVec<[Step<'_>; 6]> = self.path.iter().chain(part).map(Part::step).collect();
        act(&mut self.document.lock(), &path).map_err(fault)
    }

    fn child(&self, part: Part) -> Self {
        let mut path = Vec::with_capacity(self.path.len() + 1);
        path.extend_from_slice(&self.path);
        path.push(part);
        Self { document: self.document.clone(), path }
    }

    fn is(&self, parent: &Self, part: &Part) -> bool {
        Arc::ptr_eq(&self.document.0, &parent.document.0)
            && self.path.split_last() == Some((part, &parent.path))
    }

    /// The JSON text that stands here.
    pub(super) fn text(&self) -> Answer<bytes::Bytes> {
        let text = self.with(None, |document, path| document.get(path))?;
        text.ok_or_else(|| self.gone())
    }

    fn len(&self) -> Answer<i64> {
        let len = self.with(None, |document, path| document.len(path))?;
        len.map(|len| len as i64).ok_or_else(|| self.gone())
    }

    fn has(&self, part: &Part) -> Answer<bool> {
        self.with(Some(part), |document, path| Ok(document.kind(path)?.is_some()))
    }

    /// What stands below; `()` if nothing does.
    fn read(&self, part: Part) -> Answer {
        let found = self.with(Some(&part), |document, path| document.look(path))?;
        Ok(match found {
            None => Dynamic::UNIT,
            Some((kind, Some(text))) => json::scalar(kind, &text).map_err(fault)?,
            Some((Kind::Array, None)) => Dynamic::from(List(self.child(part))),
            Some((_, None)) => Dynamic::from(Object(self.child(part))),
        })
    }

    /// Writes below; `()` takes a member out, and is `null` as an element: others must not move.
    ///
    /// Rhai feeds what a getter gave back through the setter after each method call in a chain, so
    /// writing what can be read there already is no edit.
    fn write(&self, part: Part, value: &Dynamic) -> Answer<()> {
        if place_of(value).is_some_and(|place| place.is(self, &part)) {
            return Ok(());
        }
        if json::is_scalar(value) && json::is_same_scalar(&self.read(part.clone())?, value) {
            return Ok(());
        }
        if value.is_unit() && matches!(part, Part::Key(_)) {
            return self.with(Some(&part), |document, path| document.remove(path)).map(drop);
        }
        let text = json::text(value)?;
        self.with(Some(&part), |document, path| document.set(path, text))
    }

    fn gone(&self) -> Box<EvalAltResult> {
        let message = "what stood here has been removed or replaced by a value of another type";
        Told(message.to_owned()).into()
    }
}

impl Object {
    pub(super) fn is_empty(&mut self) -> Answer<bool> {
        Ok(self.0.len()? == 0)
    }

    pub(super) fn json(&mut self) -> Answer<String> {
        Ok(String::from_utf8_lossy(&self.0.text()?).into_owned())
    }

    pub(super) fn get(&mut self, key: ImmutableString) -> Answer {
        self.0.read(Part::Key(key))
    }

    pub(super) fn set(&mut self, key: ImmutableString, value: Dynamic) -> Answer<()> {
        if self.0.path.is_empty()
            && Run::current(|run| run.is_over_request()).unwrap_or_default()
            && let Some(message) = Shape::of(&value).and_then(|shape| fields::wrong(&key, shape))
        {
            return Err(Told(message).into());
        }
        self.0.write(Part::Key(key), &value)
    }

    pub(super) fn len(&mut self) -> Answer<i64> {
        self.0.len()
    }

    pub(super) fn contains(&mut self, key: ImmutableString) -> Answer<bool> {
        self.0.has(&Part::Key(key))
    }

    fn remember_removal(&self, key: &str, at: Position) {
        if self.0.path.is_empty() {
            Run::current(|run| run.asked.removed.push((key.to_owned(), at)));
        }
    }

    fn remove(&mut self, key: ImmutableString) -> Answer<bool> {
        self.0.with(Some(&Part::Key(key)), |document, path| document.remove(path))
    }

    pub(super) fn keys(&mut self) -> Answer<rhai::Array> {
        let keys = self.0.with(None, |document, path| document.keys(path))?;
        let keys = keys.ok_or_else(|| self.0.gone())?;
        Ok(keys.into_iter().map(Dynamic::from).collect())
    }

    pub(super) fn values(&mut self) -> Answer<rhai::Array> {
        let keys = self.0.with(None, |document, path| document.keys(path))?;
        let keys = keys.ok_or_else(|| self.0.gone())?;
        keys.into_iter().map(|key| self.member(&key)).collect()
    }

    pub(super) fn members(&mut self) -> Answer<rhai::Map> {
        let keys = self.0.with(None, |document, path| document.keys(path))?;
        let keys = keys.ok_or_else(|| self.0.gone())?;
        keys.into_iter().map(|key| Ok((key.as_str().into(), self.member(&key)?))).collect()
    }

    /// One of many: finding each takes the longer the more there are.
    fn member(&mut self, key: &str) -> Answer {
        Run::check_time()?;
        self.get(key.into())
    }
}

/// Writes a member for a script; remembers where one was taken out of the whole.
pub(super) fn set_at(
    call: NativeCallContext<'_>,
    object: &mut Object,
    key: ImmutableString,
    value: Dynamic,
) -> Answer<()> {
    if value.is_unit() {
        object.remember_removal(&key, call.call_position());
    }
    object.set(key, value)
}

/// Takes a member out for a script; remembers where, if out of the whole.
pub(super) fn remove_at(
    call: NativeCallContext<'_>,
    object: &mut Object,
    key: ImmutableString,
) -> Answer<bool> {
    object.remember_removal(&key, call.call_position());
    object.remove(key)
}

impl List {
    pub(super) fn is_empty(&mut self) -> Answer<bool> {
        Ok(self.0.len()? == 0)
    }

    pub(super) fn json(&mut self) -> Answer<String> {
        Ok(String::from_utf8_lossy(&self.0.text()?).into_owned())
    }

    pub(super) fn get(&mut self, index: i64) -> Answer {
        let at = self.position(index, 0)?;
        self.0.read(Part::Index(at))
    }

    pub(super) fn set(&mut self, index: i64, value: Dynamic) -> Answer<()> {
        let at = self.position(index, 0)?;
        self.0.write(Part::Index(at), &value)
    }

    pub(super) fn len(&mut self) -> Answer<i64> {
        self.0.len()
    }

    pub(super) fn push(&mut self, value: Dynamic) -> Answer<()> {
        let text = json::text(&value)?;
        self.0.with(None, |document, path| document.push(path, text))
    }

    pub(super) fn insert(&mut self, index: i64, value: Dynamic) -> Answer<()> {
        let at = self.position(index, 1)?;
        let text = json::text(&value)?;
        self.0.with(Some(&Part::Index(at)), |document, path| document.insert(path, text))
    }

    pub(super) fn remove(&mut self, index: i64) -> Answer<bool> {
        let at = self.position(index, 0)?;
        self.0.with(Some(&Part::Index(at)), |document, path| document.remove(path))
    }

    pub(super) fn contains(&mut self, value: Dynamic) -> Answer<bool> {
        for item in self.clone() {
            if json::is_same(&item?, &value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn elements(&mut self) -> Answer<rhai::Array> {
        self.clone().into_iter().collect()
    }

    /// From the front; `spare` more than there are elements is still within bounds.
    fn position(&self, index: i64, spare: i64) -> Answer<i64> {
        let len = self.0.len()?;
        let at = if index < 0 { index.saturating_add(len) } else { index };
        match (0..len + spare).contains(&at) {
            true => Ok(at),
            false => {
                Err(EvalAltResult::ErrorArrayBounds(len as usize, index, Position::NONE).into())
            }
        }
    }
}

/// The elements, as many as there are when each is asked for.
pub(super) struct Items {
    place: Place,
    at: i64,
}

impl IntoIterator for List {
    type Item = Answer;
    type IntoIter = Items;

    fn into_iter(self) -> Items {
        Items { place: self.0, at: 0 }
    }
}

impl Iterator for Items {
    type Item = Answer;

    fn next(&mut self) -> Option<Answer> {
        // a body may have millions: not every loop over them is one of the script's
        if let Err(late) = Run::check_time() {
            self.at = i64::MAX;
            return Some(Err(late));
        }
        match self.place.len() {
            Ok(len) if self.at < len => {
                self.at += 1;
                Some(self.place.read(Part::Index(self.at - 1)))
            }
            Ok(_) => None,
            Err(error) => {
                self.at = i64::MAX;
                Some(Err(error))
            }
        }
    }
}

/// The place that a value is, if it is one.
pub(super) fn place_of(value: &Dynamic) -> Option<Place> {
    if let Some(object) = value.read_lock::<Object>() {
        return Some(object.0.clone());
    }
    value.read_lock::<List>().map(|list| list.0.clone())
}

/// What stands at the place that a value is, if it is one.
pub(super) fn place_kind(value: &Dynamic) -> Option<Kind> {
    if value.is::<Object>() {
        return Some(Kind::Object);
    }
    value.is::<List>().then_some(Kind::Array)
}

/// A document's error as a script's: the caller's fault ends the script, the script's own can be caught.
pub(super) fn fault(error: Error) -> Box<EvalAltResult> {
    match error.kind {
        ErrorKind::InvalidRequest => Stop::Invalid(error.message).into(),
        _ => Told(error.message).into(),
    }
}
