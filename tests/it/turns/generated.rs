//! Generated models before the real loop: whatever they do, and however their bytes are cut, the
//! caller gets a stream that keeps to the grammar, and the same message where it wants no stream.
use crate::support::client::Ask;
use crate::support::events::EventKind;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::{Value, json};

use super::data;
use crate::support::events::folded;
use crate::support::gateway::{Gateway, looping};
use crate::support::grammar;
use crate::support::turn::{call, frames, message, text, thinking};
use crate::support::upstream::{Call, Upstream, chunked};

/// What a turn holds.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// With a source that may be one of ours or none at all.
    Cited(usize),
    Thinking(String),
    /// A server tool that works, of the face of an MCP server.
    Echo(String),
    /// One that fails.
    Refuse(String),
    /// One of the API's own shape; some fail.
    Search(bool),
    Fetch(bool),
    /// One that a policy added.
    Hidden,
    /// The caller's own.
    Theirs(String),
    Unknown(String),
}

/// What a model and its network do.
#[derive(Debug, Clone)]
struct Plan {
    turns: Vec<Vec<Part>>,
    /// Why the last turn ends, where it calls nothing.
    reason: &'static str,
    fault: Option<Fault>,
    chunk: usize,
    is_crlf: bool,
}

/// After so many events of a turn; both are taken by the size of what there is.
#[derive(Debug, Clone)]
struct Fault {
    turn: usize,
    after: usize,
    kind: FaultKind,
}

#[derive(Debug, Clone, Copy)]
enum FaultKind {
    Cut,
    CleanEnd,
    ErrorEvent,
}

impl Fault {
    fn left_of(&self, mut events: Vec<String>) -> Vec<String> {
        events.truncate(self.after % events.len());
        if matches!(self.kind, FaultKind::ErrorEvent) {
            let error =
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
            events.push(format!("event: error\ndata: {error}\n\n"));
        }
        events
    }
}

const WORDS: &str = "[a-zà-ü\"\\\\\n 🌊]{1,12}";

fn ours() -> impl Strategy<Value = Part> {
    prop_oneof![
        3 => WORDS.prop_map(Part::Echo),
        2 => any::<bool>().prop_map(Part::Search),
        2 => any::<bool>().prop_map(Part::Fetch),
        2 => Just(Part::Hidden),
        1 => WORDS.prop_map(Part::Refuse),
    ]
}

fn other() -> impl Strategy<Value = Part> {
    prop_oneof![
        WORDS.prop_map(Part::Text),
        (0..4usize).prop_map(Part::Cited),
        WORDS.prop_map(Part::Thinking),
        WORDS.prop_map(Part::Unknown),
    ]
}

/// With at least one call of ours.
fn middle() -> impl Strategy<Value = Vec<Part>> {
    let any_part = prop_oneof![other(), ours()];
    (prop::collection::vec(any_part, 0..4), ours()).prop_map(|(mut parts, always)| {
        parts.push(always);
        parts
    })
}

/// Without a call, or with one of the caller's.
fn last() -> impl Strategy<Value = Vec<Part>> {
    let mixed = prop::collection::vec(prop_oneof![other(), ours()], 0..3);
    let handed_over = (mixed, "[a-z]{1,5}").prop_map(|(mut parts, city)| {
        parts.insert(parts.len() / 2, Part::Theirs(city));
        parts
    });
    prop_oneof![prop::collection::vec(other(), 0..4), handed_over]
}

