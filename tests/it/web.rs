//! The tools `web_fetch` and `web_search`, from a caller's request to a site on loopback and back.
mod fetch;
mod hops;
mod search;
mod sizes;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::events::folded;
use crate::support::gateway::{Gateway, loop_to, simulated_upstream};
use crate::support::grammar;
use crate::support::upstream::{Auto, Behaviour, Call, Upstream};

/// A gateway whose model is the simulator, and what that model has been sent.
struct Web {
    model: Auto,
    gateway: Gateway,
}

impl Web {
    /// May reach loopback; `config` is that of the plugin.
    async fn with(plugin: &str, config: Value) -> Self {
        Self::guarded(plugin, config, "egress: { allow_private: [\"127.0.0.0/8\"] }").await
    }

    async fn guarded(plugin: &str, config: Value, egress: &str) -> Self {
        let model = simulated_upstream().await;
        let config = json!({plugin: config});
        let mut more = format!("plugins: {{ config: {config} }}\n{egress}");
        if !more.contains("models:") {
            // it reads results as text
            more.push_str("\nmodels: { m: { provider: up, model: up-1, unsupported: [\"block:search_result\"] } }");
        }
        let gateway = loop_to(model.address).plugin(plugin).config(&more).start().await;
        Self { model, gateway }
    }

    /// Lets the model call, and gives what it was told; the answer goes on in any case, streamed or
    /// not, and is the same.
    async fn call(&self, tool: &Value, input: &Value) -> Value {
        let name = tool["type"].as_str().unwrap().trim_start_matches("gateway:");
        let text = format!("[sim: call {name} {input}] [sim: then] [sim: say that is all]");
        let mut told = Vec::new();
        for is_streamed in [true, false] {
            let before = self.model.bodies().len();
            let answer = self.ask(tool, &text, is_streamed).await;
            let last = answer["content"].as_array().unwrap().last().unwrap();
            assert_eq!(last["text"], "that is all", "{answer}");
            assert_eq!(answer["stop_reason"], "end_turn");
            let seen = self.model.requests();
            assert_eq!(seen.len(), before + 2);
            told.push(result_of(&seen[before + 1]));
        }
        let [streamed, whole] = told.try_into().unwrap();
        assert_eq!(without_time(&streamed), without_time(&whole));
        whole
    }

    async fn ask(&self, tool: &Value, text: &str, is_streamed: bool) -> Value {
        let body = json!({
            "model": "m", "max_tokens": 100_000, "tools": [tool],
            "messages": [{"role": "user", "content": text}],
        });
        if !is_streamed {
            return self.gateway.ask(&body).await.message();
        }
        let events = self.gateway.events(&body).await;
        grammar::check(&events).unwrap();
        folded(&events)
    }
}

/// The last tool result of a request.
fn result_of(request: &Value) -> Value {
    request["messages"].as_array().unwrap().last().unwrap()["content"][0].clone()
}

/// The JSON that a result has as its text.
fn page_of(result: &Value) -> Value {
    assert_ne!(result["is_error"], true, "{result}");
    serde_json::from_str(&text_of(result)).unwrap()
}

/// The text of a failure.
fn failure_of(result: &Value) -> String {
    assert_eq!(result["is_error"], true, "{result}");
    text_of(result)
}

fn text_of(result: &Value) -> String {
    let content = &result["content"];
    let text = content.as_str().or_else(|| content[0]["text"].as_str());
    text.unwrap_or_else(|| panic!("{result}")).to_owned()
}

fn without_time(result: &Value) -> Value {
    let mut result = result.clone();
    result["tool_use_id"] = "".into();
    if result["is_error"] == true {
        // a limit of time names what is left of the turn's
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        let is_time = text.ends_with(" ms");
        let words = text
            .split(' ')
            .map(|word| if is_time && word.parse::<u32>().is_ok() { "N" } else { word });
        let text: Vec<&str> = words.collect();
        result["content"][0]["text"] = text.join(" ").into();
    } else {
        let mut page = page_of(&result);
        page["retrieved_at"] = "".into();
        result["content"] = page;
    }
    result
}

/// A site that answers by the path of what it is asked for.
async fn site(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Auto {
    Upstream::by(move |call: &Call| match answer(call.head.target()) {
        answer if answer.is_empty() => Behaviour::Silence,
        answer => Behaviour::Answer(answer),
    })
    .await
}

fn granted(site: SocketAddr) -> Value {
    json!({"allow_hosts": [site.to_string()]})
}
