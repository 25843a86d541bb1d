//! What analysis clients find, and who may ask.

use duplex::ledger::sample;

use super::database::Database;
use super::house::{House, OFFICE};

/// Each sentence becomes a test on each engine.
macro_rules! on_both_engines {
    ($(fn $sentence:ident($house:ident: &House) $proof:block)+) => {
        $(fn $sentence($house: &House) $proof)+
        mod on_sqlite { $(#[test] fn $sentence() { super::$sentence(&super::House::sqlite()); })+ }
        mod on_postgres { $(#[test] fn $sentence() { super::$sentence(&super::House::over(super::Database::postgres())); })+ }
    };
}

on_both_engines! {
    fn every_member_is_found_once_by_following_the_pages(house: &House) {
        let (mut path, mut seen) = ("/api/v1/members?limit=2".to_owned(), Vec::new());
        loop {
            let page = house.read(&path);
            assert_eq!((page.status, page.header("X-Duplex-Position")), (200, "1/1"));
            seen.extend(page.rows().iter().map(|row| row["member_no"].as_i64().unwrap()));
            match page.json()["next"].as_str() {
                Some(next) => path = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    }

    fn one_member_is_found_by_number_and_nobody_under_another(house: &House) {
        let found = house.read("/api/v1/members/2");
        assert_eq!(found.rows().len(), 1);
        let row = &found.rows()[0];
        assert_eq!((row["name"].as_str(), row["birth_date"].as_str()), (Some("会員 2"), Some("1970-01-01")));
        assert_eq!((row["dm_ok"].as_bool(), row["email"].is_null()), (Some(true), true));
        let nobody = house.read("/api/v1/members/6");
        assert_eq!((nobody.status, nobody.code(), nobody.header("X-Duplex-Position")), (404, "NOT_FOUND".into(), "1/1"));
    }

    fn accounts_are_listed_whole_and_by_member(house: &House) {
        let balances = |path: &str| -> Vec<_> {
            house.read(path).rows().iter().map(|row| (row["account_id"].as_i64(), row["balance"].as_i64())).collect()
        };
        let (first, second, third) = ((Some(1_001), Some(350)), (Some(1_002), Some(10)), (Some(2_001), Some(100)));
        assert_eq!(balances("/api/v1/accounts"), [first, second, third]);
        assert_eq!(balances("/api/v1/accounts?member=1"), [first, second]);
        assert_eq!(balances("/api/v1/accounts?member=1&after=1001"), [second]);
        for nobody in ["3", "0", "-1", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(balances(&format!("/api/v1/accounts?member={nobody}")), [], "{nobody}");
        }
    }

    fn the_ledger_is_found_by_day_by_account_and_by_both(house: &House) {
        let numbers = |query: &str| -> Vec<_> {
            house.read(&format!("/api/v1/ledger{query}")).rows().iter().map(|row| row["ledger_no"].as_i64().unwrap()).collect()
        };
        assert_eq!(numbers(""), [1, 2, 3, 4, 5]);
        assert_eq!(numbers("?day=2026-07-01"), [1, 2, 3]);
        assert_eq!(numbers("?day=2026-07-02"), [4, 5]);
        assert_eq!(numbers("?day=2026-07-03"), [0; 0]);
        assert_eq!(numbers("?account=1001"), [1, 4, 5]);
        assert_eq!(numbers("?account=1001&limit=1&after=1"), [4]);
        assert_eq!(numbers("?account=1001&day=2026-07-01"), [1]);
        assert_eq!(numbers("?account=4"), [0; 0]);
    }

    fn the_pages_of_an_account_end_where_its_ledger_ends(house: &House) {
        let page = house.read("/api/v1/ledger?account=1001&limit=2");
        assert_eq!(page.json()["next"], "/api/v1/ledger?account=1001&limit=2&after=4");
        let last = house.read("/api/v1/ledger?account=1001&limit=2&after=4");
        assert_eq!((last.rows().len(), last.json()["next"].is_null()), (1, true));
    }

    fn a_ledger_line_says_whose_it_is_and_carries_its_hash(house: &House) {
        let row = &house.read("/api/v1/ledger?account=1002").rows()[0];
        assert_eq!((row["member_no"].as_i64(), row["rate_id"].as_i64(), row["delta"].as_i64()), (Some(1), Some(2), Some(10)));
        assert_eq!((row["date"].as_str(), row["kind"].as_str()), (Some("2026-07-01"), Some("deposit")));
        assert_eq!(row["hash"].as_str().unwrap().len(), 64);
    }

    fn a_days_totals_are_the_sums_of_its_ledger(house: &House) {
        let open = house.read("/api/v1/days/2026-07-02/totals");
        let sums: Vec<_> = open.rows().iter().map(|row| (row["kind"].clone(), row["rows"].clone(), row["units"].clone())).collect();
        assert_eq!(sums, [("deposit".into(), 1.into(), 225.into()), ("payout".into(), 1.into(), (-125).into())]);
        let closed = house.read("/api/v1/days/2026-07-01/totals");
        let by_rate: Vec<_> = closed.rows().iter().map(|row| (row["rate"].clone(), row["units"].clone())).collect();
        assert_eq!(by_rate, [("4-yen ball".into(), 350.into()), ("20-yen medal".into(), 10.into())]);
        let about = &closed.json()["about"];
        assert_eq!((about["state"].as_str(), about["first_ledger_no"].as_i64()), (Some("closed"), Some(1)));
        assert_eq!((about["last_ledger_no"].as_i64(), about["closed_at"].as_str()), (Some(3), Some("2026-07-01T13:00:00Z")));
        assert_eq!(house.read("/api/v1/days/2026-07-03/totals").status, 404);
    }
}

#[test]
fn csv_is_for_spreadsheets_and_no_name_in_it_is_a_formula() {
    let house = House::sqlite();
    for (path, headers) in [("?limit=3&format=csv", &[][..]), ("?limit=3", &[("Accept", "text/csv")][..])] {
        let page = house.read_with(&format!("/api/v1/members{path}"), headers);
        assert!(page.header("Content-Type").starts_with("text/csv; charset=utf-8"));
        assert!(page.header("Link").ends_with("after=3>; rel=\"next\""), "{}", page.header("Link"));
        assert!(page.body.starts_with("\u{FEFF}member_no,state,name,"), "{}", page.body);
        assert!(page.body.contains("\r\n3,active,\"'=HYPERLINK(\"\"http://evil\"\")\","), "{}", page.body);
        assert!(page.body.contains(",'+81-3-0000-0000,"), "{}", page.body);
        assert_eq!(page.body.matches("\r\n").count(), 4);
    }
}

#[test]
fn nobody_reads_without_the_key_of_an_enabled_terminal_that_analyses() {
    let house = House::sqlite();
    let refused = |terminal: &str, key: &str| {
        let heard = house.get_with("/api/v1/members", &[("X-Duplex-Terminal", terminal), ("X-Duplex-Key", key)]);
        assert!(!heard.body.contains("会員 1"), "{}", heard.body);
        (heard.status, heard.code())
    };
    assert_eq!(refused("nobody", &sample::key("nobody")), (401, "UNKNOWN_TERMINAL".into()));
    assert_eq!(refused(&"x".repeat(500), &sample::key(OFFICE)), (401, "UNKNOWN_TERMINAL".into()));
    assert_eq!(refused(OFFICE, &sample::key("pc")), (401, "WRONG_KEY".into()));
    assert_eq!(refused("old", &sample::key("old")), (403, "TERMINAL_DISABLED".into()));
    assert_eq!(refused("seat-1", &sample::key("seat-1")), (403, "KIND_NOT_ALLOWED".into()));
    let nameless = house.get("/api/v1/members");
    assert_eq!((nameless.status, nameless.code()), (401, "UNKNOWN_TERMINAL".into()));
    let key = sample::key("pc");
    assert_eq!(house.get_with("/api/v1/members", &[("X-Duplex-Terminal", "pc"), ("X-Duplex-Key", &key)]).status, 200);
}

#[test]
fn no_answer_holds_a_hash_that_opens_something() {
    let house = House::sqlite();
    for path in ["members", "accounts", "ledger", "days/2026-07-01/totals"] {
        let body = house.read(&format!("/api/v1/{path}")).body;
        assert!(["key_hash", "pin", "password"].iter().all(|secret| !body.contains(secret)), "{body}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let house = House::sqlite();
    let refusal = |path: &str| {
        let heard = house.read(path);
        assert_eq!((heard.status, heard.code()), (400, "BAD_REQUEST".into()), "{path}");
        heard.json()["text_en"].as_str().unwrap().to_owned()
    };
    for path in ["members", "members/1", "accounts", "ledger", "days/2026-07-01/totals", "status", "openapi.json"] {
        assert!(refusal(&format!("/api/v1/{path}?limmit=1")).contains("limmit"), "{path}");
    }
    assert!(refusal("/metrics?x=1").contains('x') && refusal("/?y=1").contains('y'));
    for limit in ["0", "1001", "-1", "1.5", "ten", "", "99999999999999999999"] {
        let expected = format!("limit: {limit:?} given, expected a whole number, 1 to 1000");
        assert!(refusal(&format!("/api/v1/members?limit={limit}")).ends_with(&expected), "{limit}");
    }
    for (path, name) in [("members", "after"), ("accounts", "member"), ("ledger", "after"), ("ledger", "account")] {
        let expected = format!("{name}: \"x\" given, expected a whole number");
        assert!(refusal(&format!("/api/v1/{path}?{name}=x")).ends_with(&expected), "{path} {name}");
    }
    assert!(refusal("/api/v1/ledger?day=2026-02-30").contains("day"));
    assert!(refusal("/api/v1/days/yesterday/totals").contains("date"));
    assert!(refusal("/api/v1/members/first").ends_with("no: \"first\" given, expected a whole number"));
    assert!(refusal("/api/v1/members?format=pdf").ends_with("format: \"pdf\" given, expected json or csv"));
    assert!(refusal("/api/v1/members?limit=1&limit=2").ends_with("query: duplicate field `limit`"));
}

#[test]
fn a_header_that_is_no_number_is_refused_by_name() {
    let house = House::sqlite();
    for name in ["x-duplex-at-least", "x-duplex-max-lag-ms"] {
        for value in ["", "-1", "1.5", "soon", "99999999999999999999"] {
            let heard = house.read_with("/api/v1/members", &[(name, value)]);
            assert_eq!(heard.status, 400, "{name}: {value}");
            assert!(heard.json()["text_en"].as_str().unwrap().contains(name));
        }
    }
}

#[test]
fn a_path_or_method_that_is_not_there_is_said_in_json() {
    let house = House::sqlite();
    let nowhere = house.get("/api/v1/nothing");
    assert_eq!((nowhere.status, nowhere.code()), (404, "NOT_FOUND".into()));
    let wrong = house.get("/api/v1/commands");
    assert_eq!((wrong.status, wrong.code()), (405, "METHOD_NOT_ALLOWED".into()));
    assert_eq!(house.post("/api/v1/members", b"{}").status, 405);
}
