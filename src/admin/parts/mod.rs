//! The routes of the admin API, a file for each object.
mod audit;
mod drain;
mod exchanges;
mod generation;
mod keys;
mod limits;
mod live;
mod policies;
mod prompts;
mod status;
mod targets;
mod usage;

use crate::admin::route::Route;

/// Returns every route.
pub(super) fn routes() -> Vec<Route> {
    let all = [
        status::routes(),
        generation::routes(),
        targets::routes(),
        policies::routes(),
        exchanges::routes(),
        prompts::routes(),
        live::routes(),
        usage::routes(),
        limits::routes(),
        drain::routes(),
        audit::routes(),
        keys::routes(),
    ];
    all.into_iter().flatten().collect()
}
