//! `duplex confirm-alone`: a person says that the other server is off.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use super::Failure;
use super::order::give;
use crate::layout::Layout;
use crate::wire::orders::{Order, Outcome};

/// Let this server serve alone, because you have made sure that the other one is switched off.
///
/// For pairs without a third machine (`arbiter.kind = "operator"`); beside a witness or etcd it is refused, for they might grant the same
/// to the other server. To be run on the server that shall serve, as the user that it runs as.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "If the other server serves after all, the two part: both keep what they accepted, one of them steps back as soon \
as they hear each other, and what it accepted is not served until a person mends it."
)]
pub struct Args {
    /// Configuration file of this server.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Name of the other server, for scripts: nobody is asked.
    #[arg(long, value_name = "NAME")]
    other_is_off: Option<String>,
    /// Serve although the other server has newer data, which will be on its disk only.
    #[arg(long)]
    accept_loss: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Gives the word and waits for what becomes of it.
///
/// # Errors
/// No server runs there, or it refuses: one line that says why.
pub fn run(args: Args) -> Result<(), Failure> {
    let config = super::settings(&args.config)?;
    let peer = config.name_of(config.id().peer());
    let off = match args.other_is_off {
        Some(name) => name,
        None => ask_for_the_name(&config.server.name, peer)?,
    };
    let order = Order::ConfirmAlone { off, accept_loss: args.accept_loss };
    let outcome = give(&order, &Layout::of(&config).control())?;
    if args.json {
        super::print_json(&outcome)?;
    }
    match outcome {
        Outcome::Alone { .. } if args.json => Ok(()),
        Outcome::Alone { epoch } => super::print_line(&format!(
            "{} serves alone now (epoch {epoch}). Keep {peer} off until it may catch up.",
            config.server.name
        )),
        other @ Outcome::SwitchedOver { .. } => Err(Failure::unsettled(format!("the server answered another order: {other:?}"))),
        Outcome::Refused { reason } => Err(Failure::refused(format!("{}: {reason}", config.server.name))),
    }
}

/// Typed, so that nobody confirms by habit, or in front of the wrong box.
fn ask_for_the_name(own: &str, peer: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("--other-is-off NAME is needed where nobody can be asked"));
    }
    let cannot = |error: std::io::Error| Failure::failed(format!("cannot ask: {error}"));
    let mut out = std::io::stderr();
    writeln!(out, "{own} will serve alone. Go and see that {peer} is switched off, or that no cable joins it to anything.")
        .map_err(cannot)?;
    writeln!(out, "What {peer} accepted alone after {own} lost it would be on its disk only.").map_err(cannot)?;
    write!(out, "Name of the server that is off: ").map_err(cannot)?;
    out.flush().map_err(cannot)?;
    let mut name = String::new();
    std::io::stdin().lock().read_line(&mut name).map_err(cannot)?;
    Ok(name.trim().to_owned())
}
