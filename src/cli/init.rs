//! `duplex init`: a new pair.
//!
//! `questions` asks on a terminal for what the flags leave open, `plan` checks all answers before anything is written, `site` draws
//! the keys of terminals and staff, `config_text` explains the two configuration files, `write` makes the files.

use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use super::Failure;
use plan::Plan;

mod config_text;
mod plan;
mod questions;
mod site;
mod write;

/// Where each server listens unless its configuration is changed: terminals, HTTP, its peer, heartbeats; and the witness.
pub const TERMINAL_PORT: u16 = 7300;
pub const HTTP_PORT: u16 = 7380;
pub const PEER_PORT: u16 = 7400;
pub const HEARTBEAT_PORT: u16 = 7401;
pub const WITNESS_PORT: u16 = 7410;
/// The first member of staff, whose password is in `password.txt`.
pub const MANAGER: &str = "manager";

/// Make a new pair: CA, keys, two configuration files, terminals and their keys.
///
/// Written below DIR: `NAME/duplex.toml`, `NAME/keys/` and `NAME/data/` for each server, `witness/data` and `witness/keys` for the
/// witness, `ca.pem` and `terminals.csv` (`terminal_id,kind,key`) for the terminals, `password.txt` (one line) of the staff member
/// `manager`, and `ca/` with the key that signs for the pair: keep that one offline.
///
/// On a terminal, what the flags leave open is asked.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Directory to write; must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Name and own fixed address of a server; twice, the first is the home Main.
    #[arg(long = "server", value_name = "NAME=ADDRESS", num_args = 1)]
    pub servers: Vec<NamedAddress>,
    /// Where the witness listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub witness: Option<SocketAddr>,
    /// Interface that carries the service addresses. Without it addresses are not moved (trials on one machine).
    #[arg(long, value_name = "NAME", requires_all = ["main_address", "sub_address"])]
    pub interface: Option<String>,
    /// Service address of Main; several, separated by commas: in IPv4 and IPv6, say.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', requires = "interface")]
    pub main_address: Vec<IpAddr>,
    /// Service address of Sub; several as for Main.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', requires = "interface")]
    pub sub_address: Vec<IpAddr>,
    /// Default gateway, told about every takeover; of IPv6 its own.
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', requires = "interface")]
    pub gateway: Vec<IpAddr>,
    /// Where the servers keep journal and store: each below DIR/NAME. Default: `NAME/data` below --out.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Engine of both stores: `sqlite`, or a `postgres://` URL in which `{server}` stands for the server's name.
    #[arg(long, value_name = "STORE", default_value = "sqlite")]
    pub store: String,
    /// Terminals talk without encryption (trials and measurements only).
    #[arg(long)]
    pub plain: bool,
    /// Seats to write into `terminals.csv`, beside one counter, one enrolment terminal and one office PC.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub terminals: u16,
    /// Name of the site.
    #[arg(long, value_name = "TEXT", default_value = "site")]
    pub site: String,
    /// Wording profile: `generic` or `hall-ja`.
    #[arg(long, value_name = "PROFILE", default_value = "generic")]
    pub profile: String,
    /// The whole site instead: name, profile, rates, staff and terminals (TOML). Keys and passwords are drawn for those without one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["terminals", "site", "profile"])]
    pub site_file: Option<PathBuf>,
    /// Print one JSON object: the written paths and the commands to run next. Asks nothing.
    #[arg(long)]
    pub json: bool,
}

/// `NAME=ADDRESS` of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAddress {
    pub name: String,
    pub address: IpAddr,
}

impl FromStr for NamedAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=ADDRESS"))?;
        let address = address.parse().map_err(|e| format!("{address:?}: {e}"))?;
        Ok(Self { name: name.into(), address })
    }
}

/// Asks what is missing, checks everything, writes the pair's files.
///
/// # Errors
/// Bad or missing answers, naming the flag; files that cannot be written.
pub fn run(mut args: Args) -> Result<(), Failure> {
    if !args.json && std::io::stdin().is_terminal() {
        questions::fill(&mut args, &mut std::io::stdin().lock(), &mut std::io::stderr().lock())?;
    }
    let made = make(&args)?;
    if args.json { super::print_json(&made) } else { super::print_line(&farewell(&made)) }
}

/// What `init` made.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// As given by `--out`, absolute.
    pub out: PathBuf,
    /// Every file, absolute.
    pub written: Vec<PathBuf>,
    /// What to run next: witness, home Main, home Sub.
    pub commands: [String; 3],
}

/// As [`run`], from complete answers and without a word.
///
/// # Errors
/// As [`run`].
pub fn make(args: &Args) -> Result<Made, Failure> {
    let plan = Plan::from_args(args)?;
    let written = write::write(&plan)?;
    let commands = commands(&plan);
    Ok(Made { out: plan.out, written, commands })
}

fn commands(plan: &Plan) -> [String; 3] {
    let shown = |path: &Path| quoted(&path.display().to_string());
    let witness = plan.out.join("witness");
    let serve = |index: usize| format!("duplex serve --config {}", shown(&plan.config_file(index)));
    [
        format!(
            "duplex witness --listen {} --data {} --keys {}",
            plan.witness,
            shown(&witness.join("data")),
            shown(&witness.join("keys"))
        ),
        serve(0),
        serve(1),
    ]
}

/// Fit for a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

fn farewell(made: &Made) -> String {
    let out = made.out.display();
    let [witness, first, second] = &made.commands;
    format!(
        "A new pair is in {out}. Start it with these three commands, each on its own machine:

  {witness}
  {first}
  {second}

Copy each server's directory (configuration, keys, data) to its machine, witness/ to the third one, ca.pem and terminals.csv
to whoever sets up the terminals. The configuration files name absolute paths: change them if the files lie elsewhere there.

Keep {out}/ca offline: who has its key can join the pair as a server.
The password of `{MANAGER}` is in {out}/password.txt."
    )
}
