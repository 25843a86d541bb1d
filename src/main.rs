//! The one binary: every subcommand lives in `duplex::cli`.

use std::process::ExitCode;

/// Entries are made by one thread and freed by another: glibc's allocator spent a tenth of both servers' time on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    duplex::cli::main()
}
