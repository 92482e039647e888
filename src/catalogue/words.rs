//! The words of the table of models: capabilities, refused parameters, efforts, controls of thinking, tokenizers.
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize};

use crate::catalogue::images::factor;

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

/// A day such as `2027-04-01`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Day(pub(crate) Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let date = String::deserialize(deserializer)?.parse();
        date.map(Self).map_err(|_| D::Error::custom("expected a day such as `2027-04-01`"))
    }
}
