//! The libraries: the results of their functions, the values that they leave alone, and their bounds.
use crate::error::ErrorKind;
use serde_json::json;

use super::{broken, edited, found, hook, refusal, run, says};

/// Checks pairs of an expression and its value as text.
fn shows(pairs: &[(&str, &str)]) {
    for (expression, value) in pairs {
        assert_eq!(&found(expression, "{}"), value, "{expression}");
    }
}

const CONVERSATION: &str = r#"{"system":[{"type":"text","text":"sys 1","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"plain 2"},{"role":"assistant","content":[{"type":"thinking","thinking":"deep 3","signature":"sig 4"},{"type":"text","text":"said 5","citations":[{"cited_text":"cited 6"}]},{"type":"tool_use","id":"t","name":"n","input":{"q":"query 7"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"got 8"},{"type":"image","source":{"type":"base64","data":"9"}}]},{"type":"tool_result","tool_use_id":"u","content":"got 10"},{"type":"document","title":"t 11","source":{"type":"text","media_type":"text/plain","data":"page 12"}},{"type":"search_result","source":"s 13","title":"t 14","content":[{"type":"text","text":"hit 15"}]}]}]}"#;

#[test]
fn each_text_visits_the_texts_of_people_and_tools_and_nothing_else() {
    let changed = edited("each_text(request, |t| regex_replace(t, `\\d+`, `#`));", CONVERSATION);
    let mut expected = CONVERSATION.to_owned();
    for text in
        ["sys 1", "plain 2", "said 5", "got 8", "got 10", "t 11", "page 12", "t 14", "hit 15"]
    {
        let word = text.split(' ').next().unwrap();
        expected = expected.replace(&format!("\"{text}\""), &format!("\"{word} #\""));
    }
    assert_eq!(changed, expected);
}

#[test]
fn a_part_of_a_request_can_be_meant_alone() {
    for (part, texts) in [
        ("system", "sys 1"),
        ("messages", "plain 2,said 5,t 11,page 12,t 14,hit 15"),
        ("tool_results", "got 8,got 10"),
    ] {
        let body = format!(
            "let all = []; each_text(request, \"{part}\", |t| {{ all.push(t); }}); deny(join(all, \",\"));"
        );
        let (_, outcome) = run(&hook(&body), CONVERSATION).unwrap();
        assert_eq!(refusal(outcome).message, texts, "{part}");
    }
    assert!(
        broken("each_text(request, \"all\", |t| t);", "{}").message.contains("takes the parts")
    );
}

#[test]
fn each_text_works_on_a_message_a_result_and_a_block() {
    for (body, expected) in [
        (
            r#"{"type":"message","content":[{"type":"text","text":"a"}]}"#,
            r#"{"type":"message","content":[{"type":"text","text":"A"}]}"#,
        ),
        (r#"{"tool":"t","content":"a"}"#, r#"{"tool":"t","content":"A"}"#),
        (
            r#"{"type":"tool_result","content":[{"type":"text","text":"a"}]}"#,
            r#"{"type":"tool_result","content":[{"type":"text","text":"A"}]}"#,
        ),
        (r#"{"type":"text","text":"a"}"#, r#"{"type":"text","text":"A"}"#),
    ] {
        assert_eq!(
            edited("if each_text(request, |t| t.to_upper()) != 1 { deny(\"?\"); }", body),
            expected
        );
    }
}

#[test]
fn a_request_with_unchanged_texts_keeps_its_bytes() {
    let spaced = CONVERSATION.replace("},{", "} ,\n{");
    for closure in ["|t| t", "|t| ()", "|t| { }"] {
        let (document, _) =
            run(&hook(&format!("each_text(request, {closure});")), spaced.clone()).unwrap();
        assert!(!document.is_edited(), "{closure}");
    }
}

#[test]
fn a_closure_that_returns_a_value_other_than_text_is_an_error() {
    let error = broken("each_text(request, |t| 1);", CONVERSATION);
    says(&error, &[":2:", "must return the new text or nothing, not a value of type `i64`"]);
    let (_, outcome) = run(
        &hook("each_text(request, |t| { if t == \"got 10\" { deny(403, \"x\") } });"),
        CONVERSATION,
    )
    .unwrap();
    assert_eq!(refusal(outcome).status(), 403);
}

#[test]
fn a_duplicate_key_on_the_way_is_the_callers_fault() {
    let body =
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}]}"#;
    for hook_body in [
        "each_text(request, |t| t);",
        "last_user_text(request);",
        "text_of(request.messages[0].content);",
    ] {
        assert_eq!(broken(hook_body, body).kind, ErrorKind::InvalidRequest, "{hook_body}");
    }
}

