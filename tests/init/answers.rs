//! The ledger's questions, on both engines.

use duplex::ledger::Ledger;
use duplex::ledger::query::{DayAtClose, DayTotal, Found, Query};
use duplex::ledger::rows::LedgerKind::{Deposit, Payout};
use duplex::store::{self, Store};
use tempfile::TempDir;

use crate::postgres::Postgres;
use crate::servers::History;
use crate::world::DAY;

/// 1980-02-29, the birthday of every member here.
const BORN: i32 = 3_711;

fn at_close(store: &mut dyn Store<Ledger>, day: i32) -> DayAtClose {
    match store.query(&Query::DayAtClose { day, open_payouts_max: 5, earlier_days_max: 5 }).unwrap() {
        Found::DayAtClose(found) => found,
        other => panic!("{other:?} answers another question"),
    }
}

fn proof(url: &str) {
    let history = History::with_an_open_payout();
    let mut store = store::open::<Ledger>(url).unwrap();
    store.apply(&history.entries).unwrap();

    let found = at_close(&mut *store, DAY);
    let total = |rate_id, kind, rows, units| DayTotal { rate_id, kind, rows, units };
    assert_eq!(found.totals, [total(1, Deposit, 1, 1_000), total(1, Payout, 2, -500), total(3, Deposit, 1, 50)]);
    assert_eq!((found.open_payouts_count, found.open_payouts.len(), found.open_payouts[0].payout_id), (1, 1, 2));
    assert!(found.earlier_days.is_empty());
    let next = at_close(&mut *store, DAY + 1);
    assert_eq!(next, DayAtClose { earlier_days: vec![DAY], ..DayAtClose::default() });

    let person = |birth_day| Query::SamePerson { kana: "ヤマダ card-1".into(), birth_day, members_max: 5 };
    assert_eq!(store.query(&person(BORN)).unwrap(), Found::SamePerson(vec![1]));
    assert_eq!(store.query(&person(BORN + 1)).unwrap(), Found::SamePerson(vec![]));
}

#[test]
fn sqlite_answers_what_closing_a_day_and_registering_a_member_ask() {
    let directory = TempDir::new().unwrap();
    proof(&format!("sqlite:{}", directory.path().join("store.db").display()));
}

#[test]
fn postgres_answers_what_closing_a_day_and_registering_a_member_ask() {
    proof(&Postgres::shared().new_database());
}
