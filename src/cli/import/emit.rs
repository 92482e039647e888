//! Writes a config as YAML, with the remarks of the import as comments where they belong.
use serde_json::{Map, Value};

use crate::cli::import::notes::{Near, Remark};

/// The widest line with a value in flow form.
const WIDTH: usize = 110;

/// A config that is written section by section.
pub(super) struct Emitter<'a> {
    remarks: &'a [Remark],
    shown: Vec<bool>,
    text: String,
}

impl<'a> Emitter<'a> {
    /// Begins a file; each line of `head` is a comment.
    pub(super) fn new(head: &[String], remarks: &'a [Remark]) -> Self {
        let mut emitter = Self { remarks, shown: vec![false; remarks.len()], text: String::new() };
        head.iter().for_each(|line| emitter.comment("", line));
        emitter
    }

    /// Writes a section, the remarks about it first.
    pub(super) fn section(&mut self, key: &'static str, value: &Value) {
        self.remarks_at("", &Near::Section(key));
        self.pair("", key, value);
    }

    /// Writes a section with an entry for each name; remarks about an alias stand before its entry.
    pub(super) fn entries(&mut self, key: &'static str, entries: &[(String, Value)]) {
        self.remarks_at("", &Near::Section(key));
        self.text.push_str(&format!("{key}:\n"));
        for (name, value) in entries {
            if key == "models" {
                self.remarks_at("  ", &Near::Alias(name.clone()));
            }
            self.pair("  ", &scalar(name), value);
        }
    }

    /// Ends the file with the remarks that belong to no part of it.
    pub(super) fn finish(mut self) -> String {
        let rest: Vec<usize> = (0..self.remarks.len()).filter(|n| !self.shown[*n]).collect();
        if !rest.is_empty() {
            self.text.push('\n');
            self.comment("", "Parts of the old file without a place above:");
            rest.into_iter().for_each(|n| self.remark("", n));
        }
        self.text
    }

    fn remarks_at(&mut self, indent: &str, near: &Near) {
        let here = |(n, remark): (usize, &Remark)| (remark.near == *near).then_some(n);
        let here: Vec<usize> = self.remarks.iter().enumerate().filter_map(here).collect();
        here.into_iter().for_each(|n| self.remark(indent, n));
    }

    fn remark(&mut self, indent: &str, n: usize) {
        self.shown[n] = true;
        self.comment(indent, &self.remarks[n].comment());
    }

    fn comment(&mut self, indent: &str, text: &str) {
        let mut line = format!("{indent}#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH
                && line.len() > indent.len() + 2
            {
                self.text.push_str(&line);
                self.text.push('\n');
                line = format!("{indent}#  ");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }

    fn pair(&mut self, indent: &str, key: &str, value: &Value) {
        let short = format!("{indent}{key}: {}", flow(value));
        let is_deep = matches!(value, Value::Array(_)) && depth(value) > 2;
        if short.chars().count() <= WIDTH && !is_deep && depth(value) <= 2 {
            self.text.push_str(&short);
            self.text.push('\n');
            return;
        }
        self.text.push_str(&format!("{indent}{key}:\n"));
        let deeper = format!("{indent}  ");
        match value {
            Value::Object(entries) => {
                entries.iter().for_each(|(key, value)| self.pair(&deeper, &scalar(key), value));
            }
            Value::Array(items) => items.iter().for_each(|item| self.item(&deeper, item)),
            scalar => self.text.push_str(&format!("{deeper}{}\n", flow(scalar))),
        }
    }

    fn item(&mut self, indent: &str, item: &Value) {
        let short = format!("{indent}- {}", flow(item));
        let Value::Object(entries) = item else {
            self.text.push_str(&short);
            self.text.push('\n');
            return;
        };
        if short.chars().count() <= WIDTH {
            self.text.push_str(&short);
            self.text.push('\n');
            return;
        }
        let begin = self.text.len();
        let deeper = format!("{indent}  ");
        entries.iter().for_each(|(key, value)| self.pair(&deeper, &scalar(key), value));
        // the first key stands after the dash
        self.text.replace_range(begin + indent.len()..begin + indent.len() + 1, "-");
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Returns a value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let pairs =
                entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Returns a text as YAML: plain if no parser could take it for another value, else in quotes.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@');
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let is_word = words.contains(&text.to_ascii_lowercase().as_str());
    match is_measure(text) || begins && text.chars().all(is_plain) && !is_word {
        true => text.to_owned(),
        // every JSON string is a YAML string, with any content
        false => Value::from(text).to_string(),
    }
}

/// Returns whether a text is a time (`30s`), a rate (`60/1m`) or an address (`127.0.0.1:4000`).
fn is_measure(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    let time = ["ms", "s", "m", "h", "d"].iter().find_map(|unit| text.strip_suffix(unit));
    let address = text.split_once(':').filter(|(host, _)| host.split('.').count() == 4);
    match (time, address) {
        (Some(number), _) => number.split('/').all(is_number),
        (None, Some((host, port))) => host.split('.').all(is_number) && is_number(port),
        (None, None) => false,
    }
}

/// Returns a file of models with the facts of the old file.
pub(super) fn models_file(facts: &[Value]) -> String {
    let mut root = Map::new();
    root.insert("models".to_owned(), facts.to_vec().into());
    let mut emitter = Emitter::new(
        &["Prices (US dollars for a million tokens) and limits of models".to_owned()],
        &[],
    );
    for (key, value) in &root {
        emitter.pair("", key, value);
    }
    emitter.finish()
}
