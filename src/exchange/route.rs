//! Where a request goes: the targets in the order in which it tries them, and its own bounds.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::requested::bounded::Bounded;
use crate::exchange::requested::retry::Retry;
use crate::exchange::requested::trace::Note;
use crate::exchange::requested::{Names, Requested, shorten};
use crate::gateway::Gateway;
use crate::models::order::Preference;
use crate::models::{Alias, Strictness, Target};
use crate::wire::{MessagesRequest, Reply, ReplyBody};

/// The way of one request.
pub struct Route<'a> {
    /// First choice first; never empty.
    pub choices: Vec<Choice<'a>>,
    /// What holds for all of them.
    pub terms: Terms,
}

/// One target, under the rules of the alias that leads to it.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    /// Whose timeouts and retries hold.
    pub alias: &'a Arc<Alias>,
    /// Whom to ask.
    pub target: &'a Arc<Target>,
    /// The name of a fallback, which is the upstream's where the target has none of its own; `None`
    /// for the request's own model.
    pub asked: Option<&'a str>,
}

/// Bounds that the request itself sets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// The end of the whole exchange, and how long after its beginning.
    pub deadline: Option<(Instant, Duration)>,
    /// Which failures are no end, and how often a target is tried again.
    pub retry: Retry,
    /// Attempts are noted one by one.
    pub is_traced: bool,
    /// Takes the place of the aliases' own.
    pub strictness: Option<Strictness>,
}

impl Choice<'_> {
    /// `x-tidegate-target`.
    pub fn label(&self, request: &MessagesRequest) -> HeaderValue {
        self.target.label(self.asked.unwrap_or(request.model()))
    }
}

impl<'a> Route<'a> {
    /// The targets of the request's alias and of its fallbacks, as far as it wants them.
    ///
    /// Fails with a 400 for a name that no target or alias has, and with a 403 for a fallback that
    /// the caller may not use.
    pub fn new(
        gateway: &'a Gateway,
        caller: (&Identity, &Context),
        (alias, model): (&'a Arc<Alias>, &str),
        requested: Option<&'a Requested>,
    ) -> Result<Self> {
        let (identity, ctx) = caller;
        let Some(wanted) = requested else {
            let choices = alias.order(&ctx.session).into_iter();
            let choices = choices.map(|target| Choice { alias, target, asked: None }).collect();
            return Ok(Self { choices, terms: Terms::default() });
        };
        let mut fallbacks: Vec<(&'a Arc<Alias>, &'a str)> = Vec::new();
        for (n, name) in wanted.models.iter().flat_map(|models| models.names.iter().enumerate()) {
            let field = wanted.models.as_ref().map_or("", |models| &models.field);
            let fallback = allowed(gateway, identity, (&format!("{field}[{n}]"), name))?;
            if !gateway.pipeline.treats_alike(ctx, name) {
                let message = format!(
                    "`{field}[{n}]`: other policies are for `{}` than for `{}`: ask for it in a request of its own",
                    shorten(name),
                    shorten(&ctx.model)
                );
                return Err(Error::new(ErrorKind::Permission, message)
                    .with_log(format!("`{field}[{n}]`: other policies are for it")));
            }
            // that one comes first already
            if name != model {
                fallbacks.push((fallback, name));
            }
        }
        let asked = std::iter::once(None).chain(fallbacks.iter().map(|(_, name)| Some(*name)));
        let mut aliases = vec![(alias, model)];
        aliases.extend(&fallbacks);
        for names in [&wanted.order, &wanted.only, &wanted.ignore].into_iter().flatten() {
            check(names, &aliases)?;
        }
        let session = wanted.session.as_ref().unwrap_or(&ctx.session);
        let preference = Preference {
            first: wanted.order.as_ref().map_or(&[], |order| &order.names),
            only: wanted.only.as_ref().map(|only| only.names.as_slice()),
            not: wanted.ignore.as_ref().map_or(&[], |ignore| &ignore.names),
        };
        let mut choices = Vec::new();
        for ((alias, model), asked) in aliases.into_iter().zip(asked) {
            let targets = alias.order_by(session, model, &preference).into_iter();
            choices.extend(targets.map(|target| Choice { alias, target, asked }));
        }
        if let (Some(ignore), []) = (&wanted.ignore, choices.as_slice()) {
            return Err(Error::invalid(format!("`{}` leaves no target", ignore.field)));
        }
        let deadline = wanted.timeout.and_then(|timeout| {
            let end = ctx.started.checked_add(timeout)?;
            Some((Instant::from_std(end), timeout))
        });
        let terms = Terms {
            deadline,
            retry: wanted.retry,
            is_traced: wanted.is_traced,
            strictness: wanted.strictness,
        };
        Ok(Self { choices, terms })
    }
}

impl Route<'_> {
    /// Where something of the request is not understood by all of its targets, and that is to be
    /// dropped: those that understand more come first, among the targets of one name.
    pub fn by_support(self, request: &MessagesRequest) -> Self {
        if self.choices.iter().all(|choice| choice.target.unsupported.is_empty()) {
            return self;
        }
        let mut choices = self.choices;
        for targets in choices.chunk_by_mut(|one, other| one.asked == other.asked) {
            targets.sort_by_cached_key(|choice| match self.terms.strictness(choice) {
                Strictness::Warn => choice.target.unsupported.of(request).len(),
                Strictness::Off | Strictness::Error => 0,
            });
        }
        Self { choices, ..self }
    }
}

