//! Who may acknowledge: the decisions of one server about its role.
//!
//! ```text
//!            peer of the same Pair epoch            lost, grant            near, level, intent, grant
//! Starting ─┬─────────────────────────> Comparing ─> Main ─┬──> Asking ──> Solo ──────────────────────> Main
//!           ├─ stream of my Main ──────────────────> Sub ──┘      ^          (needs Y's storing from "near" on)
//!           ├─ alone and entitled ────────────────────────────────┘
//!           └─ the other has newer ──> Rejoining ── Enter ──> Sub
//!
//!      wanted             drained          the Sub's intent        grant
//! Main ──────> Draining ────────> Intent ────────────────> Asked ───────> Starting ── stream of the new Main ──> Sub
//! Sub ── the register, or the peer that stands in it, names this one ──> Comparing ──> Main
//! ```
//!
//! Effects are performed strictly in order, and the next event is stepped only after they are done: a [`Effect::Note`] is durable
//! before anything behind it happens. Time is judged in [`super::health`]; here only its verdicts arrive.

use crate::model::{Coordination, Epoch, Holder, Mode, Position, Register, Role, ServerId, Standing};

mod asking;
mod effects;
mod peer;
mod rejoin;
mod switchover;
#[cfg(test)]
mod tests;
mod word;

pub use effects::{AddressSet, Effect, Event, HoldBy, Loss, Rule, Story, StreamVerdict, TellPeer};
pub use word::WordRefused;

/// Where the journal is when an event is stepped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct View {
    /// End of this server's durable journal.
    pub stored: Position,
    /// What the arbiter may record: stored on both in a Pair, on this server when Solo.
    pub recordable: Position,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Acknowledging nothing: looking for the peer and the arbiter.
    Starting,
    /// Disk says Pair with this server as Main; the stream to the peer is opening.
    Comparing,
    Main,
    /// Main, giving its role to the Sub.
    Switching(Switch),
    Sub,
    Solo(Toward),
    /// The peer is lost; every lease echoed to it must run out before asking.
    Waiting,
    /// Wants to be Solo; acknowledges nothing until the arbiter's register says so.
    Asking,
    /// The peer holds newer data: follow its stream, never ask.
    Rejoining,
    /// Stopped by a person or a breach; says so and does nothing.
    Halted,
}

/// How far a Solo server is on the way back to a Pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Toward {
    Nothing,
    /// Acknowledgements need the peer; it is not level yet.
    Level,
    /// The peer was told to note its intent.
    Intent(Register),
    /// The arbiter was asked: no way back to plain Solo without winning a raise.
    Asked(Register),
}

/// How far a Main is in giving its role away (change 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Switch {
    /// Takes no more commands; what is executed is being stored on both.
    Draining,
    /// The Sub was told to note its intent.
    Intent(Register),
    /// The arbiter was asked. Nothing is acknowledged until its answer is known, or the two begin anew as the Pair that they were.
    Asked(Register),
}

/// One server's failover machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failover {
    pub(super) me: ServerId,
    /// `async`: Main acknowledges what it has stored itself, while its lease lasts.
    asynchronous: bool,
    /// No third party tells the epochs of one server from the other's.
    own_numbers: bool,
    pub(super) disk: Coordination,
    pub(super) state: State,
    pub(super) peer: Option<Standing>,
    pub(super) lost: Option<Loss>,
    /// The arbiter's value as last read or landed. Only a hint: compare-and-set decides.
    pub(super) register: Option<Register>,
    /// The peer has this server's stream open.
    pub(super) streaming: bool,
    /// DataUpdater runs under this holder: a change of epoch needs no new run.
    pub(super) running: bool,
    /// The Solo epoch that was asked for, and on which register: the same question again spends no other epoch.
    pub(super) asked: Option<(Register, Epoch)>,
}

impl Failover {
    /// A server that has just started, or whose control actors were reborn: it assumes nothing beyond its disk.
    pub fn start(disk: Coordination, asynchronous: bool) -> (Self, Vec<Effect>) {
        let mut machine = Self {
            me: disk.server,
            asynchronous,
            own_numbers: false,
            state: State::Starting,
            peer: None,
            lost: None,
            register: None,
            streaming: false,
            running: false,
            asked: None,
            disk,
        };
        let mut fx = vec![
            Effect::Gate(Rule::Closed),
            Effect::Addresses(AddressSet::None, HoldBy::Lease),
            Effect::Cease,
            Effect::Admit(false),
            Effect::GrantLeases(true),
            Effect::ReadRegister,
        ];
        if machine.disk.stopped_at.is_some() {
            machine.disk.stopped_at = None;
            fx.insert(0, Effect::Note(machine.disk));
        }
        if machine.acknowledger() != machine.me && !machine.in_sync_pair() {
            machine.state = State::Rejoining;
            fx.push(Effect::Admit(true));
        }
        (machine, fx)
    }

