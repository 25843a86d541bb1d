//! The power goes at every operation on the disk in turn, and at random ones of random histories.

use std::collections::BTreeMap;

use duplex::journal::model_disk::{Faults, ModelDisk};
use duplex::journal::{Journal, JournalError, Recovered};
use duplex::model::{Epoch, Position, Sequence, UnixMs};
use proptest::prelude::*;

use super::{DATA_ID, batch, limits, open, positions, store, stored};

/// Runs `work` on a journal of `count` entries, once for each of its operations and several seeds, with the power cut at that
/// operation, and gives what it had been promised, beside what is then found, to `check`.
fn crash_everywhere<P: Default>(
    count: u64,
    work: impl Fn(&mut Journal, &mut P) -> Result<(), JournalError>,
    check: impl Fn(&P, &Recovered, &BTreeMap<u64, Position>),
) {
    for seed in 0..4 {
        for cut_at in 1.. {
            let disk = ModelDisk::new(seed * 1000 + cut_at);
            let (mut journal, _) = stored(&disk, count);
            disk.set_faults(Faults { power_cut_at: Some(cut_at), ..Faults::default() });
            let mut promised = P::default();
            let finished = work(&mut journal, &mut promised).is_ok();
            drop(journal);
            disk.crash();
            let (journal, recovered) = open(&disk);
            check(&promised, &recovered, &positions(&journal.reader()));
            if finished {
                break;
            }
        }
    }
}

#[test]
fn a_crash_at_any_operation_of_append_and_roll_over_loses_nothing_stored() {
    crash_everywhere(
        5,
        |journal, stored: &mut BTreeMap<u64, Position>| {
            for round in 0..6 {
                let entries = batch(journal.end(), 1 + round, 1 + round * 2);
                journal.append(&entries)?;
                journal.sync()?;
                stored.extend(entries.iter().map(|sealed| (sealed.position.sequence.0, sealed.position)));
            }
            Ok(())
        },
        |stored, _, found| assert!(stored.iter().all(|(sequence, position)| found.get(sequence) == Some(position))),
    );
}

#[test]
fn a_crash_at_any_operation_of_opening_loses_nothing_stored() {
    for cut_at in 1.. {
        let disk = ModelDisk::new(cut_at);
        let (mut journal, stored) = stored(&disk, 30);
        journal.append(&batch(stored, 2, 3)).expect("written");
        drop(journal);
        disk.set_faults(Faults { power_cut_at: Some(cut_at), ..Faults::default() });
        let opened = Journal::open(disk.disk(), limits(), DATA_ID).map(|(_, recovered)| recovered.end);
        disk.crash();
        let (journal, recovered) = open(&disk);
        assert_eq!(journal.position_at(stored.sequence).expect("readable"), Some(stored));
        if let Ok(end) = opened {
            assert_eq!((end.sequence, recovered.end), (Sequence(33), end), "opening had made it durable");
            return;
        }
    }
}

#[test]
fn nothing_comes_back_after_a_cut_whatever_crashes() {
    for keep in [0, 1, 7, 20, 39, 40] {
        crash_everywhere(
            40,
            |journal, cut: &mut bool| {
                let to = journal.position_at(Sequence(keep))?.expect("it is held");
                journal.cut(to)?;
                *cut = true;
                journal.append(&batch(to, 2, 3)).map(drop)
            },
            |cut, recovered, found| {
                assert!(recovered.end.sequence >= Sequence(keep), "nothing before the cut is lost");
                assert!(!cut || found.range(keep + 1..).all(|(_, position)| position.epoch == Epoch(2)));
            },
        );
    }
}

#[test]
fn a_crash_at_any_operation_of_release_and_recycling_leaves_no_gap() {
    crash_everywhere(
        80,
        |journal, stored: &mut Option<Position>| {
            *stored = Some(journal.stored());
            journal.release_through(Sequence(70), UnixMs(0))?;
            *stored = Some(store(journal, 1, 40)?);
            journal.release_through(Sequence(110), UnixMs(0))?;
            *stored = Some(store(journal, 1, 20)?);
            Ok(())
        },
        |stored, recovered, found| {
            let stored = stored.expect("set at once");
            assert_eq!(found.get(&stored.sequence.0), Some(&stored));
            assert_eq!(found.len() as u64, recovered.end.sequence.0 - recovered.start.sequence.0 + 1);
        },
    );
}

