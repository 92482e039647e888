//! Reload: a whole new generation or the last good one, and never a lost request.
pub mod unread;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tidegate::gateway::reload::Reloaded;

use crate::support::client::{Ask, Incoming};
use crate::support::gateway::{Gateway, completed, to};
use crate::support::upstream::{self, Auto, Behaviour, Call, Upstream};
use crate::support::{ANSWER, FRAMES, MESSAGE, streaming, until, within};

const SUCCESSFUL: &str = "tidegate_config_last_reload_successful";

/// A config whose answers show which one it is.
fn named(upstream: SocketAddr, model: &str) -> String {
    to(upstream).replace("{ provider: up }", &format!("{{ provider: up, model: {model} }}"))
}

async fn target(gateway: &Gateway) -> String {
    let answer = Ask::message(MESSAGE).send(gateway.address).await;
    assert_eq!(answer.status, 200);
    answer.header("x-tidegate-target").unwrap().to_owned()
}

/// Waits until the watch over the files has seen a change.
async fn until_target(gateway: &Gateway, expected: &str) {
    let what = format!("the config of `{expected}` to serve");
    until(&what, async || target(gateway).await == expected).await;
}

#[tokio::test]
async fn a_good_config_serves_and_a_broken_one_keeps_the_last_good() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::start(&named(up.address, "one")).await;
    assert_eq!(gateway.metric(SUCCESSFUL).await, 1.0);
    assert!(matches!(gateway.reload(&named(up.address, "two")).await, Reloaded::Swapped(_)));
    assert_eq!(target(&gateway).await, "up/two");
    let broken = [
        ("providers: [".to_owned(), ""),
        (named(up.address, "x").replace("provider: up,", "provider: nope,"), "models.*.provider"),
        (named(up.address, "x") + "unknown: 1\n", "unknown"),
        (named(up.address, "x").replace("http://", "ftp://"), "providers.up.base_url"),
        (String::new(), "providers"),
    ];
    for (yaml, place) in broken {
        let Reloaded::Refused(problems) = gateway.reload(&yaml).await else { panic!("{yaml}") };
        assert!(problems.iter().any(|problem| problem.path.starts_with(place)), "{problems:?}");
        assert_eq!(target(&gateway).await, "up/two");
        assert_eq!(gateway.metric(SUCCESSFUL).await, 0.0);
    }
    assert!(matches!(gateway.reload(&named(up.address, "three")).await, Reloaded::Swapped(_)));
    assert_eq!(target(&gateway).await, "up/three");
    assert_eq!(gateway.metric(SUCCESSFUL).await, 1.0);
    gateway.until_metric("tidegate_generations_live", 1.0).await;
}

fn rename_over(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn every_way_to_save_a_file_is_seen() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::start(&named(up.address, "first")).await;
    let file = gateway.file();
    let text = |model: &str| completed(&named(up.address, model));
    assert_eq!(target(&gateway).await, "up/first");
    // in place, as `>` and some editors do
    fs::write(&file, text("in-place")).unwrap();
    until_target(&gateway, "up/in-place").await;
    // beside it and over it, as most editors do
    rename_over(&file, &text("renamed"));
    until_target(&gateway, "up/renamed").await;
    // away and written anew, as vim does with a backup
    fs::rename(&file, file.with_extension("yaml~")).unwrap();
    fs::write(&file, text("anew")).unwrap();
    until_target(&gateway, "up/anew").await;
    // gone for a while: the last good generation serves on
    fs::remove_file(&file).unwrap();
    gateway.until_metric(SUCCESSFUL, 0.0).await;
    assert_eq!(target(&gateway).await, "up/anew");
    fs::write(&file, text("back")).unwrap();
    until_target(&gateway, "up/back").await;
    gateway.until_metric(SUCCESSFUL, 1.0).await;
}

#[tokio::test]
async fn the_swap_of_a_configmap_is_seen() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::start(&named(up.address, "first")).await;
    let folder = gateway.folder();
    // tidegate.yaml → ..data/tidegate.yaml, and ..data → a folder that is never changed
    let publish = |model: &str| {
        let version = folder.join(format!("..{model}"));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("tidegate.yaml"), completed(&named(up.address, model))).unwrap();
        symlink(format!("..{model}"), folder.join("..data_tmp")).unwrap();
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    publish("one");
    fs::remove_file(gateway.file()).unwrap();
    symlink("..data/tidegate.yaml", gateway.file()).unwrap();
    until_target(&gateway, "up/one").await;
    for model in ["two", "three"] {
        publish(model);
        until_target(&gateway, &format!("up/{model}")).await;
    }
}

