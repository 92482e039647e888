//! The wish of a request for reasoning, in the words of an upstream.
use crate::providers::translate::conversation::Conversation;

/// The levels of effort, from the least to the most.
const LEVELS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// A request's wish for reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish<'a> {
    /// The server's default.
    Default,
    /// No reasoning.
    Off,
    /// Reasoning with an effort.
    Effort(&'a str),
    /// Reasoning with a budget of tokens.
    Budget(u64),
}

impl<'a> Wish<'a> {
    /// Reads a request. The effort counts before the budget.
    pub(crate) fn of(conversation: &'a Conversation<'_>) -> Self {
        let thinking = conversation.thinking.as_ref();
        let kind = thinking.map(|thinking| &*thinking.kind);
        let budget = thinking.and_then(|thinking| thinking.budget_tokens);
        match (kind, conversation.effort(), budget) {
            (Some("disabled"), _, _) => Self::Off,
            (_, Some(effort), _) => Self::Effort(effort),
            (Some("enabled"), None, Some(budget)) => Self::Budget(budget),
            _ => Self::Default,
        }
    }

    /// Returns the level of the wish; `None` for the server's default.
    pub(crate) fn level(self) -> Option<&'a str> {
        match self {
            Self::Default => None,
            Self::Off => Some("none"),
            Self::Effort(effort) => Some(effort),
            Self::Budget(budget) => Some(level_of(budget)),
        }
    }
}

/// Returns the level that stands for a budget of tokens.
pub(crate) fn level_of(budget: u64) -> &'static str {
    match budget {
        16_384.. => "max",
        8_192.. => "xhigh",
        4_096.. => "high",
        2_048.. => "medium",
        _ => "low",
    }
}

/// Returns the accepted level that is nearest to the wanted one: the highest below it, else the lowest above
/// it. `None` turns the reasoning off, so no other level stands for it.
pub(crate) fn nearest<'b>(wanted: &str, accepted: &'b [String]) -> Option<&'b str> {
    let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
    let Some(wanted) = rank(wanted) else {
        return accepted.iter().map(String::as_str).find(|level| *level == wanted);
    };
    let mut ranked: Vec<(usize, &str)> =
        accepted.iter().filter_map(|level| Some((rank(level)?, level.as_str()))).collect();
    ranked.sort_unstable();
    let is_on = |found: &&(usize, &str)| wanted == 0 || found.0 > 0;
    let below = ranked.iter().rev().filter(is_on).find(|(level, _)| *level <= wanted);
    below
        .or_else(|| ranked.iter().filter(is_on).find(|(level, _)| *level > wanted))
        .map(|found| found.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(levels: &[&str]) -> Vec<String> {
        levels.iter().map(|level| (*level).to_owned()).collect()
    }

    #[test]
    fn the_nearest_accepted_level_stands_for_another() {
        let openai = list(&["none", "low", "medium", "high", "xhigh"]);
        assert_eq!(nearest("max", &openai), Some("xhigh"));
        assert_eq!(nearest("minimal", &openai), Some("low"));
        assert_eq!(nearest("none", &openai), Some("none"));
        assert_eq!(nearest("low", &list(&["high", "max"])), Some("high"));
        assert_eq!(nearest("none", &list(&["low", "high"])), Some("low"));
        assert_eq!(nearest("low", &list(&["none"])), None);
        assert_eq!(nearest("ultra", &list(&["low", "ultra"])), Some("ultra"));
        assert_eq!(nearest("low", &[]), None);
    }

    #[test]
    fn a_budget_has_a_level() {
        let levels = [100, 2048, 4096, 8192, 31_999].map(level_of);
        assert_eq!(levels, ["low", "medium", "high", "xhigh", "max"]);
    }
}
