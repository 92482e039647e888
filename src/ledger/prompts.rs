//! The sessions of the ledger whose prompts were followed, and what breaks with the prompt cache cost them.
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;

use crate::ledger::database::{Argument, Database, Position, Statement, Unavailable};
use crate::ledger::schema::{self, Dialect};

/// The exchanges that are read at a time.
const STEP: usize = 4096;
/// The most steps for a page.
const STEPS: usize = 8;
/// A later id than that of any exchange.
const LAST_ID: &str = "ffffffffffffffffffffffffffffffff";

/// The sessions of a list. Absent parts accept everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The client's key.
    pub(crate) key: Option<String>,
    /// The first moment of the exchanges, in milliseconds since 1970.
    pub(crate) from: Option<i64>,
    /// The first later moment.
    pub(crate) to: Option<i64>,
}

/// A session with the sums of its exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// The session's name.
    pub(crate) session: String,
    /// The client's key, which has sessions of its own.
    pub(crate) key: String,
    /// The model of the newest exchange.
    pub(crate) model: String,
    /// The start of the first exchange, in milliseconds since 1970.
    pub(crate) first: i64,
    /// The start of the newest one.
    pub(crate) last: i64,
    /// The number of exchanges.
    pub(crate) requests: i64,
    /// Those that broke with the prompt cache.
    pub(crate) breaks: i64,
    /// The nano-dollars that the breaks cost; `None` if a break has no price.
    pub(crate) lost_nano: Option<i64>,
}

/// A page of sessions: those with the newest exchange first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// The sessions.
    pub(crate) rows: Vec<Session>,
    /// The position after which the next page begins; `None` after the last one.
    pub(crate) next: Option<Position>,
}

/// An exchange: its id, its start, its session, key and model.
type Walked = (String, i64, String, String, String);

/// The sums of a session and its key.
#[derive(Deserialize)]
struct Sums {
    session: String,
    key: String,
    newest: String,
    first: i64,
    requests: i64,
    breaks: i64,
    unpriced: i64,
    lost: i64,
}

/// Returns sessions after a position. The exchanges are read from the newest one on, since a session belongs to the page
/// of its newest exchange, and no more than a number of them for a page.
pub(crate) async fn list(
    database: &Database,
    filter: &Filter,
    after: Option<&Position>,
    limit: u16,
) -> Result<Page, Unavailable> {
    let dialect = database.dialect();
    let limit = usize::from(limit);
    let mut page = Page { rows: Vec::new(), next: after.cloned() };
    let mut seen = HashSet::new();
    // an exchange that ends in between must not move a session to the page before
    let mut top = after.map(|_| LAST_ID.to_owned());
    for _ in 0..STEPS {
        let walked = database.read(&[walk(dialect, filter, page.next.as_ref())]).await?;
        let walked: Vec<Walked> = parsed(walked)?;
        let is_last = walked.len() < STEP;
        let Some(end) = walked.last() else {
            page.next = None;
            break;
        };
        let end = Position { at: end.1, id: end.0.clone() };
        let top = top.get_or_insert_with(|| walked[0].0.clone());
        let is_new = |it: &&Walked| seen.insert((it.2.clone(), it.3.clone()));
        let newest: Vec<&Walked> = walked.iter().filter(is_new).collect();
        for newest in newest.chunks(limit + 1) {
            let sums = database.read(&[sums(dialect, filter, newest, top)]).await?;
            if page.add(newest, parsed(sums)?, limit) == Added::Full {
                return Ok(page);
            }
        }
        page.next = (!is_last).then_some(end);
        if is_last || page.rows.len() == limit {
            break;
        }
    }
    Ok(page)
}

/// Whether a page has room for further rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Added {
    Full,
    Room,
}

