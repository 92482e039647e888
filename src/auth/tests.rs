//! Tests of client keys: the header that counts, the accepted keys, the text of a refusal.
use std::collections::BTreeMap;

use crate::auth::entries::Entries;
use crate::auth::keys::{self, new_key};
use crate::auth::{Auth, Identity, Sources};
use crate::error::{Error, ErrorKind, Problem, Retry, Secret};
use futures_util::FutureExt;
use http::HeaderMap;

fn auth() -> Auth {
    let entry = |name: &str, key: &str, models: Option<&[&str]>| keys::Config {
        name: name.to_owned(),
        hash: None,
        key: Some(Secret::new(key)),
        models: models.map(|globs| globs.iter().map(|glob| (*glob).to_owned()).collect()),
        tools: None,
        expires: None,
        disabled: false,
        tags: BTreeMap::from([("team".to_owned(), name.to_owned())]),
        limits: Entries::default(),
        budget: Entries::default(),
    };
    let hashed = keys::Config {
        hash: Some(format!("sha256:{}", hex::encode(keys::digest("key-c")))),
        key: None,
        ..entry("c", "", None)
    };
    build(&[entry("a", "key-a", None), entry("b", "key-b", Some(&["claude-*", "x"])), hashed])
        .unwrap()
}

fn build(keys: &[keys::Config]) -> Result<Auth, Vec<Problem>> {
    Auth::build(Sources { keys, ..Sources::default() })
}

