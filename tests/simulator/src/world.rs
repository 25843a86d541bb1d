//! One run: two servers, their arbiter, terminals and a network, and one queue of what happens next.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use duplex::arbiter::{Asker, CasOutcome};
use duplex::model::{Coordination, DataId, Epoch, Heartbeat, Holder, Moment, Position, Register, ServerId};

use crate::account::Command;
use crate::dice::Dice;
use crate::faults::{Fault, Over};
use crate::network::{Frame, LinkNo, Network};
use crate::oracle::{Breach, Oracle};
use crate::planted::Planted;
use crate::report::Report;
use crate::server::Server;
use crate::terminals::{Answer, Terminals};
use crate::witness::{Ask, Witness};

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Simulated seconds in which things go wrong. Afterwards nothing does, and all must come to rest.
    pub seconds: u64,
    pub terminals: u32,
    /// It never answers anybody: the two servers have only each other.
    pub without_arbiter: bool,
    pub planted: Option<Planted>,
    /// Every happening is printed.
    pub trace: bool,
}

/// Something that is due.
#[derive(Debug)]
pub enum Happening {
    /// A run of a server hears something; if that run is over, nobody does.
    Told {
        server: usize,
        run: u64,
        news: News,
    },
    /// A question has come to the arbiter.
    Asked(Ask),
    Sends {
        terminal: u32,
    },
    Answered(Answer),
    /// The terminal has waited long enough.
    Waited {
        terminal: u32,
        number: u32,
        tries: u32,
    },
    Fault(Fault),
    /// The end of a fault that lasts.
    Over(Over),
    Start {
        server: usize,
    },
    Thaw {
        server: usize,
        run: u64,
    },
    Look,
}

/// What one run of a server hears.
#[derive(Debug)]
pub enum News {
    /// Every 25 ms: StateMonitor's timer.
    Beat,
    /// Every 10 ms: what ends by time in storage.
    Tick,
    RetryDue,
    RefreshDue,
    Heard(Heartbeat),
    /// The life line to that run of the peer closed, and nobody listens there any more.
    Died {
        run: u64,
    },
    /// The coordination file is written.
    Noted,
    Arbiter {
        number: u64,
        asker: Asker,
        answer: Reply,
    },
    /// Nobody waits for that answer any longer.
    AskLate {
        number: u64,
    },
    CompareLate {
        number: u64,
    },
    SwitchLate {
        number: u64,
    },
    DrainLook {
        number: u64,
    },
    /// The journal's disk has done what it was told.
    DiskDone {
        number: u64,
    },
    Applied,
    Frame {
        link: LinkNo,
        frame: Frame,
    },
    LinkEnded {
        link: LinkNo,
    },
    Command(Command),
    Storage(Box<crate::process::Order>),
}

#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Holds(Option<Register>),
    Outcome(CasOutcome),
    /// Refused, or damaged on the way.
    Nothing,
}

pub struct World {
    pub plan: Plan,
    pub now: u64,
    pub dice: Dice,
    pub servers: [Server; 2],
    pub network: Network,
    pub witness: Witness,
    pub terminals: Terminals,
    pub oracle: Oracle,
    pub report: Report,
    /// Nothing goes wrong any more.
    pub calm: bool,
    /// Some worlds are wild, in others a pair has its peace between two faults.
    pub pace: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
}

pub fn server(index: usize) -> ServerId {
    [ServerId::A, ServerId::B][index]
}

/// Simulated time begins here, so that "a while ago" is not before the beginning.
const BEGINNING: u64 = 60_000;
/// How long a world without faults may take to come to rest: a disk that was slow is trusted after half a minute.
const REST_MS: u64 = 120_000;
/// How long a pair must stay one.
const AT_REST_MS: u64 = 1_000;

