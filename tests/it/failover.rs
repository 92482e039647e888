//! Several targets: which is tried, when the next one is, and who is left alone for a while.
mod accounts;
mod affinity;
mod budget;
mod cooldown;
mod endpoints;
mod order;
mod retries;
mod strictness;
mod turns;

use std::net::SocketAddr;

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Behaviour};
use crate::support::{ANSWER, FRAMES};

/// A config with an alias `m` that leads to `a` (as the model `ma`) and then to `b`.
fn pair(a: SocketAddr, b: SocketAddr, more: &str) -> String {
    format!(
        "providers:
  a: {{ type: anthropic, api_key: key-a, base_url: \"http://{a}\" }}
  b: {{ type: anthropic, api_key: key-b, base_url: \"http://{b}\" }}
models:
  m:
    targets: [{{ provider: a, model: ma }}, {{ provider: b }}]
    {more}
"
    )
}

/// What an upstream in order says to a request.
fn fine(body: &[u8]) -> Behaviour {
    let is_stream = memchr::memmem::find(body, b"\"stream\":true").is_some();
    Behaviour::Answer(if is_stream {
        upstream::stream(&FRAMES)
    } else {
        upstream::json(200, ANSWER)
    })
}

fn refusal(status: u16, headers: &str) -> Behaviour {
    let headers = format!("content-type: application/json\r\n{headers}");
    Behaviour::Answer(upstream::answer(status, &headers, "{\"type\":\"error\"}"))
}

async fn ask(gateway: &Gateway, body: &str) -> Answer {
    Ask::message(body).send(gateway.address).await
}

/// Who answered.
fn target(answer: &Answer) -> &str {
    answer.header("x-tidegate-target").unwrap()
}
