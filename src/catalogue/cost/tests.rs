//! Tests of costs: every kind of token, factors, fees, iterations, thresholds, days, and that the parts are the whole.
use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::Table;

const DAY: Date = date(2026, 11, 29);

fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::build(&Table::default()).unwrap())
}

fn tariff(model: &str) -> Tariff {
    tariff_at(model, Place::Global)
}

fn tariff_at(model: &str, place: Place) -> Tariff {
    let catalogue = catalogue();
    let row = catalogue.find(None, model).cloned();
    Tariff::new(&catalogue, Some("anthropic"), row.as_ref(), place)
}

fn spent(usage: Value) -> Spent {
    let mut spent = Spent::default();
    spent.update(json!({"type": "message", "usage": usage}).to_string().as_bytes());
    spent
}

/// Returns the nano-dollars of an answer.
fn cost(model: &str, usage: Value) -> i64 {
    let charge = tariff(model).charge(&spent(usage), DAY);
    assert_eq!(charge.unpriced, 0, "{model}");
    charge.total().nano_dollars()
}

#[test]
fn each_kind_of_token_has_its_own_rate() {
    for (usage, nano) in [
        (json!({"input_tokens": 1_000_000}), 4_000_000_000),
        (json!({"output_tokens": 1_000_000}), 20_000_000_000),
        (json!({"cache_read_input_tokens": 1_000_000}), 200_000_000),
        // a write without a duration is one for 5 minutes
        (json!({"cache_creation_input_tokens": 1_000_000}), 5_000_000_000),
        (
            json!({"cache_creation_input_tokens": 3_000_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 2_000_000, "ephemeral_1h_input_tokens": 1_000_000}}),
            18_000_000_000,
        ),
        // some upstreams name the parts only
        (json!({"cache_creation": {"ephemeral_1h_input_tokens": 1_000_000}}), 8_000_000_000),
        (json!({"input_tokens": 0, "output_tokens": 0}), 0),
    ] {
        assert_eq!(cost("claude-opus-5-5", usage.clone()), nano, "{usage}");
    }
}

#[test]
fn the_place_of_a_cloud_multiplies_the_rates_of_models_since_4_5() {
    let million = json!({"input_tokens": 1_000_000, "inference_geo": "us"});
    for (model, place, nano) in [
        ("claude-opus-5-5", Place::Region, 4_400_000_000),
        ("claude-opus-5-5", Place::Gov, 4_800_000_000),
        ("claude-haiku-4-5", Place::Region, 1_100_000_000),
        ("claude-sonnet-4-5", Place::Gov, 3_600_000_000),
        ("claude-opus-4-5", Place::Global, 5_000_000_000),
        ("gpt-4o", Place::Region, 2_500_000_000),
    ] {
        let charge = tariff_at(model, place).charge(&spent(million.clone()), DAY);
        assert_eq!(
            (charge.total().nano_dollars(), charge.unpriced),
            (nano, 0),
            "{model} {place:?}"
        );
    }
}

#[test]
fn the_service_of_the_answer_multiplies_every_rate_and_no_fee() {
    let tokens = |more: Value| {
        let mut usage = json!({"input_tokens": 500_000, "output_tokens": 100_000, "cache_read_input_tokens": 1_000_000});
        usage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        usage
    };
    // 2 + 2 + 0.2 dollars
    let plain = 4_200_000_000;
    for (more, nano) in [
        (json!({}), plain),
        (
            json!({"speed": "standard", "service_tier": "standard", "inference_geo": "global"}),
            plain,
        ),
        (json!({"speed": null, "service_tier": null, "inference_geo": null}), plain),
        (json!({"speed": "fast"}), plain * 2),
        (json!({"inference_geo": "us"}), plain * 11 / 10),
        (json!({"speed": "fast", "inference_geo": "us"}), plain * 22 / 10),
        (json!({"service_tier": "batch"}), plain / 2),
        (json!({"service_tier": "batch", "inference_geo": "us"}), plain * 11 / 20),
        // fast mode is no part of a batch
        (json!({"service_tier": "batch", "speed": "fast"}), plain / 2),
        // priority is paid by contract
        (json!({"service_tier": "priority"}), plain),
        (json!({"service_tier": "of the future"}), plain),
        (
            json!({"speed": "fast", "server_tool_use": {"web_search_requests": 3}}),
            plain * 2 + 30_000_000,
        ),
        (json!({"server_tool_use": {"web_search_requests": null, "web_fetch_requests": 9}}), plain),
    ] {
        assert_eq!(cost("claude-opus-5-5", tokens(more.clone())), nano, "{more}");
    }
    // a model that runs fast mode and bills the standard rate
    assert_eq!(
        cost("claude-opus-4-6", json!({"input_tokens": 1_000_000, "speed": "fast"})),
        5_000_000_000
    );
    // a model whose residency has no price of its own
    assert_eq!(
        cost("claude-haiku-4-5", json!({"input_tokens": 1_000_000, "inference_geo": "us"})),
        1_000_000_000
    );
}

