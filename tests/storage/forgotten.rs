//! Old command records leave, a few with each entry: a function of the entries alone.

use std::sync::Arc;

use duplex::ledger::rows::{Row, Site};
use duplex::model::entry::SharedEntry;
use duplex::model::{Image, Sequence};
use duplex::store::FORGOTTEN_PER_ENTRY;
use proptest::prelude::*;

use crate::database::Database;
use crate::history::{History, record, site};

const PER_ENTRY: u64 = FORGOTTEN_PER_ENTRY as u64;

/// The next entry: recorded on `day`, and with a site that keeps records from `kept` on, or without one.
fn entry(history: &mut History, day: Option<i32>, kept: Option<i32>) -> SharedEntry<Row> {
    let site = kept.map(|kept| Image::Put(Row::Site(Box::new(Site { records_kept_from: Some(kept), ..site() }))));
    let mut sealed = Arc::into_inner(history.entry(site.into_iter().collect())).expect("nobody else has it");
    sealed.entry.record.day = day;
    Arc::new(sealed)
}

/// So many entries on `day`, none of which says what is kept.
fn entries(history: &mut History, count: u64, day: Option<i32>) -> Vec<SharedEntry<Row>> {
    (0..count).map(|_| entry(history, day, None)).collect()
}

on_both_engines! {
    fn old_records_leave_a_few_with_each_entry_and_the_kept_days_stay(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&entries(&mut history, 10, Some(1))).expect("applied");
        // The site is closed: a record of no day.
        store.apply(&entries(&mut history, 1, None)).expect("applied");
        store.apply(&entries(&mut history, 10, Some(2))).expect("applied");
        assert_eq!(store.records_forgotten_through(), Ok(Sequence(0)));
        for said in 1..=7 {
            store.apply(&[entry(&mut history, Some(3), Some(2))]).expect("applied");
            assert_eq!(store.records_forgotten_through(), Ok(Sequence((said * PER_ENTRY).min(11))));
        }
        assert_eq!(store.record(Sequence(11)), Ok(None));
        assert_eq!(store.find_record(&record(11).terminal_id, &record(11).command_id), Ok(None));
        assert!(store.record(Sequence(12)).is_ok_and(|found| found.is_some()));
        let mut visited = Vec::new();
        store.for_each_record(&mut |_, _, sequence| visited.push(sequence.0)).expect("read");
        assert_eq!(visited, (12..=28).collect::<Vec<_>>());
    }

    fn an_entry_that_says_nothing_about_records_takes_none_along(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&entries(&mut history, 5, Some(1))).expect("applied");
        store.apply(&[entry(&mut history, Some(9), Some(9))]).expect("applied");
        store.apply(&entries(&mut history, 5, Some(9))).expect("applied");
        assert_eq!(store.records_forgotten_through(), Ok(Sequence(PER_ENTRY)));
    }

    fn a_record_without_a_day_stays_with_the_kept_ones_below_it(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[entry(&mut history, Some(2), None), entry(&mut history, None, None)]).expect("applied");
        store.apply(&[entry(&mut history, Some(3), Some(2))]).expect("applied");
        assert_eq!(store.records_forgotten_through(), Ok(Sequence(0)));
    }
}

/// Days that mostly rise, closed hours in between, and sites that keep any of them: more than a site can come up with.
fn drafts() -> impl Strategy<Value = Vec<(Option<i32>, Option<i32>)>> {
    let day = prop_oneof![1 => Just(None), 6 => (0..4_i32).prop_map(Some)];
    let kept = prop_oneof![2 => Just(None), 1 => (0..6_i32).prop_map(Some)];
    prop::collection::vec((day, kept), 1..60).prop_map(|mut drafts| {
        // Half of the days in order, as they are in life.
        let half = drafts.len() / 2;
        drafts[..half].sort_by_key(|(day, _)| *day);
        drafts
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_partition_into_batches_leaves_the_same_records(drafts in drafts(), sizes in prop::collection::vec(1..9_usize, 60)) {
        let mut history = History::default();
        let entries: Vec<_> = drafts.into_iter().map(|(day, kept)| entry(&mut history, day, kept)).collect();
        let (one_by_one, all) = (vec![1; entries.len()], vec![entries.len()]);
        let stores = [(Database::sqlite(), &one_by_one), (Database::sqlite(), &sizes), (Database::postgres(), &all)];
        let [one, other, third] = stores.map(|(database, sizes)| {
            let (mut store, mut rest) = (database.open(), entries.as_slice());
            for size in sizes {
                let (batch, behind) = rest.split_at((*size).min(rest.len()));
                store.apply(batch).expect("applied");
                rest = behind;
            }
            store.apply(rest).expect("applied");
            (store.digest().expect("a digest"), store.records_forgotten_through())
        });
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(&one, &third);
    }
}
