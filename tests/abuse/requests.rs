//! Requests that are wrong, and ids that were used before.

use serde_json::{Value, json};

use crate::pair::{CommandIds, First, Line, PATIENCE, Pair, Second, eventually};

fn deposit(pair: &Pair, command_id: &str, units: u64) -> Value {
    pair.request("seat-1", command_id, "deposit", json!({"card_id": "C00000001", "rate_id": 1, "units": units}))
}

/// The same request with one field set, or taken away (`null`).
fn with(mut request: Value, field: &str, value: Value) -> Value {
    if value.is_null() {
        request.as_object_mut().unwrap().remove(field);
    } else {
        request[field] = value;
    }
    request
}

#[track_caller]
fn refused(line: &mut Line, request: &Value, code: &str, named: &str) {
    let answer = line.ask(request).unwrap();
    assert_eq!((answer["status"].as_str(), answer["code"].as_str()), (Some("rejected"), Some(code)), "{answer}");
    assert!(answer.to_string().contains(named), "{named:?} is not named: {answer}");
    for text in ["text_ja", "text_en"] {
        assert_ne!(answer[text], "", "{answer}");
    }
}

#[track_caller]
fn served(line: &mut Line, request: &Value) -> Value {
    let answer = line.ask(request).unwrap();
    assert_eq!((answer["status"].as_str(), answer["stored_on"].as_str()), (Some("ok"), Some("both")), "{answer}");
    answer
}

#[test]
fn a_bad_request_is_answered_with_the_field_that_is_wrong_and_the_connection_goes_on() {
    let pair = Pair::at_work();
    let mut line = pair.line(First);
    let good = || deposit(&pair, &CommandIds::draw(), 1);
    let body = |body: Value| with(good(), "body", body);
    let cases = [
        (with(good(), "command", json!("no_such_command")), "BAD_REQUEST", "no such command"),
        (with(good(), "command", json!(7)), "BAD_REQUEST", "command"),
        (with(good(), "command", Value::Null), "BAD_REQUEST", "command"),
        (with(good(), "command_id", json!("short")), "BAD_REQUEST", "command_id"),
        (with(good(), "key", Value::Null), "BAD_REQUEST", "key"),
        (with(good(), "body", json!([])), "BAD_REQUEST", "body"),
        (with(good(), "v", json!(2)), "VERSION_UNKNOWN", ""),
        (with(good(), "surprise", json!(1)), "BAD_REQUEST", "surprise"),
        (body(json!({"card_id": "C00000001", "rate_id": 1, "units": "many"})), "BAD_REQUEST", "units"),
        (body(json!({"card_id": "C00000001", "rate_id": 1})), "BAD_REQUEST", "units"),
        (body(json!({"card_id": "C00000001", "rate_id": 1, "units": 1, "more": 1})), "BAD_REQUEST", "more"),
        (body(json!({"card_id": "C00000001", "rate_id": 1, "units": -5})), "BAD_REQUEST", "units"),
        (body(json!({"card_id": "C\u{0}", "rate_id": 1, "units": 5})), "BAD_REQUEST", "card_id"),
    ];
    for (request, code, named) in &cases {
        refused(&mut line, request, code, named);
    }
    for text in ["not json", "{}", "[1,2]", "{\"v\":1", &"[".repeat(60_000)] {
        line.send(format!("{text}\n").as_bytes()).unwrap();
        assert_eq!(line.hear().unwrap().unwrap()["code"], "BAD_REQUEST", "{text:.80}");
    }
    served(&mut line, &good());
}

