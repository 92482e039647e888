//! Tests of the comparison: causes of a break, times, conversations side by side, and the bound of the memory.
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::wire::Document;
use crate::wire::prompt::Fields;

use super::*;

const KEY: u64 = 1;

fn prompt(request: &Value) -> Arc<Prompt> {
    let text = serde_json::to_vec(request).unwrap();
    Arc::new(Prompt::read(&Fields::of(&Document::parse(text.into()).unwrap())))
}

/// A prompt with a breakpoint at its end.
fn text(system: &str, messages: &[&str]) -> Value {
    let messages: Vec<_> =
        messages.iter().map(|text| json!({"role": "user", "content": text})).collect();
    json!({"system": system, "messages": messages, "cache_control": {"type": "ephemeral"}})
}

/// A request to the target 1 that a client sent, and stages edited in turn.
fn sent(client: &Value, edits: &[(&str, Value)]) -> Sent {
    let level = |request| Level { model: 1, prompt: prompt(request) };
    let client = level(client);
    let edits: Vec<_> =
        edits.iter().map(|(stage, to)| Edit { stage: (*stage).into(), level: level(to) }).collect();
    let last = edits.last().map_or(&client, |edit| &edit.level);
    Sent { prompt: Arc::clone(&last.prompt), client, edits, target: 1, rerouted: None }
}

fn broken(at: Place, by: By) -> Verdict {
    Verdict::Broken(Break { at, by })
}

fn stage(name: &str) -> By {
    By::Stage(name.into())
}

/// The verdict about the second of two prompts.
fn verdict(first: Sent, second: Sent, idle: Duration) -> Verdict {
    let (prompts, cached, now) = (Prompts::default(), Cached::default(), Instant::now());
    assert_eq!(prompts.answered(KEY, first, &cached, now).verdict, Verdict::First);
    let compared = prompts.answered(KEY, second, &Cached::default(), now + idle);
    assert!(Arc::ptr_eq(&compared.before.unwrap(), &cached));
    compared.verdict
}

#[test]
fn the_first_point_of_the_way_that_differs_is_the_cause() {
    let first = text("s", &["a", "b"]);
    let next = text("s", &["a", "b", "c"]);
    let clock = |system, messages| text(system, messages);
    for (before, after, expected) in [
        (sent(&first, &[]), sent(&next, &[]), Verdict::Continues),
        (sent(&first, &[]), sent(&first, &[]), Verdict::Continues),
        // the client goes back
        (sent(&next, &[]), sent(&first, &[]), Verdict::Continues),
        (
            sent(&first, &[]),
            sent(&text("s", &["a", "x"]), &[]),
            broken(Place::Message(1), By::Client),
        ),
        (sent(&first, &[]), sent(&text("x", &["a", "b"]), &[]), broken(Place::System, By::Client)),
        // a stage whose text differs each time
        (
            sent(&first, &[("clock", clock("1", &["a", "b"]))]),
            sent(&next, &[("clock", clock("2", &["a", "b", "c"]))]),
            broken(Place::System, stage("clock")),
        ),
        // a stage before it, which does the same each time
        (
            sent(&first, &[("mask", text("s", &["*", "b"])), ("clock", clock("1", &["*", "b"]))]),
            sent(
                &next,
                &[("mask", text("s", &["*", "b", "c"])), ("clock", clock("2", &["*", "b", "c"]))],
            ),
            broken(Place::System, stage("clock")),
        ),
        // a stage that edits only one of them
        (
            sent(&first, &[]),
            sent(&next, &[("mask", text("s", &["*", "b", "c"]))]),
            broken(Place::Message(0), stage("mask")),
        ),
        (
            sent(&first, &[("mask", text("s", &["*", "b"])), ("tail", text("s!", &["*", "b"]))]),
            sent(&next, &[("tail", text("s!", &["a", "b", "c"]))]),
            broken(Place::Message(0), stage("mask")),
        ),
        // the client changes a later message than the stage
        (
            sent(&first, &[("clock", clock("1", &["a", "b"]))]),
            sent(&text("s", &["a", "x"]), &[("clock", clock("2", &["a", "x"]))]),
            broken(Place::System, stage("clock")),
        ),
    ] {
        assert_eq!(verdict(before, after, Duration::ZERO), expected);
    }
    // no stage edited it, so the gateway did
    let own = Sent { prompt: prompt(&text("gateway", &["a", "b", "c"])), ..sent(&next, &[]) };
    assert_eq!(verdict(sent(&first, &[]), own, Duration::ZERO), broken(Place::System, By::Gateway));
}

