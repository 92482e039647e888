//! Calls of tools that a policy added: their caller never sees them, and its next request has them again.
use serde_json::{Value, json};

use super::{ask, blocks, kinds, simulated_with, streamed};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping};
use crate::support::turn::{call, frames, message, plain_text, result, text, thinking};
use crate::support::upstream::{self, Upstream};

const ADD: (&str, &str) = (
    "policies/add.rhai",
    r#"fn on_request(request, ctx) {
        let tools = request.tools;
        tools.push(#{ "type": "gateway:twice" });
        request.tools = tools;
    }"#,
);

/// A request with a shown tool of the gateway's and a tool of the caller's, beside what the policy adds.
fn body() -> Value {
    let mut body = ask("hi");
    body["tools"][0]["type"] = json!("gateway:echo");
    body
}

async fn led(more: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start().await;
    let gateway = looping(upstream.address).config(more).files(&[ADD]).start().await;
    (upstream, gateway)
}

fn twice(id: &str) -> Value {
    call(id, "gateway_twice", json!({}))
}

fn echo(id: &str) -> Value {
    call(id, "gateway_echo", json!({"text": id}))
}

fn weather(id: &str) -> Value {
    call(id, "weather", json!({"city": "Emden"}))
}

fn done() -> Value {
    message(json!([text("done")]), "end_turn")
}

/// Streams an answer while the upstream plays these turns: what the caller gets, and what the upstream
/// was sent.
async fn played(
    (upstream, gateway): (&mut Upstream, &Gateway),
    body: &Value,
    turns: &[Value],
) -> (Value, Vec<Value>) {
    let led = async {
        let mut sent = Vec::new();
        for turn in turns {
            let call = upstream.call().await;
            sent.push(call.json());
            call.frames(&frames(turn)).await;
        }
        sent
    };
    tokio::join!(streamed(gateway, body), led)
}

fn calling(blocks: Value) -> Value {
    message(blocks, "tool_use")
}

/// The caller goes on with the results of its own calls.
fn go_on(body: &mut Value, content: &Value, ids: &[&str]) {
    let results: Vec<Value> = ids.iter().map(|id| result(id, json!("sunny"))).collect();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": content}));
    messages.push(json!({"role": "user", "content": results}));
}

/// Each message as its role and its blocks' types, with the ids of calls and results.
fn outline(request: &Value) -> Vec<String> {
    let block = |block: &Value| {
        let id = block["id"].as_str().or(block["tool_use_id"].as_str()).unwrap_or_default();
        format!("{}{id}", &block["type"].as_str().unwrap().replace("tool_", ""))
    };
    let line = |message: &Value| {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        let blocks: Vec<String> = blocks.iter().map(block).collect();
        format!("{}: {}", message["role"].as_str().unwrap(), blocks.join(" "))
    };
    request["messages"].as_array().unwrap().iter().map(line).collect()
}

/// The same with a tool that the simulator calls by itself.
const ADD_CLOCK: (&str, &str) = (
    "policies/add.rhai",
    r#"fn on_request(request, ctx) {
        let tools = request.tools;
        tools.push(#{ "type": "gateway:datetime" });
        request.tools = tools;
    }"#,
);

#[tokio::test]
async fn the_result_of_a_hidden_tool_in_a_mixed_turn_is_kept() {
    let (upstream, gateway) = simulated_with("", &[ADD_CLOCK]).await;
    let mut body = ask("[sim: call datetime] [sim: call weather] [sim: then] [sim: say done]");
    body["tools"].as_array_mut().unwrap().remove(0);
    let message = streamed(&gateway, &body).await;
    assert_eq!(message["stop_reason"], "tool_use");
    assert_eq!(kinds(&message), ["text", "tool_use"]);
    let id = &message["content"][1]["id"];
    let result = json!({"type": "tool_result", "tool_use_id": id, "content": "sunny"});
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": message["content"]}));
    messages.push(json!({"role": "user", "content": [result]}));
    // the history comes again and again
    for n in 1..3 {
        let answer = gateway.ask(&body).await.message();
        assert_eq!(answer["content"], json!([plain_text("done")]));
        let sent = &upstream.requests()[n]["messages"];
        let names: Vec<&Value> =
            blocks(&sent[1], "tool_use").iter().map(|call| &call["name"]).collect();
        assert_eq!(names, ["gateway_datetime", "weather"]);
        let results = blocks(&sent[2], "tool_result");
        assert_eq!(results.len(), 2);
        assert_eq!(results[0]["tool_use_id"], blocks(&sent[1], "tool_use")[0]["id"]);
        assert!(results[0]["content"][0]["text"].as_str().unwrap().contains("datetime"));
        assert_eq!(results[1], &result);
    }
}

