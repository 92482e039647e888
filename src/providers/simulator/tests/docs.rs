//! Runs every directive and every example of the simulator's pages in `docs/reference`, so that they stay correct.
use super::*;

const PAGE: &str = concat!(
    include_str!("../../../../docs/reference/simulator.md"),
    include_str!("../../../../docs/reference/simulator-directives.md"),
    include_str!("../../../../docs/reference/simulator-examples.md"),
);

/// Returns the directives of the tables: the first cell of each row.
fn directives() -> Vec<&'static str> {
    PAGE.lines()
        .filter_map(|line| line.strip_prefix("| `[sim"))
        .map(|rest| rest.split("` |").next().unwrap())
        .collect()
}

/// Returns the fenced blocks: language and text.
fn fences() -> Vec<(&'static str, &'static str)> {
    let parts: Vec<&str> = PAGE.split("```").collect();
    parts.chunks(2).filter_map(|chunk| chunk.get(1)?.split_once('\n')).collect()
}

/// Returns the body of a curl line, with gateway tools in the gateway's form.
fn sent(command: &str) -> Value {
    let body = command.split("-d '").nth(1).unwrap().rsplit_once('\'').unwrap().0;
    let mut body: Value = serde_json::from_str(body).unwrap();
    for tool in body["tools"].as_array_mut().into_iter().flatten() {
        if tool["type"] == "gateway:datetime" {
            *tool = datetime();
        }
    }
    body
}

/// Returns the caller's view of a request: error, events or lost connection.
async fn seen(text: &str) -> String {
    match items(&ask_with_tools(text)).await {
        Err(error) => {
            let answer = error.answer().expect("an answer of the upstream");
            format!("{} {:?}", answer.status(), answer.body())
        }
        Ok(items) => items
            .into_iter()
            .map(|item| match item {
                Ok(event) => String::from_utf8_lossy(event.frame()).into_owned(),
                Err(error) => error.message,
            })
            .collect(),
    }
}

/// Removes the id and the usage, which differ with every text. Nothing else may differ.
fn comparable(seen: &str) -> Vec<&str> {
    seen.split('\n')
        .filter(|line| !line.contains(r#""type":"message_start""#))
        .map(|line| line.split(r#","usage":"#).next().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn every_directive_of_the_page_does_something() {
    let plain = seen("hello").await;
    let found = directives();
    assert!(found.len() > 30, "the tables are gone: {found:?}");
    for rest in found {
        let text = format!("hello [sim{rest}");
        let seen = seen(&text).await;
        assert!(!seen.contains("simulator-directives.md"), "{text}: {seen}");
        let only_takes_time =
            ["pace", "wait", "first-event"].iter().any(|word| rest.contains(word));
        let is_plain = comparable(&seen) == comparable(&plain);
        assert_eq!(is_plain, only_takes_time, "{text}: {seen}\n{plain}");
    }
}

#[tokio::test]
async fn every_example_of_the_page_returns_its_documented_response() {
    let fences = fences();
    let mut shown = 0;
    for (n, (language, command)) in fences.iter().enumerate() {
        if *language != "sh" {
            continue;
        }
        let body = sent(command);
        let found = match whole(&json_only(&body)).await {
            Ok(message) => message,
            Err(error) => serde_json::from_slice(error.answer().unwrap().body()).unwrap(),
        };
        let events: Vec<&str> = match body["stream"] == true {
            true => events(&body).await.iter().map(|event| event.kind.as_str()).collect(),
            false => Vec::new(),
        };
        match fences.get(n + 1) {
            Some(("json", expected)) => {
                let expected: Value = serde_json::from_str(expected).unwrap();
                assert!(holds(&found, &expected), "{command}\ngives {found}");
                shown += 1;
            }
            Some(("events", expected)) => {
                assert_eq!(events.join(" "), expected.trim());
                shown += 1;
            }
            _ => {}
        }
    }
    assert!(shown >= 7, "the examples are gone");
}

fn json_only(body: &Value) -> Value {
    let mut body = body.clone();
    body["stream"] = false.into();
    body
}

/// Returns whether `found` has everything in `expected`.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => expected
            .iter()
            .all(|(key, value)| found.get(key).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| holds(f, e))
        }
        _ => found == expected,
    }
}
