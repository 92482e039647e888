//! `WayOut`: network access of plugins: one shared client, and a policy for each plugin.
use std::sync::Arc;

use crate::net::egress::{self, Egress, Policy};
use crate::plugin_host::grants::Grants;

/// The network access of a generation's plugins.
#[derive(Clone)]
pub struct WayOut {
    /// The client, created once.
    pub client: Arc<egress::Client>,
    /// The rules for all plugins.
    pub egress: Egress,
}

/// The network access of one plugin.
pub(super) struct OwnWayOut {
    pub(super) client: Arc<egress::Client>,
    pub(super) policy: Policy,
}

impl OwnWayOut {
    pub(super) fn new(way_out: &WayOut, grants: &Arc<Grants>) -> Self {
        let grants = Arc::clone(grants);
        let may_reach = Arc::new(move |host: &str, port| grants.has_host(host, port));
        Self { client: Arc::clone(&way_out.client), policy: way_out.egress.policy(may_reach) }
    }
}
