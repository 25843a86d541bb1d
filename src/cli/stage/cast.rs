//! The processes of a stage: this same program, started with the arguments that a person would type.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::boxes::{Boxes, INTERFACE, Machine};
use crate::cli::Failure;
use crate::cli::init::{HTTP_PORT, TERMINAL_PORT, WITNESS_PORT};

/// Making keys takes a second, an audit of some ten thousand rows a few.
const STEP_LIMIT: Duration = Duration::from_secs(120);

/// Starts the processes, each on its machine, each with a log of its own.
pub(in crate::cli) struct Cast {
    program: OsString,
    pub(in crate::cli) boxes: Boxes,
    directory: PathBuf,
}

impl Cast {
    pub(in crate::cli) fn new(directory: &Path, boxes: Boxes) -> Result<Self, Failure> {
        let logs = directory.join("logs");
        std::fs::create_dir_all(&logs).map_err(|e| Failure::failed(format!("{}: {e}", logs.display())))?;
        Ok(Self { program: crate::cli::own_program()?.into(), boxes, directory: directory.to_owned() })
    }

    pub(in crate::cli) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(in crate::cli) fn config(&self, server: Machine) -> PathBuf {
        self.directory.join("pair").join(server.name()).join("duplex.toml")
    }

    pub(in crate::cli) fn http(&self, server: Machine) -> String {
        format!("{}:{HTTP_PORT}", self.boxes.address(server))
    }

    /// The two arguments with which clients find the service.
    pub(in crate::cli) fn reach(&self) -> Vec<OsString> {
        let addresses = match self.boxes.service_addresses() {
            Some([main, _]) => format!("{main}:{TERMINAL_PORT}"),
            None => Machine::SERVERS.map(|server| format!("{}:{TERMINAL_PORT}", self.boxes.address(server))).join(","),
        };
        vec!["--address".into(), addresses.into(), "--ca".into(), self.file("pair/ca.pem").into()]
    }

    pub(in crate::cli) fn init_arguments(&self, terminals: u16, store: &str) -> Vec<OsString> {
        let witness = format!("{}:{WITNESS_PORT}", self.boxes.address(Machine::Witness));
        let mut arguments: Vec<OsString> = vec!["init".into(), "--out".into(), self.file("pair").into()];
        for server in Machine::SERVERS {
            arguments.extend(["--server".into(), format!("{}={}", server.name(), self.boxes.address(server)).into()]);
        }
        arguments.extend(["--witness", &witness, "--store", store, "--terminals", &terminals.to_string()].map(Into::into));
        if let Some([main, sub]) = self.boxes.service_addresses() {
            let (main, sub) = (main.to_string(), sub.to_string());
            let alias = ["--interface", INTERFACE, "--main-address", &main, "--sub-address", &sub];
            arguments.extend(alias.map(Into::into));
        }
        arguments
    }

    /// Starts a process that stays; it is killed when the handle is dropped.
    pub(in crate::cli) fn start(&self, machine: Machine, log: &str, arguments: &[OsString]) -> Result<Child, Failure> {
        let mut command = self.command(machine, log, arguments)?;
        command.spawn().map_err(|e| Failure::failed(format!("cannot start {log}: {e}")))
    }

    /// Runs a process to its end and returns what it printed; its stderr is in its log.
    ///
    /// # Errors
    /// It failed: the last line of its log is the reason.
    pub(in crate::cli) async fn run(&self, machine: Machine, log: &str, arguments: &[OsString]) -> Result<String, Failure> {
        let mut command = self.command(machine, log, arguments)?;
        command.stdout(Stdio::piped());
        let child = command.spawn().map_err(|e| Failure::failed(format!("cannot start {log}: {e}")))?;
        let output = timeout(STEP_LIMIT, child.wait_with_output()).await;
        let output = output.map_err(|_| Failure::failed(format!("{log} did not end within {} s", STEP_LIMIT.as_secs())))?;
        let output = output.map_err(|e| Failure::failed(format!("{log}: {e}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure::failed(format!("{log}: {}", self.last_words(log))))
    }

    fn command(&self, machine: Machine, log: &str, arguments: &[OsString]) -> Result<Command, Failure> {
        let file = self.log(log);
        let opened = File::options().append(true).create(true).open(&file);
        let opened = opened.map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
        let stdout = opened.try_clone().map_err(|e| Failure::failed(format!("{}: {e}", file.display())))?;
        let mut command = self.boxes.command(machine, &self.program);
        command.arg("--die-with-parent").args(arguments);
        command.stdin(Stdio::null()).stdout(stdout).stderr(opened).kill_on_drop(true);
        Ok(command)
    }

    pub(in crate::cli) fn words(&self, log: &str) -> String {
        std::fs::read_to_string(self.log(log)).unwrap_or_default()
    }

    pub(in crate::cli) fn last_words(&self, log: &str) -> String {
        let words = self.words(log);
        let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("failed without a word");
        // This process says its own name before the whole line.
        last.strip_prefix("duplex: ").unwrap_or(last).to_owned()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{name}.log"))
    }
}
