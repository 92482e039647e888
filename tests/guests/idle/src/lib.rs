//! A tool that does almost nothing, for the benchmark: its time is the cost of the call.
use tidegate_sdk::prelude::*;

struct Idle;

impl Plugin for Idle {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![Tool::new("idle", "Does nothing.", Self::idle)]
    }
}

impl Idle {
    fn idle(&self, _: NoInput, _: NoOptions) -> Result<String> {
        Ok("done".to_owned())
    }
}

tidegate_sdk::export!(Idle);
