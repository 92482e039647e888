//! The catalogue: a bundled, dated table of models, the operator's additions to it, and look-ups by any spelling of a name.
pub(crate) mod billing;
pub(crate) mod cost;
pub(crate) mod estimate;
pub(crate) mod images;
mod names;
pub(crate) mod price;
pub(crate) mod row;
pub(crate) mod table;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use jiff::civil::Date;

pub(crate) use row::Row;
pub(crate) use table::Table;

use crate::catalogue::billing::Billing;
use crate::catalogue::images::ImageRule;
use crate::catalogue::table::Entry;
use crate::catalogue::words::Tokenizer;
use crate::error::Problem;

/// The bundled table, read once.
static BUNDLED: LazyLock<Result<Table, Problem>> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("models.yaml"))
        .map_err(|e| Problem::new("", format!("the bundled table of models is wrong: {e}")))
});
/// Providers that run other vendors' models: limits and prices of their rows are true for themselves only.
const HOSTS: &[&str] = &["groq"];

/// All known models.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The day on which the bundled facts were read.
    read: Option<Date>,
    /// The models in the order of the files.
    rows: Vec<Arc<Row>>,
    /// The billing rules of providers.
    billing: BTreeMap<String, Billing>,
    /// The rows of each name, folded.
    by_name: HashMap<String, Vec<usize>>,
    /// The rows whose name has a date, by the name without it.
    by_stem: HashMap<String, Vec<usize>>,
}

impl Catalogue {
    /// Reads the bundled table and adds the operator's own, which overrides it.
    ///
    /// Fails with every mistake in the operator's table; its paths are relative to that file.
    pub(crate) fn build(own: &Table) -> Result<Self, Vec<Problem>> {
        Self::stack(&[own]).map_err(|problems| problems.into_iter().flatten().collect())
    }

    /// Reads the bundled table and adds the operator's own, of which a later one overrides an earlier one.
    ///
    /// Fails with the mistakes of each of the operator's tables; their paths are relative to that file.
    pub(crate) fn stack(own: &[&Table]) -> Result<Self, Vec<Vec<Problem>>> {
        let bundled = BUNDLED.as_ref().map_err(|problem| vec![vec![problem.clone()]])?;
        let mut builder = Builder::default();
        builder.add(bundled);
        let mut problems = vec![std::mem::take(&mut builder.problems)];
        for table in own {
            builder.add(table);
            problems.push(std::mem::take(&mut builder.problems));
        }
        // the bundled table has none: a test reads it
        let problems = problems.split_off(1);
        match problems.iter().all(Vec::is_empty) {
            true => Ok(Self::of(bundled.read.map(|day| day.0), builder)),
            false => Err(problems),
        }
    }

    fn of(read: Option<Date>, built: Builder) -> Self {
        let Builder { rows, billing, .. } = built;
        let (mut by_name, mut by_stem) = (HashMap::new(), HashMap::new());
        for (n, row) in rows.iter().enumerate() {
            let ids: Vec<String> = row.ids().map(names::folded).collect();
            let stems = ids.iter().filter_map(|id| Some(names::split_date(id)?.0));
            stems.for_each(|stem| push(&mut by_stem, stem, n));
            let undated = ids[0].strip_suffix("-latest").into_iter();
            undated.chain(ids.iter().map(String::as_str)).for_each(|id| push(&mut by_name, id, n));
        }
        let rows = rows.into_iter().map(Arc::new).collect();
        Self { read, rows, billing, by_name, by_stem }
    }

    /// Returns the row of a model. `provider` is the family of the target's provider, such as `openai`; its own rows come
    /// first. Understands dates, `-latest`, and the prefixes and suffixes of clouds: `us.anthropic.claude-…-v1:0`,
    /// `claude-…@20251001`, `openai/gpt-…`, `models/gemini-…`.
    pub(crate) fn find(&self, provider: Option<&str>, model: &str) -> Option<&Arc<Row>> {
        // most names are those of the table
        let exact = self.by_name.get(&names::folded(model.trim()));
        if let Some(n) = exact.and_then(|rows| self.pick(provider, rows)) {
            return Some(&self.rows[n]);
        }
        let spellings = names::spellings(model);
        let named = |name: &String| self.by_name.get(name);
        // a version that the table does not know has the facts of the model without a date
        let undated = |name: &String| self.by_name.get(names::split_date(name)?.0);
        // a name without a date means the one dated version that the table knows
        let dated = |name: &String| self.by_stem.get(name);
        let pick = |rows: Option<&Vec<usize>>| self.pick(provider, rows?);
        let steps = |look: &dyn Fn(&String) -> Option<usize>| spellings.iter().find_map(look);
        let found = steps(&|name| pick(named(name)))
            .or_else(|| steps(&|name| pick(dated(name))))
            .or_else(|| steps(&|name| pick(undated(name))));
        found.map(|n| &self.rows[n])
    }

