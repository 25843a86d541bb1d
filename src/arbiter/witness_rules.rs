//! What a witness answers and what it writes down first: pure decisions, no I/O, no clock. Where nobody but a store of values stands
//! between the two servers (etcd), each asker applies the same rules to the value that it replaces.
//!
//! A witness guards one value against three things: two servers that ask at once (compare-and-set), asks that arrive late (the
//! epoch only rises), and its own past (a file that was restored or lost). Against the last it **grants nothing**, and a read
//! would be a grant as well, until both servers have said which epoch their disks held; one that held a higher epoch than the
//! register proves that the register is an old one, and from then on only a person helps.
//!
//! A report is as young as the connection that it comes over. **Invariant:** a restored file is read by a new process only, and no
//! request outlives its connection; an ask from before the restore, repeated after it, would vouch for what is no longer so.

use std::fmt;

use crate::model::{Epoch, Holder, Position, Register, ServerId, UnixMs};

use super::{Asker, CasOutcome};

/// What a witness keeps about one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub register: Register,
    /// Highest epoch that each server said its disk held, since this file came to this machine. Indexed by [`ServerId::index`].
    pub reported: [Option<Epoch>; 2],
    /// When the register's holder came to hold it, by the clock of whoever wrote that down: for people, decided by nothing. `None` in
    /// what was written before this was noted.
    pub since: Option<UnixMs>,
}

/// What is asked of a witness. A first register comes only after its signature was found right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Read,
    CompareAndSet {
        expected: Register,
        new: Register,
    },
    /// A compare-and-set by a person's word.
    Overrule {
        expected: Register,
        new: Register,
    },
    Introduce {
        first: Register,
    },
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    Holds(Option<Register>),
    Outcome(CasOutcome),
    Refused(Refusal),
}

/// What to make durable first (`None`: nothing changed), and what to answer then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub keep: Option<Kept>,
    pub ruling: Ruling,
}

/// Why a witness grants nothing, or not this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Empty,
    /// The file is new or was restored, and `server` has not reported yet.
    Awaits {
        server: ServerId,
    },
    /// The file is older than the disk of `server`.
    WentBack {
        server: ServerId,
        held: Epoch,
        register: Epoch,
    },
    /// The first register is older than the asker's disk.
    FirstIsOld {
        held: Epoch,
        first: Epoch,
    },
    /// The asker's disk is not the one that belongs to the pair.
    OtherDisk {
        server: ServerId,
    },
    DataIdsChange,
    EpochLower {
        from: Epoch,
        to: Epoch,
    },
    EpochNotRaised {
        epoch: Epoch,
    },
    RecordedLower {
        from: Position,
        to: Position,
    },
    NotItsChange {
        asker: ServerId,
        from: Holder,
        to: Holder,
    },
}

/// Answers one question about one pair.
pub fn decide(kept: Option<&Kept>, asker: &Asker, question: &Question) -> Decision {
    let Some(before) = kept else { return decide_empty(asker, question) };
    let mut now = before.hearing(asker);
    let answered = match question {
        Question::Overrule { expected, new } => now.overrule(asker, expected, new),
        _ => now.vouched().and_then(|()| now.answer(asker, question)),
    };
    let ruling = match answered {
        Ok(ruling) => ruling,
        Err(refusal) => Ruling::Refused(refusal),
    };
    if let Ruling::Outcome(CasOutcome::Landed(register)) = ruling {
        now.register = register;
    }
    Decision { keep: (now != *before).then_some(now), ruling }
}

fn decide_empty(asker: &Asker, question: &Question) -> Decision {
    let refused = |refusal| Decision { keep: None, ruling: Ruling::Refused(refusal) };
    match *question {
        Question::Read => Decision { keep: None, ruling: Ruling::Holds(None) },
        Question::CompareAndSet { .. } | Question::Overrule { .. } => refused(Refusal::Empty),
        Question::Introduce { first } if asker.held > first.epoch => {
            refused(Refusal::FirstIsOld { held: asker.held, first: first.epoch })
        }
        // Taken, but not granted before the other server has been heard as well: it may know more than this witness.
        Question::Introduce { first } => {
            let now = Kept { register: first, reported: [None; 2], since: None }.hearing(asker);
            let ruling = now.vouched().map_or_else(Ruling::Refused, |()| Ruling::Outcome(CasOutcome::Landed(first)));
            Decision { keep: Some(now), ruling }
        }
    }
}

