//! The rows of every kind of exchange, and their sums beside the upstream's own book.
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{file, report, rows, sums, total, written};
use crate::support::client::Ask;
use crate::support::gateway::{Gateway, looping};
use crate::support::turn;
use crate::support::upstream::{Behaviour, Call, Upstream, answer, broken, json as whole, stream};

/// The upstream's own book: the tokens of everything that it answered, and its price in nano-dollars.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Book {
    uncached: u64,
    write_5m: u64,
    write_1h: u64,
    read: u64,
    output: u64,
    nano: u64,
}

impl Book {
    /// Answers with the next amounts, and adds them up.
    fn usage(&mut self, n: u64) -> Value {
        let (uncached, write_5m, write_1h, read, output) = (1000 + n, 10 * n, 3 * n, 7 * n, 20 + n);
        self.uncached += uncached;
        self.write_5m += write_5m;
        self.write_1h += write_1h;
        self.read += read;
        self.output += output;
        // Opus 5.5: 4, 5, 8, 0.20 and 20 dollars for a million tokens
        self.nano +=
            4000 * uncached + 5000 * write_5m + 8000 * write_1h + 200 * read + 20_000 * output;
        json!({
            "input_tokens": uncached,
            "output_tokens": output,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": write_5m + write_1h,
            "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
        })
    }

    fn dollars(self) -> String {
        let text = format!("{}.{:09}", self.nano / 1_000_000_000, self.nano % 1_000_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    fn sums(self, requests: u64) -> Value {
        json!([
            requests,
            self.uncached,
            self.write_5m,
            self.write_1h,
            self.read,
            self.output,
            self.dollars(),
            0
        ])
    }
}

/// An upstream that answers by the text of the request: `whole`, `stream`, `cut`, `refuse`, `fail`, `tool`.
async fn bookkeeper(book: &Arc<Mutex<Book>>) -> Upstreams {
    let (book, at) = (Arc::clone(book), Mutex::new(0));
    Upstream::by(move |call: &Call| {
        let text = String::from_utf8_lossy(&call.body).into_owned();
        let mut at = at.lock().unwrap();
        *at += 1;
        let usage = || book.lock().unwrap().usage(*at);
        let mut message = turn::message(json!([turn::text("hello")]), "end_turn");
        let error = r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#;
        match text.as_str() {
            text if text.contains("refuse") => return Behaviour::Answer(whole(400, error)),
            text if text.contains("fail") && text.contains("bad-model") => {
                return Behaviour::Answer(whole(500, error));
            }
            text if text.contains("please tool") && !text.contains("tool_result") => {
                let call = turn::call("toolu_1", "gateway_datetime", json!({}));
                message = turn::message(json!([call]), "tool_use");
            }
            _ => {}
        }
        message["usage"] = usage();
        match text.as_str() {
            text if text.contains("cut") => {
                // the last report comes before the cut
                let frames = turn::frames(&message);
                let last = frames.len() - 1;
                Behaviour::Close(broken(&frames[..last]))
            }
            text if text.contains(r#""stream":true"#) => {
                Behaviour::Answer(stream(&turn::frames(&message)))
            }
            _ => Behaviour::Answer(answer(
                200,
                "content-type: application/json\r\n",
                message.to_string(),
            )),
        }
    })
    .await
}

type Upstreams = crate::support::upstream::Auto;

fn body(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}]})
}

/// Sends every kind of request with two keys: 14 exchanges and a wrong key. Returns the gateway and the book.
async fn mixed() -> (Gateway, Book) {
    let book = Arc::new(Mutex::new(Book::default()));
    let up = bookkeeper(&book).await;
    let opus = "{ provider: up, model: claude-opus-5-5 }";
    let gateway = looping(up.address)
        .model("claude-opus-5-5", opus)
        .model("pair", "{ targets: [{ provider: up, model: bad-model }, { provider: up, model: claude-opus-5-5 }] }")
        .policy("no", "fn on_request(request, ctx) { if request.model == \"denied\" { deny(\"not today\") } }")
        .config("ledger: {}")
        .config("keys:\n  - { name: ci, key: ci-key-0123456789, models: [\"claude-*\", pair, denied, m], tags: { team: ml, site: kiel } }\n  - { name: dev, key: dev-key-0123456789, tags: { team: web } }")
        .start()
        .await;
    let send = async |key: &str, body: &Value| {
        let ask = Ask::message(body.to_string()).header("x-api-key", key);
        ask.send(gateway.address).await.status
    };
    let (ci, dev) = ("ci-key-0123456789", "dev-key-0123456789");
    let mut streamed = body("claude-opus-5-5", "stream");
    streamed["stream"] = true.into();
    let mut cut = body("claude-opus-5-5", "cut");
    cut["stream"] = true.into();
    let mut tool = body("claude-opus-5-5", "please tool");
    tool["tools"] = json!([{"type": "gateway:datetime"}]);
    let kinds = [
        (body("claude-opus-5-5", "whole"), 200),
        (streamed, 200),
        (cut, 200),
        (tool, 200),
        (body("claude-opus-5-5", "refuse"), 400),
        (body("pair", "fail"), 200),
    ];
    let others = [
        (ci, body("denied", "hi"), 400),
        (ci, body("gpt-6", "hi"), 403),
        ("wrong-key-0123456789", body("claude-opus-5-5", "hi"), 401),
    ];
    let both = [ci, dev]
        .into_iter()
        .flat_map(|key| kinds.iter().map(move |(body, status)| (key, body.clone(), *status)));
    for (key, body, status) in both.chain(others) {
        assert_eq!(send(key, &body).await, status, "{body}");
    }
    written(&gateway, 14).await;
    let book = *book.lock().unwrap();
    (gateway, book)
}