#[tokio::test]
async fn a_file_that_the_config_names_is_watched_too() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let config = to(up.address).replace("api_key: up-key", "api_key: \"${file:key}\"");
    let gateway = Gateway::with().config(&config).files(&[("key", "first\n")]).start().await;
    target(&gateway).await;
    rename_over(&gateway.folder().join("key"), "second\n");
    until("the new key", async || sent_key(&gateway, &up).await != "first").await;
    assert_eq!(sent_key(&gateway, &up).await, "second");
}

/// The key that the upstream is sent now.
async fn sent_key(gateway: &Gateway, up: &Auto) -> String {
    target(gateway).await;
    let (head, _) = up.seen().pop().unwrap();
    head.header("x-api-key").unwrap().to_owned()
}

#[tokio::test]
async fn a_rewrite_without_changes_and_editor_files_do_not_cause_a_reload() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let gateway = Gateway::with().upstream(up.address).start().await;
    let text = fs::read(gateway.file()).unwrap();
    rename_over(&gateway.file(), std::str::from_utf8(&text).unwrap());
    for name in ["policies/.x.rhai.swp", "policies/x.rhai~", "policies/4913", "notes.txt"] {
        fs::write(gateway.folder().join(name), "editors do this").unwrap();
    }
    assert!(matches!(gateway.look().await, Reloaded::Unchanged));
    assert_eq!(gateway.metric("tidegate_config_reloads_total{result=\"ok\"}").await, 1.0);
}

#[tokio::test]
async fn a_request_keeps_its_generation_to_the_end() {
    let mut up = Upstream::start().await;
    let gateway = Gateway::start(&named(up.address, "one")).await;
    let (mut answer, mut call) = streaming(&gateway, &mut up).await;
    gateway.reload(&named("127.0.0.1:1".parse().unwrap(), "two")).await;
    call.chunk(FRAMES[1..].concat()).await;
    call.finish("0\r\n\r\n").await;
    assert_eq!(answer.frames().await.len(), 5);
    assert_eq!(answer.head.header("x-tidegate-target"), Some("up/one"));
    gateway.until_metric("tidegate_generations_live", 1.0).await;
}

#[tokio::test]
async fn keys_that_are_taken_away_are_dead_at_once() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let with = |key: &str| format!("{}keys: [{{ name: a, key: {key} }}]\n", to(up.address));
    let gateway = Gateway::start(&with("old")).await;
    let status = async |key: &str| {
        Ask::message(MESSAGE).header("x-api-key", key).send(gateway.address).await.status
    };
    assert_eq!((status("old").await, status("new").await), (200, 401));
    gateway.reload(&with("new")).await;
    assert_eq!((status("old").await, status("new").await), (401, 200));
}

/// Requests, one after the other, until told to stop; every one must succeed.
async fn traffic(address: SocketAddr, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    while !stop.load(Relaxed) {
        let answer = Ask::message(MESSAGE).send(address).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ANSWER));
        served.fetch_add(1, Relaxed);
    }
}

async fn until_more(served: &AtomicUsize, before: usize) {
    while served.load(Relaxed) == before {
        tokio::task::yield_now().await;
    }
}

/// The n-th config of the storm, and whether it can serve.
fn storm(n: usize, upstream: SocketAddr) -> (String, bool) {
    let good = named(upstream, &format!("model-{n}")) + "server: { workers: 2 }\n";
    match n % 5 {
        1 => (format!("{good}: not yaml ["), false),
        3 => (good.replace("provider: up,", "provider: nope,"), false),
        _ => (good, true),
    }
}

