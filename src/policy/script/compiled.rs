//! `Script`: one compiled policy, and the calls of its hooks.
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult, FuncArgs, Scope};
use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::policy::script::answer::Content;
use crate::policy::script::api::{Ctx, State, With};
use crate::policy::script::clock::Clock;
use crate::policy::script::error::{self as errors, Source};
use crate::policy::script::json;
use crate::policy::script::limits::Limits;
use crate::policy::script::place::Object;
use crate::policy::script::run::{Effects, Run, Stop};
use crate::policy::script::shared::Shared;
use crate::policy::script::with::Parameters;
use crate::policy::window::WindowRules;
use crate::policy::{Hook, Hooks, Outcome, Verdict};
use crate::wire::{Document, Reply, Step};

/// The usual number of variables of a hook, including its parameters.
const USUAL_VARIABLES: usize = 4;

/// One compiled policy. Cloning shares it.
#[derive(Clone)]
pub struct Script {
    pub(super) engine: Arc<Engine>,
    pub(super) ast: Arc<AST>,
    pub(super) limits: Limits,
    pub(super) source: Arc<Source>,
    pub(super) hooks: Hooks,
    pub(super) windows: WindowRules,
    pub(super) parameters: Arc<Option<Parameters>>,
}

/// The input of a call of a hook. All of it is shared: creating one costs nothing.
#[derive(Clone)]
pub struct ScriptCall<'a> {
    /// The request's context.
    pub context: &'a Arc<Context>,
    /// The stage's parameters.
    pub with: &'a With,
    /// The data that the stages of this request share.
    pub state: &'a State,
    /// The time that scripts read.
    pub clock: Clock,
}

/// The document after a hook, the decision and the requested side effects.
pub(in crate::policy) struct Done {
    pub(in crate::policy) document: Document,
    pub(in crate::policy) decision: Decision,
    pub(in crate::policy) effects: Effects,
}

/// The end of a script.
pub(in crate::policy) enum Decision {
    /// The script ran to its end.
    Continue,
    /// The script called `respond`.
    Respond(Content),
    /// The script called `deny`.
    Deny(Box<Error>),
    /// The script called `drop_event`.
    Drop,
}

