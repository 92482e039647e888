//! Token usage in responses: read for metering, added up over the turns of a tool loop.
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The token counts for metering. Cache reads and writes are not part of `input`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// `input_tokens`
    pub input: u64,
    /// `output_tokens`
    pub output: u64,
    /// `cache_creation_input_tokens`
    pub cache_creation: u64,
    /// `cache_creation.ephemeral_5m_input_tokens`, a part of `cache_creation`
    pub cache_write_5m: u64,
    /// `cache_creation.ephemeral_1h_input_tokens`, a part of `cache_creation`
    pub cache_write_1h: u64,
    /// `cache_read_input_tokens`
    pub cache_read: u64,
    /// `output_tokens_details.thinking_tokens`, a part of `output`
    pub thinking: u64,
}

/// All that the `usage` of an answer says: the tokens, and the facts that decide their price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spent {
    /// The tokens of the whole answer.
    pub tokens: Usage,
    /// The way in which the upstream served the request.
    pub mode: Mode,
    /// The calls of the upstream's own server tools.
    pub calls: Calls,
    /// The model's runs inside of the answer. Where there are any, they replace `tokens` as the base of the price.
    pub iterations: Vec<Iteration>,
    /// `stop_reason`, beside `usage`: the reason for which the answer ended.
    pub stop: Option<Box<str>>,
}

/// The way in which an upstream served a request. Each fact may change the price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    /// `speed`
    pub speed: Speed,
    /// `service_tier`
    pub tier: Tier,
    /// `inference_geo`
    pub geo: Geo,
}

/// The facts about a service that one report names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Service {
    speed: Option<Speed>,
    tier: Option<Tier>,
    geo: Option<Geo>,
}

impl Service {
    /// Returns these facts, and the earlier ones where there is none.
    pub fn over(self, earlier: Mode) -> Mode {
        Mode {
            speed: self.speed.unwrap_or(earlier.speed),
            tier: self.tier.unwrap_or(earlier.tier),
            geo: self.geo.unwrap_or(earlier.geo),
        }
    }
}

/// The value of `usage.speed`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speed {
    /// `fast`
    Fast,
    /// Every other value.
    #[default]
    #[serde(other)]
    Standard,
}

/// The value of `usage.service_tier`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// `batch`
    Batch,
    /// `flex`
    Flex,
    /// `priority`
    Priority,
    /// Every other value.
    #[default]
    #[serde(other)]
    Standard,
}

/// The value of `usage.inference_geo`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Geo {
    /// `us`
    Us,
    /// Every other value.
    #[default]
    #[serde(other)]
    Global,
}

/// The calls of an upstream's own server tools: `usage.server_tool_use`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Calls {
    /// `web_search_requests`
    #[serde(rename = "web_search_requests", deserialize_with = "or_zero")]
    pub searches: u64,
    /// `web_fetch_requests`
    #[serde(rename = "web_fetch_requests", deserialize_with = "or_zero")]
    pub fetches: u64,
    /// `code_execution_requests`
    #[serde(rename = "code_execution_requests", deserialize_with = "or_zero")]
    pub code_runs: u64,
}

/// An entry of `usage.iterations`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Iteration {
    /// The model; `None` for the model of the request.
    pub model: Option<Box<str>>,
    /// The tokens of this run.
    pub tokens: Usage,
    /// The facts about its service that the entry itself names.
    pub service: Service,
}

#[derive(Deserialize, Default)]
struct Fields {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<Writes>,
    output_tokens_details: Option<OutputDetails>,
    speed: Option<Speed>,
    service_tier: Option<Tier>,
    inference_geo: Option<Geo>,
    server_tool_use: Option<Calls>,
    model: Option<Box<str>>,
    iterations: Option<Vec<Fields>>,
}

#[derive(Deserialize, Default)]
struct Writes {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

fn or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Spent {
    /// Reads `usage` of a message, of `message_start.message` or of `message_delta`.
    ///
    /// `data` is a whole message or a whole event. Later values overwrite earlier ones, field by
    /// field; absent fields and `null` keep the earlier value (messages-api.md 6.1). Unreadable data
    /// changes nothing: metering never breaks a stream.
    pub fn update(&mut self, data: &[u8]) {
        #[derive(Deserialize)]
        struct Message {
            usage: Option<Fields>,
        }
        #[derive(Deserialize)]
        struct Outer<'a> {
            message: Option<Message>,
            usage: Option<Fields>,
            #[serde(borrow)]
            delta: Option<&'a RawValue>,
            #[serde(borrow)]
            stop_reason: Option<&'a RawValue>,
        }
        let Ok(outer) = serde_json::from_slice::<Outer<'_>>(data) else { return };
        if let Some(new) = outer.usage.or(outer.message.and_then(|message| message.usage)) {
            self.take(new);
        }
        let delta = outer.delta.and_then(|delta| Stop::read(delta.get().as_bytes()));
        let stop = outer.stop_reason.and_then(text);
        self.stop = stop.or(delta.and_then(Stop::text)).or(self.stop.take());
    }