#[test]
fn strangers_and_cards_that_are_no_good_are_refused_by_name() {
    let pair = Pair::at_work();
    let mut line = pair.line(First);
    let good = || deposit(&pair, &CommandIds::draw(), 1);
    refused(&mut line, &with(good(), "terminal_id", json!("seat-9999")), "UNKNOWN_TERMINAL", "");
    refused(&mut line, &with(good(), "key", json!("0".repeat(64))), "WRONG_KEY", "");
    let unknown = json!({"card_id": "X1", "rate_id": 1, "units": 1});
    refused(&mut line, &with(good(), "body", unknown), "UNKNOWN_CARD", "");

    let authenticate =
        |card: &str, pin: &str| pair.request("seat-1", &CommandIds::draw(), "authenticate", json!({"card_id": card, "pin": pin}));
    served(&mut line, &authenticate("C00000002", "0002"));
    for code in ["WRONG_PIN", "WRONG_PIN", "PIN_LOCKED"] {
        refused(&mut line, &authenticate("C00000002", "9999"), code, "");
    }
    refused(&mut line, &authenticate("C00000002", "0002"), "PIN_LOCKED", "");
    served(&mut line, &authenticate("C00000003", "0003"));

    let password = std::fs::read_to_string(pair.file("password.txt")).unwrap();
    let sign_in = json!({"staff_id": "manager", "password": password.trim()});
    let signed_in = served(&mut line, &pair.request("office", &CommandIds::draw(), "sign_in", sign_in));
    let stop = pair.request(
        "office",
        &CommandIds::draw(),
        "stop_card",
        json!({"card_id": "C00000003", "reason": "found in the street"}),
    );
    refused(&mut line, &stop, "NOT_SIGNED_IN", "");
    let stop = with(stop, "staff_session", signed_in["body"]["staff_session"].clone());
    served(&mut line, &with(stop, "command_id", json!(CommandIds::draw())));
    refused(&mut line, &authenticate("C00000003", "0003"), "CARD_STOPPED", "");
}

#[test]
fn one_id_has_one_effect_and_one_answer_also_after_main_was_killed() {
    let mut pair = Pair::at_work();
    let (id, refused_id) = (CommandIds::draw(), CommandIds::draw());
    let mut line = pair.line(First);
    let first = served(&mut line, &deposit(&pair, &id, 500));
    assert_eq!(first["repeated"], false);
    let refusal = with(deposit(&pair, &refused_id, 5), "body", json!({"card_id": "X1", "rate_id": 1, "units": 5}));
    let first_refusal = line.ask(&refusal).unwrap();
    refused(&mut line, &deposit(&pair, &id, 501), "COMMAND_ID_REUSED", "");
    refused(&mut line, &deposit(&pair, &refused_id, 5), "COMMAND_ID_REUSED", "");

    let same = |again: &Value, first: &Value| {
        assert_eq!(again["repeated"], true, "{again}");
        assert_eq!(again["date"], first["date"], "{again}");
        for field in ["status", "code", "body", "sequence", "epoch"] {
            assert_eq!(again[field], first[field], "{field}: {again} {first}");
        }
    };
    same(&line.ask(&deposit(&pair, &id, 500)).unwrap(), &first);
    same(&line.ask(&refusal).unwrap(), &first_refusal);
    pair.kill(First);
    pair.wait_for_log(Second, "took over", PATIENCE);
    let mut line = pair.line(Second);
    let again = line.ask(&deposit(&pair, &id, 500)).unwrap();
    same(&again, &first);
    assert_eq!(again["stored_on"], "one", "{again}");
    same(&line.ask(&refusal).unwrap(), &first_refusal);
    refused(&mut line, &deposit(&pair, &id, 501), "COMMAND_ID_REUSED", "");
    let balance = line.ask(&deposit(&pair, &CommandIds::draw(), 1)).unwrap()["body"]["balance"].as_i64().unwrap();
    assert_eq!(balance, first["body"]["balance"].as_i64().unwrap() + 1);
}

fn all_is_applied(pair: &Pair) -> bool {
    let status = ureq::get(format!("http://{}/api/v1/status", pair.http(First))).call();
    let status: Value = status.unwrap().body_mut().read_json().unwrap();
    assert!(status["applied"].is_u64() && status["confirmed"].is_u64(), "{status}");
    status["applied"] == status["confirmed"] && status["confirmed"] == status["sequence"]
}

/// Both ask the store first, and nothing else comes that would wake anybody.
#[test]
fn a_command_that_asks_the_store_is_answered_at_once_on_a_quiet_pair() {
    let pair = Pair::at_work();
    let person = json!({"name": "山田 静", "kana": "ヤマダ シズカ", "birth_date": "1980-01-02"});
    let member = json!({"person": person, "id_checked_by": "manager"});
    for (command, body) in [("register_member", member.clone()), ("register_member", member)] {
        assert!(eventually(PATIENCE, || all_is_applied(&pair)));
        let asked = std::time::Instant::now();
        let answer = pair.line(First).ask(&pair.request("enrol", &CommandIds::draw(), command, body)).unwrap();
        assert_ne!(answer["status"], "retry", "{answer}");
        assert!(asked.elapsed() < std::time::Duration::from_secs(1), "{command} took {:?}", asked.elapsed());
    }
}
