//! A teller at the counter who keeps every command and its answer, and asks each again later: the same answer must come back.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    path::Path,
    time::Duration,
};

use duplex::{
    cli::{
        client::{Client, CommandIds, Service, Terminal},
        rolls,
    },
    ledger::rows::TerminalKind,
    model::Status,
};
use serde_json::Value;

use crate::{
    netns::LabBox,
    pair::{TELLERS_CARDS, TERMINAL_PORT},
};

/// A server answers or refuses within two seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

pub struct Teller {
    terminal: Terminal,
    service: Service,
    ids: CommandIds,
    pub kept: Vec<Kept>,
}

/// A command as it was sent, and its first answer.
pub struct Kept {
    pub command_id: String,
    request: Vec<u8>,
    pub answer: Value,
}

impl Teller {
    pub fn new(terminals: &Path, service: Service) -> Self {
        let counter = rolls::take(terminals, &[TerminalKind::Counter], 1).expect("init enrols a counter");
        let terminal = counter.into_iter().next().expect("one was taken");
        Self { terminal, service, ids: CommandIds::new().expect("random numbers"), kept: Vec::new() }
    }

    pub fn terminal_id(&self) -> &str {
        &self.terminal.terminal_id
    }

    /// Deposits on cards that exist, and one on a card that does not: refusals are kept as well.
    pub fn deal(&mut self, client: &LabBox, deposits: u64) {
        let mut cards: Vec<String> = (0..deposits).map(|number| format!("C{:08}", TELLERS_CARDS + number)).collect();
        cards.push("nobody".to_owned());
        self.learn_the_rates(client);
        for card in cards {
            let request = self.request("deposit", &format!(r#"{{"card_id":"{card}","rate_id":1,"units":125}}"#));
            let answer = self.settle(client, &request);
            let expected = if card == "nobody" { "rejected" } else { "ok" };
            assert_eq!(answer["status"], expected, "{answer}");
            self.kept.push(Kept { command_id: request.0, request: request.1, answer });
        }
    }

    /// Sends everything again.
    pub fn repeat(&self, client: &LabBox) {
        for Kept { command_id, request, answer } in &self.kept {
            let again = self.settle(client, &(command_id.clone(), request.clone()));
            assert_eq!(again["repeated"], true, "{command_id} was executed anew: {again}");
            for field in ["status", "code", "text_ja", "text_en", "body", "epoch", "sequence"] {
                assert_eq!(again[field], answer[field], "{field} of {command_id}: first {answer}, then {again}");
            }
        }
    }

    /// A greeting, which changes no data.
    pub fn learn_the_rates(&mut self, client: &LabBox) {
        let hello = self.request("hello", "{}");
        let answer = self.settle(client, &hello);
        self.terminal.rate_table_ver = answer["body"]["rate_table"]["version"].as_i64();
        assert!(self.terminal.rate_table_ver.is_some(), "{answer}");
    }

    /// Sends until a final answer comes.
    fn settle(&self, client: &LabBox, (id, request): &(String, Vec<u8>)) -> Value {
        let service = self.service.clone();
        client.run(async || {
            let mut client = Client::new(service, 0);
            let settled = client.settle(id, request).await.unwrap_or_else(|unsettled| panic!("no answer to {id}: {unsettled:?}"));
            assert_ne!(settled.answer.status, Status::Retry);
            serde_json::from_slice(client.answer_line()).expect("an answer is JSON")
        })
    }

    /// A command id and the line that carries it.
    pub fn request(&mut self, command: &str, body: &str) -> (String, Vec<u8>) {
        let (mut id, mut line) = (String::new(), Vec::new());
        self.ids.next(&mut id);
        self.terminal.write_request(&mut line, &id, command, body);
        (id, line)
    }
}

/// A deposit on its way to a server that may not know yet that it is nobody's main any more.
pub struct Asked(BufReader<TcpStream>);

impl Teller {
    /// Connects to one server itself and sends a deposit.
    pub fn ask_at(&mut self, server: Ipv4Addr, client: &LabBox) -> Asked {
        let (_, line) = self.request("deposit", r#"{"card_id":"C00000001","rate_id":1,"units":125}"#);
        // The kernel takes connections for a frozen process.
        let mut stream = client.enter(|| TcpStream::connect((server, TERMINAL_PORT))).expect("its kernel is alive");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a limit above zero");
        stream.write_all(&line).expect("its kernel is alive");
        Asked(BufReader::new(stream))
    }
}

impl Asked {
    /// What came; `None` for a close or silence.
    pub fn wait(mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(serde_json::from_str(&line).expect("an answer is JSON"))
    }
}
