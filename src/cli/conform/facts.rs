//! The fixed part of a check, and the result of running it.
use crate::telemetry::logs::one_line;

/// The longest text of a finding, in characters.
const MOST: usize = 160;

/// The weight of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Clients break, or data is lost, without it. A failure makes the command exit 1.
    Must,
    /// A client can live without it.
    Should,
}

impl Severity {
    /// Returns the word for the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
        }
    }
}

/// The name, the weight and the explanation of a check.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// The stable name.
    pub id: &'static str,
    /// The weight.
    pub severity: Severity,
    /// One line that explains the check.
    pub explains: &'static str,
}

/// Returns the facts of a check whose failure breaks clients.
pub(super) const fn must(id: &'static str, explains: &'static str) -> Facts {
    Facts { id, severity: Severity::Must, explains }
}

/// Returns the facts of a check whose failure clients can live with.
pub(super) const fn should(id: &'static str, explains: &'static str) -> Facts {
    Facts { id, severity: Severity::Should, explains }
}

/// The difference that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The required behaviour.
    pub expected: String,
    /// The observed behaviour.
    pub found: String,
}

impl Finding {
    /// Makes a finding; long texts are cut and line ends become visible.
    pub(super) fn new(expected: impl AsRef<str>, found: impl AsRef<str>) -> Self {
        Self { expected: brief(expected.as_ref()), found: brief(found.as_ref()) }
    }
}

/// The result of a check.
pub(super) type Verdict = Result<(), Finding>;

/// Fails with this expectation unless the condition holds.
pub(super) fn expect(holds: bool, expected: &str, found: impl AsRef<str>) -> Verdict {
    if holds { Ok(()) } else { Err(Finding::new(expected, found)) }
}

/// Returns a text in one line, cut to a legible length.
pub(super) fn brief(text: &str) -> String {
    let mut start: String = text.chars().take(MOST).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    one_line(&start).into_owned()
}