impl World {
    fn new(plan: Plan) -> Self {
        let data_ids = [DataId([1; 16]), DataId([2; 16])];
        let holder = Holder::Pair { main: ServerId::A };
        let first = Register { epoch: Epoch(1), holder, data_ids, recorded: Position::GENESIS };
        let mut dice = Dice::new(plan.seed);
        let servers = [0, 1].map(|index| Server::new(Coordination::first(server(index), &first), dice.roll(u64::MAX)));
        let mut world = Self {
            plan,
            now: BEGINNING,
            servers,
            network: Network::default(),
            witness: Witness::new(first, plan.without_arbiter),
            terminals: Terminals::new(plan.terminals),
            oracle: Oracle::default(),
            report: Report::default(),
            calm: false,
            pace: 1 + dice.roll(5),
            queue: BTreeMap::new(),
            queued: 0,
            dice,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for server in 0..2 {
            let boots_at = self.dice.roll(1_000);
            self.after(boots_at, Happening::Start { server });
        }
        for terminal in 0..self.plan.terminals {
            let first = 500 + self.dice.roll(Terminals::THINKS_MS);
            self.after(first, Happening::Sends { terminal });
        }
        self.after(LOOK_MS, Happening::Look);
        self.plan_next_fault();
    }

    pub fn moment(&self) -> Moment {
        Moment(self.now)
    }

    pub fn after(&mut self, ms: u64, what: Happening) {
        self.at(self.now + ms, what);
    }

    pub fn at(&mut self, at: u64, what: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), what);
    }

    /// To the run of the server that is there now.
    pub fn tell_after(&mut self, ms: u64, server: usize, news: News) {
        let run = self.servers[server].run;
        self.after(ms, Happening::Told { server, run, news });
    }

    pub fn note(&self, text: impl FnOnce() -> String) {
        if self.plan.trace {
            println!("{:>9.3} {}", (self.now - BEGINNING) as f64 / 1_000.0, text());
        }
    }

    pub fn is_planted(&self, bug: Planted) -> bool {
        self.plan.planted == Some(bug)
    }

    /// Plays the plan to its end.
    ///
    /// # Errors
    /// The first [`Breach`] of a promise; an assertion of the code that runs is one.
    pub fn play(plan: Plan) -> Result<Report, Breach> {
        let played = catch_unwind(AssertUnwindSafe(|| Self::new(plan).go()));
        played.unwrap_or_else(|_| Err(Breach::new("assertion", "the code that runs panicked; see above".to_owned())))
    }

    fn go(mut self) -> Result<Report, Breach> {
        let faults_end = BEGINNING + self.plan.seconds * 1_000;
        let mut rest_since = None;
        while let Some(((at, order), what)) = self.queue.pop_first() {
            (self.now, self.oracle.now) = (at, at);
            self.fold(at, order, &what);
            self.handle(what);
            if let Some(breach) = self.oracle.breach.take() {
                return Err(breach);
            }
            if at >= faults_end && !self.calm {
                self.calm_down();
            }
            if self.calm && self.is_at_rest() {
                let since = *rest_since.get_or_insert(at);
                if at >= since + AT_REST_MS {
                    break;
                }
            } else {
                rest_since = None;
            }
            if at > faults_end + REST_MS {
                return Err(Breach::stuck(&self));
            }
        }
        self.oracle.at_the_end(&self.servers).map(|()| self.finish())
    }

    fn finish(mut self) -> Report {
        self.report.seconds = (self.now - BEGINNING) / 1_000;
        self.report.acknowledged = self.oracle.acknowledged;
        self.report.reads = self.oracle.reads;
        self.report.repeated = self.oracle.repeated;
        self.report.epochs = self.oracle.epochs();
        self.report.entries = self.oracle.newest().sequence.0;
        self.report
    }

    fn fold(&mut self, at: u64, order: u64, what: &Happening) {
        let kind = match what {
            Happening::Told { server, news, .. } => 16 + *server as u64 + 2 * news.kind(),
            Happening::Asked(_) => 1,
            Happening::Sends { .. } => 2,
            Happening::Answered(_) => 3,
            Happening::Waited { .. } => 4,
            Happening::Fault(_) => 5,
            Happening::Start { .. } => 6,
            Happening::Thaw { .. } => 7,
            Happening::Look => 8,
            Happening::Over(_) => 9,
        };
        for word in [at, order, kind] {
            self.report.digest = (self.report.digest ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(13);
        }
        self.note(|| format!("{what:?}"));
    }

    fn handle(&mut self, what: Happening) {
        match what {
            Happening::Told { server, run, news } => self.hear(server, run, news),
            Happening::Asked(ask) => self.answer_ask(ask),
            Happening::Sends { terminal } => self.send_command(terminal),
            Happening::Answered(answer) => self.take_answer(answer),
            Happening::Waited { terminal, number, tries } => self.repeat_command(terminal, number, tries),
            Happening::Fault(fault) => {
                self.commit(fault);
                self.plan_next_fault();
            }
            Happening::Over(what) => self.over(what),
            Happening::Start { server } => self.start(server),
            Happening::Thaw { server, run } => self.thaw(server, run),
            Happening::Look => {
                self.look();
                self.after(LOOK_MS, Happening::Look);
            }
        }
    }

    /// What is true at every moment, and what ends by itself in the network.
    fn look(&mut self) {
        self.oracle.look(self.now, &self.servers);
        self.end_dead_links();
    }

    pub fn is_at_rest(&self) -> bool {
        self.terminals.are_all_answered() && self.oracle.is_a_pair(&self.servers)
    }
}

/// Between two looks at what is always true.
const LOOK_MS: u64 = 100;

impl News {
    fn kind(&self) -> u64 {
        match self {
            Self::Beat => 0,
            Self::Tick => 1,
            Self::RetryDue => 2,
            Self::RefreshDue => 3,
            Self::Heard(_) => 4,
            Self::Died { .. } => 5,
            Self::Noted => 6,
            Self::Arbiter { .. } => 7,
            Self::AskLate { .. } => 8,
            Self::CompareLate { .. } => 9,
            Self::SwitchLate { .. } => 10,
            Self::DrainLook { .. } => 11,
            Self::DiskDone { .. } => 12,
            Self::Applied => 13,
            Self::Frame { .. } => 14,
            Self::LinkEnded { .. } => 15,
            Self::Command(_) => 16,
            Self::Storage(_) => 17,
        }
    }

    /// Timers are late after a stall, and go before what has queued up in the meantime.
    pub fn is_timer(&self) -> bool {
        matches!(self, Self::Beat | Self::Tick | Self::RetryDue | Self::RefreshDue)
    }
}