    /// Reads `usage` of a whole message that is known to be well-formed JSON. Does the same as
    /// [`Spent::update`], but does not parse the members before `usage`.
    pub fn update_whole(&mut self, message: &[u8]) {
        match last_usage(message) {
            Some(new) => {
                self.take(new);
                self.stop = last_stop(message).or(self.stop.take());
            }
            None => self.update(message),
        }
    }

    /// Returns the tokens that have a price: the sum of the iterations if there are any.
    pub fn billed(&self) -> Usage {
        match self.iterations.as_slice() {
            [] => self.tokens,
            all => all.iter().fold(Usage::default(), |sum, one| sum.plus(one.tokens)),
        }
    }

    /// Returns the same with this many more tokens read from the cache, first instead of writes, then instead of other
    /// input.
    pub(crate) fn reading(&self, tokens: u64) -> Self {
        let mut spent = self.clone();
        match spent.iterations.as_mut_slice() {
            [] => {
                spent.tokens.read_instead(tokens);
            }
            iterations => {
                iterations.iter_mut().fold(tokens, |left, one| one.tokens.read_instead(left));
            }
        }
        spent
    }

    fn take(&mut self, new: Fields) {
        self.tokens.take(&new);
        self.mode = new.service().over(self.mode);
        self.calls = new.server_tool_use.unwrap_or(self.calls);
        if let Some(iterations) = new.iterations {
            self.iterations = iterations.into_iter().map(Iteration::of).collect();
        }
    }
}

impl Iteration {
    fn of(fields: Fields) -> Self {
        let mut tokens = Usage::default();
        tokens.take(&fields);
        let service = fields.service();
        Self { model: fields.model, tokens, service }
    }
}

impl Fields {
    fn service(&self) -> Service {
        Service { speed: self.speed, tier: self.service_tier, geo: self.inference_geo }
    }
}

impl Usage {
    fn take(&mut self, new: &Fields) {
        let writes = new.cache_creation.as_ref();
        let details = new.output_tokens_details.as_ref();
        let fields = [
            (&mut self.cache_write_5m, writes.and_then(|writes| writes.ephemeral_5m_input_tokens)),
            (&mut self.cache_write_1h, writes.and_then(|writes| writes.ephemeral_1h_input_tokens)),
            (&mut self.input, new.input_tokens),
            (&mut self.output, new.output_tokens),
            (&mut self.cache_creation, new.cache_creation_input_tokens),
            (&mut self.cache_read, new.cache_read_input_tokens),
            (&mut self.thinking, details.and_then(|details| details.thinking_tokens)),
        ];
        for (field, value) in fields {
            *field = value.unwrap_or(*field);
        }
    }

    /// Moves tokens to those that were read from the cache. Returns the number of those that are left.
    fn read_instead(&mut self, tokens: u64) -> u64 {
        let hour = self.cache_write_1h.min(self.written());
        let minutes = self.written() - hour;
        let mut left = tokens;
        let mut take = |from: u64| {
            let taken = left.min(from);
            left -= taken;
            from - taken
        };
        let (minutes, hour) = (take(minutes), take(hour));
        self.input = take(self.input);
        (self.cache_write_5m, self.cache_write_1h) = (minutes, hour);
        self.cache_creation = minutes + hour;
        self.cache_read = self.cache_read.saturating_add(tokens - left);
        left
    }

    /// Returns all tokens of the prompt.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.written()).saturating_add(self.cache_read)
    }

    /// Returns the tokens that were written to the cache. Some upstreams name only the parts.
    pub fn written(&self) -> u64 {
        self.cache_creation.max(self.cache_write_5m.saturating_add(self.cache_write_1h))
    }
}

/// The most bytes of a stop reason: the API's own are shorter.
const MAX_STOP: usize = 64;

/// The member of an answer that says why it ended.
#[derive(Deserialize)]
struct Stop<'a> {
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
}

impl<'a> Stop<'a> {
    fn read(object: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(object).ok()
    }

    fn text(self) -> Option<Box<str>> {
        self.stop_reason.and_then(text)
    }
}