#[test]
fn another_target_is_a_failover_unless_somebody_chose_it() {
    let first = || sent(&text("s", &["a"]), &[]);
    let next = || sent(&text("s", &["a", "b"]), &[]);
    let moved = || Sent { target: 2, ..next() };
    let with_model = |level: &Level| Level { model: 2, ..level.clone() };
    let client = Sent { client: with_model(&next().client), ..moved() };
    let routed = Edit { stage: "route".into(), level: with_model(&next().client) };
    let routed = Sent { edits: vec![routed], ..moved() };
    for (after, by) in [
        (moved(), By::Failover),
        (client, By::Client),
        (routed, stage("route")),
        (Sent { rerouted: Some(7), ..moved() }, By::Budget),
    ] {
        assert_eq!(verdict(first(), after, Duration::ZERO), broken(Place::Model, by));
    }
}

#[test]
fn a_cache_dies_after_its_last_use() {
    let ephemeral = |life: &str| json!({"type": "ephemeral", "ttl": life});
    let request = |messages: &[&str]| {
        let mut request = text("s", messages);
        request["system"] =
            json!([{"type": "text", "text": "s", "cache_control": ephemeral("1h")}]);
        sent(&request, &[])
    };
    let (first, next) = (|| request(&["a"]), || request(&["a", "b"]));
    let changed = || request(&["x", "b"]);
    let after = Duration::from_secs;
    let late = |at| broken(at, By::Timeout);
    for (second, idle, expected) in [
        (next(), 299, Verdict::Continues),
        (next(), 301, late(Place::Message(0))),
        (next(), 3599, late(Place::Message(0))),
        (next(), 3601, late(Place::System)),
        (changed(), 299, broken(Place::Message(0), By::Client)),
        (changed(), 301, late(Place::Message(0))),
        (Sent { target: 2, ..next() }, 301, broken(Place::Model, By::Failover)),
        // nothing was left that another target could have lost
        (Sent { target: 2, ..next() }, 3601, late(Place::System)),
    ] {
        assert_eq!(verdict(first(), second, after(idle)), expected, "{idle}");
    }
    // each use prolongs the life
    let (prompts, now) = (Prompts::default(), Instant::now());
    let at =
        |seconds| prompts.answered(KEY, first(), &Cached::default(), now + after(seconds)).verdict;
    assert_eq!([at(0), at(200), at(400)], [Verdict::First, Verdict::Continues, Verdict::Continues]);
}

#[test]
fn conversations_of_a_session_go_on_side_by_side() {
    let (prompts, now) = (Prompts::default(), Instant::now());
    let verdict = |request: &Value| {
        prompts.answered(KEY, sent(request, &[]), &Cached::default(), now).verdict
    };
    let task = |name: &str, texts: &[&str]| {
        let mut request = text(name, texts);
        request["tools"] = json!([{"name": name}]);
        request
    };
    assert_eq!(verdict(&task("main", &["m"])), Verdict::First);
    assert_eq!(verdict(&task("sub", &["s"])), Verdict::First);
    // of the same kind, with another task
    assert_eq!(verdict(&task("sub", &["t"])), broken(Place::Message(0), By::Client));
    for _ in 0..3 {
        assert_eq!(verdict(&task("main", &["m", "n"])), Verdict::Continues);
        assert_eq!(verdict(&task("sub", &["s", "n"])), Verdict::Continues);
        assert_eq!(verdict(&task("sub", &["t", "n"])), Verdict::Continues);
    }
    // another session knows nothing of them
    let other = sent(&task("main", &["m"]), &[]);
    assert_eq!(prompts.answered(2, other, &Cached::default(), now).verdict, Verdict::First);
}

#[test]
fn the_memory_is_bounded_and_those_in_use_stay() {
    let (prompts, mut now) = (Prompts::default(), Instant::now());
    let texts: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let large = sent(&text("s", &texts), &[]);
    let mut answered = |session| {
        now += Duration::from_millis(1);
        let cached = Cached::default();
        cached.store(session, Ordering::Relaxed);
        prompts.answered(session, large.clone(), &cached, now).verdict
    };
    assert_eq!(answered(0), Verdict::First);
    for session in 1..5000 {
        assert_eq!(answered(session), Verdict::First);
        assert_eq!(answered(0), Verdict::Continues);
    }
    assert_eq!(answered(1), Verdict::First);
    // many conversations of one session
    for n in 0..100 {
        let request = text(&n.to_string(), &[&format!("m{n}")]);
        let mut request = request;
        request["tools"] = json!([{"name": n.to_string()}]);
        prompts.answered(KEY, sent(&request, &[]), &Cached::default(), now);
    }
    let sessions = prompts.0.lock();
    assert!(sessions.bytes <= MAX_BYTES && sessions.known.len() < 5000, "{}", sessions.known.len());
    assert_eq!(sessions.known[&KEY].conversations.len(), CONVERSATIONS);
    let sizes = sessions.known.values().flat_map(|session| &session.conversations);
    let size: usize = sizes.map(|known| known.sent.size()).sum();
    assert_eq!(sessions.bytes, size + sessions.known.len() * ELEMENT);
    assert_eq!(sessions.order.len(), sessions.known.len());
}
