//! Tests of the calls that reach outside a plugin, on the mock host: fetch, models, the store,
//! files.
use serde_json::{Value, json};
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::MockHost;

struct Reaching;

#[derive(Deserialize, JsonSchema)]
struct Name {
    name: String,
}

impl Plugin for Reaching {
    type Config = NoConfig;
    const WANTS: Wants = Wants::NOTHING
        .hosts(&["api.example.com", "*.example.org", "search.local:8080"])
        .models(&["fast", "claude-*"])
        .kv_bytes(16)
        .publish();

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![
            Tool::new("fetch", "Fetches.", |_: &Self, url: Name, _: NoOptions| {
                Ok(http::get(url.name).send()?.text().into_owned())
            }),
            Tool::new("ask", "Asks.", |_: &Self, model: Name, _: NoOptions| {
                Ok(Json(host::model_call(&json!({"model": model.name, "messages": []}))?))
            }),
            Tool::new("keep", "Keeps.", |_: &Self, value: Name, _: NoOptions| {
                host::kv_set("key", value.name.as_bytes(), Some(10))?;
                Ok("kept".to_owned())
            }),
            Tool::new("find", "Finds.", |_: &Self, key: Name, _: NoOptions| {
                let found = host::kv_get(&key.name).unwrap_or_default();
                Ok(String::from_utf8_lossy(&found).into_owned())
            }),
            Tool::new("publish", "Publishes.", |_: &Self, text: Name, _: NoOptions| {
                host::publish("text/plain", text.name.as_bytes())
            }),
        ]
    }
}

tidegate_sdk::export!(Reaching);

/// A plugin that requests no capability, but tries to use all of them.
struct Modest;

impl Plugin for Modest {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![Tool::new("try", "Tries.", |_: &Self, what: Name, _: NoOptions| {
            match what.name.as_str() {
                "fetch" => http::get("https://example.com").send().map(drop)?,
                "model" => host::model_call(&json!({"model": "fast"})).map(drop)?,
                "keep" => host::kv_set("key", b"", None)?,
                _ => host::publish("text/plain", b"").map(drop)?,
            }
            Ok(String::new())
        })]
    }
}

fn call(host: &MockHost, tool: &str, name: &str) -> Result<Value> {
    host.call_tool::<Reaching>(tool, json!({"name": name}), json!({}))
}

fn code(result: Result<Value>) -> String {
    result.expect_err("a problem").code
}

#[test]
fn the_manifest_names_the_capabilities_that_the_plugin_wants() {
    let manifest = MockHost::new().describe::<Reaching>().expect("a manifest");
    let expect = json!({
        "hosts": ["api.example.com", "*.example.org", "search.local:8080"],
        "models": ["fast", "claude-*"],
        "kv_bytes": 16,
        "publish": true,
    });
    assert_eq!(manifest["wants"], expect);
}

#[test]
fn a_host_that_the_manifest_does_not_want_is_not_granted() {
    let host =
        MockHost::new().on_fetch(|request| Ok(http::Response::new(200, request.url.as_str())));
    for url in [
        "https://api.example.com/a?b",
        "https://API.example.com",
        "http://deep.down.example.org:81/",
        "http://search.local:8080/q",
    ] {
        assert_eq!(call(&host, "fetch", url), Ok(json!(url)));
    }
    for url in [
        "https://example.com/",
        "https://example.org/",
        "https://api.example.com.evil.test/",
        "https://evil.test/?https://api.example.com",
        "https://api.example.com@evil.test/",
    ] {
        assert_eq!(code(call(&host, "fetch", url)), "not_granted", "{url}");
    }
}

#[test]
fn a_fetch_error_from_the_test_reaches_the_plugin_as_a_problem() {
    let host = MockHost::new()
        .on_fetch(|_| Err(Problem::new("timeout", "the server gave no answer within 3 s")));
    assert_eq!(code(call(&host, "fetch", "https://api.example.com")), "timeout");
    let silent = call(&MockHost::new(), "fetch", "https://api.example.com").unwrap_err();
    assert!(silent.message.contains("use `on_fetch`"), "{silent}");
}

