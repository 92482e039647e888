//! The AWS credentials chain: environment, profile, web identity, container, instance.
pub(in crate::providers) mod config;
mod keys;
mod process;
mod profile;
mod sso;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderName, HeaderValue, Method, Request};
use url::{Host, Url};

use crate::net::client::Client;
use crate::net::proxy::Proxy;
use crate::providers::signer::aws::config::{Config, Keys};
use crate::providers::signer::aws::profile::Settings;
use crate::providers::signer::aws::sso::{SignOn, Way};
use crate::providers::signer::cached::{Cached, Lease, Missing};
use crate::providers::signer::environment::Environment;
use crate::providers::signer::fetch::{Endpoint, Response, read, set_secret};
use crate::providers::signer::sigv4::{self, BodyHash, Scope};

/// The longest use of keys from a file before it is read again.
const FILE_LASTS: Duration = Duration::from_secs(10 * 60);
/// The container's address for a relative URI.
const CONTAINER: &str = "http://169.254.170.2";
/// The address of the instance metadata.
const INSTANCE: &str = "http://169.254.169.254";
const CONTAINER_NAME: &str = "the container's server of credentials";
const INSTANCE_NAME: &str = "the instance metadata";
const STS: &str = "the Security Token Service";
const SESSION: &str = "tidegate";

/// The source of the keys of one provider.
pub(in crate::providers) struct Source {
    kind: Kind,
    cached: Cached<Credentials>,
    places: Places,
}

enum Kind {
    Fixed(Credentials),
    Profile(String),
    Chain,
}

/// The places of credentials, as the environment names them. A place that cannot be used is an error
/// only once it is needed.
struct Places {
    environment: Environment,
    region: String,
    sts: Result<Endpoint, String>,
    container: Option<Result<Endpoint, String>>,
    instance: Result<Endpoint, String>,
    proxy: Option<Proxy>,
}

/// A role, and the file with the token that proves the identity.
struct WebIdentity {
    role: String,
    token_file: String,
    session: String,
}

impl Source {
    /// Reads the environment. No file is read and no server is called before the first request.
    pub(in crate::providers) fn new(
        config: &Config,
        region: &str,
        environment: Environment,
        proxy: Option<&Proxy>,
        client: &Client,
    ) -> Self {
        let kind = match config {
            Config::Keys(Keys { access_key_id, secret_access_key, session_token }) => {
                let token = Some(session_token).filter(|token| !token.is_empty());
                let token = token.map(|token| token.expose().to_owned());
                let secret = secret_access_key.expose();
                Kind::Fixed(Credentials::new(access_key_id, secret, token, None, "config"))
            }
            Config::Profile(own) => Kind::Profile(own.profile.clone()),
            Config::Default => Kind::Chain,
        };
        let places = Places::new(region, environment, proxy, client);
        Self { kind, cached: Cached::default(), places }
    }

    /// Returns valid keys.
    pub(super) async fn get(&self) -> Result<Credentials, Missing> {
        match &self.kind {
            Kind::Fixed(keys) => Ok(keys.clone()),
            Kind::Profile(name) => {
                self.cached.get(|| async { self.places.named_profile(name).await }).await
            }
            Kind::Chain => self.cached.get(|| async { self.places.first().await }).await,
        }
    }

    /// Removes the kept keys: AWS has rejected them.
    pub(super) fn forget(&self) {
        self.cached.forget();
    }
}

impl Places {
    fn new(region: &str, environment: Environment, proxy: Option<&Proxy>, client: &Client) -> Self {
        let sts = environment.get("AWS_ENDPOINT_URL_STS").unwrap_or_else(|| {
            let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://sts.{region}.amazonaws.com{suffix}")
        });
        let instance = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let instance = instance.unwrap_or_else(|| INSTANCE.to_owned());
        let relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
        let relative = relative.map(|path| Ok(format!("{CONTAINER}{path}")));
        let full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(trusted);
        let container = relative.or(full);
        Self {
            // the servers of container and instance are on this machine
            sts: Endpoint::by(&sts, proxy, client),
            container: container.map(|url| Endpoint::new(&url?, client)),
            instance: Endpoint::new(&instance, client),
            region: region.to_owned(),
            proxy: proxy.cloned(),
            environment,
        }
    }

