//! `Holder`: the client that holds a key, as long as the key counts.
use std::sync::Arc;

use jiff::Timestamp;

use crate::auth::expiry::Expiry;
use crate::auth::identity::{Caller, Identity};
use crate::auth::rights::Rights;
use crate::error::{Error, ErrorKind, Result};

/// The holder of a key.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(super) caller: Arc<Caller>,
    pub(super) rights: Arc<Rights>,
    pub(super) expires: Option<Expiry>,
    pub(super) is_disabled: bool,
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
        if let Some(end) = self.expires.filter(|end| end.is_over(Timestamp::now())) {
            let message = format!(
                "the key `{name}` expired at {end}: the operator of this gateway can make another one"
            );
            return Err(Error::new(ErrorKind::Authentication, message));
        }
        let (caller, rights) = (Arc::clone(&self.caller), Arc::clone(&self.rights));
        Ok(Identity { caller, credential: None, rights })
    }
}
