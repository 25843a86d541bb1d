//! The command line: one file per subcommand. This one holds what they share: the definitions, how a command ends, how it is interrupted.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod audit;
pub mod client;
pub mod confirm_alone;
pub mod demo;
mod failure;
pub mod history;
pub mod import;
pub mod init;
pub mod journal;
pub mod lab;
pub mod load;
pub mod logs;
mod order;
mod report_file;
pub mod rolls;
pub mod serve;
mod stage;
pub mod status;
pub mod switchover;
pub mod terminal;
pub mod witness;

pub use failure::{Exit, Failure};

use crate::config::Config;

/// Two Linux servers, one database service that keeps going when either dies.
#[derive(Debug, Parser)]
#[command(name = "duplex", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    /// End with SIGKILL when the process that started this one ends (the demo and the lab start servers this way).
    #[arg(long, global = true, hide = true)]
    die_with_parent: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0    done, and everything that was asked holds
  1    failed: one line on stderr says what and where
  2    wrong usage: the command line, or what it or the settings name (a file, a directory, keys, the store's address) is missing
       or malformed
  3    the service refused (its answer is printed)
  4    outcome unknown: no answer in time; run again, the same command id is sent again
  70   `serve` only: a part of the server hung, and left to the other server
  130  interrupted by Ctrl-C or SIGTERM
  141  whoever read the output went away";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new pair: CA, keys, two configuration files, terminals and their keys.
    Init(init::Args),
    /// Run one server of the pair.
    Serve(serve::Args),
    /// Run the third opinion, on any third machine.
    Witness(witness::Args),
    /// Say how the pair is: one sentence per server.
    Status(status::Args),
    /// Make the other server main, while both are well.
    Switchover(switchover::Args),
    /// Let this server serve alone: you have made sure that the other one is off.
    ConfirmAlone(confirm_alone::Args),
    /// Bring in records from files.
    Import(import::Args),
    /// Send commands by hand, from a file or from standard input.
    Terminal(terminal::Args),
    /// Simulate many terminals at a given pace.
    Load(load::Args),
    /// Watch a pair lose a server, carry on, and get it back.
    Demo(demo::Args),
    /// Try a pair of servers on this machine: faults in network namespaces, and a checker.
    Lab(lab::Args),
    /// Check the ledger's invariants on both servers and compare them.
    Audit(audit::Args),
    /// Read a server's logs.
    Logs(logs::Args),
    /// Look into a server's journal.
    Journal(journal::Args),
}

/// Parses the command line, runs the subcommand, and turns a failure into one line on stderr and an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match bind_to_parent(cli.die_with_parent).and_then(|()| run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Nothing can be done if stderr is closed; the exit code still tells.
                let _ = writeln!(std::io::stderr(), "duplex: {}", failure.message);
            }
            failure.exit.into()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Witness(args) => witness::run(args),
        Command::Status(args) => status::run(args),
        Command::Switchover(args) => switchover::run(args),
        Command::ConfirmAlone(args) => confirm_alone::run(args),
        Command::Import(args) => import::run(args),
        Command::Terminal(args) => terminal::run(args),
        Command::Load(args) => load::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Lab(args) => lab::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Logs(args) => logs::run(args),
        Command::Journal(args) => journal::run(args),
    }
}

/// The settings of a server. A file that is missing or wrong is for whoever gave the command, in every command alike.
fn settings(file: &Path) -> Result<Config, Failure> {
    Config::load(file).map_err(|e| Failure::usage(e.0))
}

/// For commands that start others of this program.
fn own_program() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe().map_err(|e| Failure::failed(format!("cannot find this program's own file: {e}")))
}

/// What a server or a witness makes (its store has names, telephone numbers and PIN hashes) is for its own user's eyes.
fn keep_private() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// A parent that is killed cannot clean up, so the kernel does it.
fn bind_to_parent(wanted: bool) -> Result<(), Failure> {
    if !wanted {
        return Ok(());
    }
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|e| Failure::failed(format!("cannot bind to the parent process: {e}")))
}

/// Runs `work` on this thread alone, until it is done or a signal drops it.
///
/// One thread: a client waits for sockets nearly all of its time, and in benchmarks every cycle it takes is one the servers lack.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(async {
        tokio::select! {
            result = work => result,
            () = interrupted() => Err(Failure::interrupted()),
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::failed(format!("cannot start the runtime: {e}")))
}

/// Resolves on Ctrl-C or SIGTERM; never, where the signals cannot be listened to (they then end the process, as ever).
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// As a person writes it: `1 row`, `2 rows`.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Prints to stdout; a reader that went away (`| head`) ends the command without a complaint.
fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| match e.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::failed(format!("cannot write to standard output: {e}")),
    })
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::failed(format!("cannot encode the answer: {e}")))?;
    print_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "is bad", "are bad")), ["0 are bad", "1 is bad", "2 are bad"]);
    }

    #[test]
    fn the_definitions_of_all_subcommands_are_consistent() {
        Cli::command().debug_assert();
    }
}
