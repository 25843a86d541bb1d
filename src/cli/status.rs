//! `duplex status`: one sentence of state for each server, and its actors.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Failure, block_on, counted, print_line};

use crate::model::Complaints;

mod lines;

/// Status is answered from memory; a server that needs longer is in trouble, and that is an answer too.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// What a status may be at most: some hundred actors.
const STATUS_BYTES_MAX: u64 = 1 << 20;
const REDRAW: Duration = Duration::from_secs(1);
/// Clears the screen and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Say how the pair is: one sentence per server.
///
/// Each server is asked at its own address. Exit code 1 if any of them does not answer, or says of itself what is red or yellow: members
/// are not served or have to wait, or data are old.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whom").args(["addresses", "config"]).required(true).multiple(true))]
pub struct Args {
    /// Own address of a server, HOST:PORT of its HTTP interface; repeat or separate by commas.
    #[arg(long = "address", value_name = "HOST:PORT", value_delimiter = ',')]
    addresses: Vec<String>,
    /// Configuration file of either server: both are asked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Draw it anew each second until Ctrl-C; with --json, print one more line each second.
    #[arg(long)]
    watch: bool,
    /// Print one JSON object: what each address answered, as it came.
    #[arg(long)]
    json: bool,
}

/// What is used of a status; more keys are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    pub server: String,
    pub role: String,
    pub mode: String,
    pub epoch: u64,
    pub sequence: u64,
    pub sentence: Words,
    pub line: Words,
    pub shape: String,
    pub colour: String,
    /// Service addresses that it holds.
    pub addresses: Vec<String>,
    /// Third machines that claim service addresses.
    pub conflicts: Vec<String>,
    pub peer: Peer,
    pub arbiter: Arbiter,
    pub last_takeover: Option<Takeover>,
    pub since: Value,
    pub complaints: Complaints,
    pub forecast: lines::Forecast,
    pub failures: Vec<lines::Failure>,
    pub actors: Vec<Actor>,
}

/// What the server says of itself to people; here in English.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Words {
    pub en: String,
}

/// The third opinion, as this server last heard it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Arbiter {
    pub kind: String,
    pub reachable: bool,
    pub heard_ms_ago: Option<u64>,
    pub error: Option<String>,
    pub epoch: Option<u64>,
}

/// The last time that it began to serve alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Takeover {
    pub may_be_lost: Option<u64>,
}

/// A supervisor or actor, as the supervision tree reports itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Actor {
    pub name: String,
    pub state: String,
    pub restarts: u64,
    pub last_exit: Option<LastExit>,
    pub children: Vec<Actor>,
}

/// How an actor last went down.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LastExit {
    pub text: String,
}

/// The other server, as this one sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Peer {
    pub name: String,
    pub reachable: bool,
    pub in_sync: bool,
    pub lag_entries: Option<u64>,
    pub lag_ms: Option<f64>,
    pub silent_paths: Vec<String>,
    pub stays_out: Option<String>,
    pub complaints: Complaints,
}

/// Asks and prints.
///
/// # Errors
/// A server that does not answer, by address and reason; one that says of itself what is red or yellow. Both are printed.
pub fn run(args: Args) -> Result<(), Failure> {
    let addresses = addresses(&args)?;
    match (args.watch, args.json) {
        (true, true) => block_on(watch(addresses, |asked| raw(asked).0)),
        (true, false) => block_on(watch(addresses, |asked| format!("{CLEAR}{}", draw(asked).0.trim_end()))),
        (false, true) => told(raw(&addresses)),
        (false, false) => told(draw(&addresses)),
    }
}

fn told((text, is_well): (String, bool)) -> Result<(), Failure> {
    print_line(text.trim_end())?;
    verdict(is_well)
}

/// What is wrong is printed already; only the exit code is left to say.
fn verdict(is_well: bool) -> Result<(), Failure> {
    if is_well { Ok(()) } else { Err(Failure::failed(String::new())) }
}

fn addresses(args: &Args) -> Result<Vec<String>, Failure> {
    let mut addresses = args.addresses.clone();
    let has_port =
        |address: &&String| address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if let Some(address) = addresses.iter().find(|address| !has_port(address)) {
        return Err(Failure::usage(format!("--address {address}: expected HOST:PORT")));
    }
    if let Some(file) = &args.config {
        let config = super::settings(file)?;
        let port = config.http.listen.port();
        let own = match config.http.listen.ip() {
            // Its fixed address, which is that server's from every box.
            ip if ip.is_unspecified() => config.peer.listen.ip(),
            ip => ip,
        };
        addresses.push(SocketAddr::new(own, port).to_string());
        addresses.push(SocketAddr::new(config.peer.address.ip(), port).to_string());
    }
    Ok(addresses)
}