    /// Returns the keys of the first place that has some. A place that is configured and fails ends the
    /// search, so that no other identity is used by accident.
    async fn first(&self) -> Result<Lease<Credentials>, Missing> {
        if let Some(keys) = self.variables() {
            return Ok(keys);
        }
        let named = self.environment.get("AWS_PROFILE");
        if let Some(keys) = self.profile(named.as_deref().unwrap_or("default")).await? {
            return Ok(keys);
        }
        if let Some(name) = named {
            return Err(no_profile(&name));
        }
        if let Some(identity) = self.web_identity() {
            return self.assume_by_token(identity).await;
        }
        if let Some(container) = &self.container {
            return self.container(container).await;
        }
        match self.environment.get("AWS_EC2_METADATA_DISABLED").as_deref() {
            Some("true") => Err(Missing::new(
                "no AWS credentials: neither in the environment nor in a profile, and AWS_EC2_METADATA_DISABLED is set",
            )),
            _ => self.instance().await,
        }
    }

    /// Returns the keys in the environment.
    fn variables(&self) -> Option<Lease<Credentials>> {
        let id = self.environment.get("AWS_ACCESS_KEY_ID")?;
        let secret = self.environment.get("AWS_SECRET_ACCESS_KEY")?;
        let token = self.environment.get("AWS_SESSION_TOKEN");
        let value = Credentials::new(id, secret, token, None, "environment");
        Some(Lease { value, expires: None })
    }

    async fn named_profile(&self, name: &str) -> Result<Lease<Credentials>, Missing> {
        self.profile(name).await?.ok_or_else(|| no_profile(name))
    }

    /// Returns the keys of a profile; `None` if the files do not have it, or no credentials for it.
    async fn profile(&self, name: &str) -> Result<Option<Lease<Credentials>>, Missing> {
        let settings = self.settings(name).await?;
        if settings.is_empty() {
            return Ok(None);
        }
        if let Some(keys) = fixed(&settings) {
            return Ok(Some(keys));
        }
        if let Some(role) = settings.get("role_arn") {
            let session = settings.get("role_session_name").unwrap_or(SESSION).to_owned();
            if let Some(file) = settings.get("web_identity_token_file") {
                let (role, token_file) = (role.to_owned(), file.to_owned());
                return self
                    .assume_by_token(WebIdentity { role, token_file, session })
                    .await
                    .map(Some);
            }
            let source = self.source_of(name, &settings).await?;
            return self.assume(role, &session, &settings, &source.value).await.map(Some);
        }
        self.other(name, &settings).await
    }

    /// Returns the keys of a profile that has neither keys nor a role of its own.
    async fn other(
        &self,
        name: &str,
        settings: &Settings,
    ) -> Result<Option<Lease<Credentials>>, Missing> {
        if settings.get("sso_session").or(settings.get("sso_start_url")).is_some() {
            return self.sign_on(name, settings).await.map(Some);
        }
        if let Some(command) = settings.get("credential_process") {
            return process::keys(command).await.map(Some);
        }
        match settings.get("login_session") {
            None => Ok(None),
            Some(_) => Err(Missing::new(format!(
                "the AWS profile `{name}` uses `login_session`, which the gateway does not support: give it keys, a role, or other credentials"
            ))),
        }
    }

    async fn sign_on(&self, name: &str, own: &Settings) -> Result<Lease<Credentials>, Missing> {
        let session = match own.get("sso_session") {
            None => Settings::default(),
            Some(session) => {
                let config = self.file("AWS_CONFIG_FILE", ".aws/config").await?;
                Settings::of_session(session, &config)
            }
        };
        let needed = |key: &str| {
            let found = own.get(key).or_else(|| session.get(key)).map(ToOwned::to_owned);
            found.ok_or_else(|| Missing::new(format!("the AWS profile `{name}` has no `{key}`")))
        };
        let token_of = match own.get("sso_session") {
            Some(session) => session.to_owned(),
            None => needed("sso_start_url")?,
        };
        let sign_on = SignOn {
            token_of,
            region: needed("sso_region")?,
            account: needed("sso_account_id")?,
            role: needed("sso_role_name")?,
        };
        let way = Way {
            endpoint: self.environment.get("AWS_ENDPOINT_URL_SSO"),
            proxy: self.proxy.as_ref(),
            cache: self.environment.home(".aws/sso/cache").unwrap_or_default(),
        };
        sign_on.keys(way).await
    }

