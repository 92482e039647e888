//! The values of `anthropic-beta` that each cloud takes, and the choice among a caller's values.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use Fate::{Drop, Keep, Rename};

/// The fate of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The upstream takes it.
    Keep,
    /// The upstream rejects it.
    Drop,
    /// The upstream has another name for it.
    Rename(&'static str),
}

/// The door that a request goes through; each takes other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::providers) enum Column {
    /// Anthropic's own API and servers that speak it: every value passes.
    Anthropic,
    /// Microsoft Foundry: every value passes but those that are known not to.
    Foundry,
    /// InvokeModel of Bedrock: only the values of the table pass.
    Invoke,
    /// The native Messages endpoints of Bedrock: only the values of the table pass.
    Mantle,
    /// Vertex AI: only the values of the table pass.
    Vertex,
}

/// One value, and its fate at Foundry, InvokeModel, Mantle and Vertex.
type Row = (&'static str, [Fate; 4]);

const ALL: [Fate; 4] = [Keep, Keep, Keep, Keep];
/// Anthropic's and Foundry's only.
const FOUNDRY: [Fate; 4] = [Keep, Drop, Drop, Drop];
const NOT_INVOKE: [Fate; 4] = [Keep, Drop, Keep, Keep];
const NOT_BEDROCK: [Fate; 4] = [Keep, Drop, Drop, Keep];
const NOT_MANTLE: [Fate; 4] = [Keep, Keep, Drop, Keep];

/// As other gateways measured it, 2026-11. `betas:` in the config overrides single rows.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("advanced-tool-use-2025-11-20", [
        Keep,
        Rename("tool-search-tool-2025-10-19"),
        Rename("tool-search-tool-2025-10-19"),
        Rename("tool-search-tool-2025-10-19"),
    ]),
    ("advisor-tool-2026-03-01", [Drop, Drop, Drop, Drop]),
    ("claude-code-20250219", NOT_INVOKE),
    ("code-execution-2025-08-25", FOUNDRY),
    ("compact-2026-01-12", ALL),
    ("compact-2026-09-04", [Keep, Keep, Drop, Drop]),
    ("computer-use-2025-01-24", ALL),
    ("computer-use-2025-11-24", ALL),
    ("context-1m-2025-08-07", ALL),
    ("context-management-2025-06-27", ALL),
    ("dangerous-tool-use-2026-09-03", ALL),
    ("effort-2025-11-24", ALL),
    ("extended-cache-ttl-2025-04-11", FOUNDRY),
    ("fallback-credit-2026-06-01", NOT_BEDROCK),
    ("fast-mode-2026-02-01", FOUNDRY),
    ("files-api-2025-04-14", FOUNDRY),
    ("fine-grained-tool-streaming-2025-05-14", ALL),
    ("inline-tools-2026-09-15", NOT_BEDROCK),
    ("interleaved-thinking-2025-05-14", NOT_INVOKE),
    ("mcp-client-2025-04-04", FOUNDRY),
    ("mcp-client-2025-11-20", FOUNDRY),
    ("mcp-client-2026-09-15", FOUNDRY),
    ("message-batches-2024-09-24", FOUNDRY),
    ("message-threads-2026-08-12", FOUNDRY),
    ("mid-conversation-output-config-2026-07-01", NOT_MANTLE),
    ("mid-conversation-tool-changes-2026-07-01", NOT_MANTLE),
    ("output-128k-2025-02-19", NOT_INVOKE),
    ("pdfs-2024-09-25", NOT_BEDROCK),
    ("per-turn-control-2026-07-01", NOT_INVOKE),
    ("prompt-caching-2024-07-31", FOUNDRY),
    ("prompt-caching-scope-2026-01-05", FOUNDRY),
    ("redact-thinking-2026-02-12", FOUNDRY),
    ("skills-2025-10-02", FOUNDRY),
    ("structured-outputs-2025-11-13", NOT_INVOKE),
    ("structured-outputs-2025-12-15", NOT_BEDROCK),
    ("task-budgets-2026-03-13", NOT_BEDROCK),
    ("thinking-binding-controls-2026-08-01", ALL),
    ("thinking-display-updates-2026-08-18", ALL),
    ("thinking-token-count-2026-05-13", NOT_BEDROCK),
    ("token-counting-2024-11-01", NOT_BEDROCK),
    ("token-efficient-tools-2025-02-19", NOT_INVOKE),
    ("tool-examples-2025-10-29", NOT_INVOKE),
    ("tool-search-tool-2025-10-19", [Drop, Keep, Keep, Keep]),
    ("web-fetch-2025-09-10", FOUNDRY),
    ("web-search-2025-03-05", NOT_INVOKE),
];

impl Column {
    fn fate(self, name: &str) -> Fate {
        let at = match self {
            Self::Anthropic => return Keep,
            Self::Foundry => 0,
            Self::Invoke => 1,
            Self::Mantle => 2,
            Self::Vertex => 3,
        };
        let row = TABLE.binary_search_by_key(&name, |(name, _)| name);
        let unknown = if self == Self::Foundry { Keep } else { Drop };
        row.map_or(unknown, |row| TABLE[row].1[at])
    }
}

/// A fate that the config sets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Set {
    Keep,
    Drop,
    Rename(String),
}

/// `betas:` of a provider: `keep`, `drop`, or another name to send, for each value of `anthropic-beta`.
#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(with = "BTreeMap<String, String>")]
pub(in crate::providers) struct Overrides(BTreeMap<String, Set>);

impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let set = |text: String| match text.as_str() {
            "keep" => Set::Keep,
            "drop" => Set::Drop,
            _ => Set::Rename(text),
        };
        Ok(Self(texts.into_iter().map(|(name, text)| (name, set(text))).collect()))
    }
}

