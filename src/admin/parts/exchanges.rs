//! `exchanges`: the list of the ledger, and the story of one exchange.
use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::page::{self, Limit};
use crate::admin::queried;
use crate::admin::route::Route;
use crate::admin::shown::{Exchange, Story};
use crate::admin::state::State;
use crate::ledger::database::Position;
use crate::ledger::stories::{self, Column, Filter};

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/api/exchanges",
            "Returns the exchanges of the ledger, newest first. The newest ones come within a second of their end.",
            |state, call| Box::pin(list(state, call)),
        )
        .query::<Asked>()
        .answers::<Page>(200),
        Route::get(
            "/api/exchanges/{id}",
            "Returns one exchange with attempts, stages, tool calls, tags and notes. The id is that of the ledger, or the client's `request-id`.",
            |state, call| Box::pin(one(state, call)),
        )
        .answers::<Story>(200),
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
    /// Only exchanges that began at this time or later, such as `2026-11-29T12:00:00Z`.
    from: Option<Moment>,
    /// Only exchanges that began before this time.
    to: Option<Moment>,
    /// Only exchanges of this key; the empty text for those without one.
    key: Option<String>,
    /// Only exchanges of this model, as the ledger names it.
    model: Option<String>,
    /// Only exchanges whose last attempt was at this target.
    target: Option<String>,
    /// Only exchanges of this session.
    session: Option<String>,
    /// Only the exchanges with this `request-id`.
    request_id: Option<String>,
    /// Only exchanges of this kind.
    operation: Option<Operation>,
    /// Only exchanges with this status.
    status: Option<u16>,
    /// Only exchanges with this result.
    result: Option<Outcome>,
    /// Only exchanges with this tag, as `NAME:VALUE`.
    tag: Option<String>,
}

/// A time in RFC 3339.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct Moment(#[schemars(with = "String")] pub(super) i64);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(found: String) -> Result<Self, String> {
        let time: Result<Timestamp, _> = found.parse();
        // nothing is older, and PostgreSQL's own calendar begins later than this one
        let time = time.map(|time| Self(time.as_millisecond().max(0)));
        time.map_err(|_| format!("expected a time such as `2026-11-29T12:00:00Z`, found `{found}`"))
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Messages,
    CountTokens,
    Forward,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::CountTokens => "count_tokens",
            Self::Forward => "forward",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    /// The status is below 400.
    Ok,
    /// The status is 400 or above.
    Error,
}

/// A page of exchanges.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// The exchanges.
    rows: Vec<Exchange>,
    /// The `after` of the next page; `null` if this is the last one.
    next: Option<String>,
}

impl Page {
    /// Makes a page of rows, of which there may be one more than the limit.
    pub(super) fn of(mut rows: Vec<Exchange>, limit: Limit) -> Self {
        let has_next = rows.len() > usize::from(limit.number());
        rows.truncate(limit.number().into());
        let last = rows.last().filter(|_| has_next);
        let position = last.and_then(|row| Some(Position { at: row.at, id: row.id.clone()? }));
        let next = position.map(|position| page::cursor(&position));
        Self { rows, next }
    }
}

impl Asked {
    fn filter(&self) -> Result<Filter, Failure> {
        let texts = [
            (Column::Key, self.key.clone()),
            (Column::Model, self.model.clone()),
            (Column::Target, self.target.clone()),
            (Column::Session, self.session.clone()),
            (Column::RequestId, self.request_id.clone()),
            (Column::Operation, self.operation.map(|it| it.as_str().to_owned())),
        ];
        let tag = self.tag.as_deref().map(|tag| {
            let parts = tag.split_once(':').map(|(name, value)| [name, value].map(str::to_owned));
            parts.ok_or_else(|| Failure::field("tag", "`NAME:VALUE`", format!("`{tag}`")))
        });
        Ok(Filter {
            from: self.from.map(|Moment(at)| at),
            to: self.to.map(|Moment(at)| at),
            texts: texts.into_iter().filter_map(|(column, text)| Some((column, text?))).collect(),
            status: self.status,
            is_error: self.result.map(|result| result == Outcome::Error),
            tag: tag.transpose()?,
        })
    }
}

async fn list(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let filter = asked.filter()?;
    let after: Option<Position> = page::place(asked.after.as_deref())?;
    let database = queried::database(&state)?;
    let rows = stories::list(database, &filter, after.as_ref(), asked.limit.and_one()).await;
    let rows: Vec<Exchange> = queried::rows(rows.map_err(queried::failed)?)?;
    Answer::json(&Page::of(rows, asked.limit))
}

async fn one(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let id = call.id()?;
    let told = match queried::database(&state) {
        Ok(database) => stories::one(database, id).await.map_err(queried::failed)?,
        // the last exchanges are in memory as well
        Err(failure) if state.shared.exchanges.recent.story(id).is_none() => return Err(failure),
        Err(_) => None,
    };
    if let Some(told) = told {
        return Answer::json(&Story::of(told)?);
    }
    let none = "the ledger has no exchange with this id: it may be too old, or never recorded";
    let recent = state.shared.exchanges.recent.story(id);
    let (story, at) = recent.ok_or_else(|| Failure::not_found(none))?;
    Answer::json(&Story::of(story.read(|record| stories::told(record, at)))?.unwritten())
}