#[test]
fn openai_and_gemini_have_factors_of_their_own() {
    for (model, tier, nano) in [
        ("gpt-5.4", "flex", 1_250_000),
        ("gpt-5.4", "priority", 5_000_000),
        ("gpt-5.4", "default", 2_500_000),
        ("gemini-2.5-flash", "flex", 150_000),
    ] {
        assert_eq!(
            cost(model, json!({"input_tokens": 1000, "service_tier": tier})),
            nano,
            "{model} {tier}"
        );
    }
    let grounded = json!({"server_tool_use": {"web_search_requests": 1}});
    assert_eq!(cost("gemini-2.5-flash", grounded), 14_000_000);
}

#[test]
fn a_prompt_over_the_threshold_moves_the_whole_request_and_its_cache_counts() {
    let at = |input: u64, read: u64, written: u64| json!({"input_tokens": input, "cache_read_input_tokens": read, "cache_creation_input_tokens": written, "output_tokens": 1000});
    // 100,000 tokens of prompt: 0.1, 0.01, 0.125, 0.5 dollars a million
    assert_eq!(
        cost("claude-haiku-5-5", at(10_000, 80_000, 10_000)),
        1_000_000 + 800_000 + 1_250_000 + 500_000
    );
    // one more: five times each rate, output included
    assert_eq!(
        cost("claude-haiku-5-5", at(10_001, 80_000, 10_000)),
        5 * (1_000_100 + 800_000 + 1_250_000 + 500_000)
    );
    // xAI's threshold includes its own length
    assert_eq!(cost("grok-4.5", json!({"input_tokens": 199_999})), 199_999 * 2000);
    assert_eq!(cost("grok-4.5", json!({"input_tokens": 200_000})), 200_000 * 4000);
}

#[test]
fn the_rate_is_that_of_the_day() {
    let read = spent(json!({"cache_read_input_tokens": 1_000_000}));
    let on = |day| tariff("claude-sonnet-5-5").charge(&read, day).total().nano_dollars();
    assert_eq!(on(date(2026, 10, 6)), 200_000_000);
    assert_eq!(on(date(2026, 10, 7)), 100_000_000);
}

