//! `duplex witness`: the third opinion.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use slog::{Logger, info};
use tokio::net::TcpListener;

use super::Failure;
use crate::arbiter::witness_frames::WitnessStatus;
use crate::arbiter::{Accounts, Witness, WitnessClient, WitnessError};
use crate::config::{self, Level, LogFormat};
use crate::console;
use crate::layout::WitnessKeys;
use crate::model::{Holder, Register};
use crate::run::told::Told;
use crate::telemetry;
use crate::wire::identity::Identity;
use crate::wire::pki::CertificateRole;

/// The one stream of a witness's log.
const STREAM: &str = "witness";
/// A person waits for the status; a witness answers within milliseconds.
const STATUS_LIMIT: Duration = Duration::from_secs(3);

/// Certificates and registers know no other names; a witness reads no configuration.
const WHO_IS_WHO: &str = "server-a is the first name in `server.pair` of the servers' configuration, server-b the second";

/// Run the third opinion: one small fsynced file that says who may acknowledge.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("In the log and in `status`, {WHO_IS_WHO}."))]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(flatten)]
    serve: Option<Serve>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where the servers of all its pairs reach the witness.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Directory of the witness's files, one for each pair; must exist.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Directory of CA, certificate and key, as `duplex init` wrote it for the witness; once for each pair that it serves.
    #[arg(long, value_name = "DIR", required = true)]
    keys: Vec<PathBuf>,
    /// Serve `/metrics` (OpenMetrics) and `/api/v1/status` (JSON) here, without TLS.
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// Print the log as JSON objects.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Ask a running witness what it holds.
    #[command(after_help = format!("{WHO_IS_WHO}."))]
    Status(Status),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// Where the witness listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// Directory of CA, certificate and key of the witness for the pair in question.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Serves the register until SIGTERM, SIGHUP or Ctrl-C, or asks one that is served.
///
/// # Errors
/// What keeps it from serving or from being asked, in one line.
pub fn run(args: Args) -> Result<(), Failure> {
    match (args.action, args.serve) {
        (Some(Action::Status(status)), _) => super::block_on(show(status)),
        (None, Some(serve)) => serve_until_told(&serve),
        (None, None) => Err(Failure::usage("--listen, --data and --keys are needed to run a witness")),
    }
}

fn serve_until_told(args: &Serve) -> Result<(), Failure> {
    super::keep_private();
    must_exist(&args.data)?;
    let identities = args.keys.iter().map(|keys| identity(&WitnessKeys(keys.clone()))).collect::<Result<Vec<_>, _>>()?;
    let format = if args.json { LogFormat::Json } else { LogFormat::Human };
    let settings = config::Log { format, level: Level::Info, ..config::Log::default() };
    let (logs, _guard) = telemetry::start(&settings, &args.data, &[STREAM]).map_err(failed)?;
    let log = logs.for_actor(STREAM);
    let opened = Witness::open(&args.data, &identities, log.clone());
    let witness = opened.map_err(|error| match error {
        WitnessError::Tls(_) | WitnessError::Twice(_) => mistaken(error),
        WitnessError::File(_) => failed(error),
    })?;

    super::runtime()?.block_on(async {
        // Before anybody can know that it runs: a signal must find its listener.
        let mut told = Told::listen();
        let cannot = |e| Failure::failed(format!("cannot listen at {}: {e}", args.listen));
        let listener = TcpListener::bind(args.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let _http = args.http.map(|address| tell_of(witness.accounts(), address, &log)).transpose()?;
        let authorities: Vec<String> = identities.iter().map(Identity::authority_fingerprint).collect();
        info!(log, "listening"; "address" => %address, "authority" => authorities.join(" "), "who" => WHO_IS_WHO);
        tokio::select! {
            () = witness.serve(listener) => {}
            signal = told.to_end() => info!(log, "told to end"; "signal" => signal),
        }
        Ok(())
    })
}

/// Ends with the process.
fn tell_of(accounts: Accounts, address: SocketAddr, log: &Logger) -> Result<console::Running, Failure> {
    let cannot = |e| Failure::failed(format!("--http: cannot listen at {address}: {e}"));
    let listener = std::net::TcpListener::bind(address).map_err(cannot)?;
    console::witness::start(accounts, listener, log).map_err(cannot)
}

/// A disk that is not mounted must not look like a new witness.
fn must_exist(data: &Path) -> Result<(), Failure> {
    if data.is_dir() { Ok(()) } else { Err(Failure::usage(format!("--data: {} is no directory", data.display()))) }
}

/// Keys of the pair's other members are whole, too, but nobody would be answered by them.
fn identity(keys: &WitnessKeys) -> Result<Identity, Failure> {
    let identity = keys.identity().map_err(mistaken)?;
    match identity.role {
        CertificateRole::Witness => Ok(identity),
        other => Err(mistaken(format_args!("{}: is for {}, not for a witness", keys.pem()[0].display(), other.name()))),
    }
}

async fn show(args: Status) -> Result<(), Failure> {
    let identity = identity(&WitnessKeys(args.keys))?;
    let client = WitnessClient::new(args.address, &identity).map_err(mistaken)?;
    let status = client.status(STATUS_LIMIT).await.map_err(failed)?;
    if args.json { super::print_json(&status) } else { super::print_line(&in_words(&status)) }
}

fn in_words(status: &WitnessStatus) -> String {
    let holds = match &status.register {
        None => "holds no register yet: the pair's servers bring the first one".to_owned(),
        Some(register) => told(register),
    };
    let refuses = status.refuses.as_ref().map_or(String::new(), |why| format!("\ngrants nothing: {why}"));
    let asks = super::counted(status.answered, "ask", "asks");
    let changes = super::counted(status.landed, "change", "changes");
    format!("{holds}\n{asks} answered, {changes} landed since it started{refuses}")
}

fn told(register: &Register) -> String {
    let holder = match register.holder {
        Holder::Pair { main } => format!("the pair acknowledges, main is {}", CertificateRole::Server(main).name()),
        Holder::Solo { server } => format!("{} acknowledges alone", CertificateRole::Server(server).name()),
    };
    format!("epoch {}: {holder}; recorded position {}", register.epoch.0, register.recorded)
}

fn mistaken(error: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("--keys: {error}"))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DataId, Epoch, Position, ServerId};

    #[test]
    fn a_register_is_told_in_words() {
        let holder = Holder::Solo { server: ServerId::B };
        let register = Register { epoch: Epoch(7), holder, data_ids: [DataId([0; 16]); 2], recorded: Position::GENESIS };
        assert_eq!(told(&register), "epoch 7: server-b acknowledges alone; recorded position 0/0 (0000000000000000)");
        let pair = Register { holder: Holder::Pair { main: ServerId::A }, ..register };
        assert!(told(&pair).starts_with("epoch 7: the pair acknowledges, main is server-a; "));
    }
}
