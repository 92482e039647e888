//! The smallest hook, for the benchmark: it reads one field of the request and sets another.
use tidegate_sdk::prelude::*;

struct Brief;

impl Plugin for Brief {
    type Config = NoConfig;
    const HOOKS: &'static [Hook] = &[Hook::OnRequest];

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request<'_>) -> Result<Action> {
        let model: Option<String> = request.get("/model")?;
        if model.is_some() {
            request.set("/max_tokens", 1024)?;
        }
        Ok(Action::Next)
    }
}

tidegate_sdk::export!(Brief);
