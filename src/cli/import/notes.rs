//! The report of an import: the parts that were not carried, and the variables that the written file needs.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::import::node::At;

/// A part of the file that has no exact counterpart.
#[derive(Debug, Clone)]
pub(super) struct Remark {
    /// The line of the part; `None` for a remark about the whole file.
    pub(super) at: Option<At>,
    /// The path of the part, such as `router_settings.timeout`.
    pub(super) path: String,
    /// Whether the part is in the written file.
    pub(super) fate: Fate,
    /// The reason, and the nearest thing in Tidegate.
    pub(super) text: String,
    /// The part of the written file that the remark stands at as a comment.
    pub(super) near: Near,
}

/// The fate of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The written file does not have it.
    Left,
    /// The written file has it, with another effect than before.
    Changed,
}

impl Fate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Left => "not carried",
            Self::Changed => "carried with a difference",
        }
    }
}

/// A part of the written file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Near {
    /// An alias of `models:`.
    Alias(String),
    /// A section, by its key.
    Section(&'static str),
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.fact())
    }
}

impl Remark {
    /// Returns the remark as a comment of the written file: with the name of the old file, and without its folder.
    pub(super) fn comment(&self) -> String {
        let place = self.at.as_ref().map(|At { file, line }| {
            let name = Path::new(&**file).file_name().unwrap_or_default();
            format!("{}:{line}: ", name.to_string_lossy())
        });
        format!("{}{}", place.unwrap_or_default(), self.fact())
    }

    fn fact(&self) -> String {
        format!("{}: {}: {}", self.path, self.fate.as_str(), self.text)
    }
}

/// A part of the file that is read: its line and its path.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) at: At,
    pub(super) path: String,
}

impl Spot {
    /// Returns the spot of an element of this list.
    pub(super) fn index(&self, n: usize, at: &At) -> Self {
        Self { at: at.clone(), path: format!("{}[{n}]", self.path) }
    }
}

/// The origin of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// `os.environ/NAME`.
    Named,
    /// A value that stands in the file in clear text.
    Clear,
    /// The variable that LiteLLM reads if the file has no value.
    Implied,
}

impl Origin {
    fn as_str(self) -> &'static str {
        match self {
            Self::Named => "as before",
            Self::Clear => "the value stands in the file in clear text",
            Self::Implied => "LiteLLM reads it without an entry",
        }
    }
}

/// A variable of the written file.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    /// A value of the right form, for the check of the result.
    pub(super) sample: String,
    origin: Origin,
    spot: Option<Spot>,
    /// The value from the file, to find it again; never printed.
    clear: Option<String>,
}

/// Everything that the import has to tell.
#[derive(Debug, Default)]
pub(super) struct Notes {
    remarks: RefCell<Vec<Remark>>,
    variables: RefCell<BTreeMap<String, Variable>>,
    /// Names that clear values may not take: the file gives them another value.
    reserved: RefCell<BTreeSet<String>>,
}

impl Notes {
    /// Notes a part that is not carried.
    pub(super) fn left(&self, spot: &Spot, near: Near, text: impl Into<String>) {
        self.note(spot, near, Fate::Left, text.into());
    }

    /// Notes a part that is carried with a difference.
    pub(super) fn changed(&self, spot: &Spot, near: Near, text: impl Into<String>) {
        self.note(spot, near, Fate::Changed, text.into());
    }

    /// Notes a fact about the whole file.
    pub(super) fn overall(&self, near: Near, path: &str, text: &str) {
        self.remarks.borrow_mut().push(Remark {
            at: None,
            path: path.to_owned(),
            fate: Fate::Changed,
            text: text.to_owned(),
            near,
        });
    }

    fn note(&self, spot: &Spot, near: Near, fate: Fate, text: String) {
        let is_same = |one: &Remark| {
            one.at.as_ref() == Some(&spot.at) && one.path == spot.path && one.text == text
        };
        if self.remarks.borrow().iter().any(is_same) {
            // the copy of an alias has the same reason
            return;
        }
        let remark =
            Remark { at: Some(spot.at.clone()), path: spot.path.clone(), fate, text, near };
        self.remarks.borrow_mut().push(remark);
    }

