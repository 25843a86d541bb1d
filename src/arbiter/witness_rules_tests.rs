use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{DataId, Digest, Sequence};

const A: ServerId = ServerId::A;
const B: ServerId = ServerId::B;
const IDS: [DataId; 2] = [DataId([0xA; 16]), DataId([0xB; 16])];

fn at(epoch: u64, sequence: u64) -> Position {
    Position { epoch: Epoch(epoch), sequence: Sequence(sequence), digest: Digest([sequence as u8; 32]) }
}

fn pair(epoch: u64, main: ServerId) -> Register {
    Register { epoch: Epoch(epoch), holder: Holder::Pair { main }, data_ids: IDS, recorded: at(2, 100) }
}

fn solo(epoch: u64, server: ServerId) -> Register {
    Register { holder: Holder::Solo { server }, ..pair(epoch, A) }
}

fn asker(server: ServerId, held: u64) -> Asker {
    Asker { server, data_id: IDS[server.index()], held: Epoch(held) }
}

fn vouched(register: Register) -> Kept {
    Kept { register, reported: [Some(Epoch(1)); 2], since: None }
}

fn ask(kept: &Kept, server: ServerId, expected: Register, new: Register) -> Decision {
    decide(Some(kept), &asker(server, 1), &Question::CompareAndSet { expected, new })
}

/// What a vouched witness that holds `old` says to `server` asking for `new`.
fn refusal(old: Register, server: ServerId, new: Register) -> Option<Refusal> {
    let kept = vouched(old);
    match ask(&kept, server, old, new) {
        Decision { keep: None, ruling: Ruling::Refused(refusal) } => Some(refusal),
        Decision { keep, ruling: Ruling::Outcome(CasOutcome::Landed(landed)) } => {
            assert_eq!(landed, new);
            assert_eq!(keep.unwrap_or(kept).register, new, "what landed is what is kept");
            None
        }
        other => panic!("neither landed nor refused: {other:?}"),
    }
}

#[test]
fn each_change_of_the_machine_is_granted_to_the_server_that_may_ask_for_it_and_to_no_other() {
    let table = [
        (pair(5, A), solo(6, A), vec![A]),
        (pair(5, A), solo(6, B), vec![B]),
        (pair(5, A), pair(6, B), vec![A]),
        (pair(5, A), pair(6, A), vec![A]),
        (solo(5, A), solo(6, A), vec![A]),
        (solo(5, A), pair(6, A), vec![A]),
        (solo(5, A), solo(6, B), vec![]),
        (solo(5, A), pair(6, B), vec![]),
    ];
    for (old, new, granted_to) in table {
        for server in [A, B] {
            let refused = Refusal::NotItsChange { asker: server, from: old.holder, to: new.holder };
            let expected = (!granted_to.contains(&server)).then_some(refused);
            assert_eq!(refusal(old, server, new), expected, "{server:?} asks for {new:?} instead of {old:?}");
        }
    }
}

#[test]
fn a_change_of_holder_needs_a_higher_epoch_and_no_epoch_goes_back() {
    assert_eq!(refusal(pair(5, A), B, solo(5, B)), Some(Refusal::EpochNotRaised { epoch: Epoch(5) }));
    assert_eq!(refusal(pair(5, A), B, solo(4, B)), Some(Refusal::EpochLower { from: Epoch(5), to: Epoch(4) }));
    assert_eq!(refusal(pair(5, A), A, pair(4, A)), Some(Refusal::EpochLower { from: Epoch(5), to: Epoch(4) }));
    assert_eq!(refusal(pair(5, A), B, solo(9, B)), None, "epochs that were spent are skipped");
}

#[test]
fn within_an_epoch_only_the_acknowledger_refreshes_the_recorded_position_and_only_upwards() {
    let higher = Register { recorded: at(2, 101), ..pair(5, A) };
    assert_eq!(refusal(pair(5, A), A, higher), None);
    assert!(matches!(refusal(pair(5, A), B, higher), Some(Refusal::NotItsChange { asker: B, .. })));
    let lower = Register { recorded: at(2, 99), ..pair(5, A) };
    assert_eq!(refusal(pair(5, A), A, lower), Some(Refusal::RecordedLower { from: at(2, 100), to: at(2, 99) }));
}

#[test]
fn a_server_below_the_recorded_position_is_granted_nothing() {
    let table = [
        (at(2, 99), false, "fewer entries"),
        (at(1, 101), false, "more entries of an older epoch"),
        (at(3, 99), false, "fewer entries of a newer epoch"),
        (Position { digest: Digest([9; 32]), ..at(2, 100) }, false, "as many entries, but others"),
        (at(2, 100), true, "the same"),
        (at(3, 101), true, "more, of a newer epoch"),
    ];
    for (recorded, granted, what) in table {
        let asked = Register { recorded, ..solo(6, B) };
        assert_eq!(refusal(pair(5, A), B, asked).is_none(), granted, "{what}");
    }
}