impl Page {
    /// Adds the sessions of these exchanges, unless a session has a newer one, so it is on an earlier page.
    fn add(&mut self, newest: &[&Walked], sums: Vec<Sums>, limit: usize) -> Added {
        let sums = sums.into_iter().map(|sums| ((sums.session.clone(), sums.key.clone()), sums));
        let mut sums: HashMap<(String, String), Sums> = sums.collect();
        for found in newest {
            let own = sums.remove(&(found.2.clone(), found.3.clone()));
            let Some(own) = own.filter(|sums| sums.newest == found.0) else { continue };
            if self.rows.len() == limit {
                return Added::Full;
            }
            self.next = Some(Position { at: found.1, id: found.0.clone() });
            self.rows.push(session(found, own));
        }
        Added::Room
    }
}

fn session(found: &Walked, sums: Sums) -> Session {
    let (_, last, session, key, model) = found.clone();
    let Sums { first, requests, breaks, unpriced, lost, .. } = sums;
    let lost_nano = (unpriced == 0).then_some(lost);
    Session { session, key, model, first, last, requests, breaks, lost_nano }
}

/// Returns exchanges of a session in the order of time, after a position.
pub(crate) async fn exchanges(
    database: &Database,
    session: &str,
    filter: &Filter,
    after: Option<&Position>,
    limit: u16,
) -> Result<Vec<Value>, Unavailable> {
    let dialect = database.dialect();
    let mut query = Query::new(dialect, filter);
    let name = query.argue(Argument::Text(session.to_owned()));
    let parts = match dialect {
        Dialect::Sqlite => {
            query.conditions.push(format!("id IN ({})", schema::ids_in_parts("session", &name)));
            format!("WITH RECURSIVE {} ", schema::PARTS)
        }
        Dialect::Postgres => {
            query.conditions.push(format!("session = {name}"));
            String::new()
        }
    };
    if let Some(after) = after {
        query.beyond(after, ">");
    }
    let object = schema::object(dialect, None);
    let limit = query.argue(Argument::Number(limit.into()));
    let text = format!(
        "{parts}SELECT {object} FROM exchange WHERE {} ORDER BY {} LIMIT {limit}",
        query.conditions.join(" AND "),
        order(dialect, "ASC")
    );
    let rows = database.read(&[Statement { text, arguments: query.arguments }]).await?;
    Ok(rows.into_iter().flatten().collect())
}

fn parsed<T: serde::de::DeserializeOwned>(rows: Vec<Vec<Value>>) -> Result<Vec<T>, Unavailable> {
    let rows = rows.into_iter().flatten().map(serde_json::from_value);
    let wrong = |e: serde_json::Error| Unavailable::Failed(format!("a row of prompts: {e}"));
    rows.collect::<Result<_, _>>().map_err(wrong)
}

/// The conditions for the exchanges of a filter whose prompts were followed.
struct Query {
    dialect: Dialect,
    conditions: Vec<String>,
    arguments: Vec<Argument>,
}

impl Query {
    fn new(dialect: Dialect, filter: &Filter) -> Self {
        let conditions = ["exchange.prefix IS NOT NULL", "exchange.session IS NOT NULL"];
        let conditions = conditions.map(str::to_owned).to_vec();
        let mut this = Self { dialect, conditions, arguments: Vec::new() };
        if let Some(key) = &filter.key {
            let key = this.argue(Argument::Text(key.clone()));
            this.conditions.push(format!("exchange.key = {key}"));
        }
        for (bound, is) in [(filter.from, ">="), (filter.to, "<")] {
            let Some(bound) = bound else { continue };
            let bound = this.argue(Argument::Number(bound));
            this.conditions.push(match dialect {
                Dialect::Sqlite => format!("exchange.id {is} {}", schema::first_id(&bound)),
                Dialect::Postgres => format!("exchange.at {is} to_timestamp({bound} / 1000.0)"),
            });
        }
        this
    }

    fn argue(&mut self, argument: Argument) -> String {
        self.arguments.push(argument);
        format!("${}", self.arguments.len())
    }

