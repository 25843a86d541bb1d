//! Table tests of single turns.

use super::*;
use crate::model::{DataId, Digest, Sequence};

mod switchover;
mod word;

const DATA: [DataId; 2] = [DataId([1; 16]), DataId([2; 16])];
const PAIR_A: Holder = Holder::Pair { main: ServerId::A };

fn register(epoch: u64, holder: Holder) -> Register {
    Register { epoch: Epoch(epoch), holder, data_ids: DATA, recorded: Position::GENESIS }
}

fn disk(server: ServerId, epoch: u64, holder: Holder) -> Coordination {
    Coordination { held: (Epoch(epoch), holder), ..Coordination::first(server, &register(epoch, holder)) }
}

fn view() -> View {
    View::default()
}

fn standing_of(machine: &Failover) -> Standing {
    machine.standing()
}

/// A server of a Pair of epoch 1 that knows the register, as Main (A) or Sub (B).
fn paired(server: ServerId) -> Failover {
    let (mut machine, _) = Failover::start(disk(server, 1, PAIR_A), false);
    let peer = Failover::start(disk(server.peer(), 1, PAIR_A), false).0;
    machine.step(&view(), Event::Register(register(1, PAIR_A)));
    machine.step(&view(), Event::PeerSays(standing_of(&peer)));
    if server == ServerId::A {
        machine.step(&view(), Event::Compared);
        assert_eq!(machine.state(), State::Main);
    } else {
        machine.step(&view(), Event::StreamWanted { epoch: Epoch(1), holder: PAIR_A });
        assert_eq!(machine.state(), State::Sub);
    }
    machine
}

fn asked(effects: &[Effect]) -> Option<(Register, Register)> {
    effects.iter().find_map(|effect| match effect {
        Effect::Ask { expected, new } => Some((*expected, *new)),
        _ => None,
    })
}

fn place(effects: &[Effect], wanted: impl Fn(&Effect) -> bool) -> usize {
    effects.iter().position(wanted).expect("the effect is there")
}

#[test]
fn a_sub_whose_main_is_dead_asks_at_once_and_serves_only_after_the_grant_is_durable() {
    let mut sub = paired(ServerId::B);
    let effects = sub.step(&view(), Event::PeerLost(Loss::Dead));
    let (expected, new) = asked(&effects).expect("asks");
    assert_eq!((expected.epoch, new.epoch, new.holder), (Epoch(1), Epoch(2), Holder::Solo { server: ServerId::B }));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Gate(Rule::Own(_)))));
    let effects = sub.step(&view(), Event::Landed(new));
    let noted = place(&effects, |effect| matches!(effect, Effect::Note(disk) if disk.held == (Epoch(2), new.holder)));
    let open = place(&effects, |effect| matches!(effect, Effect::Gate(Rule::Own(Epoch(2)))));
    assert!(noted < open, "durable before it is acted on");
}

#[test]
fn the_epoch_asked_for_is_spent_durably_before_it_is_asked_for() {
    let mut sub = paired(ServerId::B);
    let effects = sub.step(&view(), Event::PeerLost(Loss::Dead));
    let noted = place(&effects, |effect| matches!(effect, Effect::Note(disk) if disk.spent == Epoch(2)));
    assert!(noted < place(&effects, |effect| matches!(effect, Effect::Ask { .. })));
}

#[test]
fn a_silent_main_is_asked_about_only_when_every_lease_has_run_out() {
    let mut sub = paired(ServerId::B);
    let effects = sub.step(&view(), Event::PeerLost(Loss::Silent));
    assert!(asked(&effects).is_none());
    assert!(effects.contains(&Effect::GrantLeases(false)) && effects.contains(&Effect::Admit(false)));
    assert!(asked(&sub.step(&view(), Event::LeasesOut)).is_some());
}

#[test]
fn a_main_acknowledges_nothing_between_the_loss_of_its_sub_and_the_grant() {
    let mut main = paired(ServerId::A);
    let effects = main.step(&view(), Event::PeerLost(Loss::Dead));
    assert!(place(&effects, |e| *e == Effect::Gate(Rule::Closed)) < place(&effects, |e| matches!(e, Effect::Ask { .. })));
    assert_eq!(main.mode(), Mode::Suspended);
}

