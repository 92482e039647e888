//! The query of a list of exchanges. In SQLite the order of ids is the order of times.
use crate::ledger::database::{Argument, Position, Statement};
use crate::ledger::schema::{self, Dialect};
use crate::ledger::stories::filter::{Column, Filter, named};

/// The parts of the query.
struct Select {
    dialect: Dialect,
    conditions: Vec<String>,
    arguments: Vec<Argument>,
    /// The table that is read first, with the column of its exchanges' ids.
    first: Option<&'static str>,
    has_parts: bool,
}

/// Returns the query of the exchanges after a position.
pub(super) fn select(
    dialect: Dialect,
    filter: &Filter,
    after: Option<&Position>,
    limit: u16,
) -> Statement {
    let mut select = Select {
        dialect,
        conditions: Vec::new(),
        arguments: vec![Argument::Number(limit.into())],
        first: None,
        has_parts: false,
    };
    select.tagged(filter);
    select.between(filter, after);
    for (column, text) in &filter.texts {
        select.named(*column, text);
    }
    if let Some(status) = filter.status {
        let status = i64::from(status);
        let argument = select.argue(Argument::Number(status));
        select.conditions.push(format!("status = {argument}"));
    }
    let is_error = filter.is_error.or_else(|| Some(filter.status? >= 400).filter(|it| *it));
    match is_error {
        // SQLite has an index of errors
        Some(true) => select.conditions.push("status >= 400".to_owned()),
        Some(false) => select.conditions.push("status < 400".to_owned()),
        None => {}
    }
    select.whole()
}

impl Select {
    fn argue(&mut self, argument: Argument) -> String {
        self.arguments.push(argument);
        format!("${}", self.arguments.len())
    }

    /// Adds the condition for a tag. Without a key or a session, SQLite reads the tags first, since a rare one is far
    /// away from the newest exchange.
    fn tagged(&mut self, filter: &Filter) {
        let Some([name, value]) = &filter.tag else { return };
        let [name, value] = [name, value].map(|text| self.argue(Argument::Text(text.clone())));
        let is_first = self.dialect == Dialect::Sqlite
            && !filter.texts.iter().any(|(column, _)| {
                matches!(column, Column::Key | Column::Session | Column::RequestId)
            });
        if is_first {
            self.first = Some("tag.exchange");
            self.conditions.push(format!("tag.tag = {name} AND tag.value = {value}"));
            return;
        }
        self.conditions.push(format!(
            "EXISTS (SELECT 1 FROM tag WHERE tag.exchange = exchange.id AND tag.tag = {name} AND tag.value = {value})"
        ));
    }

    /// Adds the conditions for the times and the position.
    fn between(&mut self, filter: &Filter, after: Option<&Position>) {
        let id = self.first.unwrap_or("id");
        if let Some(after) = after {
            let condition = match self.dialect {
                Dialect::Sqlite => {
                    let after = self.argue(Argument::Text(after.id.clone()));
                    format!("{id} < unhex({after})")
                }
                Dialect::Postgres => {
                    let at = self.argue(Argument::Number(after.at));
                    let after = self.argue(Argument::Text(after.id.clone()));
                    format!("(at, id) < (to_timestamp({at} / 1000.0), CAST({after} AS UUID))")
                }
            };
            self.conditions.push(condition);
        }
        for (bound, is) in [(filter.from, ">="), (filter.to, "<")] {
            let Some(bound) = bound else { continue };
            let bound = self.argue(Argument::Number(bound));
            self.conditions.push(match self.dialect {
                Dialect::Sqlite => format!("{id} {is} {}", schema::first_id(&bound)),
                Dialect::Postgres => format!("at {is} to_timestamp({bound} / 1000.0)"),
            });
        }
    }

    /// Adds the condition for the text of a column.
    fn named(&mut self, column: Column, text: &str) {
        let argument = self.argue(Argument::Text(text.to_owned()));
        let plain = format!("{} = {argument}", column.as_str());
        let condition = match (column, self.dialect) {
            (Column::RequestId, Dialect::Postgres) => {
                format!("id IN ({})", named(self.dialect, &argument))
            }
            (Column::RequestId, Dialect::Sqlite) => {
                self.has_parts = true;
                format!("exchange.id IN ({})", named(self.dialect, &argument))
            }
            (Column::Session, Dialect::Sqlite) => {
                self.has_parts = true;
                format!("exchange.id IN ({})", schema::ids_in_parts("session", &argument))
            }
            // there is an index of all others
            (Column::Operation, _) if text != "messages" => {
                format!("{plain} AND operation <> 'messages'")
            }
            _ => plain,
        };
        self.conditions.push(condition);
    }

    fn whole(self) -> Statement {
        let Self { dialect, conditions, arguments, first, has_parts } = self;
        let parts = match has_parts {
            true => format!("WITH RECURSIVE {} ", schema::PARTS),
            false => String::new(),
        };
        let from = match first {
            // in this order
            Some(id) => format!("tag CROSS JOIN exchange ON exchange.id = {id}"),
            None => "exchange".to_owned(),
        };
        let only = match conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", conditions.join(" AND ")),
        };
        let order = match dialect {
            Dialect::Sqlite => format!("{} DESC", first.unwrap_or("id")),
            Dialect::Postgres => "at DESC, id DESC".to_owned(),
        };
        let object = schema::object(dialect, None);
        let text = format!("{parts}SELECT {object} FROM {from}{only} ORDER BY {order} LIMIT $1");
        Statement { text, arguments }
    }
}
