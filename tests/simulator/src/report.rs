//! How a run went, and of several runs together.

use std::collections::BTreeMap;
use std::fmt;

/// How a run without a breach went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub seconds: u64,
    pub acknowledged: u64,
    pub reads: u64,
    pub repeated: u64,
    /// Epochs in which somebody acknowledged.
    pub epochs: usize,
    pub entries: u64,
    pub cut: u64,
    pub faults: BTreeMap<&'static str, u64>,
    /// Of everything that happened, in order: two runs of one seed have the same.
    pub digest: u64,
}

impl Report {
    /// Of several runs together.
    pub fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.acknowledged += other.acknowledged;
        self.reads += other.reads;
        self.repeated += other.repeated;
        self.epochs += other.epochs;
        self.entries += other.entries;
        self.cut += other.cut;
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        self.digest ^= other.digest;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s, {} acknowledged ({} repeated, {} reads), {} entries, {} cut, {} epochs, {} faults",
            self.seconds,
            self.acknowledged,
            self.repeated,
            self.reads,
            self.entries,
            self.cut,
            self.epochs,
            self.faults.values().sum::<u64>()
        )
    }
}