fn ask(auth: &Auth, headers: &[(&'static str, &str)]) -> Result<Identity, Error> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    // no key of these tests waits for anything
    auth.authenticate(&headers).now_or_never().unwrap()
}

#[track_caller]
fn check(headers: &[(&'static str, &str)], expected: Option<&str>) {
    let found = ask(&auth(), headers).ok().map(|identity| identity.caller.key.clone());
    assert_eq!(found.as_deref(), expected, "{headers:?}");
}

#[test]
fn a_key_counts_in_either_header() {
    check(&[("x-api-key", "key-a")], Some("a"));
    check(&[("authorization", "Bearer key-b")], Some("b"));
    check(&[("authorization", "bEaReR  key-c ")], Some("c"));
    check(&[("x-tidegate-key", "key-c")], Some("c"));
}

#[test]
fn a_key_that_is_not_listed_does_not_count() {
    check(&[], None);
    check(&[("x-api-key", "key-d")], None);
    check(&[("x-api-key", "")], None);
    check(&[("x-api-key", "Bearer key-a")], None);
    check(&[("authorization", "key-a")], None);
    check(&[("authorization", "Basic key-a")], None);
    check(&[("authorization", "Bearer ")], None);
    check(&[("x-api-key", "\u{e4}")], None);
}

#[test]
fn an_api_key_goes_before_a_bearer_even_if_it_is_wrong() {
    check(&[("authorization", "Bearer key-a"), ("x-api-key", "key-b")], Some("b"));
    check(&[("authorization", "Bearer key-a"), ("x-api-key", "wrong")], None);
    check(&[("authorization", "Bearer key-a"), ("x-api-key", "")], Some("a"));
}

#[test]
fn a_gateway_key_goes_before_all_and_keeps_the_callers_own_credential() {
    let headers =
        [("x-tidegate-key", "key-a"), ("authorization", "Bearer own-token"), ("x-api-key", "z")];
    let identity = ask(&auth(), &headers).unwrap();
    assert_eq!(identity.caller.key, "a");
    assert_eq!(identity.credential.as_ref().unwrap().expose(), "Bearer own-token");
    assert!(!format!("{identity:?}").contains("own-token"));
}

#[test]
fn a_bearer_that_was_the_gateway_key_is_not_kept() {
    assert!(ask(&auth(), &[("authorization", "Bearer key-a")]).unwrap().credential.is_none());
    let headers = [("x-api-key", "key-a"), ("authorization", "Bearer own-token")];
    assert!(ask(&auth(), &headers).unwrap().credential.is_none());
}

#[test]
fn a_gateway_key_in_both_headers_is_no_credential_of_the_callers() {
    for own in ["Bearer key-a", "Bearer key-b", "key-a"] {
        let headers = [("x-tidegate-key", "key-a"), ("authorization", own)];
        assert!(ask(&auth(), &headers).unwrap().credential.is_none(), "{own}");
    }
}

#[test]
fn a_refusal_is_a_401_that_shows_no_key_and_is_not_worth_a_retry() {
    for headers in
        [&[("x-api-key", "wrong-key")][..], &[("authorization", "Bearer wrong-key")], &[]]
    {
        let error = ask(&auth(), headers).unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Authentication, Retry::Never));
        assert!(error.message.contains("send a key"), "{error}");
        assert!(!format!("{error} {error:?}").contains("wrong-key"));
    }
}

#[test]
fn a_caller_may_name_the_models_of_its_key_only() {
    let identity = ask(&auth(), &[("x-api-key", "key-b")]).unwrap();
    assert!(identity.may_use("claude-opus") && identity.may_use("x"));
    assert!(!identity.may_use("xy") && !identity.may_use("gpt"));
    let error = identity.check_model("gpt").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permission);
    assert!(error.message.contains("`gpt`") && error.message.contains("`b`"), "{error}");
    assert!(ask(&auth(), &[("x-api-key", "key-a")]).unwrap().check_model("gpt").is_ok());
}

#[test]
fn a_caller_has_the_tags_of_its_key() {
    assert_eq!(ask(&auth(), &[("x-api-key", "key-c")]).unwrap().caller.tags["team"], "c");
}

#[test]
fn a_key_that_is_disabled_or_expired_is_refused_and_says_so() {
    let key = |expires: Option<&str>, disabled| keys::Config {
        name: "ci".to_owned(),
        hash: None,
        key: Some(Secret::new("key-a")),
        models: None,
        tools: None,
        expires: expires.map(|text| serde_json::from_value(text.into()).unwrap()),
        disabled,
        tags: BTreeMap::new(),
        limits: Entries::default(),
        budget: Entries::default(),
    };
    let headers = [("x-api-key", "key-a")];
    for (config, part) in [
        (key(None, true), "`ci` is disabled"),
        (key(Some("2020-01-31"), false), "`ci` expired at 2020-01-31T00:00:00Z"),
    ] {
        let auth = build(&[config]).unwrap();
        let error = ask(&auth, &headers).unwrap_err();
        assert_eq!((error.kind, error.retry), (ErrorKind::Authentication, Retry::Never));
        assert!(error.message.contains(part), "{error}");
        // a dead key is no credential of the client's either
        let open = build(&[
            key(None, true),
            keys::Config {
                name: "b".to_owned(),
                key: Some(Secret::new("key-b")),
                ..key(None, false)
            },
        ]);
        let both = [("x-tidegate-key", "key-b"), ("authorization", "Bearer key-a")];
        assert!(ask(&open.unwrap(), &both).unwrap().credential.is_none());
    }
    let future = build(&[key(Some("2999-01-31T00:00:00+01:00"), false)]).unwrap();
    assert_eq!(ask(&future, &headers).unwrap().caller.key, "ci");
}

#[test]
fn a_caller_may_use_the_server_tools_of_its_key_only() {
    let tools = |tools: &[&str]| keys::Config {
        name: "ci".to_owned(),
        hash: None,
        key: Some(Secret::new("key-a")),
        models: None,
        tools: Some(tools.iter().map(|tool| (*tool).to_owned()).collect()),
        expires: None,
        disabled: false,
        tags: BTreeMap::new(),
        limits: Entries::default(),
        budget: Entries::default(),
    };
    let identity = |of| ask(&build(&[tools(of)]).unwrap(), &[("x-api-key", "key-a")]).unwrap();
    let some = identity(&["web_*", "gateway:clock"]);
    assert!(some.may_call("web_search") && some.may_call("clock") && !some.may_call("clocks"));
    assert!(some.check_unlimited().unwrap_err().message.contains("server tools"));
    assert!(!identity(&[]).may_call("clock"));
    let all = ask(&auth(), &[("x-api-key", "key-a")]).unwrap();
    assert!(all.may_call("clock") && all.check_unlimited().is_ok());
}

#[test]
fn without_keys_everybody_gets_in() {
    let open = build(&[]).unwrap();
    let identity = ask(&open, &[("x-api-key", "anything")]).unwrap();
    assert!(identity.caller.key.is_empty() && identity.may_use("anything"));
    assert!(ask(&open, &[("authorization", "Bearer own")]).unwrap().credential.is_none());
}

#[test]
fn wrong_entries_are_all_reported() {
    let wrong = |name: &str, hash: Option<&str>| keys::Config {
        name: name.to_owned(),
        hash: hash.map(str::to_owned),
        key: None,
        models: None,
        tools: None,
        expires: None,
        disabled: false,
        tags: BTreeMap::new(),
        limits: Entries::default(),
        budget: Entries::default(),
    };
    let problems = build(&[wrong("a", Some("sha256:12")), wrong("a", None)]).unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["keys[0].hash", "keys[1].name", "keys[1]"]);
}

#[test]
fn no_two_new_keys_are_the_same() {
    let (one, other) = (new_key().unwrap(), new_key().unwrap());
    assert_ne!(one.key, other.key);
    assert_eq!(one.key.expose().len(), "tg_".len() + 64);
    assert_eq!(one.hash(), format!("sha256:{}", hex::encode(keys::digest(one.key.expose()))));
    let (first, last) =
        one.hint().split_once('…').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(one.key.expose().starts_with(&first) && one.key.expose().ends_with(&last));
    assert_eq!((first.len(), last.len()), (7, 4));
}
