//! Tokens of Microsoft Entra ID for an application (the client-credentials grant).
use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Secret;
use crate::net::client::Client;
use crate::net::proxy::Proxy;
use crate::providers::signer::cached::{Cached, Lease, Missing};
use crate::providers::signer::fetch::Endpoint;
use crate::providers::signer::oauth;

const ENTRA: &str = "Entra's token endpoint";

/// An application of Microsoft Entra ID.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::providers) struct Config {
    /// The tenant: its id or its domain.
    tenant: String,
    /// The id of the application.
    client_id: String,
    /// The secret of the application.
    #[schemars(with = "String")]
    client_secret: Secret,
    /// The scope of the token.
    #[serde(default = "default_scope")]
    scope: String,
    /// The address of the sign-in service; another one for national clouds.
    #[serde(default = "default_authority")]
    authority: String,
}

fn default_scope() -> String {
    "https://ai.azure.com/.default".to_owned()
}

fn default_authority() -> String {
    "https://login.microsoftonline.com".to_owned()
}

/// The source of the tokens of one provider.
pub(in crate::providers) struct Source {
    config: Config,
    endpoint: Endpoint,
    cached: Cached<HeaderValue>,
}

impl Source {
    /// Fails with a message if `tenant` or `authority` makes no URL.
    pub(in crate::providers) fn new(
        config: &Config,
        proxy: Option<&Proxy>,
        client: &Client,
    ) -> Result<Self, String> {
        let tenant = &config.tenant;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if tenant.is_empty() || !tenant.chars().all(is_name) {
            return Err("`tenant` must be the id or the domain of a tenant".to_owned());
        }
        let authority = config.authority.trim_end_matches('/');
        let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
        let endpoint = Endpoint::by(&url, proxy, client)?;
        Ok(Self { config: config.clone(), endpoint, cached: Cached::default() })
    }

    /// Returns the value of `authorization`.
    pub(super) async fn get(&self) -> Result<HeaderValue, Missing> {
        self.cached.get(|| self.fetch()).await
    }

    /// Removes the kept token: Azure has rejected it.
    pub(super) fn forget(&self) {
        self.cached.forget();
    }

    async fn fetch(&self) -> Result<Lease<HeaderValue>, Missing> {
        let Config { client_id, client_secret, scope, .. } = &self.config;
        let form = self.endpoint.form(&[
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose()),
            ("scope", scope),
        ]);
        oauth::bearer(self.endpoint.call(form).await?, ENTRA)
    }
}
