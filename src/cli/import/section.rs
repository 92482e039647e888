//! A mapping of the file that is read key by key, so that no key is forgotten.
use crate::cli::import::node::{Entry, Node, Tree};
use crate::cli::import::notes::{Near, Notes, Origin, Spot};

/// The beginning of a value that names a variable.
const VARIABLE: &str = "os.environ/";

/// The address in the place of a variable while the result is checked.
pub(super) const ADDRESS: &str = "https://placeholder.example.com";

/// A mapping that is being read.
pub(super) struct Section<'a> {
    pub(super) spot: Spot,
    notes: &'a Notes,
    near: Near,
    /// The entries that were not taken yet.
    entries: Vec<(&'a str, Spot, &'a Node)>,
}

/// A value of a section.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) spot: Spot,
    pub(super) node: &'a Node,
}

/// A text of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// The text itself.
    Literal(String),
    /// `os.environ/NAME`.
    Variable(String),
}

impl Text {
    pub(super) fn of(text: &str) -> Self {
        match text.strip_prefix(VARIABLE) {
            Some(name) => Self::Variable(name.trim().to_owned()),
            None => Self::Literal(text.to_owned()),
        }
    }

    /// Returns the text itself; `None` for a variable.
    pub(super) fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Variable(_) => None,
        }
    }

    /// Returns the value for the written file. It is no secret.
    pub(super) fn plain(&self, notes: &Notes, sample: &str, spot: &Spot) -> String {
        match self {
            Self::Literal(text) => escaped(text),
            Self::Variable(name) => notes.variable(name, sample, Origin::Named, spot),
        }
    }

    /// Returns an address for the written file. One with a password or a query is a variable.
    pub(super) fn address(&self, notes: &Notes, spot: &Spot) -> String {
        match self.literal() {
            Some(url) if url.contains(['@', '?']) => notes.secret(url, "API_BASE", ADDRESS, spot),
            _ => self.plain(notes, ADDRESS, spot),
        }
    }

    /// Returns the value for the written file: a variable in any case. `wanted` names the variable of a value in clear
    /// text.
    pub(super) fn secret(&self, notes: &Notes, wanted: &str, spot: &Spot) -> String {
        match self {
            Self::Literal(text) => notes.secret(text, wanted, "placeholder", spot),
            Self::Variable(name) => notes.variable(name, "placeholder", Origin::Named, spot),
        }
    }
}

/// Returns a text for the written file, in which `${` begins a variable.
pub(super) fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}

impl<'a> Section<'a> {
    /// Begins to read a mapping; its remarks are about `near`.
    pub(super) fn new(field: &Field<'a>, notes: &'a Notes, near: Near) -> Self {
        let mut section = Self { spot: field.spot.clone(), notes, near, entries: Vec::new() };
        match &field.node.value {
            Tree::Map(entries) => section.add(entries),
            Tree::Null => {}
            _ => {
                let text = format!("expected a mapping, found {}", field.node.kind());
                section.notes.left(&section.spot, section.near.clone(), text);
            }
        }
        section
    }

    fn add(&mut self, entries: &'a [Entry]) {
        for Entry { key, at, node } in entries {
            let path = match self.spot.path.as_str() {
                "" => shown(key),
                path => format!("{path}.{}", shown(key)),
            };
            self.entries.push((key, Spot { at: at.clone(), path }, node));
        }
    }

    /// Adds the entries of another mapping, except those with a key that this one has.
    pub(super) fn inherit(&mut self, other: &Field<'a>) {
        let own: Vec<&str> = self.entries.iter().map(|(key, ..)| *key).collect();
        let Section { entries, .. } = Section::new(other, self.notes, self.near.clone());
        self.entries.extend(entries.into_iter().filter(|(key, ..)| !own.contains(key)));
    }

