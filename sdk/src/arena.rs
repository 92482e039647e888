//! The guest's allocator: an arena inside the initial memory, and `memory.grow` when it is full.
//!
//! A fresh instance that grows its memory costs the host two `mprotect` calls. Most calls fit in
//! the arena and never grow. Freed memory is used again, also in a reused instance.
#![allow(unsafe_code, reason = "a global allocator hands out raw memory")]
use std::alloc::Layout;
use std::mem::MaybeUninit;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// The arena's size in bytes. Together with the stack (1 MiB) and a plugin's data it stays below 4
/// MiB. The host resets memory up to that size without giving its pages back, and checks every page
/// of it after each call.
const ARENA: usize = 256 << 10;

static mut MEMORY: [MaybeUninit<u8>; ARENA] = [MaybeUninit::uninit(); ARENA];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<ArenaFirst, WasmBinning> =
    TalcSyncCell::new_wasm(ArenaFirst { is_claimed: false });

#[derive(Debug)]
struct ArenaFirst {
    is_claimed: bool,
}

// SAFETY: allocates nothing itself, and claims only memory that no other code uses.
unsafe impl Source for ArenaFirst {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.is_claimed {
            talc.source.is_claimed = true;
            // SAFETY: no other code names `MEMORY`, so it belongs to the allocator alone.
            let claimed = unsafe { talc.claim((&raw mut MEMORY).cast(), ARENA) };
            return claimed.map(|_| ()).ok_or(());
        }
        grow(talc, layout)
    }
}

const PAGE: usize = 64 << 10;
/// The smallest step of growth in bytes: a call that grows is expensive anyway.
const STEP: usize = 1 << 20;
/// The bytes that the allocator needs for itself in a new piece of memory, rounded up.
const OVERHEAD: usize = 1 << 10;

fn grow<B: Binning>(talc: &mut Talc<ArenaFirst, B>, layout: Layout) -> Result<(), ()> {
    let need = layout.size().checked_add(layout.align()).ok_or(())?;
    let need = need.checked_add(OVERHEAD).ok_or(())?.max(STEP);
    let pages = need.div_ceil(PAGE);
    let before = core::arch::wasm32::memory_grow::<0>(pages);
    if before == usize::MAX {
        return Err(());
    }
    // SAFETY: these pages did not exist before, and only this allocator grows the memory.
    let claimed = unsafe { talc.claim((before * PAGE) as *mut u8, pages * PAGE) };
    claimed.map(|_| ()).ok_or(())
}
