//! A person's word that the other server is off.

use super::*;

const SOLO_A: Holder = Holder::Solo { server: ServerId::A };
const SOLO_B: Holder = Holder::Solo { server: ServerId::B };

/// A Sub whose Main has died and whose arbiter is away.
fn orphan() -> Failover {
    let mut sub = paired(ServerId::B);
    sub.step(&view(), Event::PeerLost(Loss::Dead));
    assert_eq!(sub.state(), State::Asking);
    sub
}

fn confirmed(mut machine: Failover) -> Failover {
    machine.step(&view(), Event::PersonConfirms);
    assert_eq!(machine.state(), State::Solo(Toward::Nothing));
    machine
}

fn heard(machine: &mut Failover, epoch: u64, holder: Holder, role: Role) -> Vec<Effect> {
    let peer = Failover::start(disk(machine.disk().server.peer(), epoch, holder), false).0;
    machine.step(&view(), Event::PeerBack);
    machine.step(&view(), Event::PeerSays(Standing { role, ..peer.standing() }))
}

#[test]
fn a_word_is_durable_before_anything_is_acknowledged_by_it() {
    let mut sub = orphan();
    let effects = sub.step(&view(), Event::PersonConfirms);
    let noted = place(&effects, |effect| matches!(effect, Effect::Note(disk) if disk.word == Some((Epoch(1), PAIR_A))));
    let open = place(&effects, |effect| matches!(effect, Effect::Gate(Rule::Own(Epoch(3)))));
    assert!(noted < open, "{effects:?}");
    assert_eq!(sub.disk().held, (Epoch(3), SOLO_B), "above epoch 2, which was asked for and may still land");
}

#[test]
fn a_word_on_a_server_whose_peer_is_heard_or_that_serves_changes_nothing() {
    let alone = confirmed(orphan());
    let mut just_started = Failover::start(disk(ServerId::B, 1, PAIR_A), false).0;
    let mut ill = paired(ServerId::B);
    ill.step(&view(), Event::PeerLost(Loss::CannotAcknowledge));
    for (mut machine, why) in [
        (paired(ServerId::A), WordRefused::PeerHeard),
        (paired(ServerId::B), WordRefused::PeerHeard),
        (ill, WordRefused::PeerHeard),
        (alone, WordRefused::Serves),
        (just_started.clone(), WordRefused::TooEarly),
    ] {
        let before = machine.clone();
        assert_eq!((machine.takes_word(), machine.step(&view(), Event::PersonConfirms)), (Err(why), vec![]));
        assert_eq!(machine, before);
    }
    just_started.step(&view(), Event::PeerLost(Loss::Silent));
    assert_eq!(just_started.takes_word(), Err(WordRefused::TooEarly), "leases that were granted run out first");
    just_started.step(&view(), Event::LeasesOut);
    assert_eq!(just_started.takes_word(), Ok(()));
}

#[test]
fn a_stale_server_may_be_told_to_serve_as_well() {
    let mut stale = Failover::start(disk(ServerId::B, 6, SOLO_A), false).0;
    assert_eq!(stale.state(), State::Rejoining);
    stale.step(&view(), Event::PeerLost(Loss::Silent));
    let stale = confirmed(stale);
    assert_eq!((stale.disk().held, stale.disk().word), ((Epoch(7), SOLO_B), Some((Epoch(6), SOLO_A))));
}

#[test]
fn two_people_before_two_servers_never_name_one_epoch() {
    let mut main = paired(ServerId::A);
    main.step(&view(), Event::PeerLost(Loss::Dead));
    assert_eq!(confirmed(main).disk().held.0, Epoch(4));
    assert_eq!(confirmed(orphan()).disk().held.0, Epoch(3));
}

#[test]
fn a_word_is_written_into_the_register_as_soon_as_the_arbiter_answers() {
    let mut sub = confirmed(orphan());
    let effects = sub.step(&view(), Event::Register(register(1, PAIR_A)));
    let (expected, new) = asked(&effects).expect("asks");
    assert_eq!((expected, new), (register(1, PAIR_A), register(3, SOLO_B)));
    sub.step(&view(), Event::Landed(new));
    assert_eq!((sub.state(), sub.disk().word), (State::Solo(Toward::Nothing), None));
}

#[test]
fn no_pair_is_asked_for_before_the_register_knows_the_word() {
    let mut sub = confirmed(orphan());
    sub.step(&view(), Event::PeerNear);
    assert_eq!(sub.state(), State::Solo(Toward::Nothing));
    sub.step(&view(), Event::Register(register(3, SOLO_B)));
    sub.step(&view(), Event::PeerBack);
    sub.step(&view(), Event::PeerNear);
    assert_eq!(sub.state(), State::Solo(Toward::Level));
}

