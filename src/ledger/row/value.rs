//! A value of a column.

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Value<'a> {
    /// An id in hexadecimal digits, which SQLite stores as bytes.
    Id(&'a str),
    /// A text.
    Text(&'a str),
    /// A text that is made for this column.
    Made(String),
    /// A whole number.
    Number(i64),
    /// No value.
    Null,
}
