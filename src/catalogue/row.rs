//! `Row`: the facts about one model.
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::catalogue::images::{ImageRule, factor};
use crate::catalogue::price::Price;
use crate::catalogue::table::Entry;

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

/// A capability of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Capability {
    /// Calls of the client's tools.
    Tools,
    /// Several calls in one turn.
    ParallelTools,
    /// A choice of the tool by the client.
    ToolChoice,
    /// Images in the input.
    Image,
    /// PDFs in the input.
    Pdf,
    /// Answers that follow a JSON schema.
    JsonSchema,
    /// Thinking before the answer.
    Thinking,
    /// A web search that the provider runs.
    WebSearch,
    /// A conversation that ends with the assistant's own words.
    Prefill,
}

impl Capability {
    /// Returns the name in the table.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::ParallelTools => "parallel_tools",
            Self::ToolChoice => "tool_choice",
            Self::Image => "image",
            Self::Pdf => "pdf",
            Self::JsonSchema => "json_schema",
            Self::Thinking => "thinking",
            Self::WebSearch => "web_search",
            Self::Prefill => "prefill",
        }
    }
}

/// A part of a request that a model may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Feature {
    /// `temperature`, `top_p` and `top_k`.
    SamplingParams,
    /// The same, unless the effort is `none`.
    SamplingParamsWithEffort,
    /// `temperature` and `top_p` in one request.
    TemperatureWithTopP,
    /// A `tool_choice` of `any` or of one tool.
    ForcedToolChoice,
    /// A conversation that ends with the assistant's own words.
    Prefill,
    /// Stop sequences.
    Stop,
    /// Tools.
    Tools,
    /// Tools, unless the effort is `none`.
    ToolsWithEffort,
    /// The effort `max`.
    EffortMax,
}

/// The control of a model's thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Thinking {
    /// The model always thinks.
    AlwaysOn,
    /// The model decides for itself.
    Adaptive,
    /// A number of tokens.
    Budget,
    /// A named level.
    Levels,
    /// The effort is the only control.
    Effort,
    /// On or off.
    Switch,
}

/// The range of a thinking budget in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// The least.
    pub(crate) min: u64,
    /// The most.
    pub(crate) max: u64,
    /// Whether a budget of 0 turns thinking off.
    #[serde(default)]
    pub(crate) off: bool,
}

/// A value of `thinking.type` in the Messages API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ThinkingType {
    /// The model decides.
    Adaptive,
    /// Off, with short reports between the calls of tools.
    BetweenTools,
    /// Off.
    Disabled,
    /// On, with a budget.
    Enabled,
}

/// An effort, or a level of thinking. The order is that of the effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effort {
    /// No thinking.
    None,
    /// Least.
    Minimal,
    /// Little.
    Low,
    /// Medium.
    Medium,
    /// Much.
    High,
    /// More.
    Xhigh,
    /// Most.
    Max,
}

impl Effort {
    /// Returns the name in the table and in requests.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// The relation of a model's tokens to those of OpenAI's o200k.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokenizer {
    /// The tokens for each token of o200k.
    #[serde(deserialize_with = "factor")]
    pub(crate) factor: f64,
    /// The tokens for each request.
    #[serde(default)]
    pub(crate) request: u64,
    /// The tokens for each message.
    #[serde(default)]
    pub(crate) message: u64,
    /// The tokens for a request with tools, once.
    #[serde(default)]
    pub(crate) tools: u64,
}

impl Tokenizer {
    /// The tokenizer of a model that the table does not know.
    pub(crate) const UNKNOWN: Self = Self { factor: 1.1, request: 4, message: 4, tools: 0 };
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
