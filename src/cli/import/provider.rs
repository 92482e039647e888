//! The provider of one deployment: `litellm_params` to an entry of `providers:`.
use serde_json::{Map, Value};

use crate::cli::import::node::{Node, Tree};
use crate::cli::import::notes::{Near, Notes, Origin, Spot};
use crate::cli::import::section::{ADDRESS, Field, Section, Text, escaped};
use crate::cli::import::vendors::{Kind, Vendor};

/// Words that people write where a server needs no key.
const NO_KEY: [&str; 10] =
    ["", "none", "null", "empty", "dummy", "fake", "fake-key", "no-key", "not-needed", "anything"];

/// An entry of `providers:` that a deployment needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Provider {
    /// The wanted name.
    pub(super) name: String,
    pub(super) settings: Map<String, Value>,
}

/// A deployment's provider, and its model there.
pub(super) struct Made {
    pub(super) provider: Provider,
    pub(super) model: String,
}

/// Makes the provider of a deployment.
pub(super) struct Maker<'n, 's, 'a> {
    pub(super) notes: &'n Notes,
    pub(super) near: Near,
    pub(super) vendor: &'static Vendor,
    /// `litellm_params`.
    pub(super) params: &'s mut Section<'a>,
    /// `model_info.base_model`, which tells the family of a deployment with a name of its own.
    pub(super) base_model: Option<String>,
}

