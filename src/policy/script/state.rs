//! `ctx.state`: data that the scripts of one request share, within a limit on its bytes.
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{Dynamic, Engine, NativeCallContext};

use crate::policy::script::error::ScriptResult;
use crate::policy::script::json;
use crate::policy::script::run::{Full, Run, Stop};

/// The most bytes of all entries, as the JSON text of one object.
const MAX_BYTES: usize = 64 * 1024;
/// The bytes of an entry beside its name and its value: two quotes, a colon, a comma.
const SIGNS: usize = 4;

/// `ctx.state`. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct State(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    values: BTreeMap<String, Entry>,
    /// The bytes of all entries.
    bytes: usize,
    /// The entries before the current run, and before each part of it that may be undone by itself. Each
    /// layer has the entries that were written since it began.
    before: Vec<BTreeMap<String, Option<Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Dynamic,
    bytes: usize,
}

/// Registers `ctx.state` with an engine.
pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<State>("state")
        .register_indexer_get(|state: &mut State, name: &str| state.get(name))
        .register_indexer_set(
            |call: NativeCallContext<'_>, state: &mut State, name: &str, value: Dynamic| {
                state.set(&call, name, value)
            },
        )
        .register_get("tag", |state: &mut State| state.get("tag"))
        .register_set("tag", |call: NativeCallContext<'_>, state: &mut State, value: Dynamic| {
            state.set(&call, "tag", value)
        })
        .register_fn("contains", |state: &mut State, name: &str| !state.get(name).is_unit());
}

impl State {
    /// Begins a run of a stage. Scripts never wait, so no two runs of a request overlap.
    pub(in crate::policy) fn begin(&self) {
        self.0.lock().before = vec![BTreeMap::new()];
    }

    /// Undoes all writes of the current run.
    pub(in crate::policy) fn undo(&self) {
        let mut entries = self.0.lock();
        while entries.undo_part() {}
    }

    /// Begins a part of the current run that may be undone by itself.
    pub(in crate::policy) fn begin_part(&self) {
        self.0.lock().before.push(BTreeMap::new());
    }

    /// Undoes the writes of the last part.
    pub(in crate::policy) fn undo_part(&self) {
        self.0.lock().undo_part();
    }

    /// Makes the last part a part of the one before it.
    pub(in crate::policy) fn keep_part(&self) {
        let mut entries = self.0.lock();
        let part = entries.before.pop().unwrap_or_default();
        if let Some(outer) = entries.before.last_mut() {
            for (name, entry) in part {
                outer.entry(name).or_insert(entry);
            }
        }
    }

    fn get(&self, name: &str) -> Dynamic {
        let entries = self.0.lock();
        entries.values.get(name).map(|entry| entry.value.clone()).unwrap_or_default()
    }

    /// Writes an entry; `()` removes it. No script can catch the error of a value without room.
    fn set(&self, call: &NativeCallContext<'_>, name: &str, value: Dynamic) -> ScriptResult<()> {
        let value = json::detach(value)?;
        let entry = match value.is_unit() {
            true => None,
            false => Some(Entry { bytes: name.len() + SIGNS + json::size(&value)?, value }),
        };
        let bytes = entry.as_ref().map_or(0, |entry| entry.bytes);
        let mut entries = self.0.lock();
        let others = entries.bytes - entries.values.get(name).map_or(0, |entry| entry.bytes);
        if others + bytes > MAX_BYTES {
            let full = Full { name: name.to_owned(), bytes, others, limit: MAX_BYTES };
            return Err(Run::end_at(call, Stop::Full(full)));
        }
        let before = entries.put(name.to_owned(), entry);
        if let Some(part) = entries.before.last_mut() {
            part.entry(name.to_owned()).or_insert(before);
        }
        Ok(())
    }
}

impl Entries {
    /// Undoes the writes of the last part; returns `false` if there is none.
    fn undo_part(&mut self) -> bool {
        let Some(part) = self.before.pop() else { return false };
        for (name, entry) in part {
            self.put(name, entry);
        }
        true
    }

    /// Replaces an entry. Returns the entry before.
    fn put(&mut self, name: String, entry: Option<Entry>) -> Option<Entry> {
        self.bytes += entry.as_ref().map_or(0, |entry| entry.bytes);
        let before = match entry {
            Some(entry) => self.values.insert(name, entry),
            None => self.values.remove(&name),
        };
        self.bytes -= before.as_ref().map_or(0, |entry| entry.bytes);
        before
    }
}
