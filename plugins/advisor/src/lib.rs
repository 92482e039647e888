//! The server tool `gateway:advisor`: the advice of another model, called through the gateway
//! itself.
mod transcript;

use serde_json::{Value, json};
use tidegate_sdk::prelude::*;

use crate::transcript::Transcript;

/// The system prompt of the other model, unless the declaration has its own.
const INSTRUCTIONS: &str = "You advise another model that is at work on a task. It asks you once \
    and cannot ask back. Say what it should do and why, in plain words; name what you are not sure of.";

/// The plugin.
pub struct Advisor {
    config: Config,
}

/// The operator's settings under `plugins.config.advisor`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The alias of the adviser if a declaration names none. If left out too: the caller's own
    /// model.
    pub model: Option<String>,
}

/// The model's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The question, with everything that the adviser needs to know to answer it.
    prompt: String,
}

/// The limits in the declaration.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The alias of the adviser.
    model: Option<String>,
    /// The system prompt of the adviser.
    instructions: Option<String>,
    /// The largest number of uses; the gateway enforces it.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    #[expect(dead_code, reason = "the gateway counts; the schema tells it of default and bound")]
    max_uses: u32,
    /// The largest number of tokens of the advice.
    #[serde(default = "usual_tokens")]
    #[schemars(range(min = 1, max = 32_000))]
    max_tokens: u32,
    /// Whether the adviser also reads the conversation so far.
    #[serde(default)]
    forward_transcript: bool,
    /// The conversation so far. The gateway adds it if `forward_transcript` is set; a caller cannot
    /// set it.
    #[schemars(skip)]
    transcript: Option<Transcript>,
}

fn one() -> u32 {
    1
}

fn usual_tokens() -> u32 {
    1400
}

impl Plugin for Advisor {
    type Config = Config;
    const WANTS: Wants = Wants::NOTHING.models(&["*"]);

    fn new(config: Config) -> Result<Self> {
        match config.model.as_deref() {
            Some("") => Err(Problem::new("invalid_config", "`model` is empty: name an alias")),
            _ => Ok(Self { config }),
        }
    }

    fn tools() -> Vec<Tool<Self>> {
        let description = "Asks another model for advice on a question. Use it before a decision that is \
            hard to take back, or when you are stuck. Give everything that is needed to answer in `prompt`.";
        vec![Tool::new("advisor", description, Self::advise)]
    }
}

impl Advisor {
    fn advise(&self, input: Input, options: Options) -> Result<String> {
        if input.prompt.trim().is_empty() {
            return Err(Problem::invalid_input("`prompt` is empty: ask a question"));
        }
        let transcript = options.transcript.filter(|_| options.forward_transcript);
        let answer = host::model_call(&json!({
            "model": self.model(options.model)?,
            "max_tokens": options.max_tokens,
            "system": options.instructions.as_deref().unwrap_or(INSTRUCTIONS),
            "messages": [{"role": "user", "content": content(&input.prompt, transcript)}],
        }))?;
        advice(&answer)
    }

    fn model(&self, declared: Option<String>) -> Result<String> {
        if let Some(model) = declared.or_else(|| self.config.model.clone()) {
            return Ok(model);
        }
        host::context("model")?
            .ok_or_else(|| Problem::new("invalid_options", "no model is named: give `model`"))
    }
}

/// Returns the text for the adviser. The conversation is first and the question last, because a
/// model heeds the end most.
fn content(prompt: &str, transcript: Option<Transcript>) -> String {
    match transcript {
        None => prompt.to_owned(),
        Some(transcript) => format!("{}\n\n{prompt}", transcript.told()),
    }
}

