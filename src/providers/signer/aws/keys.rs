//! Temporary keys as the servers of AWS send them.
use std::time::SystemTime;

use aws_credential_types::Credentials;
use serde::Deserialize;

use crate::error::Secret;
use crate::providers::signer::cached::{Lease, Missing};

/// The JSON of the container endpoint, of the instance metadata and of programs.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Json {
    access_key_id: String,
    secret_access_key: Secret,
    #[serde(alias = "SessionToken")]
    token: Option<Secret>,
    expiration: Option<String>,
}

/// Reads keys from JSON.
///
/// Fails, without a word of the text, if they are not all in it.
pub(super) fn of_json(json: &[u8], source: &'static str) -> Result<Lease<Credentials>, Missing> {
    let incomplete = |_| Missing::new(format!("{source} answered without keys"));
    let Json { access_key_id, secret_access_key, token, expiration } =
        serde_json::from_slice(json).map_err(incomplete)?;
    let token = token.map(|token| token.expose().to_owned());
    let expires = expiration.map(|text| moment(&text, source)).transpose()?;
    let secret = secret_access_key.expose();
    let value = Credentials::new(access_key_id, secret, token, expires, source);
    Ok(Lease { value, expires })
}

/// Reads keys from the XML of the Security Token Service. Its texts have no entities.
pub(super) fn of_xml(xml: &str, source: &'static str) -> Result<Lease<Credentials>, Missing> {
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        Some(rest.split_once('<')?.0.trim())
    };
    let whole = || {
        let keys = (element("AccessKeyId")?, element("SecretAccessKey")?);
        Some((keys, element("SessionToken")?, element("Expiration")?))
    };
    let incomplete = || Missing::new(format!("{source} answered without keys"));
    let ((id, secret), token, expiration) = whole().ok_or_else(incomplete)?;
    let expires = Some(moment(expiration, source)?);
    let value = Credentials::new(id, secret, Some(token.to_owned()), expires, source);
    Ok(Lease { value, expires })
}

fn moment(text: &str, source: &str) -> Result<SystemTime, Missing> {
    let read = text.parse::<jiff::Timestamp>();
    let wrong = |_| Missing::new(format!("{source} answered with an expiration that is no time"));
    read.map(SystemTime::from).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const XML: &str = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult><Credentials><SessionToken>tok+en==</SessionToken><SecretAccessKey>s/k</SecretAccessKey><Expiration>2026-11-28T12:00:00Z</Expiration><AccessKeyId>ASIA1</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";

    #[test]
    fn keys_are_read_from_xml_and_json() {
        let json = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"s/k","Token":"tok+en==","Expiration":"2026-11-28T12:00:00Z"}"#;
        for lease in [of_xml(XML, "x").unwrap(), of_json(json.as_bytes(), "x").unwrap()] {
            assert_eq!(lease.value.access_key_id(), "ASIA1");
            assert_eq!(lease.value.secret_access_key(), "s/k");
            assert_eq!(lease.value.session_token(), Some("tok+en=="));
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_867_200);
            assert_eq!(lease.expires, Some(at));
        }
    }

    #[test]
    fn incomplete_keys_are_refused_without_their_text() {
        let json = r#"{"AccessKeyId":"ASIA1","SecretAccessKey":5}"#;
        for found in [
            of_json(json.as_bytes(), "the server"),
            of_xml("<AccessKeyId>A</AccessKeyId>", "the server"),
        ] {
            assert_eq!(&*found.unwrap_err().0, "the server answered without keys");
        }
        let late = XML.replace("2026-11-28T12:00:00Z", "soon");
        assert!(of_xml(&late, "x").unwrap_err().0.contains("expiration"));
    }
}
