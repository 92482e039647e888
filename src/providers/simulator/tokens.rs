//! Plausible token counts, the same for the same request: four characters are a token.
use serde_json::Value;

/// The input tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Input {
    /// The tokens that are neither read from the cache nor written to it.
    pub fresh: u64,
    /// The tokens up to the last `cache_control`, in a new conversation; they live for 5 minutes.
    pub cache_creation_5m: u64,
    /// The same, for a lifetime of an hour.
    pub cache_creation_1h: u64,
    /// The tokens up to the last `cache_control`, in a continued conversation.
    pub cache_read: u64,
}

/// The tokens of an image or a document of any size.
const MEDIA_TOKENS: u64 = 1_500;

impl Input {
    /// Counts `tools`, `system` and `messages`, the order in which the API caches them.
    pub(crate) fn of(body: &Value) -> Self {
        let mut count = Count::default();
        for field in ["tools", "system", "messages"] {
            count.value(&body[field]);
        }
        count.mark(&body["cache_control"]);
        let goes_on = body["messages"]
            .as_array()
            .is_some_and(|list| list.iter().any(|message| message["role"] == "assistant"));
        let cached = of_characters(count.cached) + count.cached_media * MEDIA_TOKENS;
        let total = of_characters(count.characters).max(1) + count.media * MEDIA_TOKENS;
        let fresh = total.saturating_sub(cached);
        match (goes_on, count.is_hour) {
            (true, _) => Self { fresh, cache_read: cached, ..Self::default() },
            (false, true) => Self { fresh, cache_creation_1h: cached, ..Self::default() },
            (false, false) => Self { fresh, cache_creation_5m: cached, ..Self::default() },
        }
    }

    /// Returns the result of `count_tokens`.
    pub(crate) fn total(self) -> u64 {
        self.fresh + self.cache_creation() + self.cache_read
    }

    /// Returns `cache_creation_input_tokens`.
    pub(crate) fn cache_creation(self) -> u64 {
        self.cache_creation_5m + self.cache_creation_1h
    }
}

/// Returns the tokens of a text of `characters` characters.
pub(crate) fn of_characters(characters: usize) -> u64 {
    characters.div_ceil(4) as u64
}

#[derive(Default)]
struct Count {
    characters: usize,
    media: u64,
    /// The `characters` and `media` at the last `cache_control`.
    cached: usize,
    cached_media: u64,
    /// Whether its `ttl` is `1h`.
    is_hour: bool,
}

impl Count {
    /// Marks a breakpoint: everything so far is cached.
    fn mark(&mut self, control: &Value) {
        if !control.is_null() {
            self.cached = self.characters;
            self.cached_media = self.media;
            self.is_hour = control["ttl"] == "1h";
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.characters += text.chars().count(),
            Value::Array(list) => list.iter().for_each(|item| self.value(item)),
            Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "base64") => {
                self.media += 1;
            }
            Value::Object(fields) => {
                // `null` and an absent member are the same to the API
                let counts =
                    |(key, value): &(&String, &Value)| *key != "cache_control" && !value.is_null();
                for (_, value) in fields.iter().filter(counts) {
                    self.characters += 1;
                    self.value(value);
                }
                if let Some(control) = fields.get("cache_control") {
                    self.mark(control);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.characters += 1,
        }
    }
}