    /// Adds the condition that an exchange is later or earlier than a position.
    fn beyond(&mut self, position: &Position, is: &str) {
        let id = self.argue(Argument::Text(position.id.clone()));
        let condition = match self.dialect {
            Dialect::Sqlite => format!("exchange.id {is} unhex({id})"),
            Dialect::Postgres => {
                let at = self.argue(Argument::Number(position.at));
                format!("(at, id) {is} (to_timestamp({at} / 1000.0), CAST({id} AS UUID))")
            }
        };
        self.conditions.push(condition);
    }
}

fn order(dialect: Dialect, direction: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("exchange.id {direction}"),
        Dialect::Postgres => format!("at {direction}, id {direction}"),
    }
}

/// The query of a step of exchanges before a position, the newest first.
fn walk(dialect: Dialect, filter: &Filter, after: Option<&Position>) -> Statement {
    let mut query = Query::new(dialect, filter);
    if let Some(after) = after {
        query.beyond(after, "<");
    }
    let row = match dialect {
        Dialect::Sqlite => "json_array(lower(hex(id)), at, session, key, model)",
        Dialect::Postgres => {
            "CAST(json_build_array(replace(CAST(id AS TEXT), '-', ''), \
             CAST(extract(epoch FROM at) * 1000 AS BIGINT), session, key, model) AS TEXT)"
        }
    };
    let text = format!(
        "SELECT {row} FROM exchange WHERE {} ORDER BY {} LIMIT {STEP}",
        query.conditions.join(" AND "),
        order(dialect, "DESC")
    );
    Statement { text, arguments: query.arguments }
}

/// The query of the sums of sessions, over their exchanges up to an id.
fn sums(dialect: Dialect, filter: &Filter, newest: &[&Walked], top: &str) -> Statement {
    let mut query = Query::new(dialect, filter);
    let wanted: Vec<Value> =
        newest.iter().map(|it| serde_json::json!({"session": it.2, "key": it.3})).collect();
    let wanted = query.argue(Argument::Text(Value::from(wanted).to_string()));
    let top = query.argue(Argument::Text(top.to_owned()));
    let whole = |term: &str| format!("CAST(coalesce(sum({term}), 0) AS BIGINT)");
    let broken = |and: &str| format!("CASE WHEN prefix = 'broken'{and} THEN 1 ELSE 0 END");
    let (breaks, unpriced) = (whole(&broken("")), whole(&broken(" AND lost_nano IS NULL")));
    let members = format!(
        "'session', wanted.session, 'key', wanted.key, 'requests', count(*), 'breaks', {breaks}, \
         'unpriced', {unpriced}, 'lost', {}",
        whole("lost_nano")
    );
    let text = match dialect {
        Dialect::Sqlite => format!(
            "WITH RECURSIVE {}, wanted (session, key) AS \
             (SELECT value ->> 'session', value ->> 'key' FROM json_each({wanted})) \
             SELECT json_object({members}, 'newest', lower(hex(max(id))), 'first', min(at)) \
             FROM wanted CROSS JOIN parts CROSS JOIN exchange INDEXED BY exchange_session \
             ON exchange.part = parts.part AND exchange.session = wanted.session AND exchange.key = wanted.key \
             WHERE {} AND exchange.id <= unhex({top}) GROUP BY wanted.session, wanted.key",
            schema::PARTS,
            query.conditions.join(" AND ")
        ),
        Dialect::Postgres => format!(
            "WITH wanted AS (SELECT session, key FROM jsonb_to_recordset(CAST({wanted} AS JSONB)) \
             AS rows (session TEXT, key TEXT)) \
             SELECT CAST(json_build_object({members}, \
             'newest', (array_agg(replace(CAST(id AS TEXT), '-', '') ORDER BY at DESC, id DESC))[1], \
             'first', CAST(extract(epoch FROM min(at)) * 1000 AS BIGINT)) AS TEXT) \
             FROM wanted JOIN exchange ON exchange.session = wanted.session AND exchange.key = wanted.key \
             WHERE {} AND exchange.id <= CAST({top} AS UUID) GROUP BY wanted.session, wanted.key",
            query.conditions.join(" AND ")
        ),
    };
    Statement { text, arguments: query.arguments }
}
