//! `Stamp`: the attributes that name the sender of telemetry.
use crate::telemetry::traced::bounded;

const ID: &str = "user.id";
const EMAIL: &str = "user.email";
const GROUPS: &str = "user.groups";
/// The beginning of the attributes with the tags of the sender's key.
const TAG: &str = "tidegate.tag.";

/// The attributes that name the sender. Those of a client with the same keys are removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Vec<(String, String)>);

impl Stamp {
    /// Names the sender by id. An open gateway knows none.
    pub(crate) fn of(id: &str) -> Self {
        Self::default().with(ID.to_owned(), id)
    }

    /// Adds the e-mail address.
    pub(crate) fn email(self, address: Option<&str>) -> Self {
        self.with(EMAIL.to_owned(), address.unwrap_or_default())
    }

    /// Adds the groups.
    pub(crate) fn groups(self, list: Option<&str>) -> Self {
        self.with(GROUPS.to_owned(), list.unwrap_or_default())
    }

    /// Adds a tag of the key.
    pub(crate) fn tag(self, name: &str, value: &str) -> Self {
        self.with(format!("{TAG}{name}"), value)
    }

    fn with(mut self, key: String, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push((key, bounded(value).to_owned()));
        }
        self
    }

    /// Returns whether only the gateway may set this key.
    pub(super) fn owns(key: &str) -> bool {
        matches!(key, ID | EMAIL | GROUPS) || key.starts_with(TAG)
    }

    /// Returns the keys and values.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