impl Kept {
    /// Whether anything may be granted: both servers have reported, and none held more than the register.
    ///
    /// # Errors
    /// [`Refusal::WentBack`] or [`Refusal::Awaits`].
    pub fn vouched(&self) -> Result<(), Refusal> {
        for server in [ServerId::A, ServerId::B] {
            if let Some(held) = self.reported[server.index()].filter(|held| *held > self.register.epoch) {
                return Err(Refusal::WentBack { server, held, register: self.register.epoch });
            }
        }
        match [ServerId::A, ServerId::B].into_iter().find(|server| self.reported[server.index()].is_none()) {
            Some(server) => Err(Refusal::Awaits { server }),
            None => Ok(()),
        }
    }

    /// As it is written down in the place of `before`. Whoever serves alone and starts anew raises its epoch, and has had the newer data all
    /// the time.
    pub fn dated(self, before: Option<&Self>, now: UnixMs) -> Self {
        let is_same = before.is_some_and(|before| before.register.holder == self.register.holder);
        if is_same { self } else { Self { since: Some(now), ..self } }
    }

    /// Notes a report that changes something: the first one, or one above the register. Others would only cost a write each.
    fn hearing(mut self, asker: &Asker) -> Self {
        let reported = &mut self.reported[asker.server.index()];
        let telling = reported.is_none_or(|before| asker.held > before && asker.held > self.register.epoch);
        if telling && asker.data_id == self.register.data_ids[asker.server.index()] {
            *reported = Some(asker.held);
        }
        self
    }

    fn answer(&self, asker: &Asker, question: &Question) -> Result<Ruling, Refusal> {
        match question {
            Question::Read => Ok(Ruling::Holds(Some(self.register))),
            Question::Introduce { .. } => Ok(Ruling::Outcome(CasOutcome::Differs(self.register))),
            Question::CompareAndSet { expected, .. } if *expected != self.register => {
                Ok(Ruling::Outcome(CasOutcome::Differs(self.register)))
            }
            Question::CompareAndSet { new, .. } => {
                self.may_become(new, asker).map(|()| Ruling::Outcome(CasOutcome::Landed(*new)))
            }
            Question::Overrule { expected, new } => self.overrule(asker, expected, new),
        }
    }

    fn keeps_disks(&self, new: &Register, asker: &Asker) -> Result<(), Refusal> {
        let old = &self.register;
        if asker.data_id != old.data_ids[asker.server.index()] {
            return Err(Refusal::OtherDisk { server: asker.server });
        }
        if new.data_ids == old.data_ids { Ok(()) } else { Err(Refusal::DataIdsChange) }
    }

    /// A person answers for the rest: that nobody else serves, and for what the asker lacks. So nobody needs to have vouched, and this is
    /// the way out for a register that went back. Whoever serves by a word learns here what it would replace.
    fn overrule(&self, asker: &Asker, expected: &Register, new: &Register) -> Result<Ruling, Refusal> {
        if *expected != self.register {
            return Ok(Ruling::Outcome(CasOutcome::Differs(self.register)));
        }
        self.keeps_disks(new, asker)?;
        let (from, to) = (self.register.holder, new.holder);
        if to != (Holder::Solo { server: asker.server }) {
            return Err(Refusal::NotItsChange { asker: asker.server, from, to });
        }
        let reported = self.reported.into_iter().flatten().max().unwrap_or_default();
        if new.epoch <= self.register.epoch || new.epoch < reported {
            return Err(Refusal::EpochNotRaised { epoch: self.register.epoch.max(reported) });
        }
        Ok(Ruling::Outcome(CasOutcome::Landed(*new)))
    }

    fn may_become(&self, new: &Register, asker: &Asker) -> Result<(), Refusal> {
        self.keeps_disks(new, asker)?;
        let old = &self.register;
        if new.epoch < old.epoch {
            return Err(Refusal::EpochLower { from: old.epoch, to: new.epoch });
        }
        if new.epoch == old.epoch && new.holder != old.holder {
            return Err(Refusal::EpochNotRaised { epoch: old.epoch });
        }
        // An asker below the recorded position lacks entries that were acknowledged: it is stale, whatever it believes.
        if !reaches(&new.recorded, &old.recorded) {
            return Err(Refusal::RecordedLower { from: old.recorded, to: new.recorded });
        }
        if !is_its_change(asker.server, old.holder, new.holder, new.epoch == old.epoch) {
            return Err(Refusal::NotItsChange { asker: asker.server, from: old.holder, to: new.holder });
        }
        Ok(())
    }
}

