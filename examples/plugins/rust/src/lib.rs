//! The server tool `gateway:checksum`, in Rust, and a hook that keeps oversized questions out.
use tidegate_sdk::prelude::*;

struct Checksum {
    longest_question: usize,
}

/// What the operator writes under `plugins.config.checksum`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Characters of the last message; no bound if left out.
    longest_question: Option<usize>,
}

/// What the model gives.
#[derive(Deserialize, JsonSchema)]
struct Text {
    /// The text whose CRC-32 is wanted.
    text: String,
}

impl Plugin for Checksum {
    type Config = Config;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest];

    fn new(config: Config) -> Result<Self> {
        match config.longest_question {
            Some(0) => Err(Problem::new("invalid_config", "`longest_question` is 0: give at least 1")),
            bound => Ok(Self { longest_question: bound.unwrap_or(usize::MAX) }),
        }
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![Tool::new("checksum", "Computes the CRC-32 of a text.", Self::checksum)]
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        // a pointer reads what it names and no more: the rest of the body stays with the gateway
        let question: Option<serde_json::Value> = request.get("/messages/-1/content")?;
        let length = question.as_ref().and_then(|content| content.as_str()).map_or(0, str::len);
        if length > self.longest_question {
            let most = self.longest_question;
            return Ok(Action::Deny(400, format!("the question has {length} bytes, at most {most}")));
        }
        Ok(Action::Next)
    }
}

impl Checksum {
    fn checksum(&self, input: Text, _: NoOptions) -> Result<String> {
        Ok(format!("{:08x}", crc32(input.text.as_bytes())))
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let shifted = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL } else { 0 };
    let step = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shifted(crc));
    !bytes.iter().fold(u32::MAX, step)
}

tidegate_sdk::export!(Checksum);

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_sdk::testing::MockHost;

    use super::*;

    #[test]
    fn a_text_has_its_checksum() {
        let sum = MockHost::new().call_tool::<Checksum>(
            "checksum",
            json!({"text": "123456789"}),
            json!({}),
        );
        assert_eq!(sum, Ok(json!("cbf43926")));
    }

    #[test]
    fn a_question_that_is_too_long_goes_no_further() {
        let host = MockHost::new().config(json!({"longest_question": 5}));
        let mut body = json!({"messages": [{"role": "user", "content": "too long"}]});
        let denied = host.on_request::<Checksum>(&mut body);
        let message = "the question has 8 bytes, at most 5".to_owned();
        assert_eq!(denied, Ok(Action::Deny(400, message)));
    }
}
