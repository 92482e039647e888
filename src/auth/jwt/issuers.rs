//! `Issuers`: the issuers of all generations, so that a reload keeps their keys.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::auth::jwt::config::JwtConfig;
use crate::auth::jwt::issuer::{Issuer, Place};
use crate::net::egress;
use crate::net::tls::Trust;

/// The issuers that some generation uses.
#[derive(Default)]
pub(crate) struct Issuers(Mutex<HashMap<Place, Weak<Issuer>>>);

/// The means by which issuers are reached.
pub(crate) struct Means<'a> {
    /// The issuers so far.
    pub(crate) issuers: &'a Issuers,
    /// The client of the fetches.
    pub(crate) client: &'a Arc<egress::Client>,
    /// The gateway's own listeners, which are no issuers.
    pub(crate) own: Vec<SocketAddr>,
}

impl Means<'_> {
    /// Returns the issuer of an entry; the same one for the same place and the same authorities.
    ///
    /// Fails if the file of the authorities cannot be read.
    pub(super) fn issuer(&self, config: &JwtConfig) -> Result<Arc<Issuer>, String> {
        let trust = config.ca_file.as_deref().map_or(Ok(Trust::System), Trust::read)?;
        let place = Place {
            issuer: config.issuer.clone(),
            jwks_uri: config.jwks_uri.clone(),
            allow_private: config.allow_private.clone(),
            trust,
        };
        let mut all = self.issuers.0.lock();
        all.retain(|_, issuer| issuer.strong_count() > 0);
        if let Some(known) = all.get(&place).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let client = match &place.trust {
            Trust::System => Arc::clone(self.client),
            trust @ Trust::Only(_) => Arc::new(egress::Client::trusting(trust.clone())),
        };
        let made = Arc::new(Issuer::new(place.clone(), config.blocks(), self.own.clone(), client));
        all.insert(place, Arc::downgrade(&made));
        Ok(made)
    }
}
