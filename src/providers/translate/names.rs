//! Ids and names of tools in the forms that an upstream takes. Pure functions, so that replicas and
//! restarts need no state.
use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The beginning of an id that holds an upstream's own, which the Messages API would not allow.
const HELD: &str = "tidegate_id_";
/// The length of the hash at the end of a shortened name.
const HASH: usize = 8;

/// The ids of calls that an upstream takes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ids {
    /// Up to 40 characters.
    Short,
    /// Exactly 9 letters or digits.
    Nine,
    /// Any.
    Any,
}

/// Returns the id that the client receives: the upstream's own if the Messages API allows it.
pub(crate) fn for_client(id: String) -> String {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    match !id.is_empty() && id.bytes().all(is_allowed) && !id.starts_with(HELD) {
        true => id,
        false => format!("{HELD}{}", URL_SAFE_NO_PAD.encode(id)),
    }
}

/// Returns the id that the upstream receives for one of the client's.
pub(crate) fn for_upstream(id: &str, ids: Ids) -> Cow<'_, str> {
    let held = id.strip_prefix(HELD).and_then(|held| URL_SAFE_NO_PAD.decode(held).ok());
    let id = match held.and_then(|own| String::from_utf8(own).ok()) {
        Some(own) => Cow::Owned(own),
        None => Cow::Borrowed(id),
    };
    match ids {
        Ids::Any => id,
        Ids::Short if id.len() <= 40 => id,
        Ids::Short => format!("call_{}", &hex::encode(Sha256::digest(id.as_bytes()))[..32]).into(),
        Ids::Nine if id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()) => id,
        Ids::Nine => hex::encode(Sha256::digest(id.as_bytes()))[..9].to_owned().into(),
    }
}

/// The names of tools as an upstream knows them, and the way back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// Shortened names with the original ones.
    changed: Vec<(String, String)>,
}

/// The names that an upstream takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameRule {
    /// The largest length.
    pub(crate) longest: usize,
    /// Whether a character is allowed.
    pub(crate) allows: fn(char) -> bool,
}

impl Names {
    /// Returns the upstream's form of a name, and remembers the way back.
    pub(crate) fn forth<'a>(&mut self, name: &'a str, rule: NameRule) -> Cow<'a, str> {
        self.forth_from(name, rule, |_| true)
    }

    /// Returns the upstream's form of a name whose first character has a rule of its own, and remembers the way
    /// back. The rule allows `_`.
    pub(crate) fn forth_from<'a>(
        &mut self,
        name: &'a str,
        rule: NameRule,
        starts: fn(char) -> bool,
    ) -> Cow<'a, str> {
        let is_short = name.len() <= rule.longest && name.starts_with(starts);
        if is_short && name.chars().all(rule.allows) {
            return Cow::Borrowed(name);
        }
        let hash = hex::encode(Sha256::digest(name.as_bytes()));
        let kept = name.chars().filter(|c| c.is_ascii() && (rule.allows)(*c));
        let kept = kept.skip_while(|c| !starts(*c));
        let kept: String = kept.take(rule.longest - HASH - 1).collect();
        let short = format!("{kept}_{}", &hash[..HASH]);
        if !self.changed.iter().any(|(known, _)| *known == short) {
            self.changed.push((short.clone(), name.to_owned()));
        }
        Cow::Owned(short)
    }

    /// Returns the client's form of a name.
    pub(crate) fn back(&self, name: String) -> String {
        let original = self.changed.iter().find(|(short, _)| *short == name);
        original.map_or(name, |(_, original)| original.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: NameRule =
        NameRule { longest: 64, allows: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') };

    #[test]
    fn ids_that_the_messages_api_allows_pass_and_others_come_back() {
        assert_eq!(for_client("call_1-a".to_owned()), "call_1-a");
        for odd in ["a.b", "é", "", "functions.f:0", "tidegate_id_x"] {
            let id = for_client(odd.to_owned());
            assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
            assert_eq!(for_upstream(&id, Ids::Any), odd);
        }
    }

    #[test]
    fn long_ids_are_mapped_the_same_way_each_time() {
        let long = "toolu_".repeat(10);
        let short = for_upstream(&long, Ids::Short);
        assert!(short.len() <= 40 && short == for_upstream(&long, Ids::Short));
        assert_eq!(for_upstream("toolu_1", Ids::Short), "toolu_1");
        assert_eq!(for_upstream("toolu_1", Ids::Nine).len(), 9);
        assert_eq!(for_upstream("abcdefgh1", Ids::Nine), "abcdefgh1");
    }

    #[test]
    fn long_names_are_shortened_and_mapped_back() {
        let mut names = Names::default();
        let long = "a".repeat(100);
        let other = format!("{}b", "a".repeat(99));
        let (one, two) =
            (names.forth(&long, RULE).into_owned(), names.forth(&other, RULE).into_owned());
        assert!(one.len() == 64 && one != two);
        assert_eq!((names.back(one), names.back(two)), (long, other));
        assert_eq!(names.forth("short", RULE), "short");
        let numbered = names.forth_from("1st", RULE, |c| c.is_ascii_alphabetic()).into_owned();
        assert!(numbered.starts_with("st_") && names.back(numbered) == "1st");
        let nothing = names.forth_from("1", RULE, |c| c.is_ascii_alphabetic()).into_owned();
        assert!(nothing.starts_with('_') && names.back(nothing) == "1");
        let odd = names.forth("mcp.tool", RULE).into_owned();
        assert_eq!(names.back(odd), "mcp.tool");
        assert_eq!(names.back("unknown".to_owned()), "unknown");
    }
}
