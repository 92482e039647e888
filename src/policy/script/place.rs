//! `Place`: a place in a document that a script holds. It is a path, not a copy.
use rhai::{Dynamic, EvalAltResult, ImmutableString};
use smallvec::SmallVec;

use crate::error::{Error, ErrorKind, Result};
use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::run::{Run, Stop};
use crate::policy::script::shared::Shared;
use crate::wire::{Document, Kind, Step};

/// A place in a document.
#[derive(Clone)]
pub(super) struct Place {
    document: Shared,
    path: Vec<Part>,
}

/// A place of an object; scripts see a `map`.
#[derive(Clone)]
pub(super) struct Object(pub(super) Place);

/// A place of an array; scripts see an `array`.
#[derive(Clone)]
pub(super) struct List(pub(super) Place);

/// An owned [`Step`].
#[derive(Clone, PartialEq)]
pub(super) enum Part {
    Key(ImmutableString),
    /// The index from the front: a place must not move when an element is added.
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

impl Place {
    /// Returns the place of a whole document.
    pub(super) fn root(document: &Shared) -> Self {
        Self { document: document.clone(), path: Vec::new() }
    }

    /// Returns whether the place is a whole document.
    pub(super) fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    pub(super) fn with<T>(
        &self,
        part: Option<&Part>,
        act: impl FnOnce(&mut Document, &[Step<'_>]) -> Result<T>,
    ) -> ScriptResult<T> {
        let path: SmallVec<[Step<'_>; 6]> = self.path.iter().chain(part).map(Part::step).collect();
        act(&mut self.document.lock(), &path).map_err(fault)
    }

    pub(super) fn child(&self, part: Part) -> Self {
        let mut path = Vec::with_capacity(self.path.len() + 1);
        path.extend_from_slice(&self.path);
        path.push(part);
        Self { document: self.document.clone(), path }
    }

    pub(super) fn is(&self, parent: &Self, part: &Part) -> bool {
        self.document.is(&parent.document) && self.path.split_last() == Some((part, &parent.path))
    }

    /// Returns the JSON text at this place.
    pub(super) fn text(&self) -> ScriptResult<bytes::Bytes> {
        let text = self.with(None, |document, path| document.get(path))?;
        text.ok_or_else(|| self.gone())
    }

    pub(super) fn len(&self) -> ScriptResult<i64> {
        let len = self.with(None, |document, path| document.len(path))?;
        len.map(|len| len as i64).ok_or_else(|| self.gone())
    }

    pub(super) fn has(&self, part: &Part) -> ScriptResult<bool> {
        self.with(Some(part), |document, path| Ok(document.kind(path)?.is_some()))
    }

    pub(super) fn gone(&self) -> Box<EvalAltResult> {
        let message = "the value at this place was removed or replaced by a value of another type";
        AuthorError(message.to_owned()).into()
    }
}

/// Returns the place in a Rhai value, if the value is a place.
pub(super) fn place_of(value: &Dynamic) -> Option<Place> {
    if let Some(object) = value.read_lock::<Object>() {
        return Some(object.0.clone());
    }
    value.read_lock::<List>().map(|list| list.0.clone())
}

/// Returns the kind of the JSON value at a place, if the Rhai value is a place.
pub(super) fn place_kind(value: &Dynamic) -> Option<Kind> {
    if value.is::<Object>() {
        return Some(Kind::Object);
    }
    value.is::<List>().then_some(Kind::Array)
}

/// Converts a document's error for a script. An error of the caller ends the script; a script can catch its
/// own errors.
pub(super) fn fault(error: Error) -> Box<EvalAltResult> {
    match error.kind {
        ErrorKind::InvalidRequest => Run::end(Stop::Invalid(error.message)),
        _ => AuthorError(error.message).into(),
    }
}
