//! `type: vertex`: Claude on Vertex AI, by rawPredict and streamRawPredict.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Problem, Secret};
use crate::net::headers::Forwards;
use crate::providers::accepts::Accepts;
use crate::providers::fixed_headers;
use crate::providers::http::{self, Base};
use crate::providers::native::betas::{self, Betas, Column};
use crate::providers::native::door::{Door, Trust};
use crate::providers::native::form::Form;
use crate::providers::native::vertex::{LACKED, SystemMessages};
use crate::providers::signer::environment::Environment;
use crate::providers::signer::{Signer, google};
use crate::providers::{Parts, Provider, Settings};

/// Claude on Vertex AI.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The id of the Google Cloud project.
    project: String,
    /// The location: `global`, `us`, `eu` or a region such as `us-east5`.
    #[serde(default = "global")]
    location: String,
    /// A service account's JSON, the path of a file with it, or `default`: the environment, gcloud's file,
    /// or the metadata server.
    #[serde(default = "default_credentials")]
    #[schemars(with = "String")]
    credentials: Secret,
    /// The address with `/v1`, if it is not the location's public one.
    base_url: Option<String>,
    /// The treatment of `system` messages within a conversation.
    #[serde(default)]
    system_messages: SystemMessages,
    /// The authorities that may sign the upstream's certificate, as PEM; the system's if left out.
    ca_file: Option<PathBuf>,
    /// The values of `anthropic-beta` that Vertex AI takes (`keep`), does not take (`drop`), or has another
    /// name for. They override the bundled table.
    #[serde(default)]
    betas: betas::Overrides,
    /// The headers of every request, such as `x-vertex-ai-llm-request-type`.
    #[serde(default)]
    headers: fixed_headers::Config,
    /// An HTTP proxy on the way to the upstream, such as `http://proxy.example.com:3128`.
    #[serde(default)]
    #[schemars(with = "String")]
    proxy: Secret,
    /// The client's headers that the upstream receives beside the usual ones, such as `x-mine-*`.
    #[serde(default)]
    forward_headers: Vec<String>,
    /// The parts of the Messages API that no target understands, beside those that Vertex AI lacks.
    #[serde(default)]
    unsupported: Vec<String>,
}

/// A key with a wrong value, and a message.
type Wrong = (&'static str, String);

fn global() -> String {
    "global".to_owned()
}

fn default_credentials() -> Secret {
    Secret::new(google::DEFAULT)
}

impl Settings for Config {
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        let native =
            Accepts { is_native: true, has_server_tools: true, cites: true, ..Accepts::default() };
        let accepts = native.without_known(LACKED);
        match (self.door(parts), accepts.without(path, &self.unsupported)) {
            (Ok(door), Ok(accepts)) => Ok(Arc::new(Door { accepts, ..door })),
            (made, accepts) => {
                let wrong = |(key, message)| Problem::new(format!("{path}.{key}"), message);
                Err(made.err().map(wrong).into_iter().chain(accepts.err()).collect())
            }
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.ca_file.as_deref().into_iter().chain(google::path(&self.credentials)).collect()
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        for (key, value) in [("project", &self.project), ("location", &self.location)] {
            let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.');
            if value.is_empty() || !value.chars().all(is_id) {
                found.push((key, format!("is no id of a {key}")));
            }
        }
        let url = http::check_base_url(&self.base_url());
        found.extend(url.err().map(|message| ("base_url", message)));
        found.extend(http::proxy(&self.proxy).err());
        found.extend(self.betas.wrong().map(|message| ("betas", message)));
        found.extend(self.headers.build().err().map(|message| ("headers", message)));
        let forwards = Forwards::new(&self.forward_headers);
        found.extend(forwards.err().map(|message| ("forward_headers", message)));
        found
    }
}

impl Config {
    /// Returns the address with `/v1`.
    fn base_url(&self) -> String {
        match (&self.base_url, self.location.as_str()) {
            (Some(own), _) => {
                let own = own.trim_end_matches('/').trim_end_matches("/v1");
                format!("{own}/v1")
            }
            (None, "global") => "https://aiplatform.googleapis.com/v1".to_owned(),
            (None, multi @ ("us" | "eu")) => {
                format!("https://aiplatform.{multi}.rep.googleapis.com/v1")
            }
            (None, region) => format!("https://{region}-aiplatform.googleapis.com/v1"),
        }
    }

    /// Makes the provider. The result accepts everything.
    fn door(&self, parts: &Parts<'_>) -> Result<Door, Wrong> {
        let ca_file = self.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let proxy = http::proxy(&self.proxy)?;
        let base = Base::by(&self.base_url(), ca_file.as_deref(), proxy.as_ref(), parts.client)?;
        let environment = Environment::Process;
        let source = google::Source::new(
            &self.credentials,
            parts.base_dir,
            &environment,
            proxy.as_ref(),
            parts.client,
        );
        let Self { project, location, system_messages, .. } = self;
        let prefix = base
            .path(&format!("/projects/{project}/locations/{location}/publishers/anthropic/models"));
        let forwards = Forwards::new(&self.forward_headers);
        Ok(Door {
            genai_name: "gcp.vertex_ai",
            base,
            signer: Signer::Google(source.map_err(|message| ("credentials", message))?),
            form: Form::Vertex { prefix, system: *system_messages },
            betas: Betas::new(Column::Vertex, self.betas.clone()),
            fixed: self.headers.build().map_err(|message| ("headers", message))?,
            accepts: Accepts::default(),
            collector: parts.collector.cloned(),
            forwards: forwards.map_err(|message| ("forward_headers", message))?,
            trust: Trust::Cloud,
        })
    }
}