    /// Where no arbiter keeps the two from drawing one number twice, each draws numbers of its own.
    #[must_use]
    pub fn drawing_own_numbers(self) -> Self {
        Self { own_numbers: true, ..self }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn disk(&self) -> &Coordination {
        &self.disk
    }

    pub fn register(&self) -> Option<&Register> {
        self.register.as_ref()
    }

    /// What heartbeats say about this server.
    pub fn standing(&self) -> Standing {
        Standing {
            epoch: self.disk.held.0,
            holder: self.disk.held.1,
            data_id: self.disk.data_id,
            mode: self.mode(),
            role: self.role(),
            can_acknowledge: self.state != State::Halted,
        }
    }

    pub fn mode(&self) -> Mode {
        match self.state {
            State::Starting | State::Comparing => Mode::Starting,
            State::Main | State::Sub | State::Switching(Switch::Draining | Switch::Intent(_)) => Mode::Pair,
            State::Solo(_) => Mode::Solo,
            State::Switching(Switch::Asked(_)) | State::Waiting | State::Asking | State::Halted => Mode::Suspended,
            State::Rejoining => Mode::Rejoining,
        }
    }

    pub fn role(&self) -> Role {
        match self.state {
            State::Main | State::Solo(_) | State::Switching(Switch::Draining | Switch::Intent(_)) => Role::Main,
            State::Sub => Role::Sub,
            State::Switching(Switch::Asked(_))
            | State::Starting
            | State::Comparing
            | State::Waiting
            | State::Asking
            | State::Rejoining
            | State::Halted => Role::None,
        }
    }

    /// Decides. Total over (state, event): what an event does not concern is named and ignored.
    pub fn step(&mut self, view: &View, event: Event) -> Vec<Effect> {
        let (mut fx, was_switching) = (Vec::new(), matches!(self.state, State::Switching(_)));
        match (self.state, event) {
            (State::Halted, _) => {}
            (_, Event::PeerSays(standing)) => self.hear(standing, view, &mut fx),
            (_, Event::PeerBack) => self.welcome_back(view, &mut fx),
            (_, Event::PeerLost(loss)) => self.lose(loss, view, &mut fx),
            (_, Event::Register(register) | Event::Landed(register)) => self.read(register, view, &mut fx),
            (_, Event::Differs(register)) => self.refused(register, view, &mut fx),
            (_, Event::RetryDue) => self.retry(view, &mut fx),
            (_, Event::StreamWanted { epoch, holder }) => self.judge_stream(epoch, holder, view, &mut fx),
            (_, Event::IntendWanted(register)) => self.note_intent(register, &mut fx),
            (_, Event::EnterWanted(register)) => self.enter_wanted(register, view, &mut fx),
            (_, Event::PersonConfirms) => self.confirm(view, &mut fx),
            (_, Event::Sick) => self.halt(Story::Sick, &mut fx),
            (_, Event::StopWanted) => self.stop(view, &mut fx),

            (State::Waiting, Event::LeasesOut) => self.ask_for_solo(view, &mut fx),
            (State::Comparing | State::Waiting | State::Asking, Event::Compared) => self.compared(&mut fx),
            (State::Comparing, Event::CompareTooLong) => self.lose(Loss::NotStoring, view, &mut fx),

            (State::Main, Event::RefreshDue) | (State::Solo(Toward::Nothing | Toward::Level), Event::RefreshDue) => {
                self.refresh(view, &mut fx);
            }
            // A request of its own may still land; and whoever may have to take over must know whether the arbiter would answer.
            (State::Starting | State::Comparing | State::Sub | State::Rejoining, Event::RefreshDue) => {
                fx.push(Effect::ReadRegister);
            }
            (State::Main | State::Comparing, Event::StorageReborn) => self.begin(State::Comparing, Rule::Closed, &mut fx),
            (State::Waiting | State::Asking, Event::StorageReborn) => self.begin_anew(&mut fx),

            (State::Solo(Toward::Nothing), Event::PeerNear) => self.need_the_peer(&mut fx),
            (State::Solo(Toward::Level), Event::PeerLevel) => self.tell_intent(&mut fx),
            // A word on an earlier wish may come late.
            (State::Solo(Toward::Intent(wanted)), Event::PeerIntended(intended)) if intended.is_same_change(&wanted) => {
                self.ask_for_pair(wanted, &mut fx);
            }
            (State::Solo(Toward::Level | Toward::Intent(_)), Event::StreamLost) => {
                self.streaming = false;
                self.back_to_plain_solo(&mut fx);
            }
            (State::Solo(Toward::Asked(_)), Event::StreamLost) => {
                self.streaming = false;
                self.ask_for_solo(view, &mut fx);
            }
            // A follower may have stored what this journal has lost: numbering on in the same epoch would make two histories of one.
            (State::Solo(_), Event::StorageReborn) => {
                self.begin_anew(&mut fx);
                self.ask_for_solo(view, &mut fx);
            }

            (State::Main, Event::SwitchoverWanted) => self.begin_switch(&mut fx),
            (State::Switching(at), event) => self.go_on_switching(at, event, &mut fx),

            (_, Event::Compared) => self.opened(),
            (_, Event::StreamLost) => self.streaming = false,
            // Stale news: normal after a change of state or a slow reply. An ask without answer is repeated by RetryDue.
            (
                _,
                Event::NoAnswer
                | Event::LeasesOut
                | Event::CompareTooLong
                | Event::RefreshDue
                | Event::StorageReborn
                | Event::PeerNear
                | Event::PeerLevel
                | Event::PeerIntended(_)
                | Event::SwitchoverWanted
                | Event::Drained
                | Event::SwitchoverTooLong,
            ) => {}
        }
        fx.extend((was_switching && !matches!(self.state, State::Switching(_))).then_some(Effect::TakeCommands(true)));
        fx
    }

    /// Everything a server without a role can conclude from its disk, its peer and the register.
    fn settle(&mut self, view: &View, fx: &mut Vec<Effect>) {
        if self.state != State::Starting {
            return;
        }
        let (epoch, holder) = self.disk.held;
        if self.lost.is_some() {
            return self.begin_waiting(fx);
        }
        let Some(peer) = self.peer else { return };
        match peer.epoch.cmp(&epoch) {
            std::cmp::Ordering::Greater if peer.holder.acknowledger() == self.me => fx.push(Effect::ReadRegister),
            std::cmp::Ordering::Greater => self.follow(fx),
            std::cmp::Ordering::Equal | std::cmp::Ordering::Less => match holder {
                Holder::Solo { server } if server == self.me => self.ask_for_solo(view, fx),
                Holder::Pair { main } if main == self.me => self.begin(State::Comparing, Rule::Closed, fx),
                // Its Main opens the stream, or its Solo holder does.
                Holder::Solo { .. } | Holder::Pair { .. } => fx.push(Effect::Admit(true)),
            },
        }
    }

    fn compared(&mut self, fx: &mut Vec<Effect>) {
        self.opened();
        self.return_to_main(fx);
    }

    /// An open stream disproves the one loss that rests on it; heartbeats judge the others.
    fn opened(&mut self) {
        self.streaming = true;
        if self.lost == Some(Loss::NotStoring) {
            self.lost = None;
        }
    }

    /// Back in the Pair that the disk still holds, if the peer is well and its stream is open.
    fn return_to_main(&mut self, fx: &mut Vec<Effect>) {
        let (epoch, holder) = self.disk.held;
        if holder != (Holder::Pair { main: self.me }) || self.lost.is_some() || !self.streaming {
            return;
        }
        self.state = State::Main;
        self.running = true;
        self.asked = None;
        fx.extend([
            Effect::GrantLeases(true),
            Effect::Gate(self.pair_rule(epoch)),
            Effect::Addresses(AddressSet::Main, HoldBy::Lease),
            Effect::Story(Story::Paired(Role::Main, epoch)),
        ]);
    }

    /// A new run of the stream: DataUpdater starts again once journals are compared and everything is applied.
    fn begin(&mut self, state: State, rule: Rule, fx: &mut Vec<Effect>) {
        self.state = state;
        self.streaming = false;
        self.running = matches!(state, State::Solo(_));
        let (epoch, holder) = self.disk.held;
        fx.extend([Effect::Gate(rule), Effect::Begin { epoch, holder }]);
    }

    /// There is no run that a grant could let go on, and no stream by which the peer of the same Pair could come back: the latter
    /// begins anew at once.
    fn begin_anew(&mut self, fx: &mut Vec<Effect>) {
        self.streaming = false;
        self.running = false;
        let (epoch, holder) = self.disk.held;
        if holder == (Holder::Pair { main: self.me }) {
            fx.push(Effect::Begin { epoch, holder });
        }
    }

    fn stop(&mut self, view: &View, fx: &mut Vec<Effect>) {
        self.disk.stopped_at = Some(view.stored);
        // Clients hear the end of their connections while the address is still here.
        fx.extend([
            Effect::Gate(Rule::Closed),
            Effect::Cease,
            Effect::Dismiss,
            Effect::Addresses(AddressSet::None, HoldBy::Lease),
        ]);
        fx.push(Effect::Note(self.disk));
        self.halt(Story::Stopped, fx);
    }

    fn halt(&mut self, why: Story, fx: &mut Vec<Effect>) {
        self.state = State::Halted;
        fx.extend([
            Effect::Gate(Rule::Closed),
            Effect::Addresses(AddressSet::None, HoldBy::Lease),
            Effect::Admit(false),
            Effect::GrantLeases(false),
            Effect::Story(why),
            Effect::Exit(why),
        ]);
    }

    pub(super) fn pair_rule(&self, epoch: Epoch) -> Rule {
        if self.asynchronous { Rule::Leased(epoch) } else { Rule::Both(epoch) }
    }

    pub(super) fn acknowledger(&self) -> ServerId {
        self.disk.held.1.acknowledger()
    }

    pub(super) fn in_sync_pair(&self) -> bool {
        self.disk.in_sync && matches!(self.disk.held.1, Holder::Pair { .. })
    }

    /// Whether the disk entitles to ask at all: Solo of this server, or in sync in a Pair.
    pub(super) fn may_ask(&self) -> bool {
        self.disk.held.1 == (Holder::Solo { server: self.me }) || self.in_sync_pair()
    }
}
