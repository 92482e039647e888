//! Places of a document, which scripts read and write like maps and arrays.
//!
//! A value is parsed only when it is read, and a write changes the document at once. Scalars become
//! Rhai values.
use rhai::{Dynamic, EvalAltResult, ImmutableString, NativeCallContext, Position};

use crate::policy::script::error::{AuthorError, ScriptResult};
use crate::policy::script::fields::{self, Shape};
use crate::policy::script::json;
use crate::policy::script::place::{List, Object, Part, Place, fault, place_of};
use crate::policy::script::run::Run;
use crate::policy::script::shared::Shared;
use crate::wire::Kind;

impl Place {
    /// Reads a member or element; returns `()` if there is none.
    fn read(&self, part: Part) -> ScriptResult {
        let found = self.with(Some(&part), |document, path| document.look(path))?;
        Ok(match found {
            None => Dynamic::UNIT,
            Some((kind, Some(text))) => json::scalar(kind, &text).map_err(fault)?,
            Some((Kind::Array, None)) => Dynamic::from(List(self.child(part))),
            Some((_, None)) => Dynamic::from(Object(self.child(part))),
        })
    }

    /// Writes a member or element. `()` removes a member. As an element it becomes `null`, so that the others
    /// do not move.
    ///
    /// After each method call in a chain, Rhai passes the getter's value to the setter. So writing a value
    /// that is already there is no edit.
    fn write(&self, part: Part, value: &Dynamic) -> ScriptResult<()> {
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
}

impl Object {
    /// Returns the whole document as scripts see it.
    pub(super) fn root(document: &Shared) -> Self {
        Self(Place::root(document))
    }

    pub(super) fn is_empty(&mut self) -> ScriptResult<bool> {
        Ok(self.0.len()? == 0)
    }

    pub(super) fn json(&mut self) -> ScriptResult<String> {
        Ok(String::from_utf8_lossy(&self.0.text()?).into_owned())
    }

    pub(super) fn get(&mut self, key: ImmutableString) -> ScriptResult {
        self.0.read(Part::Key(key))
    }

    pub(super) fn set(&mut self, key: ImmutableString, value: Dynamic) -> ScriptResult<()> {
        if self.0.is_root()
            && Run::current(|run| run.is_over_request()).unwrap_or_default()
            && let Some(message) = Shape::of(&value).and_then(|shape| fields::wrong(&key, shape))
        {
            return Err(AuthorError(message).into());
        }
        self.0.write(Part::Key(key), &value)
    }

    pub(super) fn len(&mut self) -> ScriptResult<i64> {
        self.0.len()
    }

    pub(super) fn contains(&mut self, key: ImmutableString) -> ScriptResult<bool> {
        self.0.has(&Part::Key(key))
    }

    fn remember_removal(&self, key: &str, at: Position) {
        if self.0.is_root() {
            Run::current(|run| run.effects.removed.push((key.to_owned(), at)));
        }
    }

    fn remove(&mut self, key: ImmutableString) -> ScriptResult<bool> {
        self.0.with(Some(&Part::Key(key)), |document, path| document.remove(path))
    }

    pub(super) fn keys(&mut self) -> ScriptResult<rhai::Array> {
        let keys = self.0.with(None, |document, path| document.keys(path))?;
        let keys = keys.ok_or_else(|| self.0.gone())?;
        Ok(keys.into_iter().map(Dynamic::from).collect())
    }

    pub(super) fn values(&mut self) -> ScriptResult<rhai::Array> {
        let keys = self.0.with(None, |document, path| document.keys(path))?;
        let keys = keys.ok_or_else(|| self.0.gone())?;
        keys.into_iter().map(|key| self.member(&key)).collect()
    }

    pub(super) fn members(&mut self) -> ScriptResult<rhai::Map> {
        let keys = self.0.with(None, |document, path| document.keys(path))?;
        let keys = keys.ok_or_else(|| self.0.gone())?;
        keys.into_iter().map(|key| Ok((key.as_str().into(), self.member(&key)?))).collect()
    }

    /// Reads one of many members. The lookup takes longer the more members there are.
    fn member(&mut self, key: &str) -> ScriptResult {
        Run::check_time()?;
        self.get(key.into())
    }
}

/// Writes a member for a script, and records the removal of a top-level member.
pub(super) fn set_at(
    call: NativeCallContext<'_>,
    object: &mut Object,
    key: ImmutableString,
    value: Dynamic,
) -> ScriptResult<()> {
    if value.is_unit() {
        object.remember_removal(&key, call.call_position());
    }
    object.set(key, value)
}

/// Removes a member for a script, and records the removal of a top-level member.
pub(super) fn remove_at(
    call: NativeCallContext<'_>,
    object: &mut Object,
    key: ImmutableString,
) -> ScriptResult<bool> {
    object.remember_removal(&key, call.call_position());
    object.remove(key)
}

impl List {
    pub(super) fn is_empty(&mut self) -> ScriptResult<bool> {
        Ok(self.0.len()? == 0)
    }

    pub(super) fn json(&mut self) -> ScriptResult<String> {
        Ok(String::from_utf8_lossy(&self.0.text()?).into_owned())
    }

    pub(super) fn get(&mut self, index: i64) -> ScriptResult {
        let at = self.position(index, 0)?;
        self.0.read(Part::Index(at))
    }

    pub(super) fn set(&mut self, index: i64, value: Dynamic) -> ScriptResult<()> {
        let at = self.position(index, 0)?;
        self.0.write(Part::Index(at), &value)
    }

    pub(super) fn len(&mut self) -> ScriptResult<i64> {
        self.0.len()
    }

    pub(super) fn push(&mut self, value: Dynamic) -> ScriptResult<()> {
        let text = json::text(&value)?;
        self.0.with(None, |document, path| document.push(path, text))
    }

    pub(super) fn insert(&mut self, index: i64, value: Dynamic) -> ScriptResult<()> {
        let at = self.position(index, 1)?;
        let text = json::text(&value)?;
        self.0.with(Some(&Part::Index(at)), |document, path| document.insert(path, text))
    }

    pub(super) fn remove(&mut self, index: i64) -> ScriptResult<bool> {
        let at = self.position(index, 0)?;
        self.0.with(Some(&Part::Index(at)), |document, path| document.remove(path))
    }

    pub(super) fn contains(&mut self, value: Dynamic) -> ScriptResult<bool> {
        for item in self.clone() {
            if json::is_same(&item?, &value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn elements(&mut self) -> ScriptResult<rhai::Array> {
        self.clone().into_iter().collect()
    }

    /// Returns the position from the front; up to `spare` positions after the end are within bounds.
    fn position(&self, index: i64, spare: i64) -> ScriptResult<i64> {
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

/// The elements; the length is read again for each.
pub(super) struct Items {
    place: Place,
    at: i64,
}

impl IntoIterator for List {
    type Item = ScriptResult;
    type IntoIter = Items;

    fn into_iter(self) -> Items {
        Items { place: self.0, at: 0 }
    }
}

impl Iterator for Items {
    type Item = ScriptResult;

    fn next(&mut self) -> Option<ScriptResult> {
        // a body may have millions of elements, and not every loop over them is in the script
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
