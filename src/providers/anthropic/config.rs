//! `type: anthropic`: the settings of a native upstream.
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Secret;
use crate::net::headers::Forwards;
use crate::providers::Credentials;
use crate::providers::fixed_headers;
use crate::providers::http;
use crate::providers::native::betas;
use crate::providers::signer::{aws, google};

/// The host of the API itself.
const OWN_HOST: &str = "api.anthropic.com";

/// The Messages API itself, or an upstream that speaks it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The key, sent as `x-api-key`; none with `credentials: caller`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) api_key: Secret,
    /// The address, without `/v1`. If left out, it is the API's own, or that of `aws` or `google`.
    pub(super) base_url: Option<String>,
    /// The credential that the upstream receives.
    #[serde(default)]
    pub(super) credentials: Credentials,
    /// Claude Platform on AWS: Anthropic's own platform, paid for and signed in to by AWS.
    pub(super) aws: Option<Aws>,
    /// Claude on Google Cloud, run by Anthropic.
    pub(super) google: Option<Google>,
    /// The authorities that may sign the upstream's certificate, as PEM; the system's if left out.
    pub(super) ca_file: Option<PathBuf>,
    /// Whether the upstream accepts the gateway's search and fetch results as citable blocks
    /// (`search_result`, `document`), and cites them. If left out, this is true only for the API's
    /// own host. Others may ignore such a block, and with it the result.
    pub(super) citations: Option<bool>,
    /// Whether the gateway checks that answers keep to the grammar of the Messages API, and mends small
    /// deviations. If left out, this is true for every host but the API's own, whose bytes pass unread.
    pub(super) guard: Option<bool>,
    /// The values of `anthropic-beta` that the upstream does not take (`drop`) or has another name for.
    /// All others are sent.
    #[serde(default)]
    pub(super) betas: betas::Overrides,
    /// The headers of every request to the upstream; they replace the caller's.
    #[serde(default)]
    pub(super) headers: fixed_headers::Config,
    /// An HTTP proxy on the way to the upstream, such as `http://proxy.example.com:3128`.
    #[serde(default)]
    #[schemars(with = "String")]
    pub(super) proxy: Secret,
    /// The client's headers that the upstream receives beside the usual ones, such as `x-mine-*`.
    #[serde(default)]
    pub(super) forward_headers: Vec<String>,
    /// The parts of the Messages API that no target of the upstream understands; targets add to it.
    #[serde(default)]
    pub(super) unsupported: Vec<String>,
}

/// A workspace of Claude Platform on AWS. Without `api_key`, requests are signed with AWS credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Aws {
    /// The region, such as `us-east-1`.
    pub(super) region: String,
    /// The id of the workspace.
    pub(super) workspace: String,
    /// The credentials.
    #[serde(default)]
    pub(super) credentials: aws::config::Config,
}

/// A workspace of Claude on Google Cloud.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Google {
    /// The id of the project.
    pub(super) project: String,
    /// The location.
    #[serde(default = "global")]
    pub(super) location: String,
    /// The id of the workspace.
    pub(super) workspace: String,
    /// A service account's JSON, the path of a file with it, or `default`: the environment, gcloud's file,
    /// or the metadata server.
    #[serde(default = "default_credentials")]
    #[schemars(with = "String")]
    pub(super) credentials: Secret,
}

fn global() -> String {
    "global".to_owned()
}

fn default_credentials() -> Secret {
    Secret::new(google::DEFAULT)
}

impl Config {
    /// Returns the address.
    pub(super) fn base_url(&self) -> Cow<'_, str> {
        match (&self.base_url, &self.aws, &self.google) {
            (Some(own), ..) => own.into(),
            (None, Some(Aws { region, .. }), _) => {
                format!("https://aws-external-anthropic.{region}.api.aws").into()
            }
            (None, None, Some(Google { project, location, workspace, .. })) => format!(
                "https://claude.googleapis.com/v1/projects/{project}/locations/{location}/workspaces/{workspace}/invoke"
            )
            .into(),
            (None, None, None) => format!("https://{OWN_HOST}").into(),
        }
    }

    /// Returns the keys with values that can never work, and a message for each.
    pub(super) fn wrong_values(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let base_url = self.base_url();
        let url = http::check_base_url(&base_url);
        let message = match &url {
            Err(message) => Some(message.as_str()),
            Ok(url) if url.path().trim_end_matches('/').ends_with("/v1") => {
                Some("leave `/v1` out at the end: the gateway adds the whole route")
            }
            Ok(_) => None,
        };
        found.extend(message.map(|message| ("base_url", message.to_owned())));
        if self.ca_file.is_some() && base_url.starts_with("http://") {
            let message = "has no effect, since `base_url` begins with `http://`: take one of them out, or write `https://`";
            found.push(("ca_file", message.to_owned()));
        }
        let owners = [
            ("aws", self.aws.is_some()),
            ("google", self.google.is_some()),
            ("credentials", self.credentials == Credentials::Caller),
        ];
        let mut set = owners.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key);
        if let (Some(one), Some(other)) = (set.next(), set.next()) {
            found.push((other, format!("cannot be set together with `{one}`")));
        }
        if self.google.is_some() && !self.api_key.is_empty() {
            found.push(("api_key", "cannot be set together with `google`".to_owned()));
        }
        found.extend(http::proxy(&self.proxy).err());
        found.extend(self.betas.wrong().map(|message| ("betas", message)));
        found.extend(self.headers.build().err().map(|message| ("headers", message)));
        let forwards = Forwards::new(&self.forward_headers);
        found.extend(forwards.err().map(|message| ("forward_headers", message)));
        found
    }

    /// Returns the files to watch.
    pub(super) fn files(&self) -> Vec<&Path> {
        let account = self.google.as_ref().and_then(|own| google::path(&own.credentials));
        self.ca_file.as_deref().into_iter().chain(account).collect()
    }

    /// Returns whether answers are checked.
    pub(super) fn is_guarded(&self) -> bool {
        self.guard.unwrap_or_else(|| !self.is_own())
    }

    /// Returns whether this is the API's own host.
    pub(super) fn is_own(&self) -> bool {
        let url = http::check_base_url(&self.base_url());
        url.is_ok_and(|url| url.host_str() == Some(OWN_HOST))
    }
}
