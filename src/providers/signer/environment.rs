//! `Environment`: the variables that the credential chains of the clouds read, and the home folder.
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The source of variables: this process, or a table in a test.
#[derive(Debug, Clone)]
pub(crate) enum Environment {
    /// The variables of this process.
    Process,
    /// A table.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests cannot set variables"))]
    Table(BTreeMap<&'static str, String>),
}

impl Environment {
    /// Returns a variable; `None` if it is empty or no UTF-8.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::Process => variable(name),
            Self::Table(table) => table.get(name).cloned(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// Returns a path below the home folder; `None` without a home folder.
    pub(crate) fn home(&self, below: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.get("HOME")?).join(below))
    }
}

#[expect(clippy::disallowed_methods, reason = "the clouds define these variables, not the config")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
