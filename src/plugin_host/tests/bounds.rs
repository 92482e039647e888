//! Limits: the number of concurrent calls, their time and memory, and the allocator of instances.
use std::sync::Arc;
use std::time::Duration;

use crate::plugin_host::{Allocator, Cause, Limits, Means, Plugin, PluginHost};
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::fetching::connected;
use super::grants::reach;
use super::{
    BODY, LONG, broke, compiled, context, document, host, load, on_request, split, tool, wasm,
};
use crate::testing::made::Made;
use crate::testing::upstream::Upstream;

#[tokio::test]
async fn calls_beyond_the_bound_of_a_plugin_wait_and_say_which_key_bounds_them() {
    /// Long enough for a call that runs on a busy machine.
    const SECOND: Duration = Duration::from_secs(1);
    let limits = Limits { tool: SECOND, hook: SECOND, memory: 32 << 20 };
    let host = PluginHost::with_limits(Some(compiled()), limits).unwrap();
    let plugin = connected(&host, &wasm("reach"), json!({"max_concurrent_calls": 1})).await;
    let other = load(&host, "hooks").await;
    let mut server = Upstream::start().await;
    let url = json!(format!("http://{}/", server.address));

    // the call that holds a seat is not polled any more: no deadline ends it
    let mut holding = Box::pin(tool(&plugin, "fetch", json!({"url": url})));
    let _held = tokio::select! {
        fetched = &mut holding => panic!("the server has not answered yet: {fetched:?}"),
        held = server.call() => held,
    };
    let (message, failure) = broke(tool(&plugin, "greet", json!({})).await.unwrap_err());
    assert_eq!(message, busy("tools", "call-tool greet"));
    assert!(matches!(failure.cause, Cause::Busy { calls: 1, .. }));
    assert!(on_request(&plugin, "", BODY).await.is_ok(), "hooks have seats of their own");
    assert!(on_request(&other, "", BODY).await.is_ok(), "another plugin has its own");
    drop(holding);
    assert_eq!(tool(&plugin, "greet", json!({})).await.unwrap(), "", "the seat is free again");

    let with = Arc::new(Map::from_iter([("moderator".to_owned(), url)]));
    let context = context();
    let mut holding = Box::pin(plugin.on_request(&context, &with, document(BODY)));
    let _held = tokio::select! {
        _ = &mut holding => panic!("the moderator has not answered yet"),
        held = server.call() => held,
    };
    let (message, failure) = split(&on_request(&plugin, "", BODY).await.err().unwrap());
    assert_eq!(message, busy("hooks", "on-request"));
    assert!(matches!(failure.cause, Cause::Busy { calls: 1, .. }));
    assert_eq!(tool(&plugin, "greet", json!({})).await.unwrap(), "", "tools have theirs");
    drop(holding);
    assert!(on_request(&plugin, "", BODY).await.is_ok(), "the seat is free again");
}

fn busy(of: &str, task: &str) -> String {
    format!(
        "plugin `reach` did not start within 1s: 1 calls of its {of} run at once, raise \
         `plugins.config.reach.max_concurrent_calls` in `{task}`"
    )
}

