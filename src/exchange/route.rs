//! The route of a request: its targets in order, and its own limits.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::auth::Identity;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Origin, Result};
use crate::exchange::binding;
use crate::exchange::requested::retry::Retry;
use crate::exchange::requested::{Names, Requested, shorten};
use crate::gateway::Gateway;
use crate::models::order::Preference;
use crate::models::{Alias, Strictness, Target};
use crate::providers::accepts::Inventory;
use crate::wire::MessagesRequest;

/// The route of one request.
pub(super) struct Route {
    /// The targets, first choice first; never empty.
    pub(super) choices: Vec<Choice>,
    /// The terms of all choices.
    pub(super) terms: Terms,
    /// The targets that the request itself wants first.
    first: Vec<String>,
}

/// One target, with the rules of the alias that leads to it.
#[derive(Clone)]
pub(super) struct Choice {
    /// The alias with its timeouts and retries.
    pub(super) alias: Arc<Alias>,
    /// The target.
    pub(super) target: Arc<Target>,
    /// The name of a fallback; `None` for the request's own model. It is the upstream's model if
    /// the target has none of its own.
    pub(super) requested: Option<Arc<str>>,
}

/// The limits that the request itself sets.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    /// The end of the whole exchange, and the time limit from its beginning.
    pub deadline: Option<(Instant, Duration)>,
    /// The retry rules.
    pub retry: Retry,
    /// The strictness, instead of the aliases'.
    pub strictness: Option<Strictness>,
}

impl Choice {
    /// Returns the value of `x-tidegate-target`.
    pub(super) fn label(&self, request: &MessagesRequest) -> HeaderValue {
        self.target.label(self.requested.as_deref().unwrap_or(request.model()))
    }

    /// Returns whether two choices are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.target, &other.target) && self.requested == other.requested
    }
}

/// The caller of a route.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) identity: &'a Identity,
    pub(super) ctx: &'a Context,
}

impl Route {
    /// Returns the allowed targets of the request's alias and of its fallbacks.
    ///
    /// Fails with a 400 for a name that no target or alias has, and with a 403 for a fallback that
    /// the caller may not use.
    pub(super) fn new(
        caller: Caller<'_>,
        alias: &Arc<Alias>,
        request: &MessagesRequest,
        requested: Option<&Requested>,
    ) -> Result<Self> {
        let model = request.model();
        let Some(wanted) = requested else {
            let session = &caller.ctx.session;
            let targets = alias.order_by(session, model, &Preference::NONE, request).into_iter();
            let choices = targets.map(|target| Choice {
                alias: Arc::clone(alias),
                target: Arc::clone(target),
                requested: None,
            });
            return Ok(Self {
                choices: choices.collect(),
                terms: Terms::default(),
                first: Vec::new(),
            });
        };
        let mut ways = vec![Way { alias, model, requested: None }];
        ways.extend(fallbacks(caller, model, wanted)?);
        for names in [&wanted.order, &wanted.only, &wanted.ignore].into_iter().flatten() {
            check(names, &ways)?;
        }
        let session = wanted.session.as_ref().unwrap_or(&caller.ctx.session);
        let preference = Preference {
            first: wanted.order.as_ref().map_or(&[], |order| &order.names),
            only: wanted.only.as_ref().map(|only| only.names.as_slice()),
            not: wanted.ignore.as_ref().map_or(&[], |ignore| &ignore.names),
            sort: wanted.sort,
        };
        let mut choices = Vec::new();
        for Way { alias, model, requested } in ways {
            let targets = alias.order_by(session, model, &preference, request).into_iter();
            choices.extend(targets.map(|target| Choice {
                alias: Arc::clone(alias),
                target: Arc::clone(target),
                requested: requested.clone(),
            }));
        }
        if let (Some(ignore), []) = (&wanted.ignore, choices.as_slice()) {
            return Err(Error::invalid(format!("`{}` leaves no target", ignore.field)));
        }
        let first = preference.first.to_vec();
        Ok(Self { choices, terms: Terms::new(caller.ctx, wanted), first })
    }

    /// Sorts the targets of each name by support if unsupported parts may be dropped: targets that
    /// understand more of the request come first, after those that the request itself wants first.
    pub(super) fn by_support(self, request: &MessagesRequest) -> Self {
        if self.choices.iter().all(|choice| choice.target.accepts.is_all()) {
            return self;
        }
        let inventory = Inventory::of(request);
        let mut choices = self.choices;
        for targets in choices.chunk_by_mut(|one, other| one.requested == other.requested) {
            targets.sort_by_cached_key(|choice| {
                let model = choice.requested.as_deref().unwrap_or(request.model());
                let unsupported = match self.terms.strictness(choice) {
                    Strictness::Warn => choice.target.accepts.unsupported_in(&inventory).len(),
                    Strictness::Off | Strictness::Error => 0,
                };
                (choice.target.position(&self.first, model), unsupported)
            });
        }
        Self { choices, ..self }
    }
}

