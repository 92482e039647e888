//! `WayOut`: how plugins reach the network: the one client for all, and a policy for each plugin.
use std::sync::Arc;

use crate::net::egress::{self, Egress, Policy};
use crate::plugin_host::grants::Grants;

/// How the plugins of a generation reach the network.
#[derive(Clone)]
pub struct WayOut {
    /// Made once.
    pub client: Arc<egress::Client>,
    /// What holds for all plugins.
    pub egress: Egress,
}

/// How one plugin does.
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