    /// Returns whether a key that was not taken yet has a value.
    pub(super) fn has(&self, key: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(own, _, node)| *own == key && !matches!(node.value, Tree::Null))
    }

    /// Returns whether a key that was not taken yet has a list.
    pub(super) fn has_list(&self, key: &str) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(own, _, node)| *own == key && matches!(node.value, Tree::List(_)))
    }

    /// Takes a key; `None` if it has no value.
    pub(super) fn take(&mut self, key: &str) -> Option<Field<'a>> {
        let n = self.entries.iter().position(|(own, ..)| *own == key)?;
        let (_, spot, node) = self.entries.remove(n);
        Some(Field { spot, node }).filter(|field| !matches!(field.node.value, Tree::Null))
    }

    /// Returns the text of a key. Numbers count as texts.
    pub(super) fn text(&mut self, key: &str) -> Option<(Text, Spot)> {
        let Field { spot, node } = self.take(key)?;
        match node.scalar() {
            Some(text) => Some((Text::of(&text), spot)),
            None => self.wrong(&spot, "a text", node),
        }
    }

    /// Returns the number of a key, 0 or more.
    pub(super) fn number(&mut self, key: &str) -> Option<(f64, Spot)> {
        let Field { spot, node } = self.take(key)?;
        let number = match &node.value {
            Tree::Number(number) => Some(*number),
            Tree::Text(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        match (number.filter(|number| *number >= 0.0 && number.is_finite()), &node.value) {
            (Some(number), _) => Some((number, spot)),
            (None, Tree::Text(text)) if text.starts_with(VARIABLE) => {
                let text =
                    "the import needs the number itself to make the entry, and finds a variable";
                self.notes.left(&spot, self.near.clone(), text);
                None
            }
            (None, Tree::Number(_)) => {
                let text = "expected a number of 0 or more, found a negative one";
                self.notes.left(&spot, self.near.clone(), text);
                None
            }
            _ => self.wrong(&spot, "a number of 0 or more", node),
        }
    }

    /// Returns the whole number of a key, 0 or more.
    pub(super) fn whole(&mut self, key: &str) -> Option<(u64, Spot)> {
        let (number, spot) = self.number(key)?;
        if number.fract() != 0.0 {
            let text = "expected a whole number, found one with decimals";
            self.notes.left(&spot, self.near.clone(), text);
            return None;
        }
        Some((number as u64, spot))
    }

    /// Returns the whole number of a key, 1 or more; 0 counts as absent.
    pub(super) fn count(&mut self, key: &str) -> Option<(u64, Spot)> {
        self.whole(key).filter(|(number, _)| *number > 0)
    }

    /// Returns the truth value of a key.
    pub(super) fn truth(&mut self, key: &str) -> Option<(bool, Spot)> {
        let Field { spot, node } = self.take(key)?;
        match &node.value {
            Tree::Bool(truth) => Some((*truth, spot)),
            Tree::Text(text) if text.eq_ignore_ascii_case("true") => Some((true, spot)),
            Tree::Text(text) if text.eq_ignore_ascii_case("false") => Some((false, spot)),
            _ => self.wrong(&spot, "true or false", node),
        }
    }

    /// Returns the texts of a list, or of a single text.
    pub(super) fn texts(&mut self, key: &str) -> Vec<(String, Spot)> {
        let Some(Field { spot, node }) = self.take(key) else { return Vec::new() };
        if matches!(node.value, Tree::Map(_)) {
            let _: Option<()> = self.wrong(&spot, "a list", node);
        }
        let items = node.items().iter().enumerate();
        let texts = items.filter_map(|(n, item)| match (&node.value, item.scalar()) {
            (Tree::List(_), Some(text)) => Some((text, spot.index(n, &item.at))),
            (_, Some(text)) => Some((text, spot.clone())),
            (_, None) => self.wrong(&spot.index(n, &item.at), "a text", item),
        });
        texts.collect()
    }

    /// Notes that a value has the wrong type.
    fn wrong<T>(&self, spot: &Spot, wanted: &str, node: &Node) -> Option<T> {
        let text = format!("expected {wanted}, found {}", node.kind());
        self.notes.left(spot, self.near.clone(), text);
        None
    }

    /// Returns the entries that no one took.
    pub(super) fn rest(self) -> impl Iterator<Item = (String, Field<'a>)> {
        let entries = self.entries.into_iter();
        entries
            .filter(|(.., node)| !matches!(node.value, Tree::Null))
            .map(|(key, spot, node)| (key.to_owned(), Field { spot, node }))
    }
}

/// Returns a key as a path shows it: without characters that would end the line, and of bounded length.
fn shown(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(80).collect()
}
