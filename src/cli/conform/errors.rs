//! Checks of errors: of the upstream, and of the gateway itself.
use http::Method;

use crate::cli::conform::bench::Bench;
use crate::cli::conform::client::Ask;
use crate::cli::conform::facts::{Facts, Verdict, expect, must, should};
use crate::cli::conform::faults;
use crate::cli::conform::json::Keeps;
use crate::cli::conform::play::{self, Play, REQUEST_ID};
use crate::cli::conform::samples::{MESSAGE, STREAM};

/// A check of an error.
pub(super) enum Error {
    /// A status of the upstream.
    Status(&'static Status),
    /// A part of an upstream's error.
    Detail(Detail),
    /// An error of the gateway itself.
    Refused(&'static Refused),
}

impl Error {
    /// Runs the check.
    pub(super) async fn run(&self, bench: &Bench) -> Verdict {
        match self {
            Self::Status(status) => status.run(bench).await,
            Self::Detail(detail) => detail.run(bench).await,
            Self::Refused(refused) => refused.run(bench).await,
        }
    }
}

/// An error status of the upstream.
pub(super) struct Status {
    /// The facts of the check.
    pub facts: Facts,
    status: u16,
    kind: &'static str,
}

const fn status(id: &'static str, status: u16, kind: &'static str) -> Status {
    let explains = "Status, `error.type` and message of the upstream's error arrive.";
    Status { facts: must(id, explains), status, kind }
}

/// The statuses.
pub(super) const STATUSES: &[Status] = &[
    status("error-400", 400, "invalid_request_error"),
    status("error-401", 401, "authentication_error"),
    status("error-402", 402, "billing_error"),
    status("error-403", 403, "permission_error"),
    status("error-404", 404, "not_found_error"),
    status("error-408", 408, "timeout_error"),
    status("error-409", 409, "conflict_error"),
    status("error-413", 413, "request_too_large"),
    status("error-422", 422, "invalid_request_error"),
    status("error-429", 429, "rate_limit_error"),
    status("error-500", 500, "api_error"),
    status("error-502", 502, "api_error"),
    status("error-503", 503, "api_error"),
    status("error-504", 504, "timeout_error"),
    status("error-529", 529, "overloaded_error"),
];

impl Status {
    /// Runs the check.
    async fn run(&self, bench: &Bench) -> Verdict {
        let body = play::envelope(self.kind, "prompt is too long: conform");
        let exchange =
            bench.exchange(&Ask::message(MESSAGE), Play::json(self.status, &body)).await?;
        exchange.seen()?;
        exchange.status(self.status)?;
        faults::envelope(&exchange.answer, Some(self.kind))?;
        Keeps::Value(&["error", "message"]).compare(body.as_bytes(), &exchange.answer.body)
    }
}

/// A part of an upstream's error.
#[derive(Debug, Clone, Copy)]
pub(super) enum Detail {
    /// All bytes of the body.
    Body,
    /// `error.details`, by which the SDKs choose a class.
    Details,
    /// A header.
    Header(&'static str, &'static str),
    /// The status of an error before the first event of a stream.
    Stream,
}

const DETAILED: &str = r#"{ "type":"error","error":{"type":"rate_limit_error","message":"slow down","details":{"error_code":"ramp_limit_exceeded","future":[1]}},"request_id":"req_conform_upstream" }"#;
const HEADERS: &[(&str, &str)] = &[
    ("retry-after", "1"),
    ("retry-after-ms", "700"),
    ("x-should-retry", "true"),
    ("anthropic-ratelimit-requests-remaining", "0"),
];

/// The checks of parts.
pub(super) const DETAILS: &[(Facts, Detail)] = &[
    (
        should(
            "error-bytes",
            "The body of an upstream's error arrives byte for byte: clients match its text.",
        ),
        Detail::Body,
    ),
    (
        must(
            "error-details",
            "`error.details.error_code` arrives: the SDKs choose the class by it.",
        ),
        Detail::Details,
    ),
    (must("error-retry-after", "`retry-after` arrives."), Detail::Header("retry-after", "1")),
    (
        should("error-retry-after-ms", "`retry-after-ms` arrives."),
        Detail::Header("retry-after-ms", "700"),
    ),
    (
        must("error-should-retry", "`x-should-retry` arrives: the SDKs obey it before the status."),
        Detail::Header("x-should-retry", "true"),
    ),
    (
        should("error-rate-limits", "`anthropic-ratelimit-*` of an error arrive."),
        Detail::Header("anthropic-ratelimit-requests-remaining", "0"),
    ),
    (
        must("error-request-id", "`request-id` of an error arrives."),
        Detail::Header("request-id", REQUEST_ID),
    ),
    (
        must(
            "error-stream",
            "An error before a stream begins is a status with JSON, not an event.",
        ),
        Detail::Stream,
    ),
];

impl Detail {
    /// Runs the check.
    async fn run(self, bench: &Bench) -> Verdict {
        let request = if let Self::Stream = self { STREAM } else { MESSAGE };
        let play = Play::with_headers(429, HEADERS, DETAILED);
        let exchange = bench.exchange(&Ask::message(request), play).await?;
        exchange.seen()?;
        exchange.status(429)?;
        let (answer, sent) = (&exchange.answer, DETAILED.as_bytes());
        match self {
            Self::Body => Keeps::Bytes.compare(sent, &answer.body),
            Self::Details => Keeps::Value(&["error", "details"]).compare(sent, &answer.body),
            Self::Header(name, value) => {
                let found = answer.header(name).unwrap_or_default();
                expect(found == value, &format!("`{name}: {value}`"), format!("`{found}`"))
            }
            Self::Stream => faults::envelope(answer, Some("rate_limit_error")),
        }
    }
}

/// A request that no gateway can serve.
pub(super) struct Refused {
    /// The facts of the check.
    pub facts: Facts,
    method: &'static Method,
    target: &'static str,
    body: &'static str,
    statuses: &'static [u16],
}

/// The checks of refused requests.
pub(super) const REFUSED: &[Refused] = &[
    Refused {
        facts: must("refused-json", "A body that is no JSON is refused with 400."),
        method: &Method::POST,
        target: "/v1/messages",
        body: "{\"model\":\"@MODEL@\",",
        statuses: &[400],
    },
    Refused {
        facts: must("refused-empty", "An empty body is refused with 400."),
        method: &Method::POST,
        target: "/v1/messages",
        body: "",
        statuses: &[400],
    },
    Refused {
        facts: must("refused-array", "A body that is no object is refused with 400."),
        method: &Method::POST,
        target: "/v1/messages",
        body: "[]",
        statuses: &[400],
    },
    Refused {
        facts: must("refused-no-model", "A request without `model` is refused with 400."),
        method: &Method::POST,
        target: "/v1/messages",
        body: "{\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
        statuses: &[400, 404],
    },
    Refused {
        facts: must("refused-route", "An unknown route is a 404."),
        method: &Method::GET,
        target: "/v1/conform-no-such-route",
        body: "",
        statuses: &[404],
    },
    Refused {
        facts: must("refused-method", "A wrong method on a known route is a 405, or a 404."),
        method: &Method::PUT,
        target: "/v1/messages",
        body: "{}",
        statuses: &[405, 404],
    },
    Refused {
        facts: must(
            "refused-count",
            "A body that is no JSON is refused by `count_tokens` as well.",
        ),
        method: &Method::POST,
        target: "/v1/messages/count_tokens",
        body: "{",
        statuses: &[400],
    },
];

impl Refused {
    /// Runs the check.
    async fn run(&self, bench: &Bench) -> Verdict {
        let ask = Ask { method: self.method.clone(), ..Ask::post(self.target, self.body) };
        let answer = bench.sent(&bench.marked(&ask, "none")).await?.whole().await;
        let statuses: Vec<String> = self.statuses.iter().map(u16::to_string).collect();
        let expected = format!("status {}", statuses.join(" or "));
        let found = format!("{}: {}", answer.status, answer.text());
        expect(self.statuses.contains(&answer.status), &expected, found)?;
        faults::envelope(&answer, None)?;
        expect(answer.header("request-id").is_some(), "a `request-id`", "the header is missing")
    }
}
