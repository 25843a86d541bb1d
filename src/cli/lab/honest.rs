//! P8: `stored_on` was true when the answer left. Pure.

use std::collections::HashMap;

use super::epochs::Epochs;
use super::evidence::Snapshot;
use crate::cli::client::StoredOn;
use crate::cli::history::{Answered, Told};

/// Answers that cannot be true, a sentence each.
pub(super) fn untrue(told: &[Told], snapshots: &[Snapshot], epochs: &Epochs) -> Vec<String> {
    let last_both = last_sent_for_both(told);
    let answers = || told.iter().filter(|told| told.is_acknowledged()).flat_map(|told| &told.answers);
    let both = answers().filter(|answer| answer.stored_on == Some(StoredOn::Both));
    let both = both.filter_map(|answer| Some((answer, snapshots.iter().find(|snapshot| lacks(snapshot, answer))?)));
    let both = both.map(|(answer, snapshot)| {
        format!("{} said `both`, and server {} did not have it", answer.command_id, snapshot.server + 1)
    });
    let one = answers().filter(|answer| answer.stored_on == Some(StoredOn::One) && !was_alone(answer, epochs, &last_both));
    let one = one.map(|answer| format!("{} said `one`, and the two were a pair", answer.command_id));
    let silent = answers().filter(|answer| answer.stored_on.is_none());
    let silent = silent.map(|answer| format!("{} did not say where it is stored", answer.command_id));
    both.chain(one).chain(silent).collect()
}

fn lacks(snapshot: &Snapshot, answer: &Answered) -> bool {
    let place = answer.epoch.zip(answer.sequence);
    answer.at_us < snapshot.at_us && place.is_some_and(|place| place.1 >= snapshot.from && !snapshot.places.contains(&place))
}

/// Of each epoch: when the last command was sent that was executed in it and is on both servers.
fn last_sent_for_both(told: &[Told]) -> HashMap<u64, u64> {
    let mut last: HashMap<u64, u64> = HashMap::new();
    for told in told {
        let first = told.answers.first().filter(|answer| answer.stored_on == Some(StoredOn::Both) && !answer.repeated);
        if let Some(epoch) = first.and_then(|answer| answer.epoch) {
            let last = last.entry(epoch).or_default();
            *last = told.sent_us.max(*last);
        }
    }
    last
}

/// An epoch of a pair ends before anybody may answer alone. So nobody was alone yet, if a command that was sent after this answer had
/// been heard was still executed in that epoch and came to be on both.
fn was_alone(answer: &Answered, epochs: &Epochs, last_both: &HashMap<u64, u64>) -> bool {
    let Some(epoch) = answer.epoch else { return true };
    let went_on = last_both.get(&epoch).is_some_and(|sent_us| *sent_us > answer.at_us);
    epochs.solo_from(epoch) && (epochs.is_solo(epoch) || !went_on)
}
