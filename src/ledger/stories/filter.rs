//! `Filter`: the exchanges that a list has.
use crate::ledger::schema::{self, Dialect};

/// The exchanges of a list. Absent parts accept everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The first moment, in milliseconds since 1970.
    pub(crate) from: Option<i64>,
    /// The first later moment.
    pub(crate) to: Option<i64>,
    /// Columns that must have a value: each has the name of the column.
    pub(crate) texts: Vec<(Column, String)>,
    /// The status that the client received.
    pub(crate) status: Option<u16>,
    /// Whether the client received an error.
    pub(crate) is_error: Option<bool>,
    /// A tag and its value.
    pub(crate) tag: Option<[String; 2]>,
}

/// A column that a list can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// The client's key.
    Key,
    /// The model's name that was looked up in the config.
    Model,
    /// The target of the last attempt.
    Target,
    /// The session.
    Session,
    /// The request's id.
    RequestId,
    /// The kind of exchange.
    Operation,
}

impl Column {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            Self::Target => "target",
            Self::Session => "session",
            Self::RequestId => "request_id",
            Self::Operation => "operation",
        }
    }
}

/// The ids of the exchanges with an id of a request, the gateway's or the upstream's. Each part has an index.
pub(super) fn named(dialect: Dialect, id: &str) -> String {
    let one = |column: &str| match dialect {
        Dialect::Sqlite => schema::ids_in_parts(column, id),
        Dialect::Postgres => format!("SELECT id FROM exchange WHERE {column} = {id}"),
    };
    format!("{} UNION ALL {}", one("request_id"), one("upstream_request_id"))
}
