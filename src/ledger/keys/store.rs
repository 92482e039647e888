//! `KeyStore`: makes, lists, changes and revokes keys, and loads them into memory.
use std::sync::Arc;

use jiff::{Timestamp, Unit};
use tokio::sync::{Mutex, Notify};

use crate::auth::keys;
use crate::auth::settings::KeySettings;
use crate::auth::stored::{KeyStoreConfig, Loaded, StoredKeys};
use crate::error::Problem;
use crate::ledger::config::LedgerUrl;
use crate::ledger::database::Statement;
use crate::ledger::keys::link::{Link, Place};
use crate::ledger::keys::statements::{self, Change};
use crate::ledger::keys::stored::{Created, KeyFault, StoredKey};
use crate::telemetry::keys::KeyMetrics;

/// The most characters of a name.
const LONGEST_NAME: usize = 128;

/// The key store. Cloning shares it.
#[derive(Clone)]
pub(crate) struct KeyStore(Arc<Inner>);

struct Inner {
    place: Place,
    held: Arc<StoredKeys>,
    /// The connection that looks for changes. Its lock also puts the loads in order.
    link: Mutex<Option<Link>>,
    /// Wakes the watch before its time.
    changed: Notify,
    metrics: KeyMetrics,
}

impl KeyStore {
    /// Loads the keys from a ledger that is open already. Returns `None` if there is to be no store.
    ///
    /// Fails if the ledger is off, or if its database cannot be used.
    pub(super) async fn open(
        config: &KeyStoreConfig,
        url: &LedgerUrl,
        metrics: &KeyMetrics,
    ) -> Result<Option<Self>, Problem> {
        if !config.is_on() {
            return Ok(None);
        }
        let Some(place) = Place::of(url)? else {
            return Err(Problem::new("key_store", NO_LEDGER));
        };
        let store = Self(Arc::new(Inner {
            place,
            held: Arc::new(StoredKeys::new(config)),
            link: Mutex::default(),
            changed: Notify::new(),
            metrics: metrics.clone(),
        }));
        let loaded = store.check().await;
        loaded.map_err(|e| {
            Problem::new("key_store", format!("the ledger's database cannot be used: {e}"))
        })?;
        Ok(Some(store))
    }

    pub(super) fn place(&self) -> &Place {
        &self.0.place
    }

    /// Wakes the watch before its time.
    pub(super) fn wake(&self) {
        self.0.changed.notify_one();
    }

    /// Returns when the watch is woken.
    pub(super) async fn woken(&self) {
        self.0.changed.notified().await;
    }

    /// Returns the keys in memory.
    pub(crate) fn held(&self) -> &Arc<StoredKeys> {
        &self.0.held
    }

    /// Makes a key. It counts on this gateway as soon as this returns, and on the others within a second. `record` returns
    /// further statements for the same transaction.
    pub(crate) async fn create(
        &self,
        settings: KeySettings,
        record: impl Fn(&StoredKey) -> Vec<Statement> + Send,
    ) -> Result<Created, KeyFault> {
        check(&settings)?;
        let new = keys::new_key().map_err(|e| KeyFault::Away(e.into()))?;
        let id = keys::new_id().map_err(|e| KeyFault::Away(e.into()))?;
        let mut link = self.0.place.connect().await?;
        let version = statements::begin(&mut link).await?;
        let stored =
            StoredKey { id, hint: new.hint(), created: now(), version, last_used: None, settings };
        statements::insert(&mut link, &stored, &new).await?;
        link.run(&record(&stored)).await?;
        self.finish(link, version).await?;
        Ok(Created { stored, new })
    }

    /// Returns all keys, by name, with the generation that they belong to.
    pub(crate) async fn list(&self) -> Result<(u64, Vec<StoredKey>), KeyFault> {
        let mut link = self.0.place.connect().await?;
        let loaded = statements::load(&mut link).await?;
        link.close().await;
        let keys = loaded.keys.into_iter().map(|(digest, key)| {
            let last_used = key.last_used.max(self.0.held.used(&digest));
            StoredKey { last_used, ..key }
        });
        Ok((loaded.generation, keys.collect()))
    }

