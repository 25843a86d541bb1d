//! Lines that are too long, not text, or never end; and a terminal that does not read.

use std::time::{Duration, Instant};

use duplex::config::limits;
use duplex::wire::terminal::LINE_MAX;
use serde_json::{Value, json};

use crate::pair::{CommandIds, First, Line, Pair, Which};

fn deposit(pair: &Pair, terminal: &str) -> Value {
    pair.request(terminal, &CommandIds::draw(), "deposit", json!({"card_id": "C00000005", "rate_id": 1, "units": 1}))
}

/// A good request, stretched by blanks to this many bytes.
fn of_length(pair: &Pair, bytes: usize) -> Vec<u8> {
    let mut line = deposit(pair, "seat-1").to_string().into_bytes();
    let end = line.pop().unwrap();
    line.resize(bytes - 1, b' ');
    line.extend([end, b'\n']);
    line
}

#[track_caller]
fn is_served(pair: &Pair, which: Which) {
    let answer = pair.line(which).ask(&deposit(pair, "seat-2")).unwrap();
    assert_eq!(answer["status"], "ok", "{answer}");
}

#[track_caller]
fn is_answered_and_closed(line: &mut Line, named: &str) {
    let answer = line.hear().unwrap().expect("an answer comes before the close");
    assert_eq!(answer["code"], "BAD_REQUEST", "{answer}");
    assert!(answer.to_string().contains(named), "{answer}");
    assert!(line.is_closed_within(Duration::from_secs(5)));
}

#[test]
fn a_line_of_64_kib_passes_and_one_byte_more_or_broken_utf_8_is_answered_and_closed() {
    let pair = Pair::at_work();
    let mut line = pair.line(First);
    line.send(&of_length(&pair, LINE_MAX)).unwrap();
    assert_eq!(line.hear().unwrap().unwrap()["status"], "ok");
    line.send(&of_length(&pair, LINE_MAX + 1)).unwrap();
    is_answered_and_closed(&mut line, "65536");

    // What comes after it is not looked at, and does not take the answer along.
    let mut line = pair.line(First);
    let good = format!("{}\n", deposit(&pair, "seat-1"));
    line.send(&[b"{\"v\":\xff\xfe}\n", good.repeat(1_000).as_bytes()].concat()).unwrap();
    is_answered_and_closed(&mut line, "UTF-8");
    is_served(&pair, First);
}

#[test]
fn lines_that_come_byte_by_byte_or_never_end_keep_nobody_waiting() {
    let mut pair = Pair::at_work();
    let before = pair.resident_kib(First);
    let mut slow: Vec<Line> = (0..200).map(|_| pair.line(First)).collect();
    let request = format!("{}\n", deposit(&pair, "seat-1"));
    for (n, byte) in request.bytes().enumerate() {
        for line in &mut slow {
            line.send(&[byte]).unwrap();
        }
        if n % 100 == 0 {
            is_served(&pair, First);
        }
    }
    // One command, sent by 200 connections: one effect, 200 answers.
    let answers: Vec<Value> = slow.iter_mut().map(|line| line.hear().unwrap().unwrap()).collect();
    let first = answers.iter().filter(|answer| answer["repeated"] == false).count();
    assert_eq!((first, answers.iter().filter(|answer| answer["status"] == "ok").count()), (1, 200));
    for line in &mut slow {
        line.send(&vec![b'x'; LINE_MAX]).unwrap();
    }
    is_served(&pair, First);
    let grown = pair.resident_kib(First).saturating_sub(before);
    assert!(grown < 64 << 10, "200 unfinished lines of 64 KiB took {grown} KiB");
}

/// Sends as fast as it can until the server closes, and never reads a byte.
fn send_and_never_read(pair: &Pair) -> Duration {
    let mut line = pair.line(First);
    let began = Instant::now();
    let greeting = format!("{}\n", pair.request("seat-3", &CommandIds::draw(), "hello", json!({}))).repeat(64);
    line.stream().set_write_timeout(Some(limits::WRITE_LIMIT * 3)).unwrap();
    while line.send(greeting.as_bytes()).is_ok() {
        assert!(began.elapsed() < limits::WRITE_LIMIT * 3, "still not closed");
    }
    began.elapsed()
}

#[test]
fn a_terminal_that_sends_and_never_reads_is_closed_in_time_and_others_are_served_as_ever() {
    let mut pair = Pair::at_work();
    let before = pair.resident_kib(First);
    let (lasted, slowest) = std::thread::scope(|scope| {
        let hog = scope.spawn(|| send_and_never_read(&pair));
        let (mut line, mut slowest) = (pair.line(First), Duration::ZERO);
        while !hog.is_finished() {
            let asked = Instant::now();
            assert_eq!(line.ask(&deposit(&pair, "seat-2")).unwrap()["status"], "ok");
            slowest = slowest.max(asked.elapsed());
        }
        (hog.join().unwrap(), slowest)
    });
    let grown = pair.resident_kib(First).saturating_sub(before);
    println!("closed after {lasted:?}; slowest answer to another terminal {slowest:?}; memory grew by {grown} KiB");
    assert!(lasted < limits::WRITE_LIMIT + Duration::from_secs(5), "closed only after {lasted:?}");
    assert!(slowest < Duration::from_secs(3), "another terminal waited {slowest:?}");
    assert!(grown < 32 << 10, "{grown} KiB for one terminal");
}
