//! An entry of `model_list`: one deployment of a name that callers use.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cli::import::advice;
use crate::cli::import::node::{Node, Tree};
use crate::cli::import::notes::{Near, Notes, Spot};
use crate::cli::import::provider::{Maker, Provider};
use crate::cli::import::section::{Field, Section};
use crate::cli::import::vendors;

/// A deployment.
#[derive(Debug, Clone)]
pub(super) struct Deployment {
    /// The name that callers use.
    pub(super) alias: String,
    pub(super) spot: Spot,
    pub(super) provider: Provider,
    /// The upstream's model; `None` for the name in the caller's request.
    pub(super) model: Option<String>,
    /// The change of the caller's name for a wildcard.
    pub(super) rename: Option<Rename>,
    /// `model_info.id`, which fallbacks may name.
    pub(super) id: Option<String>,
    pub(super) share: Share,
    pub(super) limits: Limits,
    pub(super) times: Times,
    /// The facts for the table of models.
    pub(super) facts: Option<Value>,
}

/// The beginning of a name that callers use, and its replacement for the upstream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rename {
    pub(super) prefix: String,
    pub(super) with: String,
}

/// The part of the requests that a deployment gets.
#[derive(Debug, Clone, Default)]
pub(super) struct Share {
    pub(super) weight: Option<f64>,
    pub(super) order: Option<f64>,
}

/// The most that a deployment takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    pub(super) rpm: Option<u64>,
    pub(super) tpm: Option<u64>,
    pub(super) input_tpm: Option<u64>,
    pub(super) output_tpm: Option<u64>,
    pub(super) concurrent: Option<u64>,
    /// Dollars, and the time for which they are.
    pub(super) budget: Option<(f64, String, Spot)>,
}

/// Times and retries of a deployment.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub(super) timeout: Option<f64>,
    pub(super) stream_timeout: Option<f64>,
    pub(super) retries: Option<u64>,
    pub(super) cooldown: Option<f64>,
}

/// The parts that the entries of `model_list` share.
pub(super) struct Reader<'a> {
    pub(super) notes: &'a Notes,
    /// `credential_list`, by name.
    pub(super) credentials: &'a BTreeMap<String, Field<'a>>,
}

impl<'a> Reader<'a> {
    /// Keeps the names of variables that LiteLLM reads on its own from being chosen for another value.
    pub(super) fn reserve(&self, entry: &Node) {
        let Some(params) = entry.get("litellm_params") else { return };
        let model = params.get("model").and_then(Node::scalar).unwrap_or_default();
        let provider = params.get("custom_llm_provider").and_then(Node::scalar);
        let has_own =
            ["api_key", "litellm_credential_name"].iter().any(|key| params.get(key).is_some());
        if let Some(name) = vendors::key_variable(&model, provider.as_deref()).filter(|_| !has_own)
        {
            self.notes.reserve(name);
        }
    }

    /// Reads an entry; none if it cannot be carried, which is noted.
    pub(super) fn read(&self, field: &Field<'a>) -> Vec<Deployment> {
        let model_list = Near::Section("models");
        let mut entry = Section::new(field, self.notes, model_list.clone());
        if !matches!(field.node.value, Tree::Map(_)) {
            return Vec::new();
        }
        let alias =
            entry.text("model_name").and_then(|(text, _)| text.literal().map(str::to_owned));
        let Some(alias) = alias.filter(|alias| !alias.is_empty()) else {
            let text =
                "the entry has no `model_name`: an alias needs a name, which cannot be a variable";
            self.notes.left(&field.spot, model_list, text);
            return Vec::new();
        };
        let near = Near::Alias(alias.clone());
        let mut entry = Section::new(field, self.notes, near.clone());
        let _ = entry.take("model_name");
        let info = entry.take("model_info");
        let Some(params) = entry.take("litellm_params") else {
            let text = "the entry has no `litellm_params`: a target needs a model";
            self.notes.left(&field.spot, near, text);
            return Vec::new();
        };
        let mut params = Section::new(&params, self.notes, near.clone());
        self.add_credentials(&mut params, &near);
        // older files have these beside `litellm_params`
        params.inherit(&Field { spot: field.spot.clone(), node: field.node });
        for key in ["model_name", "litellm_params", "model_info"] {
            let _ = params.take(key);
        }
        let one = One { reader: self, alias, spot: field.spot.clone(), near };
        one.read(params, info)
    }

    /// Adds the values of `credential_list` that the deployment names.
    fn add_credentials(&self, params: &mut Section<'a>, near: &Near) {
        let Some((name, spot)) = params.text("litellm_credential_name") else { return };
        match name.literal().and_then(|name| self.credentials.get(name)) {
            Some(values) => params.inherit(values),
            None => {
                let text = "`credential_list` has no such entry; credentials of the database cannot be read: set the \
                            provider's key in the written file";
                self.notes.left(&spot, near.clone(), text);
            }
        }
    }
}

/// One entry that is being read.
struct One<'r, 'a> {
    reader: &'r Reader<'a>,
    alias: String,
    spot: Spot,
    near: Near,
}