fn advice(answer: &Value) -> Result<String> {
    let blocks = answer["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = blocks
        .iter()
        .filter(|block| block["type"] == "text")
        .filter_map(|block| block["text"].as_str())
        .collect();
    let advice = texts.join("");
    let reason = answer["stop_reason"].as_str().unwrap_or("unknown");
    match (advice.trim().is_empty(), reason) {
        (true, _) => Err(Problem::unavailable(format!(
            "the other model gave no text (stop_reason `{reason}`): go on without it"
        ))),
        (false, "max_tokens") => Ok(format!("{advice}\n\n[the advice was cut off here]")),
        (false, _) => Ok(advice),
    }
}

tidegate_sdk::export!(Advisor);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tidegate_sdk::testing::MockHost;

    use super::*;

    fn message(text: &str, reason: &str) -> Value {
        json!({"type": "message", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": text},
        ], "stop_reason": reason})
    }

    /// Returns the model request, and the result of the tool.
    fn call(host: MockHost, options: Value, answer: Result<Value>) -> (Value, Result<Value>) {
        let asked = Rc::new(RefCell::new(Value::Null));
        let seen = Rc::clone(&asked);
        let host = host.on_model_call(move |request| {
            *seen.borrow_mut() = request.clone();
            answer.clone()
        });
        let input = json!({"prompt": "tea or coffee?"});
        let said = host.call_tool::<Advisor>("advisor", input, options);
        (asked.take(), said)
    }

    #[test]
    fn the_text_of_the_other_model_is_returned_as_the_advice() {
        let options = json!({"model": "wise", "instructions": "Be brief.", "max_tokens": 90});
        let (asked, said) = call(MockHost::new(), options, Ok(message("tea", "end_turn")));
        assert_eq!(
            asked,
            json!({
                "model": "wise", "max_tokens": 90, "system": "Be brief.",
                "messages": [{"role": "user", "content": "tea or coffee?"}],
            })
        );
        assert_eq!(said, Ok(json!("tea")));
    }

    #[test]
    fn the_advisor_defaults_to_the_model_of_the_operator_and_then_of_the_request() {
        let host = MockHost::new().context(json!({"model": "mine"}));
        let (asked, _) = call(host.clone(), json!({}), Ok(message("tea", "end_turn")));
        assert_eq!((&asked["model"], &asked["max_tokens"]), (&json!("mine"), &json!(1400)));
        assert_eq!(asked["system"], INSTRUCTIONS);
        let host = host.config(json!({"model": "theirs"}));
        let (asked, _) = call(host, json!({}), Ok(message("tea", "end_turn")));
        assert_eq!(asked["model"], "theirs");
        let (_, said) = call(MockHost::new(), json!({}), Ok(message("tea", "end_turn")));
        assert_eq!(said.expect_err("no model").code, "invalid_options");
    }

    #[test]
    fn the_transcript_stands_before_the_question() {
        let transcript =
            json!({"system": "be kind", "messages": [{"role": "user", "content": "hi"}]});
        let options = json!({"model": "m", "forward_transcript": true, "transcript": transcript});
        let (asked, _) = call(MockHost::new(), options, Ok(message("tea", "end_turn")));
        let content = asked["messages"][0]["content"].as_str().expect("text");
        assert!(
            content.contains("user: hi") && content.ends_with("\n\ntea or coffee?"),
            "{content}"
        );
    }

    #[test]
    fn incomplete_or_failed_advice_is_reported_to_the_model() {
        let options = json!({"model": "m"});
        let (_, said) = call(MockHost::new(), options.clone(), Ok(message("te", "max_tokens")));
        assert_eq!(said, Ok(json!("te\n\n[the advice was cut off here]")));
        let (_, said) = call(MockHost::new(), options.clone(), Ok(message(" ", "refusal")));
        assert!(said.expect_err("no text").message.contains("stop_reason `refusal`"));
        let busy = Problem::new("overloaded_error", "Overloaded");
        let (_, said) = call(MockHost::new(), options, Err(busy.clone()));
        assert_eq!(said, Err(busy));
        let said =
            MockHost::new().call_tool::<Advisor>("advisor", json!({"prompt": " "}), json!({}));
        assert_eq!(said.expect_err("no question").code, "invalid_input");
    }

    #[test]
    fn the_manifest_bounds_the_options_of_callers() {
        let manifest = MockHost::new().describe::<Advisor>().expect("a manifest");
        assert_eq!(manifest["wants"]["models"], json!(["*"]));
        let schema = &manifest["tools"][0]["options_schema"];
        assert_eq!(schema["properties"]["max_uses"]["default"], 1);
        assert_eq!(schema["properties"]["transcript"], Value::Null);
        assert_eq!(schema["additionalProperties"], false);
        let empty = MockHost::new().config(json!({"model": ""})).describe::<Advisor>();
        assert_eq!(empty.expect_err("an empty name").code, "invalid_config");
    }
}
