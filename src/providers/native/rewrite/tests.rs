//! The edits: each removes its part only, and names it.
use bytes::Bytes;
use serde_json::json;

use super::*;

fn of(request: Value) -> Rewrite {
    Rewrite::new(Document::parse(Bytes::from(request.to_string())).unwrap())
}

fn after(rewrite: &Rewrite) -> Value {
    serde_json::from_slice(&rewrite.document.to_bytes()).unwrap()
}

/// The names and pointers of the losses.
fn lost(rewrite: &Rewrite) -> Vec<String> {
    rewrite.dropped.iter().map(|one| format!("{} {}", one.name, one.pointer)).collect()
}

fn closed(betas: &[&str], sent: &[&str], request: Value) -> (Value, Vec<String>) {
    let mut rewrite = of(request);
    let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    rewrite.without_betas(&owned(betas), &owned(sent)).unwrap();
    (after(&rewrite), lost(&rewrite))
}

/// Checks for each beta the request before and after, and the loss.
fn check_closed(table: &[(&str, Value, Value, &str)]) {
    for (beta, request, expected, name) in table {
        let (found, names) = closed(&[beta], &[], request.clone());
        assert_eq!(found, *expected, "{beta}");
        assert_eq!(names, [format!("{beta} "), (*name).to_owned()], "{beta}");
        // without the beta in the request nothing is removed, even if the part is there
        let kept = closed(&["other-beta"], &[], request.clone());
        assert_eq!(kept, (request.clone(), vec!["other-beta ".to_owned()]));
    }
}

#[test]
fn the_parts_that_a_removed_beta_unlocks_go_with_it() {
    let user = json!({"role": "user", "content": "hi"});
    check_closed(&[
        (
            "thinking-binding-controls-2026-08-01",
            json!({"thinking": {"type": "adaptive", "block_binding": {}}}),
            json!({"thinking": {"type": "adaptive"}}),
            "thinking.block_binding /thinking/block_binding",
        ),
        (
            "thinking-display-updates-2026-08-18",
            json!({"thinking": {"type": "adaptive", "display": "updates"}}),
            json!({"thinking": {"type": "adaptive"}}),
            "thinking.display /thinking/display",
        ),
        (
            "mid-conversation-system-clear-at-2026-08-21",
            json!({"messages": [user, {"role": "system", "content": "x", "clear_at": "never"}]}),
            json!({"messages": [user, {"role": "system", "content": "x"}]}),
            "clear_at /messages/1/clear_at",
        ),
        (
            "per-turn-control-2026-07-01",
            json!({"messages": [{"role": "user", "content": "x", "output_config": {"effort": "low"}}]}),
            json!({"messages": [{"role": "user", "content": "x"}]}),
            "output_config /messages/0/output_config",
        ),
        ("fast-mode-2026-02-01", json!({"speed": "fast"}), json!({}), "speed /speed"),
        ("compact-2026-09-04", json!({"compaction": {}}), json!({}), "compaction /compaction"),
        (
            "task-budgets-2026-03-13",
            json!({"output_config": {"effort": "low", "task_budget": {}}}),
            json!({"output_config": {"effort": "low"}}),
            "output_config.task_budget /output_config/task_budget",
        ),
        (
            "advisor-tool-2026-03-01",
            json!({"tools": [{"type": "advisor_20260301", "name": "advisor"}, {"name": "own"}]}),
            json!({"tools": [{"name": "own"}]}),
            "tool:advisor_20260301 /tools/0",
        ),
    ]);
}

#[test]
fn changes_of_tools_go_with_their_betas() {
    let user = json!({"role": "user", "content": "hi"});
    check_closed(&[
        (
            "inline-tools-2026-09-15",
            json!({"messages": [{"role": "system", "content": [{"type": "tool_removal", "tool": {}}, {"type": "text", "text": "x"}]}]}),
            json!({"messages": [{"role": "system", "content": [{"type": "text", "text": "x"}]}]}),
            "block:tool_removal /messages/0/content/0",
        ),
        (
            "mid-conversation-tool-changes-2026-07-01",
            json!({"messages": [user, {"role": "system", "content": [{"type": "tool_addition", "tool": {}}]}, user]}),
            json!({"messages": [user, user]}),
            "block:tool_addition /messages/1/content/0",
        ),
    ]);
}

#[test]
fn a_part_stays_if_another_of_its_betas_is_sent() {
    let request = json!({"messages": [{"role": "user", "content": "x", "output_config": {}}]});
    let (found, _) = closed(
        &["per-turn-control-2026-07-01"],
        &["mid-conversation-output-config-2026-07-01"],
        request.clone(),
    );
    assert_eq!(found, request);
    let display = json!({"thinking": {"display": "summarized"}});
    assert_eq!(closed(&["thinking-display-updates-2026-08-18"], &[], display.clone()).0, display);
}