#[test]
fn a_crash_at_any_operation_of_a_restart_leaves_the_old_start_or_the_new_one() {
    let snapshot = batch(Position::GENESIS, 3, 50).last().expect("fifty").position;
    crash_everywhere(
        40,
        |journal, restarted: &mut Option<Position>| {
            journal.restart_after(snapshot)?;
            *restarted = Some(snapshot);
            *restarted = Some(store(journal, 3, 5)?);
            Ok(())
        },
        |restarted, recovered, found| match restarted {
            Some(position) => assert_eq!(found.get(&position.sequence.0), Some(position)),
            None => assert!([Position::GENESIS, snapshot].contains(&recovered.start), "{recovered:?}"),
        },
    );
}

/// What a history consists of; the numbers choose how much or where to.
#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Sync,
    RaiseEpoch,
    Cut(u64),
    Release(u64),
    Kill,
    PowerCut(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..9_u64).prop_map(Step::Append),
        5 => Just(Step::Sync),
        1 => Just(Step::RaiseEpoch),
        1 => (0..1000_u64).prop_map(Step::Cut),
        2 => (0..1000_u64).prop_map(Step::Release),
        1 => Just(Step::Kill),
        2 => (0..12_u64).prop_map(Step::PowerCut),
    ]
}

/// A journal and what must be true of it: `stored` of `history` is durable, the rest may be.
struct World {
    disk: ModelDisk,
    journal: Option<Journal>,
    history: BTreeMap<u64, Position>,
    stored: u64,
    epoch: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = ModelDisk::new(seed);
        let journal = Some(open(&disk).0);
        Self { disk, journal, history: BTreeMap::from([(0, Position::GENESIS)]), stored: 0, epoch: 1 }
    }

    /// Performs one step; an error is the power cut.
    fn perform(&mut self, step: &Step) -> Result<(), JournalError> {
        let journal = self.journal.as_mut().expect("it is open between steps");
        match *step {
            Step::Append(count) => {
                let entries = batch(journal.end(), self.epoch, count);
                self.history.extend(entries.iter().map(|sealed| (sealed.position.sequence.0, sealed.position)));
                journal.append(&entries)?;
            }
            Step::Sync => self.stored = self.stored.max(journal.sync()?.sequence.0),
            Step::RaiseEpoch => self.epoch += 1,
            Step::Cut(share) => {
                let (start, end) = (journal.start().sequence.0, journal.end().sequence.0);
                let to = start + (end - start) * share / 1000;
                // From the first moment of the cut, nothing after `to` is promised.
                self.stored = self.stored.min(to);
                journal.cut(self.history[&to])?;
                self.history.split_off(&(to + 1));
                (self.stored, self.epoch) = (to, self.epoch + 1);
            }
            Step::Release(share) => journal.release_through(Sequence(self.stored * share / 1000), UnixMs(0))?,
            Step::Kill => self.reopen(),
            Step::PowerCut(after) => {
                self.disk.set_faults(Faults { power_cut_at: Some(after + 1), ..Faults::default() });
            }
        }
        Ok(())
    }

    /// Opens again and compares everything held with the history.
    fn reopen(&mut self) {
        self.journal = None;
        let opened = Journal::open(self.disk.disk(), limits(), DATA_ID);
        let (journal, recovered) = opened.unwrap_or_else(|_| {
            self.disk.crash();
            open(&self.disk)
        });
        assert!(recovered.end.sequence.0 >= self.stored, "{} was stored, found {recovered:?}", self.stored);
        for (sequence, position) in positions(&journal.reader()) {
            assert_eq!(self.history.get(&sequence), Some(&position));
        }
        self.stored = recovered.end.sequence.0;
        self.history.split_off(&(self.stored + 1));
        // A tail that came back unstored may differ from what is written next: only a new epoch tells them apart.
        self.epoch += 1;
        self.journal = Some(journal);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn no_history_of_writes_cuts_releases_kills_and_power_cuts_loses_or_invents_a_record(
        seed in 1..u64::MAX, steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(seed);
        for step in &steps {
            if world.perform(step).is_err() {
                world.journal = None;
                world.disk.crash();
                world.reopen();
            }
        }
        world.disk.crash();
        world.reopen();
    }
}
