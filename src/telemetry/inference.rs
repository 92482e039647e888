//! The metrics of OpenTelemetry's GenAI conventions for the client of a model: one observation for each attempt.
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::telemetry::series::{
    Counters, DURATION_BUCKETS, FIRST_TOKEN_BUCKETS, Labels, TOKEN_BUCKETS, Traced,
    TracedHistograms, add, observe, traced, traced_histogram,
};
use crate::telemetry::traceparent::TraceId;
use crate::wire::Usage;

/// The families of all targets.
pub(super) struct Inferences {
    /// In the order of [`counts`].
    usage: [Counters; 5],
    /// Input and output of one attempt.
    tokens: [TracedHistograms; 2],
    durations: TracedHistograms,
    first_chunks: TracedHistograms,
}

/// The metrics of one target.
pub(super) struct InferenceMetrics {
    usage: [Counter; 5],
    tokens: [Traced; 2],
    successes: Traced,
    /// The durations of failures by their `error_type`, a closed set.
    durations: TracedHistograms,
    first_chunk: Traced,
    labels: Labels,
}

/// A finished attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inference {
    pub(super) tokens: Usage,
    pub(super) duration: Duration,
    /// The time to the first event of a stream.
    pub(super) first_chunk: Option<Duration>,
    /// The `error.type` of a failure.
    pub(super) error: Option<&'static str>,
    /// The trace, if its spans are exported.
    pub(super) trace: Option<TraceId>,
}

impl Inferences {
    pub(super) fn new(r: &mut Registry) -> Self {
        let usage = [
            ("input_tokens", "Tokens of prompts, cache reads and writes included"),
            ("output_tokens", "Tokens of answers, reasoning included"),
            ("cache_read_input_tokens", "Tokens of prompts that were read from a cache"),
            ("cache_write_input_tokens", "Tokens of prompts that were written to a cache"),
            ("reasoning_output_tokens", "Tokens of answers that are reasoning"),
        ];
        let usage = usage.map(|(end, help)| {
            add(r, &format!("gen_ai_client_inference_usage_{end}"), help, Family::default())
        });
        let tokens = [
            ("input_tokens", "Tokens of one prompt, cache reads and writes included"),
            ("output_tokens", "Tokens of one answer, reasoning included"),
        ];
        let tokens = tokens.map(|(end, help)| {
            let name = format!("gen_ai_client_inference_operation_{end}");
            traced(r, &name, help, || traced_histogram(TOKEN_BUCKETS))
        });
        let name = "gen_ai_client_inference_duration_seconds";
        let help = "Duration of an upstream request, by error type";
        let durations = traced(r, name, help, || traced_histogram(DURATION_BUCKETS));
        let name = "gen_ai_client_inference_time_to_first_chunk_seconds";
        let help = "Time from an upstream request to the first event of its stream";
        let first_chunks = traced(r, name, help, || traced_histogram(FIRST_TOKEN_BUCKETS));
        Self { usage, tokens, durations, first_chunks }
    }

    /// Returns the metrics of a target, by its labels.
    pub(super) fn of(&self, labels: &Labels) -> InferenceMetrics {
        // no upstream splits its tokens by modality
        let mut modal = labels.clone();
        modal.insert(0, ("gen_ai_token_modality", "unknown".to_owned()));
        InferenceMetrics {
            usage: self.usage.each_ref().map(|family| family.get_or_create_owned(&modal)),
            tokens: self.tokens.each_ref().map(|family| family.get_or_create_owned(labels)),
            successes: self.durations.get_or_create_owned(&with_error(labels, "")),
            durations: self.durations.clone(),
            first_chunk: self.first_chunks.get_or_create_owned(labels),
            labels: labels.clone(),
        }
    }
}

impl InferenceMetrics {
    /// Adds a finished attempt.
    pub(super) fn observe(&self, attempt: &Inference) {
        let Inference { tokens, duration, first_chunk, error, trace } = *attempt;
        for (counter, count) in self.usage.iter().zip(counts(&tokens)) {
            counter.inc_by(count);
        }
        // an error uses no tokens: it would only lower the distribution
        for (histogram, count) in self.tokens.iter().zip(counts(&tokens)) {
            if count > 0 {
                observe(histogram, count as f64, trace);
            }
        }
        let seconds = duration.as_secs_f64();
        match error {
            None => observe(&self.successes, seconds, trace),
            Some(kind) => {
                let labels = with_error(&self.labels, kind);
                observe(&self.durations.get_or_create_owned(&labels), seconds, trace);
            }
        }
        if let Some(first) = first_chunk {
            observe(&self.first_chunk, first.as_secs_f64(), trace);
        }
    }
}

/// Returns the counts in the order of the families: input and output come first.
fn counts(tokens: &Usage) -> [u64; 5] {
    [tokens.prompt(), tokens.output, tokens.cache_read, tokens.written(), tokens.thinking]
}

fn with_error(labels: &Labels, kind: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push(("error_type", kind.to_owned()));
    labels
}
