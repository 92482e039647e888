//! The recordings of exchanges by every id that an exchange has.
use std::sync::Arc;

use crate::admin::failure::Failure;
use crate::admin::queried;
use crate::admin::state::State;
use crate::ledger::stories;
use crate::telemetry::recorded::Kept;

/// Returns the recording of an exchange, or the reason for which there is none.
///
/// Fails with a 404 if no such exchange is known.
pub(crate) async fn find(
    state: &State,
    id: &str,
) -> Result<Result<Arc<Kept>, &'static str>, Failure> {
    let recordings = &state.shared.recordings;
    if let Some(kept) = recordings.of(id) {
        return Ok(Ok(kept));
    }
    let exchanges = &state.shared.exchanges;
    let is_it = |name: &str| name == id;
    if exchanges.running().iter().any(|story| story.read(|it| is_it(&it.request_id))) {
        return Ok(Err("the exchange has not ended"));
    }
    let recent = exchanges.recent.story(id);
    let known = match recent.map(|(story, _)| story.read(|it| it.request_id.to_string())) {
        Some(request_id) => Some(request_id),
        None => written(state, id).await?,
    };
    let none = "no exchange with this id is known";
    let request_id = known.ok_or_else(|| Failure::not_found(none))?;
    let why = match recordings.is_on() {
        true => {
            "newer exchanges have taken its place, it ran before the gateway started, or it is no request for a message"
        }
        false => "recording is off: set `admin.record` in the config",
    };
    Ok(recordings.of(&request_id).ok_or(why))
}

/// Returns the gateway's id of a request in the ledger.
async fn written(state: &State, id: &str) -> Result<Option<String>, Failure> {
    let Some(database) = &state.database else { return Ok(None) };
    let told = stories::one(database, id).await.map_err(queried::failed)?;
    Ok(told.and_then(|told| told.exchange["request_id"].as_str().map(str::to_owned)))
}
