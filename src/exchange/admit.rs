//! Asks limits and budgets before a request goes to its targets, and sends it to another model where a budget says so.
use crate::auth::Caller;
use crate::catalogue::price::today;
use crate::error::Result;
use crate::exchange::requested::Requested;
use crate::exchange::route::Terms;
use crate::gateway::Gateway;
use crate::limits::{self, Admission, Admitted, Estimate, Name, Waits};
use crate::models::Alias;
use crate::policy::Passage;
use crate::telemetry::record::Why;
use crate::wire::{MessagesRequest, Spent, Usage};

/// The bytes of a token of input, by estimate.
const BYTES_A_TOKEN: u64 = 4;

/// A request with its own options.
pub(super) struct Wanted {
    pub(super) request: MessagesRequest,
    pub(super) requested: Option<Box<Requested>>,
}

/// Reserves what a request will need. Returns it as it may be sent: under the name of another alias if a budget with
/// `then: route` is used up, and without fallbacks that are over a limit or a budget.
///
/// Fails with a 429 of a limit or of a budget.
pub(super) async fn admit(gateway: &Gateway, passage: &Passage, wanted: Wanted) -> Result<Wanted> {
    let ctx = &passage.ctx;
    let Some(admission) = &ctx.admission else { return Ok(wanted) };
    let mut wanted = wanted;
    let terms = wanted.requested.as_deref().map(|requested| Terms::new(ctx, requested));
    let end = terms.and_then(|terms| terms.deadline).map(|(end, _)| end);
    let mut waits = admission.waits(&ctx.caller, end);
    let admitted = admit_within(gateway, passage, &mut wanted, &mut waits).await;
    ctx.story.waited(waits.waited());
    admitted.map(|()| wanted)
}

/// Tries until the request fits, each time without a further model or fallback.
async fn admit_within(
    gateway: &Gateway,
    passage: &Passage,
    wanted: &mut Wanted,
    waits: &mut Waits<'_>,
) -> Result<()> {
    let ctx = &passage.ctx;
    let Some(admission) = &ctx.admission else { return Ok(()) };
    loop {
        let Wanted { request, requested } = wanted;
        let alias = gateway.models.resolve(request.model())?;
        let names = names(gateway, request.model(), requested.as_deref());
        let estimate = estimate(admission, &ctx.caller, alias, request);
        let wanted_now = limits::Wanted { caller: &ctx.caller, names: &names, estimate };
        match admission.admit(wanted_now, waits).await? {
            Admitted::Whole => return Ok(()),
            Admitted::Without(left_out) => leave_out(gateway, passage, wanted, &left_out),
            Admitted::Route(to) => {
                request.set_model(&to)?;
                ctx.story.rerouted(&to);
                if let Some(requested) = requested {
                    // the client's choice was about the model that is too expensive
                    requested.models = None;
                    requested.order = None;
                    requested.only = None;
                    requested.ignore = None;
                }
            }
        }
    }
}

/// Removes fallbacks from a request. Its trace has their targets.
fn leave_out(gateway: &Gateway, passage: &Passage, wanted: &mut Wanted, left_out: &[Box<str>]) {
    let Some(requested) = &mut wanted.requested else { return };
    let Some(models) = &mut requested.models else { return };
    models.names.retain(|name| {
        let is_left_out = left_out.iter().any(|one| **one == **name);
        if is_left_out && let Ok(alias) = gateway.models.resolve(name) {
            for target in &alias.targets {
                passage.ctx.story.passed_over(target.label(name), Why::Limit);
            }
        }
        !is_left_out
    });
}

/// Returns the names that a request may use: its own, then its fallbacks.
fn names(gateway: &Gateway, model: &str, requested: Option<&Requested>) -> Vec<Name> {
    let fallbacks = requested.and_then(|requested| requested.models.as_ref());
    let fallbacks = fallbacks.into_iter().flat_map(|models| &models.names).map(String::as_str);
    let mut names: Vec<Name> = Vec::new();
    for model in std::iter::once(model).chain(fallbacks) {
        // an unknown fallback is an error of its own later
        let Ok(alias) = gateway.models.resolve(model) else { continue };
        if names.iter().all(|name| *name.model != *model) {
            names.push(Name { model: model.into(), alias: alias.name.as_str().into() });
        }
    }
    names
}

fn estimate(
    admission: &Admission,
    caller: &Caller,
    alias: &Alias,
    request: &MessagesRequest,
) -> Estimate {
    let model = request.model();
    let input = request.document().size() as u64 / BYTES_A_TOKEN;
    let wanted = request.document().field("max_tokens");
    let wanted = wanted.and_then(|number| serde_json::from_slice::<u64>(&number).ok());
    let rows = alias.targets.iter().filter_map(|target| target.row(model)?.max_output);
    let output = match (wanted, rows.max()) {
        (Some(wanted), Some(most)) => wanted.min(most),
        (wanted, most) => wanted.or(most).unwrap_or(0),
    };
    let nano_dollars = match alias.targets.first() {
        Some(target) if admission.needs_price(caller) => {
            let tokens = Usage { input, output, ..Usage::default() };
            let spent = Spent { tokens, ..Spent::default() };
            admission.price(&target.tariff(model).charge(&spent, today()), output)
        }
        _ => 0,
    };
    Estimate { input, output, nano_dollars }
}