impl Overrides {
    /// Returns a message for the key if a name cannot be sent.
    pub(in crate::providers) fn wrong(&self) -> Option<String> {
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
        };
        let renamed = self.0.values().filter_map(|set| match set {
            Set::Rename(name) => Some(name),
            Set::Keep | Set::Drop => None,
        });
        let wrong = self.0.keys().chain(renamed).find(|name| !is_name(name))?;
        Some(format!("`{wrong}` is no value of `anthropic-beta`: expected letters, digits and `-`"))
    }
}

/// The choice among the values that a caller sends.
#[derive(Debug, Clone)]
pub(in crate::providers) struct Betas {
    column: Column,
    own: Overrides,
}

/// A caller's values after the choice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::providers) struct Chosen {
    /// The values to send, each once, in the caller's order.
    pub(in crate::providers) sent: Vec<String>,
    /// The values that the upstream does not take.
    pub(in crate::providers) dropped: Vec<String>,
}

impl Betas {
    pub(in crate::providers) fn new(column: Column, own: Overrides) -> Self {
        Self { column, own }
    }

    /// Returns whether every value passes, so that no choice is needed.
    pub(in crate::providers) fn takes_all(&self) -> bool {
        self.column == Column::Anthropic && self.own.0.is_empty()
    }

    /// Chooses among values, each of which may be a list with commas.
    pub(in crate::providers) fn choose<'a>(&self, lists: impl Iterator<Item = &'a str>) -> Chosen {
        let mut chosen = Chosen::default();
        let names = lists.flat_map(|list| list.split(',')).map(str::trim);
        for name in names.filter(|name| !name.is_empty()) {
            let sent = match (self.own.0.get(name), self.column.fate(name)) {
                (Some(Set::Rename(other)), _) => Some(other.as_str()),
                (Some(Set::Keep), _) | (None, Keep) => Some(name),
                (Some(Set::Drop), _) | (None, Drop) => None,
                (None, Rename(other)) => Some(other),
            };
            let (list, name) = match sent {
                Some(name) => (&mut chosen.sent, name),
                None => (&mut chosen.dropped, name),
            };
            if !list.iter().any(|known| known == name) {
                list.push(name.to_owned());
            }
        }
        chosen
    }
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(column: Column, own: &str, lists: &[&str]) -> (String, String) {
        let own = serde_json::from_str(own).unwrap();
        let Chosen { sent, dropped } = Betas::new(column, own).choose(lists.iter().copied());
        (sent.join(","), dropped.join(","))
    }

    #[test]
    fn the_table_is_in_order_and_has_no_name_twice() {
        assert!(TABLE.is_sorted_by(|(one, _), (other, _)| one < other));
    }

    #[test]
    fn each_door_takes_its_own_values() {
        let asked = [
            "claude-code-20250219, interleaved-thinking-2025-05-14",
            "advanced-tool-use-2025-11-20,files-api-2025-04-14,web-search-2025-03-05",
            "new-2027-01-01,,compact-2026-09-04",
        ];
        let table = [
            (
                Column::Anthropic,
                "claude-code-20250219,interleaved-thinking-2025-05-14,advanced-tool-use-2025-11-20,files-api-2025-04-14,web-search-2025-03-05,new-2027-01-01,compact-2026-09-04",
                "",
            ),
            (
                Column::Foundry,
                "claude-code-20250219,interleaved-thinking-2025-05-14,advanced-tool-use-2025-11-20,files-api-2025-04-14,web-search-2025-03-05,new-2027-01-01,compact-2026-09-04",
                "",
            ),
            (
                Column::Invoke,
                "tool-search-tool-2025-10-19,compact-2026-09-04",
                "claude-code-20250219,interleaved-thinking-2025-05-14,files-api-2025-04-14,web-search-2025-03-05,new-2027-01-01",
            ),
            (
                Column::Mantle,
                "claude-code-20250219,interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19,web-search-2025-03-05",
                "files-api-2025-04-14,new-2027-01-01,compact-2026-09-04",
            ),
            (
                Column::Vertex,
                "claude-code-20250219,interleaved-thinking-2025-05-14,tool-search-tool-2025-10-19,web-search-2025-03-05",
                "files-api-2025-04-14,new-2027-01-01,compact-2026-09-04",
            ),
        ];
        for (column, sent, dropped) in table {
            assert_eq!(chosen(column, "{}", &asked), (sent.into(), dropped.into()), "{column:?}");
        }
        assert_eq!(
            chosen(Column::Foundry, "{}", &["advisor-tool-2026-03-01"]).1,
            "advisor-tool-2026-03-01"
        );
    }

    #[test]
    fn the_config_overrides_single_values_and_a_value_is_sent_once() {
        let own = r#"{"new-2027-01-01":"keep","effort-2025-11-24":"drop","files-api-2025-04-14":"files-2","advanced-tool-use-2025-11-20":"tool-search-tool-2025-10-19"}"#;
        let asked = [
            "new-2027-01-01,effort-2025-11-24,files-api-2025-04-14,advanced-tool-use-2025-11-20,tool-search-tool-2025-10-19",
        ];
        assert_eq!(
            chosen(Column::Invoke, own, &asked),
            (
                "new-2027-01-01,files-2,tool-search-tool-2025-10-19".into(),
                "effort-2025-11-24".into()
            )
        );
        let wrong: Overrides = serde_json::from_str(r#"{"a":"b c"}"#).unwrap();
        assert!(wrong.wrong().unwrap().contains("`b c`"));
        assert!(serde_json::from_str::<Overrides>(own).unwrap().wrong().is_none());
    }
}