#[test]
fn a_main_whose_peer_starts_just_after_it_was_missed_compares_with_it() {
    let (mut main, _) = Failover::start(disk(ServerId::A, 1, PAIR_A), false);
    main.step(&view(), Event::Register(register(1, PAIR_A)));
    main.step(&view(), Event::PeerLost(Loss::Silent));
    assert_eq!(main.state(), State::Waiting);
    let peer = Failover::start(disk(ServerId::B, 1, PAIR_A), false).0;
    main.step(&view(), Event::PeerBack);
    let effects = main.step(&view(), Event::PeerSays(standing_of(&peer)));
    assert!(effects.contains(&Effect::Begin { epoch: Epoch(1), holder: PAIR_A }));
    main.step(&view(), Event::Compared);
    assert_eq!(main.state(), State::Main);
}

#[test]
fn a_peer_that_is_back_for_a_moment_only_is_asked_about_all_the_same() {
    for server in [ServerId::A, ServerId::B] {
        let mut machine = paired(server);
        machine.step(&view(), Event::StreamLost);
        machine.step(&view(), Event::PeerLost(Loss::Silent));
        machine.step(&view(), Event::PeerBack);
        let effects = machine.step(&view(), Event::PeerLost(Loss::Silent));
        assert!(effects.contains(&Effect::GrantLeases(false)), "{server:?} waits for leases that it goes on granting");
        assert!(asked(&machine.step(&view(), Event::LeasesOut)).is_some());
    }
}

/// Nothing was begun: only its stream can bring the peer back while the arbiter is away.
#[test]
fn a_main_that_asks_since_its_start_opens_its_stream_when_the_peer_comes_and_no_arbiter_is_there() {
    let (mut main, _) = Failover::start(disk(ServerId::A, 1, PAIR_A), false);
    main.step(&view(), Event::PeerLost(Loss::Silent));
    main.step(&view(), Event::LeasesOut);
    assert_eq!(main.state(), State::Asking);
    let effects = main.step(&view(), Event::PeerBack);
    assert!(effects.contains(&Effect::Begin { epoch: Epoch(1), holder: PAIR_A }));
    main.step(&view(), Event::Compared);
    assert_eq!(main.state(), State::Main);
}

#[test]
fn a_main_whose_stream_does_not_come_back_with_its_peer_asks_after_its_time() {
    let mut main = paired(ServerId::A);
    main.step(&view(), Event::StreamLost);
    main.step(&view(), Event::PeerLost(Loss::Silent));
    main.step(&view(), Event::PeerBack);
    assert_eq!(main.state(), State::Comparing);
    main.step(&view(), Event::CompareTooLong);
    assert!(asked(&main.step(&view(), Event::LeasesOut)).is_some());
}

#[test]
fn asking_again_spends_no_other_epoch_until_the_register_has_changed() {
    let mut sub = paired(ServerId::B);
    let (_, first) = asked(&sub.step(&view(), Event::PeerLost(Loss::Dead))).expect("asks");
    let effects = sub.step(&view(), Event::RetryDue);
    assert_eq!(asked(&effects).expect("asks again").1, first);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Note(_) | Effect::Story(_))), "nothing new to note or to tell");
    let moved = Register { recorded: Position { epoch: Epoch(1), ..Position::GENESIS }, ..register(1, PAIR_A) };
    let held = View { stored: moved.recorded, ..view() };
    let (_, second) = asked(&sub.step(&held, Event::Differs(moved))).expect("asks on the new value");
    assert!(second.epoch > first.epoch);
}

