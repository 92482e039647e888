//! The written form of the table of models: the bundled file, and the operator's `models_file`.
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use serde::Deserialize;

use crate::catalogue::billing::{Billing, Factors};
use crate::catalogue::images::ImageRule;
use crate::catalogue::price::Price;
use crate::catalogue::words::{
    Budget, Capability, Day, Effort, Feature, Thinking, ThinkingType, Tokenizer,
};

/// A file of models.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// The day on which the facts were read.
    #[serde(default)]
    pub(crate) read: Option<Day>,
    /// Tokenizers by name; `None` for one that could not be read.
    #[serde(default)]
    pub(crate) tokenizers: BTreeMap<String, Option<Tokenizer>>,
    /// Rules for the tokens of images by name; `None` for one that could not be read.
    #[serde(default)]
    pub(crate) images: BTreeMap<String, Option<ImageRule>>,
    /// The billing rules of providers; `None` for one that could not be read.
    #[serde(default)]
    pub(crate) billing: BTreeMap<String, Option<Billing>>,
    /// The models; `None` for one that could not be read.
    #[serde(default)]
    pub(crate) models: Vec<Option<Entry>>,
}

/// The facts that a file states about one model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The model's name at its provider.
    pub(crate) id: String,
    /// The provider; optional if the table already has exactly one model of this name.
    pub(crate) provider: Option<String>,
    pub(super) name: Option<String>,
    pub(super) line: Option<String>,
    pub(super) context: Option<NonZeroU64>,
    pub(super) max_output: Option<NonZeroU64>,
    pub(super) price: Option<Price>,
    pub(super) factors: Option<Factors>,
    pub(super) caps: Option<BTreeSet<Capability>>,
    pub(super) thinking: Option<Thinking>,
    pub(super) thinking_types: Option<BTreeSet<ThinkingType>>,
    pub(super) budget: Option<Budget>,
    pub(super) levels: Option<BTreeSet<Effort>>,
    pub(super) efforts: Option<BTreeSet<Effort>>,
    pub(super) lacks: Option<BTreeSet<Feature>>,
    pub(super) chat_lacks: Option<BTreeSet<Feature>>,
    /// The name of a tokenizer.
    pub(super) tokenizer: Option<String>,
    /// The name of a rule for images.
    pub(super) images: Option<String>,
    pub(super) cache_min_tokens: Option<u64>,
    pub(super) retires: Option<Day>,
    #[serde(default)]
    pub(super) clouds: BTreeMap<String, String>,
    pub(super) source: Option<String>,
    /// The second collection that agrees with the facts.
    #[serde(rename = "checked")]
    pub(super) _checked: Option<String>,
    /// The values of the second collection that do not agree.
    #[serde(rename = "differs")]
    pub(super) _differs: Option<String>,
}
