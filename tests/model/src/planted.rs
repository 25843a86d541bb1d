//! Bugs to plant: each leaves out one rule, around the machine or in the world beside it. What is clean means little unless these are found.

use crate::machines::failover::{Effect, Event, Failover, Rule, State, StreamVerdict, Switch, Toward, View};
use crate::model::{Coordination, Holder, Position, Standing};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Planted {
    /// The first solo acknowledgement does not wait for the grant.
    SoloBeforeGrant,
    /// In a Pair, what the Sub has stored may be acknowledged before Main has stored it.
    OwnJournalIsNoCondition,
    /// Pair is asked for while acknowledgements do not need the peer yet.
    NoNeedBeforePair,
    /// A Main that boots serves alone without asking.
    BootWithoutAsking,
    /// Who has asked for Pair and reads the old value goes back to Solo.
    FallBackByReading,
    /// Who has asked for Pair and loses the peer goes back to Solo without a raise.
    FallBackWithoutRaise,
    /// A Solo server that restarts acknowledges without a raise.
    RestartedSoloServes,
    /// A repeated id is answered before its entry is confirmed.
    RepeatBeforeConfirmed,
    /// Change 1 or a raise without looking whether this disk holds what was recorded.
    UncheckedDisk,
    /// Boot by comparison although one of the two disks says Solo.
    SoloComparedAsPair,
    /// Reads leave without the peer's echo while Pair is being asked for.
    ReadWithoutEcho,
    /// Command ids of a tail stay known when the tail is cut.
    IdsOutliveACut,
    /// A reborn storage goes on in the same stream, and acknowledgements are taken by number.
    RunOutlivesItsWriter,

    /// The arbiter writes without comparing.
    ArbiterOverwrites,
    /// The arbiter's register is set back when a server crashes.
    ArbiterForgets,
    /// A server that is being restored asks when the holder is lost.
    ReturningServerAsks,
    /// Pair is asked for before the peer has stored everything.
    PairBeforeLevel,
    /// Journals are compared by their lengths.
    ComparesByNumber,
    /// Two servers that agree on a switchover do not ask the arbiter.
    SwitchWithoutArbiter,
    /// A Sub that has noted its intent is Main from then on.
    IntentEntitles,
    /// The peer's word on one intent is taken for its word on another of the same epoch.
    AnyIntentWillDo,
}

impl Planted {
    pub const ALL: [Self; 21] = [
        Self::SoloBeforeGrant,
        Self::OwnJournalIsNoCondition,
        Self::NoNeedBeforePair,
        Self::BootWithoutAsking,
        Self::FallBackByReading,
        Self::FallBackWithoutRaise,
        Self::RestartedSoloServes,
        Self::RepeatBeforeConfirmed,
        Self::UncheckedDisk,
        Self::SoloComparedAsPair,
        Self::ReadWithoutEcho,
        Self::IdsOutliveACut,
        Self::RunOutlivesItsWriter,
        Self::ArbiterOverwrites,
        Self::ArbiterForgets,
        Self::ReturningServerAsks,
        Self::PairBeforeLevel,
        Self::ComparesByNumber,
        Self::SwitchWithoutArbiter,
        Self::IntentEntitles,
        Self::AnyIntentWillDo,
    ];

    pub fn at_start(planted: Option<Self>, disk: &Coordination, mut effects: Vec<Effect>) -> Vec<Effect> {
        let (epoch, holder) = disk.held;
        let is_solo = matches!(holder, Holder::Solo { .. });
        let serves = match planted {
            Some(Self::BootWithoutAsking) => !is_solo,
            Some(Self::RestartedSoloServes) => is_solo,
            _ => false,
        };
        if serves && holder.acknowledger() == disk.server {
            effects.extend([Effect::Continue { epoch, holder }, Effect::Gate(Rule::Own(epoch))]);
        }
        effects
    }

