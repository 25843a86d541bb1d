//! Commands over HTTP.

use super::database::Database;
use super::house::House;

const PATH: &str = "/api/v1/commands";
const COMMAND: &str =
    r#"{"v":1,"terminal_id":"seat-1","key":"k","command_id":"000102030405060708090a0b0c0d0e0f","command":"deposit","body":{}}"#;

fn answer(status: &str, code: &str, stored_on: &str) -> String {
    format!(
        "{{\"command_id\":\"000102030405060708090a0b0c0d0e0f\",\"status\":\"{status}\",\"code\":\"{code}\",\"text_ja\":\"\",\
         \"text_en\":\"\",\"body\":{{}},\"stored_on\":{stored_on},\"epoch\":3,\"sequence\":41,\"date\":null,\"mode\":\"pair\",\
         \"repeated\":false}}\n"
    )
}

#[test]
fn a_command_goes_on_as_it_came_and_its_answer_comes_back_as_it_is() {
    let house = House::answering(Database::sqlite(), |line| (line == COMMAND).then(|| answer("ok", "", "\"both\"")));
    let heard = house.post(PATH, COMMAND.as_bytes());
    assert_eq!((heard.status, heard.body.as_str()), (200, answer("ok", "", "\"both\"").as_str()));
    assert_eq!((heard.header("Content-Type"), heard.header("X-Duplex-Position")), ("application/json", "3/41"));
}

#[test]
fn a_rejection_is_an_answer_and_a_retry_is_to_be_repeated() {
    let house = House::answering(Database::sqlite(), |line| {
        Some(match line {
            "rejected" => answer("rejected", "WRONG_PIN", "\"one\""),
            "bad" => answer("rejected", "BAD_REQUEST", "null"),
            _ => answer("retry", "SWITCHING", "null"),
        })
    });
    let rejected = house.post(PATH, b"rejected");
    assert_eq!((rejected.status, rejected.header("Retry-After")), (200, ""));
    let bad = house.post(PATH, b"bad");
    assert_eq!((bad.status, bad.header("X-Duplex-Position")), (400, ""));
    let retry = house.post(PATH, b"retry");
    assert_eq!((retry.status, retry.header("Retry-After"), retry.header("X-Duplex-Position")), (503, "2", ""));
}

#[test]
fn a_command_that_nobody_answers_ends_in_retry_under_its_own_id() {
    let mut house = House::sqlite();
    let silent = house.post(PATH, COMMAND.as_bytes());
    house.stop_acceptor();
    let gone = house.post(PATH, COMMAND.as_bytes());
    for heard in [silent, gone] {
        assert_eq!((heard.status, heard.header("Retry-After"), heard.code()), (503, "2", "SWITCHING".into()));
        assert_eq!(heard.json()["status"], "retry");
        assert_eq!(heard.json()["command_id"], "000102030405060708090a0b0c0d0e0f");
        assert!(heard.json()["stored_on"].is_null());
    }
}

#[test]
fn a_body_of_64_kib_goes_on_and_one_byte_more_does_not() {
    let house = House::answering(Database::sqlite(), |line| (line.len() == 65_536).then(|| answer("ok", "", "\"both\"")));
    assert_eq!(house.post(PATH, &[b' '; 65_536]).status, 200);
    let heard = house.post(PATH, &[b' '; 65_537]);
    assert_eq!((heard.status, heard.code()), (413, "TOO_LARGE".into()));
}

#[test]
fn a_body_that_is_not_utf_8_is_refused() {
    let heard = House::sqlite().post(PATH, b"\xff{}");
    assert_eq!((heard.status, heard.code()), (400, "BAD_REQUEST".into()));
}
