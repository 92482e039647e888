//! The client and the test upstream around the gateway under test, and an exchange between them.
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use crate::cli::conform::client::{Answer, Arriving, Ask, Client};
use crate::cli::conform::facts::{Finding, Verdict, expect};
use crate::cli::conform::play::Play;
use crate::cli::conform::stage::{self, Seen, Stage};

/// Both ends around the gateway under test.
pub(super) struct Bench {
    /// The client.
    pub client: Client,
    stage: Arc<Stage>,
    /// The model that the gateway sends to the test upstream.
    pub model: String,
    run: u32,
    marks: AtomicU32,
}

/// A request that the gateway is answering.
pub(super) struct Open {
    /// The mark of the request.
    pub mark: String,
    /// The body that the client sent.
    pub sent: Bytes,
    /// The answer.
    pub arriving: Arriving,
}

/// A whole exchange, seen from both ends.
pub(super) struct Exchange {
    /// The body that the client sent.
    pub sent: Bytes,
    /// The requests that the upstream received, retries included.
    pub seen: Vec<Seen>,
    /// The answer that the client received.
    pub answer: Answer,
}

impl Bench {
    /// Makes the bench of a run.
    pub(super) fn new(client: Client, stage: Arc<Stage>, model: &str) -> Self {
        let model = model.to_owned();
        Self { client, stage, model, run: fastrand::u32(..), marks: AtomicU32::new(0) }
    }

    /// Prepares an answer, and returns its mark.
    pub(super) fn prepare(&self, play: Play) -> String {
        let mark = stage::mark(self.run, self.marks.fetch_add(1, Ordering::Relaxed));
        self.stage.prepare(&mark, play);
        mark
    }

    /// Returns the requests with this mark that the upstream has received.
    pub(super) fn seen(&self, mark: &str) -> Vec<Seen> {
        self.stage.seen(mark)
    }

    /// Writes the model and a mark into a request.
    pub(super) fn marked(&self, ask: &Ask, mark: &str) -> Ask {
        let body = ask.body.replace("@MODEL@", &self.model).replace("@MARK@", mark);
        Ask { body, ..ask.clone() }
    }

    /// Sends a request, and returns when the head of its answer is there.
    pub(super) async fn open(&self, ask: &Ask, play: Play) -> Result<Open, Finding> {
        let mark = self.prepare(play);
        let ask = self.marked(ask, &mark);
        let sent = Bytes::from(ask.body.clone());
        let arriving = self.sent(&ask).await?;
        Ok(Open { mark, sent, arriving })
    }

    /// Sends a request as it is.
    pub(super) async fn sent(&self, ask: &Ask) -> Result<Arriving, Finding> {
        let failed = |e: crate::error::BoxError| {
            Finding::new("an answer of the gateway", format!("the connection failed: {e}"))
        };
        self.client.open(ask).await.map_err(failed)
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn exchange(&self, ask: &Ask, play: Play) -> Result<Exchange, Finding> {
        let open = self.open(ask, play).await?;
        let answer = open.arriving.whole().await;
        Ok(Exchange { sent: open.sent, seen: self.seen(&open.mark), answer })
    }
}

impl Exchange {
    /// Returns the first request that the upstream received.
    ///
    /// Fails if none arrived.
    pub(super) fn seen(&self) -> Result<&Seen, Finding> {
        let none = || {
            let Answer { status, .. } = self.answer;
            let text = self.answer.text();
            Finding::new(
                "the test upstream receives the request",
                format!("it received none; the gateway answered {status}: {text}"),
            )
        };
        self.seen.first().ok_or_else(none)
    }

    /// Fails unless the answer has this status.
    pub(super) fn status(&self, status: u16) -> Verdict {
        let found = format!("{}: {}", self.answer.status, self.answer.text());
        expect(self.answer.status == status, &format!("status {status}"), found)
    }
}