#[test]
fn texts_of_contents_are_joined() {
    let body = r#"{"system":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"messages":[{"role":"user","content":"first"},{"role":"user","content":[{"type":"image"},{"type":"text","text":"x"},{"type":"text","text":"y"}]},{"role":"assistant","content":"no"},{"role":"user","content":[{"type":"tool_result","content":"r"}]}]}"#;
    for (expression, value) in [
        ("text_of(request.system)", "a\nb"),
        ("text_of(request.messages[0])", "first"),
        ("text_of(request.messages[1].content)", "x\ny"),
        ("text_of(request.messages[1].content[1])", "x"),
        ("text_of(request.messages[3].content)", ""),
        ("text_of(request.missing)", ""),
        ("text_of([#{type: \"text\", text: \"m\"}])", "m"),
        ("text_of(#{content: \"c\"})", "c"),
        ("last_user_text(request)", "x\ny"),
    ] {
        assert_eq!(found(expression, body), value, "{expression}");
    }
    assert!(broken("text_of(1);", "{}").message.contains("not a value of type `i64`"));
}

#[test]
fn regular_expression_functions_match_find_and_replace() {
    shows(&[
        (r#"regex_match("abc", "^a.c$")"#, "true"),
        (r#"regex_match("abc", "b$")"#, "false"),
        (r#"regex_find("a1b22", "\\d+")"#, "1"),
        (r#"regex_find("abc", "\\d+") == ()"#, "true"),
        (r#"regex_find_all("a1b22", "\\d+")"#, r#"["1","22"]"#),
        (r#"regex_captures("k=v", "(\\w)=(\\w)(x)?")"#, r#"["k=v","k","v",null]"#),
        (r#"regex_captures("k", "=") == ()"#, "true"),
        (r#"regex_replace("a1b22", "\\d+", "<$0>")"#, "a<1>b<22>"),
        (r#"regex_replace("k=v", "(?<key>\\w)=(\\w)", "${key}$$2")"#, "k$2"),
        (r#"regex_replace("éé", "", "-")"#, "-é-é-"),
        (r#"regex_replace("a1b2", "\\d", |m| if m == "1" { "one" })"#, "aoneb2"),
    ]);
}

#[test]
fn a_wrong_pattern_is_named_only_if_the_script_has_it() {
    says(
        &broken("regex_match(\"x\", \"a(b\");", "{}"),
        &["a regular expression is invalid: unclosed group: `a(b`"],
    );
    says(&broken("regex_match(\"x\", \"\\\\d(\");", "{}"), &["unclosed group: `\\d(`"]);
    let error = broken("regex_match(\"x\", request.p);", r#"{"p":"secret("}"#);
    says(&error, &["a regular expression is invalid: unclosed group"]);
    assert!(!error.to_string().contains("secret"), "{error}");
    says(
        &broken("regex_match(\"x\", \"(\\\\w{200}){200}\");", "{}"),
        &["its compiled form is too big"],
    );
    says(
        &broken("let p = \"a\"; for i in 0..15 { p += p; } regex_match(\"x\", p);", "{}"),
        &["longer than 16384"],
    );
    let nested = format!("regex_match(\"x\", \"{}a{}\");", "(".repeat(300), ")".repeat(300));
    says(&broken(&nested, "{}"), &["a regular expression is invalid"]);
}

#[test]
fn more_patterns_than_are_kept_still_work() {
    let body = "let n = 0; for i in 0..600 { if regex_match(`k${i}`, `^k${i}$`) { n += 1; } } deny(`${n}`);";
    let (_, outcome) = run(&hook(body), "{}").unwrap();
    assert_eq!(refusal(outcome).message, "600");
}

#[test]
fn names_of_models_tell_family_and_version() {
    for (name, family, version) in [
        ("claude-opus-4-6-20260101", "opus", "4.6"),
        ("claude-opus-4-6", "opus", "4.6"),
        ("claude-haiku-4-5", "haiku", "4.5"),
        ("claude-sonnet-5", "sonnet", "5"),
        ("claude-fable-5-2", "fable", "5.2"),
        ("claude-sonnet-4-20250514", "sonnet", "4"),
        ("claude-opus-4@20250514", "opus", "4"),
        ("claude-3-5-sonnet-20241022", "sonnet", "3.5"),
        ("claude-3-5-haiku-latest", "haiku", "3.5"),
        ("claude-3-opus-20240229", "opus", "3"),
        ("claude-2.1", "", "2.1"),
        ("claude-instant-1.2", "instant", "1.2"),
        ("claude-mythos-preview", "mythos", ""),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "sonnet", "4.5"),
        ("us.anthropic.claude-opus-4-6-v1", "opus", "4.6"),
        ("anthropic/claude-sonnet-4.5", "sonnet", "4.5"),
        ("claude-sonnet-4-5[1m]", "sonnet", "4.5"),
        (
            "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
            "haiku",
            "3",
        ),
        ("gpt-4o", "", ""),
        ("", "", ""),
        ("claude-", "", ""),
    ] {
        assert_eq!(found(&format!("model_family(\"{name}\") ?? \"\""), "{}"), family, "{name}");
        assert_eq!(found(&format!("model_version(\"{name}\") ?? \"\""), "{}"), version, "{name}");
    }
    shows(&[
        (r#"model_at_least("claude-opus-4-6", "4.5")"#, "true"),
        (r#"model_at_least("claude-opus-4-10", "4.9")"#, "true"),
        (r#"model_at_least("claude-opus-4", "4.0")"#, "true"),
        (r#"model_at_least("claude-opus-4", 4)"#, "true"),
        (r#"model_at_least("claude-3-5-sonnet-20241022", "4")"#, "false"),
        (r#"model_at_least("claude-mythos-preview", "1")"#, "false"),
        (r#"model_at_least("gpt-5", "4")"#, "false"),
    ]);
    says(
        &broken("model_at_least(\"claude-opus-4\", \"four\");", "{}"),
        &["takes a version as \"4.5\": `four`"],
    );
}

#[test]
fn globs_are_those_of_when() {
    shows(&[
        (r#"glob("claude-*", "claude-opus")"#, "true"),
        (r#"glob("claude-?", "claude-opus")"#, "false"),
        (r#"glob(["a*", "*s"], "opus")"#, "true"),
        (r#"glob([], "opus")"#, "false"),
    ]);
    assert_eq!(found("glob(request.l, \"b\")", r#"{"l":["a","b"]}"#), "true");
    assert!(broken("glob([1], \"a\");", "{}").message.contains("takes texts as patterns"));
    assert!(
        broken("let p = \"*a\"; for i in 0..8 { p += p; } glob(p, \"a\");", "{}")
            .message
            .contains("use `regex_match` for longer ones")
    );
}

#[test]
fn digests_are_the_same_everywhere() {
    shows(&[
        (r#"sha256("abc")"#, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            r#"hmac_sha256("key", "The quick brown fox jumps over the lazy dog")"#,
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8",
        ),
        (r#"hash("")"#, "-3750763034362895579"),
        (r#"hash("foobar")"#, "-8821353812377114648"),
        (r#"bucket("ci", 100)"#, "58"),
        (r#"bucket("", 100)"#, "52"),
        (r#"bucket("key-1", 2)"#, "1"),
        (r#"bucket("ü", 1000)"#, "28"),
        (r#"bucket("session-1", 7)"#, "3"),
        (r#"bucket("x", 1)"#, "0"),
    ]);
    says(&broken("bucket(\"a\", 0);", "{}"), &["at least 1 bucket"]);
}

#[test]
fn keys_are_spread_evenly_over_buckets() {
    let body = "let n = 0; for i in 0..2000 { if bucket(`session-${i}`, 10) == 0 { n += 1; } } deny(`${n}`);";
    let (_, outcome) = run(&hook(body), "{}").unwrap();
    let n: i64 = refusal(outcome).message.parse().unwrap();
    assert!((150..250).contains(&n), "{n}");
}

#[test]
fn codes_go_both_ways() {
    shows(&[
        (r#"base64_encode("häl?>")"#, "aMOkbD8+"),
        (r#"base64_decode("aMOkbD8+")"#, "häl?>"),
        (r#"base64_decode("aMOkbD8-")"#, "häl?>"),
        (r#"base64_decode("aGk")"#, "hi"),
        (r#"hex_encode("hä")"#, "68c3a4"),
        ("to_json(\"a\\\"b\")", r#""a\"b""#),
        ("to_json(())", "null"),
        ("to_json(1.5)", "1.5"),
        ("to_json([1, #{a: true}])", r#"[1,{"a":true}]"#),
        ("size_of([1, 2])", "5"),
        ("estimate_tokens(\"\")", "0"),
        ("estimate_tokens(\"12345\")", "2"),
        ("estimate_tokens(\"日本語\")", "3"),
    ]);
    let error = broken("base64_decode(request.t);", r#"{"t":"se!cret"}"#);
    says(&error, &["the text is not valid Base64"]);
    assert!(!error.to_string().contains("cret"), "{error}");
    says(&broken("base64_decode(\"/w==\");", "{}"), &["is not UTF-8 text"]);
}

#[test]
fn an_image_counts_as_an_image() {
    let image = "QUJD".repeat(200_000);
    let body = json!({"messages": [{"role": "user", "content": [{"type": "image", "source": {"data": image}}]}]});
    let tokens: i64 = found("estimate_tokens(request)", &body.to_string()).parse().unwrap();
    assert!((1500..1600).contains(&tokens), "{tokens}");
    assert_eq!(found("size_of(request)", &body.to_string()), body.to_string().len().to_string());
}

#[test]
fn times_are_returned_in_utc_and_in_time_zones() {
    let moment = "1795248000"; // 2026-11-21 08:00:00 UTC, a Saturday
    for (expression, value) in [
        ("utc(N).date", "2026-11-21"),
        ("utc(N).time", "08:00:00"),
        ("utc(N).weekday", "6"),
        ("utc(N).day", "21"),
        ("time_in(\"Europe/Berlin\", N).time", "09:00:00"),
        ("time_in(\"America/New_York\", N).hour", "3"),
        ("time_in(\"Asia/Kolkata\", N).minute", "30"),
        ("time_in(\"Europe/Berlin\", 1782900000).time", "12:00:00"),
        ("now() - now_ms() / 1000 in -1..=1", "true"),
    ] {
        assert_eq!(
            found(
                &expression.replace('N', moment).replace("America/1795248000ew", "America/New"),
                "{}"
            ),
            value,
            "{expression}"
        );
    }
    says(&broken("time_in(\"Mars/Base\");", "{}"), &["unknown time zone", "`Mars/Base`"]);
    says(&broken("utc(9223372036854775807);", "{}"), &["too far from 1970"]);
}

#[test]
fn text_functions_that_rhai_lacks_are_available() {
    shows(&[
        (r#"trimmed(" a ")"#, "a"),
        (r#""a-b".replaced("-", "")"#, "ab"),
        (r#"strip_prefix("eu.x", "eu.")"#, "x"),
        (r#"strip_prefix("x", "eu.")"#, "x"),
        (r#"strip_suffix("x!", "!")"#, "x"),
        (r#"shortened("äöü", 2)"#, "äö…"),
        (r#"shortened("äöü", 3)"#, "äöü"),
        (r#"join(["a", 1, true], "-")"#, "a-1-true"),
        (r#"join([], "-")"#, ""),
    ]);
    assert_eq!(found("join(request.l, \"+\")", r#"{"l":["a","b"]}"#), "a+b");
    says(&broken("join([[]], \"\");", "{}"), &["takes texts, numbers and booleans"]);
}

#[test]
fn replaced_rhai_functions_return_the_same_results() {
    shows(&[
        (
            r#"{ let s = "aXbXc"; s.replace("X", "--"); s.replace('b', 'd'); s.replace("a", '1'); s.replace('c', "22"); s }"#,
            "1--d--22",
        ),
        (r#"{ let s = "ab"; s.pad(5, '*'); s }"#, "ab***"),
        (r#"{ let s = "ab"; s.pad(7, "xyz"); s.pad(3, "q"); s }"#, "abxyzxy"),
        (r#""a,b,c".split(",")"#, r#"["a","b","c"]"#),
        (r#""a,b,c".split(',', 2)"#, r#"["a","b,c"]"#),
        (r#"" a  b ".split()"#, r#"["a","b"]"#),
        (r#""abc".split(1)"#, r#"["a","bc"]"#),
        (r#""a,b,c".split_rev(",")"#, r#"["c","b","a"]"#),
        (r#""a,b,c".split_rev(",", 2)"#, r#"["c","a,b"]"#),
        (r#""ab".to_chars()"#, r#"["a","b"]"#),
    ]);
}

#[test]
fn a_closure_is_called_one_in_errors() {
    let error = broken("each_text(request, |t| t.pop(\"x\"));", r#"{"messages":[],"system":"x"}"#);
    says(&error, &["there is no function `pop (", "in a closure, called at line 2"]);
}

#[test]
fn lists_of_a_request_have_the_methods_of_arrays() {
    let body = r#"{"list":[1,2,3],"own":{"tag":[{"n":1},{"n":2}]}}"#;
    for (expression, expected) in [
        ("request.list.filter(|n| n > 1)", "[2,3]"),
        ("request.list.map(|n| n * 2)", "[2,4,6]"),
        ("request.list.some(|n| n == 3)", "true"),
        ("request.list.all(|n| n == 3)", "false"),
        ("request.list.find(|n| n > 1)", "2"),
        ("request.own[\"tag\"].find_map(|o| if o.n > 1 { o.n })", "2"),
        ("request.list.reduce(|sum, n| sum + n, 10)", "16"),
        ("[0] + request.list", "[0,1,2,3]"),
        ("request.list + [4]", "[1,2,3,4]"),
        ("request.list + request.list", "[1,2,3,1,2,3]"),
        ("[1].to_array() + request.list.to_array()", "[1,1,2,3]"),
        ("#{a: 1}.to_map().a", "1"),
        (
            "snake_case(#{maxTokens: #{innerName: [#{aB: 1}]}, x_y: 2, \"X-Y\": 3})",
            "{\"X-Y\":3,\"max_tokens\":{\"inner_name\":[{\"a_b\":1}]},\"x_y\":2}",
        ),
    ] {
        assert_eq!(found(expression, body), expected, "{expression}");
    }
    let each = "request.own[\"tag\"].for_each(|| { this.n = 7; });";
    assert_eq!(edited(each, body), body.replace(r#"{"n":1},{"n":2}"#, r#"{"n":7},{"n":7}"#));
    let lists = "request.list = [0] + request.list.filter(|n| n > 2);";
    assert_eq!(edited(lists, body), body.replace("[1,2,3]", "[0,3]"));
}

#[test]
fn names_that_become_one_in_snake_case_break() {
    let error = broken("snake_case(#{aB: 1, a_b: 2});", "{}");
    says(&error, &["two members of a map have the same name in snake case"]);
}

#[test]
fn a_pick_is_stable_and_as_often_as_its_weight_says() {
    let body = r#"{"list":[{"to":"a","weight":1},{"to":"b","weight":3},{"to":"none","weight":0}]}"#;
    let count = "let all = []; for n in 0..400 { all.push(pick(`k${n}`, request.list).to); } deny(`${all.filter(|to| to == \"a\").len()} ${all.filter(|to| to == \"b\").len()}`)";
    let (_, outcome) = run(&hook(count), body).unwrap();
    let message = refusal(outcome).message;
    let (a, b) = message.split_once(' ').unwrap();
    let (a, b): (u32, u32) = (a.parse().unwrap(), b.parse().unwrap());
    assert!(a + b == 400 && (70..130).contains(&a), "{message}");
    assert_eq!(found("pick(\"x\", [5])", "{}"), "5");
    for (choices, expected) in [
        ("[]", "`pick` takes a list with a weight above 0"),
        ("[#{weight: 0}]", "`pick` takes a list with a weight above 0"),
        ("[#{weight: -1}]", "a `weight` given to `pick` must be a number, 0 or more"),
        ("[#{weight: \"x\"}]", "a `weight` given to `pick` must be a number, 0 or more"),
    ] {
        says(&broken(&format!("pick(\"k\", {choices});"), "{}"), &[expected]);
    }
}
