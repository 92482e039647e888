//! `keys`: the keys of the key store.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::admin::answer::Answer;
use crate::admin::call::{Call, Caller};
use crate::admin::failure::Failure;
use crate::admin::parse;
use crate::admin::route::Route;
use crate::admin::state::State;
use crate::admin::tag::Tag;
use crate::admin::time;
use crate::auth::allowance::{OwnBudget, OwnLimit};
use crate::auth::entries::Entries;
use crate::auth::expiry::Expiry;
use crate::auth::settings::KeySettings;
use crate::error::Problem;
use crate::ledger::audit::{self, AuditRow};
use crate::ledger::database::Statement;
use crate::ledger::keys::{Created, KeyFault, KeyStore, StoredKey};
use crate::limits::{self, Client, Known, OwnEntry};
use crate::telemetry::events::names::{KEY_CHANGED, KEY_CREATED, KEY_REVOKED};

const LIST: &str = "/api/keys";
const ONE: &str = "/api/keys/{id}";
/// The wait after a failure of the database.
const AWAY: Duration = Duration::from_secs(2);

/// Returns the routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(LIST, "Returns the keys of the key store, by name.", |state, _| {
            Box::pin(list(state))
        })
        .answers::<Keys>(200),
        Route::new(
            Method::POST,
            LIST,
            "Makes a key. The answer is the only place that has it.",
            |state, call| Box::pin(create(state, call)),
        )
        .body::<Settings>()
        .answers::<New>(201),
        Route::get(ONE, "Returns a key, without the key itself.", |state, call| {
            Box::pin(show(state, call))
        })
        .answers::<Key>(200),
        Route::new(
            Method::PATCH,
            ONE,
            "Changes the settings of a key that the body names.",
            |state, call| Box::pin(change(state, call)),
        )
        .body::<Changes>()
        .answers::<Key>(200),
        Route::new(
            Method::DELETE,
            ONE,
            "Revokes a key. Every gateway refuses it within a second.",
            |state, call| Box::pin(revoke(state, call)),
        )
        .answers_with(204, ""),
    ]
}

/// The keys of the key store.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The keys, by name.
    keys: Vec<Key>,
    /// The generation of the store, which counts up with each change.
    generation: u64,
}

/// A key, without the key itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The id.
    id: String,
    /// The client's name in logs, metrics and policies.
    name: String,
    /// The first and the last characters of the key.
    hint: String,
    /// The time at which it was made.
    created_at: String,
    /// The time of its last use; `null` without any. Uses at other gateways are known within half a minute.
    last_used: Option<String>,
    /// The models that it may name, with `*`; all if `null`.
    models: Option<Vec<String>>,
    /// The server tools that it may use, with `*`; all if `null`.
    tools: Option<Vec<String>>,
    /// Tags for policies, limits and metrics.
    tags: BTreeMap<String, String>,
    /// The time from which it is refused.
    expires: Option<String>,
    /// Whether it is refused until it is enabled again.
    disabled: bool,
    /// Its own limits, one or a list; `null` without any.
    limits: Option<Entries<OwnLimit>>,
    /// Its own budget, one or a list; `null` without any.
    budget: Option<Entries<OwnBudget>>,
}

/// The settings of a new key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The client's name in logs, metrics and policies.
    name: String,
    /// The models that it may name, with `*`; all if left out.
    models: Option<Vec<String>>,
    /// The server tools that it may use, with `*`; all if left out.
    tools: Option<Vec<String>>,
    /// Tags for policies, limits and metrics.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// The time from which it is refused: `2027-01-31T12:00:00Z`, or a date.
    #[schemars(with = "Option<String>")]
    expires: Option<Expiry>,
    /// Whether it is refused until it is enabled again.
    #[serde(default)]
    disabled: bool,
    /// Its own limits beside those of `limits.rules`, one or a list.
    limits: Option<Entries<OwnLimit>>,
    /// Its own budget beside those of `budgets.rules`, one or a list.
    budget: Option<Entries<OwnBudget>>,
}

/// The changes of a key. Settings that are left out stay as they are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Changes {
    /// The client's name.
    name: Option<String>,
    /// The models that it may name; `null` for all.
    #[serde(deserialize_with = "named")]
    #[schemars(with = "Option<Vec<String>>")]
    models: Option<Option<Vec<String>>>,
    /// The server tools that it may use; `null` for all.
    #[serde(deserialize_with = "named")]
    #[schemars(with = "Option<Vec<String>>")]
    tools: Option<Option<Vec<String>>>,
    /// All of its tags.
    tags: Option<BTreeMap<String, String>>,
    /// The time from which it is refused; `null` for none.
    #[serde(deserialize_with = "named")]
    #[schemars(with = "Option<String>")]
    expires: Option<Option<Expiry>>,
    /// Whether it is refused until it is enabled again.
    disabled: Option<bool>,
    /// All of its own limits; `null` for none. Equal windows keep the amounts that are in use.
    #[serde(deserialize_with = "named")]
    #[schemars(with = "Option<Entries<OwnLimit>>")]
    limits: Option<Option<Entries<OwnLimit>>>,
    /// All of its own budgets; `null` for none. Equal periods keep the money that was spent.
    #[serde(deserialize_with = "named")]
    #[schemars(with = "Option<Entries<OwnBudget>>")]
    budget: Option<Option<Entries<OwnBudget>>>,
}

