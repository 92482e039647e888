//! W3C Trace Context: the place of an exchange in a trace, read from the client's headers and sent to upstreams.
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::net::headers;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of `00-<32 digits>-<16 digits>-<2 digits>`.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;
/// The flag of trace ids whose low 56 bits are random.
const RANDOM: u8 = 2;
/// The number of random bits that decide about sampling.
const SAMPLE_BITS: u32 = 56;
/// The most members of `tracestate`.
const MAX_MEMBERS: usize = 32;

/// The id of a trace; never 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(u128);

/// The id of a span; never 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(u64);

/// The place of an exchange in a trace.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// The trace.
    pub(crate) id: TraceId,
    /// The span of the exchange.
    pub(crate) span: SpanId,
    /// The parent of this span.
    pub(crate) parent: Option<Parent>,
    /// Whether the spans of the exchange are exported, if its client is known.
    pub(crate) is_sampled: bool,
    /// Whether they are exported although its client is not known: a request without a key forces nothing.
    pub(crate) is_sampled_unknown: bool,
    /// The client's `tracestate`; empty if there is none, or if it is malformed.
    pub(crate) state: Box<str>,
    is_random: bool,
}

/// The parent of an exchange's span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parent {
    /// A span of the client.
    Remote(SpanId),
    /// The span of the exchange that caused this one.
    Exchange(SpanId),
}

/// The headers by which an upstream continues the trace.
#[derive(Debug, Clone)]
pub(crate) struct Propagation {
    traceparent: HeaderValue,
    keeps_state: bool,
}

impl TraceId {
    /// Returns the bytes as OTLP has them.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

impl SpanId {
    /// Returns a new id.
    pub(crate) fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// Returns the bytes as OTLP has them.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

impl Trace {
    /// Returns the place of a request: in the client's trace, or at the start of a new one. The client's flag decides
    /// about sampling; without one, `ratio` does.
    pub(crate) fn of(headers: &HeaderMap, ratio: f64) -> Self {
        let Some(client) = Client::read(headers) else {
            let id = TraceId(fastrand::u128(1..));
            let is_sampled = is_within(id, ratio);
            return Self {
                id,
                span: SpanId::random(),
                parent: None,
                is_sampled,
                is_sampled_unknown: is_sampled,
                state: Box::default(),
                is_random: false,
            };
        };
        let is_sampled = client.flags & SAMPLED != 0;
        // the client has chosen its id
        let is_chosen = is_within(TraceId(fastrand::u128(1..)), ratio);
        Self {
            id: client.trace,
            span: SpanId::random(),
            parent: Some(Parent::Remote(client.span)),
            is_sampled,
            is_sampled_unknown: is_sampled && is_chosen,
            state: state(headers).unwrap_or_default(),
            is_random: client.flags & RANDOM != 0,
        }
    }

    /// Returns the place of an exchange that this one causes.
    pub(crate) fn within(&self) -> Self {
        let parent = Some(Parent::Exchange(self.span));
        Self { span: SpanId::random(), parent, ..self.clone() }
    }

    /// Returns the headers for an upstream, whose parent is this span.
    pub(crate) fn propagation(&self, span: SpanId) -> Propagation {
        let traceparent = format!("00-{}-{span}-{:02x}", self.id, self.flags());
        Propagation {
            traceparent: headers::value(&traceparent),
            keeps_state: !self.state.is_empty(),
        }
    }

    /// Returns the flags of a `traceparent`.
    pub(crate) fn flags(&self) -> u8 {
        u8::from(self.is_sampled) * SAMPLED + u8::from(self.is_random) * RANDOM
    }
}

impl Propagation {
    /// Replaces the client's headers. A `tracestate` without a valid `traceparent` is not sent.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(TRACEPARENT, self.traceparent.clone());
        if !self.keeps_state {
            headers.remove(TRACESTATE);
        }
    }
}

/// The parts of a client's `traceparent`.
struct Client {
    trace: TraceId,
    span: SpanId,
    flags: u8,
}

impl Client {
    /// Reads the header; `None` if there is none, or more than one, or if it is malformed.
    fn read(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (all.next()?, all.next()) else { return None };
        let text = value.to_str().ok()?.trim_matches([' ', '\t']);
        // a later version may add fields after those that are known
        let (known, more) = text.split_at_checked(LENGTH)?;
        let mut fields = known.split('-');
        let mut field = |length: usize| fields.next().filter(|field| field.len() == length);
        let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let version = number(version)?;
        if version == 0xff || (version == 0 && !more.is_empty()) {
            return None;
        }
        if !more.is_empty() && !more.starts_with('-') {
            return None;
        }
        Some(Self {
            trace: TraceId(number(trace).filter(|id| *id != 0)?),
            span: SpanId(number(span).filter(|id| *id != 0)? as u64),
            flags: number(flags)? as u8,
        })
    }
}

/// Reads lower-case hexadecimal digits.
fn number(digits: &str) -> Option<u128> {
    let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    if !digits.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(digits, 16).ok()
}

/// Returns whether a trace is in the share that is sampled, by the rule of OpenTelemetry: every service with the same
/// ratio decides alike.
fn is_within(id: TraceId, ratio: f64) -> bool {
    let all = 1_u64 << SAMPLE_BITS;
    let random = id.0 as u64 & (all - 1);
    random >= ((1.0 - ratio) * all as f64) as u64
}

/// Returns the lists of all `tracestate` headers as one; `None` if a member is malformed, or if there are too many.
fn state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut members = Vec::new();
    for value in headers.get_all(TRACESTATE) {
        let list = value.to_str().ok()?;
        let list = list.split(',').map(|member| member.trim_matches([' ', '\t']));
        members.extend(list.filter(|member| !member.is_empty()));
    }
    let is_valid = members.len() <= MAX_MEMBERS && members.iter().all(|member| is_member(member));
    is_valid.then(|| members.join(",").into())
}

/// Returns whether a text is a member of `tracestate`: a key, `=`, a value.
fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else { return false };
    is_key(key) && is_value(value)
}

fn is_key(key: &str) -> bool {
    let is_word = |word: &str, most: usize| {
        let is_char = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/');
        (1..=most).contains(&word.len()) && word.bytes().all(is_char)
    };
    let is_letter = |c: char| c.is_ascii_lowercase();
    let is_alphanumeric = |c: char| is_letter(c) || c.is_ascii_digit();
    match key.split_once('@') {
        None => is_word(key, 256) && key.starts_with(is_alphanumeric),
        Some((tenant, system)) => {
            is_word(tenant, 241)
                && tenant.starts_with(is_alphanumeric)
                && is_word(system, 14)
                && system.starts_with(is_letter)
        }
    }
}

fn is_value(value: &str) -> bool {
    let is_char = |c: u8| matches!(c, b' '..=b'~') && c != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(is_char) && !value.ends_with(' ')
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
