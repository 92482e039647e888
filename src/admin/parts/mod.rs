//! The routes of the admin API, a file for each object.
mod audit;
mod drain;
mod generation;
mod keys;
mod status;

use crate::admin::route::Route;

/// Returns every route.
pub(super) fn routes() -> Vec<Route> {
    [status::routes(), generation::routes(), drain::routes(), audit::routes(), keys::routes()]
        .into_iter()
        .flatten()
        .collect()
}
