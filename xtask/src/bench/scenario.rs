//! The scenarios: kinds of traffic, each with a name, a size and contenders.

/// One kind of traffic.
pub struct Scenario {
    /// The name for `--only`.
    pub name: &'static str,
    /// The title in the tables.
    pub title: &'static str,
    /// The kind of the comparison.
    pub sort: Sort,
    /// The number of concurrent requests.
    pub connections: usize,
    /// The size of a request in bytes.
    pub bytes: usize,
    /// The model name, which selects the upstream's answer.
    pub model: &'static str,
}

/// The comparison of a scenario.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Compares the gateway without stages with nginx.
    Proxy,
    /// Compares the gateway with policies and plugins with the gateway alone. nginx measures the
    /// machine's speed.
    Stages,
    /// Compares translated upstreams with a native one.
    Translated,
    /// Compares the ledger, keys, limits and budgets with a gateway without them.
    Team,
    /// Compares a request with tool calls with the same number of plain requests and one more.
    Loop {
        /// The number of calls, each in its own turn.
        calls: usize,
    },
}

const SMALL: Scenario = Scenario {
    name: "small-16",
    title: "300 bytes, 16 connections",
    sort: Sort::Proxy,
    connections: 16,
    bytes: 300,
    model: "bench",
};

/// The conversation with tool calls. The tool is `tests/guests/idle`, which does nothing.
const LOOP: Scenario = Scenario { name: "loop", connections: 4, ..SMALL };

/// All scenarios in the order of the tables.
pub const ALL: &[Scenario] = &[
    Scenario { name: "small-1", title: "300 bytes, 1 connection", connections: 1, ..SMALL },
    SMALL,
    Scenario { name: "small-64", title: "300 bytes, 64 connections", connections: 64, ..SMALL },
    Scenario {
        name: "100k",
        title: "100 KiB, 8 connections",
        connections: 8,
        bytes: 100 * 1024,
        ..SMALL
    },
    Scenario {
        name: "1m",
        title: "1 MiB, 8 connections",
        connections: 8,
        bytes: 1024 * 1024,
        ..SMALL
    },
    Scenario { name: "stream-64", title: "64 events, 16 connections", model: "bench-64", ..SMALL },
    Scenario {
        name: "stream-1000",
        title: "1000 events, 4 connections",
        connections: 4,
        model: "bench-1000",
        ..SMALL
    },
    Scenario {
        name: "paced",
        title: "64 events 5 ms apart, 16 connections",
        model: "bench-64-5ms",
        ..SMALL
    },
    Scenario { name: "policies", sort: Sort::Stages, ..SMALL },
    Scenario { name: "team", sort: Sort::Team, ..SMALL },
    Scenario { name: "translated", sort: Sort::Translated, ..SMALL },
    Scenario {
        name: "translated-100k",
        title: "100 KiB, 8 connections",
        sort: Sort::Translated,
        connections: 8,
        bytes: 100 * 1024,
        ..SMALL
    },
    Scenario {
        name: "translated-64",
        title: "64 events, 16 connections",
        sort: Sort::Translated,
        model: "bench-64",
        ..SMALL
    },
    Scenario { title: "no call", sort: Sort::Loop { calls: 0 }, model: "bench-7", ..LOOP },
    Scenario { title: "1 call", sort: Sort::Loop { calls: 1 }, model: "bench-tool-1", ..LOOP },
    Scenario { title: "4 calls", sort: Sort::Loop { calls: 4 }, model: "bench-tool-4", ..LOOP },
];

/// Three small policies: one edits, one reads and could reject, one could route.
pub const POLICIES: [(&str, &str); 3] = [
    (
        "cap-max-tokens.rhai",
        "fn on_request(request, ctx) {
    if request.max_tokens > 512 { request.max_tokens = 512; }
}
",
    ),
    (
        "no-previews.rhai",
        "fn on_request(request, ctx) {
    if request.model.ends_with(\"-preview\") { deny(\"previews are not for production\"); }
}
",
    ),
    (
        "small-answers.rhai",
        "fn on_request(request, ctx) {
    if request.max_tokens < 64 && request.model == \"bench-large\" { route(\"bench\"); }
}
",
    ),
];
