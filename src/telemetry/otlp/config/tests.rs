//! Tests of the config of the collector.
use std::time::Duration;

use serde_json::{Value, json};

use super::{Collector, OtlpConfig};

fn config(own: Value, variables: &[(&str, &str)]) -> OtlpConfig {
    let mut config: OtlpConfig = serde_json::from_value(own).unwrap();
    let lookup = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).into())
    };
    config.set_defaults(&lookup);
    config
}

fn collector(own: Value, variables: &[(&str, &str)]) -> Option<Collector> {
    config(own, variables).collector().unwrap()
}

#[track_caller]
fn leads_to(own: Value, variables: &[(&str, &str)], expected: &str) {
    let found = collector(own, variables).map(|collector| collector.url.to_string());
    assert_eq!(found.as_deref().unwrap_or_default(), expected);
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318");
const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/own/path");

#[test]
fn the_endpoint_comes_from_the_config_or_else_from_the_variables() {
    leads_to(json!({}), &[], "");
    leads_to(json!({"endpoint": "http://c:4318"}), &[], "http://c:4318/v1/traces");
    leads_to(json!({"endpoint": "http://c:4318/"}), &[ENDPOINT], "http://c:4318/v1/traces");
    leads_to(json!({"endpoint": "http://c/v1/traces"}), &[], "http://c/v1/traces");
    leads_to(json!({"endpoint": "https://c/api/otlp"}), &[], "https://c/api/otlp/v1/traces");
    leads_to(json!({}), &[ENDPOINT], "http://env:4318/v1/traces");
    leads_to(json!({}), &[ENDPOINT, TRACES], "https://traces/own/path");
    leads_to(json!({"endpoint": "off"}), &[ENDPOINT, TRACES], "");
    leads_to(json!({}), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], "");
}

#[test]
fn variables_that_turn_traces_off_leave_the_config_alone() {
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "console,zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ] {
        leads_to(json!({}), &[ENDPOINT, off], "");
        leads_to(json!({"endpoint": "http://c"}), &[off], "http://c/v1/traces");
    }
    for on in [
        ("OTEL_SDK_DISABLED", "false"),
        ("OTEL_TRACES_EXPORTER", "console, otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ] {
        leads_to(json!({}), &[ENDPOINT, on], "http://env:4318/v1/traces");
    }
}

fn headers(own: Value, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let collector = collector(json!({"endpoint": "http://c", "headers": own}), variables).unwrap();
    let pairs = collector.headers.iter();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let mut all: Vec<_> = pairs.map(|(name, value)| (name.to_string(), text(value))).collect();
    all.sort();
    all
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn the_headers_of_the_config_replace_those_of_the_variables() {
    let all = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%2Cb , x-team = t=1 ,");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-traces=1");
    assert_eq!(headers(json!({}), &[]), []);
    let found = headers(json!({}), &[all]);
    assert_eq!(found, [pair("authorization", "Bearer a,b"), pair("x-team", "t=1")]);
    assert_eq!(headers(json!({}), &[all, traces]), [pair("x-traces", "1")]);
    assert_eq!(headers(json!({"X-Own": "o"}), &[all]), [pair("x-own", "o")]);
}

#[test]
fn time_compression_and_certificate_have_variables() {
    let millis = ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500");
    let time = |own: Value, variables: &[_]| collector(own, variables).unwrap().timeout;
    let own = json!({"endpoint": "http://c"});
    assert_eq!(time(own.clone(), &[]), Duration::from_secs(10));
    assert_eq!(time(own.clone(), &[millis]), Duration::from_millis(2500));
    let timed = json!({"endpoint": "http://c", "timeout": "3s"});
    assert_eq!(time(timed, &[millis]), Duration::from_secs(3));
    let found = collector(own.clone(), &[]).unwrap();
    assert!(found.compresses && found.ca_file.is_none());
    let plain = ("OTEL_EXPORTER_OTLP_COMPRESSION", "none");
    let file = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem");
    let found = collector(own, &[plain, file]).unwrap();
    assert!(!found.compresses);
    assert_eq!(found.ca_file.unwrap().to_str(), Some("/etc/ca.pem"));
}

#[test]
fn the_resource_has_the_attributes_and_the_name_of_the_variables() {
    let list = ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=a%20b,service.name=x");
    let name = ("OTEL_SERVICE_NAME", "gateway-1");
    let resource =
        |variables: &[_]| collector(json!({"endpoint": "http://c"}), variables).unwrap().resource;
    assert_eq!(resource(&[]), []);
    let place = pair("deployment.environment.name", "a b");
    assert_eq!(resource(&[list]), [place.clone(), pair("service.name", "x")]);
    assert_eq!(resource(&[list, name]), [place, pair("service.name", "gateway-1")]);
}

#[track_caller]
fn wrong(own: Value, variables: &[(&str, &str)], expected: &[(&str, &str)]) {
    let found = config(own, variables).problems();
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    let expected_keys: Vec<_> = expected.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, expected_keys, "{found:?}");
    for ((_, message), (_, part)) in found.iter().zip(expected) {
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[test]
fn every_wrong_value_is_a_problem_that_quotes_no_secret() {
    let url = "expected a URL such as `http://localhost:4318`";
    for text in
        ["localhost:4318", "", "grpc://c:4317", "http://", "http://u:secret@c", "http://c?k=secret"]
    {
        wrong(json!({"endpoint": text}), &[], &[("endpoint", url)]);
        if !text.is_empty() {
            let named = "`OTEL_EXPORTER_OTLP_ENDPOINT`: expected a URL";
            wrong(json!({}), &[("OTEL_EXPORTER_OTLP_ENDPOINT", text)], &[("endpoint", named)]);
        }
    }
    for sample in [-0.1, 1.1] {
        wrong(json!({"sample": sample}), &[], &[("sample", "must be from 0 to 1")]);
    }
    wrong(json!({"timeout": "0s"}), &[], &[("timeout", "must be more than 0")]);
    wrong(json!({"headers": {"a b": "secret"}}), &[], &[("headers.a b", "the name of a header")]);
    wrong(json!({"headers": {"x": "secret\n"}}), &[], &[]);
    wrong(json!({"headers": {"x": "secret\n2"}}), &[], &[("headers.x", "no header may have")]);
    wrong(json!({"headers": {"Content-Type": "x"}}), &[], &[("headers.Content-Type", "itself")]);
    let list = "`OTEL_EXPORTER_OTLP_HEADERS`: expected a list";
    let headers = |text| ("OTEL_EXPORTER_OTLP_HEADERS", text);
    for text in ["secret", "a=1,secret", "=secret", "a=%ff"] {
        wrong(json!({}), &[ENDPOINT, headers(text)], &[("headers", list)]);
    }
    for (name, value, key, part) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "timeout", "expected milliseconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "endpoint", "expected `gzip` or `none`"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "c.pem", "endpoint", "not supported"),
        ("OTEL_RESOURCE_ATTRIBUTES", "secret", "endpoint", "`OTEL_RESOURCE_ATTRIBUTES`: expected"),
    ] {
        wrong(json!({}), &[ENDPOINT, (name, value)], &[(key, part)]);
    }
}

#[test]
fn the_debug_text_has_no_secret() {
    let own = json!({"endpoint": "http://c", "headers": {"authorization": "secret"}});
    let config = config(own, &[("OTEL_EXPORTER_OTLP_HEADERS", "a=secret")]);
    assert!(!format!("{config:?} {:?}", config.collector()).contains("secret"));
    assert!(!serde_json::to_string(&config).unwrap().contains("secret"));
    assert!(config.secrets().contains("secret"));
}