impl<'a> One<'_, 'a> {
    fn left(&self, spot: &Spot, text: impl Into<String>) {
        self.reader.notes.left(spot, self.near.clone(), text);
    }

    fn read(self, mut params: Section<'a>, info: Option<Field<'a>>) -> Vec<Deployment> {
        let notes = self.reader.notes;
        let Some((model, spot)) = params.text("model") else {
            self.left(&params.spot.clone(), "it has no `model`: a target needs one");
            return Vec::new();
        };
        let model = model.plain(notes, "placeholder", &spot);
        let empty = Node { at: spot.at.clone(), value: Tree::Map(Vec::new()) };
        let info = info.unwrap_or(Field { spot: params.spot.clone(), node: &empty });
        let base_model = info.node.get("base_model").and_then(Node::scalar);
        if let Some(mode) = info.node.get("mode").and_then(Node::scalar)
            && !["chat", "responses"].contains(&mode.as_str())
        {
            let text = format!(
                "it has the mode `{mode}`, and the gateway serves the Messages API only; {}",
                advice::MODE
            );
            self.left(&self.spot, text);
            return Vec::new();
        }
        let provider = params.text("custom_llm_provider");
        let provider = provider.and_then(|(text, _)| text.literal().map(str::to_owned));
        let Some((vendor, own)) = vendors::of_model(&model, provider.as_deref()) else {
            self.left(&spot, unknown(&model));
            return Vec::new();
        };
        let organizations = organizations(&mut params);
        let made =
            Maker { notes, near: self.near.clone(), vendor, params: &mut params, base_model };
        let made = match made.make(own) {
            Ok(made) => made,
            Err(reason) => {
                self.left(&spot, reason);
                return Vec::new();
            }
        };
        let Some((model, rename)) = self.names(&made.model, &spot) else { return Vec::new() };
        self.base_model(&info, model.as_deref());
        let (id, facts) = self.info(&info, model.as_deref(), &mut params);
        let deployment = Deployment {
            model,
            rename,
            id,
            facts,
            share: Share {
                weight: params.number("weight").map(|(weight, _)| weight),
                order: params.number("order").map(|(order, _)| order),
            },
            limits: self.limits(&mut params),
            times: times(&mut params),
            provider: made.provider,
            alias: self.alias.clone(),
            spot: self.spot.clone(),
        };
        self.rest(params);
        several(deployment, &organizations)
    }

    /// Notes that prices and limits do not follow from `base_model`.
    fn base_model(&self, info: &Field<'_>, model: Option<&str>) {
        let base = info.node.entries().iter().find(|entry| entry.key == "base_model");
        let Some((entry, name)) = base.and_then(|entry| Some((entry, entry.node.scalar()?))) else {
            return;
        };
        if name.rsplit('/').next() != model {
            let path = format!("{}.base_model", info.spot.path);
            let text = "the table of models looks up the target's own name: facts of a model with another name belong into `models_file`";
            self.left(&Spot { at: entry.at.clone(), path }, text);
        }
    }

    /// Returns the upstream's model and the change of the caller's name; `None` if a wildcard cannot be carried.
    fn names(&self, own: &str, spot: &Spot) -> Option<(Option<String>, Option<Rename>)> {
        let split = |text: &str| text.split_once('*').map(|(a, b)| (a.to_owned(), b.to_owned()));
        match (split(&self.alias), split(own)) {
            (_, None) => Some((Some(own.to_owned()), None)),
            (Some(theirs), Some(ours)) if theirs == ours => Some((None, None)),
            (Some(_), Some((prefix, _))) if self.alias == "*" && prefix.is_empty() => {
                Some((None, None))
            }
            (Some((theirs, after)), Some((ours, after_own)))
                if !theirs.is_empty() && after.is_empty() && after_own.is_empty() =>
            {
                Some((None, Some(Rename { prefix: theirs, with: ours })))
            }
            _ => {
                let text = "the `*` of both names cannot be matched here: give each model an alias, or write both names \
                            with one `*` at the end";
                self.left(spot, text);
                None
            }
        }
    }

    fn limits(&self, params: &mut Section<'a>) -> Limits {
        let mut count = |key: &str| params.count(key).map(|(number, _)| number);
        let (rpm, tpm) = (count("rpm"), count("tpm"));
        let (input_tpm, output_tpm) = (count("itpm"), count("otpm"));
        let concurrent = count("max_parallel_requests");
        let money = params.number("max_budget");
        let duration = params.text("budget_duration");
        let budget = money.map(|(usd, spot)| {
            let every = duration.and_then(|(text, _)| text.literal().map(str::to_owned));
            (usd, every.unwrap_or_default(), spot)
        });
        Limits { rpm, tpm, input_tpm, output_tpm, concurrent, budget }
    }

    /// Reads `model_info`: the id, and the entry for the table of models.
    fn info(
        &self,
        info: &Field<'_>,
        model: Option<&str>,
        params: &mut Section<'_>,
    ) -> (Option<String>, Option<Value>) {
        let mut info = Section::new(info, self.reader.notes, self.near.clone());
        let id = info.text("id").and_then(|(text, _)| text.literal().map(str::to_owned));
        for key in [
            "mode",
            "base_model",
            "db_model",
            "created_at",
            "updated_at",
            "created_by",
            "updated_by",
        ] {
            let _ = info.take(key);
        }
        let mut facts = Map::new();
        for (key, ours) in [("max_input_tokens", "context"), ("max_output_tokens", "max_output")] {
            if let Some((number, _)) = info.count(key) {
                facts.insert(ours.to_owned(), number.into());
            }
        }
        if let Some((number, _)) = info.count("max_tokens") {
            facts.entry("max_output").or_insert(number.into());
        }
        let price = price(&mut info, params);
        if !price.is_empty() {
            facts.insert("price".to_owned(), price.into());
        }
        for (key, field) in info.rest() {
            self.left(&field.spot, advice::model_info(&key));
        }
        if facts.is_empty() {
            return (id, None);
        }
        let Some(model) = model else {
            self.left(
                &self.spot,
                "prices and limits of a wildcard: `models_file` needs the name of each model",
            );
            return (id, None);
        };
        facts.shift_insert(0, "id".to_owned(), model.into());
        (id, Some(facts.into()))
    }

    /// Notes every parameter that nothing took.
    fn rest(&self, params: Section<'a>) {
        for (key, field) in params.rest() {
            let is_default = field.node.scalar().as_deref() == Some("false");
            let is_drop = key == "drop_params" && field.node.scalar().as_deref() == Some("true");
            if !(is_drop || is_default && advice::FLAGS.contains(&key.as_str())) {
                self.left(&field.spot, advice::parameter(&key));
            }
        }
    }
}

