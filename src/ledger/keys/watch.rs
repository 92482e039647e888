//! The watch over the key store: a look twice a second, and PostgreSQL's notifications, which make it faster.
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::auth::stored::KeyStoreConfig;
use crate::error::Problem;
use crate::ledger::config::LedgerUrl;
use crate::ledger::keys::link::Place;
use crate::ledger::keys::statements;
use crate::ledger::keys::store::KeyStore;
use crate::telemetry::keys::KeyMetrics;

/// The pause between looks. A revoked key is refused within a second.
const LOOKS: Duration = Duration::from_millis(500);
/// The pause before a lost connection for notifications is opened again.
const RECONNECT: Duration = Duration::from_secs(1);

/// The time between two writes of the keys' last uses.
const USES: Duration = Duration::from_secs(30);

/// The tasks that watch the store. Dropped, they stop.
pub(crate) struct Watching {
    store: KeyStore,
    tasks: Vec<JoinHandle<()>>,
}

impl Watching {
    /// Loads the keys from a ledger that is open already, and watches it on the caller's runtime. Returns `None` if there
    /// is to be no store.
    ///
    /// Fails if the ledger is off, or if its database cannot be used.
    pub(crate) async fn start(
        config: &KeyStoreConfig,
        url: &LedgerUrl,
        metrics: &KeyMetrics,
    ) -> Result<Option<(KeyStore, Self)>, Problem> {
        let Some(store) = KeyStore::open(config, url, metrics).await? else { return Ok(None) };
        let mut tasks =
            vec![tokio::spawn(look(store.clone())), tokio::spawn(keep_uses(store.clone()))];
        if let Place::Postgres(options) = store.place() {
            tasks.push(tokio::spawn(listen(store.clone(), PgConnectOptions::clone(options))));
        }
        Ok(Some((store.clone(), Self { store, tasks })))
    }

    /// Writes the last uses of the keys, for a while, and stops.
    pub(crate) async fn stop(self, patience: Duration) {
        match tokio::time::timeout(patience, self.store.write_uses()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => unwritten(&error.to_string()),
            Err(_) => unwritten("the database did not answer in time"),
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn look(store: KeyStore) {
    let mut looks = tokio::time::interval(LOOKS);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_away = false;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = store.woken() => {}
        }
        let checked = store.check().await;
        if let Err(error) = &checked {
            store.failed(error);
        }
        match checked {
            Ok(()) if is_away => back(),
            Err(error) if !is_away => lost(&error),
            _ => continue,
        }
        is_away = !is_away;
    }
}

/// Writes the last uses of the keys from time to time. Those that cannot be written wait for the next time.
async fn keep_uses(store: KeyStore) {
    loop {
        tokio::time::sleep(USES).await;
        if let Err(error) = store.write_uses().await {
            tracing::debug!(error = %error, "the last uses of keys cannot be written now");
        }
    }
}

fn unwritten(error: &str) {
    tracing::warn!(error, "the last uses of keys of the key store were not written");
}

/// Logs the end of an outage.
fn back() {
    tracing::info!("the key store answers again");
}

/// Logs the beginning of an outage.
fn lost(error: &sqlx::Error) {
    tracing::error!(error = %error, "the key store does not answer: known keys count for the time of `key_store.stale_for`");
}

/// Wakes the watch at each notification, and after each new connection: notifications may be lost in between.
async fn listen(store: KeyStore, options: PgConnectOptions) {
    loop {
        // the watch reports an outage
        let _ = hear(&store, options.clone()).await;
        tokio::time::sleep(RECONNECT).await;
    }
}

/// Returns when the connection is lost.
async fn hear(store: &KeyStore, options: PgConnectOptions) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(statements::CHANNEL).await?;
    store.wake();
    while listener.try_recv().await?.is_some() {
        store.wake();
    }
    Ok(())
}
