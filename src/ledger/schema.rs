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

impl Dialect {
    /// The statement that begins a transaction of the writer.
    pub(super) fn begin(self) -> &'static str {
        match self {
            // a transaction that begins with reading fails at once if another connection wrote in the meantime
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// The statement that begins a transaction whose queries all see the moment of the first one.
    pub(super) fn begin_reading(self) -> &'static str {
        match self {
            // a snapshot of the write-ahead log
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        }
    }
}

/// The migrations, in order: the version of a schema is the number of those that were applied. A migration that was
/// released never changes. In PostgreSQL the gateway of the version before works with the result, since replicas are
/// updated one after the other; one gateway alone writes to a SQLite file, and an older one refuses a newer file.
pub(super) fn migrations(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => &[
            include_str!("schema/sqlite_1.sql"),
            include_str!("schema/sqlite_2.sql"),
            include_str!("schema/sqlite_3.sql"),
            include_str!("schema/sqlite_4.sql"),
            include_str!("schema/sqlite_5.sql"),
            include_str!("schema/sqlite_6.sql"),
        ],
        Dialect::Postgres => &[
            include_str!("schema/postgres_1.sql"),
            include_str!("schema/postgres_2.sql"),
            include_str!("schema/postgres_3.sql"),
            include_str!("schema/postgres_4.sql"),
            include_str!("schema/postgres_5.sql"),
            include_str!("schema/postgres_6.sql"),
        ],
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

/// A table: its name, and its columns in parts, which may be the same in several tables.
struct Table {
    name: &'static str,
    parts: &'static [Columns],
}

impl Table {
    fn columns(&self) -> impl Iterator<Item = (&'static str, Kind)> {
        self.parts.iter().copied().flatten().copied()
    }
}

/// The columns of `Tokens`.
const TOKENS: Columns = &[
    ("uncached", Number),
    ("write_5m", Number),
    ("write_1h", Number),
    ("read", Number),
    ("output", Number),
];

static EXCHANGE: Table = Table {
    name: "exchange",
    parts: &[
        &[
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
        ],
        TOKENS,
        &[
            ("cost_nano", Number),
            ("cost_state", Text),
            ("unpriced_tokens", Number),
            ("ttft_ms", Number),
            ("ms", Number),
            ("attempts", Number),
            ("stop", Text),
            ("trace_id", Text),
            ("upstream_request_id", Text),
            ("prefix", Text),
            ("broken_at", Text),
            ("broken_by", Text),
            ("broken_stage", Text),
            ("lost_tokens", Number),
            ("lost_nano", Number),
        ],
    ],
};
static ATTEMPT: Table = Table {
    name: "attempt",
    parts: &[
        &[
            ("exchange", Id),
            ("n", Number),
            ("turn", Number),
            ("model", Text),
            ("target", Text),
            ("status", Number),
            ("outcome", Text),
            ("error", Text),
            ("upstream_request_id", Text),
            ("begun_ms", Number),
            ("ttft_ms", Number),
            ("ms", Number),
        ],
        TOKENS,
        &[("cost_nano", Number), ("unpriced_tokens", Number)],
    ],
};
static STAGE: Table = Table {
    name: "stage",
    parts: &[&[
        ("exchange", Id),
        ("n", Number),
        ("name", Text),
        ("hook", Text),
        ("runs", Number),
        ("us", Number),
        ("outcome", Text),
    ]],
};
static TOOL_CALL: Table = Table {
    name: "tool_call",
    parts: &[&[
        ("exchange", Id),
        ("n", Number),
        ("turn", Number),
        ("tool", Text),
        ("is_error", Number),
        ("ms", Number),
    ]],
};
static TAG: Table =
    Table { name: "tag", parts: &[&[("exchange", Id), ("tag", Text), ("value", Text)]] };
static QUARTER: Table = Table {
    name: "quarter",
    parts: &[
        &[
            ("at", Time),
            ("key", Text),
            ("model", Text),
            ("target", Text),
            ("is_day", Number),
            ("requests", Number),
            ("errors", Number),
        ],
        TOKENS,
        &[("cost_nano", Number), ("unpriced", Number), ("unpriced_tokens", Number), ("ms", Number)],
    ],
};
static NOTE: Table = Table {
    name: "note",
    parts: &[&[
        ("exchange", Id),
        ("n", Number),
        ("kind", Text),
        ("attempts", Number),
        ("name", Text),
        ("detail", Text),
    ]],
};
/// The columns of `quarter` that name a row. `is_day` follows, and then the sums.
const QUARTER_KEY: usize = 4;

/// The statement of PostgreSQL that inserts new exchanges and returns the ids of those that were not there yet. Its
/// argument is a JSON list of rows, so that one prepared statement fits every size of a batch.
pub(super) fn insert_exchanges() -> String {
    let insert = insert(Dialect::Postgres, &EXCHANGE);
    format!("{insert} ON CONFLICT (id) DO NOTHING RETURNING replace(id::text, '-', '')")
}

/// The statement that inserts rows of another table.
pub(super) fn insert_rows(dialect: Dialect, rows: Rows) -> String {
    match rows {
        Rows::Attempts | Rows::Stages | Rows::ToolCalls | Rows::Tags | Rows::Notes => {
            insert(dialect, table(rows))
        }
        Rows::Quarters => {
            let insert = insert(dialect, &QUARTER);
            let names: Vec<&str> = QUARTER.columns().map(|(name, _)| name).collect();
            let (key, sums) = names.split_at(QUARTER_KEY);
            // a row that is the sum of a day stays one
            let sums =
                sums[1..].iter().map(|name| format!("{name} = quarter.{name} + excluded.{name}"));
            let sums: Vec<String> = sums.collect();
            format!("{insert} ON CONFLICT ({}) DO UPDATE SET {}", key.join(", "), sums.join(", "))
        }
    }
}

/// The name of a table that follows an exchange.
pub(super) fn name(rows: Rows) -> &'static str {
    table(rows).name
}

