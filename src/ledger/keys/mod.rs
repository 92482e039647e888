//! The key store: keys of clients in the ledger's database. Each gateway holds all of them in memory, and looks for
//! changes twice a second.
mod link;
mod statements;
mod store;
mod stored;
mod watch;

pub(crate) use store::{KeyStore, NO_LEDGER};
pub(crate) use stored::{Created, KeyFault, StoredKey};
pub(crate) use watch::Watching;

#[cfg(test)]
mod tests;
