//! Terminals at work: `duplex load` in the client's box, whose history is the client's half of the evidence.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use duplex::cli::load::Report;
use nix::sys::signal::Signal;

use crate::{
    pair::{MAIN_ADDRESS, Pair, TELLERS_CARDS, TERMINAL_PORT, program, text},
    process::Process,
    until,
};

/// As many as a small hall; each has one command under way.
const TERMINALS: usize = 24;
/// Longer than any scenario: it is told to stop.
const SECONDS: u32 = 900;
/// For some hundred answers from a service that answers; a terminal itself waits for 60 s.
const ANSWERS_LIMIT: Duration = Duration::from_secs(90);

pub struct Load {
    process: Process,
    history: PathBuf,
    log: PathBuf,
    read: u64,
    answers: usize,
}

impl Load {
    pub(crate) fn start(pair: &Pair, number: usize, rate: Option<u32>) -> Self {
        let (history, log) = (pair.file(&format!("history-{number}.jsonl")), pair.file(&format!("load-{number}.log")));
        let mut command = program(pair.client());
        command.args(["load", "--json", "--address", &format!("{MAIN_ADDRESS}:{TERMINAL_PORT}")]).args(pair.security());
        command.args(["--terminals-file", text(&pair.file("pair/terminals.csv")), "--history", text(&history)]);
        command.args(["--terminals", &TERMINALS.to_string(), "--seconds", &SECONDS.to_string()]);
        command.args(["--cards", &format!("C:{}", TELLERS_CARDS - 1)]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        Self { process: Process::start("load", log.clone(), command), history, log, read: 0, answers: 0 }
    }

    /// Until `count` more answers have come than now.
    pub fn wait_for_answers(&mut self, count: usize) {
        let enough = self.answers() + count;
        until(&format!("{count} more answers"), ANSWERS_LIMIT, || {
            assert!(self.process.is_running(), "the load ended by itself: {}", self.process.last_lines());
            self.answers() >= enough
        });
    }

    /// Answers in the history so far.
    pub fn answers(&mut self) -> usize {
        let Ok(mut file) = File::open(&self.history) else { return 0 };
        let mut grown = Vec::new();
        file.seek(SeekFrom::Start(self.read)).and_then(|_| file.read_to_end(&mut grown)).expect("the history is a file");
        // The last line may be half written.
        let whole = grown.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = grown[..whole].split(|byte| *byte == b'\n');
        self.answers += lines.filter(|line| line.starts_with(br#"{"event":"answered""#)).count();
        self.read += whole as u64;
        self.answers
    }

    /// Lets every terminal finish its command, and gives the report.
    pub fn stop(mut self) -> Report {
        self.process.signal(Signal::SIGINT);
        self.process.ended();
        let words = std::fs::read_to_string(&self.log).expect("the load's log is a file");
        let report = words.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no report: {words}"));
        let report: Report = serde_json::from_str(report).expect("a report is JSON");
        assert_eq!(report.not_admitted, 0, "{}", report.last_trouble);
        report
    }
}
