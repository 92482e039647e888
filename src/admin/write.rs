//! `Write`: one write of the admin API. It ends with its row in the audit table, also if its client leaves.
use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use crate::admin::answer::{Answer, Note};
use crate::admin::call::{Call, Caller};
use crate::admin::failure::Failure;
use crate::admin::route::{Entry, Run};
use crate::admin::state::State;
use crate::ledger::audit::{self, AuditRow};

/// A write that has begun.
pub(super) struct Write {
    state: Arc<State>,
    caller: Caller,
    entry: Entry,
    object: String,
}

impl Write {
    /// Begins a write of an object, which the values of the path's parameters name.
    pub(super) fn new(state: &Arc<State>, entry: Entry, caller: Caller, object: String) -> Self {
        Self { state: Arc::clone(state), caller, entry, object }
    }

    /// Runs the route unless its call cannot be made, and records the outcome. The connection cannot cancel this: it
    /// runs as a task of its own.
    pub(super) async fn run(
        self,
        run: Run,
        call: Result<Call, Failure>,
    ) -> Result<Answer, Failure> {
        tokio::spawn(self.recorded(run, call)).await.unwrap_or_else(|_| Err(broken()))
    }

    /// Records a write that has ended, and returns its outcome.
    pub(super) async fn record(self, done: Result<Answer, Failure>) -> Result<Answer, Failure> {
        let state = Arc::clone(&self.state);
        let row = self.row(&done);
        log(&row);
        record(&state, &row).await;
        done
    }

    async fn recorded(self, run: Run, call: Result<Call, Failure>) -> Result<Answer, Failure> {
        let state = Arc::clone(&self.state);
        let _open = state.writes.begin().await;
        let done = match call {
            // a task of its own, so that a route that panics is recorded too
            Ok(call) => {
                let ran = tokio::spawn(run(Arc::clone(&state), call)).await;
                ran.unwrap_or_else(|_| Err(broken()))
            }
            Err(failure) => Err(failure),
        };
        let is_written = done.as_ref().is_ok_and(|answer| answer.audit.is_written);
        let row = self.row(&done);
        log(&row);
        if !is_written {
            record(&state, &row).await;
        }
        if done.as_ref().is_ok_and(|answer| answer.stops) {
            state.readiness.stop();
        }
        done
    }

    fn row(self, done: &Result<Answer, Failure>) -> AuditRow {
        let (status, note) = match done {
            Ok(answer) => (answer.response.status(), answer.audit.clone()),
            Err(failure) => {
                let detail = Some(failure.message().to_owned());
                (failure.status, Note { detail, ..Note::default() })
            }
        };
        AuditRow {
            at: SystemTime::now(),
            credential: self.caller.credential,
            address: self.caller.address.ip().to_string(),
            method: self.entry.method.to_string(),
            route: self.entry.path,
            object: if note.object.is_empty() { self.object } else { note.object },
            status: status.as_u16(),
            detail: note.detail,
        }
    }
}

fn broken() -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the write ended early: the log has the reason")
}

/// Records a write. The change is made at this time, so a database that is away is logged, and loses the row only.
async fn record(state: &State, row: &AuditRow) {
    let Some(database) = &state.database else { return };
    if let Err(error) = audit::write(database, row).await {
        state.shared.metrics.ledger.audit_dropped.inc();
        tracing::error!(error = %error, route = row.route, "a write of the admin API could not be recorded in the audit table");
    }
}

fn log(row: &AuditRow) {
    let AuditRow { credential, address, method, route, object, status, .. } = row;
    tracing::info!(credential, address, method, route, object, status, "a write of the admin API");
}
