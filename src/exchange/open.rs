//! `Open`: a call whose upstream has not answered yet, and the record of one that is given up.
use std::sync::Arc;

use crate::catalogue::Row;
use crate::catalogue::estimate::quick_estimate;
use crate::telemetry::story::{AttemptId, Story};
use crate::wire::{Endpoint, MessagesRequest};

/// A call whose upstream has not answered yet.
pub(super) struct Open<'a> {
    pub(super) story: &'a Story,
    pub(super) id: AttemptId,
    pub(super) request: &'a MessagesRequest,
    pub(super) row: Option<Arc<Row>>,
    pub(super) is_over: bool,
}

impl Open<'_> {
    /// Ends with the result of the call.
    pub(super) fn over<T>(mut self, result: T) -> T {
        self.is_over = true;
        result
    }
}

impl Drop for Open<'_> {
    /// Records that the client left: the upstream may work on the prompt, and reports no tokens any more.
    fn drop(&mut self) {
        if self.is_over || self.request.endpoint == Endpoint::CountTokens {
            return;
        }
        let row = self.row.as_deref();
        let most = row.and_then(|row| row.context).unwrap_or(u64::MAX);
        self.story.attempt_given_up(self.id, quick_estimate(self.request, row).min(most));
    }
}