impl Route {
    /// Leaves the targets of one provider if the request names state of an account: a container or a file. Files come from
    /// the provider of the forwarded routes, if it has a target; other state from the provider of the first choice.
    pub(super) fn bound(mut self, request: &MessagesRequest, passthrough: Option<&str>) -> Self {
        if self.choices.len() < 2 || !binding::is_bound(request) {
            return self;
        }
        let has_target =
            |name: &&str| self.choices.iter().any(|choice| choice.target.provider_name == *name);
        let files = passthrough.filter(|_| binding::has_files(request)).filter(has_target);
        let keeper = files.map_or_else(|| self.choices[0].target.provider_name.clone(), Into::into);
        self.choices.retain(|choice| choice.target.provider_name == keeper);
        self
    }
}

/// A model name of a request, and its alias.
struct Way<'a> {
    alias: &'a Arc<Alias>,
    model: &'a str,
    requested: Option<Arc<str>>,
}

/// Returns the fallbacks of a request, without its own model.
fn fallbacks<'a>(caller: Caller<'a>, own: &str, wanted: &'a Requested) -> Result<Vec<Way<'a>>> {
    let Some(models) = &wanted.models else { return Ok(Vec::new()) };
    let mut ways = Vec::new();
    for (n, model) in models.names.iter().enumerate() {
        let field = format!("{}[{n}]", models.field);
        let alias = allowed(caller, &field, model)?;
        if !caller.gateway.pipeline.treats_alike(caller.ctx, model) {
            let message = format!(
                "`{field}`: different policies apply to `{}` and `{}`: send a separate request for it",
                shorten(model),
                shorten(&caller.ctx.model)
            );
            return Err(Error::new(ErrorKind::Permission, message)
                .with_log(format!("`{field}`: different policies apply to it")));
        }
        if model != own {
            ways.push(Way { alias, model, requested: Some(model.as_str().into()) });
        }
    }
    Ok(ways)
}

fn allowed<'a>(caller: Caller<'a>, field: &str, name: &str) -> Result<&'a Arc<Alias>> {
    caller
        .identity
        .check_model(name)
        .map_err(|e| Error { message: format!("`{field}`: {}", e.message), ..e })
        .map_err(|e| e.with_log(format!("`{field}`: the key may not use this model")))?;
    caller.gateway.models.resolve(name).map_err(|e| {
        let message = format!("`{field}`: {}", e.message);
        let error = Error { kind: ErrorKind::InvalidRequest, message, ..e };
        error.with_log(format!("`{field}`: there is no such model"))
    })
}

/// Checks that each name belongs to some target: a typing error would silently change the route.
fn check(names: &Names, ways: &[Way<'_>]) -> Result<()> {
    let is_known = |name: &String| ways.iter().any(|way| way.alias.has_target(name, way.model));
    let Some(n) = names.names.iter().position(|name| !is_known(name)) else { return Ok(()) };
    let of: Vec<String> = ways.iter().map(|way| format!("`{}`", shorten(way.model))).collect();
    let mut there = BTreeSet::new();
    for Way { alias, model, .. } in ways {
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
    .with_log(format!("`{}[{n}]`: no target has this name", names.field)))
}

impl Terms {
    pub(super) fn new(ctx: &Context, wanted: &Requested) -> Self {
        let deadline = wanted.timeout.and_then(|timeout| {
            let end = ctx.started.checked_add(timeout)?;
            Some((Instant::from_std(end), timeout))
        });
        Self { deadline, retry: wanted.retry, strictness: wanted.strictness }
    }

    /// Returns the rule for the parts of a request that a target does not understand.
    pub(crate) fn strictness(&self, choice: &Choice) -> Strictness {
        self.strictness.unwrap_or(choice.alias.strictness)
    }

    /// Returns the remaining time; `None` if only the alias limits it.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|(end, _)| end.saturating_duration_since(Instant::now()))
    }

    /// Returns the earlier of two ends.
    pub(crate) fn end_by(&self, other: Instant) -> Instant {
        self.deadline.map_or(other, |(end, _)| end.min(other))
    }

    /// Returns whether the time limit is reached.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Returns the error of a request that reached its time limit.
    pub(crate) fn too_late(&self) -> Error {
        let millis = self.deadline.map_or(0, |(_, timeout)| timeout.as_millis());
        let message = format!(
            "no whole answer within the {millis} ms that the request's `timeout_ms` allows"
        );
        Error::new(ErrorKind::Timeout, message).with_origin(Origin::Caller)
    }
}
