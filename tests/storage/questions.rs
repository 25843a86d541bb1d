//! What commands ask a store without knowing a key, answered alike by both engines.

use duplex::ledger::Ledger;
use duplex::ledger::query::{DayAtClose, DayTotal, Found, Query};
use duplex::ledger::rows::{BusinessDay, DayState, LedgerKind, LedgerRow, Member, MemberState, Payout, PayoutState, Row};
use duplex::model::UnixMs;
use duplex::store::{Store, open};

use crate::database::Database;
use crate::history::{History, ledger_row, member};

const YESTERDAY: i32 = 19_999;
const TODAY: i32 = 20_000;

fn store_of(database: &Database, rows: Vec<Row>) -> Box<dyn Store<Ledger>> {
    let mut store = open::<Ledger>(&database.url).expect("the store opens");
    store.apply(&[History::default().puts(rows)]).expect("applied");
    store
}

fn day(day: i32, state: DayState, last_ledger_no: i64) -> Row {
    Row::BusinessDay(BusinessDay {
        day,
        seq: i64::from(day),
        state,
        opened_at: UnixMs(0),
        opened_by: "manager".into(),
        closed_at: None,
        closed_by: None,
        last_ledger_no,
        chain_hash: [0; 32],
        offsite_copied_at: None,
    })
}

fn line(ledger_no: i64, day: i32, kind: LedgerKind, delta: i64) -> Row {
    Row::Ledger(Box::new(LedgerRow { day, kind, delta, ..ledger_row(ledger_no, 1) }))
}

fn payout(payout_id: i64, state: PayoutState) -> Payout {
    let (terminal_id, delivered, receipt_no) = (format!("seat-{payout_id}"), None, None);
    Payout { payout_id, account_id: 1_001, day: TODAY, terminal_id, units: 125, limit_yen: 500, state, delivered, receipt_no }
}

/// A closed day of two lines, and one that prepares to close, with two open payouts.
fn two_days() -> Vec<Row> {
    let mut rows = vec![day(YESTERDAY, DayState::Closed, 2), day(TODAY, DayState::Closing, 2)];
    rows.extend([(1, 10), (2, 20)].map(|(no, delta)| line(no, YESTERDAY, LedgerKind::Deposit, delta)));
    rows.extend([
        line(3, TODAY, LedgerKind::Payout, -125),
        line(4, TODAY, LedgerKind::Deposit, 1),
        line(5, TODAY, LedgerKind::Deposit, 2),
    ]);
    let states = [PayoutState::Authorised, PayoutState::Void, PayoutState::Authorised, PayoutState::Done];
    rows.extend((1..).zip(states).map(|(id, state)| Row::Payout(payout(id, state))));
    rows
}

fn at_close(store: &mut dyn Store<Ledger>, day: i32, open_payouts_max: usize) -> DayAtClose {
    match store.query(&Query::DayAtClose { day, open_payouts_max, earlier_days_max: 13 }) {
        Ok(Found::DayAtClose(found)) => found,
        other => panic!("{other:?}"),
    }
}

fn total(kind: LedgerKind, rows: i64, units: i64) -> DayTotal {
    DayTotal { rate_id: 1, kind, rows, units }
}

fn same_person(store: &mut dyn Store<Ledger>, kana: &str, birth_day: i32, members_max: usize) -> Vec<i64> {
    match store.query(&Query::SamePerson { kana: kana.into(), birth_day, members_max }) {
        Ok(Found::SamePerson(found)) => found,
        other => panic!("{other:?}"),
    }
}

on_both_engines! {
    fn a_day_is_closed_on_its_own_lines_and_open_payouts(database: &Database) {
        let mut store = store_of(database, two_days());
        let found = at_close(store.as_mut(), TODAY, 100);
        assert_eq!(found.open_payouts, [1, 3].map(|id| payout(id, PayoutState::Authorised)));
        assert_eq!(found.open_payouts_count, 2);
        assert_eq!(found.totals, [total(LedgerKind::Deposit, 2, 3), total(LedgerKind::Payout, 1, -125)]);
        assert_eq!(found.earlier_days, [YESTERDAY]);
    }

    fn open_payouts_are_counted_beyond_those_that_are_listed(database: &Database) {
        let found = at_close(store_of(database, two_days()).as_mut(), TODAY, 1);
        assert_eq!((found.open_payouts.len(), found.open_payouts_count), (1, 2));
    }

    fn an_earlier_day_has_none_of_the_later_ones_lines(database: &Database) {
        let found = at_close(store_of(database, two_days()).as_mut(), YESTERDAY, 100);
        assert_eq!(found.totals, [total(LedgerKind::Deposit, 2, 30)]);
        assert_eq!((found.open_payouts_count, found.earlier_days.len()), (0, 0));
    }

    fn a_day_that_never_was_has_nothing(database: &Database) {
        assert_eq!(at_close(store_of(database, Vec::new()).as_mut(), TODAY, 100), DayAtClose::default());
    }

    fn a_person_is_found_by_kana_and_birth_day_unless_erased(database: &Database) {
        let states = [MemberState::Active, MemberState::Erased, MemberState::Withdrawn, MemberState::Active];
        let mut members: Vec<Member> = (1..).zip(states).map(|(no, state)| member(no, state)).collect();
        members[3].kana = Some("ヤマダ ハナ".into());
        let mut store = store_of(database, members.into_iter().map(|member| Row::Member(Box::new(member))).collect());
        assert_eq!(same_person(store.as_mut(), "ヤマダ ハナコ", -3_000, 10), [1, 3]);
        assert_eq!(same_person(store.as_mut(), "ヤマダ ハナコ", -3_000, 1), [1]);
        assert_eq!(same_person(store.as_mut(), "ヤマダ ハナ", -3_000, 10), [4]);
        assert_eq!(same_person(store.as_mut(), "ヤマダ ハナコ", 0, 10), [0; 0]);
    }
}
