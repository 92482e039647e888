//! Tokens of Google: a service account's, a user's, or the metadata server's.
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use crate::disk;
use crate::error::Secret;
use crate::net::client::Client;
use crate::net::proxy::Proxy;
use crate::providers::signer::cached::{Cached, Lease, Missing};
use crate::providers::signer::environment::Environment;
use crate::providers::signer::fetch::Endpoint;
use crate::providers::signer::oauth;

/// The word for the default chain.
pub(in crate::providers) const DEFAULT: &str = "default";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const METADATA_HOST: &str = "metadata.google.internal";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// The lifetime of an assertion in seconds: the longest that Google accepts.
const LASTS: u64 = 3600;
const GOOGLE: &str = "Google's token endpoint";
const METADATA: &str = "the metadata server";

/// The source of the tokens of one provider.
pub(in crate::providers) struct Source {
    kind: Kind,
    cached: Cached<HeaderValue>,
}

enum Kind {
    Account(Box<Account>),
    User { user: User, endpoint: Endpoint },
    Metadata(Endpoint),
}

/// The way to the servers of tokens.
#[derive(Clone, Copy)]
struct Way<'a> {
    proxy: Option<&'a Proxy>,
    client: &'a Client,
}

impl Way<'_> {
    fn endpoint(&self, url: &str) -> Result<Endpoint, String> {
        Endpoint::by(url, self.proxy, self.client)
    }
}

/// A file of credentials.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type", default)]
    kind: String,
}

/// A service account: it signs assertions with its own key.
struct Account {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    audience: String,
    endpoint: Endpoint,
}

#[derive(Deserialize)]
struct AccountFile {
    client_email: String,
    private_key_id: Option<String>,
    private_key: Secret,
    token_uri: Option<String>,
}

/// A user's refresh token, as `gcloud auth application-default login` writes it.
#[derive(Deserialize)]
struct User {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    token_uri: Option<String>,
}

/// Returns the path in `credentials:`; `None` if it is JSON or the default.
pub(in crate::providers) fn path(credentials: &Secret) -> Option<&Path> {
    let text = credentials.expose().trim();
    let is_path = !text.is_empty() && text != DEFAULT && !text.starts_with('{');
    is_path.then(|| Path::new(text))
}

impl Source {
    /// Reads `credentials:`: a service account's JSON, a path to it, or `default`. No server is called
    /// before the first request.
    ///
    /// Fails with a message for the key.
    pub(in crate::providers) fn new(
        credentials: &Secret,
        base_dir: &Path,
        environment: &Environment,
        proxy: Option<&Proxy>,
        client: &Client,
    ) -> Result<Self, String> {
        let way = Way { proxy, client };
        let text = credentials.expose().trim();
        let kind = match path(credentials) {
            Some(path) => Kind::of_file(&base_dir.join(path), way)?,
            None if text.starts_with('{') => Kind::of_json(text, "`credentials`", way)?,
            None => Kind::of_environment(environment, way)?,
        };
        Ok(Self { kind, cached: Cached::default() })
    }

    /// Returns the value of `authorization`.
    pub(super) async fn get(&self) -> Result<HeaderValue, Missing> {
        self.cached.get(|| self.fetch()).await
    }

    /// Removes the kept token: Google has rejected it.
    pub(super) fn forget(&self) {
        self.cached.forget();
    }

    async fn fetch(&self) -> Result<Lease<HeaderValue>, Missing> {
        match &self.kind {
            Kind::Account(account) => {
                let assertion = account.assertion(SystemTime::now())?;
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", &assertion),
                ];
                let answer = account.endpoint.call(account.endpoint.form(&form)).await?;
                oauth::bearer(answer, GOOGLE)
            }
            Kind::User { user, endpoint } => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", &user.client_id),
                    ("client_secret", user.client_secret.expose()),
                    ("refresh_token", user.refresh_token.expose()),
                ];
                oauth::bearer(endpoint.call(endpoint.form(&form)).await?, GOOGLE)
            }
            Kind::Metadata(endpoint) => {
                let mut request = endpoint.request(Method::GET, Bytes::new());
                let flavor = HeaderName::from_static("metadata-flavor");
                request.headers_mut().insert(flavor, HeaderValue::from_static("Google"));
                oauth::bearer(endpoint.call(request).await?, METADATA)
            }
        }
    }
}

impl Kind {
    /// Follows the order of Google's libraries: the named file, gcloud's file, the metadata server.
    fn of_environment(environment: &Environment, way: Way<'_>) -> Result<Self, String> {
        if let Some(file) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") {
            return Self::of_file(Path::new(&file), way);
        }
        const GCLOUD: &str = "application_default_credentials.json";
        let folder = environment.get("CLOUDSDK_CONFIG").map(PathBuf::from);
        let folder = folder.or_else(|| environment.home(".config/gcloud"));
        if let Some(file) = folder.map(|folder| folder.join(GCLOUD)) {
            let exists = disk::exists(&file);
            if exists.map_err(|unread| format!("`{}` {unread}", file.display()))? {
                return Self::of_file(&file, way);
            }
        }
        let host = environment.get("GCE_METADATA_HOST");
        let host = host.as_deref().unwrap_or(METADATA_HOST);
        Ok(Self::Metadata(Endpoint::new(&format!("http://{host}{METADATA_PATH}"), way.client)?))
    }

    fn of_file(file: &Path, way: Way<'_>) -> Result<Self, String> {
        let shown = format!("`{}`", file.display());
        let text = disk::text(file).map_err(|unread| format!("{shown} {unread}"))?;
        Self::of_json(&text, &shown, way)
    }

    /// Reads the JSON of a file of credentials. No error quotes it: it holds a private key.
    fn of_json(text: &str, place: &str, way: Way<'_>) -> Result<Self, String> {
        let no_json = |_| format!("{place} is no JSON of Google credentials");
        let lacks = |_| format!("{place} lacks a member of this type of Google credentials");
        let File { kind } = serde_json::from_str(text).map_err(no_json)?;
        match kind.as_str() {
            "service_account" => {
                let file: AccountFile = serde_json::from_str(text).map_err(lacks)?;
                Account::new(file, place, way).map(|account| Self::Account(Box::new(account)))
            }
            "authorized_user" => {
                let user: User = serde_json::from_str(text).map_err(lacks)?;
                let endpoint = way.endpoint(user.token_uri.as_deref().unwrap_or(TOKEN_URI))?;
                Ok(Self::User { user, endpoint })
            }
            other => {
                let other: String = other.chars().take(64).collect();
                Err(format!(
                    "{place} has `type: {other}`: expected `service_account` or `authorized_user`"
                ))
            }
        }
    }
}

impl Account {
    fn new(file: AccountFile, place: &str, way: Way<'_>) -> Result<Self, String> {
        let wrong = || format!("{place} has a `private_key` that is no RSA key in PEM");
        let pem = PrivateKeyDer::from_pem_slice(file.private_key.expose().as_bytes());
        let key = match pem.map_err(|_| wrong())? {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err(wrong()),
        };
        let audience = file.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
        let endpoint = way.endpoint(&audience).map_err(|e| format!("`token_uri`: {e}"))?;
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key: key.map_err(|_| wrong())?,
            audience,
            endpoint,
        })
    }

    /// Returns a signed JWT (RS256) that Google exchanges for a token.
    fn assertion(&self, now: SystemTime) -> Result<String, Missing> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.audience,
            "iat": now,
            "exp": now + LASTS,
        });
        let [head, claims] =
            [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{head}.{claims}");
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Missing::new("the assertion of the service account cannot be signed"))?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests;
