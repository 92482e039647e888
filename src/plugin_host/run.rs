//! Runs one call: takes a seat, gets an instance, and enforces the time limit.
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};

use crate::plugin_host::call::PluginCall;
use crate::plugin_host::code::Code;
use crate::plugin_host::failure::Cause;
use crate::plugin_host::gate::{Gate, Seat};
use crate::plugin_host::shelf::Used;

/// The bytes that a guest may pass at once: more than the values of any request, and few enough for
/// a thread to copy quickly.
const MAX_PASSED: usize = 64 << 20;

/// Runs calls in instances of a plugin's code, as far as its gate admits them.
pub(super) struct Runner<'a> {
    code: &'a Code,
    /// The gate; `None` while the plugin is loaded.
    gate: Option<&'a Gate>,
    seat: Seat,
}

impl<'a> Runner<'a> {
    /// Creates a runner for calls of a loaded plugin.
    pub(super) fn gated(code: &'a Code, gate: &'a Gate, seat: Seat) -> Self {
        Self { code, gate: Some(gate), seat }
    }

    /// Creates a runner for calls while the plugin is loaded: they pass no gate.
    pub(super) fn ungated(code: &'a Code) -> Self {
        Self { code, gate: None, seat: Seat::Hook }
    }

    /// Runs one call. A failure ends this call only.
    ///
    /// The call ends at its deadline, waiting included. The host's state of the call is returned in
    /// every case, with the document and the last words in it.
    pub(super) async fn run<T>(
        &self,
        call: PluginCall,
        body: impl AsyncFnOnce(&mut Store<PluginCall>, Instance) -> wasmtime::Result<T>,
    ) -> (PluginCall, Result<T, Cause>) {
        let Some(gate) = self.gate else { return self.run_seated(call, body).await };
        let clock = Arc::clone(&call.terms.clock);
        let admission = match gate.enter(&clock) {
            Ok(admission) => admission,
            Err(cause) => return (call, Err(cause)),
        };
        let (call, result) = match gate.take(self.seat, call.until, call.limit).await {
            Ok(_seat) => self.run_seated(call, body).await,
            Err(cause) => (call, Err(cause)),
        };
        // a read that was refused says nothing about the plugin
        if call.refused.is_none() {
            admission.end(&result);
        }
        (call, result)
    }

    async fn run_seated<T>(
        &self,
        call: PluginCall,
        body: impl AsyncFnOnce(&mut Store<PluginCall>, Instance) -> wasmtime::Result<T>,
    ) -> (PluginCall, Result<T, Cause>) {
        let (until, limit) = (call.until, call.limit);
        let Some(_place) = self.code.runtime().room.take(self.seat, until).await else {
            return (call, Err(Cause::Full(limit)));
        };
        let shelf = self.gate.and_then(|gate| gate.shelf.as_ref());
        let key = shelf.map(|_| call.key().to_owned()).unwrap_or_default();
        let waiting = shelf.and_then(|shelf| shelf.take(&key));
        let (mut store, instance, calls) = match waiting {
            Some(Used { mut store, instance, calls }) => {
                let mut before = std::mem::replace(store.data_mut(), call);
                store.data_mut().resume(&mut before);
                (store, Some(instance), calls)
            }
            None => (store(self.code, call), None, 0),
        };
        let waited = limit.saturating_sub(until.saturating_duration_since(Instant::now()));
        store.set_epoch_deadline(1);
        let run = async {
            let instance = match instance {
                Some(instance) => instance,
                None => self.code.instantiate(&mut store).await?,
            };
            Ok((body(&mut store, instance).await?, instance))
        };
        let ended = by(until, run).await;
        store.data_mut().finish();
        let (value, instance) = match ended {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                let cause = Cause::of(&error, store.data());
                return (store.into_data(), Err(cause));
            }
            Err(_) => {
                let cause = Cause::timed_out(limit, waited, store.data().size());
                return (store.into_data(), Err(cause));
            }
        };
        let Some(shelf) = shelf.filter(|_| store.data().refused.is_none()) else {
            return (store.into_data(), Ok(value));
        };
        let nothing = PluginCall::new(&store.data().terms, None, None, Duration::ZERO);
        let mut call = std::mem::replace(store.data_mut(), nothing);
        store.data_mut().resume(&mut call);
        shelf.put(&key, Used { store, instance, calls: calls + 1 });
        (call, Ok(value))
    }
}

/// Like `timeout_at`, but without a timer if the future is ready at once, like most hooks.
async fn by<T>(until: Instant, run: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut run = pin!(run);
    match poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout_at(until, run).await,
    }
}

fn store(code: &Code, call: PluginCall) -> Store<PluginCall> {
    let mut store = Store::new(code.engine(), call);
    store.limiter(|call| &mut call.memory);
    store.set_hostcall_fuel(MAX_PASSED);
    // wasmtime's own yield wakes its task at once: a thread that always has one ready task checks
    // timers and sockets only once in dozens of ticks
    store.epoch_deadline_callback(|_| {
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}
