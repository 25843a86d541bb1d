//! P6: what a journal held and holds no more lies readable in that server's lost-and-found. Pure.

use std::collections::HashSet;

use super::evidence::{Evidence, Snapshot};
use crate::cli::history::Stored;

/// What is wrong with what was cut, a sentence each.
pub(super) fn thrown_away(evidence: &Evidence) -> Vec<String> {
    let kept = evidence.journals.each_ref().map(|journal| places(journal.iter()));
    let found = evidence.found.each_ref().map(|lines| places(lines.iter().flatten()));
    let unreadable = evidence.found.iter().flatten().filter_map(|line| line.as_ref().err());
    let unreadable = unreadable.map(|reason| format!("lost-and-found has a line that cannot be read: {reason}"));
    let came_back = found.iter().flatten().filter(|place| kept.iter().any(|kept| kept.contains(place)));
    let came_back = came_back.map(|(epoch, sequence)| format!("{epoch}/{sequence} was cut off, and is in a journal"));
    let gone = evidence.snapshots.iter().filter_map(|snapshot| {
        let first = evidence.journals[snapshot.server].first().map_or(0, |entry| entry.sequence);
        gone(snapshot, first, [&kept[snapshot.server], &found[snapshot.server]])
    });
    gone.chain(unreadable).chain(came_back).collect()
}

fn places<'a>(entries: impl Iterator<Item = &'a Stored>) -> HashSet<(u64, u64)> {
    entries.map(|entry| (entry.epoch, entry.sequence)).collect()
}

/// Entries before `first` have left the journal by its retention.
fn gone(snapshot: &Snapshot, first: u64, here: [&HashSet<(u64, u64)>; 2]) -> Option<String> {
    let is_gone = |place: &&(u64, u64)| place.1 >= first && here.iter().all(|places| !places.contains(place));
    let gone: Vec<_> = snapshot.places.iter().filter(is_gone).collect();
    let (epoch, sequence) = gone.iter().min()?;
    let server = snapshot.server + 1;
    Some(format!(
        "{} entries of server {server}'s journal are neither there nor in its lost-and-found, as {epoch}/{sequence}",
        gone.len()
    ))
}