impl Maker<'_, '_, '_> {
    /// Makes the entry for a model, which has no prefix of a vendor.
    ///
    /// Fails with the reason, and the nearest thing in Tidegate.
    pub(super) fn make(mut self, model: &str) -> Result<Made, String> {
        let mut made = match self.vendor.kind {
            Kind::Messages => self.messages(model),
            Kind::OpenAi => self.openai(model),
            Kind::Chat => self.chat(model),
            Kind::Azure => self.azure(model),
            Kind::AzureAi => self.azure_ai(model),
            Kind::Bedrock => self.bedrock(model)?,
            Kind::Vertex => self.vertex(model)?,
            Kind::Gemini => self.gemini(model),
        };
        let mut headers = self.headers();
        if let Some(Value::Object(own)) = made.provider.settings.remove("headers") {
            headers.extend(own);
        }
        if !headers.is_empty() {
            made.provider.settings.insert("headers".to_owned(), headers.into());
        }
        Ok(made)
    }

    fn made(&self, kind: &str, model: &str) -> Made {
        let settings = Map::from_iter([("type".to_owned(), Value::from(kind))]);
        let provider = Provider { name: self.vendor.name.to_owned(), settings };
        Made { provider, model: model.to_owned() }
    }

    fn messages(&mut self, model: &str) -> Made {
        let mut made = self.made("anthropic", model);
        let address = self.address();
        let is_own = address.is_none() && self.vendor.base.is_none();
        let is_named = address.is_some();
        let base = match address {
            Some((Text::Literal(url), _)) if !url.contains(['@', '?']) => {
                let url = url.trim_end_matches('/');
                let url = url.strip_suffix("/messages").unwrap_or(url);
                Some(escaped(url.strip_suffix("/v1").unwrap_or(url)))
            }
            Some((url, spot)) => Some(url.address(self.notes, &spot)),
            None => self.vendor.base.map(str::to_owned),
        };
        let needs_key = is_own || self.vendor.base.is_some();
        if is_named {
            made.name_after(base.as_deref().unwrap_or_default());
        }
        made.set("api_key", self.key(needs_key, &made));
        made.set("base_url", base);
        made
    }

    fn openai(&mut self, model: &str) -> Made {
        let (model, api) = match model.strip_prefix("responses/") {
            Some(rest) => (rest, Some("responses")),
            None => (model, None),
        };
        let mut made = self.made("openai", model);
        let address = self.address();
        let base = address.map(|(url, spot)| url.address(self.notes, &spot));
        made.name_after(base.as_deref().unwrap_or_default());
        made.set("api_key", self.key(base.is_none(), &made));
        made.set("base_url", base.map(|url| url.trim_end_matches('/').to_owned()));
        made.set("api", api.map(str::to_owned));
        made
    }

    fn chat(&mut self, model: &str) -> Made {
        let mut made = self.made("openai", model);
        let is_ollama = self.vendor.name == "ollama";
        let own = self.address().map(|(url, spot)| url.address(self.notes, &spot));
        let own = own.map(|url| url.trim_end_matches('/').to_owned());
        let own = own.map(|url| match is_ollama && !url.ends_with("/v1") {
            true => format!("{url}/v1"),
            false => url,
        });
        let base =
            own.or_else(|| self.vendor.base.filter(|base| !base.is_empty()).map(str::to_owned));
        made.set("api_key", self.key(true, &made));
        made.set("base_url", base);
        made.set("flavor", self.vendor.flavor.map(str::to_owned));
        made
    }

    fn azure(&mut self, model: &str) -> Made {
        let (model, is_responses) = match model.strip_prefix("responses/") {
            Some(rest) => (rest, true),
            None => (model, false),
        };
        let mut made = self.made("openai", model);
        let version = self.params.text("api_version");
        let version =
            version.map(|(text, spot)| text.plain(self.notes, "2025-04-01-preview", &spot));
        let version =
            version.filter(|version| !["preview", "latest", "v1"].contains(&version.as_str()));
        let base = self.azure_base();
        made.name_after(&base);
        let is_whole = base.contains("/openai/");
        let base = match (&version, is_whole || is_responses) {
            (_, _) if is_whole => base,
            (Some(_), false) if model.contains('*') => format!("{base}/openai/v1"),
            (Some(_), false) => format!("{base}/openai/deployments/{model}"),
            _ => format!("{base}/openai/v1"),
        };
        let is_classic = base.contains("/deployments/");
        let api = if is_responses { "responses" } else { "chat" };
        made.azure_credentials(self);
        let flavor = azure_flavor(&base);
        made.set("base_url", Some(base));
        made.set("api_version", version.filter(|_| is_classic));
        made.set("flavor", flavor);
        made.set("api", Some(api.to_owned()));
        made
    }

    /// Returns the address of a resource without a `/` at its end.
    fn azure_base(&mut self) -> String {
        let Some((url, spot)) = self.address() else { return ADDRESS.to_owned() };
        if url.literal().is_none() {
            let text = "the address is followed by a path here: the variable must not end with `/`";
            self.notes.changed(&spot, self.near.clone(), text);
        }
        url.address(self.notes, &spot).trim_end_matches('/').to_owned()
    }

    fn azure_ai(&mut self, model: &str) -> Made {
        let is_claude = self.is_claude(model);
        let mut made = self.made(if is_claude { "foundry" } else { "openai" }, model);
        let base = self.azure_base();
        made.name_after(&base);
        if !is_claude {
            let has_path = base.contains("/openai/") || base.ends_with("/v1");
            let base = if has_path { base } else { format!("{base}/openai/v1") };
            made.azure_credentials(self);
            made.set("flavor", azure_flavor(&base));
            made.set("base_url", Some(base));
            made.set("api", Some("chat".to_owned()));
            return made;
        }
        let base = base.trim_end_matches("/messages").trim_end_matches("/v1");
        let base = match base.ends_with("/anthropic") {
            true => base.to_owned(),
            false => format!("{base}/anthropic"),
        };
        made.set("base_url", Some(base));
        match self.entra() {
            Some(entra) => {
                made.provider.settings.insert("entra".to_owned(), entra.into());
            }
            None => made.set("api_key", self.key(true, &made)),
        }
        made
    }

    /// Returns the application of Microsoft Entra ID, if the deployment names one and has no key.
    fn entra(&mut self) -> Option<Map<String, Value>> {
        if self.params.has("api_key") || !self.params.has("tenant_id") {
            return None;
        }
        let mut entra = Map::new();
        for (theirs, ours) in [("tenant_id", "tenant"), ("client_id", "client_id")] {
            let (text, spot) = self.params.text(theirs)?;
            entra.insert(ours.to_owned(), text.plain(self.notes, "placeholder", &spot).into());
        }
        let (secret, spot) = self.params.text("client_secret")?;
        let secret = secret.secret(self.notes, "AZURE_CLIENT_SECRET", &spot);
        entra.insert("client_secret".to_owned(), secret.into());
        if let Some((scope, spot)) = self.params.text("azure_scope") {
            let scope = scope.plain(self.notes, "https://ai.azure.com/.default", &spot);
            entra.insert("scope".to_owned(), scope.into());
        }
        Some(entra)
    }

    fn bedrock(&mut self, model: &str) -> Result<Made, String> {
        let routes = ["converse/", "invoke/", "converse_like/"];
        let model = routes.iter().find_map(|route| model.strip_prefix(route)).unwrap_or(model);
        let (in_path, model) = match model.split_once('/') {
            Some((region, rest)) if is_region(region) => (Some(region), rest),
            _ => (None, model),
        };
        if !self.is_claude(model) {
            return Err("`type: bedrock` serves Claude only; the nearest is `type: openai` at Bedrock's endpoint for \
                        OpenAI's API (`https://bedrock-runtime.REGION.amazonaws.com/openai/v1`) with an API key of \
                        Bedrock, for the models that it has. An ARN of Claude needs `model_info.base_model` with \
                        `claude` in it"
                .to_owned());
        }
        let mut made = self.made("bedrock", model);
        let own = self.params.text("aws_region_name");
        let general = self.params.text("region_name");
        let region = match (own.or(general), in_path) {
            (Some((text, spot)), _) => text.plain(self.notes, "us-east-1", &spot),
            (None, Some(region)) => region.to_owned(),
            (None, None) => self.implied("aws_region_name", "AWS_REGION", "us-west-2"),
        };
        if is_region(&region) {
            made.provider.name = format!("bedrock-{region}");
        }
        made.set("region", Some(region));
        let base = self
            .params
            .text("aws_bedrock_runtime_endpoint")
            .or_else(|| self.params.text("api_base"));
        made.set("base_url", base.map(|(url, spot)| url.address(self.notes, &spot)));
        match self.params.text("api_key") {
            Some((key, spot)) => {
                let key = key.secret(self.notes, "AWS_BEARER_TOKEN_BEDROCK", &spot);
                made.set("api_key", Some(key));
            }
            None => {
                let credentials = self.aws_credentials();
                made.provider.settings.insert("credentials".to_owned(), credentials);
            }
        }
        Ok(made)
    }

    fn aws_credentials(&mut self) -> Value {
        let secrets = [
            ("aws_access_key_id", "access_key_id", "AWS_ACCESS_KEY_ID"),
            ("aws_secret_access_key", "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("aws_session_token", "session_token", "AWS_SESSION_TOKEN"),
        ];
        let mut credentials = Map::new();
        for (theirs, ours, variable) in secrets {
            if let Some((text, spot)) = self.params.text(theirs) {
                let value = text.secret(self.notes, variable, &spot);
                credentials.insert(ours.to_owned(), value.into());
            }
        }
        if credentials.contains_key("access_key_id")
            && credentials.contains_key("secret_access_key")
        {
            return credentials.into();
        }
        match self.params.text("aws_profile_name") {
            Some((text, spot)) => {
                let profile = text.plain(self.notes, "placeholder", &spot);
                Map::from_iter([("profile".to_owned(), Value::from(profile))]).into()
            }
            None => "default".into(),
        }
    }

    fn vertex(&mut self, model: &str) -> Result<Made, String> {
        let is_gemini = model.starts_with("gemini");
        if !is_gemini && !self.is_claude(model) {
            return Err("only Claude (`type: vertex`) and Gemini (`type: gemini`) are called on Vertex AI; the nearest \
                        is `type: openai` at the address of the model's own server"
                .to_owned());
        }
        let project =
            self.params.text("vertex_project").or_else(|| self.params.text("vertex_ai_project"));
        let project = match project {
            Some((text, spot)) => text.plain(self.notes, "placeholder", &spot),
            None => self.notes.variable(
                "VERTEXAI_PROJECT",
                "placeholder",
                Origin::Implied,
                &self.params.spot,
            ),
        };
        let location =
            self.params.text("vertex_location").or_else(|| self.params.text("vertex_ai_location"));
        let location = match location {
            Some((text, spot)) => text.plain(self.notes, "us-central1", &spot),
            None => self.implied("vertex_location", "VERTEXAI_LOCATION", "us-central1"),
        };
        let credentials = self.vertex_credentials();
        let place = [("project", project), ("location", location), ("credentials", credentials)];
        let place = place.map(|(key, value)| (key.to_owned(), Value::from(value)));
        let mut made = self.made(if is_gemini { "gemini" } else { "vertex" }, model);
        if is_gemini {
            made.provider.name = "vertex-gemini".to_owned();
            made.provider.settings.insert("vertex".to_owned(), Map::from_iter(place).into());
        } else {
            made.provider.settings.extend(place);
        }
        Ok(made)
    }

    fn vertex_credentials(&mut self) -> String {
        let Some(Field { spot, node }) = self.params.take("vertex_credentials") else {
            return "default".to_owned();
        };
        match &node.value {
            // the JSON of an account has a private key
            Tree::Text(text) if !text.trim_start().starts_with('{') => {
                Text::of(text).plain(self.notes, "default", &spot)
            }
            Tree::Text(text) => self.notes.secret(text, "VERTEXAI_CREDENTIALS", "default", &spot),
            _ => self.notes.secret(
                &format!("{:?}", node.value),
                "VERTEXAI_CREDENTIALS",
                "default",
                &spot,
            ),
        }
    }

    fn gemini(&mut self, model: &str) -> Made {
        let mut made = self.made("gemini", model);
        let base = self.address().map(|(url, spot)| url.address(self.notes, &spot));
        made.set("api_key", self.key(true, &made));
        made.set("base_url", base);
        made
    }

    /// Returns the address of the file, or the variable that LiteLLM reads.
    fn address(&mut self) -> Option<(Text, Spot)> {
        let own = self.params.text("api_base").or_else(|| self.params.text("base_url"));
        own.or_else(|| {
            let name = self.vendor.base_variable?;
            self.notes.variable(name, ADDRESS, Origin::Implied, &self.params.spot);
            Some((Text::Variable(name.to_owned()), self.params.spot.clone()))
        })
    }

    /// Returns the key; if the file has none and the upstream needs one, the variable that LiteLLM reads.
    fn key(&mut self, is_needed: bool, made: &Made) -> Option<String> {
        let variable = self.vendor.key.unwrap_or("API_KEY");
        match self.params.text("api_key") {
            Some((Text::Literal(text), _))
                if NO_KEY.contains(&text.to_ascii_lowercase().as_str()) =>
            {
                (!text.is_empty()).then_some(text)
            }
            Some((text, spot)) => {
                let name = made.provider.name.to_ascii_uppercase().replace('-', "_");
                // the vendor's own variable may have a key that another address must not see
                let own = self.vendor.key.filter(|_| made.provider.name == self.vendor.name);
                let wanted = own.map_or_else(|| format!("{name}_API_KEY"), str::to_owned);
                Some(text.secret(self.notes, &wanted, &spot))
            }
            None if is_needed && self.vendor.key.is_some() => {
                let spot = &self.params.spot;
                Some(self.notes.variable(variable, "placeholder", Origin::Implied, spot))
            }
            None => None,
        }
    }

    /// Returns a variable that LiteLLM reads, with its default.
    fn implied(&self, key: &str, name: &str, default: &str) -> String {
        let text = format!(
            "`{key}` is missing: the written file takes the variable `{name}`, and `{default}` if that is not set"
        );
        self.notes.changed(&self.params.spot, self.near.clone(), text);
        format!("${{{name}:-{default}}}")
    }

    fn headers(&mut self) -> Map<String, Value> {
        let extra = self.params.take("extra_headers");
        let entries = extra.as_ref().map_or(&[][..], |field| field.node.entries());
        let mut headers = Map::new();
        for entry in entries {
            let path = format!("{}.extra_headers.{}", self.params.spot.path, entry.key);
            let spot = Spot { at: entry.at.clone(), path };
            if let Some(value) = self.header(&entry.key, &entry.node, &spot) {
                headers.insert(entry.key.to_ascii_lowercase(), value.into());
            }
        }
        if let Some((organization, spot)) = self.params.text("organization") {
            let organization = organization.plain(self.notes, "placeholder", &spot);
            headers.insert("openai-organization".to_owned(), organization.into());
        }
        headers
    }

    fn header(&self, name: &str, node: &Node, spot: &Spot) -> Option<String> {
        const SECRET: [&str; 6] = ["auth", "key", "token", "secret", "cookie", "password"];
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(is_name) {
            let text = "it is no name of a header: expected letters, digits and `-`";
            self.notes.left(spot, self.near.clone(), text);
            return None;
        }
        let Some(value) = node.scalar() else {
            self.notes.left(spot, self.near.clone(), "the value of a header must be a text");
            return None;
        };
        let lower = name.to_ascii_lowercase();
        let value = Text::of(&value);
        Some(match SECRET.iter().any(|word| lower.contains(word)) {
            true => value.secret(self.notes, &name.to_ascii_uppercase().replace('-', "_"), spot),
            false => value.plain(self.notes, "placeholder", spot),
        })
    }

    fn is_claude(&self, model: &str) -> bool {
        model.contains("claude")
            || self.base_model.as_ref().is_some_and(|base| base.contains("claude"))
    }
}

