//! Tests of the key store in a SQLite file.
use std::time::Duration;

use tempfile::TempDir;

use crate::auth::settings::KeySettings;
use crate::auth::stored::{KeyPlace, KeyStoreConfig};
use crate::auth::{Auth, Sources};
use crate::error::ErrorKind;
use crate::ledger::config::LedgerUrl;
use crate::ledger::database::Statement;
use crate::ledger::keys::{KeyFault, KeyStore, StoredKey, Watching};
use crate::ledger::sqlite::Sqlite;
use crate::telemetry::metrics::Metrics;

/// A store in a folder of its own.
struct Fixture {
    folder: TempDir,
    store: KeyStore,
    _watching: Watching,
}

impl Fixture {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // the ledger makes the tables
        let path = folder.path().join("l.sqlite");
        Sqlite::open(&path, 1 << 30).await.unwrap().close().await;
        let (store, watching) = open(&folder).await;
        Self { folder, store, _watching: watching }
    }

    fn auth(&self) -> Auth {
        let stored = Some(std::sync::Arc::clone(self.store.held()));
        Auth::build(Sources { stored, has_store: true, ..Sources::default() }).unwrap()
    }
}

async fn open(folder: &TempDir) -> (KeyStore, Watching) {
    let config = KeyStoreConfig {
        place: KeyPlace::Ledger,
        stale_for: Duration::from_secs(60),
        ..KeyStoreConfig::default()
    };
    let url = LedgerUrl::Sqlite(Some(folder.path().join("l.sqlite")));
    Watching::start(&config, &url, &Metrics::new().ledger.keys).await.unwrap().unwrap()
}

fn named(name: &str) -> KeySettings {
    KeySettings { name: name.to_owned(), ..KeySettings::default() }
}

/// No further statements.
fn nothing(_: &StoredKey) -> Vec<Statement> {
    Vec::new()
}

fn headers(key: &str) -> http::HeaderMap {
    [(http::HeaderName::from_static("x-api-key"), key.parse().unwrap())].into_iter().collect()
}

#[tokio::test]
async fn a_key_counts_from_its_creation_to_its_end() {
    let fixture = Fixture::start().await;
    let (store, auth) = (&fixture.store, fixture.auth());
    let first = store.held().generation();
    let settings = KeySettings {
        models: Some(vec!["claude-*".to_owned()]),
        tools: Some(Vec::new()),
        tags: [("team".to_owned(), "ml\0\u{202e}".to_owned())].into(),
        expires: Some(serde_json::from_value("2999-01-31".into()).unwrap()),
        ..named("ci")
    };
    let made = store.create(settings.clone(), nothing).await.unwrap();
    assert_eq!(store.held().generation(), first + 1);
    let key = headers(made.new.key.expose());
    let identity = auth.authenticate(&key).await.unwrap();
    assert_eq!((&*identity.caller.key, &identity.caller.tags), ("ci", &settings.tags));
    assert!(identity.may_use("claude-x") && !identity.may_use("x") && !identity.may_call("x"));
    // the store has neither the key nor its digest for anybody who asks
    let listed = store.list().await.unwrap().1;
    assert!(listed[0].last_used.is_some());
    assert_eq!(listed, [StoredKey { last_used: listed[0].last_used, ..made.stored.clone() }]);
    assert_eq!(listed[0].settings, settings);
    assert!(
        listed[0].created.ends_with('Z') && made.new.key.expose().starts_with(&listed[0].hint[..7])
    );
    // a change needs the version that the client has read
    let KeySettings { tags, .. } = settings;
    let disabled = KeySettings { disabled: true, tags, ..named("ci-2") };
    let (id, first_version) = (&*made.stored.id, &made.stored);
    let changed = store.change(first_version, &disabled, &[]).await.unwrap();
    assert_eq!(auth.authenticate(&key).await.unwrap_err().kind, ErrorKind::Authentication);
    assert!(matches!(store.change(first_version, &disabled, &[]).await, Err(KeyFault::Outdated)));
    assert!(matches!(store.revoke(first_version, &[]).await, Err(KeyFault::Outdated)));
    let got = store.get(id).await.unwrap();
    assert_eq!((got.version, &got.settings), (changed, &disabled));
    store.change(&got, &named("ci-2"), &[]).await.unwrap();
    assert_eq!(auth.authenticate(&key).await.unwrap().caller.key, "ci-2");
    store.revoke(&store.get(id).await.unwrap(), &[]).await.unwrap();
    let error = auth.authenticate(&key).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert!(error.message.contains("revoked"), "{error}");
    for fault in [
        store.get(id).await.unwrap_err(),
        store.revoke(&got, &[]).await.unwrap_err(),
        store.change(&got, &named("x"), &[]).await.unwrap_err(),
    ] {
        assert!(matches!(fault, KeyFault::Unknown), "{fault:?}");
    }
    assert_eq!(store.held().generation(), first + 4);
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let (one, other) = (
        store.create(named("one"), nothing).await.unwrap(),
        store.create(named("other"), nothing).await.unwrap(),
    );
    let before = (store.held().generation(), store.list().await.unwrap().1);
    assert!(matches!(store.create(named("one"), nothing).await, Err(KeyFault::NameTaken)));
    let stored = &other.stored;
    let renamed = store.change(stored, &named("one"), &[]).await;
    assert!(matches!(renamed, Err(KeyFault::NameTaken)));
    let long = "x".repeat(129);
    for name in ["", "a\nb", "nul\0", long.as_str()] {
        let made = store.create(named(name), nothing).await;
        assert!(matches!(made, Err(KeyFault::Wrong("name", _))), "{name:?}");
        let made = store.change(&one.stored, &named(name), &[]).await;
        assert!(matches!(made, Err(KeyFault::Wrong("name", _))), "{name:?}");
    }
    assert_eq!((store.held().generation(), store.list().await.unwrap().1), before);
}

