//! What a history alone can prove wrong.

use std::collections::HashMap;
use std::fmt;

use super::{Answered, Told, is_read};
use crate::model::Status;

/// A promise that the answers themselves break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anomaly {
    /// One id, two different final answers (P3).
    TwoAnswers { command_id: String, first: Box<Answered>, other: Box<Answered> },
    /// Two commands were given one place in the history (P1).
    OnePlaceTwice { epoch: u64, sequence: u64, first: String, other: String },
    /// Sent after an answer was heard, yet placed before it: what was acknowledged had been forgotten (P2).
    WentBack { command_id: String, sequence: u64, heard_before: u64 },
    /// A higher sequence with a lower epoch: somebody acknowledged after he had been replaced (P4).
    OldEpoch { command_id: String, epoch: u64, heard_before: u64 },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoAnswers { command_id, .. } => write!(f, "{command_id} was answered in two ways"),
            Self::OnePlaceTwice { epoch, sequence, first, other } => {
                write!(f, "{first} and {other} were both placed at {epoch}/{sequence}")
            }
            Self::WentBack { command_id, sequence, heard_before } => {
                write!(f, "{command_id} was placed at {sequence} after {heard_before} had been acknowledged")
            }
            Self::OldEpoch { command_id, epoch, heard_before } => {
                write!(f, "{command_id} was answered in epoch {epoch} after epoch {heard_before} had been heard")
            }
        }
    }
}

/// Everything that the client's side alone shows to be wrong, in the order of the history.
pub fn check(told: &[Told]) -> Vec<Anomaly> {
    let mut anomalies: Vec<Anomaly> = told.iter().filter_map(two_answers).collect();
    anomalies.extend(one_place_twice(told));
    anomalies.extend(went_back(told));
    anomalies
}

/// `repeated` and `stored_on` are worked out when an answer leaves and may differ; everything else is the stored answer.
fn two_answers(told: &Told) -> Option<Anomaly> {
    let (first, rest) = told.answers.split_first()?;
    let same = |other: &Answered| {
        (other.status, &other.code, other.sequence, other.epoch) == (first.status, &first.code, first.sequence, first.epoch)
    };
    let other = rest.iter().find(|other| !same(other) && !is_read(&told.command))?;
    let command_id = told.command_id.clone();
    Some(Anomaly::TwoAnswers { command_id, first: Box::new(first.clone()), other: Box::new(other.clone()) })
}

fn one_place_twice(told: &[Told]) -> Vec<Anomaly> {
    let mut holders: HashMap<u64, &str> = HashMap::new();
    let mut anomalies = Vec::new();
    for told in told.iter().filter(|told| told.is_acknowledged()) {
        let Some((epoch, sequence)) = told.place() else { continue };
        if let Some(first) = holders.insert(sequence, &told.command_id) {
            anomalies.push(Anomaly::OnePlaceTwice { epoch, sequence, first: first.into(), other: told.command_id.clone() });
        }
    }
    anomalies
}

/// What was heard before a command was sent lies before that command. One sweep over both kinds of moments in time.
fn went_back(told: &[Told]) -> Vec<Anomaly> {
    let mut answers: Vec<(u64, u64, u64)> = told
        .iter()
        .filter(|told| told.is_acknowledged())
        .flat_map(|told| &told.answers)
        .filter_map(|answer| Some((answer.at_us, answer.epoch?, answer.sequence?)))
        .collect();
    answers.sort_unstable();
    let mut sendings: Vec<&Told> = told.iter().filter(|told| told.is_acknowledged()).collect();
    sendings.sort_by_key(|told| told.sent_us);

    let (mut heard, mut epoch_heard, mut sequence_heard) = (answers.iter().peekable(), 0, 0);
    let mut anomalies = Vec::new();
    for told in sendings {
        while let Some((_, epoch, sequence)) = heard.next_if(|(at_us, ..)| *at_us < told.sent_us) {
            (epoch_heard, sequence_heard) = (epoch_heard.max(*epoch), sequence_heard.max(*sequence));
        }
        let Some((epoch, sequence)) = told.place() else { continue };
        let command_id = told.command_id.clone();
        if sequence <= sequence_heard {
            anomalies.push(Anomaly::WentBack { command_id, sequence, heard_before: sequence_heard });
        } else if epoch < epoch_heard {
            anomalies.push(Anomaly::OldEpoch { command_id, epoch, heard_before: epoch_heard });
        }
    }
    anomalies
}

