//! The wish of a request for reasoning, in the terms of a family of models.
use super::body::{Amount, ThinkingConfig};
use super::config::Backend;
use super::encode::Encoder;
use super::families::Thinking;
use crate::providers::translate::effort::{self, Wish};

impl Encoder<'_> {
    /// Returns the control of the thinking; `None` for the model's default.
    pub(super) fn thinking(&mut self) -> Option<ThinkingConfig> {
        let wish = Wish::of(self.conversation);
        let amount = match self.terms.family.thinking {
            Thinking::None => {
                if matches!(wish, Wish::Effort(_) | Wish::Budget(_)) {
                    self.drop_wish("the model does not think");
                }
                return None;
            }
            Thinking::Budget { .. } => self.budget(wish).map(Amount::ThinkingBudget),
            Thinking::Levels(levels) => self.level(wish, levels).map(Amount::ThinkingLevel),
        };
        let kind = self.conversation.thinking.as_ref().map(|thinking| &*thinking.kind);
        let is_wanted = kind.is_some_and(|kind| kind != "disabled");
        let include_thoughts = is_wanted && self.conversation.shows_thinking();
        let config = ThinkingConfig { include_thoughts, amount };
        (config != ThinkingConfig::default()).then_some(config)
    }

    /// Returns the budget of tokens.
    fn budget(&mut self, wish: Wish<'_>) -> Option<u64> {
        let Thinking::Budget { least, most, is_optional } = self.terms.family.thinking else {
            return None;
        };
        let wanted = match wish {
            Wish::Default => return None,
            Wish::Off if is_optional => return Some(0),
            Wish::Off => {
                self.drop_wish("the model always thinks");
                0
            }
            Wish::Budget(budget) => budget,
            Wish::Effort(effort) => match budget_of(effort) {
                Some(budget) => budget,
                None => {
                    self.drop_wish("the gateway knows no budget for this effort");
                    return None;
                }
            },
        };
        Some(wanted.clamp(least, most))
    }

    /// Returns the level.
    fn level(&mut self, wish: Wish<'_>, levels: &[&str]) -> Option<String> {
        let accepted: Vec<String> = match &self.terms.facts.efforts {
            Some(own) => own.clone(),
            None => levels.iter().map(|level| (*level).to_owned()).collect(),
        };
        // no level turns the thinking off, and Google's description of Vertex AI has no `XHIGH`
        let is_vertex = self.terms.backend == Backend::Vertex;
        let is_known = |level: &String| level != "none" && !(is_vertex && level == "xhigh");
        let accepted: Vec<String> = accepted.into_iter().filter(is_known).collect();
        let found = effort::nearest(wish.level()?, &accepted).map(str::to_ascii_uppercase);
        match (wish, &found) {
            (Wish::Off, _) => self.drop_wish("the model always thinks"),
            (_, None) => self.drop_wish("the model has no such level"),
            _ => {}
        }
        found
    }

    /// Notes that the wish is not met.
    fn drop_wish(&mut self, reason: &'static str) {
        let (name, place) = match self.conversation.effort() {
            Some(_) if self.conversation.thinking.is_none() => {
                ("output_config.effort", "/output_config/effort")
            }
            _ => ("thinking", "/thinking"),
        };
        self.drop_content(name, place, reason);
    }
}

/// Returns the budget that stands for an effort. Budgets have levels by the same bounds.
fn budget_of(effort: &str) -> Option<u64> {
    Some(match effort {
        "minimal" => 512,
        "low" => 1024,
        "medium" => 2048,
        "high" => 4096,
        "xhigh" => 8192,
        "max" => u64::MAX,
        _ => return None,
    })
}
