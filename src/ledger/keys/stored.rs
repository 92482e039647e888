//! A key of the store, and the reasons for which the store is not changed.
use crate::auth::keys::NewKey;
use crate::auth::settings::KeySettings;
use crate::error::BoxError;

/// A key of the store, without the key itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredKey {
    pub(crate) id: String,
    /// The first and the last characters of the key, by which its holder recognizes it.
    pub(crate) hint: String,
    /// The time of its creation, as RFC 3339.
    pub(crate) created: String,
    /// The store's generation of its last change.
    pub(crate) version: u64,
    /// The second since 1970 of its last use.
    pub(crate) last_used: Option<i64>,
    pub(crate) settings: KeySettings,
}

/// A key that was made just now.
pub(crate) struct Created {
    pub(crate) stored: StoredKey,
    /// The key and its hash; neither is returned again.
    pub(crate) new: NewKey,
}

/// The reason for which the store was not changed.
#[derive(Debug)]
pub(crate) enum KeyFault {
    /// The store has no key with this id.
    Unknown,
    /// Another client changed the key since its version was read.
    Outdated,
    /// Another key of the store has the name.
    NameTaken,
    /// A setting is wrong: its name, and the reason.
    Wrong(&'static str, String),
    /// The database cannot be used now.
    Away(BoxError),
}

impl From<sqlx::Error> for KeyFault {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(cause) if cause.is_unique_violation() => Self::NameTaken,
            _ => Self::Away(error.into()),
        }
    }
}
