//! Reads the tree into each part's config; continues after a problem, to report all of them at once.
use std::collections::BTreeSet;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::config::expand::{self, Expansion, Lookup};
use crate::config::tree::{Place, Step};
use crate::config::wording::{self, Fault};
use crate::error::Problem;

/// Parses YAML to a tree. A duplicate key is an error. `needed` names the keys without which the file says nothing.
pub(crate) fn yaml(text: &str, needed: &str) -> Result<Map<String, Value>, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        // a snippet would contain the surrounding lines, which may hold secrets
        with_snippet: false,
    };
    let tree: Option<Value> = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Problem::new("", syntax(&error)))?;
    match tree {
        Some(Value::Object(root)) => Ok(root),
        None | Some(Value::Null) => {
            Err(Problem::new("", format!("the file is empty: it needs at least {needed}")))
        }
        Some(_) => {
            Err(Problem::new("", format!("the file is no mapping: it needs at least {needed}")))
        }
    }
}

fn syntax(error: &serde_saphyr::Error) -> String {
    match error {
        serde_saphyr::Error::DuplicateMappingKey { key, location } => format!(
            "the key `{}` occurs twice: remove or rename the one at line {}, column {}",
            key.as_deref().unwrap_or("?"),
            location.line(),
            location.column()
        ),
        serde_saphyr::Error::MultipleDocuments { location, .. } => {
            format!(
                "only one document may be in the file: remove the `---` before line {}",
                location.line()
            )
        }
        other => format!("no valid YAML: {other}"),
    }
}

/// Reads the tree key by key.
pub(crate) struct Reader {
    root: Map<String, Value>,
    expansion: Expansion,
    /// The keys that the config has, as far as they were read.
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl Reader {
    /// Expands the variables of the tree.
    pub(crate) fn new(root: Map<String, Value>, base_dir: &Path, lookup: &Lookup) -> Self {
        let (tree, expansion) = expand::expand(Value::Object(root), base_dir, lookup);
        let root = match tree {
            Value::Object(root) => root,
            _ => Map::new(),
        };
        Self { root, expansion, known: Vec::new(), problems: Vec::new() }
    }

    /// Returns whether a mapping that was not taken yet has a value at a key.
    pub(crate) fn has(&self, key: &str, inner: &str) -> bool {
        self.root.get(key).and_then(|node| node.get(inner)).is_some_and(|node| !node.is_null())
    }

    /// Turns a text at a key, the short form, into a mapping with the text at `inner`.
    pub(crate) fn lengthen(&mut self, key: &str, inner: &str) {
        if let Some(node) = self.root.get_mut(key).filter(|node| node.is_string()) {
            let text = node.take();
            *node = Value::Object(Map::from_iter([(inner.to_owned(), text)]));
        }
    }

    /// Returns the value of a key; `None` if it is absent, `null`, or wrong.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        self.part(&Place::default().key(key), node)
    }

    /// Returns the entries of a mapping in the order of the file; `None` for wrong ones.
    pub(crate) fn entries<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Vec<(String, Option<T>)> {
        let here = Place::default().key(key);
        match self.node(key) {
            None => Vec::new(),
            Some(Value::Object(entries)) => entries
                .into_iter()
                .map(|(name, node)| {
                    let entry = self.part(&here.key(name.as_str()), node);
                    (name, entry)
                })
                .collect(),
            Some(_) => {
                self.report(&here, "expected a mapping from names to settings");
                Vec::new()
            }
        }
    }

    /// Returns the elements of a list; `None` for wrong ones, or for the whole list if absent.
    pub(crate) fn items<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Option<Vec<Option<T>>> {
        let here = Place::default().key(key);
        match self.node(key)? {
            Value::Array(items) => {
                let parts = items.into_iter().enumerate();
                Some(parts.map(|(n, node)| self.part(&here.index(n), node)).collect())
            }
            _ => {
                self.report(&here, "expected a list");
                None
            }
        }
    }

