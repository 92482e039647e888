//! Queries of the ledger's database for the admin API: their rows, and their errors.
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admin::failure::Failure;
use crate::admin::state::State;
use crate::ledger::database::{Database, TIME, Unavailable};

/// Returns the ledger's database.
///
/// Fails with a 404 if there is no ledger.
pub(crate) fn database(state: &State) -> Result<&Database, Failure> {
    let message = "there is no ledger: set `ledger` in the config to record exchanges and writes";
    state.database.as_deref().ok_or_else(|| Failure::not_found(message))
}

/// Reads rows into structs.
pub(crate) fn rows<T: DeserializeOwned>(rows: Vec<Value>) -> Result<Vec<T>, Failure> {
    let read = rows.into_iter().map(serde_json::from_value);
    read.collect::<Result<_, _>>().map_err(|e| {
        tracing::error!(error = %e, "a row of the ledger cannot be read");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "a row of the ledger cannot be read")
    })
}

/// Returns the error of a query that gave no rows.
pub(crate) fn failed(error: Unavailable) -> Failure {
    match error {
        Unavailable::Busy => {
            let message = "too many queries run at the same time: try again";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).after(TIME)
        }
        Unavailable::TooSlow => {
            let seconds = TIME.as_secs();
            let message = format!(
                "the query took longer than {seconds} s: ask for a shorter time or with other filters"
            );
            Failure::new(StatusCode::GATEWAY_TIMEOUT, message)
        }
        Unavailable::Failed(error) => {
            tracing::warn!(error, "a query of the ledger failed");
            let message = "the ledger's database cannot be read: the log has the error";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).after(TIME)
        }
    }
}