/// The longest time between two neighbouring acknowledgements (of any terminal) that overlaps `from_us..to_us`. Silence from the last
/// one until `to_us` counts as well; 0 without any.
pub fn longest_gap_us(told: &[Told], from_us: u64, to_us: u64) -> u64 {
    let answers = told.iter().flat_map(|told| &told.answers).filter(|answer| answer.status == Status::Ok);
    let mut moments: Vec<u64> = answers.map(|answer| answer.at_us).collect();
    moments.sort_unstable();
    if moments.last().is_some_and(|last| *last < to_us) {
        moments.push(to_us);
    }
    let overlapping = moments.windows(2).filter(|pair| pair[1] >= from_us && pair[0] <= to_us);
    overlapping.map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::StoredOn;

    fn told(id: &str, sent_us: u64, answers: &[(u64, u64, u64)]) -> Told {
        let answered = |&(at_us, epoch, sequence): &(u64, u64, u64)| Answered {
            at_us,
            command_id: id.into(),
            status: Status::Ok,
            code: String::new(),
            stored_on: Some(StoredOn::Both),
            epoch: Some(epoch),
            sequence: Some(sequence),
            repeated: false,
            tries: 1,
        };
        let answers = answers.iter().map(answered).collect();
        Told { terminal_id: "S1".into(), command_id: id.into(), command: "deposit".into(), sent_us, answers }
    }

    #[test]
    fn commands_in_flight_together_may_be_placed_in_any_order() {
        assert_eq!(check(&[told("a", 1, &[(10, 1, 2)]), told("b", 2, &[(9, 1, 1)])]), []);
    }

    #[test]
    fn two_different_answers_for_one_id_are_found() {
        let found = check(&[told("a", 1, &[(10, 1, 2), (11, 1, 3)])]);
        assert!(matches!(&found[..], [Anomaly::TwoAnswers { command_id, .. }] if command_id == "a"), "{found:?}");
    }

    #[test]
    fn one_place_given_to_two_commands_is_found() {
        let found = check(&[told("a", 1, &[(10, 1, 2)]), told("b", 2, &[(11, 2, 2)])]);
        assert!(matches!(&found[..], [Anomaly::OnePlaceTwice { sequence: 2, .. }]), "{found:?}");
    }

    #[test]
    fn a_command_placed_before_one_that_was_heard_before_it_is_found() {
        let found = check(&[told("a", 1, &[(10, 1, 5)]), told("b", 11, &[(20, 2, 4)])]);
        assert!(matches!(&found[..], [Anomaly::WentBack { sequence: 4, heard_before: 5, .. }]), "{found:?}");
    }

    #[test]
    fn an_answer_from_an_epoch_that_was_over_is_found() {
        let found = check(&[told("a", 1, &[(10, 2, 5)]), told("b", 11, &[(20, 1, 6)])]);
        assert!(matches!(&found[..], [Anomaly::OldEpoch { epoch: 1, heard_before: 2, .. }]), "{found:?}");
    }

    #[test]
    fn the_longest_gap_is_the_one_that_overlaps_the_window() {
        let history = [told("a", 1, &[(10, 1, 1)]), told("b", 1, &[(500, 1, 2)]), told("c", 1, &[(510, 1, 3)])];
        assert_eq!(longest_gap_us(&history, 100, 200), 490);
        assert_eq!(longest_gap_us(&history, 505, 510), 10);
        assert_eq!(longest_gap_us(&history, 600, 700), 190, "silence until the end is a gap");
        assert_eq!(longest_gap_us(&[], 600, 700), 0);
    }
}
