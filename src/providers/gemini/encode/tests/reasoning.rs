//! Thinking and effort in the terms of each family.
use super::*;

fn config(model: &'static str, more: Value) -> (Value, Vec<String>) {
    let case = Given::new(model).case(more);
    (case.body["generationConfig"]["thinkingConfig"].clone(), case.dropped)
}

fn enabled(budget: u64) -> Value {
    json!({"thinking": {"type": "enabled", "budget_tokens": budget}})
}

fn effort(level: &str) -> Value {
    json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": level}})
}

const OFF: &str = r#"{"thinking": {"type": "disabled"}}"#;

fn off() -> Value {
    serde_json::from_str(OFF).unwrap()
}

#[test]
fn without_a_wish_the_model_decides() {
    for model in [NEW, OLD, "gemini-4-argon", "gemini-2.0-flash"] {
        assert_eq!(config(model, json!({})), (Value::Null, vec![]), "{model}");
    }
}

#[test]
fn adaptive_thinking_asks_for_the_thoughts_unless_their_text_is_omitted() {
    let adaptive = |display: Value| json!({"thinking": {"type": "adaptive", "display": display}});
    for model in [NEW, OLD] {
        let shown = json!({"includeThoughts": true});
        assert_eq!(config(model, adaptive("summarized".into())).0, shown, "{model}");
        assert_eq!(config(model, adaptive(Value::Null)).0, shown, "{model}");
        assert_eq!(config(model, adaptive("omitted".into())).0, Value::Null, "{model}");
    }
}

#[test]
fn older_models_receive_a_budget_within_their_range() {
    let budget = |model, more| config(model, more).0["thinkingBudget"].clone();
    assert_eq!(budget("gemini-2.5-pro", enabled(1024)), 1024);
    assert_eq!(budget("gemini-2.5-pro", enabled(100_000)), 32_768);
    assert_eq!(budget("gemini-2.5-flash", enabled(100_000)), 24_576);
    assert_eq!(budget("gemini-2.5-pro", enabled(1)), 128);
    assert_eq!(budget("gemini-2.5-flash-lite", enabled(1)), 512);
    for (level, expected) in [("low", 1024), ("medium", 2048), ("high", 4096), ("xhigh", 8192)] {
        assert_eq!(budget("gemini-2.5-flash", effort(level)), expected, "{level}");
    }
    assert_eq!(budget("gemini-2.5-flash", effort("max")), 24_576);
    assert_eq!(budget("gemini-2.5-pro", effort("max")), 32_768);
    assert!(config(OLD, enabled(1024)).0["thinkingLevel"].is_null());
}

#[test]
fn newer_models_receive_a_level() {
    let level = |model, more| config(model, more).0["thinkingLevel"].clone();
    let budgets = [(1024, "LOW"), (2048, "MEDIUM"), (4096, "HIGH"), (31_999, "HIGH")];
    for (budget, expected) in budgets {
        assert_eq!(level(NEW, enabled(budget)), expected, "{budget}");
    }
    let levels = [("low", "LOW"), ("medium", "MEDIUM"), ("high", "HIGH"), ("max", "HIGH")];
    for (effort_level, expected) in levels {
        assert_eq!(level("gemini-3.8-flash", effort(effort_level)), expected, "{effort_level}");
    }
    assert_eq!(level("gemini-4-hydrogen", effort("xhigh")), "XHIGH");
    assert_eq!(level("gemini-4-hydrogen", effort("max")), "XHIGH");
    assert_eq!(level("gemini-4-argon", effort("xhigh")), "HIGH");
    assert_eq!(level("gemini-3-pro-preview", effort("medium")), "LOW");
    assert_eq!(level(NEW, json!({"output_config": {"effort": "low"}})), "LOW");
    assert!(config(NEW, enabled(1024)).0["thinkingBudget"].is_null());
}

#[test]
fn vertex_has_no_level_above_high() {
    for level in ["xhigh", "max"] {
        let case = Given::vertex("gemini-4-hydrogen").case(effort(level));
        let config = &case.body["generationConfig"]["thinkingConfig"];
        assert_eq!(config["thinkingLevel"], "HIGH", "{level}");
    }
}

#[test]
fn thinking_is_turned_off_where_a_budget_of_0_does_it() {
    for model in ["gemini-2.5-flash", "gemini-2.5-flash-lite"] {
        assert_eq!(config(model, off()), (json!({"thinkingBudget": 0}), vec![]), "{model}");
    }
}

#[test]
fn models_that_always_think_receive_the_least_and_the_loss_is_named() {
    for (model, expected) in [
        ("gemini-2.5-pro", json!({"thinkingBudget": 128})),
        ("gemini-3-pro-preview", json!({"thinkingLevel": "LOW"})),
        ("gemini-3.5-flash", json!({"thinkingLevel": "MINIMAL"})),
        ("gemini-3.7-flash", json!({"thinkingLevel": "LOW"})),
        ("gemini-4-argon", json!({"thinkingLevel": "LOW"})),
    ] {
        assert_eq!(config(model, off()), (expected, vec!["thinking".to_owned()]), "{model}");
    }
}

#[test]
fn models_that_do_not_think_receive_no_control() {
    let dropped = vec!["thinking".to_owned()];
    assert_eq!(config("gemini-2.0-flash", enabled(1024)), (Value::Null, dropped));
    assert_eq!(config("gemini-2.0-flash", off()), (Value::Null, vec![]));
    let effort = json!({"output_config": {"effort": "high"}});
    let dropped = vec!["output_config.effort".to_owned()];
    assert_eq!(config("gemini-2.0-flash", effort), (Value::Null, dropped));
}

#[test]
fn the_table_of_models_decides_about_levels() {
    let facts = ModelFacts { efforts: Some(vec!["medium".to_owned()]), ..ModelFacts::default() };
    let given = Given { facts, ..Given::new(NEW) };
    let config = given.case(effort("low")).body["generationConfig"]["thinkingConfig"].clone();
    assert_eq!(config["thinkingLevel"], "MEDIUM");
}

#[test]
fn an_unknown_effort_is_named() {
    assert_eq!(config(NEW, effort("ultra")).1, ["thinking"]);
    assert_eq!(config(OLD, effort("ultra")).1, ["thinking"]);
}
