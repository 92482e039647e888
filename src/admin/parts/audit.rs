//! `audit`: the writes of the admin API.
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::admin::answer::Answer;
use crate::admin::call::Call;
use crate::admin::failure::Failure;
use crate::admin::page::{self, Limit};
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::{queried, time};
use crate::ledger::audit;
use crate::ledger::database::Position;

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    let summary = "Returns the writes of the admin API, newest first.";
    let list = Route::get("/api/audit", summary, |state, call| Box::pin(list(state, call)));
    vec![list.query::<Asked>().answers::<Page>(200)]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The most rows.
    #[serde(default)]
    limit: Limit,
    /// The `next` of an earlier page.
    after: Option<String>,
}

/// A page of writes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// The writes.
    rows: Vec<Write>,
    /// The `after` of the next page; `null` if this is the last one.
    next: Option<String>,
}

/// A write.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    /// The id of the row.
    id: String,
    /// The time.
    at: String,
    /// The credential: `token`, or `open` if the listener needs none.
    credential: String,
    /// The address of the connection.
    address: String,
    /// The method.
    method: String,
    /// The path of the route, with its parameters in braces.
    route: String,
    /// The object, such as the id of a key; empty if the route has only one.
    object: String,
    /// The status of the answer.
    status: u16,
    /// The values before and after, or the error.
    detail: Option<String>,
}

/// A row of the table.
#[derive(Deserialize)]
struct Row {
    id: String,
    at: i64,
    credential: String,
    address: String,
    method: String,
    route: String,
    object: String,
    status: u16,
    detail: Option<String>,
}

async fn list(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let asked: Asked = call.query()?;
    let database = queried::database(&state)?;
    let after: Option<Position> = page::place(asked.after.as_deref())?;
    let rows = audit::list(database, after.as_ref(), asked.limit.and_one()).await;
    let mut rows: Vec<Row> = queried::rows(rows.map_err(queried::failed)?)?;
    let has_next = rows.len() > usize::from(asked.limit.number());
    rows.truncate(asked.limit.number().into());
    let last = rows.last().filter(|_| has_next);
    let next = last.map(|row| page::cursor(&Position { at: row.at, id: row.id.clone() }));
    Answer::json(&Page { rows: rows.into_iter().map(Write::of).collect(), next })
}

impl Write {
    fn of(row: Row) -> Self {
        let Row { id, at, credential, address, method, route, object, status, detail } = row;
        let at = time::of_millis(at);
        Self { id, at, credential, address, method, route, object, status, detail }
    }
}