    /// Returns the keys with which a profile assumes its role.
    async fn source_of(&self, name: &str, own: &Settings) -> Result<Lease<Credentials>, Missing> {
        let keys = match (own.get("source_profile"), own.get("credential_source")) {
            (Some(source), _) => {
                let settings = self.settings(source).await?;
                match (fixed(&settings), settings.get("role_arn")) {
                    (Some(keys), _) => Some(keys),
                    (None, None) => self.other(source, &settings).await?,
                    (None, Some(_)) => {
                        return Err(Missing::new(format!(
                            "the AWS profile `{name}` has the `source_profile` `{source}`, which assumes a role itself: the gateway does not support chains of roles"
                        )));
                    }
                }
            }
            (None, Some("Environment")) => self.variables(),
            (None, Some("Ec2InstanceMetadata")) => Some(self.instance().await?),
            (None, Some("EcsContainer")) => match &self.container {
                Some(container) => Some(self.container(container).await?),
                None => None,
            },
            (None, _) => None,
        };
        keys.ok_or_else(|| {
            Missing::new(format!(
                "the AWS profile `{name}` has `role_arn`, but no `source_profile` or `credential_source` with keys"
            ))
        })
    }

    async fn settings(&self, profile: &str) -> Result<Settings, Missing> {
        let config = self.file("AWS_CONFIG_FILE", ".aws/config").await?;
        let credentials = self.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials").await?;
        Ok(Settings::of(profile, &config, &credentials))
    }

    /// Returns the text of a file of profiles; empty if there is none.
    async fn file(&self, variable: &str, usual: &str) -> Result<String, Missing> {
        let named = self.environment.get(variable).map(Into::into);
        let Some(path) = named.or_else(|| self.environment.home(usual)) else {
            return Ok(String::new());
        };
        let exists = path.clone();
        let exists = tokio::task::spawn_blocking(move || crate::disk::exists(&exists)).await;
        match exists {
            Ok(Ok(false)) => Ok(String::new()),
            _ => read(path).await,
        }
    }

    fn web_identity(&self) -> Option<WebIdentity> {
        let token_file = self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")?;
        let role = self.environment.get("AWS_ROLE_ARN")?;
        let session = self.environment.get("AWS_ROLE_SESSION_NAME");
        Some(WebIdentity {
            role,
            token_file,
            session: session.unwrap_or_else(|| SESSION.to_owned()),
        })
    }

