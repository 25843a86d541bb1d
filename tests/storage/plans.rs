//! No question of a command or of an analysis client goes through a whole table, however many members and days a site has.

use std::sync::{Arc, Mutex};

use diesel::connection::{Instrumentation, InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::Text;
use duplex::ledger::Ledger;
use duplex::ledger::analysis::{self, LedgerFilter, Page};
use duplex::ledger::query::Query;
use duplex::ledger::rows::{BusinessDay, DayState, Row};
use duplex::model::UnixMs;
use duplex::store::{Answers, StoreConnection};

use crate::database::Database;
use crate::history::{History, account, every_kind_of_row};

const DAY: i32 = 20_000;

/// What a connection was asked, without what was bound.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Instrumentation for Asked {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let asked = text.split(" -- binds").next().unwrap_or_default().replace('\n', " ");
            self.0.lock().unwrap().push(asked);
        }
    }
}

/// Every question once, on rows that make each of them ask everything that it may ask.
fn ask_everything(database: &Database) -> Vec<String> {
    let (mut store, mut history) = (database.open(), History::default());
    let row = BusinessDay {
        day: DAY,
        seq: 8,
        state: DayState::Closing,
        opened_at: UnixMs(0),
        opened_by: "manager".into(),
        closed_at: None,
        closed_by: None,
        last_ledger_no: 0,
        chain_hash: [0; 32],
        offsite_copied_at: None,
    };
    let more = [Row::BusinessDay(row), Row::Account(account(1, 125))];
    store.apply(&[history.puts(every_kind_of_row()), history.puts(more)]).expect("applied");
    let (mut conn, asked) = (database.back_door(), Asked::default());
    conn.set_instrumentation(asked.clone());
    of_commands(&mut conn);
    of_analysis_clients(&mut conn);
    let asked = asked.0.lock().unwrap();
    asked.iter().filter(|text| text.starts_with("SELECT")).cloned().collect()
}

fn of_commands(conn: &mut StoreConnection) {
    for query in [
        Query::DayAtClose { day: DAY, open_payouts_max: 100, earlier_days_max: 13 },
        Query::SamePerson { kana: "ヤマダ ハナコ".into(), birth_day: -3_000, members_max: 10 },
    ] {
        Ledger::answer(&query, conn).expect("answered");
    }
}

fn of_analysis_clients(conn: &mut StoreConnection) {
    let page = Page { after: Some(0), limit: 10 };
    analysis::refuse_reader(conn, "Analysis", "key").expect("answered");
    analysis::members(conn, page).expect("answered");
    analysis::member(conn, 1).expect("answered");
    for member_no in [None, Some(1)] {
        analysis::accounts(conn, member_no, page).expect("answered");
    }
    for (day, account_id) in [(None, None), (Some(DAY), None), (None, Some(1_001)), (Some(DAY), Some(1_001))] {
        analysis::ledger(conn, LedgerFilter { day, account_id }, page).expect("answered");
    }
    analysis::day_totals(conn, DAY).expect("answered");
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// Steps that go through a whole table. Rates are the only one that may be read so: a site has a handful.
fn scans(conn: &mut StoreConnection, asked: &[String]) -> Vec<String> {
    let plan = |text: &String| diesel::sql_query(format!("EXPLAIN QUERY PLAN {text}")).load(conn).expect("a plan");
    let steps: Vec<Step> = asked.iter().flat_map(plan).collect();
    steps.into_iter().map(|step| step.detail).filter(|step| step.starts_with("SCAN") && step != "SCAN rate").collect()
}

#[test]
fn sqlite_searches_and_never_scans() {
    let database = Database::sqlite();
    let asked = ask_everything(&database);
    assert!(asked.len() > 20, "{asked:#?}");
    assert_eq!(scans(&mut database.back_door(), &asked), [""; 0], "{asked:#?}");
}

#[test]
fn without_the_indexes_this_would_be_seen() {
    let database = Database::sqlite();
    let asked = ask_everything(&database);
    database.execute("DROP INDEX member_person; DROP INDEX payout_open");
    assert_eq!(scans(&mut database.back_door(), &asked), ["SCAN payout", "SCAN payout", "SCAN member"]);
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// On tables as small as a test's PostgreSQL would read everything; so it is told to avoid that, and must find an index to start in.
#[test]
fn postgresql_has_an_index_to_start_in() {
    let database = Database::postgres();
    let asked = ask_everything(&database);
    assert!(asked.len() > 20, "{asked:#?}");
    let mut conn = database.back_door();
    conn.batch_execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan").expect("set");
    for text in asked.iter().filter(|text| !text.contains("FROM \"rate\"")) {
        let parameters = (1..).take_while(|number| text.contains(&format!("${number}"))).count();
        let nulls = vec!["NULL"; parameters].join(", ");
        conn.batch_execute(&format!("PREPARE asked AS {text}")).expect("prepared");
        let explain = diesel::sql_query(format!("EXPLAIN (COSTS OFF) EXECUTE asked({nulls})"));
        let plan: Vec<Line> = explain.load(&mut conn).expect("a plan");
        conn.batch_execute("DEALLOCATE asked").expect("forgotten");
        let count = |what: &str| plan.iter().filter(|line| line.line.contains(what)).count();
        let plan_text = || plan.iter().map(|line| line.line.as_str()).collect::<Vec<_>>().join("\n");
        assert_eq!(count("Seq Scan"), 0, "{text}\n{}", plan_text());
        let scans = count("Index Scan") + count("Index Only Scan");
        assert!(scans > 0 && count("Index Cond") == scans, "{text}\n{}", plan_text());
    }
}
