//! The columns of `exchange` in SQLite, with the values of a row.
use crate::ledger::row::value::Value;
use crate::ledger::row::{Exchange, Row};

/// The number of columns, without `part`.
const COUNT: usize = 36;

/// The names of the columns.
pub(in crate::ledger) const NAMES: [&str; COUNT] = [
    "id",
    "at",
    "operation",
    "key",
    "user_id",
    "session",
    "request_id",
    "parent",
    "model",
    "target",
    "route",
    "is_stream",
    "status",
    "ending",
    "error",
    "uncached",
    "write_5m",
    "write_1h",
    "read",
    "output",
    "cost_nano",
    "cost_state",
    "unpriced_tokens",
    "ttft_ms",
    "ms",
    "attempts",
    "stop",
    "trace_id",
    "upstream_request_id",
    "prefix",
    "broken_at",
    "broken_by",
    "broken_stage",
    "lost_tokens",
    "lost_nano",
    "only_attempt",
];

impl Row {
    /// Returns whether the exchange has one attempt, and the columns of the exchange hold all of it but its times.
    pub(in crate::ledger) fn has_only_attempt(&self) -> bool {
        match self.attempts.as_slice() {
            [one] => {
                one.turn == 1
                    && one.outcome == Some("success")
                    && one.error.is_none()
                    && one.status.map(i64::from) == Some(self.exchange.status)
            }
            _ => false,
        }
    }

    /// Returns the times of the only attempt as a JSON list: `begun_ms`, `ttft_ms` and `ms`.
    fn only_attempt(&self) -> Option<String> {
        let one = self.attempts.first().filter(|_| self.has_only_attempt())?;
        let null = |number: Option<i64>| number.map_or_else(|| "null".into(), |n| n.to_string());
        Some(format!("[{},{},{}]", one.begun_ms, null(one.ttft_ms), null(one.ms)))
    }

    /// Returns the values in the order of [`NAMES`].
    pub(in crate::ledger) fn values(&self) -> [Value<'_>; COUNT] {
        let Exchange { tokens, prefix, .. } = &self.exchange;
        let it = &self.exchange;
        [
            Value::Id(&it.id),
            Value::Number(it.at),
            Value::Text(it.operation),
            Value::Text(&it.key),
            text(it.user_id.as_deref()),
            text(it.session.as_deref()),
            Value::Text(&it.request_id),
            text(it.parent.as_deref()),
            Value::Text(&it.model),
            Value::Text(&it.target),
            text(it.route.as_deref()),
            Value::Number(it.is_stream),
            Value::Number(it.status),
            Value::Text(it.ending),
            text(it.error),
            Value::Number(tokens.uncached),
            Value::Number(tokens.write_5m),
            Value::Number(tokens.write_1h),
            Value::Number(tokens.read),
            Value::Number(tokens.output),
            number(it.cost_nano),
            Value::Text(it.cost_state),
            Value::Number(it.unpriced_tokens),
            number(it.ttft_ms),
            Value::Number(it.ms),
            Value::Number(it.attempts),
            text(it.stop.as_deref()),
            text(it.trace_id.as_deref()),
            text(it.upstream_request_id.as_deref()),
            text(prefix.prefix),
            text(prefix.broken_at.as_deref()),
            text(prefix.broken_by),
            text(prefix.broken_stage.as_deref()),
            number(prefix.lost_tokens),
            number(prefix.lost_nano),
            self.only_attempt().map_or(Value::Null, Value::Made),
        ]
    }
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

fn number(number: Option<i64>) -> Value<'static> {
    number.map_or(Value::Null, Value::Number)
}
