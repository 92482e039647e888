//! A YAML file as a tree in which every node knows its file and its line.
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A line of a file, displayed as `config.yaml:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    /// The name of the file as the operator gave it.
    pub(super) file: Arc<str>,
    /// The line, counted from 1.
    pub(super) line: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Tree,
}

/// A value of YAML.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// An entry of a mapping. Its place is that of the key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: At,
    pub(super) node: Node,
}

impl Node {
    /// Parses a file; `name` stands in messages and places. `None` stands for a file without a value.
    ///
    /// Fails with a message that has the line, and no text of the file.
    pub(super) fn parse(text: &str, name: &str) -> Result<Option<Self>, String> {
        // a snippet would contain the surrounding lines, which may hold secrets
        let options = serde_saphyr::options! { with_snippet: false };
        let read: Option<Raw> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(&error))?;
        let file: Arc<str> = name.into();
        let node = read.map(|raw| raw.placed(&file));
        Ok(node.filter(|node| !matches!(node.value, Tree::Null)))
    }

    /// Returns the kind of the value in words.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Tree::Null => "nothing",
            Tree::Bool(_) => "true or false",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a mapping",
        }
    }

    /// Returns the text of a scalar as it stands in YAML; `None` for lists, mappings and `null`.
    pub(super) fn scalar(&self) -> Option<String> {
        match &self.value {
            Tree::Text(text) => Some(text.clone()),
            Tree::Number(number) => Some(number.to_string()),
            Tree::Bool(truth) => Some(truth.to_string()),
            Tree::Null | Tree::List(_) | Tree::Map(_) => None,
        }
    }

    /// Returns the elements of a list; a scalar counts as a list of one.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Tree::List(items) => items,
            Tree::Null | Tree::Map(_) => &[],
            Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => std::slice::from_ref(self),
        }
    }

    /// Returns the entries of a mapping.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Tree::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Returns all texts below the node, its own included.
    pub(super) fn texts(&self) -> Vec<&str> {
        match &self.value {
            Tree::Text(text) => vec![text],
            Tree::List(items) => items.iter().flat_map(Self::texts).collect(),
            Tree::Map(entries) => entries.iter().flat_map(|entry| entry.node.texts()).collect(),
            Tree::Null | Tree::Bool(_) | Tree::Number(_) => Vec::new(),
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
        serde_saphyr::Error::MultipleDocuments { location, .. } => format!(
            "only one document may be in the file: remove the `---` before line {}",
            location.line()
        ),
        other => format!("no valid YAML: {other}"),
    }
}

/// A value with the location that the parser gives.
struct Raw(Spanned<RawTree>);

enum RawTree {
    Scalar(Tree),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl Raw {
    fn placed(self, file: &Arc<str>) -> Node {
        let at = |line| At { file: Arc::clone(file), line };
        let value = match self.0.value {
            RawTree::Scalar(scalar) => scalar,
            RawTree::List(items) => {
                Tree::List(items.into_iter().map(|item| item.placed(file)).collect())
            }
            RawTree::Map(entries) => {
                let entries = entries.into_iter().map(|(key, raw)| Entry {
                    at: at(key.referenced.line()),
                    key: key.value,
                    node: raw.placed(file),
                });
                Tree::Map(entries.collect())
            }
        };
        Node { at: at(self.0.referenced.line()), value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawTree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = RawTree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of YAML")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<RawTree, E> {
        Ok(RawTree::Scalar(Tree::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<RawTree, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<RawTree, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<RawTree, E> {
        Ok(RawTree::Scalar(Tree::Number(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<RawTree, E> {
        Ok(RawTree::Scalar(Tree::Text(value.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<RawTree, E> {
        Ok(RawTree::Scalar(Tree::Null))
    }

    fn visit_none<E: Error>(self) -> Result<RawTree, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawTree, D::Error> {
        RawTree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawTree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(RawTree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawTree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(RawTree::Map(entries))
    }
}