#[test]
fn another_disk_is_granted_nothing_and_data_ids_never_change() {
    let kept = vouched(pair(5, A));
    let swapped = Asker { data_id: DataId([7; 16]), ..asker(B, 0) };
    let question = Question::CompareAndSet { expected: kept.register, new: solo(6, B) };
    let decision = decide(Some(&kept), &swapped, &question);
    assert_eq!(decision, Decision { keep: None, ruling: Ruling::Refused(Refusal::OtherDisk { server: B }) });
    let renamed = Register { data_ids: [IDS[0], DataId([7; 16])], ..solo(6, A) };
    assert_eq!(refusal(pair(5, A), A, renamed), Some(Refusal::DataIdsChange));
}

#[test]
fn any_difference_to_the_whole_value_leaves_the_register_untouched() {
    let kept = vouched(pair(5, A));
    let differing = [
        pair(4, A),
        pair(5, B),
        solo(5, A),
        Register { recorded: at(2, 99), ..pair(5, A) },
        Register { data_ids: [IDS[1]; 2], ..pair(5, A) },
    ];
    for expected in differing {
        let decision = ask(&kept, A, expected, solo(6, A));
        assert_eq!(decision, Decision { keep: None, ruling: Ruling::Outcome(CasOutcome::Differs(pair(5, A))) });
    }
}

#[test]
fn a_late_duplicate_of_an_ask_that_landed_changes_nothing_and_shows_what_is() {
    let landed = vouched(solo(6, B));
    let decision = ask(&landed, B, pair(5, A), solo(6, B));
    assert_eq!(decision, Decision { keep: None, ruling: Ruling::Outcome(CasOutcome::Differs(solo(6, B))) });
}

#[test]
fn an_empty_witness_takes_a_first_register_once() {
    let first = decide(None, &asker(A, 1), &Question::Introduce { first: pair(1, A) });
    let kept = first.keep.expect("taken");
    assert_eq!(kept.register, pair(1, A));
    let second = decide(Some(&vouched(pair(5, A))), &asker(A, 1), &Question::Introduce { first: pair(9, B) });
    assert_eq!(second, Decision { keep: None, ruling: Ruling::Outcome(CasOutcome::Differs(pair(5, A))) });
}

#[test]
fn a_new_witness_grants_nothing_until_both_servers_have_reported() {
    let introduced = decide(None, &asker(A, 1), &Question::Introduce { first: pair(1, A) });
    assert_eq!(introduced.ruling, Ruling::Refused(Refusal::Awaits { server: B }));
    let kept = introduced.keep.expect("taken");
    let change = Question::CompareAndSet { expected: pair(1, A), new: solo(2, A) };
    for question in [Question::Read, change] {
        assert_eq!(decide(Some(&kept), &asker(A, 1), &question).ruling, Ruling::Refused(Refusal::Awaits { server: B }));
    }
    let heard = decide(Some(&kept), &asker(B, 1), &Question::Read);
    assert_eq!(heard.ruling, Ruling::Holds(Some(pair(1, A))));
    let kept = heard.keep.expect("the report is written down before it counts");
    assert_eq!(decide(Some(&kept), &asker(A, 1), &change).ruling, Ruling::Outcome(CasOutcome::Landed(solo(2, A))));
}

#[test]
fn the_report_of_another_disk_does_not_count() {
    let restored = Kept { register: pair(5, A), reported: [Some(Epoch(5)), None], since: None };
    let swapped = Asker { data_id: DataId([7; 16]), ..asker(B, 0) };
    let decision = decide(Some(&restored), &swapped, &Question::Read);
    assert_eq!(decision, Decision { keep: None, ruling: Ruling::Refused(Refusal::Awaits { server: B }) });
}

#[test]
fn a_disk_that_held_a_higher_epoch_stops_the_witness_for_good_and_for_both_servers() {
    let kept = vouched(solo(7, A));
    let decision = decide(Some(&kept), &asker(B, 9), &Question::Read);
    let went_back = Refusal::WentBack { server: B, held: Epoch(9), register: Epoch(7) };
    assert_eq!(decision.ruling, Ruling::Refused(went_back.clone()));
    let kept = decision.keep.expect("noted, so that a restart does not forget it");
    assert_eq!(ask(&kept, A, solo(7, A), solo(8, A)).ruling, Ruling::Refused(went_back.clone()));
    let text = went_back.to_string();
    assert!(text.contains("epoch 7") && text.contains("epoch 9") && text.contains("server-b"), "{text}");
}