impl Made {
    fn set(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.provider.settings.insert(key.to_owned(), value.into());
        }
    }

    /// Adds the first part of the address's host to the name.
    fn name_after(&mut self, base: &str) {
        let host = base.split_once("://").map(|(_, rest)| rest);
        let label = host.and_then(|host| host.split(['.', '/', ':']).next()).unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_telling = label.contains(|c: char| c.is_ascii_alphabetic())
            && !["api", "www", "localhost"].contains(&label);
        if is_telling && base != ADDRESS && label.chars().all(is_name) {
            self.provider.name = format!("{}-{label}", self.provider.name);
        }
    }

    /// Sets the key of Azure's OpenAI, or the token of an application.
    fn azure_credentials(&mut self, maker: &mut Maker<'_, '_, '_>) {
        match maker.params.text("azure_ad_token") {
            Some((token, spot)) => {
                let token = token.secret(maker.notes, "AZURE_AD_TOKEN", &spot);
                let headers = Map::from_iter([(
                    "authorization".to_owned(),
                    format!("Bearer {token}").into(),
                )]);
                self.provider.settings.insert("headers".to_owned(), headers.into());
                let text = "the token is sent as it is and never renewed; `type: openai` does not sign in to Microsoft Entra ID";
                maker.notes.changed(&spot, maker.near.clone(), text);
            }
            None => self.set("api_key", maker.key(true, self)),
        }
    }
}

/// Returns the flavor, unless the host of the address says that it is Azure's.
fn azure_flavor(base: &str) -> Option<String> {
    let is_known = base.contains(".azure.com");
    (!is_known).then(|| "azure".to_owned())
}

fn is_region(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_word = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()))
    };
    let is_long = text.matches('-').count() >= 2;
    is_long && is_word(parts.next()) && text.ends_with(|c: char| c.is_ascii_digit())
}