/// Asks one server.
///
/// # Errors
/// Why there is no status, as one line.
pub fn ask(address: &str) -> Result<Value, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(ASK_LIMIT)).build().into();
    let url = format!("http://{address}/api/v1/status");
    let mut response = agent.get(&url).call().map_err(|e| format!("{address} does not answer: {e}"))?;
    let text = response.body_mut().with_config().limit(STATUS_BYTES_MAX).read_to_string();
    let text = text.map_err(|e| format!("{address} does not answer: {e}"))?;
    serde_json::from_str(&text).map_err(|e| format!("{address} gives no status: {e}"))
}

/// The answers as one line, and whether all is well enough.
fn raw(addresses: &[String]) -> (String, bool) {
    let mut answers = Map::new();
    let mut is_well = true;
    for address in addresses {
        let answer = ask(address).unwrap_or_else(|reason| serde_json::json!({ "error": reason }));
        is_well &= answer["colour"].as_str().is_some_and(serves);
        answers.insert(address.clone(), answer);
    }
    (Value::Object(answers).to_string(), is_well)
}

/// A script that watches must not have to read the sentence.
fn serves(colour: &str) -> bool {
    !matches!(colour, "red" | "yellow")
}

async fn watch(addresses: Vec<String>, round: fn(&[String]) -> String) -> Result<(), Failure> {
    loop {
        let asked = addresses.clone();
        // Asking blocks for up to two seconds a server: on a thread of its own, so that Ctrl-C is heard at once.
        let text = tokio::task::spawn_blocking(move || round(&asked)).await;
        print_line(&text.map_err(|e| Failure::failed(format!("cannot ask the servers: {e}")))?)?;
        tokio::time::sleep(REDRAW).await;
    }
}

/// The text for people, and whether all is well enough.
fn draw(addresses: &[String]) -> (String, bool) {
    let (mut text, mut is_well) = (String::new(), true);
    for address in addresses {
        match ask(address).and_then(|raw| serde_json::from_value(raw).map_err(|e| format!("{address} gives no status: {e}"))) {
            Ok(status) => {
                write_status(&mut text, &status);
                is_well &= serves(&status.colour);
            }
            Err(reason) => {
                text.push_str(&format!("✖ {reason}\n\n"));
                is_well = false;
            }
        }
    }
    (text, is_well)
}

fn write_status(text: &mut String, status: &Status) {
    let Status { server, role, epoch, sequence, .. } = status;
    let since = match &status.since {
        Value::Null => String::new(),
        Value::String(since) => format!(", since {since}"),
        since => format!(", since {since}"),
    };
    // Word and shape, never colour alone.
    let (shape, sentence, line) = (&status.shape, &status.sentence.en, &status.line.en);
    let behind = match status.peer.lag_entries {
        Some(entries @ 1..) => format!(" The other server is {} behind.", counted(entries, "entry", "entries")),
        Some(0) | None => String::new(),
    };
    let addresses = if status.addresses.is_empty() { "none".to_owned() } else { status.addresses.join(", ") };
    let mut say = |line: String| writeln!(text, "{line}").expect("writing to memory cannot fail");
    say(format!("{shape} {server} ({role}): {sentence}. {line}{behind}"));
    say(format!("  epoch {epoch}, entry {sequence}{since}"));
    if let Some(newer) = status.arbiter.epoch.filter(|newer| newer > epoch) {
        say(format!("  the {}'s register is at epoch {newer}: what this server has is older", status.arbiter.kind));
    }
    if let Some(code) = &status.peer.stays_out {
        say(format!("  refuses the other server's stream: {code}"));
    }
    say(format!("  service addresses held: {addresses}"));
    for station in &status.conflicts {
        say(format!("  another machine claims a service address: {station}; take it off the network"));
    }
    if let Some(warning) = of_arbiter(status) {
        say(format!("  {warning}"));
    }
    if status.colour == "orange" && !status.peer.reachable {
        say(format!("  {} does not answer", status.peer.name));
    }
    if let Some(lost @ 1..) = status.last_takeover.as_ref().and_then(|takeover| takeover.may_be_lost) {
        let lost = counted(lost, "entry", "entries");
        say(format!("  when it took over, at least {lost} that the other server had acknowledged may be lost"));
    }
    for path in &status.peer.silent_paths {
        say(format!("  no heartbeat comes on the path {path}: is its cable plugged, and its UDP port let through?"));
    }
    for line in lines::of_illness(status).chain(lines::of_forecast(status)).chain(lines::of_failures(status)) {
        say(format!("  {line}"));
    }
    for actor in &status.actors {
        write_actor(text, actor, 1);
    }
    text.push('\n');
}

