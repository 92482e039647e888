//! `Row`: the facts about one model.
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use crate::catalogue::billing::Factors;
use crate::catalogue::images::ImageRule;
use crate::catalogue::price::Price;
use crate::catalogue::table::Entry;
pub(crate) use crate::catalogue::words::{
    Budget, Capability, Effort, Feature, Thinking, ThinkingType, Tokenizer,
};
/// The facts about one model. `None` means that the table does not say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The model's name at its provider.
    pub(crate) id: String,
    /// The provider of the model: `anthropic`, `openai`, `gemini`, `groq`, …
    pub(crate) provider: String,
    /// The name for people.
    pub(crate) name: Option<String>,
    /// The API's model line: `opus`, `sonnet`, …
    pub(crate) line: Option<String>,
    /// The most input tokens.
    pub(crate) context: Option<u64>,
    /// The most output tokens.
    pub(crate) max_output: Option<u64>,
    /// The prices.
    pub(crate) price: Option<Price>,
    /// The factors of the prices by the service that an answer names, beside those of the provider.
    pub(super) factors: Factors,
    /// The control of the model's thinking.
    pub(crate) thinking: Option<Thinking>,
    /// The range of `Thinking::Budget` at Gemini.
    pub(crate) budget: Option<Budget>,
    /// The names of `Thinking::Levels`, the lowest first.
    pub(crate) levels: Vec<Effort>,
    /// The accepted efforts, the lowest first; empty if the model refuses any.
    pub(crate) efforts: Option<Vec<Effort>>,
    /// The factor and the overheads of estimated counts.
    pub(crate) tokenizer: Tokenizer,
    /// The rule for the tokens of images and PDFs.
    pub(crate) images: Option<ImageRule>,
    /// The shortest prompt that the provider caches.
    pub(crate) cache_min_tokens: Option<u64>,
    /// The day on which the model is retired.
    pub(crate) retires: Option<Date>,
    /// The page of the provider with the facts.
    pub(crate) source: Option<String>,
    caps: Option<BTreeSet<Capability>>,
    thinking_types: Option<BTreeSet<ThinkingType>>,
    lacks: BTreeSet<Feature>,
    chat_lacks: BTreeSet<Feature>,
    clouds: BTreeMap<String, String>,
}

