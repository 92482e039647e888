//! The server tool `gateway:image_generation`: an OpenAI-style images endpoint makes the image, and
//! the gateway keeps it.
mod answer;

use serde_json::{Map, Value, json};
use tidegate_sdk::prelude::*;

use crate::answer::Made;

/// The largest length of a prompt in characters, as for the endpoints. The tool rejects longer
/// prompts without a request.
const MAX_PROMPT: usize = 32_000;
/// The largest response in bytes: room for an image as base64 in JSON. The gateway's own limit is
/// lower.
const MAX_ANSWER: u32 = 32 << 20;
/// The time limit in milliseconds: images take a while.
const TIMEOUT_MS: u32 = 120_000;

/// The plugin.
#[derive(Debug)]
pub struct ImageGeneration {
    config: Config,
}

/// The operator's settings under `plugins.config.image-generation`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The endpoint: `https://api.openai.com/v1/images/generations`. Without one, the tool reports
    /// that it is unavailable.
    #[serde(default)]
    pub url: String,
    /// The key, sent as `Authorization: Bearer`; left out if empty.
    #[serde(default)]
    pub api_key: String,
    /// The model if a declaration names none.
    #[serde(default)]
    pub model: String,
    /// The other models that declarations may name, `*` for any.
    #[serde(default)]
    pub models: Vec<String>,
}

/// The model's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The content of the image: subject, setting, style, colours, and any words that it is to
    /// contain.
    prompt: String,
}

/// The settings that the declaration fixes; the model chooses only the prompt.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    model: Option<String>,
    size: Option<String>,
    quality: Option<String>,
    output_format: Option<Format>,
    /// Whether the calling model also receives the image, as an image block.
    #[serde(default)]
    show_model: bool,
}

/// The encoding of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/webp`
    Webp,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }
}

impl Plugin for ImageGeneration {
    type Config = Config;
    const WANTS: Wants = Wants::NOTHING.hosts(&["*"]).publish();

    fn new(config: Config) -> Result<Self> {
        let wrong = |message: &str| Err(Problem::new("invalid_config", message));
        if config.url.is_empty() {
            return Ok(Self { config });
        }
        if !config.url.starts_with("https://") && !config.url.starts_with("http://") {
            return wrong("`url` must begin with `https://` or `http://`");
        }
        if config.model.is_empty() {
            return wrong("`model` is empty: name the model that makes the images");
        }
        Ok(Self { config })
    }

    fn tools() -> Vec<Tool<Self>> {
        let description = "Makes an image from a description and tells the address where it can be \
            seen for a while. Show it to the user as a Markdown image with that address.";
        vec![Tool::new("image_generation", description, Self::generate)]
    }
}

impl ImageGeneration {
    fn generate(&self, input: Input, options: Options) -> Result<Blocks> {
        if self.config.url.is_empty() {
            let message = "no images endpoint is configured: `plugins.config.image-generation.url`";
            return Err(Problem::new("unavailable", message));
        }
        let prompt = input.prompt.trim();
        if prompt.is_empty() {
            return Err(Problem::invalid_input("`prompt` is empty: describe the image"));
        }
        if prompt.chars().count() > MAX_PROMPT {
            let message = format!("`prompt` has more than {MAX_PROMPT} characters: shorten it");
            return Err(Problem::invalid_input(message));
        }
        let asked = self.ask(prompt, &options)?;
        let mut request = http::post(&self.config.url).json(&asked)?;
        if !self.config.api_key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.config.api_key));
        }
        let response = request.max_bytes(MAX_ANSWER).timeout_ms(TIMEOUT_MS).send()?;
        let made = answer::read(&response)?;
        told(made, options.show_model)
    }

    fn ask(&self, prompt: &str, options: &Options) -> Result<Value> {
        let model = options.model.as_deref().unwrap_or(&self.config.model);
        let is_allowed = model == self.config.model
            || self.config.models.iter().any(|allowed| allowed == "*" || allowed == model);
        if !is_allowed {
            return Err(Problem::new(
                "invalid_options",
                format!("`model` is `{model}`, which the operator does not allow: leave it out"),
            ));
        }
        let mut asked = Map::new();
        asked.insert("model".to_owned(), model.into());
        asked.insert("prompt".to_owned(), prompt.into());
        asked.insert("n".to_owned(), 1.into());
        let pinned = [
            ("size", options.size.as_deref()),
            ("quality", options.quality.as_deref()),
            ("output_format", options.output_format.map(Format::as_str)),
        ];
        for (name, value) in pinned {
            if let Some(value) = value {
                asked.insert(name.to_owned(), value.into());
            }
        }
        Ok(Value::Object(asked))
    }
}

/// Returns the text for the model: the address of the image. The bytes of the image never become
/// text.
fn told(made: Made, show_model: bool) -> Result<Blocks> {
    let (url, media_type, source) = match made.image {
        answer::Image::At(url) => {
            let source = json!({"type": "url", "url": url});
            (url, None, source)
        }
        answer::Image::Bytes { media_type, bytes, base64 } => {
            let url = host::publish(media_type, &bytes)?;
            let source = json!({"type": "base64", "media_type": media_type, "data": base64});
            (url, Some(media_type), source)
        }
    };
    let mut text = Map::new();
    text.insert("url".to_owned(), url.into());
    if let Some(media_type) = media_type {
        text.insert("media_type".to_owned(), media_type.into());
    }
    if let Some(prompt) = made.revised_prompt {
        text.insert("revised_prompt".to_owned(), prompt.into());
    }
    let mut blocks = vec![json!({"type": "text", "text": Value::Object(text).to_string()})];
    if show_model {
        blocks.push(json!({"type": "image", "source": source}));
    }
    Ok(Blocks(blocks))
}

tidegate_sdk::export!(ImageGeneration);

#[cfg(test)]
mod tests;