#[tokio::test]
async fn fifty_reloads_lose_no_request_and_no_stream() {
    let auto = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let mut led = Upstream::start().await;
    let gateway = Gateway::start(&(named(led.address, "first") + "server: { workers: 2 }\n")).await;
    let mut streams: Vec<(Incoming, Call)> = Vec::new();
    for _ in 0..4 {
        let (mut answer, mut call) = streaming(&gateway, &mut led).await;
        call.chunk(FRAMES[1]).await;
        assert_eq!(answer.frame().await.unwrap(), FRAMES[1]);
        streams.push((answer, call));
    }
    gateway.reload(&storm(0, auto.address).0).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(traffic(gateway.address, Arc::clone(&stop), Arc::clone(&served))))
        .collect();
    for n in 0..50 {
        let (yaml, is_good) = storm(n, auto.address);
        let before = served.load(Relaxed);
        match gateway.reload(&yaml).await {
            Reloaded::Swapped(_) => assert!(is_good, "{yaml}"),
            Reloaded::Refused(problems) => assert!(!is_good, "{problems:?}"),
            Reloaded::Unchanged => panic!("a reload that was asked for"),
        }
        for (answer, call) in &mut streams {
            call.chunk(FRAMES[2]).await;
            assert_eq!(answer.frame().await.unwrap(), FRAMES[2]);
        }
        // traffic between any two reloads
        within("a request", until_more(&served, before)).await;
    }
    stop.store(true, Relaxed);
    for caller in callers {
        within("a caller", caller).await.unwrap();
    }
    for (mut answer, mut call) in streams {
        for frame in &FRAMES[3..] {
            call.chunk(frame).await;
            assert_eq!(answer.frame().await.unwrap(), frame);
        }
        call.finish("0\r\n\r\n").await;
        assert_eq!(answer.frame().await, None);
        assert!(answer.is_whole());
        assert_eq!(answer.head.header("x-tidegate-target"), Some("up/first"));
    }
    assert!(gateway.metric("tidegate_config_reloads_total{result=\"ok\"}").await >= 30.0);
    assert!(gateway.metric("tidegate_config_reloads_total{result=\"error\"}").await >= 20.0);
    gateway.until_metric("tidegate_generations_live", 1.0).await;
    gateway.until_metric("tidegate_active_requests", 0.0).await;
}

#[tokio::test]
async fn policies_stay_in_effect_after_their_folder_vanishes() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = "fn on_request(request, ctx) { deny(\"no\"); }";
    let gateway = Gateway::with().upstream(up.address).policy("no", policy).start().await;
    let status = async || Ask::message(MESSAGE).send(gateway.address).await.status;
    assert_eq!(status().await, 400);
    let (here, away) = (gateway.folder().join("policies"), gateway.folder().join("away"));
    fs::rename(&here, &away).unwrap();
    // the watch may have looked first
    let looked = gateway.look().await;
    assert!(matches!(looked, Reloaded::Refused(_) | Reloaded::Unchanged), "{looked:?}");
    gateway.until_metric(SUCCESSFUL, 0.0).await;
    assert_eq!(status().await, 400);
    fs::rename(&away, &here).unwrap();
    gateway.look().await;
    assert_eq!(status().await, 400);
}

#[tokio::test]
async fn a_changed_module_of_policies_serves_and_a_broken_one_does_not() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let policy = "import \"lib/m\" as m;\nfn on_request(request, ctx) { m::check(); }";
    let module = |status: u16| format!("fn check() {{ deny({status}, \"no\"); }}");
    let files = [("policies/no.rhai", policy), ("policies/lib/m.rhai", &module(403))];
    let gateway = Gateway::with().upstream(up.address).files(&files).start().await;
    let status = async || Ask::message(MESSAGE).send(gateway.address).await.status;
    assert_eq!(status().await, 403);
    let file = gateway.folder().join("policies/lib/m.rhai");
    rename_over(&file, &module(429));
    until("the module to serve", async || status().await == 429).await;
    rename_over(&file, "fn check() {");
    gateway.until_metric(SUCCESSFUL, 0.0).await;
    assert_eq!(status().await, 429);
}

#[tokio::test]
async fn a_reload_never_opens_a_gateway_that_other_machines_can_reach() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let open = to(up.address);
    let closed = format!("listen: 0.0.0.0:0\nkeys: [{{ name: a, key: k-a }}]\n{open}");
    let gateway = Gateway::start(&closed).await;
    // the new address waits for a restart
    let reloaded = gateway.reload(&format!("listen: 127.0.0.1:0\n{open}")).await;
    let Reloaded::Refused(problems) = reloaded else { panic!("{reloaded:?}") };
    assert_eq!(problems[0].path, "keys");
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 401);
}

#[tokio::test]
async fn a_key_store_closes_the_gateway_until_a_restart() {
    let up = Upstream::always(Behaviour::Answer(upstream::json(200, ANSWER))).await;
    let open = to(up.address);
    let gateway = Gateway::start(&format!("ledger: sqlite\nkey_store: ledger\n{open}")).await;
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 401);
    let reloaded = gateway.reload(&format!("ledger: sqlite\n{open}")).await;
    assert!(matches!(reloaded, Reloaded::Swapped(_)), "{reloaded:?}");
    assert_eq!(Ask::message(MESSAGE).send(gateway.address).await.status, 401);
}
