//! An answer of the test upstream: the exact bytes, and the moments at which it waits or breaks.
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

/// One step of an answer.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends these bytes.
    Send(Bytes),
    /// Waits until the client grants a permit.
    Wait(Arc<Semaphore>),
    /// Reports that the request has arrived.
    Report(Arc<Notify>),
    /// Waits until the gateway closes the connection, and reports that.
    Watch(Arc<Notify>),
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// An answer as a list of steps. The connection stays open after the last one.
#[derive(Debug, Clone, Default)]
pub(super) struct Play {
    /// The steps in order.
    pub steps: Vec<Step>,
}

/// The `request-id` of every answer of the test upstream.
pub(super) const REQUEST_ID: &str = "req_conform_upstream";

impl Play {
    /// Makes an answer with a body of JSON.
    pub(super) fn json(status: u16, body: &str) -> Self {
        Self::with_headers(status, &[], body)
    }

    /// Makes an answer with a body of JSON and more headers.
    pub(super) fn with_headers(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut head = head(status, "application/json", headers);
        let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
        Self::default().send([head.as_bytes(), body.as_bytes()].concat())
    }

    /// Makes an error with the envelope of the API.
    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, &envelope(kind, message))
    }

    /// Makes the head of a stream, and no event yet.
    pub(super) fn streaming() -> Self {
        let head = head(200, "text/event-stream; charset=utf-8", &[("cache-control", "no-cache")]);
        Self::default().send(format!("{head}transfer-encoding: chunked\r\n\r\n"))
    }

    /// Makes a whole stream, a chunk for each frame.
    pub(super) fn stream(frames: &[&str]) -> Self {
        frames.iter().fold(Self::streaming(), |play, frame| play.chunk(frame)).end()
    }

    /// Adds a chunk of a body.
    pub(super) fn chunk(self, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref();
        let size = format!("{:x}\r\n", data.len());
        self.send([size.as_bytes(), data, b"\r\n"].concat())
    }

    /// Adds the last chunk: the body is complete.
    pub(super) fn end(self) -> Self {
        self.send("0\r\n\r\n")
    }

    /// Adds bytes as they are.
    pub(super) fn send(self, bytes: impl Into<Bytes>) -> Self {
        self.then(Step::Send(bytes.into()))
    }

    /// Adds a step.
    pub(super) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// Returns the body of an error.
pub(super) fn envelope(kind: &str, message: &str) -> String {
    format!(
        "{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":\"{message}\"}},\"request_id\":\"{REQUEST_ID}\"}}"
    )
}

fn head(status: u16, content_type: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!(
        "HTTP/1.1 {status} Conform\r\ncontent-type: {content_type}\r\nrequest-id: {REQUEST_ID}\r\n"
    );
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head
}