    /// Chooses among the rows of a name: that of the provider, else the one of the vendor itself.
    fn pick(&self, provider: Option<&str>, rows: &[usize]) -> Option<usize> {
        let is_own = |n: &&usize| provider.is_some_and(|own| self.rows[**n].provider == own);
        let is_open =
            |n: &&usize| provider.is_none() || !HOSTS.contains(&self.rows[**n].provider.as_str());
        rows.iter().find(is_own).or_else(|| rows.iter().find(is_open)).copied()
    }

    /// Returns all rows in the order of the files.
    pub(crate) fn rows(&self) -> &[Arc<Row>] {
        &self.rows
    }

    /// Returns the billing rules of a provider.
    pub(super) fn billing(&self, provider: &str) -> Billing {
        self.billing.get(provider).copied().unwrap_or_default()
    }

    /// Returns the day on which the bundled facts were read.
    pub(crate) fn read(&self) -> Option<Date> {
        self.read
    }
}

fn push(index: &mut HashMap<String, Vec<usize>>, name: &str, row: usize) {
    let rows = index.entry(name.to_owned()).or_default();
    if !rows.contains(&row) {
        rows.push(row);
    }
}

/// Collects rows from several files.
#[derive(Default)]
struct Builder {
    rows: Vec<Row>,
    tokenizers: BTreeMap<String, Option<Tokenizer>>,
    images: BTreeMap<String, Option<ImageRule>>,
    billing: BTreeMap<String, Billing>,
    problems: Vec<Problem>,
}

impl Builder {
    fn add(&mut self, table: &Table) {
        self.tokenizers.extend(table.tokenizers.clone());
        self.images.extend(table.images.clone());
        self.bill(&table.billing);
        let entries =
            || table.models.iter().enumerate().filter_map(|(n, entry)| Some((n, entry.as_ref()?)));
        for (n, entry) in entries() {
            let is_same =
                |other: &Entry| (&other.id, &other.provider) == (&entry.id, &entry.provider);
            let first = entries().find(|(_, other)| is_same(other)).map(|(first, _)| first);
            if let Some(first) = first.filter(|first| *first < n) {
                let message =
                    format!("`{}` occurs twice: the first one is models[{first}]", entry.id);
                self.problems.push(Problem::new(format!("models[{n}].id"), message));
                continue;
            }
            if let Err((key, message)) = self.merge(entry) {
                self.problems.push(Problem::new(format!("models[{n}].{key}"), message));
            }
        }
    }

    fn bill(&mut self, billing: &BTreeMap<String, Option<Billing>>) {
        for (provider, own) in billing {
            let Some(own) = own else { continue };
            let known = self.billing.entry(provider.clone()).or_default();
            *known = own.over(*known);
        }
    }

    fn merge(&mut self, entry: &Entry) -> Result<(), (&'static str, String)> {
        if entry.id.is_empty() {
            return Err(("id", "the name is empty".to_owned()));
        }
        let tokenizer = named(&self.tokenizers, entry.tokenizer.as_deref(), "tokenizer")?;
        let images = named(&self.images, entry.images.as_deref(), "images")?;
        let row = self.row(entry)?;
        row.apply(entry);
        row.tokenizer = tokenizer.unwrap_or(row.tokenizer);
        row.images = images.or(row.images);
        Ok(())
    }

    /// Returns the row that an entry is about; a new one if there is none.
    fn row(&mut self, entry: &Entry) -> Result<&mut Row, (&'static str, String)> {
        let is_it = |row: &Row| {
            row.id == entry.id && entry.provider.as_ref().is_none_or(|own| *own == row.provider)
        };
        let mut found = (0..self.rows.len()).filter(|n| is_it(&self.rows[*n]));
        match (found.next(), found.next(), &entry.provider) {
            (Some(n), None, _) => Ok(&mut self.rows[n]),
            (None, _, Some(provider)) if !provider.is_empty() => {
                self.rows.push(Row::new(provider, &entry.id));
                let last = self.rows.len() - 1;
                Ok(&mut self.rows[last])
            }
            (None, ..) => {
                let message = format!("needed for the new model `{}`, such as `openai`", entry.id);
                Err(("provider", message))
            }
            _ => {
                let message = format!("needed: several providers have a model `{}`", entry.id);
                Err(("provider", message))
            }
        }
    }
}

fn named<T: Copy>(
    known: &BTreeMap<String, Option<T>>,
    name: Option<&str>,
    key: &'static str,
) -> Result<Option<T>, (&'static str, String)> {
    let Some(name) = name else { return Ok(None) };
    match known.get(name) {
        Some(found) => Ok(*found),
        None => {
            let known: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
            Err((key, format!("`{name}` is not defined; known are {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests;
