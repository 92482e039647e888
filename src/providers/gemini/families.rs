//! The families of Gemini models: a table of the rules that an encoder must know, read on 2026-11-28. The table of
//! models overrides the control of the thinking.
use crate::catalogue::{Row, row};

/// The rules of a family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family {
    /// The beginning of the models' names.
    begins: &'static str,
    /// The number before the first dot: 2 for 2.5. 0 for other models.
    pub(super) generation: u8,
    /// The control of the thinking.
    pub(super) thinking: Thinking,
    /// Whether sampling parameters are taken.
    pub(super) sampling: Sampling,
    /// Whether the first call of a step needs a signature.
    pub(super) signatures: Signatures,
}

/// The control of the thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// The models do not think.
    None,
    /// A budget of tokens. `is_optional` if a budget of 0 turns the thinking off.
    Budget { least: u64, most: u64, is_optional: bool },
    /// Levels, from the least to the most. No level turns the thinking off.
    Levels(&'static [&'static str]),
}

/// The treatment of `temperature`, `topP` and `topK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    Taken,
    Refused,
}

/// The need for a signature on the first call of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    Optional,
    Required,
}

use Sampling::{Refused, Taken};
use Signatures::{Optional, Required};
use Thinking::{Budget, Levels};

const FROM_MINIMAL: Thinking = Levels(&["minimal", "low", "medium", "high"]);
const FROM_LOW: Thinking = Levels(&["low", "medium", "high"]);
const PRO_25: Thinking = Budget { least: 128, most: 32_768, is_optional: false };
const FLASH_25: Thinking = Budget { least: 1, most: 24_576, is_optional: true };
const LITE_25: Thinking = Budget { least: 512, most: 24_576, is_optional: true };

/// The families. The first entry whose beginning fits counts.
const FAMILIES: [Family; 24] = [
    family("gemini-1", 1, Thinking::None, Taken, Optional),
    family("gemini-2.0", 2, Thinking::None, Taken, Optional),
    family("gemini-2.5-pro", 2, PRO_25, Taken, Optional),
    family("gemini-2.5-flash-image", 2, Thinking::None, Taken, Optional),
    family("gemini-2.5-flash-lite", 2, LITE_25, Taken, Optional),
    family("gemini-2.5", 2, FLASH_25, Taken, Optional),
    family("gemini-2", 2, Thinking::None, Taken, Optional),
    family("gemini-3-pro-image", 3, Levels(&["low", "high"]), Taken, Optional),
    family("gemini-3-pro", 3, Levels(&["low", "high"]), Taken, Required),
    family("gemini-3.1-pro", 3, FROM_LOW, Taken, Required),
    family("gemini-3-flash", 3, FROM_MINIMAL, Taken, Required),
    family("gemini-3.1-flash", 3, FROM_MINIMAL, Taken, Required),
    family("gemini-3.5-flash-lite", 3, FROM_MINIMAL, Refused, Required),
    family("gemini-3.5-flash", 3, FROM_MINIMAL, Taken, Required),
    family("gemini-3.6-flash", 3, FROM_MINIMAL, Refused, Required),
    family("gemini-3.7-flash", 3, FROM_LOW, Refused, Required),
    family("gemini-3.8-flash", 3, FROM_LOW, Refused, Required),
    family("gemini-3", 3, FROM_LOW, Taken, Required),
    family("gemini-4-hydrogen", 4, Levels(&["low", "medium", "high", "xhigh"]), Taken, Required),
    family("gemini-4", 4, FROM_LOW, Taken, Required),
    // aliases move to the newest model, so they get what all of the newest models take
    family("gemini-flash", 4, FROM_LOW, Refused, Required),
    family("gemini-pro", 4, FROM_LOW, Taken, Required),
    family("gemini-", 4, FROM_LOW, Taken, Required),
    family("", 0, Thinking::None, Taken, Optional),
];

const fn family(
    begins: &'static str,
    generation: u8,
    thinking: Thinking,
    sampling: Sampling,
    signatures: Signatures,
) -> Family {
    Family { begins, generation, thinking, sampling, signatures }
}