    /// Writes the last uses of keys that the store does not have.
    pub(super) async fn write_uses(&self) -> Result<(), sqlx::Error> {
        let uses = self.0.held.unwritten();
        if uses.is_empty() {
            return Ok(());
        }
        let mut link = self.0.place.connect().await?;
        statements::write_uses(&mut link, &uses).await?;
        link.commit().await?;
        self.0.held.wrote(&uses);
        Ok(())
    }

    /// Returns a key by its id.
    pub(crate) async fn get(&self, id: &str) -> Result<StoredKey, KeyFault> {
        let found = self.list().await?.1.into_iter().find(|key| key.id == id);
        found.ok_or(KeyFault::Unknown)
    }

    /// Changes the settings of a key, if it has not changed since it was read. Returns its new version. `record` are further
    /// statements for the same transaction.
    pub(crate) async fn change(
        &self,
        known: &StoredKey,
        settings: &KeySettings,
        record: &[Statement],
    ) -> Result<u64, KeyFault> {
        check(settings)?;
        let mut link = self.0.place.connect().await?;
        let version = statements::begin(&mut link).await?;
        let change = Change { id: &known.id, known: known.version, version, settings };
        if !statements::update(&mut link, &change).await? {
            return Err(statements::unchanged(&mut link, &known.id).await?);
        }
        link.run(record).await?;
        self.finish(link, version).await?;
        Ok(version)
    }

    /// Revokes a key, if it has not changed since it was read: every gateway refuses it within a second. `record` are further
    /// statements for the same transaction.
    pub(crate) async fn revoke(
        &self,
        known: &StoredKey,
        record: &[Statement],
    ) -> Result<(), KeyFault> {
        let mut link = self.0.place.connect().await?;
        let version = statements::begin(&mut link).await?;
        if !statements::delete(&mut link, &known.id, known.version).await? {
            return Err(statements::unchanged(&mut link, &known.id).await?);
        }
        link.run(record).await?;
        self.finish(link, version).await
    }

    /// Tells the other gateways, commits, and loads the keys.
    async fn finish(&self, mut link: Link, version: u64) -> Result<(), KeyFault> {
        statements::notify(&mut link, version).await?;
        link.commit().await?;
        if let Err(error) = self.check().await {
            // the change is made: the watch loads it
            self.failed(&error);
        }
        Ok(())
    }

    /// Loads the keys if the store's generation is not the one in memory.
    pub(super) async fn check(&self) -> Result<(), sqlx::Error> {
        let inner = &self.0;
        let mut kept = inner.link.lock().await;
        let mut link = match kept.take() {
            Some(link) => link,
            None => inner.place.connect().await?,
        };
        if statements::generation(&mut link).await? != inner.held.generation() {
            let loaded = statements::load(&mut link).await?;
            let keys = loaded.keys.iter().map(|(digest, key)| Loaded {
                digest: *digest,
                id: &key.id,
                settings: &key.settings,
            });
            inner.held.replace(loaded.generation, keys);
            inner.metrics.loaded(loaded.generation, loaded.keys.len());
        }
        // a connection that failed is not kept
        *kept = Some(link);
        inner.held.confirm();
        inner.metrics.state(inner.held.freshness().state());
        Ok(())
    }

    pub(super) fn failed(&self, error: &sqlx::Error) {
        self.0.metrics.failed(self.0.held.freshness().state());
        tracing::debug!(error = %error, "the key store did not answer");
    }
}

/// The message of a key store without a ledger.
pub(crate) const NO_LEDGER: &str = "`ledger` has its keys in the ledger's database, and there is no ledger: set `ledger`, or set `key_store` to `off`";

fn now() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

/// Checks the settings that a client sent.
fn check(settings: &KeySettings) -> Result<(), KeyFault> {
    let name = &settings.name;
    let wrong = |message: String| Err(KeyFault::Wrong("name", message));
    if name.is_empty() {
        return wrong("the name is empty".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return wrong(format!("must have at most {LONGEST_NAME} characters"));
    }
    if name.chars().any(char::is_control) {
        return wrong("must have no control characters".to_owned());
    }
    Ok(())
}
