//! `type: foundry`: Claude on Microsoft Foundry.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::http::HeaderName;
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
use crate::providers::signer::{Signer, entra};
use crate::providers::{Parts, Provider, Settings};

/// The headers that carry a key: Anthropic's name and Azure's.
const KEYS: [HeaderName; 2] =
    [HeaderName::from_static("x-api-key"), HeaderName::from_static("api-key")];
/// The tools that do not run on Foundry.
const LACKED: &[&str] = &["tool:advisor_*"];

/// Claude on Microsoft Foundry. The model of a target is the name of a deployment.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The name of the resource: the first part of its host.
    resource: Option<String>,
    /// The address up to `/anthropic`, instead of `resource`.
    base_url: Option<String>,
    /// The key of the resource.
    #[serde(default)]
    #[schemars(with = "String")]
    api_key: Secret,
    /// An application of Microsoft Entra ID, instead of `api_key`.
    entra: Option<entra::Config>,
    /// The authorities that may sign the upstream's certificate, as PEM; the system's if left out.
    ca_file: Option<PathBuf>,
    /// The values of `anthropic-beta` that Foundry takes (`keep`), does not take (`drop`), or has another
    /// name for. They override the bundled table.
    #[serde(default)]
    betas: betas::Overrides,
    /// The headers of every request to the upstream; they replace the caller's.
    #[serde(default)]
    headers: fixed_headers::Config,
    /// An HTTP proxy on the way to the upstream, such as `http://proxy.example.com:3128`.
    #[serde(default)]
    #[schemars(with = "String")]
    proxy: Secret,
    /// The client's headers that the upstream receives beside the usual ones, such as `x-mine-*`.
    #[serde(default)]
    forward_headers: Vec<String>,
    /// The parts of the Messages API that no target understands, beside those that Foundry lacks.
    #[serde(default)]
    unsupported: Vec<String>,
}

/// A key with a wrong value, and a message.
type Wrong = (&'static str, String);

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
        self.ca_file.as_deref().into_iter().collect()
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        match (&self.resource, &self.base_url) {
            (Some(_), Some(_)) => {
                found.push(("base_url", "cannot be set together with `resource`".to_owned()));
            }
            (None, None) => {
                found.push(("resource", "is missing: set it, or `base_url`".to_owned()));
            }
            (Some(resource), None) => {
                let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
                if resource.is_empty() || !resource.chars().all(is_name) {
                    let message = "is no name of a resource: expected the first part of its host";
                    found.push(("resource", message.to_owned()));
                }
            }
            (None, Some(url)) => {
                found.extend(http::check_base_url(url).err().map(|message| ("base_url", message)));
            }
        }
        match (self.api_key.is_empty(), &self.entra) {
            (false, Some(_)) => {
                found.push(("entra", "cannot be set together with `api_key`".to_owned()));
            }
            (true, None) => found.push(("api_key", "is missing: set it, or `entra`".to_owned())),
            _ => {}
        }
        found.extend(http::proxy(&self.proxy).err());
        found.extend(self.betas.wrong().map(|message| ("betas", message)));
        found.extend(self.headers.build().err().map(|message| ("headers", message)));
        let forwards = Forwards::new(&self.forward_headers);
        found.extend(forwards.err().map(|message| ("forward_headers", message)));
        found
    }
}

impl Config {
    /// Returns the address up to `/anthropic`.
    fn base_url(&self) -> String {
        match (&self.base_url, &self.resource) {
            (Some(own), _) => {
                let own = own.trim_end_matches('/').trim_end_matches("/v1");
                own.to_owned()
            }
            (None, resource) => {
                let resource = resource.as_deref().unwrap_or_default();
                format!("https://{resource}.services.ai.azure.com/anthropic")
            }
        }
    }

    /// Makes the provider. The result accepts everything.
    fn door(&self, parts: &Parts<'_>) -> Result<Door, Wrong> {
        let ca_file = self.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let proxy = http::proxy(&self.proxy)?;
        let base = Base::by(&self.base_url(), ca_file.as_deref(), proxy.as_ref(), parts.client)?;
        let signer = match &self.entra {
            Some(entra) => {
                let source = entra::Source::new(entra, proxy.as_ref(), parts.client);
                Signer::Entra(source.map_err(|message| ("entra", message))?)
            }
            None => Signer::key(&self.api_key, &KEYS).map_err(|message| ("api_key", message))?,
        };
        let forwards = Forwards::new(&self.forward_headers);
        Ok(Door {
            genai_name: "azure.ai.inference",
            signer,
            form: Form::messages(&base)?,
            betas: Betas::new(Column::Foundry, self.betas.clone()),
            fixed: self.headers.build().map_err(|message| ("headers", message))?,
            accepts: Accepts::default(),
            collector: parts.collector.cloned(),
            forwards: forwards.map_err(|message| ("forward_headers", message))?,
            trust: Trust::Cloud,
            base,
        })
    }
}
