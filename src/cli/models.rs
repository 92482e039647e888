//! `tidegate models`: prints the table of models, and the targets of a config that use it.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use wildmatch::WildMatch;

use crate::catalogue::price::{PicoDollars, Price, Rates, Reached, today};
use crate::catalogue::row::Capability;
use crate::catalogue::{Catalogue, Row, Table};
use crate::config::Config;
use crate::disk;
use crate::error::Problem;
use crate::gateway;
use crate::gateway::shared::Shared;

/// The config that is used if it exists.
pub(super) const DEFAULT: &str = "tidegate.yaml";

/// The form of the output.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

/// Prints the models whose name matches `pattern`. Without a config only the bundled table is printed.
pub(super) fn run(config: &Path, pattern: Option<&str>, form: Form) -> ExitCode {
    let shown = match load(config) {
        Ok(shown) => shown,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            return ExitCode::FAILURE;
        }
    };
    let rows = shown.matching(pattern);
    if let (Some(pattern), []) = (pattern, rows.as_slice()) {
        eprintln!("no model matches `{pattern}`");
        return ExitCode::FAILURE;
    }
    let text = match form {
        Form::Text => shown.text(&rows, pattern),
        Form::Json => format!("{:#}\n", shown.json(&rows, pattern)),
    };
    // a reader that closes early, such as `head`, is no reason to panic
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The table, and its use by a config.
struct Shown {
    catalogue: Arc<Catalogue>,
    /// The targets that use a row: `alias: provider/model`.
    used: BTreeMap<RowKey, Vec<String>>,
    /// The targets whose model the table does not know.
    unknown: Vec<String>,
}

/// Provider and id.
type RowKey = (String, String);

fn key(row: &Row) -> RowKey {
    (row.provider.clone(), row.id.clone())
}

fn load(file: &Path) -> Result<Shown, Vec<Problem>> {
    if file == Path::new(DEFAULT) && disk::exists(file) == Ok(false) {
        let catalogue = Arc::new(Catalogue::build(&Table::default())?);
        return Ok(Shown { catalogue, used: BTreeMap::new(), unknown: Vec::new() });
    }
    let config = Config::load(file)?;
    let models = gateway::models(&config, &Shared::new(1, None)?)?;
    let (mut used, mut unknown) = (BTreeMap::<_, Vec<String>>::new(), Vec::new());
    for alias in models.all() {
        for target in &alias.targets {
            // a target without a model of its own receives the client's model
            let own = target.model.as_deref();
            let Some(model) = own.or((!alias.name.contains('*')).then_some(&alias.name)) else {
                continue;
            };
            let line = format!("{}: {}/{model}", alias.name, target.provider_name);
            match target.row(model) {
                Some(row) => used.entry(key(row)).or_default().push(line),
                None => unknown.push(line),
            }
        }
    }
    Ok(Shown { catalogue: config.catalogue, used, unknown })
}

impl Shown {
    /// Returns the rows that a pattern names: by its wildcards, or as any spelling of one name.
    fn matching(&self, pattern: Option<&str>) -> Vec<&Row> {
        let rows = || self.catalogue.rows().iter().map(|row| &**row);
        let Some(pattern) = pattern else { return rows().collect() };
        let glob = WildMatch::new_case_insensitive(pattern);
        let is_match = |row: &&Row| {
            glob.matches(&row.id) || glob.matches(&format!("{}/{}", row.provider, row.id))
        };
        let found: Vec<&Row> = rows().filter(is_match).collect();
        match found.as_slice() {
            [] => self.catalogue.find(None, pattern).map(|row| &**row).into_iter().collect(),
            _ => found,
        }
    }

    fn users(&self, row: &Row) -> &[String] {
        self.used.get(&key(row)).map_or(&[], Vec::as_slice)
    }

