//! Stores that fail under a server that runs.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use duplex::config::limits;

use crate::pair::{CommandIds, First, PATIENCE, Pair, Second, Which, eventually};
use crate::postgres::Postgres;

#[test]
fn a_store_that_goes_away_from_a_sub_with_nothing_to_do_is_told_and_well_again_when_it_is_back() {
    let postgres = Postgres::shared();
    let mut pair = stored_in(&postgres);
    pair.start();
    let main = pair.wait_for_pair(PATIENCE);
    let sub = main.other();
    let database = database_of(&pair, sub);
    let said = |pair: &Pair| pair.status(sub)["sentence"]["en"].as_str().unwrap_or_default().to_owned();
    assert!(eventually(PATIENCE, || said(&pair) == "Running as a pair"), "{}", pair.status(sub));

    let mut conn = PgConnection::establish(&postgres.url("postgres")).unwrap();
    take_away(&mut conn, &database);
    assert!(eventually(Duration::from_secs(10), || said(&pair) == "The records are not being applied"), "{}", pair.status(sub));
    let greeting = pair.request("office", &CommandIds::draw(), "hello", json!({}));
    assert_eq!(pair.line(main).ask(&greeting).unwrap()["status"], "ok", "Main works on");

    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true")).unwrap();
    assert!(eventually(Duration::from_secs(10), || said(&pair) == "Running as a pair"), "{}", pair.status(sub));
    assert!(pair.log(sub).contains("applies again"), "{}", pair.log(sub));
    assert!(!pair.log(sub).contains("no checkpoint"), "{}", pair.log(sub));
}

/// After a power cut the database may be up later than its server.
#[test]
fn a_store_that_is_away_at_the_start_is_waited_for_and_a_mistyped_one_is_not() {
    let postgres = Postgres::shared();
    let mut pair = stored_in(&postgres);
    let mut conn = PgConnection::establish(&postgres.url("postgres")).unwrap();
    let database = database_of(&pair, First);
    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).unwrap();
    pair.start();
    pair.wait_for_log(First, "waiting for the store, actor: server, reason: PostgreSQL at ", PATIENCE);
    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true")).unwrap();
    pair.wait_for_pair(PATIENCE);
    assert_eq!(pair.log(First).matches("waiting for the store").count(), 1, "{}", pair.log(First));

    pair.kill_both();
    pair.store_in(First, &postgres.url("mistyped"));
    pair.start_server(First, None);
    assert_eq!(pair.server(First).ended(PATIENCE).and_then(|status| status.code()), Some(1), "{}", pair.log(First));
    assert!(pair.log(First).contains("store.url: PostgreSQL at ") && pair.log(First).contains("does not exist"));
}

fn stored_in(postgres: &Postgres) -> Pair {
    let pair = Pair::init();
    for which in [First, Second] {
        pair.store_in(which, &postgres.new_database());
    }
    pair
}

fn take_away(conn: &mut PgConnection, database: &str) {
    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).unwrap();
    let ended = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    conn.batch_execute(&ended).unwrap();
}

/// More entries than memory may hold unapplied: the journal has them, so the pair stays one.
#[test]
fn a_sub_whose_store_is_away_for_long_goes_on_storing() {
    let postgres = Postgres::shared();
    let pair = stored_in(&postgres).put_to_work();
    let main = pair.wait_for_pair(PATIENCE);
    let database = database_of(&pair, main.other());
    let mut conn = PgConnection::establish(&postgres.url("postgres")).unwrap();
    take_away(&mut conn, &database);
    let epoch = pair.status(main)["epoch"].clone();
    let behind = |pair: &Pair| {
        let status = pair.status(main.other());
        let of = |key: &str| status[key].as_u64().unwrap_or_default();
        of("stored") - of("applied")
    };
    let enough = limits::UNAPPLIED_ENTRIES_MAX as u64 * 5 / 4;
    let mut load = pair.full_load(120.0, &pair.file("history.jsonl"));
    assert!(eventually(Duration::from_secs(120), || behind(&pair) >= enough), "{}", pair.status(main));
    load.kill().and_then(|()| load.wait()).unwrap();
    assert_eq!(pair.status(main)["epoch"], epoch, "{}", pair.log(main));

    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true")).unwrap();
    assert!(eventually(Duration::from_secs(60), || behind(&pair) == 0), "{}", pair.status(main.other()));
    assert_eq!(pair.status(main)["epoch"], epoch, "{}", pair.log(main));
}

fn database_of(pair: &Pair, which: Which) -> String {
    let url = pair.config(which).store.url;
    url.trim_start_matches("postgres:///").split('?').next().unwrap().to_owned()
}

/// What PostgreSQL acknowledged without a flush is gone when one of its processes is killed; the journal gives it back, and until
/// then nobody may take the old rows for the present ones.
#[test]
fn a_store_that_lost_its_last_commits_is_not_read_before_it_has_them_again() {
    let postgres = Postgres::start_with(&["wal_writer_delay=10000", "wal_writer_flush_after=1000000"]);
    let pair = stored_in(&postgres).put_to_work();
    let main = pair.wait_for_pair(PATIENCE);
    let mut line = pair.line(main);
    let mut settle = |request: &Value| {
        let mut answer = json!(null);
        let is_final = || {
            answer = line.ask(request).unwrap();
            answer["status"] != "retry"
        };
        assert!(eventually(PATIENCE, is_final), "{answer}");
        assert_eq!(answer["status"], "ok", "{answer}");
        answer
    };
    let all_applied = || {
        let status = pair.status(main);
        status["applied"].is_u64() && status["applied"] == status["stored"]
    };
    let mut conn = PgConnection::establish(&postgres.url("postgres")).unwrap();
    // In the first round the members of the import are gone as well. Who comes back first, reader or applier, is chance.
    for round in 0..5 {
        let deposits: Vec<_> =
            (1..=8).map(|card| pair.request("seat-1", &CommandIds::draw(), "deposit", units(round * 8 + card))).collect();
        let first: Vec<_> = deposits.iter().map(&mut settle).collect();
        assert!(eventually(PATIENCE, all_applied), "{}", pair.status(main));
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE datname = '{}'", database_of(&pair, main));
        let backend: Backend = diesel::sql_query(sql).get_result(&mut conn).unwrap();
        kill(Pid::from_raw(backend.pid), Signal::SIGKILL).unwrap();
        for (deposit, first) in deposits.iter().zip(&first) {
            let again = settle(deposit);
            assert_eq!((&again["repeated"], &again["body"]), (&json!(true), &first["body"]), "{again}");
        }
        settle(&pair.request("seat-1", &CommandIds::draw(), "deposit", units(100 + round)));
        let reconnected = || PgConnection::establish(&postgres.url("postgres")).map(|anew| conn = anew).is_ok();
        assert!(eventually(PATIENCE, reconnected));
    }
}

fn units(card: u64) -> Value {
    json!({"card_id": format!("C{card:08}"), "rate_id": 1, "units": 1})
}

#[derive(QueryableByName)]
struct Backend {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    pid: i32,
}
