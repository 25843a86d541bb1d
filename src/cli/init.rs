//! `duplex init`: a new pair.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::Failure;

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
/// Written below DIR: `NAME/duplex.toml` and `NAME/keys/` for each server, `witness/data` and `witness/keys` for the witness, `ca.pem`
/// and `terminals.csv` (`terminal_id,kind,key`) for the terminals, `password.txt` (one line) of the staff member `manager`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory to write; must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Name and own fixed address of a server; twice, the first is the home Main.
    #[arg(long = "server", value_name = "NAME=ADDRESS", num_args = 1, required = true)]
    pub servers: Vec<NamedAddress>,
    /// Where the witness listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub witness: SocketAddr,
    /// Interface that carries the service addresses. Without it addresses are not moved (trials on one machine).
    #[arg(long, value_name = "NAME", requires_all = ["main_address", "sub_address"])]
    pub interface: Option<String>,
    /// Service address of Main.
    #[arg(long, value_name = "ADDRESS", requires = "interface")]
    pub main_address: Option<Ipv4Addr>,
    /// Service address of Sub.
    #[arg(long, value_name = "ADDRESS", requires = "interface")]
    pub sub_address: Option<Ipv4Addr>,
    /// Default gateway, told about every takeover.
    #[arg(long, value_name = "ADDRESS", requires = "interface")]
    pub gateway: Option<Ipv4Addr>,
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

/// Writes the pair's files.
///
/// # Errors
/// Bad or missing answers; files that cannot be written.
pub fn run(args: Args) -> Result<(), Failure> {
    if args.servers.len() != 2 {
        return Err(Failure::usage(format!("--server: a pair has two servers, {} given", args.servers.len())));
    }
    Err(Failure::failed(format!("cannot write {}: this build makes no keys", args.out.display())))
}
