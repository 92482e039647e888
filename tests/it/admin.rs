//! The admin API: each answer is checked against the OpenAPI document that the gateway itself serves.
mod changes;
mod drafts;
mod entrance;
mod exchanges;
mod generation;
mod key_ends;
mod key_limits;
mod keys;
mod overview;
mod playground;
mod prompts;
mod schema;
mod sessions;
mod status;
mod targets;
mod usage;
mod writes;

use serde_json::Value;

use crate::support::client::{Answer, Ask, Incoming};
use crate::support::gateway::Gateway;

/// A client of the admin API that checks every answer.
pub struct Api<'a> {
    gateway: &'a Gateway,
    document: Value,
    token: &'static str,
}

impl<'a> Api<'a> {
    /// Reads the document.
    pub async fn of(gateway: &'a Gateway) -> Self {
        Self::with_token(gateway, "").await
    }

    /// The same for a listener with a token.
    pub async fn with_token(gateway: &'a Gateway, token: &'static str) -> Self {
        let this = Self { gateway, document: Value::Null, token };
        let answer = this.ask("GET", "/api/openapi.json").send(gateway.admin).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self { document: answer.json(), ..this }
    }

    fn ask(&self, method: &'static str, path: &str) -> Ask {
        let ask = Ask::new(method, path).admin();
        match self.token {
            "" => ask,
            token => ask.header("authorization", &format!("Bearer {token}")),
        }
    }

    /// Sends a request, and checks the answer against the document.
    async fn send(&self, ask: Ask) -> Answer {
        let (method, path) = ask.line();
        let answer = ask.send(self.gateway.admin).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
        let expected = self.described(method, &path, answer.status);
        match expected {
            Some(schema) => {
                let found = schema::problems(&schema, &answer.json());
                let (status, text) = (answer.status, answer.text());
                assert!(found.is_empty(), "{method} {path} {status}: {found:#?}\n{text}");
            }
            None => assert!(answer.body.is_empty(), "{method} {path}: {}", answer.text()),
        }
        answer
    }

    /// Reads a path that must exist.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.send(self.ask("GET", path)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Reads a path, and returns the error.
    async fn get_error(&self, path: &str, status: u16) -> Value {
        let answer = self.send(self.ask("GET", path)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        answer.json()["error"].clone()
    }

    /// Writes with the current version of the resource at `of`.
    pub async fn write(&self, method: &'static str, path: &str, of: &str, body: &str) -> Answer {
        let current = self.send(self.ask("GET", of)).await;
        let tag = current.header("etag").unwrap_or_else(|| panic!("{of} has no etag")).to_owned();
        self.send(self.ask(method, path).header("if-match", &tag).with_body(body)).await
    }

    /// Opens a stream.
    async fn open(&self, path: &str) -> Incoming {
        self.ask("GET", path).open(self.gateway.admin).await
    }

    /// Returns the schema of an answer; `None` for an answer without a body.
    fn described(&self, method: &str, path: &str, status: u16) -> Option<Value> {
        let path = path.split('?').next().unwrap();
        let operation = self.operation(method, path);
        let responses = operation.as_ref().map(|it| &it["responses"]);
        let own = responses.and_then(|it| it.get(status.to_string()));
        let shared = &self.document["components"]["responses"]["Error"];
        let answer = own.unwrap_or(shared);
        assert!(own.is_some() || status >= 400, "{method} {path}: {status} is not described");
        answer.get("content").map(|content| content["application/json"]["schema"].clone())
    }

    fn operation(&self, method: &str, path: &str) -> Option<Value> {
        let fits = |template: &str| {
            let pairs = template.split('/').zip(path.split('/'));
            template.split('/').count() == path.split('/').count()
                && pairs.into_iter().all(|(own, sent)| own.starts_with('{') || own == sent)
        };
        let paths = self.document["paths"].as_object().unwrap();
        let mut fitting: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
        fitting.sort_by_key(|(template, _)| template.matches('{').count());
        fitting.first().and_then(|(_, it)| it.get(method.to_lowercase())).cloned()
    }
}
