//! Alias patterns of manifests and of the operator's config.
use std::fmt;

use wildmatch::WildMatch;

use crate::net::egress::pattern::{common, is_overlap, narrower};

/// A pattern for aliases: a name, with `*` as wildcard.
#[derive(Debug, Clone)]
pub(super) struct AliasPattern(WildMatch);

impl AliasPattern {
    /// Parses a pattern. Fails with the problem of the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || "?[]{}".contains(c)) {
            return Err(format!(
                "`{text}` is no alias: write a name under `models`, with `*` as wildcard"
            ));
        }
        Ok(Self(WildMatch::new(text)))
    }

    pub(super) fn matches(&self, alias: &str) -> bool {
        self.0.matches(alias)
    }
}

impl fmt::Display for AliasPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the aliases that both lists allow, as text for people.
pub(super) fn common_aliases(wanted: &[AliasPattern], allowed: &[AliasPattern]) -> Vec<String> {
    common(wanted, allowed, |wanted, allowed| {
        let (wanted, allowed) = (wanted.to_string(), allowed.to_string());
        is_overlap(&wanted, &allowed).then(|| narrower(&wanted, &allowed))
    })
}