    /// Keeps a name from being chosen for a value in clear text.
    pub(super) fn reserve(&self, name: &str) {
        self.reserved.borrow_mut().insert(name.to_owned());
    }

    /// Returns `${NAME}` for a variable that the file names, or that LiteLLM reads on its own.
    pub(super) fn variable(&self, name: &str, sample: &str, origin: Origin, spot: &Spot) -> String {
        let mut variables = self.variables.borrow_mut();
        let known = variables.entry(name.to_owned()).or_insert_with(|| Variable {
            sample: sample.to_owned(),
            origin,
            spot: Some(spot.clone()),
            clear: None,
        });
        let is_here = known.spot.as_ref().is_some_and(|own| own.path == spot.path);
        if !is_here && origin < known.origin {
            known.origin = origin;
            known.spot = Some(spot.clone());
        }
        format!("${{{name}}}")
    }

    /// Returns `${NAME}` for a secret in clear text. The name is `wanted`, with a number if that is taken.
    pub(super) fn secret(&self, value: &str, wanted: &str, sample: &str, spot: &Spot) -> String {
        let mut variables = self.variables.borrow_mut();
        let mut known = variables.iter();
        let same =
            known.find(|(_, one)| one.clear.as_deref() == Some(value) && one.sample == sample);
        if let Some((name, _)) = same {
            return format!("${{{name}}}");
        }
        let reserved = self.reserved.borrow();
        let is_free = |name: &String| !variables.contains_key(name) && !reserved.contains(name);
        let numbered = (2..).map(|n| format!("{wanted}_{n}"));
        let name = std::iter::once(wanted.to_owned()).chain(numbered).find(is_free);
        let name = name.unwrap_or_else(|| wanted.to_owned());
        let variable = Variable {
            sample: sample.to_owned(),
            origin: Origin::Clear,
            spot: Some(spot.clone()),
            clear: Some(value.to_owned()),
        };
        variables.insert(name.clone(), variable);
        format!("${{{name}}}")
    }

    /// Returns the remarks in the order of the file.
    pub(super) fn remarks(&self) -> Vec<Remark> {
        let mut remarks = self.remarks.borrow().clone();
        remarks.sort_by(|a, b| a.at.cmp(&b.at));
        remarks
    }

    /// Returns the variables that a config names, by name.
    pub(super) fn variables(&self, written: &str) -> BTreeMap<String, Variable> {
        let mut variables = self.variables.borrow().clone();
        variables.retain(|name, _| written.contains(&format!("${{{name}}}")));
        variables
    }
}

impl Variable {
    /// Returns whether the file has another value than the environment.
    pub(super) fn differs(&self, value: &OsStr) -> bool {
        self.clear.as_ref().is_some_and(|clear| value != OsStr::new(clear))
    }

    /// Returns the line of the report for a variable.
    pub(super) fn line(&self, name: &str, state: &str) -> String {
        let spot = self.spot.as_ref();
        let place = spot.map_or_else(String::new, |spot| format!(" ({}: {})", spot.at, spot.path));
        format!("  {name}: {state}; {}{place}", self.origin.as_str())
    }

    /// Returns the variable as JSON.
    pub(super) fn json(&self, name: &str, is_set: bool) -> Value {
        json!({
            "name": name,
            "is_set": is_set,
            "in_clear_text": self.origin == Origin::Clear,
            "place": self.spot.as_ref().map(|spot| spot.at.to_string()),
            "path": self.spot.as_ref().map(|spot| &spot.path),
        })
    }
}

impl Remark {
    /// Returns the remark as JSON.
    pub(super) fn json(&self) -> Value {
        json!({
            "file": self.at.as_ref().map(|at| &*at.file),
            "line": self.at.as_ref().map(|at| at.line),
            "path": self.path,
            "is_carried": self.fate == Fate::Changed,
            "message": self.text,
        })
    }
}
