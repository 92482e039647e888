//! `prompts`: the sessions whose prompts were followed, and where they broke with the prompt cache.
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::page::{self, Limit};
use crate::admin::parts::exchanges::{Moment, Page as Exchanges};
use crate::admin::route::Route;
use crate::admin::shown::Exchange;
use crate::admin::state::State;
use crate::admin::{queried, time};
use crate::ledger::database::Position;
use crate::ledger::prompts::{self, Filter};
use crate::telemetry::money::dollars;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/prompts",
            "Returns the sessions whose prompts were followed, those with the newest exchange first. A page may have fewer rows than `limit`, or none, although there is a next one.",
            |state, call| Box::pin(list(state, call)),
        )
        .query::<Asked>()
        .answers::<Page>(200),
        Route::get(
            "/api/prompts/{session}",
            "Returns the followed exchanges of a session in the order of time: `prefix` says whether each goes on where the one before ended, `broken_…` where and why not, `lost_usd` what that cost.",
            |state, call| Box::pin(one(state, call)),
        )
        .query::<Asked>()
        .answers::<Exchanges>(200),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The most rows.
    #[serde(default)]
    limit: Limit,
    /// The `next` of an earlier page.
    after: Option<String>,
    /// Only exchanges of this key; the empty text for those without one.
    key: Option<String>,
    /// Only exchanges that began at this time or later, such as `2026-11-29T12:00:00Z`.
    from: Option<Moment>,
    /// Only exchanges that began before this time.
    to: Option<Moment>,
}

/// A page of sessions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The sessions.
    rows: Vec<Session>,
    /// The `after` of the next page; `null` if this is the last one.
    next: Option<String>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Session {
    /// The name that the client gave it.
    session: String,
    /// The client's key, which has sessions of its own; empty without one.
    key: String,
    /// The model of the newest exchange.
    model: String,
    /// The time at which the first exchange began.
    first: String,
    /// The time at which the newest one began.
    last: String,
    /// The number of exchanges.
    requests: i64,
    /// Those that broke with the prompt cache.
    breaks: i64,
    /// The dollars that the breaks cost; `null` if a break has no price.
    lost_usd: Option<String>,
}

impl Session {
    fn of(found: prompts::Session) -> Self {
        let prompts::Session { session, key, model, first, last, requests, breaks, lost_nano } =
            found;
        let [first, last] = [first, last].map(time::of_millis);
        Self {
            session,
            key,
            model,
            first,
            last,
            requests,
            breaks,
            lost_usd: lost_nano.map(dollars),
        }
    }
}

impl Asked {
    fn filter(&self) -> Filter {
        let [from, to] = [self.from, self.to].map(|bound| bound.map(|Moment(at)| at));
        Filter { key: self.key.clone(), from, to }
    }
}

async fn list(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let after: Option<Position> = page::place(asked.after.as_deref())?;
    let database = queried::database(&state)?;
    let limit = asked.limit.number();
    let page = prompts::list(database, &asked.filter(), after.as_ref(), limit).await;
    let prompts::Page { rows, next } = page.map_err(queried::failed)?;
    let rows = rows.into_iter().map(Session::of).collect();
    Answer::json(&Page { rows, next: next.as_ref().map(page::cursor) })
}

async fn one(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let after: Option<Position> = page::place(asked.after.as_deref())?;
    let (database, session) = (queried::database(&state)?, call.id()?);
    let (filter, most) = (asked.filter(), asked.limit.and_one());
    let rows = prompts::exchanges(database, session, &filter, after.as_ref(), most).await;
    let rows: Vec<Exchange> = queried::rows(rows.map_err(queried::failed)?)?;
    Answer::json(&Exchanges::of(rows, asked.limit))
}