/// A Main that it followed may still acknowledge (`async`) and hold its address by a lease.
#[test]
fn a_late_grant_found_by_a_sub_waits_for_the_leases_that_it_gave() {
    let mut sub = paired(ServerId::B);
    let effects = sub.step(&view(), Event::Register(register(2, Holder::Solo { server: ServerId::B })));
    assert!(effects.contains(&Effect::GrantLeases(false)));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Gate(Rule::Own(_)) | Effect::Begin { .. })));
    let (_, raise) = asked(&sub.step(&view(), Event::LeasesOut)).expect("then asks for a raise");
    sub.step(&view(), Event::Landed(raise));
    assert_eq!(sub.state(), State::Solo(Toward::Nothing));
}

#[test]
fn a_sub_that_asks_extends_no_lease_before_it_follows_again() {
    let mut sub = paired(ServerId::B);
    sub.step(&view(), Event::PeerLost(Loss::Dead));
    let effects = sub.step(&view(), Event::PeerBack);
    assert!(effects.contains(&Effect::Admit(true)) && !effects.contains(&Effect::GrantLeases(true)));
    let effects = sub.step(&view(), Event::StreamWanted { epoch: Epoch(1), holder: PAIR_A });
    assert!(effects.contains(&Effect::GrantLeases(true)));
}

#[test]
fn a_run_that_dies_while_its_server_asks_is_begun_anew_by_the_grant() {
    let mut main = paired(ServerId::A);
    let (_, new) = asked(&main.step(&view(), Event::PeerLost(Loss::Dead))).expect("asks");
    let for_the_peer = main.step(&view(), Event::StorageReborn);
    assert!(for_the_peer.contains(&Effect::Begin { epoch: Epoch(1), holder: PAIR_A }));
    let effects = main.step(&view(), Event::Landed(new));
    assert!(effects.contains(&Effect::Begin { epoch: Epoch(2), holder: new.holder }));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Continue { .. })));
}

/// What a follower has stored of the run that is gone must not meet other entries of the same epoch.
#[test]
fn a_solo_server_whose_storage_was_reborn_first_wins_a_raise() {
    let mut main = paired(ServerId::A);
    let (_, new) = asked(&main.step(&view(), Event::PeerLost(Loss::Dead))).expect("asks");
    main.step(&view(), Event::Landed(new));
    let effects = main.step(&view(), Event::StorageReborn);
    assert!(effects.contains(&Effect::Gate(Rule::Closed)));
    let (_, raise) = asked(&effects).expect("asks for the raise");
    assert!(raise.epoch > new.epoch);
    let effects = main.step(&view(), Event::Landed(raise));
    assert!(effects.contains(&Effect::Begin { epoch: raise.epoch, holder: raise.holder }));
}

#[test]
fn a_main_that_lost_the_race_drops_everything_and_rejoins() {
    let mut main = paired(ServerId::A);
    main.step(&view(), Event::PeerLost(Loss::Dead));
    let effects = main.step(&view(), Event::Differs(register(2, Holder::Solo { server: ServerId::B })));
    assert!(effects.contains(&Effect::Addresses(AddressSet::None, HoldBy::Lease)));
    assert!(effects.contains(&Effect::Cease));
    assert_eq!(main.state(), State::Rejoining);
}

#[test]
fn an_ask_without_answer_is_repeated_and_the_peer_that_comes_back_makes_a_pair_again() {
    let mut main = paired(ServerId::A);
    main.step(&view(), Event::PeerLost(Loss::Silent));
    main.step(&view(), Event::LeasesOut);
    main.step(&view(), Event::StreamLost);
    assert!(asked(&main.step(&view(), Event::RetryDue)).is_some());
    main.step(&view(), Event::PeerBack);
    assert_eq!(main.state(), State::Asking, "its stream is not open yet");
    main.step(&view(), Event::Compared);
    assert_eq!(main.state(), State::Main);
}

#[test]
fn a_grant_that_lands_late_is_acted_on_by_a_main_that_went_on_as_a_pair() {
    let mut main = paired(ServerId::A);
    let (_, new) = asked(&main.step(&view(), Event::PeerLost(Loss::Dead))).expect("asks");
    main.step(&view(), Event::PeerBack);
    assert_eq!(main.state(), State::Main);
    main.step(&view(), Event::Register(new));
    assert_eq!(main.state(), State::Solo(Toward::Nothing));
}

