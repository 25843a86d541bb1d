//! `duplex demo`: stand-in
#[derive(Debug, clap::Args)]
pub struct Args {}
pub fn run(_args: Args) -> Result<(), super::Failure> {
    Err(super::Failure::failed("no demo"))
}
