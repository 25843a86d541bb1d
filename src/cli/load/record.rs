//! Everything that a run keeps: the history on disk, and the numbers of the report.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hdrhistogram::Histogram;

use super::report::{Gap, Report};
use crate::cli::Failure;
use crate::cli::client::{Settled, Unsettled};
use crate::cli::history::{Answered, Event, now_us};
use crate::model::Status;

/// Longer than any patience; a histogram up to here at three digits takes 200 KiB.
const LATENCY_US_MAX: u64 = 600_000_000;
const LATENCY_DIGITS: u8 = 3;
/// Answers are kept back until the next command is saved, or this much is waiting.
const HELD_BACK_BYTES: usize = 64 << 10;

/// Shared by all terminals of the (one) thread.
pub(super) struct Record {
    file: File,
    path: PathBuf,
    held_back: Vec<u8>,
    began_us: u64,
    latency: Histogram<u64>,
    gaps: Vec<Phase>,
    last_acknowledged_us: u64,
    report: Report,
}

/// Longest gap between acknowledgements since `from_us`.
struct Phase {
    from_us: u64,
    longest_us: u64,
}

impl Record {
    /// `marks` are the seconds at which phases begin, beside the first at 0.
    pub(super) fn create(path: Option<&Path>, marks: &[f64]) -> Result<Self, Failure> {
        let (file, path) = create_history(path)?;
        let began_us = now_us();
        let phase = |second: f64| Phase { from_us: began_us + (second * 1e6) as u64, longest_us: 0 };
        let gaps = std::iter::once(0.0).chain(marks.iter().copied()).map(phase).collect();
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, LATENCY_DIGITS)
            .map_err(|e| Failure::failed(format!("cannot keep latencies: {e}")))?;
        let report = Report::default();
        Ok(Self { file, path, held_back: Vec::new(), began_us, latency, gaps, last_acknowledged_us: began_us, report })
    }

    /// Saves a command before it is sent: in the file, so that this process's own death does not lose the id.
    pub(super) fn save_sent(&mut self, at_us: u64, terminal_id: &str, command_id: &str, command: &str) -> Result<(), Failure> {
        // Written by hand, once per command: all three are visible ASCII (checked where terminals are read), which `{:?}` writes as JSON.
        let line = writeln!(
            self.held_back,
            r#"{{"event":"sent","at_us":{at_us},"terminal_id":{terminal_id:?},"command_id":"{command_id}","command":"{command}"}}"#
        );
        line.and_then(|()| self.flush()).map_err(|e| Failure::failed(format!("{}: {e}", self.path.display())))
    }

    pub(super) fn answered(&mut self, sent_us: u64, at_us: u64, command_id: &str, settled: &Settled) {
        let answer = &settled.answer;
        self.hold_back(&Event::Answered(Answered {
            at_us,
            command_id: command_id.to_owned(),
            status: answer.status,
            code: answer.code.clone(),
            stored_on: answer.stored_on,
            epoch: answer.epoch,
            sequence: answer.sequence,
            repeated: answer.repeated,
            tries: settled.tries,
        }));
        self.report.retried += u64::from(settled.tries > 1);
        self.report.repeated += u64::from(answer.repeated);
        self.latency.saturating_record(at_us.saturating_sub(sent_us).max(1));
        if answer.status == Status::Ok {
            self.report.acknowledged += 1;
            self.close_gap(at_us);
        } else {
            self.report.refused += 1;
            *self.report.refusals.entry(answer.code.clone()).or_default() += 1;
        }
    }

    pub(super) fn unsettled(&mut self, at_us: u64, command_id: &str, unsettled: &Unsettled) {
        self.report.unsettled += 1;
        self.report.last_trouble.clone_from(&unsettled.last);
        self.hold_back(&Event::Unsettled { at_us, command_id: command_id.to_owned(), tries: unsettled.tries });
    }

    /// A terminal whose greeting was refused, and why.
    pub(super) fn not_admitted(&mut self, why: &str) {
        self.report.not_admitted += 1;
        self.report.last_trouble = why.to_owned();
    }

    /// A terminal whose greeting was never answered, and what it met.
    pub(super) fn unreached(&mut self, why: &str) {
        self.report.unreached += 1;
        self.not_admitted(why);
    }

    /// Writes what was held back and works out the report.
    pub(super) fn finish(record: &Rc<RefCell<Self>>, interrupted: bool) -> Result<Report, Failure> {
        let mut record = record.borrow_mut();
        record.flush().map_err(|e| Failure::failed(format!("{}: {e}", record.path.display())))?;
        let ended_us = now_us();
        record.close_gap(ended_us);
        let mut report = std::mem::take(&mut record.report);
        report.seconds = (ended_us - record.began_us) as f64 / 1e6;
        report.per_second = report.acknowledged as f64 / report.seconds;
        let quantile = |q| record.latency.value_at_quantile(q) as f64 / 1e3;
        report.latency_ms.p50 = quantile(0.50);
        report.latency_ms.p95 = quantile(0.95);
        report.latency_ms.p99 = quantile(0.99);
        report.latency_ms.max = record.latency.max() as f64 / 1e3;
        let from = |phase: &Phase| (phase.from_us - record.began_us) as f64 / 1e6;
        report.gaps = record.gaps.iter().map(|p| Gap { from_second: from(p), longest_ms: p.longest_us as f64 / 1e3 }).collect();
        report.history = record.path.clone();
        report.interrupted = interrupted;
        Ok(report)
    }

    /// A gap counts for every phase that it overlaps.
    fn close_gap(&mut self, now_us: u64) {
        let (began, ended) = (self.last_acknowledged_us, now_us);
        self.last_acknowledged_us = ended;
        let mut until_us = u64::MAX;
        for phase in self.gaps.iter_mut().rev() {
            if ended >= phase.from_us && began < until_us {
                phase.longest_us = phase.longest_us.max(ended - began);
            }
            until_us = phase.from_us;
        }
    }

    fn hold_back(&mut self, event: &Event) {
        serde_json::to_writer(&mut self.held_back, event).expect("an event is always JSON");
        self.held_back.push(b'\n');
        if self.held_back.len() > HELD_BACK_BYTES {
            // A disk that is full is reported by the next command, which must be saved before it is sent.
            let _ = self.flush();
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.write_all(&self.held_back)?;
        self.held_back.clear();
        Ok(())
    }
}

fn create_history(path: Option<&Path>) -> Result<(File, PathBuf), Failure> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => std::env::temp_dir().join(format!("duplex-load-{}.jsonl", std::process::id())),
    };
    // An old history is evidence: it is never overwritten.
    let created = File::options().write(true).create_new(true).open(&path);
    created.map_err(|e| Failure::failed(format!("cannot create the history {}: {e}", path.display()))).map(|file| (file, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_a_new_file_and_no_link_that_somebody_planted() {
        let directory = tempfile::tempdir().unwrap();
        let (victim, planted) = (directory.path().join("victim"), directory.path().join("history.jsonl"));
        std::os::unix::fs::symlink(&victim, &planted).unwrap();
        let refused = create_history(Some(&planted)).unwrap_err();
        assert!(refused.message.contains("history.jsonl") && !victim.exists(), "{refused}");
    }
}