fn allowed<'a>(
    gateway: &'a Gateway,
    identity: &Identity,
    (field, name): (&str, &str),
) -> Result<&'a Arc<Alias>> {
    identity
        .check_model(name)
        .map_err(|e| Error { message: format!("`{field}`: {}", e.message), ..e })
        .map_err(|e| e.with_log(format!("`{field}`: the key may not use this model")))?;
    gateway.models.resolve(name).map_err(|e| {
        let message = format!("`{field}`: {}", e.message);
        let error = Error { kind: ErrorKind::InvalidRequest, message, ..e };
        error.with_log(format!("`{field}`: there is no such model"))
    })
}

/// Each name must be that of some target: a slip would silently change where the request goes.
fn check(names: &Names, aliases: &[(&Arc<Alias>, &str)]) -> Result<()> {
    let is_known =
        |name: &String| aliases.iter().any(|(alias, model)| alias.has_target(name, model));
    let Some(n) = names.names.iter().position(|name| !is_known(name)) else { return Ok(()) };
    let of: Vec<String> =
        aliases.iter().map(|(_, model)| format!("`{}`", shorten(model))).collect();
    let mut there = BTreeSet::new();
    for (alias, model) in aliases {
        for target in &alias.targets {
            let model = target.model.as_deref().unwrap_or(model);
            there.insert(target.provider_name.clone());
            there.insert(format!("{}/{}", target.provider_name, shorten(model)));
        }
    }
    let there: Vec<String> = there.iter().map(|name| format!("`{name}`")).collect();
    Err(Error::invalid(format!(
        "`{}[{n}]`: no target of {} is named `{}`; there are {}",
        names.field,
        of.join(" or "),
        shorten(&names.names[n]),
        there.join(", ")
    ))
    .with_log(format!("`{}[{n}]`: no target is named so", names.field)))
}

impl Terms {
    /// What becomes of what a target does not understand.
    pub fn strictness(&self, choice: &Choice<'_>) -> Strictness {
        self.strictness.unwrap_or(choice.alias.strictness)
    }

    /// How much time there is; `None` for as much as the alias gives.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|(end, _)| end.saturating_duration_since(Instant::now()))
    }

    /// The earlier of two ends.
    pub fn end_by(&self, other: Instant) -> Instant {
        self.deadline.map_or(other, |(end, _)| end.min(other))
    }

    /// The time is over.
    pub fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// An attempt failed because the time was over.
    pub fn is_cut(&self, error: &Error) -> bool {
        error.kind == ErrorKind::Timeout && error.upstream.is_none() && self.is_over()
    }

    /// A note, where notes are taken.
    pub fn notes(&self, note: impl FnOnce() -> Note) -> Vec<Note> {
        self.is_traced.then(note).into_iter().collect()
    }

    /// The error that says so.
    pub fn too_late(&self) -> Error {
        let millis = self.deadline.map_or(0, |(_, timeout)| timeout.as_millis());
        let message = format!(
            "no whole answer within the {millis} ms that the request's `timeout_ms` allows"
        );
        Error::new(ErrorKind::Timeout, message)
    }

    /// A stream that ends with an error when the time is over.
    pub fn bound(self, reply: Reply) -> Reply {
        match (self.deadline, reply.body) {
            (Some((end, _)), ReplyBody::Events(events)) => {
                let body = ReplyBody::Events(Box::pin(Bounded::new(events, end, self)));
                Reply { body, ..reply }
            }
            (_, body) => Reply { body, ..reply },
        }
    }
}