/// One line of the supervision tree, and what is below it.
fn write_actor(text: &mut String, actor: &Actor, depth: usize) {
    let Actor { name, state, restarts, last_exit, children } = actor;
    let indent = "  ".repeat(depth);
    let exit = last_exit.as_ref().map(|exit| format!("  last exit: {}", exit.text)).unwrap_or_default();
    let width = 28_usize.saturating_sub(indent.len());
    writeln!(text, "{indent}{name:<width$} {state:<11} restarts {restarts}{exit}").expect("writing to memory cannot fail");
    for child in children {
        write_actor(text, child, depth + 1);
    }
}

/// What follows from an arbiter that does not answer.
fn of_arbiter(status: &Status) -> Option<String> {
    let Arbiter { kind, reachable: false, heard_ms_ago, error, .. } = &status.arbiter else { return None };
    let why = match (error, heard_ms_ago) {
        (Some(error), _) => error.clone(),
        (None, Some(ms)) => format!("heard {} s ago", ms / 1_000),
        // Not asked yet: this server has just started.
        (None, None) => return None,
    };
    let then = match status.mode.as_str() {
        "pair" => "if a server dies now, nobody serves until it does",
        "solo" => "if this server stops now, nobody serves until it does",
        _ => "nobody serves until it does",
    };
    Some(format!("the {kind} does not help: {then} ({why})"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(raw: serde_json::Value) -> String {
        let mut text = String::new();
        write_status(&mut text, &serde_json::from_value(raw).unwrap());
        text
    }

    #[test]
    fn the_servers_own_sentence_is_printed_with_its_addresses_and_its_actors() {
        let journal_writer =
            json!({"name": "journal-writer", "state": "running", "restarts": 1, "last_exit": {"text": "panicked", "at": 5}});
        let text = written(json!({"server": "a", "role": "main", "mode": "pair", "epoch": 3, "sequence": 9, "shape": "●",
            "sentence": {"en": "Running as a pair", "ja": ""}, "line": {"en": "Every entry is kept on both servers.", "ja": ""},
            "addresses": ["10.0.0.100"], "conflicts": ["02:00:00:00:00:09"], "peer": {"reachable": true, "in_sync": true, "lag_entries": 2, "lag_ms": 0.4},
            "since": "10:02", "actors": [{"name": "storage", "state": "running", "restarts": 1, "children": [journal_writer]}]}));
        let first = "● a (main): Running as a pair. Every entry is kept on both servers. The other server is 2 entries behind.\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("epoch 3, entry 9, since 10:02\n  service addresses held: 10.0.0.100\n"), "{text}");
        assert!(text.contains("another machine claims a service address: 02:00:00:00:00:09; take"), "{text}");
        assert!(text.contains("\n    journal-writer           running     restarts 1  last exit: panicked\n"), "{text}");
    }

    #[test]
    fn an_arbiter_that_does_not_help_is_told_with_what_follows_from_it() {
        let refused = json!({"kind": "witness", "reachable": false, "error": "refused"});
        for (mode, then) in [
            ("pair", "if a server dies now, nobody serves until it does (refused)"),
            ("solo", "if this server stops now, nobody serves until it does (refused)"),
            ("suspended", "nobody serves until it does (refused)"),
        ] {
            let text = written(json!({"mode": mode, "arbiter": refused}));
            assert!(text.contains(&format!("the witness does not help: {then}")), "{text}");
        }
        let unheard = json!({"kind": "witness", "reachable": false, "heard_ms_ago": 9_500});
        assert!(written(json!({"mode": "pair", "arbiter": unheard})).contains("does (heard 9 s ago)"));
        assert!(!written(json!({"mode": "starting", "arbiter": {"kind": "witness"}})).contains("does not help"));
    }

    #[test]
    fn a_server_that_is_not_there_is_named_with_the_reason() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (text, is_well) = draw(&[closed.to_string()]);
        assert!(text.contains(&format!("✖ {closed} does not answer")) && !is_well, "{text}");
    }

    #[test]
    fn a_server_that_is_stale_or_stays_out_says_by_what() {
        let text = written(json!({"role": "none", "mode": "rejoining", "epoch": 1, "peer": {"stays_out": "cannot_cut"},
            "arbiter": {"kind": "witness", "reachable": true, "epoch": 4}}));
        assert!(text.contains("  the witness's register is at epoch 4: what this server has is older\n"), "{text}");
        assert!(text.contains("  refuses the other server's stream: cannot_cut\n"), "{text}");
        assert_eq!(["green", "blue", "orange", "yellow", "red"].map(serves), [true, true, true, false, false]);
    }
}
