//! What a request asks of the gateway itself, by its `gateway` object or by headers.
mod bounds;
mod prompt;
mod shown;
mod targets;
mod tries;
mod wrong;

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::upstream::{self, Auto, Behaviour, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, STREAM};

/// `m` leads to `a` (as `ma`), `b` and `c/d` (as `x/y`), `spare` to `b` and then `c`.
pub fn config([a, b, c]: [SocketAddr; 3]) -> String {
    format!(
        "providers:
  a: {{ type: anthropic, base_url: \"http://{a}\" }}
  b: {{ type: anthropic, base_url: \"http://{b}\" }}
  c: {{ type: anthropic, base_url: \"http://{c}\" }}
models:
  m:
    targets: [{{ provider: a, model: ma }}, {{ provider: b }}, {{ provider: c, model: x/y }}]
  \"spare*\":
    targets: [{{ provider: b }}, {{ provider: c }}]
  lone: {{ provider: a }}
keys:
  - {{ name: all, key: all }}
  - {{ name: few, key: few, models: [m, lone], tags: {{ team: core }} }}
"
    )
}

/// Upstreams that answer, with those of these names failing.
pub struct Three {
    pub ups: [Auto; 3],
    pub gateway: Gateway,
}

async fn three(failing: &str) -> Three {
    three_with(failing, "").await
}

/// The same with more in the config.
pub async fn three_with(failing: &str, more: &str) -> Three {
    let failing: String = failing.to_owned();
    let up = |name: char| {
        let fails = failing.contains(name);
        Upstream::by(move |call| if fails { refusal(529) } else { fine(&call.body) })
    };
    let ups = [up('a').await, up('b').await, up('c').await];
    let config = config([0, 1, 2].map(|n| ups[n].address)) + more;
    let gateway = Gateway::start(&config).await;
    Three { ups, gateway }
}

impl Three {
    pub async fn ask(&self, body: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_as("all", body, headers).await
    }

    pub async fn ask_as(&self, key: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let ask = Ask::message(body).header("x-api-key", key);
        let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
        ask.send(self.gateway.address).await
    }

    /// How often each was asked.
    pub fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|n| self.ups[n].count())
    }
}

fn fine(body: &[u8]) -> Behaviour {
    let is_stream = memchr::memmem::find(body, b"\"stream\":true").is_some();
    Behaviour::Answer(if is_stream {
        upstream::stream(&FRAMES)
    } else {
        upstream::json(200, ANSWER)
    })
}

fn refusal(status: u16) -> Behaviour {
    Behaviour::Answer(upstream::json(status, "{\"type\":\"error\"}"))
}

/// A body with a `gateway` object at its end.
fn with(body: &str, gateway: &str) -> String {
    let open = body.strip_suffix('}').unwrap();
    format!("{open},\"gateway\":{gateway}}}")
}

pub fn target(answer: &Answer) -> &str {
    answer.header("x-tidegate-target").unwrap_or_default()
}

pub fn trace(answer: &Answer) -> Value {
    serde_json::from_str(answer.header("x-tidegate-trace").unwrap()).unwrap()
}

/// The same wish in the body and in a header.
fn both_ways(member: &str, json: &str, header: &str) -> [(String, Vec<(String, String)>); 2] {
    let name = format!("x-tidegate-{}", member.replace('_', "-"));
    [
        (format!("{{\"{member}\":{json}}}"), Vec::new()),
        ("null".to_owned(), vec![(name, header.to_owned())]),
    ]
}

/// Asks for one wish in both ways, streaming and not.
async fn asked(three: &Three, member: &str, json: &str, header: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for (gateway, headers) in both_ways(member, json, header) {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        for body in [MESSAGE, STREAM] {
            answers.push(three.ask(&with(body, &gateway), &headers).await);
        }
    }
    answers
}

/// Three targets, the first of which does this.
async fn before(a: Behaviour) -> Three {
    let a = Upstream::always(a).await;
    let b = Upstream::by(|call| fine(&call.body)).await;
    let c = Upstream::by(|call| fine(&call.body)).await;
    let gateway = Gateway::start(&config([a.address, b.address, c.address])).await;
    Three { ups: [a, b, c], gateway }
}