#[tokio::test]
async fn another_start_finds_the_keys() {
    let fixture = Fixture::start().await;
    let made = fixture.store.create(named("ci"), nothing).await.unwrap();
    let (again, _watching) = open(&fixture.folder).await;
    assert_eq!(again.held().generation(), fixture.store.held().generation());
    assert_eq!(again.list().await.unwrap().1, [made.stored]);
}

#[tokio::test]
async fn several_changes_at_a_time_are_all_made() {
    let fixture = Fixture::start().await;
    let names: Vec<String> = (0..16).map(|n| format!("k{n:02}")).collect();
    let creates = names.iter().map(|name| fixture.store.create(named(name), nothing));
    let made = futures_util::future::join_all(creates).await;
    assert!(made.iter().all(Result::is_ok));
    let listed = fixture.store.list().await.unwrap().1;
    let listed: Vec<&str> = listed.iter().map(|key| key.settings.name.as_str()).collect();
    assert_eq!(listed, names);
    let auth = fixture.auth();
    for made in made.into_iter().flatten() {
        assert!(auth.authenticate(&headers(made.new.key.expose())).await.is_ok());
    }
}

#[tokio::test]
async fn a_store_without_tables_is_a_problem_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("l.sqlite"), "").unwrap();
    let config = KeyStoreConfig { place: KeyPlace::Ledger, ..KeyStoreConfig::default() };
    let url = LedgerUrl::Sqlite(Some(folder.path().join("l.sqlite")));
    let metrics = Metrics::new().ledger.keys;
    let started = Watching::start(&config, &url, &metrics).await;
    assert_eq!(started.err().unwrap().path, "key_store");
    let off = Watching::start(&config, &LedgerUrl::Off, &metrics).await;
    assert!(off.err().unwrap().message.contains("there is no ledger"));
    let none = KeyStoreConfig::default();
    assert!(Watching::start(&none, &url, &metrics).await.unwrap().is_none());
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_refused_and_leaves_the_others() {
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let (odd, good) = (
        store.create(named("odd"), nothing).await.unwrap(),
        store.create(named("good"), nothing).await.unwrap(),
    );
    let change = Statement {
        text: "UPDATE client_key SET settings = '{\"name\":\"odd\",\"of_tomorrow\":1}' WHERE name = 'odd'".to_owned(),
        arguments: Vec::new(),
    };
    store.create(named("third"), |_| vec![change.clone()]).await.unwrap();
    let auth = fixture.auth();
    assert!(auth.authenticate(&headers(odd.new.key.expose())).await.is_err());
    assert!(auth.authenticate(&headers(good.new.key.expose())).await.is_ok());
    let names: Vec<String> =
        store.list().await.unwrap().1.into_iter().map(|key| key.settings.name).collect();
    assert_eq!(names, ["good", "third"]);
}

#[tokio::test]
async fn a_use_is_written_once_and_is_no_change_of_the_key() {
    let fixture = Fixture::start().await;
    let (store, auth) = (&fixture.store, fixture.auth());
    let (used, unused) = (
        store.create(named("used"), nothing).await.unwrap(),
        store.create(named("unused"), nothing).await.unwrap(),
    );
    let (other, _watching) = open(&fixture.folder).await;
    let generation = other.held().generation();
    let last = async |store: &KeyStore, name: &str| {
        let keys = store.list().await.unwrap().1;
        keys.into_iter().find(|key| key.settings.name == name).unwrap().last_used
    };
    assert_eq!(last(store, "used").await, None);
    let before = jiff::Timestamp::now().as_second();
    auth.authenticate(&headers(used.new.key.expose())).await.unwrap();
    let second = last(store, "used").await.unwrap();
    assert!((before..=jiff::Timestamp::now().as_second()).contains(&second));
    // the other gateway sees what is written
    assert_eq!(last(&other, "used").await, None);
    store.write_uses().await.unwrap();
    assert_eq!((last(&other, "used").await, last(&other, "unused").await), (Some(second), None));
    assert!(store.held().unwritten().is_empty());
    other.check().await.unwrap();
    assert_eq!(other.held().generation(), generation);
    assert!(store.revoke(&unused.stored, &[]).await.is_ok());
    // an earlier use of another gateway does not replace a later one
    let mut link = store.place().connect().await.unwrap();
    for (at, expected) in [(second - 9, second), (second + 9, second + 9)] {
        let earlier = crate::auth::stored::Use { id: used.stored.id.clone(), second: at };
        super::statements::write_uses(&mut link, &[earlier]).await.unwrap();
        link.query("COMMIT", &[]).await.unwrap();
        assert_eq!(last(&other, "used").await, Some(expected));
    }
}
