//! tmp
use crate::{context::Context, providers::*};
use std::time::Duration;
/// tmp
pub struct Simulator;
impl Simulator {
    /// tmp
    pub fn new(_: Duration) -> Self {
        Self
    }
}
#[async_trait]
impl Provider for Simulator {
    fn accepts(&self) -> &Accepts {
        unreachable!()
    }
    async fn send(&self, _ctx: &Context, _attempt: Attempt) -> Result<Reply> {
        unreachable!()
    }
}
