//! Tests of the table: look-ups by any spelling, facts for the encoders, the operator's additions.
use super::*;
use crate::catalogue::row::{Capability, Effort, Feature, Thinking, ThinkingType};

fn bundled() -> Catalogue {
    Catalogue::build(&Table::default()).unwrap()
}

fn with(own: &str) -> Result<Catalogue, Vec<String>> {
    let table: Table = serde_saphyr::from_str(own).unwrap();
    let built = Catalogue::build(&table);
    built.map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

#[test]
fn every_bundled_row_has_the_facts_that_the_gateway_relies_on() {
    let catalogue = bundled();
    assert_eq!(catalogue.rows().len(), 66);
    assert_eq!(catalogue.read().unwrap().to_string(), "2026-11-28");
    for row in catalogue.rows() {
        let id = &row.id;
        assert!(row.context.is_some() && row.max_output.is_some(), "{id}");
        assert!(row.price.is_some() && row.knows_capabilities(), "{id}");
        let rules = ["anthropic", "openai", "gemini"].contains(&row.provider.as_str());
        assert_eq!(rules && row.has(Capability::Image), row.images.is_some(), "{id}");
        let says = !["xai"].contains(&row.provider.as_str()) && id != "devstral-medium-latest";
        assert!(!says || row.has(Capability::Thinking) == row.thinking.is_some(), "{id}");
    }
}

#[test]
fn a_model_is_found_by_every_spelling_of_its_name() {
    let catalogue = bundled();
    for (provider, name, id) in [
        (None, "claude-opus-5-5", "claude-opus-5-5"),
        (None, "Claude-Opus-5-5", "claude-opus-5-5"),
        (None, "claude-opus-4-8[1m]", "claude-opus-4-8"),
        (None, "claude-opus-5-5-fast", "claude-opus-5-5"),
        (None, "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        (None, "claude-haiku-4-5-latest", "claude-haiku-4-5-20251001"),
        (Some("vertex"), "claude-haiku-4-5@20251001", "claude-haiku-4-5-20251001"),
        (Some("vertex"), "claude-opus-5-5@default", "claude-opus-5-5"),
        (
            Some("bedrock"),
            "us.anthropic.claude-haiku-4-5-20251001-v1:0",
            "claude-haiku-4-5-20251001",
        ),
        (Some("bedrock"), "anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        (
            Some("bedrock"),
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude-sonnet-4-5-20250929",
        ),
        (Some("bedrock"), "global.anthropic.claude-opus-4-8", "claude-opus-4-8"),
        (
            Some("bedrock"),
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-5",
            "claude-sonnet-5",
        ),
        (Some("bedrock"), "us.openai.gpt-5.6-sol", "gpt-5.6-sol"),
        (Some("openrouter"), "anthropic/claude-opus-4.8", "claude-opus-4-8"),
        (Some("openrouter"), "openai/gpt-6-sol:free", "gpt-6-sol"),
        (Some("openrouter"), "google/gemini-3.8-flash", "gemini-3.8-flash"),
        (Some("gemini"), "models/gemini-2.5-pro", "gemini-2.5-pro"),
        (Some("gemini"), "publishers/google/models/gemini-4-argon", "gemini-4-argon"),
        (Some("openai"), "gpt-5.4-2026-03-05", "gpt-5.4"),
        (Some("openai"), "gpt-5.4-mini-2026-03-17", "gpt-5.4-mini"),
        (Some("openai"), "gpt-5.4", "gpt-5.4"),
        (Some("mistral"), "mistral-large-latest", "mistral-large-latest"),
        (Some("mistral"), "mistral-large", "mistral-large-latest"),
        (Some("groq"), "openai/gpt-oss-120b", "openai/gpt-oss-120b"),
    ] {
        let found = catalogue.find(provider, name).map(|row| row.id.as_str());
        assert_eq!(found, Some(id), "{provider:?} {name}");
    }
}

#[test]
fn another_model_is_not_taken_for_a_known_one() {
    let catalogue = bundled();
    for (provider, name) in [
        (None, ""),
        (None, "*"),
        (None, "/"),
        (None, "gpt"),
        (None, "claude-opus-5-5-mini"),
        (None, "claude-opus-9"),
        (None, "xclaude-opus-5-5"),
        // a date that the dated row does not have
        (None, "claude-haiku-4-5-20260101"),
        (None, "mistral-large-2411"),
        // limits of one host are not those of another
        (Some("ollama"), "openai/gpt-oss-120b"),
        (Some("openai"), "gpt-oss-120b"),
    ] {
        assert_eq!(catalogue.find(provider, name).map(|row| &row.id), None, "{name}");
    }
}

#[test]
fn rows_tell_the_encoders_which_parameters_a_model_refuses() {
    let catalogue = bundled();
    let row = |id: &str| Arc::clone(catalogue.find(None, id).unwrap());
    let terra = row("gpt-5.6-terra");
    assert!(terra.lacks_on_chat(Feature::Stop) && !terra.lacks(Feature::Stop));
    assert!(
        terra.lacks_on_chat(Feature::EffortMax) && terra.takes_effort(Effort::Max) == Some(true)
    );
    assert!(
        terra.lacks(Feature::SamplingParamsWithEffort) && !terra.lacks(Feature::SamplingParams)
    );
    assert!(terra.lacks_on_chat(Feature::ToolsWithEffort) && !terra.lacks_on_chat(Feature::Tools));
    let astra = row("gpt-6-astra");
    assert!(astra.lacks_on_chat(Feature::Tools) && astra.lacks(Feature::SamplingParams));
    assert_eq!(astra.takes_effort(Effort::None), Some(false));
    assert_eq!(astra.takes_effort(Effort::Minimal), Some(false));
    assert_eq!(row("gpt-4.1").efforts, None);
    assert!(!row("gpt-4.1").lacks_on_chat(Feature::Stop));
}

#[test]
fn rows_tell_what_claude_and_gemini_models_refuse() {
    let catalogue = bundled();
    let row = |id: &str| Arc::clone(catalogue.find(None, id).unwrap());
    assert!(row("claude-opus-5-5").lacks(Feature::ForcedToolChoice));
    assert!(!row("claude-opus-5").lacks(Feature::ForcedToolChoice));
    assert!(row("claude-opus-4-6").lacks(Feature::Prefill));
    assert_eq!(row("claude-haiku-4-5").efforts.as_deref(), Some(&[][..]));
    assert!(row("gemini-3.8-flash").lacks(Feature::SamplingParams));
    assert!(!row("gemini-3.5-flash").lacks(Feature::SamplingParams));
    assert_eq!(row("claude-sonnet-4-5").id_on("vertex"), Some("claude-sonnet-4-5@20250929"));
}

#[test]
fn the_control_of_thinking_is_that_of_the_family() {
    let catalogue = bundled();
    let row = |id: &str| Arc::clone(catalogue.find(None, id).unwrap());
    for (id, thinking, can_be_off) in [
        ("gemini-2.5-pro", Thinking::Budget, false),
        ("gemini-2.5-flash", Thinking::Budget, true),
        ("gemini-2.5-flash-lite", Thinking::Budget, true),
        ("gemini-3.8-flash", Thinking::Levels, false),
        ("gemini-4-argon", Thinking::Levels, false),
        ("gpt-6.1-sol", Thinking::Effort, false),
        ("gpt-6-sol", Thinking::Effort, true),
        ("claude-opus-5-5", Thinking::AlwaysOn, false),
        ("claude-opus-5", Thinking::Adaptive, true),
        ("claude-haiku-4-5", Thinking::Budget, true),
        ("deepseek-v4-pro", Thinking::Switch, true),
        ("kimi-k3", Thinking::Effort, false),
    ] {
        let row = row(id);
        assert_eq!(
            (row.thinking, row.can_turn_thinking_off()),
            (Some(thinking), Some(can_be_off)),
            "{id}"
        );
    }
    let budget = row("gemini-2.5-flash-lite").budget.unwrap();
    assert_eq!((budget.min, budget.max, budget.off), (512, 24576, true));
    assert_eq!(row("gemini-3.8-flash").nearest_level(Effort::Minimal), Some(Effort::Low));
    assert_eq!(row("gemini-3.5-flash").nearest_level(Effort::None), Some(Effort::Minimal));
    assert_eq!(row("gemini-4-hydrogen").nearest_level(Effort::Max), Some(Effort::Xhigh));
    assert_eq!(row("gemini-4-argon").nearest_level(Effort::Max), Some(Effort::High));
    assert_eq!(row("claude-opus-4-6").takes_thinking(ThinkingType::Enabled), Some(true));
    assert_eq!(row("claude-opus-4-7").takes_thinking(ThinkingType::Enabled), Some(false));
    assert_eq!(row("claude-haiku-4-5").takes_thinking(ThinkingType::Adaptive), Some(false));
}

#[test]
fn an_effort_is_replaced_by_the_nearest_accepted_one() {
    let catalogue = bundled();
    let nearest = |id: &str, wanted| catalogue.find(None, id).unwrap().nearest_effort(wanted);
    assert_eq!(nearest("gpt-5.5", Effort::Max), Some(Effort::Xhigh));
    assert_eq!(nearest("gpt-5.5", Effort::Minimal), Some(Effort::Low));
    assert_eq!(nearest("gpt-5.5", Effort::None), Some(Effort::None));
    assert_eq!(nearest("gpt-6-astra", Effort::None), Some(Effort::Low));
    assert_eq!(nearest("kimi-k3", Effort::Medium), Some(Effort::Low));
    assert_eq!(nearest("mistral-small-latest", Effort::Low), Some(Effort::High));
    assert_eq!(nearest("deepseek-v4-pro", Effort::Xhigh), Some(Effort::High));
    assert_eq!(nearest("claude-haiku-4-5", Effort::High), None);
    assert_eq!(nearest("gpt-4.1", Effort::High), Some(Effort::High));
}

#[test]
fn an_operators_table_extends_and_overrides_key_by_key() {
    let own = "
models:
  - { id: claude-opus-5, max_output: 1000, caps: [tools], price: { input: 1, output: 2 } }
  - { id: qwen3-coder, provider: vllm, context: 262144, tokenizer: mine, images: claude_high, retires: 2027-04-01 }
  - { id: openai/gpt-oss-120b, provider: ollama, context: 8192 }
tokenizers: { mine: { factor: 1.25 } }
";
    let catalogue = with(own).unwrap();
    let opus = catalogue.find(Some("anthropic"), "claude-opus-5").unwrap();
    assert_eq!((opus.context, opus.max_output), (Some(1_000_000), Some(1000)));
    assert!(opus.has(Capability::Tools) && !opus.has(Capability::Image));
    assert_eq!(opus.price.as_ref().unwrap().on(price::today()).unwrap().rates.cache_read, None);
    let qwen = catalogue.find(Some("vllm"), "qwen3-coder").unwrap();
    assert_eq!((qwen.context, qwen.max_output), (Some(262_144), None));
    assert!(!qwen.knows_capabilities());
    assert_eq!(qwen.tokenizer.factor, 1.25);
    assert_eq!(qwen.retires.unwrap().to_string(), "2027-04-01");
    let context = |provider| catalogue.find(Some(provider), "openai/gpt-oss-120b").unwrap().context;
    assert_eq!((context("groq"), context("ollama")), (Some(131_072), Some(8192)));
}

#[test]
fn every_mistake_in_an_operators_table_is_reported_with_its_place() {
    let own = "
models:
  - { id: brand-new }
  - { id: '' }
  - { id: claude-opus-5, tokenizer: nonsense }
  - { id: claude-opus-5, images: nonsense }
  - { id: x, provider: '' }
  - { id: x, provider: p }
  - { id: x, provider: q }
  - { id: x }
";
    let problems = with(own).unwrap_err();
    let expected = [
        "models[0].provider: needed for the new model `brand-new`, such as `openai`",
        "models[1].id: the name is empty",
        "models[2].tokenizer: `nonsense` is not defined; known are `claude`, `claude_2026`, `o200k`, `other`",
        "models[3].id: `claude-opus-5` occurs twice: the first one is models[2]",
        "models[4].provider: needed for the new model `x`, such as `openai`",
        "models[7].provider: needed: several providers have a model `x`",
    ];
    assert_eq!(problems, expected);
}
