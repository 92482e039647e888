//! The sums of the last minutes, from memory: they need no ledger, and no exchange is missing that has just ended.
use std::time::{Instant, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::time;
use crate::ledger::row::text;
use crate::telemetry::money::dollars;
use crate::telemetry::recent::{self, FirstEvents, Ranking, Share, Sums, Window};

/// The most models, and the most keys.
const MOST: usize = 10;

/// Returns the route.
pub(super) fn routes() -> Vec<Route> {
    let route = Route::get(
        "/api/overview",
        "Returns the sums of the last minutes from memory: exchanges that ended since the start of the process, at most an hour of them.",
        |state, call| Box::pin(async move { show(&state, &call) }),
    );
    vec![route.query::<Asked>().answers::<Overview>(200)]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The minutes, from 1 to 60.
    #[serde(default)]
    minutes: Minutes,
}

/// The length of a window.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "u64")]
struct Minutes(#[schemars(range(min = 1, max = 60))] u64);

impl Default for Minutes {
    fn default() -> Self {
        Self(15)
    }
}

impl TryFrom<u64> for Minutes {
    type Error = String;

    fn try_from(found: u64) -> Result<Self, String> {
        match found {
            1..=60 => Ok(Self(found)),
            _ => Err(format!("expected a number from 1 to 60, found `{found}`")),
        }
    }
}

/// The last minutes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Overview {
    /// The time now.
    at: String,
    /// The seconds of a bucket.
    interval_s: u64,
    /// The beginning of the window, or the start of the process if that is later.
    since: String,
    /// The exchanges in progress.
    running: usize,
    /// The sums of each bucket in the order of time; the last one has not ended.
    buckets: Vec<Bucket>,
    /// The sums of the window.
    total: Total,
    /// The ten models that cost most, and a row for the rest.
    models: Vec<Ranked>,
    /// The ten keys that cost most, and a row for the rest.
    keys: Vec<Ranked>,
}

/// The sums of a bucket.
#[derive(Debug, Serialize, JsonSchema)]
struct Bucket {
    /// The beginning.
    at: String,
    #[serde(flatten)]
    sums: Total,
}

/// Sums of exchanges that ended.
#[derive(Debug, Serialize, JsonSchema)]
struct Total {
    /// The exchanges.
    requests: u64,
    /// Those that ended with an error for the client.
    errors: u64,
    /// Input tokens outside of the cache.
    uncached: u64,
    /// Tokens written to the cache.
    write: u64,
    /// Tokens read from the cache.
    read: u64,
    /// Output tokens.
    output: u64,
    /// The dollars of all tokens with a price.
    cost_usd: String,
    /// The exchanges with tokens without a price, which are no part of the cost.
    unpriced: u64,
    /// These tokens.
    unpriced_tokens: u64,
    /// The milliseconds within which half of the streams began; `null` without a stream. It is at most a quarter too
    /// high.
    ttft_p50_ms: Option<u64>,
    /// The milliseconds within which 95 of 100 streams began.
    ttft_p95_ms: Option<u64>,
}

/// The part of a model or a key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ranked {
    /// The name; empty for exchanges without one, and `other` for the rest.
    name: String,
    /// Whether the row is the sum of all further names.
    is_rest: bool,
    /// The exchanges.
    requests: u64,
    /// Those that ended with an error for the client.
    errors: u64,
    /// The dollars of all tokens with a price.
    cost_usd: String,
}

fn show(state: &State, call: &Call) -> Result<Answer, Failure> {
    let Asked { minutes: Minutes(minutes) } = call.query()?;
    let exchanges = &state.shared.exchanges;
    let Window { since, steps, total, first_events, models, keys } =
        exchanges.recent.window(minutes, MOST, Instant::now());
    let buckets = steps.iter().map(|step| Bucket {
        at: time::text(step.at),
        sums: Total::of(&step.sums, &step.first_events),
    });
    Answer::json(&Overview {
        at: time::text(SystemTime::now()),
        interval_s: recent::STEP,
        since: time::text(since),
        running: exchanges.running_number(),
        buckets: buckets.collect(),
        total: Total::of(&total, &first_events),
        models: ranked(&models),
        keys: ranked(&keys),
    })
}

impl Total {
    fn of(sums: &Sums, first_events: &FirstEvents) -> Self {
        Self {
            requests: sums.requests,
            errors: sums.errors,
            uncached: sums.uncached,
            write: sums.write,
            read: sums.read,
            output: sums.output,
            cost_usd: dollars(sums.cost_nano),
            unpriced: sums.unpriced,
            unpriced_tokens: sums.unpriced_tokens,
            ttft_p50_ms: first_events.quantile(50).map(time::millis),
            ttft_p95_ms: first_events.quantile(95).map(time::millis),
        }
    }
}

fn ranked(ranking: &Ranking) -> Vec<Ranked> {
    let first = ranking.first.iter().map(|(name, share)| Ranked::of(text(name), *share));
    let rest =
        ranking.rest.map(|share| Ranked { is_rest: true, ..Ranked::of("other".to_owned(), share) });
    first.chain(rest).collect()
}

impl Ranked {
    fn of(name: String, share: Share) -> Self {
        let Share { requests, errors, cost_nano } = share;
        Self { name, is_rest: false, requests, errors, cost_usd: dollars(cost_nano) }
    }
}
