//! The types of events, and the choice of a sink among them.
use wildmatch::WildMatch;

/// An exchange has ended.
pub(crate) const EXCHANGE_ENDED: &str = "exchange.ended";
/// A budget has reached its `warn_at`.
pub(crate) const BUDGET_WARNED: &str = "budget.warned";
/// A budget is used up.
pub(crate) const BUDGET_USED_UP: &str = "budget.used_up";
/// A target has failed and cools down.
pub(crate) const TARGET_DOWN: &str = "target.down";
/// A target that had failed answers again.
pub(crate) const TARGET_UP: &str = "target.up";
/// A changed config cannot be used.
pub(crate) const RELOAD_FAILED: &str = "reload.failed";
/// A key was made.
pub(crate) const KEY_CREATED: &str = "key.created";
/// The settings of a key were changed.
pub(crate) const KEY_CHANGED: &str = "key.changed";
/// A key was revoked.
pub(crate) const KEY_REVOKED: &str = "key.revoked";
/// The beginning of the types of policies' events.
pub(crate) const OF_POLICIES: &str = "policy.";

/// The gateway's own types.
const OWN: [&str; 9] = [
    EXCHANGE_ENDED,
    BUDGET_WARNED,
    BUDGET_USED_UP,
    TARGET_DOWN,
    TARGET_UP,
    RELOAD_FAILED,
    KEY_CREATED,
    KEY_CHANGED,
    KEY_REVOKED,
];

/// The types that a sink receives.
pub(super) struct Wanted(Vec<WildMatch>);

impl Wanted {
    /// Fails with the place and the message of each pattern that fits no type.
    pub(super) fn new(patterns: &[String]) -> Result<Self, Vec<(String, String)>> {
        if patterns.is_empty() {
            let message = "the list is empty: name at least one type, or leave the key out";
            return Err(vec![("events".to_owned(), message.to_owned())]);
        }
        let strange = patterns.iter().enumerate().filter(|(_, pattern)| !fits_some(pattern));
        let wrong: Vec<_> = strange
            .map(|(n, pattern)| {
                let known = OWN.map(|name| format!("`{name}`")).join(", ");
                let message = format!(
                    "no event has a type like `{pattern}`: there are {known} and `{OF_POLICIES}…`"
                );
                (format!("events[{n}]"), message)
            })
            .collect();
        match wrong.is_empty() {
            true => Ok(Self(patterns.iter().map(|pattern| WildMatch::new(pattern)).collect())),
            false => Err(wrong),
        }
    }

    /// Returns whether the sink receives events of a type.
    pub(super) fn has(&self, kind: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(kind))
    }
}

fn fits_some(pattern: &str) -> bool {
    let is_of_policies = pattern.strip_prefix(OF_POLICIES).is_some_and(|name| !name.is_empty());
    is_of_policies || OWN.iter().any(|name| WildMatch::new(pattern).matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(patterns: &[&str]) -> Result<Wanted, Vec<(String, String)>> {
        Wanted::new(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_choose_types() {
        let some = wanted(&["exchange.ended", "budget.*", "policy.pii-*"]).unwrap();
        let chosen: Vec<_> = OWN.into_iter().filter(|name| some.has(name)).collect();
        assert_eq!(chosen, [EXCHANGE_ENDED, BUDGET_WARNED, BUDGET_USED_UP]);
        assert!(some.has("policy.pii-found") && !some.has("policy.other"));
        let all = wanted(&["*"]).unwrap();
        assert!(OWN.iter().all(|name| all.has(name)) && all.has("policy.x"));
    }

    #[test]
    fn a_pattern_that_fits_no_type_is_wrong() {
        for pattern in ["exchange", "budgets.*", "", "policy", "policy.", "target.down.*"] {
            let wrong = wanted(&["key.*", pattern]).err().unwrap();
            assert_eq!(wrong.len(), 1, "{pattern}");
            assert_eq!(wrong[0].0, "events[1]");
            assert!(wrong[0].1.contains(&format!("`{pattern}`")), "{}", wrong[0].1);
        }
        assert_eq!(wanted(&[]).err().unwrap()[0].0, "events");
    }
}