#[test]
fn a_witness_that_lost_everything_does_not_start_again_below_what_a_disk_held() {
    let decision = decide(None, &asker(A, 4), &Question::Introduce { first: pair(1, A) });
    let lost = Refusal::FirstIsOld { held: Epoch(4), first: Epoch(1) };
    assert_eq!(decision, Decision { keep: None, ruling: Ruling::Refused(lost) });
    let by_a_person = decide(None, &asker(A, 4), &Question::Introduce { first: pair(5, A) });
    assert!(by_a_person.keep.is_some());
}

#[test]
fn an_empty_witness_holds_nothing_and_changes_nothing() {
    assert_eq!(decide(None, &asker(A, 1), &Question::Read).ruling, Ruling::Holds(None));
    let change = Question::CompareAndSet { expected: pair(1, A), new: solo(2, A) };
    let decision = decide(None, &asker(A, 1), &change);
    assert_eq!(decision, Decision { keep: None, ruling: Ruling::Refused(Refusal::Empty) });
}

#[test]
fn an_ordinary_report_costs_no_write() {
    let decision = decide(Some(&vouched(pair(5, A))), &asker(A, 5), &Question::Read);
    assert_eq!(decision, Decision { keep: None, ruling: Ruling::Holds(Some(pair(5, A))) });
}

/// One thing that happens to a witness and its two servers.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A server asks for what it may, by what it last saw of the register. Its answer may be lost.
    Asks {
        server: ServerId,
        for_pair: bool,
        answered: bool,
    },
    Reads {
        server: ServerId,
    },
    /// An ask of long ago arrives once more; nobody hears the answer.
    Again {
        ask: prop::sample::Index,
    },
    BacksUp,
    Restores,
}

fn happening() -> impl Strategy<Value = Happening> {
    let server = || prop_oneof![Just(A), Just(B)];
    prop_oneof![
        6 => (server(), any::<bool>(), any::<bool>()).prop_map(|(server, for_pair, answered)| Happening::Asks { server, for_pair, answered }),
        6 => server().prop_map(|server| Happening::Reads { server }),
        2 => any::<prop::sample::Index>().prop_map(|ask| Happening::Again { ask }),
        1 => Just(Happening::BacksUp),
        1 => Just(Happening::Restores),
    ]
}

/// A witness, its backup, and two servers that believe what they hear.
struct World {
    kept: Kept,
    backup: Kept,
    seen: [Register; 2],
    held: [u64; 2],
    asks: Vec<(ServerId, u64, Question)>,
    /// Who was told, in each epoch, that it may acknowledge.
    acknowledgers: BTreeMap<Epoch, ServerId>,
}

impl World {
    fn new() -> Self {
        let kept = vouched(pair(1, A));
        let acknowledgers = BTreeMap::from([(Epoch(1), A)]);
        Self { kept, backup: kept, seen: [pair(1, A); 2], held: [1; 2], asks: Vec::new(), acknowledgers }
    }

    fn step(&mut self, happening: Happening) {
        match happening {
            Happening::Asks { server, for_pair, answered } => {
                let expected = self.seen[server.index()];
                let holder = if for_pair { Holder::Pair { main: server } } else { Holder::Solo { server } };
                let new = Register { holder, epoch: expected.epoch.next(), ..expected };
                let question = Question::CompareAndSet { expected, new };
                self.asks.push((server, self.held[server.index()], question));
                self.ask(server, self.held[server.index()], question, answered);
            }
            Happening::Reads { server } => self.ask(server, self.held[server.index()], Question::Read, true),
            Happening::Again { ask } if !self.asks.is_empty() => {
                let (server, held, question) = *ask.get(&self.asks);
                self.ask(server, held, question, false);
            }
            Happening::Again { .. } => {}
            Happening::BacksUp => self.backup = self.kept,
            Happening::Restores => {
                // As the file does it: what was reported to another file does not count.
                self.kept = Kept { reported: [None; 2], ..self.backup };
                // A file is read at start only, and no connection outlives the process.
                self.asks.clear();
            }
        }
    }

    fn ask(&mut self, server: ServerId, held: u64, question: Question, answered: bool) {
        let before = self.kept.register;
        let decision = decide(Some(&self.kept), &asker(server, held), &question);
        self.kept = decision.keep.unwrap_or(self.kept);
        assert!(self.kept.register == before || self.kept.register.epoch > before.epoch, "the epoch rises with the holder");
        let heard = match decision.ruling {
            Ruling::Holds(Some(register)) | Ruling::Outcome(CasOutcome::Landed(register) | CasOutcome::Differs(register)) => {
                register
            }
            Ruling::Holds(None) | Ruling::Refused(_) => return,
        };
        if answered {
            self.hear(server, heard);
        }
    }

