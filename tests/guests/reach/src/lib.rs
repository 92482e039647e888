//! A plugin that uses all capabilities of the host, for the tests of the grants.
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_sdk::prelude::*;

/// The calls of this instance; 0 in a fresh one.
static ASKED: AtomicU32 = AtomicU32::new(0);

struct Reach {
    config: Config,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The text of `greet`.
    #[serde(default)]
    greeting: String,
}

/// The stage's own parameters.
#[derive(Default, Deserialize)]
struct With {
    /// The model that checks every request.
    moderator: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Address {
    url: String,
    #[serde(default)]
    timeout_ms: Option<u32>,
    #[serde(default)]
    redirects: Option<u8>,
}

#[derive(Deserialize, JsonSchema)]
struct Question {
    model: String,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    stream: Option<bool>,
    /// The text to send; `hi` if left out.
    #[serde(default)]
    say: Option<String>,
    /// A gateway tool that the model may call.
    #[serde(default)]
    tool: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Entry {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    ttl: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
struct Act {
    /// The action: `panic`, `spin`, `refuse`, `hoard`, or any other word for a plain call.
    #[serde(default)]
    act: String,
}

#[derive(Deserialize, JsonSchema)]
struct Paper {
    text: String,
}

impl Reach {
    fn fetch(&self, to: Address, _: NoOptions) -> Result<String> {
        let mut request = http::get(to.url);
        request.timeout_ms = to.timeout_ms;
        request.redirects = to.redirects;
        let answer = request.send()?;
        let told = answer.location().map_or_else(|| answer.text(), Into::into);
        Ok(format!("{} {told}", answer.status))
    }

    fn ask(&self, question: Question, _: NoOptions) -> Result<String> {
        let mut request = serde_json::json!({
            "model": question.model,
            "messages": [{"role": "user", "content": question.say.as_deref().unwrap_or("hi")}],
        });
        if let Some(tool) = question.tool {
            request["tools"] = serde_json::json!([{"type": tool}]);
        }
        if let Some(tokens) = question.max_tokens {
            request["max_tokens"] = tokens.into();
        }
        if let Some(stream) = question.stream {
            request["stream"] = stream.into();
        }
        Ok(host::model_call(&request)?.to_string())
    }

    fn keep(&self, entry: Entry, _: NoOptions) -> Result<String> {
        host::kv_set(&entry.key, entry.value.as_bytes(), entry.ttl)?;
        Ok("kept".to_owned())
    }

    fn recall(&self, entry: Entry, _: NoOptions) -> Result<String> {
        let value = host::kv_get(&entry.key).unwrap_or_else(|| b"nothing".to_vec());
        Ok(String::from_utf8_lossy(&value).into_owned())
    }

    fn forget(&self, entry: Entry, _: NoOptions) -> Result<String> {
        Ok(host::kv_remove(&entry.key).to_string())
    }

    fn publish(&self, paper: Paper, _: NoOptions) -> Result<String> {
        host::publish("text/plain", paper.text.as_bytes())
    }

    /// Returns the number of calls of this instance, unless the action breaks it.
    fn remember(&self, how: Act, _: NoOptions) -> Result<String> {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
        match how.act.as_str() {
            "panic" => panic!("as it was told"),
            "refuse" => return Err(Problem::unavailable("not today")),
            "hoard" => std::mem::forget(std::hint::black_box(vec![1u8; 1 << 20])),
            "spin" => loop {
                std::hint::black_box(asked);
            },
            _ => {}
        }
        Ok(asked.to_string())
    }

    fn greet(&self, _: NoInput, _: NoOptions) -> Result<String> {
        Ok(self.config.greeting.clone())
    }
}

impl Plugin for Reach {
    type Config = Config;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest];
    const WANTS: Wants = Wants::NOTHING
        .hosts(&["127.0.0.1", "*.example.com"])
        .models(&["advisor*"])
        .kv_bytes(100)
        .publish();

    fn new(config: Config) -> Result<Self> {
        Ok(Self { config })
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        request.text("/metadata/a");
        let with = host::context::<With>("with")?.unwrap_or_default();
        let Some(url) = with.moderator else { return Ok(Action::Next) };
        match http::get(url).send()?.status {
            200 => Ok(Action::Next),
            _ => Ok(Action::Deny(403, "the moderator is against it".to_owned())),
        }
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![
            Tool::new("fetch", "Fetches.", Self::fetch),
            Tool::new("ask", "Asks a model.", Self::ask),
            Tool::new("keep", "Keeps a value.", Self::keep),
            Tool::new("recall", "Tells a value.", Self::recall),
            Tool::new("forget", "Forgets a value.", Self::forget),
            Tool::new("publish", "Publishes a text.", Self::publish),
            Tool::new("remember", "Counts its calls.", Self::remember),
            Tool::new("greet", "Greets.", Self::greet),
        ]
    }
}

tidegate_sdk::export!(Reach);
