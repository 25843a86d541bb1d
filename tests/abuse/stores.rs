//! Stores that fail under a server that runs.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use serde_json::json;

use crate::pair::{CommandIds, First, PATIENCE, Pair, Second, eventually};
use crate::postgres::Postgres;

#[test]
fn a_store_that_goes_away_from_a_sub_with_nothing_to_do_is_told_and_well_again_when_it_is_back() {
    let postgres = Postgres::shared();
    let mut pair = Pair::init();
    for which in [First, Second] {
        pair.store_in(which, &postgres.new_database());
    }
    pair.start();
    let main = pair.wait_for_pair(PATIENCE);
    let sub = main.other();
    let url = pair.config(sub).store.url;
    let database = url.trim_start_matches("postgres:///").split('?').next().unwrap().to_owned();
    let said = |pair: &Pair| pair.status(sub)["sentence"]["en"].as_str().unwrap_or_default().to_owned();
    assert!(eventually(PATIENCE, || said(&pair) == "Running as a pair"), "{}", pair.status(sub));

    let mut conn = PgConnection::establish(&postgres.url("postgres")).unwrap();
    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).unwrap();
    let ended = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
    conn.batch_execute(&ended).unwrap();
    assert!(eventually(Duration::from_secs(10), || said(&pair) == "The records are not being applied"), "{}", pair.status(sub));
    let greeting = pair.request("office", &CommandIds::draw(), "hello", json!({}));
    assert_eq!(pair.line(main).ask(&greeting).unwrap()["status"], "ok", "Main works on");

    conn.batch_execute(&format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true")).unwrap();
    assert!(eventually(Duration::from_secs(10), || said(&pair) == "Running as a pair"), "{}", pair.status(sub));
    assert!(pair.log(sub).contains("applies again"), "{}", pair.log(sub));
    assert!(!pair.log(sub).contains("no checkpoint"), "{}", pair.log(sub));
}
