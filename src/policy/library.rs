//! The shipped policies: `policies/library` as it was when the binary was built.
use strsim::levenshtein;

/// A policy that the binary brings along.
#[derive(Debug)]
pub struct Shipped {
    /// Its path in the library without `.rhai`: `canary`, `compat/portkey`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
    /// The text of its cases.
    pub cases: Option<&'static str>,
}

const SHIPPED: &[Shipped] = include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// The modules that policies import as `tidegate/<name>`: name and text. Nobody has to copy them, so
/// that a copy of a policy which imports one works as it is.
pub const MODULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// All of them, in the order of their names.
pub fn all() -> &'static [Shipped] {
    SHIPPED
}

/// The one of this name.
pub fn find(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}

/// The name that is most like this one, if one is like it at all.
pub fn nearest(name: &str) -> Option<&'static str> {
    let most = (name.chars().count() / 2).max(1);
    let names = SHIPPED.iter().map(|shipped| {
        // who writes `portkey` means `compat/portkey`
        let last = shipped.name.rsplit('/').next().unwrap_or_default();
        (levenshtein(name, shipped.name).min(levenshtein(name, last)), shipped.name)
    });
    names.filter(|(far, _)| *far <= most).min().map(|(_, name)| name)
}

impl Shipped {
    /// What it is for: the first line of its first comment.
    pub fn summary(&self) -> &'static str {
        let line = self.source.lines().next().unwrap_or_default();
        line.strip_prefix("//").unwrap_or_default().trim_start_matches('/').trim()
    }

    /// Where messages say that it is.
    pub fn place(&self) -> String {
        format!("library/{}.rhai (built in)", self.name)
    }
}