#[test]
fn a_late_grant_of_its_own_is_no_reason_to_stop() {
    let mut sub = confirmed(orphan());
    let effects = sub.step(&view(), Event::Register(register(2, SOLO_B)));
    assert_eq!(asked(&effects), Some((register(2, SOLO_B), register(3, SOLO_B))));
    assert_eq!(sub.state(), State::Solo(Toward::Nothing));
}

#[test]
fn a_register_that_names_the_other_one_meanwhile_wins_whatever_its_number() {
    for epoch in [2, 3, 4] {
        let mut sub = confirmed(orphan());
        let effects = sub.step(&view(), Event::Register(register(epoch, SOLO_A)));
        assert_eq!(sub.state(), State::Rejoining, "epoch {epoch}");
        assert!(effects.contains(&Effect::Gate(Rule::Closed)) && asked(&effects).is_none());
    }
}

#[test]
fn a_word_against_a_server_that_serves_after_all_is_given_up() {
    let mut sub = confirmed(orphan());
    heard(&mut sub, 1, PAIR_A, Role::Main);
    sub.step(&view(), Event::Register(register(1, PAIR_A)));
    assert_eq!(sub.state(), State::Rejoining);
}

#[test]
fn of_two_servers_that_serve_alone_by_a_word_the_lower_epoch_yields_when_they_meet() {
    let mut lower = confirmed(orphan());
    let effects = heard(&mut lower, 4, SOLO_A, Role::Main);
    assert_eq!(lower.state(), State::Rejoining);
    assert!(effects.contains(&Effect::Addresses(AddressSet::None, HoldBy::Lease)));
    let mut higher = confirmed(orphan());
    heard(&mut higher, 2, SOLO_A, Role::Main);
    assert_eq!(higher.state(), State::Solo(Toward::Nothing));
    let mut alike = confirmed(orphan());
    heard(&mut alike, 3, SOLO_A, Role::Main);
    assert_eq!(alike.state(), State::Rejoining, "epoch 3 was no word of A's, so the arbiter granted it");
}

#[test]
fn whoever_was_granted_the_register_raises_above_a_word_that_was_given_up() {
    let (mut main, _) = Failover::start(disk(ServerId::A, 2, SOLO_A), false);
    main.step(&view(), Event::Register(register(2, SOLO_A)));
    main.step(&view(), Event::PeerLost(Loss::Dead));
    main.step(&view(), Event::LeasesOut);
    main.step(&view(), Event::Landed(register(3, SOLO_A)));
    assert_eq!(main.state(), State::Solo(Toward::Nothing));
    main.step(&view(), Event::PeerBack);
    let gave_up = Standing { mode: Mode::Rejoining, role: Role::None, ..disk_standing(5, SOLO_B) };
    let effects = main.step(&view(), Event::PeerSays(gave_up));
    assert!(effects.contains(&Effect::ReadRegister));
    let effects = main.step(&view(), Event::Register(register(3, SOLO_A)));
    assert_eq!(asked(&effects), Some((register(3, SOLO_A), register(6, SOLO_A))));
}

fn disk_standing(epoch: u64, holder: Holder) -> Standing {
    Failover::start(disk(ServerId::B, epoch, holder), false).0.standing()
}

#[test]
fn a_server_that_started_anew_raises_its_word_when_it_writes_it() {
    let word = Some((Epoch(1), PAIR_A));
    let (mut again, _) = Failover::start(Coordination { word, ..disk(ServerId::B, 3, SOLO_B) }, false);
    again.step(&view(), Event::PeerLost(Loss::Silent));
    again.step(&view(), Event::LeasesOut);
    assert_eq!(again.mode(), Mode::Suspended, "alone at boot, a person is asked again");
    let effects = again.step(&view(), Event::Register(register(1, PAIR_A)));
    let (_, new) = asked(&effects).expect("asks");
    assert_eq!(new, register(5, SOLO_B));
    again.step(&view(), Event::Landed(new));
    assert_eq!((again.state(), again.disk().word), (State::Solo(Toward::Nothing), None));
}

#[test]
fn where_no_arbiter_counts_each_server_draws_numbers_of_its_own() {
    for (server, drawn) in [(ServerId::A, 2), (ServerId::B, 3)] {
        let mut machine = paired(server).drawing_own_numbers();
        let effects = machine.step(&view(), Event::PeerLost(Loss::Dead));
        assert_eq!(asked(&effects).expect("asks").1.epoch, Epoch(drawn));
    }
}