#[tokio::test]
async fn a_thousand_calls_at_once_are_all_served() {
    for calls in [1, 64] {
        let host = host();
        let config = json!({"max_concurrent_calls": calls});
        let unruly = host.load(&wasm("unruly"), config).await.unwrap();
        let neighbour = load(&host, "datetime").await;
        let all = join_all((0..1000).map(|n| echo(&unruly, n)));
        let beside = tool(&neighbour, "datetime", json!({"timezones": ["UTC"]}));
        let (said, beside) = tokio::join!(all, beside);
        assert_eq!(said, (0..1000).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(beside.unwrap().contains("UTC"));
    }
}

async fn echo(plugin: &Plugin, n: u32) -> String {
    tool(plugin, "echo", json!({"text": n.to_string()})).await.unwrap()
}

#[tokio::test]
async fn the_pool_has_room_for_the_concurrent_calls_of_all_plugins_up_to_256() {
    let host = host();
    assert_eq!((host.room(), host.allocator()), (None, None), "nothing without a plugin");
    let three = json!({"max_concurrent_calls": 3});
    host.make_room([Some(&three)].into_iter());
    let before = load(&host, "hooks").await;
    assert_eq!(host.room(), Some(64), "never less than one plugin may have");
    host.make_room([Some(&three), None, None].into_iter());
    reach(&host, three).await;
    assert_eq!(host.room(), Some(131));
    host.make_room([None; 20].into_iter());
    load(&host, "unruly").await;
    assert_eq!(host.room(), Some(256));
    // plugins that were loaded before keep running in their engine
    assert!(on_request(&before, "", BODY).await.is_ok());
}

#[tokio::test]
async fn without_address_space_for_a_pool_instances_are_made_on_demand() {
    let limits = Limits { tool: LONG, hook: LONG, memory: 32 << 20 };
    // 2^45 bytes for each of 192 calls exceed any address space
    let means =
        Means { cache_dir: Some(compiled()), limits, reservation: 1 << 45, ..Means::default() };
    let host = PluginHost::with(means).unwrap();
    let plugin = load(&host, "unruly").await;
    assert_eq!(host.allocator(), Some(Allocator::OnDemand));
    for n in 0..100 {
        let text = n.to_string();
        assert_eq!(tool(&plugin, "echo", json!({"text": text})).await.unwrap(), text);
    }
    // every limit holds there too
    let (_, failure) = broke(tool(&plugin, "eat", json!({})).await.unwrap_err());
    assert_eq!(failure.cause, Cause::Memory(32 << 20));
    let (_, failure) = broke(tool(&plugin, "recurse", json!({})).await.unwrap_err());
    assert_eq!(failure.cause, Cause::Stack);
    let reusing = reach(&host, json!({"instances": "reuse"})).await;
    for n in 1..=3 {
        let asked = tool(&reusing, "remember", json!({})).await.unwrap();
        assert_eq!(asked, n.to_string());
    }
}

#[tokio::test]
async fn instances_come_from_a_pool_if_the_address_space_suffices() {
    let host = host();
    load(&host, "hooks").await;
    assert_eq!(host.allocator(), Some(Allocator::Pool));
}

#[tokio::test]
async fn the_memories_of_an_instance_are_bounded_by_their_sum() {
    let more = "(core module $other (memory 320)) (core instance (instantiate $other))";
    // 20 MiB each, of 32
    let made = Made { pages: 320, more: more.to_owned(), ..Made::default() };
    let (_folder, path) = made.file();
    let problems = host().load(&path, json!({})).await.unwrap_err();
    let message = &problems[0].message;
    assert!(message.contains("needs more than its 32 MiB of memory"), "{message}");
    let plugin = host().load(&path, json!({"memory": 41 << 20})).await.unwrap();
    assert_eq!(tool(&plugin, "made", json!({})).await.unwrap(), "well");
}

#[tokio::test]
async fn a_component_of_more_parts_than_its_share_of_the_pool_is_refused() {
    let parts = |module: &str, count: usize| {
        format!("(core module $o {module}) {}", "(core instance (instantiate $o)) ".repeat(count))
    };
    for (more, says) in [
        (
            parts("(memory 1)", 2),
            "contains 3 Wasm linear memories, which exceeds the configured maximum of 2",
        ),
        (
            parts("", 64),
            "contains 65 core module instances, which exceeds the configured maximum of 64",
        ),
        (
            parts("(table 1 funcref)", 9),
            "contains 9 tables, which exceeds the configured maximum of 8",
        ),
    ] {
        let (_folder, path) = Made { more, ..Made::default() }.file();
        let problems = host().load(&path, json!({})).await.unwrap_err();
        let message = &problems[0].message;
        assert!(
            message.starts_with("needs more resources at the start than a plugin"),
            "{message}"
        );
        assert!(message.contains(says), "{message}");
    }
}

#[tokio::test]
async fn the_memory_that_a_reused_instance_holds_counts_for_its_next_call() {
    let config = json!({"instances": "reuse", "memory": 12 << 20});
    let plugin = reach(&host(), config).await;
    let hoard = || tool(&plugin, "remember", json!({"act": "hoard"}));
    let mut kept = 0;
    let error = loop {
        match hoard().await {
            Ok(asked) => kept = asked.parse().unwrap(),
            Err(error) => break error,
        }
        assert!(kept < 12, "a MiB each");
    };
    assert_eq!(broke(error).1.cause, Cause::Memory(12 << 20));
    assert!(kept > 2, "{kept}");
    // the next call begins with an empty instance
    assert_eq!(hoard().await.unwrap(), "1");
}

#[tokio::test]
async fn memory_and_deadline_are_set_for_each_plugin() {
    let host = host();
    let config = json!({"memory": 8 << 20});
    let plugin = host.load(&wasm("unruly"), config).await.unwrap();
    let (message, _) = broke(tool(&plugin, "eat", json!({})).await.unwrap_err());
    assert_eq!(message, "plugin `unruly` needs more than its 8 MiB of memory in `call-tool eat`");
    let config = json!({"deadline": "100ms"});
    let brief = host.load(&wasm("unruly"), config).await.unwrap();
    let (_, failure) = broke(tool(&brief, "spin", json!({})).await.unwrap_err());
    assert_eq!(failure.cause, Cause::Deadline(Duration::from_millis(100)));
    let told = failure.to_string();
    assert!(
        told.ends_with("`call-tool spin`: did not finish within 100ms (its `deadline`)"),
        "{told}"
    );
    let config = json!({"hook_deadline": "100ms"});
    let brief = host.load(&wasm("hooks"), config).await.unwrap();
    let (_, failure) = split(&on_request(&brief, "spin", BODY).await.err().unwrap());
    let told = failure.to_string();
    assert!(
        told.ends_with("`on-request`: did not finish within 100ms (its `hook_deadline`)"),
        "{told}"
    );

    let usual = host.load(&wasm("unruly"), Value::Null).await.unwrap();
    let (_, failure) = broke(tool(&usual, "eat", json!({})).await.unwrap_err());
    assert_eq!(failure.cause, Cause::Memory(32 << 20));
}