/// Returns a text of a length that is a name.
fn text(json: &RawValue) -> Option<Box<str>> {
    serde_json::from_str::<String>(json.get())
        .ok()
        .filter(|text| text.len() <= MAX_STOP)
        .map(Into::into)
}

/// Finds the stop reason of a message from its end. A member of the same name deeper in the message is none of it.
fn last_stop(message: &[u8]) -> Option<Box<str>> {
    let key = memchr::memmem::rfind(message, b"\"stop_reason\":")?;
    // the rest of the message's own level is an object by itself
    let rest = [b"{", &message[key..]].concat();
    Stop::read(&rest).or_else(|| Stop::read(message))?.text()
}

/// Finds the `usage` of a message from its end, its usual place. The text of a string cannot match the
/// key: a quote in a string has a backslash before it.
fn last_usage(message: &[u8]) -> Option<Fields> {
    let key = memchr::memmem::rfind(message, b"\"usage\":")?;
    let mut rest = serde_json::Deserializer::from_slice(&message[key + b"\"usage\":".len()..])
        .into_iter::<Fields>();
    let fields = rest.next()?.ok()?;
    let behind = &message[key + b"\"usage\":".len() + rest.byte_offset()..];
    // only the bracket of the message itself may still be open
    (behind.trim_ascii() == b"}").then_some(fields)
}

impl Usage {
    /// Returns the sum of two usages.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_creation: self.cache_creation.saturating_add(other.cache_creation),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            thinking: self.thinking.saturating_add(other.thinking),
        }
    }
}

/// Overwrites `usage` with that of a `message_delta`: its values are totals; `null` keeps the old value.
pub(crate) fn overwrite(usage: &mut Map<String, Value>, newer: &Map<String, Value>) {
    for (key, value) in newer {
        if !value.is_null() || !usage.contains_key(key) {
            usage.insert(key.clone(), value.clone());
        }
    }
}

/// Adds the usage of one more turn. Numbers add up, lists join, and any other value is replaced.
pub(crate) fn add(total: &mut Map<String, Value>, turn: &Map<String, Value>) {
    for (key, value) in turn {
        match (total.get_mut(key), value) {
            (Some(Value::Number(old)), Value::Number(new)) => {
                if let (Some(a), Some(b)) = (old.as_u64(), new.as_u64()) {
                    *old = a.saturating_add(b).into();
                }
            }
            (Some(Value::Object(old)), Value::Object(new)) => add(old, new),
            (Some(Value::Array(old)), Value::Array(new)) => old.extend(new.iter().cloned()),
            (Some(_), Value::Null) => {}
            (_, new) => {
                total.insert(key.clone(), new.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stop(read: impl FnOnce(&mut Spent)) -> Option<String> {
        let mut spent = Spent::default();
        read(&mut spent);
        spent.stop.map(Into::into)
    }

    #[test]
    fn the_stop_reason_is_that_of_the_message_itself() {
        let input = json!({"stop_reason": "of a tool", "usage": {"input_tokens": 9}});
        let block = json!({"type": "tool_use", "input": input});
        let text = json!({"type": "text", "text": "\"stop_reason\":\"no\""});
        let usage = json!({"output_tokens": 1});
        for (message, expected) in [
            (
                json!({"content": [block, text], "stop_reason": "tool_use", "usage": usage}),
                Some("tool_use"),
            ),
            (
                json!({"stop_reason": "end_turn", "content": [text, block], "usage": usage}),
                Some("end_turn"),
            ),
            (json!({"content": [block], "usage": usage}), None),
            (json!({"stop_reason": null, "usage": usage}), None),
            (json!({"stop_reason": {"x": 1}, "usage": usage}), None),
            (json!({"stop_reason": "x".repeat(MAX_STOP + 1), "usage": usage}), None),
            (
                json!({"usage": usage, "stop_reason": "refusal", "content": [block]}),
                Some("refusal"),
            ),
        ] {
            let text = message.to_string();
            let found = stop(|spent| spent.update_whole(text.as_bytes()));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        let start =
            json!({"type": "message_start", "message": {"stop_reason": null, "usage": usage}})
                .to_string();
        let delta = |reason| {
            json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage})
                .to_string()
        };
        let (first, last) = (delta(json!("max_tokens")), delta(Value::Null));
        let found = stop(|spent| {
            [start, first, last].iter().for_each(|event| spent.update(event.as_bytes()));
            assert_eq!(spent.tokens.output, 1);
        });
        assert_eq!(found.as_deref(), Some("max_tokens"));
    }
}