/// The expression of a row as one text: a JSON object with its columns. `None` is the exchange itself.
pub(super) fn object(dialect: Dialect, rows: Option<Rows>) -> String {
    let columns = rows.map_or(&EXCHANGE, table).columns();
    let members = columns.map(|(name, kind)| match (dialect, kind) {
        (Dialect::Sqlite, Id) => format!("'{name}', lower(hex({name}))"),
        (Dialect::Postgres, Id) => format!("'{name}', replace(CAST({name} AS TEXT), '-', '')"),
        (Dialect::Postgres, Time) => {
            format!("'{name}', CAST(extract(epoch FROM {name}) * 1000 AS BIGINT)")
        }
        (_, _) => format!("'{name}', {name}"),
    });
    let members = members.collect::<Vec<_>>().join(", ");
    match dialect {
        Dialect::Sqlite => format!("json_object({members})"),
        Dialect::Postgres => format!("CAST(json_build_object({members}) AS TEXT)"),
    }
}

fn table(rows: Rows) -> &'static Table {
    match rows {
        Rows::Attempts => &ATTEMPT,
        Rows::Stages => &STAGE,
        Rows::ToolCalls => &TOOL_CALL,
        Rows::Tags => &TAG,
        Rows::Notes => &NOTE,
        Rows::Quarters => &QUARTER,
    }
}

/// The statement that deletes the oldest exchanges: those that began before a time, and the most rows.
pub(super) fn delete_exchanges(dialect: Dialect) -> String {
    match dialect {
        Dialect::Sqlite => format!(
            "DELETE FROM exchange WHERE id IN (SELECT id FROM exchange WHERE id < {} ORDER BY id LIMIT ?2)",
            first_id("?1")
        ),
        // replicas share the work: a row that another one deletes is skipped
        Dialect::Postgres => "DELETE FROM exchange WHERE id IN (SELECT id FROM exchange \
             WHERE at < to_timestamp($1 / 1000.0) ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)"
            .to_owned(),
    }
}

/// The statement that deletes sums before a time that no exchange is left of: the time, and the most rows.
pub(super) fn delete_quarters(dialect: Dialect) -> &'static str {
    // sums stay as long as there are rows of their time; a day has 25 hours at most
    match dialect {
        Dialect::Sqlite => {
            "DELETE FROM quarter WHERE (at, key, model, target) IN (SELECT at, key, model, target FROM quarter \
             WHERE at + CASE is_day WHEN 0 THEN 900000 ELSE 90000000 END \
             <= min(?1, coalesce((SELECT at FROM exchange ORDER BY id LIMIT 1), ?1)) ORDER BY at LIMIT ?2)"
        }
        Dialect::Postgres => {
            "DELETE FROM quarter WHERE (at, key, model, target) IN (SELECT at, key, model, target FROM quarter \
             WHERE at + CASE is_day WHEN 0 THEN interval '15 minutes' ELSE interval '25 hours' END \
             <= least(to_timestamp($1 / 1000.0), (SELECT min(at) FROM exchange)) \
             ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)"
        }
    }
}

/// Returns the smallest id of an exchange of SQLite that begins at a time: ids begin with it, in 6 bytes, so the order
/// of ids is the order of times.
pub(super) fn first_id(at: &str) -> String {
    format!("unhex(printf('%012x', max(0, min({at}, 281474976710655))) || '00000000000000000000')")
}

/// The condition that an exchange began from one time to before another one.
pub(super) fn began_within(dialect: Dialect, from: &str, to: &str) -> String {
    match dialect {
        Dialect::Sqlite => {
            format!("exchange.id >= {} AND exchange.id < {}", first_id(from), first_id(to))
        }
        Dialect::Postgres => format!(
            "exchange.at >= to_timestamp({from} / 1000.0) AND exchange.at < to_timestamp({to} / 1000.0)"
        ),
    }
}

