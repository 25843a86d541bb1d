//! What there is: two boxes with disks and, while they run, a life; the register; what is under way.

use std::collections::{BTreeSet, VecDeque};

use crate::machines::failover::{Event, Failover, Loss, Rule, State};
use crate::model::{Coordination, DataId, Digest, Epoch, Holder, Position, Register, Sequence, ServerId, Standing};
use crate::pair::Bounds;
use crate::planted::Planted;

/// Both servers by index, A first.
pub const BOTH: [usize; 2] = [0, 1];

/// A command's entry. Its digest stands for the whole history before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub at: Position,
    pub command: u8,
}

/// One box: what survives a crash, and its life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    pub disk: Coordination,
    /// Written so far. Only the first `synced` of them are sure to survive a crash.
    pub journal: Vec<Entry>,
    pub synced: usize,
    pub life: Option<Life>,
}

/// What a crash ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Life {
    pub machine: Failover,
    /// Heard and not yet stepped, in order.
    pub inbox: VecDeque<Event>,
    pub rule: Rule,
    pub admits: bool,
    /// DataUpdater numbers entries in this epoch.
    pub run: Option<Epoch>,
    /// DataUpdater takes commands.
    pub takes: bool,
    /// ReplicationSender has a run and wants its stream open.
    pub sends: bool,
    /// Up to here the peer has told to have stored, in this stream.
    pub peer_stored: usize,
    pub level_mark: Option<usize>,
    /// As health has told last.
    pub lost: Option<Loss>,
    pub granting: bool,
    /// The peer's last heartbeat.
    pub heard: Option<Standing>,
    /// A heartbeat that is late: later ones may have been heard before it.
    pub late: Option<Standing>,
    /// The register was asked for.
    pub reads: bool,
    /// Command ids seen: what is in the journal, if the set is kept right.
    pub ids: BTreeSet<u8>,
}

/// A compare-and-set under way. Its asker may be gone; it may land all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    pub from: usize,
    pub expected: Register,
    pub new: Register,
}

