//! The faults of the wrong proxy, and the checks that each one breaks.

/// A fault of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// Parses requests and writes them anew: sorted keys, doubles, no escapes.
    Reserialises,
    /// Replaces characters outside of ASCII in requests.
    AsciiOnly,
    /// Sends known top-level fields of a request only.
    KnownFieldsOnly,
    /// Sends known fields of known blocks and tools only.
    KnownBlocksOnly,
    /// Merges messages of the same role, and leaves out empty and system messages.
    MergesMessages,
    /// Loses the client's headers and the query.
    LosesHeaders,
    /// Rejects requests of a form that it does not expect.
    IsStrict,
    /// Parses answers and writes them anew.
    ReserialisesAnswers,
    /// Rebuilds answers from the fields that it knows.
    RebuildsAnswers,
    /// Loses the headers of answers.
    LosesAnswerHeaders,
    /// Leaves out pings.
    DropsPings,
    /// Parses events and writes them anew.
    ReserialisesEvents,
    /// Sends known events with text only.
    KnownEventsOnly,
    /// Decodes each chunk of a stream by itself.
    DecodesChunks,
    /// Collects a stream before it sends it.
    Buffers,
    /// Ends broken answers as if they were complete.
    EndsCleanly,
    /// Has errors of another API, always with the status 500.
    WrongEnvelope,
    /// Lists models in the shape of another API.
    ListsOtherwise,
}

/// All faults, and checks that must fail on each of them.
pub const FAULTS: &[(Fault, &[&str])] = &[
    (
        Fault::Reserialises,
        &[
            "request-bytes",
            "request-white-space",
            "request-key-order",
            "request-integer-large",
            "request-number-float",
            "request-number-exponent",
            "request-escapes",
            "request-duplicate-keys",
        ],
    ),
    (Fault::AsciiOnly, &["request-unicode", "request-bytes"]),
    (
        Fault::KnownFieldsOnly,
        &[
            "request-unknown-field",
            "request-unknown-null",
            "request-output-config",
            "request-temperature",
            "count-request",
        ],
    ),
    (
        Fault::KnownBlocksOnly,
        &["request-unknown-block", "request-cache-control", "request-thinking-history"],
    ),
    (
        Fault::MergesMessages,
        &["request-same-role", "request-system-role", "request-empty", "tools-loop"],
    ),
    (
        Fault::LosesHeaders,
        &[
            "request-version",
            "request-beta",
            "request-beta-lines",
            "request-user-agent",
            "request-query",
        ],
    ),
    (
        Fault::IsStrict,
        &["request-session", "request-bearer", "request-large", "request-chunked", "count-query"],
    ),
    (Fault::ReserialisesAnswers, &["answer-bytes", "answer-tool-input", "error-bytes"]),
    (
        Fault::RebuildsAnswers,
        &[
            "answer-unknown-field",
            "answer-usage",
            "answer-thinking",
            "answer-stop-refusal",
            "count-number",
        ],
    ),
    (
        Fault::LosesAnswerHeaders,
        &[
            "answer-request-id",
            "answer-content-type",
            "stream-content-type",
            "error-retry-after",
            "error-should-retry",
            "refused-json",
        ],
    ),
    (Fault::DropsPings, &["stream-pings"]),
    (Fault::ReserialisesEvents, &["stream-bytes", "stream-padding"]),
    (
        Fault::KnownEventsOnly,
        &[
            "stream-unknown-event",
            "stream-unknown-delta",
            "stream-deltas",
            "stream-thinking",
            "stream-tool-input",
            "stream-end-usage",
            "stream-grammar",
        ],
    ),
    (Fault::DecodesChunks, &["stream-utf8"]),
    (Fault::Buffers, &["stream-first-event", "stream-each-event", "leave-stream", "leave-whole"]),
    (
        Fault::EndsCleanly,
        &[
            "fault-cut-in-block",
            "fault-end-before-stop",
            "fault-reset",
            "fault-error-later",
            "fault-body-half",
            "fault-no-answer",
        ],
    ),
    (
        Fault::WrongEnvelope,
        &["error-400", "error-429", "error-529", "refused-route", "models-unknown"],
    ),
    (Fault::ListsOtherwise, &["models-list", "models-one", "models-limit", "models-after"]),
];