    /// The server acts on a register that names it, and its disk holds that epoch from then on.
    fn hear(&mut self, server: ServerId, register: Register) {
        self.seen[server.index()] = register;
        if register.holder.acknowledger() == server {
            self.held[server.index()] = self.held[server.index()].max(register.epoch.0);
            let told = *self.acknowledgers.entry(register.epoch).or_insert(server);
            assert_eq!(told, server, "epoch {} was given to both", register.epoch.0);
        }
    }
}

proptest! {
    #[test]
    fn no_epoch_is_ever_given_to_both_servers_whatever_is_lost_repeated_or_restored(
        happenings in prop::collection::vec(happening(), 1..60)
    ) {
        let mut world = World::new();
        happenings.into_iter().for_each(|happening| world.step(happening));
    }
}

#[test]
fn a_persons_word_counts_though_the_asker_lacks_entries_and_the_other_held_alone() {
    let kept = vouched(solo(5, A));
    let overrule = |asker: &Asker, expected, new| decide(Some(&kept), asker, &Question::Overrule { expected, new }).ruling;
    let word = Register { recorded: at(2, 90), ..solo(7, B) };
    assert_eq!(overrule(&asker(B, 1), solo(5, A), word), Ruling::Outcome(CasOutcome::Landed(word)));
    assert_eq!(overrule(&asker(B, 1), solo(4, A), word), Ruling::Outcome(CasOutcome::Differs(solo(5, A))));
    let refused = Refusal::EpochNotRaised { epoch: Epoch(5) };
    assert_eq!(overrule(&asker(B, 1), solo(5, A), solo(5, B)), Ruling::Refused(refused));
    let went_back = Kept { reported: [Some(Epoch(7)), None], ..kept };
    let question = |new| Question::Overrule { expected: solo(5, A), new };
    assert_eq!(decide(Some(&went_back), &asker(B, 1), &question(word)).ruling, Ruling::Outcome(CasOutcome::Landed(word)));
    let below = decide(Some(&went_back), &asker(B, 1), &question(solo(6, B))).ruling;
    assert_eq!(below, Ruling::Refused(Refusal::EpochNotRaised { epoch: Epoch(7) }));
    let other_disk = Asker { data_id: DataId([7; 16]), ..asker(B, 1) };
    assert_eq!(overrule(&other_disk, solo(5, A), word), Ruling::Refused(Refusal::OtherDisk { server: B }));
    assert!(matches!(overrule(&asker(B, 1), solo(5, A), solo(7, A)), Ruling::Refused(Refusal::NotItsChange { .. })));
    assert!(matches!(overrule(&asker(B, 1), solo(5, A), pair(7, B)), Ruling::Refused(Refusal::NotItsChange { .. })));
}

#[test]
fn the_date_of_a_register_is_that_of_its_last_change_of_holder() {
    let (first, then, later) = (UnixMs(1_000), UnixMs(2_000), UnixMs(3_000));
    let begun = vouched(pair(5, A)).dated(None, first);
    assert_eq!(begun.since, Some(first));
    let changed = Kept { register: solo(6, B), ..begun }.dated(Some(&begun), then);
    let refreshed = Kept { register: Register { recorded: at(6, 200), ..solo(6, B) }, ..changed };
    assert_eq!((changed.since, refreshed.dated(Some(&changed), later).since), (Some(then), Some(then)));
    let raised = Kept { register: solo(7, B), ..changed }.dated(Some(&changed), later);
    assert_eq!(raised.since, Some(then), "it served alone before it started anew");
}

#[test]
fn every_refusal_is_counted_under_a_code_of_its_own() {
    let (zero, position, holder) = (Epoch(0), at(1, 1), Holder::Solo { server: A });
    let refusals = [
        Refusal::Empty,
        Refusal::Awaits { server: A },
        Refusal::WentBack { server: A, held: zero, register: zero },
        Refusal::FirstIsOld { held: zero, first: zero },
        Refusal::OtherDisk { server: A },
        Refusal::DataIdsChange,
        Refusal::EpochLower { from: zero, to: zero },
        Refusal::EpochNotRaised { epoch: zero },
        Refusal::RecordedLower { from: position, to: position },
        Refusal::NotItsChange { asker: A, from: holder, to: holder },
    ];
    assert_eq!(refusals.map(|refusal| refusal.code()), Refusal::CODES);
    assert_eq!(BTreeMap::from(Refusal::CODES.map(|code| (code, ()))).len(), Refusal::CODES.len());
}
