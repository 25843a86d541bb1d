//! What everybody may see: status, page and metrics.

use std::sync::atomic::Ordering::SeqCst;

use duplex::clock;
use duplex::handover::shown::Takeover;
use duplex::model::{DataId, Epoch, Holder, Mode, Moment, Position, Register, Role, Sequence, ServerId, UnixMs};

use super::house::House;

#[test]
fn status_says_how_a_pair_is() {
    let house = House::sqlite();
    house.shown.update(|view| view.addresses = vec![[10, 0, 0, 101].into()]);
    let status = house.get("/api/v1/status").json();
    assert_eq!((&status["server"], &status["role"], &status["mode"]), (&"hall-2".into(), &"sub".into(), &"pair".into()));
    assert_eq!((&status["epoch"], &status["sequence"], &status["applied"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!((&status["sentence"]["en"], &status["shape"]), (&"Running as a pair".into(), &"●".into()));
    assert_eq!((&status["peer"]["name"], &status["peer"]["in_sync"]), (&"hall-1".into(), &true.into()));
    assert_eq!((&status["addresses"][0], &status["since"]), (&"10.0.0.101".into(), &"2026-07-01T01:00:00Z".into()));
    let storage = &status["actors"][0];
    assert_eq!((&storage["name"], &storage["children"][0]["restarts"]), (&"storage".into(), &1.into()));
}

#[test]
fn status_says_how_far_the_other_server_is_behind() {
    let house = House::sqlite();
    house.stand(Mode::Solo, Role::Main);
    house.board.set_stored(Position { epoch: Epoch(1), sequence: Sequence(50), ..Position::GENESIS });
    house.board.set_peer_stored(Sequence(20));
    let status = house.get("/api/v1/status").json();
    assert_eq!((&status["peer"]["lag_entries"], &status["peer"]["lag_ms"]), (&30.into(), &serde_json::Value::Null));
    assert_eq!(status["sentence"]["en"], "Restoring the pair (40%)");
    house.metrics.peer_lag_ms.set(1_250.0);
    assert_eq!(house.get("/api/v1/status").json()["peer"]["lag_ms"], 1_250);
    house.board.set_peer_stored(Sequence(50));
    assert_eq!(house.get("/api/v1/status").json()["peer"]["lag_ms"], 0);
}

#[test]
fn status_tells_of_arbiter_takeover_and_conflicts() {
    let house = House::sqlite();
    let holder = Holder::Solo { server: ServerId::B };
    let register = Register { epoch: Epoch(7), holder, data_ids: [DataId([0; 16]); 2], recorded: Position::GENESIS };
    house.shown.update(|view| {
        view.arbiter_heard = Some(clock::now());
        view.register = Some(register);
        view.last_takeover = Some(Takeover { at: UnixMs(0), took_over: true, took_ms: 287, may_be_lost: Some(3) });
        view.conflicts = vec!["02:00:00:00:00:01".into()];
    });
    let status = house.get("/api/v1/status").json();
    let arbiter = &status["arbiter"];
    assert_eq!((&arbiter["kind"], &arbiter["reachable"], &arbiter["epoch"]), (&"witness".into(), &true.into(), &7.into()));
    assert_eq!(arbiter["holder"]["solo"]["server"], "b");
    assert_eq!((&status["last_takeover"]["took_ms"], &status["conflicts"][0]), (&287.into(), &"02:00:00:00:00:01".into()));
}

#[test]
fn an_arbiter_that_was_heard_long_ago_is_not_reachable() {
    let house = House::sqlite();
    let long_ago = Moment(clock::now().0.saturating_sub(10_000));
    house.shown.update(|view| view.arbiter_heard = Some(long_ago));
    let status = house.get("/api/v1/status").json();
    assert_eq!((&status["arbiter"]["reachable"], &status["replication"]), (&false.into(), &"sync".into()));
    assert!(status["arbiter"]["heard_ms_ago"].as_u64().unwrap() >= 10_000);
}

#[test]
fn a_server_that_stands_nowhere_yet_has_a_status_all_the_same() {
    let house = House::sqlite();
    house.shown.update(|view| *view = Default::default());
    let status = house.get("/api/v1/status").json();
    assert_eq!(
        (&status["role"], &status["mode"], &status["since"]),
        (&"none".into(), &"starting".into(), &serde_json::Value::Null)
    );
    assert_eq!((&status["peer"]["reachable"], &status["peer"]["in_sync"]), (&false.into(), &false.into()));
}

#[test]
fn the_page_shows_word_shape_and_colour_and_asks_nobody_else_for_anything() {
    let house = House::sqlite();
    let page = house.get("/");
    assert!(page.header("Content-Type").starts_with("text/html"));
    for part in ["二重化運用中", "Running as a pair", "●", "class=\"green\"", "hall-2"] {
        assert!(page.body.contains(part), "{part}");
    }
    for foreign in ["http:", "https:", "src=", "<link", "@import", "{{"] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    assert!(page.header("Content-Security-Policy").contains("default-src 'none'"));
}

#[test]
fn metrics_are_openmetrics_and_follow_the_board() {
    let house = House::sqlite();
    house.stand(Mode::Pair, Role::Sub);
    house.board.set_told(Sequence(4));
    house.shown.update(|view| view.addresses = vec![[10, 0, 0, 101].into()]);
    *house.hooks.age_ms.lock().unwrap() = Some(12);
    house.get("/api/v1/status");
    let heard = house.get("/metrics");
    for code in ["stranger", "epoch_old", "digest_differs"] {
        let line = format!("duplex_frames_refused_total{{code=\"{code}\"}} 0");
        assert!(heard.body.contains(&line), "{code} is there before its first event");
    }
    assert_eq!(heard.header("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        r#"duplex_role{role="sub"} 1"#,
        r#"duplex_mode{mode="pair"} 1"#,
        "duplex_epoch 1",
        r#"duplex_position{of="applied"} 1"#,
        "duplex_lag_entries 3",
        "duplex_addresses_held 1",
        "duplex_lag_milliseconds 12",
        r#"duplex_actor_restarts_total{actor="journal-writer"} 1"#,
        "duplex_log_lines_lost_total 0",
        r#"duplex_http_requests_total{path="/api/v1/status",status="200"} 1"#,
    ] {
        assert!(heard.body.lines().any(|found| found == line), "{line} is not in\n{}", heard.body);
    }
    let resident = heard.body.lines().find_map(|line| line.strip_prefix("duplex_process_resident_bytes "));
    assert!(resident.unwrap().parse::<u64>().unwrap() > 1 << 20);
    assert!(heard.body.ends_with("# EOF\n") && heard.body.matches("# EOF").count() == 1);
}

#[test]
fn a_path_that_somebody_made_up_makes_no_series() {
    let house = House::sqlite();
    house.get("/api/v1/made-up");
    let text = house.get("/metrics").body;
    assert!(text.contains(r#"duplex_http_requests_total{path="other",status="404"} 1"#) && !text.contains("made-up"), "{text}");
}

#[test]
fn what_is_open_to_everybody_holds_no_personal_data() {
    let house = House::sqlite();
    house.read("/api/v1/members/1");
    for path in ["/", "/metrics", "/api/v1/status", "/api/v1/openapi.json"] {
        let heard = house.get(path);
        assert_eq!(heard.status, 200);
        assert!(!heard.body.contains("会員 1") && !heard.body.contains("members/1"), "{path}");
    }
}

#[test]
fn a_handler_that_panics_costs_its_own_request_and_no_more() {
    let house = House::sqlite();
    house.hooks.tree_panics.store(true, SeqCst);
    let broken = house.get("/api/v1/status");
    assert_eq!((broken.status, broken.code()), (500, "INTERNAL".into()));
    house.hooks.tree_panics.store(false, SeqCst);
    assert_eq!(house.get("/api/v1/status").status, 200);
    assert!(house.get("/metrics").body.contains("duplex_http_panics_total 1"));
    assert!(house.is_serving());
}

#[test]
fn head_is_get_without_its_body() {
    let house = House::sqlite();
    let heard = house.head("/api/v1/status");
    assert_eq!((heard.status, heard.body.as_str()), (200, ""));
}

#[test]
fn the_command_line_reads_what_status_says() {
    let house = House::sqlite();
    let asked = duplex::cli::status::ask(&house.address.to_string()).unwrap();
    let read: duplex::cli::status::Status = serde_json::from_value(asked).unwrap();
    assert_eq!((read.server.as_str(), read.mode.as_str(), read.peer.in_sync), ("hall-2", "pair", true));
    assert_eq!(read.actors[0].children[0].name, "journal-writer");
}

#[test]
fn status_and_metrics_tell_what_ails_what_would_happen_and_what_failed() {
    let house = House::sqlite();
    house.shown.update(|view| {
        view.arbiter_heard = Some(clock::now());
        view.complaints.store = true;
        view.peer_complaints.lan = true;
    });
    house.failures.note("gap", UnixMs(0));
    house.failures.note("gap", UnixMs(60_000));
    let status = house.get("/api/v1/status").json();
    assert_eq!((&status["complaints"]["store"], &status["peer"]["complaints"]["lan"]), (&true.into(), &true.into()));
    assert!(status["forecast"]["peer_dies"]["en"].as_str().is_some_and(|then| then.contains("but it is ill")), "{status}");
    let gap = &status["failures"][0];
    assert_eq!((&gap["code"], &gap["times"]), (&"gap".into(), &2.into()));
    assert_eq!((&gap["first"], &gap["last"]), (&"1970-01-01T00:00:00Z".into(), &"1970-01-01T00:01:00Z".into()));
    for _ in 0..2 {
        let metrics = house.get("/metrics").body;
        assert!(metrics.contains(r#"duplex_replication_failures_total{code="gap"} 2"#), "{metrics}");
        assert!(metrics.contains(r#"duplex_replication_failures_total{code="store_fails"} 0"#), "{metrics}");
    }
}
