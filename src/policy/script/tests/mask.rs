//! `mask`, `masked` and `normalized`: the places they see, the forms they find, and the bytes they leave.
use std::time::Duration;

use serde_json::json;

use super::{broken, compile, edited, found, hook, limited_over, run, says};
use crate::error::ErrorKind;
use crate::policy::script::Limits;

/// Returns a request with one text of the user.
fn user(text: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":{text}}}]}}"#)
}

/// Checks the body after a hook for the content of the user's message, as JSON.
fn masks(act: &str, pairs: &[(&str, &str)]) {
    for (before, after) in pairs {
        assert_eq!(edited(act, &user(before)), user(after), "{act}");
    }
}

#[test]
fn a_match_is_replaced_and_everything_else_keeps_its_bytes() {
    masks(
        r#"mask(request, "k\\d+", "[k]");"#,
        &[
            (r#""a k1\n\u00e9 \/ k22""#, r#""a [k]\n\u00e9 \/ [k]""#),
            (
                r#"[ {"type" : "text","text":"k1" , "n":1.50} ]"#,
                r#"[ {"type" : "text","text":"[k]" , "n":1.50} ]"#,
            ),
            // the pattern reads the text, not its escapes
            (r#""\u006b\u0031 \\k2""#, r#""[k] \\[k]""#),
            // half a character elsewhere in the text is nobody's fault
            (r#""\ud83d k1 \ud83d\ude00""#, r#""\ud83d [k] \ud83d\ude00""#),
            (r#""nothing""#, r#""nothing""#),
        ],
    );
    masks(r#"mask(request, "line\nend", "a\"\n");"#, &[(r#""x line\nend y""#, r#""x a\"\n y""#)]);
}

#[test]
fn a_request_without_matches_is_the_very_bytes() {
    let (document, _) = run(&hook(r#"mask(request, "k\\d", "x");"#), user(r#""a""#)).unwrap();
    assert!(!document.is_edited());
}

#[test]
fn the_number_of_replacements_is_returned() {
    let body = user(r#"[{"type":"text","text":"k1 k2"},{"type":"text","text":"k3"}]"#);
    assert_eq!(found(r#"mask(request, "k\\d", "x")"#, &body), "3");
    assert_eq!(found(r#"mask(request, "z", "x")"#, &body), "0");
    // a match that stays is no replacement
    assert_eq!(found(r#"mask(request, "k\\d", |k| if k == "k2" { "x" })"#, &body), "1");
}

#[test]
fn patterns_are_a_text_a_list_or_a_map() {
    for (call, after) in [
        (r#"mask(request, "a\\d", "x")"#, "x b2 c3"),
        (r#"mask(request, ["a\\d", "b\\d"], "x")"#, "x x c3"),
        (
            r#"mask(request, #{one: "a\\d", two: "b\\d"}, #{one: "1", two: "2", more: "3"})"#,
            "1 2 c3",
        ),
        (r#"mask(request, #{one: "a\\d", two: #{pattern: "b\\d"}}, "x")"#, "x x c3"),
        (r#"mask(request, #{pattern: "a\\d"}, "x")"#, "x b2 c3"),
        (r#"mask(request, "[a-c]\\d", |m| `<${m}>`)"#, "<a1> <b2> <c3>"),
        (r#"mask(request, ["[ab]\\d", "c"], |m| if m != "b2" { "" })"#, " b2 3"),
        // only the group is replaced
        (r#"mask(request, "a(?<mask>\\d) b", "x")"#, "ax b2 c3"),
        // no text of a group: the replacement is no template
        (r#"mask(request, "(a)1", "$1")"#, "$1 b2 c3"),
        (r#"mask(request, [], "x")"#, "a1 b2 c3"),
    ] {
        assert_eq!(
            edited(&format!("{call};"), &user(r#""a1 b2 c3""#)),
            user(&format!("\"{after}\"")),
            "{call}"
        );
    }
}

#[test]
fn no_pattern_hides_the_rest_of_another_ones_match() {
    let act = r#"mask(request, ["token", "token-\\d+", "n-12345-x"], "[x]");"#;
    masks(act, &[(r#""a token-12345-x b token""#, r#""a [x] b [x]""#)]);
}

#[test]
fn a_check_decides_about_a_match() {
    let act = r#"mask(request, #{card: #{pattern: "\\d{16}", check: "luhn"}, iban: #{pattern: "[A-Z]{2}\\d{20}", check: "iban"}}, #{card: "[c]", iban: "[i]"});"#;
    masks(
        act,
        &[(
            r#""4111111111111111 4111111111111112 DE89370400440532013000 DE88370400440532013000""#,
            r#""[c] 4111111111111112 [i] DE88370400440532013000""#,
        )],
    );
}

#[test]
fn a_function_may_read_the_request_meanwhile() {
    masks(
        r#"mask(request, "k\\d", |k| k + request.messages.len() + request.messages[0].role);"#,
        &[(r#""k1 k2""#, r#""k11user k21user""#)],
    );
}

#[test]
fn other_spellings_of_a_text_are_found_and_masked_whole() {
    masks(
        r#"mask(request, ["Müller", "\\d{4}-\\d{4}", "key abc", "sk-\\w+"], "[x]");"#,
        &[
            (r#""Frau Mu\u0308ller, Frau Müller""#, r#""Frau [x], Frau [x]""#),
            ("\"Mu\u{308}ller!\"", r#""[x]!""#),
            ("\"nr ４１１１‑１１１１ ok\"", r#""nr [x] ok""#),
            ("\"my key\u{a0}abc\u{200b}.\"", "\"my [x]\u{200b}.\""),
            (r#""s\u200bk-a\u00adb\u2060c""#, r#""[x]""#),
            ("\"ｓk-ab…\"", "\"[x]…\""),
        ],
    );
    for (text, form) in
        [("４\u{a0}１", "4 1"), ("e\u{301}", "é"), ("a b", "a b"), ("x\u{2011}\u{200b}y", "x-y")]
    {
        assert_eq!(found(&format!("normalized(\"{text}\")"), "{}"), form);
    }
}

/// One text in each place of a request.
const EVERYWHERE: &str = r#"{"model":"k0","system":[{"type":"text","text":"k1"}],"metadata":{"user_id":"k2"},"stop_sequences":["k0"],"tools":[{"name":"k0","description":"k3","input_schema":{"type":"object","description":"k4","properties":{"k0":{"type":"string","title":"k5","enum":["k0"],"default":"k0","examples":["k6"]},"description":{"description":"k7"}}},"input_examples":[{"k8":"k9"}]},{"type":"mcp_toolset","mcp_server_name":"k0","tools":[{"name":"k0","description":"k10"}]}],"output_config":{"format":{"type":"json_schema","schema":{"description":"k11"}}},"compaction":{"type":"summarize","instructions":"k12"},"context_management":{"edits":[{"type":"compact_20260112","instructions":"k13"}]},"mcp_servers":[{"name":"k0","authorization_token":"k0"}],"messages":[{"role":"system","content":"k14"},{"role":"user","content":[{"type":"text","text":"k15"},{"type":"image","source":{"type":"base64","data":"k0"}},{"type":"image","source":{"type":"url","url":"k0"}},{"type":"document","title":"k16","context":"k17","source":{"type":"text","media_type":"text/plain","data":"k18"}},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"k19"}]}},{"type":"document","source":{"type":"content","content":"k20"}},{"type":"search_result","source":"k21","title":"k22","content":[{"type":"text","text":"k23"}]},{"type":"container_upload","file_id":"k0"}]},{"role":"assistant","content":[{"type":"thinking","thinking":"k0","signature":"k0"},{"type":"redacted_thinking","data":"k0"},{"type":"text","text":"k24","citations":[{"type":"char_location","cited_text":"k25","document_title":"k26"},{"type":"web_search_result_location","cited_text":"k27","url":"k28","title":"k29","encrypted_index":"k0"}]},{"type":"tool_use","id":"k0","name":"k0","input":{"k30":["k31",{"a":"k32"}]}},{"type":"server_tool_use","id":"k0","name":"k0","input":{"query":"k33"}},{"type":"mcp_tool_use","id":"k0","name":"k0","server_name":"k0","input":{"q":"k34"}},{"type":"mcp_tool_result","tool_use_id":"k0","content":[{"type":"text","text":"k35"}]},{"type":"web_search_tool_result","tool_use_id":"k0","content":[{"type":"web_search_result","title":"k36","url":"k37","encrypted_content":"k0"}]},{"type":"web_fetch_tool_result","tool_use_id":"k0","content":{"type":"web_fetch_result","url":"k38","content":{"type":"document","title":"k39","source":{"type":"text","data":"k40"}}}},{"type":"code_execution_tool_result","tool_use_id":"k0","content":{"type":"code_execution_result","stdout":"k41","stderr":"k42","content":[{"type":"code_execution_output","file_id":"k0"}]}},{"type":"bash_code_execution_tool_result","tool_use_id":"k0","content":{"type":"bash_code_execution_result","stdout":"k43","stderr":"k44","content":[]}},{"type":"code_execution_tool_result","content":{"type":"encrypted_code_execution_result","encrypted_stdout":"k0","stderr":"k45"}},{"type":"text_editor_code_execution_tool_result","content":{"type":"text_editor_code_execution_view_result","content":"k46"}},{"type":"text_editor_code_execution_tool_result","content":{"type":"text_editor_code_execution_str_replace_result","lines":["k47","k48"]}},{"type":"tool_search_tool_result","content":{"type":"tool_search_tool_result_error","error_code":"k0","error_message":"k49"}},{"type":"advisor_tool_result","content":{"type":"advisor_result","text":"k50"}},{"type":"compaction","content":"k0","signature":"k0"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"k0","content":"k51"},{"type":"tool_result","tool_use_id":"k0","content":[{"type":"text","text":"k52"},{"type":"document","title":"k53","source":{"type":"text","data":"k54"}},{"type":"tool_reference","tool_name":"k0"},{"type":"browser_state","tabs":[{"tab_id":"k0","title":"k55","url":"k56"}],"state_changes":[{"type":"download_failed","download_id":"k0","url":"k57","error":"k58"}]}]},{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"name":"k0","description":"k59","input_schema":{}}}},{"type":"block_of_next_year","id":"k0","words":"k60","inner":{"more":["k61"]},"signature":"k0","content":[{"type":"image","source":{"type":"base64","data":"k0"}}]},{"type":"text","text":"k62","new_field":"k63"}]}]}"#;

#[test]
fn every_place_that_may_hold_text_is_masked_and_no_other() {
    let after = edited(r##"mask(request, "\\bk[1-9]\\d*\\b", "#");"##, EVERYWHERE);
    let mut expected = EVERYWHERE.to_owned();
    for n in (1..=63).rev() {
        assert!(expected.contains(&format!("\"k{n}\"")), "k{n} is missing in the request");
        expected = expected.replace(&format!("\"k{n}\""), "\"#\"");
    }
    assert_eq!(after, expected);
}

#[test]
fn names_in_the_input_of_a_tool_are_masked_and_stay_different() {
    masks(
        r#"mask(request, "k\\d", "[k]");"#,
        &[(
            r#"[{"type":"tool_use","id":"t","name":"n","input":{"k1":1,"k2":{"k3":2},"[k]":3}}]"#,
            r#"[{"type":"tool_use","id":"t","name":"n","input":{"[k] (2)":1,"[k] (3)":{"[k]":2},"[k]":3}}]"#,
        )],
    );
}

#[test]
fn a_place_may_be_a_message_a_list_a_result_or_a_block() {
    for (act, body, after) in [
        (
            r#"mask(request.messages, "k", "x");"#,
            r#"{"system":"k","messages":[{"role":"user","content":"k"}]}"#,
            r#"{"system":"k","messages":[{"role":"user","content":"x"}]}"#,
        ),
        (
            r#"mask(request.messages[0], "k", "x");"#,
            r#"{"messages":[{"role":"user","content":"k"},{"role":"user","content":"k"}]}"#,
            r#"{"messages":[{"role":"user","content":"x"},{"role":"user","content":"k"}]}"#,
        ),
        (
            r#"mask(request.messages[0].content[0], "k", "x");"#,
            r#"{"messages":[{"content":[{"type":"text","text":"k"},{"type":"text","text":"k"}]}]}"#,
            r#"{"messages":[{"content":[{"type":"text","text":"x"},{"type":"text","text":"k"}]}]}"#,
        ),
        // as an answer and as a tool's result
        (
            r#"mask(request, "k", "x");"#,
            r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"k"}],"model":"k"}"#,
            r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"x"}],"model":"k"}"#,
        ),
        (
            r#"mask(request, "k", "x");"#,
            r#"{"id":"k","content":"k"}"#,
            r#"{"id":"k","content":"x"}"#,
        ),
    ] {
        assert_eq!(edited(act, body), after, "{act}");
    }
}

#[test]
fn a_text_of_the_script_is_masked_in_place_or_as_a_new_one() {
    assert_eq!(found(r#"masked("a k1 \"k2\"", "k\\d", "x")"#, "{}"), r#"a x "x""#);
    assert_eq!(found(r#"masked("abc", "k\\d", "x")"#, "{}"), "abc");
    let body = r#"let t = "k1 k2"; let n = mask(t, "k\\d", "x"); request.out = `${n}: ${t}`;"#;
    assert_eq!(edited(body, "{}"), r#"{"out":"2: x x"}"#);
}

#[test]
fn wrong_use_is_an_error_that_says_so() {
    let body = user(r#""a1""#);
    for (act, parts) in [
        (
            r#"mask(request, "a(", "x");"#,
            &["a regular expression is invalid: unclosed group: `a(`"][..],
        ),
        (r#"mask(request, ["a", 5], "x");"#, &["`mask` takes patterns as texts"]),
        (
            r#"mask(request, #{a: #{pattern: "a", check: "sum"}}, "x");"#,
            &["`check` of a pattern must be one of `luhn`, `iban`"],
        ),
        (
            r#"mask(request, "a", 5);"#,
            &["a text, a map of texts or a function as the replacement, not a value of type `i64`"],
        ),
        (r#"mask(request, "a", #{a: "x"});"#, &["needs a map of patterns"]),
        (r#"mask(request, #{a: "a", b: "b"}, #{a: "x"});"#, &["a text for each name"]),
        (
            r#"mask(request, "a", |m| 5);"#,
            &[
                "the function given to `mask` must return the new text or nothing, not a value of type `i64`",
            ],
        ),
    ] {
        says(&broken(act, &body), parts);
    }
}

#[test]
fn a_duplicate_key_on_the_way_is_the_callers_fault() {
    let body = user(r#"[{"type":"text","text":"k1","text":"k2"}]"#);
    assert_eq!(broken(r#"mask(request, "k", "x");"#, &body).kind, ErrorKind::InvalidRequest);
}

#[test]
fn native_work_ends_at_the_deadline() {
    let texts = vec![json!({"type": "text", "text": "k".repeat(200)}); 100_000];
    let blocks = user(&json!(texts).to_string());
    let values =
        user(&json!([{"type": "tool_use", "input": {"a": vec!["k"; 500_000]}}]).to_string());
    let images = vec![json!({"type": "image", "source": {"type": "base64", "data": "k"}}); 300_000];
    let images = user(&json!(images).to_string());
    let limits = Limits {
        operations: u64::MAX,
        time: Duration::from_millis(5),
        time_per_mib: Duration::ZERO,
        ..Limits::default()
    };
    for body in [blocks, values, images] {
        // a call that ran to its end would throw
        let error = limited_over(limits, r#"throw mask(request, "k+", "x");"#, &body);
        says(&error, &["longer than 5 ms"]);
    }
}

#[test]
fn the_time_grows_with_the_request() {
    let limits = Limits {
        operations: u64::MAX,
        time: Duration::from_millis(1),
        time_per_mib: Duration::from_secs(3600),
        ..Limits::default()
    };
    // 1 MiB has an hour: the loop ends by its own end
    let body = json!({"messages": [], "x": "x".repeat(1 << 20)}).to_string();
    let error = limited_over(limits, "for n in 0..300000 { } throw \"done\";", &body);
    says(&error, &["done"]);
    let error = limited_over(limits, "loop { }", "{}");
    says(
        &error,
        &["longer than 1 ms and 3600000 ms for each MiB (`time_limit`, `time_limit_per_mib`)"],
    );
}

#[test]
fn replacements_are_bounded() {
    let big = "let s = \"a\"; for i in 0..24 { s += s; }";
    let body = user(r#""kkkk""#);
    says(&broken(&format!(r#"{big} mask(request, "k", s);"#), &body), &["over its limit"]);
    says(&broken(&format!(r#"{big} let t = "kkkk"; mask(t, "k", s);"#), "{}"), &["over its limit"]);
}

#[test]
fn a_hook_for_texts_masks_its_text() {
    let script = compile(r#"fn on_text(text, ctx) { if mask(text, "k\\d", "x") > 0 { text } }"#);
    assert!(script.is_ok());
}
