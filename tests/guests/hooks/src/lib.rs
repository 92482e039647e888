//! A plugin with every hook, for the tests of the host. `with` selects its behaviour.
use tidegate_sdk::prelude::*;

struct Hooks {
    config: Config,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The highest `max_tokens`.
    #[serde(default = "usual")]
    limit: u32,
    /// Whether only the hook before an attempt has work.
    #[serde(default)]
    upstream_only: bool,
}

fn usual() -> u32 {
    1024
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct With {
    act: String,
    /// The part of the request that `read` and `hold` read first.
    pointer: String,
    /// Whether no hook has work.
    idle: bool,
}

impl Plugin for Hooks {
    type Config = Config;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest, Hook::OnUpstreamRequest, Hook::OnResponse];

    fn new(config: Config) -> Result<Self> {
        match config.limit {
            0 => Err(Problem::new("invalid_config", "`limit` is 0: give at least 1")),
            _ => Ok(Self { config }),
        }
    }

    fn hooks(&self) -> Result<Vec<Hook>> {
        let with: With = host::context("with")?.unwrap_or_default();
        Ok(match (with.idle, self.config.upstream_only) {
            (true, _) => Vec::new(),
            (false, true) => vec![Hook::OnUpstreamRequest],
            (false, false) => Self::HOOKS.to_vec(),
        })
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        let with: With = host::context("with")?.unwrap_or_default();
        match with.act.as_str() {
            "deny" => return Ok(Action::Deny(451, "not here".to_owned())),
            "pass" => return Ok(Action::PassOver("no target here".to_owned())),
            "route" => return Ok(Action::Route("elsewhere".to_owned())),
            "respond" => return Ok(Action::Respond(serde_json::json!({"type": "message"}))),
            "fail" => return Err(Problem::unavailable("the moon is not full")),
            "panic" => panic!("the hook knows a secret"),
            "spin" => loop {
                std::hint::black_box(&with.act);
            },
            "eat" => loop {
                std::mem::forget(std::hint::black_box(vec![1u8; 1 << 20]));
            },
            "recurse" => return Ok(Action::Route(recurse(1).to_string())),
            "read" => {
                request.get::<serde_json::Value>(&with.pointer)?;
            }
            "hold" => {
                std::hint::black_box(request.text(&with.pointer));
                loop {
                    std::hint::black_box(&with.act);
                }
            }
            "twice" => {
                request.set_text("/metadata", r#"{"a":1,"a":2}"#)?;
                return Ok(Action::Next);
            }
            "open" => {
                request.text("/metadata/a");
                return Ok(Action::Next);
            }
            "tail" => {
                request
                    .set("/messages/-", serde_json::json!({"role": "user", "content": "more"}))?;
                request.set("/messages/-2/content", "changed")?;
                return Ok(Action::Next);
            }
            "facts" => {
                let key: Option<String> = host::context("key")?;
                let session: Option<String> = host::context("session")?;
                request.set("/metadata", serde_json::json!({"key": key, "session": session}))?;
                return Ok(Action::Next);
            }
            "whole" => {
                let length = request.bytes().len();
                request.set("/length", length)?;
                return Ok(Action::Next);
            }
            _ => {}
        }
        let model: Option<String> = request.get("/model")?;
        if model.is_some_and(|model| model.starts_with("claude-")) {
            request.set("/max_tokens", self.config.limit)?;
        }
        Ok(Action::Next)
    }

    fn on_upstream_request(&self, request: &mut Request<'_>, target: &Target) -> Result<Action> {
        for name in &target.unsupported {
            request.remove(&format!("/{name}"));
        }
        Ok(Action::Next)
    }

    fn on_response(&self, message: &mut Message<'_>) -> Result<Action> {
        let text: Option<String> = message.get("/content/0/text")?;
        message.set("/content/0/text", text.unwrap_or_default().to_uppercase())?;
        Ok(Action::Next)
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[(depth % 64) as usize] }
}

tidegate_sdk::export!(Hooks);