/// A new key.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct New {
    /// The id.
    id: String,
    /// The client's name.
    name: String,
    /// The key. It is stored nowhere.
    key: String,
}

/// Reads a field that is there, so that `null` differs from no field.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Key {
    fn of(stored: &StoredKey) -> Self {
        let settings = stored.settings.clone();
        Self {
            id: stored.id.clone(),
            hint: stored.hint.clone(),
            created_at: stored.created.clone(),
            last_used: stored.last_used.map(|second| time::of_millis(second.saturating_mul(1000))),
            name: settings.name,
            models: settings.models,
            tools: settings.tools,
            tags: settings.tags,
            expires: settings.expires.map(|end| end.to_string()),
            disabled: settings.disabled,
            limits: Some(settings.limits).filter(|limits| !limits.is_empty()),
            budget: Some(settings.budget).filter(|budget| !budget.is_empty()),
        }
    }
}

impl Settings {
    fn settings(self) -> KeySettings {
        KeySettings {
            name: self.name,
            models: self.models,
            tools: self.tools,
            tags: self.tags,
            expires: self.expires,
            disabled: self.disabled,
            limits: self.limits.unwrap_or_default(),
            budget: self.budget.unwrap_or_default(),
        }
    }
}

impl Changes {
    fn of(self, old: &KeySettings) -> KeySettings {
        KeySettings {
            name: self.name.unwrap_or_else(|| old.name.clone()),
            models: self.models.unwrap_or_else(|| old.models.clone()),
            tools: self.tools.unwrap_or_else(|| old.tools.clone()),
            tags: self.tags.unwrap_or_else(|| old.tags.clone()),
            expires: self.expires.unwrap_or(old.expires),
            disabled: self.disabled.unwrap_or(old.disabled),
            limits: changed(self.limits, &old.limits),
            budget: changed(self.budget, &old.budget),
        }
    }
}

/// Returns the entries of a field after a change.
fn changed<T: Clone>(change: Option<Option<Entries<T>>>, old: &Entries<T>) -> Entries<T> {
    match change {
        Some(entries) => entries.unwrap_or_default(),
        None => old.clone(),
    }
}

async fn list(state: Arc<State>) -> Result<Answer, Failure> {
    let (generation, keys) = store(&state)?.list().await.map_err(failed)?;
    let keys = keys.iter().map(Key::of).collect();
    Ok(Answer::json(&Keys { keys, generation })?.tagged(&of_all(generation)))
}

async fn show(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let stored = store(&state)?.get(call.id()?).await.map_err(failed)?;
    shown(&stored)
}

async fn create(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let settings = call.body::<Settings>()?.settings();
    check(&state, &settings)?;
    let store = store(&state)?;
    let (generation, _) = store.list().await.map_err(failed)?;
    call.expects(&of_all(generation))?;
    is_free(&state, &settings.name)?;
    let writer = Writer { state: &state, caller: &call.caller };
    let record = |stored: &StoredKey| {
        let written = Written { method: Method::POST, route: LIST, status: StatusCode::CREATED };
        writer.row(written, &stored.id, &text(None, Some(&stored.settings)))
    };
    let Created { stored, new } = store.create(settings, record).await.map_err(failed)?;
    tell(&state, KEY_CREATED, &stored.id, &stored.settings);
    let StoredKey { id, version, settings, .. } = stored;
    let answer = New { id: id.clone(), name: settings.name, key: new.key.expose().to_owned() };
    let answer = Answer::with(StatusCode::CREATED, &answer)?.tagged(&of_one(&id, version));
    Ok(answer.about(id).recorded())
}

async fn change(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let changes: Changes = call.body()?;
    let store = store(&state)?;
    let old = store.get(call.id()?).await.map_err(failed)?;
    call.expects(&of_one(&old.id, old.version))?;
    let settings = changes.of(&old.settings);
    check(&state, &settings)?;
    if settings.name != old.settings.name {
        is_free(&state, &settings.name)?;
    }
    let writer = Writer { state: &state, caller: &call.caller };
    let written = Written { method: Method::PATCH, route: ONE, status: StatusCode::OK };
    let row = writer.row(written, &old.id, &text(Some(&old.settings), Some(&settings)));
    let version = store.change(&old, &settings, &row).await.map_err(failed)?;
    tell(&state, KEY_CHANGED, &old.id, &settings);
    Ok(shown(&StoredKey { version, settings, ..old })?.recorded())
}

async fn revoke(state: Arc<State>, call: Call) -> Result<Answer, Failure> {
    let store = store(&state)?;
    let old = store.get(call.id()?).await.map_err(failed)?;
    call.expects(&of_one(&old.id, old.version))?;
    let writer = Writer { state: &state, caller: &call.caller };
    let written = Written { method: Method::DELETE, route: ONE, status: StatusCode::NO_CONTENT };
    let row = writer.row(written, &old.id, &text(Some(&old.settings), None));
    store.revoke(&old, &row).await.map_err(failed)?;
    tell(&state, KEY_REVOKED, &old.id, &old.settings);
    Ok(Answer::empty().recorded())
}

