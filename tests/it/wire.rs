//! The wire: documents, streams and their fold, by properties and by tables.
mod document;
mod fold;
mod json;
mod stream;

use proptest::prelude::ProptestConfig;

/// Enough to find what a table would miss, and no more than a second of it. `PROPTEST_CASES` asks
/// for more. Failures are shown, and become a table's line, instead of a file of seeds.
fn cases() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if asked.cases == 256 { 64 } else { asked.cases };
    ProptestConfig { cases, failure_persistence: None, ..asked }
}
