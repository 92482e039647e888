//! The tables of the ledger: their migrations, and the statements that insert a whole batch.
use crate::ledger::batch::Rows;

/// The database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Times are milliseconds since 1970, ids are 16 bytes.
    Sqlite,
    /// Times are `timestamptz`, ids are `uuid`.
    Postgres,
}

/// The migrations, in order: the version of a schema is the number of those that were applied. A migration that was
/// released never changes, and the gateway of the version before works with the result.
pub(super) fn migrations(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => &[include_str!("schema/sqlite_1.sql")],
        Dialect::Postgres => &[include_str!("schema/postgres_1.sql")],
    }
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Id,
    Time,
    Number,
    Text,
}

use Kind::{Id, Number, Text, Time};

type Columns = &'static [(&'static str, Kind)];

const EXCHANGE: Columns = &[
    ("id", Id),
    ("at", Time),
    ("operation", Text),
    ("key", Text),
    ("user_id", Text),
    ("session", Text),
    ("request_id", Text),
    ("parent", Text),
    ("model", Text),
    ("target", Text),
    ("route", Text),
    ("is_stream", Number),
    ("status", Number),
    ("ending", Text),
    ("error", Text),
    ("uncached", Number),
    ("write_5m", Number),
    ("write_1h", Number),
    ("read", Number),
    ("output", Number),
    ("cost_nano", Number),
    ("cost_state", Text),
    ("unpriced_tokens", Number),
    ("ttft_ms", Number),
    ("ms", Number),
    ("attempts", Number),
];
const ATTEMPT: Columns = &[
    ("exchange", Id),
    ("n", Number),
    ("turn", Number),
    ("model", Text),
    ("target", Text),
    ("status", Number),
    ("outcome", Text),
    ("error", Text),
    ("begun_ms", Number),
    ("ttft_ms", Number),
    ("ms", Number),
    ("uncached", Number),
    ("write_5m", Number),
    ("write_1h", Number),
    ("read", Number),
    ("output", Number),
    ("cost_nano", Number),
    ("unpriced_tokens", Number),
];
const STAGE: Columns = &[
    ("exchange", Id),
    ("n", Number),
    ("name", Text),
    ("hook", Text),
    ("runs", Number),
    ("us", Number),
    ("outcome", Text),
];
const TOOL_CALL: Columns = &[
    ("exchange", Id),
    ("n", Number),
    ("turn", Number),
    ("tool", Text),
    ("is_error", Number),
    ("ms", Number),
];
const TAG: Columns = &[("exchange", Id), ("tag", Text), ("value", Text)];
const QUARTER: Columns = &[
    ("at", Time),
    ("key", Text),
    ("model", Text),
    ("target", Text),
    ("requests", Number),
    ("errors", Number),
    ("uncached", Number),
    ("write_5m", Number),
    ("write_1h", Number),
    ("read", Number),
    ("output", Number),
    ("cost_nano", Number),
    ("unpriced", Number),
    ("unpriced_tokens", Number),
    ("ms", Number),
];
/// The columns of `quarter` that name a row; the others are sums.
const QUARTER_KEY: usize = 4;

/// The statement that inserts new exchanges and returns the ids of those that were not there yet. Its argument is
/// a JSON list of rows, so that one prepared statement fits every size of a batch.
pub(super) fn insert_exchanges(dialect: Dialect) -> String {
    let returned = match dialect {
        Dialect::Sqlite => "lower(hex(id))",
        Dialect::Postgres => "replace(id::text, '-', '')",
    };
    let insert = insert(dialect, "exchange", EXCHANGE);
    format!("{insert} ON CONFLICT (id) DO NOTHING RETURNING {returned}")
}

/// The statement that inserts rows of another table.
pub(super) fn insert_rows(dialect: Dialect, rows: Rows) -> String {
    match rows {
        Rows::Attempts => insert(dialect, "attempt", ATTEMPT),
        Rows::Stages => insert(dialect, "stage", STAGE),
        Rows::ToolCalls => insert(dialect, "tool_call", TOOL_CALL),
        Rows::Tags => insert(dialect, "tag", TAG),
        Rows::Quarters => {
            let insert = insert(dialect, "quarter", QUARTER);
            let (key, sums) = QUARTER.split_at(QUARTER_KEY);
            let key: Vec<&str> = key.iter().map(|(name, _)| *name).collect();
            let sums =
                sums.iter().map(|(name, _)| format!("{name} = quarter.{name} + excluded.{name}"));
            let sums: Vec<String> = sums.collect();
            format!("{insert} ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), sums.join(", "))
        }
    }
}

fn insert(dialect: Dialect, table: &str, columns: Columns) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values = columns.iter().map(|(name, kind)| match (dialect, kind) {
        (Dialect::Sqlite, Id) => format!("unhex(value ->> '{name}')"),
        (Dialect::Sqlite, _) => format!("value ->> '{name}'"),
        (Dialect::Postgres, Time) => format!("to_timestamp({name} / 1000.0)"),
        (Dialect::Postgres, _) => (*name).to_owned(),
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let from = match dialect {
        // without the condition, the parser reads `ON CONFLICT` as a part of a join
        Dialect::Sqlite => "json_each(?1) WHERE true".to_owned(),
        Dialect::Postgres => {
            let types = columns.iter().map(|(name, kind)| match kind {
                Id => format!("{name} uuid"),
                Time | Number => format!("{name} bigint"),
                Text => format!("{name} text"),
            });
            format!(
                "jsonb_to_recordset($1::jsonb) AS rows ({})",
                types.collect::<Vec<_>>().join(", ")
            )
        }
    };
    format!("INSERT INTO {table} ({}) SELECT {values} FROM {from}", names.join(", "))
}
