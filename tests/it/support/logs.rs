//! The log of every gateway in this process, as JSON lines: a request is found by its id.
use std::io::{self, Write};
use std::sync::{Mutex, Once};

use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::until;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static STARTED: Once = Once::new();

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to write the log down; before the gateway does what is looked for.
pub fn start() {
    STARTED.call_once(|| {
        let lines = tracing_subscriber::fmt::layer().json().flatten_event(true);
        let lines = lines.with_writer(|| Sink);
        tracing_subscriber::registry().with(lines).with(LevelFilter::INFO).init();
    });
}

/// The first line that has this value, once it is there.
pub async fn line(field: &str, value: &str) -> Value {
    find(&format!("`{field}` = `{value}`"), |line| line[field] == value).await
}

/// The first of those whose message begins so.
pub async fn line_with(field: &str, value: &str, start: &str) -> Value {
    let is_it = |line: &Value| {
        let message = line["message"].as_str();
        line[field] == value && message.is_some_and(|message| message.starts_with(start))
    };
    find(&format!("`{field}` = `{value}` that begins with `{start}`"), is_it).await
}

/// How many lines that have this value begin so.
pub fn count(field: &str, value: &str, start: &str) -> usize {
    let text = LINES.lock().unwrap().clone();
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let begins = |line: &Value| line["message"].as_str().is_some_and(|it| it.starts_with(start));
    lines.filter(|line| line[field] == value && begins(line)).count()
}

/// Whether a text is in any line so far.
pub fn has(text: &str) -> bool {
    memchr::memmem::find(&LINES.lock().unwrap(), text.as_bytes()).is_some()
}

async fn find(what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    until(&format!("a line of the log with {what}"), async || {
        let text = LINES.lock().unwrap().clone();
        let lines = text.split(|byte| *byte == b'\n');
        let mut lines = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        found = lines.find(|line| is_it(line));
        found.is_some()
    })
    .await;
    found.unwrap()
}
