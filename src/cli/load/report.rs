//! What a run of `duplex load` prints.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cli::counted;

/// The report, as `--json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub seconds: f64,
    /// Answered `ok`.
    pub acknowledged: u64,
    /// Acknowledged per second.
    pub per_second: f64,
    pub refused: u64,
    /// How often each refusal came.
    pub refusals: BTreeMap<String, u64>,
    /// Commands sent more than once.
    pub retried: u64,
    /// Answers that came from the record of an earlier one.
    pub repeated: u64,
    /// Given up without a final answer.
    pub unsettled: u64,
    /// Greetings (`hello`) refused or never answered.
    pub not_admitted: u64,
    /// Of these, never answered.
    pub unreached: u64,
    /// What the last command that was given up, or the last greeting, had met.
    pub last_trouble: String,
    /// From the first sending to the final answer.
    pub latency_ms: Latency,
    pub gaps: Vec<Gap>,
    pub history: PathBuf,
    pub interrupted: bool,
}

/// Quantiles, milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

/// The longest time without any acknowledgement that touches a phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub from_second: f64,
    pub longest_ms: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p95, p99, max } = self.latency_ms;
        writeln!(f, "acknowledged {} in {:.1} s ({:.0}/s)", self.acknowledged, self.seconds, self.per_second)?;
        writeln!(f, "refused      {}{}", self.refused, codes(&self.refusals))?;
        writeln!(f, "retried      {} ({} answered from the record)", self.retried, self.repeated)?;
        if self.unsettled + self.not_admitted > 0 {
            let Self { unsettled, not_admitted, last_trouble, .. } = self;
            let greetings = counted(*not_admitted, "greeting", "greetings");
            writeln!(f, "unsettled    {unsettled}, and {greetings} without welcome (last: {last_trouble})")?;
        }
        writeln!(f, "latency ms   p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  longest {max:.2}")?;
        for gap in &self.gaps {
            writeln!(f, "longest gap  {:.1} ms in the phase from second {:.1}", gap.longest_ms, gap.from_second)?;
        }
        write!(f, "history      {}", self.history.display())
    }
}

fn codes(refusals: &BTreeMap<String, u64>) -> String {
    let each: Vec<_> = refusals.iter().map(|(code, count)| format!("{code} {count}")).collect();
    if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) }
}