#[tokio::test]
async fn the_sums_are_those_of_the_upstreams_own_book() {
    let (gateway, book) = mixed().await;
    assert_eq!(sums(&total(&gateway.file())), book.sums(14));
    let found = report(&gateway.file(), &["--by", "tag:team"]);
    let teams: Vec<_> = found["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["value"], &row["requests"]))
        .collect();
    assert_eq!(teams.len(), 2, "{found}");
    assert!(
        teams.contains(&(&json!("ml"), &json!(8))) && teams.contains(&(&json!("web"), &json!(6)))
    );
    for by in ["key", "model", "target", "day", "tag:team"] {
        let found = report(&gateway.file(), &["--by", by]);
        assert_eq!(sums(&found["total"]), book.sums(14), "{by}");
        let all: u64 = found["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["uncached"].as_u64().unwrap())
            .sum();
        assert_eq!(all, book.uncached, "{by}: {found}");
    }
    // an exchange with two tags is in two lines, and once in the total
    let found = report(&gateway.file(), &["--by", "tag"]);
    let all: u64 =
        found["rows"].as_array().unwrap().iter().map(|row| row["requests"].as_u64().unwrap()).sum();
    assert_eq!((all, sums(&found["total"])), (8 + 8 + 6, book.sums(14)));
}

#[tokio::test]
async fn every_kind_of_exchange_is_a_row_except_one_with_a_wrong_key() {
    let (gateway, _) = mixed().await;
    let ledger = file(gateway.folder());
    let kinds = "SELECT status, ending, attempts, coalesce(error, '') FROM exchange WHERE key = 'ci' ORDER BY 1, 2, 3, 4";
    let expected = [
        json!([200, "broken", 1, ""]),
        json!([200, "whole", 1, ""]),
        json!([200, "whole", 1, ""]),
        json!([200, "whole", 2, ""]),
        json!([200, "whole", 2, ""]),
        json!([400, "whole", 0, "invalid_request_error"]),
        json!([400, "whole", 1, "invalid_request_error"]),
        json!([403, "whole", 0, "permission_error"]),
    ];
    assert_eq!(rows(&ledger, kinds).await, expected);
    let tools = rows(&ledger, "SELECT tool, is_error FROM tool_call").await;
    assert_eq!(tools, [json!(["datetime", 0]), json!(["datetime", 0])]);
    let denied = rows(&ledger, "SELECT name, hook FROM stage WHERE outcome = 'denied'").await;
    assert_eq!(denied, [json!(["no", "on_request"])]);
}

#[tokio::test]
async fn a_caller_that_leaves_and_a_count_and_a_forwarded_route_are_rows() {
    let mut up = Upstream::start().await;
    let gateway =
        Gateway::with().upstream(up.address).config("ledger: {}\npassthrough: up").start().await;
    let open = Ask::message(body("claude-opus-5-5", "hi").to_string()).open(gateway.address);
    let call = tokio::select! {
        call = up.call() => call,
        _ = open => panic!("an answer before the upstream's"),
    };
    written(&gateway, 1).await;
    drop(call);
    let count = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let count = Ask::post("/v1/messages/count_tokens", count).send(gateway.address);
    let (found, ()) = tokio::join!(count, async {
        up.call().await.finish(whole(200, r#"{"input_tokens":5}"#)).await;
    });
    assert_eq!(found.status, 200);
    let files = Ask::get("/v1/files").send(gateway.address);
    let (found, ()) = tokio::join!(files, async { up.call().await.finish(whole(200, "{}")).await });
    assert_eq!(found.status, 200);
    written(&gateway, 3).await;
    let found = rows(
        &file(gateway.folder()),
        "SELECT operation, status, ending, cost_state, output, coalesce(route, ''), target FROM exchange ORDER BY id",
    )
    .await;
    let left = json!(["messages", 499, "caller_left", "estimated", 0, "", "up/claude-opus-5-5"]);
    let counted = json!(["count_tokens", 200, "whole", "priced", 0, "", "up/m"]);
    let forwarded = json!(["forward", 200, "whole", "priced", 0, "GET /v1/files", "up"]);
    assert_eq!(found, [left, counted, forwarded]);
}

#[tokio::test]
async fn the_cost_of_a_forwarded_post_is_unknown_and_counted_as_such() {
    let batch = r#"{"id":"msgbatch_1","type":"message_batch"}"#;
    let up = Upstream::by(move |call: &Call| {
        let is_bad = String::from_utf8_lossy(&call.body).contains("bad");
        Behaviour::Answer(whole(if is_bad { 400 } else { 200 }, batch))
    })
    .await;
    let gateway =
        Gateway::with().upstream(up.address).config("ledger: {}\npassthrough: up").start().await;
    let route = "/v1/messages/batches";
    for ask in [Ask::post(route, "{}"), Ask::post(route, "bad"), Ask::get(route)] {
        ask.send(gateway.address).await;
    }
    written(&gateway, 3).await;
    let found = rows(
        &file(gateway.folder()),
        "SELECT status, cost_state, cost_nano FROM exchange ORDER BY route DESC, status",
    )
    .await;
    let expected =
        [json!([200, "unmetered", null]), json!([400, "priced", 0]), json!([200, "priced", 0])];
    assert_eq!(found, expected);
    for by in ["day", "key", "target", "tag"] {
        let found = report(&gateway.file(), &["--by", by]);
        assert_eq!(sums(&found["total"]), json!([3, 0, 0, 0, 0, 0, "0", 1]), "{by}");
    }
}

#[tokio::test]
async fn an_unpriced_exchange_is_counted_beside_the_cost_of_the_others() {
    let usage = json!({"input_tokens": 30, "output_tokens": 12});
    let mut message = turn::message(json!([turn::text("hello")]), "end_turn");
    message["usage"] = usage;
    let up = Upstream::always(Behaviour::Answer(whole(200, &message.to_string()))).await;
    let gateway = Gateway::with().upstream(up.address).config("ledger: {}").start().await;
    for model in ["of-nobody", "claude-opus-5-5", "of-nobody"] {
        gateway.ask(&body(model, "hi")).await.message();
    }
    written(&gateway, 3).await;
    let found = report(&gateway.file(), &["--by", "model"]);
    assert_eq!(sums(&found["rows"][0]), json!([1, 30, 0, 0, 0, 12, "0.00036", 0]));
    assert_eq!(sums(&found["rows"][1]), json!([2, 60, 0, 0, 0, 24, "0", 2]));
    assert_eq!(sums(&found["total"]), json!([3, 90, 0, 0, 0, 36, "0.00036", 2]));
    assert_eq!(found["total"]["unpriced_tokens"], 84);
    let states = rows(
        &file(gateway.folder()),
        "SELECT cost_state, cost_nano FROM exchange ORDER BY cost_state, id",
    )
    .await;
    assert_eq!(
        states,
        [json!(["priced", 360_000]), json!(["unpriced", null]), json!(["unpriced", null])]
    );
}

#[tokio::test]
async fn the_user_is_stored_only_if_the_config_says_so() {
    let message = turn::message(json!([turn::text("hello")]), "end_turn").to_string();
    let up = Upstream::always(Behaviour::Answer(whole(200, &message))).await;
    for (config, user) in [("{}", Value::Null), ("{ user_id: true }", "jane".into())] {
        let gateway =
            Gateway::with().upstream(up.address).config(format!("ledger: {config}")).start().await;
        let mut body = body("m", "a secret question");
        body["metadata"] = json!({"user_id": "jane"});
        let ask = Ask::message(body.to_string()).header("x-claude-code-session-id", "s-1");
        assert_eq!(ask.header("x-api-key", "a-secret-key").send(gateway.address).await.status, 200);
        written(&gateway, 1).await;
        let ledger = file(gateway.folder());
        let found = rows(&ledger, "SELECT user_id, session FROM exchange").await;
        assert_eq!(found, [json!([user, "s-1"])]);
        let mut bytes = std::fs::read(&ledger).unwrap();
        bytes.extend(std::fs::read(ledger.with_extension("sqlite-wal")).unwrap());
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has("s-1") && !has("secret") && has("jane") == (user != Value::Null));
    }
}
