//! Logs: one line per event on standard error, as text or JSON.
use std::borrow::Cow;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::Problem;
use crate::telemetry::{LogConfig, LogFormat};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts logging for the rest of the process; later calls fail.
pub(crate) fn init(config: &LogConfig) -> Result<(), Problem> {
    let filter = filter(config.level.as_deref().unwrap_or("info"))
        .map_err(|message| Problem::new("log.level", message))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Lines).with_target(true);
    let registry = tracing_subscriber::registry().with(filter);
    let outcome = match config.format {
        LogFormat::Text => {
            let is_terminal = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(lines.with_ansi(is_terminal)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    outcome.map_err(|error| Problem::new("log", error.to_string()))
}

/// Returns the problem of a `log.level`, if it has one.
pub(crate) fn level_problem(level: &str) -> Option<String> {
    filter(level).err()
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = || {
        "expected `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,tidegate::policy=debug`".to_owned()
    };
    // an unknown single word would be read as a module name, and silence all others
    let is_known = |part: &str| {
        let name = part.trim().to_ascii_lowercase();
        part.contains('=') || LEVELS.contains(&name.as_str())
    };
    if !level.split(',').all(is_known) {
        return Err(wrong());
    }
    // a single level is for the gateway only: the HTTP/2 frames would flood the log
    let own = match level.trim().to_ascii_lowercase().as_str() {
        level @ ("debug" | "trace") => format!("info,tidegate={level}"),
        _ => level.to_owned(),
    };
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(own)
        .map_err(|_| wrong())
}

/// Standard error with one line per event. Texts of plugins, libraries and errors may have line ends, but
/// only the gateway starts a line.
struct Lines;

impl io::Write for Lines {
    /// Writes one event; the subscriber passes each event whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(&on_one_line(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Returns an event as one line of the log: its inner line ends become `\n` and `\r`.
pub(crate) fn on_one_line(event: &[u8]) -> Cow<'_, [u8]> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let text = event.strip_suffix(b"\n").unwrap_or(event);
    if !text.iter().any(is_end) {
        return Cow::Borrowed(event);
    }
    let mut line = Vec::with_capacity(event.len() + 16);
    for byte in text {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            other => line.push(*other),
        }
    }
    line.extend_from_slice(&event[text.len()..]);
    Cow::Owned(line)
}

/// Returns a text for one line of the log. The author of a message cannot add lines or colours.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests;