#[tokio::test]
async fn the_result_of_a_hidden_tool_before_the_callers_turn_is_kept() {
    let (upstream, gateway) = simulated_with("", &[ADD_CLOCK]).await;
    let mut body = ask(
        "[sim: call datetime] [sim: turns 2] [sim: then] [sim: call weather] [sim: then] [sim: say done]",
    );
    body["tools"].as_array_mut().unwrap().remove(0);
    for is_stream in [true, false] {
        let before = upstream.bodies().len();
        let mut body = body.clone();
        let message = match is_stream {
            true => streamed(&gateway, &body).await,
            false => gateway.ask(&body).await.message(),
        };
        assert_eq!(kinds(&message), ["text", "text", "text", "tool_use"]);
        let id = message["content"][3]["id"].as_str().unwrap();
        go_on(&mut body, &message["content"], &[id]);
        // the history comes again and again
        for n in 3..5 {
            let answer = gateway.ask(&body).await.message();
            assert_eq!(answer["content"], json!([plain_text("done")]));
            let bodies = &upstream.bodies()[before..];
            let last = std::str::from_utf8(&bodies[2]).unwrap();
            let (last, _) = last.rsplit_once("],\"stream\"").unwrap();
            let next = std::str::from_utf8(&bodies[n]).unwrap();
            assert!(next.starts_with(last), "{last}\n{next}");
        }
    }
}

/// What three turns are upstream: hidden and shown calls in one, hidden ones only, and one that ends with
/// a call of the caller's.
fn mixed() -> [Value; 3] {
    [
        calling(json!([thinking("a"), text("one"), twice("h1"), echo("s1"), twice("h2")])),
        calling(json!([thinking("b"), text(""), twice("h3")])),
        calling(json!([thinking("c"), text("three"), echo("s2"), weather("c1"), twice("h4")])),
    ]
}

const MIXED: [&str; 7] = [
    "user: ",
    "assistant: thinking text useh1 uses1 useh2",
    "user: resulth1 results1 resulth2",
    "assistant: thinking useh3",
    "user: resulth3",
    "assistant: thinking text uses2 usec1 useh4",
    "user: results2 resulth4 resultc1",
];

#[tokio::test]
async fn the_gateway_restores_turns_with_visible_and_hidden_calls() {
    let (mut upstream, gateway) = led("").await;
    let mut body = body();
    let (message, sent) = played((&mut upstream, &gateway), &body, &mixed()).await;
    assert!(!message.to_string().contains("h1"), "{message}");
    go_on(&mut body, &message["content"], &["c1"]);
    let (_, next) = played((&mut upstream, &gateway), &body, &[done()]).await;
    assert_eq!(outline(&next[0]), MIXED);
    let next = next[0]["messages"].as_array().unwrap();
    assert_eq!(&next[..5], sent[2]["messages"].as_array().unwrap());
    assert_eq!(next[5]["content"], mixed()[2]["content"]);
}

#[tokio::test]
async fn roles_may_be_written_with_escapes() {
    let (mut upstream, gateway) = led("").await;
    let mut body = body();
    let (message, _) = played((&mut upstream, &gateway), &body, &mixed()).await;
    go_on(&mut body, &message["content"], &["c1"]);
    let escaped = body
        .to_string()
        .replace("\"assistant\"", "\"\\u0061ssistant\"")
        .replace("\"user\"", "\"\\u0075ser\"");
    let asked = async { Ask::message(escaped).send(gateway.address).await.status };
    let led = async {
        let call = upstream.call().await;
        let sent = call.json();
        call.frames(&frames(&done())).await;
        sent
    };
    let (status, sent) = tokio::join!(asked, led);
    assert_eq!(status, 200);
    assert_eq!(outline(&sent), MIXED);
}

#[tokio::test]
async fn a_client_may_drop_thinking_and_empty_texts() {
    let (mut upstream, gateway) = led("").await;
    for drops in [&["thinking"][..], &["text"], &["thinking", "text"]] {
        let mut body = body();
        let (message, _) = played((&mut upstream, &gateway), &body, &mixed()).await;
        let is_left = |block: &&Value| {
            let kind = block["type"].as_str().unwrap();
            !drops.contains(&kind) || (kind == "text" && block["text"] != "")
        };
        let content = message["content"].as_array().unwrap().iter().filter(is_left).cloned();
        go_on(&mut body, &content.collect(), &["c1"]);
        let (_, next) = played((&mut upstream, &gateway), &body, &[done()]).await;
        let expected = MIXED.map(|line| match drops.contains(&"thinking") {
            true => line.replace("thinking ", ""),
            false => line.to_owned(),
        });
        assert_eq!(outline(&next[0]), expected, "without {drops:?}");
    }
}

