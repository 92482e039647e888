//! Places in the parsed YAML tree: a path, and the node at its end.
use std::fmt;

use serde_json::Value;

/// One step down: into a mapping or into a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// An element of a list, counted from 0.
    Index(usize),
}

/// The path of a node, displayed as `models.fast.targets[0].provider`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub Vec<Step>);

impl Place {
    /// Returns the place of a key in this mapping.
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.joined([Step::Key(key.into())])
    }

    /// Returns the place of an element of this list.
    pub fn index(&self, index: usize) -> Self {
        self.joined([Step::Index(index)])
    }

    /// Returns the place several steps below.
    pub fn joined(&self, steps: impl IntoIterator<Item = Step>) -> Self {
        Self(self.0.iter().cloned().chain(steps).collect())
    }

    /// Returns the node at this place of `root`.
    pub fn of<'a>(&self, root: &'a mut Value) -> Option<&'a mut Value> {
        self.0.iter().try_fold(root, |node, step| match step {
            Step::Key(key) => node.get_mut(key),
            Step::Index(index) => node.get_mut(index),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dot = "";
        for step in &self.0 {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.contains(['.', '[', ']', ' ']) => {
                    write!(f, "{dot}\"{key}\"")?
                }
                Step::Key(key) => write!(f, "{dot}{key}")?,
            }
            dot = ".";
        }
        Ok(())
    }
}
