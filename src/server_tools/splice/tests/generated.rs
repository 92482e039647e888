//! Generated turns: for any content, the caller receives one message in order.
use super::*;

/// A block of a generated turn.
#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Thinking(String),
    Ours(String),
    Theirs(String),
    Unknown(String),
}

fn part() -> impl Strategy<Value = Part> {
    let words = "[a-zà-ü\"\\\\\n 🌊]{1,12}";
    prop_oneof![
        words.prop_map(Part::Text),
        words.prop_map(Part::Thinking),
        words.prop_map(Part::Ours),
        words.prop_map(Part::Unknown),
    ]
}

fn last_part() -> impl Strategy<Value = Part> {
    prop_oneof![3 => part(), 1 => "[a-z ]{0,8}".prop_map(Part::Theirs)]
}

/// Generates turns. Each but the last ends with a gateway call; the last ends in any way.
fn turns() -> impl Strategy<Value = Vec<Value>> {
    let middle = prop::collection::vec(prop::collection::vec(part(), 0..5), 0..4);
    let last = prop::collection::vec(last_part(), 0..6);
    (middle, last).prop_map(|(middle, last)| {
        let mut ids = 0;
        let mut turns: Vec<Value> = Vec::new();
        for mut parts in middle {
            parts.push(Part::Ours("always".to_owned()));
            turns.push(made(&parts, &mut ids));
        }
        turns.push(made(&last, &mut ids));
        turns
    })
}

fn made(parts: &[Part], ids: &mut u32) -> Value {
    let mut block = |part: &Part| {
        *ids += 1;
        let id = format!("c{ids}");
        match part {
            Part::Text(words) => text(words),
            Part::Thinking(words) => thinking(words),
            Part::Ours(words) => call(&id, "gateway_now", json!({"zone": words})),
            Part::Theirs(words) => call(&id, "weather", json!({"city": words, "n": [1, 2.5]})),
            Part::Unknown(words) => json!({"type": "future_block", "id": id, "words": words}),
        }
    };
    let content: Vec<Value> = parts.iter().map(&mut block).collect();
    let has_call = content.iter().any(|block| block["type"] == "tool_use");
    message(content.into(), if has_call { "tool_use" } else { "end_turn" })
}

fn of_kind<'a>(messages: impl Iterator<Item = &'a Value>, kind: &str) -> Vec<&'a Value> {
    let blocks = messages.flat_map(|message| message["content"].as_array().unwrap());
    blocks.filter(|block| block["type"] == kind).collect()
}

proptest! {
    #[test]
    fn the_caller_receives_one_ordered_message_for_any_turns(turns in turns()) {
        for tool in [shown("now"), hidden("now"), shown("web_search"), shown("web_fetch")] {
            let turns = of_tool(&tool.name, &turns);
            let run = run(std::slice::from_ref(&tool), &turns);
            prop_assert_eq!(grammar::check(&crate::testing::seen(&run.seen)), Ok(()));
            let whole = folded(&run.seen);
            for kind in ["text", "thinking", "future_block"] {
                let seen = of_kind(std::iter::once(&whole), kind);
                prop_assert_eq!(seen, of_kind(turns.iter(), kind));
            }
            let ours = of_kind(turns.iter(), "tool_use");
            let ours = ours.iter().filter(|block| block["name"] == tool.upstream_name).count();
            let shown = of_kind(std::iter::once(&whole), "mcp_tool_use").len()
                + of_kind(std::iter::once(&whole), "server_tool_use").len();
            prop_assert_eq!(shown, if tool.face.is_shown() { ours } else { 0 });
            let count = turns.len() as u64;
            prop_assert_eq!(&whole["usage"]["output_tokens"], &json!(3 * count));
            prop_assert_eq!(&whole["usage"]["input_tokens"], &json!(10 * count));
            prop_assert_eq!(&whole["usage"]["cache_read_input_tokens"], &json!(4 * count));
            if turns.len() == 1 && ours == 0 {
                let upstream = events(&turns[0]);
                prop_assert_eq!(frames(&run.seen), frames(&upstream));
            }
        }
    }

    #[test]
    fn a_history_that_the_caller_sends_back_restores_the_original_turns(turns in turns()) {
        for name in ["now", "web_search", "web_fetch"] {
            sent_back(name, &turns)?;
        }
    }
}

/// Returns the turns with another tool in the place of `now`.
fn of_tool(name: &str, turns: &[Value]) -> Vec<Value> {
    let text = json!(turns).to_string().replace("\"gateway_now\"", &format!("\"gateway_{name}\""));
    serde_json::from_str(&text).unwrap()
}

fn sent_back(name: &str, turns: &[Value]) -> Result<(), TestCaseError> {
    let run = run(&[shown(name)], &of_tool(name, turns));
    let asked = json!({"role": "user", "content": "what time is it?"});
    let whole = folded(&run.seen);
    let mut expected = vec![asked.clone()];
    expected.extend(run.sent);
    expected.retain(|message| message["content"] != json!([]));
    let mut messages = vec![asked];
    if whole["content"] != json!([]) {
        messages.push(json!({"role": "assistant", "content": whole["content"]}));
    }
    // the caller runs its own tools, and adds a text
    let theirs = of_kind(std::iter::once(&whole), "tool_use");
    let mut more: Vec<Value> =
        theirs.iter().map(|call| result(call["id"].as_str().unwrap(), json!("sunny"))).collect();
    more.push(text("thanks"));
    messages.push(json!({"role": "user", "content": more}));
    match expected.last_mut() {
        Some(last) if last["role"] == "user" && expected_results(last) => {
            last["content"].as_array_mut().unwrap().extend(more);
        }
        _ => expected.push(json!({"role": "user", "content": more})),
    }
    let body = json!({"model": "m", "max_tokens": 9, "messages": messages}).to_string();
    let mut request = MessagesRequest::parse(body.into(), Endpoint::Messages).unwrap();
    restored(&mut request).unwrap();
    let restored: Value = serde_json::from_slice(&request.to_bytes()).unwrap();
    prop_assert_eq!(&restored["messages"], &json!(expected));
    Ok(())
}

/// Adds the caller's own content to a message of results.
fn expected_results(message: &Value) -> bool {
    message["content"][0]["type"] == "tool_result"
}