#[tokio::test]
async fn the_gateway_restores_the_last_turn_of_a_message_that_the_client_altered() {
    let (mut upstream, gateway) = led("").await;
    let turns = [
        calling(json!([text("one"), twice("h1")])),
        calling(json!([text("two"), weather("c1"), twice("h2"), weather("c2")])),
    ];
    let alter: [fn(&mut Vec<Value>); 3] = [
        |content| drop(content.remove(0)),
        |content| content.push(text("and so on")),
        |content| content[1] = json!({"type": "future_block"}),
    ];
    for (alter, rest) in alter.into_iter().zip(["", " text", ""]) {
        let mut body = body();
        let (message, _) = played((&mut upstream, &gateway), &body, &turns).await;
        let mut content = message["content"].as_array().unwrap().clone();
        alter(&mut content);
        let before: Vec<&str> =
            content.iter().map_while(|b| b["type"].as_str().filter(|t| *t != "tool_use")).collect();
        let before = before.join(" ");
        go_on(&mut body, &json!(content), &["c1", "c2"]);
        let (_, next) = played((&mut upstream, &gateway), &body, &[done()]).await;
        let assistant = format!("assistant: {before} useh2 usec1 usec2{rest}");
        assert_eq!(
            outline(&next[0]),
            ["user: ", &assistant, "user: resulth2 resultc1 resultc2"],
            "{content:?}"
        );
    }
}

#[tokio::test]
async fn every_message_of_a_long_history_has_its_own() {
    let (mut upstream, gateway) = led("").await;
    let mut body = body();
    let mut last = Vec::new();
    for n in 1..4 {
        let turns = [
            calling(json!([text("a"), twice(&format!("h{n}"))])),
            calling(json!([weather(&format!("c{n}"))])),
        ];
        let (message, sent) = played((&mut upstream, &gateway), &body, &turns).await;
        // what an upstream has had comes again as it was
        assert!(sent[0]["messages"].as_array().unwrap().starts_with(&last), "{}", sent[0]);
        last = sent[1]["messages"].as_array().unwrap().clone();
        go_on(&mut body, &message["content"], &[&format!("c{n}")]);
    }
    let (_, next) = played((&mut upstream, &gateway), &body, &[done()]).await;
    let expected = (1..4).flat_map(|n| {
        [
            format!("assistant: text useh{n}"),
            format!("user: resulth{n}"),
            format!("assistant: usec{n}"),
            format!("user: resultc{n}"),
        ]
    });
    assert_eq!(outline(&next[0])[1..], expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_paused_message_resumes_with_its_hidden_calls() {
    let (mut upstream, gateway) = led("tools: { max_turns: 2 }").await;
    let paused = [
        calling(json!([text("a"), twice("h1")])),
        calling(json!([text("b"), echo("s1"), twice("h2")])),
    ];
    let expected = [
        "user: ",
        "assistant: text useh1",
        "user: resulth1",
        "assistant: text uses1 useh2",
        "user: results1 resulth2",
    ];
    let ends = [calling(json!([twice("h3")])), calling(json!([text("c"), weather("c1")]))];
    let mut body = body();
    let (first, _) = played((&mut upstream, &gateway), &body, &paused).await;
    assert_eq!(first["stop_reason"], "pause_turn");
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": first["content"]}));
    let (second, sent) = played((&mut upstream, &gateway), &body, &ends).await;
    assert_eq!(outline(&sent[0]), expected);
    // as two messages, and as the one that they are to some clients
    let apart = body["messages"].clone();
    let both = [&first, &second].map(|message| message["content"].as_array().unwrap().clone());
    for is_apart in [true, false] {
        body["messages"] = apart.clone();
        let content = match is_apart {
            true => second["content"].clone(),
            false => {
                body["messages"].as_array_mut().unwrap().pop();
                both.concat().into()
            }
        };
        go_on(&mut body, &content, &["c1"]);
        let (_, next) = played((&mut upstream, &gateway), &body, &[done()]).await;
        let next = outline(&next[0]);
        assert_eq!(next[..5], expected);
        let rest =
            ["assistant: useh3", "user: resulth3", "assistant: text usec1", "user: resultc1"];
        assert_eq!(next[5..], rest);
    }
}

#[tokio::test]
async fn token_counts_include_hidden_calls() {
    let (mut upstream, gateway) = led("").await;
    let mut body = body();
    let (message, _) = played((&mut upstream, &gateway), &body, &mixed()).await;
    go_on(&mut body, &message["content"], &["c1"]);
    let counted = async {
        let path = "/v1/messages/count_tokens";
        Ask::post(path, body.to_string()).send(gateway.address).await.message()
    };
    let led = async {
        let call = upstream.call().await;
        let sent = call.json();
        call.finish(upstream::json(200, "{\"input_tokens\":9}")).await;
        sent
    };
    let (counted, sent) = tokio::join!(counted, led);
    assert_eq!(
        (&counted["input_tokens"], outline(&sent)),
        (&json!(9), MIXED.map(str::to_owned).into())
    );
}
