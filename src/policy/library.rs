//! The shipped policies: `policies/library` as of the build of the binary.
use strsim::levenshtein;

/// A policy that is part of the binary.
#[derive(Debug)]
pub(crate) struct Shipped {
    /// The path in the library without `.rhai`: `canary`, `compat/portkey`.
    pub name: &'static str,
    /// The source text.
    pub source: &'static str,
    /// The text of the policy's cases.
    pub cases: Option<&'static str>,
}

const SHIPPED: &[Shipped] = include!(concat!(env!("OUT_DIR"), "/library.rs"));

/// The modules that policies import as `tidegate/<name>`: name and text. They are part of the binary,
/// so a copied policy that imports one works without changes.
pub(crate) const MODULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Returns all shipped policies in name order.
pub(crate) fn all() -> &'static [Shipped] {
    SHIPPED
}

/// Returns the shipped policy with this name.
pub(crate) fn find(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}

/// Returns the most similar name, if any name is similar.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let most = (name.chars().count() / 2).max(1);
    let names = SHIPPED.iter().map(|shipped| {
        // `portkey` means `compat/portkey`
        let last = shipped.name.rsplit('/').next().unwrap_or_default();
        (levenshtein(name, shipped.name).min(levenshtein(name, last)), shipped.name)
    });
    names.filter(|(far, _)| *far <= most).min().map(|(_, name)| name)
}

impl Shipped {
    /// Returns the purpose of the policy: the first line of its first comment.
    pub(crate) fn summary(&self) -> &'static str {
        let line = self.source.lines().next().unwrap_or_default();
        line.strip_prefix("//").unwrap_or_default().trim_start_matches('/').trim()
    }

    /// Returns the path that messages give for the policy.
    pub(crate) fn place(&self) -> String {
        format!("library/{}.rhai (built in)", self.name)
    }
}
