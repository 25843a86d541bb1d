//! No third party: what a server may do rests on its own disk, on its peer's word while it is heard, and on a person's.
//!
//! The register is what the newer of both disks says. Changes that rest on the other server's durable intent (a Pair again, a switchover)
//! need nobody else. To serve alone needs the word of a person, who says that the other server is off; that word goes to the failover
//! machine, which notes it, and not through here. Three times nobody has to be asked: when the Sub is heard and is only ill or its stream is
//! cut, Main, which is whom people know, goes on alone; and who serves alone by a word may draw another epoch for that, as long as it runs,
//! or while it hears that the other one does not serve.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::{Coordination, Epoch, Holder, Position, Register, Role, ServerId, Standing};

use super::{Answer, Arbiter, ArbiterError, Asker, CasOutcome};

/// The peer's word, while it is heard.
pub type Heard = Box<dyn Fn() -> Option<Standing> + Send + Sync>;
/// What is on this server's disk.
pub type Disk = Box<dyn Fn() -> Coordination + Send + Sync>;

pub struct Operator {
    first: Register,
    disk: Disk,
    heard: Heard,
    /// The other server's name.
    peer: String,
    kept: Mutex<Kept>,
}

struct Kept {
    recorded: Position,
    /// Epochs up to here were not given in this run: whoever serves alone in one above was told so since.
    before: Epoch,
}

impl Operator {
    /// `first` is the pair's first register, for the ids of both disks.
    pub fn new(first: Register, disk: Disk, heard: Heard, peer: String) -> Self {
        let before = disk().held.0;
        Self { first, disk, heard, peer, kept: Mutex::new(Kept { recorded: Position::GENESIS, before }) }
    }

    fn register(&self, kept: &mut Kept) -> Result<Register, ArbiterError> {
        let disk = (self.disk)();
        let (mut epoch, mut holder) = disk.held;
        if let Some(peer) = (self.heard)().filter(|peer| peer.epoch > epoch) {
            let intended = disk.intent.is_some_and(|intent| (intent.epoch, intent.holder) == (peer.epoch, peer.holder));
            if peer.holder.acknowledger() == disk.server && !intended {
                return Err(ArbiterError::Refused(format!(
                    "{} knows epoch {} of this server, which this disk never held: the disk was set back",
                    self.peer, peer.epoch.0
                )));
            }
            kept.before = kept.before.max(peer.epoch);
            (epoch, holder) = (peer.epoch, peer.holder);
        }
        let recorded = if kept.recorded.epoch > epoch { Position::GENESIS } else { kept.recorded };
        Ok(Register { epoch, holder, recorded, ..self.first })
    }

    fn change(&self, me: ServerId, expected: &Register, new: &Register) -> Result<CasOutcome, ArbiterError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.register(&mut kept)?;
        if now != *expected {
            return Ok(CasOutcome::Differs(now));
        }
        if (new.epoch, new.holder) == (now.epoch, now.holder) {
            kept.recorded = new.recorded;
            return Ok(CasOutcome::Landed(*new));
        }
        let is_its_own = now.holder.acknowledger() == me && new.epoch > now.epoch;
        let may = match new.holder {
            Holder::Pair { main } => matches!(now.holder, Holder::Pair { .. }) || main == me,
            Holder::Solo { server } => server == me && (self.peer_stands_by() || kept.was_told(&now)),
        };
        if is_its_own && may { Ok(CasOutcome::Landed(*new)) } else { Err(self.ask_a_person()) }
    }

    /// Heard, and neither serving nor, having known it all, ahead: nothing that it does can contradict.
    fn peer_stands_by(&self) -> bool {
        (self.heard)().is_some_and(|peer| peer.role != Role::Main)
    }

    fn ask_a_person(&self) -> ArbiterError {
        ArbiterError::Refused(format!(
            "only a person can tell whether {peer} is off; if it is, order `duplex confirm-alone` here",
            peer = self.peer
        ))
    }
}

impl Kept {
    fn was_told(&self, now: &Register) -> bool {
        matches!(now.holder, Holder::Solo { .. }) && now.epoch > self.before
    }
}

impl Arbiter for Operator {
    fn read(&self, _: Asker, _: Duration) -> Answer<'_, Option<Register>> {
        let read = self.register(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { read.map(Some) })
    }

    fn compare_and_set(&self, asker: Asker, expected: &Register, new: &Register, _: Duration) -> Answer<'_, CasOutcome> {
        let changed = self.change(asker.server, expected, new);
        Box::pin(async move { changed })
    }

    fn introduce(&self, _: Asker, _: &str, _: Duration) -> Answer<'_, CasOutcome> {
        let read = self.register(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move { read.map(CasOutcome::Differs) })
    }
}

#[cfg(test)]
#[path = "operator_tests.rs"]
mod tests;