/// Writes the rows of the audit table, in the transaction of the change itself.
struct Writer<'a> {
    state: &'a State,
    caller: &'a Caller,
}

/// The route of a write, and its status.
struct Written {
    method: Method,
    route: &'static str,
    status: StatusCode,
}

impl Writer<'_> {
    fn row(&self, written: Written, id: &str, detail: &str) -> Vec<Statement> {
        // a key store has a ledger, whose database has the table
        let Some(database) = &self.state.database else { return Vec::new() };
        let row = AuditRow {
            at: SystemTime::now(),
            credential: self.caller.credential,
            address: self.caller.address.ip().to_string(),
            method: written.method.to_string(),
            route: written.route,
            object: id.to_owned(),
            status: written.status.as_u16(),
            detail: Some(detail.to_owned()),
        };
        audit::statements(database, &row).to_vec()
    }
}

/// Sends an event about a key, without the key itself.
fn tell(state: &State, kind: &str, id: &str, settings: &KeySettings) {
    state.live.load().events.enter(kind, || {
        let KeySettings { name, tags, expires, disabled, .. } = settings;
        let expires = expires.as_ref().map(ToString::to_string);
        json!({ "id": id, "name": name, "tags": tags, "expires": expires, "disabled": disabled })
    });
}

/// Returns the settings before and after a write. They hold no key.
fn text(before: Option<&KeySettings>, after: Option<&KeySettings>) -> String {
    json!({ "before": before, "after": after }).to_string()
}

fn shown(stored: &StoredKey) -> Result<Answer, Failure> {
    Ok(Answer::json(&Key::of(stored))?.tagged(&of_one(&stored.id, stored.version)))
}

fn of_all(generation: u64) -> Tag {
    Tag::of(&["keys", &generation.to_string()])
}

fn of_one(id: &str, version: u64) -> Tag {
    Tag::of(&["key", id, &version.to_string()])
}

fn store(state: &State) -> Result<&KeyStore, Failure> {
    let message = "there is no key store: set `key_store` to `ledger` in the config, and restart";
    state.shared.keys.as_ref().ok_or_else(|| Failure::not_found(message))
}

/// Fails with the first wrong limit or budget, as in the config.
fn check(state: &State, settings: &KeySettings) -> Result<(), Failure> {
    let KeySettings { name, tags, limits, budget, .. } = settings;
    let gateway = state.live.load();
    let aliases = gateway.models.all();
    let aliases: Vec<&str> = aliases.iter().map(|alias| alias.name.as_str()).collect();
    let known = Known { aliases: &aliases, keys: &[Client { name, tags }] };
    let problems = limits::of_own(OwnEntry { place: "", limits, budget }, known);
    let Some(Problem { path, message }) = problems.into_iter().next() else { return Ok(()) };
    let expected = message.strip_prefix("expected ").unwrap_or(&message);
    let expected = expected.rsplit_once(", found ").map_or(expected, |(expected, _)| expected);
    let failure = Failure::new(StatusCode::BAD_REQUEST, format!("`{path}`: {message}"));
    Err(failure.about(&path, expected, found(settings, &path)))
}

/// Returns the value at a place such as `limits[0].concurrent`, as JSON.
fn found(settings: &KeySettings, path: &str) -> String {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let tree = serde_json::to_value(settings).unwrap_or_default();
    let value = tree.pointer(&pointer).map(ToString::to_string);
    value.map_or_else(|| "another value".to_owned(), |value| parse::quoted(&value))
}

/// Fails if a key of the config has the name: their clients would count as one.
fn is_free(state: &State, name: &str) -> Result<(), Failure> {
    match state.live.load().auth.has_name(name) {
        true => Err(taken("a key of the config has this name: choose another")),
        false => Ok(()),
    }
}

fn taken(message: &str) -> Failure {
    let failure = Failure::new(StatusCode::CONFLICT, message);
    failure.about("name", "a name that no other key has", "the name of another key")
}

fn failed(fault: KeyFault) -> Failure {
    match fault {
        KeyFault::Unknown => Failure::not_found("the key store has no key with this id"),
        KeyFault::Outdated => {
            let message = "the key has changed since it was read: read it again, then write";
            let failure = Failure::new(StatusCode::PRECONDITION_FAILED, message);
            failure.about("if-match", "the present version", "another version")
        }
        KeyFault::NameTaken => taken("another key of the store has this name: choose another"),
        KeyFault::Wrong(field, message) => {
            let failure = Failure::new(StatusCode::BAD_REQUEST, format!("`{field}`: {message}"));
            failure.about(field, "another value", "a wrong one")
        }
        KeyFault::Away(error) => {
            tracing::warn!(error = %error, "the key store cannot be read or written");
            let message = "the key store's database cannot be used now: the log has the error";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).after(AWAY)
        }
    }
}
