//! `Forgetful`: a request without the thinking that its target refused.
use crate::exchange::reasoning;
use crate::models::Strictness;
use crate::net::headers;
use crate::wire::{MessagesRequest, Reply};

/// A request without the thinking that its target refused.
#[derive(Default)]
pub(super) struct Forgetful {
    pub(super) request: Option<MessagesRequest>,
    removed: Vec<&'static str>,
}

impl Forgetful {
    /// Removes all thinking from a request, once. Returns whether there was any.
    pub(super) fn begin(&mut self, request: &MessagesRequest, strictness: Strictness) -> bool {
        if self.request.is_some() || strictness == Strictness::Error {
            return false;
        }
        let mut own = request.clone();
        match reasoning::remove_all(&mut own) {
            Ok(removed) if !removed.is_empty() => {
                (self.request, self.removed) = (Some(own), removed);
                true
            }
            _ => false,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.removed.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Names what was removed in a reply.
    pub(super) fn noted(self, mut reply: Reply) -> Reply {
        if !self.removed.is_empty() {
            let known = reply.headers.get(headers::DROPPED).and_then(|value| value.to_str().ok());
            let all: Vec<&str> = known.into_iter().chain(self.removed).collect();
            let all = headers::value(&all.join(", "));
            reply.headers.insert(headers::DROPPED, all);
        }
        reply
    }
}
