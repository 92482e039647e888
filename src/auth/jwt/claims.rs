//! The claims of a token whose signature is right: whether they count now, and the client that they name.
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::auth::identity::Caller;
use crate::auth::jwt::config::JwtConfig;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// The most characters of a name, a subject or a tag.
const LONGEST: usize = 256;

/// The client of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) caller: Caller,
    /// The second from which the token is refused.
    pub(super) end: u64,
}

/// Checks the claims at the second `now`. Every claim has its exact type: a wrong one never counts as absent.
///
/// Fails with the reason, which holds no value of a claim.
pub(super) fn subject(claims: &Claims, config: &JwtConfig, now: u64) -> Result<Subject, String> {
    let leeway = config.leeway.as_secs();
    if claims.get("iss").and_then(Value::as_str) != Some(&config.issuer) {
        return Err("`iss` is not this issuer".to_owned());
    }
    if !has_audience(claims.get("aud"), &config.audience)? {
        return Err("it is for another audience (`aud`)".to_owned());
    }
    let end = seconds(claims, "exp")?.ok_or("`exp` is missing")?.saturating_add(leeway);
    if end <= now {
        return Err("it has expired (`exp`)".to_owned());
    }
    if seconds(claims, "nbf")?.is_some_and(|begin| begin > now.saturating_add(leeway)) {
        return Err("it is not valid yet (`nbf`)".to_owned());
    }
    if seconds(claims, "iat")?.is_some_and(|made| made > now.saturating_add(leeway)) {
        return Err("it was issued in the future (`iat`): the clocks differ".to_owned());
    }
    if let Some(clients) = &config.clients {
        let client = ["azp", "client_id"].iter().find_map(|name| claims.get(*name));
        let client = client.and_then(Value::as_str).unwrap_or_default();
        if !clients.iter().any(|own| own == client) {
            return Err("it was issued to another application (`azp`)".to_owned());
        }
    }
    let id = claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty());
    let id = printable(id.ok_or("`sub` is missing, or no text")?, "sub")?;
    Ok(Subject { caller: caller(claims, config, &id)?, end })
}

fn caller(claims: &Claims, config: &JwtConfig, id: &str) -> Result<Caller, String> {
    let name = text(claims, &config.name)?;
    let name =
        name.ok_or_else(|| format!("the claim `{}`, the client's name, is missing", config.name))?;
    let mut tags = BTreeMap::new();
    for (tag, pointer) in &config.tags {
        if let Some(value) = text(claims, pointer)? {
            tags.insert(tag.clone(), value);
        }
    }
    // a name may be shared, or change: limits count by issuer and subject
    let subject = Some(format!("{} {id}", config.issuer));
    Ok(Caller { key: name, tags, subject, allowance: None })
}

fn has_audience(claim: Option<&Value>, own: &str) -> Result<bool, String> {
    let wrong = || "`aud` is missing, or neither a text nor a list of texts".to_owned();
    match claim {
        Some(Value::String(text)) => Ok(text == own),
        Some(Value::Array(all)) => {
            let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            Ok(texts.ok_or_else(wrong)?.contains(&own))
        }
        _ => Err(wrong()),
    }
}

/// Returns the whole seconds of a claim.
fn seconds(claims: &Claims, name: &str) -> Result<Option<u64>, String> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds =
        value.as_u64().ok_or_else(|| format!("`{name}` is no whole number of seconds"))?;
    Ok(Some(seconds))
}

/// Returns the text of a claim, by its name or by a JSON pointer; `None` if it is absent.
fn text(claims: &Claims, place: &str) -> Result<Option<String>, String> {
    let (first, value) = match place.strip_prefix('/') {
        None => (place.to_owned(), claims.get(place)),
        Some(rest) => {
            let (first, inner) =
                rest.split_once('/').map_or((rest, ""), |(first, _)| (first, &rest[first.len()..]));
            let first = first.replace("~1", "/").replace("~0", "~");
            let value = claims.get(&first).and_then(|value| value.pointer(inner));
            (first, value)
        }
    };
    refuse_link(claims, &first)?;
    if first == "email" {
        refuse_unverified(claims)?;
    }
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => printable(text, place).map(Some),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
        Some(_) => Err(format!("the claim `{place}` is neither a text nor a number")),
    }
}

/// Fails if the issuer replaced a claim by a link, since it was too large.
fn refuse_link(claims: &Claims, name: &str) -> Result<(), String> {
    let is_link = claims.get("_claim_names").is_some_and(|names| names.get(name).is_some())
        || (name == "groups"
            && claims.get("hasgroups").is_some_and(|has| *has != Value::Bool(false)));
    match is_link {
        true => Err(format!(
            "the issuer left out the claim `{name}`, since it has too many entries: have it send the groups of this application only"
        )),
        false => Ok(()),
    }
}

/// Fails if the issuer says that it did not check the e-mail address.
fn refuse_unverified(claims: &Claims) -> Result<(), String> {
    match claims.get("email_verified") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(Value::String(text)) if text == "true" => Ok(()),
        Some(_) => Err("its `email` is not verified (`email_verified`)".to_owned()),
    }
}

/// Returns a text that logs and metrics can hold.
fn printable(text: &str, place: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("the claim `{place}` is empty"));
    }
    if text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(format!(
            "the claim `{place}` has more than {LONGEST} characters, or control characters"
        ));
    }
    Ok(text.to_owned())
}