impl Ask {
    /// An order of any kind, so that the same asks under way are the same state.
    fn order(&self) -> impl Ord + use<> {
        let of = |register: Register| (register.epoch, register.recorded.epoch, register.recorded.sequence);
        (self.from, of(self.new), of(self.expected))
    }
}

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breach {
    /// P1.
    TwoAcknowledgers { epoch: Epoch },
    /// P2: this server answers and lacks what was acknowledged.
    Lost { server: usize, entry: Entry },
    /// P3: two entries of one command were acknowledged.
    Twice { command: u8 },
    /// P3: a command is called done whose entry is not there.
    NeverDone { command: u8 },
    /// One number of one epoch stands for two entries.
    Forked,
    /// A disk's held epoch went back.
    WentBack { server: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub servers: [Server; 2],
    pub register: Register,
    /// In order, each once: that one lands is all that a second one of it could do.
    pub asks: Vec<Ask>,
    /// Open from this server to the other.
    pub stream: Option<usize>,
    /// Every entry that was acknowledged, in the order of the history.
    pub acknowledged: Vec<Entry>,
    pub acknowledgers: BTreeSet<(Epoch, usize)>,
    /// Commands that terminals have begun to send.
    pub issued: u8,
    /// What may still go wrong, and how often.
    pub left: Bounds,
    pub breach: Option<Breach>,
    pub planted: Option<Planted>,
}

pub fn server_id(server: usize) -> ServerId {
    [ServerId::A, ServerId::B][server]
}

impl World {
    /// A new pair whose servers have not been started.
    pub fn new(left: Bounds, planted: Option<Planted>) -> Self {
        let first = Register {
            epoch: Epoch(1),
            holder: Holder::Pair { main: ServerId::A },
            data_ids: [DataId([1; 16]), DataId([2; 16])],
            recorded: Position::GENESIS,
        };
        let servers = BOTH.map(|server| Server {
            disk: Coordination::first(server_id(server), &first),
            journal: vec![],
            synced: 0,
            life: None,
        });
        Self {
            servers,
            register: first,
            asks: vec![],
            stream: None,
            acknowledged: vec![],
            acknowledgers: BTreeSet::new(),
            issued: 0,
            left,
            breach: None,
            planted,
        }
    }

    pub fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    pub fn life(&self, server: usize) -> Option<&Life> {
        self.servers[server].life.as_ref()
    }

    /// What is on its way already says nothing new. News of the own process come before any from outside.
    pub fn push(&mut self, server: usize, event: Event) {
        if let Some(life) = self.servers[server].life.as_mut()
            && !life.inbox.contains(&event)
        {
            let own = life.inbox.iter().take_while(|event| is_own(event)).count();
            let at = if is_own(&event) { own } else { life.inbox.len() };
            life.inbox.insert(at, event);
        }
    }

    pub fn ask(&mut self, ask: Ask) {
        if !self.asks.contains(&ask) {
            self.asks.push(ask);
            self.asks.sort_by_key(Ask::order);
        }
    }

    pub fn states(&self) -> [Option<State>; 2] {
        BOTH.map(|server| self.life(server).map(|life| life.machine.state()))
    }

    pub fn is_a_pair(&self) -> bool {
        matches!(self.states(), [Some(State::Main), Some(State::Sub)] | [Some(State::Sub), Some(State::Main)])
    }
}

/// Told by an actor of the same process.
pub fn is_own(event: &Event) -> bool {
    matches!(event, Event::Compared | Event::StreamLost)
}

impl Server {
    /// End of the durable journal.
    pub fn stored(&self) -> Position {
        end(&self.journal[..self.synced])
    }

    /// Everything that was written is durable.
    pub fn drain(&mut self) {
        self.synced = self.journal.len();
    }

    pub fn truncate(&mut self, entries: usize) {
        self.journal.truncate(entries);
        self.synced = self.synced.min(entries);
    }

    pub fn forget_cut_ids(&mut self) {
        let kept: BTreeSet<u8> = self.journal.iter().map(|entry| entry.command).collect();
        if let Some(life) = self.life.as_mut() {
            life.ids = kept;
        }
    }

    /// Writes the next entry of its own history.
    pub fn append(&mut self, epoch: Epoch, command: u8) {
        let last = end(&self.journal);
        let digest = chained(&last, [epoch.0 as u8, self.disk.server.index() as u8, command]);
        let at = Position { epoch: epoch.max(last.epoch), sequence: last.sequence.next(), digest };
        self.write(Entry { at, command });
    }

    pub fn write(&mut self, entry: Entry) {
        self.journal.push(entry);
        if let Some(life) = self.life.as_mut() {
            life.ids.insert(entry.command);
        }
    }
}

pub fn end(journal: &[Entry]) -> Position {
    journal.last().map_or(Position::GENESIS, |entry| entry.at)
}

/// FNV-1a over the history before and what tells this entry from any other: two servers never make the same one.
fn chained(last: &Position, entry: [u8; 3]) -> Digest {
    let covered = last.digest.0.iter().chain(&entry);
    let hash = covered.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mut digest = Digest::default();
    digest.0[..8].copy_from_slice(&hash.to_le_bytes());
    digest
}

impl crate::machines::stream::History for Server {
    type Error = std::convert::Infallible;

    fn at(&self, sequence: Sequence) -> Result<Option<Position>, Self::Error> {
        Ok(match sequence.0 {
            0 => Some(Position::GENESIS),
            n => self.journal.get(n as usize - 1).map(|entry| entry.at),
        })
    }

    fn last_of_epoch(&self, epoch: Epoch) -> Result<Option<Position>, Self::Error> {
        let held = self.journal.iter().rev().find(|entry| entry.at.epoch <= epoch);
        Ok(Some(held.map_or(Position::GENESIS, |entry| entry.at)))
    }

    fn end(&self) -> Position {
        end(&self.journal)
    }
}
