//! The messages of OTLP as far as attributes are concerned: where they are, and which of them name the sender.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    Metrics,
    Logs,
    Traces,
}

impl Signal {
    /// All kinds.
    pub(crate) const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// Returns the name in paths and labels.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }

    /// Returns the shape of an export.
    pub(super) fn shape(self) -> &'static Shape {
        match self {
            Self::Metrics => &METRICS,
            Self::Logs => &LOGS,
            Self::Traces => &TRACES,
        }
    }
}

/// A message: its attributes and the messages in it that have some.
#[derive(Debug)]
pub(super) struct Shape {
    /// The attributes.
    pub(super) attributes: Option<Attributes>,
    /// The messages in it.
    pub(super) parts: &'static [Part],
}

/// A list of attributes.
#[derive(Debug)]
pub(super) struct Attributes {
    pub(super) field: u64,
    pub(super) name: &'static str,
    /// Whether the list names the sender; in all others the sender's keys are removed.
    pub(super) names_sender: bool,
}

/// A field with messages.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) field: u64,
    pub(super) name: &'static str,
    pub(super) shape: &'static Shape,
    /// Whether it is made if it is absent.
    pub(super) is_needed: bool,
}

const fn part(field: u64, name: &'static str, shape: &'static Shape) -> Part {
    Part { field, name, shape, is_needed: false }
}

const fn leaf(field: u64, name: &'static str) -> Shape {
    Shape { attributes: Some(Attributes { field, name, names_sender: false }), parts: &[] }
}

const fn named(field: u64, parts: &'static [Part]) -> Shape {
    Shape { attributes: Some(Attributes { field, name: "attributes", names_sender: true }), parts }
}

const fn inner(parts: &'static [Part]) -> Shape {
    Shape { attributes: None, parts }
}

static RESOURCE: Shape = named(1, &[]);
static SCOPE: Shape = leaf(3, "attributes");
static EXEMPLAR: Shape = leaf(7, "filteredAttributes");

static METRICS: Shape = inner(&[part(1, "resourceMetrics", &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape = inner(&[
    Part { field: 1, name: "resource", shape: &RESOURCE, is_needed: true },
    part(2, "scopeMetrics", &SCOPE_METRICS),
]);
static SCOPE_METRICS: Shape = inner(&[part(1, "scope", &SCOPE), part(2, "metrics", &METRIC)]);
static METRIC: Shape = Shape {
    attributes: Some(Attributes { field: 12, name: "metadata", names_sender: false }),
    parts: &[
        part(5, "gauge", &NUMBERS),
        part(7, "sum", &NUMBERS),
        part(9, "histogram", &HISTOGRAM),
        part(10, "exponentialHistogram", &EXPONENTIAL),
        part(11, "summary", &SUMMARY),
    ],
};
static NUMBERS: Shape = inner(&[part(1, "dataPoints", &NUMBER)]);
static NUMBER: Shape = named(7, &[part(5, "exemplars", &EXEMPLAR)]);
static HISTOGRAM: Shape = inner(&[part(1, "dataPoints", &HISTOGRAM_POINT)]);
static HISTOGRAM_POINT: Shape = named(9, &[part(8, "exemplars", &EXEMPLAR)]);
static EXPONENTIAL: Shape = inner(&[part(1, "dataPoints", &EXPONENTIAL_POINT)]);
static EXPONENTIAL_POINT: Shape = named(1, &[part(11, "exemplars", &EXEMPLAR)]);
static SUMMARY: Shape = inner(&[part(1, "dataPoints", &SUMMARY_POINT)]);
static SUMMARY_POINT: Shape = named(7, &[]);

static LOGS: Shape = inner(&[part(1, "resourceLogs", &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Shape = inner(&[
    Part { field: 1, name: "resource", shape: &RESOURCE, is_needed: true },
    part(2, "scopeLogs", &SCOPE_LOGS),
]);
static SCOPE_LOGS: Shape = inner(&[part(1, "scope", &SCOPE), part(2, "logRecords", &LOG)]);
static LOG: Shape = named(6, &[]);

static TRACES: Shape = inner(&[part(1, "resourceSpans", &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape = inner(&[
    Part { field: 1, name: "resource", shape: &RESOURCE, is_needed: true },
    part(2, "scopeSpans", &SCOPE_SPANS),
]);
static SCOPE_SPANS: Shape = inner(&[part(1, "scope", &SCOPE), part(2, "spans", &SPAN)]);
static SPAN: Shape = named(9, &[part(11, "events", &EVENT), part(13, "links", &LINK)]);
static EVENT: Shape = leaf(3, "attributes");
static LINK: Shape = leaf(4, "attributes");
