//! The one binary: every subcommand lives in `duplex::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    duplex::cli::main()
}
