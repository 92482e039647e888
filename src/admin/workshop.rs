//! `Workshop`: the threads on which operators try policies and requests, apart from those that serve clients.
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::admin::failure::Failure;
use crate::net::client;
use crate::policy::script::STACK_BYTES;

/// The trials of policies that may run at the same time.
const TRIALS: usize = 2;
/// The requests of the playground that may run at the same time.
const REQUESTS: usize = 8;
/// The time after which a client may try again.
const PAUSE: Duration = Duration::from_secs(1);

/// The threads of trials.
pub(crate) struct Workshop {
    trials: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// The number of the thread of requests, which tells it apart from the workers.
    number: usize,
    /// The runtime of the thread of requests; `None` until the first one.
    runtime: Mutex<Option<Handle>>,
}

impl Workshop {
    /// `workers` is the number of the threads that serve clients.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            trials: Arc::new(Semaphore::new(TRIALS)),
            requests: Arc::new(Semaphore::new(REQUESTS)),
            number: workers,
            runtime: Mutex::default(),
        }
    }

    /// Runs a trial on a thread of its own.
    ///
    /// Fails with a 503 if too many trials run.
    pub(crate) async fn try_out<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let seat = seat(&self.trials)?;
        let (done, wait) = oneshot::channel();
        let run = move || {
            let result = work();
            // before the result, so that the client's next trial has a seat
            drop(seat);
            // the client may have left
            let _ = done.send(result);
        };
        let thread = thread::Builder::new().name("trial".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(run).map_err(|_| broken())?;
        wait.await.map_err(|_| broken())
    }

    /// Returns the runtime for requests of the playground, and the seat of one request. Connections belong to the
    /// thread that opened them, so all these requests share one thread.
    ///
    /// Fails with a 503 if too many of them run.
    pub(crate) fn requests(&self) -> Result<(Handle, OwnedSemaphorePermit), Failure> {
        let seat = seat(&self.requests)?;
        let mut runtime = self.runtime.lock();
        if let Some(handle) = &*runtime {
            return Ok((handle.clone(), seat));
        }
        let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let made = made.map_err(|_| broken())?;
        let (handle, number) = (made.handle().clone(), self.number);
        let thread = thread::Builder::new().name("playground".to_owned()).stack_size(STACK_BYTES);
        let run = move || {
            client::enter_worker(number);
            made.block_on(std::future::pending::<()>());
        };
        thread.spawn(run).map_err(|_| broken())?;
        *runtime = Some(handle.clone());
        Ok((handle, seat))
    }
}

fn seat(seats: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
    let message = "too many trials run at the same time: try again";
    let seat = Arc::clone(seats).try_acquire_owned();
    seat.map_err(|_| Failure::new(StatusCode::SERVICE_UNAVAILABLE, message).after(PAUSE))
}

fn broken() -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "the trial ended early")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    /// Waits until this number of seats is free.
    async fn until(workshop: &Workshop, free: usize) {
        while workshop.trials.available_permits() != free {
            tokio::task::yield_now().await;
        }
    }

    /// Runs a trial that waits for a sign.
    async fn waiting(workshop: Arc<Workshop>, sign: Arc<Mutex<Receiver<()>>>) -> bool {
        workshop.try_out(move || sign.lock().recv().is_ok()).await.unwrap()
    }

    #[tokio::test]
    async fn trials_run_apart_and_are_bounded() {
        let workshop = Arc::new(Workshop::new(1));
        let here = thread::current().id();
        assert!(workshop.try_out(move || thread::current().id() != here).await.unwrap());
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let trial = || tokio::spawn(waiting(Arc::clone(&workshop), Arc::clone(&held)));
        let running: Vec<_> = (0..TRIALS).map(|_| trial()).collect();
        until(&workshop, 0).await;
        let refused = workshop.try_out(|| ()).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.retry_after, Some(PAUSE));
        (0..TRIALS).for_each(|_| hold.send(()).unwrap());
        for task in running {
            assert!(task.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_trial_that_panics_is_an_error_and_leaves_its_seat() {
        let workshop = Workshop::new(1);
        for _ in 0..TRIALS * 2 {
            until(&workshop, TRIALS).await;
            let failed = workshop.try_out(|| panic!("on purpose")).await;
            assert_eq!(failed.unwrap_err().status, StatusCode::INTERNAL_SERVER_ERROR);
        }
    }

    #[tokio::test]
    async fn requests_share_a_thread_and_are_bounded() {
        let workshop = Workshop::new(1);
        let seats: Vec<_> = (0..REQUESTS).map(|_| workshop.requests().unwrap()).collect();
        assert!(workshop.requests().is_err());
        let thread =
            async |handle: &Handle| handle.spawn(async { thread::current().id() }).await.unwrap();
        let first = thread(&seats[0].0).await;
        assert_eq!(thread(&seats[1].0).await, first);
        drop(seats);
        assert!(workshop.requests().is_ok());
    }
}