    pub fn step(planted: Option<Self>, machine: &mut Failover, view: View, event: Event) -> Vec<Effect> {
        let Some(planted) = planted else { return machine.step(&view, event) };
        let (before, disk) = (machine.state(), *machine.disk());
        let (view, heard) = planted.heard(machine, view, event);
        let mut effects = machine.step(&view, heard);
        planted.change(before, &disk, machine, event, &mut effects);
        if let Some(believed) = planted.believed(before, machine.state(), event) {
            effects.retain(|effect| !matches!(effect, Effect::Ask { .. }));
            effects.extend(machine.step(&view, believed));
        }
        effects
    }

    /// What it takes for the register's word besides.
    fn believed(self, before: State, after: State, event: Event) -> Option<Event> {
        match (self, before, event, after) {
            (Self::SwitchWithoutArbiter, State::Switching(Switch::Intent(_)), _, State::Switching(Switch::Asked(wanted))) => {
                Some(Event::Landed(wanted))
            }
            (Self::IntentEntitles, State::Sub, Event::IntendWanted(register), _) => Some(Event::Register(register)),
            _ => None,
        }
    }

    /// What the machine is made to believe.
    fn heard(self, machine: &Failover, view: View, event: Event) -> (View, Event) {
        let (epoch, holder) = machine.disk().held;
        match (self, event) {
            (Self::UncheckedDisk, _) => {
                let recorded = match event {
                    Event::Register(register) | Event::Differs(register) | Event::Landed(register) => register.recorded,
                    _ => machine.register().map_or(Position::GENESIS, |register| register.recorded),
                };
                let lacks = (recorded.epoch, recorded.sequence) > (view.stored.epoch, view.stored.sequence);
                (View { stored: if lacks { recorded } else { view.stored }, ..view }, event)
            }
            (Self::SoloComparedAsPair, Event::PeerSays(standing)) if machine.state() == State::Starting => {
                (view, Event::PeerSays(Standing { epoch, holder, ..standing }))
            }
            (Self::AnyIntentWillDo, Event::PeerIntended(_)) => match machine.state() {
                State::Solo(Toward::Intent(wanted)) | State::Switching(Switch::Intent(wanted)) => {
                    (view, Event::PeerIntended(wanted))
                }
                _ => (view, event),
            },
            _ => (view, event),
        }
    }

    /// What it wants done, and what is done instead.
    fn change(self, before: State, disk: &Coordination, machine: &Failover, event: Event, effects: &mut Vec<Effect>) {
        let held = disk.held.0;
        let goes_back = [Effect::Gate(Rule::Own(held))];
        match (self, event, before) {
            (Self::SoloBeforeGrant, ..) => {
                let asked = effects.iter().find_map(|effect| match effect {
                    Effect::Ask { new, .. } if matches!(new.holder, Holder::Solo { .. }) => Some(*new),
                    _ => None,
                });
                if let Some(new) = asked {
                    effects.push(Effect::Continue { epoch: new.epoch, holder: new.holder });
                    effects.push(Effect::Gate(Rule::Own(new.epoch)));
                }
            }
            (Self::NoNeedBeforePair, Event::PeerNear, _) => effects.retain(|effect| !matches!(effect, Effect::Gate(_))),
            (Self::FallBackByReading, Event::Register(register), State::Solo(Toward::Asked(_))) if register.epoch == held => {
                effects.extend(goes_back);
            }
            (Self::FallBackWithoutRaise, Event::StreamLost, State::Solo(Toward::Asked(_))) => effects.extend(goes_back),
            (Self::SoloComparedAsPair, Event::StreamWanted { epoch, .. }, _) if epoch < held => {
                effects.retain(|effect| !matches!(effect, Effect::Stream(_)));
                effects.push(Effect::Stream(StreamVerdict::AsSub));
            }
            (Self::ReturningServerAsks, Event::PeerLost(_), State::Rejoining) => {
                if let Some(expected) = machine.register().copied() {
                    let epoch = expected.epoch.max(disk.spent).next();
                    let new = crate::model::Register { epoch, holder: Holder::Solo { server: disk.server }, ..expected };
                    effects.push(Effect::Ask { expected, new });
                }
            }
            _ => {}
        }
    }
}
