//! When a read is answered, and what it may miss.

use std::sync::{Arc, mpsc};

use duplex::console::NotMain;
use duplex::ledger::rows::Row;
use duplex::model::{Mode, Role, Sequence, Standing};

use super::house::{FILLED, House, member};

const MEMBERS: &str = "/api/v1/members";

/// What a further entry brings.
fn sixth() -> Vec<Row> {
    vec![Row::Member(Box::new(member(6)))]
}

#[test]
fn on_main_whatever_was_confirmed_at_the_proof_is_in_the_answer() {
    let house = House::sqlite();
    house.stand(Mode::Pair, Role::Main);
    let (board, filling) = (Arc::clone(&house.board), Arc::clone(&house.filling));
    house.prove_by(move || {
        let applied = filling.lock().unwrap().apply(sixth());
        board.raise_confirmed(applied.sequence);
        board.set_applied(applied);
        Ok(())
    });
    let heard = house.read(MEMBERS);
    assert_eq!((heard.rows().len(), heard.header("X-Duplex-Position")), (6, "1/2"));
}

#[test]
fn on_main_nothing_is_answered_before_what_was_confirmed_at_the_proof_is_applied() {
    let house = House::sqlite();
    house.stand(Mode::Solo, Role::Main);
    let board = Arc::clone(&house.board);
    house.prove_by(move || {
        board.raise_confirmed(Sequence(2));
        Ok(())
    });
    let heard = house.read(MEMBERS);
    assert_eq!((heard.status, heard.code()), (503, "BEHIND".into()));
    assert_eq!((heard.json()["applied"].as_u64(), heard.json()["at_least"].as_u64()), (Some(1), Some(2)));
}

#[test]
fn a_server_that_cannot_prove_that_it_is_main_answers_no_read() {
    let house = House::sqlite();
    for mode in [Mode::Pair, Mode::Solo] {
        house.stand(mode, Role::Main);
        house.prove_by(|| Err(NotMain));
        let heard = house.read(MEMBERS);
        assert_eq!((heard.status, heard.code(), heard.header("Retry-After")), (503, "SWITCHING".into(), "2"));
    }
}

#[test]
fn a_position_that_main_never_confirmed_is_a_conflict_and_not_worth_waiting_for() {
    let house = House::sqlite();
    house.stand(Mode::Pair, Role::Main);
    let heard = house.read_with(MEMBERS, &[("X-Duplex-At-Least", "9")]);
    assert_eq!((heard.status, heard.code()), (409, "NOT_IN_HISTORY".into()));
    assert_eq!((heard.json()["confirmed"].as_u64(), heard.json()["at_least"].as_u64()), (Some(1), Some(9)));
}

#[test]
fn sub_answers_at_once_with_the_position_that_it_has() {
    let house = House::sqlite();
    house.prove_by(|| panic!("Sub has nothing to prove"));
    house.board.set_told(Sequence(99));
    let position = format!("1/{}", FILLED.0);
    assert_eq!(house.read_with(MEMBERS, &[("X-Duplex-At-Least", &position)]).status, 200);
    let heard = house.read_with(MEMBERS, &[("X-Duplex-At-Least", &FILLED.0.to_string())]);
    assert_eq!((heard.status, heard.header("X-Duplex-Position")), (200, "1/1"));
}

#[test]
fn sub_waits_for_the_position_that_a_client_holds() {
    let house = House::sqlite();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| house.read_with(MEMBERS, &[("X-Duplex-At-Least", "2")]));
        let applied = house.filling.lock().unwrap().apply(sixth());
        house.board.set_applied(applied);
        let heard = reading.join().unwrap();
        assert_eq!((heard.rows().len(), heard.header("X-Duplex-Position")), (6, "1/2"));
    });
}

#[test]
fn a_client_whose_position_does_not_come_in_time_is_told_both_numbers() {
    let house = House::sqlite();
    let heard = house.read_with(MEMBERS, &[("X-Duplex-At-Least", "2")]);
    assert_eq!((heard.status, heard.code(), heard.header("Retry-After")), (503, "BEHIND".into(), "2"));
    assert_eq!((heard.json()["applied"].as_u64(), heard.json()["at_least"].as_u64()), (Some(1), Some(2)));
    assert_eq!(heard.json()["text_en"], "this server has applied entry 1, but entry 2 was asked for");
}

#[test]
fn sub_refuses_data_that_it_cannot_prove_to_be_fresh_enough() {
    let house = House::sqlite();
    let asked = |most: &str| house.read_with(MEMBERS, &[("X-Duplex-Max-Lag-Ms", most)]);
    let unknown = asked("60000");
    assert_eq!((unknown.status, unknown.code()), (503, "NOT_FRESH".into()));
    *house.hooks.age_ms.lock().unwrap() = Some(40);
    assert_eq!((asked("39").status, asked("40").status), (503, 200));
    assert_eq!((asked("39").json()["lag_ms"].as_u64(), asked("39").json()["max_lag_ms"].as_u64()), (Some(40), Some(39)));
    house.stand(Mode::Pair, Role::Main);
    *house.hooks.age_ms.lock().unwrap() = None;
    assert_eq!(asked("0").status, 200, "main has proven it");
}

#[test]
fn a_server_that_serves_nobody_answers_no_read_and_says_why() {
    let house = House::sqlite();
    for (mode, code) in [(Mode::Starting, "SWITCHING"), (Mode::Suspended, "SWITCHING"), (Mode::Rejoining, "RESTORING")] {
        house.stand(mode, Role::None);
        let heard = house.read(MEMBERS);
        assert_eq!((heard.status, heard.code()), (503, code.into()), "{mode:?}");
        assert!(!heard.json()["text_ja"].as_str().unwrap().is_empty());
    }
    house.shown.update(|view| view.standing = None);
    assert_eq!(house.read(MEMBERS).status, 503);
}

#[test]
fn a_read_during_which_the_server_lost_its_place_is_not_answered() {
    let house = House::sqlite();
    for lost in [Mode::Suspended, Mode::Rejoining] {
        house.stand(Mode::Pair, Role::Main);
        let shown = Arc::clone(&house.shown);
        house.prove_by(move || {
            shown.update(|view| view.standing = view.standing.map(|standing| Standing { mode: lost, ..standing }));
            Ok(())
        });
        assert_eq!(house.read(MEMBERS).code(), "SWITCHING");
    }
}

#[test]
fn one_read_too_many_is_told_to_come_again_and_the_others_are_answered() {
    const READS_MAX: usize = 64;
    let house = House::sqlite();
    house.stand(Mode::Pair, Role::Main);
    house.board.raise_confirmed(Sequence(2));
    let (asks, asked) = mpsc::channel();
    house.prove_by(move || asks.send(()).map_err(|_| NotMain));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..READS_MAX).map(|_| scope.spawn(|| house.read(MEMBERS))).collect();
        asked.iter().take(READS_MAX).for_each(drop);
        assert_eq!(house.read(MEMBERS).code(), "BUSY");
        assert_eq!(house.get("/api/v1/status").status, 200);
        let applied = house.filling.lock().unwrap().apply(sixth());
        house.board.set_applied(applied);
        assert!(waiting.into_iter().all(|reading| reading.join().unwrap().rows().len() == 6));
    });
}