    async fn assume_by_token(&self, identity: WebIdentity) -> Result<Lease<Credentials>, Missing> {
        let WebIdentity { role, token_file, session } = identity;
        let token = read(token_file.into()).await?;
        let sts = self.sts.as_ref().map_err(Missing::new)?;
        let request = sts.form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role),
            ("RoleSessionName", &session),
            ("WebIdentityToken", token.trim()),
        ]);
        assumed(sts.call(request).await?)
    }

    async fn assume(
        &self,
        role: &str,
        session: &str,
        settings: &Settings,
        source: &Credentials,
    ) -> Result<Lease<Credentials>, Missing> {
        let sts = self.sts.as_ref().map_err(Missing::new)?;
        let mut fields = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
        ];
        fields.extend(settings.get("external_id").map(|id| ("ExternalId", id)));
        let (mut head, body) = sts.form(&fields).into_parts();
        head.headers.insert(http::header::HOST, sts.host().clone());
        let scope = Scope { service: "sts", region: self.region.clone() };
        let hash = BodyHash::of(&body.clone().into());
        sigv4::add(&mut head, &scope, source, &hash, SystemTime::now())
            .map_err(|e| Missing::new(format!("the request to {STS} cannot be signed: {e}")))?;
        assumed(sts.call(Request::from_parts(head, body)).await?)
    }

    async fn container(
        &self,
        endpoint: &Result<Endpoint, String>,
    ) -> Result<Lease<Credentials>, Missing> {
        let endpoint = endpoint.as_ref().map_err(Missing::new)?;
        let mut request = endpoint.request(Method::GET, Bytes::new());
        let token = match self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(read(file.into()).await?),
            None => self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        if let Some(token) = token {
            set_secret(request.headers_mut(), AUTHORIZATION, token.trim())?;
        }
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let json = endpoint.call(request).await?.success(CONTAINER_NAME)?;
        keys::of_json(&json, CONTAINER_NAME)
    }

    /// Returns the keys of the instance's role, by version 2 of the metadata service.
    async fn instance(&self) -> Result<Lease<Credentials>, Missing> {
        const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
        const TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let endpoint = self.instance.as_ref().map_err(Missing::new)?;
        let none = |Missing(why)| {
            Missing::new(format!(
                "no AWS credentials: not in the environment, a profile, a web identity or a container, and {why}"
            ))
        };
        let mut request = endpoint.request_at(Method::PUT, "/latest/api/token", Bytes::new());
        request.headers_mut().insert(TTL, HeaderValue::from_static("21600"));
        let token = endpoint.call(request).await.map_err(none)?.success(INSTANCE_NAME)?;
        let token = String::from_utf8_lossy(&token).trim().to_owned();
        let get = async |path: String| {
            let mut request = endpoint.request_at(Method::GET, &path, Bytes::new());
            set_secret(request.headers_mut(), TOKEN, &token)?;
            endpoint.call(request).await?.success(INSTANCE_NAME)
        };
        let roles = get(ROLES.to_owned()).await?;
        let roles = String::from_utf8_lossy(&roles).into_owned();
        let role = roles.lines().next().unwrap_or_default().trim();
        keys::of_json(&get(format!("{ROLES}{role}")).await?, INSTANCE_NAME)
    }
}

/// Returns the keys that a profile itself holds. They are read again later, since other programs
/// replace them.
fn fixed(settings: &Settings) -> Option<Lease<Credentials>> {
    let id = settings.get("aws_access_key_id")?;
    let secret = settings.get("aws_secret_access_key")?;
    let token = settings.get("aws_session_token").map(ToOwned::to_owned);
    let value = Credentials::new(id, secret, token, None, "profile");
    Some(Lease { value, expires: Some(SystemTime::now() + FILE_LASTS) })
}

fn assumed(response: Response) -> Result<Lease<Credentials>, Missing> {
    let status = response.status;
    let body = String::from_utf8_lossy(&response.body).into_owned();
    if status.is_success() {
        return keys::of_xml(&body, STS);
    }
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once('<'));
    let code = code.map_or("no code", |(code, _)| code);
    let code: String = code.chars().take(100).collect();
    Err(Missing::new(format!("{STS} answered {}: {code}", status.as_u16())))
}

fn no_profile(name: &str) -> Missing {
    Missing::new(format!(
        "the AWS profile `{name}` is not in the files of `~/.aws`, or has no credentials"
    ))
}

/// Returns a URL of the environment if its host may see the token: over TLS any host, otherwise this
/// machine and the addresses of ECS and EKS only.
fn trusted(url: String) -> Result<String, String> {
    let parsed =
        Url::parse(&url).map_err(|e| format!("AWS_CONTAINER_CREDENTIALS_FULL_URI: {e}"))?;
    let is_local = match parsed.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || matches!(ip.octets(), [169, 254, 170, 2 | 23]),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]
        }
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match is_local || parsed.scheme() == "https" {
        true => Ok(url),
        false => Err("AWS_CONTAINER_CREDENTIALS_FULL_URI must be `https://`, or an address of this machine, ECS or EKS".to_owned()),
    }
}

#[cfg(test)]
mod tests;
