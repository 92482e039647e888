//! The Messages API itself, or an upstream that speaks it. The bytes pass unchanged.
mod config;

use std::path::Path;
use std::sync::Arc;

use ::http::HeaderName;

pub(crate) use config::Config;

use crate::error::Problem;
use crate::net::headers::Forwards;
use crate::net::proxy::Proxy;
use crate::providers::accepts::Accepts;
use crate::providers::anthropic::config::{Aws, Google};
use crate::providers::fixed_headers::FixedHeaders;
use crate::providers::http::{self, Base};
use crate::providers::native::betas::{Betas, Column};
use crate::providers::native::door::{Door, Trust};
use crate::providers::native::form::Form;
use crate::providers::signer::environment::Environment;
use crate::providers::signer::sigv4::Scope;
use crate::providers::signer::{Signer, aws, google};
use crate::providers::{Credentials, Parts, Provider, Settings};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const WORKSPACE: HeaderName = HeaderName::from_static("anthropic-workspace-id");

/// A key with a wrong value, and a message.
type Wrong = (&'static str, String);

impl Settings for Config {
    fn build(&self, path: &str, parts: &Parts<'_>) -> Result<Arc<dyn Provider>, Vec<Problem>> {
        let all = Accepts {
            is_native: true,
            has_server_tools: true,
            cites: self.citations.unwrap_or_else(|| self.is_own()),
            ..Accepts::default()
        };
        match (self.door(parts), all.without(path, &self.unsupported)) {
            (Ok(door), Ok(accepts)) => Ok(Arc::new(Door { accepts, ..door })),
            (made, accepts) => {
                let wrong = |(key, message)| Problem::new(format!("{path}.{key}"), message);
                Err(made.err().map(wrong).into_iter().chain(accepts.err()).collect())
            }
        }
    }

    fn files(&self) -> Vec<&Path> {
        Config::files(self)
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        self.wrong_values()
    }
}

impl Config {
    /// Reads URL, key and authorities. The result accepts everything.
    ///
    /// Fails with the key that has a wrong value, and a message.
    fn door(&self, parts: &Parts<'_>) -> Result<Door, Wrong> {
        let ca_file = self.ca_file.as_ref().map(|file| parts.base_dir.join(file));
        let proxy = http::proxy(&self.proxy)?;
        let base = Base::by(&self.base_url(), ca_file.as_deref(), proxy.as_ref(), parts.client)?;
        let form = Form::messages(&base)?;
        let forwards = Forwards::new(&self.forward_headers);
        Ok(Door {
            genai_name: "anthropic",
            signer: self.signer(proxy.as_ref(), parts)?,
            form,
            betas: Betas::new(Column::Anthropic, self.betas.clone()),
            fixed: self.fixed()?,
            accepts: Accepts::default(),
            collector: parts.collector.cloned(),
            forwards: forwards.map_err(|message| ("forward_headers", message))?,
            trust: if self.is_guarded() { Trust::Server } else { Trust::Api },
            base,
        })
    }

    fn fixed(&self) -> Result<FixedHeaders, Wrong> {
        let fixed = self.headers.build().map_err(|message| ("headers", message))?;
        match &self.aws {
            None => Ok(fixed),
            Some(Aws { workspace, .. }) => {
                fixed.with(WORKSPACE, workspace).map_err(|message| ("aws.workspace", message))
            }
        }
    }

    fn signer(&self, proxy: Option<&Proxy>, parts: &Parts<'_>) -> Result<Signer, Wrong> {
        let environment = Environment::Process;
        match (self.credentials, self.api_key.is_empty(), &self.aws, &self.google) {
            (Credentials::Caller, ..) => {
                Signer::caller(&self.api_key, &[API_KEY]).map_err(|message| ("api_key", message))
            }
            (Credentials::Own, true, Some(Aws { region, credentials, .. }), _) => {
                let scope = Scope { service: "aws-external-anthropic", region: region.clone() };
                let source =
                    aws::Source::new(credentials, region, environment, proxy, parts.client);
                Ok(Signer::SigV4 { scope, source: Box::new(source) })
            }
            (Credentials::Own, true, None, Some(Google { credentials, .. })) => {
                let source = google::Source::new(
                    credentials,
                    parts.base_dir,
                    &environment,
                    proxy,
                    parts.client,
                );
                source.map(Signer::Google).map_err(|message| ("google.credentials", message))
            }
            (Credentials::Own, true, None, None) => Ok(Signer::Headers(Vec::new())),
            (Credentials::Own, false, ..) => {
                Signer::key(&self.api_key, &[API_KEY]).map_err(|message| ("api_key", message))
            }
        }
    }
}
