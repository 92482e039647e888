//! Clients with a signed token of an OpenID Connect issuer. The sixteen pitfalls are those of operate.md 6.1.
mod clients;
mod fetches;
mod pitfalls;

use serde_json::Value;

use crate::support::client::{Answer, Ask};
use crate::support::gateway::Gateway;
use crate::support::issuer::Issuer;
use crate::support::upstream::{Auto, Behaviour, Upstream, json as whole};
use crate::support::{ANSWER, MESSAGE};

/// A gateway, and the upstream that it calls.
struct Fixture {
    gateway: Gateway,
    up: Auto,
}

impl Fixture {
    /// With one issuer; `more` are further keys of its entry.
    async fn of(issuer: &Issuer, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        Self::with(&format!(
            "jwt: [{{ issuer: \"{}\", audience: tidegate{comma}{more} }}]",
            issuer.url()
        ))
        .await
    }

    /// With these lines of the config.
    async fn with(config: &str) -> Self {
        let up = Upstream::always(Behaviour::Answer(whole(200, ANSWER))).await;
        let gateway = Gateway::with().upstream(up.address).config(config).start().await;
        Self { gateway, up }
    }

    async fn ask(&self, token: &str) -> Answer {
        let asked = Ask::message(MESSAGE).header("authorization", &format!("Bearer {token}"));
        asked.send(self.gateway.address).await
    }

    /// Asks with a token that must count.
    async fn accepts(&self, token: &str) {
        let answer = self.ask(token).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Asks with a token that must not count. Returns the reason.
    async fn refuses(&self, token: &str) -> String {
        let answer = self.ask(token).await;
        let message = answer.refusal(401, "authentication_error");
        assert_eq!(answer.header("x-should-retry"), Some("false"));
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!message.contains(part), "{message}");
        }
        message
    }
}

/// The policy that answers with the facts about the client.
const SHOW: &str = "fn on_request(request, ctx) { let all = ctx.key; for tag in ctx.tags.keys() { all += \" \" + tag + \"=\" + ctx.tags[tag]; } respond(all); }";

/// The text of an answer.
fn said(answer: &Answer) -> String {
    let message: Value = answer.message();
    message["content"][0]["text"].as_str().unwrap_or_default().to_owned()
}
