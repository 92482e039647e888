//! Token usage in responses: read for metering, added up over the turns of a tool loop.
use serde::Deserialize;
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
}

#[derive(Deserialize, Default)]
struct Fields {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<Writes>,
}

#[derive(Deserialize, Default)]
struct Writes {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

impl Usage {
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
        struct Outer {
            message: Option<Message>,
            usage: Option<Fields>,
        }
        let Ok(outer) = serde_json::from_slice::<Outer>(data) else { return };
        if let Some(new) = outer.usage.or(outer.message.and_then(|message| message.usage)) {
            self.take(new);
        }
    }

    /// Reads `usage` of a whole message that is known to be well-formed JSON. Does the same as
    /// [`Usage::update`], but does not parse the members before `usage`.
    pub fn update_whole(&mut self, message: &[u8]) {
        match last_usage(message) {
            Some(new) => self.take(new),
            None => self.update(message),
        }
    }

    fn take(&mut self, new: Fields) {
        let writes = new.cache_creation.unwrap_or_default();
        let fields = [
            (&mut self.cache_write_5m, writes.ephemeral_5m_input_tokens),
            (&mut self.cache_write_1h, writes.ephemeral_1h_input_tokens),
            (&mut self.input, new.input_tokens),
            (&mut self.output, new.output_tokens),
            (&mut self.cache_creation, new.cache_creation_input_tokens),
            (&mut self.cache_read, new.cache_read_input_tokens),
        ];
        for (field, value) in fields {
            *field = value.unwrap_or(*field);
        }
    }
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
