//! The clients that have limits and budgets of their own, for operators.
use std::sync::Arc;

use crate::auth::allowance::Allowance;

/// Limits and budgets, and the clients that have them.
#[derive(Debug)]
pub(crate) struct Owned {
    /// The limits and budgets.
    pub(crate) allowance: Arc<Allowance>,
    /// The clients.
    pub(crate) owner: Owner,
}

/// Clients with the same limits and budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The holder of a key, by its name.
    Key(String),
    /// Each client with a token of this issuer.
    Issuer(String),
}
