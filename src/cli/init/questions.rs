//! On a terminal: a question for each answer that no flag gave, with the usual answer in brackets.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::str::FromStr;

use super::{Args, NamedAddress, WITNESS_PORT};
use crate::cli::Failure;

/// Wrong answers to one question before it is given up: a file was piped in, or somebody leans on the keyboard.
const TRIES_MAX: usize = 5;

/// Asks for whatever is missing in `args`.
///
/// # Errors
/// The end of the input; [`TRIES_MAX`] wrong answers.
pub(super) fn fill(args: &mut Args, input: &mut impl BufRead, out: &mut impl Write) -> Result<(), Failure> {
    let mut desk = Desk { input, out };
    // Whoever gives all that must be given wants to be asked nothing.
    if args.out.is_some() && args.servers.len() == 2 && args.witness.is_some() {
        return Ok(());
    }
    if args.out.is_none() {
        args.out = Some(desk.ask("Directory to write", Some("pair"))?);
    }
    while args.servers.len() < 2 {
        let server = desk.server(args.servers.len())?;
        args.servers.push(server);
    }
    if args.witness.is_none() {
        args.witness = Some(desk.ask("Where the witness listens, ADDRESS:PORT", Some(&format!("127.0.0.3:{WITNESS_PORT}")))?);
    }
    if args.interface.is_none() {
        desk.service_addresses(args)?;
    }
    if args.site_file.is_none() {
        args.site = desk.ask("Name of the site", Some(&args.site))?;
        args.terminals = desk.ask("Number of seats", Some(&args.terminals.to_string()))?;
    }
    Ok(())
}

struct Desk<'a, R, W> {
    input: &'a mut R,
    out: &'a mut W,
}

impl<R: BufRead, W: Write> Desk<'_, R, W> {
    fn server(&mut self, index: usize) -> Result<NamedAddress, Failure> {
        let number = index + 1;
        let question = if index == 0 { "Name of the first server (home Main)" } else { "Name of the second server (home Sub)" };
        let name: String = self.ask(question, Some(&format!("server-{number}")))?;
        let address = self.ask(&format!("Its own fixed address, for {name}"), Some(&format!("127.0.0.{number}")))?;
        Ok(NamedAddress { name, address })
    }

    fn service_addresses(&mut self, args: &mut Args) -> Result<(), Failure> {
        let interface: String =
            self.ask("Interface that carries the service addresses (none: they do not move)", Some("none"))?;
        if interface == "none" {
            return Ok(());
        }
        args.interface = Some(interface);
        args.main_address = Some(self.ask("Service address of Main (terminals connect there)", None)?);
        args.sub_address = Some(self.ask("Service address of Sub (analysis clients read there)", None)?);
        Ok(())
    }

    /// Until the answer can be read; an empty one is the usual one.
    fn ask<T: FromStr<Err: Display>>(&mut self, question: &str, usual: Option<&str>) -> Result<T, Failure> {
        let cannot = |e: std::io::Error| Failure::failed(format!("cannot ask: {e}"));
        for _ in 0..TRIES_MAX {
            let bracket = usual.map_or(String::new(), |usual| format!(" [{usual}]"));
            write!(self.out, "{question}{bracket}: ").and_then(|()| self.out.flush()).map_err(cannot)?;
            let mut line = String::new();
            if self.input.read_line(&mut line).map_err(cannot)? == 0 {
                return Err(Failure::usage(format!("no answer to: {question}")));
            }
            let answer = match (line.trim(), usual) {
                ("", Some(usual)) => usual,
                (answer, _) => answer,
            };
            match answer.parse() {
                Ok(answer) => return Ok(answer),
                Err(error) => writeln!(self.out, "  {answer:?}: {error}").map_err(cannot)?,
            }
        }
        Err(Failure::usage(format!("{TRIES_MAX} answers that cannot be read to: {question}")))
    }
}
