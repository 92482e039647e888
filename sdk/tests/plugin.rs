//! Tests of a whole plugin on the mock host.
use serde_json::{Value, json};
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{MockHost, logs};

#[derive(Debug)]
struct Sample {
    limit: u32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    limit: u32,
}

#[derive(Deserialize, JsonSchema)]
struct Inner {
    /// A depth.
    depth: u8,
}

#[derive(Deserialize, JsonSchema)]
struct Input {
    /// What to repeat.
    text: String,
    inner: Option<Inner>,
}

impl Plugin for Sample {
    type Config = Config;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest, Hook::OnResponse];

    fn new(config: Config) -> Result<Self> {
        Ok(Self { limit: config.limit })
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![
            Tool::new("repeat", "Repeats.", |_: &Self, input: Input, _: NoOptions| {
                host::log(host::Level::Info, "repeating");
                let depth = input.inner.map_or(0, |inner| inner.depth);
                Ok(Json(json!({"text": input.text, "depth": depth})))
            }),
            Tool::new("blocks", "Blocks.", |_: &Self, _: NoInput, _: NoOptions| {
                Ok(Blocks(vec![json!({"type": "text", "text": "a"})]))
            }),
        ]
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        let key: Option<String> = host::context("key")?;
        if key.as_deref() == Some("banned") {
            return Ok(Action::Deny(403, "not you".to_owned()));
        }
        request.set("/max_tokens", self.limit)?;
        request.set("/messages/-", json!({"role": "user", "content": "more"}))?;
        request.remove("/temperature");
        Ok(Action::Next)
    }
}

tidegate_sdk::export!(Sample);

#[test]
fn the_manifest_names_crate_hooks_and_tools() {
    let manifest = MockHost::new().describe::<Sample>().expect("a manifest");
    assert_eq!(manifest["name"], "tidegate-sdk");
    assert_eq!(manifest["hooks"], json!(["on-request", "on-response"]));
    let names: Vec<_> =
        manifest["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["repeat", "blocks"]);
}

#[test]
fn a_schema_is_one_object_without_references() {
    let manifest = MockHost::new().describe::<Sample>().expect("a manifest");
    let schema = &manifest["tools"][0]["input_schema"];
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["required"], json!(["text"]));
    assert_eq!(schema["properties"]["text"]["description"], "What to repeat.");
    let text = schema.to_string();
    assert!(
        !text.contains("$ref") && !text.contains("$schema") && text.contains("A depth."),
        "{text}"
    );
}

#[test]
fn a_config_that_does_not_fit_is_found_when_the_plugin_is_loaded() {
    let error = MockHost::new().config(json!({"limits": 1})).describe::<Sample>();
    let problem = error.expect_err("a problem");
    assert_eq!(problem.code, "invalid_config");
    assert!(problem.message.contains("unknown field `limits`"), "{problem}");
}

#[test]
fn a_tool_gets_typed_input_and_returns_content() {
    let host = MockHost::new();
    let input = json!({"text": "x", "inner": {"depth": 2}});
    let content = host.call_tool::<Sample>("repeat", input, json!({})).expect("content");
    let text: Value = serde_json::from_str(content.as_str().expect("text")).expect("JSON");
    assert_eq!(text, json!({"text": "x", "depth": 2}));
    let blocks = host.call_tool::<Sample>("blocks", json!({}), json!({})).expect("content");
    assert_eq!(blocks, json!([{"type": "text", "text": "a"}]));
}

#[test]
fn an_invalid_tool_call_returns_a_problem_with_a_code() {
    let code = |name, input, options| {
        MockHost::new().call_tool::<Sample>(name, input, options).expect_err("a problem").code
    };
    assert_eq!(code("repeat", json!({}), json!({})), "invalid_input");
    assert_eq!(code("repeat", json!({"text": ""}), json!({"x": 1})), "invalid_options");
    assert_eq!(code("nothing", json!({}), json!({})), "unknown_tool");
}

#[test]
fn a_hook_edits_the_document_and_knows_the_exchange() {
    let mut body = json!({"messages": [], "temperature": 1});
    let host = MockHost::new().config(json!({"limit": 9}));
    assert_eq!(host.on_request::<Sample>(&mut body), Ok(Action::Next));
    let expect = json!({"messages": [{"role": "user", "content": "more"}], "max_tokens": 9});
    assert_eq!(body, expect);

    let host = host.context(json!({"key": "banned"}));
    let denied = host.on_request::<Sample>(&mut body);
    assert_eq!(denied, Ok(Action::Deny(403, "not you".to_owned())));
}

#[test]
fn a_hook_that_is_not_written_goes_on() {
    let mut message = json!({"content": []});
    assert_eq!(MockHost::new().on_response::<Sample>(&mut message), Ok(Action::Next));
}

#[test]
fn a_pointer_behaves_as_it_does_in_the_gateway() {
    let mut value = json!({"a/b": {"~": 1}, "list": [1, 2], "7": true});
    let mut document = Document::mock(&mut value);
    assert_eq!(document.get("/a~1b/~0"), Ok(Some(1)));
    assert_eq!(document.get("/list/-1"), Ok(Some(2)));
    assert_eq!(document.get("/7"), Ok(Some(true)));
    assert_eq!(document.get::<u8>("/nowhere/at/all"), Ok(None));
    assert!(document.set("/nowhere/at", 1).is_err());
    assert!(document.get::<String>("/7").is_err());
    assert!(document.remove("/list/0") && !document.remove("/list/9"));
    assert_eq!(document.text("/list").as_deref(), Some("[2]"));
}

#[test]
fn log_lines_can_be_asserted_on() {
    let lines = MockHost::new().run(|| {
        host::log(host::Level::Warn, "a line");
        logs()
    });
    assert_eq!(lines, [(host::Level::Warn, "a line".to_owned())]);
    assert_eq!(MockHost::new().run(logs), []);
}
