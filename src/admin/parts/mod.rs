//! The routes of the admin API, a file for each object.
mod audit;
mod changes;
mod definitions;
mod drafts;
mod drain;
mod eval;
mod exchanges;
mod files;
mod generation;
mod keys;
mod limits;
mod live;
mod overview;
mod playground;
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
        changes::routes(),
        prompts::routes(),
        live::routes(),
        overview::routes(),
        usage::routes(),
        limits::routes(),
        drain::routes(),
        audit::routes(),
        keys::routes(),
        definitions::routes(),
        drafts::routes(),
        eval::routes(),
        files::routes(),
        playground::routes(),
    ];
    all.into_iter().flatten().collect()
}
