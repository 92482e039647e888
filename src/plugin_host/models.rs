//! `model-call`: a plugin calls a model through the gateway, within the token budget of one request.
use tokio::time::timeout;

use crate::error::{Error, Retry};
use crate::plugin_host::behalf::ModelAnswer;
use crate::plugin_host::bindings::{Problem, not_granted, problem};
use crate::plugin_host::call::PluginCall;
use crate::wire::{Document, Step};

const MODEL: [Step<'_>; 1] = [Step::Key("model")];
const STREAM: [Step<'_>; 1] = [Step::Key("stream")];
const MAX_TOKENS: [Step<'_>; 1] = [Step::Key("max_tokens")];

impl PluginCall {
    /// Calls a model and returns its message.
    pub(super) async fn asked(&mut self, request: String) -> Result<String, Problem> {
        let ModelRequest { mut document, model, max_tokens } = ModelRequest::read(request)?;
        self.terms.grants.model(&model).map_err(not_granted)?;
        let reach = self.facts.as_ref().and_then(|facts| facts.behalf.reach.clone());
        let models = reach.as_ref().and_then(|reach| Some((reach, reach.models.clone()?)));
        let Some((reach, models)) = models else {
            return Err(not_granted("no model can be asked here".to_owned()));
        };
        let budget = self.terms.grants.model_tokens;
        let Some(held) = reach.hold(&self.terms.name, max_tokens, budget) else {
            let line = self.terms.grants.budget_line();
            return Err(not_granted(format!(
                "the model calls of this request have used the {budget} tokens that they may: \
                 raise `{line}`"
            )));
        };
        if held < max_tokens {
            document.set_value(&MAX_TOKENS, &held).map_err(invalid)?;
        }
        let left = self.time_left();
        let Ok(answered) = timeout(left, models(document.to_bytes())).await else {
            // the tokens stay reserved: the upstream may have used them
            let message = format!("the model did not answer within {left:.1?}");
            return Err(Problem { retryable: true, ..problem("timeout_error", message) });
        };
        match answered {
            Ok(ModelAnswer { message, input_tokens, output_tokens }) => {
                reach.settle(&self.terms.name, held, input_tokens.saturating_add(output_tokens));
                self.input = self.input.saturating_add(message.len());
                String::from_utf8(message.into())
                    .map_err(|_| problem("api_error", "the answer is no text".to_owned()))
            }
            Err(error) => {
                reach.settle(&self.terms.name, held, 0);
                Err(model_problem(&error))
            }
        }
    }
}

/// The parts of a request that the gateway needs here. The rest is checked like every request.
struct ModelRequest {
    document: Document,
    model: String,
    max_tokens: u64,
}

impl ModelRequest {
    fn read(request: String) -> Result<Self, Problem> {
        let mut document = Document::parse(request.into()).map_err(invalid)?;
        let model = document.get(&MODEL).map_err(invalid)?;
        let model = model.and_then(|json| serde_json::from_slice::<String>(&json).ok());
        let model = model.ok_or_else(|| {
            problem("invalid_input", "`model` is missing: give an alias of the gateway".to_owned())
        })?;
        let stream = document.get(&STREAM).map_err(invalid)?;
        if stream.is_some_and(|json| &json[..] == b"true") {
            let message = "`stream`: a model call is never streamed: leave it out".to_owned();
            return Err(problem("invalid_input", message));
        }
        let max_tokens = document.get(&MAX_TOKENS).map_err(invalid)?;
        let max_tokens = max_tokens.and_then(|json| serde_json::from_slice::<u64>(&json).ok());
        let max_tokens = max_tokens.ok_or_else(|| {
            let message = "`max_tokens` is missing: give a whole number of tokens".to_owned();
            problem("invalid_input", message)
        })?;
        Ok(Self { document, model, max_tokens })
    }
}

fn invalid(error: Error) -> Problem {
    problem("invalid_input", error.message)
}

/// Returns the problem of a failed model call, in the upstream's words if it sent an error.
fn model_problem(error: &Error) -> Problem {
    #[derive(serde::Deserialize)]
    struct Envelope {
        error: Inner,
    }
    #[derive(serde::Deserialize)]
    struct Inner {
        r#type: String,
        message: String,
    }
    let answer = error.answer().map(|answer| answer.body());
    let envelope = answer.and_then(|body| serde_json::from_slice::<Envelope>(body).ok());
    let (code, message) = match envelope {
        Some(Envelope { error }) => (error.r#type, error.message),
        None => (error.kind.as_str().to_owned(), error.message.clone()),
    };
    let status = error.status();
    let retryable = !matches!(error.retry, Retry::Never | Retry::NotWithin(_))
        && (status.is_server_error() || status.as_u16() == 429 || error.retry == Retry::Now);
    Problem { code, message, retryable }
}