/// Takes a list of organizations, each of which is a deployment of its own.
fn organizations(params: &mut Section<'_>) -> Vec<String> {
    match params.has_list("organization") {
        true => params.texts("organization").into_iter().map(|(text, _)| text).collect(),
        false => Vec::new(),
    }
}

fn several(deployment: Deployment, organizations: &[String]) -> Vec<Deployment> {
    if organizations.is_empty() {
        return vec![deployment];
    }
    let each = organizations.iter().map(|organization| {
        let mut one = deployment.clone();
        let headers = one.provider.settings.entry("headers").or_insert_with(|| json!({}));
        headers["openai-organization"] = organization.as_str().into();
        one
    });
    each.collect()
}

fn times(params: &mut Section<'_>) -> Times {
    let mut number = |key: &str| params.number(key).map(|(number, _)| number);
    let (timeout, stream_timeout) = (number("timeout"), number("stream_timeout"));
    let cooldown = number("cooldown_time");
    let own = params.whole("num_retries").or_else(|| params.whole("max_retries"));
    Times { timeout, stream_timeout, cooldown, retries: own.map(|(retries, _)| retries) }
}

/// Reads prices of `model_info` and `litellm_params` in dollars a token, as dollars a million tokens.
fn price(info: &mut Section<'_>, params: &mut Section<'_>) -> Map<String, Value> {
    const KINDS: [(&str, &str); 5] = [
        ("input_cost_per_token", "input"),
        ("output_cost_per_token", "output"),
        ("cache_read_input_token_cost", "cache_read"),
        ("cache_creation_input_token_cost", "cache_write"),
        ("cache_creation_input_token_cost_above_1hr", "cache_write_1h"),
    ];
    let mut rates = |suffix: &str| {
        let mut rates = Map::new();
        for (key, kind) in KINDS {
            let key = format!("{key}{suffix}");
            // LiteLLM prefers the one of the parameters
            let (own, general) = (params.number(&key), info.number(&key));
            if let Some((dollars, _)) = own.or(general) {
                rates.insert(kind.to_owned(), million(dollars));
            }
        }
        rates
    };
    let mut price = rates("");
    for (suffix, key) in
        [("_above_128k_tokens", "above_128k"), ("_above_200k_tokens", "above_200k")]
    {
        let mut above = rates(suffix);
        if !above.is_empty() {
            complete(&mut above);
            price.insert(key.to_owned(), above.into());
        }
    }
    if !price.is_empty() {
        complete(&mut price);
    }
    price
}

/// Adds the rates that a price needs; LiteLLM counts an absent one as 0.
fn complete(rates: &mut Map<String, Value>) {
    for (n, kind) in ["input", "output"].into_iter().enumerate() {
        if !rates.contains_key(kind) {
            rates.shift_insert(n, kind.to_owned(), 0.into());
        }
    }
}

/// Returns dollars a million tokens, with six decimals at most.
fn million(dollars: f64) -> Value {
    let rounded = (dollars * 1e12).round() / 1e6;
    match rounded.fract() == 0.0 {
        true => Value::from(rounded as u64),
        false => Value::from(rounded),
    }
}

/// Returns the reason for which a model has no provider here.
fn unknown(model: &str) -> String {
    match model {
        "*" => "LiteLLM takes the provider from the name in each request; name one provider instead, such as \
                `\"*\": { provider: anthropic }`, or an entry for each prefix (`model_name: \"anthropic/*\"`)"
            .to_owned(),
        _ => format!("the import does not know the provider of `{model}`; {}", advice::VENDOR),
    }
}