impl Row {
    /// Returns a row without facts.
    pub(super) fn new(provider: &str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            provider: provider.to_owned(),
            name: None,
            line: None,
            context: None,
            max_output: None,
            price: None,
            factors: Factors::default(),
            thinking: None,
            budget: None,
            levels: Vec::new(),
            efforts: None,
            tokenizer: Tokenizer::UNKNOWN,
            images: None,
            cache_min_tokens: None,
            retires: None,
            source: None,
            caps: None,
            thinking_types: None,
            lacks: BTreeSet::new(),
            chat_lacks: BTreeSet::new(),
            clouds: BTreeMap::new(),
        }
    }

    /// Replaces the facts that an entry sets. The names of its tokenizer and image rule are resolved by the caller.
    pub(super) fn apply(&mut self, entry: &Entry) {
        fn set<T: Clone>(fact: &mut Option<T>, new: &Option<T>) {
            if new.is_some() {
                fact.clone_from(new);
            }
        }
        set(&mut self.name, &entry.name);
        set(&mut self.line, &entry.line);
        set(&mut self.context, &entry.context.map(u64::from));
        set(&mut self.max_output, &entry.max_output.map(u64::from));
        set(&mut self.price, &entry.price);
        self.factors = entry.factors.unwrap_or_default().or(self.factors);
        set(&mut self.thinking, &entry.thinking);
        set(&mut self.budget, &entry.budget);
        set(&mut self.cache_min_tokens, &entry.cache_min_tokens);
        set(&mut self.retires, &entry.retires.map(|day| day.0));
        set(&mut self.source, &entry.source);
        set(&mut self.caps, &entry.caps);
        set(&mut self.thinking_types, &entry.thinking_types);
        if let Some(efforts) = &entry.efforts {
            self.efforts = Some(efforts.iter().copied().collect());
        }
        if let Some(levels) = &entry.levels {
            self.levels = levels.iter().copied().collect();
        }
        if let Some(lacks) = &entry.lacks {
            self.lacks.clone_from(lacks);
        }
        if let Some(lacks) = &entry.chat_lacks {
            self.chat_lacks.clone_from(lacks);
        }
        self.clouds.extend(entry.clouds.clone());
    }

    /// Returns whether the table says which capabilities the model has.
    pub(crate) fn knows_capabilities(&self) -> bool {
        self.caps.is_some()
    }

    /// Returns whether the model has a capability; `false` also if the table does not say.
    pub(crate) fn has(&self, capability: Capability) -> bool {
        self.caps.as_ref().is_some_and(|caps| caps.contains(&capability))
    }

    /// Returns the capabilities that the table names.
    pub(crate) fn capabilities(&self) -> impl Iterator<Item = Capability> {
        self.caps.iter().flatten().copied()
    }

    /// Returns whether the model refuses a part of a request on every API.
    pub(crate) fn lacks(&self, feature: Feature) -> bool {
        self.lacks.contains(&feature)
    }

    /// Returns whether the model refuses a part of a request on Chat Completions.
    pub(crate) fn lacks_on_chat(&self, feature: Feature) -> bool {
        self.chat_lacks.contains(&feature) || self.lacks(feature)
    }

    /// Returns the parts of a request that the model refuses on every API.
    pub(crate) fn refused(&self) -> &BTreeSet<Feature> {
        &self.lacks
    }

    /// Returns the parts of a request that the model refuses on Chat Completions beside those.
    pub(crate) fn refused_on_chat(&self) -> &BTreeSet<Feature> {
        &self.chat_lacks
    }

    /// Returns the accepted values of `thinking.type`; `None` if the table does not say.
    pub(crate) fn thinking_types(&self) -> Option<&BTreeSet<ThinkingType>> {
        self.thinking_types.as_ref()
    }

    /// Returns the model's ids on the clouds with ids of their own.
    pub(crate) fn clouds(&self) -> &BTreeMap<String, String> {
        &self.clouds
    }

    /// Returns whether the model accepts an effort; `None` if the table does not say.
    pub(crate) fn takes_effort(&self, effort: Effort) -> Option<bool> {
        self.efforts.as_ref().map(|efforts| efforts.contains(&effort))
    }

    /// Returns the accepted effort nearest to the wanted one: the highest up to it, else the lowest. `None` is never
    /// a substitute for another effort. Without a word of the table about efforts it is the wanted one itself.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the encoders"))]
    pub(crate) fn nearest_effort(&self, wanted: Effort) -> Option<Effort> {
        match &self.efforts {
            None => Some(wanted),
            Some(efforts) => nearest(efforts, wanted),
        }
    }

    /// Returns the named level nearest to an effort, as [`Self::nearest_effort`] does.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the encoders"))]
    pub(crate) fn nearest_level(&self, wanted: Effort) -> Option<Effort> {
        nearest(&self.levels, wanted)
    }

    /// Returns whether the model accepts a `thinking.type`; `None` if the table does not say.
    pub(crate) fn takes_thinking(&self, kind: ThinkingType) -> Option<bool> {
        self.thinking_types.as_ref().map(|types| types.contains(&kind))
    }

    /// Returns whether a request can turn thinking off; `None` if the table does not say.
    pub(crate) fn can_turn_thinking_off(&self) -> Option<bool> {
        match self.thinking? {
            Thinking::AlwaysOn | Thinking::Levels => Some(false),
            Thinking::Switch => Some(true),
            Thinking::Effort => self.takes_effort(Effort::None),
            Thinking::Adaptive => self.takes_thinking(ThinkingType::Disabled),
            Thinking::Budget => match self.budget {
                Some(budget) => Some(budget.off),
                None => self.takes_thinking(ThinkingType::Disabled),
            },
        }
    }

    /// Returns the model's id on a cloud: `bedrock`, `mantle`, `vertex`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the encoders"))]
    pub(crate) fn id_on(&self, cloud: &str) -> Option<&str> {
        self.clouds.get(cloud).map(String::as_str)
    }

    /// Returns all ids of the model.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.clouds.values().map(String::as_str))
    }
}

fn nearest(accepted: &[Effort], wanted: Effort) -> Option<Effort> {
    if accepted.contains(&wanted) {
        return Some(wanted);
    }
    let mut others = accepted.iter().copied().filter(|effort| *effort != Effort::None);
    let lower =
        accepted.iter().rev().copied().find(|effort| *effort < wanted && *effort != Effort::None);
    lower.or_else(|| others.next())
}