impl Family {
    /// Returns the family of a model. A path in front of the name, such as `models/`, does not count.
    pub(super) fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
        let fits = |family: &&Self| name.starts_with(family.begins);
        // the last entry fits every name
        *FAMILIES.iter().find(fits).unwrap_or(&FAMILIES[FAMILIES.len() - 1])
    }

    /// Returns the family with the facts of the table of models about one of them.
    pub(super) fn with(self, row: Option<&Row>) -> Self {
        let Some(row) = row else { return self };
        let thinking = match (row.thinking, row.budget) {
            (Some(row::Thinking::Budget), Some(budget)) => {
                Budget { least: budget.min, most: budget.max, is_optional: budget.off }
            }
            // the levels themselves are in the model's facts
            (Some(row::Thinking::Levels), _) if !matches!(self.thinking, Levels(_)) => FROM_LOW,
            _ => self.thinking,
        };
        let refuses = row.lacks(row::Feature::SamplingParams);
        let sampling = if refuses { Refused } else { self.sampling };
        Self { thinking, sampling, ..self }
    }

    /// Returns whether results of tools may hold media.
    pub(super) fn takes_media_in_results(self) -> bool {
        self.generation >= 3
    }

    /// Returns whether addresses of any host are taken for media.
    pub(super) fn takes_addresses(self) -> bool {
        self.generation >= 3
    }

    /// Returns whether a schema of the output may stand beside tools.
    pub(super) fn takes_schema_beside_tools(self) -> bool {
        self.generation >= 3
    }
}

#[cfg(test)]
mod page;
#[cfg(test)]
mod tests {
    use super::*;

    fn levels(model: &str) -> Vec<&'static str> {
        match Family::of(model).thinking {
            Levels(levels) => levels.to_vec(),
            other => panic!("{model}: {other:?}"),
        }
    }

    #[test]
    fn each_model_has_the_control_of_its_family() {
        assert_eq!(Family::of("gemini-2.5-pro").thinking, PRO_25);
        assert_eq!(Family::of("gemini-2.5-flash").thinking, FLASH_25);
        assert_eq!(Family::of("models/gemini-2.5-flash-lite-001").thinking, LITE_25);
        assert_eq!(Family::of("gemini-2.5-flash-image").thinking, Thinking::None);
        assert_eq!(levels("gemini-3-pro-preview"), ["low", "high"]);
        assert_eq!(levels("gemini-3.1-pro-preview"), ["low", "medium", "high"]);
        for minimal in ["gemini-3-flash-preview", "gemini-3.5-flash", "gemini-3.6-flash"] {
            assert_eq!(levels(minimal)[0], "minimal", "{minimal}");
        }
        for low in ["gemini-3.7-flash", "gemini-3.8-flash", "gemini-4-argon", "gemini-flash-latest"]
        {
            assert_eq!(levels(low), ["low", "medium", "high"], "{low}");
        }
        assert_eq!(levels("Gemini-4-Hydrogen")[3], "xhigh");
        assert_eq!(Family::of("gemma-4").thinking, Thinking::None);
    }

    #[test]
    fn models_without_sampling_parameters_and_without_signatures_are_known() {
        for refusing in ["gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-3.8-flash-001"] {
            assert_eq!(Family::of(refusing).sampling, Refused, "{refusing}");
        }
        assert_eq!(Family::of("gemini-3.5-flash").sampling, Taken);
        for required in ["gemini-3-pro", "gemini-3.5-flash", "gemini-4-argon", "gemini-9-new"] {
            assert_eq!(Family::of(required).signatures, Required, "{required}");
        }
        for optional in ["gemini-2.5-pro", "gemini-3-pro-image-preview", "own-model"] {
            assert_eq!(Family::of(optional).signatures, Optional, "{optional}");
        }
    }

    #[test]
    fn every_family_can_be_reached() {
        for (n, family) in FAMILIES.iter().enumerate() {
            assert_eq!(Family::of(family.begins), *family, "entry {n} stands after a shorter one");
        }
    }
}