#[test]
fn a_request_is_built_as_it_is_sent() {
    let host = MockHost::new().on_fetch(|request| {
        assert_eq!((request.method.as_str(), request.max_bytes), ("POST", Some(9)));
        assert_eq!((request.timeout_ms, request.body.as_deref()), (Some(5), Some(&b"[1]"[..])));
        let expect = [("accept", "text/html"), ("content-type", "application/json")];
        let sent = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert_eq!(sent.collect::<Vec<_>>(), expect);
        Ok(http::Response::new(404, r#"{"a": 1}"#).with_header("Server", "test"))
    });
    let answer = host.run(|| {
        let request = http::post("https://x.test").header("accept", "text/html").max_bytes(9);
        request.timeout_ms(5).json(&[1])?.send()
    });
    let answer = answer.expect("an answer");
    assert!(!answer.is_success());
    assert_eq!((answer.header("server"), answer.header("date")), (Some("test"), None));
    assert_eq!(answer.json::<Value>(), Ok(json!({"a": 1})));
    assert_eq!(answer.json::<Vec<u8>>().unwrap_err().code, "unavailable");
}

#[test]
fn a_model_that_the_manifest_does_not_want_is_not_granted() {
    let host = MockHost::new().on_model_call(|request| Ok(json!({"asked": request["model"]})));
    for alias in ["fast", "claude-x"] {
        let told = call(&host, "ask", alias).expect("an answer");
        assert_eq!(told, json!(json!({"asked": alias}).to_string()));
    }
    assert_eq!(code(call(&host, "ask", "slow")), "not_granted");
    let silent = call(&MockHost::new(), "ask", "fast").unwrap_err();
    assert!(silent.message.contains("use `on_model_call`"), "{silent}");
    let nameless = host.run(|| host::model_call(&json!({"messages": []})));
    assert_eq!(nameless.unwrap_err().code, "invalid_input");
}

#[test]
fn the_store_outlives_a_call_and_forgets_in_time() {
    let host = MockHost::new();
    assert_eq!(call(&host, "keep", "value"), Ok(json!("kept")));
    assert_eq!(call(&host, "find", "key"), Ok(json!("value")));
    let second = 1_000_000_000;
    assert_eq!(call(&host.clone().clock(9 * second), "find", "key"), Ok(json!("value")));
    assert_eq!(call(&host.clock(10 * second), "find", "key"), Ok(json!("")));
}

#[test]
fn the_store_has_the_room_that_the_manifest_wants() {
    let host = MockHost::new();
    assert_eq!(call(&host, "keep", "13 bytes long"), Ok(json!("kept")));
    // it replaces the other value, so there is room
    assert_eq!(call(&host, "keep", "and once more"), Ok(json!("kept")));
    assert_eq!(code(call(&host, "keep", "14 bytes  long")), "too_large");
    let full = MockHost::new().kept("other", b"four");
    assert_eq!(code(call(&full, "keep", "value")), "too_large");
    assert!(host.run(|| host::kv_remove("key")) && !host.run(|| host::kv_remove("key")));
}

#[test]
fn a_test_can_assert_on_published_files() {
    let host = MockHost::new();
    let address = call(&host, "publish", "hello").expect("an address");
    assert!(address.as_str().expect("text").starts_with("https://"), "{address}");
    assert_eq!(host.published(), [("text/plain".to_owned(), b"hello".to_vec())]);
}

#[test]
fn a_plugin_that_wants_nothing_reaches_nothing() {
    let host = MockHost::new()
        .on_fetch(|_| Ok(http::Response::new(200, "")))
        .on_model_call(|_| Ok(json!({})));
    for what in ["fetch", "model", "keep", "publish"] {
        let tried = host.call_tool::<Modest>("try", json!({"name": what}), json!({}));
        assert_eq!(code(tried), "not_granted", "{what}");
    }
}

/// An address with two redirects to a page, and an address with an endless redirect.
fn winding() -> MockHost {
    MockHost::new().on_fetch(|request| {
        let lead = |to: &str| Ok(http::Response::new(302, "moved").with_header("location", to));
        match (request.method.as_str(), request.url.as_str()) {
            ("POST", "https://a.test/x/one?q") => lead("two"),
            ("GET", "https://a.test/x/two") => lead("//b.test/y/three"),
            ("GET", "https://b.test/y/three") => lead("../z/./five?six#seven"),
            (_, "https://b.test/round") => lead("?again"),
            (_, "https://b.test/round?again") => lead("#part"),
            (_, "https://b.test/round?again#part") => lead("/round"),
            (_, url) => Ok(http::Response::new(200, url)),
        }
    })
}

#[test]
fn redirects_are_followed_as_far_as_the_plugin_wants() {
    let host = winding();
    let ask = |redirects: Option<u8>| {
        let request = http::Request { redirects, ..http::post("https://a.test/x/one?q") };
        host.run(|| request.send()).expect("an answer")
    };
    let end = ask(None);
    assert_eq!((end.status, end.location()), (200, None));
    assert_eq!(end.url, "https://b.test/z/five?six#seven");
    for (redirects, location) in [(0, "two"), (1, "//b.test/y/three"), (2, "../z/./five?six#seven")]
    {
        let told = ask(Some(redirects));
        assert_eq!((told.status, told.location()), (302, Some(location)));
    }
    let round = host.run(|| http::get("https://b.test/round").send()).unwrap_err();
    assert_eq!(round.code, "too_many_redirects");
    let sixth = host.run(|| http::get("https://b.test/round").redirects(200).send());
    assert_eq!(sixth.expect("an answer").status, 302);
}
