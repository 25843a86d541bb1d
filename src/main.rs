//! The one binary: every subcommand lives in `duplex::cli`.

use std::process::ExitCode;

/// Entries are made by one thread and freed by another: glibc's allocator spent a tenth of both servers' time on that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    duplex::cli::main()
}