fn fault() -> impl Strategy<Value = Fault> {
    let kinds = vec![FaultKind::Cut, FaultKind::CleanEnd, FaultKind::ErrorEvent];
    (0..4usize, 0..20usize, prop::sample::select(kinds)).prop_map(|(turn, after, kind)| Fault {
        turn,
        after,
        kind,
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let turns = (prop::collection::vec(middle(), 0..4), last()).prop_map(|(mut turns, last)| {
        turns.push(last);
        turns
    });
    let reasons = vec!["end_turn", "stop_sequence", "max_tokens", "refusal"];
    let chunks = vec![1, 2, 7, 64, 1000, usize::MAX];
    (
        turns,
        prop::sample::select(reasons),
        prop::option::weighted(0.4, fault()),
        prop::sample::select(chunks),
        any::<bool>(),
    )
        .prop_map(|(turns, reason, fault, chunk, is_crlf)| Plan {
            turns,
            reason,
            fault,
            chunk,
            is_crlf,
        })
}

impl Part {
    fn block(&self, id: &str) -> Value {
        match self {
            Self::Text(words) => text(words),
            Self::Cited(n) => json!({"type": "text", "text": "so it is", "citations": [{
                "type": "search_result_location", "cited_text": "One", "title": "t",
                "source": if n % 2 == 0 { "https://a.test/1" } else { "https://b.test/2" },
                "search_result_index": n, "start_block_index": 0, "end_block_index": 1,
            }]}),
            Self::Thinking(words) => thinking(words),
            Self::Echo(words) => call(id, "gateway_echo", json!({"text": words})),
            Self::Refuse(words) => call(id, "gateway_refuse", json!({"text": words})),
            Self::Search(fails) => {
                let query = if *fails { "fail unavailable" } else { "tides" };
                call(id, "gateway_web_search", json!({"query": query}))
            }
            Self::Fetch(fails) => {
                let host = if *fails { "fail" } else { "a" };
                call(
                    id,
                    "gateway_web_fetch",
                    json!({"url": format!("https://{host}.test/url_not_accessible")}),
                )
            }
            Self::Hidden => call(id, "gateway_twice", json!({})),
            Self::Theirs(city) => call(id, "weather", json!({"city": city, "n": [1, 2.5]})),
            Self::Unknown(words) => json!({"type": "future_block", "words": words}),
        }
    }

    fn is_shown_call(&self) -> bool {
        matches!(self, Self::Echo(_) | Self::Refuse(_) | Self::Search(_) | Self::Fetch(_))
    }
}

impl Plan {
    fn messages(&self) -> Vec<Value> {
        let mut ids = 0;
        let turn = |parts: &Vec<Part>| {
            let blocks = parts.iter().map(|part| {
                ids += 1;
                part.block(&format!("toolu_{ids}"))
            });
            let content: Value = blocks.collect();
            let has_call = content.as_array().unwrap().iter().any(|b| b["type"] == "tool_use");
            message(content, if has_call { "tool_use" } else { self.reason })
        };
        self.turns.iter().map(turn).collect()
    }

    /// The texts of each turn's answer, up to the fault; and whether there is one.
    fn scripts(&self) -> (Vec<Script>, bool) {
        let mut scripts = Vec::new();
        let messages = self.messages();
        let fault = self.fault.as_ref().map(|fault| (fault.turn % messages.len(), fault));
        for (n, message) in messages.iter().enumerate() {
            let mut events = frames(message);
            let fault = fault.filter(|(turn, _)| *turn == n).map(|(_, fault)| fault);
            if let Some(fault) = fault {
                events = fault.left_of(events);
            }
            let mut text = events.concat();
            if self.is_crlf {
                text = text.replace('\n', "\r\n");
            }
            let chunk = self.chunk.min(text.len().max(1));
            let chunks = text.as_bytes().chunks(chunk).map(<[u8]>::to_vec).collect();
            let is_cut = fault.is_some_and(|fault| matches!(fault.kind, FaultKind::Cut));
            scripts.push(Script { chunks, is_cut });
            if fault.is_some() {
                return (scripts, true);
            }
        }
        (scripts, false)
    }
}

/// What an upstream sends in one turn.
#[derive(Clone)]
struct Script {
    chunks: Vec<Vec<u8>>,
    is_cut: bool,
}

impl Script {
    async fn play(self, mut call: Call) {
        call.begin_stream().await;
        // an empty chunk would be the end
        for chunk in self.chunks.iter().filter(|chunk| !chunk.is_empty()) {
            // a caller that has left reads no more
            if !call.is_read(&chunked(chunk)).await {
                return;
            }
        }
        if !self.is_cut {
            call.end_stream().await;
        }
    }
}

/// `stream` first and `messages` last: what is added stands at the end.
fn body(stream: bool) -> String {
    format!(
        r#"{{"model":"m","stream":{stream},"max_tokens":99,"system":[{{"type":"text","text":"s" ,"cache_control":{{"type":"ephemeral"}}}}],"tools":[{{"type":"gateway:echo"}},{{"type":"gateway:refuse"}},{{"type":"web_search_20250305","name":"web_search"}},{{"type":"web_fetch_20250910","name":"web_fetch","cache_control":{{"type":"ephemeral"}}}},{{"name":"weather","input_schema":{{"type":"object"}}}}],"messages":[ {{"role":"user","content":"h\u0069"}}]}}"#
    )
}

struct World {
    upstream: Upstream,
    gateway: Gateway,
}

impl World {
    async fn new() -> Self {
        let upstream = Upstream::start().await;
        let add = r#"fn on_request(request, ctx) {
            let tools = request.tools;
            tools.push(#{ "type": "gateway:twice" });
            request.tools = tools;
        }"#;
        let config = "models: { m: { provider: up, model: up-1, server_tools: gateway } }";
        let gateway = looping(upstream.address).config(config).policy("add", add).start().await;
        Self { upstream, gateway }
    }

    /// Asks, and plays the upstream meanwhile; with the bodies that it was sent. One that fails does so
    /// again: a request whose connection breaks before a word came back is sent a second time.
    async fn play<T>(
        &mut self,
        scripts: &[Script],
        asked: impl AsyncFnOnce(&Gateway) -> T,
    ) -> (T, Vec<String>) {
        let mut bodies = Vec::new();
        let upstream = &mut self.upstream;
        let led = async {
            for n in 0.. {
                let call = upstream.call().await;
                bodies.push(String::from_utf8(call.body.to_vec()).unwrap());
                scripts[n.min(scripts.len() - 1)].clone().play(call).await;
            }
        };
        let answer = tokio::select! {
            answer = asked(&self.gateway) => answer,
            () = led => unreachable!("it has no end"),
        };
        (answer, bodies)
    }

    async fn run(&mut self, plan: &Plan) -> Result<(), TestCaseError> {
        let streamed = self.stream(plan).await?;
        let (scripts, is_faulty) = plan.scripts();
        let asked = async |gateway: &Gateway| Ask::message(body(false)).send(gateway.address).await;
        let (answer, _) = self.play(&scripts, asked).await;
        match streamed {
            Some(streamed) => prop_assert_eq!(answer.json(), streamed),
            None => prop_assert!(is_faulty && answer.status != 200, "{}", answer.text()),
        }
        Ok(())
    }

    /// The message of the stream, if it came to an end.
    async fn stream(&mut self, plan: &Plan) -> Result<Option<Value>, TestCaseError> {
        let (scripts, is_faulty) = plan.scripts();
        let asked = async |gateway: &Gateway| {
            let mut answer = Ask::message(body(true)).open(gateway.address).await;
            let mut events = Vec::new();
            while let Some(event) = answer.event().await {
                events.push(event);
            }
            (answer.status, events)
        };
        let ((status, events), bodies) = self.play(&scripts, asked).await;
        // what was sent before stays the same bytes
        for pair in bodies.windows(2) {
            let before = pair[0].strip_suffix("]}").unwrap();
            prop_assert!(pair[1].starts_with(before), "{}\n{}", pair[0], pair[1]);
        }
        if status != 200 {
            prop_assert!(is_faulty && scripts.len() == 1, "status {status}");
            return Ok(None);
        }
        prop_assert_eq!(grammar::check(&events), Ok(()));
        let last = events.last().unwrap();
        prop_assert_eq!(last.kind == EventKind::Error, is_faulty, "{}", data(last));
        if is_faulty {
            return Ok(None);
        }
        let message = folded(&events);
        self.check(plan, &message)?;
        self.go_on(plan, &message, &bodies[bodies.len() - 1]).await?;
        Ok(Some(message))
    }

    /// A caller with a call to answer sends everything back: the upstream gets what it had, and more.
    async fn go_on(
        &mut self,
        plan: &Plan,
        message: &Value,
        last: &str,
    ) -> Result<(), TestCaseError> {
        let content = &message["content"];
        let theirs = content.as_array().unwrap().iter().find(|block| block["type"] == "tool_use");
        let Some(theirs) = theirs else { return Ok(()) };
        let answer = json!([{"type": "tool_result", "tool_use_id": theirs["id"], "content": "so"}]);
        let back = format!(
            r#"{},{{"role":"assistant","content":{content}}},{{"role":"user","content":{answer}}}]}}"#,
            body(true).strip_suffix("]}").unwrap(),
        );
        let done = frames(&self::message(json!([text("so")]), "end_turn"));
        let script = Script { chunks: vec![done.concat().into_bytes()], is_cut: false };
        let asked = async |gateway: &Gateway| Ask::message(back).send(gateway.address).await.status;
        let (status, bodies) = self.play(&[script], asked).await;
        prop_assert_eq!(status, 200);
        // the space before the first message is the caller's
        let plain = |body: &str| body.replacen("[ {", "[{", 1);
        let (before, now) = (plain(last.strip_suffix("]}").unwrap()), plain(&bodies[0]));
        // a citation that leads nowhere may be counted anew
        let cites = plan.turns.iter().flatten().any(|part| matches!(part, Part::Cited(_)));
        prop_assert!(cites || now.starts_with(&before), "{}\n{}", before, now);
        let now: Value = serde_json::from_str(&now).unwrap();
        let turn = now["messages"].as_array().unwrap().iter().rev().nth(1).unwrap();
        let told = plan.messages().pop().unwrap();
        prop_assert_eq!(without_citations(turn), without_citations(&told));
        Ok(())
    }

    fn check(&self, plan: &Plan, message: &Value) -> Result<(), TestCaseError> {
        let parts: Vec<&Part> = plan.turns.iter().flatten().collect();
        let content = message["content"].as_array().unwrap();
        let of = |kind: &str| -> Vec<&Value> {
            content.iter().filter(|block| block["type"] == kind).collect()
        };
        for block in of("text") {
            for citation in block["citations"].as_array().into_iter().flatten() {
                // one that no search has found yet is none of ours
                let is_known = ["web_search_result_location", "search_result_location"];
                prop_assert!(is_known.contains(&citation["type"].as_str().unwrap()));
            }
        }
        for kind in ["text", "thinking", "future_block"] {
            let told: Vec<Value> = parts.iter().map(|part| part.block("")).collect();
            let told = told.iter().filter(|block| block["type"] == kind);
            let told: Vec<Value> = told.map(bare).collect();
            prop_assert_eq!(of(kind).into_iter().map(bare).collect::<Vec<_>>(), told);
        }
        let shown = parts.iter().filter(|part| part.is_shown_call()).count();
        let calls = of("mcp_tool_use").len() + of("server_tool_use").len();
        prop_assert_eq!(calls, shown);
        let theirs = parts.iter().filter(|part| matches!(part, Part::Theirs(_))).count();
        prop_assert_eq!(of("tool_use").len(), theirs);
        let turns = plan.turns.len() as u64;
        prop_assert_eq!(&message["usage"]["output_tokens"], &json!(3 * turns));
        prop_assert_eq!(&message["usage"]["input_tokens"], &json!(10 * turns));
        Ok(())
    }
}

fn bare(block: &Value) -> Value {
    let mut block = block.clone();
    block.as_object_mut().unwrap().remove("citations");
    block
}

fn without_citations(message: &Value) -> Vec<Value> {
    message["content"].as_array().unwrap().iter().map(bare).collect()
}

#[test]
fn the_stream_follows_the_grammar_for_any_model_output() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    // a case that fails leaves requests behind: the next one has a world of its own
    let world = std::cell::Cell::new(None);
    let ran = runner.run(&plan(), |plan| {
        runtime.block_on(async {
            let mut at = match world.take() {
                Some(world) => world,
                None => World::new().await,
            };
            at.run(&plan).await?;
            world.set(Some(at));
            Ok(())
        })
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}