#[test]
fn a_stale_disk_never_asks() {
    let solo_b = Holder::Solo { server: ServerId::B };
    let (mut stale, effects) = Failover::start(disk(ServerId::A, 2, solo_b), false);
    assert_eq!(stale.state(), State::Rejoining);
    assert!(asked(&effects).is_none());
    let mut effects = stale.step(&view(), Event::Register(register(2, solo_b)));
    effects.extend(stale.step(&view(), Event::PeerLost(Loss::Dead)));
    effects.extend(stale.step(&view(), Event::RetryDue));
    assert!(asked(&effects).is_none());
}

#[test]
fn a_disk_that_lacks_recorded_entries_does_not_lead() {
    let (mut machine, _) = Failover::start(disk(ServerId::B, 1, PAIR_A), false);
    let recorded = Position { epoch: Epoch(1), sequence: Sequence(9), digest: Digest::default() };
    machine.step(&view(), Event::Register(Register { recorded, ..register(1, PAIR_A) }));
    let effects = machine.step(&view(), Event::PeerLost(Loss::Dead));
    assert!(asked(&effects).is_none());
    assert_eq!(machine.state(), State::Halted);
}

#[test]
fn a_restarted_solo_server_first_wins_a_raise() {
    let solo = Holder::Solo { server: ServerId::B };
    let (mut machine, _) = Failover::start(disk(ServerId::B, 2, solo), false);
    machine.step(&view(), Event::Register(register(2, solo)));
    let effects = machine.step(&view(), Event::PeerLost(Loss::Silent));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Gate(Rule::Own(_)))));
    let (_, new) = asked(&machine.step(&view(), Event::LeasesOut)).expect("asks");
    assert_eq!((new.epoch, new.holder), (Epoch(3), solo));
}

#[test]
fn a_solo_server_that_asked_for_the_pair_goes_back_only_by_a_raise() {
    let mut solo = alone();
    let mut effects = toward_pair(&mut solo);
    let (_, wanted) = asked(&effects).expect("asks for the pair");
    effects = solo.step(&view(), Event::StreamLost);
    let (_, raise) = asked(&effects).expect("asks for a raise");
    assert!(raise.epoch > wanted.epoch);
    assert_eq!(raise.holder, Holder::Solo { server: ServerId::A });
    assert!(effects.contains(&Effect::Gate(Rule::Closed)));
}

#[test]
fn an_own_pair_that_landed_while_its_server_wants_to_be_alone_is_gone_on_with_in_its_epoch() {
    let mut solo = alone();
    let (_, wanted) = asked(&toward_pair(&mut solo)).expect("asks for the pair");
    solo.step(&view(), Event::StreamLost);
    let effects = solo.step(&view(), Event::Differs(wanted));
    assert!(effects.contains(&Effect::Continue { epoch: wanted.epoch, holder: wanted.holder }));
    assert!(asked(&effects).expect("asks for a raise above it").1.epoch > wanted.epoch);
    let effects = solo.step(&view(), Event::Compared);
    assert!(effects.contains(&Effect::Gate(Rule::Both(wanted.epoch))), "the peer was there first");
}

#[test]
fn a_solo_server_that_has_not_asked_falls_back_by_itself() {
    let mut solo = alone();
    solo.step(&view(), Event::PeerBack);
    solo.step(&view(), Event::PeerNear);
    let effects = solo.step(&view(), Event::StreamLost);
    assert!(effects.contains(&Effect::Gate(Rule::Own(Epoch(2)))));
    assert_eq!(solo.state(), State::Solo(Toward::Nothing));
}

#[test]
fn the_pair_is_entered_with_the_need_of_the_peer_the_intent_and_the_grant_in_this_order() {
    let mut solo = alone();
    let effects = toward_pair(&mut solo);
    let (_, wanted) = asked(&effects).expect("asks for the pair");
    let effects = solo.step(&view(), Event::Landed(wanted));
    assert_eq!(solo.state(), State::Main);
    assert!(effects.contains(&Effect::Tell(TellPeer::Enter(wanted))));
    assert!(effects.contains(&Effect::Addresses(AddressSet::Main, HoldBy::Lease)));
}

