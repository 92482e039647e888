//! Keys of AWS IAM Identity Center, by the token that `aws sso login` leaves on the disk.
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{HeaderName, Method};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde::Deserialize;

use crate::error::Secret;
use crate::net::client::Client;
use crate::net::proxy::Proxy;
use crate::providers::signer::cached::{Lease, Missing};
use crate::providers::signer::fetch::{Endpoint, read, set_secret};

const NAME: &str = "IAM Identity Center";
const TOKEN: HeaderName = HeaderName::from_static("x-amz-sso_bearer_token");

/// The settings of a profile that signs on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignOn {
    /// The name of the session, or the start URL of an older profile: the name of the token's file is its hash.
    pub(super) token_of: String,
    pub(super) region: String,
    pub(super) account: String,
    pub(super) role: String,
}

/// The way to the server.
pub(super) struct Way<'a> {
    /// `AWS_ENDPOINT_URL_SSO`
    pub(super) endpoint: Option<String>,
    pub(super) proxy: Option<&'a Proxy>,
    /// The folder of the tokens.
    pub(super) cache: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    access_token: Secret,
    expires_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    role_credentials: RoleCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Secret,
    /// In milliseconds since 1970.
    expiration: u64,
}

impl SignOn {
    /// Fetches the keys of the role.
    ///
    /// Fails with the command to run if the token is not there or too old.
    pub(super) async fn keys(&self, way: Way<'_>) -> Result<Lease<Credentials>, Missing> {
        let token = self.token(&way).await?;
        let url = way.endpoint.unwrap_or_else(|| {
            let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://portal.sso.{}.amazonaws.com{suffix}", self.region)
        });
        // the region is known only now, and keys last for hours: a connection of its own will do
        let endpoint = Endpoint::by(&url, way.proxy, &Client::new(1)).map_err(Missing::new)?;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("role_name", &self.role)
            .append_pair("account_id", &self.account)
            .finish();
        let path = format!("/federation/credentials?{query}");
        let mut request = endpoint.request_at(Method::GET, &path, Bytes::new());
        set_secret(request.headers_mut(), TOKEN, token.expose())?;
        let json = endpoint.call(request).await?.success(NAME)?;
        let incomplete = |_| Missing::new(format!("{NAME} answered without keys"));
        let Answer { role_credentials: keys } =
            serde_json::from_slice(&json).map_err(incomplete)?;
        let expires = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(keys.expiration));
        let session = Some(keys.session_token.expose().to_owned());
        let secret = keys.secret_access_key.expose();
        let value = Credentials::new(keys.access_key_id, secret, session, expires, "sso");
        Ok(Lease { value, expires })
    }

    async fn token(&self, way: &Way<'_>) -> Result<Secret, Missing> {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, self.token_of.as_bytes());
        let file = way.cache.join(format!("{}.json", hex::encode(hash)));
        let login = |why: &str| Missing::new(format!("{why}: run `aws sso login`"));
        let text = read(file).await.map_err(|Missing(why)| login(&why))?;
        let token: Token = serde_json::from_str(&text)
            .map_err(|_| login("the file of the sign-on has no `accessToken` and `expiresAt`"))?;
        // early versions of the command wrote `2020-06-17T10:02:08UTC`
        let expires = token.expires_at.replace("UTC", "Z");
        let expires = expires.parse::<jiff::Timestamp>().map(SystemTime::from);
        let expires = expires.map_err(|_| login("`expiresAt` of the sign-on is no time"))?;
        match expires > SystemTime::now() {
            true => Ok(token.access_token),
            false => Err(login(&format!("the sign-on ended at {}", token.expires_at))),
        }
    }
}
