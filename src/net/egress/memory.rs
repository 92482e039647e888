//! `Memory`: the bound of the fetched contents of all requests. `Share`: the bound of one request. `Hold`: the part of
//! both that one content takes.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::net::egress::Refusal;

/// The most bytes of the contents of all requests together.
const MAX_BYTES: usize = 256 << 20;
/// The bytes of one permit.
pub(super) const UNIT: usize = 16 << 10;

/// The memory for the contents of all requests.
#[derive(Debug, Clone)]
pub struct Memory {
    open: Arc<Semaphore>,
    /// The one place of a request that waits for more memory while it has some. Two of them could wait for each other.
    growing: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(MAX_BYTES)
    }
}

impl Memory {
    /// Creates a memory of about this many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        let open = Arc::new(Semaphore::new(bytes / UNIT));
        Self { open, growing: Arc::new(Semaphore::new(1)) }
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.open.available_permits() * UNIT
    }
}

/// The bytes that the contents of one request may have.
#[derive(Debug)]
pub(super) struct Share {
    /// The most bytes of the request with its contents.
    most: usize,
    taken: Mutex<usize>,
    /// Whether a content of the request has memory.
    has_memory: AtomicBool,
}

impl Share {
    /// Creates a share for a request that has `taken` bytes already, of which `fetched` are contents.
    pub(super) fn new(most: usize, taken: usize, fetched: usize) -> Self {
        Self { most, taken: Mutex::new(taken), has_memory: AtomicBool::new(fetched > 0) }
    }

    /// Returns the reason of a content that does not fit.
    fn reason(&self) -> String {
        format!("the request with its fetched content is larger than {} bytes", self.most)
    }

    fn left(&self) -> usize {
        self.most.saturating_sub(*self.taken.lock())
    }

    /// Replaces a part of the share by another one. Returns whether it fits.
    fn replace(&self, old: usize, new: usize) -> bool {
        let mut taken = self.taken.lock();
        let after = (*taken - old).saturating_add(new);
        let fits = new <= old || after <= self.most;
        if fits {
            *taken = after;
        }
        fits
    }
}

/// The part of the memory that one content takes. Dropping it gives everything back.
pub(crate) struct Hold<'a> {
    memory: &'a Memory,
    share: &'a Share,
    /// The number of blocks that have the content.
    uses: usize,
    /// The time until which it waits for other requests.
    until: Instant,
    permit: Option<OwnedSemaphorePermit>,
    /// The bytes of the share.
    taken: usize,
}

impl<'a> Hold<'a> {
    pub(super) fn new(memory: &'a Memory, share: &'a Share, uses: usize, until: Instant) -> Self {
        Self { memory, share, uses, until, permit: None, taken: 0 }
    }

    /// Returns the time until which the content is awaited.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Returns the most bytes of a body whose Base64 fits into the share.
    ///
    /// Fails with a reason if no body fits.
    pub(super) fn fitting(&self) -> Result<usize, String> {
        match self.share.left() / self.uses.max(1) / 4 * 3 {
            0 => Err(self.share.reason()),
            most => Ok(most),
        }
    }

    /// Makes room for a body of which this many bytes have arrived, and for its Base64. Waits for other requests.
    ///
    /// Fails if the request has no room, or if the other requests leave none in time.
    pub(crate) async fn arrive(&mut self, body: usize) -> Result<(), Refusal> {
        let content = self.content(body.div_ceil(3).saturating_mul(4));
        self.take(content)?;
        self.grow(content.saturating_add(body)).await
    }

    /// Keeps the room for a content of this size, and gives the rest back. The result holds the memory.
    ///
    /// Fails as [`Hold::arrive`] does.
    pub(super) async fn keep(mut self, size: usize) -> Result<Kept, Refusal> {
        let content = self.content(size);
        self.take(content)?;
        self.grow(content).await?;
        // the share ends with the request
        self.taken = 0;
        let surplus = self.units().saturating_sub(content.div_ceil(UNIT));
        let mut permit = self.permit.take();
        drop(permit.as_mut().and_then(|permit| permit.split(surplus)));
        Ok(Kept { size: content, _permit: permit })
    }

    /// Returns the bytes that a content of this size adds to the request.
    fn content(&self, size: usize) -> usize {
        size.saturating_mul(self.uses.max(1))
    }

    fn take(&mut self, content: usize) -> Result<(), Refusal> {
        match self.share.replace(self.taken, content) {
            true => self.taken = content,
            false => return Err(Refusal::new("too_large", self.share.reason())),
        }
        Ok(())
    }

    fn units(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    async fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let more = bytes.div_ceil(UNIT).saturating_sub(self.units());
        if more == 0 {
            return Ok(());
        }
        let permits = self.more(u32::try_from(more).unwrap_or(u32::MAX)).await?;
        self.share.has_memory.store(true, Ordering::Relaxed);
        match &mut self.permit {
            Some(own) => own.merge(permits),
            None => self.permit = Some(permits),
        }
        Ok(())
    }

    /// Waits for memory. Of the requests that have some already, only one may wait.
    ///
    /// Fails if another one waits, or if there is no memory in time.
    async fn more(&self, more: u32) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Ok(permits) = Arc::clone(&self.memory.open).try_acquire_many_owned(more) {
            return Ok(permits);
        }
        let _growing = match self.share.has_memory.load(Ordering::Relaxed) {
            true => Some(self.memory.growing.try_acquire().map_err(|_| {
                Refusal::timeout(
                    "the contents that other requests fetch left no memory for this one",
                )
            })?),
            false => None,
        };
        let permits = Arc::clone(&self.memory.open).acquire_many_owned(more);
        match timeout_at(self.until, permits).await {
            Ok(Ok(permits)) => Ok(permits),
            _ => {
                let message = "the contents that other requests have fetched left no memory for this one until the time limit";
                Err(Refusal::timeout(message))
            }
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.share.replace(self.taken, 0);
    }
}

/// The memory of a content that an exchange keeps. Dropping it gives the memory back.
#[derive(Debug)]
pub(super) struct Kept {
    /// The bytes that the content adds to the request.
    pub(super) size: usize,
    _permit: Option<OwnedSemaphorePermit>,
}
