//! The memory of a record, for queues with a bound.
use crate::telemetry::record::{Attempt, Operation, Record};
use crate::telemetry::traced::Call;

/// The memory of a list's element or a map's entry, roughly, without its texts.
const ELEMENT: usize = 64;

impl Record {
    /// Returns the memory of this record, roughly. Clients choose the length of some texts.
    pub(crate) fn memory(&self) -> usize {
        let tags = self.tags.iter().chain(&self.policy_tags);
        let tags: usize = tags.map(|(name, value)| name.len() + value.len() + ELEMENT).sum();
        let attempt = |one: &Attempt| {
            let texts = [&one.upstream_id, &one.spent.stop].into_iter().flatten();
            size_of_val(one) + one.model.len() + texts.map(|text| text.len()).sum::<usize>()
        };
        let attempts: usize = self.attempts.iter().map(attempt).sum();
        let traced = self.attempts.iter().filter_map(|one| one.call.as_deref());
        let traced: usize = traced.map(Call::memory).sum();
        let state = self.trace.as_ref().map_or(0, |trace| trace.state.len());
        let calls: usize =
            self.tool_calls.iter().map(|one| size_of_val(one) + one.tool.len()).sum();
        let dropped: usize = self.dropped.iter().map(|name| name.len() + ELEMENT).sum();
        let texts = [&self.user, &self.session, &self.parent];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        let route = match &self.operation {
            Operation::Forward { route, provider } => route.len() + provider.len(),
            _ => 0,
        };
        size_of::<Self>()
            + texts
            + route
            + tags
            + attempts
            + traced
            + state
            + calls
            + dropped
            + self.key.len()
            + self.model.len()
            + self.request_id.len()
            + size_of_val(&*self.stages)
            + self.passed_over.len() * ELEMENT
    }
}
