//! The manifest as a section of the file, and the versions of the interface.
use crate::plugin_host::manifest_of;
use serde_json::json;

use super::{host, load_bytes, tool};
use crate::testing::made::{MANIFEST, Made, file, with_section};

#[tokio::test]
async fn a_manifest_is_read_without_running_the_component() {
    let wasm = Made::default().wasm();
    assert!(manifest_of(&wasm).unwrap().is_none());
    let told = manifest_of(&with_section(wasm, MANIFEST)).unwrap().unwrap();
    assert_eq!((told.name.as_str(), told.tools[0].name.as_str()), ("made", "made"));

    // a core module that never ends would be enough: its code is not read
    let told = manifest_of(&with_section(b"\0asm\x0d\0\x01\0".to_vec(), MANIFEST)).unwrap();
    assert_eq!(told.unwrap().version, "1.0.0");
}

#[test]
fn a_truncated_file_has_no_manifest_and_an_invalid_manifest_is_an_error() {
    let whole = with_section(Made::default().wasm(), MANIFEST);
    for end in [0, 7, 8, 40, whole.len() - 1] {
        assert!(manifest_of(&whole[..end]).unwrap().is_none(), "cut at {end}");
    }
    let wrong = manifest_of(&with_section(Made::default().wasm(), "{}")).unwrap_err();
    assert!(wrong.to_string().contains("missing field `name`"), "{wrong}");
}

#[tokio::test]
async fn a_component_loads_with_and_without_its_section() {
    for wasm in [Made::default().wasm(), with_section(Made::default().wasm(), MANIFEST)] {
        let (_folder, path) = file(&wasm);
        let plugin = host().load(&path, json!({})).await.unwrap();
        assert_eq!(tool(&plugin, "made", json!({})).await.unwrap(), "well");
    }
}

#[tokio::test]
async fn a_section_that_says_something_else_than_the_plugin_is_refused() {
    for (part, manifest) in [
        ("name", MANIFEST.replacen("made", "other", 1)),
        ("version", MANIFEST.replace("1.0.0", "2.0.0")),
        (
            "tools",
            MANIFEST.replace(r#""name":"made","description""#, r#""name":"m","description""#),
        ),
        ("wants", MANIFEST.replacen('{', r#"{"wants":{"hosts":["*"]},"#, 1)),
    ] {
        let (_, problems) = load_bytes(&with_section(Made::default().wasm(), &manifest)).await;
        let message = &problems[0].message;
        assert!(message.contains(&format!("differ in `{part}`")), "{part}: {message}");
    }
    // it may leave a hook unused, but must not have one that its section does not name
    let manifest = MANIFEST.replacen('{', r#"{"hooks":["on-request"],"#, 1);
    let made = Made { manifest: manifest.clone(), ..Made::default() };
    let (_, problems) = load_bytes(&with_section(made.wasm(), MANIFEST)).await;
    assert!(problems[0].message.contains("differ in `hooks`"), "{}", problems[0]);
    let (_, problems) = load_bytes(&with_section(Made::default().wasm(), &manifest)).await;
    assert!(problems[0].message.starts_with("names the hook `on-request` but"), "{}", problems[0]);
    let (_, problems) = load_bytes(&with_section(Made::default().wasm(), "[")).await;
    assert!(problems[0].message.starts_with("its section `tidegate:manifest`"), "{}", problems[0]);
}

#[tokio::test]
async fn a_config_is_checked_against_the_schema_before_the_plugin_runs() {
    let schema = r#"{"config_schema":{"type":"object","properties":{"limit":{"type":"integer","minimum":1}},"additionalProperties":false},"#;
    let manifest = MANIFEST.replacen('{', schema, 1);
    let described = Made { manifest: manifest.clone(), ..Made::default() }.wasm();
    // once as the plugin says it, once as its file does
    for wasm in [described.clone(), with_section(described, &manifest)] {
        let (_folder, path) = file(&wasm);
        host().load(&path, json!({"limit": 1, "memory": 2 << 20})).await.unwrap();
        for (config, expect) in [
            (json!({"limit": 0}), "plugins.config.made.limit: is 0, at least 1 is needed"),
            (json!({"limits": 1}), "plugins.config.made.limits: is not known: there are `limit`"),
        ] {
            let problems = host().load(&path, config).await.unwrap_err();
            assert_eq!(problems[0].to_string(), expect);
        }
    }
}

#[tokio::test]
async fn a_plugin_cannot_have_a_key_that_is_the_gateways() {
    let schema = r#"{"config_schema":{"type":"object","properties":{"memory":{}}},"#;
    let manifest = MANIFEST.replacen('{', schema, 1);
    let (_, problems) = load_bytes(&Made { manifest, ..Made::default() }.wasm()).await;
    assert!(problems[0].message.contains("`config_schema` has `memory`"), "{}", problems[0]);
}

#[tokio::test]
async fn a_border_of_another_version_is_refused_by_both_versions() {
    let types = Made { version: "0.7.0", ..Made::default() };
    let (_, problems) = load_bytes(&types.wasm()).await;
    let message = &problems[0].message;
    assert!(message.contains("wants `tidegate:plugin/types@0.7.0`"), "{message}");
    assert!(message.contains("this gateway offers version 0.1.0"), "{message}");

    let more = r#"(instance $later) (export "tidegate:plugin/hooks@1.0.0" (instance $later))"#;
    let exports = Made { more: more.to_owned(), ..Made::default() };
    let (_, problems) = load_bytes(&exports.wasm()).await;
    let message = &problems[0].message;
    assert!(message.contains("exports `tidegate:plugin/hooks@1.0.0`"), "{message}");
    assert!(message.contains("this gateway offers version 0.1.0"), "{message}");
}

#[tokio::test]
async fn a_later_version_of_the_same_border_loads_if_it_wants_no_more_of_it() {
    let (_folder, path) = Made { version: "0.1.9", ..Made::default() }.file();
    let plugin = host().load(&path, json!({})).await.unwrap();
    assert_eq!(tool(&plugin, "made", json!({})).await.unwrap(), "well");

    let more = r#"(import "tidegate:plugin/host@0.1.9" (instance (export "later" (func))))"#;
    let (_, problems) = load_bytes(&Made { more: more.to_owned(), ..Made::default() }.wasm()).await;
    let message = &problems[0].message;
    assert!(message.contains("`later` of `tidegate:plugin/host@0.1.9`"), "{message}");
}

#[tokio::test]
async fn a_component_of_another_world_is_rejected_as_a_plugin() {
    let (_, problems) = load_bytes(&wat::parse_str("(component)").unwrap()).await;
    assert!(problems[0].message.contains("does not export `describe`"), "{}", problems[0]);

    let other = r#"(component (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func (export "describe") (canon lift (core func $i "f"))))"#;
    let (_, problems) = load_bytes(&wat::parse_str(other).unwrap()).await;
    assert!(
        problems[0].message.contains("its `describe` differs from this gateway's"),
        "{}",
        problems[0]
    );

    let sockets = r#"(component (import "wasi:sockets/tcp@0.3.0" (instance)))"#;
    let (_, problems) = load_bytes(&wat::parse_str(sockets).unwrap()).await;
    assert!(problems[0].message.contains("imports `wasi:sockets/tcp@0.3.0`"), "{}", problems[0]);
}
