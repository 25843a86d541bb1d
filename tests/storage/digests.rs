//! Equal entries give equal stores: one digest on either engine, however the entries are batched.

use std::collections::BTreeMap;

use duplex::ledger::rows::{DailyDraw, Key, Member, MemberState, Row};
use duplex::model::entry::SharedEntry;
use duplex::model::{Image, Row as _};
use proptest::prelude::*;

use crate::database::Database;
use crate::history::{History, account, account_key, card, every_kind_of_row, member};

#[test]
fn both_engines_have_one_digest_for_the_same_entries() {
    let mut history = History::default();
    let mut entries = vec![history.puts(every_kind_of_row())];
    history.begin_epoch();
    entries.extend(history.deposits(3_000, 500));
    let [sqlite, postgres] = Database::both().map(|database| {
        let mut store = database.open();
        entries.chunks(512).for_each(|batch| assert!(store.apply(batch).is_ok()));
        store.digest().expect("a digest")
    });
    assert_eq!(sqlite, postgres);
    assert!(sqlite.tables.iter().all(|table| table.rows > 0), "{sqlite:?}");
}

#[test]
fn a_digest_differs_as_soon_as_one_column_of_one_row_does() {
    let (database, mut history) = (Database::sqlite(), History::default());
    let mut store = database.open();
    store.apply(&[history.puts(every_kind_of_row())]).expect("applied");
    let before = store.digest().expect("a digest");
    database.execute("UPDATE staff SET active = 1 - active WHERE staff_id = 'Clerk'");
    let after = store.digest().expect("a digest");
    let differing: Vec<_> =
        before.tables.iter().zip(&after.tables).filter(|(one, other)| one != other).map(|(one, _)| one.table).collect();
    assert_eq!(differing, ["staff"]);
}

/// One change of one of a few rows, so that histories meet the same rows often.
fn image() -> impl Strategy<Value = Image<Row>> {
    let texts = prop::sample::select(vec!["a", "B", "b", "_", "é", ""]);
    prop_oneof![
        4 => (1..4_i64, any::<i64>()).prop_map(|(member_no, balance)| Image::Put(Row::Account(account(member_no, balance)))),
        2 => (1..4_i64).prop_map(|member_no| Image::Delete(account_key(member_no))),
        2 => (texts.clone(), any::<i64>()).prop_map(|(card_id, pin_fail)| Image::Put(Row::Card(card(card_id, pin_fail)))),
        1 => texts.prop_map(|card_id| Image::Delete(Key::Card(card_id.to_owned()))),
        2 => (0..2_i64, -1..2_i32, any::<i64>())
            .prop_map(|(member_no, day, limit_yen)| Image::Put(Row::DailyDraw(DailyDraw { member_no, day, limit_yen }))),
        1 => (0..2_i64, -1..2_i32).prop_map(|(member_no, day)| Image::Delete(Key::DailyDraw(member_no, day))),
        1 => (1..3_i64, "\\PC{0,8}").prop_map(|(member_no, name)| {
            Image::Put(Row::Member(Box::new(Member { name: Some(name), ..member(member_no, MemberState::Active) })))
        }),
    ]
}

/// Entries of up to four images, some beginning a new epoch.
fn entries() -> impl Strategy<Value = Vec<SharedEntry<Row>>> {
    prop::collection::vec((prop::collection::vec(image(), 0..4), prop::bool::weighted(0.1)), 1..40).prop_map(|drafts| {
        let mut history = History::default();
        let sealed = drafts.into_iter().map(|(images, begins_epoch)| {
            if begins_epoch {
                history.begin_epoch();
            }
            history.entry(images)
        });
        sealed.collect()
    })
}

/// The rows that the images leave, worked out the simple way.
fn rows_after(entries: &[SharedEntry<Row>]) -> BTreeMap<Key, Option<Row>> {
    let images = entries.iter().flat_map(|sealed| &sealed.entry.images);
    images.fold(BTreeMap::new(), |mut rows, image| {
        match image {
            Image::Put(row) => rows.insert(row.key(), Some(row.clone())),
            Image::Delete(key) => rows.insert(key.clone(), None),
        };
        rows
    })
}

proptest! {
    // Each case makes three databases, one of them on the server.
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn any_partition_into_batches_gives_the_same_rows_and_digest(entries in entries(), sizes in prop::collection::vec(1..9_usize, 40)) {
        let one_by_one = vec![1; entries.len()];
        let stores = [(Database::sqlite(), &one_by_one), (Database::sqlite(), &sizes), (Database::postgres(), &sizes)];
        let digests = stores.map(|(database, sizes)| {
            let (mut store, mut rest) = (database.open(), entries.as_slice());
            for size in sizes {
                let (batch, behind) = rest.split_at((*size).min(rest.len()));
                store.apply(batch).expect("applied");
                rest = behind;
            }
            store.apply(rest).expect("applied");
            for (key, row) in rows_after(&entries) {
                assert_eq!(store.row(&key), Ok(row));
            }
            store.digest().expect("a digest")
        });
        prop_assert_eq!(&digests[0], &digests[1]);
        prop_assert_eq!(&digests[0], &digests[2]);
    }
}
