//! Helpers of the unit tests: those of `tests/it/support`, and a few that need the crate's inside.
#[path = "../tests/it/support/aws_frames.rs"]
pub(crate) mod aws_frames;
#[expect(dead_code, reason = "tests/it uses all of it")]
#[path = "../tests/it/support/events.rs"]
pub(crate) mod events;
#[path = "../tests/it/support/generated.rs"]
pub(crate) mod generated;
#[path = "../tests/it/support/grammar.rs"]
pub(crate) mod grammar;
#[path = "../tests/it/support/head.rs"]
pub(crate) mod head;
#[expect(dead_code, reason = "tests/it uses all of it")]
#[path = "../tests/it/support/logs.rs"]
pub(crate) mod logs;
#[path = "../tests/it/support/made.rs"]
pub(crate) mod made;
#[expect(dead_code, reason = "tests/it uses all of it")]
#[path = "../tests/it/support/plugins.rs"]
pub(crate) mod plugins;
#[path = "../tests/it/support/repository.rs"]
pub(crate) mod repository;
pub(crate) mod stages;
#[expect(dead_code, reason = "tests/it uses all of it")]
#[path = "../tests/it/support/tls.rs"]
pub(crate) mod tls;
#[expect(dead_code, reason = "tests/it uses all of it")]
#[path = "../tests/it/support/turn.rs"]
pub(crate) mod turn;
pub(crate) mod turns;
#[expect(dead_code, reason = "tests/it uses all of it")]
#[path = "../tests/it/support/upstream.rs"]
pub(crate) mod upstream;
#[path = "../tests/it/support/wait.rs"]
pub(crate) mod wait;

use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use proptest::prelude::ProptestConfig;
pub(crate) use wait::{until, within};

use crate::context::{Caller, Context};
use crate::wire::Event;

/// Enough cases to find what a table would miss, and no more than a second of them. `PROPTEST_CASES`
/// sets another number. A failure is shown and becomes a table's line, instead of a file of seeds.
pub(crate) fn cases() -> ProptestConfig {
    let wanted = ProptestConfig::default();
    let cases = if wanted.cases == 256 { 64 } else { wanted.cases };
    ProptestConfig { cases, failure_persistence: None, ..wanted }
}

/// The facts of an exchange for the model `m`.
pub(crate) fn context() -> Context {
    Context {
        request_id: "req_1".to_owned(),
        started: Instant::now(),
        caller: Arc::new(Caller::default()),
        headers: HeaderMap::new(),
        query: None,
        credential: None,
        session: "s".to_owned(),
        model: "m".to_owned(),
        media: Arc::default(),
        story: Arc::default(),
        admission: None,
    }
}

/// Events as the tests' own reader sees them.
pub(crate) fn seen(events: &[Event]) -> Vec<events::Event> {
    events.iter().map(|event| events::Event::from_frame(event.frame().clone())).collect()
}
