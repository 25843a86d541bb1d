//! Change 4, turn by turn.

use super::*;

const PAIR_B: Holder = Holder::Pair { main: ServerId::B };

fn switching_to(main: &mut Failover) -> Register {
    main.step(&view(), Event::SwitchoverWanted);
    let effects = main.step(&view(), Event::Drained);
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Tell(TellPeer::Intend(register)) => Some(*register),
        _ => None,
    });
    told.expect("tells the intent")
}

#[test]
fn a_main_that_gives_its_role_away_drains_first_and_asks_only_when_the_sub_has_noted_its_intent() {
    let mut main = paired(ServerId::A);
    let effects = main.step(&view(), Event::SwitchoverWanted);
    assert!(effects.contains(&Effect::TakeCommands(false)) && asked(&effects).is_none());
    assert_eq!((main.mode(), main.role()), (Mode::Pair, Role::Main), "what is executed gets its answers");
    let effects = main.step(&view(), Event::Drained);
    assert!(asked(&effects).is_none());
    let State::Switching(Switch::Intent(wanted)) = main.state() else { panic!("{:?}", main.state()) };
    assert_eq!((wanted.epoch, wanted.holder), (Epoch(2), PAIR_B));
    let effects = main.step(&view(), Event::PeerIntended(wanted));
    let noted = place(&effects, |e| matches!(e, Effect::Note(disk) if disk.intent == Some(wanted) && disk.spent == Epoch(2)));
    assert!(place(&effects, |e| *e == Effect::Gate(Rule::Closed)) < noted);
    assert!(noted < place(&effects, |e| matches!(e, Effect::Ask { .. })), "a restarted Main must know what may still land");
}

#[test]
fn a_sub_that_intends_to_be_main_is_main_only_when_the_register_says_so() {
    let (mut main, mut sub) = (paired(ServerId::A), paired(ServerId::B));
    let wanted = switching_to(&mut main);
    let effects = sub.step(&view(), Event::IntendWanted(wanted));
    let noted = place(&effects, |e| matches!(e, Effect::Note(disk) if disk.intent == Some(wanted) && disk.spent == Epoch(2)));
    assert!(noted < place(&effects, |e| *e == Effect::Tell(TellPeer::Intended(wanted))));
    assert_eq!(sub.state(), State::Sub);
    // Its Main stands in that epoch: it has read the register.
    main.step(&view(), Event::PeerIntended(wanted));
    main.step(&view(), Event::Landed(wanted));
    let mut told = sub.clone();
    told.step(&view(), Event::PeerSays(standing_of(&main)));
    assert_eq!(told.state(), State::Comparing);
    let effects = sub.step(&view(), Event::Register(wanted));
    assert_eq!(sub.state(), State::Comparing);
    let closed = place(&effects, |e| *e == Effect::Admit(false));
    assert!(closed < place(&effects, |e| matches!(e, Effect::Begin { .. })), "confirms nothing of the Main before it");
    sub.step(&view(), Event::Compared);
    assert_eq!((sub.state(), sub.disk().held), (State::Main, (Epoch(2), PAIR_B)));
}

#[test]
fn a_main_whose_switchover_landed_is_sub_as_soon_as_the_new_main_opens_its_stream() {
    let mut main = paired(ServerId::A);
    let wanted = switching_to(&mut main);
    main.step(&view(), Event::PeerIntended(wanted));
    let effects = main.step(&view(), Event::Landed(wanted));
    let noted = place(&effects, |e| matches!(e, Effect::Note(disk) if disk.held == (Epoch(2), PAIR_B) && disk.in_sync));
    assert!(noted < place(&effects, |e| *e == Effect::Dismiss));
    assert_eq!(main.standing().epoch, Epoch(2), "this is how the Sub hears of it first");
    assert!(effects.contains(&Effect::Cease) && effects.contains(&Effect::TakeCommands(true)));
    let effects = main.step(&view(), Event::StreamWanted { epoch: Epoch(2), holder: PAIR_B });
    assert!(effects.contains(&Effect::Stream(StreamVerdict::AsSub)));
    assert_eq!(main.state(), State::Sub);
}

