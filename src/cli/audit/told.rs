//! What clients were told, against what both servers' journals hold.

use std::path::Path;

use crate::cli::history::{Comparison, Told, compare};
use crate::cli::{Failure, journal};

/// Every acknowledged command must stand exactly once in each of the journals, at the sequence that its answer gave. Empty lists
/// prove P2 and P3 for this history, on the servers of these journal directories.
///
/// # Errors
/// A journal that cannot be read.
pub fn lost_and_doubled(told: &[Told], journals: &[&Path]) -> Result<Comparison, Failure> {
    let mut all = Comparison::default();
    for directory in journals {
        let found = compare(told, &journal::stored(directory)?);
        all.lost.extend(found.lost);
        all.doubled.extend(found.doubled);
    }
    for list in [&mut all.lost, &mut all.doubled] {
        list.sort_unstable();
        list.dedup();
    }
    Ok(all)
}