/// Whether a history that ends at `end` can hold `recorded`. At one sequence there is one entry.
fn reaches(end: &Position, recorded: &Position) -> bool {
    end == recorded || (end.sequence > recorded.sequence && end.epoch >= recorded.epoch)
}

/// The five changes of the failover machine, each by the server that may ask for it, and the refresh by whoever acknowledges.
fn is_its_change(asker: ServerId, from: Holder, to: Holder, refresh: bool) -> bool {
    match (from, to) {
        _ if refresh => from.acknowledger() == asker,
        // One of a Pair goes on alone.
        (Holder::Pair { .. }, Holder::Solo { server }) => server == asker,
        // Switchover, by the Main that gives up its role; or the same Pair under a higher epoch.
        (Holder::Pair { main }, Holder::Pair { .. }) => main == asker,
        // Only the server with the data leaves Solo, and it stays the one that acknowledges.
        (Holder::Solo { server }, Holder::Solo { .. } | Holder::Pair { .. }) => server == asker && to.acknowledger() == asker,
    }
}

impl Refusal {
    /// Every [`Self::code`].
    pub const CODES: [&str; 10] = [
        "empty",
        "awaits",
        "went_back",
        "first_is_old",
        "other_disk",
        "data_ids_change",
        "epoch_lower",
        "epoch_not_raised",
        "recorded_lower",
        "not_its_change",
    ];

    /// Short, stable name for counters.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Awaits { .. } => "awaits",
            Self::WentBack { .. } => "went_back",
            Self::FirstIsOld { .. } => "first_is_old",
            Self::OtherDisk { .. } => "other_disk",
            Self::DataIdsChange => "data_ids_change",
            Self::EpochLower { .. } => "epoch_lower",
            Self::EpochNotRaised { .. } => "epoch_not_raised",
            Self::RecordedLower { .. } => "recorded_lower",
            Self::NotItsChange { .. } => "not_its_change",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |server: &ServerId| match server {
            ServerId::A => "server-a",
            ServerId::B => "server-b",
        };
        match self {
            Self::Empty => write!(f, "the arbiter was never given a first register"),
            Self::Awaits { server } => {
                write!(f, "the arbiter is new or was restored: it grants nothing until {} has reported its epoch", name(server))
            }
            Self::WentBack { server, held, register } => {
                let (server, held, register) = (name(server), held.0, register.0);
                write!(
                    f,
                    "the arbiter knows epoch {register}, but the disk of {server} held epoch {held}: it was restored to an "
                )?;
                write!(f, "older state and grants nothing until a person gives it a register above epoch {held}")
            }
            Self::FirstIsOld { held, first } => {
                write!(f, "the first register is of epoch {}, but the asking disk held epoch {}: ", first.0, held.0)?;
                write!(f, "the arbiter has lost its register, and only a person can give it a new one")
            }
            Self::OtherDisk { server } => {
                write!(f, "the data id of {} is not the registered one: it is another disk", name(server))
            }
            Self::DataIdsChange => write!(f, "the data ids of the pair change only by a person's word"),
            Self::EpochLower { from, to } => write!(f, "the epoch would go back from {} to {}", from.0, to.0),
            Self::EpochNotRaised { epoch } => write!(f, "a change of holder needs an epoch above {}", epoch.0),
            Self::RecordedLower { from, to } => {
                write!(f, "the recorded position is {from} and would become {to}: entries are missing")
            }
            Self::NotItsChange { asker, from, to } => {
                write!(f, "{} may not turn {} into {}", name(asker), in_words(*from), in_words(*to))
            }
        }
    }
}

fn in_words(holder: Holder) -> &'static str {
    match holder {
        Holder::Pair { main: ServerId::A } => "a Pair with Main server-a",
        Holder::Pair { main: ServerId::B } => "a Pair with Main server-b",
        Holder::Solo { server: ServerId::A } => "server-a Solo",
        Holder::Solo { server: ServerId::B } => "server-b Solo",
    }
}

#[cfg(test)]
#[path = "witness_rules_tests.rs"]
mod tests;