#[test]
fn a_switchover_that_nobody_asked_for_yet_is_given_up_and_commands_are_taken_again() {
    for event in [Event::SwitchoverTooLong, Event::StreamLost] {
        let mut main = paired(ServerId::A);
        switching_to(&mut main);
        let effects = main.step(&view(), event);
        assert_eq!(main.state(), State::Main, "{event:?}");
        assert!(effects.contains(&Effect::TakeCommands(true)), "{event:?}");
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Gate(_))), "{event:?}: it was open all the time");
    }
}

/// P5: two servers of one Pair need nobody else.
#[test]
fn a_main_that_asked_for_a_switchover_and_hears_nothing_goes_on_as_the_pair_and_gives_way_when_it_landed_after_all() {
    let mut main = paired(ServerId::A);
    let wanted = switching_to(&mut main);
    main.step(&view(), Event::PeerIntended(wanted));
    assert_eq!((main.mode(), main.role()), (Mode::Suspended, Role::None));
    let effects = main.step(&view(), Event::SwitchoverTooLong);
    assert!(effects.contains(&Effect::Begin { epoch: Epoch(1), holder: PAIR_A }));
    main.step(&view(), Event::Compared);
    assert_eq!(main.state(), State::Main);
    let effects = main.step(&view(), Event::Register(wanted));
    assert!(effects.contains(&Effect::Gate(Rule::Closed)) && effects.contains(&Effect::Cease));
    assert_eq!(main.disk().held, (Epoch(2), PAIR_B));
}

#[test]
fn a_main_that_restarts_after_asking_is_the_sub_that_it_made_itself() {
    let mut main = paired(ServerId::A);
    let wanted = switching_to(&mut main);
    main.step(&view(), Event::PeerIntended(wanted));
    let (mut restarted, _) = Failover::start(*main.disk(), false);
    let effects = restarted.step(&view(), Event::StreamWanted { epoch: Epoch(2), holder: PAIR_B });
    let noted = place(&effects, |e| matches!(e, Effect::Note(disk) if disk.held == (Epoch(2), PAIR_B) && disk.in_sync));
    assert!(noted < place(&effects, |e| *e == Effect::Stream(StreamVerdict::AsSub)));
}

#[test]
fn a_main_that_loses_its_sub_while_switching_wins_a_raise_above_what_it_asked_for() {
    let mut main = paired(ServerId::A);
    let wanted = switching_to(&mut main);
    main.step(&view(), Event::PeerIntended(wanted));
    let effects = main.step(&view(), Event::PeerLost(Loss::Dead));
    let (_, new) = asked(&effects).expect("asks");
    assert_eq!((new.epoch, new.holder), (Epoch(3), Holder::Solo { server: ServerId::A }));
}

/// Found by the model: A tells the intent for Pair(B), goes Solo by an ask that landed late, and tells the one for Pair(A).
#[test]
fn a_word_on_an_earlier_intent_of_the_same_epoch_does_not_count() {
    let mut solo = paired(ServerId::A);
    let earlier = switching_to(&mut solo);
    let landed = register(2, Holder::Solo { server: ServerId::A });
    solo.step(&view(), Event::Landed(landed));
    solo.step(&view(), Event::PeerNear);
    solo.step(&view(), Event::PeerLevel);
    let State::Solo(Toward::Intent(wanted)) = solo.state() else { panic!("{:?}", solo.state()) };
    let stale = Register { epoch: wanted.epoch, ..earlier };
    assert!(asked(&solo.step(&view(), Event::PeerIntended(stale))).is_none());
    assert!(asked(&solo.step(&view(), Event::PeerIntended(wanted))).is_some());
}

#[test]
fn nobody_but_a_main_with_its_sub_and_a_register_that_it_knows_switches_over() {
    let mut sub = paired(ServerId::B);
    assert!(sub.step(&view(), Event::SwitchoverWanted).is_empty());
    let mut alone = paired(ServerId::A);
    alone.step(&view(), Event::StreamLost);
    let effects = alone.step(&view(), Event::SwitchoverWanted);
    assert_eq!(alone.state(), State::Main);
    assert!(effects.contains(&Effect::Story(Story::SwitchoverGivenUp)));
}
