//! `Holder`: the client that holds a key, as long as the key counts.
use std::sync::Arc;

use jiff::Timestamp;

use crate::auth::expiry::Expiry;
use crate::auth::identity::{Caller, Identity};
use crate::auth::life::{KeyEnd, Life};
use crate::auth::rights::Rights;
use crate::error::{Error, ErrorKind, Result};

/// The holder of a key.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(super) caller: Arc<Caller>,
    pub(super) rights: Arc<Rights>,
    pub(super) expires: Option<Expiry>,
    pub(super) is_disabled: bool,
    /// The life of a stored key.
    pub(super) life: Option<Arc<Life>>,
    /// Whether the end of the key ends its requests under way.
    pub(super) cuts: bool,
}

impl Holder {
    /// Returns the client. Fails with a 401 if the key is disabled, or has expired.
    pub(super) fn identity(&self) -> Result<Identity> {
        let name = &self.caller.key;
        if self.is_disabled {
            let message = format!(
                "the key `{name}` is disabled: the operator of this gateway can enable it again"
            );
            return Err(Error::new(ErrorKind::Authentication, message));
        }
        let now = Timestamp::now();
        if let Some(end) = self.expires.filter(|end| end.is_over(now)) {
            let message = format!(
                "the key `{name}` expired at {end}: the operator of this gateway can make another one"
            );
            return Err(Error::new(ErrorKind::Authentication, message));
        }
        if let Some(life) = &self.life {
            life.touch(now);
        }
        let end = self.life.as_ref().filter(|_| self.cuts);
        Ok(Identity {
            caller: Arc::clone(&self.caller),
            credential: None,
            rights: Arc::clone(&self.rights),
            end: end.map(|life| KeyEnd::new(life, name)),
        })
    }
}
