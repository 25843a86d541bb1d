//! On a terminal: a question for each answer that no flag gave, with the usual answer in brackets.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::net::IpAddr;
use std::str::FromStr;

use super::{Args, NamedAddress, WITNESS_PORT};
use crate::cli::Failure;
use crate::config::OneOrMore;

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
        let mut addresses = |whose: &str| self.ask::<OneOrMore<IpAddr>>(&format!("Service address of {whose}"), None);
        args.main_address = addresses("Main (terminals connect there; several with commas)")?.0;
        args.sub_address = addresses("Sub (analysis clients read there)")?.0;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(args: &mut Args, typed: &str) -> (Result<(), Failure>, String) {
        let mut out = Vec::new();
        let done = fill(args, &mut typed.as_bytes(), &mut out);
        (done, String::from_utf8(out).unwrap())
    }

    fn blank() -> Args {
        Args { site: "site".into(), terminals: 50, ..Args::default() }
    }

    #[test]
    fn empty_answers_take_what_stands_in_brackets() {
        let mut args = blank();
        let (done, _) = asked(&mut args, &"\n".repeat(20));
        assert_eq!(done, Ok(()));
        assert_eq!(args.servers.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["server-1", "server-2"]);
        assert_ne!(args.servers[0].address, args.servers[1].address);
        assert!(args.out.is_some() && args.witness.is_some() && args.interface.is_none());
    }

    #[test]
    fn what_a_flag_gave_is_not_asked() {
        let mut args = Args { out: Some("here".into()), servers: vec!["a=10.0.0.1".parse().unwrap()], ..blank() };
        let typed = "b\n10.0.0.2\n10.0.0.3:7410\neth0\n10.0.0.100, fd00::100\n10.0.0.101\nmy site\n7\n";
        let (done, said) = asked(&mut args, typed);
        assert_eq!(done, Ok(()));
        assert!(!said.contains("Directory") && !said.contains("first server"), "{said}");
        assert_eq!((args.servers[1].name.as_str(), args.terminals, args.site.as_str()), ("b", 7, "my site"));
        let read = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(read(&args.main_address), ["10.0.0.100", "fd00::100"]);
        assert_eq!(read(&args.sub_address), ["10.0.0.101"]);
    }

    #[test]
    fn a_wrong_answer_is_asked_again_and_the_end_of_the_input_is_told() {
        let mut args = Args { out: Some("here".into()), ..blank() };
        let (done, said) = asked(&mut args, "a\nnot an address\n10.0.0.1\n");
        assert!(said.contains("\"not an address\": "), "{said}");
        assert!(done.unwrap_err().message.contains("second server"), "{said}");
    }

    #[test]
    fn nobody_is_asked_for_ever() {
        let mut args = Args { out: Some("here".into()), ..blank() };
        let (done, _) = asked(&mut args, &format!("a\n{}", "x\n".repeat(100)));
        assert!(done.unwrap_err().message.starts_with("5 answers"));
    }
}