/// The data that a hook is for.
enum Subject<'a> {
    Document(&'a Shared),
    Text(&'a str),
}

/// The arguments of a hook. They are Rhai values already, so Rhai does not have to examine their types.
struct Arguments<const N: usize>([Dynamic; N]);

impl<const N: usize> FuncArgs for Arguments<N> {
    fn parse<C: Extend<Dynamic>>(self, arguments: &mut C) {
        arguments.extend(self.0);
    }
}

impl Script {
    /// Returns the policy's name: its file name without `.rhai`.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// Returns the parameters from the config, with the policy's own defaults for those that are absent.
    ///
    /// The paths of problems are relative to `with`: `.limit`. A policy that declares no parameters accepts
    /// any.
    pub fn with(&self, given: &serde_json::Map<String, Value>) -> Result<With, Vec<Problem>> {
        match &*self.parameters {
            Some(parameters) => Ok(With::new(&parameters.checked(given)?)),
            None => Ok(With::new(given)),
        }
    }

    /// Returns the same policy with other limits of time.
    pub(in crate::policy) fn within(&self, time: Duration, time_per_mib: Duration) -> Self {
        Self { limits: Limits { time, time_per_mib, ..self.limits }, ..self.clone() }
    }

    /// Returns the hooks that the policy defines.
    pub fn hooks(&self) -> Hooks {
        self.hooks
    }

    /// Returns the windows that `on_text` needs.
    pub(in crate::policy) fn windows(&self) -> WindowRules {
        self.windows
    }

    /// Runs `on_request` over a request's document. The call blocks, and the limits bound it.
    ///
    /// Fails with `api_error` if the script fails. Fails with a 400 if the caller's own body is invalid (a
    /// duplicate key in an object that the script opened).
    pub fn on_request(
        &self,
        call: &ScriptCall<'_>,
        document: Document,
    ) -> Result<(Document, Outcome)> {
        self.outcome(self.run(Hook::Request, call, document)?)
    }

    /// Runs `on_upstream_request` before an attempt. `target` is an object with `provider`, `model`,
    /// `unsupported`, `strictness`, `native` and `number`. Otherwise the same as [`Script::on_request`].
    pub fn on_upstream_request(
        &self,
        call: &ScriptCall<'_>,
        document: Document,
        target: &Value,
    ) -> Result<(Document, Outcome)> {
        let target = json::dynamic(target);
        let shared = Shared::new(document);
        let request = Dynamic::from(Object::root(&shared));
        let subject = Subject::Document(&shared);
        let arguments = Arguments([request, target, self.ctx(call)]);
        let (result, effects) = self.enter(Hook::UpstreamRequest, call, subject, arguments);
        let decision = self.decision(result)?;
        self.outcome(Done { document: shared.into_document(), decision, effects })
    }

    /// Runs `on_response` over a whole message. Otherwise the same as [`Script::on_request`].
    pub fn on_response(
        &self,
        call: &ScriptCall<'_>,
        message: Document,
    ) -> Result<(Document, Outcome)> {
        self.outcome(self.run(Hook::Response, call, message)?)
    }

    /// Runs a hook with the parameters document and `ctx`.
    pub(in crate::policy) fn run(
        &self,
        hook: Hook,
        call: &ScriptCall<'_>,
        document: Document,
    ) -> Result<Done> {
        let shared = Shared::new(document);
        let arguments = Arguments([Dynamic::from(Object::root(&shared)), self.ctx(call)]);
        let (result, effects) = self.enter(hook, call, Subject::Document(&shared), arguments);
        let decision = self.decision(result)?;
        Ok(Done { document: shared.into_document(), decision, effects })
    }

    /// Runs `on_text`. Returns the replacement of the text, if it changes.
    pub(in crate::policy) fn on_text(
        &self,
        call: &ScriptCall<'_>,
        text: &str,
    ) -> Result<(Option<String>, Decision, Effects)> {
        let arguments = Arguments([Dynamic::from(text.to_owned()), self.ctx(call)]);
        let (result, effects) = self.enter(Hook::Text, call, Subject::Text(text), arguments);
        self.text_of(result, effects, text)
    }

    /// Does the same as [`Script::on_text`] for a result that is not sent: the script logs nothing.
    pub(in crate::policy) fn on_text_ahead(
        &self,
        call: &ScriptCall<'_>,
        text: &str,
    ) -> Result<(Option<String>, Decision, Effects)> {
        let arguments = Arguments([Dynamic::from(text.to_owned()), self.ctx(call)]);
        let run = Run { is_muted: true, ..self.run_of(Hook::Text, call, Subject::Text(text)) };
        let (result, effects) = self.enter_as(run, arguments);
        self.text_of(result, effects, text)
    }

    /// Returns the result of `on_text` for this text.
    fn text_of(
        &self,
        result: Result<Dynamic, Box<EvalAltResult>>,
        effects: Effects,
        text: &str,
    ) -> Result<(Option<String>, Decision, Effects)> {
        let returned = match result {
            Ok(returned) => returned,
            Err(error) => return Ok((None, self.decision(Err(error))?, effects)),
        };
        if returned.is_unit() {
            return Ok((None, Decision::Continue, effects));
        }
        let changed = returned.into_immutable_string().map_err(|found| {
            let name = self.name();
            let message = format!("policy \"{name}\" failed: `on_text` must return a text, or nothing to keep it unchanged, not a value of type `{found}`");
            Error::new(ErrorKind::Api, message)
        })?;
        let changed = (changed != text).then(|| changed.to_string());
        Ok((changed, Decision::Continue, effects))
    }

    fn ctx(&self, call: &ScriptCall<'_>) -> Dynamic {
        Dynamic::from(Ctx {
            context: Arc::clone(call.context),
            with: call.with.clone(),
            state: call.state.clone(),
        })
    }

    fn enter(
        &self,
        hook: Hook,
        call: &ScriptCall<'_>,
        subject: Subject<'_>,
        arguments: impl FuncArgs,
    ) -> (Result<Dynamic, Box<EvalAltResult>>, Effects) {
        self.enter_as(self.run_of(hook, call, subject), arguments)
    }

    fn run_of(&self, hook: Hook, call: &ScriptCall<'_>, subject: Subject<'_>) -> Run {
        let (document, bytes) = match subject {
            Subject::Document(document) => (Some(document.clone()), document.lock().size()),
            Subject::Text(text) => (None, text.len()),
        };
        Run {
            policy: self.source.shared_name(),
            hook,
            context: Arc::clone(call.context),
            document,
            clock: call.clock,
            deadline: Instant::now() + self.limits.time_for(bytes),
            is_muted: false,
            effects: Effects::default(),
        }
    }

    fn enter_as(
        &self,
        run: Run,
        arguments: impl FuncArgs,
    ) -> (Result<Dynamic, Box<EvalAltResult>>, Effects) {
        let hook = run.hook;
        // outside its functions, the syntax tree has only imports
        let options = CallFnOptions::new().eval_ast(!self.ast.statements().is_empty());
        let (result, mut effects) = run.call(|| {
            let mut scope = Scope::with_capacity(USUAL_VARIABLES);
            let name = hook.as_str();
            self.engine.call_fn_with_options(options, &mut scope, &self.ast, name, arguments)
        });
        let result = match (effects.stop.take(), result) {
            (None, result) => result,
            (Some(stopped), _) => Err(stopped.into()),
        };
        (result, effects)
    }

    /// Returns the decision of a script that has ended, or the error if it failed.
    fn decision(&self, result: Result<Dynamic, Box<EvalAltResult>>) -> Result<Decision> {
        let Err(error) = result else { return Ok(Decision::Continue) };
        match Stop::of(&error) {
            Some(Stop::Deny { status, message }) => {
                let stage = self.source.shared_name();
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                Ok(Decision::Deny(Box::new(Error::denied(&stage, status, message))))
            }
            Some(Stop::PassOver(why)) => {
                Ok(Decision::Deny(Box::new(Error::passed_over(&self.source.shared_name(), &why))))
            }
            Some(Stop::Respond(content)) => Ok(Decision::Respond(content)),
            Some(Stop::Drop) => Ok(Decision::Drop),
            Some(Stop::Invalid(message)) => Err(Error::invalid(message)),
            Some(Stop::Time | Stop::Misuse(_) | Stop::Full(_)) | None => {
                Err(errors::broken(&error, &self.source, &self.limits))
            }
        }
    }

    /// Returns the document and the outcome of a hook over a request or a message.
    fn outcome(&self, done: Done) -> Result<(Document, Outcome)> {
        let Done { mut document, decision, effects: Effects { route, wishes, removed, .. } } = done;
        let place = |(field, at): (String, _)| (field, self.source.place(at));
        let removed = removed.into_iter().map(place).collect();
        let verdict = match decision {
            Decision::Continue | Decision::Drop => Verdict::Continue,
            Decision::Deny(error) => Verdict::Deny(error),
            Decision::Respond(content) => {
                let model = document.get(&[Step::Key("model")])?.unwrap_or_default();
                let model: String = serde_json::from_slice(&model).unwrap_or_default();
                Verdict::Respond(Box::new(Reply::json(content.into_json(&model))))
            }
        };
        Ok((document, Outcome { route, verdict, wishes, removed }))
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("name", &self.name()).field("hooks", &self.hooks).finish()
    }
}
