//! The conversation so far as text, because the other model is not part of it and has none of its
//! tools.
use serde::Deserialize;
use serde_json::Value;

/// The largest number of characters of the text. It keeps the last ones: old turns matter least.
const MOST: usize = 200_000;
/// The largest number of characters of one call's input or result.
const MOST_OF_ONE: usize = 4_000;

/// The transcript as the gateway passes it.
#[derive(Debug, Default, Deserialize)]
pub struct Transcript {
    #[serde(default)]
    system: Value,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Value,
}

impl Transcript {
    /// Returns the text for the other model.
    pub fn told(&self) -> String {
        let mut lines = Vec::new();
        if let Some(system) = texts(&self.system) {
            lines.push(format!("system: {system}"));
        }
        for message in &self.messages {
            match &message.content {
                Value::Array(blocks) => {
                    lines.extend(blocks.iter().filter_map(|block| told(&message.role, block)));
                }
                content => lines.extend(texts(content).map(|text| line(&message.role, &text))),
            }
        }
        let told = lines.join("\n\n");
        let told = match told.char_indices().rev().nth(MOST - 1) {
            Some((start, _)) if start > 0 => {
                format!("[earlier parts are left out]\n{}", &told[start..])
            }
            _ => told,
        };
        format!("The conversation so far:\n<conversation>\n{told}\n</conversation>")
    }
}

fn line(role: &str, text: &str) -> String {
    format!("{role}: {text}")
}

/// Returns a block as text. The thinking of a model is private and left out.
fn told(role: &str, block: &Value) -> Option<String> {
    match block["type"].as_str()? {
        "text" => Some(line(role, block["text"].as_str()?)),
        "thinking" | "redacted_thinking" => None,
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let name = block["name"].as_str().unwrap_or("a tool");
            Some(format!("{role} calls `{name}` with {}", shortened(&block["input"].to_string())))
        }
        kind if kind.ends_with("tool_result") => {
            let said = texts(&block["content"]).unwrap_or_else(|| block["content"].to_string());
            Some(format!("the tool's result: {}", shortened(&said)))
        }
        kind => Some(line(role, &format!("[{kind}]"))),
    }
}

/// Returns a text, or the texts in a list of blocks.
fn texts(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => {
            let texts: Vec<String> = blocks.iter().filter_map(text_of).collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        }
        _ => None,
    }
}

/// Returns the text of a block in a result: a source with its name, and no bytes of an image.
fn text_of(block: &Value) -> Option<String> {
    let titled = |text: &str| match block["title"].as_str() {
        Some(title) => format!("{title}: {text}"),
        None => text.to_owned(),
    };
    match block["type"].as_str()? {
        "text" => block["text"].as_str().map(ToOwned::to_owned),
        "search_result" => {
            let text = titled(&texts(&block["content"]).unwrap_or_default());
            Some(format!("{} {text}", block["source"].as_str().unwrap_or_default()))
        }
        "document" => match block["source"]["data"].as_str() {
            Some(text) if block["source"]["type"] == "text" => Some(titled(text)),
            _ => Some(titled("[document]")),
        },
        "image" => Some("[image]".to_owned()),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_OF_ONE) {
        Some((end, _)) => format!("{} […]", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told_of(transcript: Value) -> String {
        serde_json::from_value::<Transcript>(transcript).expect("a transcript").told()
    }

    #[test]
    fn the_transcript_describes_blocks_in_words_and_leaves_out_thinking() {
        let told = told_of(json!({
            "system": [{"type": "text", "text": "be kind"}],
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "secret", "signature": "s"},
                    {"type": "text", "text": "one moment"},
                    {"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Paris"}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "sunny"}]},
                    {"type": "image", "source": {}},
                ]},
            ],
        }));
        let lines: Vec<&str> = told.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(
            lines,
            [
                "The conversation so far:",
                "<conversation>",
                "system: be kind",
                "user: hi",
                "assistant: one moment",
                "assistant calls `weather` with {\"city\":\"Paris\"}",
                "the tool's result: sunny",
                "user: [image]",
                "</conversation>",
            ]
        );
    }

    #[test]
    fn the_transcript_names_the_sources_of_a_result_and_leaves_out_image_bytes() {
        let told = told_of(json!({"messages": [
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": [
                {"type": "search_result", "source": "https://a.test/", "title": "Tides", "content": [{"type": "text", "text": "twice a day"}]},
                {"type": "document", "title": "A page", "source": {"type": "text", "media_type": "text/plain", "data": "all of it"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ]}]},
        ]}));
        let result =
            "the tool's result: https://a.test/ Tides: twice a day\nA page: all of it\n[image]";
        assert!(told.contains(result), "{told}");
    }

    #[test]
    fn a_long_transcript_loses_its_beginning_and_a_long_result_its_end() {
        let long = "é".repeat(MOST);
        let told = told_of(json!({"messages": [
            {"role": "user", "content": long},
            {"role": "user", "content": [{"type": "tool_result", "content": "x".repeat(MOST_OF_ONE + 1)}]},
        ]}));
        assert!(told.contains("[earlier parts are left out]"));
        assert!(told.ends_with("x […]\n</conversation>"));
        assert!(told.chars().count() < MOST + 200);
    }
}
