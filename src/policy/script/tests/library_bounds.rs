//! The bounds of the libraries: the size of the values that they build, and the checks of the deadline.
use std::time::Duration;

use serde_json::json;

use super::{broken, found, limited, limited_over, says};
use crate::policy::script::Limits;

/// 16 MiB of `a` in `s`.
const BIG: &str = "let s = \"a\"; for i in 0..24 { s += s; }";

#[test]
fn no_function_builds_more_than_the_limits_allow() {
    for act in [
        "s.replace(\"a\", s);",
        "s.replace(\"\", \"0123456789\");",
        "replaced(s, \"a\", \"0123456789\");",
        "regex_replace(s, \"a\", s);",
        "regex_replace(s, \"a\", \"0123456789\");",
        "regex_replace(s, \"(a+)\", \"$1$1$1$1\");",
        "regex_replace(s, \"a+\", |m| m + m + m);",
        "regex_replace(\"a\".repeated(), \"a\", |m| s);",
        "let b = \"a\"; b.pad(100000000, \"x\");",
        "let b = \"a\"; b.pad(9223372036854775807, \"xyz\");",
        "let b = \"a\"; b.pad(30000000, \"日本語\");",
        "join([s, s, s], \"\");",
        "let b = s + s + s;",
        "`${s}${s}${s}`;",
        "base64_encode(s + s);",
        "hex_encode(s + s);",
        "s.split(\"a\");",
        "s.split('a');",
        "s.split_rev(\"a\");",
        "s.split(\"\");",
        "s.split(\"a\", 1000000000);",
        "s.to_chars();",
        "regex_find_all(s, \"a\");",
    ] {
        let act = act.replace("\"a\".repeated()", "\"aaaaaaaaaa\"");
        says(&broken(&format!("{BIG} {act}"), "{}"), &["over its limit"]);
    }
    says(&broken("let b = \"a\"; b.pad(10, \"\");", "{}"), &["needs a text to pad with"]);
}

#[test]
fn a_native_loop_looks_at_the_deadline() {
    for act in [
        "loop { regex_find_all(s, \"b\"); }",
        "loop { sha256(s); }",
        // a function that ran to its end would throw
        "throw regex_replace(s, \"a\", |m| m);",
        "throw regex_replace(s, \"a\", \"b\");",
        "loop { regex_captures(s, \"(a)b\"); }",
    ] {
        let limits =
            Limits { operations: u64::MAX, time: Duration::from_millis(60), ..Limits::default() };
        says(&limited(limits, &format!("{BIG} {act}")), &["longer than 60 ms"]);
    }
}

#[test]
fn a_walk_over_a_long_conversation_ends_at_the_deadline() {
    let message = json!({"role": "user", "content": "x"});
    let body = json!({"messages": vec![message; 200_000]}).to_string();
    let limits = Limits {
        operations: u64::MAX,
        time: Duration::from_millis(20),
        time_per_mib: Duration::ZERO,
        ..Limits::default()
    };
    for act in [
        // a function that ran to its end would throw
        "throw each_text(request, |t| t);",
        "throw text_of(request.messages);",
        "last_user_text(request); loop {}",
        "throw request.messages.to_array();",
    ] {
        says(&limited_over(limits, act, &body), &["longer than 20 ms"]);
    }
}

#[test]
fn json_is_parsed_no_further_than_a_script_may_hold() {
    assert_eq!(
        found(
            "parse_json(request.t)",
            r#"{"t":"{\"b\":[1,1.5,-2,true,null,\"x\"],\"a\":18446744073709551615}"}"#
        ),
        r#"{"a":1.8446744073709552e+19,"b":[1,1.5,-2,true,null,"x"]}"#
    );
    // a parser that continued would find that the end is no JSON
    let body = json!({"t": format!("[{} and no end", "[],".repeat(2_000_000))}).to_string();
    says(&broken("parse_json(request.t);", &body), &["it has more values than a script may hold"]);
    let error = broken("parse_json(request.t);", r#"{"t":"[secret"}"#);
    says(&error, &["the text is not valid JSON"]);
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn the_values_of_a_wide_object_end_at_the_deadline() {
    let members: serde_json::Map<String, serde_json::Value> =
        (0..100_000).map(|n| (format!("k{n}"), json!(n))).collect();
    let body = json!({ "m": members }).to_string();
    let limits = Limits {
        time: Duration::from_millis(20),
        time_per_mib: Duration::ZERO,
        ..Limits::default()
    };
    for act in ["throw request.m.values();", "throw request.m.to_map();"] {
        says(&limited_over(limits, act, &body), &["longer than 20 ms"]);
    }
}