/// The table expression `parts` of SQLite: the numbers of all parts, the newest first. A few hundred exchanges that
/// were written together are a part, so that the indexes by ids and sessions grow at one place. An index begins with
/// the number, and a search looks into each part.
pub(super) const PARTS: &str = "parts (part) AS (SELECT max(part) FROM exchange UNION ALL \
     SELECT (SELECT max(part) FROM exchange WHERE part < parts.part) FROM parts WHERE parts.part IS NOT NULL)";

/// The query of ids of SQLite's exchanges whose column has a value. It needs [`PARTS`], and an index with the column's
/// name.
pub(super) fn ids_in_parts(column: &str, value: &str) -> String {
    format!(
        "SELECT exchange.id FROM parts CROSS JOIN exchange INDEXED BY exchange_{index} \
         ON exchange.part = parts.part AND exchange.{column} = {value}",
        index = column.trim_end_matches("_id")
    )
}

/// The table of the attempts of one exchange. SQLite keeps an only attempt in the columns of its exchange.
pub(super) fn attempts_of(dialect: Dialect, id: &str) -> String {
    let names: Vec<&str> = ATTEMPT.columns().map(|(name, _)| name).collect();
    let names = names.join(", ");
    match dialect {
        Dialect::Postgres => {
            format!("(SELECT {names} FROM attempt WHERE exchange = {id}) AS attempt")
        }
        Dialect::Sqlite => format!(
            "(SELECT {names} FROM attempt WHERE exchange = {id} UNION ALL \
             SELECT id, 0, 1, model, target, status, 'success', NULL, upstream_request_id, only_attempt ->> 0, \
             only_attempt ->> 1, only_attempt ->> 2, uncached, write_5m, write_1h, read, output, \
             coalesce(cost_nano, 0), unpriced_tokens FROM exchange WHERE id = {id} AND only_attempt IS NOT NULL)"
        ),
    }
}

/// The statement that returns the time of the oldest sum of a quarter of an hour before a time; no row if there is none.
/// In PostgreSQL it returns none as well while another gateway folds sums.
pub(super) fn oldest_quarter(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => {
            "SELECT at FROM quarter WHERE is_day = 0 AND at < ?1 ORDER BY at LIMIT 1"
        }
        Dialect::Postgres => {
            "WITH lock AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(8386658455067911781) AS is_own) \
             SELECT CAST(extract(epoch FROM at) * 1000 AS BIGINT) FROM quarter, lock \
             WHERE is_own AND is_day = 0 AND at < to_timestamp($1 / 1000.0) ORDER BY at LIMIT 1"
        }
    }
}

/// The statement that takes sums of quarters of an hour out of the table, the oldest first: the first time, the first
/// later one, and the most rows. It returns each as a JSON object.
pub(super) fn take_quarters(dialect: Dialect) -> String {
    let names = QUARTER.columns().map(|(name, kind)| match (dialect, kind) {
        (Dialect::Postgres, Time) => {
            format!("'{name}', CAST(extract(epoch FROM {name}) * 1000 AS BIGINT)")
        }
        _ => format!("'{name}', {name}"),
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let key = "at, key, model, target";
    match dialect {
        Dialect::Sqlite => format!(
            "DELETE FROM quarter WHERE ({key}) IN (SELECT {key} FROM quarter WHERE is_day = 0 AND at >= ?1 \
             AND at < ?2 ORDER BY {key} LIMIT ?3) RETURNING json_object({names})"
        ),
        Dialect::Postgres => format!(
            "DELETE FROM quarter WHERE ({key}) IN (SELECT {key} FROM quarter WHERE is_day = 0 \
             AND at >= to_timestamp($1 / 1000.0) AND at < to_timestamp($2 / 1000.0) ORDER BY {key} LIMIT $3) \
             RETURNING CAST(json_build_object({names}) AS TEXT)"
        ),
    }
}

fn insert(dialect: Dialect, table: &Table) -> String {
    let names: Vec<&str> = table.columns().map(|(name, _)| name).collect();
    let values = table.columns().map(|(name, kind)| match (dialect, kind) {
        (Dialect::Sqlite, Id) => format!("unhex(value ->> '{name}')"),
        (Dialect::Sqlite, _) => format!("value ->> '{name}'"),
        (Dialect::Postgres, Time) => format!("to_timestamp({name} / 1000.0)"),
        (Dialect::Postgres, _) => name.to_owned(),
    });
    let values = values.collect::<Vec<_>>().join(", ");
    let from = match dialect {
        // without the condition, the parser reads `ON CONFLICT` as a part of a join
        Dialect::Sqlite => "jsonb_each(?1) WHERE true".to_owned(),
        Dialect::Postgres => {
            let types = table.columns().map(|(name, kind)| match kind {
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
    format!("INSERT INTO {} ({}) SELECT {values} FROM {from}", table.name, names.join(", "))
}