#[test]
fn an_intent_entitles_to_nothing_until_the_register_shows_exactly_that() {
    let solo_a = Holder::Solo { server: ServerId::A };
    let (mut back, _) = Failover::start(disk(ServerId::B, 1, PAIR_A), false);
    back.step(&view(), Event::StreamWanted { epoch: Epoch(2), holder: solo_a });
    back.step(&view(), Event::IntendWanted(register(3, PAIR_A)));
    back.step(&view(), Event::PeerLost(Loss::Dead));
    assert!(asked(&back.step(&view(), Event::Register(register(2, solo_a)))).is_none());
    let effects = back.step(&view(), Event::Register(register(3, PAIR_A)));
    let (expected, _) = asked(&effects).expect("in sync under the register: it may take over");
    assert_eq!(expected.epoch, Epoch(3));
}

#[test]
fn not_in_sync_is_durable_before_a_returning_server_takes_the_stream() {
    let solo_a = Holder::Solo { server: ServerId::A };
    let (mut back, _) = Failover::start(disk(ServerId::B, 1, PAIR_A), false);
    let effects = back.step(&view(), Event::StreamWanted { epoch: Epoch(2), holder: solo_a });
    let noted = place(&effects, |effect| matches!(effect, Effect::Note(disk) if !disk.in_sync));
    assert!(noted < place(&effects, |effect| *effect == Effect::Stream(StreamVerdict::Rejoining)));
}

#[test]
fn a_stream_of_an_older_epoch_is_refused() {
    let solo_b = Holder::Solo { server: ServerId::B };
    let (mut machine, _) = Failover::start(disk(ServerId::A, 2, solo_b), false);
    let effects = machine.step(&view(), Event::StreamWanted { epoch: Epoch(1), holder: Holder::Pair { main: ServerId::B } });
    assert_eq!(effects, [Effect::Stream(StreamVerdict::EpochOld { ours: Epoch(2) })]);
}

/// A as Solo of epoch 2, after B was lost.
fn alone() -> Failover {
    let mut main = paired(ServerId::A);
    let (_, new) = asked(&main.step(&view(), Event::PeerLost(Loss::Dead))).expect("asks");
    main.step(&view(), Event::Landed(new));
    assert_eq!(main.state(), State::Solo(Toward::Nothing));
    main
}

/// From plain Solo up to the request for the Pair; the effects of the last step.
fn toward_pair(solo: &mut Failover) -> Vec<Effect> {
    solo.step(&view(), Event::PeerBack);
    let effects = solo.step(&view(), Event::PeerNear);
    assert!(effects.contains(&Effect::Gate(Rule::Both(Epoch(2)))));
    let effects = solo.step(&view(), Event::PeerLevel);
    let intent = effects.iter().find_map(|effect| match effect {
        Effect::Tell(TellPeer::Intend(register)) => Some(*register),
        _ => None,
    });
    solo.step(&view(), Event::PeerIntended(intent.expect("tells the intent")))
}

/// A Main that stood still hears, when it wakes, that its Sub is there: as Main of a newer epoch.
#[test]
fn a_main_that_hears_of_a_newer_epoch_before_its_peer_is_back_tells_nothing_more_of_its_own() {
    let mut main = paired(ServerId::A);
    main.step(&view(), Event::PeerLost(Loss::Silent));
    let newer = Failover::start(disk(ServerId::B, 2, Holder::Solo { server: ServerId::B }), false).0;
    let heard = main.step(&view(), Event::PeerSays(standing_of(&newer)));
    assert_eq!(heard, [Effect::ReadRegister]);
    let back = main.step(&view(), Event::PeerBack);
    assert_eq!(back, [Effect::ReadRegister], "neither the gate nor the leases");
    assert_eq!(main.state(), State::Waiting);
}
