//! The binary: arguments go to `cli`.
use std::process::ExitCode;

/// glibc hands large buffers back to the kernel at every request; this keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidegate::cli::run()
}