#[test]
fn iterations_replace_the_sum_and_have_their_own_models() {
    let usage = json!({
        "input_tokens": 999, "output_tokens": 999,
        "iterations": [
            {"type": "message", "input_tokens": 1_000_000, "output_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
            {"type": "advisor_message", "model": "claude-fable-5-1", "input_tokens": 0, "output_tokens": 100_000,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 1_000_000},
            {"type": "compaction", "input_tokens": 0, "output_tokens": 10_000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        ],
    });
    // Sonnet 5.5: 2 dollars of input, 0.1 of output; Fable 5.1: 5 of output, 0.25 of reads
    assert_eq!(
        cost("claude-sonnet-5-5", usage.clone()),
        2_000_000_000 + 100_000_000 + 5_250_000_000
    );
    let mut fast = usage;
    fast["speed"] = json!("fast");
    fast["iterations"][1]["speed"] = json!("standard");
    // an entry that names one fact keeps the answer's others: residency in the US is 1.1 times
    fast["inference_geo"] = json!("us");
    let dollars = (8_000_000_000_i64 + 400_000_000 + 5_250_000_000) * 11 / 10;
    assert_eq!(cost("claude-opus-5-5", fast.clone()), dollars);
    fast["inference_geo"] = json!("global");
    // Opus 5.5 is twice as dear in fast mode; the advisor was not fast
    assert_eq!(cost("claude-opus-5-5", fast), 8_000_000_000 + 400_000_000 + 5_250_000_000);
}

#[test]
fn a_model_without_a_price_is_unpriced_and_not_free() {
    let tokens = json!({"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 2});
    let charge = tariff("nobody-knows-it").charge(&spent(tokens.clone()), DAY);
    assert_eq!((charge.unpriced, charge.total()), (20, Amount::default()));
    // one unpriced iteration does not hide the price of the others
    let usage = json!({"iterations": [
        {"input_tokens": 1_000_000, "output_tokens": 0},
        {"model": "nobody-knows-it", "input_tokens": 7, "output_tokens": 3},
    ]});
    let charge = tariff("claude-opus-5-5").charge(&spent(usage), DAY);
    assert_eq!((charge.unpriced, charge.total().nano_dollars()), (10, 4_000_000_000));
    // before the first day of its price a model has none
    let table: Table = serde_saphyr::from_str(
        "models: [{ id: new, provider: acme, price: { from: 2027-01-01, input: 1, output: 1 } }, \
         { id: free, provider: acme, price: { input: 0, output: 0 } }]",
    )
    .unwrap();
    let own = Arc::new(Catalogue::build(&table).unwrap());
    let charge = |model: &str| {
        let row = own.find(None, model).cloned();
        Tariff::new(&own, None, row.as_ref(), Place::Global).charge(&spent(tokens.clone()), DAY)
    };
    assert_eq!(charge("new").unpriced, 20);
    // a price of zero is a price
    assert_eq!((charge("free").unpriced, charge("free").total()), (0, Amount::default()));
}

#[test]
fn an_amount_is_rounded_once_half_up() {
    // 0.005 dollars a million: 5 nano-dollars for each of 1000 tokens; half a nano-dollar is rounded up
    let batch = |tokens: u64| json!({"cache_read_input_tokens": tokens, "service_tier": "batch"});
    assert_eq!(cost("claude-haiku-5-5", batch(1)), 5);
    assert_eq!(cost("gpt-5.4", json!({"cache_read_input_tokens": 1, "service_tier": "flex"})), 125);
    let table: Table = serde_saphyr::from_str(
        "models: [{ id: odd, provider: acme, price: { input: 0.0005, output: 0 } }]",
    )
    .unwrap();
    let own = Arc::new(Catalogue::build(&table).unwrap());
    let row = own.find(None, "odd").cloned();
    let odd = Tariff::new(&own, None, row.as_ref(), Place::Global);
    let one = odd.charge(&spent(json!({"input_tokens": 1})), DAY).total();
    assert_eq!(one.nano_dollars(), 1);
    assert_eq!((one + one).nano_dollars(), 1, "the sum is exact before it is rounded");
}

#[test]
fn a_wrong_factor_or_fee_is_an_error() {
    for (text, expected) in [
        (
            "billing: { acme: { factors: { batch: -1 } } }",
            "expected a factor from 0 to 100 with at most 3 decimals, found -1",
        ),
        ("billing: { acme: { factors: { batch: 0.12345 } } }", "expected a factor from 0 to 100"),
        ("billing: { acme: { factors: { slow: 1 } } }", "slow"),
        ("billing: { acme: { fees: { web_search: -1 } } }", "found -1"),
    ] {
        let found = serde_saphyr::from_str::<Table>(text).unwrap_err().to_string();
        assert!(found.contains(expected), "{text}: {found}");
    }
}

proptest! {
    #[test]
    fn the_parts_of_a_charge_are_the_whole(
        tokens in prop::array::uniform5(0u64..100_000_000),
        calls in 0u64..10_000,
        model in prop::sample::select(vec!["claude-haiku-5-5", "claude-opus-5-5", "gpt-6.2", "gemini-2.5-pro", "grok-4.5"]),
        speed in prop::sample::select(vec!["standard", "fast"]),
        tier in prop::sample::select(vec!["standard", "batch", "flex", "priority"]),
        geo in prop::sample::select(vec!["us", "global"]),
    ) {
        let [input, output, read, five, hour] = tokens;
        let usage = |input: u64, output: u64, read: u64, five: u64, hour: u64, calls: u64| json!({
            "input_tokens": input, "output_tokens": output, "cache_read_input_tokens": read,
            "cache_creation_input_tokens": five + hour,
            "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
            "speed": speed, "service_tier": tier, "inference_geo": geo,
            "server_tool_use": {"web_search_requests": calls},
        });
        let tariff = tariff(model);
        let whole = tariff.charge(&spent(usage(input, output, read, five, hour, calls)), DAY);
        prop_assert_eq!(whole.total(), whole.input + whole.writes + whole.reads + whole.output + whole.fees);
        let none = tariff.charge(&spent(usage(0, 0, 0, 0, 0, 0)), DAY);
        prop_assert_eq!(none.total(), Amount::default());
        // the same answer as iterations costs the same
        let mut split = usage(0, 0, 0, 0, 0, calls);
        split["iterations"] = json!([usage(input, output, read, five, hour, 0)]);
        prop_assert_eq!(tariff.charge(&spent(split), DAY), whole);
        // twice an answer costs twice as much
        prop_assert_eq!((whole + whole).total(), whole.total() + whole.total());
    }
}

#[test]
fn tokens_that_were_not_read_from_the_cache_cost_the_difference() {
    let tariff = tariff("claude-opus-5-5");
    let writes = json!({"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 10});
    let usage = json!({"input_tokens": 1000, "cache_creation_input_tokens": 110, "cache_creation": writes,
        "cache_read_input_tokens": 5});
    // 4, 5, 8 and 0.20 dollars for a million tokens: writes for minutes first, then those for an hour, then other input
    for (tokens, nano) in [
        (0, 0),
        (100, 100 * 4800),
        (110, 100 * 4800 + 10 * 7800),
        (111, 100 * 4800 + 10 * 7800 + 3800),
        (1_000_000, 100 * 4800 + 10 * 7800 + 1000 * 3800),
    ] {
        assert_eq!(
            tariff.lost(&spent(usage.clone()), tokens, DAY).nano_dollars(),
            nano,
            "{tokens}"
        );
    }
    // the parts of an answer
    let usage = json!({"iterations": [{"input_tokens": 10}, {"cache_creation_input_tokens": 10}]});
    assert_eq!(tariff.lost(&spent(usage), 15, DAY).nano_dollars(), 10 * 3800 + 5 * 4800);
    let none = Tariff::new(&catalogue(), None, None, Place::Global);
    assert_eq!(none.lost(&spent(json!({"input_tokens": 10})), 15, DAY).nano_dollars(), 0);
}