    fn text(&self, rows: &[&Row], pattern: Option<&str>) -> String {
        const HEAD: [&str; 8] =
            ["MODEL", "PROVIDER", "CONTEXT", "OUTPUT", "$ IN", "$ OUT", "RETIRES", "CAPABILITIES"];
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(rows.iter().map(|row| cells(row)));
        let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = String::new();
        for (n, line) in lines.iter().enumerate() {
            let mut shown = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                // writing to a string cannot fail
                let _ = write!(shown, "{cell:<width$}  ");
            }
            let _ = writeln!(text, "{}", shown.trim_end());
            for user in n.checked_sub(1).map_or(&[][..], |n| self.users(rows[n])) {
                let _ = writeln!(text, "  <- {user}");
            }
        }
        if let Some(read) = self.catalogue.read() {
            let _ = writeln!(
                text,
                "\nPrices are dollars for a million tokens. Bundled facts are of {read}."
            );
        }
        if let (None, [_, ..]) = (pattern, self.unknown.as_slice()) {
            text.push_str("\nTargets whose model is not in the table:\n");
            for target in &self.unknown {
                let _ = writeln!(text, "  {target}");
            }
        }
        text
    }

    fn json(&self, rows: &[&Row], pattern: Option<&str>) -> Value {
        let unknown = match pattern {
            None => self.unknown.as_slice(),
            Some(_) => &[],
        };
        let models = rows.iter().map(|row| {
            let mut model = object(row);
            model["used_by"] = self.users(row).into();
            model
        });
        json!({
            "read": self.catalogue.read().map(|day| day.to_string()),
            "models": models.collect::<Vec<_>>(),
            "unknown_targets": unknown,
        })
    }
}

fn cells(row: &Row) -> [String; 8] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let rates = row.price.as_ref().and_then(|price| price.on(today())).map(|period| period.rates);
    let price = |kind: fn(&Rates) -> PicoDollars| {
        rates.as_ref().map_or_else(|| "-".to_owned(), |rates| kind(rates).per_million())
    };
    let capabilities = match row.knows_capabilities() {
        true => row.capabilities().map(|one| one.as_str()).collect::<Vec<_>>().join(" "),
        false => "-".to_owned(),
    };
    [
        row.id.clone(),
        row.provider.clone(),
        number(row.context),
        number(row.max_output),
        price(|rates| rates.input),
        price(|rates| rates.output),
        row.retires.map_or_else(|| "-".to_owned(), |day| day.to_string()),
        capabilities,
    ]
}

/// Returns a row as JSON; a fact that the table does not have is `null`.
fn object(row: &Row) -> Value {
    let capabilities: Option<Vec<Capability>> =
        row.knows_capabilities().then(|| row.capabilities().collect());
    json!({
        "id": row.id,
        "provider": row.provider,
        "name": row.name,
        "context": row.context,
        "max_output": row.max_output,
        "capabilities": capabilities,
        "thinking": {
            "control": row.thinking,
            "can_be_off": row.can_turn_thinking_off(),
            "types": row.thinking_types(),
            "budget": row.budget,
            "levels": row.levels,
        },
        "efforts": row.efforts,
        "refuses": row.refused(),
        "refuses_on_chat": row.refused_on_chat(),
        "clouds": row.clouds(),
        "price": row.price.as_ref().map(price_object),
        "cache_min_tokens": row.cache_min_tokens,
        "retires": row.retires.map(|day| day.to_string()),
        "source": row.source,
    })
}

/// Returns the prices of today as dollars for a million tokens, in decimal strings; `null` if there is none.
fn price_object(price: &Price) -> Value {
    let Some(period) = price.on(today()) else { return Value::Null };
    let mut found = rates_object(period.rates);
    if let Some(from) = period.from {
        found.insert("from".to_owned(), from.to_string().into());
    }
    let above = period.above.iter().map(|above| {
        let mut rates = rates_object(above.rates);
        rates.insert("tokens".to_owned(), above.tokens.into());
        rates.insert("inclusive".to_owned(), (above.reached == Reached::From).into());
        Value::from(rates)
    });
    if !period.above.is_empty() {
        found.insert("above".to_owned(), above.collect());
    }
    found.into()
}

fn rates_object(rates: Rates) -> Map<String, Value> {
    let kinds = [
        ("input", Some(rates.input)),
        ("output", Some(rates.output)),
        ("cache_read", rates.cache_read),
        ("cache_write", rates.cache_write),
        ("cache_write_1h", rates.cache_write_1h),
        ("cache_write_12h", rates.cache_write_12h),
    ];
    let named = |(kind, rate): (&str, Option<PicoDollars>)| {
        Some((kind.to_owned(), Value::from(rate?.per_million())))
    };
    kinds.into_iter().filter_map(named).collect()
}
