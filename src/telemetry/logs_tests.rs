use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use slog::{debug, info, warn};
use slog_term::PlainDecorator;

use super::super::drains::{human, json};
use super::*;

const ACTORS: [&str; 2] = ["journal-writer", "failover-coordinator"];

/// Where a test's lines go.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn settings(toml: &str) -> config::Log {
    toml::from_str(toml).unwrap()
}

/// What `write` logs under `settings`, as JSON lines.
fn logged(toml: &str, write: impl FnOnce(&Logs)) -> Vec<serde_json::Value> {
    let page = Page::default();
    let (logs, guard) = start_with(&settings(toml), &ACTORS, Writer::new(Box::new(json(page.clone())), None)).unwrap();
    write(&logs);
    drop(guard);
    page.lines()
}

#[test]
fn a_json_line_has_time_level_message_actor_and_typed_fields() {
    let lines = logged("", |logs| info!(logs.for_actor("journal-writer"), "took over"; "epoch" => 8, "peer.silence_ms" => 351));
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert!(line["ts"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("INFO"), Some("took over")));
    assert_eq!((line["actor"].as_str(), line["epoch"].as_i64()), (Some("journal-writer"), Some(8)));
    assert_eq!(line["peer.silence_ms"].as_i64(), Some(351));
}

#[test]
fn a_human_line_begins_with_utc_milliseconds() {
    let page = Page::default();
    let (logs, guard) =
        start_with(&settings(""), &ACTORS, Writer::new(Box::new(human(PlainDecorator::new(page.clone()))), None)).unwrap();
    info!(logs.for_actor("journal-writer"), "took over"; "epoch" => 8);
    drop(guard);
    let text = page.text();
    let (at, rest) = text.split_once(' ').unwrap();
    assert!(at.len() == 24 && at.ends_with('Z') && at.parse::<jiff::Timestamp>().is_ok(), "{text}");
    assert_eq!(rest, "INFO took over, actor: journal-writer, epoch: 8\n");
}

#[test]
fn an_actor_has_the_general_level_or_its_own() {
    let toml = "level = \"warning\"\nactors = { failover-coordinator = \"debug\" }";
    let lines = logged(toml, |logs| {
        for actor in ACTORS {
            let log = logs.for_actor(actor);
            warn!(log, "warning");
            info!(log, "info");
            debug!(log, "debug");
        }
    });
    let of = |actor: &str| lines.iter().filter(|line| line["actor"] == actor).count();
    assert_eq!((of("journal-writer"), of("failover-coordinator")), (1, 3));
}

#[test]
fn a_level_for_an_actor_that_does_not_exist_is_refused_and_the_actors_are_named() {
    let settings = settings("actors = { journal-writter = \"debug\" }");
    let error = start(&settings, Path::new("/nowhere"), &ACTORS).err().unwrap().to_string();
    assert!(error.contains("\"journal-writter\"") && error.contains("journal-writer, failover-coordinator"), "{error}");
}

#[test]
fn a_directory_that_cannot_hold_logs_is_named() {
    let data = tempfile::NamedTempFile::new().unwrap();
    let error = start(&settings("streams = true"), data.path(), &ACTORS).err().unwrap().to_string();
    assert!(error.contains(data.path().to_str().unwrap()), "{error}");
}

/// A page that says when a line has come and then waits until it is told to go on.
struct Gate {
    page: Page,
    came: SyncSender<()>,
    go_on: Receiver<()>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.page.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.came.send(());
        // An error means that the gate stays open.
        let _ = self.go_on.recv();
        Ok(())
    }
}

#[test]
fn a_full_queue_blocks_nobody_and_the_lines_lost_are_counted_and_reported() {
    let page = Page::default();
    let ((came, has_come), (go_on, may_go_on)) = (sync_channel(QUEUE_LINES_MAX * 2), sync_channel(1));
    let gate = Gate { page: page.clone(), came, go_on: may_go_on };
    let (logs, guard) = start_with(&settings(""), &ACTORS, Writer::new(Box::new(json(gate)), None)).unwrap();
    let log = logs.for_actor("journal-writer");
    info!(log, "the line that the writer hangs on");
    has_come.recv().unwrap();
    (0..QUEUE_LINES_MAX + 10).for_each(|number| info!(log, "line"; "number" => number));
    assert_eq!(logs.lost().get(), 10);

    drop(go_on);
    (0..QUEUE_LINES_MAX).for_each(|_| has_come.recv().unwrap());
    info!(log, "the first line after them");
    drop(guard);
    let lines = page.lines();
    let [.., report, last] = lines.as_slice() else { panic!("no lines") };
    assert_eq!((report["level"].as_str(), report["log.lines_lost"].as_u64()), (Some("WARNING"), Some(10)));
    assert_eq!(last["msg"], "the first line after them");
}

/// A disk that takes nothing.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_nothing_takes_are_counted_and_harm_nobody() {
    let (logs, guard) = start_with(&settings(""), &ACTORS, Writer::new(Box::new(json(Full)), None)).unwrap();
    let lost = logs.lost();
    (0..3).for_each(|_| info!(logs.for_actor("journal-writer"), "line"));
    drop(guard);
    assert_eq!(lost.get(), 3);
}

#[test]
fn streams_keep_one_file_for_each_actor() {
    let data = tempfile::tempdir().unwrap();
    let streams = open_streams(data.path(), &ACTORS).unwrap();
    let writer = Writer::new(Box::new(json(Page::default())), Some(streams));
    let (logs, guard) = start_with(&settings(""), &ACTORS, writer).unwrap();
    info!(logs.for_actor("journal-writer").new(o!("peer" => "hall-2")), "stored");
    info!(logs.for_actor("main"), "of no actor");
    drop(guard);
    let read = |actor: &str| std::fs::read_to_string(data.path().join(format!("log/{actor}.log"))).unwrap();
    assert!(read("journal-writer").contains("\"peer\":\"hall-2\""));
    assert_eq!(read("journal-writer").lines().count(), 1);
    assert_eq!(read("failover-coordinator"), "");
}