    /// Ends the reading and reports every unknown key. Returns the problems and the facts about
    /// variables.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Expansion) {
        let unknown: Vec<String> = self.root.keys().cloned().collect();
        for key in unknown {
            let text = format!("unknown key{}", wording::suggestion(&key, &self.known));
            self.report(&Place::default().key(key), &text);
        }
        (self.problems, self.expansion)
    }

    fn node(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.root.shift_remove(key).filter(|node| !node.is_null())
    }

    fn report(&mut self, place: &Place, message: &str) {
        self.problems.push(Problem::new(place.to_string(), message));
    }

    /// Deserializes a node. After a fault, repairs the node as far as possible and tries again, so
    /// that one fault does not hide the next.
    fn part<T: DeserializeOwned>(&mut self, here: &Place, node: Value) -> Option<T> {
        let mut repair = Repair { node, given_up: BTreeSet::new(), is_whole: true };
        loop {
            let (place, message) = match attempt::<T>(&repair.node) {
                Ok(value) => return repair.is_whole.then_some(value),
                Err(failure) => failure,
            };
            let fault = wording::fault(&message);
            let place = match fault {
                Fault::Unknown(..) | Fault::Missing(_) => place,
                Fault::String(_) | Fault::Other(_) => {
                    repair.blame::<T>(&place, &message).unwrap_or(place)
                }
            };
            if !self.mend(&mut repair, here, place, fault) {
                return None;
            }
        }
    }

    /// Reports a fault and repairs it. Returns `false` if it cannot be repaired.
    fn mend(&mut self, repair: &mut Repair, here: &Place, place: Place, fault: Fault) -> bool {
        match fault {
            Fault::Unknown(field, text) => {
                let parent = match place.0.split_last() {
                    Some((Step::Key(last), rest)) if *last == field => Place(rest.to_vec()),
                    _ => place,
                };
                self.report(&here.joined(parent.key(field.as_str()).0), &text);
                repair.drop_key(&parent, &field)
            }
            Fault::Missing(field) => {
                let missing = place.key(field.as_str());
                let is_new = repair.given_up.insert(missing.clone());
                if is_new {
                    self.report(&here.joined(missing.0), "this key is missing");
                }
                repair.is_whole = false;
                // most keys are strings; if this one is not, the next attempt ends here
                repair.fill(&place, field)
            }
            Fault::String(text) => match self.plain(&here.joined(place.0.iter().cloned())) {
                Some(value) => repair.replace(&place, value),
                None => self.give_up(repair, here, place, &text),
            },
            Fault::Other(text) => self.give_up(repair, here, place, &text),
        }
    }

    /// Returns the number or truth value of a scalar that was a single variable. A variable is a string
    /// unless the field needs another type.
    fn plain(&self, place: &Place) -> Option<Value> {
        self.expansion.origins.get(place)?.plain()
    }

    fn give_up(&mut self, repair: &mut Repair, here: &Place, place: Place, text: &str) -> bool {
        if !repair.given_up.insert(place.clone()) {
            return false;
        }
        self.report(&here.joined(place.0.iter().cloned()), text);
        repair.is_whole = false;
        match place.0.split_last() {
            Some((Step::Key(key), parent)) => repair.drop_key(&Place(parent.to_vec()), key),
            Some((Step::Index(_), list)) => {
                repair.replace(&Place(list.to_vec()), Value::Array(Vec::new()))
            }
            None => false,
        }
    }
}

/// A node during its repair.
struct Repair {
    node: Value,
    /// The places that were reported; a second fault at one of them ends the repair.
    given_up: BTreeSet<Place>,
    /// Whether only unknown keys were removed so far, so that the result can be used.
    is_whole: bool,
}

impl Repair {
    fn drop_key(&mut self, parent: &Place, key: &str) -> bool {
        let map = parent.of(&mut self.node).and_then(Value::as_object_mut);
        map.is_some_and(|map| map.shift_remove(key).is_some())
    }

    fn fill(&mut self, parent: &Place, key: String) -> bool {
        let map = parent.of(&mut self.node).and_then(Value::as_object_mut);
        map.is_some_and(|map| map.insert(key, Value::String(String::new())).is_none())
    }

    fn replace(&mut self, place: &Place, value: Value) -> bool {
        place.of(&mut self.node).map(|node| *node = value).is_some()
    }

    /// Returns the key of the mapping at `place` that causes the fault: serde loses the path inside of
    /// tagged enums. Removing the cause removes the fault. Removing a required key only replaces the fault
    /// by "missing field", and the tag usually comes first.
    fn blame<T: DeserializeOwned>(&mut self, place: &Place, message: &str) -> Option<Place> {
        let keys: Vec<String> = place.of(&mut self.node)?.as_object()?.keys().cloned().collect();
        let others: Vec<_> = keys.iter().rev().map(|key| self.without::<T>(place, key)).collect();
        let is_culprit = |other: &Option<String>| match other {
            Some(other) => other != message && !other.starts_with("missing field"),
            None => true,
        };
        let is_suspect = |other: &Option<String>| other.as_deref() != Some(message);
        let found = others.iter().position(is_culprit).or(others.iter().position(is_suspect))?;
        keys.iter().rev().nth(found).map(|key| place.key(key.as_str()))
    }

    /// Returns the fault that remains if a key is removed.
    fn without<T: DeserializeOwned>(&self, place: &Place, key: &str) -> Option<String> {
        let node = self.node.clone();
        let mut other = Self { node, given_up: BTreeSet::new(), is_whole: true };
        other.drop_key(place, key);
        attempt::<T>(&other.node).err().map(|(_, message)| message)
    }
}

fn attempt<T: DeserializeOwned>(node: &Value) -> Result<T, (Place, String)> {
    serde_path_to_error::deserialize(node).map_err(|error| {
        let steps = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        (Place(steps.collect()), error.inner().to_string())
    })
}
