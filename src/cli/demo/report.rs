//! What the demo found: a page for a person, and the same as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::load::Latency;

/// The report; its JSON has exactly these keys.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) engine: &'static str,
    pub(super) network: &'static str,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) retried: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) digests_equal: bool,
    pub(super) takeover: Takeover,
    pub(super) rejoin: Rejoin,
    pub(super) latency_ms: Quantiles,
    /// Promises of the design that this story puts to the test, and whether they held.
    pub(super) promises: BTreeMap<&'static str, bool>,
    /// For the reader of the page: what is behind a broken promise, and where everything is.
    #[serde(skip)]
    pub(super) remarks: Vec<String>,
    #[serde(skip)]
    pub(super) directory: PathBuf,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Takeover {
    pub(super) fault: &'static str,
    /// The longest time without an acknowledgement for any terminal, from the kill to the restart.
    pub(super) gap_ms: f64,
    pub(super) served_by: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Rejoin {
    /// From the restart until both servers said that they are a pair.
    pub(super) seconds: f64,
    pub(super) longest_gap_ms: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Quantiles {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl From<Latency> for Quantiles {
    fn from(latency: Latency) -> Self {
        Self { p50: latency.p50, p95: latency.p95, p99: latency.p99 }
    }
}

/// `served_by` when no command was acknowledged between the kill and the restart.
pub(super) const NOBODY: &str = "nobody";

/// What each promise means, in a reader's words.
const PROMISES: [(&str, &str); 6] = [
    ("P1", "one server at a time acknowledged"),
    ("P2", "nothing acknowledged was lost"),
    ("P3", "nothing was done twice"),
    ("P4", "no answer came from an epoch that was over"),
    ("P7", "both servers hold the same"),
    ("P8", "each answer said truly on how many disks it was"),
];

impl Report {
    /// The promises that did not hold; without a takeover nothing was put to the test.
    pub(super) fn broken(&self) -> Vec<&'static str> {
        let takeover = (self.takeover.served_by == NOBODY).then_some("takeover");
        self.promises.iter().filter(|(_, held)| !**held).map(|(name, _)| *name).chain(takeover).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { takeover, rejoin, latency_ms, .. } = self;
        writeln!(f, "\n  A main server died at work and came back. ({} stores, {})\n", self.engine, self.network)?;
        writeln!(f, "  {:>9}  commands acknowledged, {} refused", self.acknowledged, self.refused)?;
        writeln!(f, "  {:>9}  lost", self.lost)?;
        writeln!(f, "  {:>9}  done twice", self.doubled)?;
        writeln!(f, "  {:>9}  sent again until answered", self.retried)?;
        writeln!(f, "  {:>6.0} ms  longest wait of all terminals when {} took over", takeover.gap_ms, takeover.served_by)?;
        writeln!(f, "  {:>7.1} s  until the returned server was a full half of the pair", rejoin.seconds)?;
        writeln!(f, "  {:>6.0} ms  longest wait meanwhile: service never stopped", rejoin.longest_gap_ms)?;
        let Quantiles { p50, p95, p99 } = latency_ms;
        writeln!(f, "  latency    p50 {p50:.1} ms, p95 {p95:.1} ms, p99 {p99:.1} ms\n")?;
        for (name, meaning) in PROMISES {
            if let Some(held) = self.promises.get(name) {
                writeln!(f, "  {} {name} {meaning}", if *held { "✔" } else { "✖" })?;
            }
        }
        for remark in &self.remarks {
            writeln!(f, "    {remark}")?;
        }
        write!(f, "\n  logs: with --keep they stay in {}", self.directory.join("logs").display())
    }
}
