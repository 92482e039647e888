//! The output of `tidegate eval`: steps with their edits, decisions, logs, and errors with their lines.
use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::cli::show::Paint;
use crate::disk;
use crate::error::{Error, Problem};
use crate::policy::trial::logs::Logs;
use crate::policy::trial::run::{Given, is_breakage};
use crate::policy::watch::{Decided, End, Ran, Watch};
use crate::policy::{Hook, Wishes};
use crate::wire::Event;

/// The output of a trial.
#[derive(Clone)]
pub(super) struct Printer {
    pub(super) paint: Paint,
    pub(super) logs: Logs,
}

/// Collects the log lines of policies and plugins from now on.
pub(super) fn capture_logs() -> Logs {
    let logs = Logs::default();
    // another subscriber that is already set keeps the logs
    let _ = tracing::subscriber::set_global_default(logs.subscriber());
    logs
}

impl Printer {
    /// Prints a line.
    pub(super) fn say(&self, line: &str) {
        // a reader that closes early, such as `head`, is no reason to panic
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Returns a watch that prints each run of the hooks over the request, and records a failure at any hook.
    pub(super) fn watch(&self, is_broken: Arc<AtomicBool>) -> Watch {
        let shown = self.clone();
        Watch::new(move |step| {
            if matches!(step.end, End::Broke(..)) {
                is_broken.store(true, Ordering::Relaxed);
            }
            match step.hook {
                Hook::Request => shown.step(step.stage, &step.end),
                Hook::UpstreamRequest => {
                    shown.step(&format!("{} (on_upstream_request)", step.stage), &step.end);
                }
                _ => {}
            }
        })
    }

    /// Prints the result of a stage.
    pub(super) fn step(&self, stage: &str, end: &End<'_>) {
        let name = self.paint.strong(stage);
        match end {
            End::NoHook => self.say(&format!("{name}  has no `on_request`")),
            End::NotFor => self.say(&format!("{name}  does not run for this request (`when`)")),
            End::Done(ran) => {
                self.head(&name, ran.time);
                self.edit(&pretty(&ran.before), &pretty(&ran.after));
                self.decided(ran);
            }
            End::Broke(time, error) => {
                self.head(&name, *time);
                self.logged();
                self.failure(error);
            }
        }
    }

    /// Prints the message of `on_error`, which the caller reads.
    pub(super) fn reworded(&self, message: &str) {
        self.note("on_error", message);
    }

    /// Prints an answer before and after all stages.
    pub(super) fn answer(&self, before: &str, after: &str, time: Duration) {
        self.head(&self.paint.strong("answer"), time);
        self.edit(before, after);
        self.logged();
    }

    /// Prints the error that ended the trial.
    pub(super) fn failure(&self, error: &Error) {
        let what = if is_breakage(error) { "broke" } else { "deny" };
        let status = error.status().as_u16();
        self.note(&self.paint.bad(what), &format!("{status} {}", error.message));
        if let Some(excerpt) = &error.source {
            for line in excerpt.to_string().lines() {
                self.say(&format!("          {line}"));
            }
        }
    }

    fn head(&self, name: &str, time: Duration) {
        self.say(&format!("{name}  {}", self.paint.faint(&format!("{} µs", time.as_micros()))));
    }

    fn edit(&self, before: &str, after: &str) {
        match self.paint.diff(before, after) {
            diff if diff.is_empty() => self.say(&self.paint.faint("   unchanged")),
            diff => self.say(diff.trim_end_matches('\n')),
        }
    }

    fn decided(&self, ran: &Ran<'_>) {
        self.logged();
        if let Some(model) = ran.route {
            self.note("route", model);
        }
        self.wishes(ran.wishes);
        match &ran.decision {
            Decided::GoOn => {}
            Decided::Deny(error) => self.failure(error),
            Decided::Answer(message) => {
                self.note(&self.paint.good("answer"), "");
                pretty(message).lines().for_each(|line| self.say(&format!("     {line}")));
            }
        }
    }

    fn wishes(&self, wishes: &Wishes) {
        for (name, value) in &wishes.tags {
            self.note("tag", &format!("{name} = {value}"));
        }
        for (name, count) in &wishes.counts {
            self.note("count", &format!("{name} + {count}"));
        }
        for event in &wishes.events {
            let fields = serde_json::to_string(&event.fields).unwrap_or_default();
            self.note("emit", &format!("{} {fields}", event.name()));
        }
        for (what, edits) in
            [("header", &wishes.upstream_headers), ("to the caller", &wishes.response_headers)]
        {
            for (name, value) in edits.iter() {
                let value = value.map(|value| String::from_utf8_lossy(value.as_bytes()));
                let value = value.map_or("is removed".into(), |value| format!("= {value}"));
                self.note(what, &format!("{name} {value}"));
            }
        }
    }

    /// Prints the log lines since the last call.
    pub(super) fn logged(&self) {
        for line in self.logs.take() {
            // the policy is named above, and there is only one request
            self.note("log", &line);
        }
    }

    /// Prints the log lines on standard error, because standard output is for the result.
    pub(super) fn logged_to_stderr(&self) {
        for line in self.logs.take() {
            eprintln!("{}", self.paint.faint(&format!("log  {line}")));
        }
    }

    fn note(&self, what: &str, text: &str) {
        self.say(&format!("   {what}  {text}"));
    }
}

/// Returns an answer as text: JSON with indentation, or the data of its events.
pub(super) fn text(answer: &Given) -> String {
    match answer {
        Given::Message(message) => pretty(message),
        Given::Stream(events) => lines(events),
    }
}

/// Returns JSON text with indentation.
pub(super) fn pretty(text: &[u8]) -> String {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    format!("{value:#}\n")
}

/// Returns the data of events, one per line.
fn lines(events: &[Event]) -> String {
    let mut lines = String::new();
    for event in events {
        // writing to a string cannot fail
        let _ = writeln!(lines, "{}", String::from_utf8_lossy(&event.data()));
    }
    lines
}

/// Returns a problem with its source line, and a caret below the place.
pub(super) fn problem(problem: &Problem) -> String {
    let plain = format!("{problem}\n");
    let place: Vec<&str> = problem.path.rsplitn(3, ':').collect();
    let [column, line, file] = place.as_slice() else { return plain };
    let (Ok(column), Ok(line)) = (column.parse::<usize>(), line.parse::<usize>()) else {
        return plain;
    };
    let source = disk::text(Path::new(file)).unwrap_or_default();
    let Some(line) = line.checked_sub(1).and_then(|n| source.lines().nth(n)) else { return plain };
    let blank: String = line
        .chars()
        .take(column.saturating_sub(1))
        .map(|c| if c == '\t' { c } else { ' ' })
        .collect();
    // the line is printed below, so the message need not quote it
    let message = problem.message.rsplit_once(" in `").map_or(&*problem.message, |(said, _)| said);
    format!("{}: {message}\n    {line}\n    {blank}^\n", problem.path)
}
