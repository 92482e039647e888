//! `type: bedrock`: Claude on Amazon Bedrock, by InvokeModel or a native Messages endpoint.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::{Problem, Secret};
use crate::net::headers::Forwards;
use crate::net::proxy::Proxy;
use crate::providers::accepts::Accepts;
use crate::providers::fixed_headers;
use crate::providers::http::{self, Base};
use crate::providers::native::betas::{self, Betas, Column};
use crate::providers::native::door::{Door, Trust};
use crate::providers::native::form::{BEDROCK_FIELDS, Form, Naming};
use crate::providers::native::invoke;
use crate::providers::native::names::Profile;
use crate::providers::signer::environment::Environment;
use crate::providers::signer::sigv4::Scope;
use crate::providers::signer::{Signer, aws};
use crate::providers::{Parts, Provider, Settings};

/// Claude on Amazon Bedrock.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The region, such as `us-east-1`.
    region: String,
    /// The AWS credentials that sign requests, unless there is an `api_key`.
    credentials: Option<aws::config::Config>,
    /// An API key of Bedrock, sent as a bearer token.
    #[serde(default)]
    #[schemars(with = "String")]
    api_key: Secret,
    /// The address, if it is not the region's public one (a VPC endpoint).
    base_url: Option<String>,
    /// The prefix of inference profiles, which models given by the API's names get. If left out, it is that
    /// of the region: `us`, `eu`, `apac`, `us-gov`, else `global`.
    profile: Option<Profile>,
    /// The interface of Bedrock.
    #[serde(default)]
    api: Api,
    /// The authorities that may sign the upstream's certificate, as PEM; the system's if left out.
    ca_file: Option<PathBuf>,
    /// The values of `anthropic-beta` that Bedrock takes (`keep`), does not take (`drop`), or has another
    /// name for. They override the bundled table.
    #[serde(default)]
    betas: betas::Overrides,
    /// The headers of every request, such as `x-amzn-bedrock-guardrailidentifier`.
    #[serde(default)]
    headers: fixed_headers::Config,
    /// An HTTP proxy on the way to the upstream, such as `http://proxy.example.com:3128`.
    #[serde(default)]
    #[schemars(with = "String")]
    proxy: Secret,
    /// The client's headers that the upstream receives beside the usual ones, such as `x-mine-*`.
    #[serde(default)]
    forward_headers: Vec<String>,
    /// The parts of the Messages API that no target understands, beside those that Bedrock lacks.
    #[serde(default)]
    unsupported: Vec<String>,
}

/// The interface of Bedrock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Api {
    /// InvokeModel and InvokeModelWithResponseStream of `bedrock-runtime`.
    #[default]
    Invoke,
    /// The Messages API of `bedrock-runtime`.
    Messages,
    /// The Messages API of `bedrock-mantle`.
    Mantle,
}

/// A key with a wrong value, and a message.
type Wrong = (&'static str, String);

impl Settings for Config {
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        match (self.door(parts), self.accepts().without(path, &self.unsupported)) {
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
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.region.is_empty() || !self.region.chars().all(is_name) {
            let message = "is no region: expected one such as `us-east-1`".to_owned();
            found.push(("region", message));
        }
        let url = http::check_base_url(&self.base_url());
        found.extend(url.err().map(|message| ("base_url", message)));
        if self.credentials.is_some() && !self.api_key.is_empty() {
            let message = "cannot be set together with `credentials`".to_owned();
            found.push(("api_key", message));
        }
        if self.api == Api::Mantle && self.profile.is_some() {
            let message =
                "has no effect with `api: mantle`, whose models have no profiles".to_owned();
            found.push(("profile", message));
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
    /// Returns the address without the path of the interface.
    fn base_url(&self) -> String {
        let region = &self.region;
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        match (&self.base_url, self.api) {
            (Some(own), _) => own.clone(),
            (None, Api::Invoke | Api::Messages) => {
                format!("https://bedrock-runtime.{region}.amazonaws.com{suffix}")
            }
            (None, Api::Mantle) => format!("https://bedrock-mantle.{region}.api.aws"),
        }
    }

    /// Returns the part of the Messages API that Bedrock understands.
    fn accepts(&self) -> Accepts {
        let fields = match self.api {
            Api::Invoke => invoke::FIELDS,
            Api::Messages | Api::Mantle => BEDROCK_FIELDS,
        };
        // the encoder moves these to their places
        let fields = [fields, &["output_format", "service_tier"]].concat();
        let native =
            Accepts { is_native: true, has_server_tools: true, cites: true, ..Accepts::default() };
        native.only_fields(&fields).without_known(invoke::LACKED)
    }

    /// Makes the provider. The result accepts everything.
    fn door(&self, parts: &Parts<'_>) -> Result<Door, Wrong> {
        let ca_file = self.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let profile = self.profile.unwrap_or_else(|| Profile::of_region(&self.region));
        let url = self.base_url();
        let url = url.trim_end_matches('/');
        let url = match self.api {
            Api::Invoke => url.to_owned(),
            Api::Messages | Api::Mantle => {
                format!("{}/anthropic", url.trim_end_matches("/anthropic"))
            }
        };
        let proxy = http::proxy(&self.proxy)?;
        let base = Base::by(&url, ca_file.as_deref(), proxy.as_ref(), parts.client)?;
        let (form, column, service) = match self.api {
            Api::Invoke => {
                let prefix = base.path("/model");
                (Form::Invoke { prefix, profile }, Column::Invoke, "bedrock")
            }
            Api::Messages => {
                (Form::bedrock(&base, Naming::Runtime(profile))?, Column::Mantle, "bedrock")
            }
            Api::Mantle => {
                (Form::bedrock(&base, Naming::Mantle)?, Column::Mantle, "bedrock-mantle")
            }
        };
        let forwards = Forwards::new(&self.forward_headers);
        Ok(Door {
            genai_name: "aws.bedrock",
            base,
            signer: self.signer(service, proxy.as_ref(), parts)?,
            form,
            betas: Betas::new(column, self.betas.clone()),
            fixed: self.headers.build().map_err(|message| ("headers", message))?,
            accepts: Accepts::default(),
            collector: parts.collector.cloned(),
            forwards: forwards.map_err(|message| ("forward_headers", message))?,
            trust: Trust::Cloud,
        })
    }

    fn signer(
        &self,
        service: &'static str,
        proxy: Option<&Proxy>,
        parts: &Parts<'_>,
    ) -> Result<Signer, Wrong> {
        if !self.api_key.is_empty() {
            return Signer::bearer(&self.api_key).map_err(|message| ("api_key", message));
        }
        let scope = Scope { service, region: self.region.clone() };
        let credentials = self.credentials.clone().unwrap_or_default();
        let environment = Environment::Process;
        let source = aws::Source::new(&credentials, &self.region, environment, proxy, parts.client);
        Ok(Signer::SigV4 { scope, source: Box::new(source) })
    }
}
