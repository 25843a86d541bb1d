//! Rows go in and come back: images, keys, pages, records, and what a full image heals.

use diesel::prelude::*;
use duplex::ledger::rows::{Account, Key, Row};
use duplex::model::{CommandId, Epoch, Image, Position, Row as _, Rows as _, Sequence, TerminalId};
use duplex::store::{AppliedRows, StoreError, StoredRow};

use crate::database::Database;
use crate::history::{AccountsOf, History, account, account_key, card, every_kind_of_row, record};

on_both_engines! {
    fn a_new_store_is_at_the_beginning(database: &Database) {
        assert_eq!(database.open().applied(), Ok(Position::GENESIS));
    }

    fn every_kind_of_row_comes_back_as_it_went(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let rows = every_kind_of_row();
        store.apply(&[history.puts(rows.clone())]).expect("applied");
        for row in &rows {
            assert_eq!(store.row(&row.key()).as_ref(), Ok(&Some(row.clone())));
        }
        assert!(Row::TABLES.iter().all(|table| rows.iter().any(|row| Row::table_of(&row.key()) == *table)), "a table was left out");
    }

    fn a_table_is_paged_in_key_order_without_gap_or_repetition(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let mut rows = every_kind_of_row();
        store.apply(&[history.puts(rows.clone())]).expect("applied");
        rows.sort_by_key(Row::key);
        let mut conn = database.back_door();
        for table in Row::TABLES {
            let expected: Vec<_> = rows.iter().filter(|row| Row::table_of(&row.key()) == *table).cloned().collect();
            let mut found: Vec<Row> = Vec::new();
            while let Some(row) = Row::page(&mut conn, table, found.last().map(Row::key).as_ref(), 1).expect("a page").pop() {
                found.push(row);
            }
            assert_eq!(found, expected, "{table}");
        }
    }

    fn the_last_image_of_a_row_wins(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let images: Vec<_> = [5, 9, 2].map(|balance| history.puts([Row::Account(account(1, balance))])).into();
        store.apply(&images).expect("applied");
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(account(1, 2)))));
        store.apply(&[history.puts([Row::Account(account(1, 1))])]).expect("applied");
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(account(1, 1)))));
    }

    fn a_deleted_row_is_gone_until_it_is_put_again(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let put = |history: &mut History| history.puts([Row::Card(card("a", 1))]);
        let delete = |history: &mut History| history.entry(vec![Image::Delete(Key::Card("a".to_owned()))]);
        store.apply(&[put(&mut history), delete(&mut history)]).expect("applied");
        assert_eq!(store.row(&Key::Card("a".to_owned())), Ok(None));
        store.apply(&[delete(&mut history), put(&mut history)]).expect("deleting what is not there changes nothing");
        assert_eq!(store.row(&Key::Card("a".to_owned())), Ok(Some(Row::Card(card("a", 1)))));
        store.apply(&[delete(&mut history)]).expect("applied");
        assert_eq!(store.row(&Key::Card("a".to_owned())), Ok(None));
    }

    fn entries_that_do_not_follow_are_refused_and_change_nothing(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        history.begin_epoch();
        history.begin_epoch();
        let entries = history.deposits(5, 10);
        store.apply(&entries[..2]).expect("applied");
        let before = store.digest().expect("a digest");
        let mut lower_epoch = History { last: Position { epoch: Epoch(1), ..entries[1].position } };
        let skipped = [entries[2].clone(), entries[4].clone()];
        for wrong in [&entries[..2], &entries[3..], &skipped[..], &[lower_epoch.deposit(10)][..]] {
            let refused = store.apply(wrong);
            assert!(matches!(refused, Err(StoreError::NotNext { .. })), "{refused:?}");
        }
        assert_eq!(store.digest().as_ref(), Ok(&before));
        assert_eq!(store.apply(&entries[2..]), Ok(entries[4].position));
    }

    fn an_empty_batch_changes_nothing(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&history.deposits(2, 10)).expect("applied");
        assert_eq!(store.apply(&[]), Ok(history.last));
    }

    fn a_record_is_found_by_its_number_and_by_its_command(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        history.begin_epoch();
        store.apply(&history.deposits(3, 10)).expect("applied");
        let found = store.record(Sequence(2)).expect("read").expect("entry 2 has a record");
        assert_eq!((found.epoch, found.sequence, &found.record), (Epoch(1), Sequence(2), &record(2)));
        assert_eq!(store.find_record(&record(2).terminal_id, &record(2).command_id), Ok(Some(found)));
        assert_eq!(store.find_record(&TerminalId("seat-999".to_owned()), &record(2).command_id), Ok(None));
        assert_eq!(store.record(Sequence(4)), Ok(None));
    }

    fn every_record_is_visited_once_and_in_order(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        let many = 4096 + 10;
        store.apply(&(0..many).map(|_| history.entry(Vec::new())).collect::<Vec<_>>()).expect("applied");
        let mut visited: Vec<(TerminalId, CommandId, Sequence)> = Vec::new();
        store.for_each_record(&mut |terminal, command, sequence| visited.push((terminal.clone(), *command, sequence))).expect("read");
        let expected: Vec<_> =
            (1..=many).map(|number| (record(number).terminal_id, record(number).command_id, Sequence(number))).collect();
        assert_eq!(visited, expected);
    }

    fn the_first_entry_of_each_epoch_is_kept(database: &Database) {
        use duplex::schema::epoch_history as epochs;
        let (mut store, mut history) = (database.open(), History::default());
        let mut entries = history.deposits(2, 10);
        history.begin_epoch();
        entries.extend(history.deposits(2, 10));
        history.begin_epoch();
        entries.extend(history.deposits(1, 10));
        store.apply(&entries[..3]).expect("applied");
        store.apply(&entries[3..]).expect("applied");
        let kept: Vec<(i64, i64)> =
            epochs::table.order(epochs::epoch).select((epochs::epoch, epochs::first_sequence)).load(&mut database.back_door()).expect("read");
        assert_eq!(kept, [(1, 1), (2, 3), (3, 5)]);
    }

    fn the_applications_question_is_answered_from_what_is_applied(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(7, 40)), Row::Account(account(8, 50))])]).expect("applied");
        assert_eq!(store.query(&AccountsOf(7)), Ok(vec![(Account::id_of(7, 1), 40)]));
    }

    fn a_store_of_an_earlier_version_is_brought_to_this_one_with_what_it_has(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts(every_kind_of_row())]).expect("applied");
        let before = store.digest();
        drop(store);
        database.execute("DROP INDEX member_person; DROP INDEX payout_open");
        database.execute("DELETE FROM __diesel_schema_migrations WHERE version = '20260301000000'");
        assert_eq!(database.open().digest(), before);
        database.execute("DROP INDEX member_person; DROP INDEX payout_open");
    }

    fn rows_by_key_are_those_that_are_applied(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        assert_eq!(AppliedRows(store.as_mut()).get(&account_key(1)), Ok(None));
        store.apply(&[history.puts([Row::Account(account(1, 10))])]).expect("applied");
        assert_eq!(AppliedRows(store.as_mut()).get(&account_key(1)), Ok(Some(Row::Account(account(1, 10)))));
    }

    fn a_full_image_heals_a_column_that_it_did_not_mean_to_change(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(1, 10))])]).expect("applied");
        database.execute("UPDATE account SET last_ledger_no = 99");
        let deposit = Account { balance: 11, ..account(1, 10) };
        store.apply(&[history.puts([Row::Account(deposit.clone())])]).expect("applied");
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(deposit))));
    }

    // The paper's Figure 5, the other half: what the store would do if images carried changed columns only.
    fn an_image_of_changed_columns_would_leave_the_fault_in_place(database: &Database) {
        let (mut store, mut history) = (database.open(), History::default());
        store.apply(&[history.puts([Row::Account(account(1, 10))])]).expect("applied");
        database.execute("UPDATE account SET last_ledger_no = 99");
        database.execute("UPDATE account SET balance = 11");
        let deposit = Account { balance: 11, ..account(1, 10) };
        assert_eq!(store.row(&account_key(1)), Ok(Some(Row::Account(Account { last_ledger_no: 99, ..deposit }))));
    }
}
