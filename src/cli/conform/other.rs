//! Checks of the other routes: counts of tokens and the model list.
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::Ask;
use crate::cli::conform::facts::{Facts, Finding, Verdict, expect, must, should};
use crate::cli::conform::faults;
use crate::cli::conform::json::Keeps;
use crate::cli::conform::play::Play;

/// The characters that a URL needs encoded; not every gateway decodes the others.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ROUTE: &str = "/v1/messages/count_tokens";
const COUNT: &str = r#"{"model":"@MODEL@","system":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],"future_field":{"a":[1]},"messages":[{"role":"user","content":"@MARK@"}]}"#;
const COUNTED: &str =
    r#"{"input_tokens":4711,"context_management":{"original_input_tokens":4711}}"#;

/// A check of `count_tokens`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    /// The count of the upstream.
    Number,
    /// The further fields of the answer.
    Fields,
    /// The body of the request.
    Request,
    /// The query of the request.
    Query,
    /// An error of the upstream.
    Error,
}

/// The checks of `count_tokens`.
pub(super) const COUNTS: &[(Facts, Count)] = &[
    (
        must("count-number", "The upstream's count arrives; the request has no `max_tokens`."),
        Count::Number,
    ),
    (should("count-fields", "Further fields of a count arrive."), Count::Fields),
    (
        must("count-request", "Unknown fields of the request arrive at the upstream."),
        Count::Request,
    ),
    (
        must("count-query", "The route is found with `?beta=true` (Claude Code sends it)."),
        Count::Query,
    ),
    (
        must("count-error", "An error of the upstream arrives with its status and envelope."),
        Count::Error,
    ),
];

impl Count {
    /// Runs the check.
    pub(super) async fn run(self, bench: &Bench) -> Verdict {
        let play = match self {
            Self::Error => Play::error(400, "invalid_request_error", "conform cannot count"),
            _ => Play::json(200, COUNTED),
        };
        let target =
            if let Self::Query = self { format!("{ROUTE}?beta=true") } else { ROUTE.into() };
        let exchange = bench.exchange(&Ask::post(&target, COUNT), play).await?;
        let seen = exchange.seen()?;
        let path = seen.target.split('?').next().unwrap_or_default();
        expect(path.ends_with(ROUTE), ROUTE, path)?;
        if let Self::Error = self {
            exchange.status(400)?;
            return faults::envelope(&exchange.answer, Some("invalid_request_error"));
        }
        exchange.status(200)?;
        let answer = &exchange.answer.body;
        let number = Keeps::Value(&["input_tokens"]).compare(COUNTED.as_bytes(), answer);
        match self {
            Self::Fields => {
                Keeps::Value(&["context_management"]).compare(COUNTED.as_bytes(), answer)
            }
            Self::Request => Keeps::Value(&["future_field"]).compare(&exchange.sent, &seen.body),
            Self::Number | Self::Query | Self::Error => number,
        }
    }
}

/// A check of the model list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Models {
    /// The list.
    List,
    /// One model.
    One,
    /// A model that is not there.
    Unknown,
    /// A page of one model.
    Limit,
    /// The page after a model.
    After,
}

/// The checks of the model list.
pub(super) const MODELS: &[(Facts, Models)] = &[
    (must("models-list", "`GET /v1/models` is a page of models."), Models::List),
    (must("models-one", "`GET /v1/models/{id}` is the model of the list."), Models::One),
    (
        must("models-unknown", "A model that does not exist is a 404 `not_found_error`."),
        Models::Unknown,
    ),
    (should("models-limit", "`limit=1` gives a page of one model."), Models::Limit),
    (should("models-after", "`after_id` gives the page that follows."), Models::After),
];

impl Models {
    /// Runs the check.
    pub(super) async fn run(self, bench: &Bench) -> Verdict {
        let list = page(bench, "/v1/models?limit=1000").await?;
        let first = list["data"][0]["id"].as_str().unwrap_or_default();
        match self {
            Self::List => Ok(()),
            Self::One => {
                let model = get(bench, &format!("/v1/models/{}", encoded(first))).await?;
                is_model(&model)?;
                expect(model["id"] == first, &format!("`id` `{first}`"), model["id"].to_string())
            }
            Self::Unknown => {
                let ask = Ask::get("/v1/models/conform-no-such-model");
                let answer = bench.sent(&ask).await?.whole().await;
                let found = format!("{}: {}", answer.status, answer.text());
                expect(answer.status == 404, "status 404", found)?;
                faults::envelope(&answer, Some("not_found_error"))
            }
            Self::Limit => {
                let one = page(bench, "/v1/models?limit=1").await?;
                let all = list["data"].as_array().map_or(0, Vec::len);
                let found = one["data"].as_array().map_or(0, Vec::len);
                expect(found == 1, "one model", format!("{found} models"))?;
                expect(one["has_more"] == (all > 1), "`has_more` of the rest", one.to_string())
            }
            Self::After => {
                let target = format!("/v1/models?after_id={}", encoded(first));
                let rest = get(bench, &target).await?;
                let ids = |list: &Value| {
                    let models = list["data"].as_array().cloned().unwrap_or_default();
                    models.iter().map(|model| model["id"].to_string()).collect::<Vec<_>>()
                };
                let (all, rest) = (ids(&list), ids(&rest));
                let follows = all[1..].starts_with(&rest) && rest.is_empty() == (all.len() == 1);
                expect(follows, &format!("the models after `{first}`"), rest.join(", "))
            }
        }
    }
}

fn encoded(id: &str) -> String {
    utf8_percent_encode(id, RESERVED).to_string()
}

async fn get(bench: &Bench, target: &str) -> Result<Value, Finding> {
    let answer = bench.sent(&Ask::get(target)).await?.whole().await;
    let found = format!("{}: {}", answer.status, answer.text());
    expect(answer.status == 200, &format!("status 200 of `{target}`"), found)?;
    serde_json::from_slice(&answer.body).map_err(|_| Finding::new("JSON", answer.text()))
}

async fn page(bench: &Bench, target: &str) -> Result<Value, Finding> {
    let page = get(bench, target).await?;
    let models = page["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    expect(!models.is_empty(), "`data` with a model", page.to_string())?;
    models.iter().try_for_each(is_model)?;
    let last = models.last().map(|model| &model["id"]);
    let is_page = page["has_more"].is_boolean()
        && page["first_id"] == models[0]["id"]
        && Some(&page["last_id"]) == last;
    let found = ["has_more", "first_id", "last_id"].map(|name| page[name].to_string()).join(", ");
    expect(is_page, "`has_more`, `first_id` and `last_id` of the page", found)?;
    Ok(page)
}

fn is_model(model: &Value) -> Verdict {
    let has = |name: &str| model[name].is_string();
    let is_model =
        model["type"] == "model" && has("id") && has("display_name") && has("created_at");
    expect(
        is_model,
        "a model with `type`, `id`, `display_name` and `created_at`",
        model.to_string(),
    )
}