#[test]
fn a_removed_tool_takes_its_choice_along_and_the_last_one_the_list() {
    let accepts = Accepts::default().without_known(&["tool:web_search_*"]);
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    let own = json!({"name": "own", "input_schema": {}});
    let edited = |request: Value| {
        let mut rewrite = of(request);
        rewrite.without_tools(&accepts).unwrap();
        (after(&rewrite), lost(&rewrite))
    };
    let chosen = json!({"type": "tool", "name": "web_search"});
    let (found, names) =
        edited(json!({"tools": [own, search, own, search], "tool_choice": chosen}));
    assert_eq!(found, json!({"tools": [own, own]}));
    assert_eq!(
        names,
        [
            "tool:web_search_20250305 /tools/1",
            "tool:web_search_20250305 /tools/3",
            "tool_choice /tool_choice"
        ]
    );
    let (found, _) = edited(json!({"tools": [search], "tool_choice": {"type": "auto"}}));
    assert_eq!(found, json!({}));
    let kept = json!({"tools": [own], "tool_choice": {"type": "tool", "name": "own"}});
    assert_eq!(edited(kept.clone()), (kept, Vec::new()));
}

#[test]
fn options_under_custom_move_to_the_tool() {
    let mut rewrite = of(json!({"tools": [
        {"name": "a", "custom": {"defer_loading": true, "x": 1}}, {"type": "custom", "name": "b"}, {"name": "c", "custom": {}}]}));
    rewrite.flat_tools().unwrap();
    assert_eq!(
        after(&rewrite),
        json!({"tools": [{"name": "a", "defer_loading": true}, {"type": "custom", "name": "b"}, {"name": "c"}]})
    );
}

#[test]
fn members_of_cache_control_go_wherever_it_stands() {
    let cache = json!({"type": "ephemeral", "ttl": "1h", "scope": "global"});
    let block = json!({"type": "text", "text": "\"scope\"", "cache_control": cache});
    let request = json!({
        "system": [block],
        "tools": [{"name": "scope", "cache_control": cache, "input_schema": {"properties": {"scope": {}}}}],
        "messages": [
            {"role": "user", "content": [block, {"type": "tool_result", "content": [block]},
                {"type": "document", "source": {"type": "content", "content": [block]}}]},
            {"role": "user", "content": "scope"},
        ],
    });
    let mut rewrite = of(request.clone());
    rewrite.without_in_cache_control(&["scope"]).unwrap();
    let expected = request.to_string().replace(r#","scope":"global""#, "");
    assert_eq!(after(&rewrite).to_string(), expected);
    assert_eq!(rewrite.dropped.len(), 5);
    assert_eq!(
        lost(&rewrite)[4],
        "cache_control.scope /messages/0/content/2/source/content/0/cache_control/scope"
    );
    rewrite.without_in_cache_control(&["scope", "ttl"]).unwrap();
    assert_eq!(after(&rewrite).to_string(), expected.replace(r#","ttl":"1h""#, ""));
    // without the word nothing is opened, not even an object with a duplicate key
    let raw = r#"{"system":[{"a":1,"a":2,"cache_control":{}}]}"#;
    let mut rewrite = Rewrite::new(Document::parse(raw.into()).unwrap());
    rewrite.without_in_cache_control(&["scope"]).unwrap();
    assert_eq!(rewrite.document.to_bytes(), raw);
}

#[test]
fn the_older_format_moves_to_its_place() {
    let format = json!({"type": "json_schema", "schema": {"n": 1.50}});
    let table = [
        (json!({"output_format": format}), json!({"output_config": {"format": format}})),
        (
            json!({"output_config": {"effort": "low"}, "output_format": format}),
            json!({"output_config": {"effort": "low", "format": format}}),
        ),
        (
            json!({"output_config": {"format": {"type": "own"}}, "output_format": format}),
            json!({"output_config": {"format": {"type": "own"}}}),
        ),
        (
            json!({"output_config": null, "output_format": format}),
            json!({"output_config": {"format": format}}),
        ),
        (json!({"x": 1}), json!({"x": 1})),
    ];
    for (request, expected) in table {
        let mut rewrite = of(request);
        rewrite.folded_format().unwrap();
        assert_eq!(after(&rewrite), expected);
    }
}

#[test]
fn edits_of_one_type_leave_context_management() {
    let (clear, thinking) =
        (json!({"type": "clear_tool_uses_20250919"}), json!({"type": "clear_thinking_20251015"}));
    let edited = |edits: Value| {
        let mut rewrite = of(json!({"context_management": {"edits": edits}}));
        rewrite.without_context_edit("clear_thinking_20251015").unwrap();
        (after(&rewrite), lost(&rewrite))
    };
    let (found, names) = edited(json!([thinking, clear, thinking]));
    assert_eq!(found, json!({"context_management": {"edits": [clear]}}));
    assert_eq!(
        names,
        [
            "clear_thinking_20251015 /context_management/edits/2",
            "clear_thinking_20251015 /context_management/edits/0",
        ]
    );
    assert_eq!(edited(json!([thinking])).0, json!({}));
    assert_eq!(edited(json!([])).0, json!({"context_management": {"edits": []}}));
}

#[test]
fn fields_outside_the_list_go_and_are_hints_or_content() {
    let mut rewrite = of(json!({"messages": [], "speed": "fast", "cache_control": {}, "a/b~": 1}));
    rewrite.only_fields(&["messages"]).unwrap();
    assert_eq!(after(&rewrite), json!({"messages": []}));
    let losses: Vec<_> = rewrite.dropped.iter().map(|one| (one.name.as_ref(), one.loss)).collect();
    use crate::providers::dropped::Loss::{Content, Hint};
    assert_eq!(losses, [("speed", Content), ("cache_control", Hint), ("a/b~", Content)]);
}
