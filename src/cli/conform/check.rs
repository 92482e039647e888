//! All checks, and the way in which each one runs.
use std::time::Duration;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::errors::Error;
use crate::cli::conform::facts::{Facts, Finding, Verdict};
use crate::cli::conform::{answers, errors, faults, other, request, streams, turns};

/// A check.
pub(super) struct Check {
    /// The name, the weight and the explanation.
    pub facts: Facts,
    case: Case,
}

enum Case {
    Request(&'static request::Row),
    Head(request::Head),
    Answer(&'static answers::Row),
    AnswerHeader(&'static answers::Header),
    Stream(&'static streams::Row),
    Handshake(streams::Handshake),
    Fault(&'static faults::Row),
    Error(Error),
    Count(other::Count),
    Models(other::Models),
    Loop(turns::Loop),
    Leaves(turns::Leaves),
}

/// The neighbours that a check bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// It runs beside others.
    Beside,
    /// It runs alone and late: its upstream fails, and the gateway may let it cool down.
    Alone,
}

impl Check {
    /// Returns all checks in the order of the report.
    pub(super) fn all() -> Vec<Self> {
        let rows = request::ROWS.iter().map(|row| (row.facts, Case::Request(row)));
        let heads = request::HEADS.iter().map(|(facts, head)| (*facts, Case::Head(*head)));
        let answers = answers::ROWS.iter().map(|row| (row.facts, Case::Answer(row)));
        let headers = answers::HEADERS.iter().map(|row| (row.facts, Case::AnswerHeader(row)));
        let streams = streams::ROWS.iter().map(|row| (row.facts, Case::Stream(row)));
        let shakes = streams::HANDSHAKES.iter().map(|(facts, one)| (*facts, Case::Handshake(*one)));
        let faults = faults::ROWS.iter().map(|row| (row.facts, Case::Fault(row)));
        let statuses =
            errors::STATUSES.iter().map(|row| (row.facts, Case::Error(Error::Status(row))));
        let details =
            errors::DETAILS.iter().map(|(facts, one)| (*facts, Case::Error(Error::Detail(*one))));
        let refused =
            errors::REFUSED.iter().map(|row| (row.facts, Case::Error(Error::Refused(row))));
        let counts = other::COUNTS.iter().map(|(facts, one)| (*facts, Case::Count(*one)));
        let models = other::MODELS.iter().map(|(facts, one)| (*facts, Case::Models(*one)));
        let loops = turns::LOOPS.iter().map(|(facts, one)| (*facts, Case::Loop(*one)));
        let leaves = turns::LEAVES.iter().map(|(facts, one)| (*facts, Case::Leaves(*one)));
        let first = rows.chain(heads).chain(answers).chain(headers).chain(streams).chain(shakes);
        let failing = faults.chain(statuses).chain(details).chain(refused);
        let last = counts.chain(models).chain(loops).chain(leaves);
        first.chain(failing).chain(last).map(|(facts, case)| Self { facts, case }).collect()
    }

    /// Returns the group.
    pub(super) fn group(&self) -> &'static str {
        match self.case {
            Case::Request(_) | Case::Head(_) => "request",
            Case::Answer(_) | Case::AnswerHeader(_) => "answer",
            Case::Stream(_) | Case::Handshake(_) => "stream",
            Case::Fault(_) => "faults",
            Case::Error(_) => "errors",
            Case::Count(_) => "count_tokens",
            Case::Models(_) => "models",
            Case::Loop(_) => "tools",
            Case::Leaves(_) => "leave",
        }
    }

    /// Returns the neighbours that it bears.
    pub(super) fn runs(&self) -> Runs {
        match self.case {
            Case::Fault(_) | Case::Error(Error::Status(_) | Error::Detail(_)) => Runs::Alone,
            _ => Runs::Beside,
        }
    }

    /// Runs the check, for this long at most.
    pub(super) async fn run(&self, bench: &Bench, timeout: Duration) -> Verdict {
        match tokio::time::timeout(timeout, self.verdict(bench)).await {
            Ok(verdict) => verdict,
            Err(_) => {
                let expected = format!("a result within {} ms", timeout.as_millis());
                let found = "none: the gateway hangs, holds data back, or leaves the upstream open";
                Err(Finding::new(expected, found))
            }
        }
    }

    async fn verdict(&self, bench: &Bench) -> Verdict {
        match &self.case {
            Case::Request(row) => row.run(bench).await,
            Case::Head(head) => head.run(bench).await,
            Case::Answer(row) => row.run(bench).await,
            Case::AnswerHeader(header) => header.run(bench).await,
            Case::Stream(row) => row.run(bench).await,
            Case::Handshake(handshake) => handshake.run(bench).await,
            Case::Fault(row) => row.run(bench).await,
            Case::Error(error) => error.run(bench).await,
            Case::Count(count) => count.run(bench).await,
            Case::Models(models) => models.run(bench).await,
            Case::Loop(kind) => kind.run(bench).await,
            Case::Leaves(leaves) => leaves.run(bench).await,
        }
    }
}
